"""The mTLS domains of a worker's data plane, as its TLS says (spec 9.8)."""

from collections.abc import Callable, Mapping

from fastrouter._core import MutualTLSDomain
from fastrouter.ipc.messages import DomainTLS, ServerTLS
from fastrouter.tls.server import client_check, domain_tls, server_context

Domains = dict[DomainTLS, MutualTLSDomain]


def new_domains(
    tls: ServerTLS, on_refused: Callable[[str], object], known: Mapping[DomainTLS, MutualTLSDomain]
) -> Domains:
    """Make the domains of `tls`; one that has not changed stays the object that is `known`, with its connections.

    `on_refused` is called with the subject of each client that is refused.
    """
    domains: Domains = {}
    for given in tls.domains:
        rules = domain_tls(tls, given)
        domain = known.get(given) or _new_domain(given)
        domain.secure(server_context(rules), client_check(rules, on_refused))
        domains[given] = domain
    return domains


def _new_domain(given: DomainTLS) -> MutualTLSDomain:
    from fastrouter.tls.callers import (  # noqa: PLC0415 only who has domains pays for reading certificates
        READERS,
        RENDERERS,
        names_of_certificate,
    )

    return MutualTLSDomain(
        given.name,
        identify=names_of_certificate,
        identify_header=READERS[given.xfcc_format],
        render=RENDERERS[given.xfcc_format],
        forwarded_client_cert=given.forwarded_client_cert,
    )
