"""What TLS to the clients costs: CPU per request of fastrouter and of nginx, side by side, and memory per connection.

    python -m benchmarks.load.tls_to_clients [--rounds N] [--seconds N] [--idle CONNECTIONS]

Both have the same P-256 certificate and TLS 1.2 and 1.3, and wrk takes 1.3. Measured as in benchmarks.load.compare; W3
is W1 over TLS with kept connections, W8 a handshake per request, which wrk never resumes. Then connections are opened
that send one request each and stay: what they add to the memory of the process tree, and what plain ones do.
"""

import contextlib
import socket
import ssl
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.load import results
from benchmarks.load.backends import static_backend
from benchmarks.load.compare import Contest, contest_parser, table
from benchmarks.load.nats import nats_server
from benchmarks.load.processes import PinnedProcess, prepare_driver
from benchmarks.load.proxies import Proxy
from benchmarks.load.secure_proxies import SecureFastrouter, SecureNginx, issue_pair
from benchmarks.load.workloads import HOST, SMALL_PATH, WORKLOADS

_WORKLOADS = (
    replace(WORKLOADS["W1"], name="W3", title=f"{WORKLOADS['W1'].title}, TLS to the client", scheme="https"),
    replace(WORKLOADS["W5"], name="W8", title="a handshake per request, 64 at a time", scheme="https"),
)


def bytes_per_connection(process: PinnedProcess, port: int, count: int, context: ssl.SSLContext | None) -> float:
    """Open `count` connections that have had one request each; returns what one adds to the tree's own memory."""
    request = f"GET {SMALL_PATH} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    before = process.memory().uss
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            if context is not None:
                connection = context.wrap_socket(connection, server_hostname=HOST)
            stack.enter_context(connection)
            connection.sendall(request)
            if b" 200 " not in connection.recv(65536):
                raise RuntimeError("no answer")
        return (process.memory().uss - before) / count


def main() -> int:
    parser = contest_parser(__doc__)
    parser.add_argument("--idle", type=int, default=2000, help="connections whose memory is measured")
    options = parser.parse_args()
    prepare_driver()
    facts = results.facts()
    kinds: tuple[type[Proxy], ...] = (SecureFastrouter, SecureNginx)
    with contextlib.ExitStack() as stack:
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastrouter-tls-")))
        issue_pair(workdir)
        SecureFastrouter.nats_port = stack.enter_context(nats_server(workdir))
        backend = stack.enter_context(static_backend(workdir))
        proxies = [kind(workdir, [backend]) for kind in kinds]
        running = {proxy.name: (proxy, stack.enter_context(proxy.started())) for proxy in proxies}
        contest = Contest(running, options.seconds, options.attempts)
        idle = {}
        for name, (proxy, process) in running.items():
            context = ssl._create_unverified_context()
            idle[name] = {
                "plain": bytes_per_connection(process, proxy.plain_port, options.idle, None),
                "tls": bytes_per_connection(process, proxy.port, options.idle, context),
            }
            print(f"{name}: bytes per idle connection: {idle[name]['plain']:.0f} plain, {idle[name]['tls']:.0f} TLS")
        for workload in _WORKLOADS:
            contest.verify(workload)
            contest.warm_up(workload)
            for number in range(1, options.rounds + 1):
                contest.measure_round(workload, number)
            print(table(contest, workload, list(running)), end="\n\n", flush=True)
    figures = {
        "seconds": options.seconds,
        "idle_bytes_per_connection": idle,
        "measurements": list(map(asdict, contest.measurements)),
    }
    print(f"written to {results.write('tls-to-clients', facts, figures)}")
    errors = sum(one.wrk.errors for one in contest.measurements)
    print(f"{'FAIL' if errors else 'PASS'}  errors: {errors}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
