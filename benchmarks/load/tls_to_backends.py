"""What TLS to the backends costs: CPU per request of fastrouter and of nginx's `proxy_pass https`, side by side.

    python -m benchmarks.load.tls_to_backends [--rounds N] [--seconds N]

Both reach the same backend with TLS 1.3, verify its certificate and resume sessions. Measured as in
benchmarks.load.compare; W6 is W1 with TLS to the backend over kept connections, W7 the same with a handshake per
request: the backend closes each connection.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import trustme
import yaml

from benchmarks.load import results
from benchmarks.load.compare import Contest, contest_parser, table
from benchmarks.load.processes import LOAD_CORE, free_port, listening, prepare_driver
from benchmarks.load.proxies import Fastrouter, Nginx, Proxy, nginx_command
from benchmarks.load.workloads import HOST, SMALL_BODY, SMALL_PATH, WORKLOADS, Workload

_SAN = "app.internal"
_CLOSING_PATH = "/closing"
_WORKLOADS = (
    replace(WORKLOADS["W1"], name="W6", title=f"{WORKLOADS['W1'].title}, TLS to the backend"),
    replace(WORKLOADS["W1"], name="W7", title="the same, a resumed handshake per request", path=_CLOSING_PATH),
)


@contextlib.contextmanager
def _secure_backend(workdir: Path, authority: trustme.CA) -> Iterator[str]:
    """Run an nginx that answers over TLS; yields its address."""
    workdir = workdir / "secure-backend"
    workdir.mkdir()
    pair = authority.issue_cert(_SAN, key_type=trustme.KeyType.ECDSA)
    pair.private_key_and_cert_chain_pem.write_to_path(str(workdir / "pair.pem"))
    port = free_port()
    command = nginx_command(
        workdir,
        f"""
        access_log off;
        ssl_session_tickets on;
        server {{
            listen 127.0.0.1:{port} ssl backlog=4096;
            ssl_protocols TLSv1.3;
            ssl_certificate {workdir}/pair.pem;
            ssl_certificate_key {workdir}/pair.pem;
            location = {SMALL_PATH} {{ return 200 "{SMALL_BODY.decode()}"; }}
            location = {_CLOSING_PATH} {{ keepalive_timeout 0; return 200 "{SMALL_BODY.decode()}"; }}
        }}
        """,
    )
    with listening("secure-backend", command, LOAD_CORE, workdir, port):
        yield f"127.0.0.1:{port}"


class _SecureFastrouter(Fastrouter):
    """fastrouter with one route to a TLS endpoint."""

    def command(self) -> list[str]:
        endpoints = [{"address": one, "tls": True, "server_cert_domain_san": _SAN} for one in self.backends]
        routes = self.workdir / "routes.yml"
        routes.write_text(yaml.safe_dump({"routes": [{"route": HOST, "endpoints": endpoints}]}))
        executable, *_ = super().command()
        return [
            # Without a gorouter.yml the system's authorities are the ones it trusts.
            *("env", f"SSL_CERT_FILE={self.workdir.parent}/authority.pem"),
            *(executable, "run", "--no-admin", "--listen", f"127.0.0.1:{self.port}", "--routes", str(routes)),
            *("--access-log", str(self.access_log), "--workers", "1"),
        ]


class _SecureNginx(Nginx):
    """nginx as it is compared elsewhere, with TLS to its backends."""

    def command(self) -> list[str]:
        command = super().command()
        config = self.workdir / "nginx.conf"
        config.write_text(
            config.read_text().replace(
                "proxy_pass http://app;",
                f"""
                    proxy_pass https://app;
                    proxy_ssl_verify on;
                    proxy_ssl_trusted_certificate {self.workdir.parent}/authority.pem;
                    proxy_ssl_name {_SAN};
                    proxy_ssl_server_name on;
                    proxy_ssl_protocols TLSv1.3;
                    proxy_ssl_session_reuse on;
                """,
            )
        )
        return command


def main() -> int:
    parser = contest_parser(__doc__)
    options = parser.parse_args()
    prepare_driver()
    facts = results.facts()
    kinds: tuple[type[Proxy], ...] = (_SecureFastrouter, _SecureNginx)
    with contextlib.ExitStack() as stack:
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastrouter-tls-")))
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        authority.cert_pem.write_to_path(str(workdir / "authority.pem"))
        backend = stack.enter_context(_secure_backend(workdir, authority))
        proxies = [kind(workdir, [backend]) for kind in kinds]
        running = {proxy.name: (proxy, stack.enter_context(proxy.started())) for proxy in proxies}
        contest = Contest(running, options.seconds, options.attempts)
        for workload in _WORKLOADS:
            _measure(contest, workload, options.rounds)
            print(table(contest, workload, list(running)), end="\n\n", flush=True)
    figures = {"seconds": options.seconds, "measurements": list(map(asdict, contest.measurements))}
    print(f"written to {results.write('tls-to-backends', facts, figures)}")
    errors = sum(one.wrk.errors for one in contest.measurements)
    print(f"{'FAIL' if errors else 'PASS'}  errors: {errors}")
    return 1 if errors else 0


def _measure(contest: Contest, workload: Workload, rounds: int) -> None:
    contest.verify(workload)
    contest.warm_up(workload)
    for number in range(1, rounds + 1):
        contest.measure_round(workload, number)


if __name__ == "__main__":
    sys.exit(main())
