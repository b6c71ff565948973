"""wrk with 256 connections for 30 seconds: no errors, nothing but 2xx."""

from pathlib import Path

from benchmarks.load.acceptance.subject import Check, proxy_under_test
from benchmarks.load.backends import static_backend
from benchmarks.load.workloads import WORKLOADS
from benchmarks.load.wrk import WrkRun

_CONNECTIONS = 256
_SECONDS = 30


def run(proxy_name: str, workdir: Path) -> list[Check]:
    with static_backend(workdir) as backend, proxy_under_test(proxy_name, workdir, [backend]) as proxy:
        wrk = WrkRun(proxy.port, WORKLOADS["W1"], _SECONDS, _CONNECTIONS).result()
    return [
        Check("requests completed", f"{wrk.requests} ({wrk.requests_per_second:.0f}/s)", "> 0", wrk.requests > 0),
        Check("socket errors", str(wrk.socket_errors), "0", wrk.socket_errors == 0),
        Check("timeouts", f"{wrk.timeouts}, slowest answer {wrk.max_ms:.0f} ms", "0", wrk.timeouts == 0),
        Check("answers that are not 2xx", str(wrk.bad_statuses), "0", wrk.bad_statuses == 0),
    ]
