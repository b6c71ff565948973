"""What has happened in the router lately: a ring of events for all, and a short history of each route."""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from typing import Any

import msgspec

# Events that are kept for readers that come, or come back, later.
KEPT_EVENTS = 10_000
# Changes of one route that are kept, and routes that have any.
KEPT_CHANGES = 64
KEPT_HISTORIES = 10_000


class Event(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One thing that has happened: `kind` says what, `time` is Unix time, the rest whom it concerns."""

    id: str
    time: float
    kind: str
    route: str = ""
    endpoint: str = ""
    app_id: str = ""
    reason: str = ""
    data: dict[str, Any] = {}


class Journal:
    """Keeps events in order. Ids are `RUN-NUMBER`, where RUN differs for each process that keeps a journal."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._run = f"{time.time_ns() // 1_000_000:x}"
        self._events: deque[Event] = deque(maxlen=KEPT_EVENTS)
        self._histories: OrderedDict[str, deque[Event]] = OrderedDict()
        self._changed = asyncio.Event()
        # The number of the next event.
        self.next_number = 0

    def note(
        self,
        kind: str,
        *,
        route: str = "",
        endpoint: str = "",
        app_id: str = "",
        reason: str = "",
        data: dict[str, Any] | None = None,
    ) -> None:
        """Append an event."""
        event = Event(
            f"{self._run}-{self.next_number}", self._clock(), kind, route, endpoint, app_id, reason, data or {}
        )
        self.next_number += 1
        self._events.append(event)
        if route:
            self._history_of(route).append(event)
        self._changed.set()

    def history(self, route: str) -> list[Event]:
        """Return the last changes of the route with this key, oldest first."""
        return list(self._histories.get(route, ()))

    @property
    def first_number(self) -> int:
        """The number of the oldest event that is kept."""
        return self.next_number - len(self._events)

    def number_after(self, last_id: str) -> int | None:
        """Return the number of the event that follows the one with this id; None if it is of another journal."""
        run, _, digits = last_id.rpartition("-")
        if run != self._run or not digits.isdecimal():
            return None
        return min(int(digits) + 1, self.next_number)

    def since(self, number: int, count: int) -> list[Event]:
        """Return the events from this number on, `count` at most."""
        start = max(0, number - self.first_number)
        return list(islice(self._events, start, start + count))

    async def until_after(self, number: int) -> None:
        """Wait until there is an event with this number."""
        while self.next_number <= number:
            self._changed.clear()
            await self._changed.wait()

    def _history_of(self, route: str) -> "deque[Event]":
        history = self._histories.get(route)
        if history is None:
            history = self._histories[route] = deque(maxlen=KEPT_CHANGES)
            if len(self._histories) > KEPT_HISTORIES:
                self._histories.popitem(last=False)
        else:
            self._histories.move_to_end(route)
        return history
