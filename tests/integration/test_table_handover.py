"""A successor has the routes of its predecessor from the first moment, although no app registers again."""

import base64
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .byte_stream import PATIENCE
from .generations import Generations
from .gorouter_process import PASSWORD, USER, configuration, get, register, unregister
from .nats_server import NatsServerProcess, RawNatsClient
from .raw_backend import AnsweringBackend
from .router_process import LoggingProcess, wait_for
from .steady_load import SteadyLoad

HOST = "app.test"
# Seconds between two registrations of an app, as Gorouter asks for.
REGISTER_INTERVAL = 20.0


@pytest.fixture
def start(nats_server: NatsServerProcess, tmp_path: Path) -> Iterator[Callable[..., Generations]]:
    started: list[Generations] = []

    def start(**keys: Any) -> Generations:
        started.append(Generations(tmp_path, nats_server, **keys))
        return started[-1]

    yield start
    for generations in started:
        generations.stop()


Start = Callable[..., Generations]


class StubbornApp:
    """Registers every REGISTER_INTERVAL, and whatever routers ask for in between is nothing to it."""

    def __init__(self, nats_port: int, address: str, *uris: str) -> None:
        self._is_over = threading.Event()
        self._nats = RawNatsClient(nats_port)
        self._address, self._uris = address, uris
        register(self._nats, address, *uris)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.wait(REGISTER_INTERVAL):
            register(self._nats, self._address, *self._uris)

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(PATIENCE)
        self._nats.close()


# `FASTROUTER_TEST_UPGRADES=10` is the bar that is set; three say the same in less time.
UPGRADES = int(os.environ.get("FASTROUTER_TEST_UPGRADES", "3"))


def test_no_request_fails_though_no_app_registers_anew(
    start: Start, nats_server: NatsServerProcess, serving: AnsweringBackend
) -> None:
    routers = start(go_max_procs=2)
    app = StubbornApp(nats_server.port, serving.address, HOST, "other.test/path")
    wait_for(lambda: True if get(routers.first.port, "/", Host=HOST)[0] == 200 else None, "the route")
    with SteadyLoad(routers.first.port, HOST, keeping=4, fresh=4) as load:
        for _ in range(UPGRADES):
            load.wait_for_more(200)
            routers.upgrade()
        load.wait_for_more(200)
        for pid in routers.pids[:-1]:
            routers.wait_gone(pid)
        load.wait_for_more(200)
    app.stop()
    assert load.failures == []
    assert serving.errors == []
    assert len(routers.first.wait_for_events("table-inherited", UPGRADES)) == UPGRADES
    assert routers.first.events("table-refused") == []


def test_what_a_successor_has_is_what_there_was(start: Start, nats: RawNatsClient, serving: AnsweringBackend) -> None:
    routers = start()
    register(
        nats,
        serving.address,
        HOST,
        "b.test/path",
        app="app",
        tags={"component": "c"},
        route_service_url="https://service.test",
        options={"loadbalancing": "least-connection"},
        stale_threshold_in_seconds=60,
    )
    register(nats, "127.0.0.1:1", HOST)
    wait_for(lambda: True if len(routers.first.addresses(HOST) or ()) == 2 else None, "the route")
    port = routers.first.routes_port
    before = table_at(port)
    routers.upgrade()
    routers.wait_gone(routers.first.pid)
    assert table_at(port) == before
    unregister(nats, "127.0.0.1:1", HOST)
    wait_for(lambda: True if len(table_at(port)[HOST]) == 1 else None, "the unregistration")


def table_at(port: int) -> dict[str, Any]:
    """The routing table of whichever router has this port."""
    credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    status, body = get(port, "/routes", Authorization=f"Basic {credentials}")
    assert status == 200
    table: dict[str, Any] = json.loads(body)
    return table


class Predecessor(LoggingProcess):
    """The test is what the process is to succeed: `table` is the end of the line where it asks for one."""

    def __init__(self, directory: Path, nats_port: int, *, owner: int | None = None) -> None:
        path = directory / "gorouter.yml"
        path.write_text(yaml.safe_dump(configuration(nats_port)))
        self.line, line = socket.socketpair()
        self.table, table = socket.socketpair()
        for end in (self.line, self.table):
            end.settimeout(PATIENCE)
        self.inherited = (line.fileno(), table.fileno())
        variables = {
            "FASTROUTER_LISTENERS": "",
            "FASTROUTER_PREDECESSOR": str(line.fileno()),
        }
        if owner is not None:
            variables["FASTROUTER_TABLE"] = f"{table.fileno()}:{owner}"
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            super().__init__("-c", str(path), access_log=directory / "access.log")
        line.close()
        table.close()

    def stop(self) -> None:
        super().stop()
        self.line.close()
        self.table.close()


class TestSuccessor:
    @pytest.mark.parametrize(
        ("sent", "reason"),
        [
            (b"", "it breaks off"),
            (b"\0\0\0\x01\xc1", "MessagePack data is malformed: invalid opcode '\\xc1' (byte 0)"),
        ],
    )
    def test_a_table_that_is_none_is_refused(
        self, nats_server: NatsServerProcess, tmp_path: Path, sent: bytes, reason: str
    ) -> None:
        successor = Predecessor(tmp_path, nats_server.port, owner=os.getpid())
        try:
            assert successor.table.recv(64) == b"table 1\n"
            successor.table.sendall(sent)
            successor.table.shutdown(socket.SHUT_WR)
            assert successor.line.recv(64) == b"serving\n"
            refused = successor.wait_for_event("table-refused")
            assert refused["data"] == {"error": reason, "routes": 0}
        finally:
            successor.stop()

    @pytest.mark.parametrize("owner", [None, 1])
    def test_a_predecessor_that_knows_nothing_of_it(
        self, nats_server: NatsServerProcess, tmp_path: Path, owner: int | None
    ) -> None:
        """Without the variable, or with one that it has passed on from its own predecessor."""
        successor = Predecessor(tmp_path, nats_server.port, owner=owner)
        try:
            assert successor.line.recv(64) == b"serving\n"
            assert successor.events("table-refused") == []
            assert successor.events("table-inherited") == []
        finally:
            successor.stop()
