"""The admin process, started by control/admin_process.py as `python -m fastrouter.admin NAME CHANNEL` (ADR 18).

Like a worker it reads no configuration and handles no signal: everything comes over the channel, and it ends when the
channel ends. It carries no traffic: a dump of the whole table, or a bug, costs no request.
"""

import asyncio
import os
import socket
from typing import NoReturn

import msgspec

from fastrouter.admin.access import Access
from fastrouter.admin.acts import Acts
from fastrouter.admin.apps import Apps
from fastrouter.admin.certificates import Certificates
from fastrouter.admin.control_link import ControlLink
from fastrouter.admin.endpoint import Endpoint
from fastrouter.admin.endpoint_state import EndpointStates
from fastrouter.admin.events import Events
from fastrouter.admin.failure_watch import FailureWatch
from fastrouter.admin.inspectors import Inspectors
from fastrouter.admin.journal import Journal
from fastrouter.admin.requests import Requests
from fastrouter.admin.route_traffic import RouteTraffic
from fastrouter.admin.router import RouterFacts
from fastrouter.admin.routes import Routes
from fastrouter.admin.server import AdminServer
from fastrouter.admin.table_replica import TableReplica, address_of
from fastrouter.admin.traffic import Traffic
from fastrouter.ipc.admin_messages import AdminBegin, AdminOrder, Answer, Happened, Refusal, TableLoaded
from fastrouter.ipc.channel import Channel
from fastrouter.ipc.inspection import InspectionEnd, take_end
from fastrouter.ipc.route_counters import RouteCounterReader, attach_route_counters
from fastrouter.ipc.shared_stats import attach_stats
from fastrouter.ipc.table_changes import Introduce
from fastrouter.logs.error_text import fault_text
from fastrouter.logs.logger import STDOUT_WRITER, Level, Logger
from fastrouter.logs.loop_faults import log_loop_faults
from fastrouter.process.child import run_child, tune_garbage_collector
from fastrouter.tls.server import server_context

# Where cores are short, workers go first: what an operator asks must not be seen by clients. It still gets a quarter of
# what a worker gets.
NICENESS = 6


class AdminProcess:
    """Everything of one admin process, from its first order to the end of the channel."""

    def __init__(self, end: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._orders = msgspec.msgpack.Decoder(AdminOrder)
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._logger = Logger()
        self._journal = Journal()
        self._table = TableReplica(self._on_change)
        self._control = ControlLink()
        self._inspectors = Inspectors()
        self._facts: RouterFacts | None = None
        self._channel = Channel(
            end,
            on_message=self._on_order,
            on_batch=self._table.feed,
            on_end=self._on_channel_end,
            on_fault=self._fail,
        )
        self._control.channel = self._channel

    async def run(self) -> None:
        """Serve until the channel ends.

        Raises what the handling of an order or of table changes has raised: after that its table may be wrong, and only
        a new process gets the right one.
        """
        await self._stopped

    def _on_channel_end(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _fail(self, error: BaseException) -> None:
        if not self._stopped.done():
            self._stopped.set_exception(error)

    def _on_order(self, body: bytes) -> None:
        order = self._orders.decode(body)
        match order:
            case Answer():
                self._control.on_answer(order)
            case Refusal():
                self._control.on_refusal(order)
            case Happened(level, message, data):
                told = msgspec.json.decode(data, type=dict)
                self._journal.note(message, data={"level": Level(level).name.lower(), **told})
            case AdminBegin():
                self._begin(order)
            case InspectionEnd(worker):
                self._inspectors.add(worker, take_end(self._channel))
            case TableLoaded():
                assert self._facts is not None, "AdminBegin comes first"
                # The table stays: the collector would walk over it again and again while pages are made.
                tune_garbage_collector()
                self._facts.is_table_loaded = True

    def _on_change(self, kind: str, route: str, endpoint: Introduce | None) -> None:
        if self._facts is None or not self._facts.is_table_loaded:
            # It was there before this process.
            return
        if endpoint is None:
            self._journal.note(kind, route=route)
        else:
            self._journal.note(kind, route=route, endpoint=address_of(endpoint), app_id=endpoint.app_id)

    def _begin(self, begin: AdminBegin) -> None:
        self._logger = Logger(begin.log_source, level=Level(begin.log_level), timestamps=begin.log_timestamps)
        self._logger = self._logger.child("admin")
        log_loop_faults(self._loop, self._logger)
        stats = attach_stats(self._channel.take_descriptor(), **msgspec.structs.asdict(begin.columns))
        counters = attach_route_counters(
            self._channel.take_descriptor(), **msgspec.structs.asdict(begin.route_counters)
        )
        self._route_traffic = RouteTraffic(RouteCounterReader(counters), self._table)
        self._route_traffic.start()
        states = EndpointStates(self._table, stats, begin.failure_memory)
        self._traffic = Traffic(stats, lambda: self._table.component_rows)
        self._traffic.start()
        self._failures = FailureWatch(self._table, states, self._journal)
        self._failures.start()
        certificates = Certificates(self._control)
        self._facts = RouterFacts(begin, self._table, self._traffic, certificates, self._control)
        endpoints: list[Endpoint] = [
            *self._facts.endpoints(),
            *Routes(self._table, states, self._journal, self._control, self._route_traffic).endpoints(),
            *self._route_traffic.endpoints(),
            *Requests(self._inspectors).endpoints(),
            *Apps(self._table, states).endpoints(),
            *certificates.endpoints(),
            *Events(self._journal).endpoints(),
            *Acts(self._control).endpoints(),
        ]
        access = Access(
            begin.tokens,
            begin.hosts,
            has_client_certificates=begin.tls is not None and begin.tls.client_certificates == "require",
            client_role=begin.client_role,
        )
        self._server = AdminServer(endpoints, access, begin.version, self._logger)
        listeners: dict[str, list[socket.socket]] = {"unix": [], "tcp": []}
        for name in begin.listeners:
            listeners[name].append(socket.socket(fileno=self._channel.take_descriptor()))
        tls = server_context(begin.tls) if begin.tls is not None else None
        self._starting = self._loop.create_task(self._server.start(listeners["unix"], listeners["tcp"], tls))
        self._starting.add_done_callback(self._on_started)

    def _on_started(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)


def main(arguments: list[str]) -> NoReturn:
    """Be the admin process NAME with the channel CHANNEL."""
    name, channel = arguments
    os.nice(NICENESS)
    run_child(
        int(channel),
        _run,
        lambda error: Logger().error("admin-process-failed", name=name, error=fault_text(error)),
        STDOUT_WRITER.flush,
    )


async def _run(end: socket.socket) -> None:
    await AdminProcess(end).run()
