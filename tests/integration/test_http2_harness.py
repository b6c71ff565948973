"""Frames of HTTP/2 and peers of gRPC by themselves, without a router: they must not be what is wrong."""

from queue import SimpleQueue

import grpc
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    PingReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamReset,
    WindowUpdated,
)

from . import http2_frames as frames
from .grpc_service import GrpcChannel, GrpcService
from .http2_frames import Code, Flag, Frame, Kind, Setting
from .in_process import HOST
from .issuer import Issuer
from .raw_backend import RawBackend
from .raw_client import RawClient


def test_frames_are_what_the_library_reads() -> None:
    connection = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"x"), (b":path", b"/")]
    sent = (
        frames.PREFACE
        + frames.settings((Setting.INITIAL_WINDOW_SIZE, 5))
        + frames.headers(1, fields, ends=False)
        + frames.data(1, b"abc")
        + frames.window_update(1, 7)
        + frames.ping(b"12345678")
        + frames.reset(1, Code.CANCEL)
    )
    settings, request, data, window, ping, reset = connection.receive_data(sent)
    assert isinstance(settings, RemoteSettingsChanged)
    assert isinstance(request, RequestReceived)
    assert request.headers == fields
    assert isinstance(data, DataReceived)
    assert data.data == b"abc"
    assert isinstance(window, WindowUpdated)
    assert window.delta == 7
    assert isinstance(ping, PingReceived)
    assert isinstance(reset, StreamReset)
    assert reset.error_code == Code.CANCEL


def test_frames_are_read_back() -> None:
    with RawBackend() as backend, RawClient(backend.port) as writer:
        reader = backend.accept()
        writer.send_split(frames.data(3, b"abc", ends=True) + frames.reset(3, Code.CANCEL))
        assert Frame.read(reader) == Frame(Kind.DATA, Flag.END_STREAM, 3, b"abc")
        assert Frame.read(reader).code == Code.CANCEL


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
