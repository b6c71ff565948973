"""Listeners, and what one worker does with its own: serve clients on an event loop until told to stop."""

import asyncio
import faulthandler
import gc
import socket
from collections.abc import Sequence

import uvloop

from fastrouter._core import AccessLog, RoundTripper, RouteTable, Settings
from fastrouter.access_log import FileSink
from fastrouter.address import Address
from fastrouter.log import Logger
from fastrouter.workers import ParentLink

# Clients that have connected and wait for a worker, per listener; the kernel caps it at net.core.somaxconn.
BACKLOG = 4096


def bind_listeners(address: Address, count: int) -> list[socket.socket]:
    """Bind `count` listening sockets to one address, among which the kernel spreads new connections (SO_REUSEPORT).

    Port 0 becomes one free port for all of them. An empty host means all interfaces, IPv6 and IPv4. Raises OSError,
    with EADDRINUSE also if the port's owner would share it with us.
    """
    family, bind_to = _resolve(address)
    if address.port != 0:
        # Another router of the same user shares its port as we do, and would lose half of its clients to us without
        # anybody noticing. A socket that does not share finds out.
        _bind(family, bind_to, is_shared=False).close()
    listeners: list[socket.socket] = []
    try:
        for _ in range(count):
            listener = _bind(family, bind_to, is_shared=True)
            listeners.append(listener)
            listener.listen(BACKLOG)
            bind_to = listener.getsockname()
    except OSError:
        close_listeners(listeners)
        raise
    return listeners


def close_listeners(listeners: Sequence[socket.socket]) -> None:
    """Close all `listeners` in this process; those of the same port in other processes go on."""
    for listener in listeners:
        listener.close()


def describe_listener(listener: socket.socket) -> dict[str, str | int]:
    """Return the address of `listener` as Gorouter logs it."""
    host, port = listener.getsockname()[:2]
    ip, _, zone = host.partition("%")
    return {"IP": ip, "Port": port, "Zone": zone}


class Worker:
    """The data plane of one process: what it serves from, and how it starts and stops.

    Made before the fork, and used in each worker: nothing here belongs to an event loop until `run`.
    """

    def __init__(self, table: RouteTable, settings: Settings, sink: FileSink | None, logger: Logger) -> None:
        self._table = table
        self._settings = settings
        self._sink = sink
        self._logger = logger

    def run(self, listener: socket.socket, link: ParentLink) -> None:
        """Serve clients of `listener` until the parent says to stop."""
        # A fault in compiled code would otherwise leave nothing but the number of a signal.
        faulthandler.enable(file=2)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(listener, link))

    async def _serve(self, listener: socket.socket, link: ParentLink) -> None:
        loop = asyncio.get_running_loop()
        access_log = AccessLog(self._sink) if self._sink is not None else None
        round_tripper = RoundTripper(self._table, self._settings, access_log, self._logger.event)
        round_tripper.start(loop)
        server = await loop.create_server(round_tripper.new_client, sock=listener, backlog=BACKLOG)
        _calm_garbage_collector()
        link.announce_ready()
        await link.wait_for_stop()
        server.close()
        round_tripper.stop()
        if access_log is not None:
            access_log.flush()
        if self._sink is not None:
            self._sink.close()


def _calm_garbage_collector() -> None:
    """Keep the collector from walking long-lived objects again and again.

    Modules, routes and endpoints live as long as the worker: frozen, they are never looked at. A request leaves next
    to no cycles behind, but its containers count as allocations: with Python's own threshold of 700 the collector would
    run several times per thousand requests and find nothing, and its older generations would cost milliseconds under
    thousands of connections.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _resolve(address: Address) -> tuple[socket.AddressFamily, tuple[str, int]]:
    if not address.host:
        if socket.has_dualstack_ipv6():
            return socket.AF_INET6, ("::", address.port)
        return socket.AF_INET, ("0.0.0.0", address.port)
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, bind_to = found[0]
    return family, bind_to  # type: ignore[return-value]


def _bind(family: socket.AddressFamily, bind_to: tuple[str, int], *, is_shared: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier run that linger in TIME_WAIT do not keep the port from its successor.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and bind_to[0] == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(bind_to)
    except OSError:
        listener.close()
        raise
    return listener
