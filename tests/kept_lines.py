"""A process log for tests that look at what was said, or want nothing of it written."""

import json
from typing import Any

from fastrouter.logs.logger import LineWriter


class KeptLines(LineWriter):
    """Keeps log lines in place of writing them, as they are and parsed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[bytes] = []
        self.records: list[dict[str, Any]] = []

    def write(self, line: bytes) -> None:
        self.lines.append(line)
        self.records.append(json.loads(line))

    def named(self, message: str) -> list[dict[str, Any]]:
        """The data of every line with this message."""
        return [record["data"] for record in self.records if record["message"] == message]
