"""The routing table for one receiver that can wait: in small steps, between which it changes, and then every change.

A worker gets the table in one go, which holds the loop for half a second at 100,000 routes (ADR 4). Who only looks at
it gets it so that nobody else notices.
"""

from collections.abc import Awaitable, Callable

from fastrouter.ipc.table_changes import Change, ChangeSink, Forget, Introduce, Put, SetDraining
from fastrouter.process.slices import Pace
from fastrouter.registry.route import Route
from fastrouter.registry.route_registry import RouteRegistry


class TableFeed:
    """Gives `send` what makes an empty table equal to that of `registry`.

    `add` is to get each change of the registry from now on. A change may speak of a route that the receiver has not
    heard of yet: that one comes with all it has when its turn comes.
    """

    def __init__(self, registry: RouteRegistry, send: ChangeSink) -> None:
        self._registry = registry
        self._send = send
        # Numbers of endpoints that the receiver knows; None when it knows all.
        self._introduced: set[int] | None = set()

    def add(self, change: Change) -> None:
        """Pass on a change of the registry."""
        if self._introduced is not None:
            match change:
                case Introduce(number):
                    self._introduced.add(number)
                case Put(_, number):
                    self._introduce(number, self._introduced)
                case Forget(number):
                    if number not in self._introduced:
                        return
                    self._introduced.discard(number)
                case SetDraining(number):
                    if number not in self._introduced:
                        return
        self._send(change)

    async def run(self, until_taken: Callable[[], Awaitable[None]]) -> None:
        """Send the whole table, in many turns of the loop; `until_taken` waits until the receiver can take more."""
        pace = Pace()
        for step in self._registry.walk():
            if step is None:
                await until_taken()
            else:
                await self._send_route(*step, pace)
        self._introduced = None

    async def _send_route(self, key: str, route: Route, pace: Pace) -> None:
        for member in tuple(route.all_members()):
            # It may have been removed, or replaced, since the list was made.
            if route.find(member.endpoint.address) is member:
                self.add(Put(route.uri, member.endpoint.number, route.slot))
            await pace.keep()
        if self._registry.find(key) is route:
            for change in self._registry.changes_of_whole(key, route):
                self.add(change)

    def _introduce(self, number: int, introduced: set[int]) -> None:
        if number not in introduced and (introduction := self._registry.introduction(number)) is not None:
            introduced.add(number)
            self._send(introduction)
