"""Several strings in one bytes object, with GUIDs at half their length.

The control process keeps a dozen strings for each of a hundred thousand endpoints, most of them GUIDs. As Python
strings each would cost 96 bytes; packed, a GUID costs 17, and comparing all strings of two endpoints is comparing two
bytes objects.

First comes one byte per string, its kind; then the binary GUIDs; then the other strings as UTF-8. A kind is LONG_GUID
or SHORT_GUID, or the length of the UTF-8, or LONG_TEXT, when four bytes of length precede the text.
"""

from collections.abc import Sequence

_LONG_GUID = 255
_SHORT_GUID = 254
_LONG_TEXT = 253

# Every lower-case hexadecimal digit as 0, a dash as itself, and whatever no GUID has as x.
_SHAPE_OF_BYTE = bytes(
    ord("0") if chr(byte) in "0123456789abcdef" else 45 if byte == 45 else 120 for byte in range(256)
)
# As Cloud Controller makes them, and as Diego shortens them for instances: length -> shape, kind.
_GUIDS = {
    36: (b"00000000-0000-0000-0000-000000000000", _LONG_GUID),
    28: (b"00000000-0000-0000-0000-0000", _SHORT_GUID),
}
_LONG_GUID_SIZE = 16
_SHORT_GUID_SIZE = 12


def pack_texts(texts: Sequence[str]) -> bytes:
    """Pack `texts`. Equal sequences give equal bytes, and different ones of the same length different bytes."""
    kinds = bytearray()
    guids = []
    others = []
    for text in texts:
        raw = text.encode()
        size = len(raw)
        if size in _GUIDS:
            shape, kind = _GUIDS[size]
            if raw.translate(_SHAPE_OF_BYTE) == shape:
                kinds.append(kind)
                guids.append(text)
                continue
        if size < _LONG_TEXT:
            kinds.append(size)
        else:
            kinds.append(_LONG_TEXT)
            others.append(size.to_bytes(4, "big"))
        others.append(raw)
    return b"".join((kinds, bytes.fromhex("".join(guids).replace("-", "")), *others))


def unpack_texts(packed: bytes, count: int) -> list[str]:
    """Return the `count` strings that `pack_texts` has packed."""
    kinds = packed[:count]
    guid_at = count
    at = count + _LONG_GUID_SIZE * kinds.count(_LONG_GUID) + _SHORT_GUID_SIZE * kinds.count(_SHORT_GUID)
    texts = []
    for kind in kinds:
        if kind >= _SHORT_GUID:
            end = guid_at + (_LONG_GUID_SIZE if kind == _LONG_GUID else _SHORT_GUID_SIZE)
            digits = packed[guid_at:end].hex()
            texts.append(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")
            guid_at = end
        else:
            size = kind
            if kind == _LONG_TEXT:
                size = int.from_bytes(packed[at : at + 4], "big")
                at += 4
            texts.append(packed[at : at + size].decode())
            at += size
    return texts
