"""Who may use the admin API.

Whoever may open the Unix socket, which is its owner alone, may do everything. Over TCP a caller shows a token or a
client certificate. Requests that a browser makes for a foreign page are refused on both: such a page reaches loopback,
under a name of its own, too, that it has resolve to it (DNS rebinding).
"""

import hashlib
import hmac
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple

from aiohttp import web

from fastrouter.admin.problems import ProblemError
from fastrouter.ipc.admin_messages import Role, Token

# Names that only this machine has.
_LOCAL_NAMES = frozenset({"localhost"})


class Caller(NamedTuple):
    """Who has sent a request: what it may do, and how the audit log calls it."""

    role: Role
    name: str


class Access:
    """Decides over requests. `hosts` are names of the TCP listener, besides `localhost` and IP addresses.

    A client certificate, if `has_client_certificates`, allows what `client_role` says; a token goes before it.
    """

    def __init__(
        self, tokens: Iterable[Token], hosts: Iterable[str], *, has_client_certificates: bool, client_role: Role
    ) -> None:
        self._tokens = tuple(tokens)
        self._hosts = _LOCAL_NAMES | {host.lower() for host in hosts}
        self._has_client_certificates = has_client_certificates
        self._client_role = client_role

    def admit(self, request: web.Request) -> Caller:
        """Return who has sent `request`. Raises ProblemError for a stranger."""
        self.check_host(request)
        _check_origin(request)
        if is_unix(request):
            return Caller("operate", "unix socket")
        authorization = request.headers.getall("Authorization", [])
        if authorization:
            return self._caller_with(authorization)
        if self._has_client_certificates:
            return Caller(self._client_role, f"certificate {_subject(request)}")
        raise _unauthorized("a token is needed, one of admin.tokens: Authorization: Bearer TOKEN")

    def _caller_with(self, authorization: list[str]) -> Caller:
        scheme, _, given = authorization[0].partition(" ")
        if len(authorization) > 1 or scheme.lower() != "bearer":
            raise _unauthorized("the one header Authorization must have a bearer token")
        digest = hashlib.sha256(given.strip().encode(errors="surrogateescape")).digest()
        found = None
        # All of them are compared, each in the same time.
        for token in self._tokens:
            if hmac.compare_digest(digest, token.digest):
                found = token
        if found is None:
            raise _unauthorized("the token is not known here: it is none of admin.tokens")
        return Caller(found.role, f"token {found.name}")

    def check_host(self, request: web.Request) -> None:
        """Raise ProblemError for a name that is not this router's."""
        host = _host_of(request)
        # A foreign page has a name, and the browser sends it; an address can only be what it is.
        if not _is_address(host) and host not in self._hosts:
            raise ProblemError(421, f"the admin API is not known as {host!r}: add the name to admin.hosts")


def is_unix(request: web.Request) -> bool:
    """Whether a request has come over the Unix socket."""
    transport = request.transport
    connection = transport.get_extra_info("socket") if transport is not None else None
    return connection is not None and connection.family == socket.AF_UNIX


def allows(role: Role, needed: Role) -> bool:
    """Whether `role` includes `needed`."""
    return role in (needed, "operate")


def _check_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() != f"{request.scheme}://{request.host}".lower():
        raise ProblemError(403, "a page of another origin may not use the admin API")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise ProblemError(403, "a page of another site may not use the admin API")


def _host_of(request: web.Request) -> str:
    """Return the name or address in Host, without port and brackets, in lower case."""
    given = request.headers.getall("Host", [])
    if len(given) != 1:
        raise ProblemError(400, "a request has one header Host")
    host = given[0].lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _subject(request: web.Request) -> str:
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    names = dict(pair for part in (certificate or {}).get("subject", ()) for pair in part)
    return str(names.get("commonName", "without a name"))


def _unauthorized(detail: str) -> ProblemError:
    return ProblemError(401, detail, {"WWW-Authenticate": 'Bearer realm="fastrouter"'})
