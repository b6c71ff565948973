"""Which certificates a router shows or trusts, by the keys that name them in gorouter.yml."""

from fastrouter.control.options import RouterOptions
from fastrouter.ipc.admin_messages import CertificateSource
from fastrouter.ipc.messages import ServerTLS


def certificate_sources(options: RouterOptions, front_tls: ServerTLS | None) -> list[CertificateSource]:
    """Return them without private keys; `front_tls` is that of clients now, which a reload may have changed."""
    pems = _of_clients(front_tls)
    pems.append(("backends.cert_chain", options.backend_tls.cert_chain))
    pems += [("ca_certs", pem) for pem in options.backend_tls.ca_certs]
    if options.route_services is not None:
        pems.append(("route_services.cert_chain", options.route_services.tls.cert_chain))
    if options.bus is not None and options.bus.tls is not None:
        pems += [("nats.cert_chain", options.bus.tls.cert_chain), ("nats.ca_certs", options.bus.tls.ca_certs)]
    if options.routing_api is not None:
        api = options.routing_api
        pems += [("routing_api.cert_chain", api.cert_chain), ("routing_api.ca_certs", api.ca_certs)]
    if options.status is not None and options.status.tls is not None:
        pems.append(("status.tls.certificate", options.status.tls.certificate))
    if options.admin is not None and options.admin.tls is not None:
        pems += _of_identities("admin.tls.cert_chain", options.admin.tls)
        pems.append(("admin.tls.client_ca_certs", options.admin.tls.client_ca_certs))
    sources = [CertificateSource(use, pem=pem) for use, pem in pems if pem]
    if options.metrics is not None and options.metrics.tls is not None:
        sources.append(CertificateSource("prometheus.cert_path", path=options.metrics.tls.cert_path))
        sources.append(CertificateSource("prometheus.ca_path", path=options.metrics.tls.ca_path))
    return sources


def _of_clients(front_tls: ServerTLS | None) -> list[tuple[str, str]]:
    if front_tls is None:
        return []
    return [
        *_of_identities("tls_pem", front_tls),
        ("client_ca_certs", front_tls.client_ca_certs),
        *((f"domains[{index}].ca_certs", domain.ca_certs) for index, domain in enumerate(front_tls.domains)),
    ]


def _of_identities(use: str, tls: ServerTLS) -> list[tuple[str, str]]:
    return [(use, identity.cert_chain) for identity in tls.identities]
