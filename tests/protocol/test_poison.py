"""What one message leaves behind in the store of parsers must not affect the next client.

llhttp takes some messages for the last of their connection, and refuses whatever it is shown behind them, unless it is
told not to.
"""

import pytest

from .conversation import Conversation
from .fake_network import FakeTransport

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# So many that every parser in the store is met, whichever comes first.
CLIENTS = 8

LAST_REQUESTS = {
    "connection": GET[:-2] + b"Connection: close\r\n\r\n",
    "connection-in-a-list": GET[:-2] + b"Connection: x, close\r\n\r\n",
    "connection-twice": GET[:-2] + b"Connection: keep-alive\r\nConnection: close\r\n\r\n",
    "proxy-connection": GET[:-2] + b"Proxy-Connection: close\r\n\r\n",
    "proxy-connection-in-odd-case": GET[:-2] + b"pRoXy-CoNnEcTiOn: CLOSE\r\n\r\n",
    "proxy-connection-beside-keep-alive": GET[:-2] + b"Connection: keep-alive\r\nProxy-Connection: close\r\n\r\n",
    "trailer": b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1\r\nx\r\n0\r\nConnection: close\r\n\r\n",
    "proxy-trailer": b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"1\r\nx\r\n0\r\nProxy-Connection: close\r\n\r\n",
    "upgrade-in-a-trailer": b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "http-1.0": b"GET / HTTP/1.0\r\nHost: app.test\r\n\r\n",
    "http-1.0-kept": b"GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n",
    "http-1.0-kept-by-a-proxy": b"GET / HTTP/1.0\r\nHost: app.test\r\nProxy-Connection: keep-alive\r\n\r\n",
    "refused-upgrade": GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "upgrade-and-close": GET[:-2] + b"Connection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n",
}

LAST_RESPONSES = {
    "connection": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    "proxy-connection": b"HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 2\r\n\r\nok",
    "proxy-connection-beside-keep-alive": b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nProxy-Connection: close\r\n"
    b"Content-Length: 2\r\n\r\nok",
    "trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nConnection: close\r\n\r\n",
    "proxy-trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
    b"Proxy-Connection: close\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n" + OK,
    "proxy-interim": b"HTTP/1.1 103 Early Hints\r\nProxy-Connection: close\r\n\r\n" + OK,
    "no-content": b"HTTP/1.1 204 No Content\r\nProxy-Connection: close\r\n\r\n",
    "not-modified": b"HTTP/1.1 304 Not Modified\r\nProxy-Connection: close\r\n\r\n",
    "http-1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "http-1.0-kept-by-a-proxy": b"HTTP/1.0 200 OK\r\nProxy-Connection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    "upgrade": b"HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok",
    "more-behind-it": OK + OK,
}


def new_client(conversation: Conversation) -> FakeTransport:
    """Another client, and no connection to the backend left over for it."""
    conversation.client.close()
    if conversation.loop.dialled and not conversation.backend.is_closing():
        conversation.backend.break_off()
    conversation.loop.run()
    conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
    return conversation.client


def expect_to_be_served(conversation: Conversation) -> None:
    for number in range(CLIENTS):
        client = new_client(conversation)
        conversation.from_client(GET)
        assert client.written == b"", (number, bytes(client.written))
        conversation.from_backend(OK)
        assert client.written.startswith(b"HTTP/1.1 200 OK\r\n"), (number, bytes(client.written))
        assert client.written.endswith(b"ok")
        # The second request of the same client is shown to the same parsers.
        del client.written[:]
        conversation.from_client(GET)
        conversation.from_backend(OK)
        assert client.written.startswith(b"HTTP/1.1 200 OK\r\n"), (number, bytes(client.written))


@pytest.mark.parametrize("name", LAST_REQUESTS)
def test_a_last_request_costs_no_other_client_its_own(name: str) -> None:
    conversation = Conversation()
    conversation.from_client(LAST_REQUESTS[name])
    conversation.from_backend(OK)
    assert conversation.client.written.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
    expect_to_be_served(conversation)


@pytest.mark.parametrize("name", LAST_RESPONSES)
def test_a_last_response_costs_no_other_client_its_own(name: str) -> None:
    conversation = Conversation()
    conversation.from_client(GET)
    conversation.from_backend(LAST_RESPONSES[name])
    assert conversation.client.written.startswith(b"HTTP/1.1 ")
    expect_to_be_served(conversation)


@pytest.mark.parametrize("name", LAST_REQUESTS)
def test_a_request_behind_it_on_the_same_connection(name: str) -> None:
    """It is served, or the connection ends; it is not refused for what was before it."""
    conversation = Conversation()
    conversation.from_client(LAST_REQUESTS[name])
    conversation.from_backend(OK)
    del conversation.client.written[:]
    conversation.from_client(GET)
    assert b" 400 " not in conversation.client.written
    if not conversation.client.is_over and not conversation.client.has_eof:
        conversation.from_backend(OK)
        assert conversation.client.written.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))


def test_bytes_behind_a_response_reach_nobody() -> None:
    """A whole response that nobody asked for, in the same segment as a good one."""
    conversation = Conversation()
    conversation.from_client(GET)
    conversation.from_backend(OK + OK.replace(b"ok", b"no"))
    assert conversation.client.written.endswith(b"ok")
    assert conversation.backend.is_closing()
    conversation.from_client(GET)
    assert len(conversation.loop.dialled) == 2
    conversation.from_backend(OK)
    assert b"no" not in conversation.client.written


def test_bytes_on_an_idle_connection_reach_nobody() -> None:
    conversation = Conversation()
    conversation.from_client(GET)
    conversation.from_backend(OK)
    conversation.from_backend(OK.replace(b"ok", b"no"))
    assert conversation.backend.is_closing()
    conversation.from_client(GET)
    conversation.from_backend(OK)
    assert b"no" not in conversation.client.written
