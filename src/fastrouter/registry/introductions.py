"""The changes that introduce endpoints to the workers."""

from collections.abc import Callable, Mapping

from fastrouter.ipc.table_changes import Introduce
from fastrouter.registry.endpoint import EndpointFactory, RegisteredEndpoint
from fastrouter.registry.label_rows import HistogramRows


class Introductions:
    """Makes them. `encode_tags` makes of the tags of an endpoint what the workers put into envelopes."""

    def __init__(
        self, endpoints: EndpointFactory, rows: HistogramRows, encode_tags: Callable[[Mapping[str, str]], bytes]
    ) -> None:
        self._endpoints = endpoints
        self._rows = rows
        self._encode_tags = encode_tags

    def of(self, endpoint: RegisteredEndpoint, *, is_draining: bool) -> Introduce:
        """Return the change that introduces `endpoint`."""
        texts = self._endpoints.texts(endpoint)
        component_row = self._rows.components.row(endpoint.tag("component", texts))
        source_row = self._rows.of_source(endpoint.tag("source_id", texts))
        tags = self._encode_tags(endpoint.tags(texts) or {})
        return endpoint.introduction(texts, component_row, source_row, tags, is_draining=is_draining)
