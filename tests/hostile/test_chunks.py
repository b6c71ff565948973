"""Chunks in disguise: sizes, extensions, ends of lines, trailers."""

from .played import play
from .requests import SMUGGLED, cases, post


@cases(
    ("plain", "5\r\nhello\r\n0\r\n\r\n", "POST / 'hello', GET /smuggled, on"),
    ("two", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "POST / 'hello', GET /smuggled, on"),
    ("none", "0\r\n\r\n", "POST / '', GET /smuggled, on"),
    ("leading-zeros", "0000005\r\nhello\r\n0000\r\n\r\n", "POST / 'hello', GET /smuggled, on"),
    ("sixteen-digits", "0000000000000005\r\nhello\r\n0\r\n\r\n", "400"),
    ("seventeen-digits", "00000000000000005\r\nhello\r\n0\r\n\r\n", "400"),
    ("upper-hex", "A\r\nhellohello\r\n0\r\n\r\n", "POST / 'hellohello', GET /smuggled, on"),
    ("lower-hex", "a\r\nhellohello\r\n0\r\n\r\n", "POST / 'hellohello', GET /smuggled, on"),
    ("0x", "0x5\r\nhello\r\n0\r\n\r\n", "400"),
    ("h", "5h\r\nhello\r\n0\r\n\r\n", "400"),
    ("plus", "+5\r\nhello\r\n0\r\n\r\n", "400"),
    ("minus", "-5\r\nhello\r\n0\r\n\r\n", "400"),
    ("minus-zero", "5\r\nhello\r\n-0\r\n\r\n", "400"),
    ("no-size", "\r\nhello\r\n0\r\n\r\n", "400"),
    ("no-digit", "zz\r\nhello\r\n0\r\n\r\n", "400"),
    ("fraction", "5.0\r\nhello\r\n0\r\n\r\n", "400"),
    ("comma", "5,5\r\nhello\r\n0\r\n\r\n", "400"),
    ("two-sizes", "5 5\r\nhello\r\n0\r\n\r\n", "400"),
    ("blank-in-front", " 5\r\nhello\r\n0\r\n\r\n", "400"),
    ("blank-behind", "5 \r\nhello\r\n0\r\n\r\n", "400"),
    ("tab-behind", "5\t\r\nhello\r\n0\r\n\r\n", "400"),
    ("blank-behind-the-last", "5\r\nhello\r\n0 \r\n\r\n", "400"),
    ("vt-behind", "5\x0b\r\nhello\r\n0\r\n\r\n", "400"),
    ("nul-behind", "5\x00\r\nhello\r\n0\r\n\r\n", "400"),
    ("nul-in-front", "\x005\r\nhello\r\n0\r\n\r\n", "400"),
    ("high-digit", "\xb5\r\nhello\r\n0\r\n\r\n", "400"),
    ("wraps-at-32-bits", "100000005\r\nhello\r\n0\r\n\r\n", "nothing"),
    ("wraps-at-64-bits", "10000000000000005\r\nhello\r\n0\r\n\r\n", "400"),
    ("most-of-63-bits", "7fffffffffffffff\r\nhello\r\n0\r\n\r\n", "400"),
    ("most-of-64-bits", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", "400"),
    ("zeros-and-more", "5\r\nhello\r\n00000000000000000000\r\n\r\n", "400"),
    ("size-ends-with-lf", "5\nhello\r\n0\r\n\r\n", "400"),
    ("size-ends-with-cr", "5\rhello\r\n0\r\n\r\n", "400"),
    ("size-ends-with-cr-cr-lf", "5\r\r\nhello\r\n0\r\n\r\n", "400"),
    ("data-ends-with-lf", "5\r\nhello\n0\r\n\r\n", "400"),
    ("data-ends-with-cr", "5\r\nhello\r0\r\n\r\n", "400"),
    ("data-ends-with-nothing", "5\r\nhello0\r\n\r\n", "400"),
    ("data-ends-with-anything", "5\r\nhelloXX0\r\n\r\n", "400"),
    ("data-ends-with-blank", "5\r\nhello \r\n0\r\n\r\n", "400"),
    ("data-ends-twice", "5\r\nhello\r\n\r\n0\r\n\r\n", "400"),
    ("data-too-long", "5\r\nhello world\r\n0\r\n\r\n", "400"),
    ("data-too-short", "6\r\nhello\r\n0\r\n\r\n", "400"),
    ("last-ends-with-lf", "5\r\nhello\r\n0\n\r\n", "400"),
    ("last-ends-with-lf-lf", "5\r\nhello\r\n0\n\n", "400"),
    ("last-ends-with-cr", "5\r\nhello\r\n0\r\r\n", "400"),
    ("end-is-lf", "5\r\nhello\r\n0\r\n\n", "400"),
    ("end-is-cr", "5\r\nhello\r\n0\r\n\r", "400"),
    ("no-end", "5\r\nhello\r\n0\r\n", "400"),
    ("all-lf", "5\nhello\n0\n\n", "400"),
    ("extension", "5;a=b\r\nhello\r\n0\r\n\r\n", "POST / 'hello', GET /smuggled, on"),
    ("extension-without-value", "5;a\r\nhello\r\n0\r\n\r\n", "POST / 'hello', GET /smuggled, on"),
    ("extension-empty", "5;\r\nhello\r\n0\r\n\r\n", "400"),
    ("extension-quoted", '5;a="b"\r\nhello\r\n0\r\n\r\n', "POST / 'hello', GET /smuggled, on"),
    ("extension-quoted-crlf", '5;a="\r\nhello\r\n0\r\n\r\n"', "400"),
    ("extension-quote-open", '5;a="b\r\nhello\r\n0\r\n\r\n', "400"),
    ("extension-of-the-last", "5\r\nhello\r\n0;a=b\r\n\r\n", "POST / 'hello', GET /smuggled, on"),
    ("extension-with-blanks", "5 ; a = b\r\nhello\r\n0\r\n\r\n", "400"),
    ("extension-with-lf", "5;a\nhello\r\n0\r\n\r\n", "400"),
    ("extension-with-lf-inside", "5;a\nb\r\nhello\r\n0\r\n\r\n", "400"),
    ("extension-with-cr", "5;a\rb\r\nhello\r\n0\r\n\r\n", "400"),
    ("extension-with-nul", "5;a=\x00\r\nhello\r\n0\r\n\r\n", "400"),
    ("extension-with-high-byte", "5;a=\xff\r\nhello\r\n0\r\n\r\n", "400"),
    ("extension-too-long", "5;" + "a" * 5000 + "\r\nhello\r\n0\r\n\r\n", "400"),
    ("extension-with-a-chunk", "5;\n0\r\n\r\n", "400"),
    ("comma-for-semicolon", "5,a=b\r\nhello\r\n0\r\n\r\n", "400"),
)
def test_chunks(text: str, outcome: str) -> None:
    assert play(post("Transfer-Encoding: chunked", body=text + SMUGGLED)) == outcome


@cases(
    ("plain", "X-T: a\r\n\r\n", "POST / 'hello' X-T=a, GET /smuggled, on"),
    ("lf", "X-T: a\n\r\n", "400"),
    ("lf-end", "X-T: a\r\n\n", "400"),
    ("cr", "X-T: a\rX-U: b\r\n\r\n", "400"),
    ("nul", "X-T: \x00\r\n\r\n", "400"),
    ("nul-in-name", "X\x00T: a\r\n\r\n", "400"),
    ("no-colon", "X-T a\r\n\r\n", "400"),
    ("no-name", ": a\r\n\r\n", "400"),
    ("blank-before-colon", "X-T : a\r\n\r\n", "400"),
    ("folded", "X-T: a\r\n b\r\n\r\n", "400"),
    ("blank-in-front", " X-T: a\r\n\r\n", "400"),
    ("no-end", "X-T: a\r\n", "400"),
    ("is-a-request", "GET /smuggled HTTP/1.1\r\n\r\n", "400"),
    ("length", "Content-Length: 5\r\n\r\n", "400"),
    ("transfer-encoding", "Transfer-Encoding: chunked\r\n\r\n", "400"),
    ("transfer-encoding-identity", "Transfer-Encoding: identity\r\n\r\n", "400"),
    ("host", "Host: other.test\r\n\r\n", "POST / 'hello', GET /smuggled, on"),
    ("connection", "Connection: close\r\n\r\n", "POST / 'hello', GET /smuggled, on"),
    ("upgrade", "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "POST / 'hello', GET /smuggled, on"),
    ("forwarded-for", "X-Forwarded-For: 1.2.3.4\r\n\r\n", "POST / 'hello', GET /smuggled, on"),
    ("authorization", "Authorization: Basic YQ==\r\n\r\n", "POST / 'hello', GET /smuggled, on"),
    ("many", "X-T: a\r\n" * 1001 + "\r\n", "400"),
    ("long", "X-T: " + "a" * 70000 + "\r\n\r\n", "400"),
)
def test_trailers(text: str, outcome: str) -> None:
    assert play(post("Transfer-Encoding: chunked", body="5\r\nhello\r\n0\r\n" + text + SMUGGLED)) == outcome


@cases(
    ("announced", "Trailer: X-T", "POST / 'hello' X-T=a, GET /smuggled, on"),
    ("not-announced", "X-A: b", "POST / 'hello' X-T=a, GET /smuggled, on"),
    ("wanted", "TE: trailers", "POST / 'hello' X-T=a, GET /smuggled, on"),
    ("announced-as-framing", "Trailer: Content-Length", "POST / 'hello' X-T=a, GET /smuggled, on"),
    ("announced-as-transfer-encoding", "Trailer: Transfer-Encoding, X-T", "POST / 'hello' X-T=a, GET /smuggled, on"),
)
def test_heads_with_trailers(text: str, outcome: str) -> None:
    body = "5\r\nhello\r\n0\r\nX-T: a\r\n\r\n"
    assert play(post("Transfer-Encoding: chunked", text, body=body + SMUGGLED)) == outcome
