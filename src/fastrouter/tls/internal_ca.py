"""Certificates that a router makes at its start, in memory only, for connections to itself.

A request for a route service that is an app of this platform goes to the router's own internal listener on 127.0.0.1.
Both ends verify that the other one is the router (spec 5.9.6).
"""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fastrouter.config.sections import KeyPair
from fastrouter.ipc.messages import Identity

# What the client side connects to, and expects the certificate of the listener to be for.
INTERNAL_HOST = "127.0.0.1"

_COMMON_NAME = "gorouter"
# Longer than any router runs; both ends have the same clock.
_LIFETIME = timedelta(days=3650)
_BACKDATED = timedelta(days=1)
_ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class InternalIdentities(NamedTuple):
    """A CA (PEM), and what it has signed: an identity of the listener per kind of key, and one of the client."""

    ca_cert: str
    servers: tuple[Identity, ...]
    client: KeyPair


def new_internal_identities(key: bytes) -> InternalIdentities:
    """Make a CA, server certificates for INTERNAL_HOST and a client certificate.

    The CA's own key comes from `key`, a secret: a router and its successor, which hold the same port for a while, have
    the same CA then. All other keys are random.
    """
    ca_key = _derived_key(key)
    ca_name = _name("gorouter internal CA")
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_ca=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    # The configured suites may be for one kind of key only.
    keys: dict[str, _Key] = {
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(65537, 2048),
    }
    servers = tuple(
        Identity((), kind, *_new_pair(own_key, ca_name, ca_key, ExtendedKeyUsageOID.SERVER_AUTH))
        for kind, own_key in keys.items()
    )
    client_key = ec.generate_private_key(ec.SECP256R1())
    cert_chain, private_key = _new_pair(client_key, ca_name, ca_key, ExtendedKeyUsageOID.CLIENT_AUTH)
    return InternalIdentities(_pem(ca), servers, KeyPair(cert_chain=cert_chain, private_key=private_key))


def _derived_key(key: bytes) -> ec.EllipticCurvePrivateKey:
    # 64 bits more than the order of the curve has, so that every key is as likely as any other.
    material = HKDF(hashes.SHA256(), length=40, salt=None, info=b"fastrouter internal CA").derive(key)
    return ec.derive_private_key(int.from_bytes(material) % (_ORDER_OF_P256 - 1) + 1, ec.SECP256R1())


def _new_pair(
    key: _Key, issuer: x509.Name, issuer_key: ec.EllipticCurvePrivateKey, usage: x509.ObjectIdentifier
) -> tuple[str, str]:
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


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
) -> x509.CertificateBuilder:
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
