"""Bounds on heads (spec 4.0, 4.2 #16, 5.6)."""

import contextlib
from collections.abc import Iterator

import pytest

from .conftest import Lane, LaneSupply, StartRouter, new_lane
from .http_message import response_with
from .raw_backend import RawBackend
from .test_refused_requests import answer_before_close, assert_plain_refusal

MIB = 1 << 20
SLOP = 4096
"""What Go's server reads beyond its limit (spec 4.0)."""


def head_of_size(lane: Lane, size: int) -> bytes:
    """Build a valid request head of exactly `size` bytes, in lines of 8 KB."""
    head = lane.request()[:-2]
    number = 0
    while (left := size - 2 - len(head)) > 0:
        name = b"X-Fill-%d: " % number
        number += 1
        length = left if left <= 8192 else min(8192, left - 64)
        head += name + b"x" * (length - len(name) - 2) + b"\r\n"
    head += b"\r\n"
    assert len(head) == size
    return head


class TestRequestHead:
    def test_just_under_the_limit_is_served(self, lane: Lane) -> None:
        client = lane.connect()
        # Gorouter adds its own measure of what the limit is (spec 4.2 #16), which is a little less than these bytes.
        client.send(head_of_size(lane, MIB - 16384))
        stream, _ = lane.backend.accept_request()
        stream.send(response_with(b"ok"))
        assert client.read_response().body == b"ok"

    @pytest.mark.parametrize("piece", [65536, 4 * MIB])
    def test_over_the_hard_limit_is_refused_by_the_server(self, lane: Lane, piece: int) -> None:
        client = lane.connect()
        client.send_split(head_of_size(lane, MIB + SLOP + 512), piece)
        response = answer_before_close(client)
        assert response.start_line == b"HTTP/1.1 431 Request Header Fields Too Large"
        assert response.body == b"431 Request Header Fields Too Large"
        assert_plain_refusal(response)
        assert not lane.backend.has_pending_connection()

    def test_head_without_end_is_refused(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request()[:-2] + b"X-Long: " + b"x" * (MIB + SLOP))
        assert answer_before_close(client).status == 431

    def test_target_without_end_is_refused(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(b"GET /" + b"x" * (MIB + SLOP + 512))
        assert answer_before_close(client).status == 431

    def test_refusal_reaches_a_client_that_goes_on_sending(self, lane: Lane) -> None:
        # A close with unread input resets the connection, which may take the answer away from the client.
        client = lane.connect()
        with contextlib.suppress(ConnectionError):
            client.send(lane.request()[:-2] + b"X-Long: " + b"x" * (4 * MIB))
        assert client.read_response().status == 431


class TestConfiguredLimits:
    @pytest.fixture(scope="class")
    @classmethod
    def supply(cls, start_module_router: StartRouter) -> Iterator[LaneSupply]:
        supply = LaneSupply(
            start_module_router,
            max_request_head=8192,
            max_request_headers=20,
            max_response_head=8192,
            max_response_headers=20,
        )
        yield supply
        supply.close()

    @pytest.fixture
    def tight(self, supply: LaneSupply) -> Iterator[Lane]:
        yield from new_lane(supply)

    def test_request_head(self, tight: Lane) -> None:
        client = tight.connect()
        client.send(head_of_size(tight, 7000))
        tight.backend.accept_request()
        client = tight.connect()
        client.send(head_of_size(tight, 9000))
        assert client.read_response().status == 431

    def test_hard_limit_stays_where_it_is(self, tight: Lane) -> None:
        """Whatever the limit of the handlers is (spec 4.0), so that a refused client gets the reason, and is logged."""
        client = tight.connect()
        client.send(head_of_size(tight, 100_000))
        assert client.read_response().values(b"X-Cf-Routererror") == [b"max-request-size-exceeded"]
        client.send(head_of_size(tight, 100_000).replace(tight.host.encode(), b"nowhere.test"))
        assert client.read_response().status == 431
        client = tight.connect()
        client.send(head_of_size(tight, MIB + SLOP + 512))
        assert_plain_refusal(answer_before_close(client))

    def test_soft_limit_is_logged_to_the_app(self, tight: Lane) -> None:
        client = tight.connect()
        client.send(head_of_size(tight, 9000))
        response = client.read_response()
        assert (response.status, response.body) == (431, b"")
        assert response.values(b"X-Cf-Routererror") == [b"max-request-size-exceeded"]
        (line,) = tight.router.wait_for_log_lines(tight.host)
        assert f' 431 0 0 "-" "-" "127.0.0.1:{client.local_port}" "{tight.backend.address}" ' in line
        # It was chosen for this line only.
        assert " gorouter_time:0.000000 " in line
        assert line.endswith('x_cf_routererror:"max-request-size-exceeded"')

    def test_request_header_count(self, tight: Lane) -> None:
        lines = [b"X-%d: v" % number for number in range(19)]
        # Host is not counted (spec 4.2 #16), the request id is, which the router has set before.
        client = tight.connect()
        stream, _ = tight.forward(client, b"GET / HTTP/1.1", *lines)
        stream.send(response_with())
        assert client.read_response().status == 200
        client.send(tight.request(b"GET / HTTP/1.1", *lines, b"X-Twentieth: v"))
        response = client.read_response()
        assert (response.status, response.body) == (431, b"")
        assert response.values(b"X-Cf-Routererror") == [b"max-request-size-exceeded"]

    def test_the_count_comes_before_an_unknown_route(self, tight: Lane) -> None:
        """What is too large is not looked at any closer."""
        client = tight.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: nowhere.test\r\n" + b"X: v\r\n" * 30 + b"\r\n")
        assert client.read_response().status == 431

    def test_no_route_has_a_host_that_long(self, tight: Lane) -> None:
        client = tight.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: " + b"a." * 2000 + b"x\r\n\r\n")
        assert client.read_response().values(b"X-Cf-Routererror") == [b"unknown_route"]

    def test_response_head(self, tight: Lane) -> None:
        client = tight.connect()
        stream, _ = tight.forward(client)
        stream.send(response_with(b"ok", b"X-Fits: " + b"x" * 7000))
        assert client.read_response().status == 200
        client.send(tight.request())
        stream.read_request()
        stream.send(response_with(b"ok", b"X-Long: " + b"x" * 20000))
        response = client.read_response()
        assert response.status == 502
        assert response.values(b"X-Cf-Routererror") == [
            b"endpoint_failure (net/http: HTTP/1.x transport connection broken: "
            b"net/http: server response headers exceeded 8192 bytes; aborted)"
        ]
        assert stream.wait_closed() == b""

    def test_response_header_count(self, tight: Lane) -> None:
        client = tight.connect()
        stream, _ = tight.forward(client)
        stream.send(response_with(b"ok", *[b"X-%d: v" % number for number in range(30)]))
        response = client.read_response()
        assert response.status == 502
        assert response.values(b"X-Cf-Routererror") == [b"endpoint_failure (Too many response headers)"]
        assert stream.wait_closed() == b""

    def test_trailers_count_too(self, tight: Lane) -> None:
        client = tight.connect()
        client.send(tight.request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"0\r\n"))
        try:
            client.send(b"X-Trailer: " + b"x" * 65536)
            for number in range(1000):
                client.send(b"\r\nX-%d: " % number + b"x" * 1000)
        except ConnectionError:
            pass
        # Without end they must not be collected without end.
        answer = client.wait_closed()
        assert answer == b"" or answer[9:10] in (b"4", b"5")


def test_default_header_count(start_router: StartRouter) -> None:
    with RawBackend() as backend:
        lane = Lane(start_router({"count.test": [backend.address]}), "count.test", backend)
        client = lane.connect()
        lines = [b"X-%d: v" % number for number in range(999)]
        stream, request = lane.forward(client, b"GET / HTTP/1.1", *lines)
        assert request.has(b"X-998")
        stream.send(response_with())
        assert client.read_response().status == 200
        client.send(lane.request(b"GET / HTTP/1.1", *lines, b"X-999: v"))
        assert client.read_response().status == 431
