"""The command line: `fastrouter -c gorouter.yml`, as Gorouter is started, and the other commands.

Exit codes are Gorouter's (spec 1.6): 0 after a stop by signal, 1 for anything that keeps the router from running
(a bad value, a file, a port), 2 for an unknown flag.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit the process."""
    _open_standard_descriptors()
    arguments = sys.argv[1:] if arguments is None else arguments
    # Only the command that runs is imported, so that the first line of the process log waits for nothing else.
    if arguments and arguments[0].startswith("-") and arguments[0] not in ("--help", "--version"):
        from fastrouter.cli import gorouter_command  # noqa: PLC0415

        gorouter_command.main(arguments)
    from fastrouter.cli import commands  # noqa: PLC0415

    sys.exit(commands.main(arguments))


def _open_standard_descriptors() -> None:
    """Occupy descriptors 0 to 2 if whoever started the router closed them.

    Otherwise a client's connection could get the number 1, and the process log would be written into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
