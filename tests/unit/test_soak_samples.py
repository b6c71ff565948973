"""How tests/soak/samples.py judges what a router held, and draws it."""

from xml.etree import ElementTree

import pytest

from soak.samples import ALLOWED, Sample, chart, growth

FLAT = (150.0, 200.0, 1000.0)


def samples(last: tuple[float, ...] = FLAT) -> list[Sample]:
    """A run of a hundred seconds, whose beginning is another matter, and whose last quarter has these values."""
    return [Sample(float(at), FLAT if 50 <= at < 75 else last if at >= 75 else (1.0, 1.0, 1.0)) for at in range(100)]


def test_what_stays_the_same_is_flat() -> None:
    assert growth(samples(), 100.0) == {name: (value, value, True) for name, value in zip(ALLOWED, FLAT, strict=True)}


@pytest.mark.parametrize("index", range(len(FLAT)))
def test_what_grows_is_not(index: int) -> None:
    last = tuple(value * (1.5 if number == index else 1.0) for number, value in enumerate(FLAT))
    flat = [is_flat for _, _, is_flat in growth(samples(last), 100.0).values()]
    assert flat == [number != index for number in range(len(FLAT))]


def test_what_was_not_looked_at_is_not_flat() -> None:
    assert not any(is_flat for _, _, is_flat in growth(samples()[:60], 100.0).values())


def test_a_chart_has_a_line_for_each_quantity_and_a_mark_for_each_event() -> None:
    root = ElementTree.fromstring(chart(samples(), [(10.0, "upgrade"), (20.0, "reload")], "a title"))
    space = "{http://www.w3.org/2000/svg}"
    lines = root.findall(f"{space}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [100] * len(ALLOWED)
    colours = [line.attrib["stroke"] for line in root.findall(f"{space}line")]
    assert colours.count("#c60") == len(ALLOWED)
    assert next(text.text for text in root.iter(f"{space}text")) == "a title"
