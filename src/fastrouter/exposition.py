"""The text format of Prometheus (version 0.0.4), written as its Go client writes it."""

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from fastrouter.histogram import Buckets

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# From here on Go writes an exponent.
_MAX_PLAIN_EXPONENT = 6

# Name and value of each label of a sample.
Labels = tuple[tuple[str, str], ...]


class Sample(NamedTuple):
    """One value of a counter or gauge."""

    value: float
    labels: Labels = ()


class HistogramSample(NamedTuple):
    """One histogram of a metric."""

    buckets: Buckets
    labels: Labels = ()


class Exposition:
    """Gathers metrics; `render` gives the text, sorted by name. A metric without samples does not appear in it."""

    def __init__(self) -> None:
        self._metrics: dict[str, list[str]] = {}

    def counter(self, name: str, meaning: str, samples: Iterable[Sample]) -> None:
        """Add a counter."""
        self._add(name, "counter", meaning, samples)

    def gauge(self, name: str, meaning: str, samples: Iterable[Sample]) -> None:
        """Add a gauge."""
        self._add(name, "gauge", meaning, samples)

    def histogram(self, name: str, meaning: str, samples: Iterable[HistogramSample]) -> None:
        """Add a histogram."""
        lines = []
        # There may be thousands of samples, of the same bounds.
        bounds: Sequence[float] = ()
        endings: list[str] = []
        for buckets, labels in samples:
            if buckets.bounds != bounds:
                bounds = buckets.bounds
                endings = [f'le="{format_number(bound)}"}}' for bound in (*bounds, math.inf)]
            text = _label_text(labels)
            start = f"{name}_bucket{{" if not text else f"{name}_bucket{text[:-1]},"
            passed = 0
            for ending, count in zip(endings, buckets.counts, strict=True):
                passed += count
                lines.append(f"{start}{ending} {passed}")
            lines += (f"{name}_sum{text} {format_number(buckets.total)}", f"{name}_count{text} {passed}")
        self._add_lines(name, "histogram", meaning, lines)

    def render(self) -> bytes:
        """Return the text of all metrics."""
        return "".join(f"{line}\n" for name in sorted(self._metrics) for line in self._metrics[name]).encode()

    def _add(self, name: str, kind: str, meaning: str, samples: Iterable[Sample]) -> None:
        lines = [f"{name}{_label_text(labels)} {format_number(value)}" for value, labels in samples]
        self._add_lines(name, kind, meaning, lines)

    def _add_lines(self, name: str, kind: str, meaning: str, lines: list[str]) -> None:
        if lines:
            self._metrics[name] = [f"# HELP {name} {_escape(meaning)}", f"# TYPE {name} {kind}", *lines]


def format_number(value: float) -> str:
    """Format as Go's strconv does with 'g': the bounds of buckets are labels, so their spelling counts."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0"
    shortest = Decimal(repr(value)).normalize()
    exponent = shortest.adjusted()
    if -4 <= exponent < _MAX_PLAIN_EXPONENT:
        return f"{shortest:f}"
    mantissa = f"{shortest.scaleb(-exponent):f}"
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"


def _label_text(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape_value(value)}"' for name, value in labels) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_value(text: str) -> str:
    return _escape(text).replace('"', '\\"')
