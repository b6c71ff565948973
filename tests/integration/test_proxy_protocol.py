"""The PROXY protocol in front of plain and secured connections (spec 8.1, H20)."""

from collections.abc import Iterator
from typing import Any

import pytest

from fastrouter._core import Endpoint

from .byte_stream import PATIENCE
from .conftest import StartGorouter
from .gorouter_process import register
from .http_message import response_with
from .in_process import HOST, request
from .issuer import Issuer
from .nats_server import RawNatsClient
from .raw_backend import RawBackend
from .raw_client import RawClient
from .router_process import wait_for
from .tls_front import FrontRouter, TlsClient, client_context, server_tls

LINE = b"PROXY TCP4 198.51.100.7 203.0.113.1 4711 443\r\n"
LINE_V6 = b"PROXY TCP6 2001:DB8::7 2001:db8::1 4711 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
BLOCK = SIGNATURE + b"\x21\x11\x00\x0f" + bytes([198, 51, 100, 7, 203, 0, 113, 1]) + b"\x12\x67\x01\xbbtlv"
LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
UNSPEC = SIGNATURE + b"\x21\x00\x00\x04rest"


class Front:
    """A router that reads PROXY headers, in front of one backend, with TLS or without.

    Unless the test is about that, a header may take its time: the machine may be busy.
    """

    def __init__(
        self,
        backend: RawBackend,
        issuer: Issuer | None = None,
        *,
        proxy_header_timeout: float = PATIENCE,
        **options: Any,
    ) -> None:
        self._backend = backend
        self._context = None if issuer is None else client_context(issuer)
        tls = None if issuer is None else server_tls(issuer.pair(HOST))
        self.router = FrontRouter(
            Endpoint("127.0.0.1", backend.port),
            tls=tls,
            reads_proxy_headers=True,
            proxy_header_timeout=proxy_header_timeout,
            **options,
        )

    def connect(self, header: bytes) -> RawClient:
        if self._context is None:
            client = self.router.connect()
            client.send(header)
            return client
        return TlsClient(self.router.port, self._context, first=header)

    def seen_address(self, client: RawClient) -> bytes:
        """The client's address as the backend gets it, after one exchange."""
        client.send(request())
        stream, got = self._backend.accept_request()
        stream.send(response_with(b"ok", b"Connection: close"))
        assert client.read_response().status == 200
        return got.values(b"X-Forwarded-For")[0]


@pytest.fixture(params=["plain", "tls"])
def front(request: pytest.FixtureRequest, backend: RawBackend, issuer: Issuer) -> Iterator[Front]:
    front = Front(backend, issuer if request.param == "tls" else None)
    with front.router:
        yield front


@pytest.fixture(params=["plain", "tls"])
def impatient(request: pytest.FixtureRequest, backend: RawBackend, issuer: Issuer) -> Iterator[Front]:
    front = Front(backend, issuer if request.param == "tls" else None, proxy_header_timeout=0.1)
    with front.router:
        yield front


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (LINE, b"198.51.100.7"),
        (LINE_V6, b"2001:db8::7"),
        (BLOCK, b"198.51.100.7"),
        (LOCAL, b"127.0.0.1"),
        (UNSPEC, b"127.0.0.1"),
        (b"PROXY UNKNOWN\r\n", b"127.0.0.1"),
        (b"PROXY UNKNOWN 198.51.100.7 203.0.113.1 4711 443\r\n", b"127.0.0.1"),
        (b"", b"127.0.0.1"),
        (b"PROXY TCP6 ::ffff:198.51.100.7 ::1 1 2\r\n", b"198.51.100.7"),
    ],
)
def test_the_address_of_the_client(front: Front, header: bytes, address: bytes) -> None:
    with front.connect(header) as client:
        assert front.seen_address(client) == address
        assert front.seen_address(client) == address, "the header stands for the whole connection"


def test_the_access_log_names_the_client(front: Front) -> None:
    with front.connect(LINE) as client:
        front.seen_address(client)
        assert '"198.51.100.7:4711"' in front.router.wait_for_log_line()


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        SIGNATURE + b"\x21\x31\x00\x00",
        SIGNATURE + b"\x31\x11\x00\x0c",
    ],
)
def test_a_malformed_header_ends_the_connection(front: Front, header: bytes) -> None:
    client = front.router.connect()
    client.send(header + request())
    client.expect_end()
    assert front.router.stats()["total_requests"] == 0


@pytest.mark.parametrize("is_secure", [False, True])
def test_half_a_header_is_not_waited_for(backend: RawBackend, issuer: Issuer, is_secure: bool) -> None:
    # Time enough to begin a header, even on a busy machine.
    front = Front(backend, issuer if is_secure else None, proxy_header_timeout=2.0)
    with front.router:
        clients = []
        for header in (LINE[:-1], LINE[:8], BLOCK[:-1], BLOCK[:13]):
            clients.append(front.router.connect())
            clients[-1].send(header)
        for client in clients:
            client.expect_end()


@pytest.mark.parametrize("start", [b"P", b"PROXY", b"PR", b"\r\n"])
def test_what_may_become_a_header_is_a_request_after_a_while(backend: RawBackend, start: bytes) -> None:
    front = Front(backend, proxy_header_timeout=0.1)
    with front.router:
        client = front.connect(start)
        wait_for(lambda: front.router.stats()["client_connections"] or None, "the client to be one")
        rest = b"UT / HTTP/1.1" if start == b"P" else b"FIND / HTTP/1.1" if start == b"PR" else b" / HTTP/1.1"
        if start == b"\r\n":
            rest = b"GET / HTTP/1.1"
        client.send(rest + b"\r\nHost: app.test\r\n\r\n")
        stream, got = backend.accept_request()
        assert got.start_line == (start + rest).strip()
        stream.send(response_with())
        assert client.read_response().status == 200


def test_a_silent_client_is_let_in_after_a_while(impatient: Front) -> None:
    client = impatient.router.connect()
    if impatient._context is None:
        wait_for(lambda: impatient.router.stats()["client_connections"] or None, "the client to be one")
        assert impatient.seen_address(client) == b"127.0.0.1"
    else:
        assert client.is_silent(0.3)
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert client.read_to_end().startswith(b"HTTP/1.0 400 ")


def test_a_client_that_goes_before_its_header(front: Front) -> None:
    for start in (b"", b"PRO", LINE[:20]):
        with RawClient(front.router.port) as client:
            client.send(start)
            client.reset()
    with front.connect(LINE) as client:
        assert front.seen_address(client) == b"198.51.100.7"


class TestTrust:
    def test_others_have_no_header(self, backend: RawBackend) -> None:
        asked: list[str] = []

        def is_trusted(ip: str) -> bool:
            asked.append(ip)
            return False

        front = Front(backend, None, is_trusted_proxy=is_trusted)
        with front.router:
            assert front.seen_address(front.connect(b"")) == b"127.0.0.1"
            client = front.connect(LINE + request())
            assert client.read_response().status == 400
            client.expect_end()
        assert asked == ["127.0.0.1", "127.0.0.1"]

    @pytest.mark.parametrize(
        ("header", "address"),
        [
            (LINE, b"198.51.100.7"),
            (LOCAL, b"127.0.0.1"),
            (UNSPEC, b"127.0.0.1"),
            (b"PROXY UNKNOWN\r\n", b"127.0.0.1"),
        ],
    )
    def test_those_who_are_trusted(self, backend: RawBackend, header: bytes, address: bytes) -> None:
        front = Front(backend, None, is_trusted_proxy=lambda ip: ip == "127.0.0.1")
        with front.router:
            assert front.seen_address(front.connect(header)) == address

    @pytest.mark.parametrize(("networks", "status"), [([], 200), (["127.0.0.0/8"], 200), (["10.0.0.0/8", "::/0"], 400)])
    def test_configured(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, networks: list[str], status: int
    ) -> None:
        router = start_gorouter(enable_proxy=True, trusted_proxies=networks)
        router.wait_until_started()
        with RawBackend() as backend:
            register(nats, backend.address, HOST)
            wait_for(lambda: router.addresses(HOST), "the route")

            def attempt() -> bool | None:
                client = router.connect()
                client.send(LINE + request())
                wait_for(lambda: True if backend.has_pending_connection() or not client.is_silent() else None, "either")
                if backend.has_pending_connection():
                    stream, got = backend.accept_request()
                    assert got.value(b"X-Forwarded-For") == b"198.51.100.7"
                    stream.send(response_with(b"ok", b"Connection: close"))
                return True if client.read_response().status == status else None

            # Should the machine be so busy that the line comes too late, it is no header.
            wait_for(attempt, f"a {status}")
