"""What core objects say of themselves, which is what a failing test shows."""

import gc

from .conversation import Conversation

GET = b"GET /path HTTP/1.1\r\nHost: app.test\r\n\r\n"


def test_of_both_connections_through_an_exchange() -> None:
    conversation = Conversation()
    client = conversation.client
    assert repr(client) == "<FakeTransport open of <ClientConnection 10.0.0.9:4321 new>>"
    client.deliver(GET[:10])
    assert " reading a head>" in repr(client)
    client.deliver(GET[10:])
    assert "4321 <Exchange dialling: GET app.test/path 10.0.0.1:8080>>" in repr(client)
    conversation.loop.run()
    assert " <Exchange sent: " in repr(client)
    assert repr(conversation.backend) == "<FakeTransport open of <BackendConnection 10.0.0.1:8080 busy>>"
    conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    assert " <Exchange relaying: " in repr(client)
    conversation.from_backend(b"ok")
    assert " idle>" in repr(client)
    assert " idle>" in repr(conversation.backend)
    referents = gc.get_referents(conversation.backend.get_protocol())
    assert "<ConnectionPool of 1 idle>" in map(repr, referents)
    conversation.end()
    assert repr(client) == "<FakeTransport over of <ClientConnection 10.0.0.9:4321 closed>>"
    assert repr(conversation.backend) == "<FakeTransport over of <BackendConnection 10.0.0.1:8080 closed>>"


def test_of_a_body_that_is_held_back_and_of_a_tunnel() -> None:
    conversation = Conversation()
    conversation.from_client(
        b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\nExpect: 100-continue\r\n"
        b"Connection: Upgrade\r\nUpgrade: x\r\n\r\n"
    )
    assert " <Exchange sent without its body: POST " in repr(conversation.client)
    conversation.from_backend(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
    assert " <Exchange tunnel: " in repr(conversation.client)
    conversation.client.deliver_eof()
    assert " <Exchange half-closed tunnel: " in repr(conversation.client)


def test_of_what_is_left_when_there_was_no_exchange() -> None:
    conversation = Conversation()
    assert repr(conversation.plane.new_client()) == "<ClientConnection of nobody unconnected>"
    conversation.from_client(b"no request\r\n\r\n")
    assert " closing>" in repr(conversation.client)
