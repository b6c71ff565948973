"""Client connections: keep-alive, pipelining, HTTP/1.0, Connection: close, the two timeouts, Date (spec 4.0)."""

import re
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

import pytest

from .byte_stream import PATIENCE
from .conftest import Lane, LaneSupply, StartRouter, new_lane
from .http_message import Response, chunked, response_with
from .raw_backend import BackendStream, ServingBackend

# Deadlines are checked by a coarse tick of at most this many seconds (architecture 3.9).
TICK = 0.25

IMF_DATE = re.compile(rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")


def test_keep_alive_serves_sequential_requests(lane: Lane) -> None:
    client = lane.connect()
    stream, _ = lane.forward(client, b"GET /0 HTTP/1.1")
    stream.send(response_with(b"0"))
    assert client.read_response().body == b"0"
    for number in range(1, 4):
        client.send(lane.request(b"GET /%d HTTP/1.1" % number))
        # The same backend connection is used again.
        assert stream.read_request().target == b"/%d" % number
        stream.send(response_with(b"%d" % number))
        response = client.read_response()
        assert response.body == b"%d" % number
        assert not response.has(b"Connection")
    assert client.is_silent()


def test_pipelined_requests_are_served_one_after_the_other(lane: Lane) -> None:
    client = lane.connect()
    client.send(lane.request(b"GET /first HTTP/1.1") + lane.request(b"GET /second HTTP/1.1"))
    stream, first = lane.backend.accept_request()
    assert first.target == b"/first"
    # Strictly sequential: the second request must not reach any backend before the first is answered.
    assert stream.is_silent(0.1)
    assert not lane.backend.has_pending_connection()
    stream.send(response_with(b"one"))
    assert stream.read_request().target == b"/second"
    stream.send(response_with(b"two"))
    assert client.read_response().body == b"one"
    assert client.read_response().body == b"two"


@pytest.mark.parametrize("size", [1, 2, 30])
def test_pipelined_request_that_comes_in_pieces_meanwhile(lane: Lane, size: int) -> None:
    client = lane.connect()
    stream, _ = lane.forward(client)
    # Each piece its own segment, all of them before the answer to the first request.
    client.send_split(lane.request(b"GET /second HTTP/1.1"), size)
    assert stream.is_silent(0.1)
    stream.send(response_with(b"one"))
    assert client.read_response().body == b"one"
    assert stream.read_request().target == b"/second"
    stream.send(response_with(b"two"))
    assert client.read_response().body == b"two"


def test_pipelined_requests_with_bodies_keep_their_order(start_router: StartRouter) -> None:
    def echo(stream: BackendStream) -> None:
        request = stream.read_request()
        stream.send(response_with(request.target + b" " + request.body))

    count = 200
    with ServingBackend(echo) as backend:
        client = start_router({"pipeline.test": [backend.address]}).connect()
        requests = b""
        for number in range(count):
            body = b"body-%d" % number
            head = b"POST /%d HTTP/1.1\r\nHost: pipeline.test\r\n" % number
            if number % 2:
                requests += head + b"Content-Length: %d\r\n\r\n" % len(body) + body
            else:
                requests += head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body[:3], body[3:])
        # An odd size, so that messages are cut at ever different places.
        client.send_split(requests, 1009)
        for number in range(count):
            assert client.read_response().body == b"/%d body-%d" % (number, number)


def test_pipelined_request_after_a_refused_one_is_never_served(lane: Lane) -> None:
    client = lane.connect()
    client.send(b"GET / HTTP/1.1\r\n\r\n" + lane.request(b"GET /second HTTP/1.1"))
    assert client.read_response().status == 400
    client.expect_end()
    assert not lane.backend.has_pending_connection()


def test_many_messages_split_at_every_byte(lane: Lane) -> None:
    client = lane.connect()
    client.send_split(lane.request(b"POST /a HTTP/1.1", b"Content-Length: 3", body=b"abc"))
    stream, request = lane.backend.accept_request()
    assert request.body == b"abc"
    stream.send_split(b"HTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello", b"world"))
    assert client.read_response().body == b"helloworld"
    client.send_split(lane.request(b"GET /b HTTP/1.1"))
    assert stream.read_request().target == b"/b"
    stream.send_split(response_with(b"again"))
    assert client.read_response().body == b"again"


class TestHttp10:
    def test_response_is_1_0_and_closes(self, lane: Lane) -> None:
        client = lane.connect()
        stream, request = lane.forward(client, b"GET / HTTP/1.0")
        # Towards backends always HTTP/1.1 (Request.read insists on it).
        assert request.target == b"/"
        stream.send(response_with(b"ok"))
        response = client.read_response()
        assert (response.version, response.status, response.body) == (b"HTTP/1.0", 200, b"ok")
        client.expect_end()

    def test_keep_alive_on_request(self, lane: Lane) -> None:
        client = lane.connect()
        stream, request = lane.forward(client, b"GET / HTTP/1.0", b"Connection: keep-alive")
        assert not request.has(b"Connection")
        stream.send(response_with(b"ok"))
        response = client.read_response()
        assert response.version == b"HTTP/1.0"
        assert response.framing == "length"
        assert [value.lower() for value in response.values(b"Connection")] == [b"keep-alive"]
        client.send(lane.request(b"GET /2 HTTP/1.0", b"Connection: Keep-Alive"))
        assert stream.read_request().target == b"/2"
        stream.send(response_with(b"ok"))
        assert client.read_response().body == b"ok"
        # The next one does not ask for it, and is the last.
        client.send(lane.request(b"GET /3 HTTP/1.0"))
        stream.read_request()
        stream.send(response_with(b"ok"))
        assert client.read_response().body == b"ok"
        client.expect_end()

    def test_post_with_length(self, lane: Lane) -> None:
        client = lane.connect()
        stream, request = lane.forward(client, b"POST / HTTP/1.0", b"Content-Length: 4", body=b"data")
        assert request.body == b"data"
        stream.send(response_with())
        assert client.read_response().version == b"HTTP/1.0"
        client.expect_end()

    def test_response_to_an_unknown_host_is_1_0(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(b"GET / HTTP/1.0\r\nHost: nowhere.test\r\n\r\n")
        response = client.read_response()
        assert (response.version, response.status) == (b"HTTP/1.0", 404)
        client.expect_end()

    def test_interim_responses_are_withheld(self, lane: Lane) -> None:
        # RFC 9110 section 15.2: a server must not send a 1xx response to an HTTP/1.0 client.
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET / HTTP/1.0")
        stream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response_with(b"ok"))
        assert client.read_response().status == 200


class TestConnectionClose:
    def test_of_the_client(self, lane: Lane) -> None:
        client = lane.connect()
        stream, request = lane.forward(client, b"GET / HTTP/1.1", b"Connection: close")
        # It concerns this hop only: the backend connection is kept.
        assert not request.has(b"Connection")
        stream.send(response_with())
        response = client.read_response()
        assert response.values(b"Connection") == [b"close"]
        client.expect_end()
        other = lane.connect()
        other.send(lane.request(b"GET /2 HTTP/1.1"))
        assert stream.read_request().target == b"/2"

    @pytest.mark.parametrize("value", [b"Close", b"foo, close", b"close, foo"])
    def test_of_the_client_in_other_spellings(self, lane: Lane, value: bytes) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET / HTTP/1.1", b"Connection: " + value)
        stream.send(response_with())
        assert client.read_response().values(b"Connection") == [b"close"]
        client.expect_end()

    def test_of_the_backend(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(response_with(b"ok", b"Connection: close"))
        response = client.read_response()
        assert not response.has(b"Connection")
        # The router closes that connection, whether the backend did or not, and opens a new one.
        stream.expect_end()
        second, request = lane.forward(client, b"GET /2 HTTP/1.1")
        assert request.target == b"/2"
        second.send(response_with(b"again"))
        assert client.read_response().body == b"again"

    def test_http_1_0_backend(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
        response = client.read_response()
        assert (response.version, response.body) == (b"HTTP/1.1", b"ok")
        stream.expect_end()
        assert client.is_silent()


class TestDate:
    def test_added_if_missing(self, lane: Lane) -> None:
        before = int(time.time())
        _, response = lane.exchange(response_with())
        value = response.value(b"Date")
        assert value is not None
        assert IMF_DATE.fullmatch(value)
        # A cached text may be a second old.
        assert before - 1 <= parsedate_to_datetime(value.decode()).timestamp() <= time.time()

    def test_kept_if_present(self, lane: Lane) -> None:
        date = b"Tue, 15 Nov 1994 08:12:31 GMT"
        _, response = lane.exchange(response_with(b"ok", b"date: " + date))
        assert response.values(b"Date") == [date]

    def test_in_responses_of_the_router(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n")
        value = client.read_response().value(b"Date")
        assert value is not None
        assert IMF_DATE.fullmatch(value)


class TestTimeouts:
    # Time enough for what may be done in it, even on a busy machine.
    IDLE = 2.4
    READ_HEADER = 0.8

    @pytest.fixture(scope="class")
    @classmethod
    def supply(cls, start_module_router: StartRouter) -> Iterator[LaneSupply]:
        supply = LaneSupply(start_module_router, frontend_idle_timeout=cls.IDLE, read_header_timeout=cls.READ_HEADER)
        yield supply
        supply.close()

    @pytest.fixture
    def impatient(self, supply: LaneSupply) -> Iterator[Lane]:
        yield from new_lane(supply)

    def test_idle_connection_is_closed_silently(self, impatient: Lane) -> None:
        client = impatient.connect()
        stream, _ = impatient.forward(client)
        start = time.monotonic()
        stream.send(response_with())
        client.read_response()
        client.expect_end()
        assert time.monotonic() - start >= self.IDLE - TICK

    def test_activity_resets_the_idle_timeout(self, impatient: Lane) -> None:
        client = impatient.connect()
        stream, _ = impatient.forward(client)
        stream.send(response_with())
        client.read_response()
        start = time.monotonic()
        while time.monotonic() - start < 1.5 * self.IDLE:
            assert client.is_silent(self.IDLE / 10)
            client.send(impatient.request())
            stream.read_request()
            stream.send(response_with())
            client.read_response()

    def test_request_in_flight_is_exempt(self, impatient: Lane) -> None:
        client = impatient.connect()
        stream, _ = impatient.forward(client)
        assert client.is_silent(self.IDLE + 3 * TICK)
        stream.send(response_with(b"late"))
        assert client.read_response().body == b"late"

    def test_slow_header_sender_is_closed_silently(self, impatient: Lane) -> None:
        client = impatient.connect()
        head = impatient.request()[:-2]
        start = time.monotonic()
        client.send(head)
        # Each byte is activity, yet the deadline counts from the first byte of the head.
        while client.is_silent(0.1):
            assert time.monotonic() - start < PATIENCE, "it is served for ever"
            client.send(b"x")
        client.expect_end()
        assert time.monotonic() - start >= self.READ_HEADER - TICK
        assert not impatient.backend.has_pending_connection()

    def test_slow_header_sender_on_a_kept_connection(self, impatient: Lane) -> None:
        client = impatient.connect()
        stream, _ = impatient.forward(client)
        stream.send(response_with())
        client.read_response()
        client.send(b"GET / HT")
        client.expect_end()

    def test_slow_body_is_no_slow_header(self, impatient: Lane) -> None:
        client = impatient.connect()
        client.send(impatient.request(b"POST / HTTP/1.1", b"Content-Length: 2", body=b"a"))
        assert client.is_silent(max(self.READ_HEADER, self.IDLE) + 3 * TICK)
        client.send(b"b")
        stream, request = impatient.backend.accept_request()
        assert request.body == b"ab"
        stream.send(response_with())
        assert client.read_response().status == 200


def test_connection_survives_a_response_of_the_router(lane: Lane) -> None:
    client = lane.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n")
    assert client.read_response().status == 404
    stream, _ = lane.forward(client)
    stream.send(response_with(b"ok"))
    assert client.read_response().body == b"ok"


def test_empty_lines_before_a_request_are_ignored(lane: Lane) -> None:
    # RFC 9112 section 2.2.
    client = lane.connect()
    client.send(b"\r\n" + lane.request())
    stream, _ = lane.backend.accept_request()
    stream.send(response_with(b"ok"))
    response: Response = client.read_response()
    assert response.body == b"ok"
