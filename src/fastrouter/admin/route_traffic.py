"""`/v1/top`: what each route has been asked for, in a window of time and over the last hour."""

import asyncio
import time
from collections import deque
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from fastrouter._core import RouteSnapshot, route_owner
from fastrouter.admin.endpoint import Endpoint, read_query
from fastrouter.admin.table_replica import TableReplica
from fastrouter.ipc.route_counters import Order, RouteCounterReader, RouteCounts
from fastrouter.process.background_task import BackgroundTask
from fastrouter.process.slices import Pace

# Seconds of the windows. Snapshots are taken twice in each, and three are kept: one is always old enough.
WINDOWS = (10, 60, 600, 3600)
_KEPT = 3
# Seconds between two points of the past of a route, and points: an hour.
POINT_EVERY = 10
POINTS = 360
# Routes that get a point: those with most requests, and those with most errors.
_BUSIEST = 300
_WORST = 100

TopBy = Literal["errors", "p99", "rps", "inflight"]
_ORDERS: dict[TopBy, Order] = {"errors": "errors", "p99": "p99", "rps": "requests", "inflight": "inflight"}


class RouteRates(msgspec.Struct, frozen=True):
    """One route in a window. `errors` is the share of responses 5xx and broken ones; latencies are seconds.

    `series` and `error_series` are requests and errors in each 10 s of the last hour, oldest first; points in which
    the route was not among the busiest are 0.
    """

    route: str
    requests_per_second: float
    errors: float
    retries_per_second: float
    mean: float
    p50: float
    p99: float
    in_flight: int
    series: list[int]
    error_series: list[int]


class Top(msgspec.Struct, frozen=True):
    """The routes that stand out, the first one most; `seconds` is the time that they were really measured over.

    `total` are all that have any of it, of which `items` are the first.
    """

    by: TopBy
    seconds: float
    items: list[RouteRates]
    total: int


class TopQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which routes are wanted."""

    by: Annotated[TopBy, msgspec.Meta(description="What they stand out by.")] = "errors"
    window: Annotated[Literal[10, 60, 600, 3600], msgspec.Meta(description="Seconds.")] = 60
    filter: Annotated[str, msgspec.Meta(description="A part of the route, in any case.")] = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=500, description="Routes at most.")] = 50
    series: Annotated[bool, msgspec.Meta(description="Whether the last hour is wanted, too.")] = False


class RouteTraffic(BackgroundTask):
    """Looks at the counters of all routes; at all of them in a thread, which does not hold the interpreter."""

    def __init__(self, reader: RouteCounterReader, table: TableReplica) -> None:
        super().__init__()
        self._reader = reader
        self._table = table
        first = reader.snapshot()
        self._latest = first
        self._snapshots = {window: deque([first], maxlen=_KEPT) for window in WINDOWS}
        self._last_point = first
        # One for each POINT_EVERY seconds: requests and errors by route_owner.
        self._points: deque[dict[int, tuple[int, int]]] = deque(maxlen=POINTS)

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of the API."""
        return [Endpoint("GET", "/v1/top", "read", self._top, "The routes that stand out.", Top, TopQuery)]

    def counts(self, key: str) -> RouteCounts | None:
        """Return what a route had been asked for a few seconds ago; None if no worker has counted for it."""
        slot = self._table.routes[key].slot
        return self._reader.counts(self._latest, slot, key) if slot else None

    async def _run(self) -> None:
        started_at = time.monotonic()
        turn = 0
        while True:
            turn += 1
            await asyncio.sleep(max(0.0, started_at + turn * WINDOWS[0] / 2 - time.monotonic()))
            snapshot = self._latest = await asyncio.to_thread(self._reader.snapshot)
            for window, kept in self._snapshots.items():
                if turn % (window // WINDOWS[0]) == 0:
                    kept.append(snapshot)
            if turn % 2 == 0:
                self._points.append(await asyncio.to_thread(self._point, snapshot))
                self._last_point = snapshot

    def _point(self, snapshot: RouteSnapshot) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        orders: tuple[tuple[Order, int], ...] = (("requests", _BUSIEST), ("errors", _WORST))
        for order, limit in orders:
            for owner, counts in self._reader.top(order, limit, snapshot, self._last_point).routes:
                found[owner] = (counts.requests, counts.errors)
        return found

    async def _top(self, request: web.Request) -> Top:
        query = read_query(request, TopQuery)
        snapshot = await asyncio.to_thread(self._reader.snapshot)
        # The youngest that is old enough; at first there is none.
        kept = self._snapshots[query.window]
        enough = [one for one in kept if snapshot.seconds_since(one) >= query.window]
        earlier = enough[-1] if enough else kept[0]
        among = await self._slots_of(query.filter.lower())
        order = _ORDERS[query.by]
        ranking = await asyncio.to_thread(self._reader.top, order, query.limit, snapshot, earlier, among)
        items = []
        for owner, counts in ranking.routes:
            key = self._table.slots.get(counts.slot)
            # A slot that has just changed hands has the counts of the route before.
            if key is not None and route_owner(key) == owner:
                items.append(self._rates(key, owner, counts, with_series=query.series))
        return Top(query.by, snapshot.seconds_since(earlier), items, ranking.total)

    async def _slots_of(self, part: str) -> bytes:
        """Return which slots are those of routes with this part in their key: a byte for each."""
        slots = list(self._table.slots.items())
        wanted = bytearray(max((slot for slot, _ in slots), default=0) + 1)
        pace = Pace()
        for count, (slot, key) in enumerate(slots):
            wanted[slot] = part in key
            if count % 1024 == 0:
                await pace.keep()
        return bytes(wanted)

    def _rates(self, key: str, owner: int, counts: RouteCounts, *, with_series: bool) -> RouteRates:
        seconds = max(counts.seconds, 1e-3)
        points = [point.get(owner, (0, 0)) for point in self._points] if with_series else []
        return RouteRates(
            route=key,
            requests_per_second=counts.requests / seconds,
            errors=counts.errors / counts.requests if counts.requests else 0.0,
            retries_per_second=counts.retries / seconds,
            mean=counts.mean,
            p50=counts.p50,
            p99=counts.p99,
            in_flight=counts.in_flight,
            series=[requests for requests, _ in points],
            error_series=[errors for _, errors in points],
        )
