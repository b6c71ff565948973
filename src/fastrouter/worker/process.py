"""A worker: the process that carries traffic, started by workers.py as `python -m fastrouter.worker NAME CHANNEL`.

CHANNEL is the number of an inherited descriptor, this end of a channel to the control process. A worker reads no
configuration, opens no file and handles no signal: everything comes over the channel. The worker ends when the channel
ends.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import NoReturn

import msgspec

from fastrouter._core import AccessLog, DataPlane, ListenerProtocol, Metron, RouteTable, Settings, Spans, Stats
from fastrouter.gotemplate.error_template import ErrorTemplate
from fastrouter.ipc.channel import Channel
from fastrouter.ipc.messages import (
    AccessLogOptions,
    Begin,
    Confirm,
    Confirmed,
    Degrade,
    Drain,
    Drained,
    Draining,
    Failed,
    FinishedSpans,
    Inspect,
    Listen,
    Listening,
    MetronOptions,
    Order,
    Pruned,
    Ready,
    ReplaceAccessLog,
    ReplaceTLS,
    ServerTLS,
    SetLogLevel,
    TableEnd,
)
from fastrouter.ipc.route_counters import attach_route_counters
from fastrouter.ipc.shared_stats import attach_stats
from fastrouter.ipc.table_changes import Change
from fastrouter.logs.access import AccessLogFile, FileSink, LineSink
from fastrouter.logs.error_text import fault_text
from fastrouter.logs.logger import STDOUT_WRITER, Level, Logger
from fastrouter.logs.loop_faults import log_loop_faults
from fastrouter.logs.syslog import SyslogSink
from fastrouter.net.handover import CLIENTS, CLIENTS_TLS, INTERNAL, NamedListener
from fastrouter.net.listeners import BACKLOG
from fastrouter.net.networks import Networks
from fastrouter.net.resolver import Resolver
from fastrouter.process.child import run_child, tune_garbage_collector
from fastrouter.tls.backends import backend_context
from fastrouter.tls.server import client_check, server_context
from fastrouter.worker.domains import Domains, new_domains
from fastrouter.worker.inspection import Inspection
from fastrouter.worker.route_services import new_route_services
from fastrouter.worker.table_applier import TableApplier

# Bytes of messages that may wait for the control process before spans are dropped.
_MAX_UNSENT = 1024 * 1024
# Seconds between two looks at whether the last request is over. Each looks at all clients.
_DRAIN_POLL = 0.1


class Worker:
    """The data plane of one process, from its first order to the end of the channel."""

    def __init__(self, end: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._orders = msgspec.msgpack.Decoder(Order)
        self._table = RouteTable()
        self._applier = TableApplier(self._table, self._on_refused, self._on_unshared)
        self._stopped = self._loop.create_future()
        self._logger = Logger()
        log_loop_faults(self._loop, self._logger)
        self._sinks: list[LineSink] = []
        self._access_log: AccessLog | None = None
        self._metron: Metron | None = None
        self._spans: Spans | None = None
        self._lost_spans = 0
        self._data_plane: DataPlane | None = None
        self._listener_protocols: dict[str, ListenerProtocol] = {}
        self._domains: Domains = {}
        self._servers: list[asyncio.AbstractServer] = []
        self._inspection: Inspection | None = None
        self._is_draining = False
        self._closes_idle = False
        self._channel = Channel(
            end,
            on_message=self._on_order,
            on_batch=self._change_table,
            on_end=self._on_channel_end,
            on_fault=self._fail,
        )

    async def run(self) -> None:
        """Serve until the channel ends, then let go of every client and write the last lines of the access log.

        Raises what the handling of an order or of table changes has raised: after that its state is incomplete, and
        only a new worker gets the complete one.
        """
        await self._stopped
        self._stop_accepting()
        if self._inspection is not None:
            self._inspection.close()
        if self._data_plane is not None:
            self._data_plane.stop()
            # Connections hear of their ends in the next turn of the loop, and with them requests that were cut end.
            await asyncio.sleep(0)
        if self._access_log is not None:
            self._access_log.flush()
        if self._metron is not None:
            self._metron.flush()
        if self._spans is not None:
            self._spans.flush()
        for sink in self._sinks:
            sink.close()

    def _on_channel_end(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(None)

    def _fail(self, error: BaseException) -> None:
        if not self._stopped.done():
            # Where it is told why the worker has ended, and at last why the router has.
            self._channel.send_message(Failed(fault_text(error)))
            self._stopped.set_exception(error)

    def _change_table(self, frame: bytes) -> None:
        self._applier.feed(frame)
        if self._data_plane is not None:
            self._data_plane.on_table_changed()

    def _on_order(self, body: bytes) -> None:
        order = self._orders.decode(body)
        match order:
            case Begin():
                self._begin(order)
            case TableEnd():
                assert self._data_plane is not None, "Begin comes first"
                # Objects that exist now live as long as the process; later ones mostly do not.
                tune_garbage_collector()
                self._channel.send_message(Ready())
            case Listen(names):
                named = [NamedListener(name, socket.socket(fileno=self._channel.take_descriptor())) for name in names]
                self._listening = self._loop.create_task(self._listen(named))
                self._listening.add_done_callback(self._on_listening)
            case ReplaceTLS(front_tls):
                self._secure_clients(front_tls)
            case ReplaceAccessLog():
                self._replace_access_log(self._channel.take_descriptor())
            case Inspect():
                self._inspect(socket.socket(fileno=self._channel.take_descriptor()))
            case Degrade():
                assert self._data_plane is not None, "Begin comes first"
                self._data_plane.set_health(False)
            case Confirm(number):
                assert self._data_plane is not None, "Begin comes first"
                self._channel.send_message(Confirmed(number))
            case Drain(idle_grace):
                self._drain(idle_grace)
            case SetLogLevel(level):
                assert self._data_plane is not None, "Begin comes first"
                self._logger.level = Level(level)
                self._data_plane.set_debug(self._logger.is_enabled(Level.DEBUG))

    def _begin(self, begin: Begin) -> None:
        self._logger = Logger(begin.log_source, level=Level(begin.log_level), timestamps=begin.log_timestamps)
        log_loop_faults(self._loop, self._logger)
        stats = attach_stats(self._channel.take_descriptor(), **msgspec.structs.asdict(begin.columns))
        self._applier.stats = stats
        self._table.count_in(
            attach_route_counters(self._channel.take_descriptor(), **msgspec.structs.asdict(begin.counter_block))
        )
        self._open_access_log(begin.access_log, stats)
        if begin.metron is not None:
            self._connect_metron(begin.metron, begin.access_log)
        if begin.span_ratio is not None:
            self._spans = Spans(self._send_spans, ratio=begin.span_ratio)
        tls = msgspec.structs.asdict(begin.backend_tls)
        backend_tls = backend_context(**tls)
        settings = Settings(
            **begin.settings,  # type: ignore[arg-type]  # the control process has tried them
            backend_tls=backend_tls,
            backend_http2_tls=backend_context(**tls, protocols=("h2", "http/1.1"), trusts_like=backend_tls),
            route_services=new_route_services(begin.route_services, self._logger.child("proxy").event),
            render_error=ErrorTemplate(begin.error_template).render if begin.error_template is not None else None,
            resolve=Resolver(),
        )
        self._data_plane = DataPlane(
            self._table,
            settings,
            self._access_log,
            self._logger.event,
            self._on_prune,
            stats,
            table_log=self._logger.child("registry").event,
            metron=self._metron,
            spans=self._spans,
        )
        self._data_plane.set_debug(self._logger.is_enabled(Level.DEBUG))
        self._data_plane.start(self._loop)
        self._prepare_listeners(self._data_plane, begin)

    def _prepare_listeners(self, data_plane: DataPlane, begin: Begin) -> None:
        proxy = begin.proxy_protocol
        networks = Networks(proxy.trusted_networks) if proxy is not None and proxy.trusted_networks else None
        is_trusted = networks.__contains__ if networks is not None else None
        for name in (CLIENTS, CLIENTS_TLS):
            self._listener_protocols[name] = ListenerProtocol(
                data_plane, reads_proxy_headers=proxy is not None, is_trusted_proxy=is_trusted
            )
        self._listener_protocols[INTERNAL] = ListenerProtocol(data_plane)
        if begin.front_tls is not None:
            self._secure_clients(begin.front_tls)
        if begin.internal_tls is not None:
            self._secure(self._listener_protocols[INTERNAL], begin.internal_tls)

    def _secure(self, listener: ListenerProtocol, tls: ServerTLS) -> None:
        protocols = tuple(protocol.encode() for protocol in tls.protocols)
        listener.secure(
            server_context(tls),
            protocols=protocols,
            is_allowed=client_check(tls, self._on_client_refused),
            knows_domains=bool(tls.domains),
        )

    def _secure_clients(self, tls: ServerTLS) -> None:
        """Hold clients of the HTTPS listener to these rules, and those of its domains to theirs."""
        assert self._data_plane is not None, "Begin comes first"
        self._domains = new_domains(tls, self._on_client_refused, self._domains)
        self._data_plane.set_domains(self._domains.values())
        self._secure(self._listener_protocols[CLIENTS_TLS], tls)

    def _on_client_refused(self, subject: str) -> None:
        self._logger.child("router").warn("invalid-subject", subject=subject)

    def _open_access_log(self, options: AccessLogOptions, stats: Stats) -> None:
        logger = self._logger.child("access-grlog")
        take = self._channel.take_descriptor
        if options.file is not None:
            file = AccessLogFile(options.file, take(), take())
            self._sinks.append(FileSink(file, logger, on_lost=stats.count_lost_lines))
        if options.syslog is not None:
            connection = socket.socket(fileno=take())
            self._sinks.append(SyslogSink(options.syslog, connection, take(), logger, on_lost=stats.count_lost_lines))
        if self._sinks:
            self._access_log = AccessLog(self._log_lines, **options.line)  # type: ignore[arg-type]  # they have been checked

    def _connect_metron(self, options: MetronOptions, access_log: AccessLogOptions) -> None:
        self._metron_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._metron_socket.connect((options.address, options.port))
        # Its lines are Gorouter's, whatever those of the other places are.
        line = {**access_log.line, "is_json": False, "has_whole": bool(self._sinks)}
        self._metron = Metron(
            self._metron_socket.fileno(),
            origin=options.origin,
            sends_values=options.sends_values,
            sends_server_events=options.sends_server_events,
            sends_client_events=options.sends_client_events,
            log=AccessLog(lambda _: None, **line) if options.has_records else None,  # type: ignore[arg-type]  # as above
            source_instance=str(options.index),
        )

    def _send_spans(self, spans: bytes, count: int) -> None:
        if self._channel.unsent > _MAX_UNSENT:
            self._lost_spans += count
            return
        self._channel.send_message(FinishedSpans(spans, count, self._lost_spans))
        self._lost_spans = 0

    def _replace_access_log(self, descriptor: int) -> None:
        for sink in self._sinks:
            if isinstance(sink, FileSink):
                sink.replace(descriptor)

    def _log_lines(self, batch: bytes) -> None:
        for sink in self._sinks:
            sink(batch)

    async def _listen(self, named: Sequence[NamedListener]) -> None:
        for name, listener in named:
            server = await self._loop.create_server(
                self._listener_protocols[name].new_connection, sock=listener, backlog=BACKLOG
            )
            self._servers.append(server)
        if self._is_draining:
            self._stop_accepting()
        self._channel.send_message(Listening())

    def _stop_accepting(self) -> None:
        for server in self._servers:
            server.close()
        self._servers = []

    def _on_listening(self, task: asyncio.Task[None]) -> None:
        # A worker that cannot accept is of no use; the one that replaces it may be able to.
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _inspect(self, end: socket.socket) -> None:
        assert self._data_plane is not None, "Begin comes first"
        if self._inspection is not None:
            self._inspection.close()
        self._inspection = Inspection(end, self._data_plane, self._on_inspection_end)

    def _on_inspection_end(self, error: str) -> None:
        # Without a reason, the admin process has ended.
        if error:
            self._logger.warn("inspection-ended", error=error)

    def _drain(self, idle_grace: float) -> None:
        assert self._data_plane is not None, "Begin comes first"
        self._is_draining = True
        self._stop_accepting()
        self._channel.send_message(Draining(*self._data_plane.connection_counts()))
        if idle_grace > 0:
            # A request may be on its way: closing the connection now would lose it.
            self._data_plane.drain(closes_idle=False)
        # Connections that have just been accepted become known in this turn of the loop.
        self._loop.call_soon(self._report_when_drained, time.monotonic() + idle_grace)

    def _report_when_drained(self, grace_ends_at: float) -> None:
        try:
            self._look_whether_drained(grace_ends_at)
        except Exception as error:
            # Otherwise Drained would never be reported.
            self._fail(error)

    def _look_whether_drained(self, grace_ends_at: float) -> None:
        assert self._data_plane is not None, "Begin comes first"
        if self._data_plane.has_connections() and time.monotonic() < grace_ends_at:
            self._loop.call_later(_DRAIN_POLL, self._report_when_drained, grace_ends_at)
            return
        active, idle = self._data_plane.connection_counts()
        if idle or not self._closes_idle:
            # From now on each connection is closed when it becomes idle. One that is idle at the next look has received
            # bytes just before this, which were no complete request.
            self._closes_idle = True
            self._data_plane.drain()
            active, idle = self._data_plane.connection_counts()
        if active or idle:
            self._loop.call_later(_DRAIN_POLL, self._report_when_drained, grace_ends_at)
        else:
            self._channel.send_message(Drained())

    def _on_prune(self, uri: str, address: str) -> None:
        self._channel.send_message(Pruned(uri, address))

    def _on_unshared(self, number: int) -> None:
        self._logger.warn("endpoint-counts-not-shared", number=number)

    def _on_refused(self, change: Change, error: ValueError) -> None:
        # Only this route is wrong. If this ended the worker, its successor would end for the same reason.
        self._logger.error("table-change-refused", error=str(error), change=repr(change))


def main(arguments: list[str]) -> NoReturn:
    """Be the worker NAME with the channel CHANNEL."""
    name, channel = arguments
    run_child(
        int(channel),
        _run,
        lambda error: Logger().error("worker-failed", name=name, error=fault_text(error)),
        STDOUT_WRITER.flush,
    )


async def _run(end: socket.socket) -> None:
    await Worker(end).run()
