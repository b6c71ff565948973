"""The debug server, metrics and status listeners of a router, what the agent is told, and the sources of all that."""

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastrouter.bus.bus import Bus
from fastrouter.control.options import RouterOptions, StartError, usable_cpus
from fastrouter.control.workers import Workers
from fastrouter.ipc.messages import MetronOptions
from fastrouter.ipc.shared_stats import SharedStats
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Level, Logger
from fastrouter.metron.options import AgentError
from fastrouter.net.address import Address
from fastrouter.net.handover import DEBUG, METRICS, InheritedListeners, NamedListener
from fastrouter.observe.debug_server import new_debug_server
from fastrouter.observe.health import Health
from fastrouter.observe.histogram import Histogram
from fastrouter.observe.metrics import Metrics
from fastrouter.observe.metrics_listener import new_metrics_server
from fastrouter.observe.monitor import INTERVAL, Monitor
from fastrouter.observe.status_listeners import StatusListeners, StatusOptions
from fastrouter.observe.status_server import StatusServer
from fastrouter.observe.traffic import TrafficReader
from fastrouter.observe.varz import Varz
from fastrouter.registry.route_registry import RouteRegistry

if TYPE_CHECKING:
    from fastrouter.metron.reporter import Reporter
    from fastrouter.otlp.exporter import SpanExporter


class Observation:
    """Serves what is wanted of it on what is `inherited`, or on sockets of its own. `bus` returns the bus, if any.

    `set_log_level` sets the level of all processes.
    """

    def __init__(
        self,
        options: RouterOptions,
        logger: Logger,
        inherited: InheritedListeners,
        *,
        health: Health,
        registry: RouteRegistry,
        registration_latency: Histogram,
        shared: SharedStats,
        workers: Workers,
        bus: Callable[[], Bus | None],
        set_log_level: Callable[[Level], None],
    ) -> None:
        self._options = options
        self._logger = logger
        self._inherited = inherited
        self._health = health
        self._registry = registry
        self._registration_latency = registration_latency
        self._shared = shared
        self._workers = workers
        self._bus = bus
        self._set_log_level = set_log_level
        self._monitor = Monitor(self._pids, self._bus_message_counts)
        self._traffic = TrafficReader(shared.stats, registry.rows.components, INTERVAL)
        self._monitor.on_interval.append(self._traffic.tick)
        self._debug: StatusServer | None = None
        self._metrics: StatusServer | None = None
        self._status: StatusListeners | None = None
        self._reporter: Reporter | None = None
        self._exporter: SpanExporter | None = None
        # For the workers.
        self.metron: MetronOptions | None = None

    def start_monitor(self) -> None:
        """Begin to look at the process every few seconds."""
        self._monitor.start()

    def on_started(self) -> None:
        """Note that the router serves from now on."""
        if self._reporter is not None:
            self._reporter.on_started()

    async def serve_debug(self) -> None:
        """Serve the debug server, if there is to be one and it can be."""
        if not self._options.debug_address:
            return
        try:
            server = new_debug_server(self._options.debug_address, lambda: self._logger.level, self._set_log_level)
            await server.start(self._inherited, DEBUG)
        except (OSError, ValueError) as error:
            # Requests do not depend on it, so the router goes on.
            self._logger.error("failed-to-start-debug-server", error=error_text(error))
            return
        self._debug = server
        self._logger.info(
            "debugserver-started",
            address=str(Address(*server.listener.getsockname()[:2])),
            log_level=self._logger.level.name.lower(),
            log_format=self._logger.timestamps,
        )

    async def serve_metrics(self) -> None:
        """Serve `/metrics`, if it is to be. Raises StartError."""
        options = self._options.metrics
        if options is None:
            return
        metrics = Metrics(
            self._shared.stats,
            self._registry,
            self._registration_latency,
            self._monitor,
            self._workers.states,
            has_gauges=options.has_gauges,
            span_counts=self._exporter.counts if self._exporter is not None else {},
        )
        try:
            server = new_metrics_server(options, metrics.render)
            await server.start(self._inherited, METRICS)
        except OSError as error:
            self._logger.fatal("metrics-listener-error", error=error_text(error))
            raise StartError(f"cannot serve metrics: {error_text(error)}") from error
        self._metrics = server
        self._logger.info("metrics-listener-started", port=server.port)

    async def connect_metron(self) -> None:
        """Find the Loggregator agent and begin to tell it of the router, if it is to be. Raises StartError."""
        options = self._options.metron
        if options is None:
            return
        # With protobuf, for routers that have an agent.
        from fastrouter.metron.agent import ORIGIN, Agent, find_agent  # noqa: PLC0415
        from fastrouter.metron.reporter import Reporter  # noqa: PLC0415

        try:
            address = await asyncio.to_thread(find_agent, options.address)
        except AgentError as error:
            self._logger.error("dropsonde-initialize-error", error=str(error))
            raise StartError(f"cannot use the Loggregator agent: {error}") from error
        self.metron = MetronOptions(
            address.host,
            address.port,
            ORIGIN,
            index=options.index,
            sends_values=options.sends_values,
            sends_server_events=options.sends_server_events,
            sends_client_events=options.sends_client_events,
            has_records=options.has_records,
        )
        self._reporter = Reporter(
            Agent(address),
            self._shared.stats,
            self._registry,
            self._monitor,
            # In Gorouter this time begins together with the delay of the start.
            registration_muzzle=max(0.0, options.registration_muzzle - self._options.start_delay),
        )
        self._reporter.start()

    def start_exporter(self) -> None:
        """Begin to export spans, if they are to be."""
        if self._options.export is not None:
            # With protobuf and an HTTP client, for few.
            from fastrouter.otlp.exporter import SpanExporter  # noqa: PLC0415

            self._exporter = SpanExporter(self._options.export, self._logger.child("otlp"))
            self._exporter.start()

    def on_spans(self, spans: bytes, count: int, lost: int) -> None:
        """Export what a worker has finished."""
        if self._exporter is not None:
            self._exporter.add(spans, count, lost)

    def on_registration(self, milliseconds: float) -> None:
        """Note how long ago the update was that an endpoint, which is new, was registered for."""
        self._registration_latency.observe(milliseconds)
        if self._reporter is not None:
            self._reporter.on_registration(milliseconds)

    def on_unregistration(self, component: str) -> None:
        """Note a message that takes an endpoint back."""
        if self._reporter is not None:
            self._reporter.on_unregistration(component)

    def count_error(self, name: str) -> None:
        """Note an error of the routing API's client, by the name of its counter."""
        if self._reporter is not None:
            self._reporter.count_error(name)

    def on_prune_pass(self) -> None:
        """Note that a pruning pass is over."""
        if self._reporter is not None:
            self._reporter.on_prune_pass()

    async def serve_status(self) -> None:
        """Serve health and routes, if they are to be. Raises StartError."""
        options = self._options.status
        if options is None:
            return
        self._status = StatusListeners(
            options, self._health, self._registry, self._workers.until_applied, self.new_varz(options).json
        )
        try:
            await self._status.start(self._inherited)
        except OSError as error:
            self._logger.fatal("initialize-router-error", error=error_text(error))
            raise StartError(f"cannot serve health and routes: {error_text(error)}") from error

    def new_varz(self, options: StatusOptions) -> Varz:
        """Make what `/varz` says."""
        bus = self._bus()
        return Varz(
            self._registry,
            index=self._options.bus.index if self._options.bus is not None else 0,
            host=f"{options.component_host}:{options.health_port}",
            user=options.user,
            password=options.password,
            router_uuid=bus.router_id if bus is not None else "",
            num_cores=usable_cpus(),
            traffic=self._traffic.read,
            usage=lambda: self._monitor.usage,
        )

    def routes_address(self) -> Address | None:
        """Return where routes are served, None if they are not."""
        port = self._status.routes_port if self._status is not None else None
        return Address("127.0.0.1", port) if port is not None else None

    def listeners(self) -> list[NamedListener]:
        """Return the listening sockets that there are."""
        named = []
        for name, server in ((DEBUG, self._debug), (METRICS, self._metrics)):
            if server is not None:
                named.append(NamedListener(name, server.listener))
        return [*named, *(self._status.listeners() if self._status is not None else [])]

    def close_listeners(self) -> None:
        """Accept no more connections; those that there are go on."""
        for server in (self._debug, self._metrics):
            if server is not None:
                server.close_listener()
        if self._status is not None:
            self._status.close_listeners()

    async def stop(self) -> None:
        """Close all listeners and their connections."""
        self._monitor.stop()
        if self._reporter is not None:
            self._reporter.stop()
        if self._exporter is not None:
            await self._exporter.end()
        for server in (self._debug, self._metrics, self._status):
            if server is not None:
                await server.stop()

    def _pids(self) -> list[int]:
        return [os.getpid(), *(state.pid for state in self._workers.states() if state.pid is not None)]

    def _bus_message_counts(self) -> tuple[int, int]:
        bus = self._bus()
        return bus.message_counts() if bus is not None else (0, 0)
