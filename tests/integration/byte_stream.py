"""A connected socket read byte by byte with a deadline, the base of both the raw client and the raw backend.

No HTTP library is used on purpose: a library would repair, merge or refuse exactly the bytes these tests are about.
"""

import contextlib
import select
import socket
import struct

from .closable import Closable

PATIENCE = 60.0
"""Seconds any single wait may take. Only a failing test ever waits that long, however busy the machine is."""


class ByteStream(Closable):
    """One TCP connection with a read buffer; `received` keeps every byte that ever arrived."""

    def __init__(self, sock: socket.socket, patience: float = PATIENCE) -> None:
        sock.settimeout(patience)
        # Tests send messages in pieces: each piece must leave at once.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.patience = patience
        self.received = bytearray()
        self._taken = 0
        self._ended = False

    @property
    def local_port(self) -> int:
        port: int = self.socket.getsockname()[1]
        return port

    @property
    def pending(self) -> bytes:
        """Bytes that arrived and were not consumed yet (without looking at the socket)."""
        return bytes(self.received[self._taken :])

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_split(self, data: bytes, size: int = 1) -> None:
        """Send in pieces of `size` bytes, each its own segment."""
        for start in range(0, len(data), size):
            self.socket.sendall(data[start : start + size])

    def send_until_blocked(self, data: bytes, quiet: float = 0.5) -> int:
        """Send as much of `data` as the peer takes; stop when it took nothing for `quiet` seconds; return the count."""
        sent = 0
        view = memoryview(data)
        self.socket.setblocking(False)
        try:
            while sent < len(data):
                if not select.select([], [self.socket], [], quiet)[1]:
                    break
                sent += self.socket.send(view[sent : sent + 65536])
        finally:
            self.socket.settimeout(self.patience)
        return sent

    def _fill(self, timeout: float | None = None) -> bool:
        """Receive once; False at the end of the stream. A reset raises ConnectionResetError."""
        if self._ended:
            return False
        self.socket.settimeout(self.patience if timeout is None else timeout)
        try:
            data = self.socket.recv(262144)
        finally:
            self.socket.settimeout(self.patience)
        if not data:
            self._ended = True
            return False
        self.received += data
        return True

    def _take(self, count: int) -> bytes:
        data = bytes(self.received[self._taken : self._taken + count])
        self._taken += count
        return data

    def forget(self) -> None:
        """Drop what was consumed from `received`, where a test moves more than it wants to keep."""
        del self.received[: self._taken]
        self._taken = 0

    def read_until(self, delimiter: bytes) -> bytes:
        """Everything up to and with `delimiter`."""
        search_from = self._taken
        while (found := self.received.find(delimiter, search_from)) < 0:
            search_from = max(self._taken, len(self.received) - len(delimiter) + 1)
            if not self._fill():
                raise EOFError(f"connection ended before {delimiter!r}; got {self.pending!r}")
        return self._take(found + len(delimiter) - self._taken)

    def read_exactly(self, count: int) -> bytes:
        while len(self.received) - self._taken < count:
            if not self._fill():
                raise EOFError(f"connection ended where {count} bytes were expected; got {self.pending[:200]!r}")
        return self._take(count)

    def read_some(self) -> bytes:
        """Whatever is there, or comes next; the end is an EOFError."""
        if self._taken == len(self.received) and not self._fill():
            raise EOFError("connection ended")
        return self._take(len(self.received) - self._taken)

    def read_to_end(self) -> bytes:
        while self._fill():
            pass
        return self._take(len(self.received) - self._taken)

    def wait_closed(self) -> bytes:
        """Wait until the peer has ended the connection, orderly or by a reset; return what came before that."""
        with contextlib.suppress(ConnectionError):
            while self._fill():
                pass
        return self._take(len(self.received) - self._taken)

    def expect_end(self) -> None:
        """Check that the peer closes, and says nothing more before."""
        rest = self.wait_closed()
        assert rest == b"", f"unexpected bytes before the end: {rest[:500]!r}"

    def is_silent(self, seconds: float = 0.0) -> bool:
        """Tell whether neither a byte nor the end arrives within `seconds`; 0 looks only at what is there now."""
        if self.pending or self._ended:
            return False
        return not select.select([self.socket], [], [], seconds)[0]

    def half_close(self) -> None:
        """Say that nothing more will be sent (FIN), and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()
