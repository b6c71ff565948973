"""Calls of gRPC through the router, by grpcio on both sides, and errors of the router's own (docs/grpc.md)."""

import datetime
import ssl
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from h2.errors import ErrorCodes

import gorouter_signature
from fastrouter._core import Endpoint, RouteServices
from fastrouter.route_services.signature import RouteServiceSigner, derive_key
from fastrouter.tls.backends import backend_context

from .byte_stream import PATIENCE
from .grpc_service import GrpcChannel, GrpcService
from .http2_backend import H2cBackend, Http2Backend
from .http2_client import Answer, Http2Client, get
from .in_process import HOST
from .issuer import Issuer
from .raw_backend import ClosedPort, FullBacklog, RawBackend
from .tls_backend import SAN, Authority, TlsBackend
from .tls_front import FrontRouter, TlsClient, client_context, server_tls

Start = Callable[..., FrontRouter]
GRPC = (b"content-type", b"application/grpc")
TRAILERS = (b"te", b"trailers")
THEIRS = Authority()
NOW = datetime.datetime.now(datetime.UTC)


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
        routers.append(FrontRouter(*endpoints, tls=tls, **{**contexts, **settings}))
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

    def test_both_sides_send_for_long(self, channel: GrpcChannel, router: FrontRouter) -> None:
        """Many thousand messages each way, on one stream that neither side waits on."""
        count = 5_000
        sent = threading.Semaphore(0)

        def messages() -> Iterator[bytes]:
            for number in range(count):
                sent.release()
                yield b"message %d" % number

        answers = channel.both()(messages())
        for number, answer in enumerate(answers):
            assert answer == b"MESSAGE %d" % number
        assert number == count - 1
        assert answers.code() == grpc.StatusCode.OK
        # The same call, from its first byte to its last.
        assert len(router.log_lines()) <= 1
        assert '"POST /test.Echo/Both HTTP/2.0" 200 ' in router.wait_for_log_line()

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


class TestTheTable:
    """Each row of docs/grpc.md that has no test above."""

    def status(
        self,
        router: FrontRouter,
        issuer: Issuer,
        *fields: tuple[bytes, bytes],
        act: Callable[[], object] = lambda: None,
    ) -> tuple[bytes, bytes]:
        """`grpc-status` and router error of a call; `act` is the backend's part in it."""
        context = client_context(issuer, protocols=("h2",))
        with Http2Client(TlsClient(router.port, context)) as client:
            number = client.send_request(
                get(b"/test.Echo/Unary", GRPC, TRAILERS, *fields, method=b"POST"), b"\0\0\0\0\3abc"
            )
            act()
            answer = client.answer(number)
        assert (answer.status, bytes(answer.body)) == (200, b"")
        return answer.value(b"grpc-status"), dict(answer.fields).get(b"x-cf-routererror", b"")

    @pytest.mark.parametrize(
        ("instance", "error"),
        [
            (b"none", b"invalid_cf_app_instance_header"),
            (b"00000000-0000-0000-0000-000000000000:0", b"unknown_route"),
        ],
    )
    def test_an_instance(
        self, instance: bytes, error: bytes, start: Start, issuer: Issuer, closed_port: ClosedPort
    ) -> None:
        """400."""
        router = start(Endpoint("127.0.0.1", int(closed_port.address.rpartition(":")[2]), protocol="h2c"))
        assert self.status(router, issuer, (b"x-cf-app-instance", instance)) == (b"13", error)

    @pytest.mark.parametrize(
        ("key", "at", "status", "error"),
        [
            ("another", NOW, b"13", b"invalid_route_service_signature"),
            ("rs-secret", NOW - datetime.timedelta(hours=1), b"4", b"expired_route_service_signature"),
        ],
    )
    def test_signatures(
        self,
        *,
        key: str,
        at: datetime.datetime,
        status: bytes,
        error: bytes,
        start: Start,
        issuer: Issuer,
        closed_port: ClosedPort,
    ) -> None:
        """400 and 504."""
        services = RouteServices(RouteServiceSigner(derive_key("rs-secret"), b"", lifetime=60.0), is_strict=True)
        router = start(Endpoint("127.0.0.1", int(closed_port.address.rpartition(":")[2])), route_services=services)
        signature, metadata = gorouter_signature.sign(derive_key(key), f"http://{HOST}/", at=at)
        signed = ((b"x-cf-proxy-signature", signature), (b"x-cf-proxy-metadata", metadata))
        assert self.status(router, issuer, *signed) == (status, error)

    def test_a_route_service_that_is_none(self, start: Start, issuer: Issuer, closed_port: ClosedPort) -> None:
        """502 where there are no route services, 500 where this one cannot be visited."""
        endpoint = Endpoint("127.0.0.1", int(closed_port.address.rpartition(":")[2]))
        for signer, expected in (
            (None, (b"14", b"route_service_unsupported")),
            (RouteServiceSigner(derive_key("rs-secret"), b"", lifetime=60.0), (b"13", b"")),
        ):
            router = start(endpoint, route_services=RouteServices(signer))
            router.call(lambda router=router: router.table.set_route(HOST, route_service_url="ftp://service.test"))
            assert self.status(router, issuer) == expected

    def test_an_app_whose_identity_is_wrong(self, start: Start, issuer: Issuer) -> None:
        """503 and 526; and 503 of another kind when no endpoint is left."""
        for authority, san in ((Authority(), SAN), (THEIRS, "another.internal")):
            with Http2Backend(authority) as backend:
                tls = backend_context(ca_certs=[THEIRS.pem], protocols=("h2", "http/1.1"))
                router = start(backend.endpoint(san), backend_http2_tls=tls, empty_pool_503=True)
                status, error = self.status(router, issuer, act=backend.refuse)
                assert (status, error[:16]) == (b"14", b"endpoint_failure")
                assert self.status(router, issuer) == (b"14", b"no_endpoints")

    def test_an_app_that_wants_another_client(self, start: Start, issuer: Issuer) -> None:
        """496."""
        context = THEIRS.server(version=ssl.TLSVersion.TLSv1_2, client_authority=THEIRS)
        with TlsBackend(context) as backend:
            tls = backend_context(ca_certs=[THEIRS.pem], protocols=("h2", "http/1.1"))
            router = start(backend.endpoint(protocol="http2"), backend_http2_tls=tls)
            status, error = self.status(router, issuer, act=backend.refuse)
        assert status == b"14"
        assert error.startswith(b"endpoint_failure (remote error: tls: ")

    @pytest.mark.parametrize("act", ["leaves", "resets", "answers nonsense"])
    def test_an_app_that_breaks_off(self, act: str, start: Start, issuer: Issuer) -> None:
        """502."""
        with H2cBackend() as backend:

            def break_off() -> None:
                peer = backend.accept_http2(validates=False)
                stream, _ = peer.read_request()
                if act == "leaves":
                    peer.stream.close()
                elif act == "resets":
                    peer.reset(stream, ErrorCodes.INTERNAL_ERROR)
                else:
                    peer.send_head(stream, (b"connection", b"close"))

            status, error = self.status(start(backend.endpoint()), issuer, act=break_off)
        assert (status, error[:16]) == (b"14", b"endpoint_failure")
