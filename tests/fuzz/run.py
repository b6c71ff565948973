"""Fuzz one target after the other: `make fuzz SECONDS=600 TARGET=request_head` builds what this needs, and calls it.

    python -m tests.fuzz.run --seconds 600 request_head

What is found is in build/fuzz-findings/, in files named after their targets: look at one with

    python -m tests.fuzz.run --replay build/fuzz-findings/request_head-crash-…

What was learned on the way is in build/fuzz-corpus/, and the next run goes on from there.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from .targets import TARGETS

ROOT = Path(__file__).parents[2]
FINDINGS = ROOT / "build" / "fuzz-findings"
LEARNED = ROOT / "build" / "fuzz-corpus"
CORPUS = Path(__file__).parent / "corpus"
# Bytes of an input: what is worth finding is found with fewer, and sooner.
_MAX_SIZE = 4096
# Seconds for one input, after which it is taken for endless, on a machine that may be busy.
_TIMEOUT = 60
# Megabytes of freed memory that are kept from being used again, so that a late access is noticed.
_QUARANTINE = 16


def sanitized() -> dict[str, str]:
    """The environment for the build with sanitizers: they, with libFuzzer, come before everything else."""
    spec = importlib.util.find_spec("atheris")
    assert spec is not None, "no fuzzer is installed: make fuzz does that"
    assert spec.origin is not None
    return {
        "LD_PRELOAD": str(Path(spec.origin).parents[1] / "asan_with_fuzzer.so"),
        "ASAN_OPTIONS": f"detect_leaks=0:quarantine_size_mb={_QUARANTINE}",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        # Each piece of Python's memory is one that AddressSanitizer knows.
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(ROOT / "build" / "fuzz"),
    }


def fuzz(target: str, *arguments: str) -> bool:
    """Have libFuzzer try `target`. Returns whether nothing was found."""
    print(f"--- {target}", flush=True)
    command = [sys.executable, "-m", "tests.fuzz.libfuzzer", target, f"-max_len={_MAX_SIZE}", f"-timeout={_TIMEOUT}"]
    command += [f"-artifact_prefix={FINDINGS}/{target}-", "-rss_limit_mb=4096", "-print_final_stats=1"]
    if words := TARGETS[target].words:
        dictionary = LEARNED / f"{target}.dict"
        dictionary.write_text("".join(map(quoted, words)))
        command.append(f"-dict={dictionary}")
    environment = os.environ | (sanitized() if TARGETS[target].is_native else {})
    return subprocess.run([*command, *arguments], cwd=ROOT, env=environment, check=False).returncode == 0


def quoted(word: bytes) -> str:
    """A line of a dictionary of libFuzzer's."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all of them if none is named"
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="try one input, whose target its name or folder tells"
    )
    options = parser.parse_args(arguments)
    FINDINGS.mkdir(parents=True, exist_ok=True)
    if options.replay:
        names = (options.replay.name.partition("-")[0], options.replay.parent.name)
        return not fuzz(next(name for name in names if name in TARGETS), str(options.replay))
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    failed = []
    for target in options.targets or TARGETS:
        (LEARNED / target).mkdir(parents=True, exist_ok=True)
        if not fuzz(target, f"-max_total_time={options.seconds}", str(LEARNED / target), str(CORPUS / target)):
            failed.append(target)
    if failed:
        print(f"something was found in: {', '.join(failed)}; see {FINDINGS}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
