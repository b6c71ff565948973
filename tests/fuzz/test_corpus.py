"""What fuzzers are to begin with, and what they have found: every input is tried again, without a fuzzer."""

from pathlib import Path

import pytest

from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(CORPUS.glob("*/*"))
MAX_SIZE = 200_000


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: str(path.relative_to(CORPUS)))
def test_input(path: Path) -> None:
    TARGETS[path.parent.name].check(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_and_a_zero(target: str) -> None:
    for data in (b"", b"\0"):
        TARGETS[target].check(data)


def test_every_target_has_something_to_begin_with() -> None:
    assert {path.parent.name for path in INPUTS} == set(TARGETS)


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in INPUTS) <= MAX_SIZE
