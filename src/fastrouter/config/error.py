"""The one way in which a configuration is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """A configuration that breaks a rule.

    `text` is the rule, in Gorouter's words where Gorouter has the rule (spec 2.3). `key` is the dotted path of the key
    that breaks it, such as `nats.hosts[0].port`, or "" when the file as a whole is at fault. `line` is where that key,
    or the nearest section around it, stands in the file (from 1), or None when neither is in the file. `further` are
    the other faults of the same file, so that one look at it is enough, and `unknown` its unknown keys, which may be
    why: a key that is misspelt is one that is missing.
    """

    def __init__(self, text: str, key: str = "", line: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.key = key
        self.line = line
        self.further: tuple[ConfigError, ...] = ()
        self.unknown: tuple[ConfigError, ...] = ()

    def all(self) -> "tuple[ConfigError, ...]":
        """Return this fault and the others of its file, in the order in which they were found."""
        return (self, *self.further)

    def place(self, path: str | Path) -> str:
        """Return where the fault is, for a person: `gorouter.yml, line 12, key status.tls.key`."""
        return ", ".join(
            [str(path), *([f"line {self.line}"] if self.line else []), *([f"key {self.key}"] if self.key else [])]
        )

    def log_data(self) -> dict[str, Any]:
        """Return the `data` of the log line that reports it: Gorouter's `error`, and the place if it is known."""
        data: dict[str, Any] = {"error": self.text}
        if self.key:
            data["key"] = self.key
        if self.line:
            data["line"] = self.line
        return data


def raise_first(faults: Sequence[ConfigError], unknown: Sequence[ConfigError] = ()) -> None:
    """Raise the first of `faults`, with the others as its `further` ones; do nothing if there is none."""
    if faults:
        first, *others = faults
        first.further = tuple(others)
        first.unknown = tuple(unknown)
        raise first
