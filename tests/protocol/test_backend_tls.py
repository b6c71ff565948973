"""TLS with a backend: the same exchanges as without, and no more time or memory than it is worth, whatever it sends."""

import os
import ssl
from collections.abc import Iterable
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from fastrouter._core import Endpoint, Settings
from fastrouter.tls.backends import backend_context

from .conversation import Conversation, timeless
from .secure_end import SecureEnd, client_context, server_context
from .test_splits import EXCHANGES, OK, cuts

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
PUT = b"PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture(scope="module")
def backend_side(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority, "one.test")


@pytest.fixture(scope="module")
def router_side(authority: trustme.CA) -> ssl.SSLContext:
    return client_context(authority)


class SecureBackend(Conversation):
    """A conversation whose backend speaks TLS; what the test delivers and finds is in the clear."""

    def __init__(
        self,
        backend_side: ssl.SSLContext,
        router_side: ssl.SSLContext,
        sizes: Iterable[int] = (1 << 20,),
        name: str = "one.test",
    ) -> None:
        endpoint = Endpoint("10.0.0.1", 8080, tls=True, server_cert_domain_san=name, instance_id="one")
        super().__init__([endpoint], Settings(backend_tls=router_side))
        self.far = SecureEnd(
            lambda: self.backend,
            super().from_backend,
            lambda incoming, outgoing: backend_side.wrap_bio(incoming, outgoing, server_side=True),
            sizes,
        )

    def from_client(self, *pieces: bytes) -> None:
        dialled = len(self.loop.dialled)
        super().from_client(*pieces)
        if len(self.loop.dialled) > dialled:
            self.far.shake_hands()
        if self.loop.dialled:
            self.far.read()

    def from_backend(self, *pieces: bytes) -> None:
        self.far.send(*pieces)


@given(name=st.sampled_from(sorted(name for name, (_, response) in EXCHANGES.items() if response)), cuts=cuts)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_exchanges_are_the_same_as_without_tls(
    backend_side: ssl.SSLContext, router_side: ssl.SSLContext, version: ssl.TLSVersion, name: str, cuts: list[int]
) -> None:
    router_side.minimum_version = ssl.TLSVersion.TLSv1_2
    router_side.maximum_version = version
    request, response = EXCHANGES[name]
    plain = Conversation([Endpoint("10.0.0.1", 8080, instance_id="one")])
    secure = SecureBackend(backend_side, router_side, cuts)
    for conversation in (plain, secure):
        conversation.from_client(request)
        if conversation.loop.dialled:
            conversation.from_backend(response)
    assert timeless(secure.client.written) == timeless(plain.client.written)
    if plain.loop.dialled:
        assert timeless(secure.far.got) == timeless(plain.backend.written)
        assert secure.backend.is_closing() == plain.backend.is_closing()


@pytest.fixture
def conversation(backend_side: ssl.SSLContext, router_side: ssl.SSLContext) -> SecureBackend:
    router_side.maximum_version = ssl.TLSVersion.TLSv1_3
    return SecureBackend(backend_side, router_side)


class TestHandshake:
    @pytest.mark.parametrize("name", ["two.test", ".test", "a\0b", "x" * 300 + "..test"])
    def test_a_name_that_the_certificate_is_not_for(
        self, authority: trustme.CA, backend_side: ssl.SSLContext, name: str
    ) -> None:
        context = backend_context(ca_certs=[authority.cert_pem.bytes().decode()])
        conversation = SecureBackend(backend_side, context, name=name)
        Conversation.from_client(conversation, GET)
        greeting = bytes(conversation.backend.written)
        conversation.far.begin_handshake()
        assert conversation.client.written.startswith(b"HTTP/1.1 503 ")
        assert conversation.backend.is_over
        # The end of the handshake is not sent to a peer with the wrong name.
        assert conversation.backend.written == greeting
        assert not any(message == "panic-check" for _, message, _ in conversation.events)

    def test_who_speaks_first_speaks_no_tls(self, conversation: SecureBackend) -> None:
        Conversation.from_client(conversation, GET)
        Conversation.from_backend(conversation, b"220 ready\r\n")
        assert conversation.client.written.startswith(b"HTTP/1.1 525 ")

    def test_an_end_within_it(self, conversation: SecureBackend) -> None:
        Conversation.from_client(conversation, GET)
        conversation.backend.deliver_eof()
        conversation.loop.run()
        assert conversation.client.written.startswith(b"HTTP/1.1 502 ")
        assert not conversation.plane.has_connections() or not conversation.client.is_over

    def test_a_client_that_leaves_within_it(self, conversation: SecureBackend) -> None:
        Conversation.from_client(conversation, GET)
        conversation.client.close()
        conversation.loop.run()
        assert conversation.backend.is_over
        assert not conversation.plane.has_connections()

    def test_a_fault_of_ours_within_it(self, backend_side: ssl.SSLContext) -> None:
        faulty: Any = object()
        conversation = SecureBackend(backend_side, faulty)
        Conversation.from_client(conversation, GET)
        assert conversation.client.written.startswith(b"HTTP/1.1 502 ")
        assert [message for _, message, _ in conversation.events] == ["panic-check"]
        assert conversation.backend.is_over


class TestEnd:
    @pytest.mark.parametrize("close_notify", [True, False])
    def test_of_a_body_without_length(self, conversation: SecureBackend, close_notify: bool) -> None:
        conversation.from_client(GET)
        conversation.from_backend(b"HTTP/1.1 200 OK\r\n\r\nhello")
        if close_notify:
            conversation.far.send_close_notify()
        else:
            conversation.backend.deliver_eof()
        conversation.loop.run()
        assert conversation.client.written.endswith(b"5\r\nhello\r\n0\r\n\r\n")
        assert conversation.backend.is_over

    def test_of_an_idle_connection(self, conversation: SecureBackend) -> None:
        conversation.from_client(GET)
        conversation.from_backend(OK)
        conversation.far.send_close_notify()
        conversation.loop.run()
        assert conversation.backend.is_over

    def test_behind_what_waits_for_its_turn(self, conversation: SecureBackend) -> None:
        """What has been read before the end of TCP is not lost."""
        conversation.from_client(GET)
        conversation.from_backend(b"HTTP/1.1 200 OK\r\n\r\nhello")
        conversation.backend.deliver(conversation.far.key_updates(500) + conversation.far.encrypted(b" world"))
        assert not conversation.backend.is_read()
        conversation.backend.deliver_eof()
        conversation.loop.run()
        assert conversation.client.written.endswith(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")

    def test_a_loss_behind_what_waits_for_its_turn(self, conversation: SecureBackend) -> None:
        conversation.from_client(GET)
        conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello")
        conversation.backend.deliver(conversation.far.key_updates(500) + conversation.far.encrypted(b" world"))
        conversation.backend.abort()
        conversation.loop.run()
        assert conversation.client.written.endswith(b"hello world")

    def test_records_that_nobody_can_read(self, conversation: SecureBackend) -> None:
        conversation.from_client(GET)
        conversation.backend.deliver(b"\x17\x03\x03\x00\x20" + os.urandom(32))
        conversation.loop.run()
        assert conversation.client.written.startswith(b"HTTP/1.1 502 ")
        assert conversation.backend.is_over


class TestBackPressure:
    def test_a_full_client_stops_the_backend(self, conversation: SecureBackend) -> None:
        conversation.from_client(GET)
        conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        conversation.client.set_writing_paused(True)
        assert not conversation.backend.is_read()
        conversation.client.set_writing_paused(False)
        assert conversation.backend.is_read()

    def test_a_full_backend_stops_the_client(self, conversation: SecureBackend) -> None:
        conversation.from_client(PUT)
        conversation.backend.set_writing_paused(True)
        assert not conversation.client.is_read()
        conversation.backend.set_writing_paused(False)
        assert conversation.client.is_read()


class TestKeyUpdates:
    """TLS 1.3 lets a backend ask for new keys as often as it likes; each time takes OpenSSL 30 µs and is answered."""

    def test_many_are_worked_on_in_turns(self, conversation: SecureBackend) -> None:
        conversation.from_client(GET)
        conversation.backend.deliver(conversation.far.key_updates(2_000))
        assert not conversation.backend.is_read()
        conversation.loop.run()
        assert conversation.backend.is_read()
        conversation.from_backend(OK)
        assert conversation.client.written.endswith(b"hello")

    def test_who_takes_none_of_the_responses_is_cut_off(self, conversation: SecureBackend) -> None:
        conversation.from_client(GET)
        conversation.backend.set_writing_paused(True)
        before = len(conversation.backend.written)
        for _ in range(10):
            if conversation.backend.is_over:
                break
            conversation.backend.deliver(conversation.far.key_updates(1_000))
            conversation.loop.run()
        assert conversation.backend.is_over
        assert len(conversation.backend.written) - before < 100_000
        assert conversation.client.written.startswith(b"HTTP/1.1 502 ")
