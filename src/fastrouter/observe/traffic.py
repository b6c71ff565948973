"""The figures of `/varz` about requests, from the counters of all workers (spec 7.3)."""

import math

from fastrouter._core import Stats
from fastrouter.observe.histogram import Buckets
from fastrouter.observe.varz import Latency, Responses, Traffic
from fastrouter.registry.label_rows import LabelRows

# Minutes over which the rates are taken.
_MINUTES = (1, 5, 15)
_NO_RATES = (0.0, 0.0, 0.0)


class Rates:
    """Requests per second over the last 1, 5 and 15 minutes, as exponentially weighted means.

    `interval` is the seconds between two calls of `tick`.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._weights = [1 - math.exp(-interval / 60 / minutes) for minutes in _MINUTES]
        self._rates: list[float] | None = None
        self._total = 0

    def tick(self, total: int) -> None:
        """Update the rates with the number of requests since the start."""
        rate = (total - self._total) / self._interval
        self._total = total
        if self._rates is None:
            self._rates = [rate] * len(_MINUTES)
        else:
            self._rates = [
                before + weight * (rate - before) for before, weight in zip(self._rates, self._weights, strict=True)
            ]

    def values(self) -> tuple[float, float, float]:
        """Return the three rates, all 0.0 before the first tick."""
        one, five, fifteen = self._rates or _NO_RATES
        return one, five, fifteen


class TrafficReader:
    """Computes the figures from `stats`; `components` are the rows of the histogram `latency`.

    `tick` is to be called every `interval` seconds.
    """

    def __init__(self, stats: Stats, components: LabelRows, interval: float) -> None:
        self._stats = stats
        self._components = components
        self._interval = interval
        self._rates = Rates(interval)
        # By row; a component has its rates from the first tick after its first endpoint on.
        self._component_rates: list[Rates] = []

    def tick(self) -> None:
        """Bring the rates up to date."""
        self._rates.tick(self._stats.counts()["total_requests"])
        for row in range(len(self._components.labels())):
            if row == len(self._component_rates):
                self._component_rates.append(Rates(self._interval))
            self._component_rates[row].tick(self._stats.attempts(row))

    def read(self) -> Traffic:
        """Return the current figures."""
        counts = self._stats.counts()
        rates = self._rates.values()
        rows = [Buckets(*self._stats.histogram("latency", row)) for row in range(len(self._components.labels()))]
        whole = Buckets(
            rows[0].bounds,
            [sum(counts) for counts in zip(*(row.counts for row in rows), strict=True)],
            sum(row.total for row in rows),
        )
        return Traffic(
            all=Responses(
                requests=counts["total_requests"],
                rate=rates,
                responses_2xx=counts["responses_2xx"],
                responses_3xx=counts["responses_3xx"],
                responses_4xx=counts["responses_4xx"],
                responses_5xx=counts["responses_5xx"],
                responses_xxx=counts["responses_xxx"],
                latency=_latency(whole),
            ),
            components={
                component: Responses(
                    requests=self._stats.attempts(row),
                    rate=self._component_rates[row].values() if row < len(self._component_rates) else _NO_RATES,
                    **self._stats.responses(row),
                    latency=_latency(rows[row]),
                )
                for row, component in enumerate(self._components.labels())
                if component
            },
            bad_requests=counts["rejected_requests"],
            bad_gateways=counts["bad_gateways"],
            requests_per_sec=rates[0],
        )


def _latency(milliseconds: Buckets) -> Latency:
    p50, p75, p90, p95, p99 = (milliseconds.percentile(percent) / 1000 for percent in (50, 75, 90, 95, 99))
    mean = milliseconds.total / milliseconds.samples / 1000 if milliseconds.samples else 0.0
    return Latency(p50=p50, p75=p75, p90=p90, p95=p95, p99=p99, value=mean)
