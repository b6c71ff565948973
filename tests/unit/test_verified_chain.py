"""What a chain may be used for, by Go's rules (spec 5.6, K04)."""

import ssl
from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from fastrouter.tls.backends import BackendContext, backend_context, route_service_context
from fastrouter.tls.verified_chain import _extended_usages, is_for_servers, verified_chain
from integration.issuer import (
    CLIENT,
    SERVER,
    UNREADABLE_USAGES,
    Issuer,
    Pair,
    alternative_name,
    extended_usages,
    key_usage,
)
from integration.tls_backend import SAN, server_side

from .wire import Wire

ANYTHING = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
SIGNING = ExtendedKeyUsageOID.CODE_SIGNING
GATED_CRYPTO = x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3")

OURS = Issuer("ours")
FOR_BACKENDS = backend_context(ca_certs=[OURS.pem])
FOR_SERVICES = route_service_context(ca_certs=[OURS.pem], min_version="TLSv1.2", max_version="TLSv1.3")
NO_AUTHORITY = x509.BasicConstraints(ca=False, path_length=None)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def der(*usages: x509.ObjectIdentifier) -> bytes:
    return OURS.pair(SAN, usages=usages).der


def below(*extensions: x509.Extension[x509.ExtensionType], path_length: int | None = None) -> Issuer:
    constraints = x509.BasicConstraints(ca=True, path_length=path_length)
    return Issuer("below", parent=OURS, constraints=constraints, extensions=extensions)


class TestUsages:
    @pytest.mark.parametrize(
        ("usages", "expected"),
        [
            ((), True),
            ((SERVER,), True),
            ((ANYTHING,), True),
            ((CLIENT, SERVER), True),
            ((SIGNING, ANYTHING), True),
            ((CLIENT,), False),
            ((SIGNING, CLIENT), False),
            # OpenSSL would take it, Go 1.23 does not.
            ((GATED_CRYPTO,), False),
            ((x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1.1"),), False),
        ],
    )
    def test_each_certificate_counts(self, usages: Sequence[x509.ObjectIdentifier], expected: bool) -> None:
        good = der(SERVER)
        assert is_for_servers([der(*usages)]) == expected
        assert is_for_servers([good, der(*usages)]) == expected
        assert is_for_servers([der(*usages), good]) == expected

    def test_an_empty_list_forbids_nothing(self) -> None:
        assert is_for_servers([OURS.pair(SAN, usages=(), extensions=[extended_usages()]).der])

    def test_no_chain_is_for_nobody(self) -> None:
        assert not is_for_servers([])


class TestReading:
    # Long enough for sizes of one, two and three bytes.
    CERTIFICATE = OURS.pair(*(f"a{number}.internal" for number in range(20)), usages=[SERVER, ANYTHING, SIGNING]).der

    def test_all_of_the_list(self) -> None:
        assert [usage.hex() for usage in _extended_usages(self.CERTIFICATE)] == [
            "2b06010505070301",
            "551d2500",
            "2b06010505070303",
        ]

    def test_what_looks_like_it_elsewhere_is_nothing(self) -> None:
        usages = bytes.fromhex("0603551d25040c300a06082b06010505070301")
        assert _extended_usages(OURS.pair(usages=(), extensions=[alternative_name(usages)]).der) == []

    def test_no_certificate_that_is_cut(self) -> None:
        for size in range(len(self.CERTIFICATE)):
            with pytest.raises(ValueError, match=r"."):
                _extended_usages(self.CERTIFICATE[:size])

    def test_nothing_behind_it(self) -> None:
        with pytest.raises(ValueError, match=r"."):
            _extended_usages(self.CERTIFICATE + b"\x05\x00")

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "0500",
            # No identifiers: a number, one without bytes, ones that do not end or begin with a zero.
            "3003020101",
            "30020600",
            "300306012b0600",
            "3003060188",
            "300406028001",
            # Not in one piece: cut short, and more behind it.
            "300a06082b060105050703",
            "300506032b06010500",
            # Sizes that are not as short as can be, or not told.
            "30810a06082b06010505070301",
            "3082000a06082b06010505070301",
            "308006082b060105050703010000",
            # A tag of two bytes.
            "30031f0600",
        ],
    )
    def test_no_list(self, value: str) -> None:
        oid = x509.ExtendedKeyUsage.oid
        broken = x509.Extension(oid, False, x509.UnrecognizedExtension(oid, bytes.fromhex(value)))
        certificate = OURS.pair(usages=(), extensions=[broken]).der
        for _ in range(2):
            with pytest.raises(ValueError, match=r"."):
                is_for_servers([certificate])

    def test_not_twice(self) -> None:
        # No builder makes it: another extension is renamed.
        renamed = x509.ObjectIdentifier("2.5.29.99")
        twin = x509.Extension(renamed, False, x509.UnrecognizedExtension(renamed, bytes.fromhex("30060604551d2500")))
        once = OURS.pair(usages=[CLIENT], extensions=[twin]).der
        twice = once.replace(bytes.fromhex("0603551d63"), bytes.fromhex("0603551d25"))
        assert len(_extended_usages(once)) == 1
        with pytest.raises(ValueError, match=r"."):
            _extended_usages(twice)


def shake_hands(context: BackendContext, pair: Pair, version: ssl.TLSVersion) -> Wire:
    return Wire(context, server_side(pair, version), SAN).shake_hands()


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
class TestChain:
    """OpenSSL leaves usages alone, and nothing else."""

    def test_is_what_was_verified(self, version: ssl.TLSVersion) -> None:
        between = below()
        # What is shown beside it is no part of it.
        pair = between.pair(SAN)
        shown = Pair(pair.chain + Issuer("other").pem, pair.key)
        wire = shake_hands(FOR_BACKENDS, shown, version)
        assert verified_chain(wire.client) == [
            pair.der,
            ssl.PEM_cert_to_DER_cert(between.pem),
            ssl.PEM_cert_to_DER_cert(OURS.pem),
        ]

    @pytest.mark.parametrize(
        "pair",
        [
            OURS.pair(SAN, usages=[ANYTHING]),
            OURS.pair(SAN, usages=(), extensions=[extended_usages()]),
            OURS.pair(SAN, usages=[SERVER], is_rsa=True, extensions=[key_usage("data_encipherment")]),
            below(extended_usages(SERVER)).pair(SAN),
            below(extended_usages(ANYTHING)).pair(SAN, usages=()),
            below(key_usage("key_cert_sign"), path_length=0).pair(SAN),
        ],
    )
    def test_good(self, version: ssl.TLSVersion, pair: Pair) -> None:
        shake_hands(FOR_BACKENDS, pair, version).answer()

    @pytest.mark.parametrize("context", [FOR_BACKENDS, FOR_SERVICES], ids=["backends", "services"])
    @pytest.mark.parametrize(
        ("pair", "text"),
        [
            (OURS.pair(SAN, usages=[CLIENT]), "incompatible key usage"),
            (OURS.pair(SAN, usages=[GATED_CRYPTO]), "incompatible key usage"),
            (below(extended_usages(CLIENT)).pair(SAN), "incompatible key usage"),
            (below(extended_usages(CLIENT)).pair(SAN, usages=[ANYTHING]), "incompatible key usage"),
            # Who signs without being allowed to.
            (
                Issuer("leaf", parent=OURS, constraints=x509.BasicConstraints(False, None)).pair(SAN),
                "unknown authority",
            ),
            (Issuer("leaf", parent=OURS, constraints=None).pair(SAN), "unknown authority"),
            (
                Issuer(
                    "leaf", parent=OURS, constraints=None, extensions=[key_usage("key_cert_sign", "digital_signature")]
                ).pair(SAN),
                "unknown authority",
            ),
            (below(key_usage("digital_signature", "crl_sign")).pair(SAN), "unknown authority"),
            (Issuer("too low", parent=below(path_length=0)).pair(SAN), "too many intermediates"),
            (
                below(
                    x509.Extension(
                        x509.NameConstraints.oid, True, x509.NameConstraints(None, [x509.DNSName("internal")])
                    )
                ).pair(SAN),
                "not authorized to sign for this name",
            ),
        ],
    )
    def test_bad(self, version: ssl.TLSVersion, pair: Pair, text: str, context: BackendContext) -> None:
        # Nothing is remembered of it either.
        for _ in range(2):
            with pytest.raises(ssl.SSLCertVerificationError, match=text):
                shake_hands(context, pair, version)

    def test_trusted_certificate_that_may_not_sign(self, version: ssl.TLSVersion) -> None:
        leaf = Issuer("leaf", parent=OURS, constraints=NO_AUTHORITY)
        with pytest.raises(ssl.SSLCertVerificationError, match="unknown authority"):
            shake_hands(backend_context(ca_certs=[leaf.pem]), leaf.pair(SAN), version)

    def test_trusted_certificate_for_clients(self, version: ssl.TLSVersion) -> None:
        root = Issuer("root", extensions=[extended_usages(CLIENT)])
        pair = root.pair(SAN, usages=[CLIENT])
        for trusted in (root.pem, pair.chain):
            with pytest.raises(ssl.SSLCertVerificationError, match="incompatible key usage"):
                shake_hands(backend_context(ca_certs=[trusted]), pair, version)

    def test_usages_that_cannot_be_read(self, version: ssl.TLSVersion) -> None:
        pair = OURS.pair(SAN, usages=(), extensions=[UNREADABLE_USAGES])
        with pytest.raises(ssl.SSLError, match="x509: invalid extended key usages"):
            shake_hands(FOR_BACKENDS, pair, version)

    def test_without_validation_nothing_matters(self, version: ssl.TLSVersion) -> None:
        context = route_service_context(min_version="TLSv1.2", max_version="TLSv1.3", skip_ssl_validation=True)
        shake_hands(context, OURS.pair(SAN, usages=[CLIENT]), version).answer()
