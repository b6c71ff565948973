"""Gorouter's configuration file: `load` reads one, `Config` holds every key, `ConfigError` says what is wrong.

| module | what it holds |
|---|---|
| `keys`, `sections`, `section` | the structs: every key with its type, default and meaning; what they are made of |
| `document`, `decoding`, `duration` | YAML text to structs, by Go's rules |
| `generations` | keys of older and newer Gorouters |
| `validation`, `certificates`, `ciphers` | derived values, and the rules |
| `reference` | the keys as a table, a JSON Schema, and YAML again; which of them have no effect yet |
"""

import msgspec

from fastrouter.config.error import ConfigError
from fastrouter.config.keys import Config, Derived
from fastrouter.logs.error_text import error_text

__all__ = ["Config", "ConfigError", "check", "load", "parse"]


def load(path: str) -> Config:
    """Read a configuration file, as Gorouter does before it starts: decoded, derived, validated.

    Raises ConfigError, also when the file cannot be read.
    """
    return parse(_read(path))


def parse(text: bytes) -> Config:
    """Do what `load` does with the text of a file."""
    config, _ = _parse(text)
    return config


def check(path: str) -> Config:
    """Do what `load` does, and check what Gorouter would find only when it starts. Raises ConfigError."""
    from fastrouter.config.validation import check_start  # noqa: PLC0415

    config, lines = _parse(_read(path))
    check_start(config, lines)
    return config


def _parse(text: bytes) -> tuple[Config, dict[str, int]]:
    # Here, so that importing the structs costs nothing: the first log line of a router without a file waits for less.
    from fastrouter.config.decoding import decode  # noqa: PLC0415
    from fastrouter.config.document import read  # noqa: PLC0415
    from fastrouter.config.generations import translate  # noqa: PLC0415
    from fastrouter.config.reference import keys_without_effect  # noqa: PLC0415
    from fastrouter.config.validation import process  # noqa: PLC0415

    root = read(text)
    config, lines = decode(root, Config())
    config = translate(root, config, lines)
    derived = Derived(given=frozenset(lines), without_effect=keys_without_effect(config, lines))
    return process(msgspec.structs.replace(config, derived=derived), lines), lines


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(error_text(error)) from error
