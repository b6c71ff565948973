"""A slow reader on one side slows the other side down; nothing buffers a whole body (architecture 3.6)."""

import hashlib
import threading
from collections.abc import Iterator

import pytest

from .byte_stream import ByteStream
from .conftest import Lane, StartRouter
from .http_message import read_chunk, response_with
from .raw_backend import FullBacklog, RawBackend
from .router_process import RouterProcess
from .test_upgrades import open_tunnel

SIZE = 96 << 20
GROWTH = 32 << 20
"""Bytes the router's memory may grow by."""

# Small windows at the reading end, so that the kernel's buffers do not swallow what the test is about.
WINDOW = 65536


@pytest.fixture
def router_lane(start_router: StartRouter) -> Iterator[Lane]:
    with RawBackend(receive_buffer=WINDOW) as backend:
        yield Lane(start_router({"slow.test": [backend.address]}), "slow.test", backend)


def assert_held_back(router: RouterProcess, writer: ByteStream, reader: ByteStream, data: bytes) -> None:
    """Write until the router takes no more; then read all of it and check that nothing was lost."""
    before = router.resident_bytes()
    sent = writer.send_until_blocked(data)
    assert sent < len(data), "the router took the whole body although nobody read it"
    assert router.resident_bytes() - before < GROWTH
    digest = hashlib.sha256()
    rest = threading.Thread(target=writer.send, args=(data[sent:],))
    rest.start()
    left = len(data)
    while left:
        piece = reader.read_exactly(min(left, 1 << 20))
        # Everything received is kept by the stream for inspection; 96 MiB of it are not wanted.
        reader.forget()
        digest.update(piece)
        left -= len(piece)
    rest.join()
    assert digest.digest() == hashlib.sha256(data).digest()
    assert router.resident_bytes() - before < GROWTH


@pytest.fixture(scope="module")
def data() -> bytes:
    block = b"".join(hashlib.sha512(b"%d" % number).digest() for number in range(1 << 14))
    return block * (SIZE // len(block))


def test_of_a_slow_client_on_a_response(router_lane: Lane, data: bytes) -> None:
    client = router_lane.connect(receive_buffer=WINDOW)
    stream, _ = router_lane.forward(client)
    stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data))
    client.read_response_head()
    assert_held_back(router_lane.router, stream, client, data)


def test_of_a_slow_backend_on_an_upload(router_lane: Lane, data: bytes) -> None:
    client = router_lane.connect()
    client.send(router_lane.request(b"POST / HTTP/1.1", b"Content-Length: %d" % len(data)))
    stream = router_lane.backend.accept()
    stream.read_request_head()
    assert_held_back(router_lane.router, client, stream, data)


def test_of_a_slow_client_on_a_tunnel(router_lane: Lane, data: bytes) -> None:
    client = router_lane.connect(receive_buffer=WINDOW)
    stream, _ = router_lane.forward(client, b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket")
    stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    client.read_response()
    assert_held_back(router_lane.router, stream, client, data)


def test_of_a_slow_backend_on_a_tunnel(router_lane: Lane, data: bytes) -> None:
    client, stream = open_tunnel(router_lane)
    assert_held_back(router_lane.router, client, stream, data)


def test_of_a_client_that_does_not_read_pipelined_responses(router_lane: Lane) -> None:
    """A client that only ever sends is read no further once its answers pile up."""
    client = router_lane.connect(receive_buffer=WINDOW)
    before = router_lane.router.resident_bytes()
    requests = b"GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n" * (1 << 20)
    assert client.send_until_blocked(requests) < len(requests)
    assert router_lane.router.resident_bytes() - before < GROWTH


def test_of_a_pipeline_behind_a_slow_request(router_lane: Lane) -> None:
    """What a client sends while its request is under way is read up to a bound only."""
    client = router_lane.connect()
    before = router_lane.router.resident_bytes()
    stream, _ = router_lane.forward(client)
    requests = router_lane.request(b"GET /next HTTP/1.1") * (1 << 20)
    assert client.send_until_blocked(requests) < len(requests)
    assert router_lane.router.resident_bytes() - before < GROWTH
    stream.send(response_with())
    assert client.read_response().status == 200
    assert stream.read_request().target == b"/next"


def test_of_a_tunnel_that_is_not_open_yet(router_lane: Lane, data: bytes) -> None:
    client = router_lane.connect()
    before = router_lane.router.resident_bytes()
    stream, _ = router_lane.forward(client, b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket")
    sent = client.send_until_blocked(data)
    assert sent < len(data)
    assert router_lane.router.resident_bytes() - before < GROWTH
    stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    client.read_response()
    assert stream.read_exactly(sent) == data[:sent]


def test_of_a_slow_client_on_a_chunked_response(router_lane: Lane, data: bytes) -> None:
    client = router_lane.connect(receive_buffer=WINDOW)
    stream, _ = router_lane.forward(client)
    stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.read_response_head()
    before = router_lane.router.resident_bytes()
    piece = data[: 1 << 16]
    body = b"%x\r\n%s\r\n" % (len(piece), piece) * (SIZE // len(piece))
    sent = stream.send_until_blocked(body)
    assert sent < len(body)
    assert router_lane.router.resident_bytes() - before < GROWTH
    rest = threading.Thread(target=stream.send, args=(body[sent:] + b"0\r\n\r\n",))
    rest.start()
    size = 0
    while chunk := read_chunk(client):
        at = size % len(piece)
        assert (piece * (2 + len(chunk) // len(piece)))[at : at + len(chunk)] == chunk
        client.forget()
        size += len(chunk)
    rest.join()
    assert size == SIZE // len(piece) * len(piece)


def test_of_a_dial_that_takes_its_time(start_router: StartRouter, data: bytes) -> None:
    """While nobody can take the body yet, only a bounded part of it is held."""
    full = FullBacklog()
    router = start_router({"full.test": [full.address]}, dial_timeout=3.0)
    client = router.connect()
    before = router.resident_bytes()
    client.send(b"POST / HTTP/1.1\r\nHost: full.test\r\nContent-Length: %d\r\n\r\n" % len(data))
    assert client.send_until_blocked(data) < len(data)
    assert router.resident_bytes() - before < GROWTH
    full.close()
