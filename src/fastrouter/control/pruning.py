"""Pruning passes, one after the other."""

import asyncio
from collections.abc import Callable

from fastrouter.process.slices import in_slices
from fastrouter.registry.route_registry import RouteRegistry


class Pruning:
    """Has `registry` prune every `interval` seconds; 0: never. `on_pass` is called after each pass."""

    def __init__(self, registry: RouteRegistry, interval: float, on_pass: Callable[[], None]) -> None:
        self._registry = registry
        self._interval = interval
        self._on_pass = on_pass
        self._timer: asyncio.TimerHandle | None = None
        self._pass: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first pass is due after one interval."""
        if self._interval > 0:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._prune)

    def stop(self) -> None:
        """Prune no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._pass is not None:
            self._pass.cancel()

    def _prune(self) -> None:
        # Before the pass: a bug in it costs one pass, not all that follow.
        self.start()
        if self._pass is None or self._pass.done():
            self._pass = asyncio.get_running_loop().create_task(self._run_pass())

    async def _run_pass(self) -> None:
        await in_slices(self._registry.prune())
        self._on_pass()
