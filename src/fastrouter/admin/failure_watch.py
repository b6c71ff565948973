"""Notes in the journal which endpoints have failed; workers only mark them in the shared memory (ADR 11)."""

import asyncio
import time

from fastrouter.admin.endpoint_state import EndpointStates
from fastrouter.admin.journal import Journal
from fastrouter.admin.table_replica import TableReplica, address_of
from fastrouter.process.background_task import BackgroundTask

# Seconds between two looks; an endpoint that fails twice in that time is noted once.
INTERVAL = 0.5
# Failures that are noted of one look: when a whole cell fails, the journal is to keep other events, too.
_MAX_NOTED = 256


class FailureWatch(BackgroundTask):
    """Looks at the marks of all endpoints."""

    def __init__(self, table: TableReplica, states: EndpointStates, journal: Journal) -> None:
        super().__init__()
        self._table = table
        self._states = states
        self._journal = journal

    async def _run(self) -> None:
        seen_ns = time.monotonic_ns()
        while True:
            await asyncio.sleep(INTERVAL)
            # Before the look: a mark that is set during it is newer, and is found by the next.
            now_ns = time.monotonic_ns()
            for number in self._states.failed_since(seen_ns)[:_MAX_NOTED]:
                self._note(number)
            seen_ns = now_ns

    def _note(self, number: int) -> None:
        failure = self._states.last_failure(number)
        endpoint = self._table.endpoints[number]
        if failure is None or endpoint is None:
            return
        for key in self._table.holders.get(number, ()):
            self._journal.note(
                "endpoint-failed",
                route=key,
                endpoint=address_of(endpoint),
                app_id=endpoint.app_id,
                reason=failure.reason,
            )
