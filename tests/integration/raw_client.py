"""A client that sends exact bytes and reads exact bytes."""

import socket

from .byte_stream import PATIENCE, ByteStream
from .http_message import Response


class RawClient(ByteStream):
    """One client connection to the router (or, in the harness's own tests, to a raw backend)."""

    def __init__(self, port: int, *, receive_buffer: int | None = None, patience: float = PATIENCE) -> None:
        sock = socket.socket()
        if receive_buffer is not None:
            # Must be set before connecting: it bounds the window that is ever announced.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(patience)
        try:
            sock.connect(("127.0.0.1", port))
        except OSError:
            sock.close()
            raise
        super().__init__(sock, patience)

    def read_response(self, method: bytes = b"GET") -> Response:
        """Read the next message, interim or final, of an exchange whose request had `method`."""
        return Response.read(self, method)

    def read_response_head(self, method: bytes = b"GET") -> Response:
        return Response.read_head(self, method)
