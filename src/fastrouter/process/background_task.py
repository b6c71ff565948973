"""Work that goes on beside the rest, from a start to a stop."""

import asyncio
from abc import ABC, abstractmethod


class BackgroundTask(ABC):
    """Runs `_run` as a task of the event loop."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin the work, in the next turn of the loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Cancel the work, if it has begun."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    @abstractmethod
    async def _run(self) -> None:
        """Do the work."""
