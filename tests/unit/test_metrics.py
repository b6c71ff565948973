"""`/metrics` as a whole (spec 7.4, 9.11): names, types, help texts, and the counters of the control process."""

import os
import time

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from fastrouter._core import REFUSALS, RouteTable
from fastrouter.ipc.shared_stats import SharedStats, attach_stats
from fastrouter.ipc.table_changes import Change, Introduce, SetRoute
from fastrouter.logs.logger import Level, Logger
from fastrouter.observe.histogram import DEFAULT_BOUNDS, Histogram
from fastrouter.observe.metrics import Metrics, WorkerState
from fastrouter.observe.monitor import Monitor
from fastrouter.registry.label_rows import LabelRows
from fastrouter.registry.registration import Options, Registration
from fastrouter.registry.route_registry import RouteRegistry
from kept_lines import KeptLines

# name | type | help text, of what has no labels or is there from the start.
AT_START = """
routes_pruned | counter | number of pruned routes
total_routes | gauge | number of total routes
ms_since_last_registry_update | gauge | time since last registry update in ms
route_lookup_time | histogram | route lookup time per request in ns
gorouter_time | histogram | gorouter time per request in seconds
route_registration_latency | histogram | route registration latency in ms
rejected_requests | counter | number of rejected requests
bad_gateways | counter | number of bad gateway errors received from backends
empty_content_length_header | counter | number of requests with the empty content length header
backend_invalid_id | counter | number of bad backend id errors received from backends
backend_invalid_tls_cert | counter | number of tls certificate errors received from backends
backend_tls_handshake_failed | counter | number of backend handshake errors
backend_exhausted_conns | counter | number of errors related to backend connection limit reached
websocket_upgrades | counter | websocket upgrade to websocket
websocket_failures | counter | websocket failure
responses | counter | number of responses
responses_route_services | counter | number of responses for route services
file_descriptors | gauge | number of file descriptors found
buffered_messages | gauge | number of buffered messages in NATS
total_dropped_messages | gauge | number of total dropped messages in NATS
"""
LATER = """
registry_message | counter | number of route registration messages
unregistry_message | counter | number of unregister messages
"""


class Router:
    """The parts of a control process that metrics are taken from."""

    def __init__(self, *, has_gauges: bool = False, is_current: bool = False) -> None:
        self.log = KeptLines()
        self.changes: list[Change] = []
        self.latency = Histogram(DEFAULT_BOUNDS.route_registration_latency)
        logger = Logger(level=Level.ERROR, writer=self.log)
        self.registry = RouteRegistry(
            logger,
            self.changes.append,
            observe_latency=self.latency.observe,
            is_observing_apps=True,
            is_observing_routes=True,
            is_current=is_current,
        )
        shared = SharedStats(2, DEFAULT_BOUNDS.of_workers())
        states = [WorkerState(1, 10), WorkerState(3, None)]
        monitor = Monitor(lambda: (), lambda: (0, 0))
        self._metrics = Metrics(
            shared.stats, self.registry, self.latency, monitor, lambda: states, has_gauges=has_gauges
        )

    def families(self) -> dict[str, Metric]:
        return {
            family.name: family for family in text_string_to_metric_families(b"".join(self._metrics.render()).decode())
        }

    def value(self, name: str, **labels: str) -> float:
        for family in self.families().values():
            for sample in family.samples:
                # The parser gives each counter the suffix that Gorouter's do not have.
                if sample.name in (name, f"{name}_total") and sample.labels == labels:
                    return sample.value
        raise AssertionError(f"no {name} with {labels}")

    def register(self, uri: str, **fields: object) -> None:
        registration = Registration(host="10.0.0.1", port=80, **fields)  # type: ignore[arg-type]
        self.registry.register(uri, self.registry.new_endpoint(registration))

    def unregister(self, uri: str, **fields: object) -> None:
        registration = Registration(host="10.0.0.1", port=80, **fields)  # type: ignore[arg-type]
        self.registry.unregister(uri, self.registry.new_endpoint(registration))


def rows(table: str) -> list[list[str]]:
    return [line.split(" | ") for line in table.strip().splitlines()]


def test_what_is_there_from_the_start() -> None:
    families = Router().families()
    for name, kind, meaning in rows(AT_START):
        assert (families[name].type, families[name].documentation) == (kind, meaning), name


def test_what_comes_with_its_first_label() -> None:
    router = Router()
    assert not {name for name, _, _ in rows(LATER)} & router.families().keys()
    router.register("app.test")
    router.unregister("app.test")
    families = router.families()
    for name, kind, meaning in rows(LATER):
        assert (families[name].type, families[name].documentation) == (kind, meaning), name


def test_bounds_are_gorouters() -> None:
    family = Router().families()["route_lookup_time"]
    bounds = [sample.labels["le"] for sample in family.samples if sample.name == "route_lookup_time_bucket"]
    assert bounds == [*(str(step) for step in range(10_000, 100_001, 10_000)), "+Inf"]


def test_messages_are_counted_by_component_and_outcome() -> None:
    router = Router()
    for _ in range(3):
        router.register("a.test", tags={"component": "web"})
    router.register("b.test")
    router.unregister("a.test", tags={"component": "web"})
    assert router.value("registry_message", component="web", action="added") == 1
    assert router.value("registry_message", component="web", action="updated") == 2
    assert router.value("registry_message", component="", action="added") == 1
    assert router.value("unregistry_message", component="web") == 1
    assert router.value("total_routes") == 1
    assert router.value("routes_registered") == 2
    assert router.value("routes_unregistered") == 1


def test_time_since_the_last_registration() -> None:
    router = Router()
    assert router.value("ms_since_last_registry_update") == -1
    router.register("a.test")
    assert 0 <= router.value("ms_since_last_registry_update") < 10_000


def test_registration_latency_is_that_of_added_endpoints_that_know_it() -> None:
    router = Router()
    ten_seconds_ago = time.time_ns() - 10_000_000_000
    router.register("a.test", endpoint_updated_at_ns=ten_seconds_ago)
    # Known already, and without a time.
    router.register("a.test", endpoint_updated_at_ns=ten_seconds_ago)
    router.register("b.test")
    assert router.value("route_registration_latency_count") == 1
    assert 10_000 <= router.value("route_registration_latency_sum") < 14_000
    assert router.value("route_registration_latency_bucket", le="4") == 0


def test_times_as_gauges_are_the_mean_since_the_last_look() -> None:
    router = Router(has_gauges=True)
    assert router.families()["route_lookup_time"].type == "gauge"
    assert router.value("route_registration_latency") == 0
    router.latency.observe(2.0)
    router.latency.observe(4.0)
    assert router.value("route_registration_latency") == 3
    assert router.value("route_registration_latency") == 3
    router.latency.observe(-8.0)
    assert router.value("route_registration_latency") == -8


def test_pools_that_are_balanced_by_hash_have_a_gauge_while_they_have_endpoints() -> None:
    router = Router(is_current=True)
    router.register("other.test")
    assert "endpoints_per_pool" not in router.families()
    router.register("App.test/x", options=Options("hash", "X-Tenant"))
    assert router.value("endpoints_per_pool", lb_algorithm="hash", route="app.test/x") == 1
    assert router.families()["endpoints_per_pool"].type == "gauge"
    router.unregister("app.test/x")
    assert "endpoints_per_pool" not in router.families()


def test_workers_by_number() -> None:
    router = Router()
    assert router.value("fastrouter_worker_restarts_total", worker="0") == 0
    assert router.value("fastrouter_worker_restarts_total", worker="1") == 2
    assert router.value("fastrouter_worker_requests_total", worker="1") == 0


def test_reasons_of_refusals_are_there() -> None:
    family = Router().families()["fastrouter_refused_requests"]
    assert {sample.labels["reason"]: sample.value for sample in family.samples} == dict.fromkeys(REFUSALS, 0)
    assert family.type == "counter"


def test_errors_of_the_handler_are_there() -> None:
    router = Router()
    for cause in ("encoding", "gathering"):
        assert router.value("promhttp_metric_handler_errors_total", cause=cause) == 0


def test_rows_of_labels_travel_with_the_endpoint() -> None:
    router = Router()
    for uri, component, source in (("a", "web", "app-1"), ("b", "", "app-2"), ("c", "api", ""), ("d", "web", "app-2")):
        router.register(uri, tags={"component": component, "source_id": source}, app=uri)
    found = [(one.component_row, one.source_row) for one in router.changes if isinstance(one, Introduce)]
    assert found == [(1, 1), (0, 2), (2, 0), (1, 2)]


def test_apps_without_a_label_are_counted_as_gorouter() -> None:
    router = Router()
    router.register("a", tags={"source_id": ""})
    router.register("b", tags={"source_id": "app-1"}, app="b")
    router.register("c", tags={"source_id": "gorouter"}, app="c")
    found = [one.source_row for one in router.changes if isinstance(one, Introduce)]
    assert found == [0, 1, 0]
    assert router.registry.rows.sources.labels() == ["gorouter", "app-1"]


def test_rows_of_routes_travel_with_the_route() -> None:
    router = Router()
    router.register("A.test/Path")
    router.register("b.test")
    router.register("a.test/path", app="another")
    found = [(one.uri, one.latency_row) for one in router.changes if isinstance(one, SetRoute)]
    assert found == [("A.test/Path", 1), ("b.test", 2)]
    router.unregister("b.test")
    router.register("b.test", route_service_url="https://x")
    found = [(one.uri, one.latency_row) for one in router.changes if isinstance(one, SetRoute)]
    assert found[2:] == [("b.test", 2)], "it has the row that it had"
    in_snapshot = [(one.uri, one.latency_row) for one in router.registry.snapshot() if isinstance(one, SetRoute)]
    assert in_snapshot == [("A.test/Path", 1), ("b.test", 2)]


def test_routes_have_no_rows_unless_wanted() -> None:
    changes: list[Change] = []
    registry = RouteRegistry(Logger(level=Level.ERROR, writer=KeptLines()), changes.append)
    registry.register("a.test", registry.new_endpoint(Registration(host="10.0.0.1", port=80)))
    assert not any(isinstance(one, SetRoute) for one in [*changes, *registry.snapshot()])


@pytest.mark.parametrize("row", [-1, 1024])
def test_row_of_a_route_that_is_out_of_range_is_refused(row: int) -> None:
    with pytest.raises(ValueError, match="row must be"):
        RouteTable().set_route("a.test", latency_row=row)


def test_labels_beyond_all_rows_share_the_first_row_and_that_is_logged_once() -> None:
    log = KeptLines()
    labels = LabelRows(Logger(level=Level.WARN, writer=log), "latency")
    given = [labels.row(f"component-{number}") for number in range(70)]
    assert given == [*range(1, 64), *[0] * 7]
    assert labels.row("component-5") == 6
    assert len(labels.labels()) == 64
    assert len(log.lines) == 1
    assert b'"metric-labels-exhausted"' in log.lines[0]


def test_mapping_is_shared_through_its_descriptor() -> None:
    shared = SharedStats(2, DEFAULT_BOUNDS.of_workers())
    stats = attach_stats(
        os.dup(shared.descriptor), workers=2, slots=shared.stats.slots, worker=1, bounds=DEFAULT_BOUNDS.of_workers()
    )
    assert (stats.worker, stats.workers, stats.slots) == (1, 2, shared.stats.slots)


def test_mapping_that_is_too_small_is_refused() -> None:
    descriptor = os.memfd_create("too-small")
    os.ftruncate(descriptor, 4096)
    with pytest.raises(ValueError, match="mmap length"):
        attach_stats(descriptor, workers=2, slots=8, worker=0, bounds=DEFAULT_BOUNDS.of_workers())
