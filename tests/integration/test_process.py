"""The real executable as a process: how it starts, what it says, how it ends, and what it leaves behind."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .byte_stream import PATIENCE
from .http_message import response_with
from .processes import children_of, is_alive, state_of
from .raw_backend import BackendStream, ReservedPort, ServingBackend
from .raw_client import RawClient
from .router_process import EXECUTABLE, wait_for

ROOT = Path(__file__).parents[2]


class Process:
    """A `fastrouter` process with its output, line by line."""

    def __init__(self, *arguments: str, **options: Any) -> None:
        self.started_at = time.monotonic()
        self.popen = subprocess.Popen(
            [str(EXECUTABLE), *arguments],
            **{
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                # A group of its own, so that Ctrl-C can be sent to the group as a terminal does.
                "start_new_session": True,
                **options,
            },
        )
        self.pid = self.popen.pid
        self._lines: list[tuple[float, str]] = []
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=read, daemon=True)
            for read, stream in ((self._read_out, self.popen.stdout), (self._read_err, self.popen.stderr))
            if stream is not None
        ]
        for reader in self._readers:
            reader.start()

    def _read_out(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self._lines.append((time.monotonic() - self.started_at, line.decode().rstrip("\n")))

    def _read_err(self) -> None:
        assert self.popen.stderr is not None
        for line in self.popen.stderr:
            self._errors.append(line.decode().rstrip("\n"))

    @property
    def lines(self) -> list[str]:
        return [line for _, line in self._lines]

    @property
    def errors(self) -> list[str]:
        return list(self._errors)

    def events(self, message: str) -> list[dict[str, Any]]:
        records = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [record for record in records if record["message"] == message]

    def event(self, message: str, count: int = 1) -> dict[str, Any]:
        """The `count`th log line with this message; waits for it."""

        def find() -> dict[str, Any] | None:
            has_ended = self.popen.poll() is not None
            if has_ended:
                self._read_to_end()
            found = self.events(message)
            assert found[count - 1 :] or not has_ended, (self.lines, self.errors)
            return found[count - 1] if len(found) >= count else None

        return wait_for(find, f"{message} in {self.lines} {self.errors}", PATIENCE)

    @property
    def port(self) -> int:
        port: int = self.event("tcp-listener-started")["data"]["address"]["Port"]
        return port

    def children(self) -> list[int]:
        return children_of(self.pid)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.popen.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        code = self.popen.wait(PATIENCE)
        self._read_to_end()
        return code

    def _read_to_end(self) -> None:
        """The streams end when the last process that holds them has ended."""
        for reader in self._readers:
            reader.join(PATIENCE)
            assert not reader.is_alive(), "somebody still holds the output"

    def close(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        for stream in (self.popen.stdout, self.popen.stderr):
            if stream is not None:
                stream.close()


Start = Callable[..., Process]


@pytest.fixture
def start() -> Iterator[Start]:
    processes = []

    def start(*arguments: str, **options: Any) -> Process:
        processes.append(Process(*arguments, **options))
        return processes[-1]

    yield start
    for process in processes:
        process.close()


@pytest.fixture
def start_router(start: Start) -> Start:
    def start_router(*arguments: str, workers: int = 1, **options: Any) -> Process:
        return start("run", "--no-admin", "--listen", "127.0.0.1:0", "--workers", str(workers), *arguments, **options)

    return start_router


def answer_mine(stream: BackendStream) -> None:
    stream.read_request()
    stream.send(response_with(b"mine"))


def status_of(port: int, host: str = "unknown.test") -> int:
    """The status of one request on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := client.recv(65536):
            answer += data
    return int(answer.split()[1])


def open_events(demo: Process) -> RawClient:
    """A client of the demo's endless stream, which has begun."""
    client = RawClient(demo.port)
    client.send(b"GET /events HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
    head = client.read_response_head()
    assert (head.status, head.values(b"Content-Type")) == (200, [b"text/event-stream"]), client.received
    return client


def test_a_router_from_start_to_end(start_router: Start) -> None:
    router = start_router()
    router.event("gorouter.started")
    assert status_of(router.port) == 404
    workers = router.children()
    assert len(workers) == 1

    assert router.end() == 0
    assert not any(is_alive(worker) for worker in workers)

    records = [json.loads(line) for line in router.lines]
    assert [record["message"] for record in records] == [
        "starting",
        "tcp-listener-started",
        "tls-listener-not-enabled",
        "gorouter.started",
        "gorouter.stopping",
        "gorouter.stopped",
        "gorouter.exited",
        "exited",
    ]
    assert {record["source"] for record in records[1:-1]} == {"gorouter.stdout.router"}
    assert records[0]["source"] == "gorouter.stdout"
    assert records[-1]["source"] == "gorouter.stdout.FileDescriptor"
    assert isinstance(records[5]["data"]["took"], int)
    assert router.errors == []
    assert re.search(r'"address":\{"IP":"127.0.0.1","Port":\d+,"Zone":""\}', router.lines[1])


def test_ctrl_c_reaches_everybody_and_nobody_complains(start_router: Start) -> None:
    router = start_router(workers=2)
    router.event("gorouter.started")
    os.killpg(router.pid, signal.SIGINT)
    assert router.wait() == 0
    assert router.errors == []
    assert router.events("worker-exited") == []


def test_a_stop_signal_during_the_start_is_kept(start_router: Start) -> None:
    router = start_router(workers=2)
    router.event("starting")
    assert router.end() == 0
    assert len(router.events("gorouter.exited")) == 1


def test_further_signals_change_nothing(start_router: Start) -> None:
    """The worker is stopped (SIGSTOP), so that the stop takes long enough for the second signal to fall into it."""
    router = start_router()
    router.event("gorouter.started")
    (worker,) = router.children()
    os.kill(worker, signal.SIGSTOP)
    router.popen.send_signal(signal.SIGTERM)
    router.event("gorouter.stopping")
    router.popen.send_signal(signal.SIGINT)
    assert router.event("gorouter.signal.ignored")["data"] == {"signal": "interrupt"}
    os.kill(worker, signal.SIGCONT)
    assert router.wait() == 0


def test_a_worker_that_does_not_stop_is_killed(start_router: Start) -> None:
    router = start_router()
    router.event("gorouter.started")
    (worker,) = router.children()
    os.kill(worker, signal.SIGSTOP)
    assert router.end() == 0
    assert router.event("workers-killed")["data"] == {"names": ["worker-0"]}
    assert not is_alive(worker)


def test_a_dead_worker_is_replaced_and_its_socket_lives_on(start_router: Start) -> None:
    router = start_router()
    router.event("gorouter.started")
    (worker,) = router.children()
    os.kill(worker, signal.SIGKILL)
    # Answered by the successor: the control process has kept the socket open all the time.
    assert status_of(router.port) == 404
    exited = router.event("worker-exited")
    assert exited["log_level"] == 3
    assert exited["data"]["name"] == "worker-0"
    assert exited["data"]["error"] == "killed by SIGKILL"
    (successor,) = router.children()
    assert successor != worker
    assert router.end() == 0
    assert len(router.events("gorouter.started")) == 1


def test_the_other_workers_do_not_notice(start_router: Start) -> None:
    router = start_router(workers=2)
    router.event("gorouter.started")
    victim, survivor = router.children()
    os.kill(victim, signal.SIGKILL)
    router.event("worker-exited")
    wait_for(lambda: len(router.children()) == 2 or None, "a successor", PATIENCE)
    assert survivor in router.children()
    assert victim not in router.children()


def test_a_worker_that_crashes_again_and_again_ends_the_router(start_router: Start) -> None:
    router = start_router()
    for crash in range(1, 6):
        (worker,) = wait_for(lambda: router.children() or None, "a worker", PATIENCE)
        os.kill(worker, signal.SIGKILL)
        exited = router.event("worker-exited", crash)
    assert exited["data"]["restart_in"] is None
    assert router.wait() == 1
    (last,) = router.events("gorouter.exited-with-failure")
    assert last["log_level"] == 3
    assert last["data"]["error"] == f"a worker crashed again and again, at last worker-0: {exited['data']['error']}"


def test_workers_end_with_the_control_process(start_router: Start) -> None:
    router = start_router(workers=2)
    router.event("gorouter.started")
    workers = router.children()
    assert len(workers) == 2
    assert router.end(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: None if any(is_alive(worker) for worker in workers) else True, "the end of workers", PATIENCE)


def test_a_worker_that_stands_still_ends_with_the_control_process(start_router: Start) -> None:
    router = start_router()
    router.event("gorouter.started")
    (worker,) = router.children()
    os.kill(worker, signal.SIGSTOP)
    wait_for(lambda: state_of(worker) == "T" or None, "the worker to stop", PATIENCE)
    assert router.end(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: None if is_alive(worker) else True, "the end of the worker", PATIENCE)


def test_clients_are_spread_over_workers_on_one_port(start_router: Start, tmp_path: Path) -> None:
    router = start_router("--access-log", str(tmp_path / "access.log"), workers=2)
    router.event("gorouter.started")
    assert len(router.events("tcp-listener-started")) == 1
    for _ in range(20):
        assert status_of(router.port) == 404
    assert router.end() == 0
    assert len((tmp_path / "access.log").read_text().splitlines()) == 20


def test_the_first_log_line_waits_for_no_more_than_it_needs() -> None:
    script = (
        "import sys, fastrouter.logs.logger\n"
        "def first_line(self, line):\n"
        "    print(*sys.modules); sys.stdout.flush(); import os; os._exit(0)\n"
        "fastrouter.logs.logger.LineWriter.write = first_line\n"
        "from fastrouter import cli\n"
        "cli.main(['run', '--listen', '127.0.0.1:0'])\n"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "click" in loaded
    assert {"asyncio", "uvloop", "nats", "aiohttp", "cryptography"}.isdisjoint(loaded)


def test_ipv6(start: Start) -> None:
    router = start("run", "--no-admin", "--listen", "[::1]:0", "--workers", "1")
    assert router.event("tcp-listener-started")["data"]["address"]["IP"] == "::1"
    with socket.create_connection(("::1", router.port), PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n")
        assert client.recv(12) == b"HTTP/1.1 404"


@pytest.mark.parametrize("holder_shares", [False, True])
def test_a_taken_port_is_an_error_even_if_its_owner_would_share_it(start: Start, holder_shares: bool) -> None:
    with socket.socket() as holder:
        if holder_shares:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        router = start("run", "--listen", f"127.0.0.1:{port}")
        assert router.wait() == 1
    error = router.event("tcp-listener-error")
    assert error["log_level"] == 3
    assert error["data"] == {"error": f"listen tcp 127.0.0.1:{port}: bind: address already in use"}
    assert router.errors == [f"Error: cannot listen on 127.0.0.1:{port}: address already in use"]


def test_an_address_of_another_machine(start: Start) -> None:
    router = start("run", "--listen", "192.0.2.1:8080")
    assert router.wait() == 1
    assert router.errors == ["Error: cannot listen on 192.0.2.1:8080: cannot assign requested address"]


def test_an_access_log_that_cannot_be_opened(start_router: Start, tmp_path: Path) -> None:
    router = start_router("--access-log", str(tmp_path / "missing" / "access.log"))
    assert router.wait() == 1
    error = router.event("error-creating-accesslog-file")
    assert error["log_level"] == 3
    assert error["data"]["error"] == f"open {tmp_path}/missing/access.log: no such file or directory"
    assert router.errors == [
        f"Error: cannot open the access log: open {tmp_path}/missing/access.log: no such file or directory"
    ]


def test_an_access_log_that_cannot_be_written_costs_one_error_line(start_router: Start) -> None:
    router = start_router("--access-log", "/dev/full", workers=2)
    router.event("gorouter.started")
    for _ in range(20):
        assert status_of(router.port) == 404
    message = "error-emitting-access-log-to-writer-accesslog"
    error = router.event(message)
    assert error["source"] == "gorouter.stdout.access-grlog"
    assert error["data"]["error"] == "write /dev/full: no space left on device"
    assert status_of(router.port) == 404
    assert router.end() == 0
    assert len(router.events(message)) == 1


def test_bad_options_exit_with_1_before_anything_starts(start: Start) -> None:
    router = start("run", "--listen", "127.0.0.1:0", "--route", "app.test=nowhere")
    assert router.wait() == 1
    assert router.lines == []
    assert router.errors[-1] == "Error: Invalid value for '--route': 'nowhere' has no port: expected HOST:PORT"


def test_an_unknown_flag_exits_with_2(start: Start) -> None:
    assert start("run", "--bogus").wait() == 2


def test_a_stdout_that_takes_nothing_is_survived(start: Start) -> None:
    """The port is chosen here, because the log that would have it cannot be read."""
    with ReservedPort() as reserved, open("/dev/full", "wb") as full:
        router = start("run", "--no-admin", "--listen", f"127.0.0.1:{reserved.number}", "--workers", "1", stdout=full)
        wait_for(lambda: can_connect(reserved.number) or None, "the router", PATIENCE)
        assert status_of(reserved.number) == 404
        assert router.end() == 0
    assert router.errors == []


def test_a_closed_stdout_is_survived_and_no_log_line_strays_into_a_connection() -> None:
    with ReservedPort() as reserved:
        command = 'exec "$0" run --listen "$1" --workers 1 <&- >&- 2>&-'
        process = subprocess.Popen(["/bin/sh", "-c", command, EXECUTABLE, f"127.0.0.1:{reserved.number}"])
        try:
            wait_for(lambda: can_connect(reserved.number) or None, "the router", PATIENCE)
            assert status_of(reserved.number) == 404
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0


def can_connect(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class TestDemo:
    def test_the_printed_lines_work_and_everything_ends(self, start: Start) -> None:
        demo = start("demo", "--no-admin", "--listen", "127.0.0.1:0")
        wait_for(lambda: any("Ctrl-C stops everything" in line for line in demo.lines) or None, "welcome", PATIENCE)
        assert any(f"fastrouter listens on 127.0.0.1:{demo.port}" in line for line in demo.lines)
        commands = [line.strip() for line in demo.lines if line.strip().startswith("curl ")]
        assert len(commands) == 3
        text, echo, stream = (
            subprocess.run(
                ["/bin/sh", "-c", command.replace("curl ", "curl --silent --show-error --fail ", 1)],
                capture_output=True,
                text=True,
                check=True,
                timeout=PATIENCE,
            ).stdout
            for command in commands
        )
        assert re.fullmatch(r"Hello from instance [012] of demo-app\.\n", text)
        assert re.search(r"piece 1 of 5 .*\n(.*\n)*piece 5 of 5 ", stream)
        received = json.loads(echo)
        assert (received["method"], received["target"], received["body"]) == ("POST", "/echo", "hello")
        assert ["Host", "demo.localhost"] in received["headers"]

        children = demo.children()
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait() == 0
        assert demo.errors == []
        assert not any(is_alive(child) for child in children)

    def test_a_browser_is_told_what_this_is(self, start: Start) -> None:
        demo = start("demo", "--no-admin", "--listen", "127.0.0.1:0")
        wait_for(lambda: any("Ctrl-C stops everything" in line for line in demo.lines) or None, "welcome", PATIENCE)
        for name in ("127.0.0.1", "localhost"):
            with RawClient(demo.port) as client:
                client.send(f"GET / HTTP/1.1\r\nHost: {name}:{demo.port}\r\n\r\n".encode())
                response = client.read_response()
            assert response.status == 200
            assert response.values(b"Content-Type") == [b"text/html; charset=utf-8"]
            assert f'href="http://demo.localhost:{demo.port}/"'.encode() in response.body
        assert demo.end() == 0
        assert demo.errors == []

    def test_an_app_registers_as_the_readme_shows(self, start: Start) -> None:
        section = (ROOT / "README.md").read_text().partition("## Register an app by hand")[2]
        script = re.search(r"<<'EOF'\n(.*?)^EOF$", section, re.DOTALL | re.MULTILINE)
        assert script is not None
        demo = start("demo", "--no-admin", "--listen", "127.0.0.1:0")
        wait_for(lambda: any("Ctrl-C stops everything" in line for line in demo.lines) or None, "welcome", PATIENCE)
        (bus,) = (line.partition("NATS=")[2] for line in demo.lines if "export NATS=" in line)
        (url,) = (match[0] for line in demo.lines if (match := re.search(r"http://demo:demo@\S+/routes", line)))
        with ServingBackend(answer_mine) as backend:
            text = script[1].replace('"port": 9000', f'"port": {backend.port}')
            subprocess.run([sys.executable, "-c", text], env={**os.environ, "NATS": bus}, check=True, timeout=PATIENCE)
            wait_for(lambda: status_of(demo.port, "mine.localhost") == 200 or None, "the app", PATIENCE)
            table = subprocess.run(["curl", "--silent", url], capture_output=True, check=True, timeout=PATIENCE).stdout
        assert sorted(json.loads(table)) == ["127.0.0.1", "demo.localhost", "localhost", "mine.localhost"]
        assert demo.end() == 0
        assert demo.errors == []

    def test_nothing_outlives_a_demo_that_is_killed(self, start: Start) -> None:
        demo = start("demo", "--no-admin", "--listen", "127.0.0.1:0")
        demo.event("gorouter.started")
        family = [pid for child in demo.children() for pid in (child, *children_of(child))]
        assert len(family) >= 3, "apps, their NATS server, a worker"
        assert demo.end(signal.SIGKILL) == -signal.SIGKILL
        wait_for(lambda: None if any(is_alive(pid) for pid in family) else True, "their end", PATIENCE)

    def test_every_instance_responds_from_the_first_request_on(self, start: Start) -> None:
        demo = start("demo", "--no-admin", "--listen", "127.0.0.1:0")
        demo.event("gorouter.started")
        seen = set()
        for _ in range(12):
            with RawClient(demo.port) as client:
                client.send(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\n\r\n")
                seen.add(client.read_response().body)
        assert seen == {b"Hello from instance %d of demo-app.\n" % index for index in range(3)}
        assert demo.end() == 0

    def test_open_streams_do_not_hold_up_the_end(self, start: Start) -> None:
        demo = start("demo", "--no-admin", "--listen", "127.0.0.1:0")
        demo.event("gorouter.started")
        with open_events(demo) as client:
            client.read_until(b"id: 2")
            assert demo.end() == 0
        assert demo.errors == []

    def test_who_leaves_an_open_stream_is_not_complained_of(self, start: Start) -> None:
        demo = start("demo", "--no-admin", "--listen", "127.0.0.1:0")
        demo.event("gorouter.started")
        open_events(demo).reset()
        with open_events(demo) as client:
            # All instances keep the same pace: the one that was left has noticed.
            client.read_until(b"id: 4")
        assert demo.end() == 0
        assert demo.errors == []

    def test_a_taken_port_is_named(self, start: Start) -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            demo = start("demo", "--no-admin", "--listen", f"127.0.0.1:{port}")
            assert demo.wait() == 1
        assert demo.errors == [f"Error: cannot listen on 127.0.0.1:{port}: address already in use"]

    async def test_websocket(self, start: Start) -> None:
        from websockets.asyncio.client import connect

        demo = start("demo", "--no-admin", "--listen", "127.0.0.1:0")
        demo.event("gorouter.started")
        async with connect(
            "ws://demo.localhost/ws", host="127.0.0.1", port=demo.port, proxy=None, open_timeout=PATIENCE
        ) as websocket:
            await websocket.send("hello")
            assert await websocket.recv() == "hello"
            await websocket.send(b"\x00\x01")
            assert await websocket.recv() == b"\x00\x01"
        assert demo.end() == 0
