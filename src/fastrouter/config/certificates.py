"""Certificates and keys in PEM, checked by the rules of Go's crypto/tls and crypto/x509."""

import re
import warnings
from base64 import b64decode
from collections.abc import Iterator
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.utils import CryptographyDeprecationWarning

from fastrouter.config.sections import DistinguishedName

_BLOCK = re.compile(r"^-----BEGIN ([^\n]*?)-----[ \t\r]*\n(.*?)^-----END \1-----", re.MULTILINE | re.DOTALL)
# The kinds of keys that Go supports.
_KEY_TYPES = {
    rsa.RSAPublicKey: rsa.RSAPrivateKey,
    ec.EllipticCurvePublicKey: ec.EllipticCurvePrivateKey,
    ed25519.Ed25519PublicKey: ed25519.Ed25519PrivateKey,
}


class _Block(NamedTuple):
    kind: str
    has_headers: bool
    der: bytes


def _blocks(pem: str) -> Iterator[_Block]:
    """Yield the blocks of a PEM text; what is not well-formed is passed over."""
    for match in _BLOCK.finditer(pem):
        kind, content = match.groups()
        headers, blank, body = content.rpartition("\n\n")
        has_headers = bool(blank) and ":" in headers
        try:
            der = b64decode("".join((body if has_headers else content).split()), validate=True)
        except ValueError:
            continue
        yield _Block(kind, has_headers, der)


def _parse(der: bytes) -> x509.Certificate:
    with warnings.catch_warnings():
        # cryptography warns on stderr of what its later versions will refuse, which no operator can act on.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        return x509.load_der_x509_certificate(der)


def certificates_of(pem: str) -> list[x509.Certificate]:
    """Return the certificates of a bundle that can be read, in order; other blocks do not count."""
    certificates = []
    for block in _blocks(pem):
        if block.kind == "CERTIFICATE" and not block.has_headers:
            try:
                certificates.append(_parse(block.der))
            except ValueError:
                continue
    return certificates


def identity_of(cert_chain: str) -> tuple[tuple[str, ...], str]:
    """Return the names that the first certificate of a chain is chosen for, in lower case, and the kind of its key.

    Its CommonName is one only if it has no alternative names (spec 8.5). Raises ValueError.
    """
    leaf = next((block for block in _blocks(cert_chain) if block.kind == "CERTIFICATE"), None)
    if leaf is None:
        raise ValueError("there is no certificate")
    certificate = _parse(leaf.der)
    kind = next((kind.__name__ for kind in _KEY_TYPES if isinstance(certificate.public_key(), kind)), "")
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = [distinguished_name(certificate.subject).common_name]
    else:
        names = alternatives.get_values_for_type(x509.DNSName)
    return tuple(name.lower() for name in names if name), kind


def subjects_of_bundle(pem: str) -> list[DistinguishedName]:
    """Return the subjects of a bundle that must hold certificates, and nothing that is not one. Raises ValueError."""
    blocks = list(_blocks(pem))
    if not blocks:
        raise ValueError("no PEM blocks")
    for block in blocks:
        if block.kind != "CERTIFICATE":
            raise ValueError(f'expected block type "CERTIFICATE"; got "{block.kind}"')
    try:
        return [distinguished_name(_parse(block.der).subject) for block in blocks]
    except ValueError as error:
        raise ValueError("x509: malformed certificate") from error


class KeyPairError(ValueError):
    """A certificate and a key that are no pair; the text is that of Go's tls.X509KeyPair.

    `is_certificate`: the certificate is at fault, and not the key.
    """

    def __init__(self, text: str, *, is_certificate: bool) -> None:
        super().__init__(text)
        self.is_certificate = is_certificate


def check_key_pair(cert_chain: str, private_key: str) -> None:
    """Check that a private key belongs to the first certificate of a chain. Raises KeyPairError."""
    public = _public_key(cert_chain)
    private_type = next((private for kind, private in _KEY_TYPES.items() if isinstance(public, kind)), None)
    if private_type is None:
        raise KeyPairError("tls: unknown public key algorithm", is_certificate=True)
    private = _private_key(private_key)
    if not isinstance(private, private_type):
        raise KeyPairError("tls: private key type does not match public key type", is_certificate=False)
    if private.public_key() != public:
        raise KeyPairError("tls: private key does not match public key", is_certificate=False)


def _public_key(cert_chain: str) -> CertificatePublicKeyTypes:
    blocks = list(_blocks(cert_chain))
    leaf = next((block for block in blocks if block.kind == "CERTIFICATE"), None)
    if leaf is None:
        raise KeyPairError(_no_certificate([block.kind for block in blocks]), is_certificate=True)
    try:
        return _parse(leaf.der).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyPairError("x509: malformed certificate", is_certificate=True) from error


def _private_key(pem: str) -> PrivateKeyTypes:
    blocks = list(_blocks(pem))
    block = next((block for block in blocks if _is_private_key(block.kind)), None)
    if block is None:
        raise KeyPairError(_no_private_key([block.kind for block in blocks]), is_certificate=False)
    try:
        return load_der_private_key(block.der, password=None)
    # TypeError: the key is encrypted, which Go does not read either.
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyPairError("tls: failed to parse private key", is_certificate=False) from error


def _is_private_key(kind: str) -> bool:
    return kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY")


def _no_certificate(kinds: list[str]) -> str:
    if not kinds:
        return "tls: failed to find any PEM data in certificate input"
    if len(kinds) == 1 and kinds[0].endswith("PRIVATE KEY"):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
            "PEM inputs may have been switched"
        )
    return (
        'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following '
        f"types: [{' '.join(kinds)}]"
    )


def _no_private_key(kinds: list[str]) -> str:
    if not kinds:
        return "tls: failed to find any PEM data in key input"
    if kinds == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the '
        f"following types: [{' '.join(kinds)}]"
    )


def distinguished_name(name: x509.Name) -> DistinguishedName:
    """Return what Gorouter compares of a subject: nine attributes, whatever else it has (spec 8.6)."""
    oid = x509.NameOID

    def values(kind: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(attribute.value) for attribute in name.get_attributes_for_oid(kind))

    return DistinguishedName(
        country=values(oid.COUNTRY_NAME),
        organization=values(oid.ORGANIZATION_NAME),
        organizational_unit=values(oid.ORGANIZATIONAL_UNIT_NAME),
        # A name has one of each of these two; if it has several, the last counts.
        common_name=("", *values(oid.COMMON_NAME))[-1],
        serial_number=("", *values(oid.SERIAL_NUMBER))[-1],
        locality=values(oid.LOCALITY_NAME),
        province=values(oid.STATE_OR_PROVINCE_NAME),
        street_address=values(oid.STREET_ADDRESS),
        postal_code=values(oid.POSTAL_CODE),
    )
