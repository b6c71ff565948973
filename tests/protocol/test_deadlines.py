"""Waits that no deadline of an exchange ends: peers that take nothing of what was written to them."""

import time
from typing import Any

import pytest

from fastrouter._core import Settings

from .conversation import Conversation
from .fake_network import FakeTransport

UPGRADE = b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
AT_ONCE = 1e-9


def asked(message: bytes = UPGRADE, **settings: Any) -> Conversation:
    """A conversation whose client has sent `message`; a peer that takes nothing has no time at all."""
    conversation = Conversation(settings=Settings(frontend_idle_timeout=AT_ONCE, read_header_timeout=1e3, **settings))
    conversation.from_client(message)
    return conversation


def tunnel() -> Conversation:
    conversation = asked()
    conversation.from_backend(SWITCHING)
    return conversation


def stop_reading(transport: FakeTransport, unsent: int = 100_000) -> None:
    """Let the peer read no more, when so many bytes are on their way to it."""
    transport.unsent = unsent
    transport.set_writing_paused(True)


class TestStalled:
    @pytest.fixture(params=["client", "backend"])
    def side(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_a_tunnel_that_one_side_does_not_read_ends(self, side: str) -> None:
        conversation = tunnel()
        stop_reading(getattr(conversation, side))
        conversation.loop.tick()
        assert conversation.client.is_over
        assert conversation.backend.is_over
        conversation.end()
        assert b'" 101 ' in b"".join(conversation.log)

    def test_one_that_is_read_slowly_lives(self, side: str) -> None:
        conversation = tunnel()
        transport = getattr(conversation, side)
        stop_reading(transport)
        for left in (99_999, 50_000, 20_000):
            transport.unsent = left
            conversation.loop.tick()
            assert not transport.is_closing()
        conversation.loop.tick()
        assert transport.is_over

    def test_one_that_is_read_again_may_be_quiet_for_ever(self, side: str) -> None:
        conversation = tunnel()
        transport = getattr(conversation, side)
        stop_reading(transport)
        transport.unsent = 0
        transport.set_writing_paused(False)
        conversation.loop.tick()
        conversation.loop.tick()
        conversation.from_backend(b"still here")
        assert conversation.client.written.endswith(b"still here")

    def test_each_side_has_its_own_time(self) -> None:
        conversation = tunnel()
        stop_reading(conversation.client)
        stop_reading(conversation.backend)
        conversation.backend.set_writing_paused(False)
        conversation.loop.tick()
        assert conversation.client.is_over

    def test_the_other_side_gets_what_it_still_can(self) -> None:
        """What a backend does not take when its client has gone is given up after the time for idle ones."""
        conversation = asked(backend_idle_timeout=AT_ONCE)
        conversation.from_backend(SWITCHING)
        conversation.backend.unsent = 1
        conversation.client.break_off()
        assert conversation.backend.is_closing()
        assert not conversation.backend.is_over
        conversation.loop.tick()
        assert conversation.backend.is_over

    def test_stalled_before_it_was_a_tunnel(self) -> None:
        """Another protocol than WebSocket has an attempt with a deadline first."""
        conversation = asked(b"")
        conversation.client.deliver(UPGRADE.replace(b"websocket", b"other"))
        stop_reading(conversation.client)
        conversation.loop.tick()
        assert not conversation.client.is_over
        conversation.from_backend(SWITCHING.replace(b"websocket", b"other"))
        conversation.loop.tick()
        assert conversation.client.is_over


class TestExchanges:
    RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"

    def test_with_a_deadline_of_their_own_wait_for_that(self) -> None:
        conversation = asked(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        conversation.from_backend(self.RESPONSE)
        stop_reading(conversation.client)
        conversation.loop.tick()
        assert not conversation.client.is_closing()

    @pytest.mark.parametrize(
        ("message", "endpoint_timeout"), [(UPGRADE, 900), (b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n", 0)]
    )
    def test_without_one_are_cut_off(self, message: bytes, endpoint_timeout: float) -> None:
        conversation = asked(message, endpoint_timeout=endpoint_timeout)
        conversation.from_backend(self.RESPONSE)
        stop_reading(conversation.client)
        conversation.loop.tick()
        assert conversation.client.is_over
        assert conversation.backend.is_over

    def test_a_request_that_its_backend_does_not_take(self) -> None:
        conversation = asked(
            b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000, endpoint_timeout=0
        )
        stop_reading(conversation.backend)
        conversation.loop.tick()
        assert conversation.backend.is_over
        assert conversation.client.written.startswith(b"HTTP/1.1 502 ")


def test_a_turn_of_the_loop_has_no_time_for_all_who_wait_too_long() -> None:
    """Each of three timeouts takes longer than a turn has for all of them, so each has a turn of its own."""
    told: list[str] = []

    def log_slowly(_level: int, message: str, _data: dict[str, Any]) -> None:
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        told.append(message)

    conversation = Conversation(settings=Settings(endpoint_timeout=AT_ONCE), event_log=log_slowly)
    conversation.loop.run()
    for _ in range(3):
        client = conversation.loop.connect_client(conversation.plane.new_client())
        client.deliver(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        conversation.loop.run()
    conversation.loop.call_later_ones()
    of_turns = []
    while conversation.loop.has_ready():
        conversation.loop.turn()
        of_turns.append(told.count("backend-request-timeout"))
        told.clear()
    assert [count for count in of_turns if count] == [1, 1, 1]
