"""Protobuf messages, read by a table of their fields, without the library or the code that has made them."""

import struct
from collections.abc import Mapping
from typing import Any

# Message -> number of a field -> its name and kind: `int`, `unsigned`, `fixed32`, `fixed64`, `double`, `text`, `bytes`,
# or a message; with `[]` there may be many.
Fields = Mapping[str, Mapping[int, tuple[str, str]]]

_FIXED = {"fixed64": "<Q", "double": "<d", "fixed32": "<I"}


def read_message(data: bytes, message: str, fields: Fields) -> dict[str, Any]:
    """Read a message. Raises AssertionError, or what else comes of it, if it is none or has an unknown field."""
    read: dict[str, Any] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        name, kind = fields[message][key >> 3]
        single = kind.removesuffix("[]")
        value: Any
        if key & 7 == 0:
            value, at = _varint(data, at)
            assert single in ("int", "unsigned"), f"{name} is {kind}"
            value = value - (1 << 64) if value >> 63 and single == "int" else value
        elif key & 7 in (1, 5):
            (value,) = struct.unpack_from(_FIXED[single], data, at)
            assert struct.calcsize(_FIXED[single]) == (8 if key & 7 == 1 else 4)
            at += struct.calcsize(_FIXED[single])
        else:
            assert key & 7 == 2, f"wire type {key & 7}"
            size, at = _varint(data, at)
            assert at + size <= len(data)
            value = data[at : at + size]
            at += size
            if single in fields:
                value = read_message(value, single, fields)
            elif single == "text":
                # What clients send is any bytes.
                value = value.decode("utf-8", "surrogateescape")
        if single != kind:
            read.setdefault(name, []).append(value)
        else:
            assert name not in read, f"{name} twice"
            read[name] = value
    return read


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at
