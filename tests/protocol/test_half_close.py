"""A client that sends no more behind complete requests still gets its answers; one that has left looks the same."""

import pytest

from fastrouter._core import Settings

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENT = Settings(half_close_timeout=1000)
IMPATIENT = Settings(half_close_timeout=0.001)


def half_closed(*pieces: bytes, settings: Settings = PATIENT) -> Conversation:
    conversation = Conversation(settings=settings)
    conversation.from_client(*pieces)
    conversation.client.deliver_eof()
    conversation.loop.run()
    return conversation


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("is_one_piece", [True, False])
def test_all_complete_requests_get_responses(count: int, is_one_piece: bool) -> None:
    conversation = half_closed(*([GET * count] if is_one_piece else [GET] * count))
    for number in range(count):
        assert not conversation.client.is_over
        conversation.from_backend(OK)
        assert conversation.client.written.count(b"\r\n\r\nok") == number + 1
    assert conversation.client.is_over


def test_what_is_no_whole_request_behind_them_is_not() -> None:
    conversation = half_closed(GET + GET[:20])
    conversation.from_backend(OK)
    assert conversation.client.is_over
    assert len(conversation.loop.dialled) == 1


def test_a_body_that_is_not_complete_is_the_end_at_once() -> None:
    conversation = half_closed(b"PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nhalf")
    assert conversation.client.is_over
    assert conversation.backend.is_over


def test_a_response_that_does_not_begin_is_for_somebody_who_has_left() -> None:
    conversation = half_closed(GET + GET, settings=IMPATIENT)
    conversation.let_deadlines_pass()
    assert conversation.client.is_over
    assert conversation.backend.is_over
    assert not conversation.client.written
    conversation.end()
    (line,) = b"".join(conversation.log).splitlines()
    assert b'" 499 ' in line


def test_a_response_that_goes_on_goes_on() -> None:
    conversation = half_closed(GET, settings=IMPATIENT)
    conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    for _ in range(3):
        conversation.from_backend(b"x")
        conversation.let_deadlines_pass()
        assert not conversation.client.is_over
    conversation.from_backend(b"x")
    assert conversation.client.written.endswith(b"\r\n\r\nxxxx")
    assert conversation.client.is_over


def test_a_response_that_does_not_is_over() -> None:
    conversation = half_closed(GET, settings=IMPATIENT)
    conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx")
    for is_over in (False, True):
        conversation.let_deadlines_pass()
        assert conversation.client.is_over == is_over
    assert conversation.backend.is_over


def test_a_client_that_takes_its_response_slowly_has_not_left() -> None:
    conversation = half_closed(GET, settings=IMPATIENT)
    conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx")
    conversation.client.set_writing_paused(True)
    for _ in range(3):
        conversation.let_deadlines_pass()
    assert not conversation.client.is_over
    conversation.client.set_writing_paused(False)
    conversation.from_backend(b"xxx")
    assert conversation.client.is_over


class TestTunnel:
    """A tunnel of which one side has ended lives as long as the other speaks."""

    UPGRADE = b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    PATIENT = Settings(tunnel_silence_timeout=1000)
    IMPATIENT = Settings(tunnel_silence_timeout=0.001)

    @pytest.fixture(params=["client", "backend"])
    def side(self, request: pytest.FixtureRequest) -> str:
        """Which side sends no more."""
        return str(request.param)

    def half_closed(self, side: str, settings: Settings) -> Conversation:
        conversation = Conversation(settings=settings)
        conversation.from_client(self.UPGRADE)
        conversation.from_backend(self.SWITCHING)
        getattr(conversation, side).deliver_eof()
        conversation.loop.run()
        return conversation

    def other(self, side: str) -> str:
        return "client" if side == "backend" else "backend"

    def assert_over(self, conversation: Conversation) -> None:
        assert conversation.client.is_over
        assert conversation.backend.is_over
        conversation.end()
        (line,) = b"".join(conversation.log).splitlines()
        assert b'" 101 0 0 ' in line

    def test_ends_when_the_other_is_silent(self, side: str) -> None:
        conversation = self.half_closed(side, self.IMPATIENT)
        assert getattr(conversation, self.other(side)).has_eof
        conversation.let_deadlines_pass()
        self.assert_over(conversation)

    def test_a_piece_of_the_other_begins_its_silence_anew(self, side: str) -> None:
        """Of two tunnels, the one that was half-closed first and spoke last outlives the other."""
        conversation = self.half_closed(side, self.IMPATIENT)
        first = {"client": conversation.client, "backend": conversation.backend}
        conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
        conversation.from_client(self.UPGRADE.replace(b"/", b"/second", 1))
        conversation.from_backend(self.SWITCHING)
        getattr(conversation, side).deliver_eof()
        first[self.other(side)].deliver(b"a piece")
        assert first[side].written.endswith(b"a piece")
        conversation.let_deadlines_pass()
        assert conversation.client.is_over
        assert first["client"].is_over
        conversation.end()
        lines = b"".join(conversation.log).splitlines()
        assert [line.split(b" ")[4] for line in lines] == [b"/second", b"/"]

    def test_ends_with_the_other(self, side: str) -> None:
        conversation = self.half_closed(side, self.PATIENT)
        conversation.let_deadlines_pass()
        assert not conversation.client.is_closing()
        getattr(conversation, self.other(side)).deliver_eof()
        conversation.loop.run()
        self.assert_over(conversation)

    @pytest.mark.parametrize("slow", ["client", "backend"])
    def test_who_is_not_read_is_not_silent(self, side: str, slow: str) -> None:
        conversation = self.half_closed(side, self.IMPATIENT)
        getattr(conversation, self.other(side)).deliver(b"much")
        getattr(conversation, slow).set_writing_paused(True)
        for _ in range(3):
            conversation.let_deadlines_pass()
            assert not conversation.client.is_closing()
            assert not conversation.backend.is_closing()
        getattr(conversation, slow).set_writing_paused(False)
        conversation.let_deadlines_pass()
        self.assert_over(conversation)

    @pytest.mark.parametrize("slow", ["client", "backend"])
    def test_who_takes_nothing_is_cut_off(self, side: str, slow: str) -> None:
        settings = Settings(tunnel_silence_timeout=0.001, frontend_idle_timeout=0.001)
        conversation = self.half_closed(side, settings)
        transport = getattr(conversation, slow)
        transport.unsent = 100_000
        transport.set_writing_paused(True)
        conversation.let_deadlines_pass()
        self.assert_over(conversation)

    def test_what_is_written_still_goes_out(self, side: str) -> None:
        conversation = self.half_closed(side, self.IMPATIENT)
        taking = getattr(conversation, side)
        getattr(conversation, self.other(side)).deliver(b"last words")
        taking.unsent = len(b"last words")
        conversation.let_deadlines_pass()
        assert taking.is_closing()
        assert not taking.is_over

    def test_of_a_client_that_ended_before_it_began(self) -> None:
        conversation = Conversation(settings=self.IMPATIENT)
        conversation.client.deliver(self.UPGRADE + b"early")
        conversation.client.deliver_eof()
        conversation.loop.run()
        conversation.from_backend(self.SWITCHING + b"answer")
        assert conversation.backend.has_eof
        assert conversation.backend.written.endswith(b"early")
        assert conversation.client.written.endswith(b"answer")
        conversation.let_deadlines_pass()
        self.assert_over(conversation)
