"""What is looked at every few seconds (spec 7.4; O10)."""

import asyncio
import os

import pytest

from fastrouter.observe import monitor as monitor_module
from fastrouter.observe.monitor import Monitor

TIMEOUT = 20.0


async def test_it_looks_at_once_and_again_after_each_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "INTERVAL", 0.01)
    looks = iter([(3, 1), (0, 4)])
    seen: list[tuple[int, int]] = []
    has_looked_twice = asyncio.Event()

    def take_note() -> None:
        seen.append((monitor.buffered_messages, monitor.dropped_messages))
        if len(seen) == 2:
            has_looked_twice.set()

    monitor = Monitor(lambda: (), lambda: next(looks, (7, 7)))
    monitor.on_interval.append(take_note)
    monitor.start()
    async with asyncio.timeout(TIMEOUT):
        await has_looked_twice.wait()
    monitor.stop()
    assert seen == [(3, 1), (0, 4)]


# No process has the pid 0; this stands for a worker that has just ended.
@pytest.mark.parametrize(
    ("pids", "least"), [((), 0), ((0,), 0), ((os.getpid(),), 3), ((os.getpid(), 0, os.getpid()), 6)]
)
async def test_open_files_are_those_of_all_processes_that_there_are(
    monkeypatch: pytest.MonkeyPatch, pids: tuple[int, ...], least: int
) -> None:
    monkeypatch.setattr(monitor_module, "INTERVAL", 0.01)
    monitor = Monitor(lambda: pids, lambda: (0, 0))
    has_looked = asyncio.Event()
    monitor.on_interval.append(has_looked.set)
    monitor.start()
    async with asyncio.timeout(TIMEOUT):
        await has_looked.wait()
    monitor.stop()
    assert monitor.file_descriptors >= least
    assert bool(monitor.file_descriptors) == bool(least)
