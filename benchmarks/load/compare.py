"""CPU per request of fastrouter, nginx and HAProxy, side by side in one run.

    python -m benchmarks.load.compare --rounds 3 --seconds 8 --workloads W1,W2 --proxies fastrouter,nginx,haproxy
    GOROUTER=/path/to/gorouter python -m benchmarks.load.compare --proxies fastrouter,nginx,gorouter

Each proxy runs one worker pinned to core 0; the static backend and wrk share core 1. CPU per request is the user and
system time of the proxy's whole process tree divided by the requests wrk completed: unlike requests per second it
depends little on what else the machine does. Little is not nothing: a proxy that has to share its core pays more for
each request. So a measurement during which others took more than a tenth of the core is repeated, and the least
disturbed attempt counts. Ratios are taken within a round, where the proxies follow each other within seconds, and the
median of the rounds is reported.
"""

import argparse
import contextlib
import http.client
import ssl
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.load import results
from benchmarks.load.backends import static_backend
from benchmarks.load.h2load import H2loadRun
from benchmarks.load.processes import PROXY_CORE, PinnedProcess, core_busy_seconds, prepare_driver
from benchmarks.load.proxies import PROXIES, Proxy
from benchmarks.load.workloads import WORKLOADS, Workload
from benchmarks.load.wrk import WrkResult, WrkRun

_VERIFIED_REQUESTS = 20
_MAX_DISTURBANCE = 0.1
_PEERS = ("nginx", "haproxy", "gorouter")


@dataclass(frozen=True)
class Measurement:
    """One proxy under one workload in one round."""

    workload: str
    proxy: str
    round: int
    cpu_us_per_request: float
    core_share: float
    disturbance: float  # share of the proxy's core that other programs took
    log_lines_missing: int
    wrk: WrkResult


class Contest:
    """The running proxies and what was measured of them so far."""

    def __init__(self, running: dict[str, tuple[Proxy, PinnedProcess]], seconds: int, attempts: int) -> None:
        self._running = running
        self._seconds = seconds
        self._attempts = attempts
        self.measurements: list[Measurement] = []

    def verify(self, workload: Workload) -> None:
        """Raise unless every proxy answers rightly and logs one line per request: errors are cheap, and worthless."""
        for name, (proxy, _) in self._running.items():
            proxy.clear_access_log()
            for _ in range(_VERIFIED_REQUESTS):
                connection = _connection(proxy.port, workload)
                with contextlib.closing(connection):
                    connection.request("GET", workload.path, headers={"Host": workload.host, **workload.headers})
                    response = connection.getresponse()
                    body = response.read()
                if response.status != 200 or body != workload.body:
                    raise RuntimeError(f"{name} answers {workload.name} with {response.status} and {len(body)} bytes")
            lines = proxy.logged_lines(_VERIFIED_REQUESTS)
            if lines != _VERIFIED_REQUESTS:
                raise RuntimeError(f"{name} logged {lines} lines for {_VERIFIED_REQUESTS} requests of {workload.name}")

    def warm_up(self, workload: Workload) -> None:
        for proxy, _ in self._running.values():
            _load(proxy.port, workload, seconds=1)
            proxy.logged_lines(1)

    def measure_round(self, workload: Workload, number: int) -> None:
        for name in self._order(number):
            attempts: list[Measurement] = []
            while len(attempts) < self._attempts:
                attempts.append(self._measure(workload, name, number))
                if attempts[-1].disturbance <= _MAX_DISTURBANCE:
                    break
            self.measurements.append(min(attempts, key=lambda attempt: attempt.disturbance))

    def _measure(self, workload: Workload, name: str, number: int) -> Measurement:
        proxy, process = self._running[name]
        proxy.clear_access_log()
        cpu_before, busy_before = process.cpu_seconds(), core_busy_seconds(PROXY_CORE)
        started = time.monotonic()
        wrk = _load(proxy.port, workload, self._seconds)
        # Waiting for the log first puts the cost of its last batch into the figure too.
        lines = proxy.logged_lines(wrk.requests)
        seconds = time.monotonic() - started
        cpu_seconds = process.cpu_seconds() - cpu_before
        busy_seconds = core_busy_seconds(PROXY_CORE) - busy_before
        return Measurement(
            workload=workload.name,
            proxy=name,
            round=number,
            cpu_us_per_request=cpu_seconds / max(wrk.requests, 1) * 1e6,
            core_share=cpu_seconds / seconds,
            disturbance=max(busy_seconds - cpu_seconds, 0.0) / seconds,
            log_lines_missing=max(wrk.requests - lines, 0),
            wrk=wrk,
        )

    def _order(self, number: int) -> list[str]:
        """Let another proxy begin each round: none may always follow the same neighbour."""
        names = list(self._running)
        first = number % len(names)
        return names[first:] + names[:first]

    def of(self, workload: str, proxy: str) -> list[Measurement]:
        return [one for one in self.measurements if (one.workload, one.proxy) == (workload, proxy)]

    def ratio(self, workload: str, proxy: str, peer: str) -> float | None:
        """Median over the rounds of CPU per request relative to `peer`; None if the peer took no part."""
        pairs = zip(self.of(workload, proxy), self.of(workload, peer), strict=False)
        ratios = [mine.cpu_us_per_request / theirs.cpu_us_per_request for mine, theirs in pairs]
        return median(ratios) if ratios else None


def _load(port: int, workload: Workload, seconds: int) -> WrkResult:
    """Drive a proxy with what speaks the workload's protocol."""
    run: WrkRun | H2loadRun = (H2loadRun if workload.scheme == "h2" else WrkRun)(port, workload, seconds)
    return run.result()


def _connection(port: int, workload: Workload) -> http.client.HTTPConnection:
    if workload.scheme == "http":
        return http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    # wrk does not care who it talks to, either.
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=ssl._create_unverified_context())


def table(contest: Contest, workload: Workload, proxies: Sequence[str]) -> str:
    lines = [
        f"{workload.name}  {workload.title}",
        f"{'proxy':<15}{'CPU µs/req':>11}{'min-max':>15}{'/ nginx':>9}{'/ haproxy':>10}{'/ gorouter':>11}"
        f"{'req/s':>9}{'core %':>8}{'others %':>9}{'p50 ms':>8}{'p99 ms':>8}{'errors':>8}{'unlogged':>9}",
    ]
    for proxy in proxies:
        rounds = contest.of(workload.name, proxy)
        cpu = [one.cpu_us_per_request for one in rounds]
        ratios = [contest.ratio(workload.name, proxy, peer) for peer in _PEERS]
        shown = ["-" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        lines.append(
            f"{proxy:<15}{median(cpu):>11.2f}{f'{min(cpu):.2f}-{max(cpu):.2f}':>15}{shown[0]:>9}{shown[1]:>10}{shown[2]:>11}"
            f"{median(one.wrk.requests_per_second for one in rounds):>9.0f}"
            f"{median(one.core_share for one in rounds) * 100:>8.0f}"
            f"{median(one.disturbance for one in rounds) * 100:>9.0f}"
            f"{median(one.wrk.p50_ms for one in rounds):>8.2f}{median(one.wrk.p99_ms for one in rounds):>8.2f}"
            f"{sum(one.wrk.errors for one in rounds):>8}{sum(one.log_lines_missing for one in rounds):>9}"
        )
    return "\n".join(lines)


def failures(contest: Contest, workloads: Sequence[str], bar: float | None) -> list[str]:
    found = [
        f"{one.proxy} {one.workload} round {one.round}: {one.wrk.errors} errors, {one.log_lines_missing} lines missing"
        for one in contest.measurements
        if one.wrk.errors or one.log_lines_missing
    ]
    for workload in workloads:
        ratio = contest.ratio(workload, "fastrouter", "nginx")
        if bar is not None and ratio is not None and ratio > bar:
            found.append(f"fastrouter {workload}: {ratio:.2f} x nginx, the bar is {bar:.2f}")
    return found


def main() -> int:
    options = _options()
    prepare_driver()
    facts = results.facts()
    versions = {name: PROXIES[name].version() for name in options.proxies}
    with contextlib.ExitStack() as stack:
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastrouter-compare-")))
        backend = stack.enter_context(static_backend(workdir))
        proxies = [PROXIES[name](workdir, [backend]) for name in options.proxies]
        running = {proxy.name: (proxy, stack.enter_context(proxy.started())) for proxy in proxies}
        contest = Contest(running, options.seconds, options.attempts)
        for name in options.workloads:
            contest.verify(WORKLOADS[name])
            contest.warm_up(WORKLOADS[name])
            for number in range(1, options.rounds + 1):
                contest.measure_round(WORKLOADS[name], number)
            print(table(contest, WORKLOADS[name], options.proxies), end="\n\n", flush=True)
    figures = {
        "versions": versions,
        "seconds": options.seconds,
        "measurements": list(map(asdict, contest.measurements)),
    }
    print(f"written to {results.write('compare', facts, figures)}")
    found = failures(contest, options.workloads, options.bar)
    for failure in found:
        print(f"FAIL  {failure}")
    return 1 if found else 0


def contest_parser(description: str | None, *, rounds: int = 3, seconds: int = 8) -> argparse.ArgumentParser:
    """Return a parser with the options of every comparison."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=int, default=seconds, help="length of one measurement")
    parser.add_argument("--attempts", type=int, default=4, help="at one measurement, while others use the core too")
    return parser


def _options() -> argparse.Namespace:
    parser = contest_parser(__doc__)
    parser.add_argument("--workloads", type=names_of(WORKLOADS), default=list(WORKLOADS), help="comma-separated")
    parser.add_argument(
        "--proxies",
        type=names_of(PROXIES),
        default=["fastrouter", "nginx", "haproxy"],
        help="comma-separated",
    )
    parser.add_argument("--bar", type=float, help="fail if fastrouter needs more than this times nginx's CPU")
    return parser.parse_args()


def names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Return the type of an option that takes some of the names that are `known`, comma-separated."""

    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())
