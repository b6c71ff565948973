"""The debug server of a running router (O09, N19)."""

import http.client
import os
import signal
import socket
from itertools import count

from .byte_stream import PATIENCE
from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, register
from .http_message import response_with
from .nats_server import RawNatsClient
from .processes import is_alive
from .raw_backend import ClosedPort, RawBackend
from .raw_client import RawClient
from .router_process import wait_for

# An address of its own: the harness finds the listener of /routes by its 127.0.0.1.
LOOPBACK = "127.0.0.2"

# As good as certainly, of so many connections each worker gets one.
MANY = 32


def debug_port(router: GorouterProcess) -> int:
    port: str = router.wait_for_event("debugserver-started")["data"]["address"].rpartition(":")[2]
    return int(port)


def ask(port: int, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=PATIENCE)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


class Limited:
    """A route whose only endpoint is busy: every request gets 503, and an info line of its worker with its host."""

    def __init__(self, router: GorouterProcess, nats: RawNatsClient, backend: RawBackend, closed: ClosedPort) -> None:
        self._router = router
        self._nats = nats
        self._backend = backend
        self._closed = closed
        self._numbers = count()
        register(nats, backend.address, "*.limited.test")
        wait_for(lambda: router.addresses("*.limited.test"), "the route")

    def occupy(self) -> RawClient:
        """Have the endpoint serve a request that does not end."""
        client = self._router.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: first.limited.test\r\n\r\n")
        self._backend.accept_request()
        return client

    def fill(self) -> set[str]:
        """Send requests to all workers; returns the hosts they were sent to."""
        hosts = {f"{next(self._numbers)}.limited.test" for _ in range(MANY)}
        assert {self._router.status_of(host) for host in hosts} == {503}
        return hosts

    def logged(self) -> set[str]:
        return {event["data"]["host"] for event in self._router.events("connection-limit-reached")}

    def wait_until_logged(self, hosts: set[str]) -> None:
        wait_for(lambda: hosts <= self.logged() or None, "a line for each request")

    def wait_for_workers(self) -> str:
        """Wait until all workers serve a new route: by then they have handled all earlier orders."""
        host = f"new-{next(self._numbers)}.test"
        register(self._nats, self._closed.address, host)
        wait_for(lambda: 404 not in {self._router.status_of(host) for _ in range(MANY)} or None, "the new route")
        return host


def test_lines_about_each_request_come_and_go_with_the_level(start_gorouter: StartGorouter) -> None:
    router = start_gorouter(debug_addr=f"{LOOPBACK}:0", logging={"level": "info"})
    router.wait_until_started()
    message = "vcap-request-id-header-set"
    assert router.status_of("quiet.test") == 404
    assert ask(debug_port(router), "PUT", "/log-level", "debug") == (200, "debug\n")
    sent = 0

    def told() -> bool | None:
        nonlocal sent
        sent += 1
        assert router.status_of("told.test") == 404
        return bool(router.events(message)) or None

    wait_for(told, "a line about a request")
    event = router.events(message)[0]
    assert (event["log_level"], event["source"]) == (0, "gorouter.stdout")
    router.stop()
    assert len(router.events(message)) <= sent, "none about the first"


def test_level_is_changed_in_all_processes(
    start_gorouter: StartGorouter, nats: RawNatsClient, backend: RawBackend, closed_port: ClosedPort
) -> None:
    router = start_gorouter(
        debug_addr=f"{LOOPBACK}:0", logging={"level": "info"}, go_max_procs=2, backends={"max_conns": 1}
    )
    router.wait_until_started()
    port = debug_port(router)
    limited = Limited(router, nats, backend, closed_port)
    limited.occupy()
    limited.wait_until_logged(limited.fill())

    assert ask(port, "PUT", "/log-level", "error") == (200, "error\n")
    unheard = limited.wait_for_workers()
    silent = limited.fill()
    # Workers that are started now begin with that level.
    workers = router.children()
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    router.close_clients()
    wait_for(lambda: None if any(map(is_alive, workers)) else True, "the end of the workers")
    wait_for(lambda: len(router.children()) == 2 or None, "their successors")
    limited.wait_for_workers()
    limited.occupy()
    silent |= limited.fill()

    assert ask(port, "POST", "/log-level", "debug") == (200, "debug\n")
    logged = limited.wait_for_workers()
    limited.wait_until_logged(limited.fill())
    assert not silent & limited.logged()
    uris = {event["data"]["uri"] for event in router.events("route-registered")}
    assert logged in uris
    assert unheard not in uris
    router.forgive_deaths(2)


def test_what_is_no_level_changes_nothing(start_gorouter: StartGorouter) -> None:
    router = start_gorouter(debug_addr=f"{LOOPBACK}:0", logging={"level": "info"})
    router.wait_until_started()
    started = router.wait_for_event("debugserver-started")
    assert started["log_level"] == 1
    assert started["data"]["log_level"] == "info"
    assert started["data"]["log_format"] == "unix-epoch"
    port = debug_port(router)
    assert ask(port, "PUT", "/log-level", "loud")[0] == 400
    assert ask(port, "PUT", "/log-level")[0] == 400
    assert ask(port, "GET", "/log-level") == (200, "info\n")
    assert ask(port, "GET", "/debug/pprof/heap")[0] == 404
    assert "run_until_complete" in ask(port, "GET", "/debug/pprof/goroutine")[1]


def test_address_that_is_taken_is_not_fatal(
    start_gorouter: StartGorouter, nats: RawNatsClient, backend: RawBackend
) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        router = start_gorouter(debug_addr=f"{LOOPBACK}:{port}")
        router.wait_until_started()
        failure = router.wait_for_event("failed-to-start-debug-server")
    assert failure["log_level"] == 3
    assert f"listen tcp {LOOPBACK}:{port}: bind: address already in use" in failure["data"]["error"]
    register(nats, backend.address, "app.test")
    wait_for(lambda: router.addresses("app.test"), "the route")
    client = router.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
    backend.accept_request()[0].send(response_with())
    assert client.read_response().status == 200


def test_what_is_no_address_is_not_fatal(start_gorouter: StartGorouter) -> None:
    router = start_gorouter(debug_addr="nowhere")
    router.wait_until_started()
    assert "nowhere" in router.wait_for_event("failed-to-start-debug-server")["data"]["error"]


def test_listener_goes_to_the_successor(start_gorouter: StartGorouter) -> None:
    router = start_gorouter(debug_addr=f"{LOOPBACK}:0")
    router.wait_until_started()
    port = debug_port(router)
    router.send_signal(signal.SIGUSR2)
    successor: int = router.wait_for_event("upgrade-succeeded", 30.0)["data"]["pid"]
    try:
        assert router._process.wait(PATIENCE) == 0
        assert ask(port, "PUT", "/log-level", "warn") == (200, "warn\n")
    finally:
        os.kill(successor, signal.SIGTERM)
        wait_for(lambda: None if is_alive(successor) else True, "the end of the successor")
