"""100,000 routes come in over a real NATS server; then 5,000 registrations a second must not slow down W1."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import orjson

from benchmarks.load.acceptance.subject import Check, ProxyUnderTest, connect, get_request, read_response
from benchmarks.load.backends import static_backend
from benchmarks.load.processes import LOAD_CORE, PROXY_CORE, PinnedProcess, free_port
from benchmarks.load.registrations import publication
from benchmarks.load.workloads import HOST, SMALL_PATH, WORKLOADS
from benchmarks.load.wrk import WrkRun

_ROUTES = 100_000
_MAX_SECONDS = 5.0
_MAX_BYTES_PER_ROUTE = 2048
_PER_SECOND = 5000
_BURST = 50
_MAX_RATIO = 2.0
_ROUNDS = 3
_SECONDS = 4
_PATIENCE = 60.0


class Bus:
    """A NATS server, and a publisher that is connected to it."""

    def __init__(self, workdir: Path) -> None:
        self.port = free_port()
        self._server = PinnedProcess(
            "nats-server",
            [str(Path(sys.executable).parent / "nats-server"), "-a", "127.0.0.1", "-p", str(self.port)],
            LOAD_CORE,
            workdir,
        )

    def __enter__(self) -> "Bus":
        self._server.wait_until_listening(self.port)
        self._socket = socket.create_connection(("127.0.0.1", self.port))
        self._socket.recv(65536)
        self._socket.sendall(b'CONNECT {"verbose":false}\r\n')
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._server.stop()

    def send(self, data: bytes) -> None:
        """Publish, and return when the server has it all."""
        self._socket.sendall(data + b"PING\r\n")
        received = b""
        while b"PONG\r\n" not in received:
            received = received[-5:] + self._socket.recv(65536)

    def register(self, uri: str, address: str) -> None:
        host, _, port = address.rpartition(":")
        payload = orjson.dumps({"host": host, "port": int(port), "uris": [uri]})
        self.send(b"PUB router.register %d\r\n%s\r\n" % (len(payload), payload))


@contextlib.contextmanager
def fed_router(workdir: Path, **source: object) -> Iterator[tuple[ProxyUnderTest, int]]:
    """A router with one worker, whose routes come from where the keys `source` say, and the port of its `/routes`."""
    port, routes_port = free_port(), free_port()
    config = workdir / "gorouter.yml"
    config.write_bytes(
        orjson.dumps(
            {
                "port": port,
                "go_max_procs": 1,
                "status": {"port": free_port(), "user": "u", "pass": "p", "routes": {"port": routes_port}},
                "logging": {"level": "info"},
                "access_log": {"file": str(workdir / "access.log")},
                "start_response_delay_interval": "0s",
                "disable_keep_alives": False,
                "max_idle_conns_per_host": 100,
                **source,
            }
        )
    )
    command = [str(Path(sys.executable).parent / "fastrouter"), "-c", str(config)]
    with PinnedProcess("fastrouter", command, PROXY_CORE, workdir) as process:
        process.wait_until_listening(port)
        # The worker keeps its core; the control process may run on either, as it would on any machine with two.
        worker = process.tree()[-1]
        for pid in process.tree():
            os.sched_setaffinity(pid, {PROXY_CORE} if pid == worker else {PROXY_CORE, LOAD_CORE})
        yield ProxyUnderTest("fastrouter", port, process), routes_port


def run(proxy_name: str, workdir: Path) -> list[Check]:
    if proxy_name != "fastrouter":
        raise RuntimeError(f"{proxy_name} does not listen to NATS")
    with (
        static_backend(workdir) as backend,
        Bus(workdir) as bus,
        fed_router(workdir, nats={"hosts": [{"hostname": "127.0.0.1", "port": bus.port}]}) as (proxy, routes_port),
    ):
        bus.register(HOST, backend)
        wait_until_served(proxy.port, HOST)
        before = proxy.process.memory().pss
        data = b"".join(publication(_ROUTES))
        started_at = time.perf_counter()
        bus.send(data)
        # Messages keep their order all the way, so when this one has effect, all before it have.
        bus.register("last.example.com", backend)
        wait_until_served(proxy.port, "last.example.com")
        took = time.perf_counter() - started_at
        del data
        routes = count_routes(routes_port)
        # The log lines of the burst are written, and the memory it took for a moment is given back.
        time.sleep(2.0)
        per_route = (proxy.process.memory().pss - before) / _ROUTES
        idle, busy = [], []
        for _ in range(_ROUNDS):
            idle.append(w1_p99_ms(proxy.port))
            with _registrations(bus):
                busy.append(w1_p99_ms(proxy.port))
    ratio = median(busy) / median(idle)
    return [
        Check(f"{_ROUTES} routes applied", f"{took:.2f} s", f"<= {_MAX_SECONDS} s", took <= _MAX_SECONDS),
        Check("routes in /routes", str(routes), str(_ROUTES + 2), routes == _ROUTES + 2),
        Check(
            "memory of all processes",
            f"{per_route:.0f} bytes per route",
            f"<= {_MAX_BYTES_PER_ROUTE}",
            per_route <= _MAX_BYTES_PER_ROUTE,
        ),
        Check(
            f"p99 of W1 beside {_PER_SECOND} registrations a second",
            f"{median(busy):.2f} ms, without them {median(idle):.2f} ms: {ratio:.2f} x",
            f"<= {_MAX_RATIO} x",
            ratio <= _MAX_RATIO,
        ),
    ]


def w1_p99_ms(port: int) -> float:
    """The 99th percentile of latencies of W1, in milliseconds. Raises RuntimeError if a request fails."""
    result = WrkRun(port, WORKLOADS["W1"], _SECONDS).result()
    if result.errors:
        raise RuntimeError(f"{result.errors} errors")
    return result.p99_ms


def wait_until_served(port: int, host: str) -> None:
    """Return when a request for `host` is answered with 200. Raises RuntimeError if it never is."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with connect(port) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(get_request(SMALL_PATH).replace(HOST.encode(), host.encode()))
            read_response(connection)
            return
        time.sleep(0.01)
    raise RuntimeError(f"{host} is not served after {_PATIENCE} s")


def count_routes(port: int) -> int:
    """The number of routes in `/routes`."""
    answer = subprocess.run(
        ["curl", "--silent", "--user", "u:p", f"http://127.0.0.1:{port}/routes"], check=True, capture_output=True
    )
    return len(orjson.loads(answer.stdout))


@contextlib.contextmanager
def _registrations(bus: Bus) -> Iterator[None]:
    """Repeat registrations in bursts, as many a second as the bar says, until the block ends."""
    commands = list(publication(_ROUTES))
    ended = threading.Event()

    def publish() -> None:
        at = 0
        due = time.monotonic()
        while not ended.wait(max(0.0, due - time.monotonic())):
            bus.send(b"".join(commands[at : at + _BURST]))
            at = (at + _BURST) % _ROUTES
            due += _BURST / _PER_SECOND

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
