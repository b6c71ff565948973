"""A stdout that takes nothing, and log lines that clients make as long as they can: routing goes on."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastrouter.logs.logger import MAX_LINE, MAX_TEXT

from .raw_client import RawClient
from .router_process import EXECUTABLE, RouterProcess

PATIENCE = 20.0
# As long as a header can be.
LONG = b"x" * 1_000_000
REQUEST = b"GET / HTTP/1.1\r\nHost: a.test\r\nX-CF-App-Instance: " + LONG + b"\r\n\r\n"


class UnreadRouter:
    """A router whose stdout is read until clients can connect, and no more until `read`."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [
                *(str(EXECUTABLE), "run", "--no-admin", "--listen", "127.0.0.1:0", "--workers", "1"),
                *("--route", "a.test=127.0.0.1:1", "--access-log", str(directory / "access.log")),
            ],
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self._stdout = self.process.stdout
        for line in self._stdout:
            record = json.loads(line)
            if record["message"] == "tcp-listener-started":
                self.port = record["data"]["address"]["Port"]
            if record["message"] == "gorouter.started":
                break

    def read(self) -> list[bytes]:
        """Return all lines up to the end."""
        return self._stdout.readlines()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@pytest.fixture
def router(tmp_path: Path) -> Iterator[UnreadRouter]:
    router = UnreadRouter(tmp_path)
    yield router
    if router.process.poll() is None:
        router.process.kill()
        router.process.wait()
    assert router.process.stdout is not None
    router.process.stdout.close()


def send_long_headers(router: UnreadRouter, count: int) -> None:
    client = RawClient(router.port, patience=PATIENCE)
    for _ in range(count):
        client.send(REQUEST)
        assert client.read_response().status == 400
    client.close()


def test_a_client_makes_no_line_longer_than_is_good(router: UnreadRouter) -> None:
    send_long_headers(router, 3)
    router.process.send_signal(signal.SIGTERM)
    lines = router.read()
    assert all(len(line) <= MAX_LINE for line in lines)
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    errors = [record["data"]["error"] for record in records if record["message"] == "invalid-app-instance-header"]
    text = f"Incorrect X-CF-APP-INSTANCE header : {LONG.decode()}"
    assert errors == [f"{text[:MAX_TEXT]}... ({len(text) - MAX_TEXT} more)"] * 3


def test_requests_are_served_while_nobody_reads(router: UnreadRouter) -> None:
    """Some five times what a pipe holds; then the reader wakes up, and every line is there and whole."""
    count = 80
    send_long_headers(router, count)
    router.process.send_signal(signal.SIGTERM)
    messages = [json.loads(line)["message"] for line in router.read()]
    assert messages.count("invalid-app-instance-header") == count
    assert messages[-2:] == ["gorouter.exited", "exited"]


def test_the_router_stops_while_nobody_reads(router: UnreadRouter) -> None:
    send_long_headers(router, 80)
    assert router.stop() == 0


def test_requests_are_served_when_the_reader_is_gone(router: UnreadRouter) -> None:
    assert router.process.stdout is not None
    router.process.stdout.close()
    send_long_headers(router, 3)
    assert router.stop() == 0


class FaultyRouter(RouterProcess):
    """A router in whose control process a callback fails."""

    command = (
        sys.executable,
        "-P",
        "-c",
        "import asyncio\n"
        "from fastrouter.control import app; from fastrouter import cli\n"
        "run = app.Router.run\n"
        "async def faulty(self):\n"
        "    asyncio.get_running_loop().call_soon(lambda: 1 / 0)\n"
        "    return await run(self)\n"
        "app.Router.run = faulty\n"
        "cli.main()\n",
    )


def test_a_fault_that_nobody_waits_for_is_a_line(tmp_path: Path) -> None:
    router = FaultyRouter({}, tmp_path / "access.log")
    try:
        event = router.wait_for_event("loop-exception")
    finally:
        router.stop()
    assert (event["data"]["error"], event["data"]["type"]) == ("division by zero", "ZeroDivisionError")
    (complaint,) = router.complaints
    assert json.loads(complaint) == event, "and nothing is on stderr"
