"""Limits of heads that are as low as can be."""

import pytest

from fastrouter._core import Settings

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"


def test_one_that_no_request_keeps() -> None:
    conversation = Conversation(settings=Settings(max_request_head=1))
    conversation.from_client(GET, GET)
    assert conversation.client.written.count(b"X-Cf-Routererror: max-request-size-exceeded\r\n") == 2


@pytest.mark.parametrize("pieces", [(b"HTTP/1.1 200 OK\r\n\r\n",), (b"H", b"TTP/1.1 200 OK\r\n\r\n")])
def test_one_that_no_response_keeps(pieces: tuple[bytes, ...]) -> None:
    conversation = Conversation(settings=Settings(max_response_head=1))
    conversation.from_client(GET)
    conversation.from_backend(*pieces)
    assert b"server response headers exceeded 1 bytes; aborted" in conversation.client.written
