"""Transfer-Encoding in disguise: whoever ends the body elsewhere than the router does finds no second request in it."""

from .played import play
from .requests import SMUGGLED, cases, post

VARIANTS = (
    ("plain", "Transfer-Encoding: chunked", "POST / '', GET /smuggled, on"),
    ("lower-name", "transfer-encoding: chunked", "POST / '', GET /smuggled, on"),
    ("upper-value", "Transfer-Encoding: CHUNKED", "POST / '', GET /smuggled, on"),
    ("mixed", "tRANSFER-eNCODING: cHuNkEd", "POST / '', GET /smuggled, on"),
    ("no-blank", "Transfer-Encoding:chunked", "POST / '', GET /smuggled, on"),
    ("tab", "Transfer-Encoding:\tchunked", "POST / '', GET /smuggled, on"),
    ("two-blanks", "Transfer-Encoding:  chunked", "POST / '', GET /smuggled, on"),
    ("blank-behind", "Transfer-Encoding: chunked ", "POST / '', GET /smuggled, on"),
    ("tab-behind", "Transfer-Encoding: chunked\t", "POST / '', GET /smuggled, on"),
    ("blank-before-colon", "Transfer-Encoding : chunked", "400"),
    ("tab-before-colon", "Transfer-Encoding\t: chunked", "400"),
    ("nul-before-colon", "Transfer-Encoding\x00: chunked", "400"),
    ("vt-before-colon", "Transfer-Encoding\x0b: chunked", "400"),
    ("cr-before-colon", "Transfer-Encoding\r: chunked", "400"),
    ("blank-in-front", " Transfer-Encoding: chunked", "400"),
    ("tab-in-front", "\tTransfer-Encoding: chunked", "400"),
    ("vt-in-front", "\x0bTransfer-Encoding: chunked", "400"),
    ("nul-in-front", "\x00Transfer-Encoding: chunked", "400"),
    ("vt", "Transfer-Encoding: \x0bchunked", "501"),
    ("ff", "Transfer-Encoding: \x0cchunked", "501"),
    ("vt-behind", "Transfer-Encoding: chunked\x0b", "501"),
    ("ff-behind", "Transfer-Encoding: chunked\x0c", "501"),
    ("nul", "Transfer-Encoding: \x00chunked", "501"),
    ("nul-behind", "Transfer-Encoding: chunked\x00", "501"),
    ("nul-inside", "Transfer-Encoding: chu\x00nked", "501"),
    ("del-behind", "Transfer-Encoding: chunked\x7f", "501"),
    ("backspace", "Transfer-Encoding: xchunked\x08", "501"),
    ("no-break-space", "Transfer-Encoding: \xa0chunked", "501"),
    ("next-line", "Transfer-Encoding: \x85chunked", "501"),
    ("quoted", 'Transfer-Encoding: "chunked"', "501"),
    ("single-quoted", "Transfer-Encoding: 'chunked'", "501"),
    ("parameter", "Transfer-Encoding: chunked;q=1", "501"),
    ("empty-parameter", "Transfer-Encoding: chunked;", "501"),
    ("comment", "Transfer-Encoding: chunked(x)", "501"),
    ("comma-behind", "Transfer-Encoding: chunked,", "501"),
    ("comma-in-front", "Transfer-Encoding: ,chunked", "501"),
    ("twice-in-a-list", "Transfer-Encoding: chunked, chunked", "501"),
    ("identity-behind", "Transfer-Encoding: chunked, identity", "501"),
    ("identity-in-front", "Transfer-Encoding: identity, chunked", "501"),
    ("gzip-in-front", "Transfer-Encoding: gzip, chunked", "501"),
    ("gzip-behind", "Transfer-Encoding: chunked, gzip", "501"),
    ("cow-behind", "Transfer-Encoding: chunked, cow", "501"),
    ("identity", "Transfer-Encoding: identity", "501"),
    ("gzip", "Transfer-Encoding: gzip", "501"),
    ("x-in-front", "Transfer-Encoding: xchunked", "501"),
    ("x-behind", "Transfer-Encoding: chunkedx", "501"),
    ("short", "Transfer-Encoding: chunke", "501"),
    ("two-words", "Transfer-Encoding: chunked chunked", "501"),
    ("empty", "Transfer-Encoding:", "501"),
    ("blank", "Transfer-Encoding: ", "501"),
    ("twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "501"),
    ("twice-identity-first", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "501"),
    ("twice-identity-last", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "501"),
    ("twice-x-first", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked", "501"),
    ("twice-x-last", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "501"),
    ("twice-empty-first", "Transfer-Encoding:\r\nTransfer-Encoding: chunked", "501"),
    ("twice-in-two-cases", "Transfer-Encoding: chunked\r\ntransfer-encoding: identity", "501"),
    ("folded", "Transfer-Encoding:\r\n chunked", "501"),
    ("folded-by-tab", "Transfer-Encoding:\r\n\tchunked", "501"),
    ("folded-by-lf", "Transfer-Encoding:\n chunked", "501"),
    ("folded-inside", "Transfer-Encoding: chu\r\n nked", "501"),
    ("folded-behind", "Transfer-Encoding: chunked\r\n , identity", "400"),
    ("folded-name", "Transfer-\r\n Encoding: chunked", "400"),
    ("cut-name", "Transfer-\r\nEncoding: chunked", "400"),
    ("behind-a-cr", "X-A: b\rTransfer-Encoding: chunked", "400"),
    ("behind-an-lf", "X-A: b\nTransfer-Encoding: chunked", "POST / '', GET /smuggled, on"),
    ("behind-an-lf-cr", "X-A: b\n\rTransfer-Encoding: chunked", "400"),
    ("behind-a-cr-cr-lf", "X-A: b\r\r\nTransfer-Encoding: chunked", "400"),
    ("ends-with-an-lf", "Transfer-Encoding: chunked\nX-A: b", "POST / '', GET /smuggled, on"),
    ("underscore", "Transfer_Encoding: chunked", "POST / '', 400"),
    ("one-word", "TransferEncoding: chunked", "POST / '', 400"),
    ("high-letter", "Transfer-Encod\xecng: chunked", "400"),
    ("two-colons", "Transfer-Encoding:: chunked", "501"),
    ("no-colon", "Transfer-Encoding chunked", "400"),
    ("equals", "Transfer-Encoding= chunked", "400"),
    (
        "named-by-connection",
        "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
        "POST / '', GET /smuggled, on",
    ),
    ("te-asks-for-it", "TE: chunked\r\nTransfer-Encoding: chunked", "POST / '', GET /smuggled, on"),
    ("named-by-a-trailer", "Trailer: Transfer-Encoding\r\nTransfer-Encoding: chunked", "POST / '', GET /smuggled, on"),
)


@cases(*VARIANTS)
def test_alone(text: str, outcome: str) -> None:
    """Who sees no chunks in it takes what is behind the head for a request of its own."""
    assert play(post(text, body="0\r\n\r\n" + SMUGGLED)) == outcome


BESIDE = (
    ("plain", "Transfer-Encoding: chunked", "400"),
    ("lower-name", "transfer-encoding: chunked", "400"),
    ("upper-value", "Transfer-Encoding: CHUNKED", "400"),
    ("blank-before-colon", "Transfer-Encoding : chunked", "400"),
    ("blank-in-front", " Transfer-Encoding: chunked", "400"),
    ("vt", "Transfer-Encoding: \x0bchunked", "501"),
    ("nul", "Transfer-Encoding: \x00chunked", "501"),
    ("quoted", 'Transfer-Encoding: "chunked"', "501"),
    ("parameter", "Transfer-Encoding: chunked;q=1", "501"),
    ("comma-behind", "Transfer-Encoding: chunked,", "501"),
    ("identity", "Transfer-Encoding: identity", "501"),
    ("identity-behind", "Transfer-Encoding: chunked, identity", "501"),
    ("x-in-front", "Transfer-Encoding: xchunked", "501"),
    ("empty", "Transfer-Encoding:", "501"),
    ("twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "501"),
    ("folded", "Transfer-Encoding:\r\n chunked", "501"),
    ("cut-name", "Transfer-\r\nEncoding: chunked", "400"),
    ("behind-a-cr", "X-A: b\rTransfer-Encoding: chunked", "400"),
    ("behind-an-lf", "X-A: b\nTransfer-Encoding: chunked", "400"),
    ("high-letter", "Transfer-Encod\xecng: chunked", "400"),
    ("named-by-connection", "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", "400"),
)


@cases(
    *BESIDE,
    ("underscore", "Transfer_Encoding: chunked", "POST / '0\\r\\n\\r\\n', GET /smuggled, on"),
)
def test_behind_a_length(text: str, outcome: str) -> None:
    """By the length, the body is the last chunk."""
    assert play(post("Content-Length: 5", text, body="0\r\n\r\n" + SMUGGLED)) == outcome


@cases(
    *BESIDE,
    (
        "underscore",
        "Transfer_Encoding: chunked",
        "POST / '0\\r\\n\\r\\nGET /smuggled HTTP/1.1\\r\\nHost: app.test\\r\\n\\r\\n', on",
    ),
)
def test_in_front_of_a_length(text: str, outcome: str) -> None:
    """By the length, the body is the last chunk and a request."""
    length = 5 + len(SMUGGLED)
    assert play(post(text, f"Content-Length: {length}", body="0\r\n\r\n" + SMUGGLED)) == outcome


@cases(
    ("chunked", "Transfer-Encoding: chunked", "400"),
    ("identity", "Transfer-Encoding: identity", "400"),
    ("chunked-kept", "Connection: keep-alive\r\nTransfer-Encoding: chunked", "400"),
    ("length", "Content-Length: 5", "POST / '0\\r\\n\\r\\n'"),
)
def test_in_version_1_0(text: str, outcome: str) -> None:
    """It knows no chunks."""
    assert play(post(text, body="0\r\n\r\n" + SMUGGLED, start="POST / HTTP/1.0")) == outcome
