"""Renews the locks beside it from pyproject.toml: `make lock`, with the path of uv as its argument.

Each lock is complete, has hashes, and holds for Python 3.11 and later; pip alone installs from it.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

_HERE = Path(__file__).parent
_PROJECT = _HERE.parent / "pyproject.toml"


def lock(uv: str, name: str, *arguments: str, text: str | None = None) -> None:
    """Write `name`.txt for the requirements that `arguments` name, or for those in `text`."""
    command = [uv, "pip", "compile", "--quiet", "--upgrade", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-annotate", "--no-header", "--no-emit-index-url", "--no-emit-find-links"]
    command += ["--output-file", str(_HERE / f"{name}.txt"), *arguments]
    subprocess.run(command, input=text, text=True, check=True)


def main(uv: str) -> None:
    """Renew all of them; uv is not among what they hold."""
    build = tomllib.loads(_PROJECT.read_text())["build-system"]["requires"]
    lock(uv, "build", "-", text="\n".join(build))
    for extra in ("demo", "dev", "bench", "fuzz"):
        lock(uv, extra, "--extra", extra, str(_PROJECT))
    lock(uv, "lowest", "--resolution", "lowest-direct", "--extra", "dev", str(_PROJECT))


if __name__ == "__main__":
    main(*sys.argv[1:])
