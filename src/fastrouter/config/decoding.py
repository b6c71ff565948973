"""YAML nodes -> the structs of the keys, over their defaults (spec 2.1)."""

from contextlib import suppress
from typing import Any, Final, NamedTuple, NoReturn, TypeVar, get_args, get_origin

import msgspec

from fastrouter.config.document import Mapping, Node, Scalar, Sequence, meaning_of
from fastrouter.config.duration import Duration
from fastrouter.config.error import ConfigError
from fastrouter.config.keys import fields_of
from fastrouter.config.section import Section, Width

SectionT = TypeVar("SectionT", bound=Section)

# yaml.v3 takes them where a bool is expected, quoted or not.
_YES = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
_NO = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF"})


class _Absent:
    """What null leaves of a scalar or a section: nothing."""


ABSENT: Final = _Absent()

Lines = dict[str, int]


class UnknownKey(NamedTuple):
    """A key of the document that no section has: its dotted path, its line, and the known keys beside it."""

    path: str
    line: int
    siblings: tuple[str, ...]


class Findings(NamedTuple):
    """What decoding finds out: the line of every known key, the unknown keys, and the faults.

    A key that has a fault stays as it was.
    """

    lines: Lines
    unknown: list[UnknownKey]
    faults: list[ConfigError]


def decode(root: Node | None, defaults: SectionT) -> tuple[SectionT, Findings]:
    """Lay a document over `defaults`. Returns the whole, and what was found out about its keys.

    A key that is null counts as absent unless it is a list, which null empties.
    """
    decoder = _Decoder()
    section: Any = ABSENT if root is None else decoder.try_value(root, type(defaults), None, defaults, "")
    return (defaults if section is ABSENT else section), decoder.findings


def line_of(key: str, lines: Lines) -> int | None:
    """Return the line of a key, or else of the nearest section around it that the file has."""
    while key:
        if key in lines:
            return lines[key]
        key = key[: max(key.rfind("."), key.rfind("["), 0)]
    return None


def written_key(key: str, lines: Lines) -> str:
    """Return the key that names the file with the value of `key`, if that is how the document gives it, else `key`."""
    # The file of a list is that of its first item.
    for held in (key, key.rpartition("[")[0]):
        if f"{held}_file" in lines:
            return f"{held}_file"
    return key


class _Decoder:
    def __init__(self) -> None:
        self.findings = Findings({}, [], [])

    def try_value(self, node: Node, kind: Any, width: Width | None, default: Any, path: str) -> Any:
        """Return what `value` does; a node that is refused is noted, and counts as ABSENT."""
        try:
            return self.value(node, kind, width, default, path)
        except ConfigError as error:
            self.findings.faults.append(error)
            return ABSENT

    def value(self, node: Node, kind: Any, width: Width | None, default: Any, path: str) -> Any:
        """Return what `node` means as a `kind`; ABSENT for a null that changes nothing. Raises ConfigError."""
        try:
            meaning = meaning_of(node) if isinstance(node, Scalar) else node
        except ConfigError as error:
            raise ConfigError(error.text, path, node.line) from error
        container = get_origin(kind)
        if container in (tuple, frozenset):
            return container() if meaning is None else container(self._items(node, get_args(kind)[0], path))
        if meaning is None:
            return ABSENT
        if isinstance(kind, type) and issubclass(kind, Section):
            if not isinstance(node, Mapping):
                _refuse("a mapping", node, path)
            return self._section(node, default, path)
        return _scalar(node, meaning, kind, width, path)

    def _section(self, node: Mapping, default: SectionT, path: str) -> SectionT:
        fields = {field.key: field for field in fields_of(type(default))}
        changes = {}
        for name, (key, node_of_value) in _pairs(node, path).items():
            field = fields.get(name)
            place = f"{path}.{name}" if path else name
            if field is None:
                self.findings.unknown.append(UnknownKey(place, key.line, tuple(fields)))
                continue
            value = self.try_value(node_of_value, field.kind, field.width, getattr(default, field.attribute), place)
            if value is not ABSENT:
                changes[field.attribute] = value
                self.findings.lines[place] = key.line
        return msgspec.structs.replace(default, **changes)

    def _items(self, node: Node, kind: Any, path: str) -> list[Any]:
        if not isinstance(node, Sequence):
            _refuse("a list", node, path)
        # Items of a list have no defaults to be laid over but those of their own type.
        default = kind() if issubclass(kind, Section) else None
        items: list[Any] = []
        for item in node.items:
            place = f"{path}[{len(items)}]"
            value = self.try_value(item, kind, None, default, place)
            # yaml.v3 leaves null items out.
            if value is not ABSENT:
                items.append(value)
                self.findings.lines[place] = item.line
        return items


def _pairs(node: Mapping, path: str) -> dict[str, tuple[Scalar, Node]]:
    """Return the pairs of a mapping by the text of the key, with those that `<<` merges in (these give way)."""
    pairs: dict[str, tuple[Scalar, Node]] = {}
    # Merges may be chained and shared at will. A list of what is left to do needs no stack, and nothing is done twice.
    waiting: list[Node] = [node]
    seen: set[int] = set()
    while waiting:
        source = waiting.pop()
        if not isinstance(source, Mapping):
            raise ConfigError("yaml: map merge requires map or sequence of maps as the value", path, source.line)
        if id(source) in seen:
            continue
        seen.add(id(source))
        merged: list[Node] = []
        for text, pair in _own_pairs(source, merged, path).items():
            pairs.setdefault(text, pair)
        waiting.extend(reversed(merged))
    return pairs


def _own_pairs(node: Mapping, merged: list[Node], path: str) -> dict[str, tuple[Scalar, Node]]:
    """Return the pairs that stand in a mapping itself, and put what it merges in into `merged`."""
    pairs: dict[str, tuple[Scalar, Node]] = {}
    for key, value in node.pairs:
        if not isinstance(key, Scalar):
            _refuse("a name", key, path)
        if key.text == "<<" and key.tag is None:
            merged.extend(value.items if isinstance(value, Sequence) else [value])
        elif key.text in pairs:
            raise ConfigError(
                f'yaml: mapping key "{key.text}" already defined at line {pairs[key.text][0].line}',
                f"{path}.{key.text}" if path else key.text,
                key.line,
            )
        else:
            pairs[key.text] = (key, value)
    return pairs


def _scalar(node: Node, meaning: Any, kind: Any, width: Width | None, path: str) -> Any:
    if not isinstance(node, Scalar):
        _refuse(_NAMES[kind], node, path)
    if kind is str:
        return node.text
    if kind is bool and isinstance(meaning, bool):
        return meaning
    if kind is bool and isinstance(meaning, str) and meaning in _YES | _NO:
        return meaning in _YES
    # Only texts have a unit; `0` without quotes is a number, and refused.
    if kind is Duration and isinstance(meaning, str):
        try:
            return Duration.parse(meaning)
        except ValueError as error:
            raise ConfigError(str(error), path, node.line) from error
    if isinstance(meaning, int | float) and not isinstance(meaning, bool):
        if kind is float:
            # Of integers, only those beyond every float are refused.
            with suppress(OverflowError):
                return float(meaning)
        elif width is not None and meaning == meaning // 1:
            if width.low <= meaning <= width.high:
                return int(meaning)
            _refuse(f"an integer from {width.low} to {width.high}", node, path)
    return _refuse(_NAMES[kind], node, path)


_NAMES: Final = {
    str: "a text",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    Duration: 'a duration with its unit, such as "60s"',
}


def _refuse(expected: str, node: Node, path: str) -> NoReturn:
    if isinstance(node, Scalar):
        found = f"`{node.text if len(node.text) <= 40 else node.text[:37] + '...'}`"
    else:
        found = "a list" if isinstance(node, Sequence) else "a mapping"
    raise ConfigError(f"yaml: expected {expected}, found {found}", path, node.line)
