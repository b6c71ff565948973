"""The rows of a histogram in shared memory, one per value of its label."""

from fastrouter._core import Stats
from fastrouter.logs.logger import Logger


class LabelRows:
    """Gives each label a row of the histogram `histogram`, for ever, because counters must never go down.

    Row 0 is for values without a label, which is shown as `unlabelled`, and for labels that come when all rows are in
    use; the first of these is logged.
    """

    def __init__(self, logger: Logger, histogram: str, unlabelled: str = "") -> None:
        self._logger = logger
        self._histogram = histogram
        self._limit = Stats.rows(histogram)
        self._rows = {unlabelled: 0}
        self._is_exhausted = False

    def row(self, label: str) -> int:
        """Return the row of `label`, which may be empty."""
        if not label:
            return 0
        row = self._rows.get(label)
        if row is not None:
            return row
        if len(self._rows) < self._limit:
            return self._rows.setdefault(label, len(self._rows))
        if not self._is_exhausted:
            self._is_exhausted = True
            self._logger.warn("metric-labels-exhausted", metric=self._histogram, limit=self._limit, label=label)
        return 0

    def labels(self) -> list[str]:
        """Return the labels by their rows."""
        return list(self._rows)


class HistogramRows:
    """The rows of the histograms of the workers: those of components, of apps (sources), and of routes.

    Apps get rows of their own if `is_observing_apps`, routes if `is_observing_routes`.
    """

    def __init__(self, logger: Logger, *, is_observing_apps: bool, is_observing_routes: bool) -> None:
        self._is_observing_apps = is_observing_apps
        self._is_observing_routes = is_observing_routes
        self.components = LabelRows(logger, "latency")
        self.sources = LabelRows(logger, "http_latency_seconds", unlabelled="gorouter")
        self.routes = LabelRows(logger, "fastrouter_route_latency_seconds")

    def of_source(self, source: str) -> int:
        """Return the row of the app `source`."""
        return self.sources.row(source) if self._is_observing_apps else 0

    def of_route(self, key: str) -> int:
        """Return the row of a route; one that had a row gets it again."""
        return self.routes.row(key) if self._is_observing_routes else 0
