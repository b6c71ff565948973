"""What is wrong with data that somebody has written, and what would be right."""

from typing import Annotated, Any, Literal

import msgspec
import pytest

from fastrouter.logs.rule_text import rule_text


class Part(msgspec.Struct, forbid_unknown_fields=True):
    colour: Literal["", "red", "blue"] = ""
    size: Annotated[int, msgspec.Meta(le=9)] = 0


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    parts: tuple[Part, ...] = ()
    pairs: list[tuple[str, str]] = []
    by_name: dict[str, Part] = {}
    best: Part | None = None


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    pass


@pytest.mark.parametrize(
    ("kind", "data", "text"),
    [
        (Whole, {"part": 1}, "Object contains unknown field `part`: there are parts, pairs, by_name, best"),
        (Nothing, {"part": 1}, "Object contains unknown field `part`: there is none"),
        (Whole, 1, "Expected `object`, got `int`"),
        (Whole, {"parts": [{}, {"size": 10}]}, "parts[1].size: Expected `int` <= 9"),
        (
            Whole,
            {"parts": [{"colour": "green"}]},
            "parts[0].colour: Invalid enum value 'green': it is one of blue, red",
        ),
        (Whole, {"parts": [{"weight": 1}]}, "parts[0]: Object contains unknown field `weight`: there are colour, size"),
        (Whole, {"pairs": [["a", 1]]}, "pairs[0][1]: Expected `str`, got `int`"),
        (Whole, {"by_name": {"a": {"size": "x"}}}, "by_name[...].size: Expected `int`, got `str`"),
        (Whole, {"best": {"size": 10}}, "best.size: Expected `int` <= 9"),
    ],
)
def test_the_key_comes_first(kind: type[msgspec.Struct], data: Any, text: str) -> None:
    with pytest.raises(msgspec.ValidationError) as found:
        msgspec.convert(data, kind)
    assert rule_text(found.value, kind) == text
