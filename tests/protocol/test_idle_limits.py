"""Requests that cannot be sent again keep clear of connections that their backend may be closing (ADR 24)."""

from typing import Any

import pytest

from fastrouter._core import Settings

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nonce"
OK = b"HTTP/1.1 200 OK\r\n%bContent-Length: 2\r\n\r\nok"
# Every connection is older than that.
AT_ONCE = b"Keep-Alive: timeout=0, max=100\r\n"


def kept(line: bytes = b"", **settings: Any) -> Conversation:
    """A conversation with one idle connection to the backend, whose response had this line."""
    conversation = Conversation(settings=Settings(**settings))
    conversation.from_client(GET)
    conversation.from_backend(OK % line)
    return conversation


def dials(conversation: Conversation, request: bytes) -> int:
    """How many connections are dialled for this request."""
    before = len(conversation.loop.dialled)
    conversation.from_client(request)
    return len(conversation.loop.dialled) - before


def lose(conversation: Conversation, request: bytes, is_reset: bool = False) -> None:
    """Send a request whose connection ends when it is there."""
    conversation.from_client(request)
    if is_reset:
        conversation.backend.break_off()
    else:
        conversation.backend.deliver_eof()
    conversation.loop.run()


class TestLimitThatIsSaid:
    @pytest.mark.parametrize(
        "line", [AT_ONCE, b"keep-alive: max=7 ,  TIMEOUT=0\r\n", b"Keep-Alive: timeout=0\r\nKeep-Alive: timeout=99\r\n"]
    )
    def test_a_post_is_dialled_for(self, line: bytes) -> None:
        assert dials(kept(line), POST) == 1

    @pytest.mark.parametrize(
        "line",
        [
            b"Keep-Alive: timeout=5\r\n",
            b"Keep-Alive: max=100\r\n",
            b"Keep-Alive: timeout=\r\n",
            b"Keep-Alive: timeout=0.1\r\n",
            b"Keep-Alive: timeout=-1\r\n",
            b"Keep-Alive: xtimeout=0\r\n",
            b"Keep-Alive: timeout=99999999999999999999999999999\r\n",
        ],
    )
    def test_a_post_goes_over_the_connection_before_it(self, line: bytes) -> None:
        assert dials(kept(line), POST) == 0

    @pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
    def test_what_can_be_sent_again_goes_over_any(self, method: bytes) -> None:
        assert dials(kept(AT_ONCE), GET.replace(b"GET", method)) == 0

    @pytest.mark.parametrize(
        "request_", [POST.replace(b"POST", b"GET"), GET.replace(b"GET", b"DELETE"), GET.replace(b"GET", b"PUT")]
    )
    def test_what_cannot_is_dialled_for(self, request_: bytes) -> None:
        assert dials(kept(AT_ONCE), request_) == 1

    def test_nothing_is_learnt_where_that_is_not_wanted(self) -> None:
        assert dials(kept(AT_ONCE, learns_idle_limits=False), POST) == 0

    def test_the_old_connection_stays_for_others(self) -> None:
        conversation = kept(AT_ONCE)
        assert dials(conversation, POST) == 1
        conversation.from_backend(OK % b"")
        assert conversation.plane.stats()["idle_backend_connections"] == 2
        assert dials(conversation, GET) == 0

    def test_no_timeout_of_our_own_changes_nothing(self) -> None:
        assert dials(kept(AT_ONCE, backend_idle_timeout=0), POST) == 1
        assert dials(kept(b"Keep-Alive: timeout=5\r\n", backend_idle_timeout=0), POST) == 0


@pytest.mark.parametrize("is_reset", [False, True])
class TestLoss:
    def test_of_a_get_is_repaired_and_posts_are_dialled_for(self, is_reset: bool) -> None:
        conversation = kept()
        lose(conversation, GET, is_reset)
        conversation.from_backend(OK % b"")
        assert conversation.client.written.count(b"200 OK") == 2
        assert not conversation.events
        assert dials(conversation, POST) == 1
        assert conversation.plane.stats()["lost_while_idle"] == 1

    def test_of_a_post_is_the_last_for_a_while(self, is_reset: bool) -> None:
        conversation = kept()
        lose(conversation, POST, is_reset)
        assert conversation.client.written.count(b"502 Bad Gateway") == 2
        for _ in range(10):
            assert dials(conversation, POST) == 1
            conversation.from_backend(OK % b"")
        ((level, _, data),) = [event for event in conversation.events if event[1] == "idle-connections-avoided"]
        assert (level, data["Addr"], data["for"]) == (1, "10.0.0.1:8080", 30.0)
        assert 0 <= data["idle-time"] < 60

    def test_where_nothing_is_learnt_it_is_counted_alone(self, is_reset: bool) -> None:
        conversation = kept(learns_idle_limits=False)
        lose(conversation, POST, is_reset)
        assert conversation.plane.stats()["lost_while_idle"] == 1
        assert not [event for event in conversation.events if event[1] == "idle-connections-avoided"]
        conversation.from_client(GET)
        conversation.from_backend(OK % b"")
        assert dials(conversation, POST) == 0

    def test_of_a_connection_that_was_new_says_nothing(self, is_reset: bool) -> None:
        conversation = Conversation()
        lose(conversation, POST, is_reset)
        conversation.from_client(GET)
        conversation.from_backend(OK % b"")
        assert dials(conversation, POST) == 0
        assert conversation.plane.stats()["lost_while_idle"] == 0

    def test_behind_the_first_byte_of_a_response_says_nothing(self, is_reset: bool) -> None:
        conversation = kept()
        conversation.from_client(POST)
        conversation.from_backend(b"HTTP/1.1 ")
        lose(conversation, b"", is_reset)
        assert conversation.plane.stats()["lost_while_idle"] == 0


@pytest.mark.parametrize("is_reset", [False, True])
def test_an_end_while_idle_is_no_loss(is_reset: bool) -> None:
    conversation = kept()
    lose(conversation, b"", is_reset)
    assert dials(conversation, POST) == 1
    assert b"502" not in conversation.client.written
    assert conversation.plane.stats()["lost_while_idle"] == 0
