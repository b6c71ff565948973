"""The mapping in which all workers count: made by the control process, inherited by nobody, handed to each worker."""

import mmap
import os
import time
from collections.abc import Sequence

from fastrouter._core import Stats

# Endpoints there is room for. A page of the mapping costs memory only when somebody has touched it.
SLOTS = 262_144


class SharedStats:
    """The mapping as the control process has it: `stats` reads all columns, `descriptor` is for the workers.

    `bounds` are those of `_core.Stats`. Raises OSError if there is no memory for it.
    """

    def __init__(self, workers: int, bounds: Sequence[Sequence[float]]) -> None:
        size = Stats.size(workers, SLOTS)
        # Without a name in any file system, and gone with the last process that has it.
        self.descriptor = os.memfd_create("fastrouter-stats", os.MFD_CLOEXEC)
        os.ftruncate(self.descriptor, size)
        self.bounds = tuple(tuple(some) for some in bounds)
        self.stats = Stats(mmap.mmap(self.descriptor, size), workers, SLOTS, 0, self.bounds)

    def clear_mark(self, slot: int) -> None:
        """Forget that the endpoint that had the number `slot` has failed."""
        if slot < SLOTS:
            self.stats.clear_mark(slot)

    def failed_ago(self, slot: int) -> float | None:
        """Return how many seconds ago the endpoint that has the number `slot` failed; None if it did not."""
        failed_at_ns = self.stats.mark_of(slot)
        return (time.monotonic_ns() - failed_at_ns) / 1e9 if failed_at_ns else None

    def mark(self, slot: int, failed_ago: float) -> None:
        """Take the endpoint that has the number `slot` for one that failed so many seconds ago."""
        self.stats.set_mark(slot, time.monotonic_ns() - int(max(failed_ago, 0.0) * 1e9))


def attach_stats(descriptor: int, *, workers: int, slots: int, worker: int, bounds: Sequence[Sequence[float]]) -> Stats:
    """Map what `descriptor` stands for, which is closed, and return it as the process `worker` sees it."""
    try:
        # The mapping keeps a descriptor of its own.
        memory = mmap.mmap(descriptor, Stats.size(workers, slots))
    finally:
        os.close(descriptor)
    return Stats(memory, workers, slots, worker, bounds)
