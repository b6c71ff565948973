"""The shared memory in which workers count what each route has been asked for (ADR 19), and what is read from it.

The control process creates the mapping, or inherits it from the router that it succeeds. While both are there, the
workers of each have blocks of their own: the blocks of the mapping are two halves, which routers use in turn.
"""

import mmap
import os
from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from fastrouter._core import RouteCounters, RouteSnapshot, latency_at, route_owner

# Routes there is room for, and slot 0, which is nobody's. A page of the mapping takes memory only once it was written.
ROUTE_SLOTS = 131_072

Order = Literal["requests", "errors", "p99", "inflight"]


class CounterBlock(msgspec.Struct, frozen=True, array_like=True):
    """Where in the mapping a worker counts: arguments of `attach_route_counters`."""

    blocks: int
    slots: int
    block: int = -1


class SharedRouteCounters:
    """The mapping as the control process of a router with so many `workers` has it.

    With `inherited`, a descriptor that it owns from now on (-1: none), and the `half` that its predecessor's workers
    have, it goes on where that is; if it is a mapping of another layout, such as one for another number of workers, it
    begins anew, and `on_refused` gets the reason. Raises OSError if there is no memory for it.
    """

    def __init__(
        self,
        workers: int,
        inherited: int = -1,
        half: int = 0,
        on_refused: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._workers = workers
        self._blocks = 2 * workers
        # Which half of the blocks its workers have, 0 or 1.
        self.half = 0
        size = RouteCounters.size(self._blocks, ROUTE_SLOTS)
        self.descriptor = -1
        if inherited >= 0:
            try:
                # A smaller file would end this process when it is read.
                if os.fstat(inherited).st_size != size:
                    raise ValueError("memory has another size")
                self.counters = RouteCounters(mmap.mmap(inherited, size), self._blocks, ROUTE_SLOTS)
                self.descriptor = inherited
                self.half = 1 - half
                for worker in range(workers):
                    # Whoever had this half has ended, and may have been killed.
                    self.end(worker)
            except (OSError, ValueError) as error:
                os.close(inherited)
                on_refused(str(error))
        self.is_inherited = self.descriptor >= 0
        if not self.is_inherited:
            self.descriptor = os.memfd_create("fastrouter-routes", os.MFD_CLOEXEC)
            os.ftruncate(self.descriptor, size)
            self.counters = RouteCounters(mmap.mmap(self.descriptor, size), self._blocks, ROUTE_SLOTS)

    def block_of(self, worker: int) -> CounterBlock:
        """Return where the worker of this number counts."""
        return CounterBlock(self._blocks, ROUTE_SLOTS, self.half * self._workers + worker)

    def end(self, worker: int) -> None:
        """Forget what a worker that has ended had in flight. What it has counted stays."""
        self.counters.end(self.half * self._workers + worker)

    def inherited_slots(self) -> dict[int, int]:
        """Return the slots that routes had at the predecessor, by `route_owner`."""
        if not self.is_inherited:
            return {}
        return {owner: slot for slot, owner in self.counters.owners(0, self._blocks)}


def attach_route_counters(descriptor: int, *, blocks: int, slots: int, block: int = -1) -> RouteCounters:
    """Map the memory of `descriptor`, and close the descriptor. Raises OSError or ValueError.

    With a `block`, this process counts there from now on; without one, it reads.
    """
    try:
        # The mapping keeps a descriptor of its own.
        memory = mmap.mmap(descriptor, RouteCounters.size(blocks, slots))
    finally:
        os.close(descriptor)
    counters = RouteCounters(memory, blocks, slots, block)
    if block >= 0:
        counters.begin()
    return counters


class RouteSlots:
    """Gives each route a slot of the mapping while it is there.

    A route that comes back finds the slot that it had, with its counts, unless another has got it meanwhile: free slots
    that were never used go first, as long as few were given back. `inherited` are slots that routes had at a
    predecessor, by `route_owner`. `on_exhausted` is called once, when a route is the first that gets none.
    """

    # So many slots that were given back wait for the routes that had them.
    KEPT = 4096

    def __init__(
        self,
        inherited: dict[int, int] | None = None,
        on_exhausted: Callable[[], object] = lambda: None,
        slots: int = ROUTE_SLOTS,
    ) -> None:
        # By owner, and those that wait longest first.
        self._left = dict(inherited or {})
        self._next = max(self._left.values(), default=0) + 1
        self._kept = self.KEPT + len(self._left)
        self._slots = slots
        self._on_exhausted: Callable[[], object] | None = on_exhausted

    def take(self, key: str) -> int:
        """Return a slot for the route `key`, 0 if all are in use."""
        slot = self._left.pop(route_owner(key), None)
        if slot is not None:
            return slot
        if self._next < self._slots and len(self._left) <= self._kept:
            self._next += 1
            return self._next - 1
        if self._left:
            return self._left.pop(next(iter(self._left)))
        if self._on_exhausted is not None:
            self._on_exhausted()
            self._on_exhausted = None
        return 0

    def give_back(self, key: str, slot: int) -> None:
        """Take the slot of a route that is gone; 0 is none."""
        if slot:
            self._left[route_owner(key)] = slot


class RouteCounts(msgspec.Struct, frozen=True):
    """What one route has been asked for: since `seconds`, or ever if that is 0.

    `requests` are those that have ended, with `responses` of 2xx, 3xx, 4xx, 5xx and others, most of which are tunnels.
    `broken` responses have broken off in the middle. Times are seconds; they are estimates, of what is not a tunnel.
    """

    slot: int
    seconds: float
    requests: int
    responses: tuple[int, int, int, int, int]
    broken: int
    retries: int
    in_flight: int
    mean: float
    p50: float
    p99: float

    @property
    def errors(self) -> int:
        """Responses that have failed, or broke off."""
        return self.responses[3] + self.broken

    @property
    def per_second(self) -> float:
        """Requests per second; 0 unless this is a window."""
        return self.requests / self.seconds if self.seconds > 0 else 0.0


class Ranked(NamedTuple):
    """A route of a `Ranking`: whose it is, by `route_owner`, and its counts."""

    owner: int
    counts: RouteCounts


class Ranking(NamedTuple):
    """Routes with the most of something, and how many there are that have any of it."""

    routes: list[Ranked]
    total: int


class RouteCounterReader:
    """Reads the counters of all workers; for the admin and the control process.

    `snapshot` and `top` may be called in a thread: with 100,000 routes they take tens of milliseconds, without
    the GIL.
    """

    def __init__(self, counters: RouteCounters) -> None:
        self._counters = counters

    def snapshot(self) -> RouteSnapshot:
        """Return all counters as they are now: up to 144 bytes for each slot that was ever in use."""
        return RouteSnapshot(self._counters)

    def counts(
        self, snapshot: RouteSnapshot, slot: int, uri: str = "", earlier: RouteSnapshot | None = None
    ) -> RouteCounts | None:
        """Return the counts of a slot since `earlier`, else since ever.

        None if no worker knows the slot, or knows it as another route's than `uri` (empty: anyone's).
        """
        read = snapshot.read(slot, route_owner(uri) if uri else 0, earlier)
        return None if read is None else _counts(slot, *read[1:])

    def top(
        self,
        by: Order,
        limit: int,
        snapshot: RouteSnapshot,
        earlier: RouteSnapshot | None = None,
        among: bytes | None = None,
    ) -> Ranking:
        """Return at most `limit` routes with the most of `by` since `earlier`, the most first, and none without any.

        Slots are not routes: the caller knows which route has which, and compares `route_owner` of it. `among` has a
        byte for each slot, 0 if it is not wanted.
        """
        slots, total = snapshot.top(by, limit, earlier, among)
        read = [(slot, snapshot.read(slot, 0, earlier)) for slot in slots]
        return Ranking([Ranked(one[0], _counts(slot, *one[1:])) for slot, one in read if one is not None], total)


def _counts(slot: int, in_flight: int, seconds: float, sums: list[int], latencies: list[int]) -> RouteCounts:
    timed = sum(latencies)
    return RouteCounts(
        slot=slot,
        seconds=seconds,
        requests=sum(sums[:5]),
        responses=(sums[0], sums[1], sums[2], sums[3], sums[4]),
        broken=sums[6],
        retries=sums[5],
        in_flight=in_flight,
        mean=sums[7] / timed / 1e9 if timed else 0.0,
        p50=latency_at(latencies, 0.5),
        p99=latency_at(latencies, 0.99),
    )
