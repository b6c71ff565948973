"""What all streams of server-sent events have in common (WHATWG HTML, 9.2)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aiohttp import web

from fastrouter.admin.headers import HEADERS
from fastrouter.admin.problems import ProblemError

# What a stream begins with, before the first event comes: from then on it has everything.
BEGINNING = b": fastrouter\n\n"
# Seconds without an event, after which a comment shows that the stream lives.
HEARTBEAT = 15.0
# Seconds that a reader may take nothing of what was written to it.
_PATIENCE = 30.0


async def write(response: web.StreamResponse, data: bytes) -> None:
    """Write to a reader. Raises TimeoutError for one that does not take it."""
    async with asyncio.timeout(_PATIENCE):
        await response.write(data)


class EventStreams:
    """Streams of one kind, of which there are `limit` at a time; each holds a connection. `what` is their name."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._count = 0

    async def serve(
        self, request: web.Request, write_events: Callable[[web.StreamResponse], Awaitable[None]]
    ) -> web.StreamResponse:
        """Respond with what `write_events` writes, until it returns. Raises ProblemError if there are too many.

        A reader that has left, or takes nothing, is one that nobody tells anything.
        """
        if self._count >= self._limit:
            raise ProblemError(503, f"there are {self._limit} {self._what} already: end one of them first")
        self._count += 1
        try:
            response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
            await response.prepare(request)
            with suppress(ConnectionError, TimeoutError):
                await write_events(response)
            return response
        finally:
            self._count -= 1
