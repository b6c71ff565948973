"""How a router lets requests in progress finish, and takes no more (spec 1.5)."""

import asyncio

from fastrouter.control.client_listeners import ClientListeners
from fastrouter.control.observation import Observation
from fastrouter.control.options import RouterOptions
from fastrouter.control.workers import Workers
from fastrouter.logs.logger import Logger
from fastrouter.observe.health import Health

# Seconds that a client's idle connection has for one more request, before a router that has a successor closes it: a
# request that is on its way is not lost.
IDLE_GRACE = 2.0

# The same for a router that drains. Shorter, because drain_wait is for load balancers to look away.
DRAIN_IDLE_GRACE = 0.5


class Drain:
    """Drains the workers of one router, on a signal or for a successor. `logger` is the component's."""

    def __init__(
        self,
        options: RouterOptions,
        logger: Logger,
        *,
        health: Health,
        workers: Workers,
        listeners: ClientListeners,
        observation: Observation,
    ) -> None:
        self._options = options
        self._logger = logger
        self._health = health
        self._workers = workers
        self._listeners = listeners
        self._observation = observation

    async def run(self) -> None:
        """Be unhealthy for a while, then drain."""
        options = self._options
        self._health.degrade()
        self._workers.degrade()
        self._logger.info("gorouter-draining", wait_seconds=options.drain_wait, timeout_seconds=options.drain_timeout)
        await asyncio.sleep(options.drain_wait)
        await self._drain_workers(idle_grace=min(DRAIN_IDLE_GRACE, options.drain_timeout / 2))

    async def run_for_successor(self) -> None:
        """Drain at once; the successor has the sockets, and accepts the connections that wait in their queues."""
        self._logger.info("gorouter-draining", wait_seconds=0.0, timeout_seconds=self._options.drain_timeout)
        self._observation.close_listeners()
        await self._drain_workers(idle_grace=IDLE_GRACE)

    async def _drain_workers(self, idle_grace: float) -> None:
        self._listeners.close()
        try:
            # One deadline for all workers: one that stands still must not delay the end.
            async with asyncio.timeout(self._options.drain_timeout):
                counts = await self._workers.drain(idle_grace)
                self._logger.info(f"Draining with {counts.active} outstanding active connections")
                self._logger.info(f"Draining with {counts.idle} outstanding idle connections")
                await self._workers.until_drained()
        except TimeoutError:
            self._logger.info("router.drain.timed-out")
            self._logger.error("gorouter-draining-error", error="router: Drain timeout")
