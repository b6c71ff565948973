"""Streams and connections of HTTP/2 that come to no request: counted once by reason, logged once if that is wanted."""

from collections.abc import Iterator
from typing import Any

import pytest

from fastrouter._core import REFUSALS, Endpoint

from . import http2_frames as frames
from .http2_client import Http2Client, get
from .http2_frames import Code, Fields, Flag, Frame, Kind, Setting
from .in_process import HOST
from .raw_backend import AnsweringBackend
from .raw_client import RawClient
from .router_process import wait_for
from .test_http2_hostile import LENGTH_3, POST, SMUGGLED_BODIES, SMUGGLED_HEADS, last_words, next_of, streams
from .tls_front import FrontRouter

GET: Fields = get()


class Router(FrontRouter):
    """A router that takes HTTP/2 in the clear, and logs what it refuses."""

    logs_refused = True

    def __init__(self, *endpoints: Endpoint, **settings: Any) -> None:
        super().__init__(*endpoints, takes_h2c=True, **settings)


@pytest.fixture
def router(serving: AnsweringBackend) -> Iterator[Router]:
    endpoint = Endpoint("127.0.0.1", serving.port)
    with Router(endpoint, read_header_timeout=0.3) as router:
        yield router


@pytest.fixture
def client(router: Router) -> RawClient:
    client = router.connect()
    client.send(frames.PREFACE + frames.settings() + frames.settings_ack())
    return client


def refused(router: Router) -> dict[str, int]:
    """How often for each reason, as far as there was one."""
    stats = router.stats()
    return {reason: count for reason in REFUSALS if (count := stats[f"refused_{reason}"])}


def assert_told(router: Router, reason: str, *parts: str) -> None:
    """It has been refused for this reason, once, and the log has one line of it."""
    line = router.wait_for_log_line()
    assert f'x_cf_routererror:"refused ({reason})"' in line
    for part in parts:
        assert part in line
    assert refused(router) == {reason: 1}
    assert [line for line in router.log_lines() if "refused" in line] == [line]


class TestHeads:
    @pytest.mark.parametrize("name", SMUGGLED_HEADS)
    def test_one_that_is_none(self, name: str, router: Router, client: RawClient) -> None:
        client.send(frames.headers(1, SMUGGLED_HEADS[name]) + frames.headers(3, GET))
        assert next_of(client, 1).code == Code.PROTOCOL_ERROR
        assert next_of(client, 3).kind == Kind.HEADERS
        wait_for(lambda: len(router.log_lines()) == 2 or None, "both lines")
        (line,) = [line for line in router.log_lines() if "refused" in line]
        assert '"-" 0 0' in line
        assert refused(router) == {"malformed": 1}
        assert router.stats()["requests"] == 1

    @pytest.mark.parametrize(
        ("fields", "told"),
        [
            (get(b"/", (b"user-agent", b"a"), (b"X", b"1")), f'{HOST} - [time] "GET / HTTP/2.0" "-" 0 0 "-" "a" "127.'),
            (get(b"a?b"), f'{HOST} - [time] "GET a?b HTTP/2.0" "-" 0 0 "-" "-" "127.0.0.1:'),
            # What comes behind a pseudo-header that is wrong is not known.
            (get(method=b"P T"), ' - [time] "- - HTTP/2.0" "-" 0 0 '),
            ([*GET, (b"host", b"b.test")], f'{HOST} - [time] "GET / HTTP/2.0" "-" 0 0 '),
            (get(host=b"user@app.test"), ' - [time] "GET - HTTP/2.0" "-" 0 0 '),
            ([*GET, (b"referer", b"r" * 3000), (b"te", b"x")], f'{HOST} - [time] "GET / HTTP/2.0" "-" 0 0 "-" "-" '),
            ([], ' - [time] "- - HTTP/2.0" "-" 0 0 '),
        ],
    )
    def test_what_is_known_of_it(self, router: Router, client: RawClient, fields: Fields, told: str) -> None:
        client.send(frames.headers(1, fields))
        assert next_of(client, 1).code == Code.PROTOCOL_ERROR
        line = router.wait_for_log_line()
        begin, _, rest = line.partition("[")
        assert f"{begin}[time]{rest.partition(']')[2]}".startswith(told)

    def test_nothing_of_another_connection(self, router: Router, client: RawClient) -> None:
        """Both share the memory of header blocks."""
        client.send(frames.headers(1, [*GET, (b"user-agent", b"secret"), (b"X", b"1")]))
        router.wait_for_log_line()
        other = router.connect()
        # The head of a frame, and not even its padding.
        other.send(frames.PREFACE + frames.settings() + frames.headers(1, GET, flags=Flag.PADDED)[:9])
        assert "secret" not in router.wait_for_log_line(1)
        assert refused(router) == {"malformed": 1, "incomplete_header": 1}

    @pytest.mark.parametrize("ending", ["time", "the client's end"])
    def test_one_that_is_never_whole(self, router: Router, client: RawClient, ending: str) -> None:
        block = frames.block([*GET, (b"user-agent", b"a"), (b"x-rest", b"b")])
        client.send(Frame(Kind.HEADERS, 0, 1, block[:-3]).encode())
        if ending == "time":
            assert last_words(client) == Code.NO_ERROR
        else:
            client.half_close()
        assert_told(router, "incomplete_header", '"GET / HTTP/2.0" "-" 0 0 "-" "a"')

    def test_one_that_is_wrong_and_never_whole(self, router: Router, client: RawClient) -> None:
        client.send(Frame(Kind.HEADERS, 0, 1, frames.block([*GET, (b"X", b"1")])).encode())
        assert last_words(client) == Code.NO_ERROR
        assert_told(router, "malformed")

    @pytest.mark.parametrize("is_whole", [True, False])
    def test_one_that_is_too_much(self, router: Router, client: RawClient, is_whole: bool) -> None:
        # One field of 4,000 bytes for the table, and then its index again and again.
        bomb = frames.block(GET) + b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 10_000
        client.send(Frame(Kind.HEADERS, Flag.END_STREAM | Flag.END_HEADERS * is_whole, 1, bomb).encode())
        assert last_words(client) == Code.ENHANCE_YOUR_CALM
        assert_told(router, "header_too_large", '"GET / HTTP/2.0" "-" 0 0')

    def test_continuations_without_end(self, router: Router, client: RawClient) -> None:
        client.send(Frame(Kind.HEADERS, Flag.END_STREAM, 1, frames.block(GET)).encode())
        client.send(Frame(Kind.CONTINUATION, 0, 1).encode() * 100)
        assert last_words(client) == Code.ENHANCE_YOUR_CALM
        assert_told(router, "header_too_large", '"GET / HTTP/2.0" "-" 0 0')


class TestBodies:
    """Their requests have been served so far, and have the line that 400 makes."""

    @pytest.mark.parametrize("name", SMUGGLED_BODIES)
    def test_one_that_is_not_what_it_should_be(self, name: str, router: Router, client: RawClient) -> None:
        client.send(SMUGGLED_BODIES[name] + frames.headers(3, GET))
        assert next_of(client, 1).code == Code.PROTOCOL_ERROR
        assert next_of(client, 3).kind == Kind.HEADERS
        wait_for(lambda: len(router.log_lines()) == 2 or None, "both lines")
        assert sum('"POST / HTTP/2.0" 400 ' in line for line in router.log_lines()) == 1
        assert refused(router) == {}

    def test_one_of_a_request_that_waits_for_its_route(self) -> None:
        with Router(route_patience=60.0) as router:
            client = router.connect()
            client.send(frames.PREFACE + frames.settings() + frames.headers(1, LENGTH_3, ends=False))
            client.send(frames.data(1, b"four"))
            assert next_of(client, 1).code == Code.PROTOCOL_ERROR
            assert_told(router, "malformed", f"{HOST} - [", '"POST / HTTP/2.0" "-" 0 0')

    def test_trailers_that_are_never_whole(self, router: Router, client: RawClient) -> None:
        client.send(frames.headers(1, POST, ends=False) + frames.headers(1, [(b"x", b"1")], flags=0))
        assert last_words(client) == Code.NO_ERROR
        assert '"POST / HTTP/2.0" 499 ' in router.wait_for_log_line()
        assert refused(router) == {}

    def test_trailers_that_are_too_much(self, router: Router, client: RawClient) -> None:
        client.send(frames.headers(1, POST, ends=False) + Frame(Kind.HEADERS, Flag.END_STREAM, 1).encode())
        client.send(Frame(Kind.CONTINUATION, 0, 1).encode() * 100)
        assert last_words(client) == Code.ENHANCE_YOUR_CALM
        assert '"POST / HTTP/2.0" 499 ' in router.wait_for_log_line()
        assert refused(router) == {"http2_flood": 1}


def next_of_many(client: RawClient, number: int) -> Frame:
    """Open a hundred streams from this number on; returns what comes on the last of them, or a GOAWAY."""
    client.send(b"".join(frames.headers(number + 2 * i, GET) for i in range(100)))
    return next_of(client, number + 198)


class TestStreams:
    def test_one_too_many(self, router: Router, client: RawClient) -> None:
        limit = 250
        client.send(b"".join(frames.headers(number, POST, ends=False) for number in streams(limit + 1)))
        last = 2 * limit + 1
        assert next_of(client, last).code == Code.REFUSED_STREAM
        assert_told(router, "too_many_streams", '"POST / HTTP/2.0" "-" 0 0')
        # When another one has ended there is room.
        client.send(frames.data(1, b"x", ends=True))
        while not next_of(client, 1).flags & Flag.END_STREAM:
            pass
        client.send(frames.headers(last + 2, GET) + frames.headers(last + 4, GET))
        assert next_of(client, last + 2).kind == Kind.HEADERS

    def test_who_goes_on_for_ever(self, router: Router, client: RawClient) -> None:
        client.send(b"".join(frames.headers(number, POST, ends=False) for number in streams(250)))
        number = 501
        while next_of_many(client, number).kind == Kind.RST_STREAM:
            number += 200
        told = refused(router)
        # A thousand at once, and those that a hundred a second let be while this test runs.
        assert 1000 <= told["too_many_streams"] < 10_000
        assert told["http2_flood"] == 1


class TestConnections:
    """They end with all their streams; what is no stream has no line."""

    @pytest.mark.parametrize(
        ("sent", "reason"),
        [
            (frames.ping() * 20_000, "http2_flood"),
            (frames.settings((Setting.INITIAL_WINDOW_SIZE, 1 << 31)), "http2_error"),
            (frames.data(1, b"x"), "http2_error"),
            (frames.headers(2, GET), "http2_error"),
            (Frame(Kind.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, b"\xff" * 7).encode(), "http2_error"),
            (frames.headers(1, GET)[:3] + frames.ping() * 1000, "http2_error"),
            (frames.headers(5, GET) + frames.headers(3, GET), "http2_error"),
        ],
    )
    def test_errors_are_counted(self, router: Router, client: RawClient, sent: bytes, reason: str) -> None:
        client.send(sent)
        last_words(client)
        wait_for(lambda: refused(router) == {reason: 1} or None, "the count")
        assert not [line for line in router.log_lines() if "refused" in line]

    def test_no_preface(self, router: Router) -> None:
        client = router.connect()
        client.send(frames.PREFACE + frames.headers(1, GET))
        last_words(client)
        assert refused(router) == {"http2_error": 1}

    @pytest.mark.parametrize("first", [b"P", frames.PREFACE[:-1]])
    @pytest.mark.parametrize("ending", ["time", "the client's end"])
    def test_half_a_preface(self, router: Router, first: bytes, ending: str) -> None:
        client = router.connect()
        client.send(first)
        if ending != "time":
            client.half_close()
        client.expect_end()
        assert_told(router, "incomplete_header")

    def test_ends_in_order_are_none(self, router: Router, client: RawClient) -> None:
        with Http2Client(router.connect()) as other:
            assert other.ask(get()).status == 200
            router.call(router._plane.drain)
            other.wait_closed()
        client.send(Frame(Kind.GOAWAY, 0, 0, bytes(8)).encode())
        client.wait_closed()
        assert refused(router) == {}
