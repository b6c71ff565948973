"""Where the routing API is, and who the router is there. Importing this module does not import an HTTP client."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class UAAOptions:
    """The UAA that gives tokens. Times are seconds.

    `port` 0 is none, which is an error. `ca_file` is the path of a PEM file, empty for the system's authorities. There
    are `max_retries` retries, `retry_interval` apart. A token is renewed `expiration_buffer` before its end.
    """

    host: str
    port: int
    client_name: str
    client_secret: str
    ca_file: str = ""
    skip_ssl_validation: bool = False
    max_retries: int = 3
    retry_interval: float = 5.0
    expiration_buffer: float = 30.0


@dataclass(frozen=True, kw_only=True)
class RoutingAPIOptions:
    """The routing API at `url` (scheme, host and port), with the router's identity there; texts in PEM.

    Without `uaa` an empty token is sent. The whole list is fetched every `refresh_interval` seconds; 0: only after each
    subscription.
    """

    url: str
    ca_certs: str
    cert_chain: str
    private_key: str
    uaa: UAAOptions | None
    refresh_interval: float
