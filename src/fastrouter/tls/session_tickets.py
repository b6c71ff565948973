"""Keys of TLS session tickets, shared by all workers, so that each can resume the sessions of the others.

A ticket is a session that the server has encrypted and the client keeps (RFC 5077, RFC 8446 section 4.6.1). OpenSSL
makes the keys for it with each context, and Python's ssl has no call to set them; libssl has, and ctypes calls it.
"""

import ctypes
import hmac
import os
import ssl
import sys
from functools import cache

SECRET_SIZE = 32

# From openssl/tls1.h. With a null pointer, the second returns the size of the keys in bytes.
_SET_TICKET_KEYS = 59
_GET_TICKET_KEYS = 58

# From openssl/ssl.h: decisions about a ticket, and the status of one that was read and needs no renewal.
_IGNORE_RENEW = 2
_USE = 3
_USE_RENEW = 4
_SUCCESS = 5

# Bytes that every SSL_CTX has at least.
_PROBED = 1024


class TicketKeysError(Exception):
    """The keys of this Python's contexts cannot be set; the text says why."""


def set_ticket_keys(context: ssl.SSLContext, secret: bytes, purpose: bytes) -> None:
    """Give `context` the keys that follow from `secret` and `purpose`; both are of any length.

    All contexts with the same two accept the tickets, in any process. As in Go, a ticket is valid until the client's
    certificate expires; with TLS 1.3 it is renewed by each connection. Raises TicketKeysError; then the context keeps
    keys of its own.
    """
    libssl = _libssl()
    pointer = _pointer_of(context, libssl)
    libssl.SSL_CTX_set_session_ticket_cb(pointer, None, _ON_TICKET, None)
    size = libssl.SSL_CTX_ctrl(pointer, _GET_TICKET_KEYS, 0, None)
    keys = _derived(secret, purpose, size)
    if libssl.SSL_CTX_ctrl(pointer, _SET_TICKET_KEYS, size, keys) != 1:
        raise TicketKeysError("libssl takes no keys")


def try_ticket_keys() -> None:
    """Check that the keys of contexts can be set. Raises TicketKeysError."""
    set_ticket_keys(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), b"", b"")


def _on_ticket(
    _connection: int, session: int | None, _name: int, _name_size: int, status: int, _argument: int | None
) -> int:
    """Decide about a ticket that OpenSSL has read, or, without a session, could not read."""
    if session is None:
        return _IGNORE_RENEW
    libssl = _libssl()
    certificate = libssl.SSL_SESSION_get0_peer(session)
    if certificate is not None and libssl.X509_cmp_current_time(libssl.X509_get0_notAfter(certificate)) < 0:
        # A full handshake, in which the client may send another certificate.
        return _IGNORE_RENEW
    return _USE if status == _SUCCESS else _USE_RENEW


# OpenSSL keeps its address, so the object must never be freed.
_ON_TICKET = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
    ctypes.c_int,
    ctypes.c_void_p,
)(_on_ticket)


def _derived(secret: bytes, purpose: bytes, size: int) -> bytes:
    # The counter mode of NIST SP 800-108.
    blocks = range(1, -(-size // 64) + 1)
    return b"".join(hmac.digest(secret, bytes([block]) + purpose, "sha512") for block in blocks)[:size]


@cache
def _libssl() -> ctypes.CDLL:
    """Return the libssl that Python's own ssl calls. Raises TicketKeysError."""
    module = sys.modules["_ssl"]
    path = getattr(module, "__file__", None)
    if sys.implementation.name != "cpython" or path is None:
        raise TicketKeysError("this Python has its ssl built in")
    try:
        # A symbol is looked up in the libraries that this one is linked with, too.
        libssl = ctypes.CDLL(path)
        libssl.SSL_CTX_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
        libssl.SSL_CTX_ctrl.restype = ctypes.c_long
        libssl.SSL_CTX_get_options.argtypes = (ctypes.c_void_p,)
        libssl.SSL_CTX_get_options.restype = ctypes.c_uint64
        libssl.SSL_CTX_get_num_tickets.argtypes = (ctypes.c_void_p,)
        libssl.SSL_CTX_get_num_tickets.restype = ctypes.c_size_t
        libssl.SSL_CTX_set_session_ticket_cb.argtypes = (ctypes.c_void_p,) * 4
        libssl.SSL_SESSION_get0_peer.argtypes = (ctypes.c_void_p,)
        libssl.SSL_SESSION_get0_peer.restype = ctypes.c_void_p
        libssl.X509_get0_notAfter.argtypes = (ctypes.c_void_p,)
        libssl.X509_get0_notAfter.restype = ctypes.c_void_p
        libssl.X509_cmp_current_time.argtypes = (ctypes.c_void_p,)
    except (OSError, AttributeError) as error:
        raise TicketKeysError(f"no libssl can be called: {error}") from error
    return libssl


def _pointer_of(context: ssl.SSLContext, libssl: ctypes.CDLL) -> int:
    """Return the SSL_CTX* of a context, the first member of CPython's object. Raises TicketKeysError."""
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    if (
        pointer is None
        or not _is_readable(pointer)
        or libssl.SSL_CTX_get_options(pointer) != context.options
        or libssl.SSL_CTX_get_num_tickets(pointer) != context.num_tickets
    ):
        raise TicketKeysError("this Python's contexts are laid out in another way")
    return pointer


def _is_readable(address: int) -> bool:
    """Whether an address is readable. The kernel is asked, because reading a bad address would crash the process."""
    reader, writer = os.pipe()
    try:
        return int(ctypes.CDLL(None).write(writer, ctypes.c_void_p(address), _PROBED)) == _PROBED
    finally:
        os.close(reader)
        os.close(writer)
