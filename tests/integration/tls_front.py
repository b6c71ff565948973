"""The front of the router in the test's own process: connections that begin with TLS, a PROXY header, or both."""

import asyncio
import ssl
import tempfile
from collections.abc import Callable
from typing import Any

from fastrouter._core import Endpoint, ListenerProtocol
from fastrouter.config.certificates import identity_of
from fastrouter.ipc.messages import Identity, ServerTLS
from fastrouter.tls.server import client_check, server_context
from fastrouter.worker.domains import Domains, new_domains

from .in_process import HOST, InProcessRouter
from .issuer import Issuer, Pair
from .raw_client import RawClient


def server_tls(*pairs: Pair, **options: Any) -> ServerTLS:
    """The TLS of a listener with these certificates."""
    return ServerTLS(tuple(Identity(*identity_of(pair.chain), pair.chain, pair.key) for pair in pairs), **options)


def tls_keys(*pairs: Pair, **keys: Any) -> dict[str, Any]:
    """Configuration of an HTTPS listener on a free port."""
    return {
        "enable_ssl": True,
        "ssl_port": 0,
        "tls_pem": [{"cert_chain": pair.chain, "private_key": pair.key} for pair in pairs],
        "client_cert_validation": "none",
        "cipher_suites": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "max_tls_version": "TLSv1.3",
        **keys,
    }


class FrontRouter(InProcessRouter):
    """A router whose clients come through a ListenerProtocol."""

    def __init__(
        self,
        *endpoints: Endpoint,
        tls: ServerTLS | None = None,
        reads_proxy_headers: bool = False,
        is_trusted_proxy: Callable[[str], bool] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*endpoints, **settings)
        self.refused: list[str] = []
        self._domains: Domains = {}
        self._listener = ListenerProtocol(
            self._plane, reads_proxy_headers=reads_proxy_headers, is_trusted_proxy=is_trusted_proxy
        )
        if tls is not None:
            self.secure(tls)

    def secure(self, tls: ServerTLS) -> None:
        self.hold_to_domains(tls)
        self._listener.secure(
            server_context(tls),
            protocols=tuple(protocol.encode() for protocol in tls.protocols),
            is_allowed=client_check(tls, self.refused.append),
            knows_domains=bool(tls.domains),
        )

    def hold_to_domains(self, tls: ServerTLS) -> None:
        """Have hosts of its domains ask for their rules, whatever the listener speaks."""
        self._domains = new_domains(tls, self.refused.append, self._domains)
        self._plane.set_domains(self._domains.values())

    def new_connection(self) -> asyncio.Protocol:
        return self._listener.new_connection()


class TlsClient(RawClient):
    """A client connection with TLS, for which `first` went ahead in the clear.

    To one that `is_strict`, an end without a close_notify is an error.
    """

    socket: ssl.SSLSocket

    def __init__(
        self,
        port: int,
        context: ssl.SSLContext,
        server_name: str | None = HOST,
        *,
        first: bytes = b"",
        session: ssl.SSLSession | None = None,
        is_strict: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(port, **options)
        self.send(first)
        try:
            self.socket = context.wrap_socket(
                self.socket, server_hostname=server_name, session=session, suppress_ragged_eofs=not is_strict
            )
        except BaseException:
            self.close()
            raise

    @property
    def server_certificate(self) -> bytes:
        certificate = self.socket.getpeercert(binary_form=True)
        assert certificate is not None
        return certificate


def client_context(
    issuer: Issuer,
    *,
    version: ssl.TLSVersion | None = None,
    identity: Pair | None = None,
    protocols: tuple[str, ...] = (),
    ciphers: str = "",
    checks_names: bool = True,
) -> ssl.SSLContext:
    """A client that trusts `issuer` and, if given, speaks one version only and shows an identity."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=issuer.pem)
    context.check_hostname = checks_names
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if version is not None and version < ssl.TLSVersion.TLSv1_2:
        ciphers = ciphers or "ALL:@SECLEVEL=0"
    if ciphers:
        context.set_ciphers(ciphers)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if identity is not None:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(identity.chain + identity.key)
            file.flush()
            context.load_cert_chain(file.name)
    return context
