"""Durations as Go writes and reads them: `1m30s`, `1.5h`, `-20ms`."""

import re
from typing import Self

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "\N{MICRO SIGN}s": 1_000,
    "\N{GREEK SMALL LETTER MU}s": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_SECOND = _NANOSECONDS["s"]
_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^.0-9]*)")

MAX_NANOSECONDS = 2**63 - 1
# More digits than any number of nanoseconds has: what is longer is out of range, or too fine to matter.
_MAX_DIGITS = 19


class Duration(int):
    """A span of time in whole nanoseconds, at most about 292 years either way; prints as Go prints it."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what Go's time.ParseDuration accepts: numbers with units, or `0`. Raises ValueError with the reason."""
        sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
        if rest == "0":
            return cls(0)
        if not rest:
            raise ValueError(f'time: invalid duration "{text}"')
        nanoseconds = 0
        while rest:
            term = _TERM.match(rest)
            assert term is not None, "every part of it may be empty"
            whole, fraction, unit = term.groups()
            whole = whole.lstrip("0") if whole else ""
            has_digits = rest[0].isascii() and (rest[0].isdecimal() or rest[1:2].isdecimal())
            if not has_digits or rest[0] not in ".0123456789" or len(whole) > _MAX_DIGITS:
                raise ValueError(f'time: invalid duration "{text}"')
            if not unit:
                raise ValueError(f'time: missing unit in duration "{text}"')
            if unit not in _NANOSECONDS:
                raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
            scale = _NANOSECONDS[unit]
            fraction = (fraction or "")[:_MAX_DIGITS]
            nanoseconds += int(whole or "0") * scale + int(fraction or "0") * scale // 10 ** len(fraction)
            rest = rest[term.end() :]
        # The least one has no positive counterpart, and Go lets it through.
        if nanoseconds > MAX_NANOSECONDS + (sign < 0):
            raise ValueError(f'time: invalid duration "{text}"')
        return cls(sign * nanoseconds)

    @classmethod
    def of(cls, seconds: int) -> Self:
        """Make one of whole seconds."""
        return cls(seconds * _SECOND)

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return self / _SECOND

    def __str__(self) -> str:
        sign, left = ("-" if self < 0 else ""), abs(int(self))
        if left == 0:
            return "0s"
        if left < _SECOND:
            unit = next(unit for unit in ("ms", "\N{MICRO SIGN}s", "ns") if left >= _NANOSECONDS[unit])
            return f"{sign}{_decimal(left, _NANOSECONDS[unit])}{unit}"
        minutes, nanoseconds = divmod(left, _NANOSECONDS["m"])
        hours, minutes = divmod(minutes, 60)
        leading = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
        return f"{sign}{leading}{_decimal(nanoseconds, _SECOND)}s"

    def __repr__(self) -> str:
        return f"Duration.parse({str(self)!r})"


def _decimal(nanoseconds: int, scale: int) -> str:
    whole, rest = divmod(nanoseconds, scale)
    if not rest:
        return str(whole)
    return f"{whole}.{rest:0{len(str(scale)) - 1}d}".rstrip("0")
