"""What fastrouter._core and its stub agree in, and stubtest cannot see: Cython shows no signature of a constructor.

A setting is written in four places: a field, an argument, and both once more in the stub. Here they are one.
"""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from fastrouter import _core
from fastrouter.cli.commands import SETTINGS
from fastrouter.cli.gorouter_options import settings_of
from fastrouter.config import Config

PACKAGE = Path(__file__).parent.parent / "src" / "fastrouter"
STUB = {
    node.name: node for node in ast.parse((PACKAGE / "_core.pyi").read_text()).body if isinstance(node, ast.ClassDef)
}
CONTENTS = "\n".join(path.read_text() for path in sorted((PACKAGE / "core").rglob("*.pxd")))
PARTS = "\n".join(path.read_text() for path in sorted((PACKAGE / "core").rglob("*.pxi")))
# C's types, and what they are in Python.
TYPES = {"int": "int", "int64_t": "int", "Py_ssize_t": "int", "double": "float", "bint": "bool"}
# Settings that become fields of other names.
MADE_INTO_OTHERS = {"removed_headers", "added_headers"}
# Another value than the default, where not any will do.
OTHERS: dict[str, Any] = {"balancing_algorithm": "least-connection", "az_preference": "locally-optimistic"}
OTHERS |= {"forwarded_client_cert": "sanitize_set"}

Signature = dict[str, tuple[str, str | None]]


def constructor(name: str) -> ast.FunctionDef | None:
    """The `__init__` of a class in the stub."""
    functions = [node for node in STUB[name].body if isinstance(node, ast.FunctionDef)]
    return next((function for function in functions if function.name == "__init__"), None)


def stated(function: ast.FunctionDef) -> Signature:
    """Name -> type and default of the arguments; a star stands for where those without names end."""
    given = function.args
    defaults = [None] * (len(given.args) - len(given.defaults)) + [ast.unparse(default) for default in given.defaults]
    signature: Signature = {}
    for argument, default in zip(given.args[1:], defaults[1:], strict=True):
        signature[argument.arg] = (ast.unparse(argument.annotation) if argument.annotation else "", default)
    if given.kwonlyargs:
        signature["*"] = ("", None)
    for argument, value in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        signature[argument.arg] = (
            ast.unparse(argument.annotation) if argument.annotation else "",
            ast.unparse(value) if value else None,
        )
    return signature


def class_of(source: str, name: str) -> str:
    """The text of a class."""
    begin = re.search(rf"^cdef class {name}\b", source, re.M)
    assert begin, f"there is no {name}"
    end = re.compile(r"^\S", re.M).search(source, begin.end())
    return source[begin.start() : end.start() if end else None]


def compiled(name: str) -> Signature:
    """The same of the class in the sources, with C's types; "" where any object is taken."""
    text = class_of(PARTS, name)
    begin = text.index("def __init__(") + len("def __init__(")
    arguments = text[begin : text.index("):\n", begin)].strip().removeprefix("self").lstrip(",")
    signature: Signature = {}
    for argument in re.split(r",(?![^(]*\))", arguments):
        left, _, default = (part.strip() for part in argument.partition("="))
        words = left.removesuffix(" not None").split()
        if words:
            signature[words[-1]] = (
                " ".join(words[:-1]),
                ast.unparse(ast.parse(default, mode="eval")) if default else None,
            )
    return signature


def fields() -> dict[str, str]:
    """Name -> type of the fields of Settings that Python may read."""
    return {
        name: kind for kind, name in re.findall(r"^    cdef readonly (\w+) (\w+)", class_of(CONTENTS, "Settings"), re.M)
    }


def is_same(argument: str, kind: str, default: str | None) -> bool:
    """Whether a type in the stub is that in the sources."""
    return TYPES.get(kind, kind) in ("", argument, argument.removesuffix(" | None") if default == "None" else argument)


@pytest.mark.parametrize("name", [name for name in STUB if constructor(name)])
def test_a_constructor_is_as_the_stub_says(name: str) -> None:
    function = constructor(name)
    assert function is not None
    stub, source = stated(function), compiled(name)
    assert list(stub) == list(source)
    for argument, (kind, default) in source.items():
        said, said_default = stub[argument]
        assert said_default in (default, "..."), argument
        assert is_same(said, kind, default), f"{argument} is {said} in the stub and {kind} in the sources"


def test_what_may_be_read_of_the_settings_is_what_the_stub_says() -> None:
    stub = {
        node.target.id: ast.unparse(node.annotation)
        for node in STUB["Settings"].body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    ours = fields()
    assert set(stub) == set(ours)
    assert {
        name: kind
        for name, kind in ours.items()
        if kind != "object" and TYPES.get(kind, kind) != re.sub(r"\[.*\]", "", stub[name])
    } == {}


def test_every_setting_is_a_field() -> None:
    held = set(re.findall(r"^    cdef (?:readonly )?\w+ (\w+)", class_of(CONTENTS, "Settings"), re.M))
    assert set(compiled("Settings")) - {"*"} - MADE_INTO_OTHERS - held == set()
    arguments = compiled("Settings")
    assert {
        name: (kind, arguments[name][0])
        for name, kind in fields().items()
        if kind in TYPES and kind != arguments[name][0]
    } == {}


@pytest.mark.parametrize("name", [name for name, kind in fields().items() if kind in TYPES or kind == "str"])
def test_a_setting_arrives_in_its_field(name: str) -> None:
    default = compiled("Settings")[name][1]
    assert default is not None
    value = ast.literal_eval(default)
    assert getattr(_core.Settings(), name) == value
    other = OTHERS.get(name, not value if isinstance(value, bool) else "other" if isinstance(value, str) else value + 1)
    # As long as clients may wait for ever, this is no limit of its own.
    unlimited = {"frontend_idle_timeout": 0} if name == "closing_timeout" else {}
    settings = _core.Settings(**{name: other, **unlimited})
    assert getattr(settings, name) == other


def test_options_are_settings() -> None:
    settings = set(compiled("Settings"))
    assert {name.replace("-", "_") for name in SETTINGS} - settings == set()
    assert set(settings_of(Config())) - settings == set()
