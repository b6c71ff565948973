"""The peers that speak HTTP/2 and gRPC against each other, without a router: they must not be what is wrong."""

import ssl
from queue import SimpleQueue

import grpc
from h2.settings import SettingCodes

from . import http2_frames as frames
from .grpc_service import GrpcChannel, GrpcService
from .http2_backend import Http2Backend, Http2BackendConnection
from .http2_client import Http2Client
from .http2_frames import Code, Flag, Frame, Kind
from .in_process import HOST
from .issuer import Issuer
from .raw_backend import RawBackend
from .raw_client import RawClient
from .tls_backend import TlsBackend, server_side
from .tls_front import TlsClient, client_context


def test_an_exchange_with_interims_and_trailers() -> None:
    with RawBackend() as backend, Http2Client(RawClient(backend.port)) as client:
        connection = Http2BackendConnection(backend.accept())
        number = client.open((b"x-one", b"1"), method=b"POST", ends=False)
        assert connection.accept() == number
        connection.send_headers(number, [(b":status", b"103"), (b"link", b"</a>")])
        client.send_data(number, b"abc")
        assert connection.read_body(number, 3) == b"abc"
        client.send_headers(number, [(b"x-sum", b"3")], ends=True)
        assert connection.read_message(number).trailers == [(b"x-sum", b"3")]
        connection.respond(number, (b"x-two", b"2"), body=b"hello", trailers=[(b"x-sum", b"5")])
        response = client.read_message(number)
        assert (response.status, bytes(response.body), response.trailers) == (200, b"hello", [(b"x-sum", b"5")])
        assert response.value(b"x-two") == b"2"
        assert response.interims == [[(b":status", b"103"), (b"link", b"</a>")]]


def test_a_body_waits_for_windows() -> None:
    body = bytes(range(256)) * 1000
    settings = {SettingCodes.INITIAL_WINDOW_SIZE: 1000}
    with (
        Http2Backend(lambda connection, number: connection.respond(number, body=body), settings=settings) as backend,
        Http2Client(RawClient(backend.port), settings=settings) as client,
    ):
        client.read_settings()
        response = client.ask(method=b"POST", body=body)
        assert bytes(response.body) == bytes(backend.requests[0].body) == body


def test_resets_and_goaway_are_seen() -> None:
    with RawBackend() as backend, Http2Client(RawClient(backend.port)) as client:
        connection = Http2BackendConnection(backend.accept())
        first, second = client.open(ends=False), client.open(ends=False)
        client.reset(first, Code.CANCEL)
        assert connection.read_reset(first) == Code.CANCEL
        connection.reset(second, Code.REFUSED_STREAM)
        assert client.read_reset(second) == Code.REFUSED_STREAM
        connection.send_goaway(Code.ENHANCE_YOUR_CALM, first)
        assert client.read_goaway() == Code.ENHANCE_YOUR_CALM
        assert client.last_streams == [first]


def test_raw_frames_are_read_by_the_library() -> None:
    with Http2Backend() as backend, RawClient(backend.port) as client:
        fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/")]
        client.send(frames.PREFACE + frames.settings() + frames.settings_ack() + frames.headers(1, fields))
        while (frame := Frame.read(client)).kind != Kind.HEADERS:
            pass
        assert frame.stream == 1
        assert Frame.read(client) == Frame(Kind.DATA, Flag.END_STREAM, 1, b"ok")
        assert backend.requests[0].fields == fields


def test_tls_with_alpn(issuer: Issuer) -> None:
    context = server_side(issuer.pair(HOST), ssl.TLSVersion.TLSv1_3)
    context.set_alpn_protocols(["h2"])
    with (
        Http2Backend(backend=TlsBackend(context)) as backend,
        Http2Client(TlsClient(backend.port, client_context(issuer, protocols=("h2",)))) as client,
    ):
        assert client.ask().status == 200


def test_all_types_of_calls(issuer: Issuer) -> None:
    for pair in (None, issuer.pair(HOST)):
        with GrpcService(pair) as service, GrpcChannel(service.port, issuer if pair else None) as channel:
            assert channel.unary()(b"abc", metadata=(("x-bin", b"\x00\xff"),)) == b"ABC"
            assert service.metadata[0]["x-bin"] == b"\x00\xff"
            assert list(channel.server_stream()(b"abc")) == [b"A", b"B", b"C"]
            assert channel.client_stream()(iter([b"a", b"b"])) == b"AB"
            messages: SimpleQueue[bytes | None] = SimpleQueue()
            answers = channel.both()(iter(messages.get, None))
            for message in (b"one", b"two"):
                messages.put(message)
                assert next(answers) == message.upper()
            messages.put(None)
            assert list(answers) == []


def test_a_call_that_fails() -> None:
    with GrpcService() as service, GrpcChannel(service.port) as channel:
        call = channel.unary("Fail").future(b"not now")
        error = call.exception()
        assert isinstance(error, grpc.RpcError)
        assert (call.code(), call.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "not now")
        assert dict(call.trailing_metadata())["last"] == "2"


def test_a_deadline_ends_a_call() -> None:
    with GrpcService() as service, GrpcChannel(service.port) as channel:
        call = channel.unary("Wait").future(b"", timeout=0.2)
        call.exception()
        assert call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert service.cancelled.wait(60)
