"""What all streams of server-sent events have in common (WHATWG HTML, 9.2)."""

import asyncio

from aiohttp import web

# Seconds without an event, after which a comment shows that the stream lives.
HEARTBEAT = 15.0
# Seconds that a reader may take nothing of what was written to it.
_PATIENCE = 30.0


async def write(response: web.StreamResponse, data: bytes) -> None:
    """Write to a reader. Raises TimeoutError for one that does not take it."""
    async with asyncio.timeout(_PATIENCE):
        await response.write(data)
