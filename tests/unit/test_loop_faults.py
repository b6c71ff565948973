"""Errors that no code awaits are lines of the process log, whatever they are; stderr stays empty."""

import asyncio
import gc
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fastrouter.logs.logger import MAX_LINE, MAX_TEXT
from fastrouter.logs.loop_faults import log_loop_faults

from .process_log import ProcessLog

TIMEOUT = 20.0


@pytest.fixture
def process_log(tmp_path: Path) -> Iterator[ProcessLog]:
    log = ProcessLog(tmp_path / "log")
    yield log
    log.close()


Provoke = Callable[[Callable[[asyncio.AbstractEventLoop], object]], dict[str, Any]]


@pytest.fixture
def provoke(process_log: ProcessLog, capfd: pytest.CaptureFixture[str]) -> Provoke:
    """Do something in a loop, and return the data of the one line that comes of it."""

    def provoke(cause: Callable[[asyncio.AbstractEventLoop], object]) -> dict[str, Any]:
        loop = uvloop.new_event_loop()
        log_loop_faults(loop, process_log.logger)
        cause(loop)
        loop.run_until_complete(asyncio.sleep(0))
        gc.collect()
        loop.close()
        (record,) = process_log.records()
        assert (record["log_level"], record["message"]) == (3, "loop-exception")
        assert capfd.readouterr().err == ""
        data: dict[str, Any] = record["data"]
        return data

    return provoke


def fail(error: BaseException) -> None:
    raise error


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("never ask")


async def fail_soon() -> None:
    raise ValueError("nobody asks for this")


def test_of_a_callback(provoke: Provoke) -> None:
    data = provoke(lambda loop: loop.call_soon(fail, OSError(107, "Transport endpoint is not connected")))
    assert data["error"] == "transport endpoint is not connected"
    assert data["type"] == "OSError"
    assert "fail" in data["where"]
    assert "in fail\n" in data["stacktrace"]


def test_of_a_task_that_nobody_asks(provoke: Provoke) -> None:
    data = provoke(lambda loop: loop.create_task(fail_soon()))
    assert (data["error"], data["type"]) == ("nobody asks for this", "ValueError")
    assert data["where"] == "Task exception was never retrieved"


def test_without_an_error(provoke: Provoke) -> None:
    data = provoke(lambda loop: loop.call_exception_handler({"message": "something is odd"}))
    assert data == {"error": "something is odd", "type": ""}


def test_without_anything(provoke: Provoke) -> None:
    assert provoke(lambda loop: loop.call_exception_handler({})) == {"error": "", "type": ""}


def test_of_an_error_that_cannot_be_told(provoke: Provoke) -> None:
    data = provoke(lambda loop: loop.call_soon(fail, UnspeakableError()))
    assert (data["error"], data["type"]) == ("UnspeakableError", "UnspeakableError")


def test_of_an_error_with_a_long_text(provoke: Provoke, tmp_path: Path) -> None:
    data = provoke(lambda loop: loop.call_soon(fail, ValueError("x" * 1_000_000)))
    assert data["error"] == "x" * MAX_TEXT + f"... ({1_000_000 - MAX_TEXT} more)"
    assert data["type"] == "ValueError"
    assert (tmp_path / "log").stat().st_size <= MAX_LINE


def test_of_a_worker() -> None:
    """Also before the worker has the options of the process log."""
    program = (
        "import asyncio, sys\n"
        "from fastrouter.worker import process\n"
        "run = process.Worker.run\n"
        "async def faulty(self):\n"
        "    asyncio.get_running_loop().call_soon(lambda: 1 / 0)\n"
        "    await run(self)\n"
        "process.Worker.run = faulty\n"
        "process.main(sys.argv[1:])\n"
    )
    ours, theirs = socket.socketpair()
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program, "worker-0", str(theirs.fileno())],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[theirs.fileno()],
    ) as process:
        theirs.close()
        ours.shutdown(socket.SHUT_WR)
        output, complaints = process.communicate(timeout=TIMEOUT)
    ours.close()
    assert process.returncode == 0
    assert complaints == b""
    (line,) = [json.loads(line) for line in output.splitlines()]
    assert line["message"] == "loop-exception"
    assert (line["data"]["error"], line["data"]["type"]) == ("division by zero", "ZeroDivisionError")
