"""A backend that keeps every byte it gets, answers each request that it gets whole, and says so by a number."""

import contextlib
import dataclasses
import select
import socket
import struct
import threading
from collections.abc import Callable
from enum import Enum

from integration.byte_stream import PATIENCE
from integration.closable import Closable
from integration.http_message import Request
from protocol.fake_network import MemorySource

_RESET = struct.pack("ii", 1, 0)


class End(Enum):
    """What becomes of a connection behind an answer."""

    NONE = "it stays"
    FIN = "it is closed"
    RST = "it is reset"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the backend says to one request: `late` when the test says so, behind `said`."""

    said: bytes
    end: End = End.NONE
    late: bytes = b""


@dataclasses.dataclass(eq=False)
class Recorded:
    """One connection of the router: all that came over it, as whole requests and the rest behind them."""

    socket: socket.socket
    received: bytearray = dataclasses.field(default_factory=bytearray)
    requests: list[Request] = dataclasses.field(default_factory=list)
    used: int = 0
    has_continued: bool = False
    has_ended: bool = False
    late: bytes = b""

    @property
    def rest(self) -> bytes:
        return bytes(self.received[self.used :])


class RecordingBackend(Closable):
    """Runs in one thread. `answer(number, request)` makes answers, where `number` counts the requests, from 0 on.

    `errors` has what was no request that a strict reader takes.
    """

    def __init__(self, answer: Callable[[int, Request], Answer]) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.setblocking(False)
        self._waker, self._woken = socket.socketpair()
        self._must_settle = False
        self._changed = threading.Condition()
        self.connections: list[Recorded] = []
        self.requests: list[Request] = []
        self.errors: list[AssertionError] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def speak_late(self) -> None:
        """Say what is to be said late."""
        for one in self.connections:
            with contextlib.suppress(OSError):
                one.socket.sendall(one.late)

    def wait_for_end(self) -> None:
        """Wait until the router has closed the first connection, or has been told of its end."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.connections[0].has_ended, PATIENCE), "the router keeps it"

    def settle(self) -> None:
        """Take the rest of what the router has sent. It must have closed all its connections, or be about to."""
        self._must_settle = True
        self._waker.send(b"x")
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the router has left a connection open"

    def close(self) -> None:
        self._must_settle = True
        for one in self.connections:
            with contextlib.suppress(OSError):
                one.socket.shutdown(socket.SHUT_RDWR)
        self._waker.send(b"x")
        self._thread.join(PATIENCE)
        for each in (self._listener, self._waker, self._woken, *(one.socket for one in self.connections)):
            each.close()

    # --- in the thread

    def _run(self) -> None:
        while True:
            listening = {one.socket: one for one in self.connections if not one.has_ended}
            patience = 0 if self._must_settle and not listening else PATIENCE
            ready, _, _ = select.select([self._listener, self._woken, *listening], [], [], patience)
            with self._changed:
                if self._woken in ready:
                    self._woken.recv(64)
                if self._listener in ready:
                    self.connections.append(Recorded(self._listener.accept()[0]))
                for each in ready:
                    if each in listening:
                        self._receive(listening[each])
                self._changed.notify_all()
            if not ready and self._must_settle and not listening:
                return

    def _receive(self, one: Recorded) -> None:
        try:
            data = one.socket.recv(1 << 18)
        except OSError:
            data = b""
        one.received += data
        one.has_ended = not data
        with contextlib.suppress(EOFError, OSError):
            while not one.has_ended:
                self._take(one)

    def _take(self, one: Recorded) -> None:
        """Answer the next request, if it is there. Raises EOFError if it is not."""
        source = MemorySource(one.rest)
        try:
            head = Request.read_head(source)
            if head.has(b"Expect") and not one.has_continued:
                one.has_continued = True
                one.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            request = Request.read(source := MemorySource(one.rest))
        except AssertionError as error:
            self.errors.append(error)
            raise EOFError from error
        one.used += source.at
        one.has_continued = False
        one.requests.append(request)
        self.requests.append(request)
        answer = self._answer(len(self.requests) - 1, request)
        one.late = answer.late
        one.socket.sendall(answer.said)
        if answer.end is not End.NONE:
            if answer.end is End.RST:
                one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                one.socket.close()
                one.has_ended = True
                return
            one.socket.shutdown(socket.SHUT_WR)


def right_answer(number: int, request: Request) -> Answer:
    """Tell the client which request this is the answer to."""
    body = b"the answer"
    head = b"HTTP/1.1 200 OK\r\nX-Token: %d\r\nContent-Length: %d\r\n\r\n" % (number, len(body))
    return Answer(head if request.method == b"HEAD" else head + body)
