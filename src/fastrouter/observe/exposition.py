"""The text format of Prometheus (version 0.0.4), written as its Go client writes it."""

import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from fastrouter.observe.histogram import Buckets

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Samples that are rendered in one step; a histogram takes some ten microseconds.
_SAMPLES_AT_ONCE = 64

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
    """Gathers metrics; `render` gives the text, sorted by name. A metric without samples does not appear in it.

    Samples are taken from their iterables by `render`. There may be thousands of them, and of labels without any, for
    which None stands.
    """

    def __init__(self) -> None:
        # Of each metric its heading, and for each sample its lines.
        self._metrics: dict[str, tuple[str, Iterator[str]]] = {}

    def counter(self, name: str, meaning: str, samples: Iterable[Sample | None]) -> None:
        """Add a counter."""
        self._add(name, "counter", meaning, _plain_lines(name, samples))

    def gauge(self, name: str, meaning: str, samples: Iterable[Sample | None]) -> None:
        """Add a gauge."""
        self._add(name, "gauge", meaning, _plain_lines(name, samples))

    def histogram(self, name: str, meaning: str, samples: Iterable[HistogramSample | None]) -> None:
        """Add a histogram."""
        self._add(name, "histogram", meaning, _histogram_lines(name, samples))

    def render(self) -> Iterator[bytes]:
        """Yield the text of all metrics in small parts."""
        part: list[str] = []
        for name in sorted(self._metrics):
            heading, texts = self._metrics[name]
            for count, text in enumerate(texts, 1):
                if text:
                    part += (heading, text)
                    heading = ""
                if count % _SAMPLES_AT_ONCE == 0:
                    yield "".join(part).encode()
                    part.clear()
        yield "".join(part).encode()

    def _add(self, name: str, kind: str, meaning: str, texts: Iterator[str]) -> None:
        self._metrics[name] = (f"# HELP {name} {_escape(meaning)}\n# TYPE {name} {kind}\n", texts)


def _plain_lines(name: str, samples: Iterable[Sample | None]) -> Iterator[str]:
    for sample in samples:
        yield f"{name}{_label_text(sample.labels)} {format_number(sample.value)}\n" if sample is not None else ""


def _histogram_lines(name: str, samples: Iterable[HistogramSample | None]) -> Iterator[str]:
    # Most are of the same bounds.
    bounds: Sequence[float] = ()
    endings: list[str] = []
    for sample in samples:
        if sample is None:
            yield ""
            continue
        buckets, labels = sample
        if buckets.bounds != bounds:
            bounds = buckets.bounds
            endings = [f'le="{format_number(bound)}"}}' for bound in (*bounds, math.inf)]
        text = _label_text(labels)
        start = f"{name}_bucket{{" if not text else f"{name}_bucket{text[:-1]},"
        lines = []
        passed = 0
        for ending, count in zip(endings, buckets.counts, strict=True):
            passed += count
            lines.append(f"{start}{ending} {passed}\n")
        lines += (f"{name}_sum{text} {format_number(buckets.total)}\n", f"{name}_count{text} {passed}\n")
        yield "".join(lines)


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
