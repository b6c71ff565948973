"""Requests the router refuses by itself: the table of spec 4.0, and every known way to smuggle a second request."""

import pytest

from .conftest import Lane
from .http_message import Response
from .raw_client import RawClient


def answer_before_close(client: RawClient) -> Response:
    """Read one refusal of the shape all rows of the table have, after which the connection is closed."""
    response = client.read_response()
    client.expect_end()
    return response


def assert_refused(lane: Lane, request: bytes, status: int, text: bytes) -> None:
    """`text` is the status line after the code, and, behind the code, the whole body."""
    client = lane.connect()
    client.send(request)
    response = answer_before_close(client)
    assert response.start_line == b"HTTP/1.1 %d %s" % (status, text)
    assert response.body == b"%d %s" % (status, text)
    assert_plain_refusal(response)
    assert not lane.backend.has_pending_connection()


def assert_plain_refusal(response: Response) -> None:
    # Content-Length is ours: Gorouter delimits these bodies by the close. Exactly one framing header on every message.
    assert {name for name, _ in response.fields} == {b"Content-Type", b"Connection", b"Content-Length"}
    assert response.values(b"Content-Type") == [b"text/plain; charset=utf-8"]
    assert response.values(b"Connection") == [b"close"]


class TestHostHeader:
    def test_missing(self, lane: Lane) -> None:
        assert_refused(lane, b"GET / HTTP/1.1\r\nX-A: b\r\n\r\n", 400, b"Bad Request: missing required Host header")

    @pytest.mark.parametrize("host", [b"<script>", b"a b", b"a>b", b'"x"', b"x/y", b"x\\y", b"a{b}"])
    def test_illegal_characters(self, lane: Lane, host: bytes) -> None:
        assert_refused(
            lane, b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 400, b"Bad Request: malformed Host header"
        )

    def test_illegal_characters_with_bare_lf(self, lane: Lane) -> None:
        assert_refused(lane, b"GET / HTTP/1.1\nHost: <x>\n\n", 400, b"Bad Request: malformed Host header")

    @pytest.mark.parametrize("second", [b"host: b.test", b"Host: a.test", b"Host:"])
    def test_more_than_one(self, lane: Lane, second: bytes) -> None:
        assert_refused(
            lane,
            b"GET / HTTP/1.1\r\nHost: a.test\r\n" + second + b"\r\n\r\n",
            400,
            b"Bad Request: too many Host headers",
        )

    def test_missing_is_legal_in_http_1_0(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        response = client.read_response()
        # Legal here, and then rejected by lookup.
        assert (response.status, response.value(b"X-Cf-Routererror")) == (400, b"empty_host")


class TestTarget:
    @pytest.mark.parametrize("path", [b"/%", b"/%4", b"/%zz", b"/a%2?b", b"//a%zz", b"/%41%4g/"])
    @pytest.mark.parametrize("authority", [b"", b"http://a.test"])
    def test_broken_escapes(self, lane: Lane, path: bytes, authority: bytes) -> None:
        assert_refused(lane, lane.request(b"GET " + authority + path + b" HTTP/1.1"), 400, b"Bad Request")

    @pytest.mark.parametrize(
        "authority", [b"a.test:x", b"a.test:8x", b"[::1", b"[::1]x", b"[::1]:x", b"a%2etest", b"a:b:c"]
    )
    def test_broken_authority(self, lane: Lane, authority: bytes) -> None:
        assert_refused(lane, lane.request(b"GET http://" + authority + b"/ HTTP/1.1"), 400, b"Bad Request")

    @pytest.mark.parametrize("authority", [b"[::1]", b"[::1]:80", b"no.test:", b"no.test:123456"])
    def test_sound_authority(self, lane: Lane, authority: bytes) -> None:
        client = lane.connect()
        client.send(lane.request(b"GET http://" + authority + b"/ HTTP/1.1"))
        assert client.read_response().status == 404


class TestHeaders:
    @pytest.mark.parametrize("name", [b"X(A)", b"X@A", b"X\x01A", b"X/A", b"X\xc3\xbc", b'X"A', b"X\x00A"])
    def test_illegal_name(self, lane: Lane, name: bytes) -> None:
        assert_refused(lane, lane.request(b"GET / HTTP/1.1", name + b": v"), 400, b"Bad Request: invalid header name")

    @pytest.mark.parametrize("value", [b"a\x00b", b"a\x01b", b"a\x7fb", b"a\x1b[0m"])
    def test_illegal_value(self, lane: Lane, value: bytes) -> None:
        assert_refused(
            lane, lane.request(b"GET / HTTP/1.1", b"X-A: " + value), 400, b"Bad Request: invalid header value"
        )

    @pytest.mark.parametrize(
        "start_line",
        [
            b"GET",
            b"GET /",
            b"GET / HTTP",
            b"GET / FOO/1.1",
            b"GET / HTTP/1.1.1",
            b"GET / HTTP/x.y",
            b"GET /a b HTTP/1.1",
            b"/ HTTP/1.1",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ],
    )
    def test_unparsable_request_line(self, lane: Lane, start_line: bytes) -> None:
        assert_refused(lane, lane.request(start_line), 400, b"Bad Request")

    def test_header_line_without_colon(self, lane: Lane) -> None:
        assert_refused(lane, lane.request(b"GET / HTTP/1.1", b"no colon here"), 400, b"Bad Request")

    @pytest.mark.parametrize("value", [b"-1", b"+5", b"0x5", b"5x", b"1e1", b"5, 6", b"99999999999999999999999"])
    def test_bad_content_length(self, lane: Lane, value: bytes) -> None:
        request = lane.request(b"POST / HTTP/1.1", b"Content-Length: " + value, body=b"hello")
        assert_refused(lane, request, 400, b"Bad Request")


class TestTransferEncoding:
    @pytest.mark.parametrize("value", [b"gzip", b"identity", b"xchunked", b"chunked-ish", b"gzip, chunked"])
    def test_unknown(self, lane: Lane, value: bytes) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", b"Transfer-Encoding: " + value))
        response = answer_before_close(client)
        assert response.start_line == b"HTTP/1.1 501 Not Implemented"
        assert response.body == b"Unsupported transfer encoding"
        assert_plain_refusal(response)
        assert not lane.backend.has_pending_connection()


class TestVersion:
    @pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/3.0", b"HTTP/0.9", b"HTTP/9.9"])
    def test_other_major_version(self, lane: Lane, version: bytes) -> None:
        assert_refused(
            lane,
            lane.request(b"GET / " + version),
            505,
            b"HTTP Version Not Supported: unsupported protocol version",
        )

    @pytest.mark.parametrize("version", [b"HTTP/1.5", b"HTTP/1.2", b"HTTP/1.9"])
    def test_other_minor_version(self, lane: Lane, version: bytes) -> None:
        client = lane.connect()
        client.send(lane.request(b"GET / " + version))
        # Exactly these bytes, without any header (spec 4.2 #14).
        assert client.wait_closed() == b"HTTP/1.0 400 Bad Request\r\n\r\n"
        assert not lane.backend.has_pending_connection()
        (line,) = lane.router.wait_for_log_lines(lane.host)
        assert f'"GET / {version.decode()}" "-" 0 0 "-" ' in line

    def test_http_2_preface_is_no_http_1_request(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert not client.wait_closed().startswith(b"HTTP/1.1 200")


class TestBareLineFeeds:
    def test_are_accepted_in_a_request_head(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(b"GET /lf HTTP/1.1\nHost: " + lane.host.encode() + b"\nX-A: b\n\n")
        _, request = lane.backend.accept_request()
        assert request.target == b"/lf"
        assert request.values(b"X-A") == [b"b"]

    def test_are_accepted_mixed_with_crlf(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(b"GET /lf HTTP/1.1\r\nHost: " + lane.host.encode() + b"\nX-A: b\r\nX-C: d\n\r\n")
        _, request = lane.backend.accept_request()
        assert request.values(b"X-C") == [b"d"]

    def test_are_accepted_before_a_body_and_split_at_every_byte(self, lane: Lane) -> None:
        client = lane.connect()
        client.send_split(b"POST / HTTP/1.1\nHost: " + lane.host.encode() + b"\nContent-Length: 4\n\n\n\r\nx")
        _, request = lane.backend.accept_request()
        assert request.body == b"\n\r\nx"


class TestOptionsStar:
    def test_the_router_responds(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"OPTIONS * HTTP/1.1"))
        response = client.read_response()
        assert (response.status, response.reason, response.body) == (200, b"OK", b"")
        assert response.values(b"Content-Length") == [b"0"]
        assert not lane.backend.has_pending_connection()
        # No handler runs (spec 4.0): the connection goes on, and only the next request is routed.
        lane.forward(client, b"GET /next HTTP/1.1")

    def test_needs_no_known_host(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(b"OPTIONS * HTTP/1.1\r\nHost: nowhere.test\r\n\r\n")
        assert client.read_response().status == 200


# What might be smuggled in. It must never be served, whatever the first request's length is thought to be.
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: nowhere.test\r\n\r\n"


class TestSmuggling:
    @pytest.mark.parametrize(
        "lines",
        [
            (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
            (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
            (b"Transfer-Encoding: chunked", b"Content-Length: 0"),
            (b"Content-Length: 5", b"Content-Length: 6"),
            (b"Content-Length: 5", b"Content-Length: 5"),
            (b"Content-Length: 5,5",),
            (b"Content-Length: 0\x0b5",),
            (b"Content-Length : 5",),
            (b"Transfer-Encoding : chunked",),
            (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
            (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
            (b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
            (b"Transfer-Encoding: chunked, identity",),
            (b"Transfer-Encoding: chunked, chunked",),
            (b"Transfer-Encoding:\x0bchunked",),
            (b"Transfer-Encoding: \x00chunked",),
            (b'Transfer-Encoding: "chunked"',),
            (b"Transfer-Encoding: chunked;a=b",),
            (b"X-A: b", b" Content-Length: 5"),
            (b"X-A: b", b"\tTransfer-Encoding: chunked"),
            (b"Transfer-Encoding:", b" chunked"),
            (b" X-First: folded", b"X-A: b"),
            (b"X-A: b\rTransfer-Encoding: chunked",),
            (b"X-A: b\rContent-Length: 5\rX-B: c",),
            (b"X-A\x00: b",),
            (b"X-A: b\x00",),
            (b": empty name",),
            (b"X A: b",),
            (b"\x0bContent-Length: 5",),
        ],
    )
    def test_ambiguous_heads_are_refused(self, lane: Lane, lines: tuple[bytes, ...]) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", *lines, body=b"0\r\n\r\n" + SMUGGLED))
        response = answer_before_close(client)
        assert response.status in (400, 501)
        assert_plain_refusal(response)
        assert not lane.backend.has_pending_connection()

    @pytest.mark.parametrize(
        "body",
        [
            b"zz\r\nhello\r\n0\r\n\r\n",
            b"-5\r\nhello\r\n0\r\n\r\n",
            b"+5\r\nhello\r\n0\r\n\r\n",
            b"0x5\r\nhello\r\n0\r\n\r\n",
            b" 5\r\nhello\r\n0\r\n\r\n",
            b"5 \x00\r\nhello\r\n0\r\n\r\n",
            b"\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhelloXX0\r\n\r\n",
            b"5\r\nhello world\r\n0\r\n\r\n",
            b"5\r\nhello0\r\n\r\n",
            b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
            b"5\nhello\n0\n\n",
            b"5\rhello\r\n0\r\n\r\n",
            b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
            b"5;a\nb\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\nX-Bad : 1\r\n\r\n",
            b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        ],
    )
    def test_bad_chunks_end_the_connection(self, lane: Lane, body: bytes) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=body + SMUGGLED))
        answer = client.wait_closed()
        # The head was fine, so whether an answer can still be given is open; a good one it cannot be.
        assert answer == b"" or answer[9:10] in (b"4", b"5"), answer
        assert answer.count(b"HTTP/1.") <= 1
        if lane.backend.has_pending_connection():
            forwarded = lane.backend.accept().wait_closed()
            # The backend must see that the body did not end.
            assert b"smuggled" not in forwarded
            assert not forwarded.endswith(b"0\r\n\r\n")

    def test_bad_chunk_behind_good_ones_cancels_the_backend(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))
        stream = lane.backend.accept()
        stream.read_request_head()
        assert stream.read_until(b"hello\r\n") == b"5\r\nhello\r\n"
        client.send(b"nonsense\r\n")
        assert b"0\r\n\r\n" not in stream.wait_closed()
        client.wait_closed()

    def test_body_of_a_get_is_no_second_request(self, lane: Lane) -> None:
        client = lane.connect()
        body = b"GET /smuggled HTTP/1.1\r\n\r\n"
        _, request = lane.forward(client, b"GET / HTTP/1.1", b"Content-Length: %d" % len(body), body=body)
        assert request.body == body
