"""The process that libFuzzer runs in; run.py starts it."""

import sys

import atheris

with atheris.instrument_imports(include=["fastrouter"]):
    from .targets import TARGETS


def main(target: str, *arguments: str) -> None:
    atheris.Setup([f"fuzz {target}", *arguments], TARGETS[target].check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
