"""Whatever a client sends, a line of the access log is one line, and says the same in both formats."""

import json
import re
import unicodedata

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrouter._core import AccessLog, DataPlane, Endpoint, RouteTable

from .fake_network import FakeLoop

# What HTTP lets into a header value: no control characters but the tab.
VALUES = st.binary(max_size=60).map(
    lambda value: bytes(byte for byte in value if byte == 9 or (byte >= 32 and byte != 127))
)
TARGETS = st.binary(max_size=40).map(lambda value: bytes(byte for byte in value if byte > 32 and byte != 127))
EXTRA = ("X-Any", "Referer", "Cookie")


class Logged:
    """The lines of requests in both formats."""

    def __init__(self) -> None:
        self._lines: dict[bool, list[bytes]] = {False: [], True: []}
        self._loops = {is_json: self._serve(is_json) for is_json in (False, True)}

    def _serve(self, is_json: bool) -> tuple[DataPlane, FakeLoop, AccessLog]:
        table = RouteTable()
        table.register("app.test", Endpoint("10.0.0.1", 8080))
        log = AccessLog(self._lines[is_json].append, is_json=is_json, extra_headers=EXTRA)
        plane = DataPlane(table, access_log=log)
        loop = FakeLoop()
        plane.start(loop)  # type: ignore[arg-type]
        return plane, loop, log

    def lines_of(self, request: bytes) -> tuple[bytes, bytes] | None:
        """The text line and the JSON line, None for what is refused before any line."""
        for plane, loop, log in self._loops.values():
            loop.connect_client(plane.new_client()).deliver(request)
            loop.run()
            # Ends the exchange, if there is one.
            plane.stop()
            loop.run()
            log.flush()
        batches = [b"".join(lines) for lines in self._lines.values()]
        for lines in self._lines.values():
            lines.clear()
        if not any(batches):
            return None
        text, record = batches
        return text, record


def unquoted(text: str) -> bytes:
    """What a Go string literal without its quotes stands for."""
    simple = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, '"': 34, "\\": 92}
    parts = []
    for match in re.finditer(r"\\x(..)|\\u(....)|\\U(.{8})|\\(.)|([^\\]+)", text, re.DOTALL):
        byte, short, long, escape, plain = match.groups()
        if byte:
            parts.append(bytes([int(byte, 16)]))
        elif short or long:
            parts.append(chr(int(short or long, 16)).encode())
        elif escape:
            parts.append(bytes([simple[escape]]))
        else:
            parts.append(plain.encode())
    return b"".join(parts)


@given(VALUES, VALUES, VALUES, TARGETS)
def test_any_bytes(agent: bytes, referer: bytes, other: bytes, target: bytes) -> None:
    request = b"GET /%s HTTP/1.1\r\nHost: app.test\r\nUser-Agent: %s\r\nReferer: %s\r\nX-Any: %s\r\n\r\n" % (
        target,
        agent,
        referer,
        other,
    )
    lines = Logged().lines_of(request)
    if lines is None:
        return
    text, encoded = lines
    assert text.endswith(b"\n")
    assert text.count(b"\n") == encoded.count(b"\n") == 1
    assert not any(byte < 32 for byte in text[:-1])
    line = text[:-1].decode()
    record = orjson.loads(encoded)
    assert record == json.loads(encoded)
    quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
    assert unquoted(quoted[0]) == b"GET /" + target + b" HTTP/1.1"
    values = {"user_agent": agent, "referer": referer}
    for value, logged in zip((referer, agent), quoted[1:3], strict=True):
        assert unquoted(logged) == (value.strip(b" \t") or b"-")
    for name, value in values.items():
        assert record[name] == (value.strip(b" \t").decode("utf-8", "replace") or None)
    last = re.search(r' x_any:"((?:[^"\\]|\\.)*)" referer:"((?:[^"\\]|\\.)*)" cookie:"-"$', line)
    assert last
    assert unquoted(last[1]) == (other.strip(b" \t") or b"-")
    assert record["headers"]["x_any"] == (other.strip(b" \t").decode("utf-8", "replace") or None)
    assert record["uri"] == "/" + target.decode("utf-8", "replace")
    assert f'" {record["status"]} {record["bytes_received"]} {record["bytes_sent"]} ' in line


@pytest.mark.slow
def test_every_character_is_printed_as_go_does() -> None:
    """Go prints letters, marks, numbers, punctuation, symbols and the space as they are (unicode.IsPrint)."""
    logged = Logged()
    codes = [code for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000]
    # The header may not begin or end with what a server would cut off, so each piece has marks around it.
    for begin in range(0, len(codes), 4_000):
        piece = codes[begin : begin + 4_000]
        text = "".join(map(chr, piece))
        request = f"GET / HTTP/1.1\r\nHost: app.test\r\nUser-Agent: <{text}>\r\n\r\n".encode()
        lines = logged.lines_of(request)
        assert lines is not None
        expected = "".join(
            chr(code)
            if unicodedata.category(chr(code))[0] in "LMNPS"
            else f"\\u{code:04x}"
            if code < 0x10000
            else f"\\U{code:08x}"
            for code in piece
        )
        assert f' "<{expected}>" ' in lines[0].decode()
        assert orjson.loads(lines[1])["user_agent"] == f"<{text}>"
