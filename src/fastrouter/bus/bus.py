"""The router's end of the bus: connection, subscriber and publishers, put together from their options (spec 3.1)."""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from fastrouter.bus.announcer import ComponentAnnouncer
from fastrouter.bus.connection import NatsConnection, NatsServer, client_tls
from fastrouter.bus.messages import start_message
from fastrouter.bus.subscriber import ActiveAppsPublisher, Subscriber
from fastrouter.logs.logger import Logger
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.tls.pem_files import identity_files

# Seconds that a stop waits until NATS has taken what was sent to it, and the connection is closed.
_GRACE = 0.5


@dataclass(frozen=True, kw_only=True)
class BusTLS:
    """TLS to NATS: authorities of the servers, and the router's identity if it has one; all texts in PEM."""

    ca_certs: str
    cert_chain: str
    private_key: str


@dataclass(frozen=True, kw_only=True)
class BusOptions:
    """Where the bus is, and what the router publishes there. Times are seconds.

    `index` is the number of the instance, `local_ip` where apps find the router. Apps are asked to register every
    `register_interval`, and are forgotten after `prune_threshold`. `suspend_pruning` keeps them while NATS is away.
    Every `active_apps_interval` (0: never) the router publishes which apps had requests.
    """

    servers: Sequence[NatsServer]
    user: str = ""
    password: str = ""
    tls: BusTLS | None = None
    ping_interval: float = 20.0
    index: int = 0
    local_ip: str = "127.0.0.1"
    register_interval: float = 20.0
    prune_threshold: float = 120.0
    suspend_pruning: bool = False
    active_apps_interval: float = 0.0


class Bus:
    """Feeds `registry` from NATS; `send_changes` is the Subscriber's.

    `on_closed` is called when the connection has ended for good.
    """

    def __init__(
        self,
        options: BusOptions,
        logger: Logger,
        registry: RouteRegistry,
        *,
        send_changes: Callable[[], object],
        on_closed: Callable[[], None],
    ) -> None:
        self._options = options
        self._logger = logger
        # The name of this process on the bus.
        self.router_id = f"{options.index}-{uuid4()}"
        self._connection = NatsConnection(
            logger,
            options.servers,
            user=options.user,
            password=options.password,
            tls=tls_context(options.tls) if options.tls is not None else None,
            ping_interval=options.ping_interval,
            on_closed=on_closed,
        )
        start = start_message(self.router_id, options.local_ip, options.register_interval, options.prune_threshold)
        self._subscriber = Subscriber(logger, self._connection, registry, start, send_changes)
        self._active_apps: ActiveAppsPublisher | None = None

    @property
    def is_pruning_suspended(self) -> bool:
        """Whether registrations may be missing because the bus is out of reach."""
        return self._options.suspend_pruning and not self._connection.is_connected

    @property
    def is_connected(self) -> bool:
        """Whether a server is connected at this moment."""
        return self._connection.is_connected

    @property
    def server(self) -> str:
        """Host and port of the server that was connected last."""
        return self._connection.peer

    def message_counts(self) -> tuple[int, int]:
        """Return how many messages wait to be handled, and how many were dropped."""
        return self._subscriber.pending_messages, self._subscriber.dropped_messages

    async def connect(self, *, is_needed: bool) -> None:
        """Connect to a server. Raises NatsConnectionError; the router can go on without it unless it `is_needed`."""
        await self._connection.connect(is_needed=is_needed)

    async def start(self) -> None:
        """Ask all apps to register, and listen to them."""
        await self._subscriber.start()

    def hold(self) -> None:
        """Listen, but change nothing in the registry before `release`. Called before `start`."""
        self._subscriber.hold()

    def release(self) -> None:
        """Handle the messages that were received meanwhile, in their order, and all later ones."""
        self._subscriber.release()

    async def until_caught_up(self) -> None:
        """Wait until the messages sent so far have been handled, for some seconds at most."""
        await self._subscriber.until_caught_up()

    async def announce_component(self, varz_json: Callable[[], bytes]) -> None:
        """Announce this router with the document of the deprecated component listener."""
        await ComponentAnnouncer(self._logger.child("router"), self._connection, varz_json).start()

    def announce_active_apps(self, take_active_apps: Callable[[], Iterable[str]]) -> None:
        """Begin to publish which apps had requests, if that is configured; the argument is ActiveAppsPublisher's."""
        if self._options.active_apps_interval > 0:
            self._active_apps = ActiveAppsPublisher(
                self._connection, self._options.active_apps_interval, take_active_apps
            )
            self._active_apps.start()

    async def stop(self) -> None:
        """Handle no more messages, and close the connection, within _GRACE."""
        if self._active_apps is not None:
            self._active_apps.stop()
        self._subscriber.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await self._connection.close()


def tls_context(tls: BusTLS) -> ssl.SSLContext:
    """Make the context for TLS to the servers. Raises ssl.SSLError and OSError."""
    if not tls.cert_chain:
        return client_tls(tls.ca_certs, None, None)
    with identity_files(tls.cert_chain, tls.private_key) as paths:
        return client_tls(tls.ca_certs, *paths)
