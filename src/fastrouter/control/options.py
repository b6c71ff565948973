"""The options of a router, and the error that it cannot start."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastrouter.bus.bus import BusOptions
from fastrouter.ipc.admin_messages import Role, Token
from fastrouter.ipc.messages import (
    AccessLogOptions,
    BackendTLS,
    ProxyProtocol,
    RouteServicesOptions,
    ServerTLS,
    SettingsValues,
)
from fastrouter.metron.options import AgentOptions
from fastrouter.net.address import Address
from fastrouter.observe.histogram import DEFAULT_BOUNDS, HistogramBounds
from fastrouter.observe.metrics_listener import MetricsOptions
from fastrouter.observe.status_listeners import StatusOptions
from fastrouter.otlp.options import ExportOptions
from fastrouter.registry.static_routes import StaticRoute
from fastrouter.routing_api.options import RoutingAPIOptions


class StartError(Exception):
    """The router cannot start; the text says why, for the person at the terminal. The process log has it already."""


class RereadError(Exception):
    """A configuration that no router would start with; `faults` are the data of the log lines that say why."""

    def __init__(self, faults: Sequence[dict[str, Any]]) -> None:
        super().__init__()
        self.faults = faults


class Reread(NamedTuple):
    """What the configuration says now: the TLS of `tls_listen` (None: none), and changed keys that need a restart."""

    front_tls: ServerTLS | None
    needs_restart: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AdminOptions:
    """The admin API: at the Unix socket `socket` (None: at its place in the directory that `find_socket` knows).

    With `listen` also there, for callers with one of `tokens` or, if `tls` asks for one, with a client certificate,
    which allows what `client_role` says. `hosts` are names by which this listener is known. Static routes that are put
    are kept in `routes_file`. `configuration` is what `/v1/config` shows, without secrets.
    """

    socket: str | None = None
    listen: Address | None = None
    tokens: Sequence[Token] = ()
    hosts: Sequence[str] = ()
    tls: ServerTLS | None = None
    client_role: Role = "read"
    routes_file: str | None = None
    configuration: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SnapshotOptions:
    """Every `interval` seconds the table is kept in `file`, for a start while NATS is out of reach."""

    file: str
    interval: float


@dataclass(frozen=True, kw_only=True)
class RouterOptions:
    """The options of one router. Times are seconds.

    `listen` is where clients connect without TLS, `tls_listen` where they do with `front_tls`, None if they cannot;
    `read_again` reads the configuration again, or raises RereadError. `proxy_protocol` holds for both. At
    `internal_listen` the router connects to itself, with `internal_tls`. `workers` is the number of data-plane
    processes, which get `settings` and log to `access_log`. `oversized_head` is the limit on request heads that was
    asked for, if it is more than a router has, else 0. `registry` are further arguments of RouteRegistry,
    `prune_interval` 0 means that nothing is pruned. Apps have `start_delay` to register before the first client comes;
    if `expected_endpoints` is not 0, the delay ends when so many are known. `routes` are always there; `file_routes`
    come from the file `routes_file`, and are there until it is read again. Without `bus` there are no registrations,
    without `routing_api` no routes of the routing API, without `status` no status listeners, without `metrics` no
    `/metrics`, without `route_services` no route services, without `admin` no admin API, without `metron` nothing for
    the Loggregator agent, without `export` no spans, without `table_snapshot` no start without NATS. `error_template`
    is the text of a template that has been parsed successfully. `debug_address` is where the debug server listens, as
    the operator has written it; empty for none.
    """

    listen: Address | None
    workers: int
    settings: SettingsValues
    tls_listen: Address | None = None
    front_tls: ServerTLS | None = None
    read_again: Callable[[], Reread] | None = None
    internal_listen: Address | None = None
    internal_tls: ServerTLS | None = None
    proxy_protocol: ProxyProtocol | None = None
    backend_tls: BackendTLS = field(default_factory=BackendTLS)
    route_services: RouteServicesOptions | None = None
    error_template: str | None = None
    access_log: AccessLogOptions = field(default_factory=AccessLogOptions)
    oversized_head: int = 0
    routes: Sequence[StaticRoute] = ()
    routes_file: str | None = None
    file_routes: Sequence[StaticRoute] = ()
    registry: dict[str, Any] = field(default_factory=dict)
    prune_interval: float = 0.0
    start_delay: float = 0.0
    expected_endpoints: int = 0
    drain_wait: float = 0.0
    drain_timeout: float = 900.0
    bus: BusOptions | None = None
    table_snapshot: SnapshotOptions | None = None
    routing_api: RoutingAPIOptions | None = None
    status: StatusOptions | None = None
    metrics: MetricsOptions | None = None
    metron: AgentOptions | None = None
    export: ExportOptions | None = None
    debug_address: str = ""
    admin: AdminOptions | None = None
    histogram_bounds: HistogramBounds = DEFAULT_BOUNDS


def usable_cpus() -> int:
    """Return how many CPUs this process may run on: the default number of workers."""
    return len(os.sched_getaffinity(0))
