"""Request heads over 32 KiB on real connections, of HTTP/1.1 and HTTP/2, where there is room for one (ADR 23)."""

from collections.abc import Iterator

import hpack
import pytest

from fastrouter._core import Endpoint

from . import http2_frames as frames
from .http2_client import Http2Client, get
from .http2_frames import Code, Fields, Flag, Frame, Kind
from .in_process import HOST
from .raw_backend import RawBackend
from .raw_client import RawClient
from .router_process import wait_for
from .test_http2_hostile import last_words
from .tls_front import FrontRouter

KB = 1000
GET: Fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", HOST.encode()), (b":path", b"/")]
FILLER = (b"x-filler", 10 * KB * b"y")
# The same in a size that HPACK keeps: a head of many is one frame.
SHORT_FILLER = (b"x-filler", 2 * KB * b"y")
# Of which one has 10,010 bytes.
LINE = b"x-filler: " + 10 * KB * b"y" + b"\r\n"


@pytest.fixture
def backend() -> Iterator[RawBackend]:
    with RawBackend() as backend:
        yield backend


@pytest.fixture
def router(backend: RawBackend) -> Iterator[FrontRouter]:
    """Nobody has to make way here."""
    with FrontRouter(
        Endpoint("127.0.0.1", backend.port), takes_h2c=True, max_large_heads=1, large_head_patience=1e6
    ) as router:
        yield router


@pytest.fixture
def giving(backend: RawBackend) -> Iterator[FrontRouter]:
    """Everybody has to."""
    with FrontRouter(
        Endpoint("127.0.0.1", backend.port), takes_h2c=True, max_large_heads=1, large_head_patience=0
    ) as router:
        yield router


def wait_until_held(router: FrontRouter, size: int) -> None:
    wait_for(lambda: router.stats()["large_header_bytes"] >= size or None, f"{size} bytes of heads")


def hoard(router: FrontRouter, lines: int) -> RawClient:
    """A client of HTTP/1.1 with so many lines of 10 KB and no end."""
    client = router.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: app.test\r\n" + lines * LINE)
    return client


def hoard_fields(router: FrontRouter, lines: int) -> RawClient:
    """The same in HTTP/2, where HPACK makes most of it of a byte for each field."""
    client = router.connect()
    # The last field to be sent is the first one in the table, 62.
    block = hpack.Encoder().encode([*GET, SHORT_FILLER])
    client.send(frames.PREFACE + frames.settings() + frames.settings_ack())
    client.send(Frame(Kind.HEADERS, Flag.END_STREAM, 1, block).encode())
    client.send(Frame(Kind.CONTINUATION, 0, 1, 5 * lines * b"\xbe").encode())
    return client


def test_a_whole_one_is_served(router: FrontRouter, backend: RawBackend) -> None:
    client = hoard(router, 90)
    client.send(b"\r\n")
    stream, request = backend.accept_request()
    assert len(request.values(b"X-Filler")) == 90
    stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert client.read_response().body == b"ok"
    wait_for(lambda: router.stats()["large_header_bytes"] == 0 or None, "its room to be free")


def test_another_is_refused(router: FrontRouter) -> None:
    hoard(router, 90)
    wait_until_held(router, 900 * KB)
    client = hoard(router, 30)
    assert client.read_response().status == 431
    assert router.stats()["refused_header_memory"] == 1


def test_one_that_waits_makes_way(giving: FrontRouter, backend: RawBackend) -> None:
    first = hoard(giving, 90)
    wait_until_held(giving, 900 * KB)
    second = hoard(giving, 30)
    assert first.read_response().status == 431
    second.send(b"\r\n")
    _, request = backend.accept_request()
    assert len(request.values(b"X-Filler")) == 30


class TestHttp2:
    def test_a_whole_one_is_served(self, router: FrontRouter, backend: RawBackend) -> None:
        with Http2Client(router.connect()) as client:
            number = client.send_request(get(b"/", *[FILLER] * 90))
            stream, request = backend.accept_request()
            assert len(request.values(b"X-Filler")) == 90
            assert router.stats()["large_header_bytes"] > 900 * KB
            stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert client.answer(number).body == b"ok"
        wait_for(lambda: router.stats()["large_header_bytes"] == 0 or None, "its room to be free")

    def test_a_stream_is_refused_alone(self, router: FrontRouter, backend: RawBackend) -> None:
        hoard(router, 90)
        wait_until_held(router, 900 * KB)
        with Http2Client(router.connect()) as client:
            assert client.answer(client.send_request(get(b"/", *[SHORT_FILLER] * 150))).status == 431
            number = client.send_request(get())
            stream, _ = backend.accept_request()
            stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert client.answer(number).status == 200
        assert router.stats()["refused_header_memory"] == 1

    def test_a_block_without_an_end_counts(self, router: FrontRouter) -> None:
        client = hoard_fields(router, 90)
        wait_until_held(router, 900 * KB)
        assert hoard(router, 30).read_response().status == 431
        client.close()
        wait_for(lambda: router.stats()["large_header_bytes"] == 0 or None, "its room to be free")

    def test_and_finds_no_room(self, router: FrontRouter) -> None:
        hoard(router, 90)
        wait_until_held(router, 900 * KB)
        assert last_words(hoard_fields(router, 30)) == Code.ENHANCE_YOUR_CALM
        assert router.stats()["refused_header_memory"] == 1

    def test_and_makes_way(self, giving: FrontRouter) -> None:
        client = hoard_fields(giving, 90)
        wait_until_held(giving, 900 * KB)
        hoard(giving, 30)
        assert last_words(client) == Code.ENHANCE_YOUR_CALM
        wait_until_held(giving, 300 * KB)
