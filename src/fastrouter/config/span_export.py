"""What must hold for the export of spans (`tracing.otlp`)."""

from collections.abc import Callable
from urllib.parse import urlsplit

from fastrouter.config.sections import Tracing


def check_export(tracing: Tracing, fail: Callable[..., None]) -> None:
    """Check all but certificates, where there is an endpoint; `fail` gets what is wrong, and its key."""
    otlp = tracing.otlp
    try:
        url = urlsplit(otlp.endpoint)
        is_url = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        fail(
            f"Invalid OTLP endpoint: {otlp.endpoint}. Must be a URL such as https://collector:4318/v1/traces",
            "tracing.otlp.endpoint",
        )
    if not 0 <= otlp.sample_ratio <= 1:
        fail(f"Invalid sample ratio: {otlp.sample_ratio}. Must be from 0 to 1", "tracing.otlp.sample_ratio")
    if not tracing.enable_w3c or tracing.propagate_only:
        fail(
            "Spans can only be exported with tracing.enable_w3c and without tracing.propagate_only",
            "tracing.otlp.endpoint",
        )
    for index, header in enumerate(otlp.headers):
        if not header.is_header:
            # The value may be a secret.
            fail(
                f"Invalid OTLP header: {header.name}. Must be a name and a value of one line",
                f"tracing.otlp.headers[{index}]",
            )
