"""The proxies that are compared. A new one is a subclass of Proxy and an entry in PROXIES.

All do the same job: route HOST to the backends round robin over kept-alive connections, append X-Forwarded-For and
write one access log line per request, with one worker and everything below a directory of their own.
"""

import contextlib
import http.client
import os
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from benchmarks.load.nats import nats_server, register
from benchmarks.load.processes import PROXY_CORE, PinnedProcess, free_port, listening
from benchmarks.load.workloads import HOST, SMALL_PATH

_REPOSITORY = Path(__file__).parents[2]


class Proxy(ABC):
    """One proxy configured below `workdir`, listening on a free loopback port once `started`."""

    name: str

    def __init__(self, workdir: Path, backends: Sequence[str]) -> None:
        self.workdir = workdir / self.name
        self.workdir.mkdir()
        self.backends = backends
        self.port = self.plain_port = free_port()
        self.access_log = self.workdir / "access.log"

    @classmethod
    @abstractmethod
    def version_command(cls) -> list[str]: ...

    @abstractmethod
    def command(self) -> list[str]:
        """Write the configuration and return the command that runs in the foreground with it."""

    @classmethod
    def version(cls) -> str:
        run = subprocess.run(cls.version_command(), capture_output=True, text=True, check=True)
        return "; ".join((run.stdout + run.stderr).splitlines()[:6])

    @contextlib.contextmanager
    def started(self) -> Iterator[PinnedProcess]:
        with listening(self.name, self.command(), PROXY_CORE, self.workdir, self.port) as process:
            yield process

    def logged_lines(self, expected: int, timeout: float = 3.0) -> int:
        """Lines in the access log, waiting for batches still held back until `expected` are there."""
        deadline = time.monotonic() + timeout
        while (lines := self._count_lines()) < expected and time.monotonic() < deadline:
            time.sleep(0.1)
        return lines

    def clear_access_log(self) -> None:
        """Empty it, once the lines of earlier requests have all been written."""
        seen = -1
        while (lines := self._count_lines()) != seen:
            seen = lines
            time.sleep(0.3)
        os.truncate(self.access_log, 0)

    def _count_lines(self) -> int:
        with self.access_log.open("rb") as log:
            return sum(block.count(b"\n") for block in iter(lambda: log.read(1 << 20), b""))


class Fastrouter(Proxy):
    name = "fastrouter"

    @classmethod
    def version_command(cls) -> list[str]:
        return [_fastrouter_executable(), "version"]

    def command(self) -> list[str]:
        return [
            *(_fastrouter_executable(), "run", "--no-admin", "--listen", f"127.0.0.1:{self.port}"),
            *("--route", f"{HOST}={','.join(self.backends)}"),
            *("--access-log", str(self.access_log), "--workers", "1"),
        ]


class FastrouterWithAll(Fastrouter):
    """fastrouter with every handler at work that Gorouter's configuration can switch on for a plain request."""

    name = "fastrouter-all"

    def command(self) -> list[str]:
        config = {
            "port": self.port,
            "status": {"port": 0, "routes": {"port": 0}},
            "nats": {"hosts": [{"hostname": "127.0.0.1", "port": self._nats_port}]},
            "logging": {
                "level": "info",
                "extra_access_log_fields": ["failed_attempts", "dial_time", "backend_time", "local_address"],
                "redact_query_params": "hash",
            },
            "go_max_procs": 1,
            "start_response_delay_interval": "0s",
            "disable_keep_alives": False,
            # Both: the smaller one counts, as in Gorouter, and the default of the first is 100.
            "max_idle_conns": 500,
            "max_idle_conns_per_host": 500,
            "access_log": {"file": str(self.access_log)},
            "tracing": {"enable_zipkin": True, "enable_w3c": True},
            "extra_headers_to_log": ["accept-language"],
            "forwarded_client_cert": "sanitize_set",
            "sanitize_forwarded_proto": True,
            "hop_by_hop_headers_to_filter": ["X-Forwarded-For"],
            "route_services_secret": "secret",
            "secure_cookies": True,
            "trace_key": "22",
            "prometheus": {"enabled": True, "port": 0},
            "http_rewrite": {
                "responses": {
                    "remove_headers": [{"name": "Server"}],
                    "add_headers_if_not_present": [{"name": "X-Frame-Options", "value": "DENY"}],
                }
            },
        }
        (self.workdir / "gorouter.yml").write_text(yaml.safe_dump(config))
        endpoints = [{"address": address} for address in self.backends]
        routes = self.workdir / "routes.yml"
        routes.write_text(yaml.safe_dump({"routes": [{"route": HOST, "endpoints": endpoints}]}))
        return [_fastrouter_executable(), "-c", str(self.workdir / "gorouter.yml"), "-routes", str(routes)]

    @contextlib.contextmanager
    def started(self) -> Iterator[PinnedProcess]:
        with nats_server(self.workdir) as self._nats_port, super().started() as process:
            yield process


class Nginx(Proxy):
    name = "nginx"

    @classmethod
    def version_command(cls) -> list[str]:
        return [nginx_executable(), "-v"]

    def command(self) -> list[str]:
        return nginx_command(
            self.workdir,
            f"""
            access_log {self.access_log} combined;
            client_max_body_size 0;
            upstream app {{
                {"".join(f"server {address};" for address in self.backends)}
                keepalive 512;
                keepalive_requests 1000000000;
                keepalive_timeout 900s;
            }}
            server {{
                listen 127.0.0.1:{self.port};
                server_name {HOST};
                proxy_http_version 1.1;
                proxy_set_header Host $http_host;
                proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                proxy_request_buffering off;
                proxy_max_temp_file_size 0;
                location / {{
                    proxy_set_header Connection "";
                    proxy_pass http://app;
                }}
                location /tunnel {{
                    proxy_set_header Connection upgrade;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_pass http://app;
                }}
            }}
            """,
        )


class HAProxy(Proxy):
    name = "haproxy"

    @classmethod
    def version_command(cls) -> list[str]:
        return [_executable("haproxy"), "-v"]

    def __init__(self, workdir: Path, backends: Sequence[str]) -> None:
        super().__init__(workdir, backends)
        # HAProxy cannot log to a file; its standard output is one.
        self.access_log = self.workdir / f"{self.name}.stdout"

    def command(self) -> list[str]:
        servers = "\n".join(f"    server backend{n} {address}" for n, address in enumerate(self.backends))
        config = self.workdir / "haproxy.cfg"
        config.write_text(
            f"""
global
    nbthread 1
    maxconn 8000
    log stdout format raw local0 info

defaults
    mode http
    log global
    option httplog
    option forwardfor
    option redispatch
    http-reuse always
    timeout connect 5s
    timeout client 900s
    timeout server 900s
    timeout tunnel 900s

frontend clients
    bind 127.0.0.1:{self.port} backlog 4096
    use_backend app if {{ req.hdr(host) -i {HOST} }}

backend app
    balance roundrobin
{servers}
"""
        )
        return [_executable("haproxy"), "-db", "-f", str(config)]


class Gorouter(Proxy):
    """The original, whose executable the environment names as GOROUTER: there is no package of it."""

    name = "gorouter"

    @classmethod
    def version_command(cls) -> list[str]:
        return ["sha256sum", _gorouter_executable()]

    def command(self) -> list[str]:
        config = {
            "port": self.port,
            "status": {"port": free_port(), "user": "user", "pass": "pass", "routes": {"port": free_port()}},
            "nats": {"hosts": [{"hostname": "127.0.0.1", "port": self._nats_port}]},
            "logging": {"level": "info", "metron_address": "127.0.0.1:3457"},
            "go_max_procs": 1,
            "start_response_delay_interval": "0s",
            # Registered once: it must not forget within the measurement.
            "droplet_stale_threshold": "7200s",
            "disable_keep_alives": False,
            "max_idle_conns": 500,
            "max_idle_conns_per_host": 500,
            "access_log": {"file": str(self.access_log)},
        }
        (self.workdir / "gorouter.yml").write_text(yaml.safe_dump(config))
        return [_gorouter_executable(), "-c", str(self.workdir / "gorouter.yml")]

    @contextlib.contextmanager
    def started(self) -> Iterator[PinnedProcess]:
        with nats_server(self.workdir) as self._nats_port, super().started() as process:
            register(self._nats_port, HOST, self.backends)
            deadline = time.monotonic() + 10.0
            while not self._serves() and time.monotonic() < deadline:
                time.sleep(0.05)
            yield process

    def _serves(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.plain_port, timeout=5.0)
        try:
            connection.request("GET", SMALL_PATH, headers={"Host": HOST})
            return connection.getresponse().status == 200
        finally:
            connection.close()


PROXIES: dict[str, type[Proxy]] = {
    proxy.name: proxy for proxy in (Fastrouter, FastrouterWithAll, Nginx, HAProxy, Gorouter)
}


def nginx_executable() -> str:
    return _executable("nginx")


def nginx_command(workdir: Path, http: str) -> list[str]:
    """Write an nginx configuration with one worker around the `http` directives; everything stays below `workdir`."""
    config = workdir / "nginx.conf"
    config.write_text(
        f"""
        daemon off;
        user root;
        pid {workdir}/nginx.pid;
        error_log {workdir}/error.log;
        worker_processes 1;
        worker_rlimit_nofile 20000;
        events {{ worker_connections 16384; }}
        http {{
            client_body_temp_path {workdir}/client_body;
            proxy_temp_path {workdir}/proxy;
            fastcgi_temp_path {workdir}/fastcgi;
            uwsgi_temp_path {workdir}/uwsgi;
            scgi_temp_path {workdir}/scgi;
            keepalive_requests 1000000000;
            keepalive_timeout 900s;
            {http}
        }}
        """
    )
    # The -e keeps nginx from touching its compiled-in error log before it has read the configuration.
    return [nginx_executable(), "-p", str(workdir), "-e", str(workdir / "error.log"), "-c", str(config)]


def _fastrouter_executable() -> str:
    """Find the one beside the running Python, else the repository's own environment's, else that on the PATH."""
    for candidate in (Path(sys.executable).with_name("fastrouter"), _REPOSITORY / ".venv/bin/fastrouter"):
        if candidate.exists():
            return str(candidate)
    return _executable("fastrouter")


def _gorouter_executable() -> str:
    path = os.environ.get("GOROUTER", "")
    if not path:
        raise SystemExit("set GOROUTER to the executable of a Gorouter, to be measured beside")
    return path


def _executable(name: str) -> str:
    # Debian keeps daemons in /usr/sbin, which the PATH of an ordinary user lacks.
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise SystemExit(f"{name} is needed for this measurement and was not found")
    return found
