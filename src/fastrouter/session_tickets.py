"""Keys of TLS session tickets, which every worker has: so a session goes on wherever its client comes back to.

A ticket is a session that the server has encrypted and the client keeps (RFC 5077, RFC 8446 4.6.1). OpenSSL makes the
keys for it with each context, and Python's ssl has no call to set them; libssl has, and ctypes calls it.
"""

import ctypes
import hmac
import os
import ssl
import sys
from functools import cache

SECRET_SIZE = 32

# Of openssl/tls1.h. Without a place for them, the second returns how many bytes the keys are.
_SET_TICKET_KEYS = 59
_GET_TICKET_KEYS = 58

# Bytes that every SSL_CTX has at least.
_PROBED = 1024


class TicketKeysError(Exception):
    """The keys of this Python's contexts cannot be set; the text says why."""


def set_ticket_keys(context: ssl.SSLContext, secret: bytes, purpose: bytes) -> None:
    """Give `context` the keys that follow from `secret` and `purpose`; both are of any length.

    A ticket is taken by all contexts with the same two, in whichever process. Raises TicketKeysError; then the context
    goes on with keys of its own.
    """
    libssl = _libssl()
    pointer = _pointer_of(context, libssl)
    size = libssl.SSL_CTX_ctrl(pointer, _GET_TICKET_KEYS, 0, None)
    keys = _derived(secret, purpose, size)
    if libssl.SSL_CTX_ctrl(pointer, _SET_TICKET_KEYS, size, keys) != 1:
        raise TicketKeysError("libssl takes no keys")


def try_ticket_keys() -> None:
    """Find out whether the keys of contexts can be set. Raises TicketKeysError."""
    set_ticket_keys(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), b"", b"")


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
        # What this is asked for is looked up in all that it is linked with, too.
        libssl = ctypes.CDLL(path)
        libssl.SSL_CTX_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
        libssl.SSL_CTX_ctrl.restype = ctypes.c_long
        libssl.SSL_CTX_get_options.argtypes = (ctypes.c_void_p,)
        libssl.SSL_CTX_get_options.restype = ctypes.c_uint64
        libssl.SSL_CTX_get_num_tickets.argtypes = (ctypes.c_void_p,)
        libssl.SSL_CTX_get_num_tickets.restype = ctypes.c_size_t
    except (OSError, AttributeError) as error:
        raise TicketKeysError(f"no libssl can be called: {error}") from error
    return libssl


def _pointer_of(context: ssl.SSLContext, libssl: ctypes.CDLL) -> int:
    """Return the SSL_CTX* of a context: the first member of CPython's object. Raises TicketKeysError if it is not."""
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
    """Whether there is memory at an address: the kernel only says no where looking oneself would end the process."""
    reader, writer = os.pipe()
    try:
        return int(ctypes.CDLL(None).write(writer, ctypes.c_void_p(address), _PROBED)) == _PROBED
    finally:
        os.close(reader)
        os.close(writer)
