"""The endpoints that routes hold, and the numbers by which table changes name them."""

from collections.abc import Callable

from fastrouter.ipc.table_changes import Change, ChangeSink, Forget
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
        # How many endpoints have an address.
        self._addresses: dict[str, int] = {}

    def count_addresses(self) -> int:
        """Count the different addresses."""
        return len(self._addresses)

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
            self._addresses[endpoint.address] = self._addresses.get(endpoint.address, 0) + 1
            self._emit(self._introduce(endpoint))
        endpoint.uses += 1

    def release(self, endpoint: RegisteredEndpoint) -> None:
        """Count one route less that holds `endpoint`; after the last, the workers forget it."""
        endpoint.uses -= 1
        if endpoint.uses == 0:
            self._by_number[endpoint.number] = None
            self._free_numbers.append(endpoint.number)
            if self._addresses[endpoint.address] == 1:
                del self._addresses[endpoint.address]
            else:
                self._addresses[endpoint.address] -= 1
            self._emit(Forget(endpoint.number))
