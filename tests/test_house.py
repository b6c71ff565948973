"""The rules of the house that no linter knows: what may import what, and what stands where."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from parity.allowed import ENTRIES, OPENSSL, OUTCOMES

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "fastrouter"
ASSEMBLER = PACKAGE / "_core.pyx"
PARITY = ROOT / "docs" / "parity.md"
PARTS = sorted((PACKAGE / "core").glob("*.pxi"))
NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `statement`."""
    printed = subprocess.run(
        [sys.executable, "-c", f"{statement}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(printed.stdout.split())


def code_of(part: Path) -> str:
    """The text of a part without comments and docstrings."""
    text = re.sub(r'"""(?:[^"\\]|\\.|"(?!""))*"""', "", part.read_text())
    return re.sub(r"#.*", "", text)


def functions_of(code: str) -> dict[str, str]:
    """Name -> text of every function in `code`, nested ones included in their surroundings."""
    functions = {}
    starts = list(re.finditer(r"^( *)(?:async def|def|cdef|cpdef)\b[^=\n]*?(\w+)\(", code, re.MULTILINE))
    for start in starts:
        indent = len(start[1])
        end = re.compile(rf"^ {{0,{indent}}}\S", re.MULTILINE).search(code, code.find("\n", start.end()))
        functions[start[2]] = code[start.start() : end.start() if end else len(code)]
    return functions


def definitions_of(file: Path) -> set[str]:
    """The functions and classes of a Python file, and as `Class::function` what classes hold."""
    definitions = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            definitions.add(node.name)
            members = node.body if isinstance(node, ast.ClassDef) else []
            functions = [member for member in members if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef))]
            definitions |= {f"{node.name}::{function.name}" for function in functions}
        elif isinstance(node, ast.Assign):
            # The tests of a state machine.
            definitions |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return definitions


def test_the_data_plane_needs_nothing_of_the_control_plane() -> None:
    ours = {name for name in modules_after("import fastrouter._core") if name.startswith("fastrouter")}
    assert ours == {"fastrouter", "fastrouter._core"}


def test_a_worker_loads_nothing_that_only_the_control_process_needs() -> None:
    loaded = modules_after("import fastrouter.worker")
    theirs = {
        "app",
        "bus",
        "cli",
        "commands",
        "config",
        "nats_connection",
        "registry",
        "routes",
        "status",
        "subscriber",
    }
    assert loaded.isdisjoint({f"fastrouter.{name}" for name in theirs})
    assert loaded.isdisjoint({"aiohttp", "click", "cryptography", "nats", "yaml"})


def test_importing_the_package_imports_nothing() -> None:
    assert modules_after("import fastrouter") - modules_after("pass") == {"fastrouter"}


def test_every_part_is_included_once() -> None:
    included = re.findall(r'^include "core/(\w+\.pxi)"', ASSEMBLER.read_text(), re.MULTILINE)
    assert sorted(included) == [part.name for part in PARTS]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_imports_nothing(part: Path) -> None:
    assert re.findall(r"^\s*(?:from\s+\S+\s+)?c?import\b.*", code_of(part), re.MULTILINE) == []


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_only_dial_may_wait(part: Path) -> None:
    """A Task is started for nothing but dial, and nothing but dial awaits."""
    code = code_of(part)
    elsewhere = code.replace(functions_of(code).get("dial", ""), "").replace("create_task(dial(", "")
    assert re.findall(r"\b(?:async|await|create_task|ensure_future|logging)\b", elsewhere) == []


def test_thousands_of_deadlines_share_one_timer() -> None:
    timers = [part.name for part in PARTS for _ in re.findall(r"\bcall_(?:later|at)\b", code_of(part))]
    assert timers == ["round_trip.pxi"], "the coarse tick, and no timer per request"


@pytest.mark.parametrize("directory", ["src", "tests", "benchmarks"])
def test_every_file_is_named_after_what_it_holds(directory: str) -> None:
    vague = [path for path in (ROOT / directory).rglob("*") if path.stem.lower() in NAMES_THAT_SAY_NOTHING]
    assert vague == []


def test_what_the_parity_table_names_exists() -> None:
    missing = []
    for quoted, path, inner in re.findall(r"`(([\w/.]+\.(?:py|pxi|pyx))((?:::\w+)*)[^`]*)`", PARITY.read_text()):
        places = [root / path for root in (ROOT, ROOT / "tests", ROOT / "tests" / "integration", PACKAGE)]
        file = next((place for place in places if place.is_file()), None)
        if file is None or (inner and inner.removeprefix("::") not in definitions_of(file)):
            missing.append(quoted)
    assert missing == []


def test_the_parity_table_cites_tests_and_no_files() -> None:
    rows = [line.split(" | ") for line in PARITY.read_text().splitlines() if line.startswith("| ")]
    cited = {cells[0]: re.findall("`([^`]*)`", cells[3]) for cells in rows if len(cells) > 3}
    assert {row: whole for row, names in cited.items() if (whole := [one for one in names if "::" not in one])} == {}


def test_what_may_differ_from_gorouter_is_told_in_the_parity_table() -> None:
    rows = [line.split(" | ") for line in PARITY.read_text().splitlines()]
    told = {cells[0].removeprefix("| ") for cells in rows if cells[-1].strip(" |")}
    reasons = {entry.reason for entry in ENTRIES}
    assert {reason: untold for reason in reasons if (untold := set(reason.partition(": ")[0].split(", ")) - told)} == {}
    assert len(reasons) <= 25


def test_nothing_that_gorouter_serves_may_be_a_fault_of_the_server() -> None:
    """But for two kinds of certificates that nobody should have."""
    served = [
        outcome for outcome in OUTCOMES if re.match("([1-5].. )*2", outcome.gorouter) and outcome.reason != OPENSSL
    ]
    assert [outcome for outcome in served if re.match("([1-5].. )*5", outcome.ours)] == []


def test_functions_are_found_with_their_extent() -> None:
    """The rule about dial is worth as much as this."""
    functions = functions_of(
        """
cdef class A:
    async def dial(self):
        await x

    cdef int f(self) except -1:
        await y
"""
    )
    assert set(functions) == {"dial", "f"}
    assert "await x" in functions["dial"]
    assert "await y" not in functions["dial"]
