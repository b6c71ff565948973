"""Several workers count, limit and remember as one (P17, B04, B05, B07, O04)."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, register
from .http_message import response_with
from .metrics_page import MetricsPage, metrics_of
from .nats_server import NatsServerProcess, RawNatsClient
from .processes import command_of
from .raw_backend import BackendStream, ClosedPort, RawBackend, ServingBackend
from .raw_client import RawClient
from .router_process import wait_for

HOST = "app.test"
GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = response_with(b"ok")
# Within it, all endpoints are registered before any worker accepts clients, even on a busy machine.
START_DELAY = "10s"


class HoldingBackend:
    """Counts the requests that it has not answered; answers them all when `release` is called, later ones at once."""

    def __init__(self) -> None:
        self._released = threading.Event()
        self._lock = threading.Lock()
        self.waiting = 0
        self.most = 0
        self.served = 0
        self._backend = ServingBackend(self._serve)
        self.address = self._backend.address

    def _serve(self, stream: BackendStream) -> None:
        stream.read_request()
        with self._lock:
            self.waiting += 1
            self.served += 1
            self.most = max(self.most, self.waiting)
        self._released.wait()
        with self._lock:
            self.waiting -= 1
        stream.send(OK)

    def release(self) -> None:
        self._released.set()

    def close(self) -> None:
        self.release()
        self._backend.close()


@pytest.fixture
def holding() -> Iterator[list[HoldingBackend]]:
    """Three backends that hold requests."""
    backends = [HoldingBackend() for _ in range(3)]
    yield backends
    for backend in backends:
        backend.close()


PROMETHEUS = {"enabled": True, "port": 0, "route_latency": True}


class StartWithEndpoints:
    """Starts a router with metrics whose workers know the endpoints of app.test before the first client can come."""

    def __init__(self, start: StartGorouter, directory: Path) -> None:
        self._start = start
        self._routes = directory / "routes.yml"

    def __call__(self, addresses: list[str], workers: int, **keys: Any) -> GorouterProcess:
        endpoints = [{"address": address} for address in addresses]
        self._routes.write_text(yaml.safe_dump({"routes": [{"route": HOST, "endpoints": endpoints}]}))
        arguments = ["-routes", str(self._routes)]
        router = self._start(arguments=arguments, go_max_procs=workers, prometheus=PROMETHEUS, **keys)
        router.wait_until_started()
        return router


@pytest.fixture
def start(start_gorouter: StartGorouter, tmp_path: Path) -> StartWithEndpoints:
    return StartWithEndpoints(start_gorouter, tmp_path)


def wait_for_sum(router: GorouterProcess, name: str, value: float, **labels: str) -> MetricsPage:
    """Wait until a metric has this value; returns the page that says so."""

    def page_that_says_so() -> MetricsPage | None:
        page = metrics_of(router)
        return page if page.value(name, **labels) == value else None

    return wait_for(page_that_says_so, f"{name} {labels} = {value}")


def send_get(router: GorouterProcess) -> RawClient:
    """Send a request on a connection of its own."""
    client = router.connect()
    client.send(GET)
    return client


def hold_one(router: GorouterProcess, backends: list[HoldingBackend]) -> None:
    """Send a request and wait until a backend has it."""
    before = sum(backend.waiting for backend in backends)
    send_get(router)
    wait_for(lambda: sum(backend.waiting for backend in backends) == before + 1 or None, "the request at a backend")


def kill_worker(router: GorouterProcess, worker: int) -> None:
    """Kill a worker, and wait until its successor accepts clients."""
    os.kill(worker_pid(router, worker), signal.SIGKILL)
    router.wait_for_event("worker-exited")
    wait_for_sum(router, "fastrouter_worker_restarts_total", 1, worker=str(worker))
    router.forgive_deaths(1)


def worker_pid(router: GorouterProcess, worker: int) -> int:
    """The process of a worker by its number."""
    for pid in router.children():
        if f"worker-{worker}" in command_of(pid):
            return pid
    raise AssertionError(f"there is no worker {worker}")


STATUSES = {"/ok": 200, "/moved": 302, "/missing": 404, "/broken": 500}


@pytest.fixture
def answering() -> Iterator[ServingBackend]:
    """A backend that answers with the status that the path stands for."""

    def answer(stream: BackendStream) -> None:
        path = stream.read_request().start_line.split()[1].decode()
        stream.send(b"HTTP/1.1 %d Some Reason\r\nContent-Length: 2\r\n\r\nok" % STATUSES[path])

    with ServingBackend(answer) as backend:
        yield backend


def send_load(router: GorouterProcess, clients: int) -> Counter[int]:
    """Send each kind of request, and one for an unknown host, on each of so many connections; returns the answers."""
    answers: Counter[int] = Counter()
    for _ in range(clients):
        with_host = [(HOST, path) for path in STATUSES] + [("unknown.test", "/")]
        client = router.connect()
        for host, path in with_host:
            client.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            response = client.read_response()
            answers[int(response.start_line.split()[1])] += 1
        client.close()
    return answers


@pytest.mark.parametrize("workers", [2, 3])
def test_sums_over_workers_are_what_was_sent(
    start_gorouter: StartGorouter, nats: RawNatsClient, answering: ServingBackend, workers: int
) -> None:
    router = start_gorouter(
        go_max_procs=workers,
        prometheus=PROMETHEUS,
        per_app_prometheus_http_metrics_reporting=True,
        start_response_delay_interval=START_DELAY,
    )
    router.wait_for_event("Sleeping before returning success on /health endpoint to preload routing table")
    # A static route has no tags.
    register(nats, answering.address, HOST, tags={"component": "web", "source_id": "app-1"})
    router.wait_for_event("endpoint-registered")
    assert not router.events("tcp-listener-started"), "this machine is too slow for START_DELAY"
    router.wait_until_started()
    rounds = 30
    expected: Counter[int] = Counter()
    for part in (1, 2):
        expected += send_load(router, rounds)
        sent = 5 * rounds * part
        forwarded = 4 * rounds * part
        page = wait_for_sum(router, "fastrouter_worker_requests_total", sent)
        for group, status in (("2xx", 200), ("3xx", 302), ("5xx", 500)):
            assert page.value("responses", status_group=group) == expected[status] == rounds * part
        # The other half of 404 is the router's own, which has no endpoint.
        assert page.value("responses", status_group="4xx") == expected[404] / 2 == rounds * part
        assert page.value("responses", status_group="xxx") == 0
        assert page.value("rejected_requests") == rounds * part
        assert page.value("total_requests") == page.value("total_requests", component="web") == forwarded
        assert page.value("latency_count") == page.value("latency_count", component="web") == forwarded
        assert page.value("latency_bucket", component="web", le="+Inf") == forwarded
        assert page.value("http_latency_seconds_count", source_id="app-1") == forwarded
        assert page.value("http_latency_seconds_count", source_id="gorouter") == rounds * part
        assert page.value("fastrouter_route_latency_seconds_count", route=HOST) == forwarded
        assert page.value("fastrouter_route_latency_seconds_count") == forwarded
        assert page.value("gorouter_time_count") == forwarded
        assert page.value("route_lookup_time_count") == sent
        assert page.value("fastrouter_worker_attempts_total") == forwarded
        assert 0 < page.value("latency_sum") < forwarded * 10_000
        assert all(page.values("fastrouter_worker_requests_total")), "the kernel spreads connections over all"
        if part == 1:
            kill_worker(router, 0)
            after = metrics_of(router)
            assert after.value("fastrouter_worker_requests_total") == sent
            assert after.value("responses", status_group="2xx") == rounds


def test_limit_holds_over_all_workers(start: StartWithEndpoints, holding: list[HoldingBackend]) -> None:
    """200 requests at the same time: five at each endpoint, not one more and not one less."""
    router = start([backend.address for backend in holding], 4, backends={"max_conns": 5})
    clients = [router.connect() for _ in range(200)]
    for client in clients:
        client.send(GET)
    # Those that found no place are answered at once, the others when they are released.
    wait_for_sum(router, "backend_exhausted_conns", 185)
    page = wait_for_sum(router, "fastrouter_worker_requests_in_flight", 15)
    assert page.value("fastrouter_worker_client_connections") == 200
    wait_for(lambda: [backend.waiting for backend in holding] == [5, 5, 5] or None, "five requests at each backend")
    for backend in holding:
        backend.release()
    answers = Counter(client.read_response().start_line.split()[1] for client in clients)
    assert answers == {b"200": 15, b"503": 185}
    assert [backend.most for backend in holding] == [5, 5, 5]
    wait_for_sum(router, "fastrouter_worker_requests_in_flight", 0)
    page = metrics_of(router)
    assert page.value("backend_exhausted_conns") == 185
    assert page.value("total_requests") == 15


def test_what_a_killed_worker_had_in_flight_is_free_again(
    start: StartWithEndpoints, holding: list[HoldingBackend]
) -> None:
    router = start([backend.address for backend in holding], 2, backends={"max_conns": 4})
    for _ in range(12):
        hold_one(router, holding)
    page = metrics_of(router)
    held = [page.value("fastrouter_worker_requests_in_flight", worker=str(worker)) for worker in (0, 1)]
    assert sum(held) == 12
    victim = 0 if held[0] else 1
    survivors = held[1 - victim]
    kill_worker(router, victim)
    assert metrics_of(router).value("fastrouter_worker_requests_in_flight") == survivors
    # The places it had taken are there for others.
    waiting = [router.connect() for _ in range(40)]
    for client in waiting:
        client.send(GET)
    wait_for_sum(router, "fastrouter_worker_requests_in_flight", 12)
    wait_for_sum(router, "backend_exhausted_conns", 40 - held[victim])
    for backend in holding:
        backend.release()
    wait_for_sum(router, "fastrouter_worker_requests_in_flight", 0)
    assert Counter(client.read_response().start_line.split()[1] for client in waiting) == {
        b"200": held[victim],
        b"503": 40 - held[victim],
    }


def test_fewest_requests_are_counted_over_all_workers(start: StartWithEndpoints, holding: list[HoldingBackend]) -> None:
    """B03: whichever worker a request comes to, the endpoint with the fewest gets it."""
    router = start([backend.address for backend in holding], 3, balancing_algorithm="least-connection")
    for number in range(1, 31):
        hold_one(router, holding)
        counts = [backend.waiting for backend in holding]
        assert max(counts) - min(counts) <= 1, f"{counts} after {number} requests"
    page = metrics_of(router)
    assert all(page.values("fastrouter_worker_requests_in_flight")), "all workers took part"


def test_failure_that_one_worker_saw_is_known_to_all(start: StartWithEndpoints, answering: ServingBackend) -> None:
    """B05: the endpoint that refuses connections is tried once, not once by each worker."""
    closed = ClosedPort()
    try:
        router = start([closed.address, answering.address], 3, backends={"max_attempts": 3})
        for _ in range(40):
            client = router.connect()
            client.send(b"GET /ok HTTP/1.1\r\nHost: app.test\r\n\r\n")
            assert client.read_response().start_line == b"HTTP/1.1 200 OK"
            client.close()
        page = wait_for_sum(router, "fastrouter_worker_requests_total", 40)
        assert all(page.values("fastrouter_worker_requests_total")), "all workers took part"
        assert page.value("total_requests") == 41
    finally:
        closed.close()


def test_metrics_on_a_port_that_is_taken_end_the_router(start_gorouter: StartGorouter) -> None:
    with RawBackend() as other:
        router = start_gorouter(prometheus={"enabled": True, "port": other.port})
        assert router.wait() == 1
    assert "address already in use" in router.wait_for_event("metrics-listener-error")["data"]["error"]


def test_open_files_and_messages_of_the_bus(start_gorouter: StartGorouter, nats_server: NatsServerProcess) -> None:
    """O10."""
    assert nats_server.port
    router = start_gorouter(go_max_procs=2, prometheus={"enabled": True, "port": 0})
    router.wait_until_started()
    # Three processes, none of which does with fewer than ten; there is a look every five seconds.
    wait_for(lambda: metrics_of(router).value("file_descriptors") > 30 or None, "the files of all processes", 15)
    page = metrics_of(router)
    assert page.value("buffered_messages") == 0
    assert page.value("total_dropped_messages") == 0
