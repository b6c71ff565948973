"""The data plane in a thread of the test: real sockets and a real loop, without the executable's configuration.

So a test can give an endpoint any attribute, change the table between two attempts, and see what the executable keeps
to itself: prunes, counters, and every attribute of an event.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

import uvloop

from fastrouter._core import AccessLog, DataPlane, Endpoint, RouteTable, Settings

from .byte_stream import PATIENCE
from .closable import Closable
from .http_message import Response
from .raw_client import RawClient
from .router_process import wait_for

T = TypeVar("T")

HOST = "app.test"


class InProcessRouter(Closable):
    """A DataPlane that serves the route app.test, and what it said and did."""

    # Whether the access log tells what is refused.
    logs_refused = False

    def __init__(self, *endpoints: Endpoint, **settings: Any) -> None:
        extra_fields = settings.pop("extra_fields", ())
        self.table = RouteTable()
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.prunes: list[tuple[str, str]] = []
        self._log: list[bytes] = []
        self._complaints: list[Mapping[str, Any]] = []
        self._clients: list[RawClient] = []
        for endpoint in endpoints:
            self.table.register(HOST, endpoint)
        self._plane = DataPlane(
            self.table,
            Settings(**settings),
            AccessLog(self._log.append, extra_fields=extra_fields, logs_refused=self.logs_refused),
            lambda *event: self.events.append(event),
            lambda uri, address: self.prunes.append((uri, address)),
        )
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(lambda _loop, context: self._complaints.append(context))
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server, self.port = self._run(self._listen())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if kind is None:
            assert not self._complaints, self._complaints

    def new_connection(self) -> asyncio.Protocol:
        """What a client's connection begins with."""
        return self._plane.new_client()

    async def _listen(self) -> tuple[asyncio.AbstractServer, int]:
        listener = socket.create_server(("127.0.0.1", 0))
        server = await self._loop.create_server(self.new_connection, sock=listener)
        self._plane.start(self._loop)
        return server, listener.getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        self._plane.stop()
        # Whatever the loop still has to say of what was cut off, it says now.
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call `function` in the loop's thread, where the table belongs."""

        async def called() -> T:
            return function(*arguments)

        return self._run(called())

    @contextmanager
    def held(self) -> Iterator[None]:
        """A loop that does nothing meanwhile."""
        has_begun, is_over = threading.Event(), threading.Event()

        def wait() -> None:
            has_begun.set()
            is_over.wait(PATIENCE)

        self._loop.call_soon_threadsafe(wait)
        assert has_begun.wait(PATIENCE)
        try:
            yield
        finally:
            is_over.set()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    # --- the client's side

    def connect(self, **options: Any) -> RawClient:
        client = RawClient(self.port, **options)
        self._clients.append(client)
        return client

    def ask(self, *lines: bytes, start_line: bytes = b"GET / HTTP/1.1", body: bytes = b"") -> RawClient:
        """Send one request on a new connection."""
        client = self.connect()
        client.send(request(*lines, start_line=start_line, body=body))
        return client

    def get(self, *lines: bytes) -> Response:
        """One GET on a new connection."""
        return self.ask(*lines).read_response()

    # --- what it said and did

    def events_of(self, message: str) -> list[dict[str, Any]]:
        return [data for _, name, data in list(self.events) if name == message]

    def wait_for_event(self, message: str) -> dict[str, Any]:
        return wait_for(lambda: next(iter(self.events_of(message)), None), f"an event {message}")

    def log_lines(self) -> list[str]:
        return b"".join(self._log).decode().splitlines()

    def wait_for_log_line(self, number: int = 0) -> str:
        """Wait for the access log line of the request that ended as the `number`-th."""
        return wait_for(
            lambda: lines[number] if len(lines := self.log_lines()) > number else None, "a line of the access log"
        )

    def addresses(self) -> list[str]:
        """The endpoints that the route has now."""

        def found() -> list[str]:
            pool = self.table.lookup(HOST)
            return [] if pool is None else [endpoint.address for endpoint in pool.endpoints]

        return self.call(found)

    def stats(self) -> dict[str, int]:
        return self.call(self._plane.stats)


def request(*lines: bytes, start_line: bytes = b"GET / HTTP/1.1", body: bytes = b"") -> bytes:
    """Build the bytes of a request to the route; framing headers are up to the caller."""
    return b"\r\n".join([start_line, b"Host: " + HOST.encode(), *lines]) + b"\r\n\r\n" + body
