"""The routing table as the admin process has it: a copy of the registry's, kept by table changes."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from fastrouter._core import route_key
from fastrouter.ipc.table_changes import (
    BatchDecoder,
    Change,
    Drop,
    Forget,
    Introduce,
    Put,
    Remove,
    SetDraining,
    SetRoute,
)


class ReplicaRoute(msgspec.Struct, gc=False, eq=False):
    """One route: its URI as registered first, the numbers of its endpoints in order, and its options."""

    uri: str
    numbers: list[int]
    route_service_url: str = ""
    algorithm: str = ""
    # Where workers count for it, 0: nowhere.
    slot: int = 0


def address_of(endpoint: Introduce) -> str:
    """Return `host:port` of an endpoint."""
    return f"{endpoint.host}:{endpoint.port}"


# Called with the kind of a change, the key of the route, and the endpoint that it is about, if it is about one.
OnChange = Callable[[str, str, Introduce | None], None]


class TableReplica:
    """All routes by their keys, and all endpoints by their numbers; `on_change` gets each change in words.

    While the table is loaded, changes may come of routes that are not there yet: they are passed over.
    """

    def __init__(self, on_change: OnChange) -> None:
        self.routes: dict[str, ReplicaRoute] = {}
        self.endpoints: list[Introduce | None] = []
        self.draining: set[int] = set()
        # Slot of the counters -> key of the route that has it.
        self.slots: dict[int, str] = {}
        # Number of an endpoint -> the keys of the routes that have it.
        self.holders: dict[int, list[str]] = {}
        # Rows of the histogram `latency` that endpoints have, or have had.
        self.component_rows = 1
        self._on_change = on_change
        self._decoder = BatchDecoder()

    def feed(self, data: bytes) -> None:
        """Apply the changes of the frames that `data` completes. Raises ValueError if it is no stream of batches."""
        for batch in self._decoder.feed(data):
            self.apply_all(batch)

    def apply_all(self, changes: Iterable[Change]) -> None:
        """Apply `changes` in their order."""
        for change in changes:
            match change:
                case Put(uri, number, slot):
                    self._put(uri, number, slot)
                case Introduce():
                    self._introduce(change)
                case Remove(uri, address):
                    self._remove(uri, address)
                case Drop(uri):
                    self._drop(uri)
                case SetRoute():
                    self._set_route(change)
                case Forget(number):
                    self.endpoints[number] = None
                    self.draining.discard(number)
                    self.holders.pop(number, None)
                case SetDraining(number, is_draining):
                    self._set_draining(number, is_draining=is_draining)

    def endpoint(self, number: int) -> Introduce:
        """Return the endpoint that has `number`. Raises ValueError if there is none."""
        endpoint = self.endpoints[number] if number < len(self.endpoints) else None
        if endpoint is None:
            raise ValueError(f"endpoint {number} was not introduced")
        return endpoint

    def endpoints_of(self, route: ReplicaRoute) -> Iterator[Introduce]:
        """Return the endpoints of a route in order."""
        return map(self.endpoint, route.numbers)

    def _put(self, uri: str, number: int, slot: int) -> None:
        endpoint = self.endpoint(number)
        key = route_key(uri)
        route = self.routes.get(key)
        if route is None:
            self.routes[key] = ReplicaRoute(key if key == uri else uri, [number], slot=slot)
            if slot:
                self.slots[slot] = key
            self._hold(number, key)
            self._on_change("route-added", key, None)
            self._on_change("endpoint-added", key, endpoint)
            return
        at = self._find(route, address_of(endpoint))
        if at < 0:
            route.numbers.append(number)
            self._hold(number, key)
            self._on_change("endpoint-added", key, endpoint)
        elif route.numbers[at] != number:
            self._release(route.numbers[at], key)
            route.numbers[at] = number
            self._hold(number, key)
            self._on_change("endpoint-replaced", key, endpoint)

    def _remove(self, uri: str, address: str) -> None:
        key = route_key(uri)
        route = self.routes.get(key)
        at = self._find(route, address) if route is not None else -1
        if route is not None and at >= 0:
            endpoint = self.endpoint(route.numbers.pop(at))
            self._release(endpoint.number, key)
            self._on_change("endpoint-removed", key, endpoint)

    def _drop(self, uri: str) -> None:
        key = route_key(uri)
        if (route := self.routes.pop(key, None)) is not None:
            if self.slots.get(route.slot) == key:
                del self.slots[route.slot]
            for number in route.numbers:
                self._release(number, key)
            self._on_change("route-removed", key, None)

    def _set_route(self, change: SetRoute) -> None:
        key = route_key(change.uri)
        route = self.routes.get(key)
        if route is None:
            return
        if (route.route_service_url, route.algorithm) != (change.route_service_url, change.algorithm):
            route.route_service_url, route.algorithm = change.route_service_url, change.algorithm
            self._on_change("route-changed", key, None)

    def _introduce(self, endpoint: Introduce) -> None:
        endpoints = self.endpoints
        if endpoint.number >= len(endpoints):
            endpoints.extend([None] * (endpoint.number + 1 - len(endpoints)))
        endpoints[endpoint.number] = endpoint
        self.component_rows = max(self.component_rows, endpoint.component_row + 1)
        if endpoint.is_draining:
            self.draining.add(endpoint.number)
        else:
            self.draining.discard(endpoint.number)

    def _set_draining(self, number: int, *, is_draining: bool) -> None:
        if (number in self.draining) == is_draining:
            return
        if is_draining:
            self.draining.add(number)
        else:
            self.draining.discard(number)
        kind = "endpoint-draining" if is_draining else "endpoint-active"
        for key in self.holders.get(number, ()):
            self._on_change(kind, key, self.endpoint(number))

    def _hold(self, number: int, key: str) -> None:
        self.holders.setdefault(number, []).append(key)

    def _release(self, number: int, key: str) -> None:
        self.holders[number].remove(key)

    def _find(self, route: ReplicaRoute, address: str) -> int:
        """Return the place of the endpoint at `address` in the route, -1 if there is none."""
        for at, endpoint in enumerate(self.endpoints_of(route)):
            if address_of(endpoint) == address:
                return at
        return -1
