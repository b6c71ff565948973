"""TLS of clients: identities by SNI, versions, ciphers, client certificates, ALPN, and HTTP over all of it (8.5)."""

import ssl
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from fastrouter._core import Endpoint

from .in_process import HOST, request
from .issuer import Issuer, Pair, name
from .raw_backend import RawBackend
from .raw_client import RawClient
from .tls_front import FrontRouter, TlsClient, client_context, server_tls

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
VERSIONS = {
    "TLSv1.0": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
NO_APPLICATION_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def pair(issuer: Issuer) -> Pair:
    return issuer.pair(HOST)


@pytest.fixture
def backend() -> Iterator[RawBackend]:
    with RawBackend() as backend:
        yield backend


class Front:
    """A router with TLS in front of one backend."""

    def __init__(self, issuer: Issuer, backend: RawBackend, *pairs: Pair, **options: Any) -> None:
        settings = {name: options.pop(name) for name in ("read_header_timeout", "max_buffered") if name in options}
        self.issuer = issuer
        self.backend = backend
        self.router = FrontRouter(Endpoint("127.0.0.1", backend.port), tls=server_tls(*pairs, **options), **settings)

    def __enter__(self) -> "Front":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.router.__exit__(*exception)

    def connect(self, server_name: str | None = HOST, **options: Any) -> TlsClient:
        return TlsClient(self.router.port, client_context(self.issuer, **options), server_name)

    def exchange(self, client: RawClient, *, answer: bytes = OK) -> bytes:
        """One whole exchange; returns the body that the client got."""
        client.send(request())
        stream, _ = self.backend.accept_request()
        stream.send(answer)
        return client.read_response().body


def refusal(front: Front, **options: Any) -> OSError:
    """The error of a client that must not come to a first request."""
    try:
        client = front.connect(**options)
        # In TLS 1.3 the client takes its own handshake for complete before the router has judged it.
        client.send(request())
        got = client.read_to_end()
    except OSError as error:
        return error
    if got:
        raise AssertionError(f"the router served a client that it was to refuse: {got!r}")
    return ConnectionResetError("ended without a word")


# --- T01


class TestIdentities:
    @pytest.fixture(scope="class")
    @staticmethod
    def pairs(issuer: Issuer) -> dict[str, Pair]:
        return {
            "first": issuer.pair("first.test", "*.wild.test"),
            "exact": issuer.pair("exact.wild.test", "MIXED.Case.test"),
            "common": issuer.pair(subject=name("common.test")),
            "ignored common": issuer.pair("alternative.test", subject=name("ignored.test")),
        }

    @pytest.fixture
    def front(self, issuer: Issuer, backend: RawBackend, pairs: dict[str, Pair]) -> Iterator[Front]:
        with Front(issuer, backend, *pairs.values()) as front:
            yield front

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ("first.test", "first"),
            ("any.wild.test", "first"),
            ("exact.wild.test", "exact"),
            ("EXACT.wild.TEST", "exact"),
            ("mixed.case.test", "exact"),
            ("two.labels.wild.test", "first"),
            ("common.test", "common"),
            ("alternative.test", "ignored common"),
            ("ignored.test", "first"),
            ("unknown.test", "first"),
            (None, "first"),
        ],
    )
    def test_chosen_by_name(self, front: Front, pairs: dict[str, Pair], asked: str | None, expected: str) -> None:
        client = front.connect(asked, checks_names=False)
        assert client.server_certificate == pairs[expected].der
        assert front.exchange(client) == b"ok"

    def test_the_kind_of_key_that_the_client_can_use(self, issuer: Issuer, backend: RawBackend) -> None:
        curve, rsa, other = issuer.pair("a.test"), issuer.pair("a.test", is_rsa=True), issuer.pair("b.test")
        with Front(issuer, backend, curve, rsa, other) as front:
            for asked, ciphers, expected in [
                ("a.test", "ECDHE-RSA-AES128-GCM-SHA256", rsa),
                ("a.test", "ECDHE-ECDSA-AES128-GCM-SHA256", curve),
                (None, "ECDHE-RSA-AES128-GCM-SHA256", rsa),
                (None, "ECDHE-ECDSA-AES128-GCM-SHA256", curve),
                ("unknown.test", "ECDHE-ECDSA-AES128-GCM-SHA256", curve),
                ("b.test", "ECDHE-ECDSA-AES128-GCM-SHA256", other),
            ]:
                client = front.connect(asked, checks_names=False, ciphers=ciphers, version=ssl.TLSVersion.TLSv1_2)
                assert client.server_certificate == expected.der, (asked, ciphers)


# --- T02, T03


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize(
    ("lowest", "highest"),
    [
        ("TLSv1.0", "TLSv1.2"),
        ("TLSv1.1", "TLSv1.3"),
        ("TLSv1.2", "TLSv1.2"),
        ("TLSv1.2", "TLSv1.3"),
        ("TLSv1.3", "TLSv1.3"),
    ],
)
def test_versions(issuer: Issuer, pair: Pair, backend: RawBackend, lowest: str, highest: str) -> None:
    ciphers = ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-GCM-SHA256")
    with Front(issuer, backend, pair, min_version=lowest, max_version=highest, ciphers=ciphers) as front:
        for spoken, version in VERSIONS.items():
            if lowest <= spoken <= highest:
                client = front.connect(version=version)
                assert client.socket.version() == spoken.replace("v1.0", "v1")
                assert front.exchange(client) == b"ok"
            else:
                error = refusal(front, version=version)
                assert "ALERT_PROTOCOL_VERSION" in str(error).upper().replace(" ", "_"), error


def test_ciphers_of_tls_1_2(issuer: Issuer, pair: Pair, backend: RawBackend) -> None:
    wanted = "ECDHE-ECDSA-AES256-GCM-SHA384"
    with Front(issuer, backend, pair, ciphers=(wanted,)) as front:
        client = front.connect(version=ssl.TLSVersion.TLSv1_2)
        cipher = client.socket.cipher()
        assert cipher is not None
        assert cipher[0] == wanted
        error = refusal(front, version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
        assert "handshake failure" in str(error)
        assert front.connect(version=ssl.TLSVersion.TLSv1_3).socket.version() == "TLSv1.3"


# --- T07, T08


class TestProtocols:
    @pytest.fixture
    def front(self, issuer: Issuer, pair: Pair, backend: RawBackend) -> Iterator[Front]:
        with Front(issuer, backend, pair, protocols=("http/1.1",)) as front:
            yield front

    @pytest.mark.parametrize(
        ("offered", "selected"),
        [((), None), (("http/1.1",), "http/1.1"), (("h2", "http/1.1"), "http/1.1"), (("x", "http/1.1"), "http/1.1")],
    )
    def test_offered(self, front: Front, offered: tuple[str, ...], selected: str | None) -> None:
        client = front.connect(protocols=offered)
        assert client.socket.selected_alpn_protocol() == selected
        assert front.exchange(client) == b"ok"

    @pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
    @pytest.mark.parametrize("offered", [("h2",), ("foreign",), ("http/1.0", "http/1.11", "HTTP/1.1")])
    def test_foreign(self, front: Front, offered: tuple[str, ...], version: str) -> None:
        error = refusal(front, protocols=offered, version=VERSIONS[version])
        assert "no application protocol" in str(error)

    def test_foreign_in_single_bytes(self, front: Front, issuer: Issuer) -> None:
        hello = client_hello(client_context(issuer, protocols=("foreign",)))
        client = front.router.connect()
        client.send_split(hello)
        assert client.read_to_end() == NO_APPLICATION_PROTOCOL

    def test_handshake_in_single_bytes(self, front: Front, issuer: Issuer) -> None:
        client = front.router.connect()
        hello = client_hello(client_context(issuer, protocols=("http/1.1",)))
        client.send_split(hello)
        assert client.read_exactly(3)[:1] == b"\x16"

    def test_alpn_is_left_alone(self, issuer: Issuer, pair: Pair, backend: RawBackend) -> None:
        with Front(issuer, backend, pair) as front:
            client = front.connect(protocols=("foreign",))
            assert client.socket.selected_alpn_protocol() is None
            assert front.exchange(client) == b"ok"

    @pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\n\r\n", b"P", b"CONNECT x:1 HTTP/1.1\r\n\r\n"])
    def test_plain_http(self, front: Front, start: bytes) -> None:
        client = front.router.connect()
        client.send(start)
        assert client.read_to_end() == (
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
        )

    def test_a_large_plain_request_gets_its_answer(self, front: Front) -> None:
        """What comes behind the first bytes is read for a while: closing would reset the connection."""
        client = front.router.connect()
        client.send(request(start_line=b"POST / HTTP/1.1", body=b"x" * 100_000))
        assert client.read_to_end().startswith(b"HTTP/1.0 400 ")

    @pytest.mark.parametrize("start", [b"\x00", b"\x80\x2e\x01\x00\x02", b"\r\n", b"\x16\x03\x01\x00\x00junk\x00\x01!"])
    def test_neither_tls_nor_http(self, front: Front, start: bytes) -> None:
        client = front.router.connect()
        client.send(start)
        assert client.wait_closed()[:1] in (b"", b"\x15"), "nothing, or an alert"

    def test_a_hello_without_end(self, front: Front) -> None:
        client = front.router.connect()
        record = struct.pack(">BHH", 22, 0x0301, 16384)
        client.send_until_blocked((record + b"\x01\x00\xff\xff" + b"x" * 16380) * 8)
        assert client.wait_closed()[:1] in (b"", b"\x15")


def client_hello(context: ssl.SSLContext) -> bytes:
    """The first bytes of a client."""
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()
