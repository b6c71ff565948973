"""What is done behind the back of Python's ssl, and that nothing is where it is not certain."""

import ssl
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from fastrouter.tls import libssl
from fastrouter.tls.backends import backend_context
from fastrouter.tls.libssl import LibsslError, accept_any_purpose, pointer_of
from integration.issuer import Issuer, extended_usages, key_usage
from integration.tls_backend import SAN, server_side

from .wire import Wire

ISSUER = Issuer(is_rsa=True)
ANYTHING = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


class Other:
    """An object whose first member is none of libssl's."""

    __slots__ = ("first",)
    options = 1
    num_tickets = 1


class Refusing:
    """A libssl that takes nothing."""

    def __init__(self) -> None:
        self._real = libssl.libssl()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def SSL_CTX_set_purpose(self, _context: int, _purpose: int) -> int:  # noqa: N802 the name is OpenSSL's
        return 0


@pytest.mark.parametrize("first", [None, b"\0" * 4096, 1, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)])
@pytest.mark.parametrize("call", [pointer_of, accept_any_purpose])
def test_another_layout(call: Any, first: object) -> None:
    other: Any = Other()
    other.first = first
    with pytest.raises(LibsslError, match="laid out in another way"):
        call(other)


def test_addresses_that_lead_nowhere() -> None:
    assert not any(libssl._is_readable(address) for address in (0, 8, 2**47, 2**64 - 8))


class TestStore:
    """Two contexts that trust the same."""

    def test_it_is_shared(self) -> None:
        first = backend_context(ca_certs=[ISSUER.pem])
        second = backend_context(ca_certs=[ISSUER.pem], trusts_like=first)
        assert second.cert_store_stats() == first.cert_store_stats()
        # What one learns is the other's, too.
        first.load_verify_locations(cadata=Issuer().pem)
        assert second.cert_store_stats() == first.cert_store_stats()
        del first
        Wire(second, server_side(ISSUER.pair(SAN), ssl.TLSVersion.TLSv1_3), SAN).shake_hands()

    def test_it_cannot_be_shared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first = backend_context(ca_certs=[ISSUER.pem])

        def fail(*_: object) -> None:
            raise LibsslError("not here")

        monkeypatch.setattr(libssl, "pointer_of", fail)
        second = backend_context(ca_certs=[ISSUER.pem], trusts_like=first)
        assert second.cert_store_stats() == first.cert_store_stats()
        first.load_verify_locations(cadata=Issuer().pem)
        assert second.cert_store_stats() != first.cert_store_stats()


class TestPurpose:
    """Where OpenSSL cannot be told to leave usages alone, it looks at them as it always did."""

    @pytest.fixture(params=["no libssl", "no OpenSSL", "refused", "laid out in another way"], autouse=True)
    def another(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise LibsslError("not here")

        match request.param:
            case "no libssl":
                monkeypatch.setattr(libssl, "libssl", fail)
            case "no OpenSSL":
                monkeypatch.setattr(ssl, "OPENSSL_VERSION", "LibreSSL 4.0.0")
            case "refused":
                refusing = Refusing()
                monkeypatch.setattr(libssl, "libssl", lambda: refusing)
            case _:
                monkeypatch.setattr(libssl, "pointer_of", fail)

    def test_cannot_be_set(self) -> None:
        with pytest.raises(LibsslError):
            accept_any_purpose(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def test_what_is_strict_stays_strict(self) -> None:
        context = backend_context(ca_certs=[ISSUER.pem])
        Wire(context, server_side(ISSUER.pair(SAN), ssl.TLSVersion.TLSv1_3), SAN).shake_hands()
        for usage in (extended_usages(ANYTHING), key_usage("data_encipherment")):
            pair = ISSUER.pair(SAN, is_rsa=True, usages=(), extensions=[usage])
            with pytest.raises(ssl.SSLCertVerificationError, match="incompatible key usage") as refusal:
                Wire(context, server_side(pair, ssl.TLSVersion.TLSv1_3), SAN).shake_hands()
            # OpenSSL's own word.
            assert isinstance(refusal.value.__cause__, ssl.SSLCertVerificationError)
