"""Supervision of the workers: starts them, keeps their tables and sockets, replaces those that die, ends them all.

Everything here happens in the control process, on its event loop, and nothing waits for a worker. A worker is started
by exec, so it inherits nothing but one end of a channel and the standard descriptors.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from fastrouter.ipc.channel import Channel
from fastrouter.ipc.messages import (
    Begin,
    Confirm,
    Confirmed,
    Degrade,
    Drain,
    Drained,
    Draining,
    Listen,
    Listening,
    Pruned,
    Ready,
    Report,
    SecureAnew,
    ServerTLS,
    SetLogLevel,
    TableEnd,
)
from fastrouter.ipc.table_changes import BatchEncoder, Change, encode_changes
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Level, Logger
from fastrouter.net.handover import NamedListener
from fastrouter.observe.metrics import WorkerState
from fastrouter.process.signals import IGNORED_BY_WORKERS

# A worker that dies sooner than this after its start counts as crashing, and is restarted with a growing delay.
CRASH_WINDOW = 10.0
# So many crashes of one worker in a row, and the router gives up.
CRASH_LIMIT = 5
FIRST_RESTART_DELAY = 0.1

# How long a drain waits to hear what workers are busy with: one that stands still does not count.
COUNT_PATIENCE = 1.0

# How long a change of the table may wait to be confirmed: one worker that stands still holds nobody up for long.
APPLY_PATIENCE = 1.0

# How long workers have to stop by themselves; the process must be gone 5 s after the signal (spec 1.5).
STOP_GRACE = 3.0

# Bytes of table changes, besides the table itself, that may wait for one worker. At 5,000 registrations a second, that
# is a worker that has stood still for more than half a minute.
MAX_UNSENT = 64 * 1024 * 1024
# Seconds between two looks at whether workers have taken what was sent to them.
_SENT_POLL = 0.005


class DrainCounts(NamedTuple):
    """Client connections when a drain began: with a request in progress, and without."""

    active: int
    idle: int


class _Seat:
    """The place of one worker: its process while there is one, and what its successor will need."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.name = f"worker-{index}"
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: Channel | None = None
        self.exit_watch = -1
        self.listeners: list[NamedListener] = []
        self.is_ready = False
        self.is_listening = False
        # The last Confirm that it has answered, or that was before its table.
        self.confirmed = 0
        self.drain_counts: DrainCounts | None = None
        self.is_drained = False
        self.max_unsent = MAX_UNSENT
        self.started_at = 0.0
        self.crashes = 0
        self.starts = 0
        self.restart: asyncio.TimerHandle | None = None


class Workers:
    """All workers of a router, numbered from 0.

    `add_change` is where table changes go. `on_hopeless` is called when a worker has crashed too often, `on_prune` with
    route and address when one has taken a TLS endpoint off its table, `on_death` with the number of one that ended,
    before there is a successor.
    """

    def __init__(
        self,
        count: int,
        logger: Logger,
        on_hopeless: Callable[[], None],
        on_prune: Callable[[str, str], object],
        on_death: Callable[[int], object],
    ) -> None:
        self._logger = logger
        self._on_hopeless = on_hopeless
        self._on_prune = on_prune
        self._on_death = on_death
        self._loop = asyncio.get_running_loop()
        self._seats = [_Seat(index) for index in range(count)]
        self._reports = msgspec.msgpack.Decoder(Report)
        self._encoder = BatchEncoder(self._broadcast, self._loop.call_soon)
        self._progress = asyncio.Event()
        self._is_replacing = True
        self._is_degraded = False
        self._confirms = 0
        self._begin: Begin | None = None
        self._begin_descriptors: Sequence[int] = ()
        self._snapshot: Callable[[], Iterable[Change]] = tuple

    def add_change(self, change: Change) -> None:
        """Have all workers apply one change of the table."""
        self._encoder.add(change)

    def send_changes(self) -> None:
        """Send now what has been changed; otherwise it goes with the next turn of the loop."""
        self._encoder.flush()

    def start(self, begin: Begin, descriptors: Sequence[int], snapshot: Callable[[], Iterable[Change]]) -> None:
        """Start all workers with `begin` and the table that `snapshot` returns; successors get the same."""
        self._begin = begin
        self._begin_descriptors = descriptors
        self._snapshot = snapshot
        for seat in self._seats:
            self._start(seat)

    def states(self) -> list[WorkerState]:
        """Return the state of each worker."""
        return [
            WorkerState(seat.starts, seat.process.pid if seat.process is not None else None) for seat in self._seats
        ]

    def set_log_level(self, level: Level) -> None:
        """Have all workers, and those started from now on, write lines of `level` and above."""
        if self._begin is None:
            # They will be started with the level of then.
            return
        self._begin = msgspec.structs.replace(self._begin, log_level=int(level))
        for seat in self._seats:
            if seat.channel is not None:
                seat.channel.send_message(SetLogLevel(int(level)))

    async def until_ready(self) -> None:
        """Wait until every worker has the whole table."""
        await self._until(lambda: all(seat.is_ready for seat in self._seats))

    async def until_sent(self) -> None:
        """Wait until no worker has much to take: for who changes a great many routes at a time."""
        # Channels tell nobody when they have sent something.
        while any(  # noqa: ASYNC110
            seat.channel is not None and seat.channel.unsent > MAX_UNSENT // 8 for seat in self._seats
        ):
            await asyncio.sleep(_SENT_POLL)

    async def until_applied(self) -> None:
        """Wait until all who accept clients have all changes of the table so far, but no longer than APPLY_PATIENCE."""
        self._encoder.flush()
        self._confirms += 1
        number = self._confirms
        for seat in self._seats:
            if seat.channel is not None:
                seat.channel.send_message(Confirm(number))
        with suppress(TimeoutError):
            async with asyncio.timeout(APPLY_PATIENCE):
                await self._until(lambda: all(seat.confirmed >= number for seat in self._seats if seat.is_listening))

    async def listen(self, named: Sequence[NamedListener]) -> None:
        """Deal the listeners out to the workers, and wait until all of these accept clients.

        As a rule there is one of each name for each. If there are more, a worker gets several, so that none is left
        alone; if there are fewer, workers share them.
        """
        seats = self._seats
        # Who is accepted must find all that is known by now.
        self._encoder.flush()
        for name in dict.fromkeys(name for name, _ in named):
            listeners = [listener for listener in named if listener.name == name]
            for turn in range(max(len(seats), len(listeners))):
                seats[turn % len(seats)].listeners.append(listeners[turn % len(listeners)])
        for seat in seats:
            if seat.is_ready:
                self._send_listeners(seat)
        await self._until(lambda: all(seat.is_listening for seat in self._seats))

    def secure_anew(self, front_tls: ServerTLS) -> None:
        """Have all workers, and those that will replace them, meet new clients with this TLS."""
        assert self._begin is not None, "start comes first"
        self._begin = msgspec.structs.replace(self._begin, front_tls=front_tls)
        for seat in self._seats:
            if seat.channel is not None:
                seat.channel.send_message(SecureAnew(front_tls))

    def degrade(self) -> None:
        """Have all workers, and those that will take their places, answer health checks with 503."""
        self._is_degraded = True
        for seat in self._seats:
            if seat.channel is not None:
                seat.channel.send_message(Degrade())

    async def drain(self, idle_grace: float) -> DrainCounts:
        """Have all workers stop accepting clients; returns what they were busy with, as far as they tell soon.

        Those that die stay away now. An idle client has `idle_grace` seconds for one more request.
        """
        self._stop_replacing()
        for seat in self._seats:
            seat.listeners = []
            if seat.channel is not None:
                seat.channel.send_message(Drain(idle_grace))
        with suppress(TimeoutError):
            async with asyncio.timeout(COUNT_PATIENCE):
                await self._until(self._have_all_counted)
        counts = [seat.drain_counts for seat in self._seats if seat.drain_counts is not None]
        return DrainCounts(sum(count.active for count in counts), sum(count.idle for count in counts))

    def _have_all_counted(self) -> bool:
        return all(seat.process is None or seat.drain_counts is not None for seat in self._seats)

    async def until_drained(self) -> None:
        """Wait until no worker has a request in progress."""
        await self._until(lambda: all(seat.process is None or seat.is_drained for seat in self._seats))

    async def stop(self) -> None:
        """End all workers: those that do not end by themselves within STOP_GRACE seconds, by force."""
        self._stop_replacing()
        for seat in self._seats:
            if seat.channel is not None:
                seat.channel.stop_sending()
        try:
            async with asyncio.timeout(STOP_GRACE):
                await self._until(self._is_gone)
        except TimeoutError:
            running = [seat for seat in self._seats if seat.process is not None]
            self._logger.error("workers-killed", names=[seat.name for seat in running])
            for seat in running:
                self._kill(seat)
            await self._until(self._is_gone)

    def _is_gone(self) -> bool:
        return all(seat.process is None for seat in self._seats)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._progress.clear()
            await self._progress.wait()

    def _start(self, seat: _Seat) -> None:
        assert self._begin is not None, "start comes first"
        seat.restart = None
        seat.started_at = time.monotonic()
        try:
            seat.process, seat.exit_watch, ours = _spawn(seat.name)
        except OSError as error:
            self._replace(seat, f"cannot be started: {error_text(error)}")
            return
        seat.starts += 1
        self._loop.add_reader(seat.exit_watch, self._on_exit, seat)
        channel = Channel(
            ours,
            on_message=lambda body: self._hear(seat, body),
            on_end=lambda: self._on_channel_end(seat),
            on_fault=lambda error: self._on_channel_fault(seat, error),
        )
        # The others get what has changed so far; this one finds it in the table.
        self._encoder.flush()
        columns = msgspec.structs.replace(self._begin.columns, worker=seat.index)
        channel.send_message(msgspec.structs.replace(self._begin, columns=columns), self._begin_descriptors)
        for frame in encode_changes(self._snapshot()):
            channel.send(frame)
        channel.send_message(TableEnd())
        if self._is_degraded:
            channel.send_message(Degrade())
        seat.confirmed = self._confirms
        seat.max_unsent = channel.unsent + MAX_UNSENT
        seat.channel = channel

    def _broadcast(self, frame: bytes) -> None:
        for seat in self._seats:
            if seat.channel is None:
                continue
            seat.channel.send(frame)
            if seat.channel.unsent > seat.max_unsent:
                self._logger.error("worker-stuck", name=seat.name, unsent_bytes=seat.channel.unsent)
                seat.channel.stop_sending()
                self._kill(seat)

    def _hear(self, seat: _Seat, body: bytes) -> None:
        self._take_note(seat, self._reports.decode(body))
        self._progress.set()

    def _take_note(self, seat: _Seat, report: Report) -> None:
        match report:
            case Ready():
                seat.is_ready = True
                if seat.listeners:
                    self._send_listeners(seat)
            case Listening():
                seat.is_listening = True
            case Draining(active, idle):
                seat.drain_counts = DrainCounts(active, idle)
            case Drained():
                seat.is_drained = True
            case Pruned(uri, address):
                self._on_prune(uri, address)
            case Confirmed(number):
                seat.confirmed = number

    def _send_listeners(self, seat: _Seat) -> None:
        assert seat.channel is not None
        names = tuple(name for name, _ in seat.listeners)
        seat.channel.send_message(Listen(names), [listener.fileno() for _, listener in seat.listeners])

    def _on_channel_end(self, seat: _Seat) -> None:
        # It is dying, or not right in the head.
        self._kill(seat)

    def _on_channel_fault(self, seat: _Seat, error: Exception) -> None:
        # What it has said since is lost, or what it should be told: only a successor knows all again.
        self._logger.error("worker-channel-failed", name=seat.name, error=repr(error))
        self._kill(seat)

    def _kill(self, seat: _Seat) -> None:
        if seat.process is not None:
            seat.process.kill()

    def _on_exit(self, seat: _Seat) -> None:
        assert seat.process is not None
        self._loop.remove_reader(seat.exit_watch)
        os.close(seat.exit_watch)
        code = seat.process.wait()
        seat.process = None
        if seat.channel is not None:
            seat.channel.close()
            seat.channel = None
        seat.is_ready = False
        seat.is_listening = False
        self._on_death(seat.index)
        if self._is_replacing:
            self._replace(seat, f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}")
        self._progress.set()

    def _replace(self, seat: _Seat, cause: str) -> None:
        """Decide when a worker that ended because of `cause` gets a successor."""
        is_crash = time.monotonic() - seat.started_at < CRASH_WINDOW
        seat.crashes = seat.crashes + 1 if is_crash else 1
        delay = FIRST_RESTART_DELAY * 2 ** (seat.crashes - 1)
        is_hopeless = seat.crashes >= CRASH_LIMIT
        self._logger.error(
            "worker-exited", name=seat.name, error=cause, restart_in=None if is_hopeless else int(delay * 1e9)
        )
        if is_hopeless:
            self._on_hopeless()
        else:
            seat.restart = self._loop.call_later(delay, self._start, seat)

    def _stop_replacing(self) -> None:
        self._is_replacing = False
        for seat in self._seats:
            if seat.restart is not None:
                seat.restart.cancel()
                seat.restart = None


def _spawn(name: str) -> tuple[subprocess.Popen[bytes], int, socket.socket]:
    """Start the process of a worker; returns it, a pidfd of it, and our end of its channel. Raises OSError."""
    ours, theirs = socket.socketpair()
    try:
        process = _spawn_with(name, theirs)
        try:
            return process, os.pidfd_open(process.pid), ours
        except OSError:
            # Nobody would hear of its end.
            process.kill()
            process.wait()
            raise
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()


def _spawn_with(name: str, end: socket.socket) -> subprocess.Popen[bytes]:
    """Start the process of a worker, with its end of the channel. Raises OSError."""
    # Signals to the whole group wait until the worker has said that it ignores them.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_BY_WORKERS)
    try:
        return subprocess.Popen(
            # -P: whatever lies in the current directory is no module of ours.
            [sys.executable, "-P", "-m", "fastrouter.worker", name, str(end.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[end.fileno()],
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
