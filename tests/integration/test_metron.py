"""What the real executable tells a Loggregator agent, which is a real UDP socket here (spec 6.5, 7.5, 7.6)."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dropsonde import CLIENT, SERVER, uuid_halves

from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, register, unregister
from .loggregator_agent import Agent
from .nats_server import RawNatsClient
from .raw_backend import AnsweringBackend
from .router_process import START_PATIENCE, wait_for
from .routing_api_servers import RoutingAPIFixture

APP = "0b1c7a52-8c38-4bd2-9d1c-1c0c4b9a6a11"
TAGS = {"component": "dea-7", "source_id": APP, "app_name": "täst"}

# Counters that come with every batch.
STEADY = {
    "bad_gateways",
    "backend_exhausted_conns",
    "backend_invalid_id",
    "backend_invalid_tls_cert",
    "backend_tls_handshake_failed",
    "rejected_requests",
    "total_requests",
    "responses",
    "responses.2xx",
    "responses.3xx",
    "responses.4xx",
    "responses.5xx",
    "responses.xxx",
    "routed_app_requests",
    "routes_pruned",
    "websocket_failures",
    "websocket_upgrades",
}


@pytest.fixture
def agent() -> Iterator[Agent]:
    agent = Agent()
    yield agent
    agent.close()


def started(start_gorouter: StartGorouter, agent: Agent, **keys: Any) -> GorouterProcess:
    logging = {"level": "debug", "metron_address": agent.address, **keys.pop("logging", {})}
    router = start_gorouter(logging=logging, **keys)
    router.wait_until_started()
    return router


def serve_app(router: GorouterProcess, nats: RawNatsClient, backend: AnsweringBackend, **fields: Any) -> None:
    fields = {"app": APP, "private_instance_id": "one", "private_instance_index": "2", "tags": TAGS, **fields}
    register(nats, backend.address, "app.test", **fields)
    wait_for(lambda: True if router.status_of("app.test") == 200 else None, "the route")


class TestStart:
    @pytest.mark.parametrize(
        ("address", "reason"),
        [
            ("", "destination variable not set"),
            ("nowhere", "address nowhere: missing port in address"),
            ("127.0.0.1:no-port", "lookup udp4/no-port: unknown port"),
        ],
    )
    def test_an_address_that_is_none_is_fatal(self, start_gorouter: StartGorouter, address: str, reason: str) -> None:
        router = start_gorouter(logging={"metron_address": address})
        assert router.wait(START_PATIENCE) == 1
        (event,) = router.events("dropsonde-initialize-error")
        assert event["data"]["error"] == f"Failed to initialize dropsonde: {reason}"

    def test_it_does_not_matter_without_metrics(self, start_gorouter: StartGorouter) -> None:
        router = start_gorouter(logging={"metron_address": ""}, enable_envelope_v1_metrics=False)
        router.wait_until_started()


class TestRequests:
    def test_events_values_and_the_record_of_a_request(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, agent: Agent, serving: AnsweringBackend
    ) -> None:
        router = started(start_gorouter, agent, index=7, logging={"loggregator_enabled": True})
        serve_app(router, nats, serving)
        assert router.status_of("app.test", "/path", X_Forwarded_For="10.1.1.1") == 200
        (record,) = wait_for(
            lambda: [each for each in agent.look() if b'"GET /path ' in each.event.get("message", b"")] or None,
            "the record",
        )
        request_id = serving.requests[-1].value(b"X-Vcap-Request-Id")
        assert request_id is not None
        told = [each for each in agent.received if each.event.get("requestId") == uuid_halves(request_id.decode())]
        client, server = sorted(told, key=lambda each: int(each.event["peerType"]))
        assert (client.event["peerType"], server.event["peerType"]) == (CLIENT, SERVER)
        for event in (client.event, server.event):
            assert event["uri"] == "http://app.test/path"
            assert event["remoteAddress"].startswith("127.0.0.1:")
            assert (event["method"], event["statusCode"], event["contentLength"]) == (1, 200, 5)
        assert client.event["applicationId"] == uuid_halves(APP)
        assert (client.event["instanceIndex"], client.event["instanceId"]) == (2, "one")
        assert (client.event["forwarded"], server.event["forwarded"]) == (["10.1.1.1", "127.0.0.1"], ["10.1.1.1"])
        assert server.tags == {**TAGS, "trace_id": server.tags["trace_id"], "span_id": server.tags["span_id"]}
        assert server.tags["trace_id"] == request_id.decode().replace("-", "")
        assert client.tags == {}
        values = {each.event["name"]: each.event["unit"] for each in agent.received if each.kind == "valueMetric"}
        assert (
            values.items()
            >= {
                "latency": "ms",
                "latency.dea-7": "ms",
                "gorouter_time": "ms",
                "route_lookup_time": "ns",
            }.items()
        )
        assert (record.event["app_id"], record.event["source_type"], record.event["source_instance"]) == (
            APP,
            "RTR",
            "7",
        )
        assert (record.event["message_type"], record.tags) == (1, TAGS)
        assert f'vcap_request_id:"{request_id.decode()}"' in record.event["message"].decode()

    def test_what_is_switched_off_is_not_sent(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, agent: Agent, serving: AnsweringBackend
    ) -> None:
        router = started(
            start_gorouter,
            agent,
            send_http_start_stop_server_event=False,
            send_http_start_stop_client_event=False,
            per_request_metrics_reporting=False,
        )
        serve_app(router, nats, serving)
        router.stop()
        # What the counters have come to is told at the end.
        assert agent.wait_for_named("total_requests").event["delta"] == 1
        assert {each.kind for each in agent.received} <= {"valueMetric", "counterEvent"}
        names = {each.event["name"] for each in agent.received if each.kind == "valueMetric"}
        assert not names & {"latency", "gorouter_time", "route_lookup_time"}

    def test_without_metrics_there_is_nothing(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, agent: Agent, serving: AnsweringBackend
    ) -> None:
        router = started(start_gorouter, agent, enable_envelope_v1_metrics=False, logging={"loggregator_enabled": True})
        serve_app(router, nats, serving)
        router.stop()
        assert agent.look() == []


class TestRouter:
    def test_counters_come_in_batches(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, agent: Agent, serving: AnsweringBackend
    ) -> None:
        router = started(start_gorouter, agent)
        serve_app(router, nats, serving)
        assert router.status_of("unknown.test") == 404
        # In its batch this one stands behind those without a component.
        agent.wait_for_named("requests.dea-7")
        assert {each.event["name"] for each in agent.received if each.kind == "counterEvent"} >= STEADY
        for name in ("total_requests", "requests.dea-7", "routed_app_requests", "responses", "responses.2xx"):
            assert agent.sum_of(name) == 1, name
        assert agent.sum_of("rejected_requests") >= 1
        assert agent.sum_of("responses.5xx") == 0
        assert agent.wait_for_named("registry_message.dea-7").event["delta"] == 1
        # The next batch, in which nothing has happened.
        first, second = agent.wait_for_named("total_requests"), agent.wait_for_named("total_requests", 2)
        assert second.timestamp - first.timestamp > 4e9
        assert second.event["delta"] == 0
        assert agent.sum_of("requests.dea-7") == 1

    def test_an_unregistration_is_told_of_at_once(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, agent: Agent, serving: AnsweringBackend
    ) -> None:
        router = started(start_gorouter, agent)
        serve_app(router, nats, serving)
        unregister(nats, serving.address, "app.test", tags=TAGS)
        assert agent.wait_for_named("unregistry_message.dea-7").event["delta"] == 1
        unregister(nats, serving.address, "app.test")
        assert agent.wait_for_named("unregistry_message").event["delta"] == 1

    def test_values_of_the_router(self, start_gorouter: StartGorouter, agent: Agent) -> None:
        started(start_gorouter, agent, prune_stale_droplets_interval="1s")
        units = {
            "uptime": "seconds",
            "total_routes": "",
            "ms_since_last_registry_update": "ms",
            "file_descriptors": "file",
            "buffered_messages": "message",
            "total_dropped_messages": "message",
        }
        for name in units:
            agent.wait_for_named(name)
        told = {each.event["name"]: each for each in reversed(agent.received) if each.kind == "valueMetric"}
        assert {name: told[name].event["unit"] for name in units} == units
        assert told["total_routes"].event["value"] == 0
        assert told["ms_since_last_registry_update"].event["value"] == -1
        assert told["file_descriptors"].event["value"] > 10
        uptimes = [each.event["value"] for each in agent.received if each.event["name"] == "uptime"]
        assert uptimes[0] in (1, 2)
        assert uptimes == sorted(uptimes)

    @pytest.mark.parametrize(("muzzle", "is_told"), [("0s", True), ("1h", False)])
    def test_registrations_are_not_timed_at_first(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, agent: Agent, muzzle: str, is_told: bool
    ) -> None:
        started(start_gorouter, agent, route_latency_metric_muzzle_duration=muzzle)
        begun = time.monotonic()
        register(nats, "127.0.0.1:5001", "app.test", endpoint_updated_at_ns=time.time_ns() - 10_000_000_000)
        # It is counted behind that.
        agent.wait_for_named("registry_message")
        told = agent.named("route_registration_latency")
        assert len(told) == is_told
        for each in told:
            assert each.event["unit"] == "ms"
            assert each.event["value"] == int(each.event["value"])
            assert 10_000 <= each.event["value"] <= 10_001 + 1000 * (time.monotonic() - begun)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[RoutingAPIFixture]:
    fixture = RoutingAPIFixture(str(tmp_path / "uaa.pem"))
    yield fixture
    fixture.close()


def test_errors_at_the_routing_api_are_told_of_at_once(
    start_gorouter: StartGorouter, agent: Agent, servers: RoutingAPIFixture
) -> None:
    router = started(start_gorouter, agent, **servers.keys())
    router.wait_for_event("Successfully-subscribed-to-routing-api-event-stream")
    servers.api.disconnect()
    assert agent.wait_for_named("subscribe_events_errors").event["delta"] == 1
    # The token that is kept is refused, and there is no other.
    servers.uaa.answers.extend([(401, b"")] * 100)
    servers.api.refused = {"token-1", "token-2"}
    servers.api.disconnect()
    assert agent.wait_for_named("token_fetch_errors").event["delta"] == 1


def test_an_agent_may_come_later(
    start_gorouter: StartGorouter, nats: RawNatsClient, agent: Agent, serving: AnsweringBackend
) -> None:
    agent.close()
    router = started(start_gorouter, agent)
    serve_app(router, nats, serving)
    late = Agent(agent.place)

    def is_told() -> bool | None:
        assert router.status_of("app.test") == 200
        return any(each.kind == "httpStartStop" for each in late.look()) or None

    try:
        wait_for(is_told, "an event")
    finally:
        late.close()
