"""Small HTTP: the server of all status listeners; what health, routes and component answer (spec 7.1 to 7.3)."""

import asyncio
import base64
import binascii
import hmac
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple, cast

import httptools

from fastrouter.address import Address
from fastrouter.handover import NOTHING_INHERITED, InheritedListeners

# Seconds for a request to arrive, and for its response to leave; a connection that is idle for so long is closed too.
READ_TIMEOUT = 10.0
WRITE_TIMEOUT = 10.0
# A head is a request line, a handful of headers and one credential.
MAX_HEAD = 64 * 1024
# Few take a body at all; for the others a short one is read past, so that the client sees the response and not a reset.
MAX_BODY = 64 * 1024

_NOT_FOUND_HEADERS = (("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"))
_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_HEALTH_HEADERS = (("Cache-Control", "private, max-age=0"), ("Expires", "0"))

LIVENESS_PATH = "/is-process-alive-do-not-use-for-loadbalancing"


class StatusRequest(NamedTuple):
    """What a handler looks at: method, path without query, the first Authorization, and a body of up to MAX_BODY."""

    method: str
    path: str
    authorization: str
    body: bytes


class StatusResponse(NamedTuple):
    """A whole response; `is_last` closes the connection after it.

    A body that takes long to make is an iterator of its parts, between which the loop does other work; such a response
    must be the last.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Iterator[bytes] = b""
    is_last: bool = False


StatusHandler = Callable[[StatusRequest], StatusResponse]

NOT_FOUND = StatusResponse(404, _NOT_FOUND_HEADERS, b"404 page not found\n")


class Credentials(NamedTuple):
    """What basic authentication asks for."""

    user: str
    password: str

    def admits(self, authorization: str) -> bool:
        """Whether an Authorization header carries these credentials: exactly `Basic`, exactly one colon."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme != "Basic":
            return False
        try:
            decoded = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        if decoded.count(b":") != 1:
            return False
        user, _, password = decoded.partition(b":")
        # Both are compared, and in constant time: how long it takes says nothing about either.
        is_user = hmac.compare_digest(user, self.user.encode())
        is_password = hmac.compare_digest(password, self.password.encode())
        return is_user and is_password


def health_handler(is_healthy: Callable[[], bool]) -> StatusHandler:
    """Answer `/health` and the liveness path."""

    def handle(request: StatusRequest) -> StatusResponse:
        if request.path == "/health":
            return _health(is_healthy())
        if request.path == LIVENESS_PATH:
            return StatusResponse(200, (_TEXT,), b"ok\n")
        return NOT_FOUND

    return handle


def routes_handler(credentials: Credentials, routes_json: Callable[[], Iterator[bytes]]) -> StatusHandler:
    """Answer `/routes` to those who have the credentials."""

    def handle(request: StatusRequest) -> StatusResponse:
        # Health paths are open on this listener too, but nothing is there.
        if request.path in {"/health", "/healthz"}:
            return NOT_FOUND
        if not credentials.admits(request.authorization):
            return _unauthorized()
        if request.path == "/routes":
            return _json(routes_json())
        return NOT_FOUND

    return handle


def component_handler(
    credentials: Credentials,
    is_healthy: Callable[[], bool],
    varz_json: Callable[[], bytes],
    routes_json: Callable[[], Iterator[bytes]],
) -> StatusHandler:
    """Answer everything that the deprecated component listener has."""

    def handle(request: StatusRequest) -> StatusResponse:
        if request.path in {"/health", "/healthz"}:
            return _health(is_healthy())
        if not credentials.admits(request.authorization):
            return _unauthorized()
        if request.path == "/varz":
            return _json(varz_json())
        if request.path == "/routes":
            return _json(routes_json())
        return NOT_FOUND

    return handle


class StatusServer:
    """One listener for small answers. Raises OSError from `start` if the address cannot be bound."""

    def __init__(self, handler: StatusHandler, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._host = host
        self._port = port
        self._tls = tls
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[_StatusConnection] = set()

    @property
    def port(self) -> int:
        """The bound port, which is the configured one unless that is 0."""
        port: int = self.listener.getsockname()[1]
        return port

    @property
    def listener(self) -> socket.socket:
        """The listening socket, once it is bound; it stays the server's."""
        assert self._listener is not None
        return self._listener

    async def start(self, inherited: InheritedListeners = NOTHING_INHERITED, name: str = "") -> None:
        """Serve on the listener `name` of `inherited`, or bind one."""
        listener = inherited.take_one(name, self._port)
        if listener is None:
            listener = self._bind()
        self._listener = listener
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _StatusConnection(self._handler, self._connections), sock=listener, ssl=self._tls
        )

    def _bind(self) -> socket.socket:
        try:
            # A listener of another process may not share the port: two routers on one machine are a mistake to be told.
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            return socket.create_server((self._host, self._port), family=family, reuse_port=False)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise OSError(error.errno, f"listen tcp {Address(self._host, self._port)}: bind: {reason}") from error

    def close_listener(self) -> None:
        """Accept no more connections; those that there are go on."""
        if self._server is not None:
            self._server.close()

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await self._server.wait_closed()
        self._server = None


class _StatusConnection(asyncio.Protocol):
    """One client. httptools calls the on_* methods while it is fed."""

    def __init__(self, handler: StatusHandler, connections: "set[_StatusConnection]") -> None:
        self._handler = handler
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._is_done = False
        self._gathering: asyncio.Task[None] | None = None
        self._is_in_head = True
        self._url = b""
        self._authorization = b""
        self._head_size = 0
        self._body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        self._expect(READ_TIMEOUT)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._connections.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._gathering is not None:
            self._gathering.cancel()
        self._transport = None

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._is_done:
            return
        # The parser keeps a header until it is complete, so what it may keep is counted here.
        self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(400)
        if self._is_in_head and self._head_size > MAX_HEAD:
            self._refuse(431)

    def eof_received(self) -> bool:
        # A client may say early that it has no more requests; it still wants what it has asked for.
        return self._gathering is not None

    def pause_writing(self) -> None:
        # The response is longer than the socket takes at once: the client has so long to read it.
        self._expect(WRITE_TIMEOUT)

    def resume_writing(self) -> None:
        self._expect(READ_TIMEOUT)

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._url = b""
        self._authorization = b""
        self._body.clear()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # The first of several counts, as in Go.
        if name.lower() == b"authorization" and not self._authorization:
            self._authorization = value

    def on_headers_complete(self) -> None:
        self._is_in_head = False

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_BODY:
            self._refuse(413)

    def on_message_complete(self) -> None:
        if self._is_done:
            return
        self._head_size = 0
        try:
            path = httptools.parse_url(self._url).path or b""
        except httptools.HttpParserError:
            self._refuse(400)
            return
        request = StatusRequest(
            self._parser.get_method().decode("ascii"),
            path.decode("latin-1"),
            self._authorization.decode("latin-1"),
            bytes(self._body),
        )
        response = self._handler(request)
        is_head = request.method == "HEAD"
        if isinstance(response.body, bytes):
            self._respond(response, response.body, is_head=is_head)
        else:
            self._is_done = True
            self._expect(WRITE_TIMEOUT)
            gathering = self._gather(response, response.body, is_head=is_head)
            self._gathering = asyncio.get_running_loop().create_task(gathering)

    async def _gather(self, response: StatusResponse, parts: Iterator[bytes], *, is_head: bool) -> None:
        body = bytearray()
        for part in parts:
            body += part
            await asyncio.sleep(0)
        self._respond(response, bytes(body), is_head=is_head)

    def _refuse(self, status: int) -> None:
        if not self._is_done:
            text = f"{status} {HTTPStatus(status).phrase}".encode()
            is_head = self._parser.get_method() == b"HEAD"
            self._respond(StatusResponse(status, (_TEXT,), is_last=True), text, is_head=is_head)

    def _respond(self, response: StatusResponse, body: bytes, *, is_head: bool) -> None:
        if self._transport is None:
            return
        is_last = response.is_last or not self._parser.should_keep_alive()
        lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in response.headers]
        lines += [f"Date: {formatdate(usegmt=True)}", f"Content-Length: {len(body)}"]
        if is_last:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        self._expect(READ_TIMEOUT)
        self._transport.write(head if is_head else head + body)
        if is_last:
            self._is_done = True
            self._transport.close()

    def _expect(self, seconds: float) -> None:
        """Abort the connection if nothing else is expected within `seconds`."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, self.abort)


def _health(is_healthy: bool) -> StatusResponse:
    if is_healthy:
        return StatusResponse(200, (*_HEALTH_HEADERS, _TEXT), b"ok\n")
    return StatusResponse(503, _HEALTH_HEADERS)


def _unauthorized() -> StatusResponse:
    return StatusResponse(401, (("WWW-Authenticate", "Basic"), _TEXT), b"401 Unauthorized\n")


def _json(body: bytes | Iterator[bytes]) -> StatusResponse:
    return StatusResponse(200, (("Content-Type", "application/json"),), body, is_last=True)
