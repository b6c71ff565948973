"""The content of `/metrics` (spec 7.4, 9.11): the counters of all workers, and those of the control process.

Names, labels, types and texts are Gorouter's, so that dashboards and alerts keep working; metrics that Gorouter does
not have begin with `fastrouter_`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from fastrouter import __version__
from fastrouter._core import REFUSALS, Stats
from fastrouter.observe.exposition import Exposition, HistogramSample, Labels, Sample
from fastrouter.observe.histogram import Buckets, Histogram
from fastrouter.observe.monitor import Monitor
from fastrouter.registry.route_registry import RouteRegistry

STATUS_GROUPS = ("2xx", "3xx", "4xx", "5xx", "xxx")

# Counters of the workers that Gorouter has without labels, by their names in `_core.Stats` and there.
_PLAIN_COUNTERS = {
    "rejected_requests": "number of rejected requests",
    "bad_gateways": "number of bad gateway errors received from backends",
    "empty_content_length_header": "number of requests with the empty content length header",
    "backend_invalid_id": "number of bad backend id errors received from backends",
    "backend_invalid_tls_cert": "number of tls certificate errors received from backends",
    "backend_tls_handshake_failed": "number of backend handshake errors",
    "backend_exhausted_conns": "number of errors related to backend connection limit reached",
    "websocket_upgrades": "websocket upgrade to websocket",
    "websocket_failures": "websocket failure",
}


class WorkerState(NamedTuple):
    """How often a worker was started, and its process id, None while there is no process."""

    starts: int
    pid: int | None


class _Latency(NamedTuple):
    """A metric that is a histogram, or a gauge made of it: the current histograms by their labels."""

    name: str
    meaning: str
    rows: Iterable[HistogramSample | None]


class Metrics:
    """Renders `/metrics`.

    `states` returns those of the workers. With `has_gauges`, times are gauges as in later Gorouters: the mean of what
    was observed since the metrics were rendered before, or the last such mean. `span_counts` has the number of spans by
    what became of them, and grows.
    """

    def __init__(
        self,
        stats: Stats,
        registry: RouteRegistry,
        registration_latency: Histogram,
        monitor: Monitor,
        states: Callable[[], Sequence[WorkerState]],
        *,
        has_gauges: bool = False,
        span_counts: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._stats = stats
        self._registry = registry
        self._registration_latency = registration_latency
        self._monitor = monitor
        self._states = states
        self._has_gauges = has_gauges
        self._span_counts = span_counts
        # By name and labels: count and sum of the values at the last render, and the gauge's value then.
        self._gauged: dict[tuple[str, Labels], tuple[int, float, float]] = {}

    def render(self) -> Iterator[bytes]:
        """Yield the text of all metrics in small parts; each figure is that of the moment when its part is made."""
        page = Exposition()
        self._add_registry(page)
        self._add_requests(page)
        for latency in self._latencies():
            if self._has_gauges:
                page.gauge(latency.name, latency.meaning, map(partial(self._gauge_of, latency.name), latency.rows))
            else:
                page.histogram(latency.name, latency.meaning, latency.rows)
        page.histogram(
            "fastrouter_route_latency_seconds",
            "time from a request to the end of its response, in seconds",
            self._by_label("fastrouter_route_latency_seconds", "route", self._registry.rows.routes.labels()),
        )
        self._add_process(page)
        self._add_workers(page)
        return page.render()

    def _add_registry(self, page: Exposition) -> None:
        registry = self._registry
        page.counter(
            "registry_message",
            "number of route registration messages",
            [
                Sample(count, (("action", action), ("component", component)))
                for (component, action), count in registry.report.registrations.items()
            ],
        )
        page.counter(
            "unregistry_message",
            "number of unregister messages",
            [Sample(count, _component(component)) for component, count in registry.report.unregistrations.items()],
        )
        page.counter("routes_pruned", "number of pruned routes", [Sample(registry.routes_pruned)])
        page.counter("routes_registered", "number of registered routes", [Sample(registry.routes_registered)])
        page.counter("routes_unregistered", "number of unregistered routes", [Sample(registry.routes_unregistered)])
        page.gauge("total_routes", "number of total routes", [Sample(len(registry))])
        page.gauge(
            "endpoints_per_pool",
            "number of endpoints of a route that is balanced by hash",
            (
                Sample(count, (("lb_algorithm", "hash"), ("route", key)))
                for key, count in registry.balancing.hash_pools()
            ),
        )
        page.gauge(
            "ms_since_last_registry_update",
            "time since last registry update in ms",
            [Sample(registry.ms_since_last_update)],
        )

    def _add_requests(self, page: Exposition) -> None:
        counts = self._stats.counts()
        for name, meaning in _PLAIN_COUNTERS.items():
            page.counter(name, meaning, [Sample(counts[name])])
        attempts = [
            Sample(count, _component(component))
            for row, component in enumerate(self._registry.rows.components.labels())
            if (count := self._stats.attempts(row))
        ]
        page.counter("total_requests", "number of routing requests", attempts)
        page.counter(
            "responses",
            "number of responses",
            [Sample(counts[f"responses_{group}"], (("status_group", group),)) for group in STATUS_GROUPS],
        )
        page.counter(
            "fastrouter_refused_requests_total",
            "number of requests, and of connections before their first one, that were refused before any handler",
            [Sample(counts[f"refused_{reason}"], (("reason", reason),)) for reason in REFUSALS],
        )
        # Gorouter exposes it, and it is always 0 there, too.
        page.counter(
            "responses_route_services",
            "number of responses for route services",
            [Sample(0, (("status_group", group),)) for group in STATUS_GROUPS],
        )

    def _latencies(self) -> Iterator[_Latency]:
        yield _Latency(
            "route_lookup_time", "route lookup time per request in ns", [HistogramSample(self._of("route_lookup_time"))]
        )
        yield _Latency(
            "gorouter_time", "gorouter time per request in seconds", [HistogramSample(self._of("gorouter_time"))]
        )
        yield _Latency(
            "route_registration_latency",
            "route registration latency in ms",
            [HistogramSample(self._registration_latency.buckets())],
        )
        yield _Latency(
            "latency",
            "routing response latency in ms",
            self._by_label("latency", "component", self._registry.rows.components.labels()),
        )
        yield _Latency(
            "http_latency_seconds",
            "the latency of http requests from gorouter and back in sec",
            self._by_label("http_latency_seconds", "source_id", self._registry.rows.sources.labels()),
        )

    def _by_label(self, name: str, label: str, values: Sequence[str]) -> Iterator[HistogramSample | None]:
        """Yield the histograms that have counted something, and None for each other."""
        for row, value in enumerate(values):
            buckets = self._of(name, row)
            yield HistogramSample(buckets, ((label, value),)) if buckets.samples else None

    def _of(self, name: str, row: int = 0) -> Buckets:
        return Buckets(*self._stats.histogram(name, row))

    def _gauge_of(self, name: str, row: HistogramSample | None) -> Sample | None:
        if row is None:
            return None
        count, total = row.buckets.samples, row.buckets.total
        count_before, total_before, value = self._gauged.get((name, row.labels), (0, 0.0, 0.0))
        if count > count_before:
            value = (total - total_before) / (count - count_before)
        self._gauged[name, row.labels] = (count, total, value)
        return Sample(value, row.labels)

    def _add_process(self, page: Exposition) -> None:
        monitor = self._monitor
        page.gauge("file_descriptors", "number of file descriptors found", [Sample(monitor.file_descriptors)])
        page.gauge("buffered_messages", "number of buffered messages in NATS", [Sample(monitor.buffered_messages)])
        page.gauge(
            "total_dropped_messages", "number of total dropped messages in NATS", [Sample(monitor.dropped_messages)]
        )
        # Prometheus' Go client adds these two counters of errors. Here they are always 0.
        page.counter(
            "promhttp_metric_handler_errors_total",
            "Total number of internal errors encountered by the promhttp metric handler.",
            [Sample(0, (("cause", cause),)) for cause in ("encoding", "gathering")],
        )
        page.counter(
            "fastrouter_spans_total",
            "number of spans of requests, by what became of them",
            [Sample(count, (("outcome", outcome),)) for outcome, count in self._span_counts.items()],
        )
        page.gauge("fastrouter_info", "the version of the router", [Sample(1, (("version", __version__),))])

    def _add_workers(self, page: Exposition) -> None:
        stats = self._stats
        states = self._states()
        labels: list[Labels] = [(("worker", str(number)),) for number in range(len(states))]
        counts = [stats.counts(number) for number in range(len(states))]
        for name, counter, meaning in (
            ("fastrouter_worker_requests_total", "requests", "number of requests that have ended at a worker"),
            ("fastrouter_worker_attempts_total", "total_requests", "number of attempts at a backend by a worker"),
            ("fastrouter_worker_dials_total", "dials", "number of connections to backends dialled by a worker"),
            (
                "fastrouter_worker_lost_log_lines_total",
                "lost_log_lines",
                "number of access log lines that a worker could not write",
            ),
            (
                "fastrouter_worker_lost_while_idle_total",
                "lost_while_idle",
                "number of attempts of a worker that went to a kept connection when its backend was closing it",
            ),
            (
                "fastrouter_worker_unsolicited_bytes_total",
                "unsolicited",
                "number of times that a backend has sent a worker bytes nobody asked for",
            ),
        ):
            page.counter(
                name, meaning, [Sample(each[counter], label) for each, label in zip(counts, labels, strict=True)]
            )
        page.counter(
            "fastrouter_worker_restarts_total",
            "number of times a worker had to be replaced",
            [Sample(max(0, state.starts - 1), label) for state, label in zip(states, labels, strict=True)],
        )
        page.gauge(
            "fastrouter_worker_requests_in_flight",
            "number of requests of a worker that wait for the head of a response",
            [Sample(stats.requests_in_flight(number), label) for number, label in enumerate(labels)],
        )
        page.gauge(
            "fastrouter_worker_client_connections",
            "number of connections of clients that a worker has",
            [Sample(each["client_connections"], label) for each, label in zip(counts, labels, strict=True)],
        )
        page.gauge(
            "fastrouter_worker_idle_backend_connections",
            "number of connections to backends that a worker keeps for the next request",
            [Sample(each["idle_backend_connections"], label) for each, label in zip(counts, labels, strict=True)],
        )
        page.gauge(
            "fastrouter_worker_large_header_bytes",
            "number of bytes of the request heads over 32 KiB that a worker has",
            [Sample(each["large_header_bytes"], label) for each, label in zip(counts, labels, strict=True)],
        )


def _component(value: str) -> Labels:
    return (("component", value),)
