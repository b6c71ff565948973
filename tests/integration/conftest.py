"""Routers and lanes.

A lane is one route of a running router with a backend of its own, used by one test only. So tests share a router
process (which takes a while to start) and still never see each other's backend connections.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from .gorouter_process import GorouterProcess, configuration
from .http_message import Request, Response
from .issuer import Issuer
from .nats_server import NatsServerProcess, RawNatsClient
from .raw_backend import AnsweringBackend, BackendStream, ClosedPort, FullBacklog, RawBackend, ReservedPort
from .raw_client import RawClient
from .router_process import RouterProcess

LANES_PER_ROUTER = 64


@dataclass
class Lane:
    """One route of a running router and the backend behind it."""

    router: RouterProcess
    host: str
    backend: RawBackend

    def connect(self, **options: int) -> RawClient:
        return self.router.connect(**options)

    def request(self, start_line: bytes = b"GET / HTTP/1.1", *lines: bytes, body: bytes = b"") -> bytes:
        """Build the bytes of a request to this lane; framing headers are up to the caller."""
        return b"\r\n".join([start_line, b"Host: " + self.host.encode(), *lines]) + b"\r\n\r\n" + body

    def forward(
        self, client: RawClient, start_line: bytes = b"GET / HTTP/1.1", *lines: bytes, body: bytes = b""
    ) -> tuple[BackendStream, Request]:
        """Send a request and read it at the backend, on a new backend connection."""
        client.send(self.request(start_line, *lines, body=body))
        return self.backend.accept_request()

    def exchange(self, answer: bytes, start_line: bytes = b"GET / HTTP/1.1", *lines: bytes) -> tuple[Request, Response]:
        """One whole exchange on new connections; what the backend saw and what the client got."""
        client = self.connect()
        stream, request = self.forward(client, start_line, *lines)
        stream.send(answer)
        return request, client.read_response(request.method)


class StartRouter(Protocol):
    """Starts one more router, which is stopped when the test (or module) ends."""

    def __call__(
        self,
        routes: Mapping[str, Sequence[str]],
        *,
        arguments: Sequence[str] = (),
        access_log: Path | None = None,
        **options: object,
    ) -> RouterProcess: ...


def _router_starter(directory: Callable[[], Path]) -> Iterator[StartRouter]:
    routers: list[RouterProcess] = []

    def start(
        routes: Mapping[str, Sequence[str]],
        *,
        arguments: Sequence[str] = (),
        access_log: Path | None = None,
        **options: object,
    ) -> RouterProcess:
        log = access_log or directory() / "access.log"
        router = RouterProcess(routes, log, arguments=arguments, options=options)
        routers.append(router)
        return router

    yield start
    for router in routers:
        router.stop()
    assert [router.complaints for router in routers if router.complaints] == []


@pytest.fixture
def start_router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRouter]:
    yield from _router_starter(lambda: tmp_path_factory.mktemp("router"))


@pytest.fixture(scope="module")
def start_module_router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRouter]:
    yield from _router_starter(lambda: tmp_path_factory.mktemp("router"))


class LaneSupply:
    """Hands out unused lanes; starts a further router when those of the last one are used up."""

    def __init__(self, start: StartRouter, arguments: Sequence[str] = (), **options: Any) -> None:
        self._start = start
        self._arguments = arguments
        self._options = options
        self._unused: list[Lane] = []

    def take(self) -> Lane:
        # A router that died takes its lanes with it: one crash shall fail one test.
        self._unused = [lane for lane in self._unused if lane.router.is_running]
        if not self._unused:
            backends = {f"lane-{number}.test": RawBackend() for number in range(LANES_PER_ROUTER)}
            routes = {host: [backend.address] for host, backend in backends.items()}
            router = self._start(routes, arguments=self._arguments, **self._options)
            self._unused = [Lane(router, host, backend) for host, backend in backends.items()]
        return self._unused.pop()

    def close(self) -> None:
        for lane in self._unused:
            lane.backend.close()


def new_lane(supply: LaneSupply) -> Iterator[Lane]:
    """One lane for one test; everything the test opened is closed after it, and the router still runs."""
    lane = supply.take()
    yield lane
    lane.router.close_clients()
    lane.backend.close()
    lane.router.check()


@pytest.fixture(scope="session")
def lane_supply(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaneSupply]:
    """Lanes of routers with default settings."""
    starter = _router_starter(lambda: tmp_path_factory.mktemp("router"))
    supply = LaneSupply(next(starter))
    yield supply
    supply.close()
    next(starter, None)


@pytest.fixture
def lane(lane_supply: LaneSupply) -> Iterator[Lane]:
    yield from new_lane(lane_supply)


@pytest.fixture
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServerProcess]:
    """A real NATS server of this test's own."""
    server = NatsServerProcess(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture
def nats(nats_server: NatsServerProcess) -> Iterator[RawNatsClient]:
    """A client of that server."""
    client = RawNatsClient(nats_server.port)
    yield client
    client.close()


class StartGorouter(Protocol):
    """Starts a router with a configuration file on the test's NATS server; it is stopped when the test ends.

    `keys` are keys of the configuration; what else the test wants on the command line goes into `arguments`.
    """

    def __call__(self, *, arguments: Sequence[str] = (), **keys: Any) -> GorouterProcess: ...


@pytest.fixture
def start_gorouter(nats_server: NatsServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGorouter]:
    routers: list[GorouterProcess] = []

    def start(*, arguments: Sequence[str] = (), **keys: Any) -> GorouterProcess:
        document = configuration(nats_server.port, **keys)
        routers.append(GorouterProcess(tmp_path_factory.mktemp("gorouter"), document, *arguments))
        return routers[-1]

    yield start
    for router in routers:
        router.stop()
        assert router.complaints == []


@pytest.fixture
def gorouter(start_gorouter: StartGorouter) -> GorouterProcess:
    """A router that has started."""
    router = start_gorouter()
    router.wait_until_started()
    return router


@pytest.fixture
def backend() -> Iterator[RawBackend]:
    """A backend that the test drives."""
    with RawBackend() as backend:
        yield backend


@pytest.fixture
def serving() -> Iterator[AnsweringBackend]:
    """A backend that answers by itself, `first`."""
    with AnsweringBackend(b"first") as backend:
        yield backend


@pytest.fixture
def other() -> Iterator[AnsweringBackend]:
    """Another one, which answers `second`."""
    with AnsweringBackend(b"second") as backend:
        yield backend


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def closed_port() -> Iterator[ClosedPort]:
    port = ClosedPort()
    yield port
    port.close()


@pytest.fixture
def reserved_port() -> Iterator[ReservedPort]:
    """On all interfaces."""
    with ReservedPort("") as port:
        yield port


@pytest.fixture
def full_backlog() -> Iterator[FullBacklog]:
    port = FullBacklog()
    yield port
    port.close()
