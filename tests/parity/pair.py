"""Gorouter and our router with one configuration, on one NATS bus, in front of the same backends."""

import contextlib
import copy
import functools
import http.client
import itertools
import json
import random
import socket
import ssl
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dropsonde import Envelope
from integration.gorouter_process import GorouterProcess, configuration, get, register
from integration.issuer import Pair as KeyPair
from integration.loggregator_agent import Agent
from integration.nats_server import NatsServerProcess, RawNatsClient
from integration.raw_backend import BackendStream, ClosedPort, ServingBackend
from integration.raw_client import RawClient
from integration.router_process import START_PATIENCE, wait_for
from integration.tls_backend import Authority, TlsBackend, server_side

from .case import PATIENCE, Case, Seen, Step, backend_handler, end_of, take_steps
from .counts import added, counts
from .envelopes import EnvelopeReader

APP = "11111111-aaaa-4aaa-8aaa-111111111111"
PROCESS = "22222222-bbbb-4bbb-8bbb-222222222222"
QUIET = 0.03
"""Seconds without a byte or an end after which a connection is taken to be kept."""

Registration = tuple[str, Sequence[str], Mapping[str, Any]]
"""Which backend (a name), its routes, and further fields of the message."""

SecureBackend = tuple[KeyPair, ssl.TLSVersion]
"""What a backend shows, and the only version that it speaks."""

REGISTRATIONS: tuple[Registration, ...] = (
    (
        "a",
        ("app.parity", "app.parity/some/path", "*.wild.parity"),
        {
            "app": APP,
            "private_instance_id": "instance-a",
            "private_instance_index": "0",
            "tags": {"component": "parity", "process_id": PROCESS},
        },
    ),
    ("a", ("plain.parity",), {}),
    ("a", ("sticky.parity", "sticky.parity/Context"), {"app": APP, "private_instance_id": "instance-a"}),
    ("refused", ("refused.parity",), {"app": APP, "private_instance_id": "instance-r"}),
)


_SECURE = {"app": APP, "private_instance_id": "instance-t", "availability_zone": "z"}
TLS_REGISTRATIONS: tuple[Registration, ...] = (
    ("outer", ("secure.parity",), {**_SECURE, "tls_port": "<outer>", "server_cert_domain_san": "localhost"}),
    ("outer", ("misnamed.parity",), {**_SECURE, "tls_port": "<outer>", "server_cert_domain_san": "other"}),
    ("outer", ("unnamed.parity",), {**_SECURE, "tls_port": "<outer>"}),
    ("a", ("spoken.parity",), {**_SECURE, "tls_port": "<a>", "server_cert_domain_san": "localhost"}),
    ("refused", ("refused.parity",), {**_SECURE, "tls_port": "<refused>", "server_cert_domain_san": "localhost"}),
    ("a", ("plain.parity",), {}),
)


class Service(TlsBackend):
    """A route service with TLS that keeps running after failed handshakes."""

    def accept(self) -> BackendStream:
        while True:
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                return super().accept()


class Router:
    """One of the two, and what was read of its logs so far."""

    def __init__(self, process: GorouterProcess, ports: Mapping[str, int], prefix: str, agent: Agent) -> None:
        self.process = process
        self.ports = ports
        self.agent = agent
        self._envelopes = EnvelopeReader(agent)
        self._access_read = 0
        self._events_read = 0
        self._counts: dict[str, float] = {}
        self._prefix = prefix
        self._barriers = itertools.count()

    def barrier(self) -> tuple[list[str], list[dict[str, object]], list[Envelope]]:
        """Lines of both logs since the last barrier, and envelopes about requests.

        A request of which both logs tell ends what was there before: one with a semicolon, which is warned about
        under the request id that the access log has.
        """
        host = f"barrier-{self._prefix}-{next(self._barriers)}.parity"
        with contextlib.closing(RawClient(self.process.port, patience=PATIENCE)) as client:
            client.send(f"GET /; HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            client.wait_closed()
        (line,) = self.process.wait_for_log_lines(host)
        request_id = line.partition('vcap_request_id:"')[2].partition('"')[0]

        def is_there() -> bool | None:
            return (
                any(request_id == event.get("data", {}).get("vcap_request_id") for event in self._new_events()) or None
            )

        wait_for(is_there, f"the barrier {host} in the process log")
        events = []
        for event in self._new_events():
            self._events_read += 1
            if request_id == event.get("data", {}).get("vcap_request_id"):
                break
            if request_id != event.get("data", {}).get("VcapRequestIdHeader"):
                events.append(event)
        text = self.process.access_log.read_bytes().decode("utf-8", "surrogateescape")
        lines = text[self._access_read :].split("\n")
        self._access_read = len(text)
        return [line for line in lines if line and "barrier-" not in line], events, self._envelopes.up_to(host)

    def counted(self) -> list[str]:
        """What was added to its metrics since this was asked last."""
        before, (_, exposition) = self._counts, get(self.ports["metrics"], "/metrics")
        self._counts = counts(exposition.decode())
        return added(before, self._counts)

    def _new_events(self) -> list[dict[str, Any]]:
        return self.process.events()[self._events_read :]


class Pair:
    """Both routers, their bus and their backends."""

    def __init__(
        self,
        gorouter: Path,
        keys: Mapping[str, Any],
        registrations: Sequence[Registration] = REGISTRATIONS,
        backends: Mapping[str, SecureBackend] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._stack = contextlib.ExitStack()
        self._authority = Authority()
        self._registrations = registrations
        self._environment = environment or {}
        self._case = Case("", ())
        self._port = 0
        try:
            self._start(gorouter, keys, backends or {})
        except BaseException:
            self._stack.close()
            raise

    def _start(self, gorouter: Path, keys: Mapping[str, Any], backends: Mapping[str, SecureBackend]) -> None:
        self.directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="parity-")))
        server = NatsServerProcess(self._made("nats"))
        self._stack.callback(server.stop)
        self.nats = RawNatsClient(server.port)
        self._stack.callback(self.nats.close)
        handle = backend_handler(lambda: self._case.backend)
        visit = backend_handler(lambda: self._case.service, self._send_back)
        self.backends = {
            "a": self._stack.enter_context(ServingBackend(handle)),
            # Route services: one that is an app of the router, and one outside.
            "inner": self._stack.enter_context(ServingBackend(visit)),
            "outer": self._stack.enter_context(ServingBackend(visit, Service(self._authority.server("localhost")))),
        }
        for name, (certificate, version) in backends.items():
            service = Service(server_side(certificate, version))
            self.backends[name] = self._stack.enter_context(ServingBackend(visit, service))
        refused = ClosedPort()
        self._stack.callback(refused.close)
        self.addresses = {name: backend.address for name, backend in self.backends.items()} | {
            "refused": refused.address
        }
        self.routers = {
            "gorouter": self._router("gorouter", gorouter, server.port, keys),
            "ours": self._router("ours", None, server.port, keys),
        }
        for router in self.routers.values():
            router.process.wait_until_started()
        self.register()

    def register(self) -> None:
        """Register all routes, some of which may have been pruned since, and return when both routers have them."""
        for name, uris, fields in self._registrations:
            register(self.nats, self.addresses[name], *uris, **self._with_ports(fields))
        self.wait_for_route("plain.parity", dict(self.routers))

    def _with_ports(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Further fields of a registration, with the ports that are named there: `<outer>` inside a text or alone."""
        text = json.dumps(dict(fields))
        for name, address in self.addresses.items():
            port = address.rpartition(":")[2]
            text = text.replace(f'"<{name}>"', port).replace(f"<{name}>", port)
        whole: dict[str, Any] = json.loads(text)
        return whole

    def _send_back(self, request: bytes) -> bytes:
        """Send a request as it came from a router to where it was sent to first, by that router; the response."""
        head, _, body = request.partition(b"\r\n\r\n")
        start_line, *lines = head.split(b"\r\n")
        fields = dict(line.split(b": ", 1) for line in lines)
        host, slash, target = fields[b"X-Cf-Forwarded-Url"].partition(b"://")[2].partition(b"/")
        kept = [line for line in lines if not line.startswith((b"Host:", b"Connection:"))]
        method = start_line.partition(b" ")[0]
        with contextlib.closing(RawClient(self._port, patience=PATIENCE)) as client:
            start_line = method + b" " + slash + target + b" HTTP/1.1"
            client.send(b"\r\n".join([start_line, b"Host: " + host, *kept, b"Connection: close"]) + b"\r\n\r\n" + body)
            return client.wait_closed()

    def _made(self, name: str) -> Path:
        directory = self.directory / name
        directory.mkdir()
        return directory

    def _router(self, name: str, executable: Path | None, nats_port: int, keys: Mapping[str, Any]) -> Router:
        directory = self._made(name)
        ports = {key: free_port() for key in ("routes", "status", "ssl", "metrics", "internal")}
        agent = Agent()
        self._stack.callback(agent.close)
        document = merged(
            configuration(nats_port),
            {
                "status": {"port": ports["status"], "routes": {"port": ports["routes"]}},
                "route_services_internal_server_port": ports["internal"],
                "access_log": {"file": str(directory / "access.log")},
                "disable_keep_alives": True,
                "endpoint_timeout": "2s",
                # Apps register once here.
                "prune_stale_droplets_interval": "1h",
                "prometheus": {"enabled": True, "port": ports["metrics"]},
                "logging": {"metron_address": agent.address, "loggregator_enabled": True},
            },
            keys,
        )
        if "ca_certs" in document:
            document["ca_certs"] = [self._authority.pem if one == "theirs" else one for one in document["ca_certs"]]
        if document.get("enable_ssl"):
            document["ssl_port"] = ports["ssl"]
        attributes: dict[str, Any] = {"environment": self._environment}
        if executable is not None:
            attributes["command"] = (str(executable),)
        kind = type("Executable", (GorouterProcess,), attributes)
        process = kind(directory, document)
        self._stack.callback(process.stop)
        return Router(process, ports, name, agent)

    def wait_for_route(self, uri: str, routers: Mapping[str, Router]) -> None:
        """Return when both have the route; registrations are in order, so they have all that came before it."""
        for router in routers.values():
            wait_for(functools.partial(self._endpoints, router, uri), uri, START_PATIENCE)

    def _endpoints(self, router: Router, uri: str) -> list[dict[str, Any]] | None:
        return self.routes(router).get(uri)

    def routes(self, router: Router) -> dict[str, list[dict[str, Any]]]:
        """What `/routes` says."""
        status, body = get(router.ports["routes"], "/routes", Authorization="Basic c3RhdHVzLXVzZXI6c3RhdHVzLXBhc3M=")
        assert status == 200, (status, body)
        table: dict[str, list[dict[str, Any]]] = json.loads(body)
        return table

    def raw_routes(self, router: Router) -> dict[str, str]:
        """`/routes` with each route's endpoints as the text that was sent."""
        return {key: json.dumps(endpoints) for key, endpoints in self.routes(router).items()}

    def ask(
        self, router: Router, port: str, method: str, target: str, fields: Sequence[tuple[str, str]]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, fields (but the date) and body of an answer of one of the status listeners."""
        connection = http.client.HTTPConnection("127.0.0.1", router.ports[port], timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, target, headers=dict(fields))
            response = connection.getresponse()
            kept = sorted((name.title(), value) for name, value in response.getheaders() if name != "Date")
            body = response.read()
            return response.status, kept, body if len(body) < 200 else b"<long>"

    def __enter__(self) -> Self:
        try:
            for router in self.routers.values():
                router.barrier()
                router.counted()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def port_names(self) -> dict[int, str]:
        """Names for the ports that stand in messages and logs."""
        names = {int(address.rpartition(":")[2]): f"<{name}>" for name, address in self.addresses.items()}
        for router in self.routers.values():
            names |= {port: f"<{name}>" for name, port in router.ports.items()}
        return names

    def run(self, case: Case, name: str, patience: float = 1.0) -> Seen:
        """Do the case with one router; `patience` multiplies what is waited for quiet and for late lines of the log."""
        router = self.routers[name]
        seen = Seen(sent=b"".join(step for step in case.client if isinstance(step, bytes)))
        seen.methods = [line.split(b" ")[0] for line in _start_lines(case.client)]
        first = {key: len(backend._streams) for key, backend in self.backends.items()}
        self._case = case
        self._port = router.process.port
        seen.router_port = router.ports["ssl"] if case.over_tls else self._port
        try:
            client = self._connect(case, seen.router_port)
        except OSError as error:
            seen.client_end = f"no connection: {type(error).__name__}"
        else:
            with client:
                seen.client_port = client.local_port
                ended = take_steps(client, case.client, is_client=True, methods=seen.methods or [b"GET"])
                seen.client_end = ended or end_of(client, QUIET * patience)
                seen.client = bytes(client.received)
                time.sleep(case.settle * patience)
        seen.access, seen.log, seen.envelopes = router.barrier()
        seen.counts = router.counted()
        for key, backend in self.backends.items():
            received = [bytes(stream.received) for stream in backend._streams[first[key] :]]
            if key == "a":
                seen.backend += received
            else:
                seen.service += received
        return seen

    def _connect(self, case: Case, port: int) -> RawClient:
        client = RawClient(port, patience=PATIENCE)
        if case.over_tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            if case.certificate:
                context.load_cert_chain(case.certificate)
            try:
                client.socket = context.wrap_socket(client.socket, server_hostname=case.server_name or None)
            except OSError:
                client.close()
                raise
        return client


def _start_lines(steps: Sequence[Step]) -> list[bytes]:
    return [step.partition(b"\r\n")[0] for step in steps if isinstance(step, bytes) and b"HTTP/" in step[:2000]]


def merged(*documents: Mapping[str, Any]) -> dict[str, Any]:
    """Later documents over earlier ones; mappings are merged, all else is replaced."""
    result: dict[str, Any] = {}
    for document in documents:
        for key, value in document.items():
            old = result.get(key)
            result[key] = (
                merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else copy.deepcopy(value)
            )
    return result


def free_port() -> int:
    """A free port, below those that the kernel gives to outgoing connections."""
    while True:
        port = random.randrange(10_000, 30_000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("0.0.0.0", port))
            return port
