"""The rules of spec 3.3 to 3.6 and 3.9 to 3.11, one by one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fastrouter._core import route_key
from fastrouter.ipc.table_changes import Change, Drop, Forget, HashRule, Introduce, Put, Remove, SetRoute
from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.endpoint import ModificationTag, RegisteredEndpoint
from fastrouter.registry.registration import Options, Registration
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.registry.sharding import ShardingMode
from kept_lines import KeptLines

PLAIN = "10.0.0.1:80"
TLS = "10.0.0.1:443"


class Harness:
    """A registry with a clock that stands still, and what it has logged and emitted."""

    def __init__(self, **options: Any) -> None:
        self.now = 1000.0
        self.is_suspended = False
        self.changes: list[Change] = []
        self._lines = KeptLines()
        self.registry = RouteRegistry(
            Logger("router", level=Level.DEBUG, writer=self._lines),
            self.changes.append,
            clock=lambda: self.now,
            is_pruning_suspended=lambda: self.is_suspended,
            **options,
        )

    def endpoint(self, tag: tuple[str, int] = ("", 0), **fields: Any) -> RegisteredEndpoint:
        registration = Registration(**{"host": "10.0.0.1", "port": 80, **fields})
        return self.registry.new_endpoint(registration, ModificationTag(*tag))

    def register(self, uri: str, tag: tuple[str, int] = ("", 0), **fields: Any) -> None:
        self.registry.register(uri, self.endpoint(tag, **fields))

    def unregister(self, uri: str, tag: tuple[str, int] = ("", 0), **fields: Any) -> None:
        self.registry.unregister(uri, self.endpoint(tag, **fields))

    def prune(self) -> None:
        for _ in self.registry.prune():
            pass

    def routes(self) -> dict[str, list[dict[str, Any]]]:
        routes: dict[str, list[dict[str, Any]]] = json.loads(b"".join(self.registry.routes_json()))
        return routes

    def addresses(self, key: str) -> list[str]:
        return [endpoint["address"] for endpoint in self.routes()[key]]

    def new_changes(self) -> list[Change]:
        changes = self.changes[:]
        self.changes.clear()
        return changes

    def new_lines(self) -> list[tuple[int, str]]:
        lines = [(record["log_level"], record["message"]) for record in self._lines.records]
        self._lines.records.clear()
        return lines

    def data_of(self, message: str) -> dict[str, Any]:
        (data,) = (record["data"] for record in self._lines.records if record["message"] == message)
        assert isinstance(data, dict)
        return data

    @property
    def actions(self) -> dict[str, int]:
        return {action: count for (_, action), count in self.registry.report.registrations.items()}


@pytest.fixture
def harness() -> Harness:
    return Harness()


class TestKey:
    @pytest.mark.parametrize(
        "uri", ["Host/Path", "host/path/", "host/path//", "host/path?q/r", "host/path/?q", "/host/path", "host/path/?"]
    )
    def test_case_query_and_outer_slashes_do_not_count(self, uri: str) -> None:
        assert route_key(uri) == "host/path"

    @pytest.mark.parametrize(
        ("uri", "key"),
        [
            ("*.Example.com/X", "*.example.com/x"),
            ("host:80/p", "host:80/p"),
            ("http://something", "http://something"),
            ("h//p", "h//p"),
            ("h/%41", "h/%41"),
            ("h/p///", "h/p/"),
            ("", ""),
        ],
    )
    def test_everything_else_does(self, uri: str, key: str) -> None:
        assert route_key(uri) == key


class TestPut:
    def test_a_new_route_is_logged_and_introduced(self, harness: Harness) -> None:
        harness.register("App.example.com/", app="guid", tags={"component": "c", "process_id": "p"})
        assert harness.new_changes() == [
            Introduce(0, "10.0.0.1", 80, "guid", "", "", False, "", "http1", "", "p", "c", 1, 0),
            Put("App.example.com/", 0),
        ]
        assert harness.data_of("route-registered") == {"uri": "app.example.com"}
        assert harness.data_of("endpoint-registered") == {
            "uri": "App.example.com",
            "route_service_url": "",
            "backend": PLAIN,
            "application_id": "guid",
            "instance_id": "",
            "server_cert_domain_san": "",
            "protocol": "http1",
            "modification_tag": {"guid": "", "index": 0},
            "isolation_segment": "-",
            "isTLS": False,
        }
        assert harness.new_lines() == [(1, "route-registered"), (0, "uri-added"), (1, "endpoint-registered")]
        assert harness.registry.report.registrations == {("c", "added"): 1}

    def test_the_source_is_the_registry(self, harness: Harness) -> None:
        harness.register("a")
        assert {record["source"] for record in harness._lines.records} == {"router.registry"}

    def test_new_addresses_are_appended(self, harness: Harness) -> None:
        for port in (3, 1, 2):
            harness.register("a", port=port)
        assert harness.addresses("a") == ["10.0.0.1:3", "10.0.0.1:1", "10.0.0.1:2"]

    def test_the_tls_port_wins(self, harness: Harness) -> None:
        harness.register("a", tls_port=443)
        (shown,) = harness.routes()["a"]
        assert (shown["address"], shown["tls"]) == (TLS, True)

    def test_the_same_again_is_a_refresh_that_changes_nothing(self, harness: Harness) -> None:
        tags = {"component": "c", "x": "y"}
        harness.register("a", tags=tags)
        harness.new_changes()
        harness.new_lines()
        harness.register("a", tags=dict(reversed(tags.items())))
        assert harness.new_changes() == []
        assert harness.new_lines() == [(0, "endpoint-registered")]
        assert harness.actions == {"added": 1, "updated": 1}

    @pytest.mark.parametrize(
        "fields",
        [
            {"app": "x"},
            {"protocol": "http2"},
            {"server_cert_domain_san": "x"},
            {"private_instance_id": "x"},
            {"stale_threshold_in_seconds": 7},
            {"route_service_url": "https://x"},
            {"private_instance_index": "1"},
            {"isolation_segment": "x"},
            {"port": 0, "tls_port": 80},
            {"endpoint_updated_at_ns": -1},
            {"options": Options("least-connection")},
            {"tags": {}},
            {"tags": {"a": "b"}},
        ],
    )
    def test_a_changed_attribute_replaces_in_place(self, harness: Harness, fields: dict[str, Any]) -> None:
        harness.register("a", port=81)
        harness.register("a")
        harness.register("a", port=82)
        harness.new_changes()
        harness.register("a", **fields)
        changes = harness.new_changes()
        assert isinstance(changes[0], Introduce)
        assert changes[1] == Put("a", changes[0].number)
        assert changes[2] == Forget(1), "nothing else holds the old one"
        assert harness.addresses("a") == ["10.0.0.1:81", PLAIN, "10.0.0.1:82"]
        assert harness.actions == {"added": 3, "updated": 1}

    def test_an_availability_zone_is_not_compared_but_taken_along(self, harness: Harness) -> None:
        harness.register("a", availability_zone="z1")
        harness.register("a", availability_zone="z2")
        assert harness.routes()["a"][0]["availability_zone"] == "z1"
        harness.register("a", availability_zone="z3", app="new")
        assert harness.routes()["a"][0]["availability_zone"] == "z3"

    @pytest.mark.parametrize(
        ("new", "action"),
        [
            (("g", 6), "updated"),
            (("g", 5), "unmodified"),
            (("g", 4), "unmodified"),
            (("h", 1), "updated"),
            (("", 0), "updated"),
        ],
    )
    def test_modification_tags(self, harness: Harness, new: tuple[str, int], action: str) -> None:
        harness.register("a", tag=("g", 5), app="old", stale_threshold_in_seconds=10)
        harness.new_lines()
        harness.now += 11
        harness.register("a", tag=new, app="new", stale_threshold_in_seconds=10, route_service_url="https://x")
        assert harness.actions == {"added": 1, action: 1}
        is_unmodified = action == "unmodified"
        assert harness.new_lines() == [(0, "endpoint-not-registered" if is_unmodified else "endpoint-registered")]
        assert any(isinstance(change, SetRoute) for change in harness.new_changes()) != is_unmodified
        assert harness.registry.ms_since_last_update == 0, "any result counts as an update of the registry"
        harness.prune()
        assert ("a" not in harness.routes()) == is_unmodified, "an older one does not refresh either"

    def test_an_equal_tag_of_an_equal_endpoint_refreshes(self, harness: Harness) -> None:
        harness.register("a", tag=("g", 5))
        harness.register("a", tag=("g", 5))
        assert harness.actions == {"added": 1, "updated": 1}

    def test_protocol(self, harness: Harness) -> None:
        for port, protocol in enumerate(["", "http1", "http2", "h2c", "odd"]):
            harness.register("a", port=port, protocol=protocol)
        protocols = [endpoint["protocol"] for endpoint in harness.routes()["a"]]
        assert protocols == ["http1", "http1", "http2", "h2c", "odd"]

    @pytest.mark.parametrize("protocol", ["http2", "h2c"])
    def test_http2_is_demoted_when_it_is_off(self, protocol: str) -> None:
        harness = Harness(is_http2_enabled=False)
        harness.register("a", protocol=protocol)
        assert harness.routes()["a"][0]["protocol"] == "http1"

    @pytest.mark.parametrize(("sent", "used"), [(0, 60), (59, 59), (60, 60), (61, 60), (-1, -1)])
    def test_stale_threshold(self, sent: int, used: int) -> None:
        harness = Harness(stale_threshold=60.5)
        harness.register("a", stale_threshold_in_seconds=sent)
        assert harness.routes()["a"][0]["ttl"] == used

    def test_the_first_spelling_of_a_uri_stays(self, harness: Harness) -> None:
        harness.register("A/b")
        harness.register("a/B", port=81)
        assert [change.uri for change in harness.new_changes() if isinstance(change, Put)] == ["A/b", "A/b"]


class TestPoolAttributes:
    def test_the_last_writer_sets_the_route_service_even_to_none(self, harness: Harness) -> None:
        harness.register("a", route_service_url="https://x")
        assert harness.new_changes()[-1] == SetRoute("a", "https://x", "")
        harness.register("a", port=81)
        assert harness.new_changes()[-1] == SetRoute("a", "", "")
        harness.register("a", route_service_url="https://x")
        assert harness.new_changes() == [SetRoute("a", "https://x", "")], "also by a mere refresh"

    def test_an_endpoint_may_ask_for_an_algorithm_and_there_is_no_way_back(self, harness: Harness) -> None:
        harness.register("a", options=Options("least-connection"))
        assert harness.new_changes()[-1] == SetRoute("a", "", "least-connection")
        harness.register("a")
        assert not any(isinstance(change, SetRoute) for change in harness.new_changes())

    def test_an_unknown_algorithm_is_logged_and_ignored(self, harness: Harness) -> None:
        harness.register("a", options=Options("fastest"))
        assert not any(isinstance(change, SetRoute) for change in harness.new_changes())
        assert harness.data_of("invalid-endpoint-load-balancing-algorithm-provided-keeping-pool-lb-algo") == {
            "endpointLBAlgorithm": "fastest",
            "poolLBAlgorithm": "round-robin",
        }
        assert harness.routes()["a"][0]["load_balancing_algorithm"] == "fastest"

    def test_a_change_of_the_algorithm_is_told_once(self, harness: Harness) -> None:
        harness.register("a", options=Options("round-robin"))
        harness.register("a", options=Options("least-connection"))
        harness.register("a", options=Options("least-connection"))
        message = "setting-pool-load-balancing-algorithm-to-that-of-an-endpoint"
        assert [record["data"] for record in harness._lines.records if record["message"] == message] == [
            {"endpointLBAlgorithm": "least-connection", "poolLBAlgorithm": "least-connection"}
        ]


class TestHash:
    """N01-N03: `hash` of a registration, which Gorouters have since April 2025."""

    HASH = Options("hash", "X-Tenant", 1.25)

    def test_the_rule_goes_to_the_workers(self) -> None:
        harness = Harness(is_current=True)
        harness.register("a", options=self.HASH)
        rule = SetRoute("a", "", "hash", 0, HashRule("header", "X-Tenant", 1.25))
        assert harness.new_changes()[-1] == rule
        assert rule in list(harness.registry.snapshot())

    def test_the_routes_page_shows_it(self) -> None:
        harness = Harness(is_current=True)
        harness.register("a", options=self.HASH)
        harness.register("b", options=Options("hash", "X-Tenant"))
        harness.register("c", options=Options("hash", "", 1.5))
        shown = harness.routes()
        assert [shown["a"][0][key] for key in ("load_balancing_algorithm", "hash_header", "hash_balance")] == [
            "hash",
            "X-Tenant",
            1.25,
        ]
        assert (shown["b"][0]["hash_header"], shown["b"][0]["hash_balance"]) == ("X-Tenant", 0)
        assert "hash_header" not in shown["c"][0]
        assert shown["c"][0]["hash_balance"] == 0, "without a header nothing is kept"
        assert b'"hash_balance":0}' in b"".join(harness.registry.routes_json()), "as Go writes it"

    @pytest.mark.parametrize("other", [Options("hash", "X-Other", 1.25), Options("hash", "X-Tenant", 1.5)])
    def test_header_and_balance_are_compared(self, other: Options) -> None:
        harness = Harness(is_current=True)
        harness.register("a", options=self.HASH)
        harness.new_changes()
        harness.register("a", options=other)
        assert harness.actions == {"added": 1, "updated": 1}
        assert SetRoute("a", "", "hash", 0, HashRule("header", other.hash_header, other.hash_balance)) in (
            harness.new_changes()
        )

    @pytest.mark.parametrize("other", [Options("round-robin", "X-Tenant", 1.25), Options("", "X-Tenant", 1.25)])
    def test_without_the_algorithm_they_are_nothing(self, other: Options) -> None:
        harness = Harness(is_current=True)
        harness.register("a")
        harness.register("a", options=other)
        assert harness.actions == {"added": 1, "refreshed": 1}

    @pytest.mark.parametrize("algorithm", ["round-robin", "least-connection"])
    def test_without_an_algorithm_the_route_gets_the_routers_own_again(self, algorithm: str) -> None:
        harness = Harness(is_current=True, balancing_algorithm=algorithm)
        harness.register("a", options=self.HASH)
        assert list(harness.registry.balancing.hash_pools()) == [("a", 1)]
        harness.register("a")
        assert harness.new_changes()[-1] == SetRoute("a", "", "")
        assert harness.routes()["a"][0]["load_balancing_algorithm"] == algorithm
        assert list(harness.registry.balancing.hash_pools()) == []

    def test_pools_are_counted_while_they_have_endpoints(self) -> None:
        harness = Harness(is_current=True, empty_pool_timeout=5.0)
        for port in (80, 81):
            harness.register("a", options=self.HASH, port=port)
        assert list(harness.registry.balancing.hash_pools()) == [("a", 2)]
        for port in (80, 81):
            harness.unregister("a", port=port)
        assert list(harness.registry.balancing.hash_pools()) == []
        assert "a" in harness.routes()

    def test_the_gorouter_of_april_2025_does_not_know_it(self, harness: Harness) -> None:
        harness.register("a", options=self.HASH)
        assert not any(isinstance(change, SetRoute) for change in harness.new_changes())
        assert harness.data_of("invalid-endpoint-load-balancing-algorithm-provided-keeping-pool-lb-algo") == {
            "endpointLBAlgorithm": "hash",
            "poolLBAlgorithm": "round-robin",
        }
        assert "hash_balance" not in harness.routes()["a"][0]


class TestCurrentGeneration:
    """N04: results and logs of Gorouters after April 2025 (spec 9.2)."""

    def test_what_changes_nothing_is_a_refresh(self) -> None:
        harness = Harness(is_current=True)
        harness.register("a")
        harness.new_lines()
        harness.register("a")
        assert harness.new_lines() == [(0, "endpoint-refreshed")]
        assert harness.actions == {"added": 1, "refreshed": 1}

    def test_a_refresh_leaves_the_attributes_of_the_route(self) -> None:
        harness = Harness(is_current=True)
        harness.register("a", route_service_url="https://x")
        harness.register("a", port=81)
        harness.new_changes()
        harness.register("a", route_service_url="https://x")
        assert harness.new_changes() == []

    def test_a_refresh_keeps_it_alive(self) -> None:
        harness = Harness(is_current=True)
        harness.register("a")
        for _ in range(5):
            harness.now += 100
            harness.register("a")
            harness.prune()
        assert harness.addresses("a") == [PLAIN]

    def test_a_change_is_told(self) -> None:
        harness = Harness(is_current=True)
        harness.register("a")
        harness.new_lines()
        harness.register("a", app="x")
        assert harness.new_lines() == [(1, "endpoint-registered")]
        assert harness.actions == {"added": 1, "updated": 1}

    def test_the_uri_is_as_it_was_sent(self) -> None:
        harness = Harness(is_current=True)
        harness.register("App.test/Path/")
        assert harness.data_of("route-registered") == {"uri": "App.test/Path/"}
        harness.unregister("App.test/Path/")
        assert harness.data_of("route-unregistered") == {"uri": "App.test/Path/"}

    def test_what_is_not_there_is_only_told_to_who_debugs(self) -> None:
        harness = Harness(is_current=True)
        harness.register("a")
        harness.new_lines()
        harness.unregister("a", port=81)
        harness.unregister("b")
        assert harness.new_lines() == [(0, "endpoint-not-unregistered"), (0, "route-not-unregistered")]

    def test_an_empty_route_stays_if_nothing_is_removed_from_it(self) -> None:
        harness = Harness(is_current=True)
        harness.register("a", tls_port=443)
        assert harness.registry.prune_endpoint("a", TLS)
        harness.unregister("a")
        assert harness.addresses("a") == []
        harness.prune()
        assert "a" not in harness.routes()


class TestUnregister:
    def test_only_the_address_counts(self, harness: Harness) -> None:
        harness.register("a", app="x", private_instance_id="y")
        harness.register("a", port=81)
        harness.new_changes()
        harness.new_lines()
        harness.unregister("A/?q", app="other")
        assert harness.addresses("a") == ["10.0.0.1:81"]
        assert harness.new_changes() == [Remove("a", PLAIN), Forget(0)]
        assert harness.data_of("endpoint-unregistered")["application_id"] == "other"
        assert harness.new_lines() == [(1, "endpoint-unregistered")]

    def test_an_empty_route_goes_at_once(self, harness: Harness) -> None:
        harness.register("a")
        harness.new_changes()
        harness.new_lines()
        harness.unregister("a")
        assert harness.new_changes() == [Remove("a", PLAIN), Forget(0), Drop("a")]
        assert harness.new_lines() == [(1, "endpoint-unregistered"), (1, "route-unregistered")]
        assert len(harness.registry) == 0

    def test_an_unknown_address_is_logged(self, harness: Harness) -> None:
        harness.register("a")
        harness.new_lines()
        harness.unregister("a", port=81)
        assert harness.new_lines() == [(1, "endpoint-not-unregistered")]
        assert harness.addresses("a") == [PLAIN]

    def test_an_unknown_route_is_not(self, harness: Harness) -> None:
        harness.register("*.a")
        harness.new_lines()
        harness.unregister("b.a")
        harness.unregister("*.a/x")
        assert harness.new_lines() == []
        assert harness.addresses("*.a") == [PLAIN]

    def test_every_message_is_counted(self, harness: Harness) -> None:
        harness.register("a")
        harness.unregister("a", tags={"component": "c"})
        harness.unregister("a")
        assert harness.registry.report.unregistrations == {"c": 1, "": 1}

    @pytest.mark.parametrize(
        ("tag", "is_removed"),
        [(("g", 4), False), (("g", 5), True), (("g", 6), True), (("h", 0), True), (("", 0), True)],
    )
    def test_modification_tags(self, harness: Harness, tag: tuple[str, int], is_removed: bool) -> None:
        harness.register("a", tag=("g", 5))
        harness.unregister("a", tag=tag)
        assert ("a" not in harness.routes()) == is_removed

    def test_an_empty_route_lingers_when_it_shall(self) -> None:
        harness = Harness(empty_pool_timeout=10.0)
        harness.register("a")
        harness.now += 100
        harness.unregister("a")
        assert harness.routes() == {"a": []}
        harness.now += 10
        harness.prune()
        assert harness.routes() == {"a": []}
        harness.unregister("a")
        assert harness.routes() == {"a": []}
        harness.now += 0.1
        harness.new_changes()
        harness.new_lines()
        harness.prune()
        assert harness.routes() == {}
        assert harness.new_changes() == [Drop("a")]
        assert harness.new_lines() == [(0, "start-pruning-routes"), (0, "finished-pruning-routes")]

    def test_an_overdue_empty_route_goes_with_the_next_unregister(self) -> None:
        harness = Harness(empty_pool_timeout=10.0)
        harness.register("a")
        harness.unregister("a")
        harness.now += 11
        harness.unregister("a")
        assert harness.routes() == {}

    def test_a_lingering_route_comes_back_to_life(self) -> None:
        harness = Harness(empty_pool_timeout=10.0)
        harness.register("A")
        harness.unregister("a")
        harness.new_lines()
        harness.register("a", port=81)
        assert (1, "route-registered") not in harness.new_lines()
        assert harness.new_changes()[-1] == Put("A", 0)


class TestPruning:
    def test_endpoints_without_tls_go_when_their_own_threshold_has_passed(self, harness: Harness) -> None:
        harness.register("a", stale_threshold_in_seconds=10, isolation_segment="is1")
        harness.register("a", port=81)
        harness.register("b", stale_threshold_in_seconds=10)
        harness.now += 10
        harness.prune()
        assert set(harness.routes()) == {"a", "b"}
        harness.now += 0.1
        harness.new_changes()
        harness.new_lines()
        harness.prune()
        assert harness.addresses("a") == ["10.0.0.1:81"]
        assert set(harness.routes()) == {"a"}
        assert harness.new_changes() == [Remove("a", PLAIN), Forget(0), Remove("b", PLAIN), Forget(2), Drop("b")]
        pruned = [record["data"] for record in harness._lines.records if record["message"] == "pruned-route"]
        assert pruned == [
            {"uri": "a", "endpoints": [PLAIN], "isolation_segment": "is1"},
            {"uri": "b", "endpoints": [PLAIN], "isolation_segment": "-"},
        ]
        assert harness.new_lines() == [
            (0, "start-pruning-routes"),
            (1, "pruned-route"),
            (1, "pruned-route"),
            (0, "finished-pruning-routes"),
        ]
        assert harness.registry.routes_pruned == 2

    def test_tls_endpoints_do_not_age(self, harness: Harness) -> None:
        harness.register("a", tls_port=443)
        harness.now += 1e6
        harness.prune()
        assert harness.addresses("a") == [TLS]

    def test_a_registration_refreshes_its_own_uris_only(self, harness: Harness) -> None:
        shared = harness.endpoint()
        harness.registry.register("a", shared)
        harness.registry.register("b", shared)
        harness.now += 100
        harness.register("a")
        harness.now += 100
        harness.prune()
        assert set(harness.routes()) == {"a"}

    def test_a_pruned_out_route_lingers_when_it_shall(self) -> None:
        harness = Harness(empty_pool_timeout=10.0)
        harness.register("a")
        harness.now += 121
        harness.prune()
        assert harness.routes() == {"a": []}
        harness.now += 11
        harness.prune()
        assert harness.routes() == {}

    def test_suspended_while_registrations_cannot_come(self, harness: Harness) -> None:
        harness.register("a")
        harness.is_suspended = True
        harness.now += 1000
        harness.new_lines()
        harness.prune()
        assert harness.new_lines() == [
            (0, "start-pruning-routes"),
            (1, "prune-suspended"),
            (0, "finished-pruning-routes"),
        ]
        harness.is_suspended = False
        harness.prune()
        assert harness.new_lines() == [
            (0, "start-pruning-routes"),
            (0, "prune-unsuspended-refresh-routes-start"),
            (0, "prune-unsuspended-refresh-routes-complete"),
            (0, "finished-pruning-routes"),
        ]
        assert harness.addresses("a") == [PLAIN]
        harness.now += 120.1
        harness.prune()
        assert harness.routes() == {}

    def test_a_failed_tls_endpoint_is_taken_off_and_its_route_goes_with_the_next_pass(self, harness: Harness) -> None:
        harness.register("a", tls_port=443)
        harness.new_changes()
        assert harness.registry.prune_endpoint("A/", TLS)
        assert harness.new_changes() == [Remove("a", TLS), Forget(0)]
        assert harness.routes() == {"a": []}
        harness.prune()
        assert harness.routes() == {}

    def test_a_report_of_what_is_not_there_or_not_tls_is_ignored(self, harness: Harness) -> None:
        harness.register("a")
        harness.new_changes()
        assert not harness.registry.prune_endpoint("a", PLAIN)
        assert not harness.registry.prune_endpoint("a", TLS)
        assert not harness.registry.prune_endpoint("b", TLS)
        assert harness.new_changes() == []


class TestSharding:
    @pytest.mark.parametrize(
        ("mode", "served"),
        [
            (ShardingMode.ALL, {"", "is1", "is2"}),
            (ShardingMode.SEGMENTS, {"is1"}),
            (ShardingMode.SHARED_AND_SEGMENTS, {"", "is1"}),
        ],
    )
    def test_only_our_segments_leave_a_trace(self, mode: ShardingMode, served: set[str]) -> None:
        harness = Harness(sharding_mode=mode, isolation_segments=["is1"])
        for segment in ("", "is1", "is2"):
            harness.register(f"{segment}.a", isolation_segment=segment)
        assert set(harness.routes()) == {f"{segment}.a" for segment in served}
        for segment in ("", "is1", "is2"):
            harness.unregister(".a", isolation_segment=segment, port=99)
        assert harness.actions == {"added": len(served)}
        assert harness.registry.report.unregistrations == {"": len(served)}

    def test_an_unregister_of_another_segment_does_nothing(self) -> None:
        harness = Harness(sharding_mode=ShardingMode.SEGMENTS, isolation_segments=["is1"])
        harness.register("a", isolation_segment="is1")
        harness.unregister("a")
        assert harness.addresses("a") == [PLAIN]


class TestNumbers:
    """How endpoints are introduced to the workers."""

    def test_the_uris_of_one_message_share_one_endpoint(self, harness: Harness) -> None:
        endpoint = harness.endpoint()
        for uri in ("a", "b"):
            harness.registry.register(uri, endpoint)
        first, *rest = harness.new_changes()
        assert isinstance(first, Introduce)
        assert rest == [Put("a", 0), Put("b", 0)]
        harness.unregister("a")
        assert Forget(0) not in harness.new_changes()
        harness.unregister("b")
        assert Forget(0) in harness.new_changes()

    def test_numbers_are_used_again(self, harness: Harness) -> None:
        for _ in range(3):
            harness.register("a")
            harness.unregister("a")
        assert {change.number for change in harness.new_changes() if isinstance(change, Introduce)} == {0}


class TestRoutesJson:
    def test_byte_for_byte(self, harness: Harness) -> None:
        assert b"".join(harness.registry.routes_json()) == b"{}\n"
        harness.register("b<>/&\u2028\u2029ü", availability_zone="z1", tags={"b": "<&>", "a": ""})
        harness.register("b<>/&\u2028\u2029ü", port=81, tags={})
        harness.register(
            "a",
            tls_port=443,
            route_service_url="https://rs?a&b",
            isolation_segment="is1",
            private_instance_id="id",
            server_cert_domain_san="san",
            options=Options("least-connection"),
            stale_threshold_in_seconds=7,
        )
        assert b"".join(harness.registry.routes_json()).decode() == (
            '{"a":[{"address":"10.0.0.1:443","availability_zone":"","protocol":"http1","tls":true,"ttl":7,'
            '"route_service_url":"https://rs?a\\u0026b","tags":null,"isolation_segment":"is1",'
            '"private_instance_id":"id","server_cert_domain_san":"san","load_balancing_algorithm":"least-connection"}],'
            '"b\\u003c\\u003e/\\u0026\\u2028\\u2029ü":['
            '{"address":"10.0.0.1:80","availability_zone":"z1","protocol":"http1","tls":false,"ttl":120,'
            '"tags":{"a":"","b":"\\u003c\\u0026\\u003e"}},'
            '{"address":"10.0.0.1:81","availability_zone":"","protocol":"http1","tls":false,"ttl":120,"tags":{}}]}\n'
        )

    @pytest.mark.parametrize("count", [1, 255, 256, 257, 1024])
    def test_in_parts(self, harness: Harness, count: int) -> None:
        for number in range(count):
            harness.register(f"{number:04}")
        assert list(harness.routes()) == [f"{number:04}" for number in range(count)]

    def test_routes_that_come_and_go_between_the_parts(self, harness: Harness) -> None:
        for number in range(1000):
            harness.register(f"{number:04}")
        parts = harness.registry.routes_json()
        begin = next(parts)
        for number in range(1000):
            harness.unregister(f"{number:04}")
        harness.register("new")
        *shown, last = json.loads(begin + b"".join(parts))
        assert shown == [f"{number:04}" for number in range(len(shown))]
        assert 0 < len(shown) < 1000
        assert last == "new", "its turn had not come yet"

    def test_a_route_of_many_endpoints_is_in_parts_too(self, harness: Harness) -> None:
        addresses = [f"10.0.0.1:{port}" for port in range(1, 1001)]
        for port in range(1, 1001):
            harness.register("a", port=port)
        parts = list(harness.registry.routes_json())
        assert len(parts) > 2
        assert [shown["address"] for shown in json.loads(b"".join(parts))["a"]] == addresses

    def test_a_lingering_route_is_an_empty_list(self) -> None:
        harness = Harness(empty_pool_timeout=1.0)
        harness.register("a")
        harness.unregister("a")
        assert b"".join(harness.registry.routes_json()) == b'{"a":[]}\n'


class TestPrunePassInSteps:
    """The loop has its turn between the steps, and the table changes there."""

    @pytest.fixture
    def stale(self, harness: Harness) -> Harness:
        """A thousand routes that are stale by now."""
        for number in range(1000):
            harness.register(f"{number:04}")
        harness.now += 121
        return harness

    def test_what_is_registered_meanwhile_stays(self, stale: Harness) -> None:
        steps = stale.registry.prune()
        next(steps)
        gone = 1000 - len(stale.registry)
        assert 0 < gone < 500
        # One behind the walk, one in front of it, one that was pruned and comes back, one that is new.
        for uri in ("0999", "0000", "0000x", "0998"):
            stale.register(uri)
        stale.unregister("0998")
        for _ in steps:
            pass
        assert list(stale.routes()) == ["0000", "0000x", "0999"]
        assert stale.registry.routes_pruned == 998

    def test_a_step_is_small(self, stale: Harness) -> None:
        before, most = len(stale.registry), 0
        for _ in stale.registry.prune():
            most = max(most, before - len(stale.registry))
            before = len(stale.registry)
        assert (len(stale.registry), most) == (0, 1)

    def test_a_route_of_many_endpoints_takes_several(self, harness: Harness) -> None:
        for port in range(1, 1001):
            harness.register("a", port=port)
        harness.now += 121
        steps = harness.registry.prune()
        next(steps)
        assert 0 < 1000 - len(harness.addresses("a")) < 500
        harness.register("a", port=1000)
        for _ in steps:
            pass
        assert harness.addresses("a") == ["10.0.0.1:1000"]
        assert harness.registry.routes_pruned == 999

    def test_it_ends_when_pruning_is_suspended(self, stale: Harness) -> None:
        steps = stale.registry.prune()
        next(steps)
        stale.is_suspended = True
        for _ in steps:
            pass
        left = len(stale.registry)
        assert 500 < left < 1000
        stale.is_suspended = False
        stale.prune()
        assert len(stale.registry) == left, "all of them count as registered now"


class TestFigures:
    def test_endpoints_are_counted_by_address(self, harness: Harness) -> None:
        harness.register("a")
        harness.register("b", app="another")
        harness.register("b", port=81)
        assert harness.registry.count_endpoints() == 2
        harness.unregister("a")
        assert harness.registry.count_endpoints() == 2
        harness.unregister("b")
        assert harness.registry.count_endpoints() == 1

    def test_apps_by_the_numbers_of_their_endpoints(self, harness: Harness) -> None:
        harness.register("a", app="one")
        harness.register("b", app="two", port=81)
        harness.register("c", port=82)
        assert list(harness.registry.app_ids([2, 1, 0, 99])) == ["", "two", "one", ""]
        harness.unregister("a")
        assert list(harness.registry.app_ids([0])) == [""]

    def test_components_beyond_the_room_for_labels_are_counted_without_one(self, harness: Harness) -> None:
        for number in range(100):
            harness.register("a", tags={"component": str(number)}, port=number + 1)
            harness.unregister("a", tags={"component": str(number)}, port=number + 1)
        assert len(harness.registry.report.registrations) == len(harness.registry.report.unregistrations) == 64
        assert harness.registry.report.registrations["", "added"] == harness.registry.report.unregistrations[""] == 37

    def test_time_since_the_last_update(self, harness: Harness) -> None:
        assert harness.registry.ms_since_last_update == -1
        harness.register("a")
        harness.now += 1.5
        assert harness.registry.ms_since_last_update == 1500

    def test_routes_and_endpoints(self, harness: Harness) -> None:
        for uri in ("a", "b"):
            for port in (1, 2, 3):
                harness.register(uri, port=port)
        assert (len(harness.registry), harness.registry.count_endpoints()) == (2, 3)


@pytest.fixture
def quiet() -> Iterator[KeptLines]:
    lines = KeptLines()
    yield lines
    assert lines.records == []


def test_lines_below_the_level_are_not_written(quiet: KeptLines) -> None:
    registry = RouteRegistry(Logger("router", level=Level.WARN, writer=quiet), lambda _: None)
    endpoint = registry.new_endpoint(Registration(host="a", port=1))
    registry.register("a", endpoint)
    registry.register("a", endpoint)
    registry.unregister("a", endpoint)
