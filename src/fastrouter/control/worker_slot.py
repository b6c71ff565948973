"""A place of a worker: its process while there is one, and what the next process there will need."""

import asyncio
import subprocess
import time
from typing import NamedTuple

from fastrouter.ipc.admin_messages import WorkerFacts
from fastrouter.ipc.channel import Channel
from fastrouter.net.handover import NamedListener

# Bytes of table changes, besides the table itself, that may wait for one worker. At 5,000 registrations a second, that
# is a worker that has stood still for more than half a minute.
MAX_UNSENT = 64 * 1024 * 1024


class DrainCounts(NamedTuple):
    """Client connections when a drain began: with a request in progress, and without."""

    active: int
    idle: int


class WorkerSlot:
    """One worker: its process while there is one, and what the next process will need."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.name = f"worker-{index}"
        self.process: subprocess.Popen[bytes] | None = None
        self.channel: Channel | None = None
        self.exit_watch = -1
        self.listeners: list[NamedListener] = []
        self.is_ready = False
        self.is_listening = False
        # The last Confirm that it has answered, or that was before its table.
        self.confirmed = 0
        self.drain_counts: DrainCounts | None = None
        self.is_drained = False
        # Why it ends, if it has said so.
        self.failure = ""
        self.max_unsent = MAX_UNSENT
        self.started_at = 0.0
        self.crashes = 0
        self.starts = 0
        self.restart: asyncio.TimerHandle | None = None

    def facts(self) -> WorkerFacts:
        """Return what operators are told."""
        if self.process is None:
            return WorkerFacts(self.name, "ended", None, None, self.starts, self.crashes, 0)
        return WorkerFacts(
            self.name,
            "serving" if self.is_listening else "ready" if self.is_ready else "starting",
            self.process.pid,
            time.time() - (time.monotonic() - self.started_at),
            self.starts,
            self.crashes,
            self.channel.unsent if self.channel is not None else 0,
        )
