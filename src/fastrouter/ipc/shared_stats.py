"""The shared memory in which all workers count: the control process creates it and sends it to each worker."""

import mmap
import os
import time
from collections.abc import Sequence

from fastrouter._core import Stats

# Endpoints there is room for. A page of the mapping takes memory only once it has been written.
SLOTS = 262_144


class SharedStats:
    """The mapping as the control process has it: `stats` reads all columns, `descriptor` is for the workers.

    `bounds` are those of `_core.Stats`. Raises OSError if there is no memory for it.
    """

    def __init__(self, workers: int, bounds: Sequence[Sequence[float]]) -> None:
        size = Stats.size(workers, SLOTS)
        # A memfd has no name in a file system, and ends with the last process that has it open.
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
        """Mark the endpoint that has the number `slot` as failed so many seconds ago."""
        self.stats.set_mark(slot, time.monotonic_ns() - int(max(failed_ago, 0.0) * 1e9))


def attach_stats(descriptor: int, *, workers: int, slots: int, worker: int, bounds: Sequence[Sequence[float]]) -> Stats:
    """Map the memory of `descriptor`, close the descriptor, and return the counters for `worker` to write."""
    try:
        # The mapping keeps a descriptor of its own.
        memory = mmap.mmap(descriptor, Stats.size(workers, slots))
    finally:
        os.close(descriptor)
    return Stats(memory, workers, slots, worker, bounds)
