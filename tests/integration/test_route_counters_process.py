"""Counts by route survive workers and upgrades (issue 16), with the real executable."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastrouter.ipc.route_counters import ROUTE_SLOTS, RouteCounterReader, RouteCounts, attach_route_counters

from .generations import Generations, with_route
from .gorouter_process import get
from .nats_server import NatsServerProcess
from .processes import children_of, command_of
from .raw_backend import ServingBackend
from .router_process import wait_for

HOST = "app.test"
Start = Callable[..., Generations]


@pytest.fixture
def start(nats_server: NatsServerProcess, tmp_path: Path) -> Iterator[Start]:
    started: list[Generations] = []

    def start(address: str, **keys: Any) -> Generations:
        started.append(Generations(tmp_path, nats_server, *with_route(tmp_path, HOST, address), **keys))
        return started[-1]

    yield start
    for generations in started:
        generations.stop()


def counts_of(pid: int, workers: int) -> RouteCounts | None:
    """What a control process has in its mapping of the only route."""
    directory = Path(f"/proc/{pid}/fd")
    for entry in directory.iterdir():
        if "memfd:fastrouter-routes" in str(entry.readlink()):
            counters = attach_route_counters(os.open(entry, os.O_RDWR), blocks=2 * workers, slots=ROUTE_SLOTS)
            reader = RouteCounterReader(counters)
            snapshot = reader.snapshot()
            slots = snapshot.top("requests", 1)[0] or snapshot.top("inflight", 1)[0]
            return reader.counts(snapshot, slots[0], HOST) if slots else None
    raise AssertionError("the router has no mapping")


def workers_of(pid: int) -> list[int]:
    return [child for child in children_of(pid) if "fastrouter.worker" in command_of(child)]


def ask(routers: Generations, times: int) -> None:
    for _ in range(times):
        assert get(routers.port, "/", Host=HOST)[0] == 200


def wait_for_counts(routers: Generations, requests: int, workers: int) -> RouteCounts:
    def counted() -> RouteCounts | None:
        counts = counts_of(routers.current, workers)
        return counts if counts is not None and counts.requests == requests and counts.in_flight == 0 else None

    return wait_for(counted, f"{requests} requests, there are {counts_of(routers.current, workers)}")


def test_counts_survive_workers_and_upgrades(start: Start, serving: ServingBackend) -> None:
    routers = start(serving.address, go_max_procs=2)
    ask(routers, 5)
    assert wait_for_counts(routers, 5, 2).responses == (5, 0, 0, 0, 0)
    before = workers_of(routers.current)
    os.kill(before[0], signal.SIGKILL)
    wait_for(
        lambda: True if len(after := workers_of(routers.current)) == 2 and before[0] not in after else None,
        "another worker",
    )
    ask(routers, 5)
    wait_for_counts(routers, 10, 2)
    for requests in (15, 20):
        old = routers.current
        routers.upgrade()
        routers.wait_gone(old)
        ask(routers, 5)
        wait_for_counts(routers, requests, 2)
    routers.first.forgive_deaths(1)


def test_another_number_of_workers_counts_anew(start: Start, serving: ServingBackend) -> None:
    routers = start(serving.address, go_max_procs=1)
    ask(routers, 3)
    wait_for_counts(routers, 3, 1)
    old = routers.current
    routers.configure(go_max_procs=2)
    routers.upgrade()
    routers.wait_gone(old)
    ask(routers, 2)
    wait_for_counts(routers, 2, 2)
    assert routers.wait_for("route-counters-refused")["error"] == "memory has another size"
