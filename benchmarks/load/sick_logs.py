"""What a sick access log costs: W1 with a healthy file, and with places for the log that are slow, full or dead.

    python -m benchmarks.load.sick_logs [--rounds N] [--seconds N]

Each case is a fastrouter of its own with one worker on core 0; in a round they are measured one after the other, and
ratios are taken within the round. Where others take part of the core, a router whose writer thread does nothing gets
less of the rest than one that is two threads; so a measurement during which they took more than a tenth of it is
repeated, and the least disturbed one counts. Exits with 1 if the median of one falls below 0.9 of the healthy file's
throughput, or if lost lines were not reported, or more often than once per interval.
"""

import contextlib
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.load import results
from benchmarks.load.backends import static_backend
from benchmarks.load.compare import contest_parser
from benchmarks.load.processes import PROXY_CORE, PinnedProcess, core_busy_seconds, free_port, listening, prepare_driver
from benchmarks.load.workloads import HOST, WORKLOADS
from benchmarks.load.wrk import WrkRun
from fastrouter.logs.access import REPORT_INTERVAL

_HEALTHY = "healthy file"
_LEAST_SHARE = 0.9
_MAX_DISTURBANCE = 0.1
_SYSLOG = {"enable_streaming": True}
_BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Case:
    """A router whose access log goes to one kind of place."""

    name: str
    process: PinnedProcess
    port: int
    loses_lines: bool

    def reports(self) -> list[dict[str, Any]]:
        """What it has said of lost lines so far."""
        lines = [json.loads(line) for line in self.process.stdout.read_text().splitlines()]
        return [line["data"] for line in lines if line["message"].startswith("error-emitting-access-log")]


@dataclass(frozen=True)
class Measurement:
    """One case in one round."""

    case: str
    round: int
    requests_per_second: float
    cpu_us_per_request: float
    disturbance: float  # share of the router's core that other programs took
    errors: int


class _Router:
    """Starts routers that differ in their access log only."""

    def __init__(self, workdir: Path, nats_port: int, backend: str) -> None:
        self._workdir = workdir
        self._nats_port = nats_port
        self._routes = workdir / "routes.yml"
        self._routes.write_text(yaml.safe_dump({"routes": [{"route": HOST, "endpoints": [{"address": backend}]}]}))

    @contextlib.contextmanager
    def started(
        self, name: str, access_log: dict[str, Any], syslog_port: int = 514, *, loses_lines: bool = True
    ) -> Iterator[Case]:
        port = free_port()
        config = {
            "port": port,
            "go_max_procs": 1,
            "start_response_delay_interval": "0s",
            "status": {"port": free_port(), "routes": {"port": free_port()}},
            "nats": {"hosts": [{"hostname": "127.0.0.1", "port": self._nats_port}]},
            "max_idle_conns_per_host": 100,
            "disable_keep_alives": False,
            "logging": {"level": "info", "syslog_network": "tcp", "syslog_addr": f"127.0.0.1:{syslog_port}"},
            "access_log": access_log,
        }
        slug = name.replace(" ", "-")
        path = self._workdir / f"{slug}.yml"
        path.write_text(yaml.safe_dump(config))
        command = [str(_BIN / "fastrouter"), "-c", str(path), "-routes", str(self._routes)]
        with listening(slug, command, PROXY_CORE, self._workdir, port) as process:
            yield Case(name, process, port, loses_lines)


@contextlib.contextmanager
def _nats_server(workdir: Path) -> Iterator[int]:
    port = free_port()
    command = [str(_BIN / "nats-server"), "-a", "127.0.0.1", "-p", str(port)]
    with listening("nats-server", command, PROXY_CORE, workdir, port):
        yield port


def _cases(stack: contextlib.ExitStack, workdir: Path, router: _Router) -> list[Case]:
    def start(*arguments: Any, **options: Any) -> Case:
        return stack.enter_context(router.started(*arguments, **options))

    healthy = start(_HEALTHY, {"file": str(workdir / "access.log")}, loses_lines=False)
    pipe = workdir / "pipe"
    os.mkfifo(pipe)
    # Open, and never read.
    stack.callback(os.close, os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))
    slow = start("file that takes nothing", {"file": str(pipe)})
    full = start("full disk", {"file": "/dev/full"})
    hung = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    hung_case = start("syslog that takes nothing", _SYSLOG, hung.getsockname()[1])
    with socket.create_server(("127.0.0.1", 0)) as doomed:
        # It is there at the start only; its lines wait until there are too many.
        dead = start("dead syslog", _SYSLOG, doomed.getsockname()[1])
    return [healthy, slow, full, hung_case, dead]


def _measure(case: Case, number: int, seconds: int, attempts: int = 1) -> Measurement:
    found: list[Measurement] = []
    while len(found) < attempts and all(one.disturbance > _MAX_DISTURBANCE for one in found):
        busy, before = core_busy_seconds(PROXY_CORE), case.process.cpu_seconds()
        wrk = WrkRun(case.port, WORKLOADS["W1"], seconds).result()
        cpu = case.process.cpu_seconds() - before
        others = max(0.0, core_busy_seconds(PROXY_CORE) - busy - cpu) / wrk.seconds
        found.append(
            Measurement(case.name, number, wrk.requests_per_second, cpu / wrk.requests * 1e6, others, wrk.errors)
        )
    return min(found, key=lambda one: one.disturbance)


def main() -> int:
    parser = contest_parser(__doc__, rounds=5, seconds=6)
    options = parser.parse_args()
    prepare_driver()
    facts = results.facts()
    found: list[Measurement] = []
    with contextlib.ExitStack() as stack:
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastrouter-sick-logs-")))
        backend = stack.enter_context(static_backend(workdir))
        router = _Router(workdir, stack.enter_context(_nats_server(workdir)), backend)
        started_at = time.monotonic()
        cases = _cases(stack, workdir, router)
        for case in cases:
            # Until queues are full, nobody loses a line.
            _measure(case, 0, options.seconds)
        for number in range(1, options.rounds + 1):
            order = cases if number % 2 else cases[::-1]
            found += [_measure(case, number, options.seconds, options.attempts) for case in order]
        time.sleep(1)
        intervals = int((time.monotonic() - started_at) / REPORT_INTERVAL) + 1
        reports = {case.name: case.reports() for case in cases}
        expected = {case.name: range(1, intervals + 1) if case.loses_lines else range(1) for case in cases}
    return _judge(found, reports, expected, facts, options.seconds)


def _judge(
    found: list[Measurement],
    reports: dict[str, list[dict[str, Any]]],
    expected: dict[str, range],
    facts: dict[str, Any],
    seconds: int,
) -> int:
    def median_of(name: str, figure: Callable[[Measurement], float]) -> float:
        return median(figure(one) for one in found if one.case == name)

    healthy = {one.round: one.requests_per_second for one in found if one.case == _HEALTHY}
    shares = {}
    print(f"{'access log':28} {'req/s':>8} {'CPU µs/req':>11} {'disturbed':>10} {'of healthy':>11}  reports")
    for name, said in reports.items():
        shares[name] = median(one.requests_per_second / healthy[one.round] for one in found if one.case == name)
        speed = median_of(name, lambda one: one.requests_per_second)
        cpu = median_of(name, lambda one: one.cpu_us_per_request)
        reasons = "; ".join(f"{each['error'].rpartition(': ')[2]} ({each['lost_lines']})" for each in said)
        disturbed = median_of(name, lambda one: one.disturbance)
        print(f"{name:28} {speed:8.0f} {cpu:11.1f} {disturbed:10.2f} {shares[name]:11.2f}  {reasons}")
    figures = {
        "seconds": seconds,
        "shares": shares,
        "reports": reports,
        "measurements": [vars(one) for one in found],
    }
    print(f"written to {results.write('sick-logs', facts, figures)}")
    failures = [f"{name}: {share:.2f} of the throughput" for name, share in shares.items() if share < _LEAST_SHARE]
    failures += [f"{one.case}: {one.errors} errors" for one in found if one.errors]
    failures += [f"{name}: {len(said)} reports" for name, said in reports.items() if len(said) not in expected[name]]
    for failure in failures:
        print(f"FAIL  {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
