"""The errors of Go's crypto/x509 for a server's certificate: names, validity, extensions (spec 5.6, 5.7).

A certificate is a dict as `ssl.SSLObject.getpeercert` returns it. The texts are those of Go 1.23, without `x509: `.
"""

import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv6Address
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

Certificate = Mapping[str, Any]

# OpenSSL's X509_V_ERR_*: the codes of a verification.
HOSTNAME_MISMATCH, INVALID_PURPOSE = 62, 26
_UNHANDLED_CRITICAL_EXTENSION = 34
_NOT_YET_VALID, _EXPIRED = 9, 10
WRONG_USAGE = "certificate specifies an incompatible key usage"
_TEXTS = {
    _NOT_YET_VALID: "certificate has expired or is not yet valid",
    _EXPIRED: "certificate has expired or is not yet valid",
    25: "too many intermediates for path length constraint",
    INVALID_PURPOSE: WRONG_USAGE,
    _UNHANDLED_CRITICAL_EXTENSION: "unhandled critical extension",
    47: "a root or intermediate certificate is not authorized to sign for this name",
    48: "a root or intermediate certificate is not authorized to sign for this name",
}
_UNKNOWN_AUTHORITY = "certificate signed by unknown authority"

# Names of a certificate in an error text, as in later versions of Go: a certificate may have 20,000.
_MAX_NAMES = 100
_MAX_NAMES_TEXT = 4096

_HOST_NAME = re.compile(r"(?:[a-z0-9_][a-z0-9_-]*\.)*[a-z0-9_][a-z0-9_-]*", re.ASCII)
_V4_IN_V6 = bytes(10) + b"\xff\xff"


def packed_address(text: str) -> bytes | None:
    """Return the 16 bytes of an IP address, of IPv4 as it is mapped into IPv6; None for what is none."""
    if ":" not in text and not text[-1:].isdecimal():
        return None
    for family, prefix in ((AF_INET, _V4_IN_V6), (AF_INET6, b"")):
        try:
            return prefix + inet_pton(family, text)
        except (OSError, ValueError):
            continue
    return None


def without_brackets(name: str) -> str:
    """Return the address in brackets, or `name` as it is."""
    return name[1:-1] if len(name) > 2 and name[0] == "[" and name[-1] == "]" else name


def name_mismatch(certificate: Certificate, name: str) -> str:
    """Return Go's text for a certificate that is not valid for `name`, empty for one that is.

    It must be one of the alternative names, an address or a host name; a CommonName never counts. A wildcard stands for
    the whole first label, whatever follows. Raises ValueError for names that are not ASCII, which Go does not read.
    """
    host = without_brackets(name)
    address = packed_address(host)
    patterns = _patterns_of(name)
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]
    if not all(map(str.isascii, names)):
        raise ValueError("SAN dNSName is malformed")
    if address:
        name = host
        addresses = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "IP Address"]
        if address in map(packed_address, addresses):
            return ""
        if not addresses:
            return f"cannot validate certificate for {name} because it doesn't contain any IP SANs"
        names = list(map(_address_text, addresses))
    elif not patterns.isdisjoint(map(str.lower, names)):
        return ""
    if "subjectAltName" not in certificate and _common_name(certificate).lower() in _patterns_of(
        name.removesuffix(".")
    ):
        return "certificate relies on legacy Common Name field, use SANs instead"
    valid = ", ".join(names[: _MAX_NAMES + 1])
    if not valid:
        return f"certificate is not valid for any names, but wanted to match {name}"
    if len(names) > _MAX_NAMES or len(valid) > _MAX_NAMES_TEXT:
        return f"certificate is valid for {len(names)} names, but none matched {name}"
    return f"certificate is valid for {valid}, not {name}"


def diagnose(code: int, chain: Sequence[Certificate], name: str, now: float) -> tuple[int, str]:
    """Return the code and Go's text for a certificate for `name` that OpenSSL has refused with `code`.

    `chain` is what the server has sent. If there are several faults, Go reports an unknown extension first, then the
    validity, then the name, then what concerns authorities. `now` is UNIX time. Raises as `name_mismatch`.
    """
    if chain and code != _UNHANDLED_CRITICAL_EXTENSION:
        if text := _out_of_time(chain[:1], now):
            return _EXPIRED, text
        if text := name_mismatch(chain[0], name):
            return HOSTNAME_MISMATCH, text
    if code in (_NOT_YET_VALID, _EXPIRED):
        return code, _out_of_time(chain, now) or _TEXTS[code]
    return code, _TEXTS.get(code, _UNKNOWN_AUTHORITY)


def _patterns_of(name: str) -> set[str]:
    """Return the alternative names, in lower case, that cover a host name.

    A name that is no valid host name, such as one with a dot at its end in a certificate, must be equal to be covered.
    """
    if not name.isascii():
        # It covers no ASCII name; but some non-ASCII letters have an ASCII letter as their lower case.
        return set()
    name = name.lower()
    bare = name.removesuffix(".")
    if not _HOST_NAME.fullmatch(bare):
        return {name} - {"", "."}
    _, dot, domain = bare.partition(".")
    return {name, bare, f"*.{domain}"} if dot else {name, bare}


def _common_name(certificate: Certificate) -> str:
    """Return the last CommonName, as Go does, in lower case; empty without any."""
    values = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return values[-1].lower() if values else ""


def _address_text(text: str) -> str:
    packed = packed_address(text)
    if packed is None:
        return text
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)


def _out_of_time(certificates: Iterable[Certificate], now: float) -> str:
    """Return Go's text for the first certificate that is not valid yet or has expired; empty if there is none."""
    for certificate in certificates:
        begin, end = (ssl.cert_time_to_seconds(certificate[key]) for key in ("notBefore", "notAfter"))
        if not begin <= now <= end:
            limit = f"before {_rfc_3339(begin, UTC)}" if now < begin else f"after {_rfc_3339(end, UTC)}"
            return f"{_TEXTS[_EXPIRED]}: current time {_rfc_3339(now)} is {limit}"
    return ""


def _rfc_3339(seconds: float, zone: Any = None) -> str:
    """Return a time to the second; without `zone` in local time, as Go writes the current one."""
    text = datetime.fromtimestamp(int(seconds), UTC).astimezone(zone).isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
