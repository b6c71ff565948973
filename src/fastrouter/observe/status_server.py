"""A small HTTP server for all status listeners (spec 7.1 to 7.3, ADR 13).

These listeners share the event loop of the control process, and some are open to everybody. So a connection holds
little memory, and all of them together hold the loop for a few milliseconds at a time, whatever clients do.
"""

import asyncio
import socket
import ssl
import time
from collections import deque
from http import HTTPStatus
from typing import NamedTuple, cast

import httptools

from fastrouter.logs.error_text import error_text
from fastrouter.net.address import Address
from fastrouter.net.handover import NOTHING_INHERITED, InheritedListeners
from fastrouter.observe.responses import TEXT, ResponseStream, StatusHandler, StatusRequest, StatusResponse, head_of
from fastrouter.process.slices import SLICE

# Seconds for a request to arrive; a connection that is idle for so long is closed too.
READ_TIMEOUT = 10.0
# Seconds for a client to take what is buffered for it, which is HIGH_WATER and a part of a body at most.
WRITE_TIMEOUT = 10.0
HIGH_WATER = 16 * 1024
# Connections of one listener. One more takes the place of the one that was served least recently: idle ones and those
# that take nothing cannot keep a health check out.
MAX_CONNECTIONS = 256
# A head is a request line, a handful of headers and one credential.
MAX_HEAD = 64 * 1024
# Few requests have a use for a body. A short one is read and ignored, so that the client sees the response and no
# reset.
MAX_BODY = 64 * 1024
# Bytes of a message in all: chunks and trailers take more than the body in them.
_MAX_MESSAGE = MAX_HEAD + 4 * MAX_BODY
# Bytes of a refused request that are still read, so that the client sees the response and no reset.
_MAX_DISCARDED = 1024 * 1024

# Bytes taken off a connection at a time, and bytes of them that are parsed at a time: some two dozen requests at most.
_READ_SIZE = 4096
_PARSED_AT_ONCE = 512
# Bytes that the kernel keeps of a connection, which is what one read brings. uvloop's TLS works on all of them at once,
# even if they are key updates, which have 22 bytes and take 10 µs each.
_RECEIVE_BUFFER = 4096
# Seconds without accepting after a connection could not be accepted.
_ACCEPT_PAUSE = 0.1
# Pieces of work for a TLS client that has sent close_notify behind its request: asyncio closes the connection right
# after.
_PIECES_AT_GOODBYE = 16


class StatusServer:
    """One listener for small responses. Raises OSError from `start` if the address cannot be bound."""

    def __init__(self, handler: StatusHandler, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.handler = handler
        self.tls = tls
        self._host = host
        self._port = port
        self._listener: socket.socket | None = None
        self._is_accepting = False
        self._pause: asyncio.TimerHandle | None = None
        # Those that were served least recently come first.
        self._connections: dict[_Connection, None] = {}
        self._busy: deque[_Connection] = deque()
        self._turn: asyncio.Handle | None = None

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
        listener.setblocking(False)
        # Connections have it from their listener.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._listener = listener
        self._accept_more()

    def _bind(self) -> socket.socket:
        try:
            # The port is not shared with another process: two routers on one machine are an error to be reported.
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            return socket.create_server((self._host, self._port), family=family, reuse_port=False)
        except OSError as error:
            text = f"listen tcp {Address(self._host, self._port)}: bind: {error_text(error)}"
            raise OSError(error.errno, text) from error

    def close_listener(self) -> None:
        """Accept no more connections; those that there are go on."""
        if self._listener is not None:
            self._accept_no_more()
            self._listener.close()

    async def stop(self) -> None:
        """Close the listener and every connection."""
        self.close_listener()
        for connection in list(self._connections):
            connection.abort()
        # connection_lost is called in the next turn of the loop.
        await asyncio.sleep(0)

    def _accept_more(self) -> None:
        self._pause = None
        self._is_accepting = True
        asyncio.get_running_loop().add_reader(self.listener, self._accept)

    def _accept_no_more(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        if self._is_accepting:
            self._is_accepting = False
            asyncio.get_running_loop().remove_reader(self.listener)

    def _accept(self) -> None:
        """Accept one connection: its handshake takes a millisecond, and the loop has other work as well."""
        try:
            accepted, _ = self.listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:
            # Descriptors or memory have run out, and the listener would be ready in every turn.
            self._accept_no_more()
            self._pause = asyncio.get_running_loop().call_later(_ACCEPT_PAUSE, self._accept_more)
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            least_recent = next(iter(self._connections))
            self.forget(least_recent)
            least_recent.abort()
        self._connections[_Connection(self, accepted)] = None

    def forget(self, connection: "_Connection") -> None:
        """Remove a connection that has ended, or is about to."""
        self._connections.pop(connection, None)

    def note_served(self, connection: "_Connection") -> None:
        """Make a connection that got a response just now the last to be replaced."""
        if connection in self._connections:
            del self._connections[connection]
            self._connections[connection] = None

    def give_turn(self, connection: "_Connection") -> None:
        """Have `connection` work as soon as all others have had their turn."""
        if connection not in self._busy:
            self._busy.append(connection)
            self._have_turn()

    def _have_turn(self) -> None:
        if self._turn is None:
            self._turn = asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        """Let connections work for the length of a slice, all of them together."""
        self._turn = None
        until = time.perf_counter() + SLICE
        try:
            while self._busy and time.perf_counter() < until:
                connection = self._busy.popleft()
                try:
                    if connection.work():
                        self._busy.append(connection)
                except Exception:
                    # A bug costs one connection.
                    connection.abort()
                    raise
        finally:
            if self._busy:
                self._have_turn()


class _Request(NamedTuple):
    """What waits for its response: a request, or the `refusal` (a status) of one. `is_last`: nothing comes after it."""

    request: StatusRequest
    is_http_1_0: bool
    is_last: bool
    refusal: int = 0


class _Connection(asyncio.BufferedProtocol):
    """One client. httptools calls the on_* methods while it is fed.

    Nothing is read while anything waits to be parsed, for its response, or to be taken by the client.
    """

    def __init__(self, server: StatusServer, accepted: socket.socket) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        # By the clock of the loop: when the next request must be there.
        self._request_due = 0.0
        self._buffer = bytearray(_READ_SIZE)
        self._unparsed = b""
        self._parser = httptools.HttpRequestParser(self)
        # Whether more requests may come; if not, what comes is thrown away.
        self._is_parsing = True
        self._discarded = 0
        self._requests: deque[_Request] = deque()
        self._stream: ResponseStream | None = None
        self._is_writing_paused = False
        self._is_in_head = True
        self._message_size = 0
        self._url = b""
        self._authorization = b""
        self._body = bytearray()
        # The handshake, if there is one, is part of the time for the first request.
        self._expect_request()
        self._beginning = self._loop.create_task(self._begin(accepted))

    async def _begin(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: self, accepted, ssl=self._server.tls)
        except (OSError, asyncio.CancelledError):
            # The client has left, the handshake has failed, or the connection was replaced.
            accepted.close()
            self.connection_lost(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._server.forget(self)
        if self._deadline is not None:
            self._deadline.cancel()
        self._stream = None
        self._transport = None

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        else:
            self._beginning.cancel()

    def get_buffer(self, sizehint: int) -> bytearray:
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_parsing:
            self._unparsed += self._buffer[:nbytes]
            self._set_reading(False)
            self._server.give_turn(self)
            return
        self._discarded += nbytes
        if self._discarded > _MAX_DISCARDED:
            self.abort()

    def eof_received(self) -> bool:
        # A client may half-close its connection early, and still wants its responses.
        if self._server.tls is not None:
            for _ in range(_PIECES_AT_GOODBYE):
                if not self.work():
                    break
        return bool(self._requests or self._unparsed or self._stream)

    def pause_writing(self) -> None:
        # This also bounds what TLS sends by itself.
        self._is_writing_paused = True
        self._set_reading(False)
        self._expect(WRITE_TIMEOUT)

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        if self._stream is not None:
            self._expect(WRITE_TIMEOUT)
        elif self._message_size:
            # When TLS data was taken, the time for the next head is not extended.
            self._expect(self._request_due - self._loop.time())
        else:
            self._expect_request()
        self._server.give_turn(self)

    def work(self) -> bool:
        """Do one piece of work; False if there is none until the next event."""
        if self._transport is None or self._transport.is_closing() or self._is_writing_paused:
            return False
        if self._stream is not None:
            if self._stream.must_wait(lambda: self._server.give_turn(self)):
                return False
            self._send_part(self._stream)
        elif self._requests:
            self._answer(self._requests.popleft())
        elif self._unparsed:
            self._parse()
        else:
            self._set_reading(True)
            return False
        return True

    def on_message_begin(self) -> None:
        self._is_in_head = True
        self._url = b""
        self._authorization = b""
        self._body.clear()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # The first of several counts, as in Go; what comes behind the body does not.
        if self._is_in_head and name.lower() == b"authorization" and not self._authorization:
            self._authorization = value

    def on_headers_complete(self) -> None:
        self._is_in_head = False

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_BODY:
            self._refuse(413)

    def on_message_complete(self) -> None:
        if not self._is_parsing:
            return
        self._message_size = 0
        # The head of the next one may have begun by the time this is looked at again.
        self._is_in_head = True
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
        is_last = not self._parser.should_keep_alive()
        self._requests.append(_Request(request, self._parser.get_http_version() == "1.0", is_last))
        if is_last:
            self._stop_parsing()

    def _parse(self) -> None:
        data, self._unparsed = self._unparsed[:_PARSED_AT_ONCE], self._unparsed[_PARSED_AT_ONCE:]
        # The parser keeps a header until it is complete, so what it may keep is counted here.
        self._message_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # An upgrade is not supported, so the bytes behind the request are no HTTP.
            if self._is_parsing and self._requests:
                self._requests[-1] = self._requests[-1]._replace(is_last=True)
                self._stop_parsing()
        except httptools.HttpParserError:
            self._refuse(400)
        if self._is_in_head and self._message_size > MAX_HEAD:
            self._refuse(431)
        if self._message_size > _MAX_MESSAGE:
            self._refuse(413)

    def _refuse(self, status: int) -> None:
        if self._is_parsing:
            method = self._parser.get_method().decode("ascii", "replace")
            self._requests.append(_Request(StatusRequest(method, "", "", b""), False, True, status))
            self._stop_parsing()

    def _stop_parsing(self) -> None:
        self._is_parsing = False
        self._unparsed = b""

    def _answer(self, request: _Request) -> None:
        if request.refusal:
            text = f"{request.refusal} {HTTPStatus(request.refusal).phrase}".encode()
            response = StatusResponse(request.refusal, (TEXT,), text)
        else:
            response = self._server.handler(request.request)
        is_last = request.is_last or response.is_last
        is_head = request.request.method == "HEAD"
        self._server.note_served(self)
        if isinstance(response.body, bytes):
            head = head_of(response, is_last=is_last, size=len(response.body))
            self._expect_request()
            self._send(head if is_head else head + response.body)
        elif is_head:
            self._expect_request()
            self._send(head_of(response, is_last=is_last, is_chunked=not request.is_http_1_0))
        else:
            # HTTP/1.0 has no chunks, so a body without a length ends with the connection.
            is_last = is_last or request.is_http_1_0
            self._stream = ResponseStream(response.body, response, is_chunked=not request.is_http_1_0, is_last=is_last)
            return
        if is_last:
            self._end(is_refusal=request.refusal != 0)

    def _send_part(self, stream: ResponseStream) -> None:
        data, is_complete = stream.next_bytes()
        if is_complete:
            self._stream = None
            self._expect_request()
        else:
            self._expect(WRITE_TIMEOUT)
        self._send(data)
        if is_complete and stream.is_last:
            self._end(is_refusal=False)

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        if data:
            self._transport.write(data)

    def _end(self, *, is_refusal: bool) -> None:
        """Close the connection when the client has taken everything."""
        assert self._transport is not None
        self._stop_parsing()
        self._requests.clear()
        if is_refusal and self._transport.can_write_eof():
            # A close would meet what the client still sends with a reset, and the client would lose the response.
            self._transport.write_eof()
        else:
            self._transport.close()

    def _set_reading(self, is_wanted: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if is_wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _expect_request(self) -> None:
        self._request_due = self._loop.time() + READ_TIMEOUT
        self._expect(READ_TIMEOUT)

    def _expect(self, seconds: float) -> None:
        """Abort the connection if nothing else is expected within `seconds`."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, self.abort)
