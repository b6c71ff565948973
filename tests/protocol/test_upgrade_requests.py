"""Which requests ask for a tunnel, and what a body has to do with it."""

import pytest

from .conversation import Conversation
from .test_splits import OK

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def asking(*lines: bytes, start_line: bytes = b"GET / HTTP/1.1", body: bytes = b"") -> Conversation:
    conversation = Conversation()
    head = b"".join(line + b"\r\n" for line in (start_line, b"Host: app.test", *lines))
    conversation.from_client(head + b"\r\n" + body)
    return conversation


@pytest.mark.parametrize("protocol", [b"h2c", b"H2C", b"TLS/1.2", b"tls/1.0, HTTP/1.1", b"websocket, h2c", b"h2c,"])
def test_a_protocol_of_the_connection_is_not_passed_on(protocol: bytes) -> None:
    """The request is passed on without it: the next hop would switch another connection than the client's."""
    conversation = asking(
        b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"
    )
    sent = bytes(conversation.backend.written).lower()
    assert b"upgrade" not in sent
    assert b"http2-settings" not in sent
    conversation.from_backend(OK)
    assert conversation.client.written.endswith(b"hello")


@pytest.mark.parametrize("protocol", [b"websocket", b"SPDY/3.1", b"h2c-like", b"tl"])
def test_others_are(protocol: bytes) -> None:
    conversation = asking(b"Connection: Upgrade", b"Upgrade: " + protocol)
    assert b"\r\nUpgrade: " + protocol + b"\r\n" in conversation.backend.written


def test_none_from_http_1_0() -> None:
    conversation = asking(b"Connection: Upgrade", b"Upgrade: websocket", start_line=b"GET / HTTP/1.0")
    assert b"upgrade" not in bytes(conversation.backend.written).lower()
    conversation.from_backend(OK)
    assert conversation.client.written.endswith(b"hello")


@pytest.mark.parametrize("framing", [b"Content-Length: 4", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("is_body_sent", [True, False])
def test_a_tunnel_begun_before_the_body_was_asked_for(framing: bytes, is_body_sent: bool) -> None:
    """The client's bytes come in its order, and nothing of the router's stands between them."""
    body = b"4\r\nbody\r\n0\r\n\r\n" if framing.startswith(b"Transfer") else b"body"
    conversation = asking(
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Expect: 100-continue",
        framing,
        start_line=b"POST / HTTP/1.1",
        body=body if is_body_sent else b"",
    )
    before = len(conversation.backend.written)
    conversation.from_backend(SWITCHING + b"first")
    if not is_body_sent:
        conversation.from_client(body)
    conversation.from_client(b"then")
    assert conversation.backend.written[before:] == body + b"then"
    head, _, rest = bytes(conversation.client.written).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert rest == b"first"
    # The second of a backend that says nothing to `Expect` is over by then.
    conversation.loop.tick()
    assert b"100 Continue" not in conversation.client.written
