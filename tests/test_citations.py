"""Whoever cites something can be followed: sections, requirements, decisions, RFCs, files, tests and links exist."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PARITY = DOCS / "parity.md"
CONFIGURATION = DOCS / "configuration.md"
SPECIFICATION = sorted((DOCS / "spec").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
CODE = [
    path
    for directory in ("src", "tests", "benchmarks")
    for path in sorted((ROOT / directory).rglob("*"))
    if path.suffix in {".py", ".pyi", ".pyx", ".pxd", ".pxi"} and path != Path(__file__)
]
# Where a path in a text may begin.
BEGINNINGS = (ROOT, DOCS, ROOT / "src" / "fastrouter", ROOT / "tests", ROOT / "tests" / "integration")

SECTION = r"\d+(?:\.\d+)*(?: #\d+)?"
SECTIONS = re.compile(rf"\bspec\s(?:[ #]*)({SECTION}(?:(?:, | to | and ){SECTION})*)")
# `[O24]` is a generation of Gorouter's.
REQUIREMENT = re.compile(r"(?<!\[)\b[PCRLHTQSBEKYWVGON]\d\d\b")
DECISION = re.compile(r"\bADR (\d+)")
PAGE = re.compile(r"[\w./-]*\w\.md\b")
RFC = re.compile(r"\bRFC[ -]?\d+\b.{0,10}")
# Cloud Foundry has RFCs of its own; a format goes by the name of its RFC.
RIGHT_RFC = re.compile(r"RFC \d++(?: section \d+(?:\.\d+)*+)?+(?!,? (?:section|§|\d))|RFC-\d{4}|RFC3339 ")

HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\((?!\w+:)([^)\s#]*)(?:#([^)\s]+))?\)")
QUOTED = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"((?:[\w-]+/)*[\w-]+\.(?:py|pyi|pyx|pxd|pxi|md))((?:::\w+)*)(?:\[.*\])?")
DIRECTORY = re.compile(r"(?:src|tests|docs|benchmarks|deploy|requirements)/(?:[\w-]+/)*")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def text_of(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@cache
def sections() -> Counter[str]:
    """The ids of the specification's sections, and how often each is there."""
    titles = (title for page in SPECIFICATION for title in HEADING.findall(text_of(page)))
    return Counter(numbered[1] for title in titles if (numbered := re.match(rf"({SECTION}) ", title)))


@cache
def requirements() -> Counter[str]:
    """The ids of the checklist, and how often each is there."""
    return Counter(re.findall(r"^\| ([A-Z]\d\d) \|", PARITY.read_text(), re.MULTILINE))


@cache
def decisions() -> set[int]:
    return {int(page.name.partition("-")[0]) for page in (DOCS / "adr").glob("*.md")}


@cache
def anchors(page: Path) -> set[str]:
    """What links to the headings of `page` end in, as GitHub has it."""
    titles = (title.lower() for title in HEADING.findall(text_of(page)))
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}


@cache
def definitions_of(file: Path) -> set[str]:
    """The functions and classes of a Python file, and as `::Class::function` what classes hold."""
    definitions = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            definitions.add(f"::{node.name}")
            members = node.body if isinstance(node, ast.ClassDef) else []
            functions = [member for member in members if isinstance(member, (ast.FunctionDef, ast.AsyncFunctionDef))]
            definitions |= {f"::{node.name}::{function.name}" for function in functions}
        elif isinstance(node, ast.Assign):
            # The tests of a state machine.
            definitions |= {f"::{target.id}" for target in node.targets if isinstance(target, ast.Name)}
    return definitions


@cache
def files_by_name() -> dict[str, Path]:
    return {path.name: path for path in (*PAGES, *CODE)}


def place_of(path: str, page: Path) -> Path | None:
    """What `page` means by `path`; a name alone may stand for a file anywhere."""
    places = (place / path for place in (page.parent, *BEGINNINGS))
    return next((place for place in places if place.exists()), files_by_name().get(path))


def lost_names(page: Path) -> Iterator[str]:
    """Files, directories, classes and tests that `page` names and that are not there."""
    for line in text_of(page).splitlines():
        definitions: set[str] = set()
        for quoted in QUOTED.findall(line):
            if named := FILE.fullmatch(quoted):
                file = place_of(named[1], page)
                if file is not None and file.suffix == ".py":
                    definitions |= definitions_of(file)
                if file is None or (named[2] and named[2] not in definitions_of(file)):
                    yield quoted
            elif DIRECTORY.fullmatch(quoted):
                if place_of(quoted, page) is None:
                    yield quoted
            elif re.fullmatch(r"Test[A-Z]\w*|test_\w+", quoted) and f"::{quoted}" not in definitions:
                # Its file stands in front of it in the same line.
                yield quoted


@pytest.mark.parametrize("file", [*PAGES, *CODE], ids=name_of)
def test_citations_resolve(file: Path) -> None:
    text = file.read_text()
    cited = [section for listed in SECTIONS.findall(text) for section in re.findall(SECTION, listed)]
    assert [section for section in cited if section not in sections()] == []
    assert [requirement for requirement in REQUIREMENT.findall(text) if requirement not in requirements()] == []
    assert [number for number in DECISION.findall(text) if int(number) not in decisions()] == []
    assert [page for page in PAGE.findall(text) if place_of(page, file) is None] == []
    assert [rfc for rfc in RFC.findall(text) if not RIGHT_RFC.match(rfc)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page: Path) -> None:
    for path, anchor in LINK.findall(text_of(page)):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f"{path}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_names_exists(page: Path) -> None:
    assert list(lost_names(page)) == []


def test_an_id_stands_once() -> None:
    assert {name for ids in (sections(), requirements()) for name, count in ids.items() if count > 1} == set()


def test_a_requirement_leads_to_its_section() -> None:
    rows = [line for line in PARITY.read_text().splitlines() if re.match(r"\| [A-Z]\d\d ", line)]
    assert [row for row in rows if "](spec/" not in row.split(" | ")[2]] == []


def test_every_chapter_is_in_the_table_of_chapters() -> None:
    contents = (DOCS / "spec" / "README.md").read_text()
    assert [page.name for page in SPECIFICATION if page.name != "README.md" and f"({page.name})" not in contents] == []


def test_the_specification_has_the_keys_of_the_configuration() -> None:
    specification = (DOCS / "spec" / "02-configuration.md").read_text()
    table = CONFIGURATION.read_text().partition("## Every key")[2]
    keys = {re.sub(r"\[\].*", "", key) for key in re.findall(r"^\| `([\w.\[\]]+)` \|", table, re.MULTILINE)}
    assert keys - set(QUOTED.findall(specification)) == set()
    rows = re.findall(r"^\| (`.*?) \|", specification.partition("## 2.3")[0], re.MULTILINE)
    assert {key for row in rows for key in QUOTED.findall(row)} - keys == set()


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("as spec 3.3 to 3.6 and 3.9 say", "3.3 to 3.6 and 3.9"),
        ("(spec 4.2 #15, 4.3; S11)", "4.2 #15, 4.3"),
        ("(spec\n# 6.2)", "6.2"),
        ("(spec 1.3, step 8)", "1.3"),
    ],
)
def test_sections_are_found(text: str, cited: str) -> None:
    """The rule about citations is worth as much as this and the next."""
    assert SECTIONS.findall(text) == [cited]


@pytest.mark.parametrize("text", ["RFC 9112 6.1", "RFC 2253, section 2.4", "RFC9112 section 6", "RFC 9110 § 4"])
def test_rfcs_are_cited_in_one_form(text: str) -> None:
    assert not RIGHT_RFC.match(RFC.findall(text)[0])
