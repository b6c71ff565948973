"""A process log that is a file, for tests that read it while the one who logs lives on."""

import json
import os
from pathlib import Path
from typing import Any

from fastrouter.logs.logger import LineWriter, Logger

PATIENCE = 30.0


class ProcessLog:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._writer = LineWriter(self._fd)
        self.logger = Logger(writer=self._writer)

    def records(self) -> list[dict[str, Any]]:
        """Return what was logged, once all of it is written."""
        self._writer.flush(PATIENCE)
        return [json.loads(line) for line in self._path.read_text().splitlines()]

    def close(self) -> None:
        # The thread that writes must not meet a descriptor that is somebody else's by then.
        self._writer.flush(PATIENCE)
        os.close(self._fd)
