"""Certificates and keys in files of their own: `cert_chain_file` names the file of what `cert_chain` would have."""

from typing import Any

import msgspec

from fastrouter.config.decoding import Lines
from fastrouter.config.error import ConfigError
from fastrouter.config.keys import Config, Field, fields_of
from fastrouter.config.section import Section
from fastrouter.logs.error_text import error_text

# Bytes of a file of certificates: the bundle of a system has a quarter of it.
MAX_BYTES = 1024 * 1024


def read_pem_files(config: Config, lines: Lines, faults: list[ConfigError]) -> Config:
    """Return `config` with what is in the files that it names for certificates and keys.

    Files that cannot be read, and keys that are given in both ways, are added to `faults`.
    """
    changed: Config = _with_files(config, "", lines, faults)
    return changed


def _with_files(section: Any, prefix: str, lines: Lines, faults: list[ConfigError]) -> Any:
    changes: dict[str, Any] = {}
    kind: type[Section] = type(section)
    for field in fields_of(kind):
        value = getattr(section, field.attribute)
        path = prefix + field.key
        if isinstance(value, Section):
            changes[field.attribute] = _with_files(value, f"{path}.", lines, faults)
        elif isinstance(value, tuple) and value and isinstance(value[0], Section):
            changes[field.attribute] = tuple(
                _with_files(item, f"{path}[{index}].", lines, faults) for index, item in enumerate(value)
            )
        elif field.about is not None and field.about.holds and value:
            held = field.about.holds
            try:
                if getattr(section, held):
                    raise ConfigError(f"either {prefix}{held} or {path}, not both", path, lines.get(path))
                changes[held] = _read(value, path, lines, is_list=_is_list(section, held))
            except ConfigError as fault:
                faults.append(fault)
    return msgspec.structs.replace(section, **changes)


def _is_list(section: Section, attribute: str) -> bool:
    field: Field = next(field for field in fields_of(type(section)) if field.attribute == attribute)
    return field.kind is not str


def _read(path: str, key: str, lines: Lines, *, is_list: bool) -> str | tuple[str, ...]:
    """Return the text of a file, as the only item of a list if it `is_list`. Raises ConfigError."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        # ValueError: a name that no file can have.
        raise ConfigError(error_text(error), key, lines.get(key)) from error
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{path}: more than {MAX_BYTES} characters are no file of certificates", key, lines.get(key))
    return (text,) if is_list else text
