"""A request that no route is there for waits a moment: its registration may be on the way."""

import re

import pytest

from fastrouter._core import Endpoint, Settings

from .conversation import Conversation
from .fake_network import FakeTransport

GET = b"GET / HTTP/1.1\r\nHost: new.test\r\n\r\n"
KNOWN = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# The endpoint of a new route, by which a test sees where a request was sent.
NEW = ("10.0.0.2", 80)


@pytest.fixture
def conversation() -> Conversation:
    return Conversation(settings=Settings(route_patience=1))


def register(conversation: Conversation, uri: str = "new.test") -> None:
    conversation.table.register(uri, Endpoint(*NEW))
    conversation.plane.on_table_changed()
    conversation.loop.run()


def let_patience_end(conversation: Conversation) -> None:
    """Both halves of it."""
    for _ in range(2):
        conversation.loop.tick()


def statuses(client: FakeTransport) -> list[bytes]:
    return re.findall(rb"HTTP/1\.1 (\d{3})", client.written)


def test_it_goes_on_when_its_route_is_there(conversation: Conversation) -> None:
    conversation.from_client(GET)
    assert not conversation.client.written
    register(conversation)
    assert conversation.loop.attempted == [NEW]
    conversation.from_backend(OK)
    assert statuses(conversation.client) == [b"200"]


def test_it_gets_404_when_none_comes(conversation: Conversation) -> None:
    conversation.from_client(GET)
    register(conversation, "other.test")
    assert not conversation.client.written
    let_patience_end(conversation)
    assert statuses(conversation.client) == [b"404"]
    conversation.end()
    assert len(b"".join(conversation.log).splitlines()) == 1


def test_each_request_waits_for_itself(conversation: Conversation) -> None:
    conversation.from_client(GET)
    let_patience_end(conversation)
    conversation.from_client(GET)
    assert statuses(conversation.client) == [b"404"]
    let_patience_end(conversation)
    assert statuses(conversation.client) == [b"404"] * 2


def test_without_patience_nobody_waits() -> None:
    conversation = Conversation()
    conversation.from_client(GET)
    assert statuses(conversation.client) == [b"404"]


def test_a_route_without_endpoints_is_none(conversation: Conversation) -> None:
    conversation.table.unregister("app.test", "10.0.0.1:8080")
    conversation.from_client(KNOWN)
    assert not conversation.client.written
    register(conversation, "app.test")
    assert conversation.loop.attempted == [NEW]


def test_health_checks_have_no_route_and_do_not_wait(conversation: Conversation) -> None:
    conversation.from_client(b"GET / HTTP/1.1\r\nHost: new.test\r\nUser-Agent: HTTP-Monitor/1.1\r\n\r\n")
    assert statuses(conversation.client) == [b"200"]


def test_a_pipeline_keeps_its_order(conversation: Conversation) -> None:
    conversation.from_client(GET + KNOWN)
    assert not conversation.loop.attempted
    let_patience_end(conversation)
    conversation.from_backend(OK)
    assert statuses(conversation.client) == [b"404", b"200"]


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 4\r\n\r\nbody", b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"]
)
def test_a_body_waits_with_it(conversation: Conversation, framing: bytes) -> None:
    request = b"PUT / HTTP/1.1\r\nHost: new.test\r\n" + framing
    conversation.from_client(request[:-2])
    assert not conversation.client.is_read()
    register(conversation)
    assert conversation.client.is_read()
    conversation.from_client(request[-2:])
    assert conversation.backend.written.endswith(framing.partition(b"\r\n\r\n")[2])
    conversation.from_backend(OK)
    assert statuses(conversation.client) == [b"200"]


def test_a_client_that_sends_no_more_gets_its_response(conversation: Conversation) -> None:
    conversation.from_client(GET)
    conversation.client.deliver_eof()
    register(conversation)
    conversation.from_backend(OK)
    assert statuses(conversation.client) == [b"200"]
    assert conversation.client.is_over


def test_a_client_that_has_left_is_forgotten(conversation: Conversation) -> None:
    conversation.from_client(GET)
    conversation.client.break_off()
    register(conversation)
    let_patience_end(conversation)
    assert not conversation.loop.attempted


def test_a_change_looks_at_the_last_to_come_and_time_at_the_others(conversation: Conversation) -> None:
    clients = [conversation.loop.connect_client(conversation.plane.new_client()) for _ in range(20)]
    for client in clients:
        client.deliver(GET)
        conversation.loop.run()
    register(conversation)
    assert len(conversation.loop.attempted) == 16
    let_patience_end(conversation)
    assert conversation.loop.attempted == [NEW] * 20


def test_the_end_of_the_router_ends_the_waiting(conversation: Conversation) -> None:
    conversation.from_client(GET)
    conversation.end()
    assert conversation.client.is_over
    let_patience_end(conversation)
    assert not conversation.client.written
