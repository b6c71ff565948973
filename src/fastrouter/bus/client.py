"""nats-py's client, hardened: no message ends its read loop, and it never speaks plain text where TLS is configured.

Importing this module imports nats-py. Each override replaces a method that nats-py does not document;
tests/integration/test_nats.py pins what they are for.
"""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import ParseResult

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.errors import Error
from nats.protocol.parser import Parser

# Called with the subject and the payload of a message.
Receive = Callable[[str, bytes], None]

# Seconds that the end of an old connection may take before the next one is tried.
CLOSE_PATIENCE = 1.0


class RouterNatsTransport(TcpTransport):
    """A TCP connection, perhaps with TLS; waiting for its end has a limit."""

    def __bool__(self) -> bool:
        # nats-py tests a transport for truth and replaces a false one; without this, one that is not connected is
        # false.
        return True

    def peer_address(self) -> str:
        """Return `ip:port` of the connected server, empty if it cannot be told."""
        peer = self._io_writer.get_extra_info("peername") if self._io_writer is not None else None
        if peer is None:
            return ""
        host, port = peer[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        """Start TLS on the connection, which is closed if that fails."""
        plain = self._io_writer
        try:
            await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)
        except BaseException:
            if plain is not None:
                plain.transport.abort()
            raise

    async def wait_closed(self) -> None:
        """Wait for the end of a connection that was closed."""
        try:
            # After a failed handshake uvloop does not end the reader that nats-py waits for.
            await asyncio.wait_for(super().wait_closed(), CLOSE_PATIENCE)  # type: ignore[no-untyped-call]
        except TimeoutError:
            if self._io_writer is not None:
                self._io_writer.transport.abort()


class RouterNatsParser(Parser):
    """A parser that says when it has come to the end of what was read."""

    nc: "RouterNatsClient"

    async def parse(self, data: bytes = b"") -> None:
        """Hand over what `data` completes."""
        try:
            await super().parse(data)
        finally:
            self.nc.end_piece()


class RouterNatsClient(Client):
    """A client that ignores the headers of messages, because the router needs none."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = RouterNatsParser(self)
        # By the subject of the subscription.
        self._receivers: dict[str, Receive] = {}
        self._at_piece_end: list[Callable[[], None]] = []
        self._transport: RouterNatsTransport = RouterNatsTransport()  # type: ignore[no-untyped-call]

    def peer_address(self) -> str:
        """Return `ip:port` of the connected server, empty if it cannot be told."""
        return self._transport.peer_address()

    async def subscribe_directly(self, subject: str, receive: Receive, at_piece_end: Callable[[], None]) -> None:
        """Have `receive` called with each message to `subject` while it is parsed, past nats-py's queues and tasks.

        `receive` must bound what waits, and must not raise. `at_piece_end` is called after the last message of each
        piece that was read from the connection.
        """
        self._receivers[subject] = receive
        self._at_piece_end.append(at_piece_end)
        await self.subscribe(subject)

    def end_piece(self) -> None:
        """Call `at_piece_end` of those who have received messages."""
        for handle in self._at_piece_end:
            try:
                handle()
            except Exception as error:
                # An exception would end nats-py's read loop.
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "messages of NATS could not be handled", "exception": error}
                )

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        subscription = self._subs.get(sid)
        receive = self._receivers.get(subscription.subject) if subscription is not None else None
        if receive is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        with suppress(UnicodeDecodeError):
            # Servers let any bytes through as a subject; one that is not UTF-8 would end the read loop.
            receive(subject.decode(), data)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        # nats-py takes TLS up only where the server demands it, and would send the password in clear to one that does
        # not.
        if initial_connection and "tls" in self.options and not info.get("tls_required"):
            if not info.get("tls_available"):
                raise Error("nats: secure connection not available")
            info["tls_required"] = True
        await super()._process_info(info, initial_connection)

    async def _process_pong(self) -> None:
        # The waiter may have given up, after a timeout or when a start was cancelled. nats-py would raise, and end its
        # read loop.
        if self._pongs and self._pongs[0].done():
            self._pongs[0] = asyncio.get_running_loop().create_future()
        await super()._process_pong()

    async def _process_headers(self, headers: bytes | None) -> None:
        # A malformed header would end nats-py's read loop.
        del headers

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg | None:
        try:
            message: Msg = super()._build_message(sid, subject, reply, data, headers)
        except UnicodeDecodeError:
            # So would a reply subject: servers let any bytes through.
            return None
        return message
