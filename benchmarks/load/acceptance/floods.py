"""The catalogue of floods: what 4 clients, or the 4 backends behind 4 clients, can do to a router as fast as they can.

Run as a process of its own, `python -m benchmarks.load.acceptance.floods NAME`. It prints a line of JSON with the ports
of its backends, reads a line with the router's two ports (plain and TLS), floods until its standard input ends, and
prints a line of JSON with what went over the wires. Clients write large prebuilt buffers, so that the router and not
the generator is what is busy. A client whose connection ends opens the next one.
"""

import contextlib
import ctypes
import itertools
import json
import math
import os
import socket
import ssl
import struct
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import hpack

CONNECTIONS = 4
HOST = "flood.test"

_READ_SIZE = 1 << 20
# About the size of one write: large enough that the generator sleeps in the kernel most of the time.
_WRITE_SIZE = 1 << 20
_ABORT = struct.pack("ii", 1, 0)


class Traffic:
    """Where a flood goes, and how much of it went."""

    def __init__(self) -> None:
        self.plain_port = 0
        self.tls_port = 0
        self.connections = 0
        self.sent = 0
        self.received = 0

    def connect(self, port: int | None = None) -> "Connection":
        self.connections += 1
        return Connection(socket.create_connection(("127.0.0.1", port or self.plain_port)), self)


class Connection:
    """One end of a connection of a flood; a context manager that closes it."""

    def __init__(self, sock: socket.socket, traffic: Traffic) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self._traffic = traffic

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            # Wakes a thread that drains it, which close alone would not.
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)
        self._traffic.sent += len(data)

    def send_for_ever(self, data: bytes) -> None:
        while True:
            self.send(data)

    def send_bytes(self, data: bytes) -> None:
        """One byte a segment."""
        for number in range(len(data)):
            self.send(data[number : number + 1])

    def receive(self, size: int = _READ_SIZE) -> bytes:
        """Raises ConnectionError at the end."""
        data = self.socket.recv(size)
        if not data:
            raise ConnectionError("ended by the peer")
        self._traffic.received += len(data)
        return data

    def drain(self) -> None:
        """Read until the end, and forget what came."""
        with contextlib.suppress(OSError):
            while True:
                self.receive()

    def drain_beside(self) -> None:
        threading.Thread(target=self.drain, daemon=True).start()

    def read_head(self, buffer: bytearray) -> bytes:
        """The next head; what came behind it is left in `buffer`."""
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            buffer += self.receive()
        head = bytes(buffer[: end + 4])
        del buffer[: end + 4]
        return head


Client = Callable[[Traffic], None]
"""Opens one connection and does to it what it can; returns, or raises OSError, when that is over."""

Backend = Callable[[Connection], None]
"""The same with a connection from the router."""


@dataclass(frozen=True)
class Flood:
    """One flood. `configuration` is what the router needs besides, `protocol` what its backends speak.

    A bystander's requests may take `max_p99_ms`, and the router may grow by `max_growth` bytes.
    """

    name: str
    client: Client
    backend: Backend | None = None
    configuration: dict[str, Any] = field(default_factory=dict)
    protocol: str = ""
    max_p99_ms: float = 8.0
    max_growth: float = math.inf


# What clients do.


def request(
    target: str = "/", *fields: str, method: str = "GET", host: str = HOST, body: bytes = b"", version: str = "1.1"
) -> bytes:
    lines = (f"{method} {target} HTTP/{version}", f"Host: {host}", *fields)
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n" + body


def repeated(data: bytes) -> bytes:
    """About _WRITE_SIZE of it."""
    return data * max(1, _WRITE_SIZE // len(data))


def pipeline(message: bytes, opening: bytes = b"", *, reads: bool = True) -> Client:
    """Send one message without end; read the answers, or never."""
    burst = repeated(message)

    def run(traffic: Traffic) -> None:
        with traffic.connect() as connection:
            if reads:
                connection.drain_beside()
            if opening:
                connection.send(opening)
            connection.send_for_ever(burst)

    return run


def segments(message: bytes, opening: bytes = b"") -> Client:
    """Send one message without end, one byte a segment."""

    def run(traffic: Traffic) -> None:
        with traffic.connect() as connection:
            connection.drain_beside()
            connection.send(opening)
            while True:
                connection.send_bytes(message)

    return run


def one_by_one(message: bytes = b"", *, aborts: bool = False, reads: bool = True) -> Client:
    """Send one message over a connection of its own, and end it: after the answer, or at once."""

    def run(traffic: Traffic) -> None:
        with traffic.connect() as connection:
            connection.send(message)
            if reads:
                connection.receive()
            if aborts:
                connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                connection.socket.close()

    return run


def in_turn(message: bytes, *, reads: bool = True) -> Client:
    """Send a message and read until the connection ends, which it may never do; or don't read at all."""

    def run(traffic: Traffic) -> None:
        with traffic.connect() as connection:
            connection.send(message)
            if reads:
                connection.drain()
            else:
                threading.Event().wait()

    return run


def exchanges(message: bytes) -> Client:
    """Ask again whenever something has come."""

    def run(traffic: Traffic) -> None:
        with traffic.connect() as connection:
            while True:
                connection.send(message)
                connection.receive()

    return run


def half_open(message: bytes, count: int = 400, *, aborts: bool = False) -> Client:
    """Hold `count` connections with an unfinished message, always giving up, or resetting, the oldest for a new one."""

    def run(traffic: Traffic) -> None:
        held: deque[Connection] = deque()

        def let_go() -> None:
            for connection in held:
                connection.socket.close()

        with contextlib.ExitStack() as stack:
            stack.callback(let_go)
            while True:
                held.append(traffic.connect())
                held[-1].send(message)
                if aborts:
                    held[-1].socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                if len(held) > count:
                    held.popleft().socket.close()

    return run


def half_closed(message: bytes) -> Client:
    """Send a message over a connection of its own and end it, but read until the other side does."""

    def run(traffic: Traffic) -> None:
        with traffic.connect() as connection:
            connection.send(message)
            connection.socket.shutdown(socket.SHUT_WR)
            connection.drain()

    return run


# What clients with TLS do. They encrypt into memory, and send from there.


class Secured:
    """A connection on which a handshake was made."""

    def __init__(
        self,
        connection: Connection,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        protocols: Sequence[str] = ("http/1.1",),
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(list(protocols))
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)
        self._connection = connection

    def greeting(self) -> bytes:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._outgoing.read()

    def shake_hands(self) -> None:
        self._connection.send(self.greeting())
        while True:
            self._incoming.write(self._connection.receive())
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.flush()
            else:
                self.flush()
                return

    def flush(self) -> None:
        if self._outgoing.pending:
            self._connection.send(self._outgoing.read())

    def write(self, data: bytes) -> None:
        """One record for up to 16 KiB."""
        self.tls.write(data)

    def update_keys(self) -> None:
        """Write a KeyUpdate that asks for another one (RFC 8446 section 4.6.3). Python has no call for it."""
        openssl = _openssl()
        # The pointer that follows the object's header and a weak reference.
        handle = ctypes.c_void_p.from_address(id(self.tls._sslobj) + object.__basicsize__ + 8)  # type: ignore[attr-defined]
        if openssl.SSL_key_update(handle, 1) != 1 or openssl.SSL_do_handshake(handle) != 1:
            raise RuntimeError("OpenSSL does not update keys")


@cache
def _openssl() -> ctypes.CDLL:
    """The library that the ssl module has loaded already."""
    with open("/proc/self/maps") as maps:
        path = next(line.split()[-1] for line in maps if "libssl" in line)
    return ctypes.CDLL(path)


@contextlib.contextmanager
def secured(
    traffic: Traffic, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, protocols: Sequence[str] = ("http/1.1",)
) -> Iterator[tuple[Connection, Secured]]:
    with traffic.connect(traffic.tls_port) as connection:
        tls = Secured(connection, version, protocols)
        tls.shake_hands()
        yield connection, tls


def handshakes(version: ssl.TLSVersion) -> Client:
    def run(traffic: Traffic) -> None:
        with secured(traffic, version):
            pass

    return run


def greetings(traffic: Traffic) -> None:
    """Make the router sign, and leave."""
    with traffic.connect(traffic.tls_port) as connection:
        connection.send(Secured(connection).greeting())
        connection.receive()


def greeting_in_tiny_records(traffic: Traffic) -> None:
    """A ClientHello of which every record holds one byte."""
    with traffic.connect(traffic.tls_port) as connection:
        greeting = Secured(connection).greeting()
        for byte in greeting[5:]:
            connection.send(greeting[:3] + b"\0\1" + bytes([byte]))
        connection.receive()


def noise_on_the_tls_port(traffic: Traffic) -> None:
    with traffic.connect(traffic.tls_port) as connection:
        connection.send(b"\x16\x03\x01\x40\x00" + b"x" * 65536)
        connection.receive()


def secured_pipeline(message: bytes, size: int) -> Client:
    """The same message for ever in records of `size` bytes."""

    def run(traffic: Traffic) -> None:
        with secured(traffic) as (connection, tls):
            connection.drain_beside()
            pieces = [message[start : start + size] for start in range(0, len(message), size)]
            while True:
                for piece in pieces * max(1, 65536 // len(message)):
                    tls.write(piece)
                tls.flush()

    return run


def tiny_records(traffic: Traffic) -> None:
    """An endless body of records of a byte each."""
    with secured(traffic) as (connection, tls):
        connection.drain_beside()
        tls.write(_ENDLESS_UPLOAD)
        while True:
            for _ in range(4096):
                tls.write(b"x")
            tls.flush()


def key_updates(*, reads: bool) -> Client:
    def run(traffic: Traffic) -> None:
        with secured(traffic) as (connection, tls):
            if reads:
                connection.drain_beside()
            while True:
                for _ in range(512):
                    tls.update_keys()
                tls.flush()

    return run


# What clients that speak HTTP/2 do, all of them with TLS.


_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _PRIORITY, _RST_STREAM, _SETTINGS, _PUSH_PROMISE, _PING = range(7)
_GOAWAY, _WINDOW_UPDATE, _CONTINUATION = range(7, 10)
_END_STREAM, _END_HEADERS = 1, 4
_INITIAL_WINDOW = 4
# Of one connection; whoever may have more opens another one.
_STREAMS = 10_000


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """RFC 9113 section 4.1."""
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def block(*fields: tuple[str, str], method: str = "GET") -> bytes:
    """The header block of a request, which leaves the table of whoever reads it alone."""
    pseudo = ((":method", method), (":scheme", "https"), (":authority", HOST), (":path", "/"))
    encoded: bytes = hpack.Encoder().encode(
        [hpack.NeverIndexedHeaderTuple(name, value) for name, value in (*pseudo, *fields)]
    )
    return encoded


def window(size: int) -> bytes:
    """SETTINGS with this window for each stream."""
    return frame(_SETTINGS, payload=struct.pack(">HI", _INITIAL_WINDOW, size))


def spoken(pieces: Callable[[], Iterable[bytes]], opening: bytes = b"", *, reads: bool = True) -> Client:
    """Send an opening, and then these pieces; when there are no more, wait for the end."""

    def run(traffic: Traffic) -> None:
        with secured(traffic, protocols=("h2",)) as (connection, tls):
            if reads:
                connection.drain_beside()
            tls.write(_PREFACE + (opening or frame(_SETTINGS)))
            for piece in pieces():
                tls.write(piece)
                tls.flush()
            while not reads:
                connection.receive()
            threading.Event().wait(1.0)

    return run


def held(opening: bytes, count: int = 100) -> Client:
    """Hold `count` connections that have said this, and always give up the oldest for a new one."""

    def run(traffic: Traffic) -> None:
        connections: deque[contextlib.ExitStack] = deque()
        try:
            while True:
                connections.append(contextlib.ExitStack())
                _, tls = connections[-1].enter_context(secured(traffic, protocols=("h2",)))
                tls.write(_PREFACE + opening)
                tls.flush()
                if len(connections) > count:
                    connections.popleft().close()
        finally:
            for one in connections:
                one.close()

    return run


def without_pause(data: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: itertools.repeat(data * max(1, 65536 // len(data)))


def on_each_stream(*frames: tuple[int, int, bytes]) -> Callable[[], Iterable[bytes]]:
    """These frames, by kind, flags and payload, on one stream after the other."""

    @cache
    def pieces() -> list[bytes]:
        return [
            b"".join(frame(kind, flags, stream, payload) for stream in part for kind, flags, payload in frames)
            for part in (range(first, first + 200, 2) for first in range(1, 2 * _STREAMS, 200))
        ]

    return pieces


def on_some_streams(count: int, *frames: tuple[int, int, bytes]) -> bytes:
    return b"".join(
        frame(kind, flags, stream, payload) for stream in range(1, 2 * count, 2) for kind, flags, payload in frames
    )


_WHOLE = _END_STREAM | _END_HEADERS
_ASKED = (_HEADERS, _WHOLE, block())
_BEGUN = (_HEADERS, _END_HEADERS, block(method="POST"))
_SHORT = (_HEADERS, _END_HEADERS, block(("content-length", "1"), method="POST"))
_OPEN_HEAD = frame(_SETTINGS) + frame(_HEADERS, _END_STREAM, 1, block())
_OPEN_BODY = frame(_SETTINGS) + on_some_streams(1, _BEGUN)
_HUNDRED = on_some_streams(100, _ASKED)
_ONE_BYTE = struct.pack(">I", 1)
_BYTE_BY_BYTE = on_some_streams(100, (_WINDOW_UPDATE, 0, _ONE_BYTE))
# A field of 4 KB that goes into the table of whoever reads it, and mentions of it (RFC 7541 section 6.2.1).
_MENTIONED = (_HEADERS, _WHOLE, block() + b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 12000)


# What clients with PROXY headers do.


_PROXY_LINE = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n"


def dribbled_proxy_lines(traffic: Traffic) -> None:
    with traffic.connect() as connection:
        connection.send_bytes(_PROXY_LINE)
        connection.send(request(host="no.test"))
        connection.receive()


# What clients of tunnels do.


_UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
_TINY_FRAME = b"\x82\x81\x01\x02\x03\x04\x01"
_LARGE_FRAME = b"\x82\xff" + struct.pack("!Q", 65536) + b"\x01\x02\x03\x04" + b"x" * 65536


def tunnel(traffic: Traffic, use: Callable[[Connection], None]) -> None:
    with traffic.connect() as connection:
        connection.send(request("/", *_UPGRADE))
        if not connection.read_head(bytearray()).startswith(b"HTTP/1.1 101"):
            raise ConnectionError("no tunnel")
        connection.drain_beside()
        use(connection)


def tunnel_of_tiny_segments(traffic: Traffic) -> None:
    tunnel(traffic, lambda connection: connection.send_for_ever(_TINY_FRAME))


def tunnel_of_large_frames(traffic: Traffic) -> None:
    tunnel(traffic, lambda connection: connection.send_for_ever(repeated(_LARGE_FRAME)))


def silent_tunnel(traffic: Traffic) -> None:
    def keep_silent(_connection: Connection) -> None:
        threading.Event().wait()

    tunnel(traffic, keep_silent)


# What backends do.


_HEAD = b"HTTP/1.1 200 OK\r\n"
_TINY = _HEAD + b"Content-Length: 2\r\n\r\nok"
_CHUNKED = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_ENDLESS = _HEAD + b"Content-Length: 1000000000000\r\n\r\n"


def answering(answer: bytes = _TINY) -> Backend:
    """Answer every request, however many come at once, when its body has come; an endless one is read for ever."""

    def run(connection: Connection) -> None:
        buffer = bytearray()
        while True:
            head = connection.read_head(buffer).lower()
            if b"\r\nexpect:" in head:
                connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if b"\r\ntransfer-encoding:" in head:
                _skip_chunks(connection, buffer)
            else:
                _skip(connection, buffer, int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0))
            connection.send(answer)

    return run


def _skip(connection: Connection, buffer: bytearray, length: int) -> None:
    while length > len(buffer):
        length -= len(buffer)
        buffer[:] = connection.receive()
    del buffer[:length]


def _skip_chunks(connection: Connection, buffer: bytearray) -> None:
    """Skip a body that begins with its last chunk; any other is taken for an endless one."""
    while len(buffer) < 3:
        buffer += connection.receive()
    if not buffer.startswith(b"0\r\n"):
        connection.drain()
        raise ConnectionError("ended by the router")
    # Without trailers the empty line follows at once.
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        buffer += connection.receive()
    del buffer[: end + 4]


def without_end(repeats: bytes, opening: bytes = b"") -> Backend:
    """Begin to answer the first request, and never end."""
    burst = repeated(repeats)

    def run(connection: Connection) -> None:
        connection.read_head(bytearray())
        connection.send(opening)
        connection.send_for_ever(burst)

    return run


def without_end_by_bytes(repeats: bytes, opening: bytes = b"") -> Backend:
    """The same, one byte a segment."""

    def run(connection: Connection) -> None:
        connection.read_head(bytearray())
        connection.send(opening)
        while True:
            connection.send_bytes(repeats)

    return run


def echoing_tunnel(connection: Connection) -> None:
    connection.read_head(bytearray())
    connection.send(_SWITCHING)
    while True:
        connection.send(connection.receive())


def flooding_tunnel(data: bytes) -> Backend:
    """Send without end, and take what comes."""

    def run(connection: Connection) -> None:
        connection.read_head(bytearray())
        connection.send(_SWITCHING)
        connection.drain_beside()
        connection.send_for_ever(data)

    return run


def resetting(answer: bytes) -> Backend:
    def run(connection: Connection) -> None:
        connection.read_head(bytearray())
        connection.send(answer)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        connection.socket.close()

    return run


# What backends that speak HTTP/2 do, in the clear.


def _answer_block(*fields: tuple[str, str], status: int = 200) -> bytes:
    encoded: bytes = hpack.Encoder().encode(
        [hpack.NeverIndexedHeaderTuple(name, value) for name, value in ((":status", str(status)), *fields)]
    )
    return encoded


class Spoken:
    """The backend's end of a connection of HTTP/2."""

    def __init__(self, connection: Connection, settings: bytes = b"") -> None:
        self._connection = connection
        self._buffer = bytearray()
        # What the router lets be sent at first on a stream, and what it has let be sent besides, by stream; 0 is all.
        self.window = 65535
        self.updates: dict[int, int] = defaultdict(int)
        while len(self._buffer) < len(_PREFACE):
            self._buffer += connection.receive()
        del self._buffer[: len(_PREFACE)]
        connection.send(frame(_SETTINGS, payload=settings) + frame(_SETTINGS, 1))

    def read(self) -> tuple[int, int, bytes]:
        """Kind, stream and payload of the next frame."""
        while len(self._buffer) < 9 or len(self._buffer) < 9 + int.from_bytes(self._buffer[:3], "big"):
            self._buffer += self._connection.receive()
        size = 9 + int.from_bytes(self._buffer[:3], "big")
        kind, stream, payload = self._buffer[3], int.from_bytes(self._buffer[5:9], "big"), bytes(self._buffer[9:size])
        del self._buffer[:size]
        if kind == _WINDOW_UPDATE:
            self.updates[stream] += int.from_bytes(payload, "big")
        elif kind == _SETTINGS:
            self.window = dict(struct.iter_unpack(">HI", payload)).get(_INITIAL_WINDOW, self.window)
        return kind, stream, payload

    def read_request(self) -> int:
        """The stream of the next request."""
        while True:
            kind, stream, _ = self.read()
            if kind == _HEADERS:
                return stream


def speaking(repeats: bytes, *opening: tuple[int, int, bytes], settings: bytes = b"") -> Backend:
    """Begin to answer the first request with frames by kind, flags and payload; then send `repeats` without end.

    `repeats` is what it says of the first stream, or of none.
    """
    burst = repeated(repeats)

    def run(connection: Connection) -> None:
        stream = Spoken(connection, settings).read_request()
        connection.drain_beside()
        connection.send(b"".join(frame(kind, flags, stream, payload) for kind, flags, payload in opening))
        connection.send_for_ever(burst)

    return run


def speaking_within_windows(repeats: bytes, size: int) -> Backend:
    """Answer the first request with a body without end, of DATA of `size` bytes, as fast as windows let it."""

    def run(connection: Connection) -> None:
        spoken = Spoken(connection)
        stream = spoken.read_request()
        connection.send(frame(_HEADERS, _END_HEADERS, stream, _answer_block()))
        sent = 0
        while True:
            room = min(65535 + spoken.updates[0], spoken.window + spoken.updates[stream]) - sent
            if room < size:
                spoken.read()
                continue
            count = min(room, 65536) // size
            connection.send(repeats * count)
            sent += count * size

    return run


def replying(*frames: tuple[int, int, bytes], settings: bytes = b"") -> Backend:
    """Reply to each request with these frames, by kind, flags and payload, on its stream."""

    def run(connection: Connection) -> None:
        spoken = Spoken(connection, settings)
        while True:
            stream = spoken.read_request()
            said = ((kind, flags, 0 if kind == _GOAWAY else stream, payload) for kind, flags, payload in frames)
            connection.send(b"".join(frame(*one) for one in said))

    return run


def stalling(settings: bytes = b"") -> Backend:
    """Take the first request, and nothing more."""

    def run(connection: Connection) -> None:
        Spoken(connection, settings).read_request()
        threading.Event().wait()

    return run


# The catalogue.


def _fields(count: int, size: int) -> list[str]:
    return [f"X-Field-{number}: {'v' * size}" for number in range(count)]


_GET = request()
_ENDLESS_UPLOAD = request("/", "Content-Length: 1000000000000", method="POST")
_EXPECTING_UPLOAD = request("/", "Content-Length: 1000000000000", "Expect: 100-continue", method="POST")
_UPLOAD = request("/", "Content-Length: 1000", method="POST", body=b"x" * 1000)
_CHUNKED_UPLOAD = request("/", "Transfer-Encoding: chunked", method="POST")
_CONNECT = request("/", "Connection: close")
_HALF_A_MEGABYTE = 500_000
_UNKNOWN = request(host="no.test")
_DATED_COOKIE = b"Set-Cookie: JSESSIONID=%s; Path=/; Expires=Wed, 21 Oct 2035 07:28:00 GMT; Max-Age=3600\r\n" % (
    b"s" * 32
)


def _padded(target: str, *fields: str, **options: Any) -> Client:
    return pipeline(request(target, *fields, **options))


_LARGE_ANSWER = answering(_HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000)

_OPEN_BODIES = frame(_SETTINGS) + on_some_streams(100, _BEGUN)
# A byte on each of a hundred streams, again and again.
_BYTES_FOR_ALL = on_some_streams(100, (_DATA, 0, b"x"))


def silent(_connection: Connection) -> None:
    """Take nothing at all."""
    threading.Event().wait()


_OF_CLIENTS = (
    # Requests that the router answers by itself.
    Flood("unknown-host", pipeline(_UNKNOWN)),
    Flood("unknown-host-unread", pipeline(_UNKNOWN, reads=False)),
    Flood("options-star", pipeline(request("*", method="OPTIONS"))),
    Flood("options-star-unread", pipeline(request("*", method="OPTIONS"), reads=False)),
    Flood("health-checks", pipeline(request("/", "User-Agent: HTTP-Monitor/1.1"))),
    Flood("health-checks-unread", pipeline(request("/", "User-Agent: HTTP-Monitor/1.1"), reads=False)),
    Flood("unknown-version", pipeline(request(version="1.2"))),
    Flood("bad-requests", pipeline(b"GET / HTTP/1.1\r\n\r\n")),
    Flood("bad-requests-on-new-connections", one_by_one(b"GET / HTTP/1.1\r\n\r\n")),
    Flood("too-many-headers", pipeline(request("/", *_fields(1100, 4)))),
    Flood("too-large-heads", pipeline(request("/", *_fields(200, 10_000)))),
    Flood("unknown-instances", _padded("/", "X-CF-App-Instance: app:9")),
    Flood("long-instances", _padded("/", "X-CF-App-Instance: " + "a" * _HALF_A_MEGABYTE)),
    # Requests that are passed on.
    Flood("tiny-answers", pipeline(_GET)),
    Flood("tiny-answers-unread", pipeline(_GET, reads=False)),
    Flood("heads-of-methods", pipeline(request(method="HEAD"))),
    Flood("large-answers", pipeline(_GET), _LARGE_ANSWER),
    Flood("uploads", pipeline(request("/", "Content-Length: 100000", method="POST", body=b"x" * 100_000))),
    Flood("endless-upload", pipeline(b"x", _ENDLESS_UPLOAD)),
    Flood("expectations", pipeline(request("/", "Expect: 100-continue", "Content-Length: 1", method="PUT", body=b"x"))),
    Flood("refused-upgrades", pipeline(request("/", *_UPGRADE))),
    Flood("http-1.0", one_by_one(request(version="1.0"))),
    Flood("blank-lines", pipeline(b"\r\n")),
    Flood("blank-lines-between-requests", pipeline(_GET + b"\r\n" * 10_000)),
    Flood("blank-lines-before-unknown-hosts", pipeline(_UNKNOWN + b"\r\n" * 100)),
    # Bodies.
    Flood("tiny-chunks", pipeline(b"1\r\nx\r\n", _CHUNKED_UPLOAD)),
    Flood("tiny-chunks-for-unknown-host", pipeline(b"1\r\nx\r\n", _CHUNKED_UPLOAD.replace(HOST.encode(), b"no.test"))),
    Flood("chunk-extensions", pipeline(b"1;a=b\r\nx\r\n", _CHUNKED_UPLOAD)),
    Flood("long-chunk-extensions", pipeline(b"1;" + b"a" * 1000 + b"\r\nx\r\n", _CHUNKED_UPLOAD)),
    Flood("endless-chunk-extension", pipeline(b"a", _CHUNKED_UPLOAD + b"1;")),
    Flood("empty-chunked-requests", pipeline(_CHUNKED_UPLOAD + b"0\r\n\r\n")),
    Flood("trailers", pipeline(b"A: b\r\n", _CHUNKED_UPLOAD + b"0\r\n")),
    Flood("endless-trailer", pipeline(b"b", _CHUNKED_UPLOAD + b"0\r\nA: ")),
    Flood("pipelined-trailers", pipeline(_CHUNKED_UPLOAD + b"0\r\n" + b"A: b\r\n" * 1000 + b"\r\n")),
    Flood("body-in-tiny-segments", segments(b"x" * 1000, _ENDLESS_UPLOAD)),
    Flood("chunks-in-tiny-segments", segments(b"1\r\nx\r\n", _CHUNKED_UPLOAD)),
    Flood("heads-in-tiny-segments", segments(_UNKNOWN)),
    Flood("large-head-in-tiny-segments", segments(b"x" * 1000, _GET[:-2] + b"X-Field: ")),
    # Heads.
    Flood("large-heads", pipeline(request("/", *_fields(990, 1000)))),
    Flood("large-heads-for-unknown-host", pipeline(request("/", *_fields(990, 1000), host="no.test"))),
    Flood("heads-of-one-line", _padded("/", "X-Field: " + "v" * 1_000_000)),
    Flood("host-of-labels", pipeline(request(host="a." * 100_000 + "test"))),
    Flood("short-hosts-of-labels", pipeline(request(host="a." * 120 + "test"))),
    Flood("host-of-dots", pipeline(request(host="." * 200_000))),
    Flood("target-of-labels", _padded("http://" + "a." * 100_000 + "test/")),
    Flood("path-of-slashes", _padded("/" + "x/" * 100_000)),
    Flood("path-of-slashes-for-unknown-host", _padded("/" + "x/" * 100_000, host="no.test")),
    Flood("path-of-escapes", _padded("/" + "%2f" * 100_000)),
    Flood("connection-tokens", _padded("/", "Connection: " + ", ".join(f"t{number}" for number in range(20_000)))),
    Flood(
        "connection-tokens-and-fields",
        _padded("/", "Connection: " + ", ".join(f"x-field-{number}" for number in range(20_000)), *_fields(900, 10)),
    ),
    Flood("cookie-of-semicolons", _padded("/", "Cookie: " + ";" * _HALF_A_MEGABYTE)),
    Flood("cookie-of-pairs", _padded("/", "Cookie: " + "a=b; " * (_HALF_A_MEGABYTE // 5))),
    Flood("cookie-of-instances", _padded("/", "Cookie: JSESSIONID=a; " + "__VCAP_ID__=i; " * (_HALF_A_MEGABYTE // 15))),
    Flood("long-instance-cookie", _padded("/", "Cookie: JSESSIONID=a; __VCAP_ID__=" + "i" * _HALF_A_MEGABYTE)),
    Flood("many-cookies", _padded("/", *("Cookie: JSESSIONID=a; __VCAP_ID__=i" for _ in range(900)))),
    Flood("forwarded-for", _padded("/", "X-Forwarded-For: " + "10.0.0.1, " * (_HALF_A_MEGABYTE // 10))),
    Flood("forwarded-client-cert", _padded("/", "X-Forwarded-Client-Cert: " + "c" * _HALF_A_MEGABYTE)),
    Flood("query-of-pairs", _padded("//x?" + "a&" * (_HALF_A_MEGABYTE // 2))),
    Flood("query-of-many-names", _padded("//x?" + "&".join(f"{number * 7919 % 80000}=v" for number in range(80_000)))),
    Flood("query-of-semicolons", _padded("/x?" + "a;" * (_HALF_A_MEGABYTE // 2))),
    Flood(
        "logged-fields-of-quotes", _padded("/", "User-Agent: " + '"' * _HALF_A_MEGABYTE, 'Referer: "\\' + '"' * 1000)
    ),
    Flood("trace-fields", _padded("/", "X-B3-TraceId: " + "a" * 250_000, "Traceparent: " + "0" * 250_000)),
    Flood(
        "signatures", _padded("/", "X-CF-Proxy-Signature: " + "s" * 250_000, "X-CF-Proxy-Metadata: " + "m" * 250_000)
    ),
    Flood("lists-of-codings", _padded("/", "TE: " + "trailers, " * 40_000)),
    # Connections.
    Flood("connects", one_by_one(reads=False)),
    Flood("connects-and-resets", one_by_one(aborts=True, reads=False)),
    Flood("a-request-a-connection", one_by_one(_CONNECT)),
    Flood("requests-and-resets", one_by_one(_GET, aborts=True, reads=False)),
    Flood("half-open-heads", half_open(_GET[:-2])),
    Flood("half-open-bodies", half_open(_ENDLESS_UPLOAD)),
    Flood("half-open-bodies-that-have-begun", half_open(_ENDLESS_UPLOAD + b"x" * 1000)),
    Flood("half-open-chunks", half_open(_CHUNKED_UPLOAD + b"2\r\nx")),
    Flood("half-open-expectations", half_open(_EXPECTING_UPLOAD)),
    Flood("half-open-bodies-and-resets", half_open(_ENDLESS_UPLOAD, aborts=True)),
    Flood("half-closed-bodies", half_closed(_ENDLESS_UPLOAD)),
    Flood("half-closed-requests", half_closed(_UPLOAD)),
    Flood("uploads-and-resets", one_by_one(_UPLOAD, aborts=True, reads=False)),
    Flood("unread-answers-on-new-connections", half_open(_GET)),
    Flood("unanswered-requests-on-new-connections", half_open(_GET), Connection.drain),
    # Tunnels.
    Flood("tunnel-of-tiny-segments", tunnel_of_tiny_segments, echoing_tunnel),
    Flood("tunnel-of-large-frames", tunnel_of_large_frames, echoing_tunnel),
    # TLS.
    Flood("handshakes-1.3", handshakes(ssl.TLSVersion.TLSv1_3)),
    Flood("handshakes-1.2", handshakes(ssl.TLSVersion.TLSv1_2)),
    Flood("client-hellos", greetings),
    Flood("client-hellos-in-tiny-records", greeting_in_tiny_records),
    Flood("noise-on-the-tls-port", noise_on_the_tls_port),
    Flood("secured-unknown-host", secured_pipeline(_UNKNOWN, 16384)),
    Flood("secured-tiny-answers", secured_pipeline(_GET, 16384)),
    Flood("tiny-records", tiny_records),
    Flood("requests-in-tiny-records", secured_pipeline(_UNKNOWN, 1)),
    Flood("key-updates", key_updates(reads=True)),
    Flood("key-updates-unread", key_updates(reads=False)),
    # HTTP/2.
    *(
        replace(flood, name=f"http2-{flood.name}", max_p99_ms=5.0, max_growth=8 << 20)
        for flood in (
            Flood("requests", spoken(on_each_stream(_ASKED))),
            Flood("requests-unread", spoken(on_each_stream(_ASKED), reads=False)),
            Flood("rapid-resets", spoken(on_each_stream(_ASKED, (_RST_STREAM, 0, struct.pack(">I", 8))))),
            Flood("provoked-resets", spoken(on_each_stream(_SHORT, (_DATA, 0, b"ab")))),
            Flood("malformed-requests", spoken(on_each_stream((_HEADERS, _WHOLE, block(("connection", "close")))))),
            Flood("empty-heads", spoken(on_each_stream((_HEADERS, _WHOLE, b"")))),
            Flood("continuations", spoken(without_pause(frame(_CONTINUATION, 0, 1, b"\x82" * 16384)), _OPEN_HEAD)),
            Flood("tiny-continuations", spoken(without_pause(frame(_CONTINUATION, 0, 1, b"\x82")), _OPEN_HEAD)),
            Flood("empty-continuations", spoken(without_pause(frame(_CONTINUATION, 0, 1)), _OPEN_HEAD)),
            Flood("fields-from-the-table", spoken(on_each_stream(_MENTIONED))),
            Flood("pings", spoken(without_pause(frame(_PING, payload=b"fastrout")))),
            Flood("pings-unread", spoken(without_pause(frame(_PING, payload=b"fastrout")), reads=False)),
            Flood("settings", spoken(without_pause(window(65535)))),
            Flood("settings-unread", spoken(without_pause(window(65535)), reads=False)),
            Flood("empty-data", spoken(without_pause(frame(_DATA, 0, 1)), _OPEN_BODY)),
            Flood("tiny-data", spoken(without_pause(frame(_DATA, 0, 1, b"x")), _OPEN_BODY)),
            Flood("tiny-data-stalled", spoken(without_pause(_BYTES_FOR_ALL), _OPEN_BODIES), silent),
            Flood("unknown-frames", spoken(without_pause(frame(0xFA, payload=b"x")))),
            Flood("priorities", spoken(without_pause(frame(_PRIORITY, 0, 1, b"\0\0\0\0\x10")))),
            Flood("window-updates", spoken(without_pause(frame(_WINDOW_UPDATE, 0, 1, _ONE_BYTE)), _OPEN_BODY)),
            Flood("tiny-windows", spoken(without_pause(_BYTE_BY_BYTE), window(1) + _HUNDRED), _LARGE_ANSWER),
            Flood("no-window", held(window(0) + _HUNDRED, 1), _LARGE_ANSWER),
            Flood("half-open-bodies", held(frame(_SETTINGS) + on_some_streams(10, _BEGUN), 40)),
        )
    ),
    # PROXY headers.
    Flood("dribbled-proxy-lines", dribbled_proxy_lines, configuration={"enable_proxy": True}),
    Flood("proxy-lines", one_by_one(_PROXY_LINE + _UNKNOWN), configuration={"enable_proxy": True}),
)

_OF_BACKENDS = (
    Flood("interim-103", in_turn(_GET), without_end(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")),
    Flood("interim-103-unread", in_turn(_GET, reads=False), without_end(b"HTTP/1.1 103 Early Hints\r\n\r\n")),
    Flood("interim-100", in_turn(_GET), without_end(b"HTTP/1.1 100 Continue\r\n\r\n")),
    Flood("interim-102", in_turn(_GET), without_end(b"HTTP/1.1 102 Processing\r\n\r\n")),
    Flood("answer-of-tiny-chunks", in_turn(_GET), without_end(b"1\r\nx\r\n", _CHUNKED)),
    Flood("answer-of-tiny-chunks-unread", in_turn(_GET, reads=False), without_end(b"1\r\nx\r\n", _CHUNKED)),
    Flood("answer-with-chunk-extensions", in_turn(_GET), without_end(b"1;a=b\r\nx\r\n", _CHUNKED)),
    Flood("answer-in-tiny-segments", in_turn(_GET), without_end_by_bytes(b"x" * 1000, _ENDLESS)),
    Flood("answer-of-chunks-in-tiny-segments", in_turn(_GET), without_end_by_bytes(b"1\r\nx\r\n", _CHUNKED)),
    Flood("answer-head-in-tiny-segments", in_turn(_GET), without_end_by_bytes(b"x" * 1000, _HEAD + b"X-Field: ")),
    Flood("endless-answer-head", in_turn(_GET), without_end(b"X-Field: value\r\n", _HEAD)),
    Flood("endless-answer-field", in_turn(_GET), without_end(b"x", _HEAD + b"X-Field: ")),
    Flood("endless-answer-trailers", in_turn(_GET), without_end(b"A: b\r\n", _CHUNKED + b"0\r\n")),
    Flood("blank-lines-before-answers", in_turn(_GET), without_end(b"\r\n")),
    Flood("set-cookies", exchanges(_GET), answering(_HEAD + _DATED_COOKIE * 10_000 + b"Content-Length: 0\r\n\r\n")),
    Flood(
        "allowed-set-cookies", exchanges(_GET), answering(_HEAD + _DATED_COOKIE * 900 + b"Content-Length: 0\r\n\r\n")
    ),
    Flood(
        "set-cookie-of-semicolons",
        exchanges(_GET),
        answering(_HEAD + b"Set-Cookie: JSESSIONID=s" + b";" * _HALF_A_MEGABYTE + b"\r\nContent-Length: 0\r\n\r\n"),
    ),
    Flood(
        "set-cookie-of-dates",
        exchanges(_GET),
        answering(
            _HEAD
            + b"Set-Cookie: JSESSIONID=s"
            + b"; Expires=Wed, 21 Oct 2035 07:28:00 GMT" * 10_000
            + b"\r\nContent-Length: 0\r\n\r\n"
        ),
    ),
    Flood(
        "sticky-metadata",
        exchanges(_GET),
        answering(
            _HEAD + b"Set-Cookie: __VCAP_ID_META__=" + b"m" * _HALF_A_MEGABYTE + b"\r\nContent-Length: 0\r\n\r\n"
        ),
    ),
    Flood(
        "answer-connection-tokens",
        exchanges(_GET),
        answering(_HEAD + b"Connection: " + b"token, " * 60_000 + b"x\r\nContent-Length: 0\r\n\r\n"),
    ),
    Flood("endless-answer", in_turn(_GET), without_end(b"x", _ENDLESS)),
    Flood("endless-answer-unread", in_turn(_GET, reads=False), without_end(b"x", _ENDLESS)),
    Flood("endless-answer-of-chunks", in_turn(_GET), without_end(b"10000\r\n" + b"x" * 65536 + b"\r\n", _CHUNKED)),
    Flood("endless-answer-without-length", in_turn(_GET), without_end(b"x", b"HTTP/1.1 200 OK\r\n\r\n")),
    Flood("endless-answer-of-1.0", in_turn(_GET), without_end(b"x", b"HTTP/1.0 200 OK\r\n\r\n")),
    Flood("answers-nobody-asked-for", exchanges(_GET), answering(_TINY * 10_000)),
    Flood("bytes-behind-answers", exchanges(_GET), without_end(b"x", _TINY)),
    Flood("head-with-bodies", exchanges(request(method="HEAD")), answering(_TINY * 1000)),
    Flood("resets", pipeline(_GET), resetting(b"")),
    Flood("answers-and-resets", pipeline(_GET), resetting(_TINY)),
    Flood("broken-answers", pipeline(_GET), resetting(_HEAD + b"Content-Length: 1000\r\n\r\nbegin")),
    Flood("noise-for-answers", exchanges(_GET), without_end(b"\0noise\xff")),
    Flood("tunnel-of-tiny-frames-down", silent_tunnel, flooding_tunnel(_TINY_FRAME)),
    Flood("tunnel-of-large-frames-down", silent_tunnel, flooding_tunnel(repeated(_LARGE_FRAME))),
    Flood("tunnel-of-large-frames-both-ways", tunnel_of_large_frames, flooding_tunnel(repeated(_LARGE_FRAME))),
)

_ANSWERED = (_HEADERS, _END_HEADERS, _answer_block())
_MENTIONED_ANSWER = _answer_block() + b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 12000
_CANCELLED = (_RST_STREAM, 0, struct.pack(">I", 8))
_REFUSED = (_RST_STREAM, 0, struct.pack(">I", 7))
_NO_WINDOW = struct.pack(">HI", _INITIAL_WINDOW, 0)
_OF_HTTP2_BACKENDS = tuple(
    replace(flood, name=f"http2-backend-{flood.name}", protocol="h2c", max_p99_ms=5.0, max_growth=8 << 20)
    for flood in (
        Flood("pings", in_turn(_GET), speaking(frame(_PING, payload=b"fastrout"))),
        Flood("settings", in_turn(_GET), speaking(window(65535))),
        Flood("priorities", in_turn(_GET), speaking(frame(_PRIORITY, 0, 1, b"\0\0\0\0\x10"))),
        Flood("unknown-frames", in_turn(_GET), speaking(frame(0xFA, payload=b"x"))),
        Flood("window-updates", in_turn(_GET), speaking(frame(_WINDOW_UPDATE, 0, 1, _ONE_BYTE))),
        Flood("goaways", in_turn(_GET), speaking(frame(_GOAWAY, payload=struct.pack(">II", 1, 0)))),
        Flood("goaways-for-requests", exchanges(_GET), replying((_GOAWAY, 0, bytes(8)))),
        Flood("promises", in_turn(_GET), speaking(frame(_PUSH_PROMISE, _END_HEADERS, 1, b"\0\0\0\2\x82"))),
        Flood("resets", pipeline(_GET), replying(_CANCELLED)),
        Flood("refusals", pipeline(_GET), replying(_REFUSED)),
        Flood("resets-of-nothing", in_turn(_GET), speaking(frame(_RST_STREAM, 0, 1, struct.pack(">I", 8)), _CANCELLED)),
        Flood("answers-and-resets", pipeline(_GET), replying(_ANSWERED, (_DATA, 0, b"begin"), _CANCELLED)),
        Flood(
            "malformed-answers", pipeline(_GET), replying((_HEADERS, _WHOLE, _answer_block(("connection", "close"))))
        ),
        Flood(
            "continuations", in_turn(_GET), speaking(frame(_CONTINUATION, 0, 1, b"\x88" * 16384), (_HEADERS, 0, b""))
        ),
        Flood("tiny-continuations", in_turn(_GET), speaking(frame(_CONTINUATION, 0, 1, b"\x88"), (_HEADERS, 0, b""))),
        Flood("empty-continuations", in_turn(_GET), speaking(frame(_CONTINUATION, 0, 1), (_HEADERS, 0, b""))),
        Flood("fields-from-the-table", exchanges(_GET), replying((_HEADERS, _WHOLE, _MENTIONED_ANSWER))),
        Flood("interims", in_turn(_GET), speaking(frame(_HEADERS, _END_HEADERS, 1, _answer_block(status=103)))),
        Flood("empty-data", in_turn(_GET), speaking(frame(_DATA, 0, 1), _ANSWERED)),
        Flood("empty-heads", in_turn(_GET), speaking(frame(_HEADERS, _END_HEADERS, 1))),
        Flood("tiny-data", in_turn(_GET), speaking_within_windows(frame(_DATA, 0, 1, b"x"), 1)),
        Flood("tiny-data-unread", in_turn(_GET, reads=False), speaking_within_windows(frame(_DATA, 0, 1, b"x"), 1)),
        Flood("data-beyond-windows", in_turn(_GET), speaking(frame(_DATA, 0, 1, b"x" * 16384), _ANSWERED)),
        Flood("no-window", pipeline(b"x", _ENDLESS_UPLOAD), stalling(_NO_WINDOW)),
        Flood(
            "windows-of-a-byte",
            pipeline(b"x", _ENDLESS_UPLOAD),
            speaking(frame(_WINDOW_UPDATE, 0, 1, _ONE_BYTE), settings=_NO_WINDOW),
        ),
        Flood("tiny-data-stalled", spoken(without_pause(_BYTES_FOR_ALL), _OPEN_BODIES), stalling(_NO_WINDOW)),
        Flood("no-streams", pipeline(_GET), stalling(struct.pack(">HI", 3, 0))),
    )
)

FLOODS = {flood.name: flood for flood in itertools.chain(_OF_CLIENTS, _OF_BACKENDS, _OF_HTTP2_BACKENDS)}


# The process.


def listen(backend: Backend, traffic: Traffic) -> int:
    """Serve on a free port, each connection in a thread of its own; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)

    def serve(connection: Connection) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            backend(connection)

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(Connection(sock, traffic),), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def attack(client: Client, traffic: Traffic) -> None:
    """Be one client for ever."""
    while True:
        with contextlib.suppress(OSError):
            client(traffic)


def main(name: str) -> None:
    """Serve, wait for the ports of the router, attack, and report at the end of input how much was sent."""
    flood = FLOODS[name]
    traffic = Traffic()
    ports = [listen(flood.backend or answering(), traffic) for _ in range(CONNECTIONS)]
    print(json.dumps({"ports": ports}), flush=True)
    traffic.plain_port, traffic.tls_port = map(int, sys.stdin.readline().split())
    for _ in range(CONNECTIONS):
        threading.Thread(target=attack, args=(flood.client, traffic), daemon=True).start()
    sys.stdin.read()
    amounts = {"connections": traffic.connections, "sent": traffic.sent, "received": traffic.received}
    print(json.dumps(amounts), flush=True)
    # The threads hang in calls that nothing else ends.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
