"""Registrations over NATS: from messages to the registry, and the messages that ask apps to register (spec 3.1)."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from fastrouter.bus.connection import MAX_PENDING_BYTES, MAX_PENDING_MESSAGES, NatsConnection
from fastrouter.bus.messages import active_apps_message
from fastrouter.logs.logger import Logger
from fastrouter.process.background_task import BackgroundTask
from fastrouter.process.free_memory import release_free_memory
from fastrouter.process.slices import in_slices
from fastrouter.registry.registration import MessageError, decode_registration
from fastrouter.registry.route_registry import RouteRegistry

if TYPE_CHECKING:
    from nats.aio.msg import Msg

# Seconds of handling between two looks at the network. While more messages come in, reading them goes first: a server
# disconnects a client that lets 64 MiB pile up. When none come, other work on the loop waits this long.
SLICE_WHILE_RECEIVING = 0.001
SLICE = 0.005

# Seconds that `until_caught_up` waits at most, and between two looks.
CATCH_UP_PATIENCE = 5.0
_CATCH_UP_POLL = 0.002

# Waiting messages, beyond which it is worth returning their memory to the system when they have been handled.
LARGE_BACKLOG = 10_000


class Subscriber:
    """Feeds `registry` with the registrations that come in over `connection`.

    `start_message` is the payload of `router.start` (messages.start_message). `send_changes` is called after each slice
    of work, to send the changes of the table.
    """

    def __init__(
        self,
        logger: Logger,
        connection: NatsConnection,
        registry: RouteRegistry,
        start_message: bytes,
        send_changes: Callable[[], object],
    ) -> None:
        self._logger = logger.child("subscriber")
        self._connection = connection
        self._registry = registry
        self._start_message = start_message
        self._send_changes = send_changes
        self._inbox: deque[tuple[str, bytes]] = deque()
        self._inbox_bytes = 0
        self._received = 0
        self._received_before = 0
        self._had_large_backlog = False
        # Of the message that is being handled: the URIs that are left, and what is done for each.
        self._uris: deque[str] = deque()
        self._apply: Callable[[str], None] = _nothing
        self._work_handle: asyncio.Handle | None = None
        self._dropped = 0
        self._is_held = False

    @property
    def pending_messages(self) -> int:
        """How many messages wait to be handled: `buffered_messages`."""
        return len(self._inbox) + bool(self._uris)

    @property
    def dropped_messages(self) -> int:
        """How many messages were lost because too many waited: `total_dropped_messages`."""
        return self._dropped + self._connection.dropped_messages

    async def start(self) -> None:
        """Ask all apps to register, then listen to them. The connection must have been made."""
        self._logger.info("subscriber-starting")
        self._connection.on_reconnected.append(self._send_start)
        await self._send_start()
        await self._connection.subscribe("router.greet", self._greet)
        await self._connection.subscribe_directly("router.*", self._receive, self._work_at_once)
        await self._connection.flush()
        self._logger.info("subscriber-started")

    def stop(self) -> None:
        """Handle no more messages; those that wait are forgotten."""
        if self._work_handle is not None:
            self._work_handle.cancel()
            self._work_handle = None
        self._inbox.clear()
        self._inbox_bytes = 0
        self._uris.clear()

    async def _send_start(self) -> None:
        await self._connection.publish("router.start", self._start_message)

    async def _greet(self, message: Msg) -> None:
        if message.reply:
            await self._connection.publish(message.reply, self._start_message)

    def _receive(self, subject: str, payload: bytes) -> None:
        size = len(payload)
        if len(self._inbox) >= MAX_PENDING_MESSAGES or self._inbox_bytes + size > MAX_PENDING_BYTES:
            self._dropped += 1
            return
        self._inbox.append((subject, payload))
        self._inbox_bytes += size
        self._received += 1

    def _work_at_once(self) -> None:
        """Handle what has been received at once, not in the next turn of the loop, unless handling is under way."""
        if self._work_handle is not None or self._is_held or not self._inbox:
            return
        # The connection is read in several pieces in one turn of the loop: only the first is handled at once.
        self._work_handle = asyncio.get_running_loop().call_soon(self._work)
        self._work_for_a_slice()

    def hold(self) -> None:
        """Keep messages that come in, and handle none of them before `release`. Called before `start`."""
        self._is_held = True

    def release(self) -> None:
        """Handle what has come in meanwhile, and everything from now on."""
        self._is_held = False
        if self._inbox and self._work_handle is None:
            self._work_handle = asyncio.get_running_loop().call_soon(self._work)

    async def until_caught_up(self) -> None:
        """Wait until what the server had for this router by now is handled, for CATCH_UP_PATIENCE at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_PATIENCE):
                # The server sends in order: its answer comes behind everything else.
                await self._connection.flush()
                while self.pending_messages:  # noqa: ASYNC110
                    await asyncio.sleep(_CATCH_UP_POLL)

    def _work(self) -> None:
        """Handle messages for the length of a slice, and again in the next turn of the loop if some are left."""
        try:
            self._work_for_a_slice()
        finally:
            has_more = bool(self._uris or self._inbox)
            self._work_handle = asyncio.get_running_loop().call_soon(self._work) if has_more else None
        if self._had_large_backlog and not has_more:
            self._had_large_backlog = False
            release_free_memory()

    def _work_for_a_slice(self) -> None:
        is_receiving = self._received != self._received_before
        self._received_before = self._received
        self._had_large_backlog |= len(self._inbox) >= LARGE_BACKLOG
        until = time.perf_counter() + (SLICE_WHILE_RECEIVING if is_receiving else SLICE)
        # Lines of the log are held back, so that its thread does not take the interpreter before the changes are sent.
        with self._logger.held():
            try:
                while self._uris or self._inbox:
                    if self._uris:
                        self._apply(self._uris.popleft())
                    else:
                        subject, payload = self._inbox.popleft()
                        self._inbox_bytes -= len(payload)
                        self._handle(subject, payload)
                    if time.perf_counter() >= until:
                        break
            except BaseException:
                # A bug costs one message, not all later ones.
                self._uris.clear()
                raise
            finally:
                self._send_changes()

    def _handle(self, subject: str, payload: bytes) -> None:
        """Begin to handle a message; its URIs are handled one by one."""
        try:
            registration = decode_registration(payload)
        except MessageError as error:
            self._logger.error("validation-error", error=str(error), payload=payload, subject=subject)
            return
        if subject == "router.register":
            self._apply = partial(self._registry.register, endpoint=self._registry.new_endpoint(registration))
        elif subject == "router.unregister":
            self._logger.debug("unregister-route", message=payload)
            self._apply = partial(self._registry.unregister, endpoint=self._registry.new_endpoint(registration))
        else:
            return
        self._uris.extend(registration.uris)


def _nothing(_uri: str) -> None:
    """Do nothing with a URI."""


class ActiveAppsPublisher(BackgroundTask):
    """Publishes every `interval` seconds which apps had requests since the last time.

    `take_active_apps` starts a new count, and returns the ids of the last one, some repeatedly, and `""` for requests
    of no app.
    """

    def __init__(
        self, connection: NatsConnection, interval: float, take_active_apps: Callable[[], Iterable[str]]
    ) -> None:
        super().__init__()
        self._connection = connection
        self._interval = interval
        self._take_active_apps = take_active_apps

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            # A dict, because it keeps the order.
            app_ids: dict[str, bool] = {}
            await in_slices(app_ids.setdefault(app_id, True) for app_id in self._take_active_apps())
            app_ids.pop("", None)
            # In a thread, because compressing a hundred thousand ids takes a while.
            message = await asyncio.to_thread(active_apps_message, app_ids)
            await self._connection.publish("router.active_apps", message)
