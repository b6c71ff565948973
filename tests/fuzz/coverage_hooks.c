/* What GCC calls at each edge in a build for fuzzing (FASTROUTER_FUZZ=1), as libFuzzer wants to be told of it.
 *
 * libFuzzer no longer understands the calls themselves: it looks at a table of counters. Comparisons, which GCC reports by
 * calls, too, go to libFuzzer directly, because it is loaded before everything else (Makefile).
 */

#include <stdint.h>

#define COUNTERS (1 << 18)
/* This is built with the flags of the code that it watches, and must not watch itself. */
#define UNWATCHED __attribute__((no_sanitize_coverage, no_sanitize_address, no_sanitize_undefined))
#define HIDDEN __attribute__((visibility("hidden")))

static uint8_t counters[COUNTERS];
/* An address and flags for each counter: libFuzzer wants as many, and looks at none unless it is asked to print them. */
static uintptr_t places[COUNTERS][2];

void __sanitizer_cov_8bit_counters_init(uint8_t *start, uint8_t *stop);
void __sanitizer_cov_pcs_init(const uintptr_t *start, const uintptr_t *stop);

/* Comparisons that libFuzzer makes nothing of. */
HIDDEN UNWATCHED void __sanitizer_cov_trace_cmpf(float first, float second) { (void)first; (void)second; }
HIDDEN UNWATCHED void __sanitizer_cov_trace_cmpd(double first, double second) { (void)first; (void)second; }

/* Hidden, so that it is called and not libFuzzer's, which ends the process. */
HIDDEN UNWATCHED void __sanitizer_cov_trace_pc(void)
{
    uintptr_t distance = (uintptr_t)__builtin_return_address(0) - (uintptr_t)counters;
    /* The upper 18 bits of a product with 2^32 over the golden ratio: neighbours get counters far apart. */
    counters[(uint32_t)distance * 2654435769u >> 14]++;
}

__attribute__((constructor)) UNWATCHED static void show_counters(void)
{
    __sanitizer_cov_8bit_counters_init(counters, counters + COUNTERS);
    __sanitizer_cov_pcs_init(places[0], places[COUNTERS]);
}
