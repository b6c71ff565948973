"""100,000 routes come from a routing API; then 2,000 of its events a second must not slow down W1."""

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import orjson
import trustme

from benchmarks.load.acceptance.registrations import count_routes, fed_router, w1_p99_ms, wait_until_served
from benchmarks.load.acceptance.subject import Check
from benchmarks.load.backends import static_backend
from benchmarks.load.processes import LOAD_CORE
from benchmarks.load.routing_api import routes
from benchmarks.load.workloads import HOST

_ROUTES = 100_000
_MAX_SECONDS = 5.0
_PER_SECOND = 2000
_BURST = 20
_MAX_RATIO = 2.0
_ROUNDS = 3
_PATIENCE = 60.0


class API:
    """A routing API in a process of its own: its list, and events while `events` runs; `keys` are for routers."""

    def __init__(self, workdir: Path, backend: str) -> None:
        authority = trustme.CA()
        certificate = workdir / "server.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        client = authority.issue_cert("router")
        self.keys = {
            "ca_certs": authority.cert_pem.bytes().decode(),
            "cert_chain": client.cert_chain_pems[0].bytes().decode(),
            "private_key": client.private_key_pem.bytes().decode(),
        }
        statement = (
            f"from benchmarks.load.acceptance.routing_api import serve; serve({backend!r}, {str(certificate)!r})"
        )
        self._process = subprocess.Popen(
            ["taskset", "--cpu-list", str(LOAD_CORE), sys.executable, "-c", statement],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.port = int(self._read_line())

    def __enter__(self) -> "API":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def asked_at(self) -> float:
        """When the list was asked for (time.monotonic); waits for it."""
        return float(self._read_line())

    @contextlib.contextmanager
    def events(self) -> Iterator[None]:
        """Send events, as many a second as the bar says, until the block ends."""
        self._write_line()
        try:
            yield
        finally:
            self._write_line()

    def _read_line(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _write_line(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()


def serve(backend: str, certificate: str) -> None:
    """Serve the list, in which the backend is last, and events of its routes in turn; each line of stdin switches them.

    Prints the port, and the time of the first request for the list.
    """
    host, _, port = backend.rpartition(":")
    listed = list(routes(_ROUTES))
    last = {**listed[-1], "route": HOST, "ip": host, "port": int(port)}
    body = orjson.dumps([*listed, last])
    events = [
        b"event: Upsert\ndata: %s\n\n" % orjson.dumps({**route, "ttl": 60 + turn, "modification_tag": tag})
        for turn in (1, 2)
        for route in listed
        for tag in [{**route["modification_tag"], "index": turn}]
    ]
    is_sending = threading.Event()

    def switch() -> None:
        for _ in sys.stdin:
            if is_sending.is_set():
                is_sending.clear()
            else:
                is_sending.set()

    def stream(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        at = 0
        while is_sending.wait():
            due = time.monotonic()
            while is_sending.is_set():
                burst = b"".join(events[at : at + _BURST])
                connection.sendall(b"%x\r\n%s\r\n" % (len(burst), burst))
                at = (at + _BURST) % len(events)
                due += _BURST / _PER_SECOND
                time.sleep(max(0.0, due - time.monotonic()))

    def answer(plain: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
            while request := _head(connection):
                if b"/routing/v1/events" in request:
                    stream(connection)
                print(time.monotonic(), flush=True)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    threading.Thread(target=switch, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def _head(connection: ssl.SSLSocket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received and (data := connection.recv(65536)):
        received += data
    return received


def run(proxy_name: str, workdir: Path) -> list[Check]:
    if proxy_name != "fastrouter":
        raise RuntimeError(f"{proxy_name} knows no routing API")
    with (
        static_backend(workdir) as backend,
        API(workdir, backend) as api,
        fed_router(
            workdir,
            nats={"enabled": False},
            routing_api={"uri": "https://localhost", "port": api.port, "auth_disabled": True, **api.keys},
            enable_envelope_v1_metrics=False,
            prune_stale_droplets_interval="1h",
        ) as (proxy, routes_port),
    ):
        wait_until_served(proxy.port, HOST)
        took = time.monotonic() - api.asked_at()
        count = count_routes(routes_port)
        # The log lines of the list are written, and the memory it took for a moment is given back.
        time.sleep(2.0)
        idle, busy = [], []
        for _ in range(_ROUNDS):
            idle.append(w1_p99_ms(proxy.port))
            with api.events():
                busy.append(w1_p99_ms(proxy.port))
    ratio = median(busy) / median(idle)
    return [
        Check(f"{_ROUTES} routes served", f"{took:.2f} s", f"<= {_MAX_SECONDS} s", took <= _MAX_SECONDS),
        Check("routes in /routes", str(count), str(_ROUTES + 1), count == _ROUTES + 1),
        Check(
            f"p99 of W1 beside {_PER_SECOND} events a second",
            f"{median(busy):.2f} ms, without them {median(idle):.2f} ms: {ratio:.2f} x",
            f"<= {_MAX_RATIO} x",
            ratio <= _MAX_RATIO,
        ),
    ]
