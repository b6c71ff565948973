"""The router as a component in the old sense: `/varz` (spec 7.3)."""

import time
from collections.abc import Callable

import msgspec

from fastrouter.observe.process_usage import Usage
from fastrouter.registry.route_registry import RouteRegistry


class Latency(
    msgspec.Struct, frozen=True, rename={"p50": "50", "p75": "75", "p90": "90", "p95": "95", "p99": "99"}, kw_only=True
):
    """Percentiles of the latency in seconds."""

    p50: float = 0.0
    p75: float = 0.0
    p90: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    value: float = 0.0
    samples: int = 1


class Responses(msgspec.Struct, frozen=True, kw_only=True):
    """Requests and their responses; `rate` is requests per second over the last 1, 5 and 15 minutes."""

    requests: int = 0
    rate: tuple[float, float, float] = (0.0, 0.0, 0.0)
    responses_2xx: int = 0
    responses_3xx: int = 0
    responses_4xx: int = 0
    responses_5xx: int = 0
    responses_xxx: int = 0
    latency: Latency = Latency()


class AppRequests(msgspec.Struct, frozen=True):
    """One of the busiest apps; requests per second and per minute."""

    application_id: str
    rps: int
    rpm: int


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of `/varz` about requests; `components` are the responses by the tag `component` of the endpoints."""

    all: Responses = Responses()
    components: dict[str, Responses] = msgspec.field(default_factory=dict)
    bad_requests: int = 0
    bad_gateways: int = 0
    requests_per_sec: float = 0.0
    top10_app_requests: tuple[AppRequests, ...] = ()


class Varz:
    """Renders `/varz`.

    `index`, `host` and the credentials are the configured ones, `router_uuid` is that of the start message. `traffic`
    returns the figures of the moment, `usage` what all processes of the router use together.
    """

    def __init__(
        self,
        registry: RouteRegistry,
        *,
        index: int,
        host: str,
        user: str,
        password: str,
        router_uuid: str,
        num_cores: int,
        traffic: Callable[[], Traffic],
        usage: Callable[[], Usage],
    ) -> None:
        self._registry = registry
        self._traffic = traffic
        self._usage = usage
        self._started_at = time.monotonic()
        self._identity = {
            "type": "Router",
            "index": index,
            "host": host,
            "credentials": [user, password],
            "uuid": router_uuid,
            "start": time.strftime("%Y-%m-%d %H:%M:%S %z"),
            "num_cores": num_cores,
        }

    def json(self) -> bytes:
        """Return the document: what all components have, and what routers have besides."""
        uptime = time.monotonic() - self._started_at
        traffic = self._traffic()
        usage = self._usage()
        document = {
            **self._identity,
            "mem": usage.resident_kib,
            "cpu": usage.cpu,
            "uptime": format_uptime(uptime),
            "log_counts": {},
            **msgspec.to_builtins(traffic.all),
            "tags": {"component": traffic.components},
            "urls": len(self._registry),
            "droplets": self._registry.count_endpoints(),
            "bad_requests": traffic.bad_requests,
            "bad_gateways": traffic.bad_gateways,
            "requests_per_sec": traffic.requests_per_sec,
            "top10_app_requests": traffic.top10_app_requests,
            "ms_since_last_registry_update": self._registry.ms_since_last_update,
        }
        return msgspec.json.encode(document)


def format_uptime(seconds: float) -> str:
    """Format a duration as `0d:0h:0m:0s`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"{day}d:{hour}h:{minute}m:{second}s"
