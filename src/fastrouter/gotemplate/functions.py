"""The functions that a template may call."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from fastrouter.gotemplate.values import ExecutionError, Header, go_text, is_true


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise ExecutionError("missing argument for comparison")
    # Whether a type can be compared is looked at first, so that a template fails for all values or for none.
    for other in others:
        _check_comparable(first, other)
    return first in others


def _ne(first: Any, second: Any) -> bool:
    _check_comparable(first, second)
    return bool(first != second)


def _lt(first: Any, second: Any) -> bool:
    _check_comparable(first, second)
    if isinstance(first, bool):
        raise ExecutionError("invalid type for comparison")
    return bool(first < second)


def _check_comparable(first: Any, second: Any) -> None:
    for value in (first, second):
        if not isinstance(value, (str, int)):
            raise ExecutionError("invalid type for comparison")
    if type(first) is not type(second):
        raise ExecutionError("incompatible types for comparison")


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, Header):
        return len(value.values)
    if isinstance(value, list):
        return len(value)
    raise ExecutionError("len of a value that has none")


def _index(value: Any, key: Any) -> Any:
    if isinstance(value, Header) and isinstance(key, str):
        return value.values.get(key, [])
    if isinstance(value, list) and type(key) is int:
        if 0 <= key < len(value):
            return value[key]
        raise ExecutionError(f"index out of range: {key}")
    raise ExecutionError("can't index item")


def _print(*values: Any) -> str:
    """Join values as Go's Sprint does: with a space between two that are no texts."""
    pieces: list[str] = []
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            pieces.append(" ")
        pieces.append(go_text(value))
    return "".join(pieces)


_VERB = re.compile(r"%(.?)", re.DOTALL)


def _printf(layout: Any, *values: Any) -> str:
    """Fill in `%s`, `%d` and `%v`, one value each."""
    rest = list(values)

    def fill(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        if match[1] not in ("s", "d", "v") or not rest:
            raise ExecutionError(f"printf cannot fill in {match[0]}")
        value = rest.pop(0)
        if (match[1] == "d") is not (type(value) is int) and match[1] != "v":
            raise ExecutionError(f"printf cannot fill in {match[0]} with {go_text(value)}")
        return go_text(value)

    if not isinstance(layout, str):
        raise ExecutionError("printf takes a text first")
    text = _VERB.sub(fill, layout)
    if rest:
        raise ExecutionError("printf has more values than places for them")
    return text


class Function(NamedTuple):
    """A function, and how many arguments it takes at `least` and at `most` (None: any number)."""

    call: Callable[..., Any]
    least: int
    most: int | None


FUNCTIONS = {
    "eq": Function(_eq, 2, None),
    "ne": Function(_ne, 2, 2),
    "lt": Function(_lt, 2, 2),
    "le": Function(lambda first, second: not _lt(second, first), 2, 2),
    "gt": Function(lambda first, second: _lt(second, first), 2, 2),
    "ge": Function(lambda first, second: not _lt(first, second), 2, 2),
    "not": Function(lambda value: not is_true(value), 1, 1),
    "len": Function(_len, 1, 1),
    "index": Function(_index, 2, 2),
    "print": Function(_print, 0, None),
    "printf": Function(_printf, 1, None),
    # Whatever is written is escaped for its place anyway, and once only.
    "html": Function(_print, 1, None),
}
# These two stop at the first argument that decides.
DECIDING = {"and": False, "or": True}
