"""What the admin API tells of requests: under way, as they end, supposed ones, and what routes were asked for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .admin_client import AdminClient, EventStream, escaped
from .admin_routers import admin_router, statuses
from .raw_backend import AnsweringBackend, RawBackend
from .router_process import RouterProcess, wait_for


@pytest.fixture
def serving() -> Iterator[AnsweringBackend]:
    with AnsweringBackend(b"fine") as backend:
        yield backend


@pytest.fixture
def running(tmp_path: Path, serving: AnsweringBackend) -> Iterator[tuple[RouterProcess, AdminClient]]:
    routes = {"a.test": [serving.address], "a.test/deep": [serving.address], "down.test": ["127.0.0.1:1"]}
    with admin_router(tmp_path, routes) as (router, admin):
        yield router, admin


def tail_of(admin: AdminClient, query: str = "") -> EventStream:
    return EventStream(admin.connection(), f"/v1/tail{query}", {})


class TestUnderWay:
    def test_a_request_that_waits_is_told(self, tmp_path: Path) -> None:
        with RawBackend() as silent, admin_router(tmp_path, {"slow.test": [silent.address]}) as (router, admin):
            assert admin.get("/v1/requests") == {"items": [], "total": 0}
            client = router.connect()
            client.send(b"GET /wait?secret HTTP/1.1\r\nHost: slow.test\r\n\r\n")
            with silent.accept() as attempt:
                attempt.read_request()
                found = admin.get("/v1/requests")
                assert found["total"] == 1
                (request,) = found["items"]
                assert (request["method"], request["host"], request["path"]) == ("GET", "slow.test", "/wait")
                assert (request["route"], request["endpoint"]) == ("slow.test", silent.address)
                assert (request["attempts"], request["protocol"], request["worker"]) == (1, "HTTP/1.1", 0)
                assert request["age"] > 0
                assert admin.get("/v1/requests?older_than=3600")["items"] == []
                attempt.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert client.read_response().status == 200
            assert admin.get("/v1/requests")["total"] == 0

    @pytest.mark.parametrize("query", ["older_than=-1", "older_than=x", "limit=0", "limit=1001", "other=1"])
    def test_a_wrong_question(self, running: tuple[RouterProcess, AdminClient], query: str) -> None:
        assert running[1].request("GET", f"/v1/requests?{query}").status == 400


class TestTail:
    def test_requests_that_end_are_told(self, running: tuple[RouterProcess, AdminClient]) -> None:
        router, admin = running
        with tail_of(admin) as tail:
            assert statuses(router, "a.test", 1) == [(200, b"fine")]
            told = tail.until("request")
            assert (told["method"], told["host"], told["path"], told["status"]) == ("GET", "a.test", "/", 200)
            assert (told["route"], told["attempts"], told["router_error"]) == ("a.test", 1, "")
            assert told["latency"] > 0
            (status, _), *_ = statuses(router, "down.test", 1)
            assert tail.until("request")["status"] == status == 502

    def test_only_those_that_are_wanted(self, running: tuple[RouterProcess, AdminClient]) -> None:
        router, admin = running
        with tail_of(admin, "?status=5&route=down.test") as tail:
            statuses(router, "a.test", 3)
            statuses(router, "down.test", 1)
            assert tail.until("request")["route"] == "down.test"

    def test_it_goes_on_with_the_next_worker(self, running: tuple[RouterProcess, AdminClient]) -> None:
        router, admin = running
        first = admin.get("/v1/workers")["workers"][0]["pid"]
        with tail_of(admin) as tail:
            os.kill(first, signal.SIGKILL)

            def is_replaced() -> bool | None:
                (worker,) = admin.get("/v1/workers")["workers"]
                return (worker["pid"] not in (None, first) and worker["state"] == "serving") or None

            wait_for(is_replaced, "the next worker")
            assert statuses(router, "a.test", 1) == [(200, b"fine")]
            assert tail.until("request")["status"] == 200
        router.forgive_deaths(1)


class TestExplain:
    def explain(self, admin: AdminClient, **request: Any) -> Any:
        reply = admin.request("POST", "/v1/explain", request)
        assert reply.status == 200, reply
        return reply.document

    def test_a_route_and_its_choice(
        self, running: tuple[RouterProcess, AdminClient], serving: AnsweringBackend
    ) -> None:
        told = self.explain(running[1], url="http://a.test/deep/er", headers=[["X-A", "b"]])
        assert (told["status"], told["route"], told["chosen"]) == (0, "a.test/deep", [serving.address])
        assert [one["verdict"] for one in told["candidates"]] == ["chosen"]

    def test_no_route(self, running: tuple[RouterProcess, AdminClient]) -> None:
        told = self.explain(running[1], url="http://none.test/")
        assert (told["status"], told["router_error"], told["candidates"]) == (404, "unknown_route", [])

    def test_it_changes_nothing(self, running: tuple[RouterProcess, AdminClient]) -> None:
        admin = running[1]
        before = admin.get("/v1/overview")["counts"]
        self.explain(admin, url="http://a.test/")
        assert admin.get("/v1/overview")["counts"] == before

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            ({}, 400),
            ({"url": ""}, 400),
            ({"url": "http://a.test/", "method": "G T"}, 422),
            ({"url": "http://a.test/", "headers": [["A", "b\r\nc"]]}, 422),
            ({"url": "no url"}, 422),
        ],
    )
    def test_what_is_no_request(
        self, running: tuple[RouterProcess, AdminClient], request_: dict[str, Any], status: int
    ) -> None:
        assert running[1].request("POST", "/v1/explain", request_).status == status


class TestTop:
    def test_routes_by_errors_and_by_requests(self, running: tuple[RouterProcess, AdminClient]) -> None:
        router, admin = running
        statuses(router, "a.test", 5)
        statuses(router, "down.test", 2)
        worst = admin.get("/v1/top?by=errors")
        assert [row["route"] for row in worst["items"]] == ["down.test"]
        assert worst["items"][0]["errors"] == 1.0
        busiest = admin.get("/v1/top?by=rps&series=true")
        assert [row["route"] for row in busiest["items"]] == ["a.test", "down.test"]
        assert busiest["items"][0]["requests_per_second"] * busiest["seconds"] == pytest.approx(5)
        assert [row["route"] for row in admin.get("/v1/top?by=rps&filter=DOWN")["items"]] == ["down.test"]

    def test_what_is_behind_the_first_ones_is_found_and_counted(
        self, tmp_path: Path, serving: AnsweringBackend
    ) -> None:
        busy = [f"busy-{number}.test" for number in range(1100)]
        with admin_router(tmp_path, {host: [serving.address] for host in [*busy, "quiet.test"]}) as (router, admin):
            client = router.connect()
            hosts = [*busy, *busy, "quiet.test"]
            client.send(b"".join(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode() for host in hosts))
            assert {client.read_response().status for _ in hosts} == {200}
            first = admin.get("/v1/top?by=rps&limit=500")
            assert (len(first["items"]), first["total"]) == (500, 1101)
            assert all(row["route"].startswith("busy-") for row in first["items"])
            (found,) = admin.get("/v1/top?by=rps&filter=Quiet")["items"]
            assert found["route"] == "quiet.test"
            assert found["requests_per_second"] > 0

    def test_counts_of_a_route(self, running: tuple[RouterProcess, AdminClient]) -> None:
        router, admin = running
        path = f"/v1/routes/{escaped('a.test')}"
        statuses(router, "a.test", 3)

        def counted() -> Any:
            counts = admin.get(path)["counts"]
            return counts if counts is not None and counts["requests"] == 3 else None

        counts = wait_for(counted, "counts, which are some seconds old")
        assert (counts["responses_2xx"], counts["errors"], counts["in_flight"]) == (3, 0, 0)
        assert 0 < counts["p50"] <= counts["p99"]

    @pytest.mark.parametrize("query", ["by=name", "window=11", "limit=0", "limit=501"])
    def test_a_wrong_question(self, running: tuple[RouterProcess, AdminClient], query: str) -> None:
        assert running[1].request("GET", f"/v1/top?{query}").status == 400
