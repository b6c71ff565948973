"""`/metrics` as Prometheus reads it."""

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from .gorouter_process import get
from .router_process import LoggingProcess


class MetricsPage:
    """One page of metrics."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._samples = [sample for family in self.families.values() for sample in family.samples]

    def values(self, name: str, **labels: str) -> list[float]:
        """The values of the samples of this name that have these labels, and maybe others."""
        return [value for found, value in self._found(name) if labels.items() <= found.items()]

    def value(self, name: str, **labels: str) -> float:
        """The sum over all samples of this name that have these labels; 0 without any."""
        return sum(self.values(name, **labels))

    def labels(self, name: str) -> list[dict[str, str]]:
        """The labels of the samples of this name."""
        return [labels for labels, _ in self._found(name)]

    def _found(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        for sample in self._samples:
            # The parser gives each counter the suffix that Gorouter's do not have.
            if sample.name in (name, f"{name}_total"):
                yield sample.labels, sample.value


def metrics_of(router: LoggingProcess) -> MetricsPage:
    """The metrics of a router whose configuration has them on a free port."""
    port = router.wait_for_event("metrics-listener-started")["data"]["port"]
    status, body = get(port, "/metrics")
    assert status == 200
    return MetricsPage(body.decode())
