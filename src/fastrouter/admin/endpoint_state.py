"""The state of an endpoint, from the table and from the memory where all workers count (ADR 11)."""

import time
from typing import Literal

import msgspec

from fastrouter._core import Stats
from fastrouter.admin.table_replica import TableReplica

# Gets requests; is passed over because attempts have failed; gets none but those of its sticky sessions.
EndpointState = Literal["active", "failed", "draining"]


class Failure(msgspec.Struct, frozen=True):
    """The last failure for which an endpoint was passed over; `age` is seconds."""

    reason: str
    age: float


class EndpointStates:
    """States of endpoints by their numbers; `failure_memory` are the seconds that a failed one is passed over."""

    def __init__(self, table: TableReplica, stats: Stats, failure_memory: float) -> None:
        self._table = table
        self._stats = stats
        self._failure_memory_ns = int(failure_memory * 1e9)

    def state(self, number: int) -> EndpointState:
        """Return the state; one that drains and has failed, drains."""
        if number in self._table.draining:
            return "draining"
        return "failed" if self.is_failed(number) else "active"

    def is_failed(self, number: int) -> bool:
        """Whether the endpoint is passed over at this moment, unless all others of its route are, too."""
        failed_at_ns = self._stats.mark_of(number)
        return failed_at_ns != 0 and time.monotonic_ns() - failed_at_ns <= self._failure_memory_ns

    def in_flight(self, number: int) -> int:
        """Return how many attempts wait for a response head."""
        return self._stats.in_flight_of(number)

    def last_failure(self, number: int) -> Failure | None:
        """Return the last failure, however long ago it was."""
        found = self._stats.last_failure(number)
        if found is None:
            return None
        failed_at_ns, reason = found
        return Failure(reason, max(0.0, (time.monotonic_ns() - failed_at_ns) / 1e9))

    def failed_since(self, moment_ns: int) -> list[int]:
        """Return the numbers of endpoints that have failed after this moment of the monotonic clock."""
        return self._stats.failed_since(moment_ns, len(self._table.endpoints))
