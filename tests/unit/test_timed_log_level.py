"""A level of the process log that holds for a time."""

import asyncio

import pytest

from fastrouter.control.log_level import TimedLogLevel
from fastrouter.logs.logger import Level, Logger
from kept_lines import KeptLines


class Levels:
    """A level that is WARN at first, and what it was set to."""

    def __init__(self) -> None:
        self.seen: list[Level] = []
        self._changed = asyncio.Event()
        self.timed = TimedLogLevel(Logger(level=Level.WARN, writer=KeptLines()), self._on_change)

    def _on_change(self, level: Level) -> None:
        self.seen.append(level)
        self._changed.set()

    async def until_seen(self, count: int) -> list[Level]:
        while len(self.seen) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.seen


@pytest.fixture
async def levels() -> Levels:
    return Levels()


async def test_it_ends(levels: Levels) -> None:
    levels.timed.set(Level.DEBUG, 0.01)
    assert (levels.timed.level, levels.timed.until is not None) == (Level.DEBUG, True)
    assert await levels.until_seen(2) == [Level.DEBUG, Level.WARN]
    assert (levels.timed.level, levels.timed.until) == (Level.WARN, None)


async def test_without_a_time_it_stays(levels: Levels) -> None:
    levels.timed.set(Level.DEBUG, 0.01)
    levels.timed.set(Level.ERROR)
    assert levels.timed.until is None
    # The first timer would have ended before this one.
    levels.timed.set(Level.INFO, 0.02)
    assert await levels.until_seen(4) == [Level.DEBUG, Level.ERROR, Level.INFO, Level.ERROR]


async def test_another_time_does_not_change_what_comes_after(levels: Levels) -> None:
    levels.timed.set(Level.DEBUG, 60.0)
    levels.timed.set(Level.ERROR, 0.01)
    assert await levels.until_seen(3) == [Level.DEBUG, Level.ERROR, Level.WARN]
