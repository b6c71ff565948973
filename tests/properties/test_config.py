"""Whatever stands in a configuration file, it loads or is refused with a ConfigError; durations agree with a model."""

from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest import mock

import yaml
from hypothesis import given
from hypothesis import strategies as st

from fastrouter.config import Config, ConfigError, parse, validation
from fastrouter.config.duration import MAX_NANOSECONDS, Duration
from fastrouter.config.reference import as_yaml, entries

# The first document with a certificate imports what reads it, which takes longer than hypothesis expects of a test.

NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.dates(),
    st.binary(max_size=8),
    st.sampled_from(["", "0", "60s", "-1h", "yes", "TLSv1.2", "none", "all", "-----BEGIN CERTIFICATE-----\n", "*.a.b"]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(SCALARS, inner, max_size=3)),
    max_leaves=8,
)


def _nested(key: str, value: Any) -> Any:
    for part in reversed(key.split(".")):
        value = {part.removesuffix("[]"): [value] if part.endswith("[]") else value}
    return value


def _merged(first: Any, second: Any) -> Any:
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    return first | {key: _merged(first.get(key), value) for key, value in second.items()}


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Mappings with known keys at known places, and anything as their values."""
    document: Any = {}
    for key in draw(st.lists(st.sampled_from([path for path, _ in entries()]), max_size=6)):
        document = _merged(document, _nested(key, draw(ANYTHING)))
    return document


def loads_or_is_refused(text: bytes) -> Config | None:
    with mock.patch.object(validation, "local_ip", return_value="192.0.2.7"):
        try:
            config = parse(text)
        except ConfigError:
            return None
    assert isinstance(config, Config)
    return config


@given(documents())
def test_any_document_with_known_keys(document: Any) -> None:
    config = loads_or_is_refused(yaml.safe_dump(document).encode())
    if config is not None:
        shown = as_yaml(config, show_secrets=True)
        again = loads_or_is_refused(shown.encode())
        assert again is not None
        assert as_yaml(again, show_secrets=True) == shown


@given(ANYTHING)
def test_any_document(document: Any) -> None:
    loads_or_is_refused(yaml.safe_dump(document).encode())


@given(st.sampled_from([path for path, _ in entries(into_lists=False)]), st.text())
def test_any_text_as_a_value(key: str, text: str) -> None:
    *sections, name = key.split(".")
    document = "".join(f"{' ' * depth}{section}:\n" for depth, section in enumerate(sections))
    loads_or_is_refused(f"{document}{' ' * len(sections)}{name}: {text}".encode())


@given(st.binary())
def test_any_bytes(text: bytes) -> None:
    loads_or_is_refused(text)


@given(st.text(alphabet="&*<>!|{}[]:,-?'\"\n\t #%@a01~.", max_size=60))
def test_any_punctuation(text: str) -> None:
    loads_or_is_refused(text.encode())


TERMS = st.lists(
    st.tuples(
        st.decimals(min_value=0, max_value=10**6, allow_nan=False, allow_infinity=False, places=6),
        st.sampled_from(sorted(NANOSECONDS)),
    ),
    min_size=1,
    max_size=4,
)


@given(st.sampled_from(["", "+", "-"]), TERMS)
def test_a_duration_is_the_sum_of_its_terms(sign: str, terms: list[tuple[Decimal, str]]) -> None:
    text = sign + "".join(f"{number:f}{unit}" for number, unit in terms)
    # Each term is cut to whole nanoseconds before they are added.
    total = sum(int(Fraction(number) * NANOSECONDS[unit]) for number, unit in terms)
    assert total <= MAX_NANOSECONDS
    assert Duration.parse(text) == (-total if sign == "-" else total)


@given(st.integers(-MAX_NANOSECONDS - 1, MAX_NANOSECONDS))
def test_a_duration_reads_as_it_prints(nanoseconds: int) -> None:
    assert Duration.parse(str(Duration(nanoseconds))) == nanoseconds


@given(st.text(alphabet="0123456789.+-nuµμmsh ", max_size=12))
def test_any_text_is_a_duration_or_none(text: str) -> None:
    try:
        parsed = Duration.parse(text)
    except ValueError:
        return
    assert Duration.parse(str(parsed)) == parsed
