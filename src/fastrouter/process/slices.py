"""Long work on the event loop in slices: other work waits for one slice at most."""

import asyncio
import time
from collections.abc import Iterable

# Seconds of work between two turns of the loop.
SLICE = 0.002


class Pace:
    """Keeps the work of one task to slices."""

    def __init__(self) -> None:
        self._until = time.perf_counter() + SLICE

    async def keep(self) -> None:
        """Let the loop have its turn if the slice is over; to be awaited after each small piece of work."""
        if time.perf_counter() >= self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + SLICE


async def in_slices(pieces: Iterable[object]) -> None:
    """Exhaust `pieces`, whose items are made by small pieces of work."""
    pace = Pace()
    for _ in pieces:
        await pace.keep()
