"""Where spans go, and which. Importing this module does not import an HTTP client."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """A collector that takes OTLP over HTTP at `url` (with its path), and the router's identity there in PEM.

    `headers` go with each request. `ratio` of the traces that begin here are sampled. `attributes` tell of the router.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    ca_certs: str = ""
    cert_chain: str = ""
    private_key: str = ""
    ratio: float
    attributes: tuple[tuple[str, str], ...] = ()
