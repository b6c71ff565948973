"""A worker never runs with a stale table: any error with a frame ends it, and the reason is logged."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from fastrouter.control import child_process
from fastrouter.control import workers as supervision
from fastrouter.control.workers import Workers
from fastrouter.ipc.messages import (
    AccessLogOptions,
    BackendTLS,
    Begin,
    Confirm,
    Confirmed,
    Degrade,
    Drain,
    Drained,
    Draining,
    Failed,
    FinishedSpans,
    Inspect,
    Listen,
    Listening,
    Order,
    Pruned,
    Ready,
    ReplaceAccessLog,
    ReplaceTLS,
    Report,
    ServerTLS,
    SetLogLevel,
    SharedColumns,
    TableEnd,
)
from fastrouter.ipc.route_counters import CounterBlock
from fastrouter.ipc.table_changes import Forget, Put, encode_changes

from .process_log import ProcessLog

TIMEOUT = 20.0

_MESSAGE = 0x8000_0000


def message(value: object) -> bytes:
    return message_of(msgspec.msgpack.encode(value))


def message_of(body: bytes) -> bytes:
    return (_MESSAGE | len(body)).to_bytes(4, "big") + body


def batch_of(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


BEGIN = Begin(
    columns=SharedColumns(1, 1, 0, ((1.0,),) * 5),
    counter_block=CounterBlock(1, 2),
    settings={},
    backend_tls=BackendTLS(),
    front_tls=None,
    internal_tls=None,
    proxy_protocol=None,
    route_services=None,
    error_template=None,
    log_source=None,
    log_level=1,
    log_timestamps="unix-epoch",
    access_log=AccessLogOptions(),
)

# One of each kind that a worker cannot follow: nothing has come before it, no descriptor comes with it.
ORDERS: dict[type, msgspec.Struct] = {
    Begin: BEGIN,
    TableEnd: TableEnd(),
    Listen: Listen(("clients",)),
    ReplaceTLS: ReplaceTLS(ServerTLS(())),
    ReplaceAccessLog: ReplaceAccessLog(),
    Drain: Drain(0.0),
    Degrade: Degrade(),
    SetLogLevel: SetLogLevel(99),
    Inspect: Inspect(),
    Confirm: Confirm(1),
}
BATCHES = {
    "no MessagePack": batch_of(b"\xc1"),
    "a change of no known kind": batch_of(msgspec.msgpack.encode([[99, "app.test"]])),
    "more than a frame may have": (256 * 1024 * 1024).to_bytes(4, "big") + b"\xdd",
    "a number that nobody has": next(iter(encode_changes([Forget(7)]))),
}


class TestWorker:
    @pytest.mark.parametrize("kind", typing.get_args(Order))
    def test_an_order_that_it_cannot_follow_ends_it(self, kind: type) -> None:
        assert_ends(message(ORDERS[kind]))

    def test_an_order_that_it_does_not_know_ends_it(self) -> None:
        assert_ends(message(["dance"]))

    def test_an_order_that_cannot_be_read_ends_it(self) -> None:
        assert_ends(message_of(b"\xc1"))

    @pytest.mark.parametrize("name", BATCHES)
    def test_table_changes_that_cannot_be_applied_end_it(self, name: str) -> None:
        assert_ends(BATCHES[name])

    def test_one_route_that_the_data_plane_refuses_costs_no_other(self) -> None:
        ours, theirs = socket.socketpair()
        with run_worker(theirs) as worker:
            ours.send(next(iter(encode_changes([Put("app.test", 3)]))))
            ours.shutdown(socket.SHUT_WR)
            output, _ = worker.communicate(timeout=TIMEOUT)
        ours.close()
        assert worker.returncode == 0
        assert [line["message"] for line in lines_of(output)] == ["table-change-refused"]


def run_worker(end: socket.socket) -> subprocess.Popen[bytes]:
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "fastrouter.worker", "worker-0", str(end.fileno())],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[end.fileno()],
    )
    end.close()
    return worker


def assert_ends(frame: bytes) -> None:
    """Send a worker `frame`, and check that it ends at once and logs why, although its channel stays open."""
    ours, theirs = socket.socketpair()
    with run_worker(theirs) as worker:
        try:
            ours.sendall(frame)
            output, _ = worker.communicate(timeout=TIMEOUT)
        finally:
            worker.kill()
            ours.close()
    assert worker.returncode == 1
    (line,) = lines_of(output)
    assert line["message"] == "worker-failed"
    assert line["data"]["name"] == "worker-0"
    assert line["data"]["error"]


def lines_of(output: bytes) -> list[dict[str, typing.Any]]:
    return [json.loads(line) for line in output.splitlines()]


class FaultyWorkers(Workers):
    """A supervision that cannot handle one kind of report."""

    faulty: type | None = None

    def _apply_report(self, slot: typing.Any, report: Report) -> None:
        if type(report) is self.faulty:
            raise RuntimeError("this is not for me")
        super()._apply_report(slot, report)


class Puppets:
    """Workers that do nothing by themselves: the test speaks for them."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []
        self.ends: list[socket.socket] = []
        self._changed = asyncio.Event()

    def spawn(self, _module: str, _name: str, end: socket.socket) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sleep", "600"])
        self.processes.append(process)
        self.ends.append(end.dup())
        self._changed.set()
        return process

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(TIMEOUT):
            while len(self.processes) < count:
                self._changed.clear()
                await self._changed.wait()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        for end in self.ends:
            end.close()


@pytest.fixture
async def puppets(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Puppets]:
    puppets = Puppets()
    monkeypatch.setattr(child_process, "_spawn_with", puppets.spawn)
    yield puppets
    puppets.close()


@pytest.fixture
def process_log(tmp_path: Path) -> Iterator[ProcessLog]:
    log = ProcessLog(tmp_path / "log")
    yield log
    log.close()


@pytest.fixture
async def start(process_log: ProcessLog, puppets: Puppets) -> AsyncIterator[Callable[[type | None], Workers]]:
    started: list[Workers] = []

    def start(faulty: type | None) -> Workers:
        workers = FaultyWorkers(
            1,
            process_log.logger,
            on_crash_loop=lambda _: None,
            on_prune=lambda _uri, _address: None,
            on_death=lambda _: None,
            counter_block=lambda worker: CounterBlock(1, 2, worker),
        )
        workers.faulty = faulty
        workers.start(BEGIN, [], tuple)
        started.append(workers)
        return workers

    yield start
    for workers in started:
        # They would take their time: nobody listens.
        for process in puppets.processes:
            process.kill()
        await asyncio.wait_for(workers.stop(), TIMEOUT)


REPORTS: dict[type, msgspec.Struct] = {
    Ready: Ready(),
    Listening: Listening(),
    Draining: Draining(0, 0),
    Drained: Drained(),
    Pruned: Pruned("app.test", "10.0.0.1:80"),
    Confirmed: Confirmed(1),
    Failed: Failed("OSError: too many open files"),
    FinishedSpans: FinishedSpans(b"spans", 1, 0),
}

Start = Callable[[type | None], Workers]


class TestControlProcess:
    @pytest.mark.parametrize("kind", typing.get_args(Report))
    async def test_a_report_that_it_cannot_handle_ends_the_worker(
        self, kind: type, start: Start, puppets: Puppets, process_log: ProcessLog
    ) -> None:
        start(kind)
        puppets.ends[0].sendall(message(REPORTS[kind]))
        await puppets.wait_for(2)
        assert_replaced(process_log, "this is not for me")

    @pytest.mark.parametrize(
        "frame",
        [message(["dance"]), message_of(b"\xc1"), batch_of(b"\x90")],
        ids=["unknown", "unreadable", "table changes"],
    )
    async def test_a_report_that_is_none_ends_the_worker(
        self, frame: bytes, start: Start, puppets: Puppets, process_log: ProcessLog
    ) -> None:
        start(None)
        puppets.ends[0].sendall(frame)
        await puppets.wait_for(2)
        assert_replaced(process_log, "")

    async def test_a_worker_that_cannot_be_started_for_want_of_descriptors_is_started_later(
        self, start: Start, puppets: Puppets, process_log: ProcessLog, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.pidfd_open
        failures = [OSError(24, "Too many open files")]

        def pidfd_open(pid: int) -> int:
            if failures:
                raise failures.pop()
            return real(pid)

        monkeypatch.setattr(os, "pidfd_open", pidfd_open)
        start(None)
        await puppets.wait_for(2)
        assert puppets.processes[0].poll() is not None, "nobody would look after it"
        (line,) = process_log.records()
        assert line["data"]["error"] == "cannot be started: too many open files"


class TestUntilApplied:
    async def test_the_changes_go_first_and_those_who_accept_clients_confirm(
        self, start: Start, puppets: Puppets
    ) -> None:
        workers = start(None)
        await be_listening(workers, puppets)
        change = Put("app.test", 3)
        workers.add_change(change)
        waiting = asyncio.create_task(workers.until_applied())
        await asyncio.sleep(0)
        assert puppets.ends[0].recv(65536).endswith(b"".join(encode_changes([change])) + message(Confirm(1)))
        assert not waiting.done()
        puppets.ends[0].sendall(message(Confirmed(1)))
        await asyncio.wait_for(waiting, TIMEOUT)

    async def test_who_accepts_no_clients_yet_is_not_waited_for(self, start: Start) -> None:
        await asyncio.wait_for(start(None).until_applied(), TIMEOUT)

    async def test_nor_who_has_ended(self, start: Start, puppets: Puppets, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(supervision, "APPLY_PATIENCE", 10 * TIMEOUT)
        workers = start(None)
        await be_listening(workers, puppets)
        waiting = asyncio.create_task(workers.until_applied())
        await asyncio.sleep(0)
        puppets.processes[0].kill()
        await asyncio.wait_for(waiting, TIMEOUT)
        await puppets.wait_for(2)
        puppets.ends[1].sendall(message(Listening()))
        await asyncio.wait_for(workers.listen([]), TIMEOUT)
        waiting = asyncio.create_task(workers.until_applied())
        await asyncio.sleep(0)
        puppets.ends[1].sendall(message(Confirmed(2)))
        await asyncio.wait_for(waiting, TIMEOUT)

    async def test_nor_for_ever_who_stands_still(
        self, start: Start, puppets: Puppets, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervision, "APPLY_PATIENCE", 0.0)
        workers = start(None)
        await be_listening(workers, puppets)
        await asyncio.wait_for(workers.until_applied(), TIMEOUT)


async def be_listening(workers: Workers, puppets: Puppets) -> None:
    puppets.ends[0].sendall(message(Listening()))
    await asyncio.wait_for(workers.listen([]), TIMEOUT)


def assert_replaced(process_log: ProcessLog, reason: str) -> None:
    failed, exited = process_log.records()
    assert failed["message"] == "worker-channel-failed"
    assert failed["data"]["name"] == "worker-0"
    assert reason in failed["data"]["error"]
    assert exited["message"] == "worker-exited"
    assert exited["data"]["error"] == "killed by SIGKILL"
