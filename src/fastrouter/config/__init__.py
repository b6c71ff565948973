"""Gorouter's configuration file: `load` reads one, `Config` holds every key, `ConfigError` says what is wrong.

| module | what it holds |
|---|---|
| `keys`, `sections`, `section` | the structs: every key with its type, default and meaning; what they are made of |
| `document`, `decoding`, `duration` | YAML text to structs, by Go's rules |
| `generations` | keys of older and newer Gorouters |
| `pem_files` | certificates and keys in files of their own |
| `validation`, `certificates`, `ciphers` | derived values, and the rules |
| `reference` | the keys as a table, a JSON Schema, and YAML again |
"""

import msgspec

from fastrouter.config.error import ConfigError, raise_first
from fastrouter.config.keys import Config, Derived
from fastrouter.logs.error_text import error_text

__all__ = ["Config", "ConfigError", "load", "parse"]


def load(path: str, *, is_strict: bool = False) -> Config:
    """Read a configuration file, as Gorouter does before it starts: decoded, derived, validated.

    Raises ConfigError, which has every fault of the file, also when the file cannot be read. Unknown keys are faults
    only if it `is_strict`.
    """
    return parse(_read(path), is_strict=is_strict)


def parse(text: bytes, *, is_strict: bool = False) -> Config:
    """Do what `load` does with the text of a file."""
    # Here, so that importing the structs costs nothing: the first log line of a router without a file waits for less.
    from fastrouter.config.decoding import decode  # noqa: PLC0415
    from fastrouter.config.document import read  # noqa: PLC0415
    from fastrouter.config.generations import translate  # noqa: PLC0415
    from fastrouter.config.pem_files import read_pem_files  # noqa: PLC0415
    from fastrouter.config.validation import process, unknown_key  # noqa: PLC0415

    root = read(text)
    config, findings = decode(root, Config())
    config = translate(root, config, findings)
    lines, faults = findings.lines, findings.faults
    config = read_pem_files(config, lines, faults)
    derived = Derived(lines=lines, unknown=tuple(map(unknown_key, findings.unknown)))
    config = process(msgspec.structs.replace(config, derived=derived), lines, faults)
    unknown = config.derived.unknown
    raise_first([*faults, *(unknown if is_strict else ())], () if is_strict else unknown)
    return config


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(error_text(error)) from error
