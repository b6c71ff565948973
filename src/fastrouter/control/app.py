"""The composition root: builds the router from its options, starts, drains and stops it.

Everything here runs in the control process. The steps, and their order, are Gorouter's: spec 1.3 for the start, 1.5 for
signals, drain and stop.
"""

import asyncio
import gc
import os
import resource
import secrets
import socket
import ssl
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, NoReturn

import msgspec
import uvloop

from fastrouter.bus.bus import Bus, BusOptions
from fastrouter.bus.connection import NatsConnectionError
from fastrouter.control.upgrade import Outcome, Presence, Successor, UpgradeError, tell_outcome
from fastrouter.control.workers import Workers
from fastrouter.ipc.messages import (
    AccessLogOptions,
    BackendTLS,
    Begin,
    ProxyProtocol,
    RouteServicesOptions,
    ServerTLS,
    SettingsValues,
    SharedColumns,
)
from fastrouter.ipc.shared_stats import SLOTS, SharedStats
from fastrouter.logs import syslog
from fastrouter.logs.access import AccessLogFile, new_outage
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import STDOUT_WRITER, Level, Logger
from fastrouter.logs.loop_faults import log_loop_faults
from fastrouter.net.address import Address
from fastrouter.net.handover import (
    CLIENTS,
    CLIENTS_TLS,
    DEBUG,
    INTERNAL,
    METRICS,
    SERVING,
    HandoverError,
    Inheritance,
    NamedListener,
    receive_inheritance,
)
from fastrouter.net.listeners import ListenerWatch, bind_listeners, close_listeners, describe_listener
from fastrouter.observe.debug_server import new_debug_server
from fastrouter.observe.health import Health
from fastrouter.observe.histogram import DEFAULT_BOUNDS, Histogram, HistogramBounds
from fastrouter.observe.metrics import Metrics
from fastrouter.observe.metrics_listener import MetricsOptions, new_metrics_server
from fastrouter.observe.monitor import INTERVAL, Monitor
from fastrouter.observe.status_listeners import StatusListeners, StatusOptions
from fastrouter.observe.status_server import StatusServer
from fastrouter.observe.traffic import TrafficReader
from fastrouter.observe.varz import Varz
from fastrouter.process import signals
from fastrouter.process.service_manager import ServiceManager
from fastrouter.process.slices import in_slices
from fastrouter.registry.adoption import Adoption
from fastrouter.registry.handed_table import TableError, offer_table, receive_table
from fastrouter.registry.static_registry import StaticRouteRegistry
from fastrouter.registry.static_routes import RoutesError, StaticRoute, load_routes_file
from fastrouter.tls.backends import backend_context, route_service_context
from fastrouter.tls.server import ServerTLSError, try_server_tls
from fastrouter.tls.session_tickets import SECRET_SIZE, TicketKeysError, try_ticket_keys

# Seconds that a stop waits for NATS to take what it was sent, and to say goodbye.
_BUS_GRACE = 0.5


# Seconds between two looks at a table that is to hold a number of endpoints.
_PRELOAD_POLL = 0.01

# Seconds after which a start that is to end is told so again.
_CANCEL_AGAIN = 0.1

# Seconds that a client's idle connection has for one more request, before a router that has a successor closes it: a
# request that is on its way is not lost.
IDLE_GRACE = 2.0

# The same for a router that drains. Shorter, because drain_wait is for load balancers to look away.
DRAIN_IDLE_GRACE = 0.5

# Seconds for a successor to serve, besides its start delay, unless the environment says otherwise.
UPGRADE_TIMEOUT = "FASTROUTER_UPGRADE_TIMEOUT"
DEFAULT_UPGRADE_TIMEOUT = 60.0


class StartError(Exception):
    """The router cannot start; the text says why, for the person at the terminal. The process log has it already."""


@dataclass(frozen=True, kw_only=True)
class RouterOptions:
    """What one router is to do. Times are seconds.

    `listen` is where clients connect without TLS, `tls_listen` where they do with `front_tls`, None if they cannot;
    `read_front_tls` gets the latter anew, or raises ServerTLSError. `proxy_protocol` holds for both. At
    `internal_listen` the router meets itself, with `internal_tls`. `workers` is the number of data-plane processes,
    which get `settings` and log to `access_log`. `oversized_head` is the limit on request heads that was asked for, if
    it is more than a router has, else 0. `registry` are further arguments of RouteRegistry, `prune_interval` 0 means
    that nothing is pruned. Apps have `start_delay` to register before the first client comes, or only until
    `expected_endpoints` are known, if that is not 0. `routes` are always there, `file_routes` until the file
    `routes_file`, which had them, is read again. Without `bus` nobody can register, without `status` nobody can ask,
    without `metrics` nobody can measure, without `route_services` none are supported. `error_template` is the text of
    one that has been tried.
    `debug_address` is where the debug server listens, as the operator has written it; empty for none.
    """

    listen: Address | None
    workers: int
    settings: SettingsValues
    tls_listen: Address | None = None
    front_tls: ServerTLS | None = None
    read_front_tls: Callable[[], ServerTLS] | None = None
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
    status: StatusOptions | None = None
    metrics: MetricsOptions | None = None
    debug_address: str = ""
    histogram_bounds: HistogramBounds = DEFAULT_BOUNDS


class Addresses(NamedTuple):
    """Where a running router is reached: by clients, and by those who ask for its routes (None: by nobody)."""

    clients: Address
    routes: Address | None


def usable_cpus() -> int:
    """Return how many CPUs this process may run on: the default number of workers."""
    return len(os.sched_getaffinity(0))


def run(options: RouterOptions, logger: Logger, *, on_started: Callable[[Addresses], None] | None = None) -> bool:
    """Run a router until a signal ends it; the caller has logged `starting` and holds signals back.

    `on_started` is called once when everything serves. Returns False if the router
    had to give up. Raises StartError. The caller ends the process: the event loop is left as it is, because closing it
    would wait for whoever is resolving a name.
    """
    return uvloop.new_event_loop().run_until_complete(_run(options, logger, on_started))


def leave(is_healthy: bool) -> NoReturn:
    """End the process with exit code 0 or 1, at once: see `run`."""
    STDOUT_WRITER.flush()
    # Only errors for the person at the terminal are buffered; the terminal may be gone, or never have been there.
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.flush()
    os._exit(0 if is_healthy else 1)


async def _run(options: RouterOptions, logger: Logger, on_started: Callable[[Addresses], None] | None) -> bool:
    return await Router(options, logger, on_started).run()


class _Ending(Enum):
    """Why a router ends."""

    STOP = "stop"
    DRAIN = "drain"
    SUCCESSION = "succession"
    FAILURE = "failure"


class Router:
    """One router, from its start to its end."""

    def __init__(self, options: RouterOptions, logger: Logger, on_started: Callable[[Addresses], None] | None) -> None:
        self._options = options
        self._logger = logger
        # Gorouter's own lines about listeners, drain and stop name their component; those before it is built do not.
        self._router_logger = logger.child("router")
        self._on_started = on_started
        self._loop = asyncio.get_running_loop()
        log_loop_faults(self._loop, logger)
        self._health = Health()
        # What ends the router, and what ends even a drain.
        self._ending: asyncio.Future[_Ending] = self._loop.create_future()
        self._failure: asyncio.Future[str] = self._loop.create_future()
        self._haste: asyncio.Future[None] = self._loop.create_future()

        self._manager = ServiceManager()
        self._inheritance = _receive_inheritance(logger)
        self._ticket_secret = self._inheritance.ticket_secret or secrets.token_bytes(SECRET_SIZE)
        self._upgrade: asyncio.Task[None] | None = None
        self._is_started = False
        # Parts that were started, by the names under which they say that they have ended; the last one is the first to.
        self._members: list[str] = []
        self._shared = SharedStats(options.workers, options.histogram_bounds.of_workers())
        self._workers = Workers(
            options.workers,
            logger,
            on_hopeless=lambda: self._fail("a worker crashed again and again"),
            on_prune=self._prune_endpoint,
            on_death=self._shared.stats.clear_worker,
        )
        self._bus: Bus | None = None
        self._registration_latency = Histogram(options.histogram_bounds.route_registration_latency)
        self._registry = StaticRouteRegistry(
            logger,
            self._workers.add_change,
            is_pruning_suspended=self._is_pruning_suspended,
            observe_latency=self._registration_latency.observe,
            on_number_reused=self._shared.clear_mark,
            **options.registry,
        )
        self._monitor = Monitor(self._pids, self._bus_message_counts)
        self._traffic = TrafficReader(self._shared.stats, self._registry.component_rows, INTERVAL)
        self._monitor.on_interval.append(self._traffic.tick)
        self._debug_server: StatusServer | None = None
        self._metrics_server: StatusServer | None = None
        self._status: StatusListeners | None = None
        self._listeners: list[NamedListener] = []
        self._listener_watch: ListenerWatch | None = None
        self._prune_timer: asyncio.TimerHandle | None = None
        self._pruning: asyncio.Task[None] | None = None
        self._reload: asyncio.Task[None] | None = None
        self._is_reload_due = False

    async def run(self) -> bool:
        """Start, serve, and end as the first signal or failure demands; False after a failure. Raises StartError."""
        self._handle_signals()
        self._watch_predecessor()
        start = self._loop.create_task(self._start())
        await asyncio.wait((start, self._ending), return_when=asyncio.FIRST_COMPLETED)
        if start.done() and (error := start.exception()) is not None:
            await self._let_go()
            raise error
        ending = await self._ending
        while not start.done():
            # More than once: what asyncio.wait_for waits for may come at this very moment, and then Python 3.11 forgets
            # that it was cancelled.
            start.cancel()
            await asyncio.wait((start,), timeout=_CANCEL_AGAIN)
        await self._abandon_upgrade()
        if ending is not _Ending.SUCCESSION:
            self._manager.stopping()
        if ending is _Ending.DRAIN:
            await self._unless_failed(self._drain())
        elif ending is _Ending.SUCCESSION:
            # The successor feeds it, or nobody.
            self._manager.leave_watchdog()
            await self._unless_failed(self._drain_for_successor())
        self._manager.leave_watchdog()
        await self._stop()
        if not self._failure.done():
            self._router_logger.info("gorouter.exited")
        for member in reversed(self._members):
            self._logger.child(member).info("exited")
        if self._failure.done():
            self._logger.error("gorouter.exited-with-failure", error=self._failure.result())
            return False
        return True

    def _handle_signals(self) -> None:
        for number in signals.STOP:
            self._loop.add_signal_handler(number, self._on_signal, number, _Ending.STOP)
        self._loop.add_signal_handler(signals.DRAIN, self._on_signal, signals.DRAIN, _Ending.DRAIN)
        self._loop.add_signal_handler(signals.UPGRADE, self._on_upgrade_signal)
        self._presence = Presence()
        if self._options.routes_file is not None or self._options.read_front_tls is not None:
            self._loop.add_signal_handler(signals.RELOAD, self._on_reload_signal)
        signals.release()

    def _on_signal(self, number: int, ending: _Ending) -> None:
        if not self._ending.done():
            self._ending.set_result(ending)
        elif self._ending.result() is _Ending.SUCCESSION and ending is _Ending.STOP and not self._haste.done():
            # The successor gets the same signal where a whole group or service is to stop.
            self._haste.set_result(None)
        else:
            self._router_logger.info("gorouter.signal.ignored", signal=signals.NAMES[number])

    def _fail(self, reason: str) -> None:
        if not self._failure.done():
            self._failure.set_result(reason)
        if not self._ending.done():
            self._ending.set_result(_Ending.FAILURE)

    async def _unless_failed(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, or leave it when the router fails or is in haste."""
        task = self._loop.create_task(work)
        await asyncio.wait((task, self._failure, self._haste), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
        elif (error := task.exception()) is not None:
            raise error

    async def _start(self) -> None:
        options = self._options
        _raise_open_file_limit()
        if not self._is_successor:
            await self._serve_debug()
        if options.bus is not None:
            self._logger.info("setting-up-nats-connection")
            self._bus = Bus(
                options.bus,
                self._logger,
                self._registry,
                send_changes=self._workers.send_changes,
                on_closed=lambda: self._fail("nats is gone"),
            )
            try:
                await self._bus.connect()
            except NatsConnectionError as error:
                raise StartError(f"cannot connect to NATS: {error}") from error
        if not self._is_successor:
            await self._serve_metrics()
        log_descriptors = await self._open_access_log()
        await self._registry.replace_static([*options.routes, *options.file_routes])
        self._check_tls()
        self._start_workers(log_descriptors, self._bind_internal_listener())
        if not self._is_successor:
            await self._serve_status()
        self._start_monitor()
        if self._bus is not None:
            await self._listen_to_bus(self._bus)
        self._prune_later()
        if self._bus is not None and options.status is not None and options.status.component_host is not None:
            await self._bus.announce_component(self._new_varz(options.status).json)
        if self._bus is not None:
            self._bus.announce_active_apps(lambda: self._registry.app_ids(self._shared.stats.take_used()))
        self._router_logger.debug(
            "Sleeping before returning success on /health endpoint to preload routing table",
            sleep_time_seconds=options.start_delay,
        )
        await self._preload_table()
        await self._workers.until_ready()
        # Modules and configuration stay: the collector would walk over them again and again, some 20 ms each time.
        gc.collect()
        gc.freeze()
        await self._listen()
        self._router_logger.info("gorouter.started")
        self._health.set_healthy()
        if self._is_successor:
            # Not before: until now the predecessor has answered all who ask, and it is healthy.
            await self._serve_debug()
            await self._serve_metrics()
            await self._serve_status()
        self._inheritance.listeners.close()
        self._is_started = True
        self._manager.ready()
        self._manager.feed_watchdog()
        self._tell_predecessor()
        if self._on_started is not None and self._listeners:
            listener = next(listener for name, listener in self._listeners if name != INTERNAL)
            clients = Address(*listener.getsockname()[:2])
            routes = Address("127.0.0.1", self._status.routes.port) if self._status is not None else None
            self._on_started(Addresses(clients, routes))

    async def _preload_table(self) -> None:
        """Let apps register before the first client comes."""
        expected = self._options.expected_endpoints
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.start_delay):
                while not 0 < expected <= self._registry.count_endpoints():  # noqa: ASYNC110
                    await asyncio.sleep(_PRELOAD_POLL)

    def _start_monitor(self) -> None:
        self._monitor.start()
        self._members.append("FileDescriptor")

    async def _listen_to_bus(self, bus: Bus) -> None:
        """Hear registrations from now on, and take over what the predecessor has heard so far.

        What comes in meanwhile is handled behind that, in its order. So the last word counts, whether the predecessor's
        table had it already or not: an app that has unregistered is not brought back.
        """
        self._members += ["subscriber", "NATSMonitor"]
        table = self._inheritance.table
        if table is None:
            await bus.start()
            return
        bus.hold()
        try:
            await bus.start()
            await self._inherit_table(table)
        finally:
            table.close()
            bus.release()
        await bus.until_caught_up()

    async def _inherit_table(self, line: socket.socket) -> None:
        adoption = Adoption(self._registry, self._shared.mark)
        started_at = time.monotonic_ns()
        try:
            async with aclosing(receive_table(line)) as parts:
                async for part in parts:
                    for handed in part:
                        adoption.take(handed)
                    # Workers take it as fast as they can, and no faster.
                    await self._workers.until_sent()
        except (TableError, ValueError) as error:
            # What was right so far stays, and ages; the rest registers sooner or later.
            self._logger.error("table-refused", error=str(error), routes=len(self._registry))
        else:
            self._logger.info("table-inherited", routes=len(self._registry), took=time.monotonic_ns() - started_at)

    async def _open_access_log(self) -> list[int]:
        """Return the descriptors that go to each worker with Begin."""
        options = self._options.access_log
        source = self._logger.child("access-grlog")
        descriptors: list[int] = []
        if options.file is not None:
            try:
                file = AccessLogFile.open(options.file)
            except OSError as error:
                source.error("error-creating-accesslog-file", filename=options.file, error=error_text(error))
                self._logger.error("error-creating-access-logger", error=error_text(error))
                raise StartError(f"cannot open the access log {options.file}: {error.strerror}") from error
            descriptors += [file.descriptor, file.outage]
        if options.syslog is not None:
            try:
                # One for all workers, as long as it holds.
                connection = await asyncio.to_thread(syslog.connect, options.syslog)
            except OSError as error:
                source.error("error-creating-syslog-writer", error=error_text(error))
                self._logger.error("error-creating-access-logger", error=error_text(error))
                raise StartError(f"cannot connect to the syslog server: {error_text(error)}") from error
            descriptors += [connection.detach(), new_outage()]
        return descriptors

    def _prune_endpoint(self, uri: str, address: str) -> None:
        # One worker has seen what the endpoint is: the others need not.
        self._registry.prune_endpoint(uri, address)

    def _bind_internal_listener(self) -> RouteServicesOptions | None:
        """Bind the internal listener, if there is to be one: workers must know its port before anything comes.

        Returns what they are told of route services.
        """
        address, services = self._options.internal_listen, self._options.route_services
        if address is None or services is None or services.hairpin is None:
            return services
        self._bind(INTERNAL, address, "internal-listener", failure="new-route-services-server")
        port = self._listeners[-1].listener.getsockname()[1]
        return msgspec.structs.replace(services, hairpin=msgspec.structs.replace(services.hairpin, port=port))

    def _start_workers(self, log_descriptors: list[int], route_services: RouteServicesOptions | None) -> None:
        if self._options.oversized_head:
            # Gorouter's name for it, and its words.
            text = f"Values over {self._options.oversized_head} are limited by http.Server"
            self._logger.warn("innefectual-max-header-bytes-value", error=text)
        front_tls, internal_tls = (
            tls and self._with_ticket_secret(tls) for tls in (self._options.front_tls, self._options.internal_tls)
        )
        begin = Begin(
            columns=SharedColumns(self._options.workers, SLOTS, 0, self._shared.bounds),
            settings=self._options.settings,
            backend_tls=self._options.backend_tls,
            front_tls=front_tls,
            internal_tls=internal_tls,
            proxy_protocol=self._options.proxy_protocol,
            route_services=route_services,
            error_template=self._options.error_template,
            log_source=self._logger.source,
            log_level=int(self._logger.level),
            log_timestamps=self._logger.timestamps,
            access_log=self._options.access_log,
        )
        self._workers.start(begin, [self._shared.descriptor, *log_descriptors], self._registry.snapshot)

    def _with_ticket_secret(self, tls: ServerTLS) -> ServerTLS:
        """Return `tls` with a secret, so that sessions go on with every worker, later ones and the successor's too."""
        if tls.ticket_secret:
            return tls
        return msgspec.structs.replace(tls, ticket_secret=self._ticket_secret)

    @property
    def _is_successor(self) -> bool:
        return self._inheritance.predecessor is not None

    def _watch_predecessor(self) -> None:
        if self._inheritance.predecessor is not None:
            self._loop.add_reader(
                self._inheritance.predecessor, self._on_predecessor_end, self._inheritance.predecessor
            )

    def _on_predecessor_end(self, predecessor: socket.socket) -> None:
        self._loop.remove_reader(predecessor)
        self._fail("the router to succeed is gone")

    def _tell_predecessor(self) -> None:
        predecessor = self._inheritance.predecessor
        if predecessor is not None:
            self._loop.remove_reader(predecessor)
            # If it is gone by now, there is all the more need of this one.
            with suppress(OSError):
                predecessor.send(SERVING)
            predecessor.close()

    async def _serve_debug(self) -> None:
        if not self._options.debug_address:
            return
        try:
            server = new_debug_server(self._options.debug_address, lambda: self._logger.level, self._set_log_level)
            await server.start(self._inheritance.listeners, DEBUG)
        except (OSError, ValueError) as error:
            # Nobody's requests depend on it.
            self._logger.error("failed-to-start-debug-server", error=error_text(error))
            return
        self._debug_server = server
        self._logger.info(
            "debugserver-started",
            address=str(Address(*server.listener.getsockname()[:2])),
            log_level=self._logger.level.name.lower(),
            log_format=self._logger.timestamps,
        )

    def _set_log_level(self, level: Level) -> None:
        self._logger.level = level
        self._workers.set_log_level(level)

    async def _serve_metrics(self) -> None:
        if self._options.metrics is not None:
            await self._start_metrics(self._options.metrics)

    async def _serve_status(self) -> None:
        if self._options.status is not None:
            await self._start_status(self._options.status)

    async def _start_status(self, options: StatusOptions) -> None:
        self._status = StatusListeners(
            options, self._health, self._registry, self._workers.until_applied, self._new_varz(options).json
        )
        try:
            await self._status.start(self._inheritance.listeners)
        except OSError as error:
            self._logger.error("initialize-router-error", error=error_text(error))
            raise StartError(f"cannot serve health and routes: {error_text(error)}") from error

    def _new_varz(self, options: StatusOptions) -> Varz:
        return Varz(
            self._registry,
            index=self._options.bus.index if self._options.bus is not None else 0,
            host=f"{options.component_host}:{options.health_port}",
            user=options.user,
            password=options.password,
            router_uuid=self._bus.router_id if self._bus is not None else "",
            num_cores=usable_cpus(),
            traffic=self._traffic.read,
            usage=lambda: self._monitor.usage,
        )

    async def _start_metrics(self, options: MetricsOptions) -> None:
        metrics = Metrics(
            self._shared.stats,
            self._registry,
            self._registration_latency,
            self._monitor,
            self._workers.states,
            has_gauges=options.has_gauges,
        )
        try:
            server = new_metrics_server(options, metrics.render)
            await server.start(self._inheritance.listeners, METRICS)
        except OSError as error:
            self._logger.error("metrics-listener-error", error=error_text(error))
            raise StartError(f"cannot serve metrics: {error_text(error)}") from error
        self._metrics_server = server
        self._logger.info("metrics-listener-started", port=server.port)

    def _pids(self) -> list[int]:
        return [os.getpid(), *(state.pid for state in self._workers.states() if state.pid is not None)]

    def _bus_message_counts(self) -> tuple[int, int]:
        return self._bus.message_counts() if self._bus is not None else (0, 0)

    async def _listen(self) -> None:
        options = self._options
        if options.listen is None:
            self._router_logger.info("tcp-listener-disabled")
        else:
            self._bind(CLIENTS, options.listen, "tcp-listener")
        if options.tls_listen is None or options.front_tls is None:
            self._router_logger.info("tls-listener-not-enabled")
        else:
            self._bind(CLIENTS_TLS, options.tls_listen, "tls-listener")
        self._listener_watch = ListenerWatch([listener for _, listener in self._listeners], self._on_listener_failure)
        if self._listeners:
            await self._workers.listen(self._listeners)

    def _check_tls(self) -> None:
        """Find out what OpenSSL will not have before there are workers, which could only die of it."""
        options = self._options
        try:
            if options.front_tls is not None:
                try_server_tls(options.front_tls)
        except ServerTLSError as error:
            self._router_logger.error("tls-listener-error", error=str(error))
            raise StartError(f"cannot serve TLS: {error}") from error
        if options.front_tls is not None or options.internal_tls is not None:
            try:
                try_ticket_keys()
            except TicketKeysError as error:
                # Whole handshakes cost more, and nobody anything else.
                self._logger.info("tls-sessions-not-shared", error=str(error))
        try:
            backend_context(**msgspec.structs.asdict(options.backend_tls))
            if options.route_services is not None:
                route_service_context(**msgspec.structs.asdict(options.route_services.tls))
        except (ssl.SSLError, ValueError) as error:
            self._logger.error("client-tls-error", error=error_text(error))
            raise StartError(f"cannot use TLS to backends or route services: {error_text(error)}") from error

    def _bind(self, name: str, address: Address, what: str, *, failure: str = "") -> None:
        """Bind the listeners `name`, unless they are inherited; `what` is how the log calls them.

        `failure` is what it says when they cannot be, "" for the usual.
        """
        listeners = self._inheritance.listeners.take(name, address.port)
        try:
            listeners = listeners or bind_listeners(address, self._options.workers)
        except OSError as error:
            text = f"listen tcp {address}: bind: {error_text(error)}"
            if failure:
                self._logger.error(failure, error=text)
            else:
                self._router_logger.error(f"{what}-error", error=text)
            raise StartError(f"cannot listen on {address}: {error.strerror}") from error
        self._listeners += [NamedListener(name, listener) for listener in listeners]
        self._router_logger.info(f"{what}-started", address=describe_listener(listeners[0]))

    def _on_listener_failure(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self._router_logger.error(
            "Error occurred", error=f"accept tcp {Address(host, port)}: the socket listens no more"
        )
        if not self._ending.done():
            self._ending.set_result(_Ending.DRAIN)

    def _prune_later(self) -> None:
        if self._options.prune_interval > 0:
            self._prune_timer = self._loop.call_later(self._options.prune_interval, self._prune)

    def _prune(self) -> None:
        # Before the pass: a bug in it costs one pass, not all that follow.
        self._prune_later()
        if self._pruning is None or self._pruning.done():
            self._pruning = self._loop.create_task(in_slices(self._registry.prune()))

    def _is_pruning_suspended(self) -> bool:
        return self._bus is not None and self._bus.is_pruning_suspended

    def _on_reload_signal(self) -> None:
        if self._reload is None:
            self._manager.reloading()
            self._reload = self._loop.create_task(self._reload_files())
        else:
            self._is_reload_due = True

    async def _reload_files(self) -> None:
        options = self._options
        try:
            if options.routes_file is not None:
                await self._replace_static_routes(options.routes_file)
            if options.read_front_tls is not None:
                await self._replace_front_tls(options.read_front_tls)
        finally:
            # Whatever went wrong: the next signal tries again.
            self._reload = None
        self._manager.ready()
        if self._is_reload_due:
            self._is_reload_due = False
            self._on_reload_signal()

    async def _replace_static_routes(self, path: str) -> None:
        try:
            # In a thread, because a file of a hundred thousand routes takes seconds.
            routes = await asyncio.to_thread(load_routes_file, path)
        except (RoutesError, OSError) as error:
            self._logger.error("routes-file-refused", file=path, error=error_text(error))
        else:
            changed, removed = await self._registry.replace_static([*self._options.routes, *routes])
            self._logger.info("routes-file-loaded", file=path, changed=changed, removed=removed)

    async def _replace_front_tls(self, read: Callable[[], ServerTLS]) -> None:
        def read_and_try() -> ServerTLS:
            tls = self._with_ticket_secret(read())
            try_server_tls(tls)
            return tls

        try:
            tls = await asyncio.to_thread(read_and_try)
        except (ServerTLSError, OSError) as error:
            # The latter has little to do with the file: memory or descriptors are at an end.
            self._logger.error("certificates-refused", error=error_text(error))
        else:
            self._workers.secure_anew(tls)
            names = sorted({name for identity in tls.identities for name in identity.names})
            self._logger.info("certificates-loaded", names=names)

    def _on_upgrade_signal(self) -> None:
        if self._is_started and self._upgrade is None and not self._ending.done():
            self._upgrade = self._loop.create_task(self._hand_over())
        else:
            self._router_logger.info("gorouter.signal.ignored", signal=signals.NAMES[signals.UPGRADE])
            tell_outcome(Outcome(None, "the signal was ignored: the router starts, ends or has a successor already"))

    async def _hand_over(self) -> None:
        """Start a successor; this router drains when that one serves, and goes on as before if it never does."""
        started_at = time.monotonic_ns()
        named = self._named_listeners()
        self._logger.info("upgrade-started", listeners=[name for name, _ in named])
        try:
            successor = Successor(named, self._ticket_secret)
            offer = self._loop.create_task(self._offer_table(successor.table))
            try:
                self._logger.info("upgrade-successor-started", pid=successor.pid)
                await successor.until_serving(_upgrade_timeout() + self._options.start_delay)
            except BaseException:
                await _end(offer)
                await successor.give_up()
                raise
            # It has what it wanted, or wanted nothing.
            await _end(offer)
            successor.close()
        except UpgradeError as error:
            self._upgrade = None
            self._logger.error("upgrade-failed", error=f"the successor {error}")
            tell_outcome(Outcome(None, f"the successor {error}"))
            return
        self._logger.info("upgrade-succeeded", pid=successor.pid, took=time.monotonic_ns() - started_at)
        self._manager.succeeded_by(successor.pid)
        tell_outcome(Outcome(successor.pid))
        if not self._ending.done():
            self._ending.set_result(_Ending.SUCCESSION)

    async def _offer_table(self, line: socket.socket) -> None:
        catch_up = self._bus.until_caught_up if self._bus is not None else _need_not
        try:
            if await offer_table(line, catch_up, lambda: self._registry.hand_over(self._shared.failed_ago)):
                self._logger.info("upgrade-table-sent", routes=len(self._registry))
        except Exception as error:
            # The successor starts without, as it did before there was this.
            self._logger.error("upgrade-table-failed", error=repr(error))
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    async def _abandon_upgrade(self) -> None:
        if self._upgrade is not None and not self._upgrade.done():
            self._upgrade.cancel()
            await asyncio.wait((self._upgrade,))

    def _named_listeners(self) -> list[NamedListener]:
        named = list(self._listeners)
        for name, server in ((DEBUG, self._debug_server), (METRICS, self._metrics_server)):
            if server is not None:
                named.append(NamedListener(name, server.listener))
        return [*named, *(self._status.listeners() if self._status is not None else [])]

    async def _drain(self) -> None:
        options = self._options
        self._health.degrade()
        self._workers.degrade()
        self._router_logger.info(
            "gorouter-draining", wait_seconds=options.drain_wait, timeout_seconds=options.drain_timeout
        )
        await asyncio.sleep(options.drain_wait)
        await self._drain_workers(idle_grace=min(DRAIN_IDLE_GRACE, options.drain_timeout / 2))

    async def _drain_for_successor(self) -> None:
        """Leave the sockets to the successor, in whose hands all that waits in their queues is."""
        self._router_logger.info("gorouter-draining", wait_seconds=0.0, timeout_seconds=self._options.drain_timeout)
        for server in (self._debug_server, self._metrics_server):
            if server is not None:
                server.close_listener()
        if self._status is not None:
            self._status.close_listeners()
        await self._drain_workers(idle_grace=IDLE_GRACE)

    async def _drain_workers(self, idle_grace: float) -> None:
        self._close_listeners()
        try:
            # One deadline for all: a worker that stands still must not hold up the end.
            async with asyncio.timeout(self._options.drain_timeout):
                counts = await self._workers.drain(idle_grace)
                self._router_logger.info(f"Draining with {counts.active} outstanding active connections")
                self._router_logger.info(f"Draining with {counts.idle} outstanding idle connections")
                await self._workers.until_drained()
        except TimeoutError:
            self._router_logger.info("router.drain.timed-out")
            self._router_logger.error("gorouter-draining-error", error="router: Drain timeout")

    async def _stop(self) -> None:
        self._router_logger.info("gorouter.stopping")
        stopping_at = time.monotonic_ns()
        await self._let_go()
        self._router_logger.info("gorouter.stopped", took=time.monotonic_ns() - stopping_at)

    async def _let_go(self) -> None:
        """End everything that was started, as far as it was."""
        self._presence.close()
        if self._prune_timer is not None:
            self._prune_timer.cancel()
        if self._pruning is not None:
            self._pruning.cancel()
        self._close_listeners()
        await self._workers.stop()
        self._monitor.stop()
        for server in (self._debug_server, self._metrics_server, self._status):
            if server is not None:
                await server.stop()
        if self._bus is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_BUS_GRACE):
                    await self._bus.stop()

    def _close_listeners(self) -> None:
        if self._listener_watch is not None:
            self._listener_watch.close()
            self._listener_watch = None
        close_listeners([listener for _, listener in self._listeners])
        self._listeners = []


def _receive_inheritance(logger: Logger) -> Inheritance:
    try:
        inheritance = receive_inheritance()
    except HandoverError as error:
        logger.error("inherited-listeners-refused", error=str(error))
        raise StartError(f"cannot inherit listeners: {error}") from error
    if inheritance.listeners.names:
        logger.info("listeners-inherited", names=inheritance.listeners.names)
    return inheritance


async def _need_not() -> None:
    """Without a bus there is nothing to catch up with."""


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def _upgrade_timeout() -> float:
    try:
        return float(os.environ[UPGRADE_TIMEOUT])
    except (KeyError, ValueError):
        return DEFAULT_UPGRADE_TIMEOUT


def _raise_open_file_limit() -> None:
    # Two descriptors per request in flight: the usual soft limit of 1024 would end at 500 clients. Workers inherit it.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
