"""What every subject has: a proxy under test, checks, and clients that speak plain sockets."""

import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.processes import PinnedProcess
from benchmarks.load.proxies import PROXIES
from benchmarks.load.workloads import HOST


@dataclass(frozen=True)
class Check:
    """One figure against its bar."""

    title: str
    figure: str
    bar: str
    passed: bool

    def __str__(self) -> str:
        return f"{'PASS' if self.passed else 'FAIL'}  {self.title}: {self.figure} (bar: {self.bar})"


@dataclass(frozen=True)
class ProxyUnderTest:
    name: str
    port: int
    process: PinnedProcess

    def connect(self) -> socket.socket:
        return connect(self.port)

    def warm_up(self) -> None:
        """Have one request answered: a listening socket may be there before the worker that serves it."""
        with self.connect() as connection:
            connection.sendall(get_request("/warm-up"))
            read_response(connection)


# A subject gets the name of the proxy and a directory of its own, and starts and ends all it needs.
Subject = Callable[[str, Path], list[Check]]


@contextlib.contextmanager
def proxy_under_test(name: str, workdir: Path, backends: Sequence[str]) -> Iterator[ProxyUnderTest]:
    proxy = PROXIES[name](workdir, backends)
    with proxy.started() as process:
        yield ProxyUnderTest(name, proxy.port, process)


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def get_request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def read_response(connection: socket.socket) -> bytes:
    """Return the body of one response with a Content-Length; ConnectionError unless it is a whole 200."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += _some(connection)
    head, body = received[:end].lower(), received[end + 4 :]
    if not head.startswith(b"http/1.1 200 "):
        raise ConnectionError(f"not a 200: {head!r}")
    length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += _some(connection)
    return body


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("closed by the proxy")
    return data
