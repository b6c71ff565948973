"""The access log as a stream of syslog messages (spec 6.4): framing, both networks, and servers that are not well."""

import json
import os
import re
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastrouter.ipc.messages import SyslogOptions
from fastrouter.logs import syslog
from fastrouter.logs.access import new_outage
from fastrouter.logs.logger import LineWriter, Logger
from fastrouter.logs.syslog import SyslogSink, connect

from .byte_stream import PATIENCE
from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, configuration
from .nats_server import NatsServerProcess
from .raw_backend import ReservedPort
from .router_process import wait_for

COMPLAINT = "error-emitting-access-log-to-writer-syslog"
RECORD = r'unknown\.test - \[.*\] "GET / HTTP/1\.1" 404 0 \d+ .* x_cf_routererror:"unknown_route"'


def framed(app_name: str, record: str) -> str:
    return (
        r"<14>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d) "
        rf"{re.escape(socket.gethostname())} {app_name} \d+ - \ufeff{record}"
    )


class TCPServer:
    """Accepts streams and collects what comes."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(PATIENCE)
        self.port: int = self._listener.getsockname()[1]
        self._streams: list[socket.socket] = []
        self.accepted = 0
        self.received = b""

    def lines(self, count: int) -> list[str]:
        """Wait for so many whole lines on all streams."""

        def whole() -> list[str] | None:
            self._read()
            return lines if len(lines := self.received.decode().split("\n")[:-1]) >= count else None

        return wait_for(whole, f"{count} lines")

    def _read(self) -> None:
        readable, _, _ = select.select([self._listener, *self._streams], [], [], 0)
        for sock in readable:
            if sock is self._listener:
                self._streams.append(sock.accept()[0])
                self.accepted += 1
            elif data := sock.recv(1 << 20):
                self.received += data
            else:
                sock.close()
                self._streams.remove(sock)

    @property
    def streams(self) -> int:
        """How many are open, by what has come so far."""
        self._read()
        return len(self._streams)

    def wait_for_stream(self) -> None:
        wait_for(lambda: self._read() or self._streams, "a connection")  # type: ignore[func-returns-value]

    def hang_up(self) -> None:
        for stream in self._streams:
            stream.close()
        self._streams.clear()

    def close(self) -> None:
        self.hang_up()
        self._listener.close()


@pytest.fixture
def tcp_server(reserved_port: ReservedPort) -> Iterator[TCPServer]:
    """Its port stays its own when it is closed."""
    server = TCPServer(reserved_port.number)
    yield server
    server.close()


@pytest.fixture
def udp_server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(PATIENCE)
        yield server


def streaming(network: str, port: int, **logging: Any) -> dict[str, Any]:
    return {
        "access_log": {"enable_streaming": True},
        "logging": {
            "level": "debug",
            "syslog": "vcap.gorouter",
            "syslog_network": network,
            "syslog_addr": f"127.0.0.1:{port}",
            **logging,
        },
    }


class TestRouter:
    def test_tcp(self, start_gorouter: StartGorouter, tcp_server: TCPServer) -> None:
        router = start_gorouter(**streaming("tcp", tcp_server.port))
        assert router.status_of("unknown.test") == 404
        (line,) = tcp_server.lines(1)
        assert re.fullmatch(framed(r"vcap\.gorouter", RECORD), line)
        assert router.status_of("second.test") == 404
        first, second = tcp_server.lines(2)
        assert first == line
        assert "\ufeffsecond.test - [" in second

    def test_udp(self, start_gorouter: StartGorouter, udp_server: socket.socket) -> None:
        router = start_gorouter(**streaming("udp", udp_server.getsockname()[1]))
        assert router.status_of("unknown.test") == 404
        assert re.fullmatch(framed(r"vcap\.gorouter", RECORD), udp_server.recv(65536).decode())
        assert router.status_of("second.test") == 404
        # One datagram each, so this one follows without another in between.
        assert "\ufeffsecond.test - [" in udp_server.recv(65536).decode()

    def test_both_places_get_the_same(
        self, start_gorouter: StartGorouter, tcp_server: TCPServer, tmp_path: Path
    ) -> None:
        keys = streaming("tcp", tcp_server.port)
        keys["access_log"] |= {"file": str(tmp_path / "access.log"), "format": "json"}
        router = start_gorouter(**keys)
        assert router.status_of("unknown.test") == 404
        (line,) = tcp_server.lines(1)
        text = wait_for(lambda: (tmp_path / "access.log").read_text() or None, "the line")
        assert line.partition("\ufeff")[2] + "\n" == text
        assert json.loads(text)["x_cf_routererror"] == "unknown_route"

    def test_records_are_cut(self, start_gorouter: StartGorouter, udp_server: socket.socket) -> None:
        router = start_gorouter(**streaming("udp", udp_server.getsockname()[1], syslog_truncate=20))
        router.status_of("unknown.test")
        record = udp_server.recv(65536).decode().partition("\ufeff")[2]
        assert re.fullmatch(r"unknown\.test - \[\d{4}", record)

    @pytest.mark.parametrize(
        ("network", "address", "text"),
        [
            ("tcp", None, "dial tcp ADDRESS: connect: connection refused"),
            ("sctp", "127.0.0.1:1", "syslog: invalid network: sctp"),
            ("udp", "nowhere", "dial udp: address nowhere: missing port in address"),
            ("udp", "a..b:1", "dial udp: lookup a..b: no such host"),
            ("udp", "127.0.0.1:x", "dial udp: lookup udp/x: unknown port"),
        ],
    )
    def test_a_server_that_cannot_be_reached_at_the_start(
        self, nats_server: NatsServerProcess, tmp_path: Path, network: str, address: str | None, text: str
    ) -> None:
        with socket.socket() as holder:
            # Bound and not listening, so no other process can be there.
            holder.bind(("127.0.0.1", 0))
            keys = streaming(network, holder.getsockname()[1])
            if address is None:
                text = text.replace("ADDRESS", keys["logging"]["syslog_addr"])
            else:
                keys["logging"]["syslog_addr"] = address
            router = GorouterProcess(tmp_path, configuration(nats_server.port, **keys))
            assert router.wait() == 1
        assert [
            (event["log_level"], event["message"], event["source"], event["data"]) for event in router.events()[-2:]
        ] == [
            (3, "error-creating-syslog-writer", "vcap.gorouter.access-grlog", {"error": text}),
            (3, "error-creating-access-logger", "vcap.gorouter", {"error": text}),
        ]
        assert router.complaints == []

    def test_one_connection_from_the_start_on_for_all_workers(
        self, start_gorouter: StartGorouter, tcp_server: TCPServer
    ) -> None:
        router = start_gorouter(**streaming("tcp", tcp_server.port), go_max_procs=2)
        router.wait_until_started()
        tcp_server.wait_for_stream()
        (first, second) = router.children()
        # Each worker accepts some of them; the lines of both come whole.
        count = 60
        for number in range(count):
            assert router.status_of(f"host-{number}.test") == 404
        lines = tcp_server.lines(count)
        found = [re.fullmatch(framed(r"vcap\.gorouter", r"host-(\d+)\.test - .*"), line) for line in lines]
        assert sorted(int(match[2]) for match in found if match is not None) == list(range(count))
        assert {int(line.split(" ")[4]) for line in lines} == {first, second}
        # A successor has the same one.
        os.kill(first, signal.SIGKILL)
        router.wait_for_event("worker-exited")
        wait_for(lambda: len(router.children()) == 2 or None, "a successor")
        successor = next(pid for pid in router.children() if pid not in (first, second))

        def line_of_successor() -> bool | None:
            assert router.status_of("again.test") == 404
            return any(line.split(" ")[4] == str(successor) for line in tcp_server.lines(count + 1)) or None

        wait_for(line_of_successor, "a line of the successor")
        assert (tcp_server.streams, tcp_server.accepted) == (1, 1)
        assert router.events(COMPLAINT) == []
        router.forgive_deaths(1)

    def test_a_server_that_goes_away_is_one_error_and_traffic_goes_on(
        self, start_gorouter: StartGorouter, tcp_server: TCPServer
    ) -> None:
        router = start_gorouter(**streaming("tcp", tcp_server.port))
        assert router.status_of("unknown.test") == 404
        tcp_server.lines(1)
        tcp_server.close()
        for _ in range(20):
            assert router.status_of("lost.test") == 404
        error = router.wait_for_event(COMPLAINT)
        assert error["log_level"] == 3
        assert error["data"]["error"].startswith(f"write tcp 127.0.0.1:{tcp_server.port}: ")
        again = TCPServer(tcp_server.port)
        try:
            # What waited meanwhile comes, too.
            assert router.status_of("after.test") == 404
            wait_for(lambda: any("\ufeffafter.test" in line for line in again.lines(1)) or None, "the line")
        finally:
            again.close()
        assert len(router.events(COMPLAINT)) == 1


class Sink:
    """A SyslogSink of this process with its own process log."""

    def __init__(
        self, directory: Path, network: str, port: int, connection: socket.socket | None = None, **options: Any
    ) -> None:
        self._path = directory / "process.log"
        self._log = self._path.open("ab", buffering=0)
        self._lines = LineWriter(self._log.fileno())
        self.lost = 0
        address = SyslogOptions(network, f"127.0.0.1:{port}", "app")
        self.sink = SyslogSink(
            address,
            connect(address) if connection is None else connection,
            new_outage(),
            Logger(writer=self._lines),
            on_lost=self._on_lost,
            report_interval=0.0,
            **options,
        )

    def _on_lost(self, count: int) -> None:
        self.lost += count

    def errors(self) -> list[dict[str, Any]]:
        self._lines.flush(PATIENCE)
        return [json.loads(line)["data"] for line in self._path.read_bytes().splitlines()]

    def wait_for_error(self) -> dict[str, Any]:
        return wait_for(lambda: next(iter(self.errors()), None), "an error")

    def close(self) -> None:
        assert self.sink.close(PATIENCE)
        self._lines.flush(PATIENCE)
        self._log.close()


class TestSink:
    def test_a_stream_that_ends_costs_no_line_that_was_not_sent(self, tmp_path: Path, tcp_server: TCPServer) -> None:
        sink = Sink(tmp_path, "tcp", tcp_server.port)
        sink.sink(b"one\ntwo\n")
        assert [line.partition("\ufeff")[2] for line in tcp_server.lines(2)] == ["one", "two"]
        tcp_server.hang_up()
        sink.sink(b"three\nfour\n")
        lines = tcp_server.lines(4)
        assert [line.partition("\ufeff")[2] for line in lines] == ["one", "two", "three", "four"]
        sink.close()
        assert sink.lost == sink.sink.lost_lines == 0

    def test_lines_wait_for_a_server_that_is_not_there(self, tmp_path: Path, tcp_server: TCPServer) -> None:
        port = tcp_server.port
        sink = Sink(tmp_path, "tcp", port)
        tcp_server.close()
        sink.sink(b"early\n")
        error = sink.wait_for_error()
        assert error["error"].startswith(f"write tcp 127.0.0.1:{port}: ")
        assert error["lost_lines"] == 0
        server = TCPServer(port)
        assert [line.partition("\ufeff")[2] for line in server.lines(1)] == ["early"]
        sink.close()
        server.close()
        assert sink.sink.lost_lines == 0

    def test_a_server_that_reads_nothing_fills_the_queue(self, tmp_path: Path, tcp_server: TCPServer) -> None:
        sink = Sink(tmp_path, "tcp", tcp_server.port, max_queued=1 << 20)
        batch = (b"x" * 999 + b"\n") * 512
        sink.sink(b"first\n")
        tcp_server.wait_for_stream()
        # More than the kernel's buffers hold, in any order of events.
        for _ in range(64):
            sink.sink(batch)
        assert sink.lost > 0
        assert sink.lost % 512 == 0
        assert {error["error"].rpartition(": ")[2] for error in sink.errors()} == {"queue is full"}
        received = 1 + 64 * 512 - sink.lost
        assert len(tcp_server.lines(received)) == received
        sink.close()

    def test_half_a_line_ends_the_connection_for_all_who_have_it(
        self, tmp_path: Path, tcp_server: TCPServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(syslog, "PATIENCE", 0.1)
        connection = connect(SyslogOptions("tcp", f"127.0.0.1:{tcp_server.port}", "app"))
        first = Sink(tmp_path, "tcp", tcp_server.port, connection, max_queued=1 << 26)
        (tmp_path / "second").mkdir()
        second = Sink(tmp_path / "second", "tcp", tcp_server.port, connection.dup())
        # More than the kernel's buffers hold, and nobody reads.
        first.sink(b"x" * (1 << 25) + b"\n")
        assert first.wait_for_error() == {
            "error": f"write tcp 127.0.0.1:{tcp_server.port}: i/o timeout",
            "lost_lines": 1,
        }
        second.sink(b"whole\n")
        (text,) = tcp_server.lines(1)
        assert text.endswith("\ufeffwhole")
        assert tcp_server.accepted == 2
        first.close()
        second.close()
        assert (first.lost, second.lost) == (1, 0)

    def test_a_stop_does_not_wait_for_a_server_that_is_not_there(self, tmp_path: Path, tcp_server: TCPServer) -> None:
        sink = Sink(tmp_path, "tcp", tcp_server.port)
        tcp_server.close()
        sink.sink(b"a\nb\n")
        sink.wait_for_error()
        sink.close()
        assert sink.lost == 2

    def test_datagrams_nobody_takes_are_counted(self, tmp_path: Path, udp_server: socket.socket) -> None:
        sink = Sink(tmp_path, "udp", udp_server.getsockname()[1])
        udp_server.close()
        sink.sink(b"a\nb\nc\n")
        # The kernel reports a refused datagram with the next one.
        error = wait_for(lambda: (sink.sink(b"d\n"), next(iter(sink.errors()), None))[1], "an error")  # type: ignore[func-returns-value]
        assert "refused" in error["error"].lower()
        sink.close()
        assert sink.lost > 0

    def test_a_line_too_long_for_a_datagram_is_lost_alone(self, tmp_path: Path, udp_server: socket.socket) -> None:
        sink = Sink(tmp_path, "udp", udp_server.getsockname()[1])
        sink.sink(b"one\n" + b"x" * 70_000 + b"\ntwo\n")
        records = [udp_server.recv(65536).decode().partition("\ufeff")[2] for _ in range(2)]
        sink.close()
        assert records == ["one", "two"]
        assert sink.lost == 1
        (error,) = sink.errors()
        assert error["error"].endswith("message too long")

    def test_many_datagrams(self, tmp_path: Path, udp_server: socket.socket) -> None:
        udp_server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sink = Sink(tmp_path, "udp", udp_server.getsockname()[1])
        received = []
        for begin in range(0, 2000, 50):
            sink.sink(b"".join(b"%d\n" % number for number in range(begin, begin + 50)))
            received += [udp_server.recv(65536).decode().partition("\ufeff")[2] for _ in range(50)]
        sink.close()
        assert received == [str(number) for number in range(2000)]
