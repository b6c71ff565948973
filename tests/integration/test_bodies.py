"""Bodies in both directions: framing, streaming, trailers, HEAD/204/304, full duplex (spec 4.0, 4.4, 4.5)."""

import contextlib
import hashlib
import threading

import pytest

from fastrouter._core import Endpoint

from .conftest import Lane, StartRouter
from .http_message import (
    Request,
    Response,
    chunked,
    read_chunk,
    read_chunked,
    read_trailers,
    response_with,
)
from .in_process import InProcessRouter, request
from .raw_backend import BackendStream, RawBackend, ServingBackend

CHUNKED = b"Transfer-Encoding: chunked"
CHUNKED_OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class TestRequestFraming:
    def test_known_length_is_kept(self, lane: Lane) -> None:
        client = lane.connect()
        _, request = lane.forward(client, b"POST / HTTP/1.1", b"Content-Length: 5", body=b"hello")
        assert request.framing == "length"
        assert request.body == b"hello"

    def test_chunked_stays_chunked(self, lane: Lane) -> None:
        client = lane.connect()
        _, request = lane.forward(client, b"POST / HTTP/1.1", CHUNKED, body=chunked(b"hel", b"lo"))
        assert request.framing == "chunked"
        assert request.body == b"hello"

    def test_chunk_extensions_do_not_reach_the_body(self, lane: Lane) -> None:
        client = lane.connect()
        _, request = lane.forward(client, b"POST / HTTP/1.1", CHUNKED, body=b"3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
        assert request.body == b"hello"

    def test_empty_chunked_body(self, lane: Lane) -> None:
        client = lane.connect()
        _, request = lane.forward(client, b"POST / HTTP/1.1", CHUNKED, body=chunked())
        assert request.framing in ("chunked", "length")
        assert request.body == b""

    @pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS"])
    def test_none_without_a_body(self, lane: Lane, method: bytes) -> None:
        _, request = lane.forward(lane.connect(), method + b" / HTTP/1.1")
        assert request.framing == "none"

    @pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH"])
    @pytest.mark.parametrize("lines", [(), (b"Content-Length: 0",)])
    def test_zero_length_of_a_method_with_body(self, lane: Lane, method: bytes, lines: tuple[bytes, ...]) -> None:
        _, request = lane.forward(lane.connect(), method + b" / HTTP/1.1", *lines)
        assert request.values(b"Content-Length") == [b"0"]

    def test_get_with_a_body(self, lane: Lane) -> None:
        _, request = lane.forward(lane.connect(), b"GET / HTTP/1.1", b"Content-Length: 3", body=b"abc")
        assert request.body == b"abc"

    def test_trailers_are_passed_on(self, lane: Lane) -> None:
        body = chunked(b"hello", trailers=b"x-checksum: 1\r\nX-Other: 2\r\n")
        _, request = lane.forward(
            lane.connect(), b"POST / HTTP/1.1", CHUNKED, b"Trailer: X-Checksum, X-Other", body=body
        )
        assert request.body == b"hello"
        assert request.trailers == ((b"X-Checksum", b"1"), (b"X-Other", b"2"))

    def test_body_is_streamed(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", b"Content-Length: 6", body=b"one"))
        stream = lane.backend.accept()
        stream.read_request_head()
        assert stream.read_exactly(3) == b"one"
        client.send(b"two")
        assert stream.read_exactly(3) == b"two"

    def test_chunked_body_is_streamed(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", CHUNKED, body=b"3\r\none\r\n"))
        stream = lane.backend.accept()
        stream.read_request_head()
        assert read_chunk(stream) == b"one"
        client.send(b"3\r\ntwo\r\n")
        assert read_chunk(stream) == b"two"
        client.send(b"0\r\n\r\n")
        assert read_chunk(stream) == b""
        assert read_trailers(stream) == ()


class TestResponseFraming:
    def test_known_length_is_kept(self, lane: Lane) -> None:
        _, response = lane.exchange(response_with(b"hello"))
        assert response.framing == "length"
        assert response.body == b"hello"

    def test_zero_length(self, lane: Lane) -> None:
        _, response = lane.exchange(response_with(b""))
        assert response.values(b"Content-Length") == [b"0"]

    def test_chunked_stays_chunked(self, lane: Lane) -> None:
        _, response = lane.exchange(CHUNKED_OK + chunked(b"hel", b"lo"))
        assert response.framing == "chunked"
        assert response.body == b"hello"

    def test_close_delimited_becomes_chunked(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        stream.close()
        response = client.read_response()
        assert response.framing == "chunked"
        assert response.body == b"hello"
        # The client's connection is not the one that ended.
        second, _ = lane.forward(client)
        second.send(response_with(b"again"))
        assert client.read_response().body == b"again"

    def test_close_delimited_response_of_a_1_0_backend(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello")
        stream.half_close()
        response = client.read_response()
        assert (response.version, response.framing, response.body) == (b"HTTP/1.1", "chunked", b"hello")
        stream.expect_end()

    def test_chunked_response_to_a_1_0_client(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET / HTTP/1.0")
        stream.send(CHUNKED_OK + chunked(b"hel", b"lo", trailers=b"X-Sum: 5\r\n"))
        response = client.read_response()
        assert (response.version, response.framing) == (b"HTTP/1.0", "close")
        # De-chunked: neither sizes nor trailers show.
        assert response.body == b"hello"

    def test_chunked_response_to_a_1_0_client_ends_its_keep_alive(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET / HTTP/1.0", b"Connection: keep-alive")
        stream.send(CHUNKED_OK + chunked(b"hello"))
        response = client.read_response()
        assert response.framing == "close"
        assert b"keep-alive" not in [value.lower() for value in response.values(b"Connection")]
        assert response.body == b"hello"

    def test_close_delimited_response_to_a_1_0_client(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET / HTTP/1.0")
        stream.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        stream.close()
        response = client.read_response()
        assert (response.framing, response.body) == ("close", b"hello")

    def test_trailers_are_passed_on(self, lane: Lane) -> None:
        answer = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        _, response = lane.exchange(answer + chunked(b"hello", trailers=b"x-sum: 5\r\n"))
        assert response.body == b"hello"
        assert response.trailers == ((b"X-Sum", b"5"),)

    def test_trailers_without_end_are_not_collected(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        before = lane.router.resident_bytes()
        stream.send(CHUNKED_OK + b"2\r\nok\r\n0\r\n")
        assert client.read_response_head().status == 200
        assert read_chunk(client) == b"ok"
        with contextlib.suppress(OSError):
            for number in range(64):
                stream.send(b"X-Trailer-%d: " % number + b"x" * (1 << 20) + b"\r\n")
        assert lane.router.resident_bytes() - before < 16 << 20

    def test_body_is_streamed(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
        client.read_response_head()
        assert client.read_exactly(3) == b"one"
        stream.send(b"two")
        assert client.read_exactly(3) == b"two"

    def test_head_alone_is_passed_on_before_any_body(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(CHUNKED_OK)
        assert client.read_response_head().status == 200
        stream.send(chunked(b"x"))
        assert read_chunked(client)[0] == b"x"

    def test_server_sent_events_are_flushed_at_once(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.read_response_head().framing == "chunked"
        for number in range(3):
            event = b"data: %d\n\n" % number
            stream.send(b"%x\r\n%s\r\n" % (len(event), event))
            assert read_chunk(client) == event

    def test_unknown_length_is_flushed_at_once(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.1 200 OK\r\n\r\n")
        assert client.read_response_head().framing == "chunked"
        for part in (b"one", b"two"):
            stream.send(part)
            assert read_chunk(client) == part
        stream.close()
        assert read_chunk(client) == b""


class TestNoBody:
    def _next_request_works(self, answer: bytes, method: bytes = b"GET") -> Response:
        """Exchange twice on one client connection and one backend connection: nothing may be left over."""
        with RawBackend() as backend, InProcessRouter(Endpoint("127.0.0.1", backend.port), bodiless_rest=0) as router:
            client = router.ask(start_line=method + b" / HTTP/1.1")
            stream, first = backend.accept_request()
            assert first.method == method
            stream.send(answer)
            response = client.read_response(method)
            client.send(request(start_line=b"GET /2 HTTP/1.1"))
            assert stream.read_request().target == b"/2"
            stream.send(response_with(b"second"))
            assert client.read_response().body == b"second"
            return response

    def test_head_keeps_the_length(self) -> None:
        response = self._next_request_works(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", b"HEAD")
        assert response.values(b"Content-Length") == [b"1234"]

    def test_head_of_a_chunked_resource(self) -> None:
        self._next_request_works(CHUNKED_OK, b"HEAD")

    def test_head_without_any_length(self) -> None:
        response = self._next_request_works(b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n", b"HEAD")
        # No framing may be invented (H18).
        assert not response.has(b"Transfer-Encoding")
        assert not response.has(b"Content-Length")

    def test_204(self) -> None:
        response = self._next_request_works(b"HTTP/1.1 204 No Content\r\n\r\n", b"DELETE")
        assert (response.status, response.reason) == (204, b"No Content")

    def test_204_with_a_length_that_must_not_be_there(self) -> None:
        # The reader refuses a framing header in a 204.
        assert self._next_request_works(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").status == 204

    @pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
    def test_head_of_what_has_no_body_has_no_length(self, status: bytes) -> None:
        answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"
        assert not self._next_request_works(answer, b"HEAD").has(b"Content-Length")

    def test_304(self) -> None:
        answer = b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'
        response = self._next_request_works(answer)
        assert response.value(b"Etag") == b'"x"'
        assert not response.has(b"Transfer-Encoding")

    def test_304_with_the_length_of_what_was_not_sent(self) -> None:
        self._next_request_works(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n")

    def test_head_from_a_1_0_client(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"HEAD / HTTP/1.0")
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        assert client.read_response(b"HEAD").values(b"Content-Length") == [b"5"]
        client.expect_end()


class TestFullDuplex:
    def test_response_flows_while_the_request_is_still_sent(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", CHUNKED, body=b"1\r\n0\r\n"))
        stream = lane.backend.accept()
        stream.read_request_head()
        stream.send(CHUNKED_OK)
        assert client.read_response_head().status == 200
        echo = read_chunk(stream)
        stream.send(b"1\r\n" + echo + b"\r\n")
        assert read_chunk(client) == b"0"
        for digit in (b"1", b"2", b"3"):
            client.send(b"1\r\n" + digit + b"\r\n")
            assert read_chunk(stream) == digit
            stream.send(b"1\r\n" + digit + b"\r\n")
            assert read_chunk(client) == digit
        client.send(b"0\r\n\r\n")
        assert read_chunked(stream)[0] == b""
        stream.send(b"0\r\n\r\n")
        assert read_chunked(client)[0] == b""
        # Both ended cleanly: the connections are used again.
        client.send(lane.request(b"GET /2 HTTP/1.1"))
        assert stream.read_request().target == b"/2"
        stream.send(response_with(b"ok"))
        assert client.read_response().body == b"ok"

    def test_whole_response_before_the_request_ended(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", b"Content-Length: 10", body=b"12345"))
        stream = lane.backend.accept()
        stream.read_request_head()
        assert stream.read_exactly(5) == b"12345"
        stream.send(response_with(b"enough"))
        assert client.read_response().body == b"enough"

    def test_rest_of_the_request_is_not_taken_for_the_next_one(self, lane: Lane) -> None:
        client = lane.connect()
        rest = b"GET / HTTP/1.1\r\n\r\n"
        client.send(lane.request(b"POST / HTTP/1.1", b"Content-Length: %d" % (5 + len(rest)), body=b"12345"))
        stream = lane.backend.accept()
        stream.read_request_head()
        stream.read_exactly(5)
        stream.send(response_with(b"enough"))
        assert client.read_response().body == b"enough"
        with contextlib.suppress(ConnectionError):
            client.send(rest + lane.request(b"GET /next HTTP/1.1"))
        # Either the rest is read over and the connection goes on, or it ended with the response.
        if lane.backend.has_pending_connection(0.5):
            second, request = lane.backend.accept_request()
            assert request.target == b"/next"
            second.send(response_with(b"next"))
            assert client.read_response().body == b"next"
        else:
            assert client.wait_closed() == b""

    def test_refusal_of_an_upload_reaches_the_client(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", b"Content-Length: 100000000", body=b"x" * 1000))
        stream = lane.backend.accept()
        stream.read_request_head()
        stream.read_exactly(1000)
        stream.send(response_with(b"too large", b"Connection: close", status=b"413 Payload Too Large"))
        stream.close()
        response = client.read_response()
        assert (response.status, response.body) == (413, b"too large")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_32_mib_echo(start_router: StartRouter, framing: str) -> None:
    size, piece = 32 << 20, 64 << 10
    block = hashlib.sha512(b"fastrouter").digest() * (piece // 64)

    def echo(stream: BackendStream) -> None:
        request = Request.read_head(stream)
        if request.framing == "length":
            stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            left = size
            while left:
                data = stream.read_exactly(min(left, piece))
                left -= len(data)
                stream.send(data)
            return
        stream.send(CHUNKED_OK)
        while data := read_chunk(stream):
            stream.send(b"%x\r\n%s\r\n" % (len(data), data))
        assert read_trailers(stream) == ()
        stream.send(b"0\r\n\r\n")

    with ServingBackend(echo) as backend:
        client = start_router({"echo.test": [backend.address]}).connect(patience=20.0)

        def upload() -> None:
            head = b"POST / HTTP/1.1\r\nHost: echo.test\r\n"
            if framing == "length":
                client.send(head + b"Content-Length: %d\r\n\r\n" % size)
                for _ in range(size // piece):
                    client.send(block)
                return
            client.send(head + CHUNKED + b"\r\n\r\n")
            for _ in range(size // piece):
                client.send(b"%x\r\n%s\r\n" % (piece, block))
            client.send(b"0\r\n\r\n")

        sender = threading.Thread(target=upload)
        sender.start()
        response = client.read_response()
        sender.join()
        assert len(response.body) == size
        assert response.body == block * (size // piece)
        assert not backend.errors
