"""The libssl that Python's own ssl calls, for what that has no call for: ctypes finds it, and a context's place in it.

Nothing here is certain for every Python. What is found is tried first, and where anything is otherwise nothing is done.
"""

import ctypes
import os
import ssl
import sys
from functools import cache

# Of openssl/x509v3.h.
_PURPOSE_ANY = 7

# Bytes that every SSL_CTX has at least.
_PROBED = 1024


class LibsslError(Exception):
    """The libssl of this Python cannot be called, or not for its contexts; the text says why."""


@cache
def libssl() -> ctypes.CDLL:
    """Return it, with the types of what is called. Raises LibsslError."""
    module = sys.modules["_ssl"]
    path = getattr(module, "__file__", None)
    if sys.implementation.name != "cpython" or path is None:
        raise LibsslError("this Python has its ssl built in")
    try:
        # What this is asked for is looked up in all that it is linked with, too.
        library = ctypes.CDLL(path)
        library.SSL_CTX_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
        library.SSL_CTX_ctrl.restype = ctypes.c_long
        library.SSL_CTX_get_options.argtypes = (ctypes.c_void_p,)
        library.SSL_CTX_get_options.restype = ctypes.c_uint64
        library.SSL_CTX_get_num_tickets.argtypes = (ctypes.c_void_p,)
        library.SSL_CTX_get_num_tickets.restype = ctypes.c_size_t
        library.SSL_CTX_get_cert_store.argtypes = (ctypes.c_void_p,)
        library.SSL_CTX_get_cert_store.restype = ctypes.c_void_p
        library.SSL_CTX_set1_cert_store.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        library.SSL_CTX_set1_cert_store.restype = None
        library.SSL_CTX_set_purpose.argtypes = (ctypes.c_void_p, ctypes.c_int)
        library.SSL_CTX_set_session_ticket_cb.argtypes = (ctypes.c_void_p,) * 4
        library.SSL_SESSION_get0_peer.argtypes = (ctypes.c_void_p,)
        library.SSL_SESSION_get0_peer.restype = ctypes.c_void_p
        library.X509_get0_notAfter.argtypes = (ctypes.c_void_p,)
        library.X509_get0_notAfter.restype = ctypes.c_void_p
        library.X509_cmp_current_time.argtypes = (ctypes.c_void_p,)
    except (OSError, AttributeError) as error:
        raise LibsslError(f"no libssl can be called: {error}") from error
    return library


def pointer_of(context: ssl.SSLContext) -> int:
    """Return the SSL_CTX* of a context: the first member of CPython's object. Raises LibsslError if it is not."""
    library = libssl()
    pointer = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    if (
        pointer is None
        or not _is_readable(pointer)
        or library.SSL_CTX_get_options(pointer) != context.options
        or library.SSL_CTX_get_num_tickets(pointer) != context.num_tickets
    ):
        raise LibsslError("this Python's contexts are laid out in another way")
    return pointer


def share_store(context: ssl.SSLContext, other: ssl.SSLContext) -> None:
    """Have `context` trust whom `other` trusts, now and later: the system's roots take 20 ms to read, and 0.8 MB.

    Raises LibsslError; then it trusts whom it did.
    """
    library = libssl()
    library.SSL_CTX_set1_cert_store(pointer_of(context), library.SSL_CTX_get_cert_store(pointer_of(other)))


def accept_any_purpose(context: ssl.SSLContext) -> None:
    """Have `context` verify its peers' chains without asking what their certificates may be used for.

    Who signs must be allowed to, as before: OpenSSL looks at that for every purpose. What it leaves out is for the
    caller to judge: ExtendedKeyUsage in the whole chain, and KeyUsage of the peer's own certificate. Raises
    LibsslError; then the context asks as it did.
    """
    if not ssl.OPENSSL_VERSION.startswith("OpenSSL "):
        # Others take purposes, too, but may tie more to them.
        raise LibsslError(f"{ssl.OPENSSL_VERSION} is not OpenSSL")
    if libssl().SSL_CTX_set_purpose(pointer_of(context), _PURPOSE_ANY) != 1:
        raise LibsslError("libssl takes no purpose")


def _is_readable(address: int) -> bool:
    """Whether there is memory at an address: the kernel only says no where looking oneself would end the process."""
    reader, writer = os.pipe()
    try:
        return int(ctypes.CDLL(None).write(writer, ctypes.c_void_p(address), _PROBED)) == _PROBED
    finally:
        os.close(reader)
        os.close(writer)
