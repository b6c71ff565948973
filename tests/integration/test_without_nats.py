"""A router that takes its routes from a file alone, and `fastrouter run` with a port for health checks."""

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from .gorouter_process import GorouterProcess, configuration, get
from .raw_backend import AnsweringBackend
from .router_process import RouterProcess
from .test_check import run


def without_nats(**keys: Any) -> dict[str, Any]:
    return {**configuration(1, **keys), "nats": {"enabled": False}}


def routes_file(directory: Path, *addresses: str) -> Path:
    path = directory / "routes.yml"
    endpoints = [{"address": address} for address in addresses]
    path.write_text(yaml.safe_dump({"routes": [{"route": "app.test", "endpoints": endpoints}]}))
    return path


def test_static_routes_alone(tmp_path: Path) -> None:
    with AnsweringBackend(b"static") as backend:
        routes = routes_file(tmp_path, backend.address)
        router = GorouterProcess(tmp_path, without_nats(), "-routes", str(routes))
        try:
            router.wait_until_started()
            assert get(router.port, "/", Host="app.test") == (200, b"static")
            assert router.health() == 200
            assert router.addresses("app.test") == [backend.address]
            assert "setting-up-nats-connection" not in router.messages()
            router.send_signal(signal.SIGUSR1)
            assert router.wait() == 0
            assert router.complaints == []
        finally:
            router.stop()


def test_no_source_of_routes_at_all(tmp_path: Path) -> None:
    path = tmp_path / "gorouter.yml"
    path.write_text(yaml.safe_dump(without_nats()))
    text = "without NATS, routes come from a file (-routes FILE) or from the routing API, and there is neither"
    checked = run("check", "-c", path)
    assert checked.returncode == 1
    assert checked.stderr.startswith(f"failed-to-load-config: {text}\n")
    assert checked.stderr.endswith(", key nats.enabled\n")
    started = run("-c", path)
    assert started.returncode == 1
    assert json.loads(started.stdout.splitlines()[-1])["data"]["error"] == text
    assert run("check", "-c", path, "--routes", routes_file(tmp_path, "127.0.0.1:1")).returncode == 0


def test_a_port_for_health_checks(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as spare:
        port = spare.getsockname()[1]
    router = RouterProcess(
        {"app.test": ["127.0.0.1:1"]},
        tmp_path / "access.log",
        arguments=["--health-port", str(port)],
        options={"endpoint_timeout": 5},
    )
    try:
        router.wait_for_event("gorouter.started")
        assert get(port, "/health")[0] == 200
        assert get(port, "/routes")[0] == 404
    finally:
        router.stop()
    assert router.complaints == []


@pytest.mark.parametrize("option", ["--health-port", "--metrics-port"])
def test_a_port_that_is_taken_is_named(option: str) -> None:
    with socket.create_server(("0.0.0.0", 0)) as owner:
        port = owner.getsockname()[1]
        started = run("run", "--listen", "127.0.0.1:0", "--workers", "1", option, str(port))
    assert started.returncode == 1
    host = "0.0.0.0" if option == "--health-port" else "127.0.0.1"
    assert f"listen tcp {host}:{port}: bind: address already in use" in started.stderr.splitlines()[-1]
