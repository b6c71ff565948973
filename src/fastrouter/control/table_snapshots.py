"""Snapshots of the table: made while the bus is there, and served from at a start while it is not (ADR 0026)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fastrouter.bus.bus import Bus
from fastrouter.bus.connection import RECONNECT_PAUSE, NatsConnectionError
from fastrouter.control.options import SnapshotOptions, StartError
from fastrouter.ipc.shared_stats import SharedStats
from fastrouter.ipc.table_changes import Change, Remove
from fastrouter.logs.error_text import error_text, fault_text
from fastrouter.logs.logger import Logger
from fastrouter.process.background_task import BackgroundTask
from fastrouter.process.slices import Pace
from fastrouter.registry.adoption import Adoption
from fastrouter.registry.handed_table import frames_of
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.registry.table_snapshot import LoadedTable, Removal, SnapshotError, TableSnapshot


class TableSnapshots(BackgroundTask):
    """Keeps a snapshot of `registry` as `options` say; None: there is none, and no start without the bus.

    A successor has the table of its predecessor, and leaves it at its place if it cannot reach the bus. `on_failure`
    is called with the reason when the router cannot go on. `may_make` says whether no other router makes snapshots at
    this moment.
    """

    def __init__(
        self,
        options: SnapshotOptions | None,
        logger: Logger,
        registry: RouteRegistry,
        shared: SharedStats,
        *,
        is_successor: bool,
        on_failure: Callable[[str], object],
        may_make: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._interval = options.interval if options is not None else 0.0
        self._snapshot = TableSnapshot(options.file) if options is not None else None
        self._logger = logger.child("table-snapshot")
        self._registry = registry
        self._shared = shared
        self._is_successor = is_successor
        self._on_failure = on_failure
        self._may_make = may_make
        self._bus: Bus | None = None
        self._loaded: LoadedTable | None = None
        self._connecting: asyncio.Task[None] | None = None
        # What `FILE.removed` does not have yet.
        self._removals: list[Removal] = []
        self._has_removals = asyncio.Event()

    @property
    def is_served_from(self) -> bool:
        """Whether the routes are those of a snapshot, because the bus has not said yet which there are."""
        return self._loaded is not None

    @property
    def is_pruning_suspended(self) -> bool:
        """Whether registrations may be missing because the bus is out of reach."""
        return self._loaded is not None or (self._bus is not None and self._bus.is_pruning_suspended)

    def on_change(self, change: Change) -> None:
        """Take a change of the table into account."""
        if self._snapshot is not None and type(change) is Remove:
            self._removals.append(Removal(change.uri, change.address))
            self._has_removals.set()

    async def connect(self, bus: Bus) -> None:
        """Connect to NATS, or else load a snapshot. Raises StartError."""
        self._bus = bus
        is_needed = self._snapshot is None or self._is_successor
        try:
            await bus.connect(is_needed=is_needed)
        except NatsConnectionError as error:
            if self._snapshot is None or is_needed:
                raise StartError(f"cannot connect to NATS: {error}") from error
            try:
                self._loaded = await asyncio.to_thread(self._snapshot.load)
            except SnapshotError as refusal:
                self._logger.fatal("table-snapshot-refused", error=str(refusal))
                raise StartError(f"cannot connect to NATS: {error}; no snapshot of the table: {refusal}") from error

    async def listen(self, bus: Bus, listen: Callable[[Bus], Awaitable[None]]) -> None:
        """Have `listen` begin to take registrations from `bus`: at once, or when it can be reached."""
        if self._loaded is None:
            if not self._is_successor:
                # What is in the last one may have gone while no router was there to hear of it.
                await self._discard()
            await listen(bus)
        else:
            self._registry.doubt()
            await self._serve(self._loaded)
            self._connecting = asyncio.get_running_loop().create_task(self._connect_later(bus, listen))

    def stop(self) -> None:
        """Make no more snapshots, and connect no more."""
        super().stop()
        if self._connecting is not None:
            self._connecting.cancel()

    async def _serve(self, loaded: LoadedTable) -> None:
        adoption = Adoption(self._registry, self._shared.mark)
        pace = Pace()
        try:
            for handed in loaded.parts:
                adoption.take(handed)
                await pace.keep()
        except ValueError as error:
            # What was valid so far is served.
            self._logger.error("table-snapshot-refused", error=str(error))
        for address in adoption.draining:
            self._registry.held.set_draining(address, is_draining=True)
        self._logger.warn("table-snapshot-served", routes=len(self._registry), age=round(loaded.age, 3))

    async def _connect_later(self, bus: Bus, listen: Callable[[Bus], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(RECONNECT_PAUSE)
            try:
                await bus.connect(is_needed=False)
            except NatsConnectionError:
                continue
            self._loaded = None
            try:
                await listen(bus)
            except Exception as error:
                # Its table would be that of the snapshot for ever.
                self._on_failure(f"cannot listen to NATS: {fault_text(error)}")
            return

    async def _run(self) -> None:
        if self._snapshot is None:
            return
        while True:
            try:
                await self._until_due(self._snapshot)
                if self._bus is not None and self._bus.is_connected and self._may_make():
                    await self._make(self._snapshot)
            except OSError as error:
                # A snapshot without a removal that has been lost must not be served from.
                self._logger.error("table-snapshot-failed", error=error_text(error))
                await self._discard()

    async def _until_due(self, snapshot: TableSnapshot) -> None:
        """Wait until the next snapshot is due, and note removals as they come. Raises OSError."""
        due_at = time.monotonic() + self._interval
        while (left := due_at - time.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._has_removals.wait()
            await self._note_removals(snapshot)

    async def _make(self, snapshot: TableSnapshot) -> None:
        await asyncio.to_thread(snapshot.begin)
        registry = self._registry
        for frames in frames_of(registry.registrations(self._shared.failed_ago), registry.held.draining):
            await asyncio.to_thread(snapshot.add, frames)
            await self._note_removals(snapshot)
        await asyncio.to_thread(snapshot.finish)

    async def _note_removals(self, snapshot: TableSnapshot) -> None:
        if not self._removals:
            return
        removals, self._removals = self._removals, []
        self._has_removals.clear()
        await asyncio.to_thread(snapshot.remove, removals)

    async def _discard(self) -> None:
        if self._snapshot is not None:
            try:
                await asyncio.to_thread(self._snapshot.discard)
            except OSError as error:
                self._logger.error("table-snapshot-failed", error=error_text(error))
