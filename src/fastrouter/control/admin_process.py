"""Supervision of the admin process: starts it, feeds it table and news, answers its calls, replaces it (ADR 18).

The router serves without it, and never waits for it: unlike a worker it may crash as often as it likes.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable

import msgspec

from fastrouter.control.admin_calls import AdminCalls, CallRefusedError
from fastrouter.control.child_process import Child, end_cause, spawn
from fastrouter.ipc.admin_messages import AdminBegin, Answer, Ask, Call, Do, Happened, Refusal, TableLoaded
from fastrouter.ipc.channel import Channel
from fastrouter.ipc.inspection import hand_over_end
from fastrouter.ipc.table_changes import BatchEncoder, Change
from fastrouter.logs.error_text import error_text, fault_text
from fastrouter.logs.logger import Logger
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.registry.table_feed import TableFeed

# One that ends sooner than this after its start counts as crashing; the delay before the next doubles up to a limit.
_CRASH_WINDOW = 10.0
_FIRST_DELAY = 0.1
_MAX_DELAY = 30.0
# Bytes that wait for it: of the table while it is sent, and at most.
_SENT_AHEAD = 1024 * 1024
_MAX_UNSENT = 64 * 1024 * 1024
# Seconds between two looks at whether it has taken what was sent to it.
_SENT_POLL = 0.01
# Seconds between two pieces of the table: a request that comes meanwhile needs several turns of the loop.
_TABLE_REST = 0.002
# Seconds that it has to stop by itself.
_STOP_GRACE = 1.0
# Calls that are worked on at a time; the admin process has a lower limit of its own.
_MAX_CALLS = 256

NAME = "admin"

_ENCODER = msgspec.msgpack.Encoder()


class AdminProcess:
    """The admin process of a router, or the delay before the next one.

    `new_begin` makes the first order and the descriptors that go with it; `offer_inspection` has workers give the
    process ends over which it asks them.
    """

    def __init__(
        self,
        logger: Logger,
        registry: RouteRegistry,
        new_begin: Callable[[], tuple[AdminBegin, list[int]]],
        calls: AdminCalls,
        offer_inspection: Callable[[Callable[[int, socket.socket], object]], object],
    ) -> None:
        self._logger = logger
        self._registry = registry
        self._new_begin = new_begin
        self._calls = calls
        self._offer_inspection = offer_inspection
        self._loop = asyncio.get_running_loop()
        self._decoder = msgspec.msgpack.Decoder(Call)
        self._is_replacing = False
        self._child: Child | None = None
        self._channel: Channel | None = None
        self._encoder: BatchEncoder | None = None
        self._feed: TableFeed | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._acts: set[asyncio.Task[None]] = set()
        self._gone = asyncio.Event()
        self._gone.set()
        self._started_at = 0.0
        self._crashes = 0
        self._restart: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start it, and replace it from now on when it ends."""
        self._is_replacing = True
        self._start()

    def add_change(self, change: Change) -> None:
        """Pass on a change of the table."""
        if self._feed is not None:
            self._feed.add(change)

    def tell(self, level: int, message: str, data: bytes) -> None:
        """Tell it what has happened; `data` is a JSON object."""
        if self._channel is not None:
            # It is to come behind the changes that were before it.
            self._flush()
            self._send(Happened(level, message, data))

    async def stop(self) -> None:
        """End it: by force, if it does not end by itself."""
        self._is_replacing = False
        if self._restart is not None:
            self._restart.cancel()
        for task in self._acts:
            task.cancel()
        if self._channel is not None:
            self._channel.stop_sending()
        try:
            async with asyncio.timeout(_STOP_GRACE):
                await self._gone.wait()
        except TimeoutError:
            self._kill()
            await self._gone.wait()

    def _start(self) -> None:
        self._restart = None
        self._started_at = time.monotonic()
        try:
            child = self._child = spawn("fastrouter.admin", NAME)
        except OSError as error:
            self._replace(f"cannot be started: {error_text(error)}")
            return
        self._gone.clear()
        self._loop.add_reader(child.exit_watch, self._on_exit, child)
        self._channel = Channel(child.end, on_message=self._on_call, on_end=self._kill, on_fault=self._on_channel_fault)
        begin, descriptors = self._new_begin()
        self._channel.send_message(begin, descriptors)
        self._offer_inspection(self._hand_over_end)
        self._encoder = BatchEncoder(self._send_frame, self._loop.call_soon)
        self._feed = TableFeed(self._registry, self._encoder.add)
        self._feeding = self._loop.create_task(self._load_table(self._feed))
        self._feeding.add_done_callback(self._on_loaded)

    def _hand_over_end(self, worker: int, end: socket.socket) -> None:
        if self._channel is None:
            end.close()
        else:
            hand_over_end(self._channel, worker, end)

    async def _load_table(self, feed: TableFeed) -> None:
        await feed.run(self._until_taken)
        self._flush()
        self._send(TableLoaded())

    def _on_loaded(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its table is incomplete.
            self._on_channel_fault(error)

    async def _until_taken(self) -> None:
        await asyncio.sleep(_TABLE_REST)
        # Channels have no event for this.
        while self._channel is not None and self._channel.unsent > _SENT_AHEAD:  # noqa: ASYNC110
            await asyncio.sleep(_SENT_POLL)

    def _flush(self) -> None:
        if self._encoder is not None:
            self._encoder.flush()

    def _send_frame(self, frame: bytes) -> None:
        if self._channel is not None:
            self._channel.send(frame)
            self._check_unsent(self._channel)

    def _send(self, message: msgspec.Struct) -> None:
        if self._channel is not None:
            self._channel.send_message(message)
            self._check_unsent(self._channel)

    def _check_unsent(self, channel: Channel) -> None:
        if channel.unsent > _MAX_UNSENT:
            self._logger.error("admin-process-stuck", unsent_bytes=channel.unsent)
            channel.stop_sending()
            self._kill()

    def _on_call(self, body: bytes) -> None:
        call = self._decoder.decode(body)
        match call:
            case Ask(number, question):
                try:
                    self._answer(number, self._calls.answer(question))
                except CallRefusedError as error:
                    self._send(Refusal(number, error.status, str(error)))
            case Do() if len(self._acts) >= _MAX_CALLS:
                self._send(Refusal(call.number, 503, "too much is being done already"))
            case Do():
                task = self._loop.create_task(self._do(call))
                self._acts.add(task)
                task.add_done_callback(self._acts.discard)

    async def _do(self, call: Do) -> None:
        child = self._child
        refusal = None
        answer = None
        try:
            answer = await self._calls.act(call.act, call.by)
        except CallRefusedError as error:
            refusal = Refusal(call.number, error.status, str(error))
        except Exception as error:
            # A bug of this act; the router goes on.
            self._logger.error("admin-act-failed", act=repr(call.act), by=call.by, error=fault_text(error))
            refusal = Refusal(call.number, 500, "a bug of the router: the process log has it")
        if child is not self._child:
            # The numbers of another process are not those of this one.
            return
        if refusal is not None:
            self._send(refusal)
        else:
            self._answer(call.number, answer)

    def _answer(self, number: int, answer: object) -> None:
        self._send(Answer(number, msgspec.Raw(_ENCODER.encode(answer))))

    def _on_channel_fault(self, error: BaseException) -> None:
        self._logger.error("admin-channel-failed", error=fault_text(error))
        self._kill()

    def _kill(self) -> None:
        if self._child is not None:
            self._child.process.kill()

    def _on_exit(self, child: Child) -> None:
        self._loop.remove_reader(child.exit_watch)
        os.close(child.exit_watch)
        code = child.process.wait()
        self._child = None
        if self._feeding is not None:
            self._feeding.cancel()
        self._feed = self._encoder = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._gone.set()
        if self._is_replacing:
            self._replace(end_cause(code))

    def _replace(self, cause: str) -> None:
        is_crash = time.monotonic() - self._started_at < _CRASH_WINDOW
        self._crashes = self._crashes + 1 if is_crash else 1
        delay = min(_FIRST_DELAY * 2 ** min(self._crashes - 1, 16), _MAX_DELAY)
        self._logger.error("admin-process-exited", error=cause, restart_in=int(delay * 1e9))
        self._restart = self._loop.call_later(delay, self._start)
