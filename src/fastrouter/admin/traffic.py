"""Requests per second, errors and latencies of the router as a whole: of this moment, and of the last hour."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise

import msgspec

from fastrouter._core import Stats
from fastrouter.process.background_task import BackgroundTask

# Seconds between two looks at the counters, those of which rates of this moment are means, and between two points of
# the history, which has one hour of them.
INTERVAL = 1.0
WINDOW = 10
POINT_EVERY = 10
POINTS = 360

_RESPONSES = ("responses_2xx", "responses_3xx", "responses_4xx", "responses_5xx", "responses_xxx")


class Rates(msgspec.Struct, frozen=True):
    """Means over the `window` seconds before `time` (Unix time); `errors` is the share of responses 5xx, 0 to 1.

    Latencies are milliseconds, from the buckets of a histogram; null without a request in that time.
    """

    time: float
    window: float
    requests_per_second: float
    errors: float
    latency_p50: float | None
    latency_p99: float | None
    in_flight: int


class _Sample(msgspec.Struct, frozen=True):
    at: float
    counts: dict[str, int]
    latencies: list[int]


class Traffic(BackgroundTask):
    """Looks at `stats` every second; `rows` says how many rows of the histogram `latency` are in use."""

    def __init__(self, stats: Stats, rows: Callable[[], int]) -> None:
        super().__init__()
        self._stats = stats
        self._rows = rows
        self._bounds = stats.histogram("latency")[0]
        self._samples: deque[_Sample] = deque([self._sample()], maxlen=WINDOW + 1)
        self._points: deque[Rates] = deque(maxlen=POINTS)

    def counts(self) -> dict[str, int]:
        """Return the counters over all workers."""
        return self._stats.counts()

    def now(self) -> Rates:
        """Return the rates of the last seconds."""
        return self._rates(self._samples[0], self._sample())

    def history(self) -> list[Rates]:
        """Return the points of the last hour, oldest first."""
        return list(self._points)

    async def _run(self) -> None:
        last_point = self._samples[0]
        while True:
            await asyncio.sleep(INTERVAL)
            sample = self._sample()
            self._samples.append(sample)
            if sample.at - last_point.at >= POINT_EVERY - INTERVAL / 2:
                self._points.append(self._rates(last_point, sample))
                last_point = sample

    def _sample(self) -> _Sample:
        latencies = [0] * (len(self._bounds) + 1)
        for row in range(self._rows()):
            for at, count in enumerate(self._stats.histogram("latency", row)[1]):
                latencies[at] += count
        return _Sample(time.monotonic(), self._stats.counts(), latencies)

    def _rates(self, old: _Sample, new: _Sample) -> Rates:
        seconds = max(new.at - old.at, 1e-3)
        requests = new.counts["total_requests"] - old.counts["total_requests"]
        responses = {name: new.counts[name] - old.counts[name] for name in _RESPONSES}
        answered = sum(responses.values())
        latencies = [after - before for before, after in zip(old.latencies, new.latencies, strict=True)]
        return Rates(
            time.time(),
            seconds,
            max(0, requests) / seconds,
            responses["responses_5xx"] / answered if answered else 0.0,
            quantile(self._bounds, latencies, 0.5),
            quantile(self._bounds, latencies, 0.99),
            self._stats.requests_in_flight(),
        )


def quantile(bounds: list[float], counts: list[int], share: float) -> float | None:
    """Return the value below which this share of observations is, from a histogram; None without observations.

    `counts` are not cumulative, and one more than `bounds`. Within a bucket values are taken as spread evenly; beyond
    the last bound as equal to it.
    """
    total = sum(counts)
    if total <= 0:
        return None
    wanted = share * total
    below = 0
    for (low, high), count in zip(pairwise([0.0, *bounds]), counts, strict=False):
        if count and below + count >= wanted:
            return low + (high - low) * (wanted - below) / count
        below += count
    return bounds[-1]
