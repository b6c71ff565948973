"""The level of the process log, which an operator may change for a time."""

import asyncio
import time
from collections.abc import Callable

from fastrouter.logs.logger import Level, Logger


class TimedLogLevel:
    """Sets the level of `logger`, and with `on_change` that of everybody else; afterwards the level before is back."""

    def __init__(self, logger: Logger, on_change: Callable[[Level], object]) -> None:
        self._logger = logger
        self._on_change = on_change
        self._timer: asyncio.TimerHandle | None = None
        # What holds when the time is over.
        self._lasting = logger.level
        # Unix time of that; None: the level stays.
        self.until: float | None = None

    @property
    def level(self) -> Level:
        """The level that holds now."""
        return self._logger.level

    def set(self, level: Level, seconds: float = 0.0) -> None:
        """Log lines of `level` and above, for so many seconds; 0: until it is set again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        else:
            self._lasting = self._logger.level
        if seconds > 0:
            self.until = time.time() + seconds
            self._timer = asyncio.get_running_loop().call_later(seconds, self._end)
        else:
            self.until = None
            self._lasting = level
        self._apply(level)

    def _end(self) -> None:
        self._timer = None
        self.until = None
        self._apply(self._lasting)

    def _apply(self, level: Level) -> None:
        self._logger.level = level
        self._on_change(level)
        self._logger.info("log-level-changed", level=level.name.lower(), until=self.until)
