"""1xx responses and Expect: 100-continue (spec 4.0)."""

import socket
import time

import pytest

from .conftest import Lane
from .http_message import response_with
from .raw_backend import BackendStream
from .router_process import wait_for

EXPECT = b"Expect: 100-continue"
CONTINUE_WAIT = 1.0
"""Seconds a backend has to answer before the router sends 100 itself (spec 5.5)."""


def has_request(stream: BackendStream) -> bool:
    """Whether something has arrived, other than the end."""
    return not stream.is_silent() and stream.socket.recv(1, socket.MSG_PEEK) != b""


class TestPassedOn:
    @pytest.mark.parametrize(
        ("line", "status", "reason"),
        [
            (b"HTTP/1.1 102 Processing", 102, b"Processing"),
            (b"HTTP/1.1 103 Early Hints", 103, b"Early Hints"),
        ],
    )
    def test_with_headers(self, lane: Lane, line: bytes, status: int, reason: bytes) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(line + b"\r\nlink: </style.css>; rel=preload\r\n\r\n")
        # It arrives before the final response exists.
        interim = client.read_response()
        assert (interim.status, interim.reason) == (status, reason)
        assert interim.value(b"Link") == b"</style.css>; rel=preload"
        stream.send(response_with(b"done"))
        final = client.read_response()
        assert (final.status, final.body) == (200, b"done")
        assert not final.has(b"Link")

    def test_several(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </%d>\r\n\r\n"
        stream.send(hints % 1 + hints % 2 + response_with(b"done"))
        assert client.read_response().value(b"Link") == b"</1>"
        assert client.read_response().value(b"Link") == b"</2>"
        assert client.read_response().body == b"done"

    def test_connection_is_kept(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response_with(b"1"))
        client.read_response()
        assert client.read_response().body == b"1"
        client.send(lane.request(b"GET /2 HTTP/1.1"))
        assert stream.read_request().target == b"/2"
        stream.send(response_with(b"2"))
        assert client.read_response().body == b"2"


class TestExpectContinue:
    def test_backends_100_is_passed_on_once(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", EXPECT, b"Content-Length: 4"))
        stream = lane.backend.accept()
        head = stream.read_request_head()
        assert head.values(b"Expect") == [b"100-continue"]
        # Nobody may say 100 before the backend has.
        assert client.is_silent(0.1)
        stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        interim = client.read_response()
        assert (interim.status, interim.reason) == (100, b"Continue")
        client.send(b"body")
        assert stream.read_exactly(4) == b"body"
        # Longer than the wait for the backend: its end must not produce a second 100.
        assert client.is_silent(CONTINUE_WAIT + 0.3)
        stream.send(response_with(b"done"))
        assert client.read_response().body == b"done"

    def test_silent_backend_gets_the_body_after_a_second(self, lane: Lane) -> None:
        client = lane.connect()
        start = time.monotonic()
        client.send(lane.request(b"POST / HTTP/1.1", EXPECT, b"Content-Length: 4"))
        stream = lane.backend.accept()
        stream.read_request_head()
        interim = client.read_response()
        assert (interim.start_line, interim.fields) == (b"HTTP/1.1 100 Continue", ())
        assert time.monotonic() - start >= CONTINUE_WAIT - 0.05
        client.send(b"body")
        assert stream.read_exactly(4) == b"body"
        stream.send(response_with(b"done"))
        assert client.read_response().body == b"done"

    def test_late_100_of_the_backend_is_a_second_one(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", EXPECT, b"Content-Length: 4"))
        stream = lane.backend.accept()
        stream.read_request_head()
        assert client.read_response().status == 100
        client.send(b"body")
        assert stream.read_exactly(4) == b"body"
        stream.send(b"HTTP/1.1 100 Continue\r\n\r\n" + response_with(b"done"))
        assert client.read_response().status == 100
        assert client.read_response().body == b"done"

    def test_final_status_first_means_no_100(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", EXPECT, b"Content-Length: 4"))
        stream = lane.backend.accept()
        stream.read_request_head()
        stream.send(response_with(b"no", status=b"403 Forbidden"))
        response = client.read_response()
        assert (response.status, response.body) == (403, b"no")
        # Neither does one follow later; the connection may have been closed.
        if not client.is_silent(CONTINUE_WAIT + 0.3):
            client.expect_end()

    def test_client_that_does_not_wait(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", EXPECT, b"Content-Length: 4", body=b"body"))
        stream = lane.backend.accept()
        stream.read_request_head()
        stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert stream.read_exactly(4) == b"body"
        stream.send(response_with(b"done"))
        response = client.read_response()
        while response.status == 100:
            response = client.read_response()
        assert response.body == b"done"

    def test_case_does_not_matter(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", b"expect: 100-Continue", b"Content-Length: 4"))
        stream = lane.backend.accept()
        stream.read_request_head()
        stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert client.read_response().status == 100

    def test_chunked_body(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", EXPECT, b"Transfer-Encoding: chunked"))
        stream = lane.backend.accept()
        head = stream.read_request_head()
        assert head.framing == "chunked"
        stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert client.read_response().status == 100
        client.send(b"4\r\nbody\r\n0\r\n\r\n")
        assert stream.read_until(b"0\r\n\r\n") == b"4\r\nbody\r\n0\r\n\r\n"
        stream.send(response_with(b"done"))
        assert client.read_response().body == b"done"

    def test_connection_state_stays_sound(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", EXPECT, b"Content-Length: 4"))
        stream = lane.backend.accept()
        stream.read_request_head()
        stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert client.read_response().status == 100
        client.send(b"body")
        stream.read_exactly(4)
        stream.send(response_with(b"one"))
        assert client.read_response().body == b"one"
        # The backend connection may be a new one: by default Gorouter closes it after such a request (spec 4.4 step 8).
        client.send(lane.request(b"GET /2 HTTP/1.1"))
        wait_for(lambda: True if lane.backend.has_pending_connection() or has_request(stream) else None, "/2")
        if not has_request(stream):
            stream = lane.backend.accept()
        assert stream.read_request().target == b"/2"
        stream.send(response_with(b"two"))
        assert client.read_response().body == b"two"

    def test_http_1_0_client_gets_no_100(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.0", EXPECT, b"Content-Length: 4", body=b"body"))
        stream = lane.backend.accept()
        stream.read_request_head()
        stream.read_exactly(4)
        stream.send(response_with(b"done"))
        response = client.read_response()
        assert (response.status, response.body) == (200, b"done")

    @pytest.mark.parametrize("value", [b"100-continue, other", b"something", b"200-ok"])
    def test_any_other_expectation_is_refused(self, lane: Lane, value: bytes) -> None:
        client = lane.connect()
        client.send(lane.request(b"GET / HTTP/1.1", b"Expect: " + value))
        response = client.read_response()
        assert (response.status, response.reason) == (417, b"Expectation Failed")
        client.expect_end()
        assert not lane.backend.has_pending_connection()
