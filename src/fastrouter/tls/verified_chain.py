"""The chain from a peer's certificate to what is trusted, and whether Go would take it for a server's (spec 5.6)."""

import _ssl
import re
import ssl
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

# Tags of DER: what certificates consist of, and where RFC 5280's TBSCertificate has its extensions.
_OCTET_STRING, _OBJECT_IDENTIFIER, _SEQUENCE, _EXTENSIONS = 0x04, 0x06, 0x30, 0xA3

# The identifiers of ExtendedKeyUsage, and of two that it may list: any, and that of servers.
_EXTENDED_KEY_USAGE = bytes.fromhex("551d25")
_FOR_SERVERS = {bytes.fromhex("551d2500"), bytes.fromhex("2b06010505070301")}

# Numbers in base 128, none of which begins with a zero.
_IDENTIFIER = re.compile(rb"(?:(?:[\x81-\xff][\x80-\xff]*)?[\x00-\x7f])+")

# So many certificates are known from before; of one that is shown again nothing need be read.
_MAX_KNOWN = 256


def verified_chain(connection: ssl.SSLObject) -> list[bytes]:
    """Return it in DER, the peer's own certificate first; empty without one, and where a session was resumed."""
    if hasattr(connection, "get_verified_chain"):
        # From Python 3.13 on.
        return list(connection.get_verified_chain())
    inner: Any = connection._sslobj  # type: ignore[attr-defined]
    return [entry.public_bytes(_ssl.ENCODING_DER) for entry in inner.get_verified_chain() or ()]


def is_for_servers(chain: Sequence[bytes]) -> bool:
    """Return whether every certificate of a chain, in DER, may be used by servers; those of authorities too.

    One that lists extended usages must list that of servers or any, one that lists none is good for all; KeyUsage does
    not count. No chain is good for nothing. Raises ValueError for a list that cannot be read.
    """
    return bool(chain) and all(map(_may_serve, chain))


@lru_cache(_MAX_KNOWN)
def _may_serve(certificate: bytes) -> bool:
    usages = _extended_usages(certificate)
    return not usages or not _FOR_SERVERS.isdisjoint(usages)


def _extended_usages(certificate: bytes) -> list[bytes]:
    """Return the identifiers that a certificate's ExtendedKeyUsage lists. Raises ValueError."""
    (_, body), _algorithm, _signature = _elements(_content(certificate, _SEQUENCE))
    values = [
        value
        for tag, extensions in _elements(body)
        if tag == _EXTENSIONS
        for _, extension in _elements(_content(extensions, _SEQUENCE))
        for identifier, *_critical, value in [_elements(extension)]
        if identifier == (_OBJECT_IDENTIFIER, _EXTENDED_KEY_USAGE)
    ]
    if not values:
        return []
    # Not twice.
    ((tag, value),) = values
    usages = list(_elements(_content(value, _SEQUENCE)))
    if tag != _OCTET_STRING or not all(
        tag == _OBJECT_IDENTIFIER and _IDENTIFIER.fullmatch(usage) for tag, usage in usages
    ):
        raise ValueError("not a list of identifiers")
    return [usage for _, usage in usages]


def _content(data: bytes, tag: int) -> bytes:
    """Return the content of the one element that `data` is. Raises ValueError if it is another."""
    ((found, content),) = _elements(data)
    if found != tag:
        raise ValueError(f"tag {found:#x}, not {tag:#x}")
    return content


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give tag and content of each of the elements that `data` consists of. Raises ValueError for what is no DER."""
    begin = 0
    while begin < len(data):
        tag, size = data[begin : begin + 2]
        begin += 2
        if size >= 0x80:
            digits = data[begin : begin + size - 0x80]
            begin += size - 0x80
            size = int.from_bytes(digits)
            if size < 0x80 or not digits[0]:
                raise ValueError("a size in more bytes than it needs")
        end = begin + size
        if end > len(data) or tag & 0x1F == 0x1F:
            raise ValueError("cut short, or a tag that no certificate has")
        yield tag, data[begin:end]
        begin = end
