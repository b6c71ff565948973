"""wrk as load generator, pinned to the load core."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.processes import LOAD_CORE
from benchmarks.load.workloads import Workload

_REPORT_SCRIPT = Path(__file__).with_name("wrk_report.lua")


@dataclass(frozen=True)
class WrkResult:
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    socket_errors: int
    timeouts: int
    bad_statuses: int

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def errors(self) -> int:
        """Requests that failed on the socket, took longer than two seconds, or were answered with 4xx or 5xx."""
        return self.socket_errors + self.timeouts + self.bad_statuses


class WrkRun:
    """One wrk process from its start; `result` waits for its end."""

    def __init__(self, port: int, workload: Workload, seconds: int, connections: int | None = None) -> None:
        headers = {"Host": workload.host, **workload.headers}
        header_options = [option for name, value in headers.items() for option in ("-H", f"{name}: {value}")]
        self._seconds = seconds
        self._popen = subprocess.Popen(
            [
                *("taskset", "--cpu-list", str(LOAD_CORE)),
                *("wrk", "--threads", "1", "--connections", str(connections or workload.connections)),
                *("--duration", f"{seconds}s", "--script", str(_REPORT_SCRIPT)),
                *header_options,
                f"{workload.scheme}://127.0.0.1:{port}{workload.path}",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def result(self) -> WrkResult:
        try:
            output, _ = self._popen.communicate(timeout=self._seconds + 15)
        except BaseException:
            self._popen.kill()
            raise
        for line in output.splitlines():
            if line.startswith("WRK "):
                figures = json.loads(line.removeprefix("WRK "))
                return WrkResult(
                    requests=figures["requests"],
                    seconds=figures["duration_us"] / 1e6,
                    p50_ms=figures["p50_us"] / 1e3,
                    p99_ms=figures["p99_us"] / 1e3,
                    max_ms=figures["max_us"] / 1e3,
                    socket_errors=sum(figures[kind] for kind in ("connect", "read", "write")),
                    timeouts=figures["timeout"],
                    bad_statuses=figures["status"],
                )
        raise RuntimeError(f"wrk printed no result:\n{output}")
