"""Many clients that want nothing but room: others are served beside them, and the router is rid of them in its time."""

from collections.abc import Iterator

import pytest

from fastrouter._core import Endpoint
from integration.http_message import Request
from integration.in_process import InProcessRouter
from integration.raw_client import RawClient
from integration.router_process import wait_for

from .recording_backend import Answer, RecordingBackend, right_answer

CROWD = 150
HEAD = b"GET / HTTP/1.1\r\nHost: app.test\r\n"
UPGRADE = HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def answer(number: int, request: Request) -> Answer:
    if request.has(b"Upgrade"):
        return Answer(SWITCH)
    return right_answer(number, request)


@pytest.fixture
def backend() -> Iterator[RecordingBackend]:
    with RecordingBackend(answer) as backend:
        yield backend


# What a client sends, and the limit of the router that ends it.
STUCK: tuple[tuple[str, bytes, str], ...] = (
    ("nothing", b"", "frontend_idle_timeout"),
    ("a-byte", b"G", "read_header_timeout"),
    ("half-a-head", HEAD, "read_header_timeout"),
    ("half-a-preface", b"PRI * HTTP/2.0\r\n", "read_header_timeout"),
)
WAITING: tuple[tuple[str, bytes], ...] = (
    ("half-a-length", HEAD.replace(b"GET", b"POST") + b"Content-Length: 5\r\n\r\nhe"),
    ("half-a-chunk", HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe"),
    ("no-body", HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
)


def crowd_of(router: InProcessRouter, sent: bytes) -> list[RawClient]:
    crowd = [router.connect() for _ in range(CROWD)]
    for client in crowd:
        client.send(sent)
    return crowd


def wait_until_they_are_gone(router: InProcessRouter) -> None:
    wait_for(lambda: router.stats()["client_connections"] == 0 or None, "the end of all connections")


@pytest.mark.parametrize(("sent", "limit"), [pytest.param(*row[1:], id=row[0]) for row in STUCK])
def test_heads_that_do_not_come(backend: RecordingBackend, sent: bytes, limit: str) -> None:
    limits = {limit: 0.5}
    with InProcessRouter(Endpoint("127.0.0.1", backend.port), **limits) as router:
        crowd = crowd_of(router, sent)
        with router.ask(b"Connection: close") as bystander:
            assert bystander.read_response().status == 200
        for client in crowd:
            client.expect_end()
        wait_until_they_are_gone(router)
    assert len(backend.requests) == 1


@pytest.mark.parametrize("sent", [pytest.param(row[1], id=row[0]) for row in WAITING])
def test_bodies_that_do_not_come(backend: RecordingBackend, sent: bytes) -> None:
    with InProcessRouter(Endpoint("127.0.0.1", backend.port)) as router:
        crowd = crowd_of(router, sent)
        with router.ask(b"Connection: close") as bystander:
            assert bystander.read_response().status == 200
        for client in crowd:
            client.reset()
        wait_until_they_are_gone(router)
    # What the backend has got of them is no request.
    backend.settle()
    assert len(backend.requests) == 1


def test_tunnels_that_nobody_uses(backend: RecordingBackend) -> None:
    with InProcessRouter(Endpoint("127.0.0.1", backend.port), tunnel_silence_timeout=0.1) as router:
        crowd = crowd_of(router, UPGRADE)
        for client in crowd:
            assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 101")
        with router.ask(b"Connection: close") as bystander:
            assert bystander.read_response().status == 200
        assert router.stats()["client_connections"] >= CROWD
        for client in crowd:
            client.half_close()
        for client in crowd:
            client.expect_end()
        wait_until_they_are_gone(router)
