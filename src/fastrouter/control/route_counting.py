"""Where this router counts what each route has been asked for: the mapping, and who has which part of it (ADR 19)."""

from fastrouter.control.predecessor import Predecessor
from fastrouter.ipc.route_counters import ROUTE_SLOTS, RouteSlots, SharedRouteCounters
from fastrouter.logs.logger import Logger
from fastrouter.net.handover import CounterMemory


class RouteCounting(SharedRouteCounters):
    """The mapping of the predecessor, if there is one that fits, and the slots of routes in it."""

    def __init__(self, workers: int, predecessor: Predecessor, logger: Logger) -> None:
        inherited = predecessor.route_counters or CounterMemory(-1, 0)
        super().__init__(
            workers,
            inherited.descriptor,
            inherited.half,
            on_refused=lambda reason: logger.warn("route-counters-refused", error=reason),
        )
        self.slots = RouteSlots(
            self.inherited_slots(),
            on_exhausted=lambda: logger.warn("route-counters-exhausted", limit=ROUTE_SLOTS - 1),
        )

    @property
    def memory(self) -> CounterMemory:
        """What a successor needs of it."""
        return CounterMemory(self.descriptor, self.half)
