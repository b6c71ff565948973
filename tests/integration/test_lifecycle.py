"""`fastrouter -c gorouter.yml` from the first line of its log to its exit code (spec 1.1 to 1.6, P01 to P16)."""

import asyncio
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from .byte_stream import PATIENCE
from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, configuration, get, listening_addresses, register
from .http_message import response_with
from .issuer import Issuer
from .nats_server import NatsServerProcess, RawNatsClient, ScriptedNatsServer
from .processes import is_alive
from .raw_backend import BackendStream, RawBackend, ReservedPort
from .raw_client import RawClient
from .router_process import EXECUTABLE, START_PATIENCE, LoggingProcess, wait_for

# Number of the system call that Python does not have.
PIDFD_GETFD = 438

HOST = "app.test"
SLEEPING = "Sleeping before returning success on /health endpoint to preload routing table"

REQUEST = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2V5\r\n\r\n"
)
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EXECUTABLE, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=20
    )


def serve(router: GorouterProcess, nats: RawNatsClient, backend: RawBackend) -> None:
    """Route app.test to the backend."""
    router.wait_until_started()
    register(nats, backend.address, HOST)
    wait_for(lambda: router.addresses(HOST), "the route")


def begin_request(router: GorouterProcess, backend: RawBackend) -> tuple[RawClient, BackendStream]:
    """A client that waits for its response, and the backend that has the request."""
    client = router.connect()
    client.send(REQUEST)
    stream, _ = backend.accept_request()
    return client, stream


def is_refused(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


class ExpectantRouter(LoggingProcess):
    """Waits for two endpoints before it serves, far longer than a test lasts; its argument is the port of NATS."""

    command = (
        sys.executable,
        "-c",
        "import sys; from fastrouter.control import app; from fastrouter.process import signals\n"
        "from fastrouter.net.address import Address; from fastrouter.bus.bus import BusOptions\n"
        "from fastrouter.logs.logger import Logger; from fastrouter.bus.connection import NatsServer\n"
        "signals.hold(); bus = BusOptions(servers=[NatsServer('127.0.0.1', int(sys.argv[1]))])\n"
        "app.leave(app.run(app.RouterOptions(listen=Address('127.0.0.1', 0), workers=1, settings={}, bus=bus,"
        " start_delay=600.0, expected_endpoints=2), Logger('gorouter')))",
    )


class TestCommandLine:
    """P01."""

    @pytest.mark.parametrize("flags", [("-c", "{}"), ("--c", "{}"), ("-c={}",), ("--c={}",)])
    def test_a_file_that_cannot_be_read(self, flags: tuple[str, ...], tmp_path: Path) -> None:
        path = tmp_path / "missing.yml"
        ended = run(*(flag.format(path) for flag in flags))
        assert (ended.returncode, ended.stderr) == (1, "")
        assert re.fullmatch(
            r'\{"log_level":3,"timestamp":\d+\.\d+,"message":"Error loading config:",'
            rf'"data":\{{"error":"open {path}: no such file or directory"\}}\}}\n',
            ended.stdout,
        )

    def test_a_configuration_that_breaks_a_rule(self, tmp_path: Path) -> None:
        path = tmp_path / "gorouter.yml"
        path.write_text("balancing_algorithm: dice\n")
        ended = run("-c", path)
        assert ended.returncode == 1
        (line,) = ended.stdout.splitlines()
        assert '"message":"Error loading config:"' in line
        assert "Invalid load balancing algorithm dice. Allowed values are [round-robin least-connection]" in line

    @pytest.mark.parametrize("flags", [("-bogus",), ("-c", "x", "--verbose"), ("-c",), ("-workers", "0")])
    def test_unknown_flags_are_told_with_the_usage(self, flags: tuple[str, ...]) -> None:
        ended = run(*flags)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "Usage of fastrouter:" in ended.stderr

    @pytest.mark.parametrize("flag", ["-h", "-help", "--h"])
    def test_help(self, flag: str) -> None:
        ended = run(flag)
        assert (ended.returncode, ended.stdout) == (0, "")
        assert ended.stderr.startswith("Usage of fastrouter:")

    def test_a_log_level_that_is_none_is_a_panic(self, tmp_path: Path) -> None:
        path = tmp_path / "gorouter.yml"
        path.write_text("logging: {level: loud}\n")
        ended = run("-c", path)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert 'unrecognized level: "loud"' in ended.stderr


class TestStart:
    def test_the_lines_come_in_gorouters_order(self, start_gorouter: StartGorouter) -> None:
        """P02."""
        router = start_gorouter(isolation_segments=["is1", "is2"], zone="z1")
        router.wait_until_started()
        assert [(event["message"], event["source"]) for event in router.events()] == [
            ("starting", "gorouter.stdout"),
            ("local-az-set", "gorouter.stdout"),
            ("retrieved-isolation-segments", "gorouter.stdout"),
            ("setting-up-nats-connection", "gorouter.stdout"),
            ("Successfully-connected-to-nats", "gorouter.stdout.nats"),
            ("subscriber-starting", "gorouter.stdout.subscriber"),
            ("subscriber-started", "gorouter.stdout.subscriber"),
            (
                "Sleeping before returning success on /health endpoint to preload routing table",
                "gorouter.stdout.router",
            ),
            ("tcp-listener-started", "gorouter.stdout.router"),
            ("tls-listener-not-enabled", "gorouter.stdout.router"),
            ("gorouter.started", "gorouter.stdout.router"),
        ]
        events = {event["message"]: event for event in router.events()}
        assert events["local-az-set"]["data"] == {"AvailabilityZone": "z1"}
        assert all(isinstance(event["timestamp"], float) for event in router.events())
        assert events["tcp-listener-started"]["data"]["address"]["IP"] == "::"

    def test_lines_that_gorouters_tests_look_for_are_byte_for_byte(
        self, nats_server: NatsServerProcess, tmp_path: Path
    ) -> None:
        path = tmp_path / "out"
        (tmp_path / "gorouter.yml").write_text(
            f"{{port: 0, nats: {{hosts: [{{hostname: localhost, port: {nats_server.port}}}]}}, "
            "status: {port: 0, routes: {port: 0}}, start_response_delay_interval: 0s, "
            "isolation_segments: [is1, is2], logging: {syslog: vcap.gorouter, format: {timestamp: rfc3339}}}"
        )
        with path.open("wb") as out:
            process = subprocess.Popen([EXECUTABLE, "-c", tmp_path / "gorouter.yml"], stdout=out)
        try:
            wait_for(lambda: "gorouter.started" in path.read_text() or None, "the start", START_PATIENCE)
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0
        text = path.read_text()
        assert '"isolation_segments":["is1","is2"]' in text
        assert '"routing_table_sharding_mode":"all"' in text
        assert re.search(r"Successfully-connected-to-nats.*localhost:\d+", text)
        assert re.search(r'"address":\{"IP":"::","Port":\d+,"Zone":""\}', text)
        assert set(re.findall(r'"source":"([^"]*)"', text)) == {
            "vcap.gorouter",
            "vcap.gorouter.FileDescriptor",
            "vcap.gorouter.NATSMonitor",
            "vcap.gorouter.nats",
            "vcap.gorouter.router",
            "vcap.gorouter.subscriber",
        }
        stamps = re.findall(r'"timestamp":(.*?),"', text)
        assert all(re.fullmatch(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"', stamp) for stamp in stamps)

    def test_the_level_of_the_configuration_is_heeded(self, start_gorouter: StartGorouter) -> None:
        router = start_gorouter(logging={"level": "info"})
        router.wait_until_started()
        assert "local-az-set" not in router.messages()

    def test_the_first_line_waits_for_nothing_that_it_does_not_need(self, tmp_path: Path) -> None:
        """The first line must be out within 0.5 s of exec: what is imported before it is counted, not the time."""
        (tmp_path / "gorouter.yml").write_text("port: 8081\n")
        script = (
            "import sys, fastrouter.logs.logger\n"
            "def first_line(self, line):\n"
            "    print(*sys.modules); sys.stdout.flush(); import os; os._exit(0)\n"
            "fastrouter.logs.logger.LineWriter.write = first_line\n"
            "from fastrouter import cli\n"
            "cli.main(['-c', sys.argv[1]])\n"
        )
        loaded = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "gorouter.yml"], capture_output=True, text=True, check=True
        ).stdout.split()
        assert "fastrouter.config" in loaded
        needless = {"asyncio", "uvloop", "nats", "aiohttp", "click", "ssl", "cryptography", "fastrouter._core"}
        assert needless.isdisjoint(loaded)

    def test_the_start_delay(self, start_gorouter: StartGorouter, nats: RawNatsClient) -> None:
        """P03, P04: during one that lasts longer than the test."""
        router = start_gorouter(start_response_delay_interval="600s")
        sleeping = router.wait_for_event(SLEEPING)
        assert sleeping["data"] == {"sleep_time_seconds": 600.0}
        assert router.health() == 503
        assert get(router.health_port, "/is-process-alive-do-not-use-for-loadbalancing")[0] == 200
        register(nats, "127.0.0.1:1", HOST)
        wait_for(lambda: router.addresses(HOST), "a registration during the delay")
        assert not router.events("tcp-listener-started")
        assert len(list(listening_addresses(router.pid))) == 2, "only health and routes"

    def test_the_end_of_the_start_delay(self, start_gorouter: StartGorouter) -> None:
        router = start_gorouter(start_response_delay_interval="1s")
        router.wait_until_started()
        assert wait_for(lambda: True if router.health() == 200 else None, "health")
        (sleeping,), (listening,) = router.events(SLEEPING), router.events("tcp-listener-started")
        assert listening["timestamp"] - sleeping["timestamp"] >= 1.0

    def test_the_start_delay_ends_with_the_last_endpoint_that_is_expected(
        self, nats_server: NatsServerProcess, nats: RawNatsClient, tmp_path: Path
    ) -> None:
        """As the demo has it, whose first client finds all instances."""
        router = ExpectantRouter(str(nats_server.port), access_log=tmp_path / "none")
        try:
            router.wait_for_event("subscriber-started", START_PATIENCE)
            for count in (1, 2):
                assert not router.events("tcp-listener-started")
                register(nats, f"127.0.0.1:{count}", HOST)
                router.wait_for_events("endpoint-registered", count)
            with router.connect() as client:
                client.send(REQUEST)
                assert client.read_response().status == 502
        finally:
            router.stop()

    @pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1])
    def test_a_limit_beyond_the_servers_is_told_of(self, size: int, start_gorouter: StartGorouter) -> None:
        """H08."""
        router = start_gorouter(max_request_header_bytes=size)
        router.wait_until_started()
        warnings = router.events("innefectual-max-header-bytes-value")
        assert [(event["log_level"], event["source"], event["data"]) for event in warnings] == (
            []
            if size == 1 << 20
            else [(2, "gorouter.stdout", {"error": "Values over 1048577 are limited by http.Server"})]
        )
        messages = router.messages()
        if warnings:
            before, after = "Successfully-connected-to-nats", "subscriber-starting"
            assert messages.index(before) < messages.index(warnings[0]["message"]) < messages.index(after)

    def test_access_log_of_the_configuration(self, start_gorouter: StartGorouter, tmp_path: Path) -> None:
        router = start_gorouter(access_log={"file": str(tmp_path / "access.log")})
        assert router.status_of("unknown.test") == 404
        text = wait_for(lambda: (tmp_path / "access.log").read_text() or None, "the line")
        assert text.startswith("unknown.test - [")

    def test_no_pid_file(self, start_gorouter: StartGorouter, tmp_path: Path) -> None:
        """P16."""
        router = start_gorouter(pid_file=str(tmp_path / "gorouter.pid"))
        router.wait_until_started()
        assert list(tmp_path.iterdir()) == []

    def test_health_over_tls(self, start_gorouter: StartGorouter, reserved_port: ReservedPort) -> None:
        import ssl

        import trustme

        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        router = start_gorouter(
            status={
                "enable_nontls_health_checks": False,
                "routes": {"port": 0},
                "tls": {
                    # Port 0 is refused.
                    "port": reserved_port.number,
                    "certificate": b"".join(pem.bytes() for pem in issued.cert_chain_pems).decode(),
                    "key": issued.private_key_pem.bytes().decode(),
                },
            }
        )
        router.wait_until_started()
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with (
            socket.create_connection(("127.0.0.1", router.health_port), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            assert client.version() == "TLSv1.2"
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"


class TestFatal:
    def test_without_nats(self, tmp_path: Path) -> None:
        """P14: three rounds over all servers, then exit code 1."""
        started_at = time.monotonic()
        with ReservedPort() as nobody:
            router = GorouterProcess(tmp_path, configuration(nobody.number))
            assert router.wait() == 1
        assert time.monotonic() - started_at >= 0.2, "two pauses of 0.1 s"
        (error,) = router.events("nats-connection-error")
        assert (error["log_level"], error["source"]) == (3, "gorouter.stdout.nats")
        assert error["data"] == {
            "error": "nats: no servers available for connection",
            "servers": [f"localhost:{nobody.number}"],
        }
        assert router.messages()[-1] == "nats-connection-error"
        assert router.complaints == []

    def test_an_identity_that_openssl_refuses(self, nats_server: NatsServerProcess, tmp_path: Path) -> None:
        """One error of the control process; workers would die of it one after the other."""
        pair = Issuer().pair("router.test")
        broken = "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"
        backends = {"cert_chain": pair.chain + broken, "private_key": pair.key}
        router = GorouterProcess(tmp_path, configuration(nats_server.port, backends=backends))
        assert router.wait() == 1
        (error,) = router.events("client-tls-error")
        assert error["log_level"] == 3
        assert router.messages()[-1] == "client-tls-error"
        assert router.complaints == []

    async def test_nats_closed_for_good(self, tmp_path: Path) -> None:
        """P15: the server turns the connected router away."""
        server = ScriptedNatsServer()
        await server.start()
        router = GorouterProcess(tmp_path, configuration(server.port))
        await asyncio.to_thread(router.wait_until_started)
        server.send(b"-ERR 'Maximum Connections Exceeded'\r\n")
        assert await asyncio.to_thread(router.wait) == 1
        await server.stop()
        (closed,) = router.events("nats-connection-closed")
        assert (closed["log_level"], closed["source"]) == (3, "gorouter.stdout.nats")
        assert router.events("gorouter.exited-with-failure")[0]["log_level"] == 3
        assert router.complaints == []

    @pytest.mark.parametrize("listener", ["routes", "health"])
    def test_a_taken_status_port(self, listener: str, nats_server: NatsServerProcess, tmp_path: Path) -> None:
        with socket.create_server(("0.0.0.0", 0)) as holder:
            port = holder.getsockname()[1]
            status = {"port": 0, "routes": {"port": 0}}
            status |= {"port": port} if listener == "health" else {"routes": {"port": port}}
            router = GorouterProcess(tmp_path, configuration(nats_server.port, status=status))
            assert router.wait() == 1
        (error,) = router.events("initialize-router-error")
        assert (error["log_level"], error["source"]) == (3, "gorouter.stdout")
        host = "127.0.0.1" if listener == "routes" else "0.0.0.0"
        assert error["data"] == {"error": f"listen tcp {host}:{port}: bind: address already in use"}
        assert router.complaints == []

    def test_a_taken_port(self, nats_server: NatsServerProcess, tmp_path: Path) -> None:
        with socket.create_server(("0.0.0.0", 0)) as holder:
            port = holder.getsockname()[1]
            router = GorouterProcess(tmp_path, configuration(nats_server.port, port=port))
            assert router.wait() == 1
        (error,) = router.events("tcp-listener-error")
        assert (error["log_level"], error["source"]) == (3, "gorouter.stdout.router")
        assert error["data"] == {"error": f"listen tcp :{port}: bind: address already in use"}
        assert router.complaints == []

    def test_an_access_log_that_cannot_be_opened(self, nats_server: NatsServerProcess, tmp_path: Path) -> None:
        log = {"file": str(tmp_path / "missing" / "access.log")}
        router = GorouterProcess(tmp_path, configuration(nats_server.port, access_log=log))
        assert router.wait() == 1
        text = f"open {log['file']}: no such file or directory"
        cause, fatal = router.events()[-2:]
        assert (cause["message"], cause["source"]) == ("error-creating-accesslog-file", "gorouter.stdout.access-grlog")
        assert cause["data"] == {"filename": log["file"], "error": text}
        assert (fatal["message"], fatal["source"]) == ("error-creating-access-logger", "gorouter.stdout")
        assert fatal["data"] == {"error": text}
        assert (cause["log_level"], fatal["log_level"]) == (3, 3)

    def test_an_error_template_that_cannot_be_read(self, tmp_path: Path) -> None:
        router = GorouterProcess(tmp_path, configuration(1, html_error_template_file="/nowhere/error.html"))
        assert router.wait() == 1
        (error,) = router.events("new-html-error-template-from-file")
        assert error["data"]["error"] == (
            "Could not read HTML error template file: open /nowhere/error.html: no such file or directory"
        )

    def test_an_error_template_that_is_none(self, tmp_path: Path) -> None:
        template = tmp_path / "error.html"
        template.write_text("<p>\n{{ if .Status }}</p>")
        router = GorouterProcess(tmp_path, configuration(1, html_error_template_file=str(template)))
        assert router.wait() == 1
        (error,) = router.events("new-html-error-template-from-file")
        assert error["data"]["error"] == (
            f"Could not parse HTML error template file: {template}: template: line 2: {{{{if}}}} without {{{{end}}}}"
        )
        assert router.complaints == []

    def test_an_entry_of_the_allow_list_that_is_no_host(self, tmp_path: Path) -> None:
        router = GorouterProcess(tmp_path, configuration(1, route_services_hairpinning_allowlist=["no host"]))
        assert router.wait() == 2
        (error,) = router.events("allowlist-entry-invalid")
        assert "no host" in error["data"]["error"]
        assert router.complaints == []


class TestStop:
    """P05, P12."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_at_once_even_with_a_request_in_progress(
        self, number: int, start_gorouter: StartGorouter, nats: RawNatsClient, backend: RawBackend, tmp_path: Path
    ) -> None:
        log = tmp_path / "access.log"
        router = start_gorouter(drain_wait="600s", access_log={"file": str(log)})
        serve(router, nats, backend)
        client, _ = begin_request(router, backend)
        ports = router.port, router.routes_port, router.health_port
        router.send_signal(number)
        assert router.wait() == 0
        assert client.wait_closed() == b"", "cut, not answered"
        assert log.read_bytes().count(b"\n") == 1, "cut, and logged"
        assert all(is_refused(port) for port in ports)
        # A worker's lines about the request may be written between these.
        endings = [event for event in router.events() if event["message"].endswith((".stopping", ".stopped", "exited"))]
        assert [(event["message"], event["source"]) for event in endings] == [
            ("gorouter.stopping", "gorouter.stdout.router"),
            ("gorouter.stopped", "gorouter.stdout.router"),
            ("gorouter.exited", "gorouter.stdout.router"),
            ("exited", "gorouter.stdout.NATSMonitor"),
            ("exited", "gorouter.stdout.subscriber"),
            ("exited", "gorouter.stdout.FileDescriptor"),
        ]
        assert isinstance(router.events("gorouter.stopped")[0]["data"]["took"], int)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
    def test_during_the_start_delay(self, number: int, start_gorouter: StartGorouter) -> None:
        router = start_gorouter(start_response_delay_interval="600s")
        router.wait_for_event("subscriber-started")
        router.send_signal(number)
        assert router.wait() == 0
        assert "gorouter.started" not in router.messages()
        assert router.messages()[-4:] == ["gorouter.exited", "exited", "exited", "exited"]

    def test_while_nats_is_sought(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            router = GorouterProcess(tmp_path, configuration(mute.getsockname()[1]))
            router.wait_for_event("setting-up-nats-connection")
            router.send_signal(signal.SIGTERM)
            assert router.wait() == 0
        assert router.messages()[-1] == "gorouter.exited"
        assert router.complaints == []

    def test_while_nats_is_away(self, gorouter: GorouterProcess, nats_server: NatsServerProcess) -> None:
        nats_server.kill()
        gorouter.wait_for_event("nats-connection-disconnected")
        gorouter.send_signal(signal.SIGTERM)
        assert gorouter.wait() == 0

    def test_other_signals_have_their_default_effect(self, gorouter: GorouterProcess) -> None:
        workers = gorouter.children()
        gorouter.send_signal(signal.SIGALRM)
        assert gorouter.wait() == -signal.SIGALRM
        wait_gone(workers)


class TestReload:
    def test_what_needs_a_restart_is_named(self, gorouter: GorouterProcess) -> None:
        document = yaml.safe_load(gorouter.config_path.read_text())
        gorouter.config_path.write_text(yaml.safe_dump({**document, "drain_wait": "7s", "nats": {"user": "me"}}))
        gorouter.send_signal(signal.SIGHUP)
        keys = gorouter.wait_for_event("configuration-needs-restart")["data"]["keys"]
        assert {"drain_wait", "nats.user", "nats.hosts"} <= set(keys)
        assert "port" not in keys

    def test_every_fault_of_the_file_is_told_and_nothing_ends(self, gorouter: GorouterProcess) -> None:
        gorouter.config_path.write_text("port: x\nbalancing_algorithm: dice\n")
        gorouter.send_signal(signal.SIGHUP)
        refused = [event["data"] for event in gorouter.wait_for_events("configuration-refused", 2)]
        assert [(data["key"], data["line"]) for data in refused] == [("port", 1), ("balancing_algorithm", 2)]
        assert gorouter.health() == 200

    def test_during_the_start(self, start_gorouter: StartGorouter) -> None:
        """It is done after the start."""
        router = start_gorouter(start_response_delay_interval="1s")
        router.wait_for_event(SLEEPING)
        router.config_path.write_text("port: x\n")
        router.send_signal(signal.SIGHUP)
        router.wait_for_event("configuration-refused")
        messages = router.messages()
        assert messages.index("gorouter.started") < messages.index("configuration-refused")

    def test_a_log_that_was_renamed_is_opened_again(self, start_gorouter: StartGorouter, tmp_path: Path) -> None:
        log, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
        router = start_gorouter(access_log={"file": str(log)}, go_max_procs=2)
        router.wait_until_started()
        assert router.status_of(HOST, "/before") == 404
        wait_for(lambda: "/before" in log.read_text() or None, "the first line")
        log.rename(rotated)
        router.send_signal(signal.SIGHUP)
        assert router.wait_for_event("access-log-reopened")["data"] == {"filename": str(log)}
        # One that is started later has the new file, too.
        os.kill(router.children()[0], signal.SIGKILL)
        router.wait_for_event("worker-exited")
        router.forgive_deaths(1)

        def is_new() -> bool | None:
            router.status_of(HOST, "/after")
            return "/after" in log.read_text() or None

        wait_for(is_new, "a line in the new file")
        router.send_signal(signal.SIGHUP)
        router.send_signal(signal.SIGTERM)
        assert router.wait() == 0
        assert len(router.events("access-log-reopened")) == 1, "the file is the same"
        assert "/before" in rotated.read_text()
        assert "/before" not in log.read_text()


def wait_gone(pids: list[int]) -> None:
    """Wait until none of the processes runs; somebody else reaps them."""
    wait_for(lambda: None if any(is_alive(pid) for pid in pids) else True, "end")


class TestDrain:
    def test_clients_are_served_until_the_wait_is_over(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, backend: RawBackend
    ) -> None:
        """P06."""
        router = start_gorouter(drain_wait="1s", drain_timeout="10s")
        serve(router, nats, backend)
        router.send_signal(signal.SIGUSR1)
        draining = router.wait_for_event("gorouter-draining")
        assert draining["data"] == {"wait_seconds": 1.0, "timeout_seconds": 10.0}
        assert router.health() == 503
        assert get(router.health_port, "/is-process-alive-do-not-use-for-loadbalancing")[0] == 200
        client, stream = begin_request(router, backend)
        stream.send(response_with(b"still here"))
        assert client.read_response().body == b"still here"
        assert router.wait() == 0
        # The worker's debug lines of the request may come anywhere among them.
        assert [event["message"] for event in router.events() if event["log_level"] > 0][-9:] == [
            "gorouter-draining",
            "Draining with 0 outstanding active connections",
            "Draining with 1 outstanding idle connections",
            "gorouter.stopping",
            "gorouter.stopped",
            "gorouter.exited",
            "exited",
            "exited",
            "exited",
        ]
        counted = router.events("Draining with 0 outstanding active connections")[0]
        assert counted["timestamp"] - draining["timestamp"] >= 1.0

    def test_a_request_in_progress_gets_its_whole_response(
        self, gorouter: GorouterProcess, nats: RawNatsClient, backend: RawBackend
    ) -> None:
        """P07, P12."""
        serve(gorouter, nats, backend)
        client, stream = begin_request(gorouter, backend)
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        assert client.read_response_head().status == 200
        port = gorouter.port
        gorouter.send_signal(signal.SIGUSR1)
        gorouter.wait_for_event("Draining with 1 outstanding active connections")
        wait_for(lambda: is_refused(port) or None, "the listener to close")
        assert gorouter.is_running
        stream.send(b"def")
        assert client.read_exactly(6) == b"abcdef"
        assert gorouter.wait() == 0
        assert gorouter.events("router.drain.timed-out") == []

    def test_a_request_that_outlasts_the_timeout_is_cut(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, backend: RawBackend
    ) -> None:
        """P08."""
        router = start_gorouter(drain_timeout="500ms")
        serve(router, nats, backend)
        client, _ = begin_request(router, backend)
        router.send_signal(signal.SIGUSR1)
        assert router.wait() == 0
        assert client.wait_closed() == b""
        messages = router.messages()
        assert messages[messages.index("router.drain.timed-out") + 1] == "gorouter-draining-error"
        (error,) = router.events("gorouter-draining-error")
        assert (error["log_level"], error["data"]) == (3, {"error": "router: Drain timeout"})
        assert messages[-4:] == ["gorouter.exited", "exited", "exited", "exited"]

    def test_idle_connections_are_closed(
        self, gorouter: GorouterProcess, nats: RawNatsClient, backend: RawBackend
    ) -> None:
        """P09: those that are idle, and those that become so."""
        serve(gorouter, nats, backend)
        idle, stream = begin_request(gorouter, backend)
        stream.send(response_with())
        idle.read_response()
        busy = gorouter.connect()
        busy.send(REQUEST)
        stream.read_request()
        gorouter.send_signal(signal.SIGUSR1)
        gorouter.wait_for_event("Draining with 1 outstanding idle connections")
        idle.expect_end()
        assert gorouter.is_running
        stream.send(response_with(b"last"))
        assert busy.read_response().body == b"last"
        busy.expect_end()
        assert gorouter.wait() == 0

    def test_untouched_connections_and_tunnels_do_not_delay_it(
        self, gorouter: GorouterProcess, nats: RawNatsClient, backend: RawBackend
    ) -> None:
        """P10."""
        serve(gorouter, nats, backend)
        untouched = gorouter.connect()
        tunnel = gorouter.connect()
        tunnel.send(UPGRADE)
        stream, _ = backend.accept_request()
        stream.send(SWITCHING)
        assert tunnel.read_response().status == 101
        gorouter.send_signal(signal.SIGUSR1)
        assert gorouter.wait() == 0
        assert not gorouter.events("router.drain.timed-out")
        assert gorouter.events("Draining with 0 outstanding active connections")
        assert gorouter.events("Draining with 0 outstanding idle connections")
        untouched.wait_closed()
        tunnel.wait_closed()

    def test_further_signals_are_ignored(
        self, gorouter: GorouterProcess, nats: RawNatsClient, backend: RawBackend
    ) -> None:
        """P11."""
        serve(gorouter, nats, backend)
        client, stream = begin_request(gorouter, backend)
        gorouter.send_signal(signal.SIGUSR1)
        gorouter.wait_for_event("Draining with 0 outstanding idle connections")
        for number, name in (
            (signal.SIGUSR1, "user defined signal 1"),
            (signal.SIGTERM, "terminated"),
            (signal.SIGINT, "interrupt"),
        ):
            gorouter.send_signal(number)
            wait_for(
                lambda name=name: (
                    [  # type: ignore[misc]
                        event
                        for event in gorouter.events("gorouter.signal.ignored")
                        if event["data"] == {"signal": name}
                    ]
                    or None
                ),
                name,
            )
        assert gorouter.is_running
        stream.send(response_with(b"whole"))
        assert client.read_response().body == b"whole"
        for _ in range(10):
            if gorouter.is_running:
                gorouter.send_signal(signal.SIGUSR1)
        assert gorouter.wait() == 0
        assert gorouter.events("gorouter.stopped")

    def test_a_worker_that_stands_still_does_not_hold_it_up(self, start_gorouter: StartGorouter) -> None:
        router = start_gorouter(drain_timeout="2s")
        router.wait_until_started()
        (worker,) = router.children()
        os.kill(worker, signal.SIGSTOP)
        router.send_signal(signal.SIGUSR1)
        assert router.wait(4 * PATIENCE) == 0
        assert router.messages()[-12:-2] == [
            "gorouter-draining",
            "Draining with 0 outstanding active connections",
            "Draining with 0 outstanding idle connections",
            "router.drain.timed-out",
            "gorouter-draining-error",
            "gorouter.stopping",
            "workers-killed",
            "gorouter.stopped",
            "gorouter.exited",
            "exited",
        ]

    def test_over_all_workers(self, start_gorouter: StartGorouter, nats: RawNatsClient, backend: RawBackend) -> None:
        """Both workers are busy: the counts are sums, and the drain ends with the last request."""
        router = start_gorouter(go_max_procs=2)
        serve(router, nats, backend)
        # The kernel spreads connections by their ports: so many, and each worker has some.
        exchanges = [begin_request(router, backend) for _ in range(16)]
        router.send_signal(signal.SIGUSR1)
        router.wait_for_event("Draining with 16 outstanding active connections")
        for client, stream in exchanges:
            assert router.is_running
            stream.send(response_with(b"done"))
            assert client.read_response().body == b"done"
        assert router.wait() == 0

    def test_a_worker_that_dies_does_not_hold_it_up(
        self, gorouter: GorouterProcess, nats: RawNatsClient, backend: RawBackend
    ) -> None:
        serve(gorouter, nats, backend)
        begin_request(gorouter, backend)
        gorouter.send_signal(signal.SIGUSR1)
        gorouter.wait_for_event("Draining with 1 outstanding active connections")
        (worker,) = gorouter.children()
        os.kill(worker, signal.SIGKILL)
        assert gorouter.wait() == 0


def listening_socket_of(pid: int, port: int) -> socket.socket:
    """A copy of the socket with which another process listens on `port`; needs the right to trace that process."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            copied = libc.syscall(PIDFD_GETFD, pidfd, int(link.name), 0)
            if copied < 0:
                continue
            try:
                candidate = socket.socket(fileno=copied)
            except OSError:
                os.close(copied)
                continue
            is_inet = candidate.family in (socket.AF_INET, socket.AF_INET6)
            is_listening = is_inet and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if is_listening and candidate.getsockname()[1] == port:
                return candidate
            candidate.close()
    finally:
        os.close(pidfd)
    pytest.skip("this machine does not let a process look into its children")


class TestListenerFailure:
    """P13."""

    @pytest.mark.parametrize("workers", [1, 2])
    def test_degrades_and_drains(
        self, workers: int, start_gorouter: StartGorouter, nats: RawNatsClient, backend: RawBackend
    ) -> None:
        router = start_gorouter(go_max_procs=workers, drain_wait="500ms")
        serve(router, nats, backend)
        client, stream = begin_request(router, backend)
        with listening_socket_of(router.pid, router.port) as listener:
            listener.shutdown(socket.SHUT_RDWR)
        failed = router.wait_for_event("Error occurred")
        assert failed["log_level"] == 3
        router.wait_for_event("gorouter-draining")
        assert router.health() == 503
        router.wait_for_event("Draining with 1 outstanding active connections")
        stream.send(response_with(b"whole"))
        assert client.read_response().body == b"whole"
        assert router.wait() == 0


class EasilyBored(GorouterProcess):
    """A router that waits for a worker no longer than for a megabyte."""

    LIMIT = 1_000_000
    command = (
        sys.executable,
        "-c",
        f"from fastrouter import cli; from fastrouter.control import workers; workers.MAX_UNSENT = {LIMIT}; cli.main()",
    )


class TestWorkers:
    def test_a_successor_has_the_whole_table(
        self, gorouter: GorouterProcess, nats: RawNatsClient, backend: RawBackend
    ) -> None:
        serve(gorouter, nats, backend)
        (worker,) = gorouter.children()
        os.kill(worker, signal.SIGKILL)
        # No app registers again: all routes of the successor are from the predecessor.
        client, stream = begin_request(gorouter, backend)
        stream.send(response_with(b"from the successor"))
        assert client.read_response().body == b"from the successor"
        assert gorouter.health() == 200
        (successor,) = gorouter.children()
        assert successor != worker
        gorouter.forgive_deaths(1)

    def test_one_that_stands_still_holds_up_nobody_else(
        self, start_gorouter: StartGorouter, nats: RawNatsClient
    ) -> None:
        router = start_gorouter(go_max_procs=2)
        router.wait_until_started()
        worker = router.children()[0]
        os.kill(worker, signal.SIGSTOP)
        try:
            for number in range(50):
                register(nats, "127.0.0.1:1", *(f"host-{number}-{further}.test" for further in range(100)))
            wait_for(lambda: router.addresses("host-49-99.test"), "the last route")
            assert router.health() == 200
        finally:
            os.kill(worker, signal.SIGCONT)

    def test_one_that_stands_still_for_too_long_is_replaced(
        self, nats_server: NatsServerProcess, nats: RawNatsClient, tmp_path: Path
    ) -> None:
        """What waits for it is bounded; its successor has what it missed."""
        router = EasilyBored(tmp_path, configuration(nats_server.port))
        try:
            router.wait_until_started()
            (worker,) = router.children()
            os.kill(worker, signal.SIGSTOP)
            path = "x" * 500
            sent = 0
            # A hundred KB each, and no more than it takes: the successor is no faster while it starts.
            while not router.events("worker-stuck"):
                register(nats, "127.0.0.1:1", *(f"host-{sent}.test/{number}{path}" for number in range(200)))
                last = f"host-{sent}.test/199{path}"
                wait_for(lambda last=last: router.addresses(last), last, START_PATIENCE)  # type: ignore[misc]
                sent += 1
            stuck = router.wait_for_event("worker-stuck")
            assert stuck["data"]["name"] == "worker-0"
            assert stuck["data"]["unsent_bytes"] > EasilyBored.LIMIT
            router.wait_for_event("worker-exited")
            assert router.status_of("host-0.test", f"/0{path}") == 502
            assert router.status_of(f"host-{sent - 1}.test", f"/199{path}") == 502
            router.forgive_deaths(1)
        finally:
            router.stop()

    def test_signals_are_the_control_processs_business(
        self, gorouter: GorouterProcess, nats: RawNatsClient, backend: RawBackend
    ) -> None:
        """A service manager that signals the whole group reaches workers too."""
        serve(gorouter, nats, backend)
        client, stream = begin_request(gorouter, backend)
        (worker,) = gorouter.children()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
            os.kill(worker, number)
        stream.send(response_with(b"unmoved"))
        assert client.read_response().body == b"unmoved"
        assert gorouter.children() == [worker]

    def test_none_survives_the_control_process(self, gorouter: GorouterProcess) -> None:
        workers = gorouter.children()
        gorouter.send_signal(signal.SIGKILL)
        # The output ends when the last process that holds it does.
        assert gorouter.wait() == -signal.SIGKILL
        wait_gone(workers)


def test_run_drains_as_well(tmp_path: Path, backend: RawBackend) -> None:
    """The static router is the same router."""
    router = LoggingProcess(
        *("run", "--no-admin", "--listen", "127.0.0.1:0", "--workers", "1", "--route", f"{HOST}={backend.address}"),
        access_log=tmp_path / "access.log",
    )
    try:
        router.wait_for_event("gorouter.started")
        client = router.connect()
        client.send(REQUEST)
        stream, _ = backend.accept_request()
        router.send_signal(signal.SIGUSR1)
        router.wait_for_event("Draining with 1 outstanding active connections")
        stream.send(response_with(b"whole"))
        assert client.read_response().body == b"whole"
        assert router.wait() == 0
    finally:
        router.stop()
