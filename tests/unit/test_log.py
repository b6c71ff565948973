import json
import os
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fastrouter.log import Level, LineWriter, Logger, TimestampFormat


class Pipe:
    """A pipe whose written lines a test can read back."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def logger(
        self, source: str | None = "router", *, level: Level = Level.DEBUG, timestamps: TimestampFormat = "unix-epoch"
    ) -> Logger:
        return Logger(source, level=level, timestamps=timestamps, writer=LineWriter(self.writer))

    def lines(self) -> list[bytes]:
        os.set_blocking(self.reader, False)
        data = b""
        try:
            while chunk := os.read(self.reader, 1 << 20):
                data += chunk
        except BlockingIOError:
            pass
        return data.splitlines(keepends=True)

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
        (OSError(5, "broken"), "[Errno 5] broken"),
        (b"bytes", "b'bytes'"),
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


def test_a_closed_descriptor_is_survived(pipe: Pipe) -> None:
    logger = pipe.logger()
    os.close(pipe.writer)
    logger.info("to nowhere")


def test_a_full_disk_is_survived() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    Logger(writer=LineWriter(full)).info("no space")
    os.close(full)


def test_a_reader_that_stands_still_blocks_nobody_and_is_used_again_when_it_reads(pipe: Pipe) -> None:
    logger = pipe.logger()
    os.set_blocking(pipe.writer, False)
    try:
        while True:
            os.write(pipe.writer, b"x" * 4095 + b"\n")
    except BlockingIOError:
        os.set_blocking(pipe.writer, True)

    def log_much() -> None:
        for _ in range(1000):
            logger.info("lost")

    writer = threading.Thread(target=log_much)
    writer.start()
    writer.join(30)
    assert not writer.is_alive()
    pipe.lines()
    logger.info("heard")
    assert pipe.record()["message"] == "heard"


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
