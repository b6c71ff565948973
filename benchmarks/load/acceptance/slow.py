"""500 clients trickling a head and 200 trickling a body must not slow down a normal client."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.acceptance.subject import (
    Check,
    ProxyUnderTest,
    connect,
    get_request,
    proxy_under_test,
    read_response,
)
from benchmarks.load.backends import application_backend

_SLOW_HEADS = 500
_SLOW_BODIES = 200
_MAX_P99_MS = 5.0
_REQUESTS = 4000
# A normal client is one that thinks between its requests: a saturating one would measure its own queue.
_THINKING_SECONDS = 0.002


@dataclass(frozen=True)
class Latencies:
    p50_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: list[float]) -> "Latencies":
        ordered = sorted(second * 1e3 for second in seconds)
        return cls(ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100], ordered[-1])

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms, max {self.max_ms:.2f} ms"


class SlowCrowd:
    """The slow clients, in a process of their own on the load core."""

    def __init__(self, port: int) -> None:
        arguments = [str(port), str(_SLOW_HEADS), str(_SLOW_BODIES)]
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load.acceptance.slow_senders", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> "SlowCrowd":
        self.next_report()
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.kill()
        self._popen.wait()

    def next_report(self) -> dict[str, Any]:
        assert self._popen.stdout is not None
        report: dict[str, Any] = json.loads(self._popen.stdout.readline())
        return report

    def end(self) -> dict[str, Any]:
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        return self.next_report()


def run(proxy_name: str, workdir: Path) -> list[Check]:
    with (
        application_backend(workdir) as (backend, _),
        proxy_under_test(proxy_name, workdir, [backend]) as proxy,
    ):
        backend_port = int(backend.rpartition(":")[2])
        alone, _ = _measure(proxy, backend_port)
        with SlowCrowd(proxy.port) as crowd:
            beside, direct = _measure(proxy, backend_port)
            senders = crowd.end()
    slow_clients = _SLOW_HEADS + _SLOW_BODIES
    return [
        Check("normal client without slow ones", str(alone), "for comparison", True),
        Check("the same past the proxy, with slow ones", str(direct), "for comparison", True),
        Check(
            f"normal client beside {_SLOW_HEADS} slow heads and {_SLOW_BODIES} slow bodies",
            str(beside),
            f"p99 < {_MAX_P99_MS:.0f} ms",
            beside.p99_ms < _MAX_P99_MS,
        ),
        Check(
            "slow clients still connected at the end",
            f"{senders['alive']}, sender at most {senders['lateness_ms']:.1f} ms late",
            str(slow_clients),
            senders["alive"] == slow_clients,
        ),
    ]


def _measure(proxy: ProxyUnderTest, backend_port: int) -> tuple[Latencies, Latencies]:
    """Latencies through the proxy and directly to the backend, in turns: the second is the noise of the machine."""
    request = get_request("/normal")
    with proxy.connect() as through_proxy, connect(backend_port) as direct:
        connections = (through_proxy, direct)
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(_REQUESTS):
            for connection, taken in zip(connections, seconds, strict=True):
                time.sleep(_THINKING_SECONDS)
                started = time.perf_counter()
                connection.sendall(request)
                read_response(connection)
                taken.append(time.perf_counter() - started)
    return Latencies.of(seconds[0]), Latencies.of(seconds[1])
