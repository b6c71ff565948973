"""HTTP sessions of the router as a client, over TLS, and what their failures are called."""

import os
import socket
import ssl

import aiohttp

from fastrouter.logs.error_text import error_text
from fastrouter.tls.pem_files import load_identity, trust

# Seconds that an exchange may take, but for a stream of events.
PATIENCE = 60.0

# Seconds of silence, after which the kernel asks whether a server is still there, and between two such questions.
_KEEP_ALIVE = 30


class RoutingAPIError(Exception):
    """The routing API, or the UAA, could not be asked, or has refused; the text is for the process log."""


class UnauthorizedError(RoutingAPIError):
    """The routing API does not accept the token."""

    def __init__(self) -> None:
        super().__init__("unauthorized")


def client_context(ca_certs: str, cert_chain: str = "", private_key: str = "") -> ssl.SSLContext:
    """Make the context for TLS 1.2 or 1.3 to a server that `ca_certs` vouch for; all texts in PEM.

    `ca_certs` empty means the system's authorities. Raises ssl.SSLError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_certs:
        trust(context, ca_certs)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if cert_chain:
        load_identity(context, cert_chain, private_key)
    return context


def open_session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    """Open a session whose exchanges have PATIENCE; the caller closes it."""
    connector = aiohttp.TCPConnector(
        ssl=context,
        # As everything else in this process finds names, not as the packages that happen to be installed would.
        resolver=aiohttp.ThreadedResolver(),
        socket_factory=_socket_with_keep_alive,
    )
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE))


def _socket_with_keep_alive(address: aiohttp.AddrInfoType) -> socket.socket:
    """Make a socket that notices the end of a server that says nothing more: a stream may be silent for hours."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        made.setsockopt(socket.IPPROTO_TCP, option, _KEEP_ALIVE)
    return made


def failure_text(error: Exception) -> str:
    """Return what is wrong with an exchange, in the words of the system or of OpenSSL where these are the reason."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            reason = error_text(error.certificate_error)
        case aiohttp.ClientConnectorError():
            # The loop's texts name addresses, and differ from loop to loop.
            number = error.os_error.errno or 0
            reason = os.strerror(number).lower() if number > 0 else error_text(error.os_error)
        case TimeoutError():
            return "i/o timeout"
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError():
            return "unexpected EOF"
        case _:
            return error_text(error)
    return f"dial tcp {error.host}:{error.port}: {reason}"
