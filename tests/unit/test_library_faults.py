"""What libraries say through `logging` is in the process log, and nowhere else."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastrouter.logs.library_faults import log_library_faults
from fastrouter.logs.logger import Level

from .process_log import ProcessLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ProcessLog]:
    root = logging.getLogger()
    before = list(root.handlers)
    log = ProcessLog(tmp_path / "log")
    yield log
    log.close()
    root.handlers[:] = before


def test_errors_and_at_level_debug_warnings(log: ProcessLog, capfd: pytest.CaptureFixture[str]) -> None:
    # Of two calls, the later one is in force.
    log_library_faults(log.logger)
    log.logger.level = Level.DEBUG
    log_library_faults(log.logger)
    logging.getLogger("asyncio").warning("returning true from eof_received() has no effect when using ssl")
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling %s", "request")
    warning, error = log.records()
    assert (warning["message"], warning["log_level"]) == ("library-warning", 0)
    assert warning["data"]["library"] == "asyncio"
    assert (error["message"], error["log_level"]) == ("library-error", 3)
    assert error["data"]["text"] == "Error handling request"
    assert "ValueError: x" in error["data"]["stacktrace"]
    assert capfd.readouterr().err == ""
