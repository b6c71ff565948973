"""Reading past the event loop: a kept connection is read from its socket, as its transport would read it."""

import contextlib
import socket
import struct
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from .conversation import Conversation
from .fake_network import SocketTransport

_REQUEST = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_READS_BY_TRANSPORT = 2


class ReadingTransport(SocketTransport):
    """Reads its socket when the test says so."""

    def read(self) -> None:
        assert not self.is_reading_paused
        self.deliver(self._near.recv(1 << 16))


class Client:
    """A client whose connection is a socket pair, `far` being its own end; its first requests have been answered."""

    def __init__(self, conversation: Conversation) -> None:
        near, self.far = socket.socketpair()
        near.setblocking(False)
        self.far.settimeout(10)
        self._near = near
        self._conversation = conversation
        protocol = conversation.plane.new_client()
        self.transport = ReadingTransport(conversation.loop, protocol, near)
        protocol.connection_made(self.transport)
        for _ in range(_READS_BY_TRANSPORT):
            assert self.transport.is_read()
            self.far.sendall(_REQUEST)
            self.transport.read()
            conversation.loop.run()
            self.answer()
        assert not self.transport.is_read(), "it is read past the transport from now on"

    def answer(self) -> None:
        """Let the backend answer, and take the answer."""
        self._conversation.from_backend(_RESPONSE)
        assert self.far.recv(1 << 16).endswith(b"ok")

    def close(self) -> None:
        self._near.close()
        self.far.close()


@contextlib.contextmanager
def kept() -> Iterator[tuple[Conversation, Client]]:
    conversation = Conversation()
    client = Client(conversation)
    try:
        yield conversation, client
    finally:
        conversation.end()
        client.close()


def test_requests_go_on() -> None:
    with kept() as (conversation, client):
        for count in range(3, 6):
            client.far.sendall(_REQUEST)
            conversation.loop.poll()
            assert bytes(conversation.backend.written).count(b"GET / ") == count
            client.answer()


def test_requests_that_lie_there_already_are_found() -> None:
    conversation = Conversation()
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        protocol = conversation.plane.new_client()
        transport = SocketTransport(conversation.loop, protocol, near)
        protocol.connection_made(transport)
        for _ in range(_READS_BY_TRANSPORT):
            transport.deliver(_REQUEST)
            far.sendall(_REQUEST)
            conversation.loop.run()
            conversation.from_backend(_RESPONSE)
        for _ in range(_READS_BY_TRANSPORT):
            conversation.loop.poll()
            conversation.from_backend(_RESPONSE)
        assert bytes(conversation.backend.written).count(b"GET / ") == 2 * _READS_BY_TRANSPORT
        conversation.end()


def test_an_idle_client_that_leaves_is_let_go() -> None:
    with kept() as (conversation, client):
        client.far.close()
        conversation.loop.poll()
        assert client.transport.is_over
        assert conversation.plane.stats()["client_connections"] == 1, "the one that Conversation opened"


def test_the_end_that_comes_with_a_request_is_seen() -> None:
    with kept() as (conversation, client):
        client.far.sendall(_REQUEST)
        client.far.shutdown(socket.SHUT_WR)
        conversation.loop.poll()
        assert not client.transport.is_over
        client.answer()
        conversation.loop.run()
        assert client.transport.is_over


def test_a_reset_is_the_error_of_the_end() -> None:
    conversation = Conversation()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as far:
        near, _ = listener.accept()
        near.setblocking(False)
        with near:
            protocol = conversation.plane.new_client()
            transport = SocketTransport(conversation.loop, protocol, near)
            protocol.connection_made(transport)
            for _ in range(_READS_BY_TRANSPORT):
                transport.deliver(_REQUEST)
                conversation.loop.run()
                conversation.from_backend(_RESPONSE)
            far.sendall(b"GET /unanswered HTTP/1.1\r\nHost: app.test\r\n\r\n")
            conversation.loop.poll()
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            far.close()
            conversation.loop.poll()
            assert transport.is_over
            assert conversation.backend.is_over, "nobody waits for this answer any more"
            conversation.end()
    assert b'"GET /unanswered HTTP/1.1" 499 ' in b"".join(conversation.log)


def test_nothing_is_read_once_the_connection_closes() -> None:
    with kept() as (conversation, client):
        client.far.sendall(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
        conversation.loop.poll()
        client.transport.unsent = 1
        conversation.from_backend(_RESPONSE)
        assert client.transport.is_closing_down
        assert not client.transport.is_over
        client.far.sendall(_REQUEST)
        conversation.loop.poll()
        assert bytes(conversation.backend.written).count(b"GET / ") == 1 + _READS_BY_TRANSPORT


def test_who_waits_is_read_on_without_another_word_from_the_kernel() -> None:
    with kept() as (conversation, client):
        client.far.sendall(b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 6\r\n\r\nab")
        conversation.loop.poll()
        conversation.backend.set_writing_paused(True)
        client.far.sendall(b"cd")
        client.far.sendall(b"ef")
        conversation.loop.poll()
        assert not conversation.backend.written.endswith(b"cdef")
        conversation.backend.set_writing_paused(False)
        conversation.loop.run()
        assert conversation.backend.written.endswith(b"abcdef")
        client.answer()


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("client sends"), st.integers(1, 300_000)),
        st.tuples(st.just("backend is full"), st.just(0)),
        st.tuples(st.just("backend has room"), st.just(0)),
        st.tuples(st.just("loop goes on"), st.just(0)),
    ),
    max_size=30,
)


@given(_STEPS, st.booleans())
def test_every_byte_arrives_once_and_in_order(steps: list[tuple[str, int]], ends_with_it: bool) -> None:
    body = bytes(range(251)) * (sum(amount for _, amount in steps) // 251 + 1)
    with kept() as (conversation, client):
        client.far.setblocking(False)
        client.far.sendall(b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n" % len(body))
        conversation.loop.poll()
        backend = conversation.backend
        at = 0

        def send(limit: int) -> int:
            with contextlib.suppress(BlockingIOError):
                return client.far.send(body[at : at + limit])
            return 0

        for what, amount in steps:
            if what == "client sends":
                at += send(amount)
            elif what == "loop goes on":
                conversation.loop.poll()
            else:
                backend.set_writing_paused(what == "backend is full")
        backend.set_writing_paused(False)
        while at < len(body):
            at += send(len(body))
            conversation.loop.poll()
        if ends_with_it:
            client.far.shutdown(socket.SHUT_WR)
        conversation.loop.poll()
        assert bytes(backend.written).endswith(b"\r\n\r\n" + body)
        conversation.from_backend(_RESPONSE)
        conversation.loop.run()
        assert client.far.recv(1 << 16).endswith(b"ok")
        assert client.transport.is_over == ends_with_it
