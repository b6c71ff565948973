"""The workers as the admin process can ask them: about requests under way, requests that end, and choices (ADR 19)."""

import asyncio
import socket
from collections.abc import Callable, Iterable

from fastrouter.admin.problems import ProblemError
from fastrouter.ipc.inspection import (
    ActiveRequest,
    Explanation,
    FinishedRequest,
    InspectionClient,
    InspectionError,
    TailStream,
)

# Seconds that a worker may take for an answer; one that is busy is left out, or another is asked.
PATIENCE = 3.0


class Inspectors:
    """One client for each worker that runs, by its number."""

    def __init__(self) -> None:
        self._clients: dict[int, InspectionClient] = {}

    def add(self, worker: int, end: socket.socket) -> None:
        """Take the end of a worker, in place of the one that its predecessor had."""
        if (former := self._clients.pop(worker, None)) is not None:
            former.close()
        client = InspectionClient(end, lambda: self._drop(worker, client))
        self._clients[worker] = client

    async def active_requests(self, older_than: float, limit: int) -> tuple[list[tuple[int, ActiveRequest]], int]:
        """Return the oldest requests under way with their workers, and how many there are in all."""
        found: list[tuple[int, ActiveRequest]] = []
        total = 0

        async def ask(worker: int, client: InspectionClient) -> None:
            nonlocal total
            try:
                async with asyncio.timeout(PATIENCE):
                    requests, count = await client.active_requests(older_than, limit)
            except (InspectionError, TimeoutError):
                # It has ended, or is about to.
                return
            total += count
            found.extend((worker, request) for request in requests)

        await asyncio.gather(*(ask(worker, client) for worker, client in list(self._clients.items())))
        found.sort(key=lambda pair: -pair[1].age)
        return found[:limit], total

    async def explain(self, method: str, url: str, headers: Iterable[tuple[str, str]]) -> Explanation:
        """Return what would become of a request at the first worker that says so. Raises ProblemError."""
        pairs = tuple(headers)
        refusal = "no worker runs"
        for client in list(self._clients.values()):
            try:
                async with asyncio.timeout(PATIENCE):
                    return await client.explain(method, url, pairs)
            except TimeoutError:
                refusal = f"no worker has answered within {PATIENCE:g} s"
            except InspectionError as error:
                if client.is_usable:
                    # What one does not understand, the others do not either.
                    raise ProblemError(422, str(error)) from error
                refusal = str(error)
        raise ProblemError(503, refusal)

    def tails(self, start: Callable[[InspectionClient], TailStream]) -> list[TailStream]:
        """Return the streams that `start` makes, one of each worker."""
        return [start(client) for client in self._clients.values()]

    def _drop(self, worker: int, client: InspectionClient) -> None:
        if self._clients.get(worker) is client:
            del self._clients[worker]


class Tail:
    """Requests that end in any worker, from now on: in those that are there when it begins."""

    def __init__(
        self, inspectors: Inspectors, *, route: str, status_class: int, slower_than: float, sample: float
    ) -> None:
        self._streams = inspectors.tails(
            lambda client: client.tail(route=route, status_class=status_class, slower_than=slower_than, sample=sample)
        )
        self._waits: dict[asyncio.Task[tuple[list[FinishedRequest], int]], TailStream] = {}

    async def next(self, patience: float) -> tuple[list[FinishedRequest], int]:
        """Return what has ended, and how many requests more are lost; nothing after `patience` seconds.

        Raises InspectionError when a worker has ended: its successor is another one to ask.
        """
        for stream in self._streams:
            if stream not in self._waits.values():
                self._waits[asyncio.ensure_future(stream.next())] = stream
        if not self._waits:
            raise InspectionError("no worker runs")
        done, _ = await asyncio.wait(self._waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        requests: list[FinishedRequest] = []
        lost = 0
        for wait in done:
            del self._waits[wait]
            more, missed = wait.result()
            requests += more
            lost += missed
        return requests, lost

    def close(self) -> None:
        """Listen no more."""
        for wait in self._waits:
            wait.cancel()
        for stream in self._streams:
            stream.close()
