"""20,000 pipelined requests on one connection: answered in order, with bounded memory."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load.acceptance.subject import Check, proxy_under_test
from benchmarks.load.backends import application_backend
from benchmarks.load.processes import MIB, RssWatch
from benchmarks.load.workloads import HOST

_REQUESTS = 20_000
# Padded so that all requests, and all answers, are far more than the bar: a proxy that buffers either fails.
_PADDING = "p" * 1500
_MAX_RSS_RISE = 8 * MIB
# The client first only sends; the proxy has to stop reading once it cannot hand on.
_DEAF_SECONDS = 3.0


def run(proxy_name: str, workdir: Path) -> list[Check]:
    with (
        application_backend(workdir) as (backend, _),
        proxy_under_test(proxy_name, workdir, [backend]) as proxy,
        proxy.connect() as connection,
    ):
        proxy.warm_up()
        started = time.monotonic()
        with RssWatch(proxy.process) as watch:
            sender = threading.Thread(target=_send_all, args=(connection,), daemon=True)
            sender.start()
            time.sleep(_DEAF_SECONDS)
            in_order = _count_in_order(connection)
        seconds = time.monotonic() - started
    volume = _REQUESTS * len(_PADDING) / MIB
    return [
        Check(
            "pipelined requests answered in order",
            f"{in_order} in {seconds:.1f} s",
            str(_REQUESTS),
            in_order == _REQUESTS,
        ),
        Check(
            f"RSS rise for {volume:.0f} MiB of requests and as much of answers",
            f"{watch.rise / MIB:.1f} MiB",
            f"< {_MAX_RSS_RISE // MIB} MiB",
            watch.rise < _MAX_RSS_RISE,
        ),
    ]


def _path(number: int) -> str:
    return f"/{number}/{_PADDING}"


def _send_all(connection: socket.socket) -> None:
    # A proxy that gives up closes the connection; the reading side reports it.
    with contextlib.suppress(OSError):
        for number in range(_REQUESTS):
            connection.sendall(f"GET {_path(number)} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())


def _count_in_order(connection: socket.socket) -> int:
    """Count the answers up to the first wrong one; the backend answers with the path it was asked for."""
    count = 0
    with contextlib.suppress(OSError, ValueError):
        for body in _bodies(connection):
            if body != _path(count).encode():
                break
            count += 1
            if count == _REQUESTS:
                break
    return count


def _bodies(connection: socket.socket) -> Iterator[bytes]:
    with connection.makefile("rb") as stream:
        while status_line := stream.readline():
            if not status_line.startswith(b"HTTP/1.1 200 "):
                return
            length = 0
            while (line := stream.readline().lower()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                if name == b"content-length":
                    length = int(value)
            yield stream.read(length)
