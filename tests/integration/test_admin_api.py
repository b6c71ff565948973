"""The admin API of the real executable: what it shows of the router."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .admin_client import AdminClient, admin_socket_of, escaped
from .raw_backend import AnsweringBackend
from .router_process import RouterProcess, wait_for


@pytest.fixture(scope="module")
def serving() -> Iterator[AnsweringBackend]:
    with AnsweringBackend(b"first") as backend:
        yield backend


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory, serving: AnsweringBackend) -> Iterator[RouterProcess]:
    routes = {
        "a.test": [serving.address],
        "a.test/api": [serving.address, "127.0.0.1:2"],
        "b.test": ["127.0.0.1:1", serving.address],
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        router = RouterProcess(routes, Path("/dev/null"), has_admin=True)
    yield router
    router.stop()
    assert router.complaints == []


@pytest.fixture(scope="module")
def admin(router: RouterProcess) -> AdminClient:
    client = AdminClient(admin_socket_of(router))
    wait_for(lambda: client.get("/v1/overview")["table_loaded"] or None, "the table")
    return client


def test_overview(router: RouterProcess, admin: AdminClient) -> None:
    overview = admin.get("/v1/overview")
    assert overview["pid"] == router.pid
    assert (overview["state"], overview["healthy"]) == ("serving", True)
    assert (overview["routes"], overview["endpoints"]) == (3, 3)
    assert (overview["workers"], overview["serving_workers"]) == (1, 1)
    assert overview["nats_connected"] is None


def test_requests_are_counted(router: RouterProcess, admin: AdminClient) -> None:
    before = admin.get("/v1/overview")["counts"]
    client = router.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert client.read_response().status == 200
    after = admin.get("/v1/overview")["counts"]
    assert (after["requests"], after["responses_2xx"]) == (before["requests"] + 1, before["responses_2xx"] + 1)
    assert after["client_connections"] >= 1


def test_routes(admin: AdminClient) -> None:
    page = admin.get("/v1/routes")
    assert [item["route"] for item in page["items"]] == ["a.test", "a.test/api", "b.test"]
    assert (page["total"], page["next"]) == (3, None)
    assert [item["endpoints"] for item in page["items"]] == [1, 2, 2]
    page = admin.get("/v1/routes?filter=A.TEST&sort=-endpoints&limit=1")
    assert [item["route"] for item in page["items"]] == ["a.test/api"]
    assert page["total"] == 2
    page = admin.get(f"/v1/routes?filter=a.test&sort=-endpoints&limit=1&cursor={page['next']}")
    assert ([item["route"] for item in page["items"]], page["next"]) == (["a.test"], None)


def test_a_route(admin: AdminClient, serving: AnsweringBackend) -> None:
    route = admin.get(f"/v1/routes/{escaped('A.test/api')}")
    assert route["route"] == "a.test/api"
    assert [endpoint["id"] for endpoint in route["endpoints"]] == [serving.address, "127.0.0.1:2"]
    first = route["endpoints"][0]
    assert (first["state"], first["origin"], first["ttl"], first["last_failure"]) == ("active", "static", None, None)
    assert first["age"] >= 0


def test_an_endpoint_that_has_failed_says_why(router: RouterProcess, admin: AdminClient) -> None:
    with admin.events("?kind=endpoint-") as events:
        client = router.connect()
        # The first of the two endpoints is chosen by chance.
        for _ in range(2):
            client.send(b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
            assert client.read_response().status == 200
        event = events.until("endpoint-failed")
    assert (event["route"], event["endpoint"], event["reason"]) == ("b.test", "127.0.0.1:1", "dial failed")
    endpoint, _ = admin.get("/v1/routes/b.test")["endpoints"]
    assert (endpoint["state"], endpoint["last_failure"]["reason"]) == ("failed", "dial failed")
    assert admin.get("/v1/routes?state=failed")["items"][0]["route"] == "b.test"
    (change,) = admin.get("/v1/routes/b.test/history")["changes"]
    assert change["kind"] == "endpoint-failed"


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/v1/routes/c.test", 404, "there is no route c.test"),
        ("/v1/routes/c.test/history", 404, "there is no route c.test, and none was there lately"),
        ("/v1/nats", 404, "this router has no NATS"),
        ("/v1/route", 404, "there is no /v1/route"),
        ("/v1/drain", 405, "/v1/drain does not take GET"),
        ("/v1/routes?limit=0", 400, "in the query: limit: Expected `int` >= 1"),
        (
            "/v1/routes?sorted=1",
            400,
            "in the query: Object contains unknown field `sorted`: there are filter, app, state, sort, limit, cursor",
        ),
        ("/v1/routes?cursor=x", 400, "`cursor` is not the `next` of a page of this list"),
    ],
)
def test_problems(admin: AdminClient, path: str, status: int, detail: str) -> None:
    reply = admin.request("GET", path)
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json")
    problem: dict[str, Any] = reply.document
    assert (problem["status"], problem["detail"], problem["type"]) == (status, detail, "about:blank")


def test_the_document_describes_itself(admin: AdminClient) -> None:
    document = admin.get("/v1/openapi.json")
    assert document["openapi"] == "3.1.0"
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    schemas = document["components"]["schemas"]
    assert references_of(document) <= {f"#/components/schemas/{name}" for name in schemas}
    # What a query may have is told as parameters.
    assert not [name for name in schemas if name.endswith("Query")]
    (routes,) = [operation for operation in operations if operation["operationId"] == "get_routes"]
    assert [parameter["name"] for parameter in routes["parameters"]] == [
        *("filter", "app", "state", "sort", "limit", "cursor"),
    ]


def references_of(value: Any) -> set[str]:
    """Every reference in a document."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references_of, value.values()))
    return set().union(*map(references_of, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("path", ["/v1/overview", "/v1/routes", "/v1/routes/a.test", "/v1/apps", "/v1/workers"])
def test_responses_have_the_fields_of_the_document(admin: AdminClient, path: str) -> None:
    document = admin.get("/v1/openapi.json")
    shown = path.replace("a.test", "{route}")
    answer = document["paths"][shown]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    schema = document["components"]["schemas"][answer["$ref"].rpartition("/")[2]]
    assert set(admin.get(path)) == set(schema["properties"]) == set(schema["required"])


def test_routes_that_stand_out_are_found_by_their_name(router: RouterProcess, admin: AdminClient) -> None:
    client = router.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert client.read_response().status == 200
    assert [item["route"] for item in admin.get("/v1/top?by=rps&filter=A.TEST")["items"]] == ["a.test"]
    assert admin.get("/v1/top?by=rps&filter=nowhere")["items"] == []
