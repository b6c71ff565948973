"""Content-Length in disguise: there is one, in digits, or there is no request."""

from .played import play
from .requests import SMUGGLED, cases, post


@cases(
    ("plain", "Content-Length: 5", "POST / 'hello', GET /smuggled, on"),
    ("lower-name", "content-length: 5", "POST / 'hello', GET /smuggled, on"),
    ("no-blank", "Content-Length:5", "POST / 'hello', GET /smuggled, on"),
    ("tab", "Content-Length:\t5", "POST / 'hello', GET /smuggled, on"),
    ("blank-behind", "Content-Length: 5 ", "POST / 'hello', GET /smuggled, on"),
    ("tab-behind", "Content-Length: 5\t", "POST / 'hello', GET /smuggled, on"),
    ("zero", "Content-Length: 0", "POST / '', helloGET /smuggled, on"),
    ("leading-zero", "Content-Length: 05", "POST / 'hello', GET /smuggled, on"),
    ("leading-zeros", "Content-Length: 000000000000000000000000005", "400"),
    ("plus", "Content-Length: +5", "400"),
    ("minus", "Content-Length: -5", "400"),
    ("minus-zero", "Content-Length: -0", "400"),
    ("hex", "Content-Length: 0x5", "400"),
    ("hex-digit", "Content-Length: a", "400"),
    ("octal", "Content-Length: 0o5", "400"),
    ("fraction", "Content-Length: 5.0", "400"),
    ("exponent", "Content-Length: 5e0", "400"),
    ("underscore-inside", "Content-Length: 1_0", "400"),
    ("blank-inside", "Content-Length: 5 5", "400"),
    ("word", "Content-Length: five", "400"),
    ("word-behind", "Content-Length: 5 bytes", "400"),
    ("letter-behind", "Content-Length: 5x", "400"),
    ("semicolon", "Content-Length: 5;", "400"),
    ("quoted", 'Content-Length: "5"', "400"),
    ("same-in-a-list", "Content-Length: 5, 5", "400"),
    ("same-in-a-tight-list", "Content-Length: 5,5", "400"),
    ("two-in-a-list", "Content-Length: 5, 6", "400"),
    ("comma-behind", "Content-Length: 5,", "400"),
    ("comma-in-front", "Content-Length: ,5", "400"),
    ("empty", "Content-Length:", "400"),
    ("blank", "Content-Length: ", "400"),
    ("vt", "Content-Length: \x0b5", "400"),
    ("vt-behind", "Content-Length: 5\x0b", "400"),
    ("ff-behind", "Content-Length: 5\x0c", "400"),
    ("nul", "Content-Length: \x005", "400"),
    ("nul-behind", "Content-Length: 5\x00", "400"),
    ("superscript", "Content-Length: \xb2", "400"),
    ("arabic-digit", "Content-Length: \xd9\xa5", "400"),
    ("no-break-space", "Content-Length: \xa05", "400"),
    ("wraps-at-8-bits", "Content-Length: 261", "nothing"),
    ("wraps-at-32-bits", "Content-Length: 4294967301", "nothing"),
    ("wraps-at-63-bits", "Content-Length: 9223372036854775813", "400"),
    ("wraps-at-64-bits", "Content-Length: 18446744073709551621", "400"),
    ("most-of-63-bits", "Content-Length: 9223372036854775807", "400"),
    ("huge", "Content-Length: 99999999999999999999999999999999999", "400"),
    ("twice-the-same", "Content-Length: 5\r\nContent-Length: 5", "400"),
    ("twice", "Content-Length: 5\r\nContent-Length: 6", "400"),
    ("twice-zero-first", "Content-Length: 0\r\nContent-Length: 5", "400"),
    ("twice-zero-last", "Content-Length: 5\r\nContent-Length: 0", "400"),
    ("twice-empty-first", "Content-Length:\r\nContent-Length: 5", "400"),
    ("twice-in-two-cases", "Content-Length: 5\r\ncontent-length: 0", "400"),
    ("twice-in-two-writings", "Content-Length: 5\r\nContent-Length: 05", "400"),
    ("blank-before-colon", "Content-Length : 5", "400"),
    ("tab-before-colon", "Content-Length\t: 5", "400"),
    ("nul-before-colon", "Content-Length\x00: 5", "400"),
    ("cr-before-colon", "Content-Length\r: 5", "400"),
    ("blank-in-front", " Content-Length: 5", "400"),
    ("vt-in-front", "\x0bContent-Length: 5", "400"),
    ("folded", "Content-Length:\r\n 5", "400"),
    ("folded-behind", "Content-Length: 5\r\n ", "400"),
    ("folded-digits", "Content-Length: 5\r\n 5", "400"),
    ("behind-a-cr", "X-A: b\rContent-Length: 5", "400"),
    ("behind-an-lf", "X-A: b\nContent-Length: 5", "POST / 'hello', GET /smuggled, on"),
    ("ends-with-an-lf", "Content-Length: 5\nX-A: b", "POST / 'hello', GET /smuggled, on"),
    ("ends-with-a-cr", "Content-Length: 5\rX-A: b", "400"),
    ("underscore", "Content_Length: 5", "POST / '', helloGET /smuggled, on"),
    ("no-colon", "Content-Length 5", "400"),
    ("named-by-connection", "Connection: Content-Length\r\nContent-Length: 5", "POST / 'hello', GET /smuggled, on"),
)
def test_of_a_post(text: str, outcome: str) -> None:
    assert play(post(text, body="hello" + SMUGGLED)) == outcome


@cases(
    ("get", "GET", "GET / 'GET /smuggled HTTP/1.1\\r\\nHost: app.test\\r\\n\\r\\n', on"),
    ("head", "HEAD", "HEAD / 'GET /smuggled HTTP/1.1\\r\\nHost: app.test\\r\\n\\r\\n', on"),
    ("delete", "DELETE", "DELETE / 'GET /smuggled HTTP/1.1\\r\\nHost: app.test\\r\\n\\r\\n', on"),
    ("options", "OPTIONS", "OPTIONS / 'GET /smuggled HTTP/1.1\\r\\nHost: app.test\\r\\n\\r\\n', on"),
    ("trace", "TRACE", "TRACE / 'GET /smuggled HTTP/1.1\\r\\nHost: app.test\\r\\n\\r\\n', on"),
    ("any", "ANY", "ANY / 'GET /smuggled HTTP/1.1\\r\\nHost: app.test\\r\\n\\r\\n', on"),
)
def test_of_methods_that_need_no_body(text: str, outcome: str) -> None:
    """Who ignores it finds a request in the body."""
    length = len(SMUGGLED)
    assert play(post(f"Content-Length: {length}", body=SMUGGLED, start=f"{text} / HTTP/1.1")) == outcome
