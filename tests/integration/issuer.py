"""Certificates that say exactly what a test wants: subjects, names, usages, times and kinds of keys."""

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
UNKNOWN_EXTENSION = x509.Extension(
    x509.ObjectIdentifier("1.2.3.4.5"),
    True,
    x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00"),
)
# That of servers, with a size in more bytes than DER allows. OpenSSL reads it, Go does not.
UNREADABLE_USAGES = x509.Extension(
    x509.ExtendedKeyUsage.oid,
    False,
    x509.UnrecognizedExtension(x509.ExtendedKeyUsage.oid, bytes.fromhex("30810a06082b06010505070301")),
)

_AUTHORITY = x509.BasicConstraints(ca=True, path_length=None)
_DAY = datetime.timedelta(days=1)
# The algorithms of signatures, as a certificate names them.
_SHA_256_WITH_RSA, _SHA_1_WITH_RSA = (bytes.fromhex(f"06092a864886f70d0101{one}") for one in ("0b", "05"))
_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Pair(NamedTuple):
    """A certificate with those that lead to its root, and its key, both in PEM."""

    chain: str
    key: str

    @property
    def der(self) -> bytes:
        return x509.load_pem_x509_certificate(self.chain.encode()).public_bytes(Encoding.DER)


def name(common_name: str, organization: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def instance_name(*units: str, common_name: str = "instance") -> x509.Name:
    """The subject of an instance identity of Diego: its units are one part of the name, as Go writes them."""
    parts = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units]
    names = [x509.RelativeDistinguishedName(parts)] if parts else []
    return x509.Name([*names, x509.RelativeDistinguishedName([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])])


def uri_names(*uris: str) -> x509.Extension[x509.ExtensionType]:
    """SPIFFE ids, or whatever URIs, as alternative names."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
    return x509.Extension(names.oid, False, names)


def alternative_name(name: bytes) -> x509.Extension[x509.ExtensionType]:
    """Any bytes as a DNS name, which no builder would take."""
    oid = x509.SubjectAlternativeName.oid
    value = bytes([0x30, len(name) + 2, 0x82, len(name)]) + name
    return x509.Extension(oid, False, x509.UnrecognizedExtension(oid, value))


def key_usage(*bits: str) -> x509.Extension[x509.ExtensionType]:
    """A KeyUsage of nothing but `bits`."""
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    )
    usage = x509.KeyUsage(**{one: one in bits for one in names.split()}, encipher_only=False, decipher_only=False)
    return x509.Extension(x509.KeyUsage.oid, True, usage)


def extended_usages(*usages: x509.ObjectIdentifier) -> x509.Extension[x509.ExtensionType]:
    """An ExtendedKeyUsage, be it an empty one, which no builder would make."""
    if usages:
        return x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage(usages))
    oid = x509.ExtendedKeyUsage.oid
    return x509.Extension(oid, False, x509.UnrecognizedExtension(oid, b"\x30\x00"))


class Issuer:
    """A certificate authority, a root or one below another, or what passes itself off as one."""

    def __init__(
        self,
        common_name: str = "test authority",
        *,
        parent: "Issuer | None" = None,
        is_expired: bool = False,
        is_rsa: bool = False,
        constraints: x509.BasicConstraints | None = _AUTHORITY,
        extensions: Sequence[x509.Extension[x509.ExtensionType]] = (),
    ) -> None:
        self.subject = name(common_name)
        self._key = _new_key(is_rsa=is_rsa)
        builder = _builder(self.subject, self._key, is_expired=is_expired)
        if constraints is not None:
            builder = builder.add_extension(constraints, critical=True)
        for extension in extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        signer = parent or self
        certificate = builder.issuer_name(signer.subject).sign(signer._key, hashes.SHA256())
        self.pem = certificate.public_bytes(Encoding.PEM).decode()
        self._chain: str = "" if parent is None else self.pem + parent._chain

    def pair(
        self,
        *names: str,
        subject: x509.Name | None = None,
        usages: Sequence[x509.ObjectIdentifier] = (CLIENT, SERVER),
        is_expired: bool = False,
        is_early: bool = False,
        is_rsa: bool = False,
        key_size: int = 2048,
        extensions: Sequence[x509.Extension[x509.ExtensionType]] = (),
    ) -> Pair:
        """A certificate for these names, DNS names or IP addresses; `key_size` is in bits, of RSA.

        One that `is_early` is not valid before tomorrow.
        """
        key = _new_key(is_rsa=is_rsa, size=key_size)
        builder = _builder(subject or name("leaf"), key, is_expired=is_expired, is_early=is_early)
        builder = builder.issuer_name(self.subject)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(one) for one in names]), False)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        for extension in extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        leaf = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return Pair(leaf + self._chain, private)

    def signed_with_sha_1(self, pair: Pair) -> Pair:
        """The same with a weaker signature, which no builder would make; for an issuer with RSA."""
        return self._changed(pair, _SHA_256_WITH_RSA, _SHA_1_WITH_RSA, hashes.SHA1())

    def with_key_usage(self, pair: Pair, old: str, new: str) -> Pair:
        """The same, equally long, with a KeyUsage of the bit `new` in place of `old`; for an issuer with RSA."""
        before, after = (key_usage(bit).value.public_bytes() for bit in (old, new))
        return self._changed(pair, before, after, hashes.SHA256())

    def _changed(self, pair: Pair, old: bytes, new: bytes, digest: hashes.HashAlgorithm) -> Pair:
        assert isinstance(self._key, rsa.RSAPrivateKey)
        certificate = x509.load_pem_x509_certificate(pair.chain.encode())
        signature = self._key.sign(certificate.tbs_certificate_bytes.replace(old, new), padding.PKCS1v15(), digest)
        der = pair.der.replace(old, new).replace(certificate.signature, signature)
        return Pair(ssl.DER_cert_to_PEM_cert(der), pair.key)


# Of an RSA key of 768 bits: the library makes none below 1024.
_PRIMES = (
    0xFA3455928EE3098254730BF5F3C9E80E14499608687BC99A4176284FAFA921DF6A296F12F4FB53ED719248696CA4B7D1,
    0xC19834E84568F57D867EC25EBB1EEFD92A422FBA24D009D6DEC868154168EE422915020BC669200B60B594CD78B1B665,
)


def _new_key(*, is_rsa: bool, size: int = 2048) -> _Key:
    if is_rsa and size == 768:
        p, q = _PRIMES
        d = rsa.rsa_recover_private_exponent(65537, p, q)
        crt = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
        return rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(65537, p * q)).private_key()
    return rsa.generate_private_key(65537, size) if is_rsa else ec.generate_private_key(ec.SECP256R1())


def _builder(
    subject: x509.Name, key: _Key, *, is_expired: bool = False, is_early: bool = False
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + _DAY if is_early else now - 3 * _DAY)
        .not_valid_after(now - 2 * _DAY if is_expired else now + 30 * _DAY)
    )


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
