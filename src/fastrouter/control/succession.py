"""How a router hands over to its successor: listeners, session tickets, the routing table (ADR 0005)."""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from fastrouter.control.upgrade import Outcome, Successor, UpgradeError, report_outcome
from fastrouter.ipc.shared_stats import SharedStats
from fastrouter.logs.error_text import fault_text
from fastrouter.logs.logger import Logger
from fastrouter.net.handover import CounterMemory, NamedListener
from fastrouter.registry.handed_table import offer_table
from fastrouter.registry.route_registry import RouteRegistry

# Seconds for a successor to serve, besides its start delay, unless the environment says otherwise.
UPGRADE_TIMEOUT = "FASTROUTER_UPGRADE_TIMEOUT"
DEFAULT_UPGRADE_TIMEOUT = 60.0


class Succession:
    """Starts a successor, and calls `on_succeeded` with its process id when it serves.

    `catch_up` waits until the registry has what the bus has said. `start_delay` is the successor's, in seconds.
    """

    def __init__(
        self,
        logger: Logger,
        registry: RouteRegistry,
        shared: SharedStats,
        *,
        catch_up: Callable[[], Awaitable[None]],
        start_delay: float,
        on_succeeded: Callable[[int], None],
    ) -> None:
        self._logger = logger
        self._registry = registry
        self._shared = shared
        self._catch_up = catch_up
        self._start_delay = start_delay
        self._on_succeeded = on_succeeded
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether there is a successor, or one is on its way."""
        return self._task is not None

    def begin(self, named: Sequence[NamedListener], ticket_secret: bytes, route_counters: CounterMemory) -> None:
        """Start a successor with these listeners; if it never serves, all is as before.

        `route_counters` is where routes count.
        """
        self._task = self._loop.create_task(self._hand_over(named, ticket_secret, route_counters))

    async def abandon(self) -> None:
        """End a successor that does not serve yet."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def _hand_over(
        self, named: Sequence[NamedListener], ticket_secret: bytes, route_counters: CounterMemory
    ) -> None:
        started_at = time.monotonic_ns()
        self._logger.info("upgrade-started", listeners=[name for name, _ in named])
        try:
            successor = Successor(named, ticket_secret, route_counters)
            offer = self._loop.create_task(self._offer_table(successor.table))
            try:
                self._logger.info("upgrade-successor-started", pid=successor.pid)
                await successor.until_serving(_upgrade_timeout() + self._start_delay)
            except BaseException:
                await _end(offer)
                await successor.give_up()
                raise
            # The successor has the table, or never asked for it.
            await _end(offer)
            successor.close()
        except UpgradeError as error:
            self._task = None
            self._logger.error("upgrade-failed", error=f"the successor {error}")
            report_outcome(Outcome(None, f"the successor {error}"))
            return
        self._logger.info("upgrade-succeeded", pid=successor.pid, took=time.monotonic_ns() - started_at)
        self._on_succeeded(successor.pid)
        report_outcome(Outcome(successor.pid))

    async def _offer_table(self, line: socket.socket) -> None:
        try:
            registry = self._registry
            if await offer_table(
                line, self._catch_up, lambda: registry.hand_over(self._shared.failed_ago), registry.held.draining
            ):
                self._logger.info("upgrade-table-sent", routes=len(self._registry))
        except Exception as error:
            # The successor starts without the table.
            self._logger.error("upgrade-table-failed", error=fault_text(error))
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def _upgrade_timeout() -> float:
    try:
        return float(os.environ[UPGRADE_TIMEOUT])
    except (KeyError, ValueError):
        return DEFAULT_UPGRADE_TIMEOUT
