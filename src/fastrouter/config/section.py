"""What a section of the configuration is made of: keys with a type, a default and a meaning."""

from typing import Annotated, NamedTuple

import msgspec


class Key(NamedTuple):
    """The meaning of a key, and how it is treated.

    A `secret` is masked where the configuration is shown. An `inert` key has no effect, and is not to get any.
    `choices` are the values that a text may have. What is in the file that a key names is the value of the key
    `holds` beside it.
    """

    meaning: str
    secret: bool = False
    inert: bool = False
    choices: tuple[str, ...] = ()
    holds: str = ""


class Width(NamedTuple):
    """The range of an integer, and the short name of that range."""

    name: str
    low: int
    high: int


Port = Annotated[int, Width("u16", 0, 2**16 - 1)]
# Gorouter of 2024 writes -1 for "no port"; it becomes 0.
OptionalPort = Annotated[int, Width("u16 or -1", -1, 2**16 - 1)]
Int = Annotated[int, Width("int", -(2**63), 2**63 - 1)]
Uint = Annotated[int, Width("uint", 0, 2**64 - 1)]
Uint32 = Annotated[int, Width("u32", 0, 2**32 - 1)]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping with known keys. Unknown keys are ignored (spec 2.1)."""
