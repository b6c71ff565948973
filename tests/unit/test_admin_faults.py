"""The channel between control process and admin process fails closed: any error with a frame ends the admin process."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fastrouter.control import child_process
from fastrouter.control.admin_calls import AdminCalls, CallRefusedError
from fastrouter.control.admin_process import AdminProcess
from fastrouter.ipc.admin_messages import (
    AdminBegin,
    AdminOrder,
    Answer,
    Ask,
    AskMembers,
    AskState,
    Do,
    Happened,
    Refusal,
    Reload,
    TableLoaded,
)
from fastrouter.ipc.messages import SharedColumns
from fastrouter.ipc.route_counters import CounterBlock
from fastrouter.ipc.table_changes import Change, Forget, Put, encode_changes
from fastrouter.registry.route_registry import RouteRegistry

from .process_log import ProcessLog
from .test_worker_faults import TIMEOUT, Puppets, batch_of, message, message_of

BEGIN = AdminBegin(
    columns=SharedColumns(1, 1, 0, ((1.0,),) * 5),
    route_counters=CounterBlock(2, 8),
    pid=1,
    version="0",
    started_at=0.0,
    failure_memory=30.0,
    listeners=("unix",),
    tokens=(),
    hosts=(),
    tls=None,
    client_role="read",
    configuration=b"{}",
    log_source=None,
    log_level=1,
    log_timestamps="unix-epoch",
)


class TestAdminProcess:
    @pytest.mark.parametrize(
        "frame",
        [
            message(["dance"]),
            message_of(b"\xc1"),
            # No descriptor comes with it.
            message(BEGIN),
            # Nothing has come before it.
            message(TableLoaded()),
            message(Happened(1, "a", b"{")),
            message(Happened(99, "a", b"{}")),
            message(Happened(1, "a", b"[]")),
            batch_of(b"\xc1"),
            batch_of(msgspec.msgpack.encode([[99, "app.test"]])),
            (256 * 1024 * 1024).to_bytes(4, "big") + b"\xdd",
            next(iter(encode_changes([Forget(7)]))),
            next(iter(encode_changes([Put("app.test", 7)]))),
        ],
    )
    def test_an_order_that_it_cannot_follow_ends_it(self, frame: bytes) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-m", "fastrouter.admin", "admin", str(theirs.fileno())]
            process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        try:
            ours.sendall(frame)
            output, _ = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
            process.wait()
            ours.close()
        assert process.returncode == 1
        (line,) = [json.loads(line) for line in output.splitlines()]
        assert line["message"] == "admin-process-failed"
        assert line["data"]["error"]


class FakeCalls(AdminCalls):
    """Answers as the test says, and does nothing."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.going_on = asyncio.Event()

    def answer(self, question: Any) -> object:
        if self.error is not None:
            raise self.error
        return question.route if isinstance(question, AskMembers) else "state"

    async def act(self, act: Any, by: str) -> object:
        await self.going_on.wait()
        if self.error is not None:
            raise self.error
        return [type(act).__name__, by]


class Supervised:
    """An admin process that the test speaks for."""

    def __init__(self, puppets: Puppets, log: ProcessLog) -> None:
        self.puppets = puppets
        self.log = log
        self.calls = FakeCalls()
        self.registry = RouteRegistry(log.logger, self.on_change)
        self.process = AdminProcess(log.logger, self.registry, lambda: (BEGIN, []), self.calls, lambda _: None)
        self._buffer = b""
        self._orders = msgspec.msgpack.Decoder(AdminOrder)

    def on_change(self, change: Change) -> None:
        self.process.add_change(change)

    def send(self, frame: bytes) -> None:
        self.puppets.ends[0].sendall(frame)

    async def receive(self, kind: type) -> Any:
        """The next message of this kind."""
        end = self.puppets.ends[0]
        end.setblocking(False)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(TIMEOUT):
            while True:
                while len(self._buffer) >= 4:
                    word = int.from_bytes(self._buffer[:4], "big")
                    size = 4 + (word & 0x7FFF_FFFF)
                    if len(self._buffer) < size:
                        break
                    body, self._buffer = self._buffer[4:size], self._buffer[size:]
                    order = self._orders.decode(body) if word >> 31 else None
                    if isinstance(order, kind):
                        return order
                self._buffer += await loop.sock_recv(end, 65536)


@pytest.fixture
async def supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Supervised]:
    puppets, log = Puppets(), ProcessLog(tmp_path / "log")
    monkeypatch.setattr(child_process, "_spawn_with", puppets.spawn)
    supervised = Supervised(puppets, log)
    supervised.process.start()
    yield supervised
    supervised.calls.going_on.set()
    await supervised.process.stop()
    puppets.close()
    log.close()


class TestControlProcess:
    @pytest.mark.parametrize(
        "frame",
        [
            message(["dance"]),
            message_of(b"\xc1"),
            batch_of(b"\x90"),
            message(["ask", 1, {"type": "reload"}]),
            message(["do", 1, "x", {"type": "set-endpoint-state", "address": 7, "is_draining": True}]),
        ],
        ids=["unknown", "unreadable", "table changes", "an act as a question", "ill-typed"],
    )
    async def test_a_call_that_is_none_ends_it(self, supervised: Supervised, frame: bytes) -> None:
        supervised.send(frame)
        await supervised.puppets.wait_for(2)
        messages = [record["message"] for record in supervised.log.records()]
        assert messages == ["admin-channel-failed", "admin-process-exited"]

    async def test_so_does_one_that_it_cannot_answer(self, supervised: Supervised) -> None:
        supervised.calls.error = RuntimeError("a bug")
        supervised.send(message(Ask(1, AskState())))
        await supervised.puppets.wait_for(2)
        assert "a bug" in supervised.log.records()[0]["data"]["error"]

    async def test_answers_have_the_numbers_of_their_calls(self, supervised: Supervised) -> None:
        supervised.send(message(Do(7, "me", Reload())) + message(Ask(8, AskMembers("a.test"))))
        answer = await supervised.receive(Answer)
        # An act that takes its time holds up nobody.
        assert (answer.number, msgspec.msgpack.decode(answer.body)) == (8, "a.test")
        supervised.calls.going_on.set()
        answer = await supervised.receive(Answer)
        assert (answer.number, msgspec.msgpack.decode(answer.body)) == (7, ["Reload", "me"])
        supervised.calls.error = CallRefusedError(409, "not now")
        supervised.send(message(Ask(9, AskState())) + message(Do(10, "me", Reload())))
        refusals = [await supervised.receive(Refusal) for _ in range(2)]
        assert [(refusal.number, refusal.status, refusal.detail) for refusal in refusals] == [
            (9, 409, "not now"),
            (10, 409, "not now"),
        ]

    async def test_a_bug_of_an_act_is_told_and_costs_nothing_else(self, supervised: Supervised) -> None:
        supervised.calls.error = RuntimeError("a bug")
        supervised.calls.going_on.set()
        supervised.send(message(Do(3, "me", Reload())))
        refusal = await supervised.receive(Refusal)
        assert (refusal.number, refusal.status) == (3, 500)
        (line,) = supervised.log.records()
        assert (line["message"], line["data"]["by"]) == ("admin-act-failed", "me")

    async def test_it_gets_the_table_and_the_news(self, supervised: Supervised) -> None:
        await supervised.receive(AdminBegin)
        await supervised.receive(TableLoaded)
        supervised.process.tell(1, "news", b'{"a":1}')
        happened = await supervised.receive(Happened)
        assert (happened.message, happened.data) == ("news", b'{"a":1}')

    async def test_the_next_one_comes_later_and_later(self, supervised: Supervised) -> None:
        for count in range(1, 4):
            supervised.puppets.processes[-1].kill()
            await supervised.puppets.wait_for(count + 1)
        exits = [record["data"] for record in supervised.log.records()]
        assert [line["restart_in"] for line in exits] == [100_000_000, 200_000_000, 400_000_000]
        assert {line["error"] for line in exits} == {"killed by SIGKILL"}

    async def test_one_that_cannot_be_started_is_started_later(
        self, supervised: Supervised, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = os.pidfd_open
        failures = [OSError(24, "Too many open files")]

        def pidfd_open(pid: int) -> int:
            if failures:
                raise failures.pop()
            return real(pid)

        monkeypatch.setattr(os, "pidfd_open", pidfd_open)
        supervised.puppets.processes[0].kill()
        await supervised.puppets.wait_for(3)
        assert supervised.log.records()[1]["data"]["error"] == "cannot be started: too many open files"
