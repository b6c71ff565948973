"""What a client sees of a backend's response head (spec 4.0, 4.5)."""

import pytest

from .conftest import Lane
from .http_message import response_with


def test_names_become_canonical_and_values_stay(lane: Lane) -> None:
    _, response = lane.exchange(response_with(b"ok", b"x-my-HEADER:  two  words\t", b'eTaG:W/"x"', b"X-Empty:"))
    assert (b"X-My-Header", b"two  words") in response.fields
    assert (b"Etag", b'W/"x"') in response.fields
    assert (b"X-Empty", b"") in response.fields


def test_several_set_cookie_stay_in_order(lane: Lane) -> None:
    cookies = [b"a=1; Path=/", b"b=2; HttpOnly", b"a=3"]
    _, response = lane.exchange(response_with(b"ok", *[b"set-cookie: " + cookie for cookie in cookies]))
    assert response.values(b"Set-Cookie") == cookies


def test_request_id_is_added(lane: Lane) -> None:
    request, response = lane.exchange(response_with())
    assert response.values(b"X-Vcap-Request-Id") == request.values(b"X-Vcap-Request-Id")


def test_request_id_of_the_backend_wins(lane: Lane) -> None:
    _, response = lane.exchange(response_with(b"ok", b"X-VCAP-Request-ID: mine"))
    assert response.values(b"X-Vcap-Request-Id") == [b"mine"]


def test_nothing_else_is_added(lane: Lane) -> None:
    _, response = lane.exchange(response_with(b"<html>"))
    # No Content-Type is sniffed (S06).
    assert {name for name, _ in response.fields} == {b"Content-Length", b"Date", b"X-Vcap-Request-Id"}


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: keep-alive",
        b"Proxy-Connection: keep-alive",
        b"Keep-Alive: timeout=5",
        b"Proxy-Authenticate: Basic",
        b"Proxy-Authorization: x",
        b"Te: trailers",
        b"Upgrade: h2c",
    ],
)
def test_hop_by_hop_headers_are_removed(lane: Lane, line: bytes) -> None:
    _, response = lane.exchange(response_with(b"ok", line, b"X-Kept: 1"))
    assert not response.has(line.partition(b":")[0])
    assert response.has(b"X-Kept")


def test_headers_named_by_connection_are_removed(lane: Lane) -> None:
    lines = (b"Connection: X-One, x-two", b"X-One: 1", b"X-Two: 2", b"X-Three: 3")
    _, response = lane.exchange(response_with(b"ok", *lines))
    assert not response.has(b"X-One")
    assert not response.has(b"X-Two")
    assert response.values(b"X-Three") == [b"3"]


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        (b"200 Fine", 200, b"OK"),
        (b"404 Nope", 404, b"Not Found"),
        (b"418 x", 418, b"I'm a teapot"),
        (b"500", 500, b"Internal Server Error"),
        (b"299 Whatever", 299, b"status code 299"),
        (b"499 x", 499, b"status code 499"),
        (b"503 ", 503, b"Service Unavailable"),
    ],
)
def test_reason_is_the_standard_text(lane: Lane, sent: bytes, code: int, reason: bytes) -> None:
    _, response = lane.exchange(response_with(b"x", status=sent))
    assert (response.status, response.reason) == (code, reason)


@pytest.mark.parametrize("status", [b"301 Moved Permanently", b"302 Found", b"307 Temporary Redirect"])
def test_redirects_are_passed_through(lane: Lane, status: bytes) -> None:
    _, response = lane.exchange(response_with(b"", b"Location: http://elsewhere.test/", status=status))
    assert response.status == int(status[:3])
    assert response.values(b"Location") == [b"http://elsewhere.test/"]
    assert not lane.backend.has_pending_connection()


def test_error_statuses_of_a_backend_are_passed_through(lane: Lane) -> None:
    _, response = lane.exchange(response_with(b"my own error", status=b"502 Bad Gateway"))
    assert (response.status, response.body) == (502, b"my own error")
    assert not response.has(b"X-Cf-Routererror")


def test_bytes_beyond_ascii_in_a_value(lane: Lane) -> None:
    _, response = lane.exchange(response_with(b"ok", b"X-Name: gr\xc3\xbc\xc3\x9fe \xff"))
    assert response.values(b"X-Name") == [b"gr\xc3\xbc\xc3\x9fe \xff"]
