"""The process log: one compact JSON object per line on stdout (spec 6.6).

Keys come in the order `log_level`, `timestamp`, `message`, `source`, `data`. Each line is one write, so that lines of
several processes that share a stdout do not mix.
"""

import os
import select
import threading
import time
from enum import IntEnum
from typing import Any, Literal

import orjson

STDOUT = 1

# How long a line waits for a stdout that takes nothing (a pipe whose reader stands still) before lines are dropped. A
# burst may outrun a healthy reader for a moment; a reader that is stuck must not stop the router.
STALL_PATIENCE_MS = 100

TimestampFormat = Literal["rfc3339", "unix-epoch"]


class Level(IntEnum):
    """Severity of a line, as the number that stands in `log_level`."""

    DEBUG = 0
    INFO = 1
    WARN = 2
    ERROR = 3


# Levels by the names that a configuration or an operator gives them. Beyond error are those of lines with which the
# process ends; these are always written.
LEVELS = {
    "debug": Level.DEBUG,
    "info": Level.INFO,
    "warn": Level.WARN,
    "error": Level.ERROR,
    "dpanic": Level.ERROR,
    "panic": Level.ERROR,
    "fatal": Level.ERROR,
}


def parse_level(text: str) -> Level | None:
    """Return the level with this name, all lower or all upper case; None if there is none."""
    return LEVELS.get(text.lower()) if text in (text.lower(), text.upper()) else None


class LineWriter:
    """Writes whole lines to a file descriptor, and drops lines rather than fail or wait for it."""

    def __init__(self, fd: int = STDOUT) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._is_stalled = False
        # A poll object serves one thread at a time, and a line that takes two writes must stay in one piece.
        self._lock = threading.Lock()

    def write(self, line: bytes) -> None:
        """Write `line`, or drop it (or the rest of it) if the descriptor is closed, full or stalled. Never raises."""
        with self._lock:
            try:
                while line:
                    if not self._poll.poll(0 if self._is_stalled else STALL_PATIENCE_MS):
                        self._is_stalled = True
                        return
                    line = line[os.write(self._fd, line) :]
                self._is_stalled = False
            except OSError:
                # Nowhere is left to report a broken process log to; routing goes on.
                return


class _Threshold:
    """The least severe level that a logger and its children write."""

    __slots__ = ("level",)

    def __init__(self, level: Level) -> None:
        self.level = level


class Logger:
    """Writes lines of one source.

    `source` is the component prefix, or None for lines before the configuration is known (these have no `source` key).
    `level` may be set at any time, from any thread; it is that of all children and of the parent, too.
    """

    def __init__(
        self,
        source: str | None = None,
        *,
        level: Level = Level.INFO,
        timestamps: TimestampFormat = "unix-epoch",
        writer: LineWriter | None = None,
    ) -> None:
        self.source = source
        self._threshold = _Threshold(level)
        self.timestamps: TimestampFormat = timestamps
        self._writer = writer or LineWriter()

    def child(self, component: str) -> "Logger":
        """Return a logger of the source `<this source>.<component>` with the same level, format and writer."""
        source = component if self.source is None else f"{self.source}.{component}"
        child = Logger(source, timestamps=self.timestamps, writer=self._writer)
        child._threshold = self._threshold
        return child

    @property
    def level(self) -> Level:
        """The least severe level that is written."""
        return self._threshold.level

    @level.setter
    def level(self, level: Level) -> None:
        self._threshold.level = level

    def is_enabled(self, level: Level) -> bool:
        """Whether lines of `level` are written: for callers whose `data` is dear to make."""
        return level >= self._threshold.level

    def debug(self, message: str, /, **data: Any) -> None:
        """Write a line of level 0."""
        self.event(Level.DEBUG, message, data)

    def info(self, message: str, /, **data: Any) -> None:
        """Write a line of level 1."""
        self.event(Level.INFO, message, data)

    def warn(self, message: str, /, **data: Any) -> None:
        """Write a line of level 2."""
        self.event(Level.WARN, message, data)

    def error(self, message: str, /, **data: Any) -> None:
        """Write a line of level 3."""
        self.event(Level.ERROR, message, data)

    def event(self, level: int, message: str, data: dict[str, Any]) -> None:
        """Write a line of `level` if the logger's own level lets it through. Has the shape of `_core.EventLog`."""
        if level < self._threshold.level:
            return
        record: dict[str, Any] = {"log_level": int(level), "timestamp": self._timestamp(), "message": message}
        if self.source is not None:
            record["source"] = self.source
        record["data"] = data
        self._writer.write(_encode(record) + b"\n")

    def _timestamp(self) -> float | str:
        if self.timestamps == "unix-epoch":
            return time.time()
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        # Local time with a literal Z, as Gorouter writes it; operators run with TZ=UTC.
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(seconds))}.{nanoseconds:09d}Z"


def _encode(record: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(record, default=str)
    except orjson.JSONEncodeError:
        # orjson refuses what JSON itself can carry: lone surrogates (bytes of a client that are no UTF-8) and integers
        # beyond 64 bits. Such a line is rare, and the slower encoder is imported only for it.
        import json  # noqa: PLC0415

        return json.dumps(record, default=str, separators=(",", ":")).encode()
