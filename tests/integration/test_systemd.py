"""The router as a service of systemd, whose part the test plays: NOTIFY_SOCKET, WATCHDOG_USEC and LISTEN_FDS."""

import configparser
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .gorouter_process import GorouterProcess, configuration, get
from .nats_server import NatsServerProcess
from .processes import state_of
from .router_process import EXECUTABLE, START_PATIENCE, LoggingProcess, wait_for

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "fastrouter.service"
BOSH = Path(__file__).parents[1] / "fixtures" / "bosh-gorouter.yml"


class Manager:
    """Receives a service's messages as systemd does, with the process that sent them."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(START_PATIENCE)

    def receive(self) -> dict[str, str]:
        """The next message, by variable."""
        return dict(line.split("=", 1) for line in self._socket.recv(65536).decode().splitlines())

    def receive_but(self, *ignored: str) -> dict[str, str]:
        """The next message that is not one of `ignored`."""
        while (message := self.receive()).keys() <= set(ignored):
            pass
        return message

    def forget(self) -> None:
        """Take what has been sent."""
        while not self.is_silent(0):
            self.receive()

    def is_silent(self, seconds: float) -> bool:
        """Whether nothing is sent for so long."""
        return not select.select([self._socket], [], [], seconds)[0]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    if request.param == "path":
        address = variable = str(tmp_path / "notify")
    else:
        name = f"fastrouter-test-{os.getpid()}-{tmp_path.name}"
        address, variable = f"\0{name}", f"@{name}"
    monkeypatch.setenv("NOTIFY_SOCKET", variable)
    manager = Manager(address)
    yield manager
    manager.close()


class TestNotify:
    def test_from_start_to_end(self, manager: Manager, start_routed: Callable[..., GorouterProcess]) -> None:
        router = start_routed()
        assert manager.receive() == {"READY": "1"}
        assert router.events("gorouter.started")

        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        router.send_signal(signal.SIGHUP)
        message = manager.receive()
        assert message.keys() == {"RELOADING", "MONOTONIC_USEC"}
        assert before <= int(message["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert manager.receive() == {"READY": "1"}

        router.send_signal(signal.SIGTERM)
        assert manager.receive() == {"STOPPING": "1"}
        assert router.wait() == 0

    def test_a_drain_is_a_stop(self, manager: Manager, start_routed: Callable[..., GorouterProcess]) -> None:
        router = start_routed()
        assert manager.receive() == {"READY": "1"}
        router.send_signal(signal.SIGUSR1)
        assert manager.receive() == {"STOPPING": "1"}
        assert router.wait() == 0

    def test_the_successor_becomes_the_service(
        self, manager: Manager, start_routed: Callable[..., GorouterProcess]
    ) -> None:
        router = start_routed()
        assert manager.receive() == {"READY": "1"}
        router.send_signal(signal.SIGUSR2)
        # The successor's own word may be the first of the two.
        messages = [manager.receive(), manager.receive()]
        pid = router.wait_for_event("upgrade-succeeded")["data"]["pid"]
        assert {"MAINPID": str(pid), "READY": "1"} in messages
        assert {"READY": "1"} in messages
        # The old router says nothing of its end.
        assert router._process.wait(START_PATIENCE) == 0
        os.kill(pid, signal.SIGTERM)
        assert manager.receive() == {"STOPPING": "1"}
        assert router.wait() == 0

    def test_the_watchdog_is_fed_while_the_loop_runs(
        self, manager: Manager, start_routed: Callable[..., GorouterProcess], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        router = start_routed()
        assert manager.receive() == {"READY": "1"}
        assert manager.receive() == {"WATCHDOG": "1"}
        for _ in range(5):
            assert manager.receive() == {"WATCHDOG": "1"}
        # A router that is stopped does not feed the watchdog.
        router.send_signal(signal.SIGSTOP)
        wait_for(lambda: True if state_of(router.pid) == "T" else None, "the router to stand still")
        manager.forget()
        assert manager.is_silent(0.5)
        router.send_signal(signal.SIGCONT)
        router.send_signal(signal.SIGTERM)
        assert manager.receive_but("WATCHDOG") == {"STOPPING": "1"}

    def test_the_watchdog_of_another_process(
        self, manager: Manager, start_routed: Callable[..., GorouterProcess], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WATCHDOG_USEC", "1000")
        monkeypatch.setenv("WATCHDOG_PID", "1")
        router = start_routed()
        assert manager.receive() == {"READY": "1"}
        router.send_signal(signal.SIGTERM)
        assert manager.receive() == {"STOPPING": "1"}


def test_a_manager_that_is_gone_is_no_reason_to_fail(
    start_routed: Callable[..., GorouterProcess], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    router = start_routed()
    assert router.health() == 200


@pytest.fixture
def start_routed(nats_server: NatsServerProcess, tmp_path: Path) -> Iterator[Callable[..., GorouterProcess]]:
    """Starts a router with a file of routes, which SIGHUP reads again."""
    routers: list[GorouterProcess] = []

    def start(**keys: Any) -> GorouterProcess:
        routes = tmp_path / "routes.yml"
        routes.write_text(yaml.safe_dump({"routes": []}))
        document = configuration(nats_server.port, **keys)
        routers.append(GorouterProcess(tmp_path, document, "-routes", str(routes)))
        routers[-1].wait_until_started()
        return routers[-1]

    yield start
    for router in routers:
        router.stop()
        assert router.complaints == []


# Does what systemd does between fork and exec: the sockets from descriptor 3 on, and for whom they are.
_ACTIVATE = """
import os, sys
descriptors = [int(number) for number in sys.argv[1].split(",")]
spare = [os.dup(number) for number in descriptors]
high = [os.dup2(number, 100 + index) for index, number in enumerate(spare)]
for index, number in enumerate(high):
    os.dup2(number, 3 + index)
    os.close(number)
os.environ["LISTEN_FDS"] = str(len(descriptors))
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[3]))
os.environ["LISTEN_FDNAMES"] = sys.argv[2]
os.execv(sys.argv[4], sys.argv[4:])
"""


class Activated(LoggingProcess):
    """A router that systemd starts for its sockets. `pid_offset` other than 0: they are meant for somebody else."""

    def __init__(
        self, sockets: list[socket.socket], names: str, directory: Path, document: Any, *, pid_offset: int = 0
    ) -> None:
        path = directory / "gorouter.yml"
        path.write_text(yaml.safe_dump(document))
        self.inherited = [listener.fileno() for listener in sockets]
        numbers = ",".join(map(str, self.inherited))
        self.command = [sys.executable, "-c", _ACTIVATE, numbers, names, str(pid_offset), str(EXECUTABLE)]
        super().__init__("-c", str(path), access_log=directory / "access.log")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


class TestSocketActivation:
    @pytest.mark.parametrize("name", ["unknown", "fastrouter.socket", "clients"])
    def test_clients_that_came_before_the_router(
        self, name: str, listener: socket.socket, nats_server: NatsServerProcess, tmp_path: Path
    ) -> None:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as early:
            early.sendall(b"GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n")
            # The port of the configuration is another: systemd's sockets are what the operator wants.
            document = configuration(nats_server.port, port=1, go_max_procs=2)
            router = Activated([listener], name, tmp_path, document)
            try:
                router.wait_for_event("gorouter.started", START_PATIENCE)
                assert early.recv(12) == b"HTTP/1.1 404"
                assert router.port == port
                assert [get(port, "/", Host="unknown.test")[0] for _ in range(10)] == [404] * 10
            finally:
                router.stop()
        assert router.complaints == []

    def test_names_tell_what_a_socket_is_for(self, nats_server: NatsServerProcess, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as health, socket.create_server(("127.0.0.1", 0)) as clients:
            router = Activated([health, clients], "health:web", tmp_path, configuration(nats_server.port))
            try:
                router.wait_for_event("gorouter.started", START_PATIENCE)
                assert get(health.getsockname()[1], "/health")[0] == 200
                assert router.port == clients.getsockname()[1]
            finally:
                router.stop()

    def test_sockets_for_another_process_are_left_alone(
        self, listener: socket.socket, nats_server: NatsServerProcess, tmp_path: Path
    ) -> None:
        router = Activated([listener], "web", tmp_path, configuration(nats_server.port), pid_offset=1)
        try:
            router.wait_for_event("gorouter.started", START_PATIENCE)
            assert router.port != listener.getsockname()[1]
        finally:
            router.stop()


def test_the_unit_starts_a_router_with_a_configuration_alone(tmp_path: Path, nats_server: NatsServerProcess) -> None:
    """As delivered: its command takes no file that an operator who has a gorouter.yml does not have."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # names have upper-case letters
    unit.read(UNIT)
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "fastrouter"
    assert arguments == ["-c", "/etc/fastrouter/gorouter.yml"]
    assert unit["Service"]["ReadWritePaths"] == "-/var/vcap/sys/log/gorouter"
    router = GorouterProcess(tmp_path, configuration(nats_server.port))
    try:
        router.wait_until_started()
        # What ExecReload sends ends no router, whatever the file has.
        router.send_signal(signal.SIGHUP)
        assert router.status_of("none.test") == 404
    finally:
        router.stop()


def test_the_units_are_for_the_gorouter_yml_of_bosh() -> None:
    document = yaml.safe_load(BOSH.read_text())
    assert f"ListenStream={document['port']}\n" in (DEPLOY / "fastrouter.socket").read_text()
    log_directory = Path(document["access_log"]["file"]).parent
    unit = UNIT.read_text()
    assert f"ExecStartPre=+/usr/bin/install -d -o fastrouter -g fastrouter {log_directory}\n" in unit
    assert f"ReadWritePaths=-{log_directory}\n" in unit
    assert "u fastrouter " in (DEPLOY / "fastrouter.sysusers").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for unit in (UNIT, DEPLOY / "fastrouter.socket"):
        # The program is where an operator has installed it.
        text = unit.read_text().replace("/opt/fastrouter/bin/fastrouter", str(EXECUTABLE))
        (tmp_path / unit.name).write_text(text)
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "fastrouter.service", "fastrouter.socket"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in verified.stderr.splitlines() if "fastrouter" in line]
    assert (verified.returncode, complaints) == (0, []), verified.stderr
