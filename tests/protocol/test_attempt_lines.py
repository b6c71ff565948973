"""What the process log tells of failed attempts (spec 5.1, E17)."""

from typing import Any

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
