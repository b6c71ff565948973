"""HTTP/2 towards clients: streams as requests (4.0), their limits and their ends; the peer is the h2 package."""

import base64
import contextlib
import re
import select
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from fastrouter._core import Endpoint

from .conftest import StartGorouter
from .gorouter_process import register
from .http2_client import Http2Client, get
from .in_process import HOST, request
from .issuer import Issuer, Pair
from .nats_server import RawNatsClient
from .raw_backend import BackendStream, RawBackend, ServingBackend
from .router_process import START_PATIENCE, wait_for
from .tls_front import FrontRouter, TlsClient, client_context, server_tls, tls_keys

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


def answer_at_length(stream: BackendStream) -> None:
    """Answer with a field and a body that consist of the target, the field longer than a frame is."""
    target = stream.read_request().target
    fields = b"Content-Length: %d\r\nX-Filler: %b" % (30_000 * len(target), target * 6000)
    stream.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % fields + target * 30_000)


def test_connections_that_write_at_the_same_time_have_their_own_frames(start: Callable[..., Front]) -> None:
    with ServingBackend(answer_at_length) as serving:
        front = start(serving)
        clients = [front.connect2() for _ in range(4)]
        numbers = [
            [client.send_request(get(b"/%d%d" % (index, at))) for at in range(4)]
            for index, client in enumerate(clients)
        ]
        for index, client in enumerate(clients):
            for at, number in enumerate(numbers[index]):
                answer = client.answer(number)
                assert answer.value(b"x-filler") == b"/%d%d" % (index, at) * 6000
                assert answer.body == b"/%d%d" % (index, at) * 30_000


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
        for port in (b"8x", b"-1", b"80:b"):
            assert client.ask(get(host=b"app.test:" + port)).status == 400
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


class TestInTheClear:
    @pytest.fixture
    def start_plain(self, backend: RawBackend) -> Iterator[Callable[..., FrontRouter]]:
        with contextlib.ExitStack() as stack:
            endpoint = Endpoint("127.0.0.1", backend.port)
            yield lambda **options: stack.enter_context(FrontRouter(endpoint, takes_h2c=True, **options))

    def test_with_prior_knowledge(self, start_plain: Callable[..., FrontRouter], backend: RawBackend) -> None:
        front = start_plain()
        client = Http2Client(front.connect())
        number = client.send_request(get())
        stream, seen = backend.accept_request()
        assert seen.value(b"X-Forwarded-Proto") == b"http"
        stream.send(OK)
        assert client.answer(number).body == b"ok"
        assert '"GET / HTTP/2.0" 200' in front.wait_for_log_line()

    def test_in_single_bytes(self, start_plain: Callable[..., FrontRouter]) -> None:
        client = Http2Client(front := start_plain().connect())
        client.engine.send_headers(1, get(host=b"unknown.test"), end_stream=True)
        front.send_split(client.engine.data_to_send())
        assert client.answer(1).status == 404

    def test_http_1_is_taken_as_before(self, start_plain: Callable[..., FrontRouter], backend: RawBackend) -> None:
        client = start_plain().connect()
        client.send_split(request(b"X-A: b"))
        stream, _ = backend.accept_request()
        stream.send(OK)
        assert client.read_response().body == b"ok"
        client.send(request())
        assert stream.read_request().target == b"/"

    @pytest.mark.parametrize("first", [b"P", b"PRI * HTTP/2.0\r\n\r\nS"])
    def test_a_preface_that_is_never_whole(self, start_plain: Callable[..., FrontRouter], first: bytes) -> None:
        client = start_plain(read_header_timeout=0.1).connect()
        client.send(first)
        client.expect_end()

    def test_a_post_is_no_preface(self, start_plain: Callable[..., FrontRouter], backend: RawBackend) -> None:
        start_plain().connect().send(request(b"Content-Length: 0", start_line=b"POST / HTTP/1.1"))
        _, seen = backend.accept_request()
        assert seen.method == b"POST"

    def test_behind_a_proxy_header(self, start_plain: Callable[..., FrontRouter], backend: RawBackend) -> None:
        client = start_plain(reads_proxy_headers=True).connect()
        client.send(b"PROXY TCP4 192.0.2.7 192.0.2.8 7777 80\r\n")
        Http2Client(client).send_request(get())
        _, seen = backend.accept_request()
        assert seen.value(b"X-Forwarded-For") == b"192.0.2.7"

    def test_upgrades_to_it_are_not_taken(self, start_plain: Callable[..., FrontRouter], backend: RawBackend) -> None:
        client = start_plain().connect()
        client.send(request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"))
        stream, seen = backend.accept_request()
        assert not seen.has(b"Upgrade")
        stream.send(OK)
        assert client.read_response().body == b"ok"

    def test_it_is_off_by_default(self, backend: RawBackend) -> None:
        with FrontRouter(Endpoint("127.0.0.1", backend.port)) as front:
            client = front.connect()
            client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert client.read_response().start_line.startswith(b"HTTP/1.1 400 ")


def test_behind_a_proxy_header_and_tls(issuer: Issuer, pair: Pair, backend: RawBackend) -> None:
    with Front(issuer, pair, backend.port, reads_proxy_headers=True) as front:
        front.connect2(first=b"PROXY TCP4 192.0.2.7 192.0.2.8 7777 443\r\n").send_request(get())
        _, seen = backend.accept_request()
        assert seen.value(b"X-Forwarded-For") == b"192.0.2.7"


class TestDeadlines:
    def test_of_a_first_request(self, start: Callable[..., Front], backend: RawBackend) -> None:
        client = start(backend, read_header_timeout=0.1).connect2()
        client.wait_closed()
        assert client.goaways == [(ErrorCodes.NO_ERROR, 0)]

    def test_of_a_header_block(self, start: Callable[..., Front], backend: RawBackend) -> None:
        front = start(backend, read_header_timeout=0.1)
        client = front.connect2()
        number = client.send_request(get())
        stream, _ = backend.accept_request()
        client.settle()
        # HEADERS without END_HEADERS, and nothing behind it.
        client.stream.send(b"\x00\x00\x01\x01\x00\x00\x00\x00\x03\x82")
        client.wait_closed()
        stream.expect_end()
        assert front.stats()["refused_incomplete_header"] == 1
        assert number == 1

    def test_of_an_idle_connection(self, start: Callable[..., Front], backend: RawBackend) -> None:
        client = start(backend, frontend_idle_timeout=0.2, read_header_timeout=60).connect2()
        number = client.send_request(get())
        stream, _ = backend.accept_request()
        stream.send(OK)
        assert client.answer(number).body == b"ok"
        client.wait_closed()
        assert client.goaways == [(ErrorCodes.NO_ERROR, 1)]

    def test_of_a_backend(self, start: Callable[..., Front], backend: RawBackend) -> None:
        client = start(backend, endpoint_timeout=60, http2_endpoint_timeout=0.1).connect2()
        number = client.send_request(get())
        backend.accept_request()
        assert client.answer(number).status == 502

    def test_of_a_backend_without_one_of_its_own(self, start: Callable[..., Front], backend: RawBackend) -> None:
        assert start(backend, endpoint_timeout=0.1).connect2().ask(get()).status == 502


class TestRouteWaits:
    def test_a_request_waits_for_its_route_alone(self, start: Callable[..., Front], backend: RawBackend) -> None:
        front = start(backend, route_patience=60.0)
        client = front.connect2()
        waiting = client.send_request(get(host=b"late.test", method=b"POST"), b"body")
        # Others do not.
        number = client.send_request(get())
        stream, _ = backend.accept_request()
        stream.send(OK)
        assert client.answer(number).body == b"ok"
        front.call(front.table.register, "late.test", Endpoint("127.0.0.1", backend.port))
        front.call(front._plane.on_table_changed)
        stream, seen = backend.accept_request()
        assert (seen.value(b"Host"), seen.body) == (b"late.test", b"body")
        stream.send(OK)
        assert client.answer(waiting).body == b"ok"

    def test_it_has_waited_in_vain(self, start: Callable[..., Front], backend: RawBackend) -> None:
        client = start(backend, route_patience=0.01).connect2()
        assert client.ask(get(host=b"late.test")).status == 404

    def test_the_client_does_not_wait(self, start: Callable[..., Front], backend: RawBackend) -> None:
        client = start(backend, route_patience=0.05).connect2()
        client.reset(client.send_request(get(host=b"late.test")))
        assert client.ask(get(host=b"late.test")).status == 404


class TestDrain:
    def test_streams_finish(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number = client.send_request(get(b"/before"))
        stream, _ = backend.accept_request()
        front.call(front._plane.drain)
        client.wait_for(lambda: len(client.goaways) == 2)
        assert [last for _, last in client.goaways] == [2**31 - 1, 1]
        assert front.call(front._plane.connection_counts) == (1, 0)
        stream.send(OK)
        assert client.answer(number).body == b"ok"
        client.wait_closed()

    def test_what_is_on_its_way_is_served(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        client.settle()
        front.call(lambda: front._plane.drain(closes_idle=False))
        # The notice is not read yet, and this request crosses it.
        number = client.send_request(get(b"/crossing"))
        stream, _ = backend.accept_request()
        stream.send(OK)
        assert client.answer(number).body == b"ok"
        client.wait_closed()
        assert client.goaways[-1] == (ErrorCodes.NO_ERROR, 1)

    def test_idle_connections_end(self, front: Front) -> None:
        client = front.connect2()
        assert client.ask(get(host=b"unknown.test")).status == 404
        assert front.call(front._plane.connection_counts) == (0, 1)
        front.call(front._plane.drain)
        client.wait_closed()
        wait_for(lambda: not front.call(front._plane.has_connections) or None, "the end of the connection")

    def test_a_client_that_does_not_answer_pings(self, front: Front) -> None:
        client = front.connect2()
        client.settle()
        front.call(front._plane.drain)
        assert client.stream.wait_closed().count(b"\x00\x00\x08\x07\x00\x00\x00\x00\x00") == 2

    def test_connections_that_begin_meanwhile(self, front: Front) -> None:
        front.call(front._plane.drain)
        client = front.connect2()
        client.wait_closed()
        assert client.goaways[0] == (ErrorCodes.NO_ERROR, 2**31 - 1)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class TestHostilePeers:
    def attack(self, client: Http2Client, data: bytes, times: int) -> int:
        """Send `data` again and again until the router ends the connection; returns the error code of its GOAWAY."""
        with contextlib.suppress(OSError):
            for _ in range(times):
                client.stream.send(data)
                # Whoever does not read when the router goes may not hear its last word.
                while select.select([client.stream.socket], [], [], 0)[0] and client.receive():
                    pass
        client.wait_closed()
        return client.goaways[-1][0]

    @pytest.mark.parametrize(
        "flood",
        [
            frame(6, 0, 0, b"12345678"),
            frame(4, 0, 0, b"\x00\x03\x00\x00\x00\x64"),
            frame(2, 0, 1, b"\x00\x00\x00\x00\x00"),
            frame(0x42, 0, 0, b""),
        ],
        ids=["PING", "SETTINGS", "PRIORITY", "unknown"],
    )
    def test_frames_that_move_nothing(self, front: Front, flood: bytes) -> None:
        client = front.connect2()
        client.settle()
        assert self.attack(client, flood * 1000, 40) == ErrorCodes.ENHANCE_YOUR_CALM

    def test_empty_data(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        client.send_request(get(method=b"POST"), is_last=False)
        stream = backend.accept()
        stream.read_request_head()
        assert self.attack(client, frame(0, 0, 1) * 1000, 40) == ErrorCodes.ENHANCE_YOUR_CALM
        assert b"0\r\n" not in stream.wait_closed()

    def test_rapid_reset(self, front: Front) -> None:
        client = front.connect2()
        with contextlib.suppress(OSError, AssertionError):
            for _ in range(50):
                for _ in range(100):
                    client.reset(client.send_request(get(host=b"unknown.test")))
                client.settle()
        client.wait_closed()
        assert client.goaways[-1][0] == ErrorCodes.ENHANCE_YOUR_CALM

    def test_streams_that_it_makes_the_router_reset(self, front: Front) -> None:
        client = front.connect2(is_careless=True)
        with contextlib.suppress(OSError, AssertionError):
            for _ in range(50):
                for _ in range(100):
                    client.send_request(get(b"no path"))
                # Whoever does not read when the router goes may not hear its last word.
                client.settle()
        client.wait_closed()
        assert client.goaways[-1][0] == ErrorCodes.ENHANCE_YOUR_CALM

    def test_a_header_block_without_end(self, front: Front) -> None:
        client = front.connect2()
        client.settle()
        client.stream.send(frame(1, 0, 1, b"\x82"))
        assert self.attack(client, frame(9, 0, 1) * 100, 1) != ErrorCodes.NO_ERROR

    def test_a_header_list_that_unpacks_to_too_much(self, front: Front) -> None:
        client = front.connect2()
        client.settle()
        # One field of 4,000 bytes for the table, and then its index again and again.
        bomb = b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 12_000
        assert self.attack(client, frame(1, 5, 1, bomb), 1) == ErrorCodes.ENHANCE_YOUR_CALM

    def test_more_streams_than_are_allowed(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        client.settle()
        client.engine.remote_settings[3] = 1000
        client.engine.remote_settings.acknowledge()
        assert client.settings[3] == 250
        numbers = [client.send_request(get()) for _ in range(251)]
        assert client.answer(numbers[-1]).reset == ErrorCodes.REFUSED_STREAM
        for _ in numbers[:-1]:
            stream, _ = backend.accept_request()
            stream.send(OK)
        for number in numbers[:-1]:
            assert client.answer(number).body == b"ok"

    @pytest.mark.parametrize(
        "data", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"x" * 100, b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"]
    )
    def test_no_preface(self, front: Front, issuer: Issuer, data: bytes) -> None:
        client = TlsClient(front.port, client_context(issuer, protocols=("h2",)))
        client.send(data)
        assert b"\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" in client.wait_closed()

    def test_windows_of_one_byte(self, start: Callable[..., Front]) -> None:
        def serve(stream: BackendStream) -> bool:
            stream.read_request()
            stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n" + b"x" * 40)
            return True

        with ServingBackend(serve) as backend:
            client = start(backend).connect2(auto_window=False, settings={SettingCodes.INITIAL_WINDOW_SIZE: 1})
            number = client.send_request(get())
            answer = client.answers[number]
            for size in range(1, 41):
                client.wait_for(lambda size=size: len(answer.body) == size)  # type: ignore[misc]
                if size < 40:
                    client.open_window(1, number)
            assert client.answer(number).body == b"x" * 40


class TestTheExecutable:
    def test_drain_and_options(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, backend: RawBackend, issuer: Issuer, pair: Pair
    ) -> None:
        router = start_gorouter(**tls_keys(pair), enable_h2c=True, go_max_procs=1)
        router.wait_until_started()
        register(nats, backend.address, HOST)
        wait_for(lambda: router.addresses(HOST), "the route")
        port = router.wait_for_event("tls-listener-started", START_PATIENCE)["data"]["address"]["Port"]
        stream = TlsClient(port, client_context(issuer, protocols=("http/1.1", "h2")))
        # The router's order counts.
        assert stream.socket.selected_alpn_protocol() == "h2"
        with Http2Client(stream) as client, Http2Client(router.connect()) as plain:
            streams = []
            for connection in (client, plain):
                connection.send_request(get())
                streams.append(backend.accept_request()[0])
            router.send_signal(signal.SIGUSR1)
            for connection in (client, plain):
                connection.wait_for(lambda connection=connection: len(connection.goaways) == 2)  # type: ignore[misc]
            for end in streams:
                end.send(OK)
            for connection in (client, plain):
                assert connection.answer(1).body == b"ok"
                connection.wait_closed()
        assert router.wait() == 0

    def test_without_http2(self, start_gorouter: StartGorouter, issuer: Issuer, pair: Pair) -> None:
        router = start_gorouter(**tls_keys(pair), enable_http2=False, enable_h2c=True)
        router.wait_until_started()
        port = router.wait_for_event("tls-listener-started", START_PATIENCE)["data"]["address"]["Port"]
        with TlsClient(port, client_context(issuer, protocols=("h2",))) as client:
            assert client.socket.selected_alpn_protocol() is None
            client.send(request())
            assert client.read_response().status == 404
        with router.connect() as client:
            client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert client.read_response().status == 400


SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"
)


class TestWebSockets:
    """Extended CONNECT (RFC 8441)."""

    def connect(self, *fields: tuple[bytes, bytes], protocol: bytes = b"websocket") -> list[tuple[bytes, bytes]]:
        return [*get(b"/chat", method=b"CONNECT"), (b":protocol", protocol), (b"sec-websocket-version", b"13"), *fields]

    def open(self, client: Http2Client, backend: RawBackend) -> tuple[int, BackendStream]:
        number = client.send_request(self.connect(), is_last=False)
        stream, _ = backend.accept_request()
        stream.send(SWITCH)
        client.wait_for(lambda: client.answers[number].fields)
        return number, stream

    def test_a_tunnel(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        client.settle()
        assert client.settings[8] == 1
        number = client.send_request(self.connect((b"sec-websocket-protocol", b"chat")), is_last=False)
        client.send_body(number, b"early", is_last=False)
        stream, seen = backend.accept_request()
        assert seen.start_line == b"GET /chat HTTP/1.1"
        assert (seen.value(b"Upgrade"), seen.value(b"Connection")) == (b"websocket", b"Upgrade")
        assert seen.value(b"Sec-Websocket-Version") == b"13"
        assert seen.value(b"Sec-Websocket-Protocol") == b"chat"
        assert len(base64.b64decode(seen.value(b"Sec-Websocket-Key") or b"")) == 16
        assert seen.framing == "none"
        stream.send(SWITCH + b"hello")
        assert stream.read_exactly(5) == b"early"
        answer = client.answers[number]
        client.wait_for(lambda: answer.body == b"hello")
        assert answer.status == 200
        assert {b"upgrade", b"connection", b"sec-websocket-accept"}.isdisjoint(name for name, _ in answer.fields)
        client.send_body(number, b"up", is_last=False)
        assert stream.read_exactly(2) == b"up"
        stream.send(b" down")
        client.wait_for(lambda: answer.body == b"hello down")
        client.end(number)
        assert stream.read_to_end() == b""
        stream.send(b", end")
        stream.close()
        assert client.answer(number).body == b"hello down, end"
        assert '"GET /chat HTTP/2.0" 101 ' in front.wait_for_log_line()

    def test_a_backend_that_ends_first(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number, stream = self.open(client, backend)
        stream.send(b"bye")
        stream.half_close()
        answer = client.answers[number]
        client.wait_for(lambda: answer.is_complete)
        assert answer.body == b"bye"
        client.send_body(number, b"bye too")
        assert stream.read_to_end() == b"bye too"

    def test_silence_behind_one_end(self, start: Callable[..., Front], backend: RawBackend) -> None:
        client = start(backend, tunnel_silence_timeout=0.1).connect2()
        number, stream = self.open(client, backend)
        stream.half_close()
        answer = client.answers[number]
        client.wait_for(lambda: answer.is_complete and answer.reset is not None)
        stream.wait_closed()
        # The connection goes on.
        assert client.ask(get(host=b"unknown.test")).status == 404

    def test_a_client_that_resets_it(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number, stream = self.open(client, backend)
        client.reset(number)
        stream.expect_end()
        assert '"GET /chat HTTP/2.0" 101 ' in front.wait_for_log_line()

    def test_a_client_that_takes_nothing(self, start: Callable[..., Front], backend: RawBackend) -> None:
        client = start(backend, frontend_idle_timeout=0.3, read_header_timeout=60).connect2(auto_window=False)
        number, stream = self.open(client, backend)
        with contextlib.suppress(ConnectionError):
            stream.send_until_blocked(b"x" * 100_000_000)
        assert client.answer(number).reset == ErrorCodes.INTERNAL_ERROR

    def test_back_pressure(self, start: Callable[..., Front]) -> None:
        with RawBackend(receive_buffer=4096) as backend:
            client = start(backend).connect2()
            number, stream = self.open(client, backend)
            sent = 0
            while client.engine.local_flow_control_window(number) >= 16384:
                client.send_body(number, b"x" * 16384, is_last=False)
                sent += 16384
                client.settle()
            client.end(number)
            assert len(stream.read_to_end()) == sent

    def test_a_backend_that_refuses(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        number = client.send_request(self.connect(), is_last=False)
        stream, _ = backend.accept_request()
        stream.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
        answer = client.answers[number]
        client.wait_for(lambda: answer.reset is not None)
        assert (answer.status, bytes(answer.body), answer.reset) == (403, b"no", ErrorCodes.NO_ERROR)

    def test_other_protocols(self, front: Front, backend: RawBackend) -> None:
        client = front.connect2()
        answer = client.answer(client.send_request(self.connect(protocol=b"connect-udp"), is_last=False))
        assert answer.reset == ErrorCodes.PROTOCOL_ERROR
        assert not backend.has_pending_connection()
