"""The process that libFuzzer runs in; run.py starts it."""

import sys
import time

import atheris

with atheris.instrument_imports(include=["fastrouter"]):
    from .targets import TARGETS


# Seconds of CPU that one input of a few kilobytes may take, with sanitizers: nobody holds the loop.
_MAX_CPU = 2.0


def main(target: str, *arguments: str) -> None:
    def check(data: bytes) -> None:
        begun = time.thread_time()
        TARGETS[target].check(data)
        took = time.thread_time() - begun
        assert took < _MAX_CPU, f"{len(data)} bytes took {took:.1f} s of CPU"

    atheris.Setup([f"fuzz {target}", *arguments], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
