"""Header fields: what is none ends the request; what is for this connection, or the router's to say, stays here."""

from .played import play
from .requests import HOST, SMUGGLED, cases, get, post, raw


@cases(
    ("nul-in-value", "X-A: a\x00b", "400"),
    ("nul-in-name", "X\x00A: b", "400"),
    ("bell-in-value", "X-A: \x07", "400"),
    ("escape-in-value", "X-A: \x1b[0m", "400"),
    ("del-in-value", "X-A: \x7f", "400"),
    ("tab-in-value", "X-A: a\tb", "GET /, GET /smuggled, on"),
    ("vt-in-value", "X-A: a\x0bb", "400"),
    ("high-byte-in-value", "X-A: \xff", "GET /, GET /smuggled, on"),
    ("high-byte-in-name", "X-\xff: b", "400"),
    ("cr-in-value", "X-A: a\rb", "400"),
    ("cr-behind-value", "X-A: a\r", "400"),
    ("cr-in-name", "X\rA: b", "400"),
    ("lf-in-value", "X-A: a\nX-B: b", "GET /, GET /smuggled, on"),
    ("cr-cr-lf", "X-A: a\r\r\nX-B: b", "400"),
    ("lf-cr", "X-A: a\n\rX-B: b", "400"),
    ("empty-line-of-cr", "X-A: a\r\n\r\r\n", "400"),
    ("empty-line-of-blank", "X-A: a\r\n \r\n", "400"),
    ("empty-line-of-lf", "X-A: a\n\nGET /behind HTTP/1.1\r\nHost: app.test", "GET /, GET /behind, GET /smuggled, on"),
    ("fold", "X-A: a\r\n b", "400"),
    ("fold-by-tab", "X-A: a\r\n\tb", "400"),
    ("fold-of-a-field", "X-A: a\r\n Content-Length: 5", "400"),
    ("blank-name", " : b", "400"),
    ("no-name", ": b", "400"),
    ("no-colon", "X-A", "400"),
    ("blank-in-name", "X A: b", "400"),
    ("blank-behind-name", "X-A : b", "400"),
    ("paren-in-name", "X(A): b", "400"),
    ("slash-in-name", "X/A: b", "400"),
    ("quote-in-name", 'X"A: b', "400"),
    ("at-in-name", "X@A: b", "400"),
    ("odd-letters-in-name", "!#$%&'*+.^_`|~: b", "GET /, GET /smuggled, on"),
    ("colon-in-name", "X:A: b", "GET /, GET /smuggled, on"),
    ("long-name", "X" * 70000 + ": b", "GET /, GET /smuggled, on"),
    ("many", "\r\n".join(f"X-{number}: b" for number in range(1500)), "431, GET /smuggled, on"),
    ("a-request", "GET /inner HTTP/1.1", "400"),
    ("a-request-as-value", "X-A: GET /inner HTTP/1.1", "GET /, GET /smuggled, on"),
)
def test_what_is_a_field(text: str, outcome: str) -> None:
    assert play(raw(f"GET / HTTP/1.1\r\n{HOST}{text}\r\n\r\n{SMUGGLED}")) == outcome


@cases(
    ("close", "Connection: close", "GET /"),
    ("close-in-a-list", "Connection: x, close", "GET /"),
    ("close-quoted", 'Connection: "close"', "GET /, on"),
    ("names-a-field", "Connection: X-A\r\nX-A: b", "GET /, on"),
    ("names-the-host", "Connection: Host", "GET /, on"),
    ("names-forwarded-for", "Connection: X-Forwarded-For, X-Forwarded-Proto", "GET /, on"),
    ("names-the-instance", "Connection: X-Cf-Instanceid, X-Cf-Applicationid", "GET /, on"),
    ("names-the-cookie", "Connection: Cookie\r\nCookie: a=b", "GET /, on"),
    ("keep-alive", "Keep-Alive: timeout=5", "GET /, on"),
    ("proxy-connection", "Proxy-Connection: keep-alive", "GET /, on"),
    ("proxy-authorization", "Proxy-Authorization: Basic YQ==", "GET /, on"),
    ("proxy-authenticate", "Proxy-Authenticate: Basic", "GET /, on"),
    ("te", "TE: gzip, trailers", "GET /, on"),
    ("trailer", "Trailer: X-A", "GET /, on"),
    ("upgrade-without-connection", "Upgrade: websocket", "GET /, on"),
    ("connection-without-upgrade", "Connection: Upgrade", "GET /, on"),
    ("forwarded-for", "X-Forwarded-For: 1.2.3.4", "GET /, on"),
    ("forwarded-for-twice", "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8", "GET /, on"),
    ("instance", "X-Cf-Instanceid: other\r\nX-Cf-Applicationid: other", "GET /, on"),
    ("request-id", "X-Vcap-Request-Id: mine", "GET /, on"),
    ("proxy", "Proxy: http://other.test", "GET /, on"),
    ("override", "X-HTTP-Method-Override: DELETE", "GET /, on"),
    ("rewrite", "X-Original-URL: /admin\r\nX-Rewrite-URL: /admin", "GET /, on"),
)
def test_what_is_for_this_connection(text: str, outcome: str) -> None:
    assert play(get(text)) == outcome


@cases(
    ("continue", "Expect: 100-continue", "POST / 'hello', GET /smuggled, on"),
    ("continue-in-upper-case", "Expect: 100-CONTINUE", "POST / 'hello', GET /smuggled, on"),
    ("continue-twice", "Expect: 100-continue\r\nExpect: 100-continue", "POST / 'hello', GET /smuggled, on"),
    ("continue-in-a-list", "Expect: 100-continue, x", "417"),
    ("another", "Expect: 200-ok", "417"),
    ("empty", "Expect:", "POST / 'hello', GET /smuggled, on"),
    ("blank-behind", "Expect: 100-continue ", "POST / 'hello', GET /smuggled, on"),
    ("folded", "Expect:\r\n 100-continue", "400"),
    ("underscore", "Expect_: 100-continue", "POST / 'hello', GET /smuggled, on"),
)
def test_expectations(text: str, outcome: str) -> None:
    """The body comes at once, whoever may have been waited for; behind it a request."""
    assert play(post(text, "Content-Length: 5", body="hello" + SMUGGLED)) == outcome


@cases(
    ("chunked", "Transfer-Encoding: chunked", "POST / 'hello', GET /smuggled, on"),
    ("chunked-broken", "Transfer-Encoding: chunked\r\nContent-Length: 5", "400"),
    ("no-body", "X-A: b", "POST / '', 400"),
    ("empty-body", "Content-Length: 0", "POST / '', 400"),
    ("too-long", "Content-Length: 5000", "nothing"),
)
def test_bodies_that_are_expected(text: str, outcome: str) -> None:
    assert play(post("Expect: 100-continue", text, body="5\r\nhello\r\n0\r\n\r\n" + SMUGGLED)) == outcome


@cases(
    ("websocket", "Connection: Upgrade\r\nUpgrade: websocket", "GET /, GET /smuggled, on"),
    (
        "websocket-with-length",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 42",
        "GET / 'GET /smuggled HTTP/1.1\\r\\nHost: app.test\\r\\n\\r\\n', on",
    ),
    ("websocket-chunked", "Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked", "400"),
    (
        "h2c",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "GET /, GET /smuggled, on",
    ),
    ("h2c-only", "Connection: Upgrade\r\nUpgrade: h2c", "GET /, GET /smuggled, on"),
    ("h2c-in-upper-case", "Connection: upgrade\r\nUpgrade: H2C", "GET /, GET /smuggled, on"),
    ("h2c-in-a-list", "Connection: Upgrade\r\nUpgrade: websocket, h2c", "GET /, GET /smuggled, on"),
    ("h2c-twice", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c", "GET /, GET /smuggled, on"),
    ("h2", "Connection: Upgrade\r\nUpgrade: h2", "GET /, GET /smuggled, on"),
    ("tls", "Connection: Upgrade\r\nUpgrade: TLS/1.0", "GET /, GET /smuggled, on"),
    ("unknown", "Connection: Upgrade\r\nUpgrade: x", "GET /, GET /smuggled, on"),
    ("empty", "Connection: Upgrade\r\nUpgrade:", "GET /, GET /smuggled, on"),
    ("two", "Connection: Upgrade\r\nUpgrade: x, y", "GET /, GET /smuggled, on"),
    ("close-too", "Connection: Upgrade, close\r\nUpgrade: websocket", "GET /"),
    (
        "another-version",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777",
        "GET /, GET /smuggled, on",
    ),
)
def test_upgrades(text: str, outcome: str) -> None:
    """The backend agrees to none: what comes behind is a request, not a tunnel's."""
    assert play(raw(f"GET / HTTP/1.1\r\n{HOST}{text}\r\n\r\n{SMUGGLED}")) == outcome


@cases(
    ("two", "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\nGET /b HTTP/1.1\r\nHost: app.test\r\n\r\n", "GET /a, GET /b, on"),
    (
        "blank-lines-between",
        "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n\r\n\r\n" + SMUGGLED,
        "GET /a, GET /smuggled, on",
    ),
    ("nul-between", "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n\x00" + SMUGGLED, "GET /a, 400"),
    ("letter-between", "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\nX" + SMUGGLED, "GET /a, XGET /smuggled, on"),
    ("blank-between", "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n " + SMUGGLED, "GET /a, 400"),
    ("tls-between", "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n\x16\x03\x01\x00\x05hello" + SMUGGLED, "GET /a, 400"),
    (
        "preface-between",
        "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
        "GET /a, 400",
    ),
    ("response-between", "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + SMUGGLED, "GET /a, 400"),
    (
        "proxy-header-between",
        "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\nPROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + SMUGGLED,
        "GET /a, 400",
    ),
    ("behind-close", "GET /a HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n" + SMUGGLED, "GET /a"),
    ("behind-1.0", "GET /a HTTP/1.0\r\nHost: app.test\r\n\r\n" + SMUGGLED, "GET /a"),
    (
        "behind-1.0-kept",
        "GET /a HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n" + SMUGGLED,
        "GET /a, GET /smuggled, on",
    ),
    ("behind-a-refusal", "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + SMUGGLED, "400"),
    ("behind-no-route", "GET /a HTTP/1.1\r\nHost: other.test\r\n\r\n" + SMUGGLED, "404, GET /smuggled, on"),
    (
        "body-behind-no-route",
        "POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 5\r\n\r\nhello" + SMUGGLED,
        "404, GET /smuggled, on",
    ),
    (
        "length-behind-no-route",
        "POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 42\r\n\r\n" + SMUGGLED,
        "404, on",
    ),
    ("behind-a-head", "HEAD /a HTTP/1.1\r\nHost: app.test\r\n\r\n" + SMUGGLED, "HEAD /a, GET /smuggled, on"),
    ("behind-options-star", "OPTIONS * HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello" + SMUGGLED, "200"),
    ("many", "GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n" * 20, "GET /a, " * 20 + "on"),
    ("half-a-head", "GET /a HTTP/1.1\r\nHost: app.te", "400"),
    ("half-a-body", "POST /a HTTP/1.1\r\nHost: app.test\r\nContent-Length: 500\r\n\r\n" + SMUGGLED, "nothing"),
    (
        "half-a-chunk",
        "POST /a HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + SMUGGLED,
        "nothing",
    ),
)
def test_pipelines(text: str, outcome: str) -> None:
    assert play(raw(text)) == outcome
