"""YAML text -> a tree of nodes that know their line, and the value of a scalar by the rules of Go's yaml.v3.

PyYAML only splits the text into events here. What it would make of the scalars is YAML 1.1, where `1:30` is 90 and
`2001-01-01` a date; Gorouter's files follow other rules (spec 2.1).
"""

import math
import re
from dataclasses import dataclass, field
from typing import Final

import yaml

from fastrouter.config.error import ConfigError

# Without a limit a small file could make any recursive reader run out of stack. Go's yaml.v3 has 10,000, later versions
# of libyaml have 1,000; a configuration has less than ten.
MAX_DEPTH = 500

# Python refuses to convert longer ones, and none of them fits in 64 bits.
_MAX_DIGITS = 4000

_STANDARD_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0x[0-9a-f]+|0b[01]+|0o?[0-7]+|0|[1-9][0-9]*)", re.IGNORECASE)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:e[-+]?[0-9]+)?", re.IGNORECASE)
_INFINITY = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_NAN = frozenset({".nan", ".NaN", ".NAN"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})


@dataclass(slots=True)
class Scalar:
    """One value. `tag` is an explicit tag in its short form, `str` for a quoted text, and None for a plain one."""

    line: int
    text: str
    tag: str | None


@dataclass(slots=True)
class Sequence:
    """A list of nodes."""

    line: int
    items: "list[Node]" = field(default_factory=list)


@dataclass(slots=True)
class Mapping:
    """Pairs of nodes in the order of the file; keys may repeat, and may be of any kind."""

    line: int
    pairs: "list[tuple[Node, Node]]" = field(default_factory=list)


Node = Scalar | Sequence | Mapping


def read(text: bytes) -> Node | None:
    """Read the first document of a YAML file; None if it has none.

    Raises ConfigError if the text is not YAML, or nests deeper than MAX_DEPTH.
    """
    composer = _Composer()
    try:
        for event in yaml.parse(text, Loader=yaml.CBaseLoader):
            if isinstance(event, yaml.DocumentEndEvent):
                break
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"yaml: {error.problem or error.context}", line=mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"yaml: {' '.join(str(error).split())}") from error
    return composer.root


class _Composer:
    """Turns events into nodes, with a stack of its own instead of the interpreter's."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Sequence | Mapping] = []
        self._keys: list[Node | None] = []
        self._anchors: dict[str, Node] = {}

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.ScalarEvent):
            self._add(Scalar(line, event.value, _tag_of(event)), event.anchor)
        elif isinstance(event, yaml.AliasEvent):
            node = self._anchors.get(event.anchor or "")
            if node is None:
                raise ConfigError(f"yaml: unknown anchor '{event.anchor}' referenced", line=line)
            if any(node is container for container in self._open):
                raise ConfigError(f"yaml: anchor '{event.anchor}' value contains itself", line=line)
            self._add(node, None)
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            container = Sequence(line) if isinstance(event, yaml.SequenceStartEvent) else Mapping(line)
            self._add(container, event.anchor)
            if len(self._open) >= MAX_DEPTH:
                raise ConfigError(f"yaml: exceeded max depth of {MAX_DEPTH}", line=line)
            self._open.append(container)
            self._keys.append(None)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            self.root = node
            return
        container = self._open[-1]
        if isinstance(container, Sequence):
            container.items.append(node)
        elif (key := self._keys[-1]) is None:
            self._keys[-1] = node
        else:
            container.pairs.append((key, node))
            self._keys[-1] = None


def _tag_of(event: yaml.ScalarEvent) -> str | None:
    is_plain, _ = event.implicit
    if is_plain:
        return None
    if event.tag in (None, "!"):
        return "str"
    return str(event.tag).removeprefix(_STANDARD_TAG)


Value = None | bool | int | float | str

_RESOLVED_TAGS: Final[dict[str, tuple[type, ...]]] = {
    "null": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "timestamp": (str,),
}


def meaning_of(scalar: Scalar) -> Value:
    """Return the value that a scalar stands for. Raises ConfigError for an unknown tag, and one it does not fit."""
    if scalar.tag == "str":
        return scalar.text
    value = _plain_value(scalar.text)
    if scalar.tag is not None:
        fitting = _RESOLVED_TAGS.get(scalar.tag, ())
        if not isinstance(value, fitting) or (isinstance(value, bool) and scalar.tag != "bool"):
            raise ConfigError(f"yaml: cannot decode `{_shortened(scalar.text)}` as a {scalar.tag}", line=scalar.line)
    return value


def _plain_value(text: str) -> Value:
    if text in _NULL:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    number = text.replace("_", "")
    if len(number) <= _MAX_DIGITS and text[0] in "+-.0123456789":
        if _INTEGER.fullmatch(number):
            return _integer(number)
        if _FLOAT.fullmatch(number) and not math.isinf(value := float(number)):
            return value
        if _INFINITY.fullmatch(text) or text in _NAN:
            return float(text.replace(".", ""))
    return text


def _integer(text: str) -> int:
    digits = text.lstrip("+-").lower()
    # A leading zero means octal, with or without the `o` that YAML 1.2 asks for.
    is_octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xb"
    value = int(digits.removeprefix("0o"), 8) if is_octal else int(digits, 0)
    return -value if text.startswith("-") else value


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
