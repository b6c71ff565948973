"""Calls of gRPC through the router, by grpcio on both sides, and errors of the router's own (docs/grpc.md)."""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import grpc
import pytest

from fastrouter._core import Endpoint
from fastrouter.tls.backends import backend_context

from .byte_stream import PATIENCE
from .grpc_service import GrpcChannel, GrpcService
from .http2_client import Answer, Http2Client, get
from .in_process import HOST
from .issuer import Issuer
from .raw_backend import ClosedPort, FullBacklog, RawBackend
from .tls_front import FrontRouter, TlsClient, client_context, server_tls

Start = Callable[..., FrontRouter]
GRPC = (b"content-type", b"application/grpc")
TRAILERS = (b"te", b"trailers")


@pytest.fixture
def start(issuer: Issuer) -> Iterator[Start]:
    """Starts a router with HTTP/2 to clients over TLS, and to backends."""
    routers: list[FrontRouter] = []
    contexts: dict[str, Any] = {
        "backend_tls": backend_context(ca_certs=[issuer.pem]),
        "backend_http2_tls": backend_context(ca_certs=[issuer.pem], protocols=("h2", "http/1.1")),
    }

    def start(*endpoints: Endpoint, **settings: Any) -> FrontRouter:
        tls = server_tls(issuer.pair(HOST), protocols=("h2", "http/1.1"))
        routers.append(FrontRouter(*endpoints, tls=tls, **contexts, **settings))
        return routers[-1]

    yield start
    for router in routers:
        with router:
            pass


@pytest.fixture(params=["h2c", "http2"])
def service(request: pytest.FixtureRequest, issuer: Issuer) -> Iterator[GrpcService]:
    """In the clear, and over TLS."""
    with GrpcService(issuer.pair("127.0.0.1") if request.param == "http2" else None) as service:
        yield service


@pytest.fixture
def router(service: GrpcService, start: Start) -> FrontRouter:
    return start(endpoint_of(service))


@pytest.fixture
def channel(router: FrontRouter, issuer: Issuer) -> Iterator[GrpcChannel]:
    with GrpcChannel(router.port, issuer) as channel:
        yield channel


def endpoint_of(service: GrpcService, **attributes: Any) -> Endpoint:
    if service.is_secure:
        return Endpoint(
            "127.0.0.1", service.port, tls=True, protocol="http2", server_cert_domain_san="127.0.0.1", **attributes
        )
    return Endpoint("127.0.0.1", service.port, protocol="h2c", **attributes)


def text_of(metadata: Any) -> dict[str, str | bytes]:
    return dict(metadata)


class TestCalls:
    def test_one_message_each_way(self, channel: GrpcChannel, router: FrontRouter) -> None:
        assert channel.unary()(b"abc") == b"ABC"
        assert '"POST /test.Echo/Unary HTTP/2.0" 200 8 8 ' in router.wait_for_log_line()

    def test_many_messages_down(self, channel: GrpcChannel) -> None:
        assert list(channel.server_stream()(b"abcdef")) == [b"A", b"B", b"C", b"D", b"E", b"F"]

    def test_many_messages_up(self, channel: GrpcChannel) -> None:
        assert channel.client_stream()(iter([b"ab", b"", b"cd"])) == b"ABCD"

    def test_messages_both_ways_in_turn(self, channel: GrpcChannel) -> None:
        """Each answer comes before the next message is there."""
        messages: SimpleQueue[bytes | None] = SimpleQueue()
        answers = channel.both()(iter(messages.get, None))
        for number in range(500):
            messages.put(b"message %d" % number)
            assert next(answers) == b"MESSAGE %d" % number
        messages.put(None)
        assert list(answers) == []
        assert answers.code() == grpc.StatusCode.OK

    def test_both_sides_send_at_once(self, channel: GrpcChannel) -> None:
        sent = [bytes([65 + number % 26]) * 30_000 for number in range(400)]
        assert list(channel.both()(iter(sent))) == sent

    def test_large_messages(self, channel: GrpcChannel) -> None:
        message = b"X" * 3_000_000
        assert channel.unary()(message) == message

    def test_calls_beside_each_other(self, channel: GrpcChannel) -> None:
        calls = [channel.unary().future(b"%d" % number) for number in range(300)]
        assert [call.result(PATIENCE) for call in calls] == [b"%d" % number for number in range(300)]

    def test_metadata_both_ways(self, channel: GrpcChannel, service: GrpcService) -> None:
        binary = bytes(range(256))
        response, call = channel.unary().with_call(b"", metadata=(("x-text", "a b"), ("x-bytes-bin", binary)))
        assert response == b""
        assert service.metadata[0]["x-text"] == "a b"
        assert service.metadata[0]["x-bytes-bin"] == binary
        first, last = text_of(call.initial_metadata()), text_of(call.trailing_metadata())
        assert (first["first"], first["first-bin"]) == ("1", b"\0\xff")
        assert (last["last"], last["last-bin"]) == ("2", b"\xfe\0")

    def test_an_error_of_the_app(self, channel: GrpcChannel, router: FrontRouter) -> None:
        """Trailers only, as the service has sent them."""
        call = channel.unary("Fail").future(b"not now: 100 %")
        call.exception(PATIENCE)
        assert (call.code(), call.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not now: 100 %")
        assert text_of(call.trailing_metadata())["last"] == "2"
        assert '"POST /test.Echo/Fail HTTP/2.0" 200 ' in router.wait_for_log_line()

    def test_a_deadline(self, channel: GrpcChannel, service: GrpcService) -> None:
        """The service knows of it, and of its end."""
        call = channel.unary("Wait").future(b"", timeout=0.3)
        call.exception(PATIENCE)
        assert call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert service.cancelled.wait(PATIENCE)
        assert service.deadlines[0] is not None
        assert service.deadlines[0] <= 0.3

    def test_a_call_that_is_cancelled(self, channel: GrpcChannel, service: GrpcService) -> None:
        call = channel.unary("Wait").future(b"")
        assert service.waiting.wait(PATIENCE)
        call.cancel()
        assert service.cancelled.wait(PATIENCE)

    def test_a_stream_that_is_cancelled_in_the_middle(self, channel: GrpcChannel) -> None:
        never = threading.Event()
        messages = iter([b"a"])

        def endless() -> Iterator[bytes]:
            yield from messages
            never.wait(PATIENCE)

        answers = channel.both()(endless())
        assert next(answers) == b"A"
        answers.cancel()
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        assert caught.value.code() == grpc.StatusCode.CANCELLED
        never.set()
        assert channel.unary()(b"on") == b"ON"


class TestErrorsOfTheRouter:
    """Each as grpcio takes it, and as it is on the wire."""

    def code_of(self, router: FrontRouter, issuer: Issuer, host: str = HOST) -> tuple[grpc.StatusCode, str]:
        with GrpcChannel(router.port, issuer, host) as channel:
            call = channel.unary().future(b"abc")
            call.exception(PATIENCE)
            return call.code(), call.details()

    def answer(
        self, router: FrontRouter, issuer: Issuer, *fields: tuple[bytes, bytes], host: bytes = HOST.encode()
    ) -> Answer:
        context = client_context(issuer, protocols=("h2",))
        with Http2Client(TlsClient(router.port, context)) as client:
            call = get(b"/test.Echo/Unary", *(fields or (GRPC, TRAILERS)), method=b"POST", host=host)
            return client.ask(call, b"\0\0\0\0\3abc")

    def test_unknown_route(self, start: Start, issuer: Issuer) -> None:
        router = start()
        code, details = self.code_of(router, issuer)
        assert code == grpc.StatusCode.UNIMPLEMENTED
        assert details == "404 Not Found: Requested route ('app.test') does not exist."
        line = router.wait_for_log_line()
        assert '"POST /test.Echo/Unary HTTP/2.0" 404 ' in line
        assert 'x_cf_routererror:"unknown_route"' in line

    def test_on_the_wire(self, start: Start, issuer: Issuer) -> None:
        answer = self.answer(start(), issuer, host=b"100%25.test")
        fields = dict(answer.fields)
        assert fields.pop(b"date")
        assert fields.pop(b"cache-control") == b"no-cache, no-store"
        fields.pop(b"content-length", None)
        assert fields == {
            b":status": b"200",
            b"content-type": b"application/grpc",
            b"grpc-status": b"12",
            b"grpc-message": b"404 Not Found: Requested route ('100%2525.test') does not exist.",
            b"x-cf-routererror": b"unknown_route",
        }
        assert (bytes(answer.body), answer.trailers) == (b"", [])

    @pytest.mark.parametrize("kind", [b"application/grpc+proto", b"application/grpc; x=y", b"Application/GRPC"])
    def test_content_types_of_grpc(self, start: Start, issuer: Issuer, kind: bytes) -> None:
        answer = self.answer(start(), issuer, (b"content-type", kind))
        assert (answer.status, answer.value(b"grpc-status")) == (200, b"12")

    @pytest.mark.parametrize("kind", [b"application/grpc-web", b"application/grpcx", b"text/plain", b"application/gr"])
    def test_other_content_types(self, start: Start, issuer: Issuer, kind: bytes) -> None:
        answer = self.answer(start(), issuer, (b"content-type", kind))
        assert (answer.status, bytes(answer.body)[:4]) == (404, b"404 ")

    def test_http_1_gets_http(self, start: Start, issuer: Issuer) -> None:
        router = start()
        with TlsClient(router.port, client_context(issuer)) as client:
            client.send(
                b"POST / HTTP/1.1\r\nHost: no.test\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n"
            )
            response = client.read_response()
        assert response.status == 404
        assert not response.has(b"Grpc-Status")

    def test_no_connection(self, start: Start, issuer: Issuer, closed_port: ClosedPort) -> None:
        router = start(Endpoint("127.0.0.1", int(closed_port.address.rpartition(":")[2]), protocol="h2c"))
        code, details = self.code_of(router, issuer)
        assert code == grpc.StatusCode.UNAVAILABLE
        assert details == "502 Bad Gateway: Registered endpoint failed to handle the request."
        line = router.wait_for_log_line()
        assert " 502 8 0 " in line
        assert "endpoint_failure (dial tcp " in line

    def test_a_dial_that_takes_too_long(self, start: Start, issuer: Issuer, full_backlog: FullBacklog) -> None:
        port = int(full_backlog.address.rpartition(":")[2])
        router = start(Endpoint("127.0.0.1", port, protocol="h2c"), dial_timeout=0.1)
        assert self.code_of(router, issuer)[0] == grpc.StatusCode.UNAVAILABLE

    def test_an_app_that_takes_too_long(self, start: Start, issuer: Issuer) -> None:
        with GrpcService() as service:
            router = start(endpoint_of(service), endpoint_timeout=0.3, http2_endpoint_timeout=0.3)
            with GrpcChannel(router.port, issuer) as channel:
                call = channel.unary("Wait").future(b"")
                call.exception(PATIENCE)
            assert call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert service.cancelled.wait(PATIENCE)
            assert " 502 " in router.wait_for_log_line()

    def test_no_tls(self, start: Start, issuer: Issuer, backend: RawBackend) -> None:
        """525 in HTTP."""
        router = start(Endpoint("127.0.0.1", backend.port, tls=True, protocol="http2"), max_attempts=1)
        with GrpcChannel(router.port, issuer) as channel:
            call = channel.unary().future(b"abc")
            backend.accept().send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            call.exception(PATIENCE)
        assert call.code() == grpc.StatusCode.UNAVAILABLE

    def test_everybody_is_busy(self, start: Start, issuer: Issuer) -> None:
        with GrpcService() as service:
            router = start(endpoint_of(service), max_conns=1)
            with GrpcChannel(router.port, issuer) as channel:
                first = channel.unary("Wait").future(b"")
                assert service.waiting.wait(PATIENCE)
                second = channel.unary().future(b"")
                second.exception(PATIENCE)
                assert second.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                assert second.details().startswith("503 Service Unavailable: ")
                first.cancel()

    def test_a_head_that_is_too_large(self, start: Start, issuer: Issuer) -> None:
        with GrpcService() as service:
            router = start(endpoint_of(service), max_request_head=1000)
            answer = self.answer(router, issuer, GRPC, TRAILERS, (b"x", b"y" * 2000))
        assert (answer.status, answer.value(b"grpc-status")) == (200, b"8")
        assert answer.value(b"grpc-message") == b"431 Request Header Fields Too Large"
        assert answer.value(b"x-cf-routererror") == b"max-request-size-exceeded"

    def test_an_error_page_is_for_browsers(self, start: Start, issuer: Issuer) -> None:
        router = start(render_error=lambda *_: b"<html>")
        assert self.code_of(router, issuer)[1] == "404 Not Found: Requested route ('app.test') does not exist."

    def test_a_call_that_breaks_off_in_the_middle(self, start: Start, issuer: Issuer) -> None:
        """The head of the response is out, so nothing but a reset can tell."""
        service = GrpcService()
        router = start(endpoint_of(service))
        with GrpcChannel(router.port, issuer) as channel:
            messages: SimpleQueue[bytes | None] = SimpleQueue()
            answers = channel.both()(iter(messages.get, None))
            messages.put(b"a")
            assert next(answers) == b"A"
            service.close()
            with pytest.raises(grpc.RpcError):
                next(answers)
            messages.put(None)
