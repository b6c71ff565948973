"""Writing past the event loop: straight to the socket while nothing waits in the transport, in order in any case."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .conversation import Conversation
from .fake_network import FakeLoop, SocketTransport

_REQUEST = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: %d\r\n\r\n"


class WaitingTransport(SocketTransport):
    """What is written to it waits until the test lets it go on."""

    def __init__(self, loop: FakeLoop, protocol: Any, near: socket.socket) -> None:
        super().__init__(loop, protocol, near)
        self.waiting = bytearray()
        self.high = 65536

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.waiting += data

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert low is None
        high = self.high = 65536 if high is None else high
        if len(self.waiting) > high and not self.is_writing_paused:
            self.is_writing_paused = True
            self._protocol.pause_writing()

    def go_on(self) -> None:
        """Send what waits as far as the socket takes it, as the event loop would."""
        with contextlib.suppress(BlockingIOError):
            while self.waiting:
                del self.waiting[: self._near.send(self.waiting)]
        if not self.waiting and self.is_writing_paused:
            self.is_writing_paused = False
            self._protocol.resume_writing()


class Client:
    """A client whose connection is a socket pair, `far` being its own end."""

    def __init__(self, conversation: Conversation) -> None:
        self._near, self.far = socket.socketpair()
        self._near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self._near.setblocking(False)
        self.far.setblocking(False)
        self._protocol = conversation.plane.new_client()
        self.transport = WaitingTransport(conversation.loop, self._protocol, self._near)
        self._protocol.connection_made(self.transport)
        self._protocol.data_received(_REQUEST)
        conversation.loop.run()

    def read(self, limit: int) -> bytes:
        """What has arrived, `limit` bytes at most."""
        pieces = []
        with contextlib.suppress(BlockingIOError):
            while limit > 0 and (piece := self.far.recv(limit)):
                pieces.append(piece)
                limit -= len(piece)
        return b"".join(pieces)

    def read_rest(self) -> bytes:
        """Everything that is on the way."""
        pieces = [b""]
        while self.transport.waiting or pieces[-1]:
            self.transport.go_on()
            pieces.append(self.read(1 << 20))
        return b"".join(pieces) + self.read(1 << 20)

    def close(self) -> None:
        self._near.close()
        self.far.close()


@contextlib.contextmanager
def connected() -> Iterator[tuple[Conversation, Client]]:
    conversation = Conversation()
    client = Client(conversation)
    try:
        yield conversation, client
    finally:
        client.close()
        conversation.end()


def test_a_response_goes_straight_to_the_socket() -> None:
    with connected() as (conversation, client):
        conversation.from_backend(_HEAD % 2 + b"ok")
        assert client.read(1 << 16).endswith(b"\r\nContent-Length: 2\r\n\r\nok")
        assert not client.transport.waiting


@pytest.mark.parametrize("size", [1, 100, 20_000, 200_000])
def test_nothing_overtakes_what_waits(size: int) -> None:
    with connected() as (conversation, client):
        filling = b"f" * 300_000
        conversation.from_backend(_HEAD % (len(filling) + 2 * size) + filling)
        assert client.transport.waiting
        arrived = client.read(1 << 20)
        # There is room in the socket now, but more than that in front of it.
        conversation.from_backend(b"a" * size)
        client.transport.go_on()
        conversation.from_backend(b"b" * size)
        arrived += client.read_rest()
        assert arrived.partition(b"\r\n\r\n")[2] == filling + b"a" * size + b"b" * size


def test_many_small_pieces_are_much_for_a_transport() -> None:
    """It asks for a pause by bytes only, and each piece costs it many times what is in it."""
    with connected() as (conversation, client):
        conversation.from_backend(_HEAD % 1_000_000 + b"f" * 300_000)
        arrived = client.read(1 << 20)
        sent = 0
        while conversation.backend.is_read():
            conversation.from_backend(b"x")
            sent += 1
        assert (client.transport.high, sent) == (0, 510)
        arrived += client.read_rest()
        assert arrived.endswith(b"f" + b"x" * sent)
        assert conversation.backend.is_read()
        conversation.from_backend(b"y")
        assert client.read(1) == b"y"
        assert client.transport.high == 65536


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("backend sends"), st.integers(1, 70_000)),
        st.tuples(st.just("client reads"), st.integers(1, 20_000)),
        st.tuples(st.just("loop goes on"), st.just(0)),
    ),
    max_size=40,
)


@given(_STEPS)
def test_every_byte_arrives_once_and_in_order(steps: list[tuple[str, int]]) -> None:
    body = bytes(range(251)) * (sum(amount for what, amount in steps if what == "backend sends") // 251 + 1)
    with connected() as (conversation, client):
        conversation.from_backend(_HEAD % len(body))
        at = 0
        arrived = b""
        for what, amount in steps:
            if what == "backend sends":
                conversation.from_backend(body[at : at + amount])
                at += amount
            elif what == "client reads":
                arrived += client.read(amount)
            else:
                client.transport.go_on()
        conversation.from_backend(body[at:])
        arrived += client.read_rest()
        assert arrived.partition(b"\r\n\r\n")[2] == body


def test_a_write_that_fails_ends_the_connection_with_its_own_error() -> None:
    with connected() as (conversation, client):
        conversation.from_backend(_HEAD % 4 + b"12")
        client.far.close()
        conversation.from_backend(b"3")
        assert client.transport.is_over
        ((_, message, data),) = conversation.events
        assert message == "client-conn-closed-during-response-streaming"
        assert data["error"] == "write tcp 192.0.2.1:40000: write: broken pipe"
        assert not client.transport.waiting


def test_nothing_goes_to_a_socket_that_may_be_somebody_elses() -> None:
    with connected() as (conversation, client):
        client.transport.break_off()
        # The descriptor may have another owner from now on.
        conversation.from_backend(_HEAD % 2 + b"ok")
        assert client.read(1 << 16) == b""
        assert not client.transport.waiting
