"""What the data plane's settings may be."""

from typing import Any

import pytest

from fastrouter._core import Settings


@pytest.mark.parametrize(
    ("name", "least", "less"),
    [
        ("max_attempts", 1, 0),
        ("max_request_head", 1, 0),
        ("max_request_headers", 1, 0),
        ("max_large_heads", 0, -1),
        ("large_head_patience", 0, -0.1),
        ("max_response_head", 1, 0),
        ("max_response_headers", 1, 0),
        ("max_buffered", 4096, 4095),
        ("max_idle_per_endpoint", 0, -1),
        ("max_conns", 0, -1),
        ("endpoint_timeout", 0, -0.1),
        # A connection that waits for its PROXY header must not wait for ever: no limit is no choice (spec 5.5).
        ("proxy_header_timeout", 0.001, 0),
        ("half_close_timeout", 0.001, 0),
        ("tunnel_silence_timeout", 0.001, 0),
    ],
)
def test_least_value(name: str, least: Any, less: Any) -> None:
    assert getattr(Settings(**{name: least}), name) == least
    with pytest.raises(ValueError, match=f"^{name} must be at least {least}, not {less}"):
        Settings(**{name: less})
