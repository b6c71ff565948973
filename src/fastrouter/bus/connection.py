"""The connection to NATS: a start fails without it, later it is sought for ever (spec 3.1, step 8 of 1.3).

nats-py, and TLS with it, is imported when the connection is made: the first line of the process log does not wait for
it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger
from fastrouter.tls.pem_files import trust

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from fastrouter.bus.client import Receive, RouterNatsClient

# At start: so many rounds over all servers, so many seconds apart.
CONNECT_ROUNDS = 3
CONNECT_PAUSE = 0.1
CONNECT_TIMEOUT = 2
# Later: seconds between attempts to reach the same server again.
RECONNECT_PAUSE = 2
MAX_OUTSTANDING_PINGS = 2
# The error of NATS clients when no server could be reached.
NO_SERVERS = "nats: no servers available for connection"

# Messages that a subscription may have received and not handled yet; further ones are dropped (spec 2.2).
MAX_PENDING_MESSAGES = 131_072
MAX_PENDING_BYTES = 131_072 * 1024


class NatsServer(NamedTuple):
    """Where one server listens, as configured: a name or an address, and a port."""

    hostname: str
    port: int

    def __str__(self) -> str:
        return f"[{self.hostname}]:{self.port}" if ":" in self.hostname else f"{self.hostname}:{self.port}"


class NatsConnectionError(Exception):
    """No server could be reached at start; the text is that of the last attempt."""


def client_tls(ca_certs: str, cert_chain: str | None, private_key: str | None) -> ssl.SSLContext:
    """Make the context for TLS to NATS: 1.2 or 1.3, the server verified against `ca_certs` (PEM).

    `ca_certs` empty means the system's authorities. The client's identity is given by the names of two PEM files, or
    not at all. Raises ssl.SSLError and OSError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_certs:
        trust(context, ca_certs)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    if cert_chain is not None:
        context.load_cert_chain(cert_chain, private_key)
    return context


class NatsConnection:
    """One connection to whichever of `servers` can be reached.

    `ping_interval` (seconds) is also the period of the lines that say that the connection is still lost. `on_closed` is
    called when the connection has ended for good without `close`: the router cannot go on then.
    """

    def __init__(
        self,
        logger: Logger,
        servers: Sequence[NatsServer],
        *,
        user: str = "",
        password: str = "",
        tls: ssl.SSLContext | None = None,
        ping_interval: float = 20.0,
        on_closed: Callable[[], None],
    ) -> None:
        self._logger = logger.child("nats")
        self._servers = servers
        self._user = user
        self._password = password
        self._tls = tls
        self._ping_interval = ping_interval
        self._on_closed = on_closed
        self._client: RouterNatsClient | None = None
        self._last_error = ""
        self._peer = {"host": "", "addr": ""}
        self._still_lost: asyncio.Task[None] | None = None
        self._is_closing = False
        # Called after each reconnection, in order.
        self.on_reconnected: list[Callable[[], Awaitable[None]]] = []
        # Messages that nats-py has dropped because its queues were full.
        self.dropped_messages = 0

    @property
    def is_connected(self) -> bool:
        """Whether a server is connected at this moment."""
        return self._client is not None and self._client.is_connected

    @property
    def peer(self) -> str:
        """Host and port of the server that was connected last, empty before the first."""
        return self._peer["host"]

    async def connect(self, *, is_needed: bool = True) -> None:
        """Connect to a server. Raises NatsConnectionError, and logs why, if CONNECT_ROUNDS rounds reach none.

        Unless it `is_needed`, the router goes on without it.
        """
        from fastrouter.bus.client import RouterNatsClient  # noqa: PLC0415

        client = RouterNatsClient()
        has_credentials = bool(self._user or self._password)
        try:
            await client.connect(
                servers=[f"nats://{server}" for server in self._servers],
                user=self._user if has_credentials else None,
                password=self._password if has_credentials else None,
                tls=self._tls,
                connect_timeout=CONNECT_TIMEOUT,
                ping_interval=self._ping_interval,  # type: ignore[arg-type]  # it only sleeps for so long
                max_outstanding_pings=MAX_OUTSTANDING_PINGS,
                reconnect_time_wait=CONNECT_PAUSE,  # type: ignore[arg-type]
                max_reconnect_attempts=CONNECT_ROUNDS - 1,
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                closed_cb=self._on_client_closed,
            )
        except Exception as error:  # any error is a reason not to start
            text = self._last_error or error_text(error)
            servers = [str(server) for server in self._servers]
            log = self._logger.fatal if is_needed else self._logger.error
            log("nats-connection-error", error=text, servers=servers)
            raise NatsConnectionError(f"{text} ({', '.join(servers)})") from error
        # Only the first connection may be given up.
        client.options["max_reconnect_attempts"] = -1
        client.options["reconnect_time_wait"] = RECONNECT_PAUSE
        self._client = client
        self._note_peer(client)
        self._logger.info("Successfully-connected-to-nats", **self._peer)

    async def publish(self, subject: str, payload: bytes) -> bool:
        """Publish a message, or keep it until the connection is back; False if it could be neither sent nor kept."""
        from nats.errors import Error  # noqa: PLC0415

        assert self._client is not None, "connect comes first"
        try:
            await self._client.publish(subject, payload)
        except Error as error:
            self._logger.error("nats-publish-error", subject=subject, error=error_text(error))
            return False
        return True

    async def subscribe(self, subject: str, receive: Callable[[Msg], Awaitable[None]]) -> None:
        """Have `receive` called with each message to `subject`, one after the other."""
        assert self._client is not None, "connect comes first"
        await self._client.subscribe(
            subject, cb=receive, pending_msgs_limit=MAX_PENDING_MESSAGES, pending_bytes_limit=MAX_PENDING_BYTES
        )

    async def subscribe_directly(self, subject: str, receive: Receive, at_piece_end: Callable[[], None]) -> None:
        """Have `receive` called with each message to `subject` as soon as it is there, in order.

        `receive` must only store them: `at_piece_end`, called after the last message of a piece that was read, is to
        handle them, for a millisecond or two. The receiver must bound what waits.
        """
        assert self._client is not None, "connect comes first"
        await self._client.subscribe_directly(subject, receive, at_piece_end)

    async def flush(self) -> None:
        """Wait until the server has taken everything sent so far, for ten seconds at most."""
        from nats.errors import Error  # noqa: PLC0415

        assert self._client is not None, "connect comes first"
        try:
            # nats-py's ping overtakes what its flusher has not written yet; a second one comes after it.
            await self._client.flush()
            await self._client.flush()
        except Error as error:
            # The connection was lost: nats-py sends its buffer again on the next one.
            self._logger.debug("nats-flush-error", error=str(error))

    async def close(self) -> None:
        """End the connection; messages sent before are handed over first."""
        self._is_closing = True
        self._stop_still_lost()
        if self._client is not None:
            await self._client.close()

    def _note_peer(self, client: RouterNatsClient) -> None:
        url = client.connected_url
        self._peer = {"host": url.netloc.rpartition("@")[2] if url is not None else "", "addr": client.peer_address()}

    async def _on_error(self, error: Exception) -> None:
        from nats.errors import SlowConsumerError  # noqa: PLC0415

        if isinstance(error, SlowConsumerError):
            self.dropped_messages += 1
            return
        self._last_error = NO_SERVERS if isinstance(error, ConnectionRefusedError) else error_text(error)
        if self.is_connected:
            self._logger.error("nats-client-error", error=self._last_error)

    async def _on_disconnected(self) -> None:
        if self._is_closing:
            return
        self._logger.info("nats-connection-disconnected", **self._peer)
        self._stop_still_lost()
        self._still_lost = asyncio.create_task(self._report_still_lost())

    async def _report_still_lost(self) -> None:
        while True:
            await asyncio.sleep(self._ping_interval)
            self._logger.info("nats-connection-still-disconnected")

    def _stop_still_lost(self) -> None:
        if self._still_lost is not None:
            self._still_lost.cancel()
            self._still_lost = None

    async def _on_reconnected(self) -> None:
        self._stop_still_lost()
        assert self._client is not None
        self._note_peer(self._client)
        self._logger.info("nats-connection-reconnected", **self._peer)
        for callback in self.on_reconnected:
            await callback()

    async def _on_client_closed(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        self._stop_still_lost()
        last_error = self._client.last_error if self._client is not None else None
        text = error_text(last_error) if last_error is not None else ""
        self._logger.error("nats-connection-closed", error="unexpected close", last_error=text)
        self._on_closed()
