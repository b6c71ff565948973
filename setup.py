"""Builds the one native part of the project, `fastrouter._core`; all else is in pyproject.toml.

Environment variables:

FASTROUTER_OPT       optimisation level of the C compiler, `3` if not given (`1` compiles in half the time, for 2 to 3 %
                     more CPU per request; `0` in a third of it)
FASTROUTER_PROFILE   `1`: debug symbols and frame pointers, so that `py-spy --native` and `perf` can name lines
FASTROUTER_DEBUG     `1`: debug symbols, and everything is checked that can be: indexes, None, overflow, assertions
FASTROUTER_COVERAGE  `1`: the extension tells coverage.py which of its lines it executes
FASTROUTER_SANITIZE  `1`: assertions, and AddressSanitizer and UndefinedBehaviorSanitizer look at every access
FASTROUTER_FUZZ      `1`: the same, and the extension tells libFuzzer where it goes and what it compares (tests/fuzz)
FASTROUTER_COMPILED  `1`: the extension is there already (`build_ext --inplace`), beside which this is installed
FASTROUTER_ANNOTATE  `1`: writes build/cython/src/fastrouter/_core.html, which shows where Python is called from C
"""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup


def is_set(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


profile = is_set("FASTROUTER_PROFILE")
debug = is_set("FASTROUTER_DEBUG")
coverage = is_set("FASTROUTER_COVERAGE")
fuzz = is_set("FASTROUTER_FUZZ")
sanitize = fuzz or is_set("FASTROUTER_SANITIZE")
optimisation = f"-O{os.environ.get('FASTROUTER_OPT', '3')}"
compile_args = [optimisation, "-fno-strict-aliasing"]
# `put` is worth its place wherever a message is rendered; GCC would bound how much the module may grow by it.
compile_args.append("--param=inline-unit-growth=200")
# Python's own flags carry -g, which doubles the compile time: -g0 takes it back.
compile_args += ["-g", "-fno-omit-frame-pointer"] if profile or debug else ["-g0"]
sources = ["src/fastrouter/_core.pyx"]
# Whoever asks for -O1 waits for the result: GCC shares the work between two cores if it does most of it when it links.
# What is measured and released is compiled as one.
link_args = [optimisation, "-flto=2"] if optimisation == "-O1" and not (debug or sanitize) else []
compile_args += link_args[1:]
macros: list[tuple[str, str | None]] = [] if debug or sanitize else [("CYTHON_WITHOUT_ASSERTIONS", "1")]
# Which leaves the variables that they would need.
compile_args += [] if debug or sanitize else ["-Wno-unused-variable"]
# Part of Python's own -Wall; it reads the lines of Cython's 12 MB again for every question, for 8 s.
compile_args.append("-Wno-misleading-indentation")
if debug:
    # Overflow checks take pointers that are subtracted for integers; of pointers to bytes the difference is the same.
    compile_args.append("-Wno-int-conversion")
if sanitize:
    # An empty slice may point nowhere, and nothing is copied of it; ADR 25 says why that is left so.
    checks = ["-fsanitize=address,undefined", "-fno-sanitize=nonnull-attribute", "-fno-sanitize-recover=undefined"]
    # Lines, for the stacks of findings, and no more of what -g brings.
    compile_args += [*checks, "-g1", "-fno-omit-frame-pointer"]
    # A fuzzer brings LLVM's libraries for them, which GCC's would be in the way of.
    link_args += [] if fuzz else checks
if fuzz:
    compile_args.append("-fsanitize-coverage=trace-pc,trace-cmp")
    sources.append("tests/fuzz/coverage_hooks.c")
if coverage:
    macros += [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")]

core = Extension(
    "fastrouter._core",
    sources=sources,
    depends=["src/fastrouter/_core.pxd", *sorted(glob("src/fastrouter/core/*/*"))],
    extra_compile_args=compile_args,
    extra_link_args=link_args,
    define_macros=macros,
)
# What the code means is the same in every build: negative indexes are none, and division is C's.
directives = {"language_level": 3, "wraparound": False, "cdivision": True, "infer_types": True}
directives |= dict.fromkeys(("boundscheck", "nonecheck", "initializedcheck", "overflowcheck"), debug)
directives["linetrace"] = coverage

# Not in src/, but for Cython's coverage plugin, which looks nowhere else. One directory for each kind of build, because
# Cython does not notice that its options have changed.
build_dir: str | None = "build/cython"
if coverage:
    build_dir = None
elif profile or debug or sanitize:
    build_dir = "build/cython-debug" if debug else "build/cython-profile"

setup(
    ext_modules=cythonize(
        [] if is_set("FASTROUTER_COMPILED") else [core],
        build_dir=build_dir,
        emit_linenums=profile or debug or sanitize,
        annotate=is_set("FASTROUTER_ANNOTATE"),
        compiler_directives=directives,
    ),
)
