"""The listening sockets of the router: one per worker on the same port, held by the control process."""

import asyncio
import select
import socket
from collections.abc import Callable, Sequence

from fastrouter.net.address import Address

# Clients that have connected and wait for a worker, per listener; the kernel caps it at net.core.somaxconn. A worker
# that takes its listener over states it again.
BACKLOG = 4096


def bind_listeners(address: Address, count: int) -> list[socket.socket]:
    """Bind `count` listening sockets to one address, among which the kernel spreads new connections (SO_REUSEPORT).

    Port 0 becomes one free port for all of them. An empty host means all interfaces, IPv6 and IPv4. Raises OSError,
    with EADDRINUSE also if the port's owner would share it with us.
    """
    family, bind_to = _resolve(address)
    if address.port != 0:
        # Another router of the same user also sets SO_REUSEPORT, and would silently lose half of its clients to this
        # one. A socket without the option fails to bind then.
        try_to_bind(address)
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


def try_to_bind(address: Address) -> None:
    """Bind `address` for a moment, without listening: raises the OSError that a listener would meet."""
    _bind(*_resolve(address), is_shared=False).close()


def close_listeners(listeners: Sequence[socket.socket]) -> None:
    """Close all `listeners` in this process; those of the same port in other processes go on."""
    for listener in listeners:
        listener.close()


def describe_listener(listener: socket.socket) -> dict[str, str | int]:
    """Return the address of `listener` as Gorouter logs it."""
    host, port = listener.getsockname()[:2]
    ip, _, zone = host.partition("%")
    return {"IP": ip, "Port": port, "Zone": zone}


class ListenerWatch:
    """Calls `on_failure` with the first of `listeners` that stops listening although nobody has closed it.

    The event loops of the workers do not report this: to them such a socket is one without new clients.
    """

    def __init__(self, listeners: Sequence[socket.socket], on_failure: Callable[[socket.socket], None]) -> None:
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        for descriptor in self._listeners:
            # epoll reports hang-ups and errors always; new clients are left to the workers.
            self._epoll.register(descriptor, 0)
        self._loop.add_reader(self._epoll.fileno(), self._find_failure)

    def close(self) -> None:
        """Watch no more; to be called before the listeners are closed."""
        if not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _find_failure(self) -> None:
        for descriptor, _ in self._epoll.poll(0):
            self.close()
            self._on_failure(self._listeners[descriptor])
            return


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
        # Connections of an earlier run in TIME_WAIT do not block the port.
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
