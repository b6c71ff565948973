"""Backends on raw sockets: one that the test drives step by step, one that serves by itself, and two that cannot serve.

A driven backend needs no thread: the kernel completes the router's connect, and the test accepts it when it gets there.
"""

import contextlib
import errno
import select
import socket
import threading
from collections.abc import Callable

from .byte_stream import PATIENCE, ByteStream
from .closable import Closable
from .http_message import Request, response_with


class BackendStream(ByteStream):
    """One connection from the router."""

    def read_request(self) -> Request:
        return Request.read(self)

    def read_request_head(self) -> Request:
        return Request.read_head(self)


class RawBackend(Closable):
    """A listening socket whose connections the test accepts, reads and answers itself."""

    def __init__(self, *, receive_buffer: int | None = None) -> None:
        self._listener = socket.socket()
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(512)
        self._listener.settimeout(PATIENCE)
        self._accepted: list[BackendStream] = []

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def accept(self) -> BackendStream:
        """Wait for the router's next new connection."""
        sock, _ = self._listener.accept()
        stream = BackendStream(sock)
        self._accepted.append(stream)
        return stream

    def accept_request(self) -> tuple[BackendStream, Request]:
        """Wait for a new connection and read the first whole request from it."""
        stream = self.accept()
        return stream, stream.read_request()

    def has_pending_connection(self, seconds: float = 0.0) -> bool:
        """Whether the router has opened (or opens within `seconds`) a connection that was not accepted yet."""
        return bool(select.select([self._listener], [], [], seconds)[0])

    def close(self) -> None:
        self._listener.close()
        for stream in self._accepted:
            stream.close()


class ServingBackend(Closable):
    """Serves every connection in a thread of its own with `handler(stream)`, until the router closes it.

    `handler` is called again for each request; it returns False (or raises a connection error) to end the connection.
    `backend` is where connections come from, if that is to be a special one.
    """

    def __init__(self, handler: Callable[[BackendStream], bool | None], backend: RawBackend | None = None) -> None:
        self._handler = handler
        self._backend = backend or RawBackend()
        self._streams: list[BackendStream] = []
        self._threads: list[threading.Thread] = []
        self.errors: list[Exception] = []
        self._closing = False
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def port(self) -> int:
        return self._backend.port

    @property
    def address(self) -> str:
        return self._backend.address

    @property
    def connection_count(self) -> int:
        """How many connections the router has opened so far."""
        return len(self._streams)

    def _accept(self) -> None:
        while not self._closing:
            try:
                stream = self._backend.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            # A kept connection may idle for as long as the test takes.
            stream.patience = 60.0
            self._streams.append(stream)
            thread = threading.Thread(target=self._serve, args=(stream,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, stream: BackendStream) -> None:
        try:
            while self._handler(stream) is not False:
                pass
        except (EOFError, OSError):
            pass
        except Exception as error:
            self.errors.append(error)
        finally:
            stream.close()

    def close(self) -> None:
        self._closing = True
        # shutdown wakes the threads that are blocked in accept and recv; close alone would leave them there.
        with contextlib.suppress(OSError):
            self._backend._listener.shutdown(socket.SHUT_RDWR)
        for stream in self._streams:
            with contextlib.suppress(OSError):
                stream.socket.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        self._backend.close()


class AnsweringBackend(ServingBackend):
    """Answers every request with 200 and `body`; `requests` are those that it has got."""

    def __init__(self, body: bytes = b"ok") -> None:
        self.requests: list[Request] = []
        self._body = body
        super().__init__(self._answer)

    def _answer(self, stream: BackendStream) -> None:
        self.requests.append(stream.read_request())
        stream.send(response_with(self._body))


class ClosedPort:
    """A port that no other process can take and that refuses every connection: bound, never listening."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        self._socket.close()


class ReservedPort(Closable):
    """A port that the system does not give out as a free one, but where a server can listen by its number.

    Linux lets two sockets have one address if both set SO_REUSEADDR, as servers do, and only one of them listens.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


class FullBacklog:
    """A port that neither accepts nor refuses: its accept queue is full, so that a further SYN is never answered."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self._fillers: list[socket.socket] = []
        while self._fill():
            pass

    def _fill(self) -> bool:
        """Connect once more; False when the queue took no more."""
        filler = socket.socket()
        self._fillers.append(filler)
        filler.setblocking(False)
        code = filler.connect_ex(self._listener.getsockname())
        assert code in (0, errno.EINPROGRESS), code
        return bool(select.select([], [filler], [], 0.1)[1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        for filler in self._fillers:
            filler.close()
        self._listener.close()
