"""What 200 clients cost that send 900 KB of headers each and hold them; one client with such a head is served."""

import contextlib
import http.client
import socket
import time
from pathlib import Path

from benchmarks.load.acceptance.subject import Check, ProxyUnderTest, proxy_under_test
from benchmarks.load.backends import application_backend
from benchmarks.load.processes import KIB
from benchmarks.load.workloads import HOST

_CLIENTS = 200
_MAX_KIB = 64.0
_SETTLING_SECONDS = 2.0
_LINE = b"X-Hoarded: " + 987 * b"x" + b"\r\n"
# Without the empty line that would end it.
_HEAD = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n".encode() + 900 * _LINE


def run(proxy_name: str, workdir: Path) -> list[Check]:
    with (
        # It takes heads of any size.
        application_backend(workdir, "timed-backend", "ending_application", "timed") as (backend, _),
        proxy_under_test(proxy_name, workdir, [backend]) as proxy,
    ):
        proxy.warm_up()
        alone = _status(proxy)
        time.sleep(_SETTLING_SECONDS)
        before = proxy.process.memory().rss
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(proxy.connect()) for _ in range(_CLIENTS)]
            refused = sum(not _send_head(client) for client in clients)
            time.sleep(_SETTLING_SECONDS)
            cost = (proxy.process.memory().rss - before) / _CLIENTS / KIB
            beside = _status(proxy)
            refused += sum(_has_answer(client) for client in clients)
    return [
        Check(
            f"RSS of each of {_CLIENTS} clients with {len(_HEAD) // 1000} KB of an endless head",
            f"{cost:.1f} KiB ({min(refused, _CLIENTS)} of them were refused)",
            f"<= {_MAX_KIB:.0f} KiB",
            cost <= _MAX_KIB,
        ),
        Check("status of one whole head of that size", str(alone), "for comparison (Gorouter: 200)", True),
        Check("the same beside the hoards", str(beside), "the same", beside == alone),
    ]


def _send_head(client: socket.socket) -> bool:
    """False: the proxy has not taken it."""
    client.settimeout(5)
    try:
        client.sendall(_HEAD)
    except OSError:
        return False
    return True


def _has_answer(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        client.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _status(proxy: ProxyUnderTest) -> int:
    """Send a whole request with such a head; 0: the connection ended without an answer."""
    with proxy.connect() as client:
        with contextlib.suppress(OSError):
            client.sendall(_HEAD + b"Connection: close\r\n\r\n")
        response = http.client.HTTPResponse(client)
        try:
            response.begin()
        except (OSError, http.client.HTTPException):
            return 0
        return response.status
