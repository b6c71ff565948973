"""A loop and transports without sockets: what a DataPlane needs, and nothing happens until the test says so."""

import asyncio
import errno
import os
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class FakeHandle:
    """What `call_later` gives back; time passes with FakeLoop.tick."""

    def cancel(self) -> None:
        pass


class Silence:
    """What a dial waits for that nobody answers."""

    def __await__(self) -> Generator["Silence", None, None]:
        yield self


class FakeTask:
    """A coroutine that runs to its end at once when its turn comes, unless nobody answers it, or it is cancelled."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._is_over = False

    def run(self) -> None:
        if not self._is_over:
            # It may be cancelled from within, and does not notice: it never awaits again.
            self._is_over = True
            try:
                awaited = self._coroutine.send(None)
            except StopIteration:
                return
            assert isinstance(awaited, Silence), "a dial waits for something the fake loop does not know"
            self._is_over = False

    def cancel(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._coroutine.close()


class FakeTransport(asyncio.Transport):
    """Collects what is written; hands on what the test delivers, as uvloop would."""

    def __init__(self, loop: "FakeLoop", protocol: Any, peer: tuple[str, int]) -> None:
        super().__init__({"peername": peer, "sockname": ("127.0.0.1", 80)})
        self._loop = loop
        self._protocol = protocol
        self.written = bytearray()
        self.is_reading_paused = False
        self.is_writing_paused = False
        self.is_over = False
        self.is_closing_down = False
        self.has_eof = False
        # Bytes of what was written that the peer has not taken: as many as the test says.
        self.unsent = 0

    def __repr__(self) -> str:
        return f"<FakeTransport {'over' if self.is_over else 'open'} of {self._protocol!r}>"

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_over:
            self.written += data

    def writelines(self, list_of_data: Any) -> None:
        for data in list_of_data:
            self.write(data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_eof = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def close(self) -> None:
        """Go when everything written is with the peer, which may never be."""
        self.is_closing_down = True
        if not self.unsent:
            self.abort()

    def abort(self) -> None:
        if not self.is_over:
            self.is_over = True
            self._loop.call_soon(lambda: self._protocol.connection_lost(None))

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def break_off(self, number: int = errno.ECONNRESET) -> None:
        """Let the peer reset the connection, or the kernel report another error."""
        self.is_over = True
        self._protocol.connection_lost(OSError(number, os.strerror(number)))

    def is_closing(self) -> bool:
        return self.is_over or self.is_closing_down

    def pause_reading(self) -> None:
        assert not self.is_reading_paused, "paused twice"
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        assert self.is_reading_paused, "resumed without a pause"
        self.is_reading_paused = False

    def is_read(self) -> bool:
        """Whether what the peer sends is taken; a method, so that it may change between two assertions."""
        return not self.is_reading_paused

    @property
    def can_deliver(self) -> bool:
        return not self.is_closing() and not self.is_reading_paused

    def deliver(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def deliver_eof(self) -> None:
        if not self._protocol.eof_received():
            self.close()

    @property
    def is_slow(self) -> bool:
        return self.is_writing_paused and not self.is_over

    def set_writing_paused(self, paused: bool) -> None:
        """Let the peer take nothing more, or go on; what was written before is taken for sent."""
        if self.is_over or paused == self.is_writing_paused:
            return
        self.is_writing_paused = paused
        if paused:
            self._protocol.pause_writing()
        else:
            self._protocol.resume_writing()


class SocketTransport(FakeTransport):
    """A transport over a real socket, `near`, which the router reads and writes past it."""

    def __init__(self, loop: "FakeLoop", protocol: Any, near: socket.socket) -> None:
        super().__init__(loop, protocol, ("192.0.2.1", 40000))
        self._near = near

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._near if name == "socket" else super().get_extra_info(name, default)


class Unencrypted:
    """In place of an SSLContext for backends: agrees to everything at once, and tests see what would be encrypted."""

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *_: Any) -> "UnencryptedConnection":
        return UnencryptedConnection(incoming, outgoing)


class UnencryptedConnection:
    """In place of an SSLObject."""

    def __init__(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._incoming = incoming
        self.write = outgoing.write

    def do_handshake(self) -> None:
        pass

    def read(self, size: int) -> bytes:
        if data := self._incoming.read(size):
            return data
        raise ssl.SSLWantReadError

    def unwrap(self) -> None:
        pass


class FakeLoop:
    """Runs callbacks and dials in the order they came, when `run` is called."""

    def __init__(self) -> None:
        self._ready: deque[Callable[[], None]] = deque()
        self.dialled: list[FakeTransport] = []
        self.attempted: list[tuple[str, int]] = []
        self.refusing: set[tuple[str, int]] = set()
        # The errno that a dial meets there.
        self.refusal = errno.ECONNREFUSED
        # Who never answers a dial.
        self.silent: set[tuple[str, int]] = set()
        # Ends of sockets that the next dials connect to, as long as there are any.
        self.sockets: deque[socket.socket] = deque()
        self._readers: dict[int, Callable[[], None]] = {}
        self._later: list[Callable[[], None]] = []
        # Seconds that callbacks asked to be called later in.
        self.delays: list[float] = []

    def run(self) -> None:
        while self._ready:
            self._ready.popleft()()

    def has_ready(self) -> bool:
        return bool(self._ready)

    def turn(self) -> None:
        """Run what is there now, and leave what comes of it."""
        for _ in range(len(self._ready)):
            self._ready.popleft()()

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._ready.append(callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> FakeHandle:
        self.delays.append(delay)
        self._later.append(callback)
        return FakeHandle()

    def tick(self) -> None:
        """Let the router look at its deadlines. The clock is the real one: only what is due at once is over.

        A tick that comes late, because the test has taken its time, looks at nothing; the next one does.
        """
        assert self._later, "nobody waits"
        self.run()
        self.call_later_ones()
        if not self._ready:
            self.call_later_ones()
        self.run()

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        self._readers[descriptor] = callback

    def remove_reader(self, descriptor: int) -> None:
        del self._readers[descriptor]

    def poll(self) -> None:
        """Look once at the descriptors that are watched, and run what comes of it."""
        for descriptor in select.select(list(self._readers), [], [], 0)[0]:
            self._readers[descriptor]()
        self.run()

    def call_later_ones(self) -> None:
        """Let pass whatever time those who wait wait for."""
        callbacks, self._later = self._later, []
        for callback in callbacks:
            callback()

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> FakeTask:
        task = FakeTask(coroutine)
        self.call_soon(task.run)
        return task

    async def create_connection(self, factory: Callable[[], Any], host: str, port: int) -> tuple[FakeTransport, Any]:
        self.attempted.append((host, port))
        if (host, port) in self.refusing:
            raise OSError(self.refusal, os.strerror(self.refusal))
        if (host, port) in self.silent:
            await Silence()
        protocol = factory()
        transport = (
            SocketTransport(self, protocol, self.sockets.popleft())
            if self.sockets
            else FakeTransport(self, protocol, (host, port))
        )
        self.dialled.append(transport)
        protocol.connection_made(transport)
        return transport, protocol

    def connect_client(self, protocol: Any) -> FakeTransport:
        transport = FakeTransport(self, protocol, ("10.0.0.9", 4321))
        protocol.connection_made(transport)
        return transport


class MemorySource:
    """Bytes in memory, read like a connection that ended behind them."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = bytes(data)
        self.at = 0

    def read_until(self, delimiter: bytes) -> bytes:
        found = self._data.find(delimiter, self.at)
        if found < 0:
            raise EOFError
        return self.read_exactly(found + len(delimiter) - self.at)

    def read_exactly(self, count: int) -> bytes:
        if len(self._data) - self.at < count:
            raise EOFError
        self.at += count
        return self._data[self.at - count : self.at]

    def read_to_end(self) -> bytes:
        return self.read_exactly(len(self._data) - self.at)
