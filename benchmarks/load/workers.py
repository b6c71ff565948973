"""What a second worker costs: CPU per request with one worker and with two, and table changes in each of them.

Two routers with one and with two workers, on core 0 both, are loaded in turns; the ratio of their CPU per request is
taken within a round. Then a router with two workers gets 5,000 registrations a second over NATS, each of which changes
an endpoint, and the CPU of each of its processes is taken.

    python -m benchmarks.load.workers [--rounds N] [--seconds N] [--bar 1.10]
"""

import argparse
import contextlib
import os
import re
import socket
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml

from benchmarks.load import results
from benchmarks.load.backends import static_backend
from benchmarks.load.processes import (
    LOAD_CORE,
    PROXY_CORE,
    PinnedProcess,
    core_busy_seconds,
    free_port,
    listening,
    prepare_driver,
)
from benchmarks.load.proxies import Fastrouter
from benchmarks.load.registrations import payloads
from benchmarks.load.workloads import WORKLOADS, Workload
from benchmarks.load.wrk import WrkRun

_ROUTES = 20_000
_CHANGES_PER_SECOND = 5000
_BURST = 50
_CHANGE_BAR = 0.10
# A measurement during which others took more than this share of the core is repeated.
_MAX_DISTURBANCE = 0.1
_ATTEMPTS = 3
_CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class RouterOfWorkers(Fastrouter):
    """fastrouter with so many workers, all on one core."""

    def __init__(self, workdir: Path, backends: list[str], workers: int) -> None:
        directory = workdir / f"workers-{workers}"
        directory.mkdir()
        super().__init__(directory, backends)
        self._workers = workers

    def command(self) -> list[str]:
        return [*super().command()[:-1], str(self._workers)]


def cpu_per_request(router: RouterOfWorkers, process: PinnedProcess, workload: Workload, seconds: int) -> float:
    """Microseconds of CPU of all processes of the router; raises RuntimeError if requests fail."""
    for _ in range(_ATTEMPTS):
        router.clear_access_log()
        cpu_before, busy_before, started = process.cpu_seconds(), core_busy_seconds(PROXY_CORE), time.monotonic()
        wrk = WrkRun(router.port, workload, seconds).result()
        router.logged_lines(wrk.requests)
        cpu = process.cpu_seconds() - cpu_before
        others = core_busy_seconds(PROXY_CORE) - busy_before - cpu
        if not wrk.errors and others / (time.monotonic() - started) < _MAX_DISTURBANCE:
            break
    else:
        if wrk.errors:
            raise RuntimeError(f"requests failed: {wrk}")
    return cpu / wrk.requests * 1e6


def measure_requests(rounds: int, seconds: int) -> list[tuple[float, float]]:
    """CPU per request with one worker and with two, round by round."""
    found = []
    with contextlib.ExitStack() as stack:
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastrouter-workers-")))
        backend = stack.enter_context(static_backend(workdir))
        routers = [RouterOfWorkers(workdir, [backend], workers) for workers in (1, 2)]
        running = [(router, stack.enter_context(router.started())) for router in routers]
        for router, process in running:
            cpu_per_request(router, process, WORKLOADS["W1"], 1)
        for number in range(rounds):
            # Each goes first in turn.
            ordered = running if number % 2 == 0 else running[::-1]
            costs = [cpu_per_request(router, process, WORKLOADS["W1"], seconds) for router, process in ordered]
            one, two = costs if number % 2 == 0 else costs[::-1]
            found.append((one, two))
            print(f"round {number + 1}: {one:.2f} and {two:.2f} µs per request, {two / one:.3f}", flush=True)
    return found


def commands(version: int) -> list[bytes]:
    """Registrations of all routes as commands of NATS; another version changes every endpoint."""
    found = []
    for payload in payloads(_ROUTES):
        changed = re.sub(rb'("endpoint_updated_at_ns":)17639(\d{14})', rb"\g<1>%05d\2" % (17639 + version), payload)
        found.append(b"PUB router.register %d\r\n%s\r\n" % (len(changed), changed))
    return found


def cpu_of(pid: int) -> float:
    """Seconds of user and system time of one process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS_PER_SECOND


def send_in_time(connection: socket.socket, versions: list[list[bytes]], seconds: int) -> int:
    """Send _CHANGES_PER_SECOND for so many seconds in small bursts; returns how many were sent."""
    started = time.monotonic()
    total = seconds * _CHANGES_PER_SECOND
    for sent in range(0, total, _BURST):
        version = versions[sent // _ROUTES % len(versions)]
        at = sent % _ROUTES
        connection.sendall(b"".join(version[at : at + _BURST]))
        time.sleep(max(0.0, started + (sent + _BURST) / _CHANGES_PER_SECOND - time.monotonic()))
    return total


def measure_changes(seconds: int) -> dict[str, float]:
    """Cores that the control process and each of two workers need for the changes of that many seconds."""
    versions = [commands(version) for version in range(2)]
    with contextlib.ExitStack() as stack:
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastrouter-changes-")))
        nats_port, port = free_port(), free_port()
        server = [str(Path(sys.executable).with_name("nats-server")), "-a", "127.0.0.1", "-p", str(nats_port)]
        stack.enter_context(listening("nats-server", server, LOAD_CORE, workdir, nats_port))
        configuration = {
            "status": {"port": 0, "routes": {"port": 0}},
            "nats": {"hosts": [{"hostname": "127.0.0.1", "port": nats_port}]},
            "port": port,
            "go_max_procs": 2,
            "start_response_delay_interval": "0s",
            "prometheus": {"enabled": True, "port": 0},
        }
        (workdir / "gorouter.yml").write_text(yaml.safe_dump(configuration))
        command = [str(Path(sys.executable).with_name("fastrouter")), "-c", str(workdir / "gorouter.yml")]
        router = stack.enter_context(listening("router", command, PROXY_CORE, workdir, port))
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", nats_port)))
        connection.recv(65536)
        connection.sendall(b'CONNECT {"verbose":false}\r\n' + b"".join(versions[1]))
        control, *workers = router.tree()
        settle([control, *workers])
        before = {pid: cpu_of(pid) for pid in (control, *workers)}
        sent = send_in_time(connection, versions, seconds)
        settle([control, *workers])
        cores = {pid: (cpu_of(pid) - before[pid]) / sent * _CHANGES_PER_SECOND for pid in before}
    figures = {"control": cores[control]}
    figures.update({f"worker {number}": cores[pid] for number, pid in enumerate(workers)})
    for name, share in figures.items():
        print(f"{name}: {share:.1%} of a core for {_CHANGES_PER_SECOND} changes a second")
    return figures


def settle(pids: list[int]) -> None:
    """Wait until these processes have nothing to do for a second."""
    while True:
        before = sum(map(cpu_of, pids))
        time.sleep(1)
        if sum(map(cpu_of, pids)) - before <= 0.03:
            return


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6, help="length of one measurement")
    parser.add_argument("--bar", type=float, default=1.10, help="fail if two workers need more than this times one")
    options = parser.parse_args()
    prepare_driver()
    facts = results.facts()
    changes = measure_changes(options.seconds)
    rounds = measure_requests(options.rounds, options.seconds)
    ratio = median(two / one for one, two in rounds)
    print(f"two workers need {ratio:.3f} times the CPU of one")
    print(f"written to {results.write('workers', facts, {'requests': rounds, 'ratio': ratio, 'changes': changes})}")
    is_dear = ratio > options.bar or any(share > _CHANGE_BAR for name, share in changes.items() if name != "control")
    return 1 if is_dear else 0


if __name__ == "__main__":
    sys.exit(main())
