"""What operators change through the admin API, with the real executable."""

import os
import signal
from pathlib import Path

import pytest
import yaml

from .admin_routers import admin_of, admin_router, statuses
from .conftest import StartGorouter
from .gorouter_process import get, register, unregister
from .nats_server import RawNatsClient
from .raw_backend import AnsweringBackend
from .router_process import wait_for


def test_an_endpoint_that_drains(tmp_path: Path, serving: AnsweringBackend, other: AnsweringBackend) -> None:
    routes = {"a.test": [serving.address, other.address], "b.test": [serving.address]}
    with admin_router(tmp_path, routes, "--workers", "2") as (router, admin):
        path = f"/v1/endpoints/{serving.address}"
        with admin.events() as events:
            reply = admin.request("PATCH", path, {"state": "draining"})
            assert reply.status == 200
            assert reply.document == {"id": serving.address, "state": "draining", "registrations": 1}
            event = events.until("endpoint-draining")
        assert (event["route"], event["endpoint"]) == ("a.test", serving.address)
        # The answer has come when all workers heed it.
        for _ in range(4):
            assert set(statuses(router, "a.test", 5)) == {(200, b"second")}
        # A session goes on where it is, and so does who names the instance.
        sticky = f"Cookie: JSESSIONID=1; __VCAP_ID__={serving.address}"
        assert statuses(router, "a.test", 2, sticky) == [(200, b"first")] * 2
        ((status, _),) = statuses(router, "b.test", 1)
        assert status == 503
        (endpoint, _) = admin.get("/v1/routes/a.test")["endpoints"]
        assert endpoint["state"] == "draining"
        assert admin.get("/v1/overview")["draining_endpoints"] == 1
        assert [item["route"] for item in admin.get("/v1/routes?state=draining")["items"]] == ["a.test", "b.test"]
        assert admin.request("PATCH", path, {"state": "active"}).status == 200
        assert statuses(router, "b.test", 1) == [(200, b"first")]
        audit = router.wait_for_events("admin-act", 2)
        assert [line["data"]["is_draining"] for line in audit] == [True, False]
        assert {line["data"]["by"] for line in audit} == {"unix socket"}


def test_a_later_worker_heeds_it_too(tmp_path: Path, serving: AnsweringBackend) -> None:
    with admin_router(tmp_path, {"a.test": [serving.address]}) as (router, admin):
        assert admin.request("PATCH", f"/v1/endpoints/{serving.address}", {"state": "draining"}).status == 200
        (worker,) = admin.get("/v1/workers")["workers"]
        with admin.events("?kind=worker-") as events:
            os.kill(worker["pid"], signal.SIGKILL)
            assert "SIGKILL" in events.until("worker-exited")["data"]["error"]
            events.until("worker-ready")
        wait_for(lambda: admin.get("/v1/overview")["serving_workers"] or None, "the next worker")
        ((status, _),) = statuses(router, "a.test", 1)
        assert status == 503
        router.forgive_deaths(1)


def test_a_route_whose_endpoints_all_drain_says_so(tmp_path: Path, serving: AnsweringBackend) -> None:
    with admin_router(tmp_path, {"a.test": [serving.address]}) as (router, admin):
        admin.request("PATCH", f"/v1/endpoints/{serving.address}", {"state": "draining"})
        client = router.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        response = client.read_response()
        assert response.status == 503
        assert response.value(b"X-Cf-RouterError") == b"no_endpoints"


@pytest.mark.parametrize(
    ("path", "document", "status", "detail"),
    [
        ("10.0.0.9:1", {"state": "draining"}, 404, "there is no endpoint 10.0.0.9:1"),
        (
            "10.0.0.9:1",
            {"state": "down"},
            400,
            "in the body: state: Invalid enum value 'down': it is one of active, draining",
        ),
        (
            "10.0.0.9:1",
            {"status": "active"},
            400,
            "in the body: Object contains unknown field `status`: there are state",
        ),
    ],
)
def test_states_that_are_refused(tmp_path: Path, path: str, document: dict[str, str], status: int, detail: str) -> None:
    with admin_router(tmp_path, {"a.test": ["10.0.0.1:1"]}) as (_, admin):
        reply = admin.request("PATCH", f"/v1/endpoints/{path}", document)
        assert (reply.status, reply.document["detail"]) == (status, detail)


def test_static_routes_are_kept(tmp_path: Path, serving: AnsweringBackend, other: AnsweringBackend) -> None:
    kept = tmp_path / "kept.yml"
    arguments = ("--admin-routes", str(kept))
    with admin_router(tmp_path, {"a.test": [serving.address]}, *arguments) as (router, admin):
        path = "/v1/static-routes/c.test%2Fapi"
        reply = admin.request("PUT", path, {"endpoints": [{"address": serving.address, "index": "0"}], "app_id": "c"})
        assert reply.document == {"changed": 1, "removed": 0, "kept": str(kept)}
        assert (
            admin.request("PUT", "/v1/static-routes/d.test", {"endpoints": [{"address": other.address}]}).status == 200
        )
        assert statuses(router, "d.test", 1) == [(200, b"second")]
        routes = admin.get("/v1/static-routes")["routes"]
        assert [(route["route"], route["origin"]) for route in routes] == [
            ("a.test", "option"),
            ("c.test/api", "api"),
            ("d.test", "api"),
        ]
        assert routes[1]["endpoints"] == [{"address": serving.address, "index": "0"}]
        for name, status in (("a.test", 409), ("e.test", 404)):
            assert admin.request("DELETE", f"/v1/static-routes/{name}").status == status
        reply = admin.request("PUT", "/v1/static-routes/x%3A1", {"endpoints": [{"address": serving.address}]})
        assert (reply.status, "has a port" in reply.document["detail"]) == (422, True)
        assert router.wait_for_events("admin-act-refused", 3)[2]["data"]["route"] == "x:1"
    document = yaml.safe_load(kept.read_text())
    assert [route["route"] for route in document["routes"]] == ["c.test/api", "d.test"]
    # The next router has them from the file.
    with admin_router(tmp_path, {"a.test": [serving.address]}, *arguments) as (router, admin):
        assert statuses(router, "d.test", 1) == [(200, b"second")]
        assert admin.request("DELETE", "/v1/static-routes/D.test").document["removed"] == 1
        ((status, _),) = statuses(router, "d.test", 1)
        assert status == 404
        assert [route["route"] for route in yaml.safe_load(kept.read_text())["routes"]] == ["c.test/api"]


def test_routes_that_cannot_be_kept_are_not_taken(tmp_path: Path, serving: AnsweringBackend) -> None:
    with admin_router(tmp_path, {}, "--admin-routes", str(tmp_path / "none" / "kept.yml")) as (router, admin):
        reply = admin.request("PUT", "/v1/static-routes/c.test", {"endpoints": [{"address": serving.address}]})
        assert reply.status == 500
        assert "cannot be kept" in reply.document["detail"]
        assert admin.get("/v1/static-routes")["routes"] == []
        assert router.events("table-changed") == []


def test_reload(tmp_path: Path, serving: AnsweringBackend) -> None:
    file = tmp_path / "routes.yml"
    file.write_text("routes: []")
    with admin_router(tmp_path, {}, "--routes", str(file)) as (router, admin):
        file.write_text(f"routes: [{{route: f.test, endpoints: [{{address: '{serving.address}'}}]}}]")
        with admin.events() as events:
            assert admin.request("POST", "/v1/reload").document == {"accepted": True}
            assert events.until("routes-file-loaded")["data"]["changed"] == 1
        assert statuses(router, "f.test", 1) == [(200, b"first")]


def test_log_level_for_a_time(tmp_path: Path) -> None:
    with admin_router(tmp_path, {"a.test": ["127.0.0.1:1"]}) as (router, admin):
        with admin.events() as events:
            reply = admin.request("PUT", "/v1/log-level", {"level": "debug", "seconds": 0.2})
            assert reply.document["level"] == "debug"
            assert reply.document["until"] is not None
            assert events.until("log-level-changed")["data"]["level"] == "debug"
            assert events.until("log-level-changed")["data"]["level"] == "info"
        assert admin.get("/v1/overview")["log_level"] == "info"
        assert admin.request("PUT", "/v1/log-level", {"level": "warn"}).document == {"level": "warn", "until": None}
        overview = admin.get("/v1/overview")
        assert (overview["log_level"], overview["log_level_until"]) == ("warn", None)
        assert admin.request("PUT", "/v1/log-level", {"level": "loud"}).status == 400
        assert len(router.events("log-level-changed")) == 2


def test_drain(tmp_path: Path, serving: AnsweringBackend) -> None:
    with admin_router(tmp_path, {"a.test": [serving.address]}) as (router, admin):
        assert admin.request("POST", "/v1/drain").status == 202
        assert router.wait() == 0
        assert "gorouter-draining" in [event["message"] for event in router.events()]
        assert list((tmp_path / "fastrouter").iterdir()) == []
        assert admin is not None


def test_beside_a_gorouter_yml_it_is_off_until_it_is_asked_for(
    start_gorouter: StartGorouter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    router = start_gorouter()
    router.wait_until_started()
    assert router.events("admin-listener-started") == []
    router = start_gorouter(admin={"socket": str(tmp_path / "admin.sock")})
    admin = admin_of(router)
    assert admin.get("/v1/nats")["connected"] is True
    assert admin.get("/v1/config")["nats"]["pass"] == ""
    assert (tmp_path / "admin.sock").stat().st_mode & 0o777 == 0o600


APP = "0f3ad9c4-7a0e-4a6c-9d52-8d6a8b1f5c11"


def test_who_names_an_instance_gets_it_though_it_drains(
    start_gorouter: StartGorouter,
    nats: RawNatsClient,
    serving: AnsweringBackend,
    other: AnsweringBackend,
    tmp_path: Path,
) -> None:
    router = start_gorouter(admin={"socket": str(tmp_path / "admin.sock")})
    router.wait_until_started()
    admin = admin_of(router)
    for index, backend in enumerate((serving, other)):
        register(
            nats,
            backend.address,
            "a.test",
            app=APP,
            private_instance_index=str(index),
            options={"loadbalancing": "least-connection"},
        )
    wait_for(lambda: admin.get("/v1/routes")["items"][:1] or None, "the route")
    assert admin.get(f"/v1/apps?filter={APP[:8]}")["items"][0]["endpoints"] == 2
    assert admin.request("PATCH", f"/v1/endpoints/{serving.address}", {"state": "draining"}).status == 200
    assert {get(router.port, "/", Host="a.test") for _ in range(6)} == {(200, b"second")}
    assert get(router.port, "/", Host="a.test", X_Cf_App_Instance=f"{APP}:0") == (200, b"first")
    (drained, _) = admin.get("/v1/routes/a.test")["endpoints"]
    assert (drained["state"], drained["origin"], drained["ttl"]) == ("draining", "registered", 120.0)
    # It ends with the registration: what comes to the address later is another instance.
    unregister(nats, serving.address, "a.test", app=APP, private_instance_index="0")
    register(nats, serving.address, "a.test", app=APP, private_instance_index="2")
    wait_for(lambda: (admin.get("/v1/overview")["draining_endpoints"] == 0) or None, "the end of the drain")
    kinds = [change["kind"] for change in admin.get("/v1/routes/a.test/history")["changes"]]
    assert kinds[:3] == ["endpoint-added", "endpoint-removed", "endpoint-draining"]
