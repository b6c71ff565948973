"""The locks in requirements/: what make installs is pinned with hashes, and is what pyproject.toml asks for."""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("build", "demo", "dev", "bench", "fuzz", "lowest")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINNED = re.compile(r"([\w.-]+)==(\S+)( ; .+?)?( --hash=sha256:[0-9a-f]{64})+")
REQUIRED = re.compile(r"([\w.-]+)(?:~=|>=)([\d.]+)")


def key_of(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def parts_of(version: str) -> list[int]:
    return [int(part) for part in version.removesuffix(".0").removesuffix(".0").split(".")]


def pinned(lock: str) -> dict[str, str]:
    """Package -> its version in a lock."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    found = {}
    for line in re.sub(r" *\\\n +", " ", text).splitlines():
        match = PINNED.fullmatch(line)
        assert match, line
        found[key_of(match[1])] = match[2]
    return found


def bounds(requirements: Sequence[str]) -> dict[str, str]:
    """Package -> the lowest version that is admitted; what leads to an extra of the project is none."""
    matches = [REQUIRED.match(one) for one in requirements if not one.startswith("fastrouter[")]
    return {key_of(match[1]): match[2] for match in matches if match}


EXTRAS = PROJECT["project"]["optional-dependencies"]
NEEDED = bounds(PROJECT["project"]["dependencies"] + EXTRAS["demo"])


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_hashes(lock: str) -> None:
    assert pinned(lock)


@pytest.mark.parametrize(
    ("lock", "needed"),
    [
        ("build", bounds(PROJECT["build-system"]["requires"])),
        ("demo", NEEDED),
        ("dev", NEEDED | bounds(EXTRAS["dev"])),
        ("bench", NEEDED | bounds(EXTRAS["dev"]) | bounds(EXTRAS["bench"])),
        ("fuzz", NEEDED | bounds(EXTRAS["dev"]) | bounds(EXTRAS["fuzz"])),
        ("lowest", NEEDED | bounds(EXTRAS["dev"])),
    ],
)
def test_a_lock_has_what_is_asked_for(lock: str, needed: dict[str, str]) -> None:
    found = pinned(lock)
    for name, lowest in needed.items():
        assert parts_of(found[name]) >= parts_of(lowest), name
        # There may be none that has this very number.
        assert lock != "lowest" or parts_of(found[name])[: len(parts_of(lowest))] == parts_of(lowest), name


def test_cython_is_of_one_minor_version() -> None:
    (asked,) = (one for one in PROJECT["build-system"]["requires"] if one.startswith("Cython"))
    assert re.fullmatch(r"Cython~=\d+\.\d+\.\d+", asked)
    assert asked in EXTRAS["dev"]
    minor = asked.removeprefix("Cython~=").rpartition(".")[0]
    assert {pinned(lock)["cython"].rpartition(".")[0] for lock in ("build", "dev", "bench", "lowest")} == {minor}


def test_make_installs_from_the_locks() -> None:
    """But for the project itself, without its dependencies, and for `make test-newest`, which asks for what is new."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    installs = [line.strip() for line in lines if re.match(r"\t@\$\((PIP|INSTALL_PROJECT)\)", line)]
    assert len(installs) == 6
    assert [line for line in installs if not re.search(r"LOCKED|--require-hashes|--no-deps( |$)|--upgrade", line)] == []
