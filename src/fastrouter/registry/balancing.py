"""How the requests of routes are balanced among their endpoints, and which routes by hash (spec 3.4, 9.1)."""

from collections.abc import Iterator
from typing import NamedTuple

from fastrouter.ipc.table_changes import HashRule
from fastrouter.logs.logger import Logger
from fastrouter.registry.endpoint import HASH, Traits
from fastrouter.registry.route import Route

# The values of `options.loadbalancing` that a router can have, too.
ALGORITHMS = frozenset({"round-robin", "least-connection"})


class Wanted(NamedTuple):
    """The algorithm of a route, empty for the router's own, and the rule that goes with `hash`."""

    algorithm: str
    hashing: HashRule | None


class Balancing:
    """Decides by which algorithm a route is balanced; `algorithm` is the router's own."""

    def __init__(self, logger: Logger, algorithm: str) -> None:
        self._logger = logger
        self.algorithm = algorithm
        # By their keys.
        self._hash_routes: dict[str, Route] = {}

    def wanted_of(self, route: Route, traits: Traits) -> Wanted:
        """Return what the route has now that an endpoint with `traits` is registered."""
        wanted = traits.algorithm
        before = route.algorithm or self.algorithm
        if not wanted:
            return Wanted(route.algorithm, route.hashing)
        if wanted not in ALGORITHMS and traits.hashing is None:
            self._logger.error(
                "invalid-endpoint-load-balancing-algorithm-provided-keeping-pool-lb-algo",
                endpointLBAlgorithm=wanted,
                poolLBAlgorithm=before,
            )
            return Wanted(route.algorithm, route.hashing)
        if wanted != before:
            # Gorouter's line has the new value twice.
            self._logger.debug(
                "setting-pool-load-balancing-algorithm-to-that-of-an-endpoint",
                endpointLBAlgorithm=wanted,
                poolLBAlgorithm=wanted,
            )
        # Where endpoints carry the name of the router's own, most routes need no message about it.
        return Wanted("" if wanted == self.algorithm else wanted, traits.hashing)

    def handed_over(self, algorithm: str, hashing: HashRule | None) -> Wanted:
        """Return what a route has that was handed over with these."""
        if algorithm == HASH and hashing is not None:
            return Wanted(algorithm, hashing)
        return Wanted(algorithm if algorithm in ALGORITHMS else "", None)

    def set(self, key: str, route: Route, wanted: Wanted) -> None:
        """Give the route that has `key` what is wanted."""
        route.algorithm, route.hashing = wanted
        if wanted.algorithm == HASH:
            self._hash_routes[key] = route
        else:
            self._hash_routes.pop(key, None)

    def forget(self, key: str) -> None:
        """Know that the route that had `key` is no more."""
        self._hash_routes.pop(key, None)

    def hash_pools(self) -> Iterator[tuple[str, int]]:
        """Yield the key of each route that is balanced by hash and has endpoints, and their number."""
        for key, route in list(self._hash_routes.items()):
            if route.members is not None:
                yield key, len(route.all_members())
