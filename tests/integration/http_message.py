"""Strict reading of HTTP/1 messages.

Every message the router sends, in either direction, passes through here. What must hold of all of them is asserted
here once: CRLF line ends, canonical header names (spec 0.5), and exactly one framing header where a body can follow.
So each test pins it again.
"""

import re
from dataclasses import dataclass, field
from typing import Literal, Protocol, Self

Framing = Literal["none", "length", "chunked", "close"]
Fields = tuple[tuple[bytes, bytes], ...]

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([^ \r\n]+) (HTTP/1\.1)")
STATUS_LINE = re.compile(rb"(HTTP/1\.[01]) ([1-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")

# Statuses after which no body can follow, whatever the headers say (RFC 9112 section 6.3).
BODILESS = (204, 304)


class ByteSource(Protocol):
    """Where messages are read from: a socket, or bytes in memory. Raises EOFError where too little comes."""

    def read_until(self, delimiter: bytes) -> bytes: ...
    def read_exactly(self, count: int) -> bytes: ...
    def read_to_end(self) -> bytes: ...


def canonical(name: bytes) -> bytes:
    """Return the MIME form: first letter of each dash-separated word in upper case, the rest in lower case."""
    return b"-".join(word[:1].upper() + word[1:].lower() for word in name.split(b"-"))


@dataclass(frozen=True)
class Message:
    """Header fields and body as they were on the wire."""

    start_line: bytes
    fields: Fields
    body: bytes = b""
    trailers: Fields = ()
    framing: Framing = "none"
    chunks: tuple[int, ...] = field(default=(), compare=False)

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header, in order; the name in any case."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def value(self, name: bytes) -> bytes | None:
        """Return the value of a header that must not be repeated; None if it is absent."""
        found = self.values(name)
        assert len(found) <= 1, f"{name!r} is repeated: {found!r}"
        return found[0] if found else None

    def has(self, name: bytes) -> bool:
        return bool(self.values(name))


@dataclass(frozen=True)
class Request(Message):
    """A request as a backend received it."""

    @property
    def method(self) -> bytes:
        return self.start_line.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return self.start_line.split(b" ")[1]

    @classmethod
    def read(cls, stream: ByteSource) -> Self:
        """Read one whole request, body included."""
        head = cls.read_head(stream)
        body, trailers, chunks = _read_body(stream, head)
        return cls(head.start_line, head.fields, body, trailers, head.framing, chunks)

    @classmethod
    def read_head(cls, stream: ByteSource) -> Self:
        """Read the head only, for tests that take the body in steps."""
        start_line, fields = _read_head(stream)
        assert REQUEST_LINE.fullmatch(start_line), start_line
        framing = _framing(fields)
        return cls(start_line, fields, framing=framing or "none")


@dataclass(frozen=True)
class Response(Message):
    """A response as a client received it."""

    @property
    def version(self) -> bytes:
        return self.start_line.split(b" ")[0]

    @property
    def status(self) -> int:
        return int(self.start_line.split(b" ")[1])

    @property
    def reason(self) -> bytes:
        return self.start_line.split(b" ", 2)[2]

    @classmethod
    def read(cls, stream: ByteSource, method: bytes = b"GET") -> Self:
        """Read the next whole message, be it interim (1xx) or final, of an exchange whose request had `method`."""
        head = cls.read_head(stream, method)
        body, trailers, chunks = _read_body(stream, head)
        return cls(head.start_line, head.fields, body, trailers, head.framing, chunks)

    @classmethod
    def read_head(cls, stream: ByteSource, method: bytes = b"GET") -> Self:
        """Read the head only; `framing` says how the body follows."""
        start_line, fields = _read_head(stream)
        match = STATUS_LINE.fullmatch(start_line)
        assert match, start_line
        status = int(match[2])
        framing = _framing(fields)
        if status < 200 or status == 204:
            # RFC 9110 section 8.6, RFC 9112 section 6.1: neither framing header may be sent.
            assert framing is None, (start_line, fields)
            return cls(start_line, fields)
        if method == b"HEAD" or status in BODILESS:
            return cls(start_line, fields)
        if framing is None:
            assert match[1] == b"HTTP/1.0", f"no framing header in {start_line!r} {fields!r}"
            framing = "close"
        if match[1] == b"HTTP/1.0":
            assert framing != "chunked", "HTTP/1.0 knows no chunked coding"
        return cls(start_line, fields, framing=framing)


def _read_head(stream: ByteSource) -> tuple[bytes, Fields]:
    raw = stream.read_until(b"\r\n\r\n")[:-4]
    start_line, *lines = raw.split(b"\r\n")
    return start_line, tuple(_field(line) for line in lines)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    assert colon, f"header line without a colon: {line!r}"
    assert TOKEN.fullmatch(name), f"bad header name: {line!r}"
    assert name == canonical(name), f"header name not canonical: {line!r}"
    assert FIELD_VALUE.fullmatch(value), f"bad header value: {line!r}"
    return name, value.strip(b" \t")


def _framing(fields: Fields) -> Framing | None:
    found = [(key.lower(), value) for key, value in fields if key.lower() in (b"content-length", b"transfer-encoding")]
    assert len(found) <= 1, f"more than one framing header: {found!r}"
    if not found:
        return None
    key, value = found[0]
    if key == b"content-length":
        assert value.isdigit(), value
        return "length"
    assert value == b"chunked", value
    return "chunked"


def _read_body(stream: ByteSource, head: Message) -> tuple[bytes, Fields, tuple[int, ...]]:
    if head.framing == "length":
        return stream.read_exactly(int(head.values(b"Content-Length")[0])), (), ()
    if head.framing == "chunked":
        return read_chunked(stream)
    if head.framing == "close":
        return stream.read_to_end(), (), ()
    return b"", (), ()


def read_chunk(stream: ByteSource) -> bytes:
    """One chunk; empty for the last one, whose trailers are then still to be read."""
    size_line = stream.read_until(b"\r\n")[:-2]
    assert re.fullmatch(rb"[0-9A-Fa-f]+", size_line), f"bad chunk size line {size_line!r}"
    size = int(size_line, 16)
    if size == 0:
        return b""
    data = stream.read_exactly(size)
    assert stream.read_exactly(2) == b"\r\n", "chunk does not end where its size says"
    return data


def read_trailers(stream: ByteSource) -> Fields:
    """Read what follows the last chunk, up to and with the empty line."""
    trailers: list[tuple[bytes, bytes]] = []
    while line := stream.read_until(b"\r\n")[:-2]:
        trailers.append(_field(line))
    return tuple(trailers)


def read_chunked(stream: ByteSource) -> tuple[bytes, Fields, tuple[int, ...]]:
    """Read a whole chunked body: data, trailers, chunk sizes."""
    data = bytearray()
    sizes: list[int] = []
    while chunk := read_chunk(stream):
        data += chunk
        sizes.append(len(chunk))
    return bytes(data), read_trailers(stream), tuple(sizes)


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """Encode a whole chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailers + b"\r\n"


def response_with(body: bytes = b"ok", *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """Build a response of known length, as a backend sends it."""
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body
