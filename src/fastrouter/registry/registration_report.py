"""What registrations and unregistrations leave in metrics and in the process log."""

import time
from collections.abc import Callable
from enum import StrEnum

from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.endpoint import EndpointFactory, RegisteredEndpoint
from fastrouter.registry.label_rows import HistogramRows


class PutResult(StrEnum):
    """The result of a registration; the label `action` of its metric."""

    ADDED = "added"
    UPDATED = "updated"
    UNMODIFIED = "unmodified"
    REFRESHED = "refreshed"


# What the log calls the results that are not `endpoint-registered`.
_MESSAGES_BY_RESULT = {
    PutResult.UNMODIFIED: "endpoint-not-registered",
    PutResult.REFRESHED: "endpoint-refreshed",
}


class RegistrationReport:
    """Counts and logs. With `is_current`, as Gorouters after April 2025 do.

    `observe_latency` gets the milliseconds between the update that a new endpoint names and its registration,
    `on_unregistration` the component of an endpoint that a message takes back.
    """

    def __init__(
        self,
        logger: Logger,
        endpoints: EndpointFactory,
        rows: HistogramRows,
        *,
        observe_latency: Callable[[float], None] | None,
        on_unregistration: Callable[[str], object],
        is_current: bool,
    ) -> None:
        self._logger = logger
        self._endpoints = endpoints
        self._rows = rows
        self._observe_latency = observe_latency
        self._on_unregistration = on_unregistration
        self._is_current = is_current
        # For the metrics of spec 7.4, by (component, action) and by component.
        self.registrations: dict[tuple[str, str], int] = {}
        self.unregistrations: dict[str, int] = {}

    def on_registration(self, uri: str, endpoint: RegisteredEndpoint, result: PutResult) -> None:
        """Tell of an endpoint that was registered under `uri`."""
        if result is PutResult.ADDED and self._observe_latency is not None and endpoint.updated_at_ns != 0:
            self._observe_latency((time.time_ns() - endpoint.updated_at_ns) / 1e6)
        label = (self._component(endpoint), result.value)
        self.registrations[label] = self.registrations.get(label, 0) + 1
        is_change = result is PutResult.ADDED or (self._is_current and result is PutResult.UPDATED)
        level = Level.INFO if is_change else Level.DEBUG
        if self._logger.is_enabled(level):
            message = _MESSAGES_BY_RESULT.get(result, "endpoint-registered")
            fields = endpoint.log_fields(uri.removesuffix("/"), self._endpoints.texts(endpoint))
            self._logger.event(level, message, fields)

    def on_unregistration(self, endpoint: RegisteredEndpoint) -> None:
        """Count a message that takes `endpoint` back, whether it is there or not."""
        component = self._component(endpoint)
        self.unregistrations[component] = self.unregistrations.get(component, 0) + 1
        self._on_unregistration(component)

    def _component(self, endpoint: RegisteredEndpoint) -> str:
        """Return the component as a label of counters, whose number is limited."""
        component = endpoint.tag("component", self._endpoints.texts(endpoint)) if endpoint.tag_names else ""
        return component if self._rows.components.row(component) else ""
