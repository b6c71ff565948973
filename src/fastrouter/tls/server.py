"""TLS of the listeners: identities chosen by SNI, versions, ciphers, client certificates (spec 8.5, 8.6)."""

import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import msgspec

from fastrouter.ipc.messages import DomainTLS, ServerTLS
from fastrouter.logs.error_text import error_text
from fastrouter.tls.libssl import LibsslError
from fastrouter.tls.pem_files import load_identity, trust
from fastrouter.tls.session_tickets import set_ticket_keys

_VERSIONS = {
    "TLSv1.0": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
_VERIFY_MODES = {"none": ssl.CERT_NONE, "request": ssl.CERT_OPTIONAL, "require": ssl.CERT_REQUIRED}

# Whether a client whose handshake is complete may go on.
ClientCheck = Callable[[ssl.SSLObject], bool]


class ServerTLSError(Exception):
    """Certificates, or what belongs to them, that no listener can use; the text says why."""


def limit_suites(
    context: ssl.SSLContext, min_version: str, max_version: str, ciphers: Iterable[str] | None = None
) -> None:
    """Limit versions (`TLSv1.0` to `TLSv1.3`) and, up to TLS 1.2, ciphers (OpenSSL's names; None: its own choice).

    No cipher at all leaves TLS 1.3, which has all of its suites anyway. Raises ssl.SSLError if this OpenSSL has none of
    the ciphers, ValueError if nothing is left.
    """
    names = None if ciphers is None else list(ciphers)
    if names == []:
        if max_version != "TLSv1.3":
            raise ValueError(f"none of the cipher suites can be used with {max_version}")
        min_version, names = max_version, None
    context.minimum_version = _VERSIONS[min_version]
    context.maximum_version = _VERSIONS[max_version]
    if names is not None:
        # TLS 1.0 and 1.1 need signatures with SHA-1, which OpenSSL allows only on its lowest security level.
        is_old = min_version in ("TLSv1.0", "TLSv1.1")
        context.set_ciphers(":".join([*names, "@SECLEVEL=0"] if is_old else names))


def server_context(tls: ServerTLS) -> ssl.SSLContext:
    """Make the context of a listener, which finds the identity for a name by itself.

    A name that several identities have is served with the last of each kind of key, no name with the first of each
    kind, and an unknown name with the very first. Raises ssl.SSLError and ValueError for what cannot be used.
    """
    contexts: dict[frozenset[int], ssl.SSLContext] = {}

    def context_of(indices: Iterable[int]) -> ssl.SSLContext:
        chosen = frozenset(indices)
        if chosen not in contexts:
            contexts[chosen] = _new_context(tls, sorted(chosen))
        return contexts[chosen]

    # In reverse, so that the first of a kind overwrites later ones.
    default = context_of({tls.identities[index].kind: index for index in reversed(range(len(tls.identities)))}.values())
    first = context_of([0])
    owners: dict[str, dict[str, int]] = {}
    for index, identity in enumerate(tls.identities):
        for name in identity.names:
            owners.setdefault(name, {})[identity.kind] = index
    by_name = {name: context_of(kinds.values()) for name, kinds in owners.items()}
    if tls.ticket_secret:
        _share_sessions(default, tls)
    if len(contexts) > 1:
        # A callback that refers to its own context would be a cycle that is never freed.
        default.sni_callback = _choice(
            {name: context if context is not default else None for name, context in by_name.items()},
            first if first is not default else None,
        )
    return default


def domain_tls(tls: ServerTLS, domain: DomainTLS) -> ServerTLS:
    """Return the rules for clients that ask a listener with `tls` for `domain`: they show a certificate of its CAs."""
    return msgspec.structs.replace(
        tls,
        client_certificates="require",
        client_ca_certs=domain.ca_certs,
        trusts_system_roots=False,
        domains=(),
        domain=domain.name.lower(),
    )


def client_check(tls: ServerTLS, on_refused: Callable[[str], object]) -> ClientCheck | None:
    """Return the check of clients whose certificate is valid; None if all of these are allowed.

    `on_refused` is called with the subject of each client that is refused.
    """
    if not tls.client_rules or tls.client_certificates == "none":
        return None
    from fastrouter.tls.client_rules import ClientRules  # noqa: PLC0415 only who has rules pays for reading certificates

    return ClientRules(tls.client_rules, on_refused).allows


def try_server_tls(tls: ServerTLS) -> None:
    """Check that a listener can use `tls`. Raises ServerTLSError."""
    try:
        for one in (tls, *(domain_tls(tls, domain) for domain in tls.domains)):
            server_context(one)
    except (ssl.SSLError, ValueError) as error:
        raise ServerTLSError(error_text(error)) from error


def _share_sessions(context: ssl.SSLContext, tls: ServerTLS) -> None:
    """Let all processes with the same secret resume the sessions of `context`, and of those that it chooses from.

    OpenSSL takes the keys from the context that a connection begins with, even if SNI chooses another. A resumed client
    sends no certificate and negotiates no cipher. So everything that a full handshake checks is part of the keys: a
    listener with other rules cannot resume the session, nor can another of its domains.
    """
    rules = msgspec.msgpack.encode(msgspec.structs.replace(tls, identities=(), ticket_secret=b"", domains=()))
    # If the keys cannot be set, the control process has logged it.
    with suppress(LibsslError):
        set_ticket_keys(context, tls.ticket_secret, rules)


def _choice(
    by_name: Mapping[str, ssl.SSLContext | None], unknown: ssl.SSLContext | None
) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """Return the SNI callback, which sets the context of a connection by the name that its client asks for."""

    def choose(connection: ssl.SSLObject, server_name: str | None, _context: ssl.SSLContext) -> None:
        if server_name is None:
            return
        name = server_name.lower()
        _, dot, domain = name.partition(".")
        context = by_name.get(name, by_name.get(f"*{dot}{domain}", unknown))
        if context is not None:
            connection.context = context

    return choose


def _new_context(tls: ServerTLS, indices: Sequence[int]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    limit_suites(context, tls.min_version, tls.max_version, tls.ciphers)
    # Go sends one ticket per connection.
    context.num_tickets = 1
    for index in indices:
        load_identity(context, tls.identities[index].cert_chain, tls.identities[index].private_key)
    if tls.protocols:
        context.set_alpn_protocols(tls.protocols)
    context.verify_mode = _VERIFY_MODES[tls.client_certificates]
    if tls.client_certificates != "none":
        # As in Go, any trusted certificate ends a chain, even if it is no root.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if tls.trusts_system_roots:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        if tls.client_ca_certs:
            trust(context, tls.client_ca_certs)
    return context
