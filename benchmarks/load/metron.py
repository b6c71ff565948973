"""What it costs to tell a Loggregator agent of requests: W1 with and without, as ratios of CPU per request.

    python -m benchmarks.load.metron [--rounds N] [--seconds N]

Each case is a fastrouter of its own with one worker on core 0; in a round they are measured one after the other, and
ratios are taken within the round. The agent, on core 1, only counts. A measurement during which others took more than a
tenth of core 0 is repeated, and the least disturbed one counts. Exits with 1 if nobody listens and that costs more than
2 %.
"""

import contextlib
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml

from benchmarks.load.backends import static_backend
from benchmarks.load.compare import contest_parser
from benchmarks.load.processes import (
    LOAD_CORE,
    PROXY_CORE,
    PinnedProcess,
    core_busy_seconds,
    free_port,
    listening,
    prepare_driver,
)
from benchmarks.load.workloads import HOST, WORKLOADS
from benchmarks.load.wrk import WrkRun

_OFF = "off"
_NOBODY = "on, nobody listens"
_MOST_FOR_NOBODY = 1.02
_MAX_DISTURBANCE = 0.1
_BIN = Path(sys.executable).parent
_TAGS = dict.fromkeys(("app_id", "space_id", "organization_id", "source_id"), "0b1c7a52-8c38-4bd2-9d1c-1c0c4b9a6a11")

# What is on, by the name of the case.
_CASES: dict[str, dict[str, Any]] = {
    _OFF: {"enable_envelope_v1_metrics": False},
    _NOBODY: {},
    "events": {"per_request_metrics_reporting": False},
    "events and values": {},
    "events, values and records": {"logging": {"loggregator_enabled": True}},
}

_AGENT = """
import socket, sys
agent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
agent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
agent.bind(("127.0.0.1", int(sys.argv[1])))
there = socket.create_server(("127.0.0.1", int(sys.argv[1])))
room = bytearray(65536)
while True:
    agent.recv_into(room)
"""


@dataclass(frozen=True)
class Case:
    """A router that tells an agent something."""

    name: str
    process: PinnedProcess
    port: int


@contextlib.contextmanager
def _started(name: str, workdir: Path, nats_port: int, agent_port: int) -> Iterator[Case]:
    port = free_port()
    keys = dict(_CASES[name])
    config = {
        "port": port,
        "go_max_procs": 1,
        "start_response_delay_interval": "0s",
        "status": {"port": free_port(), "routes": {"port": free_port()}},
        "nats": {"hosts": [{"hostname": "127.0.0.1", "port": nats_port}]},
        "max_idle_conns_per_host": 100,
        "disable_keep_alives": False,
        "access_log": {"file": str(workdir / "access.log")},
        "logging": {"level": "info", "metron_address": f"127.0.0.1:{agent_port}", **keys.pop("logging", {})},
        **keys,
    }
    slug = name.replace(" ", "-").replace(",", "")
    path = workdir / f"{slug}.yml"
    path.write_text(yaml.safe_dump(config))
    command = [str(_BIN / "fastrouter"), "-c", str(path)]
    with listening(slug, command, PROXY_CORE, workdir, port) as process:
        yield Case(name, process, port)


def _register(nats_port: int, backend: str) -> None:
    """Register the backend as an app does, with tags."""
    host, _, port = backend.rpartition(":")
    app = {"app": _TAGS["app_id"], "private_instance_id": "one", "private_instance_index": "0", "tags": _TAGS}
    message = json.dumps({"host": host, "port": int(port), "uris": [HOST], **app}).encode()
    with socket.create_connection(("127.0.0.1", nats_port)) as nats:
        nats.sendall(b'CONNECT {"verbose":false}\r\nPUB router.register %d\r\n%s\r\nPING\r\n' % (len(message), message))
        received = b""
        while b"PONG" not in received:
            received += nats.recv(4096)
    # Until all routers have it.
    time.sleep(1)


class Cost(NamedTuple):
    """Microseconds of CPU per request: in all, and of that the kernel's."""

    whole: float
    kernel: float


def _measure(case: Case, seconds: int, attempts: int) -> Cost:
    found: list[tuple[float, Cost]] = []
    while len(found) < attempts and all(others > _MAX_DISTURBANCE for others, _ in found):
        busy, before = core_busy_seconds(PROXY_CORE), case.process.cpu_times()
        wrk = WrkRun(case.port, WORKLOADS["W1"], seconds).result()
        user, kernel = (now - then for now, then in zip(case.process.cpu_times(), before, strict=True))
        others = max(0.0, core_busy_seconds(PROXY_CORE) - busy - user - kernel) / wrk.seconds
        found.append((others, Cost((user + kernel) / wrk.requests * 1e6, kernel / wrk.requests * 1e6)))
    return min(found)[1]


def main() -> int:
    options = contest_parser(__doc__, rounds=5, seconds=5).parse_args()
    prepare_driver()
    found: dict[str, list[Cost]] = {name: [] for name in _CASES}
    with contextlib.ExitStack() as stack:
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastrouter-metron-")))
        backend = stack.enter_context(static_backend(workdir))
        nats_port, agent_port = free_port(), free_port()
        nats = [str(_BIN / "nats-server"), "-a", "127.0.0.1", "-p", str(nats_port)]
        stack.enter_context(listening("nats-server", nats, PROXY_CORE, workdir, nats_port))
        agent = [sys.executable, "-c", _AGENT, str(agent_port)]
        stack.enter_context(listening("agent", agent, LOAD_CORE, workdir, agent_port))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind(("127.0.0.1", 0))
            closed_port = nobody.getsockname()[1]
        cases = [
            stack.enter_context(_started(name, workdir, nats_port, closed_port if name == _NOBODY else agent_port))
            for name in _CASES
        ]
        _register(nats_port, backend)
        for _ in range(options.rounds):
            for case in cases:
                found[case.name].append(_measure(case, options.seconds, options.attempts))
    ratios = {
        name: median(each.whole / off.whole for each, off in zip(figures, found[_OFF], strict=True))
        for name, figures in found.items()
    }
    for name, figures in found.items():
        whole, kernel = (median(each[part] for each in figures) for part in (0, 1))
        print(f"{name:28} {whole:6.2f} us, of that the kernel {kernel:6.2f} us  x {ratios[name]:.3f}")
    return int(ratios[_NOBODY] > _MOST_FOR_NOBODY)


if __name__ == "__main__":
    sys.exit(main())
