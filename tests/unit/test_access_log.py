import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastrouter.logs.access import AccessLogFile, FileSink

from .process_log import ProcessLog


class SinkLog(ProcessLog):
    """The process log of a sink."""

    def errors(self) -> list[dict[str, Any]]:
        """Return the data of what was logged."""
        records = self.records()
        assert all(record["message"] == "error-emitting-access-log-to-writer-accesslog" for record in records)
        assert all(record["log_level"] == 3 for record in records)
        return [record["data"] for record in records]


@pytest.fixture
def process_log(tmp_path: Path) -> Iterator[SinkLog]:
    log = SinkLog(tmp_path / "process.log")
    yield log
    log.close()


class GatedWrites:
    """Stands in for os.write on one file: each write waits for `open`, and `answer` may shorten or fail it."""

    def __init__(self, path: Path, answer: Callable[[bytes], bytes]) -> None:
        self._write = os.write
        self._path = path
        self._answer = answer
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, fd: int, data: bytes) -> int:
        if os.readlink(f"/proc/self/fd/{fd}") == str(self._path):
            self.entered.set()
            self.open.wait()
            data = self._answer(bytes(data))
        return self._write(fd, data)


def test_batches_are_appended_in_order(tmp_path: Path, process_log: SinkLog) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"before\n")
    sink = FileSink(AccessLogFile.open(str(path)), process_log.logger)
    batches = [b"%d\n" % number for number in range(1000)]
    for batch in batches:
        sink(batch)
    assert sink.close()
    assert path.read_bytes() == b"before\n" + b"".join(batches)
    assert sink.lost_lines == 0
    assert process_log.errors() == []


def test_the_file_is_created_with_mode_0644(tmp_path: Path, process_log: SinkLog) -> None:
    path = tmp_path / "access.log"
    mask = os.umask(0)
    try:
        FileSink(AccessLogFile.open(str(path)), process_log.logger).close()
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_file_that_cannot_be_opened_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AccessLogFile.open(str(tmp_path / "missing" / "access.log"))


def test_a_full_disk_gives_one_error_line(process_log: SinkLog) -> None:
    sink = FileSink(AccessLogFile.open("/dev/full"), process_log.logger)
    for _ in range(100):
        sink(b"a\nb\n")
    assert sink.close()
    assert sink.lost_lines == 200
    (error,) = process_log.errors()
    assert error == {"error": "write /dev/full: no space left on device", "lost_lines": 2}


def test_the_next_error_line_counts_what_was_lost_meanwhile(process_log: SinkLog) -> None:
    sink = FileSink(AccessLogFile.open("/dev/full"), process_log.logger, report_interval=0.0)
    sink(b"a\n")
    sink(b"b\nc\n")
    assert sink.close()
    assert [error["lost_lines"] for error in process_log.errors()] == [1, 2]


def test_processes_that_share_a_sink_write_one_error_line(process_log: SinkLog) -> None:
    sink = FileSink(AccessLogFile.open("/dev/full"), process_log.logger)
    children = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            sink(b"a\n")
            is_right = sink.close() and sink.lost_lines == 1
            process_log.errors()
            os._exit(0 if is_right else 1)
        children.append(pid)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    assert sink.close()
    assert len(process_log.errors()) == 1


def test_short_writes_are_continued(tmp_path: Path, process_log: SinkLog, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "access.log"
    gate = GatedWrites(path, lambda data: data[:3])
    gate.open.set()
    monkeypatch.setattr(os, "write", gate)
    sink = FileSink(AccessLogFile.open(str(path)), process_log.logger)
    sink(b"first line\nsecond line\n")
    assert sink.close()
    assert path.read_bytes() == b"first line\nsecond line\n"


def test_a_line_torn_by_a_full_disk_swallows_no_other(
    tmp_path: Path, process_log: SinkLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.log"
    answers = iter([b"first l", None])

    def disk_fills_up_once(data: bytes) -> bytes:
        answer = next(answers, data)
        if answer is None:
            raise OSError(28, "No space left on device")
        return answer

    gate = GatedWrites(path, disk_fills_up_once)
    gate.open.set()
    monkeypatch.setattr(os, "write", gate)
    sink = FileSink(AccessLogFile.open(str(path)), process_log.logger)
    sink(b"first line\nlost line\n")
    sink(b"whole line\n")
    assert sink.close()
    assert path.read_bytes() == b"first l\nwhole line\n"
    assert sink.lost_lines == 2


def test_a_slow_disk_drops_whole_batches_beyond_the_bound(
    tmp_path: Path, process_log: SinkLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.log"
    gate = GatedWrites(path, lambda data: data)
    monkeypatch.setattr(os, "write", gate)
    sink = FileSink(AccessLogFile.open(str(path)), process_log.logger, max_queued=10)
    sink(b"1234\n")
    assert gate.entered.wait(30)
    sink(b"6789\n")
    sink(b"x\ny\n")
    assert sink.lost_lines == 2
    gate.open.set()
    assert sink.close(30)
    assert path.read_bytes() == b"1234\n6789\n"
    assert process_log.errors() == [{"error": f"write {path}: queue is full", "lost_lines": 2}]


def test_close_waits_no_longer_than_it_may(
    tmp_path: Path, process_log: SinkLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.log"
    gate = GatedWrites(path, lambda data: data)
    monkeypatch.setattr(os, "write", gate)
    sink = FileSink(AccessLogFile.open(str(path)), process_log.logger)
    sink(b"late\n")
    assert not sink.close(timeout=0.05)
    gate.open.set()
    assert sink.close(30)
    assert path.read_bytes() == b"late\n"


def test_a_path_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        AccessLogFile.open(f"{tmp_path}/access\0.log")


class LockHolder:
    """Another process that locks the record of lost lines, until it is told to unlock it."""

    def __init__(self, outage: int) -> None:
        locked, tell_locked = os.pipe()
        release, self._tell_release = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._tell_release)
            fcntl.lockf(outage, fcntl.LOCK_EX)
            os.write(tell_locked, b"!")
            os.read(release, 1)
            os._exit(0)
        assert os.read(locked, 1) == b"!"
        for descriptor in (locked, tell_locked, release):
            os.close(descriptor)

    def let_go(self) -> None:
        os.close(self._tell_release)
        assert os.waitpid(self._pid, 0)[1] == 0


def test_losing_lines_waits_for_no_other_process(process_log: SinkLog) -> None:
    file = AccessLogFile.open("/dev/null")
    sink = FileSink(file, process_log.logger, max_queued=3)
    holder = LockHolder(file.outage)
    caller = threading.Thread(target=sink, args=(b"too long for the queue\n",), daemon=True)
    caller.start()
    caller.join(30)
    has_returned = not caller.is_alive()
    lost, reported = sink.lost_lines, process_log.errors()
    holder.let_go()
    caller.join(30)
    assert has_returned
    assert (lost, reported) == (1, [])
    # It is reported as soon as the record is free.
    sink(b"again\n")
    assert [error["lost_lines"] for error in process_log.errors()] == [2]
    assert sink.close()


def test_a_writer_that_finds_the_record_held_goes_on(process_log: SinkLog) -> None:
    file = AccessLogFile.open("/dev/full")
    sink = FileSink(file, process_log.logger)
    holder = LockHolder(file.outage)
    sink(b"a\nb\n")
    # The thread of the writer ends: it does not wait for the record, and reports nothing.
    with sink._changed:
        sink._is_closing = True
        sink._changed.notify()
    assert sink._thread is not None
    sink._thread.join(30)
    has_ended = not sink._thread.is_alive()
    holder.let_go()
    assert has_ended
    assert sink.lost_lines == 2
    assert sink.close(30)
    assert process_log.errors() == [{"error": "write /dev/full: lines were lost", "lost_lines": 2}]


def test_without_a_thread_lines_are_lost_and_nothing_is_raised(
    process_log: SinkLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_thread = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "access-log":
            raise RuntimeError("can't start new thread")
        start_thread(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    sink = FileSink(AccessLogFile.open("/dev/null"), process_log.logger)
    sink(b"a\n")
    assert sink.lost_lines == 1
    assert process_log.errors() == [{"error": "write /dev/null: cannot start a thread", "lost_lines": 1}]
    assert sink.close()
