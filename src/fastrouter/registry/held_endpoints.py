"""The endpoints that routes hold, the numbers by which table changes name them, and which of them drain."""

from collections.abc import Callable

from fastrouter.ipc.table_changes import Change, ChangeSink, Forget, SetDraining
from fastrouter.registry.endpoint import RegisteredEndpoint


class HeldEndpoints:
    """Numbers endpoints as long as a route holds them.

    `introduce` returns the change that introduces one to the workers. `emit` gets it, and later the change Forget.
    `on_number_reused` is called before an endpoint gets the number that another has had.
    """

    def __init__(
        self,
        emit: ChangeSink,
        introduce: Callable[[RegisteredEndpoint], Change],
        on_number_reused: Callable[[int], object],
    ) -> None:
        self._emit = emit
        self._introduce = introduce
        self._on_number_reused = on_number_reused
        # The lowest number that was never used.
        self.next_number = 0
        # Free numbers are used first, so that the lists of the workers stay dense.
        self._free_numbers: list[int] = []
        self._by_number: list[RegisteredEndpoint | None] = []
        # The endpoints that have an address: mostly one.
        self._addresses: dict[str, RegisteredEndpoint | tuple[RegisteredEndpoint, ...]] = {}
        # Addresses whose endpoints drain.
        self._draining: set[str] = set()

    def count_addresses(self) -> int:
        """Count the different addresses."""
        return len(self._addresses)

    def at_address(self, address: str) -> tuple[RegisteredEndpoint, ...]:
        """Return the endpoints at `address`."""
        endpoints = self._addresses.get(address, ())
        return endpoints if isinstance(endpoints, tuple) else (endpoints,)

    def draining(self) -> list[str]:
        """Return the addresses whose endpoints drain, sorted."""
        return sorted(self._draining)

    def is_draining(self, address: str) -> bool:
        """Return whether the endpoints at `address` get no new requests."""
        return address in self._draining

    def set_draining(self, address: str, *, is_draining: bool) -> int:
        """Have the endpoints at `address` drain, or serve again; returns how many there are.

        An address drains until no route has an endpoint there any more: what is registered there later is another
        instance.
        """
        endpoints = self.at_address(address)
        if endpoints and is_draining != (address in self._draining):
            (self._draining.add if is_draining else self._draining.discard)(address)
            for endpoint in endpoints:
                self._emit(SetDraining(endpoint.number, is_draining))
        return len(endpoints)

    def by_number(self, number: int) -> RegisteredEndpoint | None:
        """Return the endpoint that has `number`, if there is one."""
        return self._by_number[number] if number < len(self._by_number) else None

    def hold(self, endpoint: RegisteredEndpoint) -> None:
        """Count one more route that holds `endpoint`; the first introduces it to the workers."""
        if endpoint.uses == 0:
            if self._free_numbers:
                endpoint.number = self._free_numbers.pop()
                self._on_number_reused(endpoint.number)
            else:
                endpoint.number = self.next_number
                self.next_number += 1
                self._by_number.append(None)
            self._by_number[endpoint.number] = endpoint
            others = self.at_address(endpoint.address)
            self._addresses[endpoint.address] = (*others, endpoint) if others else endpoint
            self._emit(self._introduce(endpoint))
        endpoint.uses += 1

    def release(self, endpoint: RegisteredEndpoint) -> None:
        """Count one route less that holds `endpoint`; after the last, the workers forget it."""
        endpoint.uses -= 1
        if endpoint.uses == 0:
            self._by_number[endpoint.number] = None
            self._free_numbers.append(endpoint.number)
            others = tuple(other for other in self.at_address(endpoint.address) if other is not endpoint)
            if others:
                self._addresses[endpoint.address] = others if len(others) > 1 else others[0]
            else:
                del self._addresses[endpoint.address]
                self._draining.discard(endpoint.address)
            self._emit(Forget(endpoint.number))
