"""What HTTP/2 costs: to clients beside nginx (and Gorouter), to backends beside HTTP/1.1; exits with 1 on FAIL.

    python -m benchmarks.load.http2 [--rounds N] [--seconds N] [--transfers N] [--idle CONNECTIONS] [--only PARTS]
    GOROUTER=/path/to/gorouter python -m benchmarks.load.http2

All clients use TLS. Small requests are h2load's, 8 connections with 32 streams each, measured as in
benchmarks.load.compare; transfers are 100 MB at a time on one connection, by bytes per CPU second of the proxy. Then
come the memory of connections that have sent one request each and stay, and how long a small request takes on a
connection that a download of 1 GB is on its way over, whose client never lets more than 128 KiB be on the way.
"""

import contextlib
import os
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes, Settings

from benchmarks.load import results
from benchmarks.load.acceptance.slow import Latencies
from benchmarks.load.acceptance.subject import Check
from benchmarks.load.backends import application_backend, static_backend
from benchmarks.load.compare import Contest, contest_parser, names_of, table
from benchmarks.load.h2load import H2loadRun
from benchmarks.load.nats import nats_server
from benchmarks.load.processes import KIB, LOAD_CORE, MIB, PinnedProcess, free_port, listening, prepare_driver
from benchmarks.load.proxies import Proxy, nginx_command
from benchmarks.load.secure_proxies import SecureFastrouter, SecureGorouter, SecureNginx, issue_pair
from benchmarks.load.workloads import HOST, SMALL_BODY, SMALL_PATH, Workload

_MAX_OF_NGINX = 1.3
_MAX_OF_GOROUTER = 1 / 6
_MAX_OF_HTTP1_BACKENDS = 1.6
_LEAST_BYTES_OF_NGINX = 0.7
_MAX_IDLE_KIB = 24.0
_MAX_P99_MS = 10.0

_TRANSFER = 100 * MIB
_DOWNLOAD = 1 << 30
_WINDOW = 128 * KIB
_HTTP2_HOST = "http2.example.com"

_SMALL = Workload(
    "H2",
    "GET, 27-byte body, HTTP/2 over TLS, 8 connections x 32 streams",
    SMALL_PATH,
    SMALL_BODY,
    8,
    {},
    scheme="h2",
    streams=32,
)
_TO_HTTP2 = replace(_SMALL, name="H2-H2", title=f"{_SMALL.title}, backend with h2c", host=_HTTP2_HOST)
_DOWN = Workload("down", "100 MB down", f"/download?{_TRANSFER}", b"", 1, {}, scheme="h2")
_UP = Workload("up", "100 MB up", "/sink", b"", 1, {}, scheme="h2")


class _Fastrouter(SecureFastrouter):
    """With a second route, to the same backend over HTTP/2."""

    http2_backend = ""

    def routes(self) -> list[dict[str, Any]]:
        if not self.http2_backend:
            return super().routes()
        endpoints = [{"address": self.http2_backend, "protocol": "h2c"}]
        return [*super().routes(), {"route": _HTTP2_HOST, "endpoints": endpoints}]


@dataclass
class Report:
    """What was measured, and how it stands against the bars."""

    checks: list[Check] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def judge(self, title: str, figure: str, bar: str, *, passed: bool) -> None:
        self.checks.append(Check(title, figure, bar, passed))
        print(self.checks[-1], flush=True)

    def judge_errors(self, contest: Contest) -> None:
        errors = sum(one.wrk.errors + one.log_lines_missing for one in contest.measurements)
        self.judge("errors and missing lines", str(errors), "none", passed=not errors)


def _start(
    stack: contextlib.ExitStack, workdir: Path, backend: str, *kinds: type[Proxy]
) -> dict[str, tuple[Proxy, PinnedProcess]]:
    """Start proxies in front of `backend`, which end with the stack."""
    workdir.mkdir()
    issue_pair(workdir)
    proxies = [kind(workdir, [backend]) for kind in kinds]
    return {proxy.name: (proxy, stack.enter_context(proxy.started())) for proxy in proxies}


# --- small requests


def measure_clients(report: Report, workdir: Path, options: Any) -> None:
    """CPU per small request, beside the others."""
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(static_backend(workdir))
        kinds = (_Fastrouter, SecureNginx, *((SecureGorouter,) if os.environ.get("GOROUTER") else ()))
        running = _start(stack, workdir / "clients", backend, *kinds)
        contest = Contest(running, options.seconds, options.attempts)
        contest.verify(_SMALL)
        contest.warm_up(_SMALL)
        for number in range(1, options.rounds + 1):
            contest.measure_round(_SMALL, number)
    print(table(contest, _SMALL, list(running)), end="\n\n", flush=True)
    report.figures["clients"] = list(map(asdict, contest.measurements))
    report.judge_errors(contest)
    for peer, bar in (("nginx", _MAX_OF_NGINX), ("gorouter", _MAX_OF_GOROUTER)):
        if (ratio := contest.ratio(_SMALL.name, "fastrouter", peer)) is not None:
            report.judge(f"CPU per request / {peer}", f"{ratio:.2f}", f"<= {bar:.2f}", passed=ratio <= bar)


@contextlib.contextmanager
def _http2_backend(workdir: Path) -> Iterator[str]:
    """Run an nginx that answers as the static backend does, over HTTP/2 with prior knowledge; yields its address."""
    workdir = workdir / "http2-backend"
    workdir.mkdir()
    port = free_port()
    command = nginx_command(
        workdir,
        f"""
        access_log off;
        server {{
            listen 127.0.0.1:{port} http2 backlog=4096;
            location = {SMALL_PATH} {{ return 200 "{SMALL_BODY.decode()}"; }}
        }}
        """,
    )
    with listening("http2-backend", command, LOAD_CORE, workdir, port):
        yield f"127.0.0.1:{port}"


def measure_backends(report: Report, workdir: Path, options: Any) -> None:
    """CPU per small request whose backend speaks HTTP/2, and of one whose backend does not."""
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(static_backend(workdir / "http1"))
        _Fastrouter.http2_backend = stack.enter_context(_http2_backend(workdir))
        running = _start(stack, workdir / "backends", backend, _Fastrouter)
        contest = Contest(running, options.seconds, options.attempts)
        for workload in (_SMALL, _TO_HTTP2):
            contest.verify(workload)
            contest.warm_up(workload)
        for number in range(1, options.rounds + 1):
            for workload in (_SMALL, _TO_HTTP2):
                contest.measure_round(workload, number)
    for workload in (_SMALL, _TO_HTTP2):
        print(table(contest, workload, ["fastrouter"]), end="\n\n", flush=True)
    report.figures["backends"] = list(map(asdict, contest.measurements))
    report.judge_errors(contest)
    pairs = zip(contest.of(_TO_HTTP2.name, "fastrouter"), contest.of(_SMALL.name, "fastrouter"), strict=True)
    ratio = median(one.cpu_us_per_request / other.cpu_us_per_request for one, other in pairs)
    bar = _MAX_OF_HTTP1_BACKENDS
    report.judge("CPU per request / with an HTTP/1.1 backend", f"{ratio:.2f}", f"<= {bar}", passed=ratio <= bar)


# --- transfers


def measure_transfers(report: Report, workdir: Path, options: Any) -> None:
    """Bytes per CPU second, up and down."""
    upload = workdir / "upload"
    upload.write_bytes(bytes(range(256)) * (_TRANSFER // 256))
    with contextlib.ExitStack() as stack:
        backend, _ = stack.enter_context(application_backend(workdir))
        running = _start(stack, workdir / "transfers", backend, _Fastrouter, SecureNginx)
        for workload, file in ((_DOWN, None), (_UP, upload)):
            rates: dict[str, list[float]] = {name: [] for name in running}
            for number in range(options.rounds + 1):
                for name, (proxy, process) in running.items():
                    before = process.cpu_seconds()
                    result = H2loadRun(proxy.port, workload, 60, count=options.transfers, upload=file).result()
                    cpu = process.cpu_seconds() - before
                    if result.errors or result.requests != options.transfers:
                        raise RuntimeError(f"{name} failed {result.errors} of {result.requests} transfers")
                    # The first round is for warming up.
                    if number:
                        rates[name].append(options.transfers * _TRANSFER / cpu)
            shown = ", ".join(f"{name} {median(values) / 1e6:.0f} MB" for name, values in rates.items())
            report.figures[workload.name] = rates
            ratio = median(ours / theirs for ours, theirs in zip(rates["fastrouter"], rates["nginx"], strict=True))
            title = f"{workload.title}: bytes per CPU second / nginx"
            figure, bar = f"{ratio:.2f} ({shown})", _LEAST_BYTES_OF_NGINX
            report.judge(title, figure, f">= {bar}", passed=ratio >= bar)


# --- one connection


class _Client:
    """One connection that speaks HTTP/2, read in one thread; `on_event` gets whatever comes."""

    def __init__(self, port: int) -> None:
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=HOST)
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        values = {SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW}
        self.connection.local_settings = Settings(client=True, initial_values=values)
        self.connection.initiate_connection()
        self.connection.increment_flow_control_window(_WINDOW)
        self.flush()

    def __enter__(self) -> "_Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.connection.data_to_send())

    def get(self, path: str) -> int:
        """Send a request; gives the number of its stream."""
        stream = self.connection.get_next_available_stream_id()
        pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", HOST), (":path", path)]
        self.connection.send_headers(stream, pseudo, end_stream=True)
        self.flush()
        return stream

    def receive(self) -> list[h2.events.Event]:
        """What comes next; body is let flow on."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("ended by the proxy")
        events = self.connection.receive_data(data)
        for event in events:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                raise ConnectionError(f"broken off: {event}")
        self.flush()
        return events

    def wait_for_end(self, stream: int) -> int:
        """Read until `stream` has ended; gives the bytes of body that came on all others meanwhile."""
        others = 0
        while True:
            for event in self.receive():
                if isinstance(event, h2.events.DataReceived) and event.stream_id != stream:
                    others += len(event.data)
                elif isinstance(event, h2.events.StreamEnded):
                    if event.stream_id != stream:
                        raise ConnectionError("the download has ended")
                    return others


def measure_idle(report: Report, workdir: Path, options: Any) -> None:
    """Memory of connections that have had one answer and stay."""
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(static_backend(workdir / "idle-backend"))
        running = _start(stack, workdir / "idle", backend, _Fastrouter, SecureNginx)
        for name, (proxy, process) in running.items():
            with contextlib.ExitStack() as connections:
                sizes = []
                # A few first: what is allocated once is none of a connection's.
                for count in (10, options.idle):
                    before = process.memory()
                    for _ in range(count):
                        client = connections.enter_context(_Client(proxy.port))
                        client.wait_for_end(client.get(SMALL_PATH))
                    sizes.append((process.memory() - before).uss / count / KIB)
            report.figures[f"idle KiB {name}"] = sizes[-1]
            is_ours = name == "fastrouter"
            title = f"one idle connection of {options.idle}, {name}"
            bar = f"<= {_MAX_IDLE_KIB:.0f} KiB" if is_ours else "none"
            report.judge(title, f"USS {sizes[-1]:.1f} KiB", bar, passed=not is_ours or sizes[-1] <= _MAX_IDLE_KIB)


def measure_siblings(report: Report, workdir: Path, options: Any) -> None:
    """How long small requests take beside a download on their connection."""
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(static_backend(workdir, download=_DOWNLOAD))
        running = _start(stack, workdir / "siblings", backend, _Fastrouter, SecureNginx)
        found: dict[str, list[Latencies]] = {name: [] for name in running}
        for _ in range(options.rounds):
            for name, (proxy, _process) in running.items():
                found[name].append(Latencies.of(_seconds_beside_a_download(proxy.port)))
    for name, rounds in found.items():
        report.figures[f"beside a download {name}"] = list(map(asdict, rounds))
        middle = sorted(rounds, key=lambda one: one.p99_ms)[len(rounds) // 2]
        is_ours = name == "fastrouter"
        bar = f"p99 <= {_MAX_P99_MS:.0f} ms" if is_ours else "none"
        passed = not is_ours or middle.p99_ms <= _MAX_P99_MS
        report.judge(f"small requests beside a download, {name}", f"{middle} (of {len(rounds)})", bar, passed=passed)


def _seconds_beside_a_download(port: int) -> list[float]:
    """What each of the small requests took that fit beside one download, one after the other."""
    seconds, received = [], 0
    with _Client(port) as client:
        client.wait_for_end(client.get(SMALL_PATH))
        client.get("/download")
        # The last small request may end behind the download, which `wait_for_end` takes for a fault.
        while received < _DOWNLOAD * 0.99:
            started = time.perf_counter()
            received += client.wait_for_end(client.get(SMALL_PATH))
            seconds.append(time.perf_counter() - started)
    return seconds


_PARTS: dict[str, Callable[[Report, Path, Any], None]] = {
    "clients": measure_clients,
    "backends": measure_backends,
    "transfers": measure_transfers,
    "idle": measure_idle,
    "siblings": measure_siblings,
}


def main() -> int:
    parser = contest_parser(__doc__)
    parser.add_argument("--transfers", type=int, default=5, help="of 100 MB in one measurement")
    parser.add_argument("--idle", type=int, default=1000, help="connections whose memory is measured")
    parser.add_argument("--only", type=names_of(_PARTS), default=list(_PARTS), metavar="PARTS", help=", ".join(_PARTS))
    options = parser.parse_args()
    prepare_driver()
    facts = results.facts()
    report = Report()
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="fastrouter-http2-") as directory, contextlib.ExitStack() as stack:
            SecureFastrouter.nats_port = stack.enter_context(nats_server(Path(directory)))
            try:
                _PARTS[name](report, Path(directory), options)
            except (OSError, RuntimeError) as error:
                # One part that cannot be measured must not keep the others from it.
                report.judge(name, f"not measured: {error!r}", "a measurement", passed=False)
    figures = {"seconds": options.seconds, **report.figures, "checks": list(map(asdict, report.checks))}
    print(f"written to {results.write('http2', facts, figures)}")
    return 0 if all(check.passed for check in report.checks) else 1


if __name__ == "__main__":
    sys.exit(main())
