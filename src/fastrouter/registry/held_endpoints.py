"""The endpoints that routes hold, the numbers by which table changes name them, and which of them drain."""

from collections.abc import Callable, Collection

from fastrouter.ipc.table_changes import Change, ChangeSink, Forget, SetDraining
from fastrouter.process.slices import Pace
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
        # Addresses whose endpoints drain.
        self._draining: set[str] = set()

    def count_addresses(self) -> int:
        """Count the different addresses."""
        return len(self._addresses)

    def draining(self) -> list[str]:
        """Return the addresses whose endpoints drain, sorted."""
        return sorted(self._draining)

    def is_draining(self, address: str) -> bool:
        """Whether endpoints at this address drain."""
        return address in self._draining

    async def set_draining(self, addresses: Collection[str], is_draining: bool) -> int:
        """Have the endpoints at these addresses drain, or no more; returns how many there are.

        An address drains until no route has an endpoint there any more: what is registered there later is another
        instance. It takes several turns of the loop.
        """
        wanted = {address for address in addresses if address in self._addresses}
        if is_draining:
            self._draining |= wanted
        else:
            self._draining -= wanted
        pace = Pace()
        count = 0
        # Those that get a number meanwhile are introduced as what they are.
        for number in range(len(self._by_number) if wanted else 0):
            endpoint = self._by_number[number]
            if endpoint is not None and endpoint.address in wanted:
                self._emit(SetDraining(number, endpoint.address in self._draining))
                count += 1
            await pace.keep()
        return count

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
                self._draining.discard(endpoint.address)
            else:
                self._addresses[endpoint.address] -= 1
            self._emit(Forget(endpoint.number))
