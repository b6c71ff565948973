"""The listener of `/metrics`, on loopback only (spec 1.2, 7.4)."""

import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fastrouter.observe.exposition import CONTENT_TYPE
from fastrouter.observe.responses import NOT_FOUND, StatusHandler, StatusRequest, StatusResponse
from fastrouter.observe.status_server import StatusServer


@dataclass(frozen=True, kw_only=True)
class MetricsTLS:
    """Names of PEM files: the listener's identity, and the authorities that sign the certificates of its clients."""

    cert_path: str
    key_path: str
    ca_path: str


@dataclass(frozen=True, kw_only=True)
class MetricsOptions:
    """Port of the listener, 0 for any free one. `has_gauges`: times are gauges instead of histograms (metrics)."""

    port: int
    tls: MetricsTLS | None = None
    has_gauges: bool = False


def new_metrics_server(options: MetricsOptions, render: Callable[[], Iterator[bytes]]) -> StatusServer:
    """Make the listener, which is not bound yet. Raises OSError for certificates that cannot be read or used."""
    tls = _server_tls(options.tls) if options.tls is not None else None
    return StatusServer(_metrics_handler(render), "127.0.0.1", options.port, tls)


def try_metrics_tls(tls: MetricsTLS) -> None:
    """Read the files of `tls`. Raises OSError for those that cannot be read or used."""
    _server_tls(tls)


def _metrics_handler(render: Callable[[], Iterator[bytes]]) -> StatusHandler:
    def handle(request: StatusRequest) -> StatusResponse:
        if request.path != "/metrics":
            return NOT_FOUND
        return StatusResponse(200, (("Content-Type", CONTENT_TYPE),), render())

    return handle


def _server_tls(tls: MetricsTLS) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(tls.cert_path, tls.key_path)
    context.load_verify_locations(tls.ca_path)
    return context
