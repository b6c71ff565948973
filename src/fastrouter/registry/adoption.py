"""Takes over the routing table of a predecessor, beside the routes that are here already."""

from collections.abc import Callable

from fastrouter.registry.endpoint import RegisteredEndpoint
from fastrouter.registry.handed_table import Handed, HandedEnd, HandedEndpoint, HandedRoute
from fastrouter.registry.route_registry import RouteRegistry


class Adoption:
    """Adds to `registry` what a predecessor hands over.

    `mark` gets the number of each endpoint that has failed, and how many seconds ago.
    """

    def __init__(self, registry: RouteRegistry, mark: Callable[[int, float], object]) -> None:
        self._registry = registry
        self._mark = mark
        self._endpoints: dict[int, RegisteredEndpoint] = {}
        self._failed_ago: dict[int, float] = {}
        # Addresses whose endpoints drain, when the table is complete.
        self.draining: tuple[str, ...] = ()

    def take(self, handed: Handed) -> None:
        """Take the next part. Raises ValueError for an endpoint that no valid registration describes."""
        match handed:
            case HandedEndpoint(number):
                self._endpoints[number] = self._registry.new_handed_endpoint(handed)
                if handed.failed_ago is not None:
                    self._failed_ago[number] = handed.failed_ago
            case HandedEnd(draining):
                self.draining = draining
            case HandedRoute(_, members):
                numbers = [member.number for member in members]
                if unknown := [number for number in numbers if number not in self._endpoints]:
                    raise ValueError(f"endpoint {unknown[0]} was not introduced")
                self._registry.adopt(handed, [(self._endpoints[member.number], member.age) for member in members])
                for number in numbers:
                    endpoint, ago = self._endpoints[number], self._failed_ago.get(number)
                    if ago is not None and endpoint.uses > 0:
                        self._mark(endpoint.number, ago)
