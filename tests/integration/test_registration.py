"""Apps register over a real NATS server, and a running router does as they say (spec 3)."""

import json
import time
import zlib
from pathlib import Path

import pytest

from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, configuration, get, register, unregister
from .http_message import response_with
from .nats_server import NatsServerProcess, RawNatsClient
from .raw_backend import AnsweringBackend, BackendStream, ServingBackend
from .router_process import wait_for

# What a change may take from the message to its effect on clients.
PROMPT = 1.0
# nats-py looks for a lost server every two seconds.
RECONNECT_PATIENCE = 15.0

APP = "0b1c7a52-8c38-4bd2-9d1c-1c0c4b9a6a11"


def is_gone(router: GorouterProcess, uri: str) -> bool | None:
    return True if router.addresses(uri) is None else None


def wait_for_status(router: GorouterProcess, host: str, status: int, patience: float = PROMPT) -> None:
    wait_for(lambda: True if router.status_of(host) == status else None, f"{status} from {host}", patience)


class TestRegister:
    @pytest.mark.parametrize("workers", [1, 2])
    def test_is_in_the_table_and_in_traffic_within_a_second(
        self, workers: int, start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend
    ) -> None:
        router = start_gorouter(go_max_procs=workers)
        router.wait_until_started()
        assert router.status_of("app.test") == 404
        register(nats, serving.address, "app.test", "app.test/path", app=APP, tags={"component": "c"})
        wait_for(lambda: router.addresses("app.test"), "the route", PROMPT)
        assert router.routes()["app.test"] == [
            {
                "address": serving.address,
                "availability_zone": "",
                "protocol": "http1",
                "tls": False,
                "ttl": 120,
                "tags": {"component": "c"},
            }
        ]
        assert router.addresses("app.test/path") == [serving.address]
        # Each worker, whichever the kernel picks.
        for _ in range(8):
            wait_for_status(router, "app.test", 200)

        unregister(nats, serving.address, "app.test")
        wait_for(lambda: is_gone(router, "app.test"), "the end of the route", PROMPT)
        for _ in range(8):
            wait_for_status(router, "app.test", 404)
        assert get(router.port, "/path", Host="app.test") == (200, b"first"), "the other route is another one"

    def test_only_the_addressed_endpoint_goes(
        self, gorouter: GorouterProcess, nats: RawNatsClient, serving: AnsweringBackend, other: AnsweringBackend
    ) -> None:
        for each in (serving, other):
            register(nats, each.address, "app.test")
        wait_for(lambda: len(gorouter.addresses("app.test") or []) == 2 or None, "both")
        bodies = {get(gorouter.port, "/", Host="app.test")[1] for _ in range(4)}
        assert bodies == {b"first", b"second"}
        unregister(nats, serving.address, "app.test")
        wait_for(lambda: gorouter.addresses("app.test") == [other.address] or None, "one")
        wait_for(
            lambda: {get(gorouter.port, "/", Host="app.test")[1] for _ in range(4)} == {b"second"} or None,
            "the other one alone",
            PROMPT,
        )

    def test_again_keeps_connections(
        self, gorouter: GorouterProcess, nats: RawNatsClient, serving: AnsweringBackend
    ) -> None:
        register(nats, serving.address, "app.test")
        wait_for(lambda: gorouter.addresses("app.test"), "the route")
        wait_for_status(gorouter, "app.test", 200)
        register(nats, serving.address, "app.test")
        register(nats, serving.address, "marker.test")
        wait_for(lambda: gorouter.addresses("marker.test"), "what came after it")
        assert gorouter.status_of("app.test") == 200
        assert serving.connection_count == 1

    def test_headers_of_the_registered_endpoint(self, gorouter: GorouterProcess, nats: RawNatsClient) -> None:
        def echo_ids(stream: BackendStream) -> None:
            request = stream.read_request()
            names = (b"X-Cf-Applicationid", b"X-Cf-Instanceid", b"X-Cf-Instanceindex")
            stream.send(response_with(b" ".join(request.value(name) or b"-" for name in names)))

        with ServingBackend(echo_ids) as backend:
            register(nats, backend.address, "app.test", app=APP, private_instance_id="i-1", private_instance_index="7")
            wait_for(lambda: gorouter.addresses("app.test"), "the route")
            wait_for_status(gorouter, "app.test", 200)
            assert get(gorouter.port, "/", Host="app.test")[1] == f"{APP} i-1 7".encode()


class TestInstances:
    def test_a_request_may_choose_one(
        self, gorouter: GorouterProcess, nats: RawNatsClient, serving: AnsweringBackend, other: AnsweringBackend
    ) -> None:
        """L08, L09."""
        for index, each in enumerate((serving, other)):
            register(nats, each.address, "app.test", app=APP, private_instance_index=str(index))
        wait_for(lambda: len(gorouter.addresses("app.test") or []) == 2 or None, "both")
        wait_for_status(gorouter, "app.test", 200)

        def ask(instance: str) -> tuple[int, bytes]:
            return get(gorouter.port, "/", Host="app.test", X_CF_App_Instance=instance)

        assert {ask(f"{APP}:0") for _ in range(3)} == {(200, b"first")}
        assert {ask(f"{APP}:1") for _ in range(3)} == {(200, b"second")}
        assert ask(f"{APP}:2")[0] == 400
        assert ask("nonsense")[0] == 400

    def test_or_a_process(
        self, gorouter: GorouterProcess, nats: RawNatsClient, serving: AnsweringBackend, other: AnsweringBackend
    ) -> None:
        """L10."""
        process = "c0ffee00-8c38-4bd2-9d1c-1c0c4b9a6a11"
        register(nats, serving.address, "app.test", tags={"process_id": process}, private_instance_index="0")
        register(nats, other.address, "app.test", tags={"process_id": APP}, private_instance_index="0")
        wait_for(lambda: len(gorouter.addresses("app.test") or []) == 2 or None, "both")
        wait_for_status(gorouter, "app.test", 200)
        bodies = {
            get(gorouter.port, "/", Host="app.test", X_CF_Process_Instance=text)
            for text in (process, f"{process}:0")
            for _ in range(3)
        }
        assert bodies == {(200, b"first")}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"host": "127.0.0.1", "port": 70000, "uris": ["bad.test"]}',
        b'{"host": "127.0.0.1", "port": "1", "uris": ["bad.test"]}',
        b'{"host": "127.0.0.1", "port": 1, "uris": ["bad.test"], "private_instance_index": 0}',
        b'{"host": "127.0.0.1", "port": 1, "uris": ["bad.test"], "route_service_url": "http://rs.test"}',
        b'{"host": "127.0.0.1", "port": 1, "uris": ["bad.test"], "app": "a\\r\\nX-Injected: 1"}',
    ],
)
def test_a_bad_message_is_logged_and_disturbs_nothing(
    payload: bytes, gorouter: GorouterProcess, nats: RawNatsClient, serving: AnsweringBackend
) -> None:
    """R05, R06."""
    register(nats, serving.address, "app.test")
    nats.publish(b"router.register", payload)
    nats.publish(b"router.unregister", payload)
    register(nats, serving.address, "after.test")
    wait_for(lambda: gorouter.addresses("after.test"), "what came after it")
    errors = gorouter.wait_for_events("validation-error", 2)
    assert [error["data"]["subject"] for error in errors] == ["router.register", "router.unregister"]
    assert {(error["log_level"], error["source"]) for error in errors} == {(3, "gorouter.stdout.subscriber")}
    assert sorted(gorouter.routes()) == ["after.test", "app.test"]
    for host in ("app.test", "after.test"):
        wait_for_status(gorouter, host, 200)


def test_isolation_segments(start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend) -> None:
    """R22: neither a registration nor its end counts if it is for other routers."""
    router = start_gorouter(routing_table_sharding_mode="segments", isolation_segments=["is1"])
    router.wait_until_started()
    register(nats, serving.address, "shared.test")
    register(nats, serving.address, "foreign.test", isolation_segment="is2")
    register(nats, serving.address, "ours.test", isolation_segment="is1")
    unregister(nats, serving.address, "ours.test", isolation_segment="is2")
    register(nats, serving.address, "last.test", isolation_segment="is1")
    wait_for(lambda: router.addresses("last.test"), "the last one")
    assert sorted(router.routes()) == ["last.test", "ours.test"]
    wait_for_status(router, "ours.test", 200)
    assert router.status_of("shared.test") == 404


# Stale after a second, looked at ten times a second.
AGEING = {
    "prune_stale_droplets_interval": "100ms",
    "droplet_stale_threshold": "1s",
    "nats_client_ping_interval": "500ms",
}


class TestPruning:
    def test_a_route_that_is_not_refreshed_goes(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend
    ) -> None:
        """R18, R19."""
        router = start_gorouter(**AGEING)
        router.wait_until_started()
        registered_at = time.monotonic()
        register(nats, serving.address, "app.test")
        register(nats, "127.0.0.1:1", "tls.test", tls_port=1, server_cert_domain_san="x")
        pruned = router.wait_for_event("pruned-route")
        assert time.monotonic() - registered_at >= 1.0
        assert pruned["data"] == {"uri": "app.test", "endpoints": [serving.address], "isolation_segment": "-"}
        assert sorted(router.routes()) == ["tls.test"]
        wait_for_status(router, "app.test", 404)

    def test_goes_on_while_nats_is_away(
        self,
        start_gorouter: StartGorouter,
        nats_server: NatsServerProcess,
        nats: RawNatsClient,
        serving: AnsweringBackend,
    ) -> None:
        router = start_gorouter(**AGEING)
        router.wait_until_started()
        register(nats, serving.address, "app.test")
        router.wait_for_event("endpoint-registered")
        nats_server.kill()
        router.wait_for_event("pruned-route")
        wait_for_status(router, "app.test", 404)

    def test_is_suspended_if_so_configured(
        self,
        start_gorouter: StartGorouter,
        nats_server: NatsServerProcess,
        nats: RawNatsClient,
        serving: AnsweringBackend,
    ) -> None:
        """R20: back again, everything counts as registered just then."""
        # Time enough to end the server before the route is stale, even on a busy machine.
        ageing = AGEING | {"droplet_stale_threshold": "3s"}
        router = start_gorouter(**ageing, suspend_pruning_if_nats_unavailable=True)
        router.wait_until_started()
        register(nats, serving.address, "app.test")
        router.wait_for_event("endpoint-registered")
        nats_server.kill()
        router.wait_for_event("prune-suspended")
        suspended_at = router.events("prune-suspended")[0]["timestamp"]
        # Much longer than the route may go without a registration.
        wait_for(
            lambda: True if router.events("prune-suspended")[-1]["timestamp"] - suspended_at > 4.0 else None, "passes"
        )
        assert router.addresses("app.test") == [serving.address]
        assert router.status_of("app.test") == 200

        nats_server.start()
        refreshed = router.wait_for_event("prune-unsuspended-refresh-routes-start", RECONNECT_PATIENCE)
        pruned = router.wait_for_event("pruned-route")
        assert pruned["timestamp"] - refreshed["timestamp"] >= 3.0

    def test_an_empty_pool_is_503_for_a_while(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend
    ) -> None:
        """R21, L12."""
        router = start_gorouter(
            prune_stale_droplets_interval="100ms", empty_pool_response_code_503=True, empty_pool_timeout="4s"
        )
        router.wait_until_started()
        register(nats, serving.address, "app.test")
        wait_for(lambda: router.addresses("app.test"), "the route")
        unregister(nats, serving.address, "app.test")
        wait_for(lambda: router.addresses("app.test") == [] or None, "the empty pool")
        wait_for_status(router, "app.test", 503)
        wait_for(lambda: is_gone(router, "app.test"), "the end of the route")
        wait_for_status(router, "app.test", 404)


class TestNatsAway:
    def test_it_comes_back(
        self,
        start_gorouter: StartGorouter,
        nats_server: NatsServerProcess,
        nats: RawNatsClient,
        serving: AnsweringBackend,
        other: AnsweringBackend,
    ) -> None:
        """R24."""
        router = start_gorouter(nats_client_ping_interval="200ms")
        router.wait_until_started()
        register(nats, serving.address, "app.test")
        wait_for(lambda: router.addresses("app.test"), "the route")
        nats_server.kill()
        router.wait_for_event("nats-connection-disconnected")
        router.wait_for_event("nats-connection-still-disconnected")
        # Who is known is served.
        assert router.status_of("app.test") == 200
        nats_server.start()
        router.wait_for_event("nats-connection-reconnected", RECONNECT_PATIENCE)
        again = RawNatsClient(nats_server.port)
        try:
            register(again, other.address, "new.test")
            wait_for(lambda: router.addresses("new.test"), "a new route")
        finally:
            again.close()
        wait_for_status(router, "new.test", 200)
        assert router.health() == 200

    def test_another_server_takes_over(
        self, tmp_path: Path, nats_server: NatsServerProcess, serving: AnsweringBackend
    ) -> None:
        """R25: the registrations of the first server are still there when those of the second come."""
        (tmp_path / "second").mkdir()
        second = NatsServerProcess(tmp_path / "second")
        hosts = [{"hostname": "localhost", "port": port} for port in (nats_server.port, second.port)]
        router = GorouterProcess(tmp_path, configuration(nats_server.port, nats={"hosts": hosts}))
        try:
            router.wait_until_started()
            connected = int(router.events("Successfully-connected-to-nats")[0]["data"]["host"].rpartition(":")[2])
            first, remaining = (nats_server, second) if connected == nats_server.port else (second, nats_server)
            client = RawNatsClient(first.port)
            register(client, serving.address, "app.test")
            client.close()
            wait_for(lambda: router.addresses("app.test"), "the route")
            first.kill()
            reconnected = router.wait_for_event("nats-connection-reconnected", RECONNECT_PATIENCE)
            assert reconnected["data"]["host"] == f"localhost:{remaining.port}"
            assert router.addresses("app.test") == [serving.address]
            client = RawNatsClient(remaining.port)
            register(client, serving.address, "new.test")
            client.close()
            wait_for(lambda: router.addresses("new.test"), "a new route")
            wait_for_status(router, "new.test", 200)
            wait_for_status(router, "app.test", 200)
        finally:
            router.stop()
            second.stop()
        assert router.complaints == []


def test_active_apps_are_those_that_had_requests(
    start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend, other: AnsweringBackend
) -> None:
    router = start_gorouter(publish_active_apps_interval="200ms", go_max_procs=2)
    router.wait_until_started()
    register(nats, serving.address, "app.test", app=APP)
    register(nats, other.address, "idle.test", app="idle")
    wait_for_status(router, "app.test", 200)
    nats.subscribe(b"router.active_apps")

    def announced() -> set[str]:
        return set(json.loads(zlib.decompress(nats.next_message())))

    while announced():
        # What the wait above has asked for.
        pass
    assert router.status_of("app.test") == 200
    assert wait_for(lambda: announced() or None, "the list of active apps") == {APP}
    assert announced() == set()
