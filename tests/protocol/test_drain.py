"""Draining: idle connections close at once, the others as they become idle (spec 1.5, P06-P10)."""

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_new_connection_is_neither_active_nor_idle_and_stays() -> None:
    conversation = Conversation()
    assert conversation.plane.connection_counts() == (0, 0)
    conversation.plane.drain()
    assert not conversation.client.is_over


def test_idle_connection_is_closed() -> None:
    conversation = Conversation()
    conversation.from_client(GET)
    assert conversation.plane.connection_counts() == (1, 0)
    conversation.from_backend(OK)
    assert conversation.plane.connection_counts() == (0, 1)
    conversation.plane.drain()
    assert conversation.client.is_over
    conversation.loop.run()
    assert conversation.plane.connection_counts() == (0, 0)


def test_active_connection_is_served_and_then_closed() -> None:
    conversation = Conversation()
    conversation.from_client(GET)
    conversation.plane.drain()
    assert not conversation.client.is_over
    conversation.from_backend(OK)
    assert bytes(conversation.client.written).endswith(b"\r\nConnection: close\r\n\r\nok")
    assert conversation.client.is_over


def test_half_a_head_is_active() -> None:
    conversation = Conversation()
    conversation.from_client(GET[:10])
    assert conversation.plane.connection_counts() == (1, 0)


def test_tunnel_is_in_neither_set_and_stays() -> None:
    conversation = Conversation()
    conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    conversation.from_backend(b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert conversation.plane.connection_counts() == (0, 0)
    conversation.plane.drain()
    assert not conversation.client.is_over
