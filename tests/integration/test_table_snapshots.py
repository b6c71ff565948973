"""A router that starts while NATS is out of reach serves what the last one knew, and asks NATS as soon as it can."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .gorouter_process import GorouterProcess, configuration, register, unregister
from .nats_server import NatsServerProcess, RawNatsClient
from .raw_backend import AnsweringBackend
from .router_process import wait_for

# Seconds between two attempts to reach NATS, and more.
RECONNECT_PATIENCE = 20.0


@pytest.fixture
def start(nats_server: NatsServerProcess, tmp_path: Path) -> Iterator[Callable[..., GorouterProcess]]:
    started: list[GorouterProcess] = []

    def start(**keys: Any) -> GorouterProcess:
        given = {"table_snapshot": {"file": str(tmp_path / "table"), "interval": "1s"}, **keys}
        router = GorouterProcess(tmp_path, configuration(nats_server.port, **given))
        started.append(router)
        return router

    yield start
    for router in started:
        router.stop()


Start = Callable[..., GorouterProcess]


def wait_for_snapshot(tmp_path: Path, *hosts: str) -> None:
    """Wait for a snapshot that has routes of these hosts."""

    def found() -> bool | None:
        file = tmp_path / "table"
        data = file.read_bytes() if file.exists() else b""
        return True if data and all(host.encode() in data for host in hosts) else None

    wait_for(found, "a snapshot")


def test_a_start_without_nats(
    start: Start, nats_server: NatsServerProcess, nats: RawNatsClient, serving: AnsweringBackend, tmp_path: Path
) -> None:
    first = start()
    first.wait_until_started()
    register(nats, serving.address, "stays.test", "goes.test", "leaves.test")
    wait_for_snapshot(tmp_path, "stays.test", "goes.test", "leaves.test")
    unregister(nats, serving.address, "goes.test")
    wait_for(lambda: True if b"goes.test" in removed(tmp_path) else None, "the removal in the file")
    crash(first)
    nats_server.kill()

    second = start(prune_stale_droplets_interval="200ms", droplet_stale_threshold="3s")
    second.wait_until_started()
    assert second.status_of("stays.test") == 200
    assert second.status_of("goes.test") == 404
    assert second.status_of("leaves.test") == 200
    (served,) = second.events("table-snapshot-served")
    assert served["data"]["routes"] == 2
    assert served["data"]["age"] < 60.0

    nats_server.start()
    second.wait_for_event("Successfully-connected-to-nats", RECONNECT_PATIENCE)
    second.wait_for_event("subscriber-started")
    again = RawNatsClient(nats_server.port)
    register(again, serving.address, "stays.test", "new.test")
    wait_for(lambda: second.addresses("new.test"), "the new route")
    # Nobody has registered this one again.
    wait_for(lambda: True if second.addresses("leaves.test") is None else None, "the end of a route in doubt")
    again.close()


def crash(router: GorouterProcess) -> None:
    """End it without a word, and its workers with it."""
    router.send_signal(signal.SIGKILL)
    router.wait()


def removed(tmp_path: Path) -> bytes:
    file = tmp_path / "table.removed"
    return file.read_bytes() if file.exists() else b""


def test_a_start_with_nats_forgets_the_last_table(
    start: Start, nats: RawNatsClient, serving: AnsweringBackend, tmp_path: Path
) -> None:
    first = start()
    first.wait_until_started()
    register(nats, serving.address, "app.test")
    wait_for_snapshot(tmp_path, "app.test")
    crash(first)
    second = start()
    second.wait_until_started()
    assert second.status_of("app.test") == 404
    assert second.events("table-snapshot-served") == []
    wait_for(lambda: True if (tmp_path / "table").exists() else None, "a snapshot of its own")
    assert b"app.test" not in (tmp_path / "table").read_bytes()


def test_without_a_snapshot_there_is_no_start_without_nats(
    start: Start, nats_server: NatsServerProcess, tmp_path: Path
) -> None:
    nats_server.kill()
    (tmp_path / "table").write_text("routes: none\n")
    router = start()
    assert router.wait() == 1
    (event,) = router.events("table-snapshot-refused")
    assert event["log_level"] == 3
    assert "does not begin as a snapshot" in event["data"]["error"]


def test_a_place_that_cannot_be_written_keeps_it_from_starting(start: Start, tmp_path: Path) -> None:
    router = start(table_snapshot={"file": str(tmp_path / "missing" / "table")})
    assert router.wait() == 1
    (event,) = router.events("table-snapshot-error")
    assert "missing/table" in event["data"]["error"]
    assert event["data"]["key"] == "table_snapshot.file"


@pytest.mark.parametrize("interval", ["999ms", "0"])
def test_an_interval_that_is_too_short(start: Start, tmp_path: Path, interval: str) -> None:
    router = start(table_snapshot={"file": str(tmp_path / "table"), "interval": interval})
    assert router.wait() == 1
    assert "Must be at least 1s" in router.events()[-1]["data"]["error"]
