"""A client that speaks HTTP/2 through the library h2."""

from h2.settings import SettingCodes

from .byte_stream import ByteStream
from .http2_peer import Http2Message, Http2Peer
from .in_process import HOST


class Http2Client(Http2Peer):
    """One client connection, over a RawClient (prior knowledge) or a TlsClient that has agreed on `h2`."""

    def __init__(
        self, stream: ByteStream, *, settings: dict[SettingCodes, int] | None = None, returns_credit: bool = True
    ) -> None:
        super().__init__(stream, is_client=True, settings=settings, returns_credit=returns_credit)

    def open(
        self,
        *fields: tuple[bytes, bytes],
        method: bytes = b"GET",
        path: bytes = b"/",
        host: str = HOST,
        ends: bool = True,
    ) -> int:
        """Begin a request; `fields` follow its pseudo-header fields. Gives the number of its stream."""
        stream = self.connection.get_next_available_stream_id()
        pseudo = [(b":method", method), (b":scheme", b"https"), (b":authority", host.encode()), (b":path", path)]
        self.send_headers(stream, [*pseudo, *fields], ends=ends)
        return stream

    def ask(
        self,
        *fields: tuple[bytes, bytes],
        method: bytes = b"GET",
        path: bytes = b"/",
        host: str = HOST,
        body: bytes = b"",
    ) -> Http2Message:
        """One whole exchange."""
        stream = self.open(*fields, method=method, path=path, host=host, ends=not body)
        if body:
            self.send_data(stream, body, ends=True)
        return self.read_message(stream)
