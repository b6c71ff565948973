"""HTTP/2 towards backends (K06): streams, pools, flow control and failures, with h2 as the backend, over real TLS."""

from collections.abc import Iterator

import pytest

from fastrouter.tls.backends import backend_context

from .http2_backend import H2cBackend, Http2Backend
from .http_message import chunked, response_with
from .in_process import HOST, InProcessRouter
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
