"""The admin API keeps to its OpenAPI document: schemathesis sends what the document allows, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from fastrouter.admin.problems import CONTENT_TYPE

from .admin_client import AdminClient, admin_socket_of, escaped
from .byte_stream import PATIENCE
from .gorouter_process import GorouterProcess, configuration
from .nats_server import NatsServerProcess

pytestmark = pytest.mark.slow

TOKEN = "operate-token-0123456789"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
# What is there, so that not everything that is asked for is missing.
KNOWN = {"route": "known.test/path", "id": "10.0.0.1:61001"}
# Operations that take something, and those that take nothing that could be wrong.
TAKING = [
    "GET /v1/routes",
    "GET /v1/top",
    "GET /v1/apps",
    "GET /v1/requests",
    "POST /v1/explain",
    "PATCH /v1/endpoints/{id}",
    "PUT /v1/static-routes/{route}",
    "PUT /v1/log-level",
]
PLAIN = [
    "GET /v1/overview",
    "GET /v1/overview/history",
    "GET /v1/routes/{route}",
    "GET /v1/routes/{route}/history",
    "GET /v1/workers",
    "GET /v1/nats",
    "GET /v1/certificates",
    "GET /v1/config",
    "GET /v1/static-routes",
    "GET /v1/openapi.json",
    "DELETE /v1/static-routes/{route}",
    "POST /v1/reload",
]
STREAMS = ["GET /v1/events", "GET /v1/tail"]
# It would end the router; test_admin_acts.py has it.
DRAIN = "POST /v1/drain"
# A schema cannot say which cursors pages have given, nor what is a URL, a route or an address.
REFUSE_MORE = [
    "GET /v1/routes",
    "GET /v1/apps",
    "POST /v1/explain",
    "PUT /v1/static-routes/{route}",
    "DELETE /v1/static-routes/{route}",
]

load_all_checks()


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GorouterProcess]:
    directory = tmp_path_factory.mktemp("router")
    nats = NatsServerProcess(directory)
    admin = {"listen": "127.0.0.1:0", "tokens": [{"name": "fuzzer", "token": TOKEN, "role": "operate"}]}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(directory))
        router = GorouterProcess(directory, configuration(nats.port, admin=admin))
    try:
        router.wait_until_started()
        yield router
        assert router.events("admin-request-failed") == []
        assert router.complaints == []
    finally:
        router.stop()
        nats.stop()


@pytest.fixture
def schema(router: GorouterProcess) -> schemathesis.BaseSchema:
    """What the router says of its API, and where that is."""
    client = AdminClient(admin_socket_of(router))
    route = f"/v1/static-routes/{escaped(KNOWN['route'])}"
    assert client.request("PUT", route, {"endpoints": [{"address": KNOWN["id"]}]}).status == 200
    schema = schemathesis.openapi.from_dict(client.get("/v1/openapi.json"))
    schema.config.update(base_url=f"http://{router.wait_for_event('admin-listener-started')['data']['address']}")
    return schema


def cases_of(schema: schemathesis.BaseSchema, label: str, mode: GenerationMode) -> st.SearchStrategy[Case[Any]]:
    """Requests that the document allows, or does not."""
    method, _, path = label.partition(" ")
    return schema[path][method].as_strategy(generation_mode=mode)


def for_what_is_there(case: Case[Any]) -> Case[Any]:
    """Have a request ask for something that exists, in words that a schema has no rules for."""
    case.path_parameters.update({name: escaped(KNOWN[name]) for name in case.path_parameters})
    if "cursor" in case.query:
        case.query["cursor"] = ""
    body: Any = case.body
    match body:
        case {"url": _}:
            body["url"] = f"http://{KNOWN['route']}"
        case {"endpoints": [*endpoints]}:
            for endpoint in endpoints:
                endpoint["address"] = KNOWN["id"]
    return case


def test_nothing_is_left_out(schema: schemathesis.BaseSchema) -> None:
    paths = schema.raw_schema["paths"]
    described = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert described == {*TAKING, *PLAIN, *STREAMS, DRAIN}


@pytest.mark.parametrize("label", [*TAKING, *PLAIN])
def test_what_the_document_allows(schema: schemathesis.BaseSchema, label: str) -> None:
    cases = cases_of(schema, label, GenerationMode.POSITIVE)
    statuses = set()

    @settings(max_examples=40)
    @given(cases | cases.map(for_what_is_there))
    def try_out(case: Case[Any]) -> None:
        excluded: list[schemathesis.CheckFunction] = [positive_data_acceptance] if label in REFUSE_MORE else []
        response = case.call_and_validate(headers=HEADERS, timeout=PATIENCE, excluded_checks=excluded)
        statuses.add(response.status_code)

    try_out()
    assert statuses & {200, 202}


@pytest.mark.parametrize("label", TAKING)
def test_what_it_does_not_allow(schema: schemathesis.BaseSchema, label: str) -> None:
    cases = cases_of(schema, label, GenerationMode.NEGATIVE)

    @settings(max_examples=40)
    @given(cases)
    def try_out(case: Case[Any]) -> None:
        case.call_and_validate(headers=HEADERS, timeout=PATIENCE)

    try_out()


@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.parametrize("label", STREAMS)
def test_streams(schema: schemathesis.BaseSchema, label: str, mode: GenerationMode) -> None:
    statuses = set()

    @settings(max_examples=40)
    @given(cases_of(schema, label, mode))
    def try_out(case: Case[Any]) -> None:
        with requests.request(**case.as_transport_kwargs(headers=HEADERS), stream=True, timeout=PATIENCE) as response:
            statuses.add(response.status_code)
            if response.status_code == 200:
                assert response.headers["Content-Type"] == "text/event-stream"
            else:
                assert response.headers["Content-Type"] == CONTENT_TYPE
                case.validate_response(response)

    try_out()
    # What is wrong as a value, such as an empty list, may be right as text, or nothing, in a query.
    assert statuses == {200} if mode is GenerationMode.POSITIVE else 400 in statuses <= {200, 400}
