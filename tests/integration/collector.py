"""A collector of OpenTelemetry: a real HTTPS server that takes OTLP, and does as a test says."""

from collections import deque
from typing import Any

from otlp import Span, read_request

from .issuer import Issuer
from .router_process import wait_for
from .routing_api_servers import Asked, HTTPSServer, _Handler


class Collector(HTTPSServer):
    """Takes spans; `refusals` are statuses and fields with which it refuses requests first."""

    def __init__(self, authority: Issuer, clients: Issuer) -> None:
        self.resources: list[dict[str, Any]] = []
        self.spans: list[Span] = []
        self.refusals: deque[tuple[int, dict[str, str]]] = deque()
        super().__init__(authority.pair("localhost"), client_ca=clients.pem)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/v1/traces"

    def wait_for_spans(self, count: int = 1) -> list[Span]:
        """At least so many."""
        return wait_for(lambda: self.spans if len(self.spans) >= count else None, f"{count} spans")

    def _serve(self, handler: _Handler, asked: Asked) -> None:
        assert asked.path == "/v1/traces"
        assert handler.headers["Content-Type"] == "application/x-protobuf"
        if self.refusals:
            status, fields = self.refusals.popleft()
            handler.answer(status, b"not now", **fields)
            return
        resource, scope, spans = read_request(asked.body)
        assert scope["name"] == "fastrouter"
        self.resources.append(resource)
        self.spans += spans
        handler.answer(200, b"", **{"Content-Type": "application/x-protobuf"})
