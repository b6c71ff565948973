import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastrouter.logs.logger import (
    MAX_LINE,
    MAX_MEMBERS,
    MAX_STACK,
    MAX_TEXT,
    MAX_WAITING,
    Level,
    LineWriter,
    Logger,
    TimestampFormat,
)

PATIENCE = 30.0


class Rest:
    """What the writer does between two writes, for as long as the test wants."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.is_over = threading.Event()

    def __call__(self, _seconds: float) -> None:
        self.has_begun.set()
        assert self.is_over.wait(PATIENCE)


class Pipe:
    """A pipe whose written lines a test can read back."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.lines_to_it = LineWriter(self.writer)
        self._unread = b""

    def logger(
        self, source: str | None = "router", *, level: Level = Level.DEBUG, timestamps: TimestampFormat = "unix-epoch"
    ) -> Logger:
        return Logger(source, level=level, timestamps=timestamps, writer=self.lines_to_it)

    def lines(self) -> list[bytes]:
        """Return what was logged so far; all of it must fit into the pipe."""
        self.lines_to_it.flush(PATIENCE)
        return self.read().splitlines(keepends=True)

    def read(self) -> bytes:
        """Return what is in the pipe."""
        os.set_blocking(self.reader, False)
        data, self._unread = self._unread, b""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self.reader, 1 << 20):
                data += chunk
        return data

    def read_until(self, end: bytes) -> bytes:
        """Return what comes out of the pipe, up to and including a line that contains `end`."""
        os.set_blocking(self.reader, True)
        data = bytearray(self._unread)
        while (at := data.find(end)) < 0 or (newline := data.find(b"\n", at + len(end) - 1)) < 0:
            data += os.read(self.reader, 1 << 16)
        os.set_blocking(self.reader, False)
        self._unread = bytes(data[newline + 1 :])
        return bytes(data[: newline + 1])

    def line(self) -> bytes:
        (line,) = self.lines()
        return line

    def record(self) -> Any:
        return json.loads(self.line())


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    for fd in (pipe.reader, pipe.writer):
        try:
            os.close(fd)
        except OSError:
            continue


def test_one_compact_object_per_line_with_keys_in_order(pipe: Pipe) -> None:
    pipe.logger().info("tcp-listener-started", address={"IP": "::", "Port": 8081, "Zone": ""})
    line = pipe.line().decode()
    assert re.fullmatch(
        r'\{"log_level":1,"timestamp":\d+\.\d+,"message":"tcp-listener-started","source":"router",'
        r'"data":\{"address":\{"IP":"::","Port":8081,"Zone":""\}\}\}\n',
        line,
    )


def test_data_is_always_there_and_source_only_if_known(pipe: Pipe) -> None:
    pipe.logger(source=None).info("starting")
    record = pipe.record()
    assert list(record) == ["log_level", "timestamp", "message", "data"]
    assert record["data"] == {}


def test_levels(pipe: Pipe) -> None:
    logger = pipe.logger()
    logger.debug("a")
    logger.info("b")
    logger.warn("c")
    logger.error("d")
    logger.event(2, "e", {"trace-id": "1"})
    records = [json.loads(line) for line in pipe.lines()]
    assert [(record["log_level"], record["message"]) for record in records] == [
        (0, "a"),
        (1, "b"),
        (2, "c"),
        (3, "d"),
        (2, "e"),
    ]
    assert records[-1]["data"] == {"trace-id": "1"}


def test_lines_below_the_level_are_left_out(pipe: Pipe) -> None:
    logger = pipe.logger(level=Level.WARN)
    logger.info("quiet")
    logger.event(1, "quiet", {})
    logger.warn("loud")
    assert pipe.record()["message"] == "loud"


def test_child_source(pipe: Pipe) -> None:
    pipe.logger().child("nats").info("connected")
    assert pipe.record()["source"] == "router.nats"
    pipe.logger(source=None).child("nats").info("connected")
    assert pipe.record()["source"] == "nats"


def test_data_may_have_the_names_of_parameters(pipe: Pipe) -> None:
    pipe.logger().info("name-clash", message="m", level=1, self="s")
    assert pipe.record()["data"] == {"message": "m", "level": 1, "self": "s"}


def test_epoch_timestamps_are_seconds(pipe: Pipe) -> None:
    before = time.time()
    pipe.logger().info("now")
    assert before <= pipe.record()["timestamp"] <= time.time()


def test_rfc3339_timestamps_are_local_time_with_nine_digits_and_z(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_743_501_600_000_000_042)
    monkeypatch.setattr(time, "localtime", time.gmtime)
    pipe.logger(timestamps="rfc3339").info("now")
    assert pipe.record()["timestamp"] == "2025-04-01T10:00:00.000000042Z"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (OSError(5, "broken"), "broken"),
        (b"bytes \xff", "bytes \ufffd"),
        ("\udcff", "\udcff"),
        (2**80, 2**80),
        ("line\nbreak", "line\nbreak"),
    ],
)
def test_no_value_breaks_a_line(pipe: Pipe, value: object, written: object) -> None:
    pipe.logger().info("odd", value=value)
    line = pipe.line()
    assert line.count(b"\n") == 1
    assert b'"message":"odd","source":"router","data":{' in line, "compact, whatever encodes it"
    assert json.loads(line)["data"] == {"value": written}


def test_a_closed_reader_is_survived(pipe: Pipe) -> None:
    logger = pipe.logger()
    os.close(pipe.reader)
    logger.info("to nobody")
    pipe.lines_to_it.flush(PATIENCE)


def test_a_closed_descriptor_is_survived(pipe: Pipe) -> None:
    logger = pipe.logger()
    os.close(pipe.writer)
    logger.info("to nowhere")
    pipe.lines_to_it.flush(PATIENCE)


def test_a_full_disk_is_survived() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    writer = LineWriter(full)
    Logger(writer=writer).info("no space")
    writer.flush(PATIENCE)
    os.close(full)


def test_lines_that_are_held_wait_for_the_end_of_it(pipe: Pipe) -> None:
    logger = pipe.logger()
    logger.info("before")
    assert len(pipe.lines()) == 1
    with logger.held():
        logger.child("other").info("one")
        logger.info("two")
        pipe.lines_to_it.flush(0.05)
        assert pipe.read() == b""
    logger.info("three")
    assert [json.loads(line)["message"] for line in pipe.lines()] == ["one", "two", "three"]


def test_a_fault_ends_the_holding_of_lines(pipe: Pipe) -> None:
    logger = pipe.logger()
    with contextlib.suppress(RuntimeError), logger.held():
        logger.info("one")
        raise RuntimeError("a bug")
    assert len(pipe.lines()) == 1


class TestAReaderThatStandsStill:
    """Logging never blocks: each of these would hang if it waited for a line."""

    def test_what_fits_is_kept_whatever_its_length(self, pipe: Pipe) -> None:
        """A line that is longer than the room of the pipe was what a blocking write waited for."""
        logger = pipe.logger()
        for number in range(40):
            logger.info("long", number=number, stacktrace="x" * MAX_STACK)
        lines = pipe.read_until(b'"number":39')
        assert [json.loads(line)["data"]["number"] for line in lines.splitlines()] == list(range(40))

    def test_lost_lines_are_counted_and_told_once_there_is_room(self, pipe: Pipe) -> None:
        logger = pipe.logger()
        stack = "x" * MAX_STACK
        count = 2 * MAX_WAITING // MAX_STACK
        for number in range(count):
            logger.info("long", number=number, stacktrace=stack)
        records = [json.loads(line) for line in pipe.read_until(b"process-log-lines-lost").splitlines()]
        told = records.pop()
        assert (told["message"], told["log_level"], told["source"]) == ("process-log-lines-lost", 3, "router")
        assert [record["data"]["number"] for record in records] == list(range(len(records)))
        assert told["data"]["lost_lines"] == count - len(records)
        logger.info("heard")
        assert pipe.record()["message"] == "heard"

    def test_the_line_that_tells_stands_where_the_lost_ones_would(self, pipe: Pipe) -> None:
        writer = pipe.lines_to_it
        pipe.logger()
        big = b"x" * (MAX_WAITING // 2) + b"\n"
        writer.write(big)
        writer.write(b"before\n")
        writer.write(big)
        writer.write(big)
        assert pipe.read_until(b"before\n") == big + b"before\n"
        told, after = pipe.read_until(b"process-log-lines-lost"), b"after\n"
        writer.write(after)
        assert json.loads(told)["data"] == {"lost_lines": 2}
        assert pipe.lines() == [after]

    def test_a_disk_that_was_full(self, tmp_path: Path) -> None:
        """Lines that the descriptor refuses are lost, and reported when it takes lines again."""
        full = os.open("/dev/full", os.O_WRONLY)
        writer = LineWriter(full)
        logger = Logger("router", writer=writer)
        for _ in range(3):
            logger.info("lost")
        writer.flush(PATIENCE)
        file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(file, full)
        logger.info("written")
        writer.flush(PATIENCE)
        records = [json.loads(line) for line in (tmp_path / "log").read_bytes().splitlines()]
        assert [(record["message"], record["data"]) for record in records] == [
            ("process-log-lines-lost", {"lost_lines": 3}),
            ("written", {}),
        ]
        os.close(file)
        os.close(full)

    def test_a_descriptor_that_somebody_has_made_non_blocking(self, pipe: Pipe) -> None:
        os.set_blocking(pipe.writer, False)
        logger = pipe.logger()
        for number in range(40):
            logger.info("long", number=number, stacktrace="x" * MAX_STACK)
        lines = pipe.read_until(b'"number":39')
        assert [json.loads(line)["data"]["number"] for line in lines.splitlines()] == list(range(40))


SEVERAL = """
import sys
from fastrouter.logs.logger import LineWriter, Logger
writer = LineWriter(1)
logger = Logger(sys.argv[1], writer=writer)
for number in range(200):
    logger.info("line", number=number, stacktrace=sys.argv[1] * (number * 60))
writer.flush(30)
"""


@pytest.mark.parametrize("is_socket", [False, True], ids=["pipe", "socket"])
def test_lines_of_several_processes_stay_whole_however_long_they_are(is_socket: bool) -> None:
    """Beyond PIPE_BUF the kernel would mix them as soon as the reader is slower than the writers."""
    if is_socket:
        reader, writer = (end.detach() for end in socket.socketpair())
    else:
        reader, writer = os.pipe()
    sources = ["a", "b", "c"]
    processes = [subprocess.Popen([sys.executable, "-c", SEVERAL, source], stdout=writer) for source in sources]
    os.close(writer)
    with open(reader, "rb") as file:
        records = [json.loads(line) for line in file]
    assert [process.wait() for process in processes] == [0, 0, 0]
    for source in sources:
        numbers = [record["data"]["number"] for record in records if record["source"] == source]
        assert numbers == list(range(200))


class TestSizes:
    def test_a_text_is_cut_and_says_how_much(self, pipe: Pipe) -> None:
        pipe.logger().info("m", fits="é" * MAX_TEXT, long="é" * (MAX_TEXT + 7), raw=b"\xff" * (MAX_TEXT + 1))
        assert pipe.record()["data"] == {
            "fits": "é" * MAX_TEXT,
            "long": "é" * MAX_TEXT + "... (7 more)",
            "raw": "\ufffd" * MAX_TEXT + "... (1 more)",
        }

    def test_wherever_it_is(self, pipe: Pipe) -> None:
        long, cut = "x" * (MAX_TEXT + 1), "x" * MAX_TEXT + "... (1 more)"
        pipe.logger().info(long, deep={"list": [long], "error": OSError(long)}, **{long: 1})
        record = pipe.record()
        assert record["message"] == cut
        assert record["data"] == {"deep": {"list": [cut], "error": cut}, cut: 1}

    def test_of_a_stack_the_end_stays(self, pipe: Pipe) -> None:
        pipe.logger().error("panic-check", stacktrace="x" * 10 + "y" * MAX_STACK)
        assert pipe.record()["data"] == {"stacktrace": "(10 more) ..." + "y" * MAX_STACK}

    def test_lists_and_objects_are_cut(self, pipe: Pipe) -> None:
        many = [*range(1000, 1000 + MAX_MEMBERS + 3)]
        pipe.logger().info("m", list=many, tuple=tuple(many), object={str(number): 0 for number in many})
        data = pipe.record()["data"]
        assert data["list"] == data["tuple"] == [*many[:MAX_MEMBERS], "... (3 more)"]
        assert data["object"] == {str(number): 0 for number in many[:MAX_MEMBERS]} | {"...": "(3 more)"}

    @pytest.mark.parametrize(
        "data",
        [
            {str(number): "x" * MAX_TEXT for number in range(MAX_MEMBERS)},
            {"list": ["\0" * MAX_TEXT] * MAX_MEMBERS},
            {"stacktrace": "\0" * MAX_STACK},
            {"list": ["\udcff\U0001f600" * MAX_TEXT] * MAX_MEMBERS},
        ],
    )
    def test_a_line_has_an_end_whatever_is_in_it(self, pipe: Pipe, data: dict[str, Any]) -> None:
        pipe.logger().event(1, "much", data)
        line = pipe.read_until(b"much")
        assert len(line) <= MAX_LINE
        record = json.loads(line)
        assert list(record) == ["log_level", "timestamp", "message", "source", "data"]
        assert list(record["data"]) == ["excerpt"]


def test_lines_of_a_flood_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rest = Rest()
    monkeypatch.setattr("fastrouter.logs.logger.time.sleep", rest)
    reader, written = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with reader, written:
        writer = LineWriter(written.fileno())
        writer.write(b"first\n")
        assert reader.recv(100) == b"first\n"
        assert rest.has_begun.wait(PATIENCE)
        for number in range(9):
            writer.write(b"%d\n" % number)
        rest.is_over.set()
        assert reader.recv(100) == b"".join(b"%d\n" % number for number in range(9))
        writer.flush(PATIENCE)


def test_callers_can_ask_whether_a_level_is_written(pipe: Pipe) -> None:
    logger = pipe.logger(level=Level.WARN).child("registry")
    assert [level for level in Level if logger.is_enabled(level)] == [Level.WARN, Level.ERROR]


def test_level_is_that_of_all_children(pipe: Pipe) -> None:
    parent = pipe.logger("router", level=Level.ERROR)
    child = parent.child("nats")
    child.info("before")
    parent.level = Level.DEBUG
    child.child("deeper").debug("after")
    assert child.level is Level.DEBUG
    assert pipe.record()["message"] == "after"
