"""HTTP/2 towards clients: streams as requests (4.0), their limits and their ends; the peer is the h2 package."""

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from h2.errors import ErrorCodes

from fastrouter._core import Endpoint

from .http2_client import Http2Client, get
from .in_process import HOST, request
from .issuer import Issuer, Pair
from .raw_backend import BackendStream, RawBackend, ServingBackend
from .tls_front import FrontRouter, TlsClient, client_context, server_tls

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Connect = Callable[..., Http2Client]


@pytest.fixture(scope="module")
def pair(issuer: Issuer) -> Pair:
    return issuer.pair(HOST)


class Front(FrontRouter):
    """A router that offers HTTP/2 over TLS."""

    def __init__(self, issuer: Issuer, pair: Pair, port: int, **settings: Any) -> None:
        super().__init__(Endpoint("127.0.0.1", port), tls=server_tls(pair, protocols=("h2", "http/1.1")), **settings)
        self._context = client_context(issuer, protocols=("h2",))

    def connect2(self, *, first: bytes = b"", **options: Any) -> Http2Client:
        stream = TlsClient(self.port, self._context, first=first)
        assert stream.socket.selected_alpn_protocol() == "h2"
        self._clients.append(stream)
        return Http2Client(stream, **options)


@pytest.fixture
def start(issuer: Issuer, pair: Pair) -> Iterator[Callable[..., Front]]:
    with contextlib.ExitStack() as stack:
        yield lambda backend, **settings: stack.enter_context(Front(issuer, pair, backend.port, **settings))


@pytest.fixture
def front(start: Callable[..., Front], backend: RawBackend) -> Front:
    return start(backend)


class TestRequests:
    def test_a_get(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number = client.send_request(get(b"/a?b=c", (b"x-a", b"1"), (b"cookie", b"a=1"), (b"cookie", b"b=2")))
        stream, seen = backend.accept_request()
        assert seen.start_line == b"GET /a?b=c HTTP/1.1"
        assert seen.value(b"Host") == HOST.encode()
        assert seen.value(b"X-A") == b"1"
        assert seen.value(b"Cookie") == b"a=1; b=2"
        assert seen.value(b"X-Forwarded-Proto") == b"https"
        assert seen.framing == "none"
        stream.send(b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nX-B: 2\r\nConnection: x-c\r\nX-C: 3\r\n\r\nok")
        answer = client.answer(number)
        assert (answer.status, bytes(answer.body), answer.value(b"x-b")) == (200, b"ok", b"2")
        assert {b"connection", b"x-c", b"transfer-encoding"}.isdisjoint(name for name, _ in answer.fields)
        line = front.wait_for_log_line()
        assert '"GET /a?b=c HTTP/2.0" 200 0 2 ' in line

    def test_bodies_both_ways(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        body = bytes(range(256)) * 3000
        number = client.send_request(get(b"/", (b"content-length", b"%d" % len(body)), method=b"PUT"), is_last=False)
        stream = backend.accept()
        head = stream.read_request_head()
        assert head.value(b"Content-Length") == b"%d" % len(body)
        client.send_body(number, body)
        assert stream.read_exactly(len(body)) == body
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        answer = client.answer(number)
        assert answer.body == body
        assert f" 200 {len(body)} {len(body)} " in front.wait_for_log_line()

    def test_chunks_and_trailers_both_ways(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number = client.send_request(get(b"/", (b"te", b"trailers"), method=b"POST"), is_last=False)
        client.send_body(number, b"one", is_last=False)
        client.send_body(number, b"two", is_last=False)
        client.end(number, [(b"x-sum", b"6")])
        stream, seen = backend.accept_request()
        assert (seen.body, seen.framing) == (b"onetwo", "chunked")
        assert seen.trailers == ((b"X-Sum", b"6"),)
        assert seen.value(b"Te") == b"trailers"
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n3\r\nthr\r\n")
        client.wait_for(lambda: client.answers[number].body == b"thr")
        stream.send(b"2\r\nee\r\n0\r\nX-End: yes\r\n\r\n")
        answer = client.answer(number)
        assert answer.body == b"three"
        assert answer.trailers == [(b"x-end", b"yes")]

    def test_a_body_until_the_end_of_the_backend(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number = client.send_request(get())
        stream, _ = backend.accept_request()
        stream.send(b"HTTP/1.1 200 OK\r\n\r\nto the ")
        client.wait_for(lambda: client.answers[number].body == b"to the ")
        stream.send(b"end")
        stream.close()
        answer = client.answer(number)
        assert (bytes(answer.body), answer.reset) == (b"to the end", None)

    @pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH"])
    def test_no_body_has_a_length_of_zero(self, front: Front, backend: RawBackend, method: bytes) -> None:
        front.connect2().send_request(get(method=method))
        _, seen = backend.accept_request()
        assert seen.value(b"Content-Length") == b"0"

    @pytest.mark.parametrize(
        ("head", "status"),
        [
            (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
            (b"HTTP/1.1 304 Not Modified\r\n\r\n", 304),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200),
        ],
    )
    def test_responses_without_a_body(self, front: Front, backend: RawBackend, head: bytes, status: int) -> None:
        client = front.connect2()
        number = client.send_request(get())
        stream, _ = backend.accept_request()
        stream.send(head)
        answer = client.answer(number)
        assert (answer.status, bytes(answer.body), answer.reset) == (status, b"", None)

    def test_head(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number = client.send_request(get(method=b"HEAD"))
        stream, _ = backend.accept_request()
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
        answer = client.answer(number)
        assert (answer.value(b"content-length"), bytes(answer.body)) == (b"7", b"")

    def test_interim_responses(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number = client.send_request(get(b"/", (b"expect", b"100-continue"), method=b"POST"), is_last=False)
        stream = backend.accept()
        assert stream.read_request_head().value(b"Expect") == b"100-continue"
        stream.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        answer = client.answers[number]
        client.wait_for(lambda: len(answer.interims) == 2)
        assert [dict(fields)[b":status"] for fields in answer.interims] == [b"103", b"100"]
        assert dict(answer.interims[0])[b"link"] == b"x"
        client.send_body(number, b"body")
        assert stream.read_until(b"0\r\n\r\n") == b"4\r\nbody\r\n0\r\n\r\n"
        stream.send(OK)
        assert client.answer(number).body == b"ok"

    def test_many_streams_at_once(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        numbers = [client.send_request(get(b"/%d" % n)) for n in range(40)]
        streams = [backend.accept_request() for _ in numbers]
        for stream, seen in reversed(streams):
            stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(seen.target) + seen.target)
        assert [bytes(client.answer(number).body) for number in numbers] == [b"/%d" % n for n in range(40)]
        # They go back to the pool, as after any exchange.
        assert front.stats()["idle_backend_connections"] == front.stats()["dials"] == 40

    def test_the_routers_own_responses(self, front: Front) -> None:
        client = front.connect2()
        answer = client.ask(get(host=b"unknown.test"))
        assert (answer.status, answer.value(b"x-cf-routererror")) == (404, b"unknown_route")
        assert b"does not exist" in answer.body
        assert client.ask(get(b"/%zz")).status == 400
        assert client.ask([(b":method", b"CONNECT"), (b":authority", b"a.test:1")]).status == 400
        answer = client.ask(get(b"*", method=b"OPTIONS"))
        assert (answer.status, answer.value(b"content-length")) == (200, b"0")
        answer = client.ask(get(b"/", (b"expect", b"wonders")))
        assert answer.status == 417

    def test_a_head_that_is_too_large(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        answer = client.ask(get(b"/", *[(b"x-%d" % n, b"y" * 10_000) for n in range(106)]))
        assert answer.status == 431
        # Others are none the worse for it.
        number = client.send_request(get())
        stream, _ = backend.accept_request()
        stream.send(OK)
        assert client.answer(number).body == b"ok"

    def test_http_1_beside_it(self, front: Front, backend: RawBackend, issuer: Issuer) -> None:
        client = TlsClient(front.port, client_context(issuer, protocols=("http/1.1",)))
        client.send(request())
        stream, _ = backend.accept_request()
        stream.send(OK)
        assert client.read_response().body == b"ok"
        assert '"GET / HTTP/1.1" 200' in front.wait_for_log_line()


class TestMalformed:
    @pytest.mark.parametrize(
        "fields",
        [
            get(b"/", (b"X-Upper", b"1")),
            get(b"/", (b"x", b"a\r\nb: c")),
            get(b"/", (b"x", b"a\0")),
            get(b"/", (b"x y", b"1")),
            get(b"/", (b"x:y", b"1")),
            get(b"/", (b"connection", b"close")),
            get(b"/", (b"transfer-encoding", b"chunked")),
            get(b"/", (b"upgrade", b"websocket")),
            get(b"/", (b"te", b"gzip")),
            get(b"/", (b"host", b"other.test")),
            get(b"/", (b"content-length", b"1")),
            get(b"/", (b":path", b"/late")),
            get(b"/", (b":late", b"1")),
            get(b"/a b"),
            get(b"a"),
            get(b""),
            get(host=b"user@app.test"),
            get()[1:],
            [*get(), (b":method", b"GET")],
            [(b":path", b"/"), *get()],
        ],
        ids=repr,
    )
    def test_nothing_reaches_a_backend(self, front: Front, backend: RawBackend, fields: Any) -> None:
        client = front.connect2(is_careless=True)
        answer = client.ask(fields)
        assert answer.reset == ErrorCodes.PROTOCOL_ERROR
        number = client.send_request(get(b"/next"))
        stream, seen = backend.accept_request()
        assert seen.target == b"/next"
        stream.send(OK)
        assert client.answer(number).body == b"ok"
        assert not backend.has_pending_connection()

    @pytest.mark.parametrize("body", [b"too long", b"no"])
    def test_a_length_that_is_not_the_sum_of_data(self, front: Front, backend: RawBackend, body: bytes) -> None:
        client = front.connect2(is_careless=True)
        number = client.send_request(get(b"/", (b"content-length", b"3"), method=b"POST"), is_last=False)
        stream = backend.accept()
        stream.read_request_head()
        client.engine.send_data(number, body, end_stream=True)
        client.flush()
        assert client.answer(number).reset == ErrorCodes.PROTOCOL_ERROR
        assert b"".join(stream.wait_closed().split()) in (b"", b"no")
        assert '"POST / HTTP/2.0" 400 ' in front.wait_for_log_line()

    def test_trailers_that_are_none(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2(is_careless=True)
        number = client.send_request(get(method=b"POST"), is_last=False)
        stream = backend.accept()
        stream.read_request_head()
        client.end(number, [(b"connection", b"close")])
        assert client.answer(number).reset == ErrorCodes.PROTOCOL_ERROR
        assert stream.wait_closed() == b""


class TestEndings:
    def test_a_client_that_resets_its_stream(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number, other = client.send_request(get(b"/gone")), client.send_request(get(b"/here"))
        streams = {seen.target: stream for stream, seen in (backend.accept_request(), backend.accept_request())}
        client.reset(number)
        streams[b"/gone"].expect_end()
        assert re.search(r'"GET /gone HTTP/2.0" 499 ', front.wait_for_log_line())
        streams[b"/here"].send(OK)
        assert client.answer(other).body == b"ok"

    def test_a_client_that_leaves(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        client.send_request(get(b"/1"))
        client.send_request(get(b"/2"))
        streams = [backend.accept_request()[0] for _ in range(2)]
        client.close()
        for stream in streams:
            stream.expect_end()
        front.wait_for_log_line(1)
        assert all(" 499 " in line for line in front.log_lines())

    def test_a_backend_that_dies_in_its_response(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number, other = client.send_request(get(b"/dies")), client.send_request(get(b"/lives"))
        streams = {seen.target: stream for stream, seen in (backend.accept_request(), backend.accept_request())}
        streams[b"/dies"].send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
        client.wait_for(lambda: client.answers[number].body == b"part")
        streams[b"/dies"].close()
        answer = client.answer(number)
        assert (bytes(answer.body), answer.reset) == (b"part", ErrorCodes.INTERNAL_ERROR)
        streams[b"/lives"].send(OK)
        assert client.answer(other).body == b"ok"

    def test_a_response_before_the_end_of_the_request(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number = client.send_request(get(method=b"POST"), is_last=False)
        client.send_body(number, b"some", is_last=False)
        stream = backend.accept()
        stream.read_until(b"some\r\n")
        stream.send(OK)
        answer = client.answers[number]
        client.wait_for(lambda: answer.reset is not None)
        assert (answer.status, bytes(answer.body), answer.is_complete) == (200, b"ok", True)
        assert answer.reset == ErrorCodes.NO_ERROR

    def test_an_unroutable_upload(self, front: Front) -> None:
        client = front.connect2()
        number = client.send_request(get(host=b"unknown.test", method=b"POST"), is_last=False)
        answer = client.answers[number]
        client.wait_for(lambda: answer.reset is not None)
        assert (answer.status, answer.reset) == (404, ErrorCodes.NO_ERROR)


class TestFlowControl:
    def test_a_client_that_takes_nothing_stalls_its_backend_alone(self, start: Callable[..., Front]) -> None:
        size = 30_000_000

        def serve(stream: BackendStream) -> bool:
            target = stream.read_request().target
            count = size if target == b"/large" else 2
            stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % count + b"x" * count)
            return True

        with ServingBackend(serve) as backend:
            front = start(backend)
            client = front.connect2(auto_window=False)
            # The connection has room for the others: only the stream's window ends.
            client.open_window(100_000_000)
            large = client.send_request(get(b"/large"))
            client.wait_for(lambda: len(client.answers[large].body) == 65535)
            for _ in range(20):
                assert client.ask(get(b"/small")).body == b"xx"
            assert len(client.answers[large].body) == 65535
            client.open_window(2**31 - 1 - 65535 - 1, large)
            assert len(client.answer(large).body) == size

    def test_a_backend_that_takes_nothing_stalls_its_stream_alone(self, start: Callable[..., Front]) -> None:
        with RawBackend(receive_buffer=4096) as backend:
            front = start(backend)
            client = front.connect2()
            number = client.send_request(get(b"/stalls", method=b"POST"), is_last=False)
            stalled = backend.accept()
            stalled.read_request_head()
            sent = 0
            piece = b"x" * 16384
            # Until the window is used up: nobody takes it, so it is not opened.
            while client.engine.local_flow_control_window(number) >= len(piece):
                client.send_body(number, piece, is_last=False)
                sent += len(piece)
                client.settle()
            other = client.send_request(get(b"/other"))
            stream, _ = backend.accept_request()
            stream.send(OK)
            assert client.answer(other).body == b"ok"
            client.end(number)
            assert stalled.read_until(b"\r\n0\r\n\r\n").count(b"x") == sent
