"""h2load as load generator for HTTP/2 over TLS, pinned to the load core."""

import re
import subprocess
import tempfile
from pathlib import Path

from benchmarks.load.processes import LOAD_CORE
from benchmarks.load.workloads import Workload
from benchmarks.load.wrk import WrkResult


class H2loadRun:
    """One h2load process from its start; `result` waits for its end. It sends for `seconds`, or `count` requests."""

    def __init__(
        self, port: int, workload: Workload, seconds: int, *, count: int | None = None, upload: Path | None = None
    ) -> None:
        self._seconds = seconds
        self._log = Path(tempfile.mkdtemp(prefix="fastrouter-h2load-")) / "requests.log"
        extent = ("--duration", f"{seconds}") if count is None else ("--requests", f"{count}")
        body = () if upload is None else ("--data", str(upload))
        self._popen = subprocess.Popen(
            [
                *("taskset", "--cpu-list", str(LOAD_CORE), "h2load", "--threads", "1", *extent, *body),
                *("--clients", str(workload.connections), "--max-concurrent-streams", str(workload.streams)),
                *("--connect-to", f"127.0.0.1:{port}", "--log-file", str(self._log)),
                *(option for name, value in workload.headers.items() for option in ("-H", f"{name}: {value}")),
                f"https://{workload.host}{workload.path}",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )

    def result(self) -> WrkResult:
        try:
            output, _ = self._popen.communicate(timeout=self._seconds + 60)
            times = sorted(float(line.split()[2]) / 1e3 for line in self._log.read_text().splitlines())
        except BaseException:
            self._popen.kill()
            raise
        finally:
            self._log.unlink(missing_ok=True)
            self._log.parent.rmdir()
        if "Application protocol: h2\n" not in output or not times:
            raise RuntimeError(f"h2load has not spoken HTTP/2:\n{output}")
        counts = {name: int(number) for number, name in re.findall(r"(\d+) (done|failed|timeout|[345]xx)\b", output)}
        seconds = re.search(r"finished in ([\d.]+)(ms|s)", output)
        assert seconds is not None, output
        return WrkResult(
            requests=counts["done"],
            seconds=float(seconds[1]) / (1000 if seconds[2] == "ms" else 1),
            p50_ms=times[len(times) // 2],
            p99_ms=times[len(times) * 99 // 100],
            max_ms=times[-1],
            socket_errors=counts["failed"],
            timeouts=counts["timeout"],
            bad_statuses=counts["3xx"] + counts["4xx"] + counts["5xx"],
        )
