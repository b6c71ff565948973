"""What route services cost: CPU per request of a router whose route has a service, beside one that has none.

    python -m benchmarks.load.route_services [--rounds N] [--seconds N]

The service is an nginx that sends every request back to the router: client -> router -> service -> router -> app. It
is reached over TLS 1.2 with a resumed session, in a connection of its own for each request, or (hairpin) as an app of
the same router, through its internal listener. Each request of the client is two of the router
(service) or three (hairpin).
"""

import argparse
import contextlib
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import trustme
import yaml

from benchmarks.load import results
from benchmarks.load.backends import static_backend
from benchmarks.load.processes import LOAD_CORE, PROXY_CORE, PinnedProcess, free_port, listening, prepare_driver
from benchmarks.load.proxies import nginx_command
from benchmarks.load.workloads import HOST, WORKLOADS, Workload
from benchmarks.load.wrk import WrkResult, WrkRun

_PLAIN, _INSIDE, _SERVICE = "plain.example.com", "inside.example.com", "service.example.com"
_WORKLOADS = (
    replace(WORKLOADS["W1"], name="direct", title="no service", headers={"Host": _PLAIN}),
    replace(WORKLOADS["W1"], name="service", title="a service outside, over TLS", headers={"Host": HOST}),
    replace(WORKLOADS["W1"], name="hairpin", title="a service that is an app, hairpinned", headers={"Host": _INSIDE}),
)
_NATS_SERVER = Path(sys.executable).parent / "nats-server"
_PATIENCE = 20.0


@contextlib.contextmanager
def _service(workdir: Path, authority: trustme.CA, router_port: int) -> Iterator[tuple[int, int]]:
    """Run an nginx that sends requests back to the router; yields its ports with TLS and without."""
    workdir = workdir / "service"
    workdir.mkdir()
    pair = authority.issue_cert("127.0.0.1", key_type=trustme.KeyType.ECDSA)
    pair.private_key_and_cert_chain_pem.write_to_path(str(workdir / "pair.pem"))
    secure, plain = free_port(), free_port()
    servers = [
        f"""
        server {{
            listen 127.0.0.1:{listen};
            location / {{
                proxy_http_version 1.1;
                proxy_set_header Connection "";
                proxy_set_header Host {host};
                proxy_pass http://router{{}};
            }}
        }}
        """.replace("{}", WORKLOADS["W1"].path)
        for listen, host in ((f"{secure} ssl backlog=4096", HOST), (f"{plain} backlog=4096", _INSIDE))
    ]
    command = nginx_command(
        workdir,
        f"""
        access_log off;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_tickets on;
        ssl_certificate {workdir}/pair.pem;
        ssl_certificate_key {workdir}/pair.pem;
        upstream router {{
            server 127.0.0.1:{router_port};
            keepalive 512;
            keepalive_requests 1000000000;
            keepalive_timeout 900s;
        }}
        {"".join(servers)}
        """,
    )
    with listening("service", command, LOAD_CORE, workdir, secure):
        yield secure, plain


@contextlib.contextmanager
def _nats(workdir: Path) -> Iterator[int]:
    port = free_port()
    command = [str(_NATS_SERVER), "-a", "127.0.0.1", "-p", str(port)]
    with listening("nats", command, LOAD_CORE, workdir, port):
        yield port


def _configuration(workdir: Path, authority: trustme.CA, port: int, nats_port: int) -> Path:
    document: dict[str, Any] = {
        "port": port,
        "status": {"port": free_port(), "routes": {"port": free_port()}},
        "nats": {"hosts": [{"hostname": "127.0.0.1", "port": nats_port}]},
        "go_max_procs": 1,
        "start_response_delay_interval": "0s",
        "disable_keep_alives": False,
        "max_idle_conns": 512,
        "max_idle_conns_per_host": 512,
        "enable_envelope_v1_metrics": False,
        "access_log": {"file": str(workdir / "access.log")},
        "ca_certs": [authority.cert_pem.bytes().decode()],
        "route_services_secret": "benchmark",
        "route_services": {"max_attempts": 3},
        "route_services_hairpinning": True,
        "route_services_hairpinning_allowlist": [_SERVICE],
        "route_services_internal_server_port": 0,
    }
    path = workdir / "gorouter.yml"
    path.write_text(yaml.safe_dump(document))
    return path


class _Registrar:
    """Registers the routes, as often as it takes to keep them."""

    def __init__(self, nats_port: int, backend: str, secure_port: int, plain_port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", nats_port))
        self._socket.sendall(b'CONNECT {"verbose":false}\r\n')
        outside, inside = f"https://127.0.0.1:{secure_port}/", f"https://{_SERVICE}/"
        self._messages = [
            self._message(backend, _PLAIN),
            self._message(backend, HOST, route_service_url=outside),
            self._message(backend, _INSIDE, route_service_url=inside),
            self._message(f"127.0.0.1:{plain_port}", _SERVICE),
        ]

    def _message(self, address: str, uri: str, **fields: str) -> bytes:
        host, _, port = address.rpartition(":")
        payload = json.dumps({"host": host, "port": int(port), "uris": [uri], "app": uri, **fields}).encode()
        return b"PUB router.register %d\r\n%s\r\n" % (len(payload), payload)

    def register(self) -> None:
        self._socket.sendall(b"".join(self._messages))


def _answers(port: int, workload: Workload) -> bool:
    """Whether the app answers through the router."""
    head = f"GET {workload.path} HTTP/1.1\r\nHost: {workload.headers['Host']}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(workload.body)


def _verify(port: int, registrar: _Registrar) -> None:
    deadline = time.monotonic() + _PATIENCE
    for workload in _WORKLOADS:
        registrar.register()
        while not _answers(port, workload):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{workload.name} is not answered")
            time.sleep(0.05)


def _measure(router: PinnedProcess, port: int, workload: Workload, seconds: int) -> tuple[float, WrkResult]:
    """CPU microseconds of the router per request of the client, and what wrk saw."""
    before = router.cpu_seconds()
    wrk = WrkRun(port, workload, seconds).result()
    return (router.cpu_seconds() - before) / max(wrk.requests, 1) * 1e6, wrk


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8, help="length of one measurement")
    options = parser.parse_args()
    prepare_driver()
    facts = results.facts()
    measured: dict[str, list[tuple[float, WrkResult]]] = {workload.name: [] for workload in _WORKLOADS}
    with contextlib.ExitStack() as stack:
        workdir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastrouter-services-")))
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        backend = stack.enter_context(static_backend(workdir))
        port, nats_port = free_port(), stack.enter_context(_nats(workdir))
        secure_port, plain_port = stack.enter_context(_service(workdir, authority, port))
        executable = Path(sys.executable).with_name("fastrouter")
        command = [str(executable), "-c", str(_configuration(workdir, authority, port, nats_port))]
        router = stack.enter_context(listening("router", command, PROXY_CORE, workdir, port))
        registrar = _Registrar(nats_port, backend, secure_port, plain_port)
        _verify(port, registrar)
        for number in range(options.rounds + 1):
            for workload in _WORKLOADS:
                registrar.register()
                result = _measure(router, port, workload, options.seconds if number else 1)
                if number:
                    measured[workload.name].append(result)
    print(f"{'':<9}{'CPU µs/req':>11}{'min-max':>17}{'req/s':>9}{'p50 ms':>8}{'p99 ms':>8}{'errors':>8}")
    errors = 0
    for workload in _WORKLOADS:
        cpu, runs = zip(*measured[workload.name], strict=True)
        failed = sum(run.errors for run in runs)
        errors += failed
        print(
            f"{workload.name:<9}{median(cpu):>11.1f}{f'{min(cpu):.1f}-{max(cpu):.1f}':>17}"
            f"{median(run.requests_per_second for run in runs):>9.0f}{median(run.p50_ms for run in runs):>8.2f}"
            f"{median(run.p99_ms for run in runs):>8.2f}{failed:>8}  {workload.title}"
        )
    figures = {
        "seconds": options.seconds,
        "measurements": {
            name: [{"cpu_us_per_request": cpu, "wrk": asdict(run)} for cpu, run in rounds]
            for name, rounds in measured.items()
        },
    }
    print(f"written to {results.write('route-services', facts, figures)}")
    print(f"{'FAIL' if errors else 'PASS'}  errors: {errors}")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
