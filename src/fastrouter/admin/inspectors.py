"""The workers as the admin process can ask them: about requests under way, requests that end, and choices (ADR 19)."""

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress

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
# Answers of workers that wait for the reader of a tail.
_BATCHES = 16

# Requests that have ended, and how many more, which are lost.
_Found = tuple[list[FinishedRequest], int]


class Inspectors:
    """One client for each worker that runs, by its number, and the tails that listen to all of them."""

    def __init__(self) -> None:
        self._clients: dict[int, InspectionClient] = {}
        self._tails: set[Tail] = set()

    def add(self, worker: int, end: socket.socket) -> None:
        """Take the end of a worker, in place of the one that its predecessor had."""
        if (former := self._clients.pop(worker, None)) is not None:
            former.close()
        client = InspectionClient(end, lambda: self._drop(worker, client))
        self._clients[worker] = client
        for tail in self._tails:
            tail.listen_to(client)

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

    async def explain(
        self, method: str, url: str, headers: Iterable[tuple[str, str]], caller: Iterable[str]
    ) -> Explanation:
        """Return what would become of a request at the first worker that says so. Raises ProblemError."""
        pairs, names = tuple(headers), tuple(caller)
        refusal = "no worker runs"
        for client in list(self._clients.values()):
            try:
                async with asyncio.timeout(PATIENCE):
                    return await client.explain(method, url, pairs, names)
            except TimeoutError:
                refusal = f"no worker has answered within {PATIENCE:g} s"
            except InspectionError as error:
                if client.is_usable:
                    # What one does not understand, the others do not either.
                    raise ProblemError(422, str(error)) from error
                refusal = str(error)
        raise ProblemError(503, refusal)

    def begin_tail(self, tail: "Tail") -> None:
        """Have `tail` listen to all workers, and to those that come later, until `end_tail`."""
        self._tails.add(tail)
        for client in self._clients.values():
            tail.listen_to(client)

    def end_tail(self, tail: "Tail") -> None:
        """Have it listen to no more workers."""
        self._tails.discard(tail)

    def _drop(self, worker: int, client: InspectionClient) -> None:
        if self._clients.get(worker) is client:
            del self._clients[worker]


class Tail:
    """Requests that end in any worker, from now on, until `close`; also in workers that come later."""

    def __init__(
        self, inspectors: Inspectors, *, route: str, status_class: int, slower_than: float, sample: float
    ) -> None:
        self._inspectors = inspectors
        self._start: Callable[[InspectionClient], TailStream] = lambda client: client.tail(
            route=route, status_class=status_class, slower_than=slower_than, sample=sample
        )
        # What nobody takes waits in the streams, which lose the oldest then.
        self._found: asyncio.Queue[_Found | InspectionError] = asyncio.Queue(_BATCHES)
        self._streams: dict[asyncio.Task[None], TailStream] = {}
        inspectors.begin_tail(self)

    def listen_to(self, client: InspectionClient) -> None:
        """Listen to one more worker."""
        stream = self._start(client)
        task = asyncio.get_running_loop().create_task(self._collect(client, stream))
        self._streams[task] = stream
        task.add_done_callback(lambda task: self._streams.pop(task, None))

    async def next(self, patience: float) -> tuple[list[FinishedRequest], int]:
        """Return what has ended, and how many requests more are lost; nothing after `patience` seconds.

        Raises InspectionError if a worker refuses to tell.
        """
        requests: list[FinishedRequest] = []
        lost = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                found = await self._found.get()
                while True:
                    if isinstance(found, InspectionError):
                        raise found
                    requests += found[0]
                    lost += found[1]
                    if self._found.empty():
                        break
                    found = self._found.get_nowait()
        return requests, lost

    def close(self) -> None:
        """Listen no more."""
        self._inspectors.end_tail(self)
        for task, stream in self._streams.items():
            task.cancel()
            stream.close()

    async def _collect(self, client: InspectionClient, stream: TailStream) -> None:
        try:
            while True:
                await self._found.put(await stream.next())
        except InspectionError as error:
            # A worker that has ended has a successor, which is another one to ask.
            if client.is_usable:
                await self._found.put(error)
