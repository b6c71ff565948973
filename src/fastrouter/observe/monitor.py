"""Measurements every few seconds: open files, CPU, memory, and messages that wait (spec 1.3, 7.3, 7.4)."""

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence

from fastrouter.observe.process_usage import Usage, UsageMeter
from fastrouter.process.background_task import BackgroundTask

# Seconds between two measurements.
INTERVAL = 5.0


class Monitor(BackgroundTask):
    """Measures at once and every INTERVAL seconds.

    `pids` returns the processes of the router, `bus` how many messages wait and how many were dropped. Each of
    `on_interval` is called after every interval.
    """

    def __init__(self, pids: Callable[[], Iterable[int]], bus: Callable[[], tuple[int, int]]) -> None:
        super().__init__()
        self._pids = pids
        self._bus = bus
        self._meter = UsageMeter()
        self.on_interval: list[Callable[[], None]] = []
        self.file_descriptors = 0
        self.usage = Usage()
        self.buffered_messages = 0
        self.dropped_messages = 0

    async def _run(self) -> None:
        while True:
            self.buffered_messages, self.dropped_messages = self._bus()
            # In a thread, because listing a hundred thousand connections takes a while.
            self.file_descriptors, self.usage = await asyncio.to_thread(self._look_at, tuple(self._pids()))
            await asyncio.sleep(INTERVAL)
            for callback in self.on_interval:
                callback()

    def _look_at(self, pids: Sequence[int]) -> tuple[int, Usage]:
        return sum(_descriptors_of(pid) for pid in pids), self._meter.look(pids)


def _descriptors_of(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        # It has ended, or there is no /proc.
        return 0
