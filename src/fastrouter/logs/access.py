"""The places of the access log: each gets batches of whole lines from the data plane, and writes them from a thread."""

import errno
import fcntl
import math
import os
import struct
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger

# At W1's 20,000 lines of 350 bytes a second this bridges a disk that stands still for two seconds.
MAX_QUEUED_BYTES = 16 * 1024 * 1024

# Seconds between two error lines while access-log lines are lost.
REPORT_INTERVAL = 30.0

# The record of an outage: when it was last reported, and the lines lost since.
_RECORD = struct.Struct("dQ")
_NO_OUTAGE = _RECORD.pack(-math.inf, 0)


class AccessLogFile(NamedTuple):
    """An open access log, as the control process opens it once and every worker gets it.

    `descriptor` is the file, `outage` the record of lost lines that all who write to it share.
    """

    path: str
    descriptor: int
    outage: int

    @classmethod
    def open(cls, path: str) -> Self:
        """Open the file for appending, creating it with mode 0644. Raises OSError."""
        if "\0" in path:
            # Python would raise ValueError, where Gorouter gets this error of the system.
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return cls(path, descriptor, new_outage())

    def reopen(self) -> int | None:
        """Open the file again if it has been renamed or removed, and have `descriptor` mean the new one.

        Returns another descriptor of the new file, which belongs to the caller; None if it is still the same file.
        Raises OSError.
        """
        try:
            if os.path.samestat(os.stat(self.path), os.fstat(self.descriptor)):
                return None
        except FileNotFoundError:
            pass
        file = self.open(self.path)
        os.close(file.outage)
        # Workers that are started later get this descriptor.
        os.dup2(file.descriptor, self.descriptor, inheritable=False)
        return file.descriptor


def new_outage() -> int:
    """Return the descriptor of a record of lost lines, for the sinks of all workers that write to one place."""
    outage = os.memfd_create("access-log-outage")
    os.pwrite(outage, _NO_OUTAGE, 0)
    return outage


class LineSink(ABC):
    """Writes batches of access-log lines to one place from a thread of its own, so that it stops no request.

    Calling the sink with a batch (bytes ending in a newline) never blocks and never raises. At most `max_queued` bytes
    wait: a batch beyond that is dropped as a whole. Lines that are dropped or cannot be written are counted in
    `lost_lines`, handed to `on_lost` (from any thread), and reported as an error of the name `loss_message`, once per
    `report_interval` seconds. `outage` is the record of lost lines that the sinks of several processes share, and with
    it the limit on error lines; the sink owns the descriptor.
    """

    loss_message: str

    def __init__(
        self,
        place: str,
        outage: int,
        logger: Logger,
        *,
        on_lost: Callable[[int], None] | None,
        max_queued: int,
        report_interval: float,
    ) -> None:
        self.place = place
        self.lost_lines = 0
        self._logger = logger
        self._on_lost = on_lost
        self._max_queued = max_queued
        self._report_interval = report_interval
        self._outage = _Outage(outage)
        # Held for a few instructions at a time, never during a wait.
        self._counting = threading.Lock()
        # Lost lines that are not in the record yet.
        self._unshared_losses = 0
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread: threading.Thread | None = None

    def __call__(self, batch: bytes) -> None:
        """Queue `batch` for the writer thread, or drop it if too much is waiting already."""
        with self._changed:
            if self._queued + len(batch) > self._max_queued:
                self._lose(batch.count(b"\n"), "queue is full")
                return
            self._queue.append(batch)
            self._queued += len(batch)
            if self._thread is None and not self._start_thread():
                self._queue.pop()
                self._queued -= len(batch)
                self._lose(batch.count(b"\n"), "cannot start a thread")
            self._changed.notify()

    def close(self, timeout: float = 2.0) -> bool:
        """Write all accepted lines and let go of the place; returns False if `timeout` seconds were too short."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                return False
        self._release()
        if self._unshared_losses:
            self._lose(0, "lines were lost")
        self._outage.close()
        return True

    def _start_thread(self) -> bool:
        # A daemon, because the process must be able to end while a write hangs.
        thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    @abstractmethod
    def _write(self, batch: bytes) -> None:
        """Write a batch, in the sink's thread, or `_lose` what of it cannot be written. Does not raise."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of the place; nothing is written any more."""

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._is_closing:
                    self._changed.wait()
                if not self._queue:
                    return
                batch = self._queue[0]
            self._write(batch)
            with self._changed:
                # Not earlier: what is being written still counts against the bound.
                self._queue.popleft()
                self._queued -= len(batch)

    def _lose(self, count: int, reason: str) -> None:
        """Count so many lost lines (0 if there is only something to say), and report them if it is time.

        The event loop may call this, so nothing here blocks.
        """
        with self._counting:
            self.lost_lines += count
            self._unshared_losses += count
            due = self._share_losses()
        if count and self._on_lost is not None:
            self._on_lost(count)
        if due is not None:
            self._logger.error(self.loss_message, error=f"write {self.place}: {reason}", lost_lines=due)

    def _share_losses(self) -> int | None:
        """Add the lost lines to the shared record; returns how many are to be reported now, None if it is too early.

        While another process has locked the record, they are kept for the next call.
        """
        with self._outage.exclusive() as is_ours:
            if not is_ours:
                return None
            reported_at, unreported = self._outage.read()
            unreported += self._unshared_losses
            self._unshared_losses = 0
            now = time.monotonic()
            is_due = now - reported_at >= self._report_interval
            self._outage.write(*((now, 0) if is_due else (reported_at, unreported)))
        return unreported if is_due else None


class FileSink(LineSink):
    """Appends to a file, which it never opens by itself. The sink owns the descriptors of `file`."""

    loss_message = "error-emitting-access-log-to-writer-accesslog"

    def __init__(
        self,
        file: AccessLogFile,
        logger: Logger,
        *,
        on_lost: Callable[[int], None] | None = None,
        max_queued: int = MAX_QUEUED_BYTES,
        report_interval: float = REPORT_INTERVAL,
    ) -> None:
        super().__init__(
            file.path, file.outage, logger, on_lost=on_lost, max_queued=max_queued, report_interval=report_interval
        )
        self._fd = file.descriptor
        self._next_fd: int | None = None
        self._is_mid_line = False

    def replace(self, descriptor: int) -> None:
        """Append to another file from the next line on; the sink owns its `descriptor`."""
        with self._changed:
            previous, self._next_fd = self._next_fd, descriptor
        if previous is not None:
            os.close(previous)

    def _write(self, batch: bytes) -> None:
        with self._changed:
            descriptor, self._next_fd = self._next_fd, None
        if descriptor is not None:
            # Here, because to close a file may wait for its disk.
            os.close(self._fd)
            self._fd, self._is_mid_line = descriptor, False
        # If the last write ended within a line (the disk was full), the next line begins on a line of its own.
        unwritten = memoryview(b"\n" + batch if self._is_mid_line else batch)
        try:
            while unwritten:
                written = os.write(self._fd, unwritten)
                if written:
                    self._is_mid_line = unwritten[written - 1] != ord("\n")
                unwritten = unwritten[written:]
        except OSError as error:
            self._lose(bytes(unwritten).count(b"\n"), error_text(error))

    def _release(self) -> None:
        os.close(self._fd)
        if self._next_fd is not None:
            os.close(self._next_fd)


class _Outage:
    """When lost lines were last reported (monotonic seconds), and how many were lost since then.

    Shared by the sinks of all workers, because there should be one error line per router. It is in a memfd and not
    beside the log, because locking a file on a hung disk would hang the caller.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self) -> tuple[float, int]:
        reported_at, unreported = _RECORD.unpack(os.pread(self._fd, _RECORD.size, 0))
        return reported_at, unreported

    def write(self, reported_at: float, unreported: int) -> None:
        os.pwrite(self._fd, _RECORD.pack(reported_at, unreported), 0)

    @contextmanager
    def exclusive(self) -> Iterator[bool]:
        """Lock the record; yields False if another process has it. The kernel unlocks it when a process dies."""
        try:
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Held, or no locks are left.
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._fd)
