"""Histograms: their bounds, and the one whose values the control process counts."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# The default bounds of Prometheus' Go client.
FALLBACK_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class HistogramBounds(NamedTuple):
    """Upper bounds of the buckets of each histogram in its unit, by default Gorouter's (spec 2.2: `meters`).

    `route_latency_seconds` is ours and has those of Prometheus' clients.
    """

    route_lookup_time: tuple[float, ...] = (
        *(10_000.0, 20_000.0, 30_000.0, 40_000.0, 50_000.0, 60_000.0, 70_000.0, 80_000.0, 90_000.0, 100_000.0),
    )
    gorouter_time: tuple[float, ...] = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 50.0, 100.0, 500.0, 1000.0)
    latency: tuple[float, ...] = (1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 50.0, 100.0, 500.0, 1000.0)
    http_latency_seconds: tuple[float, ...] = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6)
    route_latency_seconds: tuple[float, ...] = FALLBACK_BOUNDS
    route_registration_latency: tuple[float, ...] = (0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)

    def of_workers(self) -> list[tuple[float, ...]]:
        """Return those of the histograms that the data plane keeps, in the order of `_core.Stats`."""
        return [
            self.route_lookup_time,
            self.gorouter_time,
            self.latency,
            self.http_latency_seconds,
            self.route_latency_seconds,
        ]


DEFAULT_BOUNDS = HistogramBounds()


def usable_bounds(configured: Iterable[float]) -> tuple[float, ...]:
    """Return the finite bounds in rising order; infinity is the bound of every histogram anyway."""
    return tuple(sorted({bound for bound in configured if math.isfinite(bound)})) or FALLBACK_BOUNDS


class Buckets(NamedTuple):
    """What a histogram holds: `counts` has one number more than `bounds`, and none of them is cumulative."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float

    @property
    def samples(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def percentile(self, percent: float) -> float:
        """Estimate a percentile from the buckets, as if values were spread evenly within each; 0.0 without values."""
        wanted = self.samples * percent / 100
        low = 0.0
        passed = 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            if count and passed + count >= wanted:
                return low + (bound - low) * (wanted - passed) / count
            passed += count
            low = bound
        # Of a value beyond the last bound only this is known.
        return low if self.samples else 0.0


class Histogram:
    """Counts values by buckets."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count one value; one that equals a bound is below it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def buckets(self) -> Buckets:
        """Return what there is so far."""
        return Buckets(self._bounds, tuple(self._counts), self._total)
