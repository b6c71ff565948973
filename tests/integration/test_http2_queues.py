"""HTTP/2: where bodies wait that nobody takes, and how much of them (ADR 16)."""

from collections.abc import Callable, Iterator

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from fastrouter._core import Endpoint

from .http2_backend import H2cBackend, Http2Peer
from .http2_client import Http2Client, get
from .raw_backend import RawBackend
from .tls_front import FrontRouter

POST = get(method=b"POST")
ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
Begun = tuple[Http2Client, list[int], Http2Peer, list[int]]
# Less than one stream may have waiting; eighteen of them are more than all of a connection may.
BODY = bytes(60_000)


@pytest.fixture
def front(backend: RawBackend) -> Iterator[FrontRouter]:
    with FrontRouter(Endpoint("127.0.0.1", backend.port), takes_h2c=True) as router:
        yield router


def test_a_small_response_passes_a_large_one(front: FrontRouter, backend: RawBackend) -> None:
    """What a client is slow to take waits in the router. The kernel would take megabytes, with no way past them."""
    windows = {SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1}
    client = Http2Client(front.connect(receive_buffer=65536), settings=windows)
    client.open_window(2**30)
    small = client.send_request(get(b"/small"))
    answering, _ = backend.accept_request()
    large = client.send_request(get(b"/large"))
    download, _ = backend.accept_request()
    download.send(ANSWER % 60_000_000)
    download.send_until_blocked(bytes(60_000_000))
    answering.send(ANSWER % 2 + b"ok")
    assert "/small" in front.wait_for_log_line()
    assert client.answer(small).body == b"ok"
    assert len(client.answers[large].body) < 1_000_000


def test_backends_are_not_read_for_a_client_that_takes_nothing(front: FrontRouter, backend: RawBackend) -> None:
    """Nor those that are dialled only when there is too much for it already."""
    client = Http2Client(front.connect(), settings={SettingCodes.INITIAL_WINDOW_SIZE: 0})
    numbers = []
    for _ in range(30):
        numbers.append(client.send_request(get()))
        stream, _ = backend.accept_request()
        stream.send(ANSWER % 100_000 + bytes(100_000))
        client.settle()
    client.settle()
    # Heads need no window: one that has not come has not been read.
    read = [number for number in numbers if client.answers[number].fields]
    assert 10 <= len(read) < 20
    for number in numbers:
        client.open_window(100_000, number)
        assert client.answer(number).body == bytes(100_000)


class TestStreamsBesideStalledOnes:
    """A client takes nothing of some streams, of which much waits, and everything of others."""

    @pytest.fixture
    def backend(self) -> Iterator[H2cBackend]:
        with H2cBackend() as backend:
            yield backend

    def test_they_go_on(self, backend: H2cBackend) -> None:
        with FrontRouter(backend.endpoint(), takes_h2c=True) as router:
            client = Http2Client(router.connect(), settings={SettingCodes.INITIAL_WINDOW_SIZE: 0})
            client.open_window(100_000_000)
            numbers = [client.send_request(get()) for _ in range(30)]
            peer = backend.accept_http2()
            streams = [peer.read_request()[0] for _ in numbers]
            for stream in streams[:-1]:
                peer.answer(stream, bytes(100_000))
            # Until so much waits for the client that nothing more of them is read.
            client.wait_for(lambda: sum(bool(client.answers[number].fields) for number in numbers) >= 10)
            client.settle()
            client.open_window(200_000, numbers[-1])
            peer.answer(streams[-1], bytes(200_000))
            assert client.answer(numbers[-1]).body == bytes(200_000)
            # Whoever is taken again, goes on as well, in whatever order.
            for number in reversed(numbers[:-1]):
                client.open_window(100_000, number)
                assert client.answer(number).body == bytes(100_000)


class TestRequestsThatNobodyTakes:
    """A backend of HTTP/2 takes streams, and none of their bodies."""

    @pytest.fixture
    def backend(self) -> Iterator[H2cBackend]:
        with H2cBackend() as backend:
            yield backend

    @pytest.fixture
    def begin(self, backend: H2cBackend) -> Iterator[Callable[[int], Begun]]:
        with FrontRouter(backend.endpoint(), takes_h2c=True) as router:

            def begin(count: int) -> Begun:
                """Begin so many requests; returns both peers with the numbers of their streams."""
                client = Http2Client(router.connect())
                numbers = [client.send_request(POST, is_last=False) for _ in range(count)]
                peer = backend.accept_http2(INITIAL_WINDOW_SIZE=0)
                streams = [peer.read_request()[0] for _ in numbers]
                client.settle()
                return client, numbers, peer, streams

            yield begin

    def test_all_of_a_connection_are_limited_together(self, begin: Callable[[int], Begun]) -> None:
        client, numbers, peer, streams = begin(40)
        window = client.engine.outbound_flow_control_window
        for number in numbers:
            client.send_body(number, BODY)
        client.settle()
        # The router opens its window of 4 MiB again when half of it is with the backend's side.
        assert client.engine.outbound_flow_control_window == window - len(numbers) * len(BODY)
        peer.h2.increment_flow_control_window(4_000_000)
        for stream in streams:
            peer.h2.increment_flow_control_window(100_000, stream)
        peer.flush()
        for stream in streams:
            assert peer.read_body(stream) == BODY
            peer.answer(stream)
        assert [client.answer(number).status for number in numbers] == [200] * len(numbers)

    def test_few_are_kept_for_another_try(self, begin: Callable[[int], Begun]) -> None:
        client, numbers, peer, streams = begin(18)
        for number in numbers:
            client.send_body(number, BODY)
            # In one wake-up they might change places.
            client.settle()
        peer.reset(streams[-1], ErrorCodes.REFUSED_STREAM)
        assert client.answer(numbers[-1]).status == 502
        peer.reset(streams[0], ErrorCodes.REFUSED_STREAM)
        again, _ = peer.read_request()
        peer.h2.increment_flow_control_window(100_000, again)
        peer.flush()
        assert peer.read_body(again) == BODY
        peer.answer(again)
        assert client.answer(numbers[0]).status == 200

    def test_a_backend_that_is_tried_next_is_not_read_either(self, backend: H2cBackend) -> None:
        with FrontRouter(backend.endpoint(), takes_h2c=True) as router:
            client = Http2Client(router.connect(), settings={SettingCodes.INITIAL_WINDOW_SIZE: 0})
            numbers = [client.send_request(get()) for _ in range(19)]
            peer = backend.accept_http2()
            *streams, last = [peer.read_request()[0] for _ in numbers]
            for stream in streams:
                peer.answer(stream, bytes(100_000))
            # Until so much waits for the client that nothing is read any more.
            client.wait_for(lambda: sum(bool(client.answers[number].fields) for number in numbers) >= 10)
            client.settle()
            peer.reset(last, ErrorCodes.REFUSED_STREAM)
            again, _ = peer.read_request()
            peer.send_head(again)
            # All of its window, of which the router opens as much again as it has taken.
            peer.send_data(again, bytes(262_144), is_last=True)
            client.settle()
            assert peer.stream.is_silent(0.5)
