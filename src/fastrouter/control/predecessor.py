"""The router that this one is to succeed, if there is one, and what it leaves behind (ADR 0005).

Listeners of a service manager come the same way, without a predecessor.
"""

import asyncio
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import aclosing, closing, suppress

import msgspec

from fastrouter.bus.bus import Bus
from fastrouter.control.options import StartError
from fastrouter.control.workers import Workers
from fastrouter.ipc.messages import ServerTLS
from fastrouter.ipc.shared_stats import SharedStats
from fastrouter.logs.logger import Logger
from fastrouter.net.handover import SERVING, HandoverError, Inheritance, receive_inheritance
from fastrouter.registry.adoption import Adoption
from fastrouter.registry.handed_table import TableError, receive_table
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.tls.session_tickets import SECRET_SIZE


class Predecessor:
    """Takes over what this process has inherited. Raises StartError if that is not what the environment says."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._loop = asyncio.get_running_loop()
        inheritance = _receive_inheritance(logger)
        self._line = inheritance.predecessor
        self._table = inheritance.table
        self.listeners = inheritance.listeners
        self.route_counters = inheritance.route_counters
        self.ticket_secret = inheritance.ticket_secret or secrets.token_bytes(SECRET_SIZE)

    @property
    def is_there(self) -> bool:
        """Whether this router succeeds another."""
        return self._line is not None

    def watch(self, on_end: Callable[[], None]) -> None:
        """Call `on_end` if it ends before this one serves."""
        if self._line is not None:
            self._loop.add_reader(self._line, self._on_end, self._line, on_end)

    def _on_end(self, line: socket.socket, on_end: Callable[[], None]) -> None:
        self._loop.remove_reader(line)
        on_end()

    def report_serving(self) -> None:
        """Report to the predecessor that this router serves."""
        if self._line is not None:
            self._loop.remove_reader(self._line)
            # If the predecessor is gone by now, this router goes on all the same.
            with suppress(OSError):
                self._line.send(SERVING)
            self._line.close()

    def with_ticket_secret(self, tls: ServerTLS) -> ServerTLS:
        """Return `tls` with a secret, by which all workers, later ones and a successor's too, resume its sessions."""
        return tls if tls.ticket_secret else msgspec.structs.replace(tls, ticket_secret=self.ticket_secret)

    async def start_bus(self, bus: Bus, registry: RouteRegistry, shared: SharedStats, workers: Workers) -> None:
        """Subscribe to registrations, and take over the table of the predecessor.

        Messages that come in meanwhile are handled after the table, in their order. So the last message about an
        endpoint counts, whether it is in the predecessor's table or not: an app that has unregistered does not come
        back.
        """
        if self._table is None:
            await bus.start()
            return
        bus.hold()
        try:
            await bus.start()
            await self.take_table(registry, shared, workers)
        finally:
            bus.release()
        await bus.until_caught_up()

    async def take_table(self, registry: RouteRegistry, shared: SharedStats, workers: Workers) -> None:
        """Take over the table of the predecessor, if there is one: also which endpoints of static routes drain."""
        if self._table is not None:
            with closing(self._table):
                await self._inherit_table(self._table, registry, Adoption(registry, shared.mark), workers)

    async def _inherit_table(
        self, line: socket.socket, registry: RouteRegistry, adoption: Adoption, workers: Workers
    ) -> None:
        started_at = time.monotonic_ns()
        try:
            async with aclosing(receive_table(line)) as parts:
                async for part in parts:
                    for handed in part:
                        adoption.take(handed)
                    # Workers take it as fast as they can, and no faster.
                    await workers.until_sent()
        except (TableError, ValueError) as error:
            # What was valid so far stays, and ages; the rest registers again.
            self._logger.error("table-refused", error=str(error), routes=len(registry))
        else:
            for address in adoption.draining:
                registry.held.set_draining(address, is_draining=True)
            self._logger.info("table-inherited", routes=len(registry), took=time.monotonic_ns() - started_at)


def _receive_inheritance(logger: Logger) -> Inheritance:
    try:
        inheritance = receive_inheritance()
    except HandoverError as error:
        logger.fatal("inherited-listeners-refused", error=str(error))
        raise StartError(f"cannot inherit listeners: {error}") from error
    if inheritance.listeners.names:
        logger.info("listeners-inherited", names=inheritance.listeners.names)
    return inheritance
