"""Memory of 5,000 idle keep-alive clients and of 1,000 open WebSocket tunnels."""

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.acceptance.subject import (
    Check,
    ProxyUnderTest,
    get_request,
    proxy_under_test,
    read_response,
)
from benchmarks.load.backends import application_backend
from benchmarks.load.processes import KIB
from benchmarks.load.workloads import HOST

# Enough to have everything allocated that is allocated once, too few to leave much memory for reuse.
_WARM_UP = 10
# Longer than a batch of log lines is held back.
_SETTLING_SECONDS = 2.0

_UPGRADE_REQUEST = (
    f"GET /tunnel HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()
_FRAME = b"\x82\x84\x01\x02\x03\x04\x01\x02\x03\x04"  # a masked binary frame of four bytes


def run(proxy_name: str, workdir: Path) -> list[Check]:
    checks: list[Check] = []
    for kind in _KINDS:
        # A router of its own for each: memory freed by the first kind must not serve the second.
        directory = workdir / kind.title.replace(" ", "-")
        directory.mkdir()
        with (
            application_backend(directory) as (backend, _),
            proxy_under_test(proxy_name, directory, [backend]) as proxy,
        ):
            checks += _measure(proxy, kind)
    return checks


def _measure(proxy: ProxyUnderTest, kind: "Kind") -> list[Check]:
    for _ in range(_WARM_UP):
        kind.open(proxy).close()
    time.sleep(_SETTLING_SECONDS)
    before = proxy.process.memory()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(kind.open(proxy)) for _ in range(kind.count)]
        time.sleep(_SETTLING_SECONDS)
        rise = proxy.process.memory() - before
        alive = sum(_is_usable(connection, kind.use) for connection in connections)
    rss, pss, uss = (size / kind.count / KIB for size in (rise.rss, rise.pss, rise.uss))
    return [
        Check(
            f"one {kind.title} of {kind.count}",
            f"RSS {rss:.2f} KiB, PSS {pss:.2f} KiB, USS {uss:.2f} KiB",
            f"RSS <= {kind.max_kib:.0f} KiB",
            rss <= kind.max_kib,
        ),
        Check(f"{kind.title}s still usable afterwards", str(alive), str(kind.count), alive == kind.count),
    ]


def _idle_client(proxy: ProxyUnderTest) -> socket.socket:
    connection = proxy.connect()
    _request(connection)
    return connection


def _request(connection: socket.socket) -> None:
    connection.sendall(get_request("/idle"))
    read_response(connection)


def _tunnel(proxy: ProxyUnderTest) -> socket.socket:
    connection = proxy.connect()
    connection.sendall(_UPGRADE_REQUEST)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        # By single bytes: what follows the head belongs to the tunnel.
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError(f"no tunnel: {head!r}")
        head += byte
    if not head.startswith(b"HTTP/1.1 101 "):
        raise ConnectionError(f"no tunnel: {head!r}")
    _echo(connection)
    return connection


def _echo(connection: socket.socket) -> None:
    connection.sendall(_FRAME)
    if connection.recv(len(_FRAME), socket.MSG_WAITALL) != _FRAME:
        raise ConnectionError("the tunnel does not echo")


@dataclass(frozen=True)
class Kind:
    """One kind of connection: how many, what each may cost, how to open one and see that it works."""

    title: str
    count: int
    max_kib: float
    open: Callable[[ProxyUnderTest], socket.socket]
    use: Callable[[socket.socket], None]


_KINDS = (
    Kind("idle keep-alive client", 5000, 5.0, _idle_client, _request),
    Kind("open WebSocket tunnel", 1000, 12.0, _tunnel, _echo),
)


def _is_usable(connection: socket.socket, use: Callable[[socket.socket], None]) -> bool:
    try:
        use(connection)
    except OSError:
        return False
    return True
