"""Which certificates of a backend are good enough, and what is said of others, as in Go 1.23 (spec 5.6, 5.7)."""

import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from fastrouter.tls.backends import backend_context

from .byte_stream import PATIENCE
from .http_message import Response
from .in_process import InProcessRouter
from .issuer import (
    CLIENT,
    SERVER,
    UNKNOWN_EXTENSION,
    UNREADABLE_USAGES,
    Issuer,
    Pair,
    alternative_name,
    extended_usages,
    key_usage,
    name,
)
from .raw_backend import BackendStream
from .tls_backend import OK, TlsBackend, server_side

NAME = "a.internal"
ANYTHING = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
NO_AUTHORITY = x509.BasicConstraints(ca=False, path_length=None)
THE_LAST = x509.BasicConstraints(ca=True, path_length=0)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
BODY_OF = {503: b"503 Service Unavailable\n", 526: b"526 Invalid SSL Certificate\n"}
COUNTER_OF = {503: "backend_invalid_id", 526: "backend_invalid_tls_cert"}

OURS, THEIRS, WITH_RSA = Issuer("ours"), Issuer("theirs"), Issuer("with RSA", is_rsa=True)


def take_in(backend: TlsBackend) -> bytes:
    """Take part in a handshake as far as it goes; give what came behind it."""
    plain = backend.accept_plain()
    with suppress(OSError), backend.context.wrap_socket(plain.socket, server_side=True) as secured:
        secured.settimeout(PATIENCE)
        return secured.recv(1)
    return b""


def show_another(backend: TlsBackend, shown: bytes, other: bytes) -> bytes:
    """Take part in a handshake of TLS 1.2 with `other` in place of the certificate; give what came behind it."""
    plain = backend.accept_plain()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = backend.context.wrap_bio(incoming, outgoing, server_side=True)
    while not outgoing.pending:
        incoming.write(plain.socket.recv(65536))
        with suppress(ssl.SSLWantReadError):
            server.do_handshake()
    plain.socket.sendall(outgoing.read().replace(shown, other))
    incoming.write(plain.socket.recv(65536))
    with pytest.raises(ssl.SSLError, match="alert"):
        server.do_handshake()
    return plain.socket.recv(1)


class Attempt:
    """A request to a backend that shows `pair` and should be `san`."""

    def __init__(self, pair: Pair, version: ssl.TLSVersion, san: str = NAME, *, ciphers: str = "DEFAULT") -> None:
        self._context = server_side(pair, version, ciphers)
        self._san = san
        self.counters: dict[str, int] = {}
        self.event: dict[str, Any] = {}
        self.is_pruned = False

    def served(self) -> BackendStream:
        with TlsBackend(self._context) as backend, self._router_to(backend) as router:
            client = router.ask()
            stream, _ = backend.accept_request()
            stream.send(OK)
            assert client.read_response().status == 200
            assert not router.events
            return stream

    def refused(self, take_part: Callable[[TlsBackend], bytes] = take_in) -> Response:
        with TlsBackend(self._context) as backend, self._router_to(backend) as router:
            client = router.ask()
            # Not a byte of the request.
            assert take_part(backend) == b""
            response = client.read_response()
            self.event = router.wait_for_event("backend-endpoint-failed")
            self.counters = router.stats()
            self.is_pruned = not router.addresses()
            return response

    def _router_to(self, backend: TlsBackend) -> InProcessRouter:
        return InProcessRouter(
            backend.endpoint(self._san), backend_tls=backend_context(ca_certs=[OURS.pem, WITH_RSA.pem])
        )


def below(**options: Any) -> Issuer:
    return Issuer("below", parent=OURS, **options)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
class TestGoodEnough:
    @pytest.mark.parametrize(
        ("names", "san"),
        [
            (["*.internal"], NAME),
            (["other.internal", "A.INTERNAL"], "a.Internal"),
            ([NAME], f"{NAME}."),
            ([f"{NAME}."], f"{NAME}."),
            (["127.0.0.1"], ""),
        ],
    )
    def test_name(self, version: ssl.TLSVersion, names: Sequence[str], san: str) -> None:
        Attempt(OURS.pair(*names), version, san).served()

    def test_rsa_key_of_1024_bits(self, version: ssl.TLSVersion) -> None:
        Attempt(OURS.pair(NAME, is_rsa=True, key_size=1024), version).served()

    def test_authority_with_rsa(self, version: ssl.TLSVersion) -> None:
        Attempt(WITH_RSA.pair(NAME), version).served()

    def test_no_usages(self, version: ssl.TLSVersion) -> None:
        Attempt(OURS.pair(NAME, usages=()), version).served()

    def test_any_extended_usage(self, version: ssl.TLSVersion) -> None:
        Attempt(OURS.pair(NAME, usages=[ANYTHING]), version).served()

    @pytest.mark.parametrize("usage", [SERVER, ANYTHING])
    def test_authority_with_extended_usages(self, version: ssl.TLSVersion, usage: x509.ObjectIdentifier) -> None:
        Attempt(below(extensions=[extended_usages(usage)]).pair(NAME), version).served()

    @pytest.mark.parametrize("bit", ["key_encipherment", "key_agreement", "data_encipherment", "crl_sign"])
    def test_key_usage_without_signatures(self, version: ssl.TLSVersion, bit: str) -> None:
        Attempt(OURS.pair(NAME, is_rsa=True, extensions=[key_usage(bit)]), version).served()


class TestStricter:
    """What OpenSSL refuses and Go 1.23 takes (K04 of docs/parity.md)."""

    def test_ecdsa_key_that_may_not_sign_over_tls_1_2(self) -> None:
        """OpenSSL would not show such a certificate, so it takes the place of another on the way."""
        shown = WITH_RSA.pair(NAME, extensions=[key_usage("digital_signature")])
        changed = WITH_RSA.with_key_usage(shown, "digital_signature", "key_agreement")
        attempt = Attempt(shown, ssl.TLSVersion.TLSv1_2)
        assert attempt.refused(lambda backend: show_another(backend, shown.der, changed.der)).status == 502
        assert attempt.event["error"] == "incomplete request (tls: bad ecc cert)"
        assert not attempt.is_pruned

    def test_ecdsa_key_that_may_not_sign_over_tls_1_3(self) -> None:
        pair = OURS.pair(NAME, extensions=[key_usage("key_agreement")])
        Attempt(pair, ssl.TLSVersion.TLSv1_3).served()

    @pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
    def test_rsa_key_below_1024_bits(self, version: ssl.TLSVersion) -> None:
        attempt = Attempt(OURS.pair(NAME, is_rsa=True, key_size=768), version)
        assert attempt.refused().status == 526
        assert UNTRUSTED in attempt.event["error"]
        assert attempt.is_pruned


class TestSuites:
    """Those of Go for TLS 1.2, without `cipher_suites`."""

    @pytest.mark.parametrize(
        "suite",
        [
            "ECDHE-RSA-AES128-SHA",
            "ECDHE-RSA-AES256-SHA",
            "ECDHE-RSA-CHACHA20-POLY1305",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-RSA-AES256-GCM-SHA384",
        ],
    )
    def test_offered(self, suite: str) -> None:
        Attempt(OURS.pair(NAME, is_rsa=True), ssl.TLSVersion.TLSv1_2, ciphers=suite).served()

    @pytest.mark.parametrize("suite", ["AES128-SHA", "DHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256"])
    def test_not_offered(self, suite: str) -> None:
        attempt = Attempt(OURS.pair(NAME, is_rsa=True), ssl.TLSVersion.TLSv1_2, ciphers=suite)
        assert attempt.refused().status == 525
        assert "remote error: tls: handshake failure" in attempt.event["error"]


EXPIRED = "certificate has expired or is not yet valid: current time "
WRONG_USAGE = "certificate specifies an incompatible key usage"
UNTRUSTED = "certificate signed by unknown authority"
TOO_LOW = "too many intermediates for path length constraint"
UNKNOWN = "unhandled critical extension"


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize(
    ("pair", "san", "status", "text"),
    [
        (
            OURS.pair("b.internal", "c.internal"),
            NAME,
            503,
            f"certificate is valid for b.internal, c.internal, not {NAME}",
        ),
        (OURS.pair(f"{NAME}."), NAME, 503, f"certificate is valid for {NAME}., not {NAME}"),
        (OURS.pair("*.internal"), "a.b.internal", 503, "certificate is valid for *.internal, not a.b.internal"),
        (OURS.pair("10.0.0.1"), NAME, 503, f"certificate is not valid for any names, but wanted to match {NAME}"),
        (
            OURS.pair(subject=name(NAME)),
            NAME,
            503,
            "certificate relies on legacy Common Name field, use SANs instead",
        ),
        (OURS.pair("10.0.0.1", "::1"), "", 503, "certificate is valid for 10.0.0.1, ::1, not 127.0.0.1"),
        (OURS.pair(NAME), "", 503, "cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"),
        (THEIRS.pair(NAME), NAME, 526, UNTRUSTED),
        (THEIRS.pair("b.internal"), NAME, 503, f"certificate is valid for b.internal, not {NAME}"),
        (THEIRS.pair("b.internal", is_expired=True), NAME, 526, EXPIRED),
        (OURS.pair(NAME, is_expired=True), NAME, 526, EXPIRED),
        (below(is_expired=True).pair(NAME), NAME, 526, EXPIRED),
        (OURS.pair(NAME, usages=[CLIENT]), NAME, 526, WRONG_USAGE),
        (OURS.pair("b.internal", usages=[CLIENT]), NAME, 503, f"certificate is valid for b.internal, not {NAME}"),
        (OURS.pair(NAME, extensions=[UNKNOWN_EXTENSION]), NAME, 526, UNKNOWN),
        (OURS.pair("b.internal", extensions=[UNKNOWN_EXTENSION]), NAME, 526, UNKNOWN),
        (below(extensions=[extended_usages(CLIENT)]).pair(NAME), NAME, 526, WRONG_USAGE),
        (below(constraints=NO_AUTHORITY).pair(NAME), NAME, 526, UNTRUSTED),
        (below(extensions=[key_usage("digital_signature")]).pair(NAME), NAME, 526, UNTRUSTED),
        (Issuer("too low", parent=below(constraints=THE_LAST)).pair(NAME), NAME, 526, TOO_LOW),
        (WITH_RSA.signed_with_sha_1(WITH_RSA.pair(NAME)), NAME, 526, UNTRUSTED),
    ],
)
def test_not_good_enough(version: ssl.TLSVersion, pair: Pair, san: str, status: int, text: str) -> None:
    attempt = Attempt(pair, version, san)
    response = attempt.refused()
    assert (response.status, response.body) == (status, BODY_OF[status])
    error = f"tls: failed to verify certificate: x509: {text}"
    header = (response.value(b"X-Cf-Routererror") or b"").decode()
    assert header.startswith(f"endpoint_failure ({error}")
    assert header == f"endpoint_failure ({error})" or text == EXPIRED
    assert error in attempt.event["error"]
    assert attempt.counters[COUNTER_OF[status]] == 1
    assert attempt.is_pruned


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
@pytest.mark.parametrize("issuer", [OURS, THEIRS], ids=["trusted", "untrusted"])
@pytest.mark.parametrize("letter", ["\u00fc".encode(), b"\xff"])
def test_name_that_is_no_text(version: ssl.TLSVersion, issuer: Issuer, letter: bytes) -> None:
    pair = issuer.pair(extensions=[alternative_name(letter + b".internal")])
    check_unreadable(Attempt(pair, version), "SAN dNSName is malformed")


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_extended_usages_that_are_no_der(version: ssl.TLSVersion) -> None:
    pair = OURS.pair(NAME, usages=(), extensions=[UNREADABLE_USAGES])
    check_unreadable(Attempt(pair, version), "invalid extended key usages")


def check_unreadable(attempt: Attempt, text: str) -> None:
    response = attempt.refused()
    error = f"tls: failed to parse certificate from server: x509: {text}"
    assert response.status == 502
    assert not attempt.is_pruned
    assert response.value(b"X-Cf-Routererror") == f"endpoint_failure ({error})".encode()
