"""One of two backends is killed under load: no client sees it, and the process log has the attempts."""

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.load.acceptance.subject import Check, ProxyUnderTest, proxy_under_test
from benchmarks.load.backends import application_backend
from benchmarks.load.workloads import WORKLOADS
from benchmarks.load.wrk import WrkRun

_SECONDS = 12
_KILL_AFTER_SECONDS = 4
_CONNECTIONS = 32
_MESSAGE = "backend-endpoint-failed"


def run(proxy_name: str, workdir: Path) -> list[Check]:
    with (
        application_backend(workdir, "backend-that-stays") as (staying, _),
        application_backend(workdir, "backend-that-dies") as (dying, victim),
        proxy_under_test(proxy_name, workdir, [staying, dying]) as proxy,
    ):
        load = WrkRun(proxy.port, WORKLOADS["W1"], _SECONDS, _CONNECTIONS)
        time.sleep(_KILL_AFTER_SECONDS)
        cpu_seconds_of_victim = victim.cpu_seconds()
        victim.kill()
        wrk = load.result()
        time.sleep(1.0)
        events = _failure_events(proxy)
    # A reset on a connection that was dialled in the backend's last moment must not be retried (spec 5.4).
    # When wrk ends with requests in progress, the lines are the same, but no client has seen an error.
    final = sum(
        not event["data"]["retriable"] and not event["data"]["error"].startswith("context canceled") for event in events
    )
    checks = [
        Check(
            "errors the clients saw, of requests that could be retried",
            f"{max(0, wrk.errors - final)} of {wrk.requests} requests, and {final} that could not",
            "0",
            wrk.errors <= final,
        ),
        Check(
            "the killed backend was at work",
            f"{cpu_seconds_of_victim:.1f} s CPU",
            "> 0.5 s",
            cpu_seconds_of_victim > 0.5,
        ),
    ]
    if proxy_name == "fastrouter":
        attempts = [event for event in events if _names(event, dying)]
        example = json.dumps(attempts[0]) if attempts else "none"
        checks.append(
            Check(f"{_MESSAGE} events for {dying}", f"{len(attempts)}, first: {example}", "> 0", bool(attempts))
        )
    return checks


def _failure_events(proxy: ProxyUnderTest) -> list[dict[str, Any]]:
    lines = proxy.process.stdout.read_text(errors="replace").splitlines()
    events = (json.loads(line) for line in lines if line.startswith("{"))
    return [event for event in events if event.get("message") == _MESSAGE]


def _names(event: dict[str, Any], address: str) -> bool:
    return address in json.dumps(event.get("data"))
