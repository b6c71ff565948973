"""The admin API of a router as the control process has it: listening sockets, the process behind them, news for it."""

import os
import time
from typing import Any

import msgspec

from fastrouter import __version__
from fastrouter.control.admin_calls import AdminCalls, RouterParts
from fastrouter.control.admin_events import EVENTS, event_data
from fastrouter.control.admin_process import AdminProcess
from fastrouter.control.options import AdminOptions, StartError
from fastrouter.control.route_counting import RouteCounting
from fastrouter.ipc.admin_messages import AdminBegin
from fastrouter.ipc.messages import SharedColumns
from fastrouter.ipc.shared_stats import SLOTS, SharedStats
from fastrouter.ipc.table_changes import Change
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Level, Logger
from fastrouter.net.address import Address
from fastrouter.net.admin_socket import AdminSocket
from fastrouter.net.handover import ADMIN, InheritedListeners, NamedListener
from fastrouter.net.listeners import bind_listeners


class Admin:
    """Without `options` it does nothing. `bind` comes before `start`."""

    def __init__(
        self,
        options: AdminOptions | None,
        logger: Logger,
        inherited: InheritedListeners,
        parts: RouterParts,
        shared: SharedStats,
        *,
        route_counting: RouteCounting,
    ) -> None:
        self._options = options
        self._logger = logger
        self._inherited = inherited
        self._parts = parts
        self._shared = shared
        self._route_counting = route_counting
        self._started_at = time.time()
        self._socket: AdminSocket | None = None
        self._tcp: list[NamedListener] = []
        self._process: AdminProcess | None = None
        if options is not None:
            self._process = AdminProcess(
                logger, parts.registry, self._new_begin, AdminCalls(parts, logger), parts.workers.offer_inspection
            )
            logger.listen(self._on_line)

    def add_change(self, change: Change) -> None:
        """Pass on a change of the table."""
        if self._process is not None:
            self._process.add_change(change)

    def tell(self, message: str, **data: Any) -> None:
        """Tell of what the process log has no line for."""
        if self._process is not None:
            self._process.tell(Level.INFO, message, event_data(data))

    def bind(self, *, is_successor: bool) -> None:
        """Listen where the options say. Raises StartError."""
        options = self._options
        if options is None:
            return
        try:
            self._socket = AdminSocket(options.socket, is_successor=is_successor)
        except OSError as error:
            words = error_text(OSError(error.errno, error.strerror))
            failure = self._failure(f"cannot serve the admin API at {error.filename}: {words}")
            if options.socket is None and options.listen is None:
                # Nobody has named a place, and the router serves without it.
                self._process = None
                return
            raise failure from error
        if options.listen is not None:
            self._bind_tcp(options.listen)
        address = self.address()
        self._logger.info("admin-listener-started", socket=self._socket.path, address=address and str(address))

    def start(self) -> None:
        """Start the process that serves it."""
        if self._process is not None:
            self._process.start()

    def address(self) -> Address | None:
        """Return where it is served over TCP."""
        return Address(*self._tcp[0].listener.getsockname()[:2]) if self._tcp else None

    def listeners(self) -> list[NamedListener]:
        """Return the listening sockets that a successor inherits."""
        return self._tcp

    def become_old(self) -> None:
        """Leave the place to a successor, and go on for those who know this router's own."""
        if self._socket is not None:
            self._socket.become_old()

    async def stop(self) -> None:
        """End the process and close the sockets."""
        if self._process is not None:
            await self._process.stop()
        if self._socket is not None:
            self._socket.close()
        for _, listener in self._tcp:
            listener.close()

    def _bind_tcp(self, address: Address) -> None:
        listener = self._inherited.take_one(ADMIN, address.port)
        try:
            listener = listener or bind_listeners(address, 1)[0]
        except OSError as error:
            raise self._failure(f"cannot serve the admin API on {address}: {error_text(error)}") from error
        self._tcp = [NamedListener(ADMIN, listener)]

    def _failure(self, text: str) -> StartError:
        self._logger.error("admin-listener-error", error=text)
        return StartError(text)

    def _on_line(self, level: int, message: str, data: dict[str, Any]) -> None:
        if message in EVENTS and self._process is not None:
            self._process.tell(level, message, event_data(data))

    def _new_begin(self) -> tuple[AdminBegin, list[int]]:
        options, router = self._options, self._parts.options
        assert options is not None, "there is a process"
        assert self._socket is not None, "bind comes first"
        begin = AdminBegin(
            columns=SharedColumns(router.workers, SLOTS, 0, self._shared.bounds),
            route_counters=msgspec.structs.replace(self._route_counting.block_of(0), block=-1),
            pid=os.getpid(),
            version=__version__,
            started_at=self._started_at,
            failure_memory=float(router.settings.get("failure_memory", 30.0)),  # type: ignore[arg-type]  # a number
            listeners=("unix", "tcp") if self._tcp else ("unix",),
            tokens=tuple(options.tokens),
            hosts=tuple(options.hosts),
            tls=options.tls,
            client_role=options.client_role,
            configuration=msgspec.json.encode(options.configuration),
            log_source=self._logger.source,
            log_level=int(self._logger.level),
            log_timestamps=self._logger.timestamps,
        )
        listeners = [self._socket.listener, *(listener for _, listener in self._tcp)]
        mappings = [self._shared.descriptor, self._route_counting.descriptor]
        return begin, [*mappings, *(listener.fileno() for listener in listeners)]
