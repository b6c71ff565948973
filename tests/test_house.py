"""The rules of the house that no linter checks: imports, and what belongs in which file."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from parity.allowed import ENTRIES, OUTCOMES

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "fastrouter"
ASSEMBLER = PACKAGE / "_core.pyx"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PARITY = ROOT / "docs" / "parity.md"
CORE = PACKAGE / "core"
PARTS = sorted(CORE.rglob("*.pxi"))
CONTENTS = sorted(CORE.rglob("*.pxd"))
# Package -> what its modules import besides each other: only packages that stand above it, so there are no cycles.
IMPORTS = {
    "_core": "",
    "gotemplate": "",
    "process": "",
    "ipc": "_core",
    "logs": "_core ipc",
    "config": "logs",
    "net": "logs process",
    "route_services": "net",
    "tls": "config ipc logs",
    "worker": "_core gotemplate ipc logs net process route_services tls",
    "registry": "_core ipc logs net process",
    "bus": "logs process registry tls",
    "routing_api": "logs process registry tls",
    "observe": "_core logs net process registry tls",
    "metron": "_core observe process registry",
    "otlp": "logs metron process routing_api",
    "admin": "_core ipc logs process tls",
    "control": "_core bus ipc logs metron net observe otlp process registry routing_api tls",
    "testing": "_core net registry tls",
    "demo": "bus control ipc logs net observe process",
    "cli": "_core bus config control demo gotemplate ipc logs metron net observe otlp process registry route_services "
    "routing_api tls",
}
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
# Lines of a file of ours; one that has more holds more than one noun, but for those with a reason.
MAX_LINES = 450
LONG_PARTS = {
    "client.pxi": "one class, which Cython cannot spread over files: reading a client is one walk over its fields",
    "backend.pxi": "one class, likewise: dial, response and end of a connection to a backend share their state",
    "head.pxi": "one class, likewise: a scan of a head and all questions that are answered from it",
}
# Class of core/request/ -> the file that alone writes its fields, and the names by which others reach it.
OWNERS = {
    "Exchange": "exchange.pxi",
    "Request": "request.pxi",
    "RoundTrip": "round_trip.pxi",
    "Response": "response.pxi",
    "Tunnel": "tunnel.pxi",
}
WAYS = {
    "Exchange": "exchange",
    "Request": "request",
    "RoundTrip": "(?:round_)?trip",
    "Response": "response",
    "Tunnel": "tunnel",
}
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


def imports_of(package: str) -> set[str]:
    """The packages of ours that the modules of `package` import, be it in a function or for the type checker."""
    imported = set()
    for module in (PACKAGE / package).rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module} has a relative import, which does not say where its module is"
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name.split(".")[1] for name in imported if name.startswith("fastrouter.")}
    return ours - {package, "__version__"}


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


def class_of(contents: str, owner: str) -> str:
    """What a contents.pxd says of one class."""
    found = re.search(rf"^cdef class {owner}\b.*\n((?:    .*\n)*)", contents, re.MULTILINE)
    assert found is not None
    return found[1]


def members_of(owner: str) -> set[str]:
    """The names of the fields and methods of a class of the data plane, inherited ones included."""
    contents = "\n".join(path.read_text() for path in CONTENTS)
    base = re.search(rf"^cdef class {owner}\((\w+)\)", contents, re.MULTILINE)
    own = set(re.findall(r"(\w+)(?=\(| *(?:#.*)?$)", class_of(contents, owner), re.MULTILINE))
    return own | (members_of(base[1]) if base else set())


def fields_of(owner: str) -> set[str]:
    """The names of the fields of a class of core/request/."""
    body = class_of((CORE / "request" / "contents.pxd").read_text(), owner)
    return set(re.findall(r"^    cdef [\w ]*?\b(\w+) *(?:#.*)?$", body, re.MULTILINE))


def writes_of(code: str, way: str, fields: set[str]) -> list[str]:
    """Where `code` assigns to one of `fields`, or to a part of one, of what is reached as `way`."""
    names = "|".join(sorted(fields))
    return re.findall(rf"\b{way}\.(?:{names})\b(?:\.\w+)? *[-+*/|&]*=(?!=)", code)


def test_the_data_plane_needs_nothing_of_the_control_plane() -> None:
    ours = {name for name in modules_after("import fastrouter._core") if name.startswith("fastrouter")}
    assert ours == {"fastrouter", "fastrouter._core"}


@pytest.mark.parametrize("package", IMPORTS)
def test_a_package_imports_what_the_table_says(package: str) -> None:
    assert sorted(imports_of(package)) == IMPORTS[package].split()


def test_imports_have_no_cycles() -> None:
    packages = list(IMPORTS)
    assert {
        package: cyclic
        for index, package in enumerate(packages)
        if (cyclic := set(IMPORTS[package].split()) - set(packages[:index]))
    } == {}


def test_every_package_is_in_the_table() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages | {"_core"} == set(IMPORTS)
    assert {path.stem for path in PACKAGE.glob("*.py")} == {"__init__", "__main__"}


def test_every_package_says_what_it_is_for_and_the_architecture_repeats_it() -> None:
    purposes = {
        path.parent.name: (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        for path in PACKAGE.glob("*/__init__.py")
    }
    told = dict(re.findall(r"^  (\w+)/ +(.+)$", ARCHITECTURE.read_text(), re.MULTILINE))
    assert told.pop("core")
    assert told == purposes
    # The page begins with what is nearest to an operator.
    assert list(told) == [package for package in reversed(IMPORTS) if package != "_core"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_can_be_read_at_a_stretch(module: Path) -> None:
    lines = len(module.read_text().splitlines())
    assert lines <= MAX_LINES


def test_a_part_can_be_read_at_a_stretch() -> None:
    long = {part.name for part in PARTS if len(part.read_text().splitlines()) > MAX_LINES}
    assert long == set(LONG_PARTS)


def test_a_worker_loads_nothing_that_only_the_control_process_needs() -> None:
    loaded = modules_after("import fastrouter.worker.process")
    theirs = {"bus", "cli", "config", "control", "demo", "metron", "observe", "otlp", "registry"}
    assert loaded.isdisjoint({f"fastrouter.{name}" for name in theirs})
    assert loaded.isdisjoint({"aiohttp", "click", "cryptography", "google.protobuf", "nats", "yaml"})


def test_importing_the_package_imports_nothing() -> None:
    assert modules_after("import fastrouter") - modules_after("pass") == {"fastrouter"}


def test_every_part_is_included_once() -> None:
    included = re.findall(r'^include "core/(\w+/\w+\.pxi)"', ASSEMBLER.read_text(), re.MULTILINE)
    assert sorted(included) == [str(part.relative_to(CORE)) for part in PARTS]


def test_the_contents_of_every_folder_are_included_once() -> None:
    text = ASSEMBLER.with_suffix(".pxd").read_text()
    included = re.findall(r'^include "core/(\w+/\w+\.pxd)"', text, re.MULTILINE)
    assert sorted(included) == [str(contents.relative_to(CORE)) for contents in CONTENTS]
    assert "cdef class" not in text


def test_a_part_is_named_once() -> None:
    names = [part.name for part in PARTS]
    assert [name for name in names if names.count(name) > 1] == []


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_part_imports_nothing(part: Path) -> None:
    assert re.findall(r"^\s*(?:from\s+\S+\s+)?c?import\b.*", code_of(part), re.MULTILINE) == []


def test_one_part_knows_where_libnghttp2_comes_from() -> None:
    assert [part.name for part in PARTS if re.search(r"\bngh2|\bdl(?:open|sym)\b", code_of(part))] == ["nghttp2.pxi"]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_only_dial_may_wait(part: Path) -> None:
    """A Task is started for nothing but dial, and nothing but dial awaits."""
    code = code_of(part)
    elsewhere = code.replace(functions_of(code).get("dial", ""), "").replace("create_task(dial(", "")
    assert re.findall(r"\b(?:async|await|create_task|ensure_future|logging)\b", elsewhere) == []


def test_thousands_of_deadlines_share_one_timer() -> None:
    timers = [part.name for part in PARTS for _ in re.findall(r"\bcall_(?:later|at)\b", code_of(part))]
    assert timers == ["route_waits.pxi", "data_plane.pxi"], (
        "the coarse tick, one for all who wait, and none per request"
    )


@pytest.mark.parametrize("owner", OWNERS)
def test_a_field_is_written_in_the_file_of_its_class(owner: str) -> None:
    """Whoever wants it changed calls a method, whose name says why."""
    fields = fields_of(owner)
    assert fields
    elsewhere = {
        str(part.relative_to(CORE)): written
        for part in PARTS
        if part.name != OWNERS[owner] and (written := writes_of(code_of(part), WAYS[owner], fields))
    }
    assert elsewhere == {}


@pytest.mark.parametrize("owner", OWNERS)
def test_what_is_asked_of_a_part_of_an_exchange_is_there(owner: str) -> None:
    """Cython compiles what a class does not have into a look at run time, which finds nothing."""
    there = members_of(owner)
    # Texts may name attributes of others.
    code = {part.name: re.sub(r'"[^"\n]*"', '""', code_of(part)) for part in PARTS}
    asked = {name: set(re.findall(rf"\b{WAYS[owner]}\.([a-z_]\w*)", text)) for name, text in code.items()}
    assert {part: names - there for part, names in asked.items() if names - there} == {}


@pytest.mark.parametrize("owner", OWNERS)
def test_no_field_is_lent_out_by_its_address(owner: str) -> None:
    lent = {
        part.name: found
        for part in PARTS
        for field in fields_of(owner)
        if (found := re.findall(rf"&[\w.]*\b{WAYS[owner]}\.{field}\b(?!\.)", code_of(part)))
    }
    # What is known of a trace is written by those who read and make its ids.
    allowed = {"Request": ["tracing.pxi", "exchange.pxi", "handlers.pxi"]}.get(owner, [])
    assert {part: found for part, found in lent.items() if part not in allowed} == {}


def test_a_trace_is_written_where_its_ids_are_read_and_made() -> None:
    written = {part.name for part in PARTS if re.search(r"\btrace\.\w+ *[-+]?= ", code_of(part))}
    assert written <= {"tracing.pxi"}


def test_what_writes_a_field_is_found() -> None:
    code = """
    exchange.response.status = 200
    a = b = exchange.response.status
    self.response.bytes_sent += 1
    exchange.response.head.length = 0
    if exchange.response.status == 3 or exchange.response.status <= 4:
        f(status=response.status)
    """
    assert writes_of(code, "response", {"status", "bytes_sent", "head"}) == [
        "response.status =",
        "response.bytes_sent +=",
        "response.head.length =",
    ]


@pytest.mark.parametrize(
    ("parts", "strangers"),
    [
        ("request/*.pxi", ["ClientConnection", "BackendConnection", "HTTP1"]),
        ("connections/client*.pxi", ["BackendConnection", "HTTP1BackendSide"]),
        ("connections/backend*.pxi", ["ClientConnection", "HTTP1ClientSide"]),
    ],
)
def test_the_two_connections_meet_only_in_an_exchange(parts: str, strangers: list[str]) -> None:
    """The exchange knows two sides, and each connection the exchange."""
    paths = sorted(CORE.glob(parts))
    assert len(paths) > 2
    named = {path.name: [name for name in strangers if name in code_of(path)] for path in paths}
    assert [part for part in named.items() if part[1]] == []


def test_a_side_is_asked_for_nothing_that_only_one_protocol_has() -> None:
    """What is called on an exchange's sides is what the abstract classes declare."""
    contents = (CORE / "request" / "contents.pxd").read_text()
    asked: dict[str, set[str]] = {"client": set(), "backend": set()}
    for part in PARTS:
        for side, name in re.findall(r"\b(?:exchange|self\.exchange|tunnel)\.(client|backend)\.(\w+)", code_of(part)):
            asked[side].add(name)
    for side, owner in (("client", "ClientSide"), ("backend", "BackendSide")):
        assert asked[side] <= set(re.findall(r"(\w+)(?:\(|$| *#)", class_of(contents, owner), re.MULTILINE))


@pytest.mark.parametrize("directory", ["src", "tests", "benchmarks"])
def test_every_file_is_named_after_what_it_holds(directory: str) -> None:
    vague = [path for path in (ROOT / directory).rglob("*") if path.stem.lower() in NAMES_THAT_SAY_NOTHING]
    assert vague == []


def test_the_parity_table_cites_tests_and_no_files() -> None:
    rows = [line.split(" | ") for line in PARITY.read_text().splitlines() if line.startswith("| ")]
    cited = {cells[0]: re.findall("`([^`]*)`", cells[4]) for cells in rows if len(cells) > 4}
    assert {row: whole for row, names in cited.items() if (whole := [one for one in names if "::" not in one])} == {}


def test_what_may_differ_from_gorouter_is_told_in_the_parity_table() -> None:
    rows = [line.split(" | ") for line in PARITY.read_text().splitlines()]
    told = {cells[0].removeprefix("| ") for cells in rows if cells[-1].strip(" |")}
    reasons = {entry.reason for entry in ENTRIES}
    assert {reason: untold for reason in reasons if (untold := set(reason.partition(": ")[0].split(", ")) - told)} == {}
    assert len(reasons) <= 25


def test_nothing_that_gorouter_serves_may_be_a_fault_of_the_server() -> None:
    served = [outcome for outcome in OUTCOMES if re.match("([1-5].. )*2", outcome.gorouter)]
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
