"""`fastrouter -c gorouter.yml` with the real executable, as an operator runs it."""

import base64
import http.client
import json
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from .byte_stream import PATIENCE
from .nats_server import RawNatsClient
from .processes import sockets_of
from .router_process import START_PATIENCE, LoggingProcess, wait_for

USER = "status-user"
PASSWORD = "status-pass"

_LISTENING = "0A"


def configuration(nats_port: int, **keys: Any) -> dict[str, Any]:
    """A configuration for tests: free ports, one worker, no delays. `keys` replace and add top-level keys."""
    return {
        "status": {"port": 0, "user": USER, "pass": PASSWORD, "routes": {"port": 0}},
        "nats": {"hosts": [{"hostname": "localhost", "port": nats_port}]},
        "logging": {"level": "debug"},
        "port": 0,
        "go_max_procs": 1,
        "start_response_delay_interval": "0s",
        "endpoint_timeout": "20s",
        "max_idle_conns_per_host": 10,
        "disable_keep_alives": False,
        **keys,
    }


class GorouterProcess(LoggingProcess):
    """A router with a configuration, which may not be up yet."""

    def __init__(self, directory: Path, document: Mapping[str, Any], *arguments: str) -> None:
        self.config_path = directory / "gorouter.yml"
        self.config_path.write_text(yaml.safe_dump(dict(document)))
        super().__init__("-c", str(self.config_path), *arguments, access_log=directory / "access.log")

    def wait_until_started(self) -> None:
        self.wait_for_event("gorouter.started", START_PATIENCE)

    def messages(self) -> list[str]:
        return [event["message"] for event in self.events()]

    @property
    def routes_port(self) -> int:
        """Port of `/routes`, which besides the internal listener is alone on loopback."""
        return self._status_port("127.0.0.1")

    @property
    def health_port(self) -> int:
        """Port of `/health`, which is on all interfaces, but IPv4 only."""
        return self._status_port("0.0.0.0")

    def _status_port(self, host: str) -> int:
        internal = {event["data"]["address"]["Port"] for event in self.events("internal-listener-started")}

        def found() -> int | None:
            return next(
                (port for at, port in listening_addresses(self.pid) if at == host and port not in internal), None
            )

        return wait_for(found, f"a listener on {host}", START_PATIENCE)

    def health(self) -> int:
        """The status that a health check gets."""
        return get(self.health_port, "/health")[0]

    def routes(self) -> dict[str, list[dict[str, Any]]]:
        """The routing table as an operator sees it."""
        credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        status, body = get(self.routes_port, "/routes", Authorization=f"Basic {credentials}")
        assert status == 200
        table: dict[str, list[dict[str, Any]]] = json.loads(body)
        return table

    def addresses(self, uri: str) -> list[str] | None:
        """The addresses that serve a route, None if there is no such route."""
        endpoints = self.routes().get(uri)
        return None if endpoints is None else [endpoint["address"] for endpoint in endpoints]

    def status_of(self, host: str, path: str = "/", **headers: str) -> int:
        """The status of one request on a connection of its own."""
        return get(self.port, path, Host=host, **headers)[0]


def get(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    """One GET request on a connection of its own: status and body. Underscores in names of headers stand for dashes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def listening_addresses(pid: int) -> Iterator[tuple[str, int]]:
    """The IPv4 addresses that a process listens on."""
    inodes = sockets_of(pid)
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTENING and fields[9] in inodes:
            address, _, port = fields[1].partition(":")
            yield socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16)


def register(nats: RawNatsClient, address: str, *uris: str, **fields: Any) -> None:
    """Register `address` for `uris`, as an app does."""
    _publish(nats, "router.register", address, uris, fields)


def unregister(nats: RawNatsClient, address: str, *uris: str, **fields: Any) -> None:
    """Take `address` off `uris`, as an app does that stops."""
    _publish(nats, "router.unregister", address, uris, fields)


def _publish(nats: RawNatsClient, subject: str, address: str, uris: tuple[str, ...], fields: Mapping[str, Any]) -> None:
    host, _, port = address.rpartition(":")
    message = {"host": host, "port": int(port), "uris": list(uris), **fields}
    nats.publish(subject.encode(), json.dumps(message).encode())
    nats.sync()
