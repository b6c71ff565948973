"""An event loop and transports without a kernel: what the data plane itself costs, and nothing else."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class FakeTransport(asyncio.Transport):
    """Remembers only the last write; the peer is whoever looks at it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 40000), "sockname": ("127.0.0.1", 8081)})
        self.written = b""

    def write(self, data: Any) -> None:
        self.written = data

    def write_eof(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


class FakeTimer:
    def cancel(self) -> None:
        pass


class FakeLoop:
    """What the data plane uses of an event loop. Time never passes, and a dial succeeds at once."""

    def __init__(self) -> None:
        self.backend: asyncio.Protocol | None = None
        self.backend_transport = FakeTransport()

    def call_later(self, _delay: float, _callback: Callable[..., Any], *_: Any) -> FakeTimer:
        return FakeTimer()

    def call_soon(self, _callback: Callable[[], None]) -> None:
        """Nobody's turn ever comes: what is measured is one wake-up."""

    def create_task(self, dial: Coroutine[Any, Any, None]) -> None:
        try:
            dial.send(None)
        except StopIteration:
            return
        raise AssertionError("a dial on the fake loop never waits")

    async def create_connection(
        self, new_protocol: Callable[[], asyncio.Protocol], *_: Any
    ) -> tuple[FakeTransport, asyncio.Protocol]:
        self.backend = new_protocol()
        self.backend.connection_made(self.backend_transport)
        return self.backend_transport, self.backend
