"""Certificates and keys in PEM for OpenSSL, which reads certificate chains and keys only from files."""

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

_CERTIFICATE = re.compile(
    r"^-----BEGIN CERTIFICATE-----[ \t\r]*\n.*?^-----END CERTIFICATE-----", re.MULTILINE | re.DOTALL | re.ASCII
)


@contextmanager
def _in_memory(pem: str) -> Iterator[str]:
    """Give the path of a file in memory, so that a private key is not written to a disk."""
    with open(os.memfd_create("pem", os.MFD_CLOEXEC), "wb") as file:
        file.write(pem.encode())
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


@contextmanager
def identity_files(cert_chain: str, private_key: str) -> Iterator[tuple[str, str]]:
    """Give the paths of two files with these PEM texts; they are gone afterwards."""
    with ExitStack() as stack:
        yield stack.enter_context(_in_memory(cert_chain)), stack.enter_context(_in_memory(private_key))


def load_identity(context: ssl.SSLContext, cert_chain: str, private_key: str) -> None:
    """Make the certificate chain and its key, both PEM, the identity of `context`. Raises ssl.SSLError."""
    with identity_files(cert_chain, private_key) as paths:
        context.load_cert_chain(*paths)


def trust(context: ssl.SSLContext, bundle: str) -> None:
    """Have `context` trust the certificates of a PEM bundle.

    As in Go, comments and unreadable certificates are ignored. Raises ssl.SSLError if there is no readable one.
    """
    trusted = 0
    for match in _CERTIFICATE.finditer(bundle):
        with suppress(ssl.SSLError):
            # A character outside ASCII becomes `?`, which OpenSSL refuses.
            context.load_verify_locations(cadata=match[0].encode("ascii", "replace").decode())
            trusted += 1
    if not trusted:
        raise ssl.SSLError("there is no certificate in the bundle of authorities")
