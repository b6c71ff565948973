"""Lines of the process log about failed attempts (spec 5.1, E17)."""

from typing import Any

import pytest

from fastrouter._core import Settings

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def failures(conversation: Conversation) -> list[dict[str, Any]]:
    return [data for _, message, data in conversation.events if message == "backend-endpoint-failed"]


def test_a_timeout_on_a_kept_connection_is_one_of_a_request_that_was_sent() -> None:
    conversation = Conversation(settings=Settings(endpoint_timeout=1e-9))
    # The router's first look at its deadlines.
    conversation.loop.run()
    conversation.from_client(GET)
    conversation.from_backend(OK)
    conversation.from_client(GET)
    assert len(conversation.loop.dialled) == 1
    conversation.loop.tick()
    (failure,) = failures(conversation)
    assert failure["error"] == "context deadline exceeded"
    assert (failure["conn-reused"], failure["got-connection"], failure["wrote-headers"]) == (True, True, True)
    assert (failure["dial-time"], failure["tls-handshake-time"]) == (0, 0)


def test_a_client_that_leaves_ends_no_dial() -> None:
    conversation = Conversation()
    conversation.client.deliver(GET)
    conversation.client.break_off()
    conversation.loop.run()
    (failure,) = failures(conversation)
    assert (failure["dial-time"], failure["tls-handshake-time"]) == (-1, 0)


class TestBrokenAnswer:
    """E07, B05: a backend that breaks off inside a head has given a bad answer, for which nobody is marked.

    Behind an interim response there is no head yet: there a reset is a reset, as if nothing had been said.
    """

    HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    BROKEN = "net/http: HTTP/1.x transport connection broken: "

    def end(self, said: bytes, how: str) -> tuple[dict[str, Any], bool]:
        """What is logged of the attempt, and whether the endpoint is marked."""
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.from_backend(*said.splitlines(keepends=True))
        getattr(conversation.backend, how)()
        conversation.loop.run()
        answers = bytes(conversation.client.written).split(b"HTTP/1.1 ")
        assert answers[-1].startswith(b"502 ")
        (failure,) = failures(conversation)
        marks = [message for _, message, _ in conversation.events if message == "endpoint-marked-as-ineligible"]
        return failure, bool(marks)

    @pytest.mark.parametrize("said", [HINTS, HINTS + HINTS, b"HTTP/1.1 100 Continue\r\n\r\n"])
    def test_a_reset_marks(self, said: bytes) -> None:
        failure, is_marked = self.end(said, "break_off")
        assert failure["error"].startswith(self.BROKEN + "read tcp ")
        assert failure["error"].endswith("->10.0.0.1:8080: read: connection reset by peer")
        assert not failure["retriable"]
        assert is_marked

    @pytest.mark.parametrize("how", ["break_off", "deliver_eof"])
    @pytest.mark.parametrize("said", [b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\n", HINTS + b"HTTP/1.1 200 OK\r\nA: b\r\n"])
    def test_an_end_inside_a_head_does_not(self, said: bytes, how: str) -> None:
        failure, is_marked = self.end(said, how)
        assert failure["error"] == self.BROKEN + "unexpected EOF"
        assert not is_marked

    def test_an_end_without_a_reset_does_not(self) -> None:
        failure, is_marked = self.end(self.HINTS, "deliver_eof")
        assert not failure["retriable"]
        assert failure["error"] == self.BROKEN + "unexpected EOF"
        assert not is_marked
