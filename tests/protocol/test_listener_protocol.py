"""What stands in front of a client's first request, cut at every byte: PROXY headers, handshakes, records."""

import gc
import re
import ssl
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from fastrouter._core import ListenerProtocol

from .conversation import Conversation, timeless
from .secure_end import SecureEnd, client_context, server_context
from .test_splits import EXCHANGES, OK, cuts, splits

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
LINE = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BLOCK = SIGNATURE + b"\x21\x11\x00\x0f" + bytes([198, 51, 100, 7, 203, 0, 113, 1]) + b"\x12\x67\x01\xbbtlv"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"


@pytest.fixture(scope="module")
def server_side(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority, "app.test")


@pytest.fixture(scope="module")
def client_side(authority: trustme.CA) -> ssl.SSLContext:
    return client_context(authority)


def through(listener: ListenerProtocol, conversation: Conversation) -> Conversation:
    """Let the conversation's client come through `listener` instead."""
    conversation.client.close()
    conversation.loop.run()
    conversation.client = conversation.loop.connect_client(listener.new_connection())
    return conversation


def test_a_connection_that_no_client_has_yet_is_one(server_side: ssl.SSLContext) -> None:
    """A drain has to wait for it: its request is on its way."""
    conversation = Conversation()
    for is_tls in (False, True):
        listener = ListenerProtocol(conversation.plane, reads_proxy_headers=not is_tls)
        if is_tls:
            listener.secure(server_side)
        through(listener, conversation)
        assert conversation.plane.stats()["client_connections"] == 0
        assert conversation.plane.has_connections()
    conversation.client.close()
    conversation.loop.run()
    assert not conversation.plane.has_connections()


@pytest.mark.parametrize(
    ("header", "ip"), [(LINE, b"198.51.100.7"), (BLOCK, b"198.51.100.7"), (LOCAL, b"10.0.0.9"), (b"", b"10.0.0.9")]
)
def test_header_and_request_cut_at_every_byte(header: bytes, ip: bytes) -> None:
    for pieces in splits(header + GET):
        conversation = Conversation()
        through(ListenerProtocol(conversation.plane, reads_proxy_headers=True), conversation)
        conversation.from_client(*pieces)
        assert b"X-Forwarded-For: %s\r\n" % ip in bytes(conversation.backend.written), pieces
        conversation.from_backend(OK)
        assert conversation.client.written.endswith(b"hello")
        conversation.end()


class SecureConversation(Conversation):
    """A conversation whose client speaks TLS; what the test delivers and finds is in the clear."""

    def __init__(
        self, server_side: ssl.SSLContext, client_side: ssl.SSLContext, sizes: Iterable[int] = (1 << 20,)
    ) -> None:
        super().__init__()
        listener = ListenerProtocol(self.plane)
        listener.secure(server_side)
        through(listener, self)
        self.far = SecureEnd(
            lambda: self.client,
            super().from_client,
            lambda incoming, outgoing: client_side.wrap_bio(incoming, outgoing, server_hostname="app.test"),
            sizes,
        )

    @property
    def got(self) -> bytearray:
        return self.far.got

    def from_client(self, *pieces: bytes) -> None:
        self.far.send(*pieces)

    def from_backend(self, *pieces: bytes) -> None:
        super().from_backend(*pieces)
        self.far.read()

    def from_backend_only(self, piece: bytes) -> None:
        """Deliver it, and leave alone what the client gets: after its close_notify, OpenSSL reads no more."""
        super().from_backend(piece)


def without_scheme(text: bytes) -> bytes:
    """Blank out what differs on purpose: the scheme, for backends and in the log."""
    return re.sub(rb"((?i:x.forwarded.proto):[ \"]*)https?", rb"\1-", text)


@given(name=st.sampled_from(sorted(EXCHANGES)), cuts=cuts)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_exchanges_are_the_same_as_without_tls(
    server_side: ssl.SSLContext, client_side: ssl.SSLContext, version: ssl.TLSVersion, name: str, cuts: list[int]
) -> None:
    client_side.minimum_version = ssl.TLSVersion.TLSv1_2
    client_side.maximum_version = version
    request, response = EXCHANGES[name]
    plain = Conversation()
    secure = SecureConversation(server_side, client_side, cuts)
    secure.far.shake_hands()
    for conversation in (plain, secure):
        conversation.from_client(request)
        if response and conversation.loop.dialled:
            conversation.from_backend(response)
    assert timeless(secure.got) == timeless(plain.client.written)
    assert secure.far.has_close_notify == (plain.client.is_over or plain.client.has_eof)
    _, requests_in_the_clear, lines_in_the_clear = plain.outcome()
    _, requests, lines = secure.outcome()
    assert [without_scheme(one) for one in lines] == [without_scheme(one) for one in lines_in_the_clear]
    assert [without_scheme(one) for one in requests] == [without_scheme(one) for one in requests_in_the_clear]


@pytest.fixture
def conversation(server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> SecureConversation:
    conversation = SecureConversation(server_side, client_side)
    conversation.far.shake_hands()
    return conversation


class TestEnd:
    """A close_notify, and an end without one, are what an end is without TLS."""

    @pytest.fixture(params=["close_notify", "end", "both"])
    def end(self, request: pytest.FixtureRequest, conversation: SecureConversation) -> Callable[[], None]:
        def end() -> None:
            if request.param != "end":
                conversation.far.send_close_notify()
            if request.param != "close_notify":
                conversation.client.deliver_eof()
            conversation.loop.run()

        return end

    def test_idle(self, conversation: SecureConversation, end: Callable[[], None]) -> None:
        conversation.from_client(GET)
        conversation.from_backend(OK)
        end()
        assert conversation.client.is_over
        assert conversation.plane.stats()["client_connections"] == 0

    def test_while_a_response_is_on_its_way(self, conversation: SecureConversation, end: Callable[[], None]) -> None:
        conversation.from_client(GET)
        end()
        written = len(conversation.client.written)
        conversation.from_backend_only(OK)
        assert len(conversation.client.written) > written
        assert conversation.client.is_over

    def test_behind_a_pipeline(self, conversation: SecureConversation, end: Callable[[], None]) -> None:
        conversation.from_client(GET + GET)
        end()
        written = len(conversation.client.written)
        conversation.from_backend_only(OK)
        assert len(conversation.client.written) > written
        conversation.from_backend_only(OK)
        assert conversation.client.is_over
        assert conversation.plane.stats()["total_requests"] == 2

    def test_in_a_body(self, conversation: SecureConversation, end: Callable[[], None]) -> None:
        conversation.from_client(b"PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nhalf")
        end()
        assert conversation.client.is_over
        assert conversation.backend.is_over

    def test_of_a_tunnel(self, conversation: SecureConversation, end: Callable[[], None]) -> None:
        conversation.from_client(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        conversation.from_backend(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        )
        end()
        assert conversation.client.is_over or conversation.backend.has_eof


class TestBackPressure:
    def test_a_full_client_stops_the_backend(self, conversation: SecureConversation) -> None:
        conversation.from_client(GET)
        conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        conversation.client.set_writing_paused(True)
        assert conversation.backend.is_reading_paused
        conversation.client.set_writing_paused(False)
        assert not conversation.backend.is_reading_paused

    def test_a_full_backend_stops_the_client(self, conversation: SecureConversation) -> None:
        conversation.from_client(b"PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000\r\n\r\n")
        conversation.backend.set_writing_paused(True)
        conversation.from_client(b"x" * 1000)
        assert conversation.client.is_reading_paused, "what is not read is not decrypted"
        conversation.backend.set_writing_paused(False)
        assert not conversation.client.is_reading_paused

    def test_a_pipeline_waits_outside(self, conversation: SecureConversation) -> None:
        conversation.from_client(GET + b"y" * 100_000)
        assert conversation.client.is_reading_paused

    def test_a_large_body_is_one_piece(self, conversation: SecureConversation) -> None:
        conversation.from_client(b"PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 200000\r\n\r\n")
        written = len(conversation.backend.written)
        conversation.from_client(b"x" * 200_000)
        assert len(conversation.backend.written) == written + 200_000
        conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"z" * 200_000)
        assert conversation.got.endswith(b"z" * 200_000)


class WatchedTLS:
    """An SSLObject of the router's that notes how much of what the client sent it was given and had not used."""

    def __init__(self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, waiting: list[int]) -> None:
        self._tls = tls
        self._incoming = incoming
        self._waiting = waiting

    def do_handshake(self) -> None:
        self._waiting.append(self._incoming.pending)
        self._tls.do_handshake()

    def read(self, size: int) -> bytes:
        self._waiting.append(self._incoming.pending)
        return self._tls.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tls, name)


class WatchedContext:
    """Makes every connection of a context a WatchedTLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.waiting: list[int] = []

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_side: bool, server_hostname: str | None
    ) -> WatchedTLS:
        tls = self._context.wrap_bio(incoming, outgoing, server_side, server_hostname)
        return WatchedTLS(tls, incoming, self.waiting)


class TestMemory:
    """A memory BIO never shrinks, so it must never hold much, whatever a client sends and when."""

    SLICE = 32768

    def test_behind_a_handshake(self, server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> None:
        body = b"x" * 200_000
        watched: Any = WatchedContext(server_side)
        client_side.maximum_version = ssl.TLSVersion.TLSv1_3
        conversation = SecureConversation(watched, client_side)
        head = b"PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 200000\r\n\r\n"
        conversation.far.shake_hands_and_send(head + body)
        assert conversation.backend.written.endswith(b"\r\n\r\n" + body)
        assert 0 < max(watched.waiting) <= self.SLICE

    @pytest.mark.parametrize("is_tunnel", [True, False])
    def test_behind_a_close_notify(
        self, server_side: ssl.SSLContext, client_side: ssl.SSLContext, is_tunnel: bool
    ) -> None:
        watched: Any = WatchedContext(server_side)
        conversation = SecureConversation(watched, client_side)
        conversation.far.shake_hands()
        if is_tunnel:
            conversation.from_client(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            conversation.from_backend(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
        else:
            conversation.from_client(GET + GET)
        conversation.far.send_close_notify()
        assert conversation.client.can_deliver
        for _ in range(8):
            conversation.client.deliver(b"\x17\x03\x03" + b"x" * 30_000)
        assert max(watched.waiting) <= self.SLICE
        # The router's side goes on.
        written = len(conversation.client.written)
        conversation.from_backend_only(b"bytes" if is_tunnel else OK)
        assert len(conversation.client.written) > written
        # But not for ever, while the client sends what cannot be read.
        conversation.client.deliver(b"\x17\x03\x03" + b"x" * 30_000)
        conversation.loop.run()
        assert conversation.client.is_over
        assert conversation.backend.is_over


def test_a_handshake_goes_on_under_the_certificates_it_began_with(
    authority: trustme.CA, server_side: ssl.SSLContext, client_side: ssl.SSLContext
) -> None:
    """OpenSSL asks the first context for the name again, when it has made the client begin anew."""

    def context_of(server_name: str) -> ssl.SSLContext:
        context = server_context(authority, server_name)
        # Not what a client begins with.
        context.set_ecdh_curve("secp384r1")
        return context

    asked: list[str | None] = []
    chosen = context_of("app.test")

    def choose(connection: ssl.SSLObject, server_name: str | None, _context: ssl.SSLContext) -> None:
        asked.append(server_name)
        connection.context = chosen

    greeting = context_of("greeting.test")
    greeting.sni_callback = choose
    conversation = SecureConversation(greeting, client_side)
    listener = ListenerProtocol(conversation.plane)
    listener.secure(greeting)
    through(listener, conversation)
    is_alive = weakref.ref(greeting)
    conversation.far.begin_handshake()
    listener.secure(server_side)
    del greeting
    gc.collect()
    assert is_alive() is not None
    conversation.far.shake_hands()
    assert asked == ["app.test", "app.test"]
    conversation.from_client(GET)
    conversation.from_backend(OK)
    assert conversation.got.endswith(b"hello")
    conversation.client.close()
    conversation.loop.run()
    assert is_alive() is None


def test_what_is_admitted(server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> None:
    """A client that is not allowed gets nothing, not even the last flight of the handshake."""
    asked: list[Any] = []

    def is_allowed(connection: ssl.SSLObject) -> bool:
        asked.append(connection)
        return False

    conversation = SecureConversation(server_side, client_side)
    listener = ListenerProtocol(conversation.plane)
    listener.secure(server_side, is_allowed=is_allowed)
    through(listener, conversation)
    conversation.far.shake_hands()
    written = len(conversation.client.written)
    conversation.from_client(GET)
    assert len(asked) == 1
    assert conversation.client.has_eof
    assert len(conversation.client.written) == written
    assert conversation.loop.dialled == []


class TestKeyUpdates:
    """TLS 1.3 lets a client ask for new keys as often as it likes; each time takes OpenSSL 30 µs and is answered."""

    @pytest.fixture
    def updating(self, server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> SecureConversation:
        client_side.maximum_version = ssl.TLSVersion.TLSv1_3
        conversation = SecureConversation(server_side, client_side)
        conversation.far.shake_hands()
        return conversation

    def test_many_are_worked_on_in_turns(self, updating: SecureConversation) -> None:
        updating.client.deliver(updating.far.key_updates(2_000))
        assert not updating.client.is_read()
        updating.loop.run()
        assert updating.client.is_read()
        updating.from_client(GET)
        updating.from_backend(OK)
        assert updating.got.endswith(b"hello")

    def test_who_takes_none_of_the_responses_is_cut_off(self, updating: SecureConversation) -> None:
        updating.client.set_writing_paused(True)
        before = len(updating.client.written)
        for _ in range(10):
            updating.client.deliver(updating.far.key_updates(1_000))
            updating.loop.run()
        assert updating.client.is_over
        assert len(updating.client.written) - before < 100_000
