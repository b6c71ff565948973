"""HTTP/2 towards backends (K06): streams, pools, flow control and failures, with h2 as the backend, over real TLS."""

import threading
from collections.abc import Iterator

import pytest
from h2.errors import ErrorCodes
from h2.events import StreamReset

from fastrouter.tls.backends import backend_context

from .http2_backend import H2cBackend, Headers, Http2Backend
from .http_message import chunked
from .in_process import HOST, InProcessRouter, request
from .tls_backend import Authority

OURS = Authority()
POST = b"POST / HTTP/1.1"
LARGE = bytes(range(256)) * 12_000
CONTEXTS = {
    "backend_tls": backend_context(ca_certs=[OURS.pem]),
    "backend_http2_tls": backend_context(ca_certs=[OURS.pem], protocols=("h2", "http/1.1")),
}


@pytest.fixture
def backend() -> Iterator[Http2Backend]:
    with Http2Backend(OURS) as backend:
        yield backend


@pytest.fixture
def router(backend: Http2Backend) -> Iterator[InProcessRouter]:
    with router_to(backend) as router:
        yield router


def router_to(*backends: Http2Backend | H2cBackend, **settings: object) -> InProcessRouter:
    return InProcessRouter(*(backend.endpoint() for backend in backends), **{**CONTEXTS, **settings})


class TestRequest:
    def test_what_the_backend_gets(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask(b"User-Agent: t", b"TE: trailers", b"Connection: close, X-Hop", b"X-Hop: 1", b"X-Kept: a")
        peer = backend.accept_http2()
        stream, fields = peer.read_request()
        assert fields.pop(b"x-vcap-request-id")
        assert fields.pop(b"x-request-start")
        assert fields == {
            b":method": b"GET",
            b":scheme": b"https",
            b":authority": HOST.encode(),
            b":path": b"/",
            b"user-agent": b"t",
            b"x-kept": b"a",
            b"te": b"trailers",
            b"x-forwarded-for": b"127.0.0.1",
            b"x-forwarded-proto": b"http",
            b"x-cf-applicationid": b"",
            b"x-cf-instanceid": backend.address.encode(),
            b"x-cf-instanceindex": b"",
        }
        peer.answer(stream)
        assert client.read_response().body == b"ok"

    def test_a_body_of_known_length(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask(b"Content-Length: 5", start_line=POST, body=b"hello")
        peer = backend.accept_http2()
        stream, fields = peer.read_request()
        assert fields[b"content-length"] == b"5"
        assert peer.read_body(stream) == b"hello"
        peer.answer(stream)
        assert client.read_response().status == 200

    def test_a_body_in_chunks_and_its_trailer(self, backend: Http2Backend, router: InProcessRouter) -> None:
        body = chunked(b"one", b"two", trailers=b"X-Sum: 6\r\n")
        client = router.ask(b"Transfer-Encoding: chunked", b"Trailer: X-Sum", start_line=POST, body=body)
        peer = backend.accept_http2()
        stream, fields = peer.read_request()
        assert b"transfer-encoding" not in fields
        assert b"content-length" not in fields
        assert peer.read_trailers(stream) == [(b"x-sum", b"6")]
        assert peer.read_body(stream) == b"onetwo"
        peer.answer(stream)
        assert client.read_response().status == 200

    def test_h2c(self) -> None:
        with H2cBackend() as backend, router_to(backend) as router:
            client = router.ask()
            peer = backend.accept_http2()
            stream, fields = peer.read_request()
            assert fields[b":scheme"] == b"http"
            peer.answer(stream)
            assert client.read_response().body == b"ok"


class TestResponse:
    def test_without_a_length_it_is_chunked_and_has_a_trailer(
        self, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        client = router.ask()
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"trailer", b"x-sum"))
        peer.send_data(stream, b"one")
        peer.send_data(stream, b"two")
        peer.send_trailers(stream, (b"x-sum", b"6"))
        response = client.read_response()
        assert response.body == b"onetwo"
        assert response.value(b"Trailer") == b"x-sum"
        assert response.trailers == ((b"X-Sum", b"6"),)

    def test_interim_responses(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask(b"Expect: 100-continue", b"Content-Length: 2", start_line=POST)
        peer = backend.accept_http2()
        stream, fields = peer.read_request()
        assert fields[b"expect"] == b"100-continue"
        peer.send_head(stream, (b"link", b"</a>"), status=103)
        hint = client.read_response()
        assert (hint.status, hint.value(b"Link")) == (103, b"</a>")
        peer.send_head(stream, status=100)
        assert client.read_response().status == 100
        client.send(b"hi")
        assert peer.read_body(stream) == b"hi"
        peer.answer(stream)
        assert client.read_response().status == 200

    def test_trailers_only(self, backend: Http2Backend, router: InProcessRouter) -> None:
        """Everything of it is in one list of fields."""
        client = router.ask(start_line=POST)
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"grpc-status", b"5"), is_last=True)
        response = client.read_response()
        assert response.value(b"Grpc-Status") == b"5"
        assert response.value(b"Content-Length") == b"0"

    @pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
    def test_no_body(self, method: bytes, status: int, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask(start_line=method + b" / HTTP/1.1")
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"content-length", b"7"), status=status, is_last=True) if method == b"HEAD" else (
            peer.send_head(stream, status=status, is_last=True)
        )
        response = client.read_response(method)
        assert response.status == status
        assert response.value(b"Content-Length") == (b"7" if method == b"HEAD" else None)
        client.send(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        peer.answer(peer.read_request()[0])
        assert client.read_response().body == b"ok"

    def test_to_http_1_0(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask(start_line=b"GET / HTTP/1.0")
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream)
        peer.send_data(stream, b"until", is_last=False)
        peer.send_data(stream, b" the end", is_last=True)
        assert client.read_response().body == b"until the end"

    @pytest.mark.parametrize(
        "fields",
        [
            [(b"connection", b"close")],
            [(b"transfer-encoding", b"chunked")],
            [(b"x", b"a\nb")],
            [(b"x", b"a\0b")],
            [(b"x y", b"a")],
            [(b":path", b"/")],
            [(b"content-length", b"3"), (b"content-length", b"4")],
            [(b"content-length", b"many")],
        ],
        ids=lambda fields: repr(fields[0]),
    )
    def test_malformed_fields_end_their_stream_only(
        self, fields: Headers, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        sibling = router.ask()
        peer = backend.accept_http2(validates=False)
        waiting, _ = peer.read_request()
        client = router.ask()
        stream, _ = peer.read_request()
        peer.send_head(stream, *fields)
        assert client.read_response().status == 502
        assert peer.wait_for(StreamReset, stream).error_code == ErrorCodes.PROTOCOL_ERROR
        assert not router.events_of("backend-endpoint-failed")[0]["retriable"]
        peer.answer(waiting)
        assert sibling.read_response().body == b"ok"

    @pytest.mark.parametrize("length", [b"2", b"4"])
    def test_a_length_that_is_not_the_sum_of_data(
        self, length: bytes, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        client = router.ask()
        peer = backend.accept_http2(validates=False)
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"content-length", length))
        assert client.read_response_head().status == 200
        peer.send_data(stream, b"abc", is_last=True)
        assert len(client.wait_closed()) < int(length)
        assert router.wait_for_log_line()

    def test_too_large_a_head(self, backend: Http2Backend) -> None:
        with router_to(backend, max_response_head=5000, max_response_headers=10) as router:
            client = router.ask()
            peer = backend.accept_http2()
            stream, _ = peer.read_request()
            peer.answer(stream, b"", (b"x", b"y" * 6000))
            assert client.read_response().status == 502
            assert router.wait_for_event("backend-endpoint-failed")["error"] == (
                "http2: response header list larger than advertised limit"
            )
            client = router.ask()
            stream, _ = peer.read_request()
            peer.answer(stream, b"", *[(b"x", b"y")] * 20)
            assert client.read_response().status == 502
            assert router.wait_for_event("backend-too-many-response-headers")


class TestLargeBodies:
    def test_both_ways(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.connect()
        client.send(request(b"Content-Length: %d" % len(LARGE), start_line=POST))
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        sender = threading.Thread(target=client.send, args=(LARGE,))
        sender.start()
        assert peer.read_body(stream) == LARGE
        sender.join()
        peer.send_head(stream, (b"content-length", b"%d" % len(LARGE)))
        receiver = threading.Thread(target=peer.send_data, args=(stream, LARGE), kwargs={"is_last": True})
        receiver.start()
        assert client.read_response().body == LARGE
        receiver.join()
