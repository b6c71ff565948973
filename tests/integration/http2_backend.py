"""Backends that speak HTTP/2 through the library h2: one that the test drives, and one that serves by itself."""

from collections.abc import Callable

from h2.settings import SettingCodes

from .byte_stream import ByteStream
from .http2_frames import Fields
from .http2_peer import Http2Message, Http2Peer
from .raw_backend import BackendStream, RawBackend, ServingBackend


class Http2BackendConnection(Http2Peer):
    """One connection from the router: what a RawBackend (h2c) or a TlsBackend with ALPN `h2` has accepted."""

    def __init__(
        self, stream: ByteStream, *, settings: dict[SettingCodes, int] | None = None, returns_credit: bool = True
    ) -> None:
        super().__init__(stream, is_client=False, settings=settings, returns_credit=returns_credit)

    def accept(self) -> int:
        """Wait for the next request's head; gives the number of its stream."""
        self.wait_for(lambda: self.opened, "a request")
        return self.opened.pop(0)

    def accept_request(self) -> tuple[int, Http2Message]:
        """Wait for the next request's head, then for the rest of it."""
        stream = self.accept()
        return stream, self.read_message(stream)

    def respond(
        self,
        stream: int,
        *fields: tuple[bytes, bytes],
        status: int = 200,
        body: bytes = b"",
        trailers: Fields | None = None,
    ) -> None:
        """Send a whole response; with trailers and without body it is trailers only after a head."""
        self.send_headers(stream, [(b":status", b"%d" % status), *fields], ends=not body and trailers is None)
        if body:
            self.send_data(stream, body, ends=trailers is None)
        if trailers is not None:
            self.send_headers(stream, trailers, ends=True)


class Http2Backend(ServingBackend):
    """Answers every request, when it is complete, with `handler(connection, stream)`; without one with 200 and `ok`.

    `requests` are those that it has got; `settings` are what it announces.
    """

    def __init__(
        self,
        handler: Callable[[Http2BackendConnection, int], None] | None = None,
        backend: RawBackend | None = None,
        settings: dict[SettingCodes, int] | None = None,
    ) -> None:
        self.requests: list[Http2Message] = []
        self.connections: list[Http2BackendConnection] = []
        self._respond = handler or (lambda connection, stream: connection.respond(stream, body=b"ok"))
        self._settings = settings
        super().__init__(self._serve_connection, backend)

    def _serve_connection(self, stream: BackendStream) -> bool:
        connection = Http2BackendConnection(stream, settings=self._settings)
        self.connections.append(connection)
        while True:
            number, request = connection.accept_request()
            if request.reset_code is None:
                self.requests.append(request)
                self._respond(connection, number)
