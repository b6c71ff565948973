"""TLS of clients: identities by SNI, versions, ciphers, client certificates, ALPN, and HTTP over all of it (8.5)."""

import contextlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastrouter._core import Endpoint
from fastrouter.ipc.messages import ClientRule

from .http_message import response_with
from .in_process import HOST, request
from .issuer import CLIENT, SERVER, Issuer, Pair, name
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
def pair(issuer: Issuer) -> Pair:
    return issuer.pair(HOST)


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
        # In TLS 1.3 the client takes its own handshake for complete before the router has verified it.
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

    @pytest.mark.parametrize(
        ("offered", "selected"),
        [((), None), (("http/1.1",), "http/1.1"), (("http/1.1", "h2"), "h2"), (("h2",), "h2"), (("x", "h2"), "h2")],
    )
    def test_offered_with_http_2(
        self, issuer: Issuer, pair: Pair, backend: RawBackend, offered: tuple[str, ...], selected: str | None
    ) -> None:
        with Front(issuer, backend, pair, protocols=("h2", "http/1.1")) as front:
            client = front.connect(protocols=offered)
            assert client.socket.selected_alpn_protocol() == selected
            assert "no application protocol" in str(refusal(front, protocols=("h3", "http/1.0")))

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

    def test_a_large_plain_request_gets_its_response(self, front: Front) -> None:
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


# --- T04, T05


class TestClientCertificates:
    @pytest.fixture(scope="class")
    @staticmethod
    def shown(issuer: Issuer) -> dict[str, Pair | None]:
        return {
            "none": None,
            "good": issuer.pair("client.test"),
            "expired": issuer.pair("client.test", is_expired=True),
            "of an unknown CA": Issuer("unknown").pair("client.test"),
            "for servers": issuer.pair("client.test", usages=[SERVER]),
            "for clients": issuer.pair("client.test", usages=[CLIENT]),
            "for anything": issuer.pair("client.test", usages=[]),
        }

    @pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
    @pytest.mark.parametrize("mode", ["none", "request", "require"])
    def test_who_is_let_in(
        self,
        *,
        issuer: Issuer,
        pair: Pair,
        backend: RawBackend,
        shown: dict[str, Pair | None],
        mode: str,
        version: str,
    ) -> None:
        good = {"good", "for clients", "for anything"}
        welcome = {"none": set(shown), "request": good | {"none"}, "require": good}[mode]
        with Front(issuer, backend, pair, client_certificates=mode, client_ca_certs=issuer.pem) as front:
            for what, identity in shown.items():
                if what in welcome:
                    with front.connect(identity=identity, version=VERSIONS[version]) as client:
                        assert front.exchange(client) == b"ok", what
                else:
                    refusal(front, identity=identity, version=VERSIONS[version])
            assert front.router.stats()["total_requests"] == len(welcome), "the others came to no request"

    def test_an_alert_says_why(self, issuer: Issuer, pair: Pair, backend: RawBackend) -> None:
        unknown = Issuer("unknown").pair("client.test")
        with Front(issuer, backend, pair, client_certificates="require", client_ca_certs=issuer.pem) as front:
            assert "unknown ca" in str(refusal(front, identity=unknown))
            assert "certificate required" in str(refusal(front))

    def test_below_another_authority(self, issuer: Issuer, pair: Pair, backend: RawBackend) -> None:
        """An intermediate may come from the client, or be what is trusted itself."""
        middle = Issuer("middle", parent=issuer)
        identity = middle.pair("client.test")
        for trusted in (issuer.pem, middle.pem):
            with Front(issuer, backend, pair, client_certificates="require", client_ca_certs=trusted) as front:
                assert front.exchange(front.connect(identity=identity)) == b"ok"

    @pytest.mark.parametrize("trusts_system_roots", [True, False])
    def test_the_systems_roots(
        self,
        *,
        issuer: Issuer,
        pair: Pair,
        backend: RawBackend,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        trusts_system_roots: bool,
    ) -> None:
        system = Issuer("system")
        roots = tmp_path / "roots.pem"
        roots.write_text(system.pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(roots))
        identity = system.pair("client.test")
        with Front(
            issuer,
            backend,
            pair,
            client_certificates="require",
            client_ca_certs=issuer.pem,
            trusts_system_roots=trusts_system_roots,
        ) as front:
            assert front.exchange(front.connect(identity=issuer.pair("client.test"))) == b"ok"
            if trusts_system_roots:
                assert front.exchange(front.connect(identity=identity)) == b"ok"
            else:
                assert "unknown ca" in str(refusal(front, identity=identity))

    def test_every_identity_has_the_same_rules(self, issuer: Issuer, backend: RawBackend) -> None:
        pairs = [issuer.pair("one.test"), issuer.pair("two.test")]
        identity = issuer.pair("client.test")
        with Front(issuer, backend, *pairs, client_certificates="require", client_ca_certs=issuer.pem) as front:
            for asked in ("one.test", "two.test", "three.test", None):
                client = front.connect(asked, identity=identity, checks_names=False)
                assert front.exchange(client) == b"ok"
                refusal(front, server_name=asked, checks_names=False)


# --- T06


class TestClientRules:
    @pytest.mark.parametrize(
        ("rules", "is_welcome"),
        [
            ([("CN=test authority", ["O=apps,CN=good"])], False),
            ([("CN=test authority", ["CN=good,O=apps"])], True),
            ([("CN=test authority", ["CN=other", "CN=good,O=apps"])], True),
            ([("CN=test authority", ["CN=good"])], False),
            ([("CN=test authority", [])], False),
            ([("CN=another authority", ["CN=other"])], True),
            ([("CN=another authority", ["CN=other"]), ("CN=test authority", ["CN=other"])], False),
            ([("CN=test authority", ["CN=good,O=apps"]), ("CN=test authority", ["CN=other"])], False),
        ],
    )
    @pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
    def test_subjects(
        self,
        *,
        issuer: Issuer,
        pair: Pair,
        backend: RawBackend,
        rules: list[tuple[str, list[str]]],
        is_welcome: bool,
        version: str,
    ) -> None:
        identity = issuer.pair(subject=name("good", "apps"))
        options = {
            "client_certificates": "require",
            "client_ca_certs": issuer.pem,
            "client_rules": tuple(ClientRule(ca, tuple(subjects)) for ca, subjects in rules),
        }
        with Front(issuer, backend, pair, **options) as front:
            if is_welcome:
                assert front.exchange(front.connect(identity=identity, version=VERSIONS[version])) == b"ok"
            else:
                refusal(front, identity=identity, version=VERSIONS[version])
                assert front.router.stats()["total_requests"] == 0
                assert front.router.refused == ["CN=good,O=apps"]

    def test_an_authority_between_counts(self, issuer: Issuer, pair: Pair, backend: RawBackend) -> None:
        middle = Issuer("middle", parent=issuer)
        rules = (ClientRule("CN=middle", ("CN=good",)),)
        with Front(
            issuer, backend, pair, client_certificates="request", client_ca_certs=issuer.pem, client_rules=rules
        ) as front:
            assert front.exchange(front.connect(identity=middle.pair(subject=name("good")))) == b"ok"
            refusal(front, identity=middle.pair(subject=name("bad")))
            assert front.exchange(front.connect(identity=issuer.pair(subject=name("bad")))) == b"ok"
            assert front.exchange(front.connect()) == b"ok", "who shows nothing breaks no rule"


# --- sessions


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("mode", ["none", "require"])
def test_sessions_are_resumed(issuer: Issuer, backend: RawBackend, version: str, mode: str) -> None:
    rules = (ClientRule("CN=test authority", ("CN=good",)),)
    options = {
        "client_certificates": mode,
        "client_ca_certs": issuer.pem,
        "client_rules": rules,
        "ticket_secret": b"s" * 32,
    }
    pairs = [issuer.pair("other.test"), issuer.pair(HOST)]
    identity = issuer.pair(subject=name("good"))
    with Front(issuer, backend, *pairs, **options) as front:
        context = client_context(issuer, version=VERSIONS[version], identity=identity)
        with TlsClient(front.router.port, context) as first:
            assert front.exchange(first) == b"ok"
            assert not first.socket.session_reused
            session = first.socket.session
        with TlsClient(front.router.port, context, session=session) as second:
            assert second.socket.session_reused
            assert front.exchange(second) == b"ok"
        front.router.call(front.router.secure, server_tls(issuer.pair(HOST), **options))
        with TlsClient(front.router.port, context, session=session) as third:
            assert third.socket.session_reused, "new certificates do not end it"
        front.router.call(front.router.secure, server_tls(*pairs, **options | {"client_rules": rules * 2}))
        with TlsClient(front.router.port, context, session=session) as fourth:
            assert not fourth.socket.session_reused, "other rules do"


# --- HTTP over TLS


class TestTraffic:
    @pytest.fixture
    def front(self, issuer: Issuer, pair: Pair, backend: RawBackend) -> Iterator[Front]:
        with Front(issuer, backend, pair) as front:
            yield front

    def test_large_bodies_both_ways(self, front: Front) -> None:
        body = bytes(range(256)) * 32 * 1024  # 8 MiB
        client = front.connect()
        length = b"Content-Length: %d" % len(body)
        sender = threading.Thread(target=client.send, args=(request(length, start_line=b"PUT / HTTP/1.1", body=body),))
        sender.start()
        stream, got = front.backend.accept_request()
        sender.join()
        assert got.body == body
        answering = threading.Thread(target=stream.send, args=(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n%s" % (length, body),))
        answering.start()
        assert client.read_response().body == body
        answering.join()

    def test_a_client_that_does_not_read_stops_the_backend(self, issuer: Issuer, pair: Pair) -> None:
        size = 64 * 1024 * 1024
        with RawBackend() as backend, Front(issuer, backend, pair) as front:
            client = TlsClient(front.router.port, client_context(issuer), receive_buffer=16384)
            client.send(request())
            stream, _ = backend.accept_request()
            stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            sent = stream.send_until_blocked(bytes(size))
            assert sent < size // 2
            rest = threading.Thread(target=stream.send, args=(bytes(size - sent),))
            rest.start()
            assert len(client.read_response().body) == size
            rest.join()

    def test_a_backend_that_does_not_read_stops_the_client(self, issuer: Issuer, pair: Pair) -> None:
        size = 64 * 1024 * 1024
        with RawBackend(receive_buffer=16384) as backend, Front(issuer, backend, pair) as front:
            client = front.connect()
            client.send(request(b"Content-Length: %d" % size, start_line=b"PUT / HTTP/1.1"))
            stream = backend.accept()
            stream.read_request_head()
            # TLS cannot be told to send as much as possible: it has sent what it was given, or none of it.
            sent = 0
            client.socket.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                while sent < size:
                    sent += client.socket.send(bytes(16384))
            assert sent < size // 2

    def test_pipeline(self, front: Front) -> None:
        client = front.connect()
        client.send(request(start_line=b"GET /1 HTTP/1.1") + request(start_line=b"GET /2 HTTP/1.1"))
        for path in (b"/1", b"/2"):
            stream, got = front.backend.accept_request()
            assert path in got.start_line
            stream.send(response_with(path, b"Connection: close"))
            assert client.read_response().body == path

    def test_tunnel(self, front: Front) -> None:
        client = front.connect()
        client.send(request(b"Connection: Upgrade", b"Upgrade: websocket") + b"early")
        stream, _ = front.backend.accept_request()
        stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nfirst")
        assert client.read_response().status == 101
        assert client.read_exactly(5) == b"first"
        assert stream.read_exactly(5) == b"early"
        client.send(b"up" * 50_000)
        assert stream.read_exactly(100_000) == b"up" * 50_000
        stream.send(b"down" * 50_000)
        assert client.read_exactly(200_000) == b"down" * 50_000
        stream.half_close()
        client.expect_end()

    def test_a_tunnel_that_the_client_ends(self, front: Front) -> None:
        client = front.connect()
        client.send(request(b"Connection: Upgrade", b"Upgrade: websocket"))
        stream, _ = front.backend.accept_request()
        stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        assert client.read_response().status == 101
        client.send(b"last")
        client.close()
        assert stream.wait_closed() == b"last"

    def test_close_sends_close_notify(self, front: Front) -> None:
        """So the client knows that nothing was cut off."""
        client = TlsClient(front.router.port, client_context(front.issuer), is_strict=True)
        client.send(request(b"Connection: close"))
        stream, _ = front.backend.accept_request()
        stream.send(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
        stream.close()
        client.read_response()
        client.expect_end()

    def test_a_response_that_is_cut_off_says_none(self, front: Front) -> None:
        client = TlsClient(front.router.port, client_context(front.issuer), is_strict=True)
        client.send(request().replace(b"HTTP/1.1", b"HTTP/1.0"))
        stream, _ = front.backend.accept_request()
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        client.read_until(b"abc")
        stream.send(b"no chunk size\r\n")
        with pytest.raises(OSError, match=r"EOF|reset"):
            client.read_to_end()

    def test_the_client_goes_in_the_middle_of_a_request(self, front: Front) -> None:
        client = front.connect()
        client.send(request(b"Content-Length: 100", start_line=b"PUT / HTTP/1.1", body=b"half"))
        stream = front.backend.accept()
        stream.read_request_head()
        assert stream.read_exactly(4) == b"half"
        client.close()
        stream.expect_end()
        assert "499" in front.router.wait_for_log_line()

    def test_a_record_that_was_changed_on_the_way(self, front: Front) -> None:
        client = front.connect()
        assert front.exchange(client) == b"ok"
        raw = socket.socket(fileno=os.dup(client.socket.fileno()))
        with raw:
            raw.sendall(b"\x17\x03\x03\x00\x40" + bytes(64))
        with pytest.raises(ssl.SSLError, match="bad record mac"):
            client.read_to_end()

    def test_a_refused_request_gets_a_response(self, front: Front) -> None:
        client = front.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + b"x" * 100_000)
        response = client.read_response()
        assert response.status == 400
        client.expect_end()

    def test_records_in_single_bytes(self, front: Front) -> None:
        client = front.connect()
        client.send_split(request(b"Content-Length: 3", body=b"abc"))
        stream, got = front.backend.accept_request()
        assert got.body == b"abc"
        stream.send(OK)
        assert client.read_response().body == b"ok"


class TestDeadlines:
    def test_a_handshake_that_does_not_go_on(self, issuer: Issuer, pair: Pair, backend: RawBackend) -> None:
        hello = client_hello(client_context(issuer))
        with Front(issuer, backend, pair, read_header_timeout=0.3, protocols=("http/1.1",)) as front:
            clients = [front.router.connect() for _ in range(3)]
            for client, start in zip(clients, (b"", hello[:20], hello), strict=True):
                client.send(start)
            for client in clients:
                client.wait_closed()

    def test_a_router_that_stops_ends_handshakes(self, issuer: Issuer, pair: Pair, backend: RawBackend) -> None:
        with Front(issuer, backend, pair) as front:
            client = RawClient(front.router.port)
            client.send(b"\x16")
            with front.connect() as other:
                assert front.exchange(other) == b"ok"
        client.wait_closed()
        client.close()


def client_hello(context: ssl.SSLContext) -> bytes:
    """The first bytes of a client."""
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()
