"""Backends that speak TLS: certificates of all sorts, and handshakes that the test takes part in."""

import datetime
import os
import socket
import ssl
from typing import Any

import trustme

from fastrouter._core import Endpoint

from .byte_stream import PATIENCE
from .issuer import Pair
from .raw_backend import BackendStream, RawBackend

SAN = "instance.app.internal"

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Authority:
    """A certificate authority."""

    def __init__(self) -> None:
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)

    @property
    def pem(self) -> str:
        return self._ca.cert_pem.bytes().decode()

    def pair(self, *names: str, **options: Any) -> tuple[str, str]:
        """A certificate for these names with its chain, and its key."""
        leaf = self._ca.issue_cert(*names, key_type=trustme.KeyType.ECDSA, **options)
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return chain.decode(), leaf.private_key_pem.bytes().decode()

    def server(
        self,
        *names: str,
        version: ssl.TLSVersion | None = None,
        client_authority: "Authority | None" = None,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        common_name: str | None = None,
    ) -> ssl.SSLContext:
        """The server side of a backend that is known by `names`; with `client_authority` it wants a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        leaf = self._ca.issue_cert(
            *(names or (SAN,)),
            key_type=trustme.KeyType.ECDSA,
            not_before=not_before,
            not_after=not_after,
            common_name=common_name,
        )
        leaf.configure_cert(context)
        if client_authority is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            client_authority._ca.configure_trust(context)
        return context


def server_side(pair: Pair, version: ssl.TLSVersion, ciphers: str = "DEFAULT") -> ssl.SSLContext:
    """The server side of a backend with any certificate, which speaks one version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    # It may be as weak as it likes.
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    with open(os.memfd_create("pair"), "w", encoding="ascii") as file:
        file.write(pair.key + pair.chain)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
    return context


class TlsBackend(RawBackend):
    """A RawBackend whose connections begin with a TLS handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.context = context

    def endpoint(self, san: str = SAN, **attributes: Any) -> Endpoint:
        """Its endpoint, in the name of `san`."""
        return Endpoint("127.0.0.1", self.port, tls=True, server_cert_domain_san=san, **attributes)

    def accept_plain(self) -> BackendStream:
        """Wait for the router's next connection, and do nothing with it."""
        return super().accept()

    def accept(self) -> BackendStream:
        """Wait for the router's next connection and take its handshake to the end."""
        plain = super().accept()
        secured = self.context.wrap_socket(plain.socket, server_side=True)
        stream = BackendStream(secured)
        self._accepted.append(stream)
        return stream

    def refuse(self) -> ssl.SSLError | OSError:
        """Take part in a handshake, or in what follows it, that must fail; give this side's error."""
        plain = super().accept()
        secured: socket.socket = plain.socket
        try:
            secured = self.context.wrap_socket(plain.socket, server_side=True)
            secured.settimeout(PATIENCE)
            rest = secured.recv(1)
        except OSError as error:
            return error
        finally:
            secured.close()
        raise AssertionError(f"the handshake succeeded, and then came {rest!r}")
