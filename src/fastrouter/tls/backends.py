"""TLS to backends, route services and the router itself: CAs, client certificates, sessions (spec 5.6, 5.9)."""

import ssl
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from time import time
from typing import Any, Self

from fastrouter.tls.libssl import LibsslError, accept_any_purpose, share_store
from fastrouter.tls.peer_certificate import (
    HOSTNAME_MISMATCH,
    INVALID_PURPOSE,
    WRONG_USAGE,
    diagnose,
    name_mismatch,
    packed_address,
    without_brackets,
)
from fastrouter.tls.pem_files import load_identity, trust
from fastrouter.tls.server import limit_suites
from fastrouter.tls.verified_chain import is_for_servers, verified_chain

MAX_SESSIONS = 1024
SESSION_SECONDS = 3600.0

# Go's default suites for TLS 1.2, in its order. Go accepts RSA keys of 1024 bits, but no signature with SHA-1. OpenSSL
# does so on security level 1; Python's default is 2.
_DEFAULT_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "@SECLEVEL=1",
)
# Bytes of a name in the SNI extension (RFC 6066).
_MAX_SERVER_NAME = 255


class BackendConnectionTLS(ssl.SSLObject):
    """The TLS of one connection to a backend, which verifies the name and the usages of its peer as Go does.

    OpenSSL verifies the chain, in the handshake; name and usages are verified after it, before anything else is sent. A
    session that can be resumed is kept in the context.
    """

    # The name that the certificate must have; the end of its validity, once it is verified; the output of the
    # handshake.
    peer_name = ""
    valid_until = ""
    outgoing: ssl.MemoryBIO
    # True until the first data has come. In TLS 1.3 tickets come before it, and a backend that refuses the router's
    # certificate sends an alert in its place.
    _is_unproven = True

    def do_handshake(self) -> None:
        """Take the handshake as far as the received bytes go.

        Raises ssl.SSLCertVerificationError, with Go's words as its `verify_message`, and ssl.SSLError.
        """
        try:
            super().do_handshake()
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLCertVerificationError as error:
            self._forget()
            raise self._diagnosed(error) from error
        except ssl.SSLError:
            self._forget()
            raise
        if not self.session_reused and self.context.verify_mode != ssl.CERT_NONE:
            self._verify_peer()

    def read(self, len: int = 1024, buffer: bytearray | None = None) -> bytes:  # type: ignore[override]  # noqa: A002
        """Read up to `len` decrypted bytes. Raises ssl.SSLError."""
        if not self._is_unproven:
            return super().read(len, buffer)
        try:
            data = super().read(len, buffer)
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError:
            self._forget()
            raise
        self._is_unproven = False
        if data and isinstance(self.context, BackendContext):
            self.context.remember(self)
        return data

    def _verify_peer(self) -> None:
        error = self._fault_of_peer()
        if error is None:
            return
        self._forget()
        # The end of the handshake is not sent to a peer that has the wrong name. OpenSSL can send no alert any more.
        self.outgoing.read()
        raise error

    def _fault_of_peer(self) -> ssl.SSLError | None:
        """Return Go's error for a peer whose chain is good, None if there is none."""
        try:
            certificate = self.getpeercert() or {}
            text = name_mismatch(certificate, self.peer_name)
        except ValueError:
            return _malformed("SAN dNSName is malformed")
        if text:
            return _refusal(HOSTNAME_MISMATCH, text)
        try:
            if not is_for_servers(verified_chain(self)):
                return _refusal(INVALID_PURPOSE, WRONG_USAGE)
        except ValueError:
            return _malformed("invalid extended key usages")
        self.valid_until = str(certificate["notAfter"])
        return None

    def _diagnosed(self, error: ssl.SSLCertVerificationError) -> ssl.SSLError:
        """Return Go's error in place of `error`: Go checks the name before the chain."""
        inner: Any = self._sslobj  # type: ignore[attr-defined]
        try:
            # Empty if this OpenSSL does not keep certificates that it refuses.
            shown = [entry.get_info() for entry in inner.get_unverified_chain() or ()]
            return _refusal(*diagnose(error.verify_code, shown, self.peer_name, time()))
        except ValueError:
            return _malformed("SAN dNSName is malformed")

    def _forget(self) -> None:
        """Make the next handshake a full one: the resumed session may be why this one failed."""
        if isinstance(self.context, BackendContext):
            self.context.forget(self.peer_name)


class BackendContext(ssl.SSLContext):
    """A client context that resumes the last session with the same name, if the backend agrees.

    A session was made with a verified name, so it is offered for that name only, never after the end of the certificate
    that proved it, and for an hour at most. The `MAX_SESSIONS` that were used last are kept.
    """

    sslobject_class = BackendConnectionTLS
    _sessions: OrderedDict[str, tuple[ssl.SSLSession, float]]

    def __new__(cls) -> Self:
        """Make a context that trusts no CA yet."""
        self = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        self._sessions = OrderedDict()
        return self

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Do what SSLContext.wrap_bio does, with the session of `server_hostname` if there is one.

        No name is refused: a name that SNI cannot carry is not sent, but verified all the same.
        """
        name = server_hostname.decode() if isinstance(server_hostname, bytes) else server_hostname or ""
        told = _server_name(name)
        connection = super().wrap_bio(incoming, outgoing, server_side, told, session or self._session_of(name))
        assert isinstance(connection, BackendConnectionTLS)
        connection.peer_name, connection.outgoing = name, outgoing
        return connection

    def remember(self, connection: BackendConnectionTLS) -> None:
        """Keep the session of a connection that works, for the next ones to the same name.

        A resumed session is not stored again: the one that is stored can be resumed further.
        """
        session = connection.session
        if connection.session_reused or session is None or not connection.valid_until:
            return
        end = min(time() + SESSION_SECONDS, ssl.cert_time_to_seconds(connection.valid_until))
        self._sessions[connection.peer_name] = session, end
        self._sessions.move_to_end(connection.peer_name)
        if len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)

    def forget(self, name: str) -> None:
        """Drop the session of a name, if there is one."""
        self._sessions.pop(name, None)

    def _session_of(self, name: str) -> ssl.SSLSession | None:
        session, end = self._sessions.get(name, (None, 0.0))
        if session is not None and time() >= end:
            del self._sessions[name]
            return None
        if session is not None:
            self._sessions.move_to_end(name)
        return session


def _server_name(name: str) -> bytes | None:
    """Return the name for SNI, None if it cannot be sent: as in Go without a dot at the end, and no address."""
    told = name.rstrip(".")
    if not told.isascii() or not 0 < len(told) <= _MAX_SERVER_NAME or told.startswith(".") or "\0" in told:
        return None
    # As bytes, because Python refuses a str with long labels.
    return None if packed_address(without_brackets(told)) else told.encode()


def _refusal(code: int, text: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(ssl.SSL_ERROR_SSL, text)
    error.verify_code, error.verify_message = code, text
    return error


def _malformed(text: str) -> ssl.SSLError:
    """Return Go's error for a certificate that it cannot parse."""
    return ssl.SSLError(ssl.SSL_ERROR_SSL, f"failed to parse certificate from server: x509: {text}")


def backend_context(
    *,
    ca_certs: Iterable[str] = (),
    cert_chain: str = "",
    private_key: str = "",
    ciphers: Iterable[str] = (),
    protocols: Sequence[str] = (),
    trusts_like: BackendContext | None = None,
) -> BackendContext:
    """Make the context for connections to TLS endpoints; certificates and key are PEM texts.

    The system's roots and `ca_certs` are trusted; as in Go, any of these ends a chain, even if it is no root. Only the
    alternative names of a certificate count, never its CommonName. `cert_chain` is sent to backends that ask for a
    certificate. `ciphers` are OpenSSL's names for TLS 1.2, none for its defaults; TLS 1.3 has all of its suites anyway.
    `protocols` are offered by ALPN, the first one preferably. `trusts_like` is a context with the same `ca_certs`,
    which need not be read again then.

    Raises ssl.SSLError for a text without a certificate, a key that is not the certificate's, and unknown ciphers.
    """
    context = _new_context("TLSv1.2", "TLSv1.3", tuple(ciphers) or None, cert_chain, private_key)
    if trusts_like is None or not _shares_store(context, trusts_like):
        _trust_system_and(ca_certs, context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def route_service_context(
    *,
    min_version: str,
    max_version: str,
    skip_ssl_validation: bool = False,
    ca_certs: Iterable[str] = (),
    cert_chain: str = "",
    private_key: str = "",
    ciphers: Iterable[str] | None = None,
) -> BackendContext:
    """Make the context for connections to route services: as `backend_context`, with what differs for them.

    Versions and `ciphers` are as for `server_tls.limit_suites`. With `skip_ssl_validation` any certificate will do.
    Raises as `backend_context`.
    """
    context = _new_context(min_version, max_version, ciphers, cert_chain, private_key)
    if skip_ssl_validation:
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust_system_and(ca_certs, context)
    return context


def hairpin_context(
    *,
    min_version: str,
    max_version: str,
    ca_cert: str,
    cert_chain: str,
    private_key: str,
    ciphers: Iterable[str] | None = None,
) -> BackendContext:
    """Make the context for connections to the router's own internal listener: only its CA is trusted (spec 5.9.6).

    Versions and `ciphers` are as for `server_tls.limit_suites`. Raises as `backend_context`.
    """
    context = _new_context(min_version, max_version, ciphers, cert_chain, private_key)
    trust(context, ca_cert)
    return context


def _new_context(
    min_version: str, max_version: str, ciphers: Iterable[str] | None, cert_chain: str, private_key: str
) -> BackendContext:
    context = BackendContext()
    context.set_ciphers(":".join(_DEFAULT_SUITES))
    limit_suites(context, min_version, max_version, ciphers)
    # BackendConnectionTLS checks names and usages. OpenSSL allows fewer usages than Go; if its check cannot be switched
    # off, it stays.
    context.check_hostname = False
    with suppress(LibsslError):
        accept_any_purpose(context)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if cert_chain:
        load_identity(context, cert_chain, private_key)
    return context


def _shares_store(context: BackendContext, other: BackendContext) -> bool:
    """Return whether `context` trusts now whom `other` trusts: not every libssl can be asked for that."""
    try:
        share_store(context, other)
    except LibsslError:
        return False
    return True


def _trust_system_and(ca_certs: Iterable[str], context: ssl.SSLContext) -> None:
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    for pem in ca_certs:
        trust(context, pem)
