"""Whatever is sent in whatever framing, cut wherever, arrives as it was sent; a DataPlane without sockets."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fastrouter._core import AccessLog, DataPlane, Endpoint, RouteTable
from integration.http_message import Fields, Request, Response, chunked
from protocol.fake_network import FakeLoop, FakeTransport, MemorySource


@dataclass(frozen=True)
class Body:
    """A body as one side sends it."""

    framing: str
    parts: tuple[bytes, ...]
    trailers: Fields = ()

    @property
    def data(self) -> bytes:
        return b"".join(self.parts)

    def encode(self) -> bytes:
        """Everything behind the head's own lines: framing header, end of the head, body."""
        if self.framing == "chunked":
            trailers = b"".join(b"%s: %s\r\n" % field for field in self.trailers)
            return b"Transfer-Encoding: chunked\r\n\r\n" + chunked(*self.parts, trailers=trailers)
        if self.framing == "length":
            return b"Content-Length: %d\r\n\r\n" % len(self.data) + self.data
        return b"\r\n" + self.data


@dataclass(frozen=True)
class Exchange:
    """One request and the answer it is given."""

    method: bytes
    request: Body
    status: int
    interim: int
    response: Body

    @property
    def has_response_body(self) -> bool:
        return self.method != b"HEAD" and self.status not in (204, 304)

    def encode_request(self, number: int) -> bytes:
        return b"%s /%d HTTP/1.1\r\nHost: app.test\r\n" % (self.method, number) + self.request.encode()

    def encode_response(self) -> bytes:
        head = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * self.interim + b"HTTP/1.1 %d x\r\n" % self.status
        return head + (self.response.encode() if self.has_response_body else b"\r\n")


def cut(data: bytes, sizes: Iterator[int]) -> deque[bytes]:
    """Cut into pieces of the given sizes."""
    pieces: deque[bytes] = deque()
    at = 0
    while at < len(data):
        size = next(sizes)
        pieces.append(data[at : at + size])
        at += size
    return pieces


class Backends:
    """Answers each request that has arrived whole, piece by piece, on whatever connection the router dials."""

    def __init__(self, exchanges: list[Exchange], sizes: Iterator[int]) -> None:
        self._exchanges = exchanges
        self._sizes = sizes
        self._read: dict[FakeTransport, int] = {}
        self._answers: dict[FakeTransport, deque[bytes]] = {}
        self._closing: set[FakeTransport] = set()
        self.requests: list[Request] = []

    def step(self, transport: FakeTransport) -> bool:
        """Do the next thing on one connection; False if there is nothing to do."""
        if not transport.can_deliver:
            return False
        if pieces := self._answers.get(transport):
            transport.deliver(pieces.popleft())
            return True
        if transport in self._closing:
            transport.deliver_eof()
            return True
        at = self._read.get(transport, 0)
        source = MemorySource(transport.written[at:])
        try:
            request = Request.read(source)
        except EOFError:
            return False
        self._read[transport] = at + source.at
        exchange = self._exchanges[len(self.requests)]
        self.requests.append(request)
        self._answers[transport] = cut(exchange.encode_response(), self._sizes)
        if exchange.has_response_body and exchange.response.framing == "close":
            self._closing.add(transport)
        return True


SLOW_TURNS = 500
"""After so many turns no side is slow any more, so that every run ends."""


def run(exchanges: list[Exchange], sizes: list[int], turns: list[str]) -> tuple[Backends, FakeTransport, list[bytes]]:
    """Send all requests pipelined, and answer them; `turns` decides who acts next, and whose peer stops taking."""
    lines: list[bytes] = []
    table = RouteTable()
    table.register("app.test", Endpoint("10.0.0.1", 8080))
    plane = DataPlane(table, access_log=AccessLog(lines.append))
    loop: Any = FakeLoop()
    plane.start(loop)
    client = loop.connect_client(plane.new_client())
    endless_sizes = cycle(sizes)
    requests = cut(b"".join(item.encode_request(number) for number, item in enumerate(exchanges)), endless_sizes)
    backends = Backends(exchanges, endless_sizes)

    def client_step() -> bool:
        if requests and client.can_deliver:
            client.deliver(requests.popleft())
            return True
        return False

    def backend_step() -> bool:
        return any(backends.step(transport) for transport in list(loop.dialled))

    for count, turn in enumerate(cycle(turns)):
        loop.run()
        if turn == "client":
            has_moved = client_step() or backend_step()
        elif turn == "backend":
            has_moved = backend_step() or client_step()
        elif count > SLOW_TURNS:
            continue
        else:
            for transport in [client] if turn == "slow client" else loop.dialled:
                transport.set_writing_paused(not transport.is_writing_paused)
            continue
        if not has_moved:
            # Everybody waits: those who were slow go on, and if nobody was, that was all.
            slow = [transport for transport in [client, *loop.dialled] if transport.is_slow]
            for transport in slow:
                transport.set_writing_paused(False)
            loop.run()
            if not (slow or client_step() or backend_step()):
                break
    assert not requests, "the router reads no further"
    plane.stop()
    loop.run()
    return backends, client, b"".join(lines).splitlines()


part = st.binary(min_size=1, max_size=40) | st.builds(bytes, st.integers(1, 70_000))
parts = st.lists(part, max_size=4).map(tuple)
trailers = st.sampled_from([(), ((b"X-Sum", b"1"),), ((b"X-Sum", b"1"), (b"X-Other", b""))])
chunked_body = st.builds(Body, st.just("chunked"), parts, trailers)
length_body = st.builds(Body, st.just("length"), parts)
close_body = st.builds(Body, st.just("close"), parts)
no_body = st.just(Body("none", ()))
exchange = st.one_of(
    st.builds(
        Exchange,
        st.sampled_from([b"POST", b"PUT", b"DELETE", b"GET"]),
        chunked_body | length_body,
        st.sampled_from([200, 404, 204, 304]),
        st.integers(0, 2),
        chunked_body | length_body | close_body,
    ),
    st.builds(
        Exchange,
        st.sampled_from([b"GET", b"HEAD", b"OPTIONS"]),
        no_body,
        st.sampled_from([200, 204, 304, 500]),
        st.integers(0, 1),
        chunked_body | length_body | close_body,
    ),
)
sizes = st.lists(st.integers(1, 30), min_size=1, max_size=4) | st.lists(st.integers(1, 200_000), min_size=1, max_size=4)
# At least one of them must be able to end the exchange.
turns = st.lists(st.sampled_from(["client", "backend", "slow client", "slow backend"]), max_size=8).map(
    lambda some: [*some, "backend"]
)


# No deadline per example: what an example costs depends on how many pieces it is cut into.
@given(st.lists(exchange, min_size=1, max_size=4), sizes, turns)
def test_every_message_arrives_as_it_was_sent(exchanges: list[Exchange], sizes: list[int], turns: list[str]) -> None:
    total = sum(len(item.request.data) + len(item.response.data) for item in exchanges)
    if total // min(sizes) > 500:
        # Large bodies are not cut into single bytes: that would only be slow.
        sizes = [size + total // 500 for size in sizes]
    backends, client, lines = run(exchanges, sizes, turns)
    assert len(backends.requests) == len(exchanges)
    answers = MemorySource(client.written)
    for number, (item, request, line) in enumerate(zip(exchanges, backends.requests, lines, strict=True)):
        assert (request.method, request.target) == (item.method, b"/%d" % number)
        assert request.body == item.request.data
        assert request.trailers == item.request.trailers
        for _ in range(item.interim):
            assert Response.read(answers).status == 103
        response = Response.read(answers, item.method)
        assert response.status == item.status
        sent = item.response if item.has_response_body else Body("none", ())
        assert response.body == sent.data
        assert response.trailers == sent.trailers
        counts = b" %d %d %d " % (item.status, len(item.request.data), len(sent.data))
        assert b'"%s /%d HTTP/1.1"' % (item.method, number) + counts in line
    assert answers.read_to_end() == b""


@given(st.binary(min_size=1, max_size=200), sizes)
def test_any_bytes_of_a_client_get_a_response_or_a_wait(data: bytes, sizes: list[int]) -> None:
    """Garbage never raises and never reaches a backend unread; what is answered is HTTP."""
    plane = DataPlane(RouteTable())
    loop: Any = FakeLoop()
    plane.start(loop)
    client = loop.connect_client(plane.new_client())
    for piece in cut(data, cycle(sizes)):
        if client.can_deliver:
            client.deliver(piece)
        loop.run()
    assert not loop.dialled
    assert client.written == b"" or client.written.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))


NEAR_HTTP = [
    b"GET / HTTP/1.1\r\n",
    b"POST / HTTP/1.0\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 101 Switching\r\n",
    b"HTTP/1.1 100 Continue\r\n",
    b"Host: app.test\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Connection: Upgrade\r\nUpgrade: x\r\n",
    b"X: y\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"\r\n",
    b"\n",
    b"abc",
    b"\x00",
    b" ",
    b":",
]
near_http = st.lists(st.sampled_from(NEAR_HTTP), max_size=12).map(b"".join)


@given(near_http, near_http, sizes)
def test_nothing_nearly_http_breaks_the_data_plane(asked: bytes, answered: bytes, sizes: list[int]) -> None:
    """Neither side can raise an exception, whatever it sends, in whatever pieces, until it hangs up."""
    table = RouteTable()
    table.register("app.test", Endpoint("10.0.0.1", 8080))
    plane = DataPlane(table, access_log=AccessLog(list[bytes]().append))
    loop: Any = FakeLoop()
    plane.start(loop)
    client = loop.connect_client(plane.new_client())
    answers = cut(answered, cycle(sizes))
    for piece in cut(asked, cycle(sizes)):
        if client.can_deliver:
            client.deliver(piece)
        loop.run()
        for backend in list(loop.dialled):
            if backend.can_deliver and answers:
                backend.deliver(answers.popleft())
                loop.run()
    for backend in list(loop.dialled):
        if backend.can_deliver:
            for piece in answers:
                if backend.can_deliver:
                    backend.deliver(piece)
            if not backend.is_over:
                backend.deliver_eof()
        loop.run()
    if not client.is_over:
        client.deliver_eof()
    loop.run()
    plane.stop()
    loop.run()
    assert plane.stats()["client_connections"] == 0
