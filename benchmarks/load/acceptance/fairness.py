"""Two workers are flooded in every way of the catalogue (floods.py): a bystander must hardly notice.

The bystander is one sequential client of a healthy backend. Every flood has a router of its own, with both cores. The
generators share them with it, at a nice value of 10: on a machine of their own they would not take the router's time.
The bystander and its backend are the instrument, and run before everything else where the kernel lets them (as root).
How long the same requests take past the router is told beside, as what the machine itself adds.
"""

import contextlib
import fnmatch
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme
import yaml

from benchmarks.load.acceptance.floods import FLOODS, HOST, Flood
from benchmarks.load.acceptance.slow import Latencies
from benchmarks.load.acceptance.subject import Check, connect, read_response
from benchmarks.load.nats import nats_server
from benchmarks.load.processes import ALL_CORES, KIB, MIB, PinnedProcess, free_port, listening
from benchmarks.load.proxies import Fastrouter

_MAX_LONGEST_MS = 50.0
_WORKERS = 2
# Between two requests: a saturating bystander would measure its own queue, and be a flood itself.
_THINKING_SECONDS = 0.001
# In a row on one connection. Each worker has one from before the flood, and there is a new one after each of these.
_REQUESTS_IN_A_ROW = 50
# Connections that may be opened until each worker has one.
_CONNECTION_ATTEMPTS = 100
# Less is a generator that does not work, beside which everybody is well.
_LEAST_BYTES = 64 * KIB
_LEAST_CONNECTIONS = 100
_WARM_UP_SECONDS = 0.3
# What the process log calls a fault of an endpoint, or of the router itself.
_MARKS = ("backend-endpoint-failed", "ineligible", "prune")
_FAULTS = ("worker-exited", "panic-check")

_BYSTANDER_HOST = "bystander.test"
_REQUEST = f"GET /bystander HTTP/1.1\r\nHost: {_BYSTANDER_HOST}\r\n\r\n".encode()
_ANSWER = b"/bystander"


def run(proxy_name: str, workdir: Path, *, seconds: float = 5.0, only: str = "*") -> list[Check]:
    if proxy_name != "fastrouter":
        raise RuntimeError("the floods need routes, TLS and PROXY headers that only fastrouter is configured for here")
    patterns = only.split(",")
    floods = [
        flood for flood in FLOODS.values() if any(fnmatch.fnmatchcase(flood.name, pattern) for pattern in patterns)
    ]
    pem = workdir / "pair.pem"
    leaf = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert(HOST, key_type=trustme.KeyType.ECDSA)
    leaf.private_key_and_cert_chain_pem.write_to_path(str(pem))
    checks = []
    with first_of_all(), nats_server(workdir) as nats_port, _healthy_backend(workdir) as backend:
        for flood in floods:
            directory = workdir / flood.name
            directory.mkdir()
            try:
                check = _measure(flood, directory, backend, nats_port=nats_port, pem=pem, seconds=seconds)
            except (OSError, RuntimeError) as error:
                # One flood that cannot be measured must not keep the others from it.
                check = Check(f"beside {flood.name}", f"not measured: {error!r}", "a measurement", False)
            # Heads of a megabyte are logged as such.
            shutil.rmtree(directory)
            print(f"{'    ' if check.passed else 'FAIL'} {flood.name}: {check.figure}", flush=True)
            checks.append(check)
    return checks


@contextlib.contextmanager
def first_of_all() -> Iterator[None]:
    """Let this process run on any core, before all others if that is allowed. Its children are ordinary ones."""
    policy, parameters, cores = os.sched_getscheduler(0), os.sched_getparam(0), os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(2))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)
        os.sched_setaffinity(0, cores)


@contextlib.contextmanager
def _healthy_backend(workdir: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.load.application", str(port)]
    with listening("healthy-backend", command, ALL_CORES, workdir, port) as process:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(1))
        yield f"127.0.0.1:{port}"


class _FloodedRouter(Fastrouter):
    """fastrouter with all that a flood may need: a route of its own, TLS, and what it asks for."""

    def __init__(self, workdir: Path, backend: str, flooding: Sequence[str], nats_port: int, pem: Path) -> None:
        super().__init__(workdir, [backend])
        self.tls_port = free_port()
        self._flooding = flooding
        self._nats_port = nats_port
        self._pem = pem
        self.configuration: dict[str, Any] = {}
        self.protocol = ""

    def command(self) -> list[str]:
        key, _, chain = self._pem.read_text().partition("-----BEGIN CERTIFICATE-----")
        configuration = {
            "status": {"port": 0, "routes": {"port": 0}},
            "nats": {"hosts": [{"hostname": "127.0.0.1", "port": self._nats_port}]},
            "logging": {"level": "info"},
            "port": self.port,
            "ssl_port": self.tls_port,
            "enable_ssl": True,
            "tls_pem": [{"cert_chain": f"-----BEGIN CERTIFICATE-----{chain}", "private_key": key}],
            "client_cert_validation": "none",
            "cipher_suites": "ECDHE-ECDSA-AES128-GCM-SHA256",
            "max_tls_version": "TLSv1.3",
            "go_max_procs": _WORKERS,
            "start_response_delay_interval": "0s",
            "disable_keep_alives": False,
            "max_idle_conns_per_host": 100,
            "access_log": {"file": str(self.access_log)},
            **self.configuration,
        }
        (self.workdir / "gorouter.yml").write_text(yaml.safe_dump(configuration))
        rows = [
            {"route": _BYSTANDER_HOST, "endpoints": [{"address": one} for one in self.backends]},
            {"route": HOST, "endpoints": [{"address": one, "protocol": self.protocol} for one in self._flooding]},
        ]
        (self.workdir / "routes.yml").write_text(yaml.safe_dump({"routes": rows}))
        executable, *_ = super().command()
        return [executable, "-c", str(self.workdir / "gorouter.yml"), "-routes", str(self.workdir / "routes.yml")]

    @contextlib.contextmanager
    def started(self) -> Iterator[PinnedProcess]:
        with listening(self.name, self.command(), ALL_CORES, self.workdir, self.port) as process:
            deadline = time.monotonic() + 15.0
            while len(process.tree()) <= _WORKERS and time.monotonic() < deadline:
                time.sleep(0.05)
            yield process


class _Generator:
    """The process of one flood."""

    def __init__(self, flood: Flood) -> None:
        command = [sys.executable, "-m", "benchmarks.load.acceptance.floods", flood.name]
        self._popen = subprocess.Popen(
            ["taskset", "--cpu-list", ALL_CORES, "nice", "-n", "10", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        # Where the kernel groups processes by session, a nice value counts only within its group, which has its own.
        with contextlib.suppress(OSError):
            Path(f"/proc/{self._popen.pid}/autogroup").write_text("10")
        self.ports: list[int] = self._report()["ports"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._popen.kill()
        self._popen.wait()

    def begin(self, plain_port: int, tls_port: int) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{plain_port} {tls_port}\n")
        self._popen.stdin.flush()

    def end(self) -> dict[str, int]:
        """Stop it; returns how many connections and bytes there were."""
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        return self._report()

    def _report(self) -> dict[str, Any]:
        assert self._popen.stdout is not None
        report: dict[str, Any] = json.loads(self._popen.stdout.readline())
        return report


class _Bystander:
    """One client, and the seconds that each of its requests took."""

    def __init__(self, port: int, backend: str, process: PinnedProcess, patience: float) -> None:
        self._port = port
        self._process = process
        self._workers = process.tree()[1:]
        self._patience = patience
        self._direct = connect(int(backend.rpartition(":")[2]))
        self._kept: list[socket.socket] = []
        self.seconds: list[float] = []
        self.seconds_past_the_router: list[float] = []
        self.failures: list[str] = []

    def settle(self) -> None:
        """Open a connection to each worker, before there are so many that finding the worker of each takes long."""
        unmet = set(self._workers)
        for _ in range(_CONNECTION_ATTEMPTS):
            connection = self._connect()
            if self._ask(connection) and (worker := self._worker_of(connection)) in unmet:
                unmet.remove(worker)
                self._kept.append(connection)
            else:
                connection.close()
            if not unmet:
                return
        raise RuntimeError(f"{len(unmet)} of {_WORKERS} workers accept nobody")

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for connection in self._kept:
                self._ask_in_a_row(connection, end)
                with contextlib.suppress(ConnectionError), self._connect() as another:
                    self._ask_in_a_row(another, end)

    def _connect(self) -> socket.socket:
        try:
            connection = connect(self._port)
        except OSError as error:
            self.failures.append(repr(error))
            raise ConnectionError("no connection") from error
        connection.settimeout(self._patience)
        return connection

    def _ask_in_a_row(self, connection: socket.socket, end: float) -> None:
        for _ in range(_REQUESTS_IN_A_ROW):
            if time.monotonic() >= end or not self._ask(connection):
                break
            self._ask_past_the_router()
            time.sleep(_THINKING_SECONDS)

    def _worker_of(self, connection: socket.socket) -> int | None:
        """The process that holds the other end."""
        far, near = f":{self._port:04X}", f"0100007F:{connection.getsockname()[1]:04X}"
        inodes = set()
        # A listener for both families has its connections in the second table.
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[1].endswith(far) and fields[2].endswith(near):
                    inodes.add(f"socket:[{fields[9]}]")
        for pid in self._workers:
            with contextlib.suppress(OSError):
                for link in os.scandir(f"/proc/{pid}/fd"):
                    if os.readlink(link.path) in inodes:
                        return pid
        return None

    def _ask(self, connection: socket.socket) -> bool:
        started = time.perf_counter()
        try:
            connection.sendall(_REQUEST)
            body = read_response(connection)
        except OSError as error:
            self.failures.append(repr(error))
            return False
        finally:
            self.seconds.append(time.perf_counter() - started)
        if body != _ANSWER:
            self.failures.append(f"answered with {body[:40]!r}")
        return body == _ANSWER

    def _ask_past_the_router(self) -> None:
        started = time.perf_counter()
        self._direct.sendall(_REQUEST)
        read_response(self._direct)
        self.seconds_past_the_router.append(time.perf_counter() - started)

    def close(self) -> None:
        for connection in (self._direct, *self._kept):
            connection.close()


def _measure(flood: Flood, workdir: Path, backend: str, *, nats_port: int, pem: Path, seconds: float) -> Check:
    with _Generator(flood) as generator:
        flooding = [f"127.0.0.1:{port}" for port in generator.ports]
        router = _FloodedRouter(workdir, backend, flooding, nats_port, pem)
        router.configuration, router.protocol = flood.configuration, flood.protocol
        with router.started() as process, contextlib.closing(_Bystander(router.port, backend, process, 30.0)) as client:
            client.settle()
            client.run(_WARM_UP_SECONDS)
            client.seconds.clear()
            client.seconds_past_the_router.clear()
            before, waits = process.rss(), _waits(process)
            generator.begin(router.port, router.tls_port)
            client.run(seconds)
            rise = process.rss() - before
            waited = max(after - waits.get(pid, 0.0) for pid, after in _waits(process).items()) / seconds
            amounts = generator.end()
        log = [json.loads(line) for line in process.stdout.read_text(errors="replace").splitlines() if line[:1] == "{"]
    told = [f"router grew {rise / MIB:.0f} MiB", f"a worker waited {waited:.0%} of the time for a core"]
    return _judge(flood, client, amounts, told, _amiss(log, backend), rise=rise)


def _waits(process: PinnedProcess) -> dict[int, float]:
    """Seconds that each process of the router was ready to run and was not let: the machine is slow there."""
    found = {}
    for pid in process.tree():
        with contextlib.suppress(OSError):
            found[pid] = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return found


def _amiss(log: list[dict[str, Any]], backend: str) -> list[str]:
    """Marks of the healthy backend, and faults of the router."""
    found = []
    for event in log:
        message = event["message"]
        names_it = backend in json.dumps(event.get("data"))
        if message in _FAULTS or (names_it and any(mark in message for mark in _MARKS)):
            found.append(message)
    return found


def _judge(
    flood: Flood, client: _Bystander, amounts: dict[str, int], told: list[str], amiss: list[str], *, rise: int
) -> Check:
    latencies = Latencies.of(client.seconds)
    # A router that has stopped altogether leaves nothing to compare with.
    direct = Latencies.of(client.seconds_past_the_router or [0.0])
    is_flood = amounts["sent"] >= _LEAST_BYTES or amounts["connections"] >= _LEAST_CONNECTIONS
    passed = (
        latencies.p99_ms <= flood.max_p99_ms
        and rise <= flood.max_growth
        and latencies.max_ms <= _MAX_LONGEST_MS
        and not client.failures
        and not amiss
        and is_flood
    )
    told = [
        f"{latencies} of {len(client.seconds)}",
        f"past the router p99 {direct.p99_ms:.2f} ms, max {direct.max_ms:.2f} ms",
        f"flood {amounts['sent'] / MIB:.0f} MiB out, {amounts['received'] / MIB:.0f} MiB back over "
        f"{amounts['connections']} connections",
        *told,
    ]
    if not is_flood:
        told.append("that is no FLOOD")
    if client.failures:
        told.append(f"{len(client.failures)} FAILED, first: {client.failures[0]}")
    if amiss:
        told.append(f"AMISS: {len(amiss)} x {amiss[0]}")
    bar = f"p99 <= {flood.max_p99_ms:.0f} ms, max <= {_MAX_LONGEST_MS:.0f} ms, none failed, nothing marked"
    if flood.max_growth < math.inf:
        bar += f", growth <= {flood.max_growth / MIB:.0f} MiB"
    return Check(f"beside {flood.name}", "; ".join(told), bar, passed)
