"""The keys as people and editors see them: a table, a JSON Schema, and a configuration as YAML.

`python -m fastrouter.config.reference` prints the table that docs/configuration.md holds.
"""

from collections.abc import Container, Iterator
from typing import Any, NamedTuple, get_args, get_origin

import orjson
import yaml

from fastrouter.config.duration import Duration
from fastrouter.config.keys import Config, Field, fields_of
from fastrouter.config.section import Key, Section

MASK = "********"


class Entry(NamedTuple):
    """One key: its dotted path, where `[]` stands for an item of a list, and its field."""

    path: str
    field: Field


def entries(section: type[Section] = Config, prefix: str = "", *, into_lists: bool = True) -> Iterator[Entry]:
    """Yield every key of a section in the order of the structs; those of listed sections only if `into_lists`."""
    for field in fields_of(section):
        path = prefix + field.key
        if _is_section(field.kind):
            yield from entries(field.kind, f"{path}.", into_lists=into_lists)
            continue
        yield Entry(path, field)
        item = _item_of(field.kind)
        if into_lists and _is_section(item):
            yield from entries(item, f"{path}[].", into_lists=True)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _item_of(kind: Any) -> Any:
    """Return the type of the items of a list, or None if `kind` is no list."""
    return get_args(kind)[0] if get_origin(kind) in (tuple, frozenset) else None


def effect_of(path: str) -> str:
    """Return whether a key has an effect, `yes` or `no`; those without one have none in Gorouter either."""
    is_inert = any(entry.path == path and entry.field.about and entry.field.about.inert for entry in entries())
    return "no" if is_inert else "yes"


def changed_keys(old: Config, new: Config) -> tuple[str, ...]:
    """Return the keys whose values differ, in their order."""
    return tuple(path for path, _ in entries(into_lists=False) if _value_at(old, path) != _value_at(new, path))


def _value_at(config: Config, path: str) -> Any:
    value: Any = config
    for part in path.split("."):
        section: type[Section] = type(value)
        value = getattr(value, next(field.attribute for field in fields_of(section) if field.key == part))
    return value


def type_name(field: Field) -> str:
    """Return the type of a key in one word or two, as the documentation has it."""
    item = _item_of(field.kind)
    if item is not None:
        return f"list of {'mappings' if _is_section(item) else _scalar_name(item, field)}"
    return "mapping" if _is_section(field.kind) else _scalar_name(field.kind, field)


def _scalar_name(kind: Any, field: Field) -> str:
    if kind is int and field.width:
        return field.width.name
    return {str: "text", bool: "bool", float: "number", Duration: "duration"}[kind]


def plain(value: Any) -> Any:
    """Return a value of a key as the file would have it: mappings, lists and scalars. Secrets are not masked."""
    if isinstance(value, Section):
        return {field.key: plain(getattr(value, field.attribute)) for field in fields_of(type(value))}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(value)
    return str(value) if isinstance(value, Duration) else value


def as_yaml(config: Config, *, only_given: bool = False, show_secrets: bool = False) -> str:
    """Render a configuration as YAML that loads as the same again, if secrets are shown.

    `only_given` leaves out what the file did not have; secrets are masked unless `show_secrets`.
    """
    given = config.derived.lines if only_given else None
    shown = _shown(config, "", given, show_secrets=show_secrets)
    return yaml.dump(shown, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


def as_document(config: Config) -> dict[str, Any]:
    """Return every key as the file would have it, with secrets masked."""
    return _shown(config, "", None, show_secrets=False)


def _shown(section: Section, prefix: str, given: Container[str] | None, *, show_secrets: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    fields = fields_of(type(section))
    # What came from files: the configuration would be refused if it had both.
    held = {field.about.holds for field in fields if field.about and getattr(section, field.attribute)}
    for field in fields:
        path = prefix + field.key
        if (given is not None and path not in given) or field.attribute in held:
            continue
        value = getattr(section, field.attribute)
        if isinstance(value, Section):
            shown[field.key] = _shown(value, f"{path}.", given, show_secrets=show_secrets)
        elif _is_section(_item_of(field.kind)):
            shown[field.key] = [
                _shown(item, f"{path}[{index}].", given, show_secrets=show_secrets) for index, item in enumerate(value)
            ]
        elif field.about and field.about.secret and value and not show_secrets:
            shown[field.key] = MASK
        else:
            shown[field.key] = plain(value)
    return shown


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines, such as PEM, as they are."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 the base class asks with it
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the file. Unknown keys are allowed, as the router allows them."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gorouter.yml",
        **_section_schema(Config, Config()),
    }


def _section_schema(section: type[Section], defaults: Section) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            field.key: _field_schema(field, getattr(defaults, field.attribute)) for field in fields_of(section)
        },
    }


def _field_schema(field: Field, default: Any) -> dict[str, Any]:
    if _is_section(field.kind):
        return _section_schema(field.kind, default)
    about = field.about or Key("")
    item = _item_of(field.kind)
    if item is None:
        kind = _scalar_schema(field.kind, field)
    else:
        items = _section_schema(item, item()) if _is_section(item) else _scalar_schema(item, field)
        kind = {"type": "array", "items": items}
    if about.choices:
        kind["enum"] = list(dict.fromkeys([*about.choices, default]))
    return {"description": about.meaning.replace("`", ""), **kind, "default": plain(default)}


def _scalar_schema(kind: Any, field: Field) -> dict[str, Any]:
    if kind is int and field.width:
        return {"type": "integer", "minimum": field.width.low, "maximum": field.width.high}
    if kind is Duration:
        return {"type": "string", "pattern": r"^[-+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$"}
    # Any scalar is taken as a text.
    return {"type": {str: ["string", "number", "boolean"], bool: "boolean", float: "number"}[kind]}


def table() -> str:
    """Return the table of all keys in Markdown."""
    rows = [
        f"| `{path}` | {type_name(field)} | {_default_text(field)} | {_meaning_text(field)} | {effect_of(path)} |"
        for path, field in entries()
    ]
    return "\n".join(["| key | type | default | meaning | effect |", "|---|---|---|---|---|", *rows, ""])


def _default_text(field: Field) -> str:
    value = plain(field.default)
    if value in ("", []):
        return ""
    return f"`{value if isinstance(value, str) else orjson.dumps(value).decode()}`"


def _meaning_text(field: Field) -> str:
    about = field.about or Key("")
    choices = [f"`{choice}`" if choice else "empty" for choice in about.choices]
    return f"{about.meaning}: {', '.join(choices)}" if choices and choices[0] not in about.meaning else about.meaning


if __name__ == "__main__":
    print(table(), end="")
