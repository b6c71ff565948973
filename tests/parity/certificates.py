"""Backends with certificates of all kinds, good ones and bad ones (spec 5.6, 5.7)."""

# fmt: off
# Certificates stand in rows, as the cases of the corpus do.

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from integration.issuer import (
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

from .case import Case, simple
from .pair import Registration

_OURS, _WITH_RSA, _THEIRS = Issuer("ours"), Issuer("with RSA", is_rsa=True), Issuer("theirs")
_BELOW, _EXPIRED, _THEIRS_BELOW = Issuer("below", parent=_OURS), Issuer("expired", parent=_OURS, is_expired=True), Issuer("below", parent=_THEIRS)
_ANYTHING = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
_GATED_CRYPTO = x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3")
AUTHORITIES = [_OURS.pem, _WITH_RSA.pem]
_NAME = "a.internal"


class Shown(NamedTuple):
    """What a backend shows, and the name that its registration has for it."""

    pair: Pair
    san: str = _NAME


def all_shown() -> Mapping[str, Shown]:
    """By names, which are hosts, too."""
    leaf = _OURS.pair
    without_chain = _BELOW.pair(_NAME)
    begin = "-----BEGIN CERTIFICATE-----"
    uri = x509.Extension(x509.SubjectAlternativeName.oid, False, x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://a.internal/x"), x509.RFC822Name("a@a.internal")]))
    harmless = x509.Extension(UNKNOWN_EXTENSION.oid, False, UNKNOWN_EXTENSION.value)
    no_authority, no_path = x509.BasicConstraints(ca=False, path_length=None), x509.BasicConstraints(ca=True, path_length=0)
    permitted = x509.Extension(x509.NameConstraints.oid, True, x509.NameConstraints([x509.DNSName("other")], None))

    def below(*extensions: x509.Extension[x509.ExtensionType], **options: Any) -> Issuer:
        return Issuer("usages", parent=_OURS, extensions=extensions, **options)

    return {
        "named": Shown(leaf(_NAME)),
        "wildcard": Shown(leaf("*.internal")),
        "wildcard-for-two-labels": Shown(leaf("*.internal"), "a.b.internal"),
        "wildcard-for-none": Shown(leaf("*.internal"), "internal"),
        "wildcard-in-a-label": Shown(leaf(extensions=[alternative_name(b"a*.internal")]), "ab.internal"),
        "star": Shown(leaf(extensions=[alternative_name(b"*")]), "internal"),
        "two-stars": Shown(leaf(extensions=[alternative_name(b"*.*.internal")]), "a.b.internal"),
        "dot-in-both": Shown(leaf(f"{_NAME}."), f"{_NAME}."),
        "dot-in-the-certificate": Shown(leaf(f"{_NAME}.")),
        "dot-in-the-registration": Shown(leaf(_NAME), f"{_NAME}."),
        "other-case": Shown(leaf("A.Internal"), "a.INTERNAL"),
        "misnamed": Shown(leaf("b.internal")),
        "misnamed-twice": Shown(leaf("b.internal", "c.internal")),
        "twelve-names": Shown(leaf(*(f"b{number}.internal" for number in range(12)))),
        "address-for-a-name": Shown(leaf("127.0.0.1")),
        "address": Shown(leaf("127.0.0.1"), ""),
        "address-registered": Shown(leaf("127.0.0.1"), "127.0.0.1"),
        "address-as-a-name": Shown(leaf(extensions=[alternative_name(b"127.0.0.1")]), "127.0.0.1"),
        "other-addresses": Shown(leaf("10.0.0.1", "::1"), ""),
        "name-for-an-address": Shown(leaf(_NAME), ""),
        "common-name": Shown(leaf(subject=name(_NAME))),
        "no-names": Shown(leaf(subject=name("not a host"))),
        "other-kinds-of-names": Shown(leaf(extensions=[uri])),
        "no-text": Shown(leaf(extensions=[alternative_name(b"\xff.internal")])),
        "expired": Shown(leaf(_NAME, is_expired=True)),
        "early": Shown(leaf(_NAME, is_early=True)),
        "expired-misnamed": Shown(leaf("b.internal", is_expired=True)),
        "expired-authority": Shown(_EXPIRED.pair(_NAME)),
        "below": Shown(without_chain),
        "below-without-chain": Shown(Pair(begin + without_chain.chain.split(begin)[1], without_chain.key)),
        "untrusted": Shown(_THEIRS.pair(_NAME)),
        "untrusted-misnamed": Shown(_THEIRS.pair("b.internal")),
        "untrusted-expired": Shown(_THEIRS.pair(_NAME, is_expired=True)),
        "untrusted-below": Shown(_THEIRS_BELOW.pair(_NAME)),
        "for-servers": Shown(leaf(_NAME, usages=[SERVER])),
        "for-clients": Shown(leaf(_NAME, usages=[CLIENT])),
        "for-clients-misnamed": Shown(leaf("b.internal", usages=[CLIENT])),
        "for-anything": Shown(leaf(_NAME, usages=[_ANYTHING])),
        "for-servers-and-anything": Shown(leaf(_NAME, usages=[_ANYTHING, SERVER])),
        "no-extended-usages": Shown(leaf(_NAME, usages=())),
        "for-something-else": Shown(leaf(_NAME, usages=[ExtendedKeyUsageOID.CODE_SIGNING])),
        "for-gated-crypto": Shown(leaf(_NAME, usages=[_GATED_CRYPTO])),
        "for-nothing": Shown(leaf(_NAME, usages=(), extensions=[extended_usages()])),
        "unreadable-usages": Shown(leaf(_NAME, usages=(), extensions=[UNREADABLE_USAGES])),
        "authority-for-clients": Shown(below(extended_usages(CLIENT)).pair(_NAME)),
        "authority-for-clients-misnamed": Shown(below(extended_usages(CLIENT)).pair("b.internal")),
        "authority-for-servers": Shown(below(extended_usages(SERVER)).pair(_NAME)),
        "authority-for-servers-only": Shown(below(extended_usages(SERVER)).pair(_NAME, usages=[CLIENT])),
        "authority-for-anything": Shown(below(extended_usages(_ANYTHING)).pair(_NAME, usages=[_ANYTHING])),
        "authority-that-is-none": Shown(below(constraints=no_authority).pair(_NAME)),
        "authority-without-constraints": Shown(below(constraints=None).pair(_NAME)),
        "authority-that-may-not-sign": Shown(below(key_usage("digital_signature", "crl_sign")).pair(_NAME)),
        "authority-below-the-last": Shown(Issuer("too low", parent=below(constraints=no_path)).pair(_NAME)),
        "authority-for-other-names": Shown(below(permitted).pair(_NAME)),
        "signs": Shown(leaf(_NAME, extensions=[key_usage("digital_signature")])),
        "enciphers-keys": Shown(_WITH_RSA.pair(_NAME, is_rsa=True, extensions=[key_usage("key_encipherment")])),
        "enciphers-data": Shown(_WITH_RSA.pair(_NAME, is_rsa=True, extensions=[key_usage("data_encipherment")])),
        "agrees-on-keys": Shown(leaf(_NAME, extensions=[key_usage("key_agreement")])),
        "unknown-extension": Shown(leaf(_NAME, extensions=[harmless])),
        "unknown-critical-extension": Shown(leaf(_NAME, extensions=[UNKNOWN_EXTENSION])),
        "unknown-critical-extension-misnamed": Shown(leaf("b.internal", extensions=[UNKNOWN_EXTENSION])),
        "unknown-critical-extension-untrusted": Shown(_THEIRS.pair(_NAME, extensions=[UNKNOWN_EXTENSION])),
        "rsa": Shown(_WITH_RSA.pair(_NAME, is_rsa=True)),
        "rsa-1024": Shown(leaf(_NAME, is_rsa=True, key_size=1024)),
        "sha-1": Shown(_WITH_RSA.signed_with_sha_1(_WITH_RSA.pair(_NAME))),
    }


def registrations(shown: Mapping[str, Shown]) -> tuple[Registration, ...]:
    """A route for each, and the one that Pair waits for."""
    app = {"app": "55555555-eeee-4eee-8eee-555555555555", "private_instance_id": "instance-c"}
    return (
        *((host, (f"{host}.parity",), {**app, "tls_port": f"<{host}>", "server_cert_domain_san": one.san}) for host, one in shown.items()),
        ("a", ("plain.parity",), {}),
    )


def cases(shown: Iterable[str]) -> list[Case]:
    """One request to each."""
    return [simple(host, host=f"{host}.parity".encode()) for host in shown]
