"""Backends that misbehave: the client gets a sound response or can tell that it is none, and the next one its own."""

import pytest

from .played_answers import play_answer
from .recording_backend import End
from .requests import cases

OK = "HTTP/1.1 200 OK\r\n"
WHOLE = OK + "Content-Length: 2\r\n\r\nok"
STALE = OK + "X-Token: 1\r\nContent-Length: 5\r\n\r\nstale"
CHUNKED = OK + "Transfer-Encoding: chunked\r\n\r\n"


@cases(
    ("plain", WHOLE, "200 'ok', kept"),
    ("lf", WHOLE.replace("\r\n", "\n"), "200 'ok', kept"),
    ("lower-version", "http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("version-1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 'ok', new"),
    ("version-1.0-kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("version-1.2", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 'ok', new"),
    ("version-2.0", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "200 'ok', new"),
    ("version-0.9", "ok\r\n\r\n", "502, new"),
    ("version-without-minor", "HTTP/1 200 OK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("version-of-rtsp", "RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("version-of-shoutcast", "ICY 200 OK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("no-reason", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("empty-reason", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("reason-with-high-byte", "HTTP/1.1 200 \xff\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("reason-with-nul", "HTTP/1.1 200 O\x00K\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("reason-with-cr", "HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("status-of-two-digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("status-of-four-digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("status-with-sign", "HTTP/1.1 +200 OK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("status-with-letter", "HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("status-000", "HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("status-099", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("status-299", "HTTP/1.1 299 OK\r\nContent-Length: 2\r\n\r\nok", "299 'ok', kept"),
    ("status-205", "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", "205 '', kept"),
    ("status-408", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\n\r\nok", "408 'ok', kept"),
    ("two-blanks", "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok", "200 'ok', new"),
    ("tab", "HTTP/1.1\t200 OK\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("blank-line-in-front", "\r\n" + WHOLE, "502, new"),
    ("blank-in-front", " " + WHOLE, "502, new"),
    ("nul-in-front", "\x00" + WHOLE, "502, new"),
    ("a-request", "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n", "502, new"),
    ("tls-alert", "\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", "502, new"),
    ("settings-of-http2", "\x00\x00\x00\x04\x00\x00\x00\x00\x00\r\n\r\n", "502, new"),
    ("html", "<html><body>hello</body></html>\r\n\r\n", "502, new"),
)
def test_status_lines(text: str, outcome: str) -> None:
    assert play_answer(text) == outcome


@cases(
    ("length-zero", OK + "Content-Length: 0\r\n\r\n", "200 '', kept"),
    ("length-plus", OK + "Content-Length: +2\r\n\r\nok", "502, new"),
    ("length-minus", OK + "Content-Length: -2\r\n\r\nok", "502, new"),
    ("length-hex", OK + "Content-Length: 0x2\r\n\r\nok", "502, new"),
    ("length-word", OK + "Content-Length: two\r\n\r\nok", "502, new"),
    ("length-wraps", OK + "Content-Length: 18446744073709551618\r\n\r\nok", "502, new"),
    ("length-in-a-list", OK + "Content-Length: 2, 2\r\n\r\nok", "502, new"),
    ("length-two-in-a-list", OK + "Content-Length: 2, 3\r\n\r\nok", "502, new"),
    ("length-twice", OK + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", "200 'ok', new"),
    ("length-two-ways", OK + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok", "502, new"),
    ("length-blank-before-colon", OK + "Content-Length : 2\r\n\r\nok", "200 'ok', new"),
    ("length-folded", OK + "Content-Length:\r\n 2\r\n\r\nok", "200 'ok', new"),
    ("length-nul", OK + "Content-Length: 2\x00\r\n\r\nok", "502, new"),
    ("length-behind-a-cr", OK + "X-A: b\rContent-Length: 2\r\n\r\nok", "502, new"),
    ("chunks", CHUNKED + "2\r\nok\r\n0\r\n\r\n", "200 'ok', kept"),
    ("chunks-with-extension", CHUNKED + "2;a=b\r\nok\r\n0\r\n\r\n", "200 'ok', kept"),
    ("chunks-with-blank", CHUNKED + "2 \r\nok\r\n0\r\n\r\n", "200 'ok', kept"),
    ("chunks-with-trailer", CHUNKED + "2\r\nok\r\n0\r\nX-T: a\r\n\r\n", "200 'ok' X-T=a, kept"),
    ("chunks-with-length-trailer", CHUNKED + "2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n", "cut, new, reconnected"),
    ("chunks-with-token-trailer", CHUNKED + "2\r\nok\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "200 'ok', kept"),
    ("chunks-bad-size", CHUNKED + "zz\r\nok\r\n0\r\n\r\n", "cut, new, reconnected"),
    ("chunks-minus", CHUNKED + "-2\r\nok\r\n0\r\n\r\n", "cut, new, reconnected"),
    ("chunks-0x", CHUNKED + "0x2\r\nok\r\n0\r\n\r\n", "cut, new, reconnected"),
    ("chunks-wrap", CHUNKED + "10000000000000002\r\nok\r\n0\r\n\r\n", "cut, new, reconnected"),
    ("chunks-too-long", CHUNKED + "2\r\nokay\r\n0\r\n\r\n", "cut, new, reconnected"),
    ("chunks-lf", CHUNKED + "2\nok\n0\n\n", "cut, new, reconnected"),
    ("chunks-bad-behind-good", CHUNKED + "2\r\nok\r\nzz\r\n", "cut, new, reconnected"),
    (
        "chunks-and-length",
        OK + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "200 'ok', new",
    ),
    (
        "length-and-chunks",
        OK + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "200 'ok', new",
    ),
    ("chunked-twice", OK + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "502, new"),
    ("chunked-twice-in-a-list", OK + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "502, new"),
    ("chunked-behind-gzip", OK + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "502, new"),
    ("chunked-misspelt", OK + "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", "502, new"),
    ("chunked-blank-before-colon", OK + "Transfer-Encoding : chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "200 'ok', new"),
    ("chunked-vt", OK + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "502, new"),
    ("chunked-folded", OK + "Transfer-Encoding:\r\n chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "200 'ok', new"),
    ("chunked-in-version-1.0", CHUNKED.replace("1.1", "1.0") + "2\r\nok\r\n0\r\n\r\n", "200 'ok', new"),
    ("identity", OK + "Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok", "502, new"),
)
def test_framing(text: str, outcome: str) -> None:
    assert play_answer(text) == outcome


@cases(
    ("nul-in-value", OK + "X-A: \x00\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("escape-in-value", OK + "X-A: \x1b\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("high-byte-in-value", OK + "X-A: \xff\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("cr-in-value", OK + "X-A: a\rX-B: b\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("folded", OK + "X-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok", "200 'ok', new"),
    ("blank-before-colon", OK + "X-A : b\r\nContent-Length: 2\r\n\r\nok", "200 'ok', new"),
    ("no-colon", OK + "X-A\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("no-name", OK + ": b\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("blank-in-name", OK + "X A: b\r\nContent-Length: 2\r\n\r\nok", "200 'ok', new"),
    ("blank-in-front", OK + " X-A: b\r\nContent-Length: 2\r\n\r\nok", "502, new"),
    ("connection-close", OK + "Connection: close\r\nContent-Length: 2\r\n\r\nok", "200 'ok', new"),
    ("connection-names-a-field", OK + "Connection: X-A\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("connection-names-the-length", OK + "Connection: Content-Length\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("keep-alive", OK + "Keep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("proxy-connection", OK + "Proxy-Connection: close\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("proxy-authenticate", OK + "Proxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("upgrade", OK + "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("trailer", OK + "Trailer: X-A\r\nContent-Length: 2\r\n\r\nok", "200 'ok', kept"),
    ("many", OK + "X-A: b\r\n" * 1500 + "Content-Length: 2\r\n\r\nok", "502, new"),
    ("endless-head", OK + "X-A: b\r\n" * 140000, "502, new"),
    ("endless-field", OK + "X-A: " + "b" * 1100000, "502, new"),
    ("endless-status-line", "HTTP/1.1 200 " + "O" * 1100000, "502, new"),
)
def test_fields(text: str, outcome: str) -> None:
    assert play_answer(text) == outcome


HINTS = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@cases(
    ("hints", HINTS + WHOLE, "103, 200 'ok', kept"),
    ("hints-twice", HINTS + HINTS + WHOLE, "103, 103, 200 'ok', kept"),
    ("continue-unasked", "HTTP/1.1 100 Continue\r\n\r\n" + WHOLE, "100, 200 'ok', kept"),
    ("processing", "HTTP/1.1 102 Processing\r\n\r\n" + WHOLE, "102, 200 'ok', kept"),
    ("unknown", "HTTP/1.1 199 Whatever\r\n\r\n" + WHOLE, "199, 200 'ok', kept"),
    ("with-length", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + WHOLE, "103, 200 'ok', kept"),
    ("with-length-and-body", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + WHOLE, "103, 502, new"),
    ("with-chunks", "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + WHOLE, "103, 502, new"),
    ("with-connection-close", "HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n" + WHOLE, "103, 200 'ok', kept"),
    ("with-keep-alive", "HTTP/1.1 103 Early Hints\r\nKeep-Alive: timeout=5\r\n\r\n" + WHOLE, "103, 200 'ok', kept"),
    ("version-1.0", "HTTP/1.0 100 Continue\r\n\r\n" + WHOLE, "100, 200 'ok', kept"),
    ("too-many", HINTS * 70 + WHOLE, "103, " * 64 + "502, new"),
    ("broken", "HTTP/1.1 103 Early Hints\r\nX A\r\n\r\n" + WHOLE, "502, new"),
    ("switch-unasked", SWITCH, "502 '', new"),
    ("switch-unasked-and-answer", SWITCH + WHOLE, "502 '', new"),
    ("switch-without-upgrade", "HTTP/1.1 101 Switching Protocols\r\n\r\n" + WHOLE, "502 '', new"),
    ("switch-behind-hints", HINTS + SWITCH, "103, 502 '', new"),
)
def test_interim_responses(text: str, outcome: str) -> None:
    assert play_answer(text) == outcome


@cases(
    ("to-another-protocol", SWITCH.replace("websocket", "h2c"), "502 '', new"),
    ("to-nothing", SWITCH.replace("Upgrade: websocket\r\n", ""), "502 '', new"),
    ("without-connection", SWITCH.replace("Connection: Upgrade\r\n", ""), "502 '', new"),
    ("refused", WHOLE, "200 'ok', kept"),
    ("refused-late", HINTS + WHOLE, "103, 200 'ok', kept"),
    (
        "upgrade-required",
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nno",
        "426 'no', kept",
    ),
)
def test_switches_that_were_asked_for(text: str, outcome: str) -> None:
    assert play_answer(text, lines="Connection: Upgrade\r\nUpgrade: websocket\r\n") == outcome


@cases(
    ("an-answer", WHOLE + STALE, "200 'ok', new"),
    ("a-byte", WHOLE + "x", "200 'ok', new"),
    ("a-blank-line", WHOLE + "\r\n", "200 'ok', new"),
    ("an-answer-behind-chunks", CHUNKED + "2\r\nok\r\n0\r\n\r\n" + STALE, "200 'ok', new"),
    ("an-answer-behind-nothing", OK + "Content-Length: 0\r\n\r\n" + STALE, "200 '', new"),
    ("an-interim-one", WHOLE + HINTS, "200 'ok', new"),
    ("a-switch", WHOLE + SWITCH, "200 'ok', new"),
    ("half-an-answer", WHOLE + STALE[:20], "200 'ok', new"),
    ("a-request", WHOLE + "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n", "200 'ok', new"),
)
def test_bytes_behind_a_response(text: str, outcome: str) -> None:
    assert play_answer(text) == outcome


@cases(
    ("an-answer", STALE, "200 'ok', new"),
    ("a-byte", "x", "200 'ok', new"),
    ("a-blank-line", "\r\n", "200 'ok', new"),
    ("an-interim-one", HINTS, "200 'ok', new"),
    ("a-switch", SWITCH, "200 'ok', new"),
    ("half-an-answer", STALE[:20], "200 'ok', new"),
    ("a-timeout", "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", "200 'ok', new"),
)
def test_late_bytes(text: str, outcome: str) -> None:
    """They come when the response has been relayed, and the connection is idle."""
    assert play_answer(WHOLE, late=text) == outcome


BODILESS = {
    "head": ("HEAD", OK + "Content-Length: 5\r\n\r\n"),
    "head-without-length": ("HEAD", OK + "\r\n"),
    "head-of-chunks": ("HEAD", CHUNKED),
    "head-of-404": ("HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n"),
    "204": ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
    "204-with-length": ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
    "204-with-chunks": ("GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "304": ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n"),
    "304-with-length": ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
    "304-with-chunks": ("GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
}
BODIES = {"text": "hello", "answer": STALE, "chunks": "5\r\nhello\r\n0\r\n\r\n"}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("head", BODILESS)
def test_a_body_that_comes_at_once_where_there_is_none(head: str, body: str) -> None:
    method, said = BODILESS[head]
    status = said.split(" ")[1]
    assert play_answer(said + BODIES[body], method=method) == f"{status}, new"


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("head", BODILESS)
def test_a_body_that_comes_late_where_there_is_none(head: str, body: str) -> None:
    """The connection rests when it comes."""
    method, said = BODILESS[head]
    status = said.split(" ")[1]
    assert play_answer(said, late=BODIES[body], method=method, rest=1000) == f"{status}, new"


@pytest.mark.parametrize("head", BODILESS)
def test_a_sound_response_without_a_body(head: str) -> None:
    method, said = BODILESS[head]
    status = said.split(" ")[1]
    assert play_answer(said, method=method) == f"{status}, kept"


ENDS = (
    ("nothing", "", "502, new"),
    ("a-byte", "H", "502, new"),
    ("status-line", OK, "502, new"),
    ("half-a-head", OK + "Content-Le", "502, new"),
    ("head-without-its-end", OK + "Content-Length: 2\r\n", "502, new"),
    ("interim", HINTS, "103, 502, new"),
    ("interim-and-half", HINTS + OK, "103, 502, new"),
    ("head", OK + "Content-Length: 2\r\n\r\n", "cut 200, new, reconnected"),
    ("half-a-body", OK + "Content-Length: 2\r\n\r\no", "cut 200, new, reconnected"),
    ("half-a-size", CHUNKED + "2", "cut 200, new, reconnected"),
    ("half-a-chunk", CHUNKED + "2\r\no", "cut 200, new, reconnected"),
    ("no-last-chunk", CHUNKED + "2\r\nok\r\n", "cut 200, new, reconnected"),
    ("half-a-last-chunk", CHUNKED + "2\r\nok\r\n0\r\n", "cut 200, new, reconnected"),
    ("half-a-trailer", CHUNKED + "2\r\nok\r\n0\r\nX-T: a\r\n", "cut 200, new, reconnected"),
)


@cases(
    *ENDS,
    ("whole", WHOLE, "200 'ok', new"),
    ("whole-and-more", WHOLE + STALE, "200 'ok', new"),
    ("until-the-end", OK + "\r\nok", "200 'ok', new"),
    ("until-the-end-of-nothing", OK + "\r\n", "200 '', new"),
    ("until-the-end-1.0", "HTTP/1.0 200 OK\r\n\r\nok", "200 'ok', new"),
    (
        "two-answers-until-the-end",
        OK + "\r\nok" + STALE,
        "200 'okHTTP/1.1 200 OK\\r\\nX-Token: 1\\r\\nContent-Length: 5\\r\\n\\r\\nstale', new",
    ),
)
def test_ends(text: str, outcome: str) -> None:
    assert play_answer(text, End.FIN) == outcome


@cases(*ENDS)
def test_resets(text: str, outcome: str) -> None:
    assert play_answer(text, End.RST) == outcome
