"""Ten upgrades (SIGUSR2) under wrk: no failed request; then a drain (SIGUSR1): what was accepted is answered."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from benchmarks.load.acceptance.subject import Check, ProxyUnderTest, proxy_under_test
from benchmarks.load.backends import static_backend
from benchmarks.load.workloads import WORKLOADS
from benchmarks.load.wrk import WrkRun

_RESTARTS = 10
_CONNECTIONS = 64
# An upgrade takes about a second on two busy cores; the old router then drains for two seconds beside the new one.
_SECONDS_PER_RESTART = 4
_PATIENCE_SECONDS = 30
_DRAIN_AFTER_SECONDS = 3


def run(proxy_name: str, workdir: Path) -> list[Check]:
    if proxy_name != "fastrouter":
        return [Check("upgrades", "not measured: the signals are fastrouter's", "", True)]
    with static_backend(workdir) as backend:
        upgrades = workdir / "upgrades"
        drain = workdir / "drain"
        upgrades.mkdir()
        drain.mkdir()
        return [*_upgrade(upgrades, backend), *_drain(drain, backend)]


def _upgrade(workdir: Path, backend: str) -> list[Check]:
    with proxy_under_test("fastrouter", workdir, [backend]) as proxy:
        _wait_for(proxy, "gorouter.started", 1)
        load = WrkRun(proxy.port, WORKLOADS["W1"], _RESTARTS * _SECONDS_PER_RESTART, _CONNECTIONS)
        pid = proxy.process.pid
        times = []
        try:
            for count in range(1, _RESTARTS + 1):
                started_at = time.monotonic()
                os.kill(pid, signal.SIGUSR2)
                pid = int(_wait_for(proxy, "upgrade-succeeded", count)["data"]["pid"])
                times.append(time.monotonic() - started_at)
                time.sleep(max(0.0, started_at + _SECONDS_PER_RESTART - 0.5 - time.monotonic()))
            wrk = load.result()
        finally:
            if pid != proxy.process.pid:
                os.kill(pid, signal.SIGTERM)
    return [
        Check("upgrades", f"{len(times)}, the slowest {max(times):.1f} s", f"{_RESTARTS}", len(times) == _RESTARTS),
        Check("failed requests", f"{wrk.errors} of {wrk.requests}", "0", wrk.errors == 0 and wrk.requests > 0),
        Check("slowest answer", f"{wrk.max_ms:.0f} ms", "< 2000 ms", wrk.max_ms < 2000),
    ]


def _wait_for(proxy: ProxyUnderTest, message: str, count: int) -> dict[str, Any]:
    """The `count`th line of the process log with this message."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = _events(proxy, message)
        if len(found) >= count:
            return found[count - 1]
        time.sleep(0.02)
    raise RuntimeError(f"{message} is not in the log {count} times")


def _drain(workdir: Path, backend: str) -> list[Check]:
    with proxy_under_test("fastrouter", workdir, [backend]) as proxy:
        _wait_for(proxy, "gorouter.started", 1)
        load = WrkRun(proxy.port, WORKLOADS["W1"], 2 * _DRAIN_AFTER_SECONDS, _CONNECTIONS)
        time.sleep(_DRAIN_AFTER_SECONDS)
        os.kill(proxy.process.pid, signal.SIGUSR1)
        load.result()
        lines = (workdir / "fastrouter" / "access.log").read_text().splitlines()
    failed = [line for line in lines if '" 200 ' not in line]
    timed_out = _events(proxy, "router.drain.timed-out")
    return [
        Check("accepted requests without a 200", f"{len(failed)} of {len(lines)}", "0", bool(lines) and not failed),
        Check("drains that ran into the timeout", f"{len(timed_out)}", "0", not timed_out),
    ]


def _events(proxy: ProxyUnderTest, message: str) -> list[dict[str, Any]]:
    """The lines of the process log with this message; a line that is being written is left out."""
    whole, _, _ = proxy.process.stdout.read_text(errors="replace").rpartition("\n")
    events = (json.loads(line) for line in whole.split("\n") if line.startswith("{"))
    return [event for event in events if event.get("message") == message]
