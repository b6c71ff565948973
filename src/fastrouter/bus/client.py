"""nats-py's client, made to hold against whatever is on the bus, and to never speak plain text where TLS is wanted.

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

# Gets subject and payload of a message.
Receive = Callable[[str, bytes], None]

# Seconds that the end of an old connection may take before the next one is tried.
CLOSE_PATIENCE = 1.0


class RouterNatsTransport(TcpTransport):
    """A TCP connection, perhaps with TLS, whose end is not waited for without end."""

    def __bool__(self) -> bool:
        # nats-py takes a transport that has not been connected yet for none, and would make one of its own.
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
        """Take up TLS on the connection; it is gone if that fails."""
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
            # After a failed handshake uvloop does not tell the reader that nats-py waits for.
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
    """A client whose messages have no headers: nobody here looks at any."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = RouterNatsParser(self)
        # By the subject that was subscribed to.
        self._receivers: dict[str, Receive] = {}
        self._at_piece_end: list[Callable[[], None]] = []
        self._transport: RouterNatsTransport = RouterNatsTransport()  # type: ignore[no-untyped-call]

    def peer_address(self) -> str:
        """Return `ip:port` of the connected server, empty if it cannot be told."""
        return self._transport.peer_address()

    async def subscribe_directly(self, subject: str, receive: Receive, at_piece_end: Callable[[], None]) -> None:
        """Have `receive` called with each message to `subject` while it is parsed, past nats-py's queues and tasks.

        Nobody but `receive` bounds what waits, and it must not raise. `at_piece_end` is called when the last message
        that came with others has been received.
        """
        self._receivers[subject] = receive
        self._at_piece_end.append(at_piece_end)
        await self.subscribe(subject)

    def end_piece(self) -> None:
        """Have those who have received messages handle them."""
        for handle in self._at_piece_end:
            try:
                handle()
            except Exception as error:
                # nats-py's read loop would end.
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
            # Servers let any bytes through as a subject, and this one would end the read loop.
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
        # Who waited for it may have given up, by a timeout or as a start that is to end; nats-py's read loop would end.
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
            # So would the subject for an answer: servers let any bytes through.
            return None
        return message
