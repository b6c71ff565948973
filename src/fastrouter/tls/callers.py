"""Who a client is: what its certificate says of it, and what X-Forwarded-Client-Cert does (spec 9.8)."""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

# The prefixes of organizational units that Diego's instance identities have.
_APP, _SPACE, _ORGANIZATION = "app:", "space:", "organization:"
# What certificates raise that OpenSSL reads, and the library does not.
_UNREADABLE = (ValueError, x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)
# The attributes that a Subject is written with, in this order, and their names there.
_ATTRIBUTES = (
    (NameOID.COMMON_NAME, "CN"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "OU"),
    (NameOID.ORGANIZATION_NAME, "O"),
    (NameOID.LOCALITY_NAME, "L"),
    (NameOID.STATE_OR_PROVINCE_NAME, "ST"),
    (NameOID.COUNTRY_NAME, "C"),
)
# Bytes of a header that is looked into; that of a certificate has some two thousand.
_MAX_HEADER = 16 * 1024
# Headers whose callers are known from before: each client sends the same one again and again.
_MAX_KNOWN = 1024
# One key and its value; a value in quotes may have anything in it, quotes behind a backslash.
_FIELD = re.compile(r'\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^";,]*)\s*', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# What stands between the attributes of a name, and between those of one multi-valued part of it.
_BETWEEN_ATTRIBUTES = re.compile(r'((?:[^,+\\"]|\\.)*)(?:[,+]|$)', re.DOTALL)
_SPECIAL = re.compile(r'[,+"\\;<>]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class CallerNames(NamedTuple):
    """The GUIDs of an app, its space and its organization, empty where they are unknown, and SPIFFE ids."""

    app: str
    space: str
    organization: str
    spiffe_ids: tuple[str, ...]


def names_of_certificate(der: bytes) -> CallerNames | None:
    """Return whom a certificate names; None if that is nobody, or if it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        units = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
        return _names(units, _uris_of(certificate))
    except _UNREADABLE:
        return None


def names_of_raw_header(value: bytes) -> CallerNames | None:
    """Return whom a certificate in base64 names, as `names_of_certificate` does."""
    return _names_of_raw(value) if len(value) <= _MAX_HEADER else None


@lru_cache(_MAX_KNOWN)
def _names_of_raw(value: bytes) -> CallerNames | None:
    try:
        return names_of_certificate(b64decode(value.strip(), validate=True))
    except binascii.Error:
        return None


def names_of_envoy_header(value: bytes) -> CallerNames | None:
    """Return whom a value in Envoy's form names: by the `OU`s of its `Subject`, and the SPIFFE ids of its `URI`s.

    None if it is malformed, has two subjects, or tells of more than one client: nobody knows which of them asks.
    """
    return _names_of_envoy(value) if len(value) <= _MAX_HEADER else None


@lru_cache(_MAX_KNOWN)
def _names_of_envoy(value: bytes) -> CallerNames | None:
    try:
        fields = list(_envoy_fields(value.decode()))
    except ValueError:
        return None
    subjects = [text for key, text in fields if key == "subject"]
    if len(subjects) > 1:
        return None
    units = _units_of_subject(subjects[0]) if subjects else []
    return _names(units, [text for key, text in fields if key == "uri"])


def raw_header(der: bytes) -> bytes:
    """Return a certificate in base64, without line breaks."""
    return b64encode(der)


def envoy_header(der: bytes) -> bytes:
    """Return hash and subject of a certificate in the form of Envoy's; the hash alone if it cannot be read.

    Characters that would end a value are escaped, and control characters become blanks.
    """
    fingerprint = f"Hash={sha256(der).hexdigest()}"
    try:
        subject = x509.load_der_x509_certificate(der).subject
    except _UNREADABLE:
        return fingerprint.encode()
    parts = []
    for oid, name in _ATTRIBUTES:
        values = [str(attribute.value) for attribute in subject.get_attributes_for_oid(oid)]
        # Of several, Go has the last as the name.
        parts += [f"{name}={_escaped(value)}" for value in (values[-1:] if name == "CN" else values)]
    return f'{fingerprint};Subject="{",".join(parts)}"'.encode("utf-8", "replace")


# By `xfcc_format`: whom a header names, and what is made of a certificate.
READERS: dict[str, Callable[[bytes], CallerNames | None]] = {
    "raw": names_of_raw_header,
    "envoy": names_of_envoy_header,
}
RENDERERS: dict[str, Callable[[bytes], bytes]] = {"raw": raw_header, "envoy": envoy_header}


def _escaped(value: str) -> str:
    return _CONTROL.sub(" ", _SPECIAL.sub(r"\\\g<0>", value))


def _uris_of(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _names(units: Iterable[str], uris: Iterable[str]) -> CallerNames | None:
    """Return the names in organizational units and URIs. Without an app, space and organization are nobody's."""
    found = {_APP: "", _SPACE: "", _ORGANIZATION: ""}
    for unit in units:
        for prefix in found:
            # Of several the last counts, as in Gorouter.
            if unit.startswith(prefix) and unit != prefix:
                found[prefix] = unit.removeprefix(prefix)
    spiffe_ids = tuple(uri for uri in uris if uri.startswith("spiffe://"))
    if not found[_APP]:
        return CallerNames("", "", "", spiffe_ids) if spiffe_ids else None
    return CallerNames(found[_APP], found[_SPACE], found[_ORGANIZATION], spiffe_ids)


def _envoy_fields(value: str) -> Iterator[tuple[str, str]]:
    """Yield the keys, in lower case, and the values of the one client that `value` tells of. Raises ValueError."""
    at = 0
    while True:
        found = _FIELD.match(value, at)
        if found is None:
            raise ValueError("this is no pair of key and value")
        key, text = found.groups()
        yield key.lower(), _ESCAPED.sub(r"\1", text[1:-1]) if key.lower() != "subject" and text[:1] == '"' else text
        at = found.end()
        if at == len(value):
            return
        if value[at] != ";":
            raise ValueError("there are more clients than one")
        at += 1


def _units_of_subject(text: str) -> list[str]:
    """Return the `OU`s of a name as a text (RFC 4514), or in the old form that begins every attribute with a slash."""
    quoted = text[:1] == '"'
    # Of quotes and backslashes, which Envoy escapes once more.
    name = re.sub(r'\\(["\\])', r"\1", text[1:-1]) if quoted else text
    attributes = name.split("/") if name.startswith("/") else _BETWEEN_ATTRIBUTES.findall(name)
    values = [one.strip().removeprefix("OU=") for one in attributes if one.strip().startswith("OU=")]
    return [_ESCAPED.sub(r"\1", value) for value in values]
