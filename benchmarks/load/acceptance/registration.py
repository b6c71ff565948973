"""One registration comes in over a real NATS server: how soon is its route there, with two workers?

The publisher sends a message, and straight behind it a request for the new host on a connection that is open already:
the message goes through the server, the control process and a worker's channel, the request right to a worker. All
processes run on any core, as they would without a measurement.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import quantiles
from typing import Self

from benchmarks.load.acceptance.subject import Check, connect
from benchmarks.load.backends import static_backend
from benchmarks.load.nats import nats_server
from benchmarks.load.processes import ALL_CORES, free_port, listening
from benchmarks.load.workloads import SMALL_PATH

_WORKERS = 2
_TRIES = 300
# So many that each worker has some of them.
_CONNECTIONS = 16
_MIN_ROUTED = 200
_MAX_P50_MS = 1.0
# Until a route is there, in seconds.
_PATIENCE = 10.0
# Between two tries: each finds everybody asleep, as the single registration of an app does.
_PAUSE = 0.005


def run(proxy_name: str, workdir: Path) -> list[Check]:
    if proxy_name != "fastrouter":
        raise RuntimeError(f"{proxy_name} does not listen to NATS")
    with (
        _on_any_core(),
        static_backend(workdir) as backend,
        nats_server(workdir) as nats_port,
        _router(workdir, nats_port) as port,
        _publisher(nats_port, backend) as publish,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(_Client(port)) for _ in range(_CONNECTIONS)]
        publish("warm-up.test")
        for client in clients:
            client.wait_until_routed("warm-up.test")
        routed = 0
        for number in range(_TRIES):
            time.sleep(_PAUSE)
            publish(f"raced-{number}.test")
            routed += clients[number % _CONNECTIONS].is_routed(f"raced-{number}.test")
        times = []
        for number in range(_TRIES):
            time.sleep(_PAUSE)
            began_at = time.perf_counter()
            publish(f"polled-{number}.test")
            clients[number % _CONNECTIONS].wait_until_routed(f"polled-{number}.test")
            times.append((time.perf_counter() - began_at) * 1e3)
    percentiles = quantiles(times, n=100)
    p50, p99 = percentiles[49], percentiles[98]
    return [
        Check(
            "requests straight after the publication that were routed",
            f"{routed} of {_TRIES}",
            f">= {_MIN_ROUTED} of {_TRIES}",
            routed >= _MIN_ROUTED,
        ),
        Check(
            "from the publication to the first answer of the app",
            f"p50 {p50:.2f} ms, p99 {p99:.2f} ms",
            f"p50 <= {_MAX_P50_MS} ms",
            p50 <= _MAX_P50_MS,
        ),
    ]


@contextlib.contextmanager
def _on_any_core() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextlib.contextmanager
def _router(workdir: Path, nats_port: int) -> Iterator[int]:
    """A router on the bus; gives its port once all its workers are there."""
    port = free_port()
    config = workdir / "gorouter.yml"
    config.write_text(
        json.dumps(
            {
                "port": port,
                "go_max_procs": _WORKERS,
                "nats": {"hosts": [{"hostname": "127.0.0.1", "port": nats_port}]},
                "status": {"port": 0, "routes": {"port": 0}},
                "logging": {"level": "info"},
                "access_log": {"file": str(workdir / "access.log")},
                "start_response_delay_interval": "0s",
                "disable_keep_alives": False,
                "max_idle_conns_per_host": 100,
            }
        )
    )
    command = [str(Path(sys.executable).with_name("fastrouter")), "-c", str(config)]
    with listening("fastrouter", command, ALL_CORES, workdir, port):
        yield port


@contextlib.contextmanager
def _publisher(nats_port: int, backend: str) -> Iterator[Callable[[str], None]]:
    """Gives a function that registers the backend for a host, and does not wait for anybody."""
    ip, _, backend_port = backend.rpartition(":")
    with connect(nats_port) as connection:
        connection.sendall(b'CONNECT {"verbose":false}\r\n')

        def publish(host: str) -> None:
            body = json.dumps({"host": ip, "port": int(backend_port), "uris": [host], "app": "app"}).encode()
            connection.sendall(b"PUB router.register %d\r\n%s\r\n" % (len(body), body))

        yield publish


class _Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = connect(port)
        self._answers = self._connection.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._connection.close()

    def is_routed(self, host: str) -> bool:
        """Whether a request gets to the app."""
        self._connection.sendall(f"GET {SMALL_PATH} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        status = int(self._answers.readline().split()[1])
        if status not in (200, 404):
            raise RuntimeError(f"{status} for {host}")
        length = 0
        while (line := self._answers.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self._answers.read(length)
        return status == 200

    def wait_until_routed(self, host: str) -> None:
        """Ask again and again."""
        deadline = time.monotonic() + _PATIENCE
        while not self.is_routed(host):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{host} is not routed after {_PATIENCE} s")
