"""Restarts without a lost request: SIGUSR2, what can go wrong with a successor, drains and deaths under load."""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from fastrouter.control.upgrade import running_routers

from .byte_stream import PATIENCE
from .generations import Generations, with_route
from .gorouter_process import configuration, get, listening_addresses
from .http_message import response_with
from .issuer import Issuer
from .nats_server import NatsServerProcess
from .processes import children_of, command_of, is_alive, sockets_of
from .raw_backend import BackendStream, RawBackend, ReservedPort, ServingBackend
from .raw_client import RawClient
from .router_process import EXECUTABLE, START_PATIENCE, RouterProcess, wait_for
from .steady_load import SteadyLoad
from .tls_front import TlsClient, client_context, tls_keys

T = TypeVar("T")

HOST = "app.test"
REQUEST = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


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


def workers_of(pid: int) -> list[int]:
    return [child for child in children_of(pid) if "fastrouter.worker" in command_of(child)]


def ask(port: int) -> int:
    return get(port, "/", Host=HOST)[0]


class TestUnderLoad:
    def test_no_request_fails_over_several_restarts(self, start: Start, serving: ServingBackend) -> None:
        routers = start(serving.address, go_max_procs=2)
        health_port = routers.first.health_port
        with SteadyLoad(routers.port, HOST, keeping=4, fresh=2) as load:
            unhealthy = HealthChecks(health_port)
            for _ in range(3):
                load.wait_for_more(50)
                routers.upgrade()
            load.wait_for_more(50)
            for pid in routers.pids[:-1]:
                routers.wait_gone(pid)
            load.wait_for_more(50)
            unhealthy.end()
        assert load.failures == []
        assert unhealthy.failures == []
        assert unhealthy.count > 0
        assert len(routers.first.wait_for_events("upgrade-succeeded", 3)) == 3
        # No generation has failed.
        assert len(routers.first.wait_for_events("gorouter.exited", 3)) == 3
        assert serving.errors == []

    def test_a_killed_worker_fails_what_it_had_in_hand_and_is_replaced_at_once(
        self, start: Start, serving: ServingBackend
    ) -> None:
        routers = start(serving.address, go_max_procs=2)
        victim, _ = workers_of(routers.current)
        keeping, fresh = 4, 1
        with SteadyLoad(routers.port, HOST, keeping=keeping, fresh=fresh) as load:
            load.wait_for_more(50)
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: accepting_workers(routers, 2, victim), "a successor")
            load.wait_for_more(50)
        assert routers.wait_for("worker-exited")["restart_in"] == 100_000_000
        assert len(load.failures) <= keeping + fresh
        assert not any(failure.startswith("connect:") for failure in load.failures)
        routers.first.forgive_deaths(1)

    def test_a_drain_lets_every_request_in_progress_finish(self, start: Start) -> None:
        release = threading.Event()
        arrived = threading.Semaphore(0)

        def hold(stream: BackendStream) -> None:
            stream.read_request()
            arrived.release()
            assert release.wait(PATIENCE)
            stream.send(response_with())

        with ServingBackend(hold) as backend:
            routers = start(backend.address, go_max_procs=2, drain_wait="0s", drain_timeout="20s")
            clients = [RawClient(routers.port) for _ in range(20)]
            for client in clients:
                client.send(REQUEST)
            for _ in clients:
                assert arrived.acquire(timeout=PATIENCE)
            os.kill(routers.current, signal.SIGUSR1)
            routers.wait_for("gorouter-draining")
            wait_for(lambda: None if can_connect(routers.port) else True, "the listeners to be closed")
            release.set()
            assert {client.read_response().status for client in clients} == {200}
            for client in clients:
                client.close()
            routers.wait_gone(routers.current)
            assert backend.errors == []

    def test_a_drain_fails_no_request_on_kept_connections(self, start: Start, serving: ServingBackend) -> None:
        routers = start(serving.address, go_max_procs=2, drain_wait="0s", drain_timeout="20s")
        with SteadyLoad(routers.port, HOST, keeping=8, is_leaving=True) as load:
            load.wait_for_more(200)
            os.kill(routers.current, signal.SIGUSR1)
            routers.wait_gone(routers.current)
        assert load.failures == []
        assert serving.errors == []
        assert routers.events("router.drain.timed-out") == []

    def test_a_drain_serves_requests_that_have_arrived_on_idle_connections(
        self, start: Start, serving: ServingBackend
    ) -> None:
        """The worker stands still while they arrive, and receives the order to drain together with them."""
        routers = start(serving.address, drain_wait="0s", drain_timeout="20s")
        (worker,) = workers_of(routers.current)
        clients = [RawClient(routers.port) for _ in range(10)]
        for client in clients:
            client.send(REQUEST)
            assert client.read_response().status == 200
        os.kill(worker, signal.SIGSTOP)
        try:
            for client in clients:
                client.send(REQUEST)
            os.kill(routers.current, signal.SIGUSR1)
            # It was not waited for any longer; its order lies in the channel.
            routers.wait_for("Draining with 0 outstanding idle connections")
        finally:
            os.kill(worker, signal.SIGCONT)
        for client in clients:
            response = client.read_response()
            assert response.status == 200
            assert response.value(b"Connection") == b"close"
            client.expect_end()
            client.close()
        routers.wait_gone(routers.current)
        assert routers.events("router.drain.timed-out") == []


class HealthChecks:
    """Asks for health again and again, on new connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._is_over = threading.Event()
        self.count = 0
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                status, _ = get(self._port, "/health")
                if status != 200:
                    self.failures.append(f"status {status}")
            except OSError as error:
                self.failures.append(repr(error))
            self.count += 1

    def end(self) -> None:
        self._is_over.set()
        self._thread.join(PATIENCE)


def accepting_workers(routers: Generations, count: int, without: int) -> bool | None:
    """Whether so many workers listen, without the one that was killed."""
    pids = [pid for pid in workers_of(routers.current) if pid != without]
    return True if sum(listens(pid, routers.port) for pid in pids) == count else None


def listens(pid: int, port: int) -> bool:
    inodes = {
        line.split()[9]
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) == port
    }
    return not inodes.isdisjoint(sockets_of(pid))


def can_connect(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class TestHandOver:
    def test_the_successor_has_all_listeners_and_the_old_router_ends(
        self, start: Start, serving: ServingBackend
    ) -> None:
        routers = start(serving.address, prometheus={"enabled": True, "port": 0})
        before = sorted(listening_addresses(routers.current))
        routers.upgrade()
        routers.wait_gone(routers.first.pid)
        assert sorted(listening_addresses(routers.current)) == before
        assert ask(routers.port) == 200
        assert sorted(routers.wait_for("upgrade-started")["listeners"]) == ["clients", "health", "metrics", "routes"]
        inherited = routers.wait_for("listeners-inherited")["names"]
        assert sorted(inherited) == ["clients", "health", "metrics", "routes"]

    def test_https_goes_on(self, start: Start, serving: ServingBackend) -> None:
        issuer = Issuer()
        generations = start(serving.address, **tls_keys(issuer.pair(HOST)))
        port = generations.wait_for("tls-listener-started")["address"]["Port"]
        context = client_context(issuer)

        def ask() -> int:
            with TlsClient(port, context) as client:
                client.send(REQUEST)
                return client.read_response().status

        assert ask() == 200
        generations.upgrade()
        assert generations.wait_for("tls-listener-started", 2)["address"]["Port"] == port
        assert ask() == 200
        generations.wait_gone(generations.first.pid)
        assert ask() == 200

    def test_nothing_is_lost_that_waits_to_be_accepted(self, start: Start, serving: ServingBackend) -> None:
        """The only worker of the old router stands still: what waits in its socket's queue is for the successor."""
        routers = start(serving.address)
        (worker,) = workers_of(routers.current)
        os.kill(worker, signal.SIGSTOP)
        try:
            clients = [RawClient(routers.port) for _ in range(10)]
            for client in clients:
                client.send(REQUEST)
            routers.upgrade()
            assert [client.read_response().status for client in clients] == [200] * 10
        finally:
            os.kill(worker, signal.SIGCONT)
        for client in clients:
            client.close()

    def test_a_request_in_progress_is_finished_by_the_old_router(self, start: Start, backend: RawBackend) -> None:
        routers = start(backend.address)
        client = RawClient(routers.port)
        client.send(REQUEST)
        stream, _ = backend.accept_request()
        routers.upgrade()
        routers.wait_for("Draining with 1 outstanding active connections")
        stream.send(response_with(b"late"))
        response = client.read_response()
        assert response.body == b"late"
        assert response.value(b"Connection") == b"close"
        client.expect_end()
        routers.wait_gone(routers.first.pid)

    def test_an_idle_connection_has_one_more_request(self, start: Start, serving: ServingBackend) -> None:
        routers = start(serving.address)
        client = RawClient(routers.port)
        client.send(REQUEST)
        assert not client.read_response().has(b"Connection")
        routers.upgrade()
        routers.wait_for("Draining with 1 outstanding idle connections")
        client.send(REQUEST)
        response = client.read_response()
        assert response.status == 200
        assert response.value(b"Connection") == b"close"
        client.expect_end()

    def test_a_handshake_that_has_begun_is_finished_by_the_old_router(
        self, start: Start, serving: ServingBackend
    ) -> None:
        issuer = Issuer()
        routers = start(serving.address, **tls_keys(issuer.pair(HOST)))
        client = RawClient(routers.wait_for("tls-listener-started")["address"]["Port"])
        received, to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context(issuer).wrap_bio(received, to_send, server_hostname=HOST)

        def carry_on(step: Callable[[], T]) -> T:
            """Take a step of TLS, which may need what the router has to say."""
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    client.send(to_send.read())
                    data = client.socket.recv(65536)
                    assert data, "the router has hung up"
                    received.write(data)

        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        client.send(to_send.read())
        received.write(client.socket.recv(65536))
        routers.upgrade()
        routers.wait_for("Draining with 0 outstanding idle connections")
        carry_on(tls.do_handshake)
        tls.write(REQUEST)
        client.send(to_send.read())
        head = b""
        while b"\r\n\r\n" not in head:
            head += carry_on(tls.read)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nConnection: close\r\n" in head
        client.close()
        routers.wait_gone(routers.first.pid)

    def test_an_idle_connection_does_not_hold_up_the_end(self, start: Start, serving: ServingBackend) -> None:
        routers = start(serving.address)
        client = RawClient(routers.port)
        client.send(REQUEST)
        assert client.read_response().status == 200
        routers.upgrade()
        client.expect_end()
        routers.wait_gone(routers.first.pid)

    def test_another_number_of_workers(self, start: Start, serving: ServingBackend) -> None:
        routers = start(serving.address, go_max_procs=3)
        for count in (1, 2):
            routers.configure(go_max_procs=count)
            routers.upgrade()
            for pid in routers.pids[:-1]:
                routers.wait_gone(pid)
            assert len(workers_of(routers.current)) == count
            # The kernel spreads them over all sockets there are.
            assert [ask(routers.port) for _ in range(20)] == [200] * 20

    def test_another_port(self, start: Start, serving: ServingBackend, reserved_port: ReservedPort) -> None:
        routers = start(serving.address)
        routers.configure(port=reserved_port.number)
        routers.upgrade()
        assert ask(reserved_port.number) == 200
        routers.wait_gone(routers.first.pid)
        assert not can_connect(routers.port)

    def test_listeners_that_the_new_configuration_does_without(self, start: Start, serving: ServingBackend) -> None:
        issuer = Issuer()
        hairpin = {"route_services_hairpinning": True, "route_services_internal_server_port": 0}
        secured = {**tls_keys(issuer.pair(HOST)), "route_services_secret": "s", **hairpin}
        routers = start(serving.address, debug_addr="127.0.0.1:0", **secured)
        port = routers.wait_for("tls-listener-started")["address"]["Port"]
        internal = routers.wait_for("internal-listener-started")["address"]["Port"]
        debug = int(routers.wait_for("debugserver-started")["address"].rpartition(":")[2])
        routers.configure(enable_ssl=False, route_services_secret="", debug_addr="")
        routers.upgrade()
        routers.wait_gone(routers.first.pid)
        assert get(routers.port, "/", Host=HOST)[0] == 200
        for process in (routers.current, *workers_of(routers.current)):
            assert not any(listens(process, gone) for gone in (port, internal, debug))
        # And back again.
        routers.configure()
        routers.upgrade()
        routers.wait_gone(routers.pids[1])
        assert get(routers.port, "/", Host=HOST)[0] == 200
        with TlsClient(routers.wait_for("tls-listener-started", 2)["address"]["Port"], client_context(issuer), HOST):
            pass

    def test_a_stop_ends_the_old_router_at_once(self, start: Start, backend: RawBackend) -> None:
        routers = start(backend.address)
        with RawClient(routers.port) as client:
            client.send(REQUEST)
            backend.accept_request()
            routers.upgrade()
            routers.wait_for("Draining with 1 outstanding active connections")
            os.kill(routers.first.pid, signal.SIGTERM)
            routers.wait_gone(routers.first.pid)


class TestFailure:
    def test_a_successor_that_does_not_start(self, start: Start, serving: ServingBackend) -> None:
        routers = start(serving.address)
        routers.configure(balancing_algorithm="no-such-thing")
        routers.begin_upgrade()
        assert routers.wait_for("upgrade-failed") == {"error": "the successor ended: exited with status 1"}
        assert ask(routers.port) == 200
        assert routers.first.health() == 200
        routers.configure()
        routers.upgrade()
        assert ask(routers.port) == 200

    def test_a_successor_that_takes_too_long(
        self, start: Start, serving: ServingBackend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FASTROUTER_UPGRADE_TIMEOUT", "0.5")
        routers = start(serving.address)
        routers.configure(start_response_delay_interval="600s")
        pid = routers.begin_upgrade()
        assert routers.wait_for("upgrade-failed") == {"error": "the successor does not serve after 0.5 s"}
        wait_for(lambda: None if is_alive(pid) else True, "the end of the successor")
        assert ask(routers.port) == 200

    def test_signals_during_an_upgrade_are_ignored(self, start: Start, serving: ServingBackend) -> None:
        routers = start(serving.address)
        routers.configure(start_response_delay_interval="600s")
        pid = routers.begin_upgrade()
        os.kill(routers.current, signal.SIGUSR2)
        assert routers.wait_for("gorouter.signal.ignored") == {"signal": "user defined signal 2"}
        assert len(routers.events("upgrade-started")) == 1
        os.kill(pid, signal.SIGKILL)
        assert routers.wait_for("upgrade-failed") == {"error": "the successor ended: killed by SIGKILL"}
        assert ask(routers.port) == 200

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGKILL])
    def test_a_router_that_ends_during_an_upgrade_leaves_no_successor(
        self, number: int, start: Start, serving: ServingBackend
    ) -> None:
        routers = start(serving.address)
        routers.configure(start_response_delay_interval="600s")
        pid = routers.begin_upgrade()
        wait_for(lambda: workers_of(pid) or None, "workers of the successor", START_PATIENCE)
        family = [pid, *workers_of(pid), *workers_of(routers.current)]
        os.kill(routers.current, number)
        code = routers.first._process.wait(PATIENCE)
        assert code == (-number if number == signal.SIGKILL else 0)
        wait_for(lambda: None if any(map(is_alive, family)) else True, "the end of everybody")
        routers.pids.clear()


class TestCommand:
    def test_prints_the_successor(self, start: Start, serving: ServingBackend) -> None:
        routers = start(serving.address)
        command = upgrade_command(routers.current)
        assert command.stderr == ""
        assert command.returncode == 0
        routers.pids.append(int(command.stdout))
        assert routers.wait_for("upgrade-succeeded")["pid"] == routers.current
        assert ask(routers.port) == 200

    def test_tells_why_there_is_none(self, start: Start, serving: ServingBackend) -> None:
        routers = start(serving.address)
        routers.configure(balancing_algorithm="no-such-thing")
        command = upgrade_command(routers.current)
        assert command.returncode == 1
        reason = "the successor ended: exited with status 1"
        assert command.stderr == f"Error: process {routers.current} goes on: {reason}\n"

    def test_a_process_that_is_none(self) -> None:
        with subprocess.Popen(["/bin/true"]) as gone:
            gone.wait()
        command = upgrade_command(gone.pid)
        assert command.returncode == 1
        assert command.stderr == f"Error: process {gone.pid}: no such process\n"

    def test_a_process_that_is_no_router(self) -> None:
        with subprocess.Popen(["sleep", "600"]) as sleep:
            try:
                command = upgrade_command(sleep.pid)
                assert command.returncode == 1
                assert command.stderr == f"Error: process {sleep.pid} is no control process of a router\n"
                assert is_alive(sleep.pid)
            finally:
                sleep.kill()

    def test_a_worker(self, start: Start, serving: ServingBackend) -> None:
        routers = start(serving.address)
        (worker,) = workers_of(routers.current)
        command = upgrade_command(worker)
        assert command.returncode == 1
        assert command.stderr == f"Error: process {worker} is no control process of a router\n"
        assert is_alive(worker)
        assert routers.events("upgrade-started") == []

    def test_a_process_under_a_name_that_is_another_s(self) -> None:
        with (
            subprocess.Popen(["sleep", "600"]) as sleep,
            socket.socket(socket.AF_UNIX) as impostor,
        ):
            try:
                impostor.bind(f"\0fastrouter-router-{sleep.pid}")
                impostor.listen()
                command = upgrade_command(sleep.pid)
                assert command.returncode == 1
                assert command.stderr == f"Error: process {sleep.pid} is no control process of a router\n"
                assert is_alive(sleep.pid)
            finally:
                sleep.kill()

    def test_a_process_that_would_die_of_the_signal(self) -> None:
        listens = "import os, socket, sys; s = socket.socket(socket.AF_UNIX); "
        listens += "s.bind(f'\\0fastrouter-router-{os.getpid()}'); s.listen(); print(flush=True); sys.stdin.read()"
        with subprocess.Popen([sys.executable, "-c", listens], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as naive:
            assert naive.stdout is not None
            naive.stdout.readline()
            command = upgrade_command(naive.pid)
            assert command.returncode == 1
            assert command.stderr == f"Error: process {naive.pid} does not handle SIGUSR2\n"
            assert is_alive(naive.pid)
            assert naive.stdin is not None
            naive.stdin.close()

    def test_many_looks_leave_nothing_behind(self, start: Start, serving: ServingBackend) -> None:
        routers = start(serving.address)
        for _ in range(300):
            with socket.socket(socket.AF_UNIX) as visitor:
                visitor.settimeout(PATIENCE)
                visitor.connect(f"\0fastrouter-router-{routers.current}")
                # Its end is closed at once.
                assert visitor.recv(1) == b""


def test_the_command_finds_the_routers_that_there_are(tmp_path: Path) -> None:
    """Other routers may run on this machine, so that it cannot be told which one is meant."""
    first, second = (RouterProcess({}, tmp_path / name) for name in ("a.log", "b.log"))
    try:
        found = running_routers()
        assert {first.pid, second.pid} <= set(found)
        assert not {first.children()[0], os.getpid()} & set(found)
        asked = subprocess.run([EXECUTABLE, "upgrade"], capture_output=True, text=True, check=False, timeout=30)
        assert asked.returncode == 1
        pids = re.findall(r"[0-9]+", asked.stderr)
        assert asked.stderr == f"Error: several routers run here ({', '.join(pids)}): say which one with --pid\n"
        assert {str(first.pid), str(second.pid)} <= set(pids)
    finally:
        first.stop()
        second.stop()


def upgrade_command(pid: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EXECUTABLE, "upgrade", "--pid", str(pid)], capture_output=True, text=True, check=False, timeout=30
    )


def test_a_descriptor_that_does_not_listen_is_refused(nats_server: NatsServerProcess, tmp_path: Path) -> None:
    with socket.socket() as silent, socket.socket() as line:
        path = tmp_path / "gorouter.yml"
        path.write_text(yaml.safe_dump(configuration(nats_server.port)))
        run = subprocess.run(
            [EXECUTABLE, "-c", str(path)],
            capture_output=True,
            check=False,
            timeout=30,
            env=os.environ
            | {"FASTROUTER_LISTENERS": f"clients:{silent.fileno()}", "FASTROUTER_PREDECESSOR": str(line.fileno())},
            pass_fds=[silent.fileno(), line.fileno()],
        )
        number = silent.fileno()
    assert run.returncode == 1
    assert json.loads(run.stdout.splitlines()[-1])["data"] == {
        "error": f"descriptor {number} (clients) is a socket that does not listen"
    }
