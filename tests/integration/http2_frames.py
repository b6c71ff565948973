"""Frames of HTTP/2 as bytes (RFC 9113 section 4.1), for tests that send what no library would."""

import enum
import struct
from typing import NamedTuple, Self

import hpack

from .http_message import ByteSource

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Fields = list[tuple[bytes, bytes]]


class Kind(enum.IntEnum):
    """Types of frames (RFC 9113 section 6)."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(enum.IntFlag):
    """Flags of frames; which of them a frame may have depends on its type."""

    NONE = 0
    END_STREAM = ACK = 0x01
    END_HEADERS = 0x04
    PADDED = 0x08
    PRIORITY = 0x20


class Setting(enum.IntEnum):
    """Identifiers in SETTINGS (RFC 9113 section 6.5.2, RFC 8441 section 3)."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6
    ENABLE_CONNECT_PROTOCOL = 8


class Code(enum.IntEnum):
    """Error codes of RST_STREAM and GOAWAY (RFC 9113 section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Frame(NamedTuple):
    """One frame, whatever is in it."""

    kind: int
    flags: int = 0
    stream: int = 0
    payload: bytes = b""

    def encode(self) -> bytes:
        head = struct.pack(">I", len(self.payload))[1:] + bytes([self.kind, self.flags])
        return head + struct.pack(">I", self.stream) + self.payload

    @classmethod
    def read(cls, source: ByteSource) -> Self:
        """Read the next one. Raises EOFError where there is none."""
        head = source.read_exactly(9)
        payload = source.read_exactly(int.from_bytes(head[:3], "big"))
        return cls(head[3], head[4], int.from_bytes(head[5:], "big") & 0x7FFFFFFF, payload)

    @property
    def code(self) -> Code:
        """The error code of a RST_STREAM or GOAWAY."""
        assert self.kind in (Kind.RST_STREAM, Kind.GOAWAY), self
        at = 4 if self.kind == Kind.GOAWAY else 0
        return Code(int.from_bytes(self.payload[at : at + 4], "big"))


def headers(stream: int, fields: Fields, *, ends: bool = True, flags: int = Flag.END_HEADERS) -> bytes:
    """A HEADERS frame with any fields, none of which goes into the dynamic table."""
    return Frame(Kind.HEADERS, flags | (Flag.END_STREAM if ends else 0), stream, block(fields)).encode()


def block(fields: Fields) -> bytes:
    """A header block, complete in itself, which leaves the peer's dynamic table as it is."""
    encoded: bytes = hpack.Encoder().encode(
        [hpack.NeverIndexedHeaderTuple(name, value) for name, value in fields], huffman=False
    )
    return encoded


def data(stream: int, payload: bytes = b"", *, ends: bool = False) -> bytes:
    return Frame(Kind.DATA, Flag.END_STREAM if ends else 0, stream, payload).encode()


def settings(*pairs: tuple[int, int]) -> bytes:
    return Frame(Kind.SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs)).encode()


def settings_ack() -> bytes:
    return Frame(Kind.SETTINGS, Flag.ACK).encode()


def ping(opaque: bytes = b"fastrout") -> bytes:
    return Frame(Kind.PING, 0, 0, opaque).encode()


def reset(stream: int, code: int = Code.CANCEL) -> bytes:
    return Frame(Kind.RST_STREAM, 0, stream, struct.pack(">I", code)).encode()


def window_update(stream: int, size: int) -> bytes:
    return Frame(Kind.WINDOW_UPDATE, 0, stream, struct.pack(">I", size)).encode()
