"""Proxies with TLS towards clients: all have the same P-256 certificate, and offer HTTP/2 and HTTP/1.1 by ALPN.

`port` is the one with TLS; `plain_port` is one without.
"""

from pathlib import Path
from typing import Any

import trustme
import yaml

from benchmarks.load.processes import free_port
from benchmarks.load.proxies import Fastrouter, Gorouter, Nginx, Proxy
from benchmarks.load.workloads import HOST

_CIPHERS = "ECDHE-ECDSA-AES128-GCM-SHA256"


def issue_pair(workdir: Path) -> None:
    """Write the certificate that the proxies below `workdir` show."""
    leaf = trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert(HOST, key_type=trustme.KeyType.ECDSA)
    leaf.private_key_and_cert_chain_pem.write_to_path(str(_pem(workdir)))


class SecureFastrouter(Fastrouter):
    """fastrouter with HTTPS, and with HTTP on a port of its own."""

    nats_port: int

    def routes(self) -> list[dict[str, Any]]:
        """What goes into the routes file."""
        return [{"route": HOST, "endpoints": [{"address": one} for one in self.backends]}]

    def command(self) -> list[str]:
        self.plain_port = free_port()
        config = {
            "status": {"port": 0, "routes": {"port": 0}},
            "nats": {"hosts": [{"hostname": "127.0.0.1", "port": self.nats_port}]},
            "logging": {"level": "info"},
            "port": self.plain_port,
            "go_max_procs": 1,
            "start_response_delay_interval": "0s",
            "disable_keep_alives": False,
            # Both: the smaller one counts, as in Gorouter, and the default of the first is 100.
            "max_idle_conns": 500,
            "max_idle_conns_per_host": 500,
            "access_log": {"file": str(self.access_log)},
            **_tls_keys(self),
        }
        (self.workdir / "gorouter.yml").write_text(yaml.safe_dump(config))
        routes = self.workdir / "routes.yml"
        routes.write_text(yaml.safe_dump({"routes": self.routes()}))
        executable, *_ = super().command()
        return [executable, "-c", str(self.workdir / "gorouter.yml"), "-routes", str(routes)]


class SecureNginx(Nginx):
    """nginx as it is compared elsewhere, with TLS, and without on a port of its own."""

    def command(self) -> list[str]:
        self.plain_port = free_port()
        command = super().command()
        config = self.workdir / "nginx.conf"
        pem = _pem(self.workdir.parent)
        config.write_text(
            config.read_text().replace(
                f"listen 127.0.0.1:{self.port};",
                f"""
                    listen 127.0.0.1:{self.port} ssl http2;
                    listen 127.0.0.1:{self.plain_port};
                    ssl_certificate {pem};
                    ssl_certificate_key {pem};
                    ssl_protocols TLSv1.2 TLSv1.3;
                    ssl_ciphers {_CIPHERS};
                    ssl_session_tickets on;
                """,
            )
        )
        return command


class SecureGorouter(Gorouter):
    """The original with HTTPS, and with HTTP on a port of its own."""

    def command(self) -> list[str]:
        self.plain_port = free_port()
        command = super().command()
        path = self.workdir / "gorouter.yml"
        config = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**config, "port": self.plain_port, **_tls_keys(self)}))
        return command


def _tls_keys(proxy: Proxy) -> dict[str, Any]:
    """What a Gorouter's configuration says of its HTTPS listener."""
    key, _, chain = _pem(proxy.workdir.parent).read_text().partition("-----BEGIN CERTIFICATE-----")
    return {
        "ssl_port": proxy.port,
        "enable_ssl": True,
        "tls_pem": [{"cert_chain": f"-----BEGIN CERTIFICATE-----{chain}", "private_key": key}],
        "client_cert_validation": "none",
        "cipher_suites": _CIPHERS,
        "max_tls_version": "TLSv1.3",
    }


def _pem(workdir: Path) -> Path:
    return workdir / "pair.pem"
