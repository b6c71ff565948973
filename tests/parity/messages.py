"""Reading messages as they are, be they right or wrong, from a stream and from bytes.

The strict reader of the integration tests fails on what is not as it should be; here that is what we want to see.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from integration.http_message import ByteSource

_STATUS = re.compile(rb"HTTP/\d\.\d (\d{3})")


class UnfinishedError(Exception):
    """The message cannot be read to its end."""


@dataclass
class Message:
    """A message as it was; `body` is without its chunk framing."""

    start_line: bytes
    lines: list[bytes]
    body: bytes
    trailers: list[bytes]


class ByteString:
    """Bytes that are all there, as a source."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def rest(self) -> bytes:
        return self._data[self._at :]

    def read_until(self, delimiter: bytes) -> bytes:
        found = self._data.find(delimiter, self._at)
        if found < 0:
            raise EOFError
        return self.read_exactly(found + len(delimiter) - self._at)

    def read_exactly(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise EOFError
        self._at += count
        return self._data[self._at - count : self._at]

    def read_to_end(self) -> bytes:
        return self.read_exactly(len(self._data) - self._at)


def read_message(source: ByteSource, method: bytes | None) -> int:
    """Read one message off the source; a response to `method`, or a request if that is None. Its status, or 0."""
    message = _read(source, method)
    found = _STATUS.match(message.start_line)
    return int(found[1]) if found else 0


def split(data: bytes, methods: list[bytes] | None) -> Iterator[Message | bytes]:
    """The messages in these bytes, and what is left when no message can be read off them any more.

    `methods` are those of the requests that were answered; None if the bytes are requests.
    """
    source = ByteString(data)
    answered = 0
    while source.rest:
        before = source.rest
        method = None if methods is None else methods[min(answered, len(methods) - 1)]
        try:
            message = _read(source, method)
        except (EOFError, UnfinishedError, ValueError):
            head, separator, rest = before.partition(b"\r\n\r\n")
            if separator:
                start_line, *lines = head.split(b"\r\n")
                yield Message(start_line, lines, b"(unfinished) " + _unframed(rest, lines), [])
            else:
                yield before
            return
        yield message
        found = _STATUS.match(message.start_line)
        if found is None or not 100 <= int(found[1]) < 200:
            answered += 1
        if found is not None and int(found[1]) == 101:
            if source.rest:
                yield source.rest
            return


def _unframed(data: bytes, lines: list[bytes]) -> bytes:
    """What came of a body that has not ended: its data, wherever it was cut into chunks."""
    if _value(lines, b"transfer-encoding") != b"chunked":
        return data
    found = bytearray()
    while True:
        size, separator, rest = data.partition(b"\r\n")
        if not separator or not size:
            return bytes(found)
        length = int(size, 16)
        found += rest[:length]
        data = rest[length + 2 :]


def _value(lines: list[bytes], name: bytes) -> bytes | None:
    for line in lines:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return None


def _read(source: ByteSource, method: bytes | None) -> Message:
    start_line, *lines = source.read_until(b"\r\n\r\n")[:-4].split(b"\r\n")
    found = _STATUS.match(start_line)
    status = int(found[1]) if found else 0
    if method is not None and (100 <= status < 200 or status in (204, 304) or method == b"HEAD"):
        return Message(start_line, lines, b"", [])
    coding = _value(lines, b"transfer-encoding")
    if coding is not None and coding.lower() == b"chunked":
        return Message(start_line, lines, *_read_chunked(source))
    length = _value(lines, b"content-length")
    if length is not None:
        if not length.isdigit():
            raise UnfinishedError
        return Message(start_line, lines, source.read_exactly(int(length)), [])
    return Message(start_line, lines, b"" if method is None else source.read_to_end(), [])


def _read_chunked(source: ByteSource) -> tuple[bytes, list[bytes]]:
    data = bytearray()
    while size := int(source.read_until(b"\r\n").partition(b";")[0], 16):
        data += source.read_exactly(size)
        source.read_exactly(2)
    trailers = []
    while line := source.read_until(b"\r\n")[:-2]:
        trailers.append(line)
    return bytes(data), trailers
