"""docs/security.md: each limit that it names is one, and has the value that it says."""

import re
from pathlib import Path

import pytest

from fastrouter.config.duration import Duration
from fastrouter.config.reference import entries

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
CONFIGURED, _, FIXED = PAGE.partition("### That can be configured")[2].partition("### That are fixed")
FIXED = FIXED.partition("\n## ")[0]
DEFAULTS = {path: field.default for path, field in entries()}
CONSTANTS = {
    name: int(value)
    for contents in (ROOT / "src" / "fastrouter" / "core").glob("*/contents.pxd")
    for name, value in re.findall(r"^    ([A-Z0-9_]+) = (\d+)\b", contents.read_text(), re.MULTILINE)
}
CONFIGURED_ROWS = re.findall(r"^\| `([\w.]+)` \| `([^`]*)` \|", CONFIGURED, re.MULTILINE)
FIXED_ROWS = re.findall(r"^\| `([A-Z0-9_]+)` \| (\d+) \|", FIXED, re.MULTILINE)
BESIDE = re.findall(r"`([A-Z0-9_]+)`, (\d+)", FIXED)


def rows_of(section: str) -> int:
    """How many rows a section's table has, but for its head."""
    return sum(line.startswith("| `") for line in section.splitlines())


@pytest.mark.parametrize(("key", "default"), CONFIGURED_ROWS)
def test_a_key_has_its_default(key: str, default: str) -> None:
    value = DEFAULTS[key]
    assert str(value) == default if isinstance(value, Duration) else value == int(default)


@pytest.mark.parametrize(("name", "value"), [*FIXED_ROWS, *BESIDE])
def test_a_constant_has_its_value(name: str, value: str) -> None:
    assert CONSTANTS[name] == int(value)


def test_every_row_is_looked_at() -> None:
    assert len(CONFIGURED_ROWS) == rows_of(CONFIGURED) > 10
    assert len(FIXED_ROWS) == rows_of(FIXED) > 10


def test_every_other_key_that_is_named_exists() -> None:
    outside = PAGE.replace(CONFIGURED, "").replace(FIXED, "")
    sections = {path.partition(".")[0] for path in DEFAULTS if "." in path}
    named = [
        name for name in re.findall(r"`([a-z0-9_]+(?:\.[a-z0-9_]+)+)`", outside) if name.partition(".")[0] in sections
    ]
    assert [name for name in named if name not in DEFAULTS] == []
    assert len(named) > 5
