"""Requests of HTTP/2 that would be two, or something else, once they are written as text of HTTP/1.1."""

import pytest

from integration.http2_frames import Flag, Frame, Kind, data, headers

from .played_http2 import fields_of, play_fields, play_frames
from .requests import SMUGGLED, cases, raw


@cases(
    ("plain", "", "GET /, on"),
    ("crlf-in-value", "x-a=b\r\nx-c: d", "reset PROTOCOL_ERROR, on"),
    ("lf-in-value", "x-a=b\nx-c: d", "reset PROTOCOL_ERROR, on"),
    ("cr-in-value", "x-a=b\rx-c: d", "reset PROTOCOL_ERROR, on"),
    ("nul-in-value", "x-a=b\x00", "reset PROTOCOL_ERROR, on"),
    ("head-end-in-value", "x-a=b\r\n\r\n" + SMUGGLED, "reset PROTOCOL_ERROR, on"),
    ("blank-in-front-of-value", "x-a= b", "reset PROTOCOL_ERROR, on"),
    ("blank-behind-value", "x-a=b ", "reset PROTOCOL_ERROR, on"),
    ("tab-inside-value", "x-a=b\tc", "GET /, on"),
    ("high-byte-in-value", "x-a=\xff", "GET /, on"),
    ("del-in-value", "x-a=\x7f", "reset PROTOCOL_ERROR, on"),
    ("crlf-in-name", "x-a: b\r\nx-c=d", "reset PROTOCOL_ERROR, on"),
    ("colon-in-name", "x-a: b=c", "reset PROTOCOL_ERROR, on"),
    ("blank-in-name", "x a=b", "reset PROTOCOL_ERROR, on"),
    ("blank-behind-name", "x-a =b", "reset PROTOCOL_ERROR, on"),
    ("upper-case-name", "X-A=b", "reset PROTOCOL_ERROR, on"),
    ("nul-in-name", "x\x00a=b", "reset PROTOCOL_ERROR, on"),
    ("high-byte-in-name", "x\xffa=b", "reset PROTOCOL_ERROR, on"),
    ("empty-name", "=b", "reset PROTOCOL_ERROR, on"),
    ("paren-in-name", "x(a)=b", "reset PROTOCOL_ERROR, on"),
    ("crlf-in-method", ":method=GET / HTTP/1.1\r\nX-A: b", "reset PROTOCOL_ERROR, on"),
    ("blank-in-method", ":method=GET /a", "reset PROTOCOL_ERROR, on"),
    ("empty-method", ":method=", "reset PROTOCOL_ERROR, on"),
    ("lower-method", ":method=get", "get /, on"),
    ("nul-in-method", ":method=G\x00T", "reset PROTOCOL_ERROR, on"),
    ("pri-method", ":method=PRI|:path=*", "reset PROTOCOL_ERROR, on"),
    ("connect", ":method=CONNECT|-:scheme|-:path|:authority=app.test:80", "400, on"),
    ("connect-with-path", ":method=CONNECT", "reset PROTOCOL_ERROR, on"),
    ("trace", ":method=TRACE", "TRACE /, on"),
    ("options-star", ":method=OPTIONS|:path=*", "200, on"),
    ("get-star", ":path=*", "reset PROTOCOL_ERROR, on"),
    ("crlf-in-path", ":path=/ HTTP/1.1\r\nX-A: b", "reset PROTOCOL_ERROR, on"),
    ("request-in-path", ":path=/ HTTP/1.1\r\nHost: app.test\r\n\r\nGET /smuggled", "reset PROTOCOL_ERROR, on"),
    ("blank-in-path", ":path=/a b", "reset PROTOCOL_ERROR, on"),
    ("tab-in-path", ":path=/a\tb", "reset PROTOCOL_ERROR, on"),
    ("nul-in-path", ":path=/\x00", "reset PROTOCOL_ERROR, on"),
    ("version-in-path", ":path=/ HTTP/1.1", "reset PROTOCOL_ERROR, on"),
    ("empty-path", ":path=", "reset PROTOCOL_ERROR, on"),
    ("no-slash", ":path=a", "reset PROTOCOL_ERROR, on"),
    ("url-as-path", ":path=http://other.test/", "reset PROTOCOL_ERROR, on"),
    ("fragment", ":path=/a#b", "GET /a#b, on"),
    ("high-byte-in-path", ":path=/\xff", "GET /ÿ, on"),
    ("broken-escape", ":path=/%zz", "400, on"),
    ("crlf-in-authority", ":authority=app.test\r\nX-A: b", "reset PROTOCOL_ERROR, on"),
    ("blank-in-authority", ":authority=app.test x", "reset PROTOCOL_ERROR, on"),
    ("path-in-authority", ":authority=app.test/x", "reset PROTOCOL_ERROR, on"),
    ("user-in-authority", ":authority=user@app.test", "reset PROTOCOL_ERROR, on"),
    ("empty-authority", ":authority=", "reset PROTOCOL_ERROR, on"),
    ("other-authority", ":authority=other.test", "404, on"),
    ("no-authority", "-:authority", "reset PROTOCOL_ERROR, on"),
    ("host-for-authority", "-:authority|host=app.test", "GET /, on"),
    ("host-beside-authority", "host=app.test", "GET /, on"),
    ("host-of-another", "host=other.test", "reset PROTOCOL_ERROR, on"),
    ("two-hosts", "-:authority|host=app.test|host=other.test", "reset PROTOCOL_ERROR, on"),
    ("crlf-in-scheme", ":scheme=http\r\nX-A: b", "reset PROTOCOL_ERROR, on"),
    ("odd-scheme", ":scheme=http://x/?", "reset PROTOCOL_ERROR, on"),
    ("empty-scheme", ":scheme=", "reset PROTOCOL_ERROR, on"),
    ("no-scheme", "-:scheme", "reset PROTOCOL_ERROR, on"),
    ("no-method", "-:method", "reset PROTOCOL_ERROR, on"),
    ("no-path", "-:path", "reset PROTOCOL_ERROR, on"),
    ("unknown-pseudo", ":x=b", "reset PROTOCOL_ERROR, on"),
    ("status", ":status=200", "reset PROTOCOL_ERROR, on"),
    ("protocol-without-connect", ":protocol=websocket", "reset PROTOCOL_ERROR, on"),
    ("pseudo-behind-a-field", "x-a=b|:x=c", "reset PROTOCOL_ERROR, on"),
    ("connection", "connection=close", "reset PROTOCOL_ERROR, on"),
    ("connection-names-a-field", "connection=x-a|x-a=b", "reset PROTOCOL_ERROR, on"),
    ("transfer-encoding", "transfer-encoding=chunked", "reset PROTOCOL_ERROR, on"),
    ("transfer-encoding-identity", "transfer-encoding=identity", "reset PROTOCOL_ERROR, on"),
    ("keep-alive", "keep-alive=timeout=5", "reset PROTOCOL_ERROR, on"),
    ("proxy-connection", "proxy-connection=keep-alive", "reset PROTOCOL_ERROR, on"),
    ("upgrade", "upgrade=websocket", "reset PROTOCOL_ERROR, on"),
    ("upgrade-h2c", "upgrade=h2c|http2-settings=AAMAAABkAAQAAP__", "reset PROTOCOL_ERROR, on"),
    ("te-trailers", "te=trailers", "GET /, on"),
    ("te-chunked", "te=chunked", "reset PROTOCOL_ERROR, on"),
    ("te-list", "te=trailers, deflate", "reset PROTOCOL_ERROR, on"),
    ("expect", "expect=100-continue", "GET /, on"),
    ("expect-another", "expect=200-ok", "417, on"),
    ("length-of-nothing", "content-length=5", "reset PROTOCOL_ERROR, on"),
    ("length-zero", "content-length=0", "GET /, on"),
    ("many-fields", "|".join(f"x-{number}=b" for number in range(1500)), "431, on"),
)
def test_fields(text: str, outcome: str) -> None:
    assert play_fields(text) == outcome


@cases(
    ("no-length", "", "POST / '0\\r\\n\\r\\nGET /smuggled HTTP/1.1\\r\\nHost: app.test\\r\\n\\r\\n', on"),
    ("length", "content-length=47", "POST / '0\\r\\n\\r\\nGET /smuggled HTTP/1.1\\r\\nHost: app.test\\r\\n\\r\\n', on"),
    ("length-too-short", "content-length=5", "reset PROTOCOL_ERROR, on"),
    ("length-too-long", "content-length=4700", "reset PROTOCOL_ERROR, on"),
    ("length-zero", "content-length=0", "reset PROTOCOL_ERROR, on"),
    ("length-twice", "content-length=47|content-length=47", "reset PROTOCOL_ERROR, on"),
    ("length-two-ways", "content-length=47|content-length=5", "reset PROTOCOL_ERROR, on"),
    ("length-in-a-list", "content-length=47, 47", "reset PROTOCOL_ERROR, on"),
    ("length-plus", "content-length=+47", "reset PROTOCOL_ERROR, on"),
    ("length-hex", "content-length=0x2f", "reset PROTOCOL_ERROR, on"),
    ("length-minus", "content-length=-1", "reset PROTOCOL_ERROR, on"),
    ("length-empty", "content-length=", "reset PROTOCOL_ERROR, on"),
    ("length-wraps", "content-length=18446744073709551663", "reset PROTOCOL_ERROR, on"),
    ("length-with-crlf", "content-length=47\r\nx-a: b", "reset PROTOCOL_ERROR, on"),
    ("transfer-encoding", "transfer-encoding=chunked", "reset PROTOCOL_ERROR, on"),
    ("transfer-encoding-beside-length", "content-length=47|transfer-encoding=chunked", "reset PROTOCOL_ERROR, on"),
    ("transfer-encoding-behind-crlf", "x-a=b\r\ntransfer-encoding: chunked", "reset PROTOCOL_ERROR, on"),
    ("upgrade", "connection=upgrade|upgrade=websocket", "reset PROTOCOL_ERROR, on"),
)
def test_bodies(text: str, outcome: str) -> None:
    """What looks like the last chunk and a request stays a body."""
    assert len(SMUGGLED) == 42
    assert play_fields(":method=POST|" + text, "0\r\n\r\n", SMUGGLED) == outcome


@cases(
    ("plain", "x-t=a", "POST / 'hello' X-T=a, on"),
    ("crlf", "x-t=a\r\n\r\n" + SMUGGLED, "reset PROTOCOL_ERROR, on"),
    ("crlf-in-name", "x-t: a\r\n\r\nGET / HTTP/1.1\r\nx=b", "reset PROTOCOL_ERROR, on"),
    ("nul", "x-t=\x00", "reset PROTOCOL_ERROR, on"),
    ("upper-case", "X-T=a", "reset PROTOCOL_ERROR, on"),
    ("pseudo", ":path=/other", "reset PROTOCOL_ERROR, on"),
    ("length", "content-length=5", "POST / 'hello', on"),
    ("transfer-encoding", "transfer-encoding=chunked", "reset PROTOCOL_ERROR, on"),
    ("connection", "connection=close", "reset PROTOCOL_ERROR, on"),
    ("host", "host=other.test", "POST / 'hello', on"),
    ("forwarded-for", "x-forwarded-for=1.2.3.4", "POST / 'hello', on"),
)
def test_trailers(text: str, outcome: str) -> None:
    assert play_fields(":method=POST", "hello", trailers=text) == outcome


_GET = fields_of("")
_POST = fields_of(":method=POST")
_FRAMES: tuple[tuple[str, bytes, str], ...] = (
    ("data-before-headers", data(1, b"hello", ends=True), "goaway PROTOCOL_ERROR"),
    ("data-behind-the-end", headers(1, _GET) + data(1, raw(SMUGGLED), ends=True), "goaway STREAM_CLOSED"),
    ("headers-twice", headers(1, _POST, ends=False) + headers(1, _GET), "reset PROTOCOL_ERROR, on"),
    (
        "third-headers",
        headers(1, _POST, ends=False) + headers(1, [(b"x-t", b"a")]) + headers(1, [(b"x-t", b"b")]),
        "goaway STREAM_CLOSED",
    ),
    (
        "trailers-without-end",
        headers(1, _POST, ends=False) + headers(1, [(b"x-t", b"a")], ends=False),
        "reset PROTOCOL_ERROR, on",
    ),
    ("even-stream", headers(2, _GET), "goaway PROTOCOL_ERROR"),
    ("stream-zero", headers(0, _GET), "goaway PROTOCOL_ERROR"),
    ("continuation-alone", Frame(Kind.CONTINUATION, Flag.END_HEADERS, 1, b"").encode(), "goaway PROTOCOL_ERROR"),
    ("between-continuations", headers(1, _GET, flags=0) + data(3, b"x"), "goaway PROTOCOL_ERROR"),
    ("headers-cut", headers(1, _GET)[:-1] + b"\xff", "goaway COMPRESSION_ERROR"),
    ("padding-too-long", Frame(Kind.DATA, Flag.PADDED, 1, b"\xffx").encode(), "goaway PROTOCOL_ERROR"),
    (
        "depends-on-itself",
        Frame(Kind.PRIORITY, 0, 1, b"\x00\x00\x00\x01\x00").encode() + headers(1, _GET),
        "goaway PROTOCOL_ERROR",
    ),
    ("push", Frame(Kind.PUSH_PROMISE, Flag.END_HEADERS, 1, b"\x00\x00\x00\x02").encode(), "goaway PROTOCOL_ERROR"),
    ("http-1-behind-the-preface", raw(SMUGGLED), "goaway FRAME_SIZE_ERROR"),
    ("settings-of-a-stream", Frame(Kind.SETTINGS, 0, 1, b"").encode(), "goaway PROTOCOL_ERROR"),
    ("settings-cut", Frame(Kind.SETTINGS, 0, 0, b"\x00").encode(), "goaway FRAME_SIZE_ERROR"),
    (
        "window-of-nothing",
        headers(1, _POST, ends=False) + Frame(Kind.WINDOW_UPDATE, 0, 1, b"\0\0\0\0").encode(),
        "goaway PROTOCOL_ERROR",
    ),
    (
        "window-too-wide",
        Frame(Kind.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff").encode() + headers(1, _GET),
        "goaway FLOW_CONTROL_ERROR",
    ),
    ("unknown-frame", Frame(0xFA, 0xFF, 1, b"anything").encode() + headers(1, _GET), "GET /, on"),
)


@pytest.mark.parametrize(("frames", "outcome"), [pytest.param(*row[1:], id=row[0]) for row in _FRAMES])
def test_frames(frames: bytes, outcome: str) -> None:
    assert play_frames(frames) == outcome
