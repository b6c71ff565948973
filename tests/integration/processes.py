"""What /proc says about other processes. One that ends meanwhile is simply left out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["children_of", "command_of", "is_alive", "sockets_of", "state_of"]

_ENDED = (FileNotFoundError, ProcessLookupError)


def children_of(pid: int) -> list[int]:
    """The children of a process and of its threads, oldest first for each thread; none once it has ended."""
    children = []
    for task in sorted(Path(f"/proc/{pid}/task").glob("*/children")):
        try:
            children += [int(child) for child in task.read_text().split()]
        except _ENDED:
            continue
    return children


def command_of(pid: int) -> list[str]:
    """The arguments of a process; empty for one that has ended, reaped or not."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except _ENDED:
        return []
    return command.decode(errors="surrogateescape").split("\0")[:-1]


def state_of(pid: int) -> str:
    """The letter of proc(5) for what a process does; empty for one that was reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except _ENDED:
        return ""


def sockets_of(pid: int) -> set[str]:
    """The inodes of the sockets that a process has open, as /proc/net names them; none once it has ended."""
    targets = set()
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(*_ENDED):
                targets.add(str(link.readlink()))
    except (*_ENDED, PermissionError):
        # The directory of a zombie belongs to no user.
        return set()
    return {target[8:-1] for target in targets if target.startswith("socket:[")}


def is_alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    return state_of(pid) not in ("", "Z")
