"""The process log: one compact JSON object per line on stdout (spec 6.6).

Keys come in the order `log_level`, `timestamp`, `message`, `source`, `data`. Logging never blocks: a thread writes, and
lines of all processes that share a stdout stay whole, whatever kind of file it is and however long they are.

Texts from clients and messages are cut to size here, and only here (`excerpt`).
"""

import atexit
import copy
import fcntl
import os
import select
import signal
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from enum import IntEnum
from itertools import islice, starmap
from typing import Any, Literal

import orjson

from fastrouter.logs.error_text import error_text

STDOUT = 1

# Bytes of lines that wait for a stdout that takes nothing (a pipe whose reader stands still); further lines are lost
# until half of them are written. A burst of registrations can fill a part of this even if the reader is healthy.
MAX_WAITING = 8 * 1024 * 1024
# Lines are written together up to so many bytes, which is what a pipe holds.
_MAX_BATCH = 64 * 1024
# Seconds between two writes, unless a whole batch waits. A thread that wakes up for every line of a flood would take
# the interpreter from the event loop each time.
_REST_SECONDS = 0.05
# Seconds that the end of the process waits for its last lines to be taken.
FLUSH_PATIENCE = 0.5

# Characters of a text in a line, and of the stack of a fault.
MAX_TEXT = 4096
MAX_STACK = 16 * 1024
_STACK = "stacktrace"
# Members of a list or an object in a line of more than MAX_TEXT bytes; shorter lines are written as they are.
MAX_MEMBERS = 256
# Bytes of a whole line, whatever is in it.
MAX_LINE = 64 * 1024

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


# A line that waits, and for how many lines it stands: a line about lost lines stands for all of these. A plain tuple,
# because the garbage collector does not track it, and there may be tens of thousands.
_Line = tuple[bytes, int]


class LineWriter:
    """Writes whole lines to a file descriptor from a thread of its own, and loses lines rather than wait for it.

    Lines beyond MAX_WAITING, and lines that the descriptor refuses, are lost. They are counted, and when there is room
    again `render_loss`, called with their number, makes the line that is written in their place.
    """

    def __init__(self, fd: int = STDOUT) -> None:
        self.render_loss: Callable[[int], bytes] | None = None
        self._fd = fd
        # Guards the fields below. It is never held while the descriptor is written to.
        self._changed = threading.Condition()
        self._lines: deque[_Line] = deque()
        # Bytes of lines that wait or are being written.
        self._waiting = 0
        self._lost = 0
        self._is_losing = False
        self._is_held = False
        self._thread: threading.Thread | None = None
        # Used by the thread only: whether the last line is there in part.
        self._is_torn = False

    def write(self, line: bytes) -> None:
        """Have `line` written, or lose it. Never waits, never raises."""
        with self._changed:
            if self._waiting + len(line) > (MAX_WAITING // 2 if self._is_losing else MAX_WAITING):
                self._is_losing = True
                self._lost += 1
                return
            self._log_loss()
            self._append((line, 1))
            if self._thread is None:
                self._start()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Write nothing within this block, so that the writing thread does not take the interpreter from the caller."""
        with self._changed:
            self._is_held = True
        try:
            yield
        finally:
            with self._changed:
                self._is_held = False
                if self._lines:
                    self._changed.notify_all()

    def flush(self, patience: float = FLUSH_PATIENCE) -> None:
        """Wait until everything is written, `patience` seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, patience)

    def _start(self) -> None:
        # A daemon: the end of the process must not wait for a reader that stands still.
        self._thread = threading.Thread(target=self._write_for_ever, name="process-log", daemon=True)
        # The thread must block all signals: those that other threads block would be delivered to it, and end the
        # process.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._thread.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        atexit.register(self.flush)

    def _append(self, line: _Line) -> None:
        self._lines.append(line)
        self._waiting += len(line[0])
        if not self._is_held:
            self._changed.notify_all()

    def _log_loss(self) -> None:
        self._is_losing = False
        if self._lost and self.render_loss is not None:
            self._append((self.render_loss(self._lost), self._lost))
            self._lost = 0

    def _write_for_ever(self) -> None:
        is_shared = _is_shared(self._fd)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._lines) and not self._is_held)
                batch = self._take_batch()
            lost = self._write_batch(batch, is_shared=is_shared)
            with self._changed:
                self._waiting -= sum(len(text) for text, _ in batch)
                self._lost += lost
                if not lost and not self._lines:
                    # The next line may come much later, so the loss is logged now.
                    self._log_loss()
                self._changed.notify_all()
                is_behind = self._waiting >= _MAX_BATCH
            if not is_behind:
                time.sleep(_REST_SECONDS)

    def _take_batch(self) -> list[_Line]:
        lines = self._lines
        batch = [lines.popleft()]
        size = len(batch[0][0])
        while lines and (size := size + len(lines[0][0])) <= _MAX_BATCH:
            batch.append(lines.popleft())
        return batch

    def _write_batch(self, batch: list[_Line], *, is_shared: bool) -> int:
        """Return how many lines were lost."""
        text = b"".join(line for line, _ in batch)
        if self._is_torn:
            # The last line is incomplete: a newline ends it.
            text = b"\n" + text
        left = memoryview(text)
        try:
            with exclusive_writes(self._fd) if is_shared else nullcontext():
                while left:
                    try:
                        left = left[os.write(self._fd, left) :]
                    except BlockingIOError:
                        # Another process that shares the file has made it non-blocking.
                        select.select((), (self._fd,), ())
        except OSError:
            # There is no place to report a broken process log to; routing goes on.
            pass
        written = len(text) - len(left)
        lost = 0
        end = len(text) - sum(len(line) for line, _ in batch)
        for line, stands_for in batch:
            end += len(line)
            lost += stands_for if end > written else 0
        if written:
            self._is_torn = text[written - 1 : written] != b"\n"
        return lost


def _is_shared(fd: int) -> bool:
    """Whether a long line may be taken piece by piece, so that another process's could come between."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


@contextmanager
def exclusive_writes(fd: int) -> Iterator[None]:
    """Keep off all other processes that write to what `fd` is within this; the kernel ends it with the process."""
    # Without a lock, lines may be torn, which is better than no lines.
    with suppress(OSError):
        fcntl.lockf(fd, fcntl.LOCK_EX, 1)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.lockf(fd, fcntl.LOCK_UN, 1)


# The only writer to stdout in a process: two of them would tear each other's lines.
STDOUT_WRITER = LineWriter()


class _Shared:
    """What a logger has in common with its children: the least severe level that is written, and who listens."""

    __slots__ = ("level", "listener")

    def __init__(self, level: Level) -> None:
        self.level = level
        self.listener: Callable[[int, str, dict[str, Any]], None] | None = None


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
        self._shared = _Shared(level)
        self.timestamps: TimestampFormat = timestamps
        self._writer = writer or STDOUT_WRITER
        self._writer.render_loss = self._render_loss

    def child(self, component: str) -> "Logger":
        """Return a logger of the source `<this source>.<component>` with the same level, format and writer."""
        source = component if self.source is None else f"{self.source}.{component}"
        child = copy.copy(self)
        child.source = source
        return child

    @property
    def level(self) -> Level:
        """The least severe level that is written."""
        return self._shared.level

    @level.setter
    def level(self, level: Level) -> None:
        self._shared.level = level

    def listen(self, listener: Callable[[int, str, dict[str, Any]], None]) -> None:
        """Have `listener` called with level, message and data of each line, also of those that are not written.

        Lines that are not even made are not among them: see `is_enabled`.
        """
        self._shared.listener = listener

    def is_enabled(self, level: Level) -> bool:
        """Whether lines of `level` are written: for callers whose `data` is expensive to make."""
        return level >= self._shared.level

    def held(self) -> AbstractContextManager[None]:
        """Have lines written when this is over, see LineWriter."""
        return self._writer.held()

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
        if self._shared.listener is not None:
            self._shared.listener(level, message, data)
        if level < self._shared.level:
            return
        self._writer.write(self._render(level, message, data))

    def _render(self, level: int, message: str, data: dict[str, Any]) -> bytes:
        record: dict[str, Any] = {"log_level": int(level), "timestamp": self._timestamp(), "message": message}
        if self.source is not None:
            record["source"] = self.source
        record["data"] = data
        line = _encode(record)
        if len(line) > MAX_TEXT:
            # The line is too long: only now is every member checked.
            record["message"] = excerpt(message)
            record["data"] = _bounded(data)
            line = _encode(record)
        if len(line) >= MAX_LINE:
            # Many members of much text, or much that JSON has to escape.
            record["data"] = {"excerpt": excerpt(_encode(record["data"]), MAX_STACK)}
            line = _encode(record)
        return line + b"\n"

    def _render_loss(self, lines: int) -> bytes:
        return self._render(Level.ERROR, "process-log-lines-lost", {"lost_lines": lines})

    def _timestamp(self) -> float | str:
        if self.timestamps == "unix-epoch":
            return time.time()
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        # Local time with a literal Z, as Gorouter writes it; operators run with TZ=UTC.
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.localtime(seconds))}.{nanoseconds:09d}Z"


def excerpt(text: str | bytes, limit: int = MAX_TEXT) -> str:
    """Return `text`, or so many characters (bytes) of its beginning and how many more there were."""
    more = len(text) - limit
    beginning = text[:limit] if more > 0 else text
    if isinstance(beginning, bytes):
        beginning = beginning.decode(errors="replace")
    return f"{beginning}... ({more} more)" if more > 0 else beginning


def _excerpt_of_stack(text: str) -> str:
    """Return `text`, or its end, which matters most: the innermost frame and the error."""
    more = len(text) - MAX_STACK
    return f"({more} more) ...{text[more:]}" if more > 0 else text


def _bounded(value: Any) -> Any:
    """Return `value`, which may be of any type and size, cut to the bounds of a line."""
    if isinstance(value, str | bytes):
        return excerpt(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        members = dict(starmap(_bounded_member, islice(value.items(), MAX_MEMBERS)))
        if len(value) > MAX_MEMBERS:
            members["..."] = f"({len(value) - MAX_MEMBERS} more)"
        return members
    if isinstance(value, list | tuple):
        of_list = [_bounded(member) for member in value[:MAX_MEMBERS]]
        if len(value) > MAX_MEMBERS:
            of_list.append(f"... ({len(value) - MAX_MEMBERS} more)")
        return of_list
    return _text_of(value)


def _text_of(value: Any) -> str:
    """Return the text of a value that JSON cannot represent."""
    if isinstance(value, BaseException):
        return excerpt(error_text(value))
    return excerpt(value if isinstance(value, bytes) else str(value))


def _bounded_member(name: Any, value: Any) -> tuple[Any, Any]:
    if name == _STACK and isinstance(value, str):
        return name, _excerpt_of_stack(value)
    return excerpt(name) if isinstance(name, str) else name, _bounded(value)


def _encode(record: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(record, default=_text_of)
    except orjson.JSONEncodeError:
        # orjson refuses what JSON itself can carry: lone surrogates (bytes of a client that are no UTF-8) and integers
        # beyond 64 bits. Such a line is rare, and the slower encoder is imported only for it.
        import json  # noqa: PLC0415

        return json.dumps(record, default=_text_of, separators=(",", ":")).encode()
