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
