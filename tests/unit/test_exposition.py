"""The text format of Prometheus, read back by its own parser."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fastrouter.observe.exposition import Exposition, HistogramSample, Sample, format_number
from fastrouter.observe.histogram import FALLBACK_BOUNDS, Buckets, Histogram, usable_bounds


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (-1, "-1"),
        (0.1, "0.1"),
        (25.6, "25.6"),
        (100000.0, "100000"),
        (1000000.0, "1e+06"),
        (1234567.0, "1.234567e+06"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e300, "1e+300"),
        (-0.5, "-0.5"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (12345678901234567890, "12345678901234567890"),
    ],
)
def test_numbers_are_spelled_as_go_spells_them(value: float, text: str) -> None:
    assert format_number(value) == text


def test_text_of_each_kind() -> None:
    page = Exposition()
    page.gauge("z", "last", [Sample(1.5)])
    page.counter("a", "first", [Sample(3, (("one", "1"), ("two", "2")))])
    page.histogram("h", "spread", [HistogramSample(Buckets((1.0, 2.5), (4, 0, 2), 9.5), (("k", "v"),))])
    assert b"".join(page.render()).decode() == (
        '# HELP a first\n# TYPE a counter\na{one="1",two="2"} 3\n'
        "# HELP h spread\n# TYPE h histogram\n"
        'h_bucket{k="v",le="1"} 4\nh_bucket{k="v",le="2.5"} 4\nh_bucket{k="v",le="+Inf"} 6\n'
        'h_sum{k="v"} 9.5\nh_count{k="v"} 6\n'
        "# HELP z last\n# TYPE z gauge\nz 1.5\n"
    )


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", "\\n", 'end\\"', "häß", "", "{}=,"])
def test_every_label_value_comes_back(text: str) -> None:
    page = Exposition()
    page.counter("c", "a \\ b\nc", [Sample(1, (("label", text),))])
    (family,) = text_string_to_metric_families(b"".join(page.render()).decode())
    assert family.documentation == "a \\ b\nc"
    assert family.samples[0].labels == {"label": text}


def test_what_has_no_samples_is_left_out() -> None:
    page = Exposition()
    page.counter("c", "nothing yet", [])
    page.histogram("h", "nothing yet", [])
    assert b"".join(page.render()) == b""


def test_a_value_at_a_bound_is_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (-5.0, 1.0, 1.1, 2.0, 2.1):
        histogram.observe(value)
    bounds, counts, total = histogram.buckets()
    assert (bounds, counts) == ((1.0, 2.0), (2, 2, 1))
    assert total == pytest.approx(1.2)


@pytest.mark.parametrize(
    ("configured", "usable"),
    [((1.0, 2.0), (1.0, 2.0)), ((2.0, math.inf, 1.0, 2.0), (1.0, 2.0)), ((), FALLBACK_BOUNDS)],
)
def test_bounds_that_are_usable(configured: tuple[float, ...], usable: tuple[float, ...]) -> None:
    assert usable_bounds(configured) == usable


@pytest.mark.parametrize(("percent", "value"), [(0, 0.0), (50, 1.0), (75, 1.5), (90, 1.8), (99, 1.98), (100, 2.0)])
def test_percentiles_within_buckets(percent: float, value: float) -> None:
    assert Buckets((1.0, 2.0), (5, 5, 0), 0.0).percentile(percent) == pytest.approx(value)


def test_percentiles_beyond_all_bounds_and_without_values() -> None:
    assert Buckets((1.0, 2.0), (0, 0, 3), 300.0).percentile(50) == 2.0
    assert Buckets((1.0, 2.0), (0, 0, 0), 0.0).percentile(50) == 0.0


def test_thousands_of_samples_come_in_parts() -> None:
    page = Exposition()
    page.counter("a", "m", [None if number % 2 else Sample(number) for number in range(1000)])
    page.counter("b", "m", [None] * 1000)
    parts = list(page.render())
    assert len(parts) > 20
    lines = b"".join(parts).decode().splitlines()
    assert lines == ["# HELP a m", "# TYPE a counter", *(f"a {number}" for number in range(0, 1000, 2))]
