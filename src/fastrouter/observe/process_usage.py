"""CPU and memory that the processes of the router use together, out of `/proc`."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024

# Fields of /proc/PID/stat behind the name of the program, which may have anything in it (proc(5)).
_USER_TICKS = 11
_SYSTEM_TICKS = 12
_RESIDENT_PAGES = 21


class Usage(NamedTuple):
    """`cpu` is seconds of CPU time per second, so 1.0 is one core; `resident_kib` the memory in KiB."""

    cpu: float = 0.0
    resident_kib: int = 0


class UsageMeter:
    """Adds up what processes use."""

    def __init__(self) -> None:
        self._looked_at = 0.0
        # By process, as of the last look.
        self._ticks: dict[int, int] = {}

    def look(self, pids: Iterable[int]) -> Usage:
        """Return the memory of now, and the CPU time since the look before: none at the first one.

        A process that is new counts with all its time; one that has ended counts no more.
        """
        ticks: dict[int, int] = {}
        pages = 0
        for pid in pids:
            fields = _stat_of(pid)
            if fields:
                ticks[pid] = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
                pages += int(fields[_RESIDENT_PAGES])
        now = time.monotonic()
        cpu = 0.0
        if self._looked_at:
            # A number may have become another process's.
            used = sum(max(0, count - self._ticks.get(pid, 0)) for pid, count in ticks.items())
            cpu = used / _TICKS_PER_SECOND / (now - self._looked_at)
        self._looked_at = now
        self._ticks = ticks
        return Usage(cpu, pages * _PAGE_KIB)


def _stat_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        # It has ended, or there is no /proc.
        return []
