"""The composition root: builds the router from its options, starts, drains and stops it.

Everything here runs in the control process. The steps, and their order, are Gorouter's: spec 1.3 for the start, 1.5 for
signals, drain and stop.
"""

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import uvloop

from fastrouter.bus.bus import Bus
from fastrouter.control.admin import Admin
from fastrouter.control.admin_calls import Phase, RouterParts
from fastrouter.control.client_listeners import ClientListeners
from fastrouter.control.drain import Drain
from fastrouter.control.log_level import TimedLogLevel
from fastrouter.control.observation import Observation
from fastrouter.control.options import RouterOptions
from fastrouter.control.predecessor import Predecessor
from fastrouter.control.preparation import open_access_log, preload_table, raise_open_file_limit, try_shared_sessions
from fastrouter.control.pruning import Pruning
from fastrouter.control.registration_sources import connect_bus, connect_routing_api
from fastrouter.control.reload import Reload
from fastrouter.control.route_counting import RouteCounting
from fastrouter.control.static_route_sources import StaticRouteSources
from fastrouter.control.succession import Succession
from fastrouter.control.table_snapshots import TableSnapshots
from fastrouter.control.upgrade import Outcome, Presence, report_outcome
from fastrouter.control.worker_begin import new_begin
from fastrouter.control.workers import Workers
from fastrouter.ipc.messages import RouteServicesOptions
from fastrouter.ipc.shared_stats import SharedStats
from fastrouter.ipc.table_changes import Change
from fastrouter.logs.access import AccessLogFile
from fastrouter.logs.logger import STDOUT_WRITER, Logger
from fastrouter.logs.loop_faults import log_loop_faults
from fastrouter.net.address import Address
from fastrouter.observe.health import Health
from fastrouter.observe.histogram import Histogram
from fastrouter.process import signals
from fastrouter.process.service_manager import ServiceManager
from fastrouter.registry.static_registry import StaticRouteRegistry

if TYPE_CHECKING:
    from fastrouter.routing_api.route_fetcher import RouteFetcher

# Seconds after which a start that is to end is cancelled again.
_CANCEL_AGAIN = 0.1


class Addresses(NamedTuple):
    """Where a running router is reached: by clients, for its routes, and for its admin API over TCP (None: nowhere)."""

    clients: Address
    routes: Address | None
    admin: Address | None


def run(options: RouterOptions, logger: Logger, *, on_started: Callable[[Addresses], None] | None = None) -> bool:
    """Run a router until a signal ends it; the caller has logged `starting` and holds signals back.

    Its TLS has been checked. `on_started` is called once when everything serves. Returns False if the router had to
    give up. Raises StartError. The caller ends the process: the event loop is left as it is, because closing it would
    wait for whoever is resolving a name.
    """
    return uvloop.new_event_loop().run_until_complete(_run(options, logger, on_started))


def leave(is_healthy: bool) -> NoReturn:
    """End the process with exit code 0 or 1, at once: see `run`."""
    STDOUT_WRITER.flush()
    # Only errors for the person at the terminal are buffered. There may be no terminal.
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
        # Why the router ends; the other two end a drain, too.
        self._ending: asyncio.Future[_Ending] = self._loop.create_future()
        self._failure: asyncio.Future[str] = self._loop.create_future()
        self._stop_now: asyncio.Future[None] = self._loop.create_future()
        self._is_started = False
        # The parts that were started, by the names under which they log `exited`, in reverse order, at the end.
        self._members: list[str] = []

        self._health = Health()
        self._manager = ServiceManager()
        self._predecessor = Predecessor(logger)
        self._shared = SharedStats(options.workers, options.histogram_bounds.of_workers())
        self._route_counting = RouteCounting(options.workers, self._predecessor, logger)
        self._workers = Workers(
            options.workers,
            logger,
            on_crash_loop=lambda cause: self._fail(f"a worker crashed again and again, at last {cause}"),
            on_prune=self._prune_endpoint,
            on_death=self._on_worker_death,
            on_ready=lambda name, pid: self._admin.tell("worker-ready", name=name, pid=pid),
            on_spans=lambda *finished: self._observation.on_spans(*finished),  # noqa: PLW0108 made later
            counter_block=self._route_counting.block_of,
        )
        self._bus: Bus | None = None
        self._route_fetcher: RouteFetcher | None = None
        self._observation: Observation
        self._snapshots: TableSnapshots
        registration_latency = Histogram(options.histogram_bounds.route_registration_latency)
        self._registry = StaticRouteRegistry(
            logger,
            self._add_change if options.admin or options.table_snapshot else self._workers.add_change,
            is_pruning_suspended=lambda: self._snapshots.is_pruning_suspended,
            observe_latency=lambda milliseconds: self._observation.on_registration(milliseconds),  # noqa: PLW0108 made later
            on_unregistration=lambda component: self._observation.on_unregistration(component),  # noqa: PLW0108 likewise
            on_number_reused=self._shared.clear_mark,
            route_slots=self._route_counting.slots,
            **options.registry,
        )
        self._static_routes = StaticRouteSources(self._registry, options)
        self._log_level = TimedLogLevel(logger, self._workers.set_log_level)
        self._observation = Observation(
            options,
            logger,
            self._predecessor.listeners,
            health=self._health,
            registry=self._registry,
            registration_latency=registration_latency,
            shared=self._shared,
            workers=self._workers,
            bus=lambda: self._bus,
            set_log_level=self._log_level.set,
        )
        self._pruning = Pruning(self._registry, options.prune_interval, self._observation.on_prune_pass)
        self._listeners = ClientListeners(
            options, logger, self._predecessor.listeners, on_failure=lambda: self._end(_Ending.DRAIN)
        )
        self._reload = Reload(
            options,
            logger,
            manager=self._manager,
            static_routes=self._static_routes,
            workers=self._workers,
            prepare_tls=self._predecessor.with_ticket_secret,
        )
        self._succession = Succession(
            logger,
            self._registry,
            self._shared,
            catch_up=self._catch_up,
            start_delay=options.start_delay,
            on_succeeded=self._on_succeeded,
        )
        self._snapshots = TableSnapshots(
            options.table_snapshot,
            logger,
            self._registry,
            self._shared,
            is_successor=self._predecessor.is_there,
            on_failure=self._fail,
            may_make=lambda: not self._succession.has_begun,
        )
        self._drain = Drain(
            options,
            self._router_logger,
            health=self._health,
            workers=self._workers,
            listeners=self._listeners,
            observation=self._observation,
        )
        parts = RouterParts(
            options=self._options,
            health=self._health,
            registry=self._registry,
            workers=self._workers,
            reloading=self._reload,
            static_routes=self._static_routes,
            log_level=self._log_level,
            bus=lambda: self._bus,
            phase=self._phase,
            has_successor=lambda: self._succession.has_begun,
            begin_drain=lambda: self._end(_Ending.DRAIN),
        )
        self._admin = Admin(
            options.admin, logger, self._predecessor.listeners, parts, self._shared, route_counting=self._route_counting
        )

    async def run(self) -> bool:
        """Start, serve, and end as the first signal or failure demands; False after a failure. Raises StartError."""
        self._handle_signals()
        self._predecessor.watch(lambda: self._fail("the router to succeed is gone"))
        start = self._loop.create_task(self._start())
        await asyncio.wait((start, self._ending), return_when=asyncio.FIRST_COMPLETED)
        if start.done() and (error := start.exception()) is not None:
            await self._stop_all()
            raise error
        ending = await self._ending
        while not start.done():
            # More than once: if the event that asyncio.wait_for waits for comes at the same moment, Python 3.11 loses
            # the cancellation.
            start.cancel()
            await asyncio.wait((start,), timeout=_CANCEL_AGAIN)
        await self._succession.abandon()
        if ending is not _Ending.SUCCESSION:
            self._manager.stopping()
        if ending is _Ending.DRAIN:
            await self._unless_failed(self._drain.run())
        elif ending is _Ending.SUCCESSION:
            # From now on only the successor may feed it.
            self._manager.leave_watchdog()
            await self._unless_failed(self._drain.run_for_successor())
        self._manager.leave_watchdog()
        await self._stop()
        if not self._failure.done():
            self._router_logger.info("gorouter.exited")
        for member in reversed(self._members):
            self._logger.child(member).info("exited")
        if self._failure.done():
            self._logger.fatal("gorouter.exited-with-failure", error=self._failure.result())
            return False
        return True

    def _handle_signals(self) -> None:
        for number in signals.STOP:
            self._loop.add_signal_handler(number, self._on_signal, number, _Ending.STOP)
        self._loop.add_signal_handler(signals.DRAIN, self._on_signal, signals.DRAIN, _Ending.DRAIN)
        self._loop.add_signal_handler(signals.UPGRADE, self._on_upgrade_signal)
        self._presence = Presence()
        self._loop.add_signal_handler(signals.RELOAD, self._reload.begin)
        signals.release()

    def _on_signal(self, number: int, ending: _Ending) -> None:
        if not self._ending.done():
            self._ending.set_result(ending)
        elif self._ending.result() is _Ending.SUCCESSION and ending is _Ending.STOP and not self._stop_now.done():
            # A whole process group or service is being stopped, and the successor gets the same signal.
            self._stop_now.set_result(None)
        else:
            self._router_logger.info("gorouter.signal.ignored", signal=signals.NAMES[number])

    def _on_upgrade_signal(self) -> None:
        if self._is_started and not self._succession.has_begun and not self._ending.done():
            named = [*self._listeners.named, *self._observation.listeners(), *self._admin.listeners()]
            self._succession.begin(named, self._predecessor.ticket_secret, self._route_counting.memory)
        else:
            self._router_logger.info("gorouter.signal.ignored", signal=signals.NAMES[signals.UPGRADE])
            report_outcome(Outcome(None, "the signal was ignored: the router starts, ends or has a successor already"))

    def _on_succeeded(self, pid: int) -> None:
        self._manager.succeeded_by(pid)
        self._admin.become_old()
        self._end(_Ending.SUCCESSION)

    def _end(self, ending: _Ending) -> None:
        if not self._ending.done():
            self._ending.set_result(ending)

    def _fail(self, reason: str) -> None:
        if not self._failure.done():
            self._failure.set_result(reason)
        self._end(_Ending.FAILURE)

    async def _unless_failed(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, but cancel it when the router fails or is to stop now."""
        task = self._loop.create_task(work)
        await asyncio.wait((task, self._failure, self._stop_now), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
        elif (error := task.exception()) is not None:
            raise error

    async def _start(self) -> None:
        options = self._options
        raise_open_file_limit()
        is_successor = self._predecessor.is_there
        if not is_successor:
            await self._observation.serve_debug()
        if options.bus is not None:
            self._bus = await connect_bus(
                options.bus,
                self._logger,
                self._registry,
                self._workers,
                snapshots=self._snapshots,
                on_closed=lambda: self._fail("nats is gone"),
            )
        if options.routing_api is not None:
            self._route_fetcher = await connect_routing_api(
                options.routing_api, self._logger, self._registry, self._workers, self._observation.count_error
            )
        await self._observation.connect_metron()
        self._observation.start_exporter()
        if not is_successor:
            await self._observation.serve_metrics()
        log_descriptors = await open_access_log(options, self._logger)
        if options.access_log.file is not None:
            self._reload.access_log = AccessLogFile(options.access_log.file, *log_descriptors[:2])
        await self._static_routes.start(self._logger)
        try_shared_sessions(options, self._logger)
        if not is_successor:
            self._admin.bind(is_successor=False)
        self._start_workers(log_descriptors, self._listeners.bind_internal())
        if not is_successor:
            self._admin.start()
            await self._observation.serve_status()
        if self._route_fetcher is not None:
            await self._route_fetcher.start()
        self._observation.start_monitor()
        self._members.append("FileDescriptor")
        if self._bus is not None:
            self._members += ["subscriber", "NATSMonitor"]
            await self._snapshots.listen(self._bus, self._listen_to)
        else:
            await self._predecessor.take_table(self._registry, self._shared, self._workers)
        self._pruning.start()
        self._router_logger.debug(
            "Sleeping before returning success on /health endpoint to preload routing table",
            sleep_time_seconds=options.start_delay,
        )
        await preload_table(self._registry, options)
        await self._workers.until_ready()
        # Modules and configuration stay: the collector would walk over them again and again, some 20 ms each time.
        gc.collect()
        gc.freeze()
        await self._begin_to_serve()

    async def _begin_to_serve(self) -> None:
        """Everything is there: let clients in, and tell whoever waits for it."""
        self._listeners.bind_public()
        if self._listeners.named:
            await self._workers.listen(self._listeners.named)
        self._router_logger.info("gorouter.started")
        self._observation.on_started()
        self._health.set_healthy()
        if self._predecessor.is_there:
            # Not earlier: until now the predecessor, which is healthy, has responded to these requests.
            await self._observation.serve_debug()
            await self._observation.serve_metrics()
            await self._observation.serve_status()
            self._admin.bind(is_successor=True)
            self._admin.start()
        self._predecessor.listeners.close()
        self._is_started = True
        self._snapshots.start()
        self._manager.ready()
        self._reload.allow()
        self._manager.feed_watchdog()
        self._predecessor.report_serving()
        if self._on_started is not None and self._listeners.named:
            self._on_started(
                Addresses(self._listeners.client_address(), self._observation.routes_address(), self._admin.address())
            )

    async def _listen_to(self, bus: Bus) -> None:
        """Take registrations, announce this router, and from now on publish which apps had requests."""
        await self._predecessor.start_bus(bus, self._registry, self._shared, self._workers)
        status = self._options.status
        if status is not None and status.component_host is not None:
            await bus.announce_component(self._observation.new_varz(status).json)
        bus.announce_active_apps(lambda: self._registry.app_ids(self._shared.stats.take_used()))

    def _start_workers(self, log_descriptors: list[int], route_services: RouteServicesOptions | None) -> None:
        if self._options.oversized_head:
            text = f"Values over {self._options.oversized_head} are limited by http.Server"
            self._logger.warn("innefectual-max-header-bytes-value", error=text)  # so spelt by Gorouter
        begin = new_begin(
            self._options,
            self._logger,
            self._shared,
            self._route_counting.block_of(0),
            prepare_tls=self._predecessor.with_ticket_secret,
            route_services=route_services,
            metron=self._observation.metron,
        )
        descriptors = [self._shared.descriptor, self._route_counting.descriptor, *log_descriptors]
        self._workers.start(begin, descriptors, self._registry.snapshot)

    def _on_worker_death(self, worker: int) -> None:
        self._shared.stats.clear_worker(worker)
        self._route_counting.end(worker)

    def _prune_endpoint(self, uri: str, address: str) -> None:
        # What one worker has seen of the endpoint holds for all workers.
        if self._registry.prune_endpoint(uri, address):
            self._admin.tell("endpoint-pruned", route=uri, endpoint=address)

    def _add_change(self, change: Change) -> None:
        self._workers.add_change(change)
        self._snapshots.on_change(change)
        self._admin.add_change(change)

    def _phase(self) -> Phase:
        if self._ending.done():
            return "draining" if self._ending.result() in (_Ending.DRAIN, _Ending.SUCCESSION) else "stopping"
        return "serving" if self._is_started else "starting"

    async def _catch_up(self) -> None:
        # Without a bus there is nothing to catch up with.
        if self._bus is not None and not self._snapshots.is_served_from:
            await self._bus.until_caught_up()

    async def _stop(self) -> None:
        self._router_logger.info("gorouter.stopping")
        stopping_at = time.monotonic_ns()
        await self._stop_all()
        self._router_logger.info("gorouter.stopped", took=time.monotonic_ns() - stopping_at)

    async def _stop_all(self) -> None:
        """Stop every part that was started."""
        self._presence.close()
        self._pruning.stop()
        self._snapshots.stop()
        if self._route_fetcher is not None:
            await self._route_fetcher.stop()
        self._listeners.close()
        await self._admin.stop()
        await self._workers.stop()
        await self._observation.stop()
        if self._bus is not None:
            await self._bus.stop()
