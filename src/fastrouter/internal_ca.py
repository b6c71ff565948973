"""Certificates that a router makes for itself at its start, in memory only.

With them it talks to itself: a request for a route service that is an app of this platform goes to the router's own
internal listener on 127.0.0.1, and both ends must know that it is the router at the other one (spec 5.9.6).
"""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# What the client side connects to, and expects the certificate of the listener to be for.
INTERNAL_HOST = "127.0.0.1"

_COMMON_NAME = "gorouter"
# A router may run for long, and the clocks of its own two ends are one; nothing is to expire meanwhile.
_LIFETIME = timedelta(days=3650)
_BACKDATED = timedelta(days=1)


class InternalIdentities(msgspec.Struct, frozen=True, array_like=True):
    """A CA with two pairs that it has signed, one for either end. All are PEM texts; the CA's key is nowhere."""

    ca_cert: str
    server_cert_chain: str
    server_private_key: str
    client_cert_chain: str
    client_private_key: str


def new_internal_identities() -> InternalIdentities:
    """Make a CA, a server certificate for INTERNAL_HOST and a client certificate."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("gorouter internal CA")
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_ca=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    server_cert, server_key = _new_pair(ca_name, ca_key, ExtendedKeyUsageOID.SERVER_AUTH)
    client_cert, client_key = _new_pair(ca_name, ca_key, ExtendedKeyUsageOID.CLIENT_AUTH)
    return InternalIdentities(_pem(ca), server_cert, server_key, client_cert, client_key)


def _new_pair(
    issuer: x509.Name, issuer_key: ec.EllipticCurvePrivateKey, usage: x509.ObjectIdentifier
) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(INTERNAL_HOST)), x509.DNSName("localhost")])
    certificate = (
        _builder(_name(_COMMON_NAME), issuer, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(authority, critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    private_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _pem(certificate), private_key.decode()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
