"""Supervision of the workers: starts them, keeps their tables and sockets, replaces those that die, ends them all.

Everything here happens in the control process, on its event loop, and nothing blocks on a worker. A worker is started
by exec, so it inherits nothing but one end of a channel and the standard descriptors.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import msgspec

from fastrouter.control.child_process import end_cause, spawn
from fastrouter.control.worker_slot import MAX_UNSENT, DrainCounts, WorkerSlot
from fastrouter.ipc.admin_messages import WorkerFacts
from fastrouter.ipc.channel import Channel
from fastrouter.ipc.inspection import inspect_over
from fastrouter.ipc.messages import (
    Begin,
    Confirm,
    Confirmed,
    Degrade,
    Drain,
    Drained,
    Draining,
    Failed,
    FinishedSpans,
    Listen,
    Listening,
    Pruned,
    Ready,
    ReplaceAccessLog,
    ReplaceTLS,
    Report,
    ServerTLS,
    SetLogLevel,
    TableEnd,
)
from fastrouter.ipc.route_counters import CounterBlock
from fastrouter.ipc.table_changes import BatchEncoder, Change, encode_changes
from fastrouter.logs.error_text import error_text, fault_text
from fastrouter.logs.logger import Level, Logger
from fastrouter.net.handover import NamedListener
from fastrouter.observe.metrics import WorkerState

# A worker that dies sooner than this after its start counts as crashing, and is restarted with a growing delay.
CRASH_WINDOW = 10.0
# So many crashes of one worker in a row, and the router gives up.
CRASH_LIMIT = 5
FIRST_RESTART_DELAY = 0.1

# Seconds that a drain waits for the workers' counts of connections: one that stands still does not count.
COUNT_PATIENCE = 1.0

# Seconds that a change of the table may wait to be confirmed, so that one worker that stands still delays nothing for
# long.
APPLY_PATIENCE = 1.0

# Seconds that workers have to stop by themselves; the router must have ended 5 s after the signal (spec 1.5).
STOP_GRACE = 3.0

# Seconds between two looks at whether workers have taken what was sent to them.
_SENT_POLL = 0.005


class Workers:
    """All workers of a router, numbered from 0.

    `add_change` is where table changes go. `on_crash_loop` is called with worker and cause when one has crashed too
    often, `on_prune` with route and address when one has taken a TLS endpoint off its table, `on_death` with the number
    of one that ended, before it is replaced, `on_ready` with name and process id of one that has the whole table,
    `on_spans` with the fields of FinishedSpans. `counter_block` returns where the worker of a number counts by route.
    """

    def __init__(
        self,
        count: int,
        logger: Logger,
        on_crash_loop: Callable[[str], None],
        on_prune: Callable[[str, str], object],
        on_death: Callable[[int], object],
        *,
        on_ready: Callable[[str, int], object] = lambda _name, _pid: None,
        on_spans: Callable[[bytes, int, int], object] = lambda _spans, _count, _lost: None,
        counter_block: Callable[[int], CounterBlock],
    ) -> None:
        self._logger = logger
        self._counter_block = counter_block
        self._on_crash_loop = on_crash_loop
        self._on_prune = on_prune
        self._on_death = on_death
        self._on_ready = on_ready
        self._on_spans = on_spans
        self._loop = asyncio.get_running_loop()
        self._slots = [WorkerSlot(index) for index in range(count)]
        self._reports = msgspec.msgpack.Decoder(Report)
        self._encoder = BatchEncoder(self._broadcast, self._loop.call_soon)
        self._progress = asyncio.Event()
        self._is_replacing = True
        self._is_degraded = False
        self._confirms = 0
        self._take_inspection_end: Callable[[int, socket.socket], object] | None = None
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
        for slot in self._slots:
            self._start(slot)

    def states(self) -> list[WorkerState]:
        """Return the state of each worker."""
        return [
            WorkerState(slot.starts, slot.process.pid if slot.process is not None else None) for slot in self._slots
        ]

    def facts(self) -> tuple[WorkerFacts, ...]:
        """Return what is known of each worker."""
        return tuple(slot.facts() for slot in self._slots)

    @property
    def front_tls(self) -> ServerTLS | None:
        """The TLS for clients that connect now, if there is any."""
        return self._begin.front_tls if self._begin is not None else None

    def set_log_level(self, level: Level) -> None:
        """Have all workers, and those started from now on, write lines of `level` and above."""
        if self._begin is None:
            # Workers are started later, with the level of that moment.
            return
        self._begin = msgspec.structs.replace(self._begin, log_level=int(level))
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.send_message(SetLogLevel(int(level)))

    async def until_ready(self) -> None:
        """Wait until every worker has the whole table."""
        await self._until(lambda: all(slot.is_ready for slot in self._slots))

    async def until_sent(self) -> None:
        """Wait until little is unsent, so that whoever changes very many routes does not outrun the workers."""
        # Channels have no event for this.
        while any(  # noqa: ASYNC110
            slot.channel is not None and slot.channel.unsent > MAX_UNSENT // 8 for slot in self._slots
        ):
            await asyncio.sleep(_SENT_POLL)

    async def until_applied(self) -> None:
        """Wait until all workers that accept clients have all changes so far, but no longer than APPLY_PATIENCE."""
        self._encoder.flush()
        self._confirms += 1
        number = self._confirms
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.send_message(Confirm(number))
        with suppress(TimeoutError):
            async with asyncio.timeout(APPLY_PATIENCE):
                await self._until(lambda: all(slot.confirmed >= number for slot in self._slots if slot.is_listening))

    async def listen(self, named: Sequence[NamedListener]) -> None:
        """Deal the listeners out to the workers, and wait until all of these accept clients.

        As a rule there is one of each name for each. If there are more, a worker gets several, so that none is left
        alone; if there are fewer, workers share them.
        """
        slots = self._slots
        # The first client must find every route that is known by now.
        self._encoder.flush()
        for name in dict.fromkeys(name for name, _ in named):
            listeners = [listener for listener in named if listener.name == name]
            for turn in range(max(len(slots), len(listeners))):
                slots[turn % len(slots)].listeners.append(listeners[turn % len(listeners)])
        for slot in slots:
            if slot.is_ready:
                self._send_listeners(slot)
        await self._until(lambda: all(slot.is_listening for slot in self._slots))

    def replace_tls(self, front_tls: ServerTLS) -> None:
        """Have all workers, and those that will replace them, use this TLS for new clients."""
        assert self._begin is not None, "start comes first"
        self._begin = msgspec.structs.replace(self._begin, front_tls=front_tls)
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.send_message(ReplaceTLS(front_tls))

    def replace_access_log(self, descriptor: int) -> None:
        """Have all workers write the access log to this file. Those that will replace them have got it with `start`."""
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.send_message(ReplaceAccessLog(), [descriptor])

    def offer_inspection(self, take: Callable[[int, socket.socket], object]) -> None:
        """Give `take` the number of each worker, now or when it starts, and a socket over which it answers questions.

        `take` owns it. When this is called again, for a new admin process, workers close their ends of earlier ones.
        """
        self._take_inspection_end = take
        for slot in self._slots:
            self._offer_inspection_of(slot, slot.channel)

    def _offer_inspection_of(self, slot: WorkerSlot, channel: Channel | None) -> None:
        if self._take_inspection_end is None or channel is None:
            return
        try:
            self._take_inspection_end(slot.index, inspect_over(channel))
        except OSError as error:
            self._logger.error("inspection-not-possible", name=slot.name, error=error_text(error))

    def degrade(self) -> None:
        """Have all workers, and those that will take their places, respond to health checks with 503."""
        self._is_degraded = True
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.send_message(Degrade())

    async def drain(self, idle_grace: float) -> DrainCounts:
        """Have all workers stop accepting clients; returns their connections, as far as they report them in time.

        Workers that die are not replaced any more. An idle client has `idle_grace` seconds for one more request.
        """
        self._stop_replacing()
        for slot in self._slots:
            slot.listeners = []
            if slot.channel is not None:
                slot.channel.send_message(Drain(idle_grace))
        with suppress(TimeoutError):
            async with asyncio.timeout(COUNT_PATIENCE):
                await self._until(self._have_all_counted)
        counts = [slot.drain_counts for slot in self._slots if slot.drain_counts is not None]
        return DrainCounts(sum(count.active for count in counts), sum(count.idle for count in counts))

    def _have_all_counted(self) -> bool:
        return all(slot.process is None or slot.drain_counts is not None for slot in self._slots)

    async def until_drained(self) -> None:
        """Wait until no worker has a request in progress."""
        await self._until(lambda: all(slot.process is None or slot.is_drained for slot in self._slots))

    async def stop(self) -> None:
        """End all workers: those that do not end by themselves within STOP_GRACE seconds, by force."""
        self._stop_replacing()
        for slot in self._slots:
            if slot.channel is not None:
                slot.channel.stop_sending()
        try:
            async with asyncio.timeout(STOP_GRACE):
                await self._until(self._is_gone)
        except TimeoutError:
            running = [slot for slot in self._slots if slot.process is not None]
            self._logger.error("workers-killed", names=[slot.name for slot in running])
            for slot in running:
                self._kill(slot)
            await self._until(self._is_gone)

    def _is_gone(self) -> bool:
        return all(slot.process is None for slot in self._slots)

    async def _until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self._progress.clear()
            await self._progress.wait()

    def _start(self, slot: WorkerSlot) -> None:
        assert self._begin is not None, "start comes first"
        slot.restart = None
        slot.started_at = time.monotonic()
        try:
            slot.process, slot.exit_watch, ours = spawn("fastrouter.worker", slot.name)
        except OSError as error:
            self._replace(slot, f"cannot be started: {error_text(error)}")
            return
        slot.starts += 1
        self._loop.add_reader(slot.exit_watch, self._on_exit, slot)
        channel = Channel(
            ours,
            on_message=lambda body: self._on_report(slot, body),
            on_end=lambda: self._on_channel_end(slot),
            on_fault=lambda error: self._on_channel_fault(slot, error),
        )
        # The others get what has changed so far; this one finds it in the table.
        self._encoder.flush()
        begin = msgspec.structs.replace(
            self._begin,
            columns=msgspec.structs.replace(self._begin.columns, worker=slot.index),
            counter_block=self._counter_block(slot.index),
        )
        channel.send_message(begin, self._begin_descriptors)
        for frame in encode_changes(self._snapshot()):
            channel.send(frame)
        self._offer_inspection_of(slot, channel)
        channel.send_message(TableEnd())
        if self._is_degraded:
            channel.send_message(Degrade())
        slot.confirmed = self._confirms
        slot.max_unsent = channel.unsent + MAX_UNSENT
        slot.channel = channel

    def _broadcast(self, frame: bytes) -> None:
        for slot in self._slots:
            if slot.channel is None:
                continue
            slot.channel.send(frame)
            if slot.channel.unsent > slot.max_unsent:
                self._logger.error("worker-stuck", name=slot.name, unsent_bytes=slot.channel.unsent)
                slot.channel.stop_sending()
                self._kill(slot)

    def _on_report(self, slot: WorkerSlot, body: bytes) -> None:
        self._apply_report(slot, self._reports.decode(body))
        self._progress.set()

    def _apply_report(self, slot: WorkerSlot, report: Report) -> None:
        match report:
            case Ready():
                slot.is_ready = True
                if slot.process is not None:
                    self._on_ready(slot.name, slot.process.pid)
                if slot.listeners:
                    self._send_listeners(slot)
            case Listening():
                slot.is_listening = True
            case Draining(active, idle):
                slot.drain_counts = DrainCounts(active, idle)
            case Drained():
                slot.is_drained = True
            case Failed(error):
                slot.failure = error
            case Pruned(uri, address):
                self._on_prune(uri, address)
            case Confirmed(number):
                slot.confirmed = number
            case FinishedSpans(spans, count, lost):
                self._on_spans(spans, count, lost)

    def _send_listeners(self, slot: WorkerSlot) -> None:
        assert slot.channel is not None
        names = tuple(name for name, _ in slot.listeners)
        slot.channel.send_message(Listen(names), [listener.fileno() for _, listener in slot.listeners])

    def _on_channel_end(self, slot: WorkerSlot) -> None:
        # The worker is ending, or it has closed its channel by mistake and cannot go on.
        self._kill(slot)

    def _on_channel_fault(self, slot: WorkerSlot, error: Exception) -> None:
        # A report or an order is lost, so this worker's state is unknown. A new worker starts from a complete one.
        self._logger.error("worker-channel-failed", name=slot.name, error=fault_text(error))
        self._kill(slot)

    def _kill(self, slot: WorkerSlot) -> None:
        if slot.process is not None:
            slot.process.kill()

    def _on_exit(self, slot: WorkerSlot) -> None:
        assert slot.process is not None
        self._loop.remove_reader(slot.exit_watch)
        os.close(slot.exit_watch)
        code = slot.process.wait()
        slot.process = None
        if slot.channel is not None:
            slot.channel.take_rest()
            slot.channel.close()
            slot.channel = None
        slot.is_ready = False
        slot.is_listening = False
        cause = f"{end_cause(code)}: {slot.failure}" if slot.failure else end_cause(code)
        slot.failure = ""
        self._on_death(slot.index)
        if self._is_replacing:
            self._replace(slot, cause)
        self._progress.set()

    def _replace(self, slot: WorkerSlot, cause: str) -> None:
        """Decide when a worker that ended because of `cause` gets a successor."""
        is_crash = time.monotonic() - slot.started_at < CRASH_WINDOW
        slot.crashes = slot.crashes + 1 if is_crash else 1
        delay = FIRST_RESTART_DELAY * 2 ** (slot.crashes - 1)
        is_crash_loop = slot.crashes >= CRASH_LIMIT
        self._logger.error(
            "worker-exited", name=slot.name, error=cause, restart_in=None if is_crash_loop else int(delay * 1e9)
        )
        if is_crash_loop:
            self._on_crash_loop(f"{slot.name}: {cause}")
        else:
            slot.restart = self._loop.call_later(delay, self._start, slot)

    def _stop_replacing(self) -> None:
        self._is_replacing = False
        for slot in self._slots:
            if slot.restart is not None:
                slot.restart.cancel()
                slot.restart = None
