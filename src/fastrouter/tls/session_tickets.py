"""Keys of TLS session tickets, shared by all workers, so that each can resume the sessions of the others.

A ticket is a session that the server has encrypted and the client keeps (RFC 5077, RFC 8446 section 4.6.1). OpenSSL
makes the keys for it with each context, and Python's ssl has no call to set them; libssl has, and ctypes calls it.
"""

import ctypes
import hmac
import ssl

from fastrouter.tls.libssl import LibsslError, libssl, pointer_of

SECRET_SIZE = 32

# From openssl/tls1.h. With a null pointer, the second returns the size of the keys in bytes.
_SET_TICKET_KEYS = 59
_GET_TICKET_KEYS = 58

# From openssl/ssl.h: decisions about a ticket, and the status of one that was read and needs no renewal.
_IGNORE_RENEW = 2
_USE = 3
_USE_RENEW = 4
_SUCCESS = 5


def set_ticket_keys(context: ssl.SSLContext, secret: bytes, purpose: bytes) -> None:
    """Give `context` the keys that follow from `secret` and `purpose`; both are of any length.

    All contexts with the same two accept the tickets, in any process. As in Go, a ticket is valid until the client's
    certificate expires; with TLS 1.3 it is renewed by each connection. Raises LibsslError; then the context keeps
    keys of its own.
    """
    library, pointer = libssl(), pointer_of(context)
    library.SSL_CTX_set_session_ticket_cb(pointer, None, _ON_TICKET, None)
    size = library.SSL_CTX_ctrl(pointer, _GET_TICKET_KEYS, 0, None)
    keys = _derived(secret, purpose, size)
    if library.SSL_CTX_ctrl(pointer, _SET_TICKET_KEYS, size, keys) != 1:
        raise LibsslError("libssl takes no keys")


def try_ticket_keys() -> None:
    """Check that the keys of contexts can be set. Raises LibsslError."""
    set_ticket_keys(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), b"", b"")


def _on_ticket(
    _connection: int, session: int | None, _name: int, _name_size: int, status: int, _argument: int | None
) -> int:
    """Decide about a ticket that OpenSSL has read, or, without a session, could not read."""
    if session is None:
        return _IGNORE_RENEW
    library = libssl()
    certificate = library.SSL_SESSION_get0_peer(session)
    if certificate is not None and library.X509_cmp_current_time(library.X509_get0_notAfter(certificate)) < 0:
        # A whole handshake, in which the client may show another.
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
