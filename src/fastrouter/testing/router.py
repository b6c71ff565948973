"""A data plane in a thread of its own, for as long as a `with` lasts."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

import uvloop

from fastrouter._core import AccessLog, DataPlane, Endpoint, RouteTable, Settings
from fastrouter.net.address import parse_backend_address
from fastrouter.net.resolver import Resolver
from fastrouter.registry.static_routes import StaticEndpoint, StaticRoute
from fastrouter.tls.backends import backend_context

T = TypeVar("T")

# The backends of a route: one address or several, each as `HOST:PORT`, or with what else there is to say of it.
Backends = str | StaticEndpoint | Sequence[str | StaticEndpoint]

# Seconds for what takes the router's thread a millisecond.
_PATIENCE = 30.0


class Event(NamedTuple):
    """A line of the process log: its level (0 debug to 3 error), its message and its data."""

    level: int
    message: str
    data: dict[str, Any]


class _Parts(NamedTuple):
    """What there is while the router runs. Used in its thread only."""

    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    resolver: Resolver
    table: RouteTable
    access_log: AccessLog
    plane: DataPlane
    server: asyncio.Server


class Router:
    """A router of `routes`, from `with` or `async with` to its end; it may be entered again afterwards.

    `routes` says for each `HOST[/PATH]` who serves it. `host` and `port` are where it listens, 0 for any free port.
    `ca_certs` (PEM) verify backends that speak TLS, besides the system's authorities. `settings` are those of the data
    plane, such as `endpoint_timeout=1.0` (`fastrouter._core.Settings`). Raises ValueError for routes or settings that
    break a rule, and OSError when it is entered and cannot listen.

    Methods may be called from any thread. The router has no worker, reads no configuration, and handles no signal.
    """

    def __init__(
        self,
        routes: Mapping[str, Backends] | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ca_certs: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        self._routes = [_route(name, backends) for name, backends in (routes or {}).items()]
        self._host = host
        self._wanted_port = port
        self._ca_certs = ca_certs
        self._settings = settings
        self._parts: _Parts | None = None
        self._port = 0
        self._lines: list[bytes] = []
        self.events: list[Event] = []
        # Refused here, and not when it is entered.
        Settings(**settings)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def start(self) -> None:
        """Listen and route from now on; `with` does it. Raises OSError."""
        if self._parts is not None:
            raise RuntimeError("the router runs already")
        self._lines.clear()
        self.events.clear()
        resolver = Resolver()
        settings = Settings(
            **{
                "backend_tls": backend_context(ca_certs=self._ca_certs),
                "backend_http2_tls": backend_context(ca_certs=self._ca_certs, protocols=("h2", "http/1.1")),
                "resolve": resolver,
                **self._settings,
            }
        )
        listener = socket.create_server((self._host, self._wanted_port))
        self._port = listener.getsockname()[1]
        loop = uvloop.new_event_loop()
        loop.set_exception_handler(self._on_loop_fault)
        thread = threading.Thread(target=loop.run_forever, name="fastrouter", daemon=True)
        thread.start()
        self._parts = _call(loop, self._begin(loop, thread, resolver, settings, listener))

    def stop(self) -> None:
        """End all connections, and free everything; the end of `with` does it. Does nothing if it does not run."""
        parts, self._parts = self._parts, None
        if parts is None:
            return
        _call(parts.loop, _end(parts))
        parts.loop.call_soon_threadsafe(parts.loop.stop)
        parts.thread.join(_PATIENCE)
        parts.loop.close()

    @property
    def port(self) -> int:
        """The port where it listens."""
        self._running()
        return self._port

    @property
    def url(self) -> str:
        """Where it listens, as `http://127.0.0.1:1234`; a client says with the header Host which route it wants."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    def add(self, route: str, backends: Backends) -> None:
        """Add backends to a route, which there may be none of yet. Raises ValueError."""
        added = _route(route, backends)
        self._call(lambda parts: _register(parts, added))

    def remove(self, route: str, address: str | None = None) -> None:
        """Take one backend off a route, or remove the whole route. What is not there is removed already."""

        def remove(parts: _Parts) -> None:
            if address is None:
                parts.table.drop(route)
            else:
                parts.table.unregister(route, address)

        self._call(remove)

    def access_log(self) -> list[str]:
        """Return a line for each request that has ended, in Gorouter's format."""
        self._call(lambda parts: parts.access_log.flush())
        return b"".join(self._lines).decode("utf-8", "surrogateescape").splitlines()

    def _running(self) -> _Parts:
        if self._parts is None:
            raise RuntimeError("the router does not run: enter it using `with`")
        return self._parts

    def _call(self, function: Callable[[_Parts], T]) -> T:
        parts = self._running()

        async def called() -> T:
            return function(parts)

        return _call(parts.loop, called())

    async def _begin(
        self,
        loop: asyncio.AbstractEventLoop,
        thread: threading.Thread,
        resolver: Resolver,
        settings: Settings,
        listener: socket.socket,
    ) -> _Parts:
        table, access_log = RouteTable(), AccessLog(self._lines.append)
        plane = DataPlane(table, settings, access_log, self._on_event)
        server = await loop.create_server(plane.new_client, sock=listener)
        parts = _Parts(loop, thread, resolver, table, access_log, plane, server)
        for route in self._routes:
            _register(parts, route)
        plane.start(loop)
        return parts

    def _on_event(self, level: int, message: str, data: dict[str, Any]) -> None:
        self.events.append(Event(level, message, data))

    def _on_loop_fault(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.events.append(Event(3, "loop-exception", context))


def _route(name: str, backends: Backends) -> StaticRoute:
    several = [backends] if isinstance(backends, str | StaticEndpoint) else backends
    return StaticRoute(
        name, tuple(StaticEndpoint(backend) if isinstance(backend, str) else backend for backend in several)
    )


def _register(parts: _Parts, route: StaticRoute) -> None:
    for given in route.endpoints:
        host, port = parse_backend_address(given.address)
        endpoint = Endpoint(
            host,
            port,
            app_id=route.app_id,
            instance_id=given.instance_id,
            instance_index=given.index,
            tls=given.tls,
            server_cert_domain_san=given.server_cert_domain_san,
            protocol=given.protocol,
        )
        parts.table.register(route.route, endpoint)
    parts.plane.on_table_changed()


async def _end(parts: _Parts) -> None:
    parts.server.close()
    parts.plane.stop()
    await parts.resolver.close()
    # Dials and lookups; and then the loop tells every connection of its end.
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)


def _call(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result(_PATIENCE)
