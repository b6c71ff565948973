"""What a template sees: the page and the headers of the response, and what Go makes of values."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastrouter.gotemplate.escapes import text_of


class ExecutionError(Exception):
    """A template that cannot be run: it asks for a field that is not there, or compares what cannot be compared."""


class Header:
    """The headers of the response: to the template a map of lists, with methods that take a name in any case."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = {_canonical(name): [value] for name, value in values.items()}

    def get(self, name: str) -> str:
        """Return the value of a header, empty if there is none."""
        return self.values.get(_canonical(name), [""])[0]

    def get_all(self, name: str) -> list[str]:
        """Return all values of a header."""
        return self.values.get(_canonical(name), [])


class Page(NamedTuple):
    """What the dot is at first."""

    status: int
    status_text: str
    message: str
    header: Header


_FIELDS: dict[str, Callable[[Page], Any]] = {
    "Status": lambda page: page.status,
    "StatusText": lambda page: page.status_text,
    "Message": lambda page: page.message,
    "Header": lambda page: page.header,
}

_METHODS: dict[str, Callable[[Header, str], Any]] = {"Get": Header.get, "Values": Header.get_all}
_NO_TOKEN_CHAR = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")


def _canonical(name: str) -> str:
    if not name or _NO_TOKEN_CHAR.search(name):
        return name
    return "-".join(word[:1].upper() + word[1:].lower() for word in name.split("-"))


def is_true(value: Any) -> bool:
    """Whether Go takes a value for true: what is not empty."""
    if isinstance(value, Header):
        return bool(value.values)
    return isinstance(value, Page) or bool(value)


def go_text(value: Any) -> str:
    """Return what Go's `%v` makes of a value."""
    if isinstance(value, list):
        return f"[{' '.join(value)}]"
    if isinstance(value, Header):
        return f"map[{' '.join(f'{name}:{go_text(values)}' for name, values in sorted(value.values.items()))}]"
    if isinstance(value, Page):
        return f"{{{' '.join(map(go_text, value))}}}"
    return text_of(value)


def field(value: Any, name: str, arguments: Sequence[Any]) -> Any:
    """Return the field or the method's result that a template asks of `value`. Raises ExecutionError."""
    if isinstance(value, Header) and name in _METHODS:
        if len(arguments) != 1 or not isinstance(arguments[0], str):
            raise ExecutionError(f"{name} takes one argument, the name of a header")
        return _METHODS[name](value, arguments[0])
    if arguments:
        raise ExecutionError(f"{name} has arguments but cannot be invoked as function")
    if isinstance(value, Header):
        return value.values.get(name, [])
    if isinstance(value, Page) and name in _FIELDS:
        return _FIELDS[name](value)
    raise ExecutionError(f"can't evaluate field {name}")
