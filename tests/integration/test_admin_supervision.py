"""The admin process may die: it is replaced, and the router serves on. Where its sockets are."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from .admin_client import AdminClient, admin_socket_of
from .admin_routers import admin_of, admin_router
from .generations import Generations, with_route
from .gorouter_process import get
from .nats_server import NatsServerProcess
from .processes import children_of, command_of
from .raw_backend import AnsweringBackend
from .router_process import LoggingProcess, RouterProcess, wait_for
from .steady_load import SteadyLoad


def admin_pid(router: LoggingProcess) -> int | None:
    """The admin process, once there is one."""
    return next((pid for pid in children_of(router.pid) if "fastrouter.admin" in command_of(pid)), None)


def test_one_that_is_killed_is_replaced_and_no_request_lost(tmp_path: Path, serving: AnsweringBackend) -> None:
    with admin_router(tmp_path, {"a.test": [serving.address]}) as (router, admin):
        with SteadyLoad(router.port, "a.test", keeping=2, fresh=1) as load:
            for count in range(1, 4):
                pid = wait_for(lambda: admin_pid(router), "the admin process")
                os.kill(pid, signal.SIGKILL)
                exits = router.wait_for_events("admin-process-exited", count)
                assert exits[-1]["data"]["error"] == "killed by SIGKILL"
                # It waits in the queue of the socket until the next process takes it.
                overview = admin.get("/v1/overview")
                assert overview["state"] == "serving"
                wait_for(lambda: admin.get("/v1/routes")["total"] == 1 or None, "the table")
        assert load.failures == []
        assert load.answered > 0
        delays = [line["data"]["restart_in"] for line in router.events("admin-process-exited")]
        assert delays == [100_000_000, 200_000_000, 400_000_000]
        assert router.events("worker-exited") == []


def test_events_say_that_some_are_missing(tmp_path: Path) -> None:
    with admin_router(tmp_path, {"a.test": ["127.0.0.1:1"]}) as (router, admin):
        with admin.events() as events:
            admin.request("PUT", "/v1/log-level", {"level": "info"})
            last = events.until("log-level-changed")["sent_id"]
            admin.request("PUT", "/v1/log-level", {"level": "info"})
        # The next stream goes on behind what was seen.
        with admin.events(last_id=str(last)) as events:
            assert [next(iter(events))["event"]] == ["admin-act"]
        os.kill(wait_for(lambda: admin_pid(router), "the admin process"), signal.SIGKILL)
        router.wait_for_event("admin-process-exited")
        with admin.events(last_id=str(last)) as events:
            assert next(iter(events))["event"] == "gap"


def test_it_ends_with_the_router(tmp_path: Path) -> None:
    with admin_router(tmp_path, {"a.test": ["127.0.0.1:1"]}) as (router, _):
        pid = wait_for(lambda: admin_pid(router), "the admin process")
        router.send_signal(signal.SIGKILL)
        router.wait()
        wait_for(lambda: not command_of(pid) or None, "its end")


def test_one_that_stands_still_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with admin_router(tmp_path, {"a.test": ["127.0.0.1:1"]}) as (router, _):
        os.kill(wait_for(lambda: admin_pid(router), "the admin process"), signal.SIGSTOP)
        router.send_signal(signal.SIGTERM)
        assert router.wait() == 0


class TestSocket:
    def test_is_its_owners_alone(self, tmp_path: Path) -> None:
        with admin_router(tmp_path, {"a.test": ["127.0.0.1:1"]}) as (router, _):
            path = tmp_path / "fastrouter" / f"{router.pid}.sock"
            assert admin_socket_of(router) == str(path)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert list(path.parent.iterdir()) == []

    def test_another_place_is_found_as_well(self, tmp_path: Path) -> None:
        place = tmp_path / "place.sock"
        with admin_router(tmp_path, {"a.test": ["127.0.0.1:1"]}, "--admin-socket", str(place)) as (router, _):
            assert AdminClient(found(tmp_path)).get("/v1/overview")["pid"] == router.pid
            assert place.is_socket()
            # Nobody takes it away.
            second = RouterProcess.__new__(RouterProcess)
            LoggingProcess.__init__(
                second,
                *("run", "--listen", "127.0.0.1:0", "--workers", "1", "--admin-socket", str(place)),
                access_log=tmp_path / "access.log",
            )
            assert second.wait() == 1
            assert "address already in use" in second.events("admin-listener-error")[0]["data"]["error"]
        assert not place.exists()

    def test_several_routers_are_told_apart(self, tmp_path: Path) -> None:
        routes = {"a.test": ["127.0.0.1:1"]}
        with admin_router(tmp_path, routes) as (one, _), admin_router(tmp_path, routes) as (other, _):
            with pytest.raises(subprocess.CalledProcessError):
                found(tmp_path)
            for router in (one, other):
                assert AdminClient(found(tmp_path, router.pid)).get("/v1/overview")["pid"] == router.pid

    def test_what_a_dead_router_has_left_is_not_found(self, tmp_path: Path) -> None:
        with admin_router(tmp_path, {"a.test": ["127.0.0.1:1"]}) as (router, _):
            router.send_signal(signal.SIGKILL)
            router.wait()
            assert (tmp_path / "fastrouter" / f"{router.pid}.sock").exists()
            with pytest.raises(subprocess.CalledProcessError):
                found(tmp_path)


def test_a_successor_has_the_place_and_what_drains(
    tmp_path: Path, nats_server: NatsServerProcess, serving: AnsweringBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    place = tmp_path / "place.sock"
    token = "operate-token-0123456789"
    routers = Generations(
        tmp_path,
        nats_server,
        *with_route(tmp_path, "a.test", serving.address),
        admin={
            "socket": str(place),
            "listen": "127.0.0.1:0",
            "tokens": [{"token": token, "role": "operate"}],
        },
    )
    try:
        admin = admin_of(routers.first)
        assert admin.request("PATCH", f"/v1/endpoints/{serving.address}", {"state": "draining"}).status == 200
        address = routers.first.events("admin-listener-started")[0]["data"]["address"]
        routers.upgrade()
        assert admin.get("/v1/overview")["pid"] == routers.current
        assert routers.events("admin-listener-started")[1]["data"]["address"] == address
        wait_for(lambda: admin.get("/v1/overview")["table_loaded"] or None, "the table")
        (endpoint,) = admin.get("/v1/routes/a.test")["endpoints"]
        assert endpoint["state"] == "draining"
        assert found(tmp_path) == str(tmp_path / "fastrouter" / f"{routers.current}.sock")
        routers.wait_gone(routers.first.pid)
        assert place.is_socket()
    finally:
        routers.stop()
    assert not place.exists()


def test_a_successor_without_nats_knows_what_drains(
    tmp_path: Path,
    nats_server: NatsServerProcess,
    serving: AnsweringBackend,
    other: AnsweringBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    routers = Generations(
        tmp_path,
        nats_server,
        *with_route(tmp_path, "a.test", serving.address, other.address),
        nats={"enabled": False},
        admin={"socket": "auto"},
    )
    try:
        admin = admin_of(routers.first)
        assert admin.request("PATCH", f"/v1/endpoints/{serving.address}", {"state": "draining"}).status == 200
        routers.upgrade()
        routers.wait_gone(routers.first.pid)
        admin = AdminClient(found(tmp_path))
        wait_for(lambda: admin.get("/v1/overview")["table_loaded"] or None, "the table")
        states = {endpoint["id"]: endpoint["state"] for endpoint in admin.get("/v1/routes/a.test")["endpoints"]}
        assert states == {serving.address: "draining", other.address: "active"}
        assert {get(routers.port, "/", Host="a.test")[1] for _ in range(4)} == {b"second"}
    finally:
        routers.stop()


def test_the_demo_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    demo = LoggingProcess("demo", "--listen", "127.0.0.1:0", access_log=tmp_path / "access.log")
    try:
        admin = admin_of(demo)
        assert admin.get("/v1/nats")["connected"] is True
        wait_for(lambda: admin.get("/v1/routes?filter=demo.localhost")["items"] or None, "the route")
    finally:
        demo.stop()


def found(directory: Path, pid: int | None = None) -> str:
    """What `find_socket` says to another process."""
    statement = f"from fastrouter.net.admin_socket import find_socket; print(find_socket({pid}))"
    command = [sys.executable, "-c", statement]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(directory)}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()
