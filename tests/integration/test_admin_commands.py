"""The commands that ask a router that runs, with the real executable on both sides, in a pipe."""

import json
import os
import re
import signal
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from config_rules import Pems

from .gorouter_process import GorouterProcess, configuration, get, register
from .nats_server import NatsServerProcess, RawNatsClient
from .processes import children_of, command_of
from .raw_backend import AnsweringBackend, BackendStream, ServingBackend
from .router_process import EXECUTABLE, RouterProcess, wait_for

Ran = subprocess.CompletedProcess[str]

OK, REFUSED, NO_ROUTER, ANSWER_IS_NO = 0, 1, 3, 4


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        patch.delenv("FASTROUTER_SOCKET", raising=False)
        yield


def ask(router: RouterProcess | GorouterProcess, *arguments: str) -> Ran:
    """Run a command that finds the socket of this router by itself, whoever else runs one on this machine."""
    return fastrouter(*arguments, "--pid", str(router.pid))


def fastrouter(*arguments: str) -> Ran:
    return subprocess.run([EXECUTABLE, *arguments], capture_output=True, text=True, check=False, timeout=60)


def done(ran: Ran) -> str:
    assert (ran.returncode, ran.stderr) == (OK, ""), ran
    return ran.stdout


def objects(ran: Ran) -> list[Any]:
    return [json.loads(line) for line in done(ran).splitlines()]


@pytest.fixture(scope="module")
def backend() -> Iterator[AnsweringBackend]:
    with AnsweringBackend(b"one") as backend:
        yield backend


@pytest.fixture(scope="module")
def router(backend: AnsweringBackend, environment: None) -> Iterator[RouterProcess]:
    del environment
    routes = {"a.test": [backend.address], "a.test/api": [backend.address, "127.0.0.1:2"], "b.test": ["127.0.0.1:1"]}
    router = RouterProcess(routes, Path("/dev/null"), has_admin=True)
    wait_for(
        lambda: json.loads(ask(router, "status", "--json").stdout or "{}").get("table_loaded") or None, "the table"
    )
    yield router
    router.stop()
    assert router.complaints == []


def test_status(router: RouterProcess) -> None:
    facts = dict(line.split("  ", 1) for line in done(ask(router, "status")).splitlines())
    assert facts["state"].strip() == "serving, healthy"
    assert f"process {router.pid}," in facts["router"]
    assert facts["NATS"].strip() == "none"
    (overview,) = objects(ask(router, "status", "--json"))
    assert overview["pid"] == router.pid


def test_a_router_that_is_not_there(tmp_path: Path) -> None:
    nobody = fastrouter("status", "--socket", str(tmp_path / "none.sock"))
    assert (nobody.returncode, nobody.stdout) == (NO_ROUTER, "")
    assert nobody.stderr == f"Error: no router answers at {tmp_path}/none.sock: no such file or directory\n"
    unknown = fastrouter("routes", "ls", "--pid", "1")
    assert (unknown.returncode, unknown.stdout, unknown.stderr) == (
        NO_ROUTER,
        "",
        "Error: process 1 has no admin socket\n",
    )
    assert fastrouter("status", "--bogus").returncode == 2


def test_routes_are_listed_whole(router: RouterProcess) -> None:
    lines = done(ask(router, "routes", "ls")).splitlines()
    assert [line.split() for line in lines] == [
        ["ROUTE", "ENDPOINTS", "DRAINING", "FAILED", "IN-FLIGHT", "APPS"],
        ["a.test", "1", "0", "0", "0", "-"],
        ["a.test/api", "2", "0", "0", "0", "-"],
        ["b.test", "1", "0", "0", "0", "-"],
    ]
    assert "\x1b" not in "".join(lines)
    found = objects(ask(router, "routes", "ls", "A.TEST", "--sort", "endpoints", "--limit", "1", "--json"))
    assert [route["route"] for route in found] == ["a.test/api"]


def test_a_route(router: RouterProcess, backend: AnsweringBackend) -> None:
    shown = done(ask(router, "routes", "get", "A.test/api"))
    assert [line.split()[0] for line in shown.splitlines()[-2:]] == [backend.address, "127.0.0.1:2"]
    (route,) = objects(ask(router, "routes", "get", "a.test/api", "--json"))
    assert route["total"] == 2
    none = ask(router, "routes", "get", "none.test")
    assert (none.returncode, none.stdout, none.stderr) == (ANSWER_IS_NO, "", "Error: there is no route none.test\n")


def test_static_routes_come_and_go(router: RouterProcess, backend: AnsweringBackend, tmp_path: Path) -> None:
    route = f"new.test/{'long-' * 40}"
    added = done(ask(router, "routes", "add", route, backend.address, "--app-id", "app-1"))
    assert added.startswith("1 changed, 0 removed, ")
    assert get(router.port, f"/{'long-' * 40}", Host="new.test") == (200, b"one")
    assert f"{route}  1" in done(ask(router, "routes", "ls", "--app", "app-1"))

    saved = tmp_path / "saved.yml"
    done(ask(router, "routes", "save", str(saved)))
    routes = yaml.safe_load(saved.read_text())["routes"]
    assert {"route": route, "app_id": "app-1", "endpoints": [{"address": backend.address}]} in routes

    assert objects(ask(router, "routes", "rm", route, "--json"))[0]["removed"] == 1
    assert ask(router, "routes", "rm", route).returncode == ANSWER_IS_NO
    saved.write_text(yaml.safe_dump({"routes": [one for one in routes if one["route"] == route]}))
    assert done(ask(router, "routes", "load", str(saved))) == "1 routes\n"
    assert get(router.port, f"/{'long-' * 40}", Host="new.test") == (200, b"one")
    history = done(ask(router, "routes", "get", route, "--history")).splitlines()
    assert [line.split()[1] for line in history[:2]] == ["endpoint-added", "route-added"]
    done(ask(router, "routes", "rm", route))

    saved.write_text("routes: [{route: a.test, endpoints: []}]")
    refused = ask(router, "routes", "load", str(saved))
    assert refused.returncode == REFUSED
    assert "routes[0].endpoints" in refused.stderr


def test_changes_are_watched(router: RouterProcess, backend: AnsweringBackend) -> None:
    done(ask(router, "routes", "add", "past.test", backend.address))
    done(ask(router, "routes", "rm", "past.test"))
    past = objects(ask(router, "routes", "watch", "--past", "--count", "1", "--json"))
    assert past[0]["kind"].startswith(("route-", "endpoint-"))
    watching = subprocess.Popen(
        [EXECUTABLE, "routes", "watch", "watched.test", "--count", "2", "--pid", str(router.pid)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:

        def is_over() -> bool | None:
            # Until it listens, nobody is there to see.
            done(ask(router, "routes", "add", "watched.test", backend.address))
            done(ask(router, "routes", "rm", "watched.test"))
            return watching.poll() == 0 or None

        wait_for(is_over, "two changes")
        assert watching.stdout is not None
        assert all(" watched.test" in line for line in watching.stdout.read().splitlines())
    finally:
        watching.kill()
        watching.wait()


def test_a_reader_that_has_seen_enough(router: RouterProcess) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        piped = subprocess.run(
            [EXECUTABLE, "routes", "ls", "--pid", str(router.pid)],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    # Nothing is said of it, but not all was printed.
    assert (piped.returncode, piped.stderr) == (1, "")


class HoldingBackend(ServingBackend):
    """Keeps whoever asks waiting until it may respond."""

    def __init__(self) -> None:
        self.is_asked, self.may_respond = threading.Event(), threading.Event()
        super().__init__(self._hold)

    def _hold(self, stream: BackendStream) -> bool:
        stream.read_request()
        self.is_asked.set()
        self.may_respond.wait(60)
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True


def test_endpoints_are_drained(router: RouterProcess) -> None:
    with HoldingBackend() as slow:
        done(ask(router, "routes", "add", "slow.test", slow.address))
        client = router.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: slow.test\r\n\r\n")
        assert slow.is_asked.wait(60)
        busy = ask(router, "endpoints", "drain", slow.address, "--wait", "--timeout", "0")
        assert (busy.returncode, busy.stdout) == (ANSWER_IS_NO, f"{slow.address} is draining, 1 requests in flight\n")
        slow.may_respond.set()
        assert client.read_response().status == 200
        drained = done(ask(router, "endpoints", "drain", slow.address, "--wait"))
        assert drained == f"{slow.address} is draining, 0 requests in flight\n"
        assert "draining" in done(ask(router, "routes", "get", "slow.test"))
        assert objects(ask(router, "endpoints", "undrain", slow.address, "--json"))[0]["state"] == "active"
        done(ask(router, "routes", "rm", "slow.test"))
    assert ask(router, "endpoints", "drain", "127.0.0.1:65000").returncode in (REFUSED, ANSWER_IS_NO)


def test_the_level_of_the_process_log(router: RouterProcess) -> None:
    assert done(ask(router, "log-level")) == "info\n"
    assert done(ask(router, "log-level", "debug", "--for", "600")) == "debug\n"
    (now,) = objects(ask(router, "log-level", "--json"))
    assert now["level"] == "debug"
    assert now["until"] is not None
    assert done(ask(router, "log-level", "info")) == "info\n"


def test_why_this_route(router: RouterProcess, backend: AnsweringBackend) -> None:
    """As docs/operations.md has it."""
    lines = done(ask(router, "explain", "a.test/api/x")).splitlines()
    assert [line.split(maxsplit=1) for line in lines[:4]] == [
        ["request", "GET http://a.test/api/x"],
        ["route", "a.test/api, by host a.test and path /api"],
        ["algorithm", "round-robin, the router's own"],
        ["endpoints", "2"],
    ]
    # Nobody has asked for it before, and a round begins anywhere.
    assert lines[4].split(maxsplit=1) == ["choice", "one of 2, as chance decides"]
    assert [re.split("  +", line)[:2] for line in sorted(lines[7:])] == [
        [address, "possible, chance decides"] for address in sorted([backend.address, "127.0.0.1:2"])
    ]

    (told,) = objects(ask(router, "explain", "http://x.test/", "-X", "HEAD", "-H", "Host: b.test", "--json"))
    assert (told["route"], told["chosen"]) == ("b.test", ["127.0.0.1:1"])


def test_why_no_route(router: RouterProcess) -> None:
    none = ask(router, "explain", "http://none.test/")
    assert (none.returncode, none.stderr) == (ANSWER_IS_NO, "Error: the router answers by itself, with 404\n")
    message = "none: 404 Not Found: Requested route ('none.test') does not exist. (unknown_route)"
    assert none.stdout.splitlines()[-1].split(maxsplit=1) == ["choice", message]
    wrong = ask(router, "explain", "ftp://a.test/")
    assert (wrong.returncode, wrong.stdout) == (REFUSED, "")
    assert "not a URL of http or https" in wrong.stderr
    bad = ask(router, "explain", "a.test", "-H", "no header")
    assert (bad.returncode, "'no header' is no header" in bad.stderr) == (REFUSED, True)


def test_requests_under_way(router: RouterProcess) -> None:
    with HoldingBackend() as slow:
        done(ask(router, "routes", "add", "slow.test", slow.address))
        client = router.connect()
        client.send(f"GET /{'long-' * 40} HTTP/1.1\r\nHost: slow.test\r\n\r\n".encode())
        try:
            assert slow.is_asked.wait(60)
            heading, row = done(ask(router, "requests")).splitlines()
            assert heading.split()[:6] == ["AGE", "STATE", "METHOD", "URL", "ENDPOINT", "TRIES"]
            assert f"  sent   GET     slow.test/{'long-' * 40}  {slow.address}  1 " in row
            (request,) = objects(ask(router, "requests", "--older-than", "0.001", "--json"))
            assert (request["route"], request["endpoint"], request["state"]) == ("slow.test", slow.address, "sent")
            assert objects(ask(router, "requests", "--older-than", "3600", "--json")) == []
        finally:
            slow.may_respond.set()
        assert client.read_response().status == 200
        done(ask(router, "routes", "rm", "slow.test"))


def test_routes_that_stand_out(router: RouterProcess) -> None:
    assert get(router.port, "/", Host="b.test")[0] == 502
    assert get(router.port, "/", Host="a.test")[0] == 200

    def standing_out(by: str, route: str) -> Any:
        found = objects(ask(router, "top", "--by", by, "--window", "3600", "--json"))
        return next((one for one in found if one["route"] == route), None)

    assert wait_for(lambda: standing_out("errors", "b.test"), "the one that fails")["errors"] == 1.0
    assert wait_for(lambda: standing_out("rps", "a.test"), "the other one")["errors"] == 0.0
    lines = done(ask(router, "top", "--by", "errors", "--window", "3600", "-n", "1")).splitlines()
    assert lines[0].split() == ["REQ/S", "ERRORS", "MEDIAN", "99%", "IN-FLIGHT", "RETRIES/S", "ROUTE"]
    assert (len(lines), lines[1].split()[1], lines[1].split()[-1]) == (2, "100.00%", "b.test")


def test_top_is_drawn_again_on_a_terminal(router: RouterProcess) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        live = subprocess.Popen(
            [EXECUTABLE, "top", "--pid", str(router.pid)], stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        try:
            shown = b""
            # Home, and a whole table, twice.
            while shown.count(b"\x1b[H") < 2 or not shown.endswith(b"\x1b[J"):
                shown += screen.read(65536)
            assert b"REQ/S" in shown.split(b"\x1b[H")[2]
            live.send_signal(signal.SIGINT)
            assert live.wait(60) == OK
        finally:
            live.kill()
            live.wait()
        once = subprocess.run(
            [EXECUTABLE, "top", "--once", "--pid", str(router.pid)], capture_output=True, check=False, timeout=60
        )
        assert (once.returncode, b"\x1b" in once.stdout) == (OK, False)


def test_requests_are_tailed(router: RouterProcess, backend: AnsweringBackend) -> None:
    command = [str(EXECUTABLE), "tail", "--route", "a.test", "--status", "2", "--pid", str(router.pid)]
    tail = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    piped = subprocess.Popen([*command, "--json", "--count", "2"], stdout=subprocess.PIPE, text=True)
    client = router.connect()
    try:

        def is_over() -> bool | None:
            # Until it listens, nobody is there to see.
            assert get(router.port, "/seen", Host="a.test")[0] == 200
            client.send("GET /\x9b31m HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
            assert client.read_response().status == 200
            assert get(router.port, "/", Host="b.test")[0] == 502
            with suppress(subprocess.TimeoutExpired):
                return piped.wait(0.3) == OK or None
            return None

        wait_for(is_over, "two requests")
        assert piped.stdout is not None
        requests = [json.loads(line) for line in piped.stdout]
        request = next(one for one in requests if one["path"] == "/seen")
        assert (request["path"], request["status"], request["endpoint"]) == ("/seen", 200, backend.address)
        assert tail.stdout is not None
        assert tail.stderr is not None
        lines = [tail.stdout.readline(), tail.stdout.readline()]
        tail.send_signal(signal.SIGINT)
        lines += tail.stdout.readlines()
        assert (tail.wait(60), tail.stderr.read()) == (OK, "")
        assert {tuple(line.split()[1:3]) for line in lines} == {("200", "GET")}
        assert any(" a.test/seen " in line for line in lines)
        assert all(f" {backend.address}\n" in line for line in lines)
        # A terminal would take it for an order.
        printed = "".join(lines)
        assert ("\x9b" in printed, " a.test/\\x9b31m " in printed) == (False, True)
    finally:
        for process in (tail, piped):
            process.kill()
            process.wait()


def test_a_tail_goes_on_when_those_who_tell_end(backend: AnsweringBackend, environment: None) -> None:
    del environment
    router = RouterProcess({"a.test": [backend.address]}, Path("/dev/null"), has_admin=True)
    command = [str(EXECUTABLE), "tail", "--json", "--pid", str(router.pid)]
    tail = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen: set[str] = set()
    has_more = threading.Event()

    def read() -> None:
        assert tail.stdout is not None
        for line in tail.stdout:
            seen.add(json.loads(line)["path"])
            has_more.set()

    reader = threading.Thread(target=read)
    reader.start()

    def is_told_of(path: str) -> bool | None:
        has_more.clear()
        assert get(router.port, path, Host="a.test")[0] == 200
        # Until it listens, nobody is there to see; too many requests at once are not told, either.
        has_more.wait(0.3)
        return path in seen or None

    def kill(marker: str) -> None:
        pids = [pid for pid in children_of(router.pid) if marker in " ".join(command_of(pid))]
        os.kill(pids[0], signal.SIGKILL)

    try:
        wait_for(lambda: is_told_of("/first"), "a request")
        kill("fastrouter.worker")
        router.wait_for_event("worker-exited")
        wait_for(lambda: is_told_of("/of-another-worker"), "a request of the next worker")
        kill("fastrouter.admin")
        router.wait_for_event("admin-process-exited")
        wait_for(lambda: is_told_of("/of-another-admin-process"), "a request that the next admin process tells of")
        router.forgive_deaths(1)
        router.stop()
        assert tail.wait(60) == NO_ROUTER
        assert tail.stderr is not None
        again = "the tail has broken off and begins again: requests may be missing here"
        *breaks, end = tail.stderr.read().splitlines()
        assert (set(breaks), end.startswith("Error: no router answers at ")) == ({again}, True)
    finally:
        tail.kill()
        tail.wait()
        reader.join(60)
        router.stop()


@pytest.fixture
def start(nats_server: NatsServerProcess, tmp_path: Path) -> Iterator[Callable[..., GorouterProcess]]:
    routers: list[GorouterProcess] = []

    def start(**keys: Any) -> GorouterProcess:
        document = configuration(nats_server.port, **{"admin": {"socket": "auto"}, **keys})
        routers.append(GorouterProcess(tmp_path, document))
        routers[-1].wait_until_started()
        return routers[-1]

    yield start
    for router in routers:
        router.stop()


def test_which_app_it_is(start: Callable[..., GorouterProcess], nats_server: NatsServerProcess) -> None:
    """As docs/operations.md has it."""
    router = start()
    nats = RawNatsClient(nats_server.port)
    try:
        register(nats, "10.0.1.2:61001", "app.test", app="5e1c1f0e", private_instance_index="0")
    finally:
        nats.close()
    wait_for(lambda: True if ask(router, "routes", "get", "app.test").returncode == OK else None, "the route")
    row = done(ask(router, "routes", "get", "app.test")).splitlines()[-1].split()
    assert row[:5] == ["10.0.1.2:61001", "active", "0", "5e1c1f0e", "0"]
    assert "connected, last registration " in done(ask(router, "status"))


def test_a_reload_and_its_traces(start: Callable[..., GorouterProcess]) -> None:
    router = start()
    router.config_path.write_text("port: x\n")
    done(ask(router, "reload"))
    router.wait_for_event("configuration-refused")
    refused = objects(ask(router, "events", "configuration-refused", "--past", "--count", "1", "--json"))
    assert refused[0]["data"]["key"] == "port"


def test_certificates(start: Callable[..., GorouterProcess], pems: Pems) -> None:
    document = {
        "tls_pem": [{"cert_chain": pems["<cert>"], "private_key": pems["<key>"]}],
        "cipher_suites": "AES128-SHA",
    }
    router = start(enable_ssl=True, ssl_port=0, client_cert_validation="none", **document)
    lines = done(ask(router, "certs")).splitlines()
    assert lines[0].split() == ["ENDS", "DAYS", "KEY", "SUBJECT"]
    assert any("tls_pem" in line for line in lines[1:])
    assert ask(router, "certs", "--days", "0").returncode == OK
    assert ask(router, "certs", "--days", "999999").returncode == ANSWER_IS_NO


def test_the_router_has_drained(start: Callable[..., GorouterProcess]) -> None:
    router = start()
    client = router.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: none.test\r\n\r\n")
    client.read_response()
    assert done(ask(router, "drain", "--wait")) == f"process {router.pid} has drained\n"
    assert router.wait() == 0
    assert ask(router, "status").returncode == NO_ROUTER


def test_a_router_that_does_not_serve_is_told_by_the_exit_code(start: Callable[..., GorouterProcess]) -> None:
    router = start(drain_wait="60s")
    slow = ask(router, "drain", "--wait", "--timeout", "0", "--json")
    assert (slow.returncode, json.loads(slow.stdout)) == (ANSWER_IS_NO, {"pid": router.pid, "drained": False})
    router.wait_for_event("gorouter-draining")
    status = ask(router, "status")
    assert status.returncode == ANSWER_IS_NO
    assert status.stderr == "Error: the router is draining, not healthy\n"
    router.send_signal(signal.SIGKILL)


def test_the_bundle_has_no_secret(
    start: Callable[..., GorouterProcess], pems: Pems, tmp_path: Path, nats_server: NatsServerProcess
) -> None:
    pair = {"cert_chain": pems["<cert>"], "private_key": pems["<key>"]}
    server = {"hostname": "localhost", "port": nats_server.port}
    router = start(
        status={"port": 0, "user": "u", "pass": "secret-status", "routes": {"port": 0}},
        nats={"hosts": [server], "user": "u", "pass": "secret-nats"},
        route_services_secret="secret-route-services",
        route_services_secret_decrypt_only="secret-before",
        tls_session_ticket_key="secret-tickets-" * 4,
        backends=pair,
        route_services=pair,
        oauth={"client_secret": "secret-oauth"},
        admin={
            "socket": "auto",
            "listen": "127.0.0.1:0",
            "tokens": [{"name": "reader", "token": "secret-token-of-the-api", "role": "read"}],
            "tls": pair,
        },
    )
    file = tmp_path / "bundle.tar.gz"
    assert done(ask(router, "doctor", str(file), "-c", str(router.config_path))) == f"{file}\n"
    assert os.stat(file).st_mode & 0o777 == 0o600
    with tarfile.open(file) as bundle:
        contents = {
            member.name.partition("/")[2]: extracted.read().decode()
            for member in bundle.getmembers()
            if (extracted := bundle.extractfile(member)) is not None
        }
    assert json.loads(contents["api/overview.json"])["pid"] == router.pid
    assert f"processes/{router.pid}/status" in contents
    assert contents["check.txt"] == "in order\n"
    assert "********" in contents["configuration.yml"]
    told = "".join(contents.values())
    assert "secret-" not in told
    assert "PRIVATE KEY" not in told
    # A second one does not write over it.
    assert ask(router, "doctor", str(file)).returncode == REFUSED


def test_a_bundle_without_a_router(tmp_path: Path) -> None:
    config = tmp_path / "gorouter.yml"
    config.write_text("port: x\n")
    file = tmp_path / "bundle.tar.gz"
    done(fastrouter("doctor", str(file), "-c", str(config), "--pid", "1"))
    with tarfile.open(file) as bundle:
        check = bundle.extractfile("fastrouter-doctor/check.txt")
        assert check is not None
        assert "expected an integer" in check.read().decode()
