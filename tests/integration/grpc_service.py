"""A gRPC service with all four types of calls, and channels to it, with grpcio; messages are plain bytes."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from .byte_stream import PATIENCE
from .closable import Closable
from .in_process import HOST
from .issuer import Issuer, Pair

Metadata = Sequence[tuple[str, str | bytes]]


class GrpcService(Closable):
    """`test.Echo`: each of its methods says back what it is told, in upper case; `Fail` ends with a status of its own.

    With `pair` it speaks TLS, else HTTP/2 with prior knowledge. What calls bring is in `metadata` and `deadlines`.
    """

    def __init__(self, pair: Pair | None = None) -> None:
        self.metadata: list[dict[str, str | bytes]] = []
        self.deadlines: list[float | None] = []
        self.waiting = threading.Event()
        self.cancelled = threading.Event()
        self.is_secure = pair is not None
        self._release = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Unary": grpc.unary_unary_rpc_method_handler(self._unary),
            "ServerStream": grpc.unary_stream_rpc_method_handler(self._server_stream),
            "ClientStream": grpc.stream_unary_rpc_method_handler(self._client_stream),
            "Both": grpc.stream_stream_rpc_method_handler(self._both),
            "Fail": grpc.unary_unary_rpc_method_handler(self._fail),
            "Wait": grpc.unary_unary_rpc_method_handler(self._wait),
        }
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", methods)])
        if pair is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            credentials = grpc.ssl_server_credentials([(pair.key.encode(), pair.chain.encode())])
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        self._release.set()
        self._server.stop(None).wait(PATIENCE)

    def _note(self, context: grpc.ServicerContext) -> None:
        self.metadata.append(dict(context.invocation_metadata()))
        self.deadlines.append(context.time_remaining())
        context.send_initial_metadata((("first", "1"), ("first-bin", b"\x00\xff")))
        context.set_trailing_metadata((("last", "2"), ("last-bin", b"\xfe\x00")))

    def _unary(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        self._note(context)
        return message.upper()

    def _server_stream(self, message: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        self._note(context)
        for at in range(len(message)):
            yield message[at : at + 1].upper()

    def _client_stream(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._note(context)
        return b"".join(messages).upper()

    def _both(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._note(context)
        for message in messages:
            yield message.upper()

    def _fail(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        """No message, so this is a response of trailers only."""
        context.set_trailing_metadata((("last", "2"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, message.decode())

    def _wait(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        """Answer when the service ends, or never."""
        context.add_callback(self.cancelled.set)
        self.waiting.set()
        self.deadlines.append(context.time_remaining())
        self._release.wait(PATIENCE)
        return message


class GrpcChannel(Closable):
    """A channel to `test.Echo` at a port, be it the service's own or the router's; with `issuer` over TLS."""

    def __init__(self, port: int, issuer: Issuer | None = None, host: str = HOST) -> None:
        options: list[tuple[str, Any]] = [("grpc.default_authority", host), ("grpc.enable_http_proxy", 0)]
        target = f"127.0.0.1:{port}"
        if issuer is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            options.append(("grpc.ssl_target_name_override", host))
            credentials = grpc.ssl_channel_credentials(issuer.pem.encode())
            self._channel = grpc.secure_channel(target, credentials, options)

    def unary(self, method: str = "Unary") -> "grpc.UnaryUnaryMultiCallable[bytes, bytes]":
        return self._channel.unary_unary(f"/test.Echo/{method}")

    def server_stream(self) -> "grpc.UnaryStreamMultiCallable[bytes, bytes]":
        return self._channel.unary_stream("/test.Echo/ServerStream")

    def client_stream(self) -> "grpc.StreamUnaryMultiCallable[bytes, bytes]":
        return self._channel.stream_unary("/test.Echo/ClientStream")

    def both(self) -> "grpc.StreamStreamMultiCallable[bytes, bytes]":
        return self._channel.stream_stream("/test.Echo/Both")

    def close(self) -> None:
        self._channel.close()
