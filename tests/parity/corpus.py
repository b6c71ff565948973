"""The cases, by what they are about. Generated where many differ in one value only."""

# fmt: off
# Values stand in rows; one a line they would be two thousand lines.

from collections.abc import Iterable, Iterator

from integration.http_message import chunked, response_with

from .case import ANSWER, Case, Do, Step, Take, answered, raw, request, simple
from .pair import APP, PROCESS

CHUNKED = b"Transfer-Encoding: chunked"
WEBSOCKET = (b"Connection: Upgrade", b"Upgrade: websocket")
CONTINUING: tuple[Step, ...] = (Do.READ_HEAD, b"HTTP/1.1 100 Continue\r\n\r\n", Take(1), response_with())
"""A backend that asks at once for the one byte of a body, for the second without that is long."""
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def _length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def methods() -> Iterator[Case]:
    for method in (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND",
                   b"PURGE", b"get", b"X", b"M-SEARCH", b"A!#$%&'*+.^_`|~1", b"LONG" * 20):
        yield simple(f"method {method.decode()[:20]}", method + b" / HTTP/1.1")
        body = b"hello"
        yield simple(f"method {method.decode()[:20]} with a body", method + b" / HTTP/1.1", _length(body), body=body)
    for line in (b"G(T / HTTP/1.1", b" GET / HTTP/1.1", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET / HTTP/1.1 ",
                 b"GET /", b"GET", b"", b"/ HTTP/1.1", b"G\xc3\xa9T / HTTP/1.1", b"GET / http/1.1", b"GET / HTTP/1.1x", b"GET / HTTP/11"):
        yield simple(f"start line {line!r}", line)
    for version in (b"1.0", b"1.2", b"1.5", b"1.9", b"0.9", b"2.0", b"3.0", b"1", b"1.", b"1.10", b"01.1", b"1.1.1", b"10.1"):
        yield simple(f"version {version.decode()}", b"GET / HTTP/" + version)
    yield raw("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    yield raw("bare line feeds", b"GET / HTTP/1.1\nHost: app.parity\nX-A: b\n\n")
    yield raw("empty lines first", b"\r\n\r\nGET / HTTP/1.1\r\nHost: app.parity\r\n\r\n")
    yield raw("bare carriage return in a line", b"GET / HTTP/1.1\r\nHost: app.parity\r\nX-A: b\rc\r\n\r\n")
    yield raw("bare carriage returns as ends", b"GET / HTTP/1.1\rHost: app.parity\r\r")
    yield raw("nonsense", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    yield Case("closed without a byte", (Do.CLOSE,))
    yield Case("half a request line and away", (b"GET / HT", Do.HALF_CLOSE, Do.READ))
    yield Case("half a head and away", (b"GET / HTTP/1.1\r\nHost: app.parity\r\n", Do.HALF_CLOSE, Do.READ))


def targets() -> Iterator[Case]:
    for target in (
        b"/a/b?c=d", b"/?", b"/a?", b"?", b"/??", b"/#f", b"/a#b?c", b"/%41", b"/%2f", b"/%2F%2e", b"/%zz", b"/%", b"/%4", b"/a%00b",
        b"/a?b=%zz", b"/a?%", b"/a;b", b"/a?b;c", b"/a?b=1;c=2&d", b"/a;b?c;d", b"/a b", b"/a\tb", b"/\xc3\xa4", b"/\xff\xfe", b"/a?\xc3\xa4=\xff",
        b'/"', b"/'", b"/<>", b"/{}", b"/|", b"/\\", b"/^", b"/`", b"/[]", b"/~", b"/!$&'()*+,;=:@", b"/:x", b"/a:b", b"/.", b"/..", b"/../a", b"/a/./b",
        b"/a//b", b"//", b"//a", b"//a//b", b"///", b"//a?b=1&a=2", b"//a?b=%41&&c", b"//a?z&y=&y=1", b"//a%2fb", b"//a%zz", b"//a b",
        b"//\xc3\xa4", b"//a;b", b"//a?b;c", b"//user@host/x", b"//h:99x/y", b"//[::1]/y", b"//a?b=c+d", b"//a?b=%20",
        b"/\x7f", b"/\x01", b"/a?\x7f", b"*", b"a", b"a/b", b"app.parity", b"app.parity:80", b"../a", b"%2f", b"?a=b", b";x",
        b"http://app.parity/", b"http://app.parity", b"http://app.parity?x", b"http://app.parity/a?b#c", b"http://APP.parity/", b"http://app.parity:80/x",
        b"http://other.parity/", b"http:///x", b"http://", b"http:", b"http:/x", b"http:x", b"https://app.parity/", b"ftp://app.parity/", b"ws://app.parity/",
        b"HTTP://app.parity/", b"http://u:p@app.parity/", b"http://app.parity:99999/", b"http://app.parity:x/", b"http://[::1]/", b"http://[::1/",
        b"http://a b/", b"http://app.parity/%zz", b"http://app.parity//a", b"http://app%2eparity/", b"1http://app.parity/", b"://x", b"mailto:a@b",
        b"/some/path", b"/SOME/path/", b"/some/path/deeper", b"/some/pathology", b"/some%2fpath", b"/%73ome/path", b"/some//path", b"/some/path?x",
        b"/" + b"a" * 5000, b"/?" + b"q" * 30000, b"/" + b"%41" * 300,
    ):
        name = target if len(target) < 60 else target[:10] + b"..."
        yield simple(f"target {name!r}", b"GET " + target + b" HTTP/1.1")
    yield simple("OPTIONS *", b"OPTIONS * HTTP/1.1")
    yield simple("OPTIONS * with a body", b"OPTIONS * HTTP/1.1", _length(b"x"), body=b"x")
    yield simple("OPTIONS * with HTTP/1.0", b"OPTIONS * HTTP/1.0")
    yield simple("OPTIONS * of an unknown host", b"OPTIONS * HTTP/1.1", host=b"unknown.parity")
    yield simple("CONNECT with an authority", b"CONNECT app.parity:80 HTTP/1.1")
    yield simple("POST to a double slash", b"POST //a/b HTTP/1.1", _length(b"x"), body=b"x")


def hosts() -> Iterator[Case]:
    for host in (
        b"app.parity:80", b"app.parity:", b"app.parity:x", b"app.parity:99999", b"APP.Parity", b"app.parity.", b".app.parity", b"app..parity", b"app.parity ", b" app.parity",
        b"", b" ", b":80", b"127.0.0.1", b"127.0.0.1:80", b"[::1]", b"[::1]:80", b"::1", b"[", b"unknown.parity", b"unknown.parity:8080", b"deep.er.wild.parity", b"x.wild.parity",
        b"wild.parity", b".wild.parity", b"*.wild.parity", b"parity", b"app.parity/some", b"app.parity/", b"/", b"app parity", b"app\tparity", b"<x>", b"a,b", b"a;b", b"a@b", b"user@app.parity", b"a%20b",
        b"app%2eparity", b"\xc3\xa4.parity", b"\xff", b'"', b"a\"b", b"'", b"a'b", b"a\\b", b"a?b", b"a#b", b"a&b", b"a(b)", b"a|b", b"a^b", b"{a}", b"a_b.parity", b"a" * 300, b"app.parity\x00", b"a\x7fb", b"app.parity, other", b"~", b"!$&'()*+,;=",
    ):
        yield simple(f"host {host[:50]!r}", host=host)
    yield raw("no host", b"GET / HTTP/1.1\r\n\r\n")
    yield raw("no host, HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n")
    yield raw("no host, absolute target", b"GET http://app.parity/ HTTP/1.1\r\n\r\n")
    yield raw("no host, absolute target, HTTP/1.0", b"GET http://app.parity/ HTTP/1.0\r\n\r\n")
    yield simple("two hosts", b"GET / HTTP/1.1", b"Host: other.parity")
    yield simple("two equal hosts", b"GET / HTTP/1.1", b"Host: app.parity")
    yield simple("two hosts and an absolute target", b"GET http://app.parity/ HTTP/1.1", b"Host: other.parity")
    yield simple("bad host and an absolute target", b"GET http://app.parity/ HTTP/1.1", host=b"<>")
    yield raw("host in odd case", b"GET / HTTP/1.1\r\nhOsT: app.parity\r\n\r\n")
    yield raw("host last", b"GET / HTTP/1.1\r\nX-A: b\r\nHost: app.parity\r\n\r\n")
    yield raw("host without a space", b"GET / HTTP/1.1\r\nHost:app.parity\r\n\r\n")
    yield raw("space before the colon of host", b"GET / HTTP/1.1\r\nHost : app.parity\r\n\r\n")


def headers() -> Iterator[Case]:
    for line in (
        b"X-A:", b"X-A: ", b"X-A:b", b"X-A: \t b \t ", b"x-a: b", b"X_A: b", b"X-a-B-c: D", b"x--y: z", b"-x: y", b"x-: y", b"X.A: b", b"1x: y", b"!#$%&'*+.^_`|~: x", b"X-A : b", b"X A: b", b": b", b"X-A", b"X(A): b",
        b"X-A: \xc3\xa4", b"X-A: \xff", b"\xc3\xa4: b", b"X-A: a\x00b", b"X-A: a\x01b", b"X-A: a\x7fb", b"X-A: a\tb", b"X-A: b\r\n c", b"X-A: b\r\n\tc", b" X-A: b", b"X-A: \"q\" 'r' \\", b"X-A: b\x0bc", b"X-A\x00: b", b"X-A: " + b"v" * 100000,
        b"User-Agent:", b"User-Agent: a \"b\" \\ \xc3\xa4", b"User-Agent: \xff\tx", b"Referer: http://x/\xe2\x80\xa8", b"Referer: \xf0\x9f\x98\x80", b"Referer: \xc2\xa0\xc2\xad", b"Referer: \xcd\xb8\xee\x80\x80", b"User-Agent: HTTP-Monitor/1.1", b"User-Agent: http-monitor/1.1", b"User-Agent: HTTP-Monitor/1.1 x",
        b"Accept-Encoding: gzip", b"Range: bytes=0-1", b"Authorization: Basic eDp5", b"Cookie: a=b; c=d", b"Forwarded: for=x", b"Via: 1.1 x", b"Max-Forwards: 0", b"Date: x", b"Pragma: no-cache", b"From: x", b"Origin: null", b"If-None-Match: x",
        b"X-Vcap-Request-Id: mine", b"X-Request-Start: 5", b"X-Request-Start:", b"X-Cf-ApplicationID: mine", b"X-CF-InstanceIndex: 9", b"X-Cf-InstanceID: mine", b"X-Cf-Routererror: mine", b"X-Cf-RouteEndpoint: mine", b"X-Vcap-Trace: x",
        b"X-CF-Proxy-Signature: x", b"X-CF-Proxy-Metadata: x", b"X-CF-Forwarded-Url: http://x/", b"X-Forwarded-Client-Cert: x", b"X-Request-Id: x", b"Proxy: x", b"Proxy-Authorization: x", b"Traceparent: 00-x", b"B3: 0", b"Content-Type: x", b"Content-Encoding: gzip", b"Content-MD5: x",
    ):
        yield simple(f"header {line[:60]!r}", b"GET / HTTP/1.1", line)
    for pair in ((b"X-A: b", b"x-a: c"), (b"User-Agent: a", b"User-Agent: b"), (b"Cookie: a=b", b"Cookie: c=d"), (b"Accept: a", b"X-B: c", b"Accept: d"),
                 (b"Authorization: a", b"Authorization: b"), (b"Referer: a", b"Referer: b"), (b"X-Request-Start: 1", b"X-Request-Start: 2"), (b"X-Request-Start:", b"X-Request-Start: 2")):
        yield simple(f"headers {b', '.join(pair)!r}", b"GET / HTTP/1.1", *pair)
    yield simple("a thousand headers", b"GET / HTTP/1.1", *(b"X-%d: y" % n for n in range(1000)))
    yield simple("same header 300 times", b"GET / HTTP/1.1", *(b"X-A: %d" % n for n in range(300)))
    for size in (900_000, 1_048_000, 1_052_000, 1_060_000, 1_200_000):
        yield simple(f"head of {size} bytes", b"GET / HTTP/1.1", b"X-A: " + b"v" * size)
    yield simple("head over the limit, unknown host", b"GET / HTTP/1.1", b"X-A: " + b"v" * 1_048_570, host=b"unknown.parity")


def hop_by_hop() -> Iterator[Case]:
    for lines in (
        (b"Connection: close",), (b"Connection: keep-alive",), (b"Connection: Close",), (b"Connection: x-a", b"X-A: b"), (b"Connection: X-A, X-B", b"X-A: b", b"X-B: c", b"X-C: d"), (b"Connection: x-a,close", b"X-A: b"),
        (b"Connection: x-a", b"Connection: x-b", b"X-A: 1", b"X-B: 2"), (b"Connection:",), (b"Connection: ,",), (b"Connection: \"x-a\"", b"X-A: b"), (b"Connection: host",), (b"Connection: content-length",), (b"Connection: x a", b"X-A: b"),
        (b"Connection: cookie", b"Cookie: a=b"), (b"Connection: X-Forwarded-For", b"X-Forwarded-For: 1.2.3.4"), (b"Connection: X-Forwarded-Proto", b"X-Forwarded-Proto: https"), (b"Connection: X-Forwarded-Proto",), (b"Connection: X-Vcap-Request-Id",),
        (b"Connection: X-Request-Start",), (b"Connection: X-Cf-Applicationid, X-Cf-Instanceid, X-Cf-Instanceindex",), (b"Connection: X-Cf-App-Instance",), (b"Connection: User-Agent, Referer", b"User-Agent: a", b"Referer: b"), (b"Connection: Authorization", b"Authorization: x"),
        (b"Connection: keep-alive, close",), (b"Keep-Alive: timeout=5",), (b"Proxy-Connection: keep-alive",), (b"Proxy-Authenticate: x", b"Proxy-Authorization: y"), (b"TE: trailers",), (b"TE: gzip",), (b"TE: gzip, trailers",), (b"TE: Trailers",), (b"Connection: te", b"TE: trailers"), (b"TE: deflate;q=0.5, trailers;q=1",),
        (b"TE:",), (b"Trailer: X-T",), (b"Upgrade: websocket",), (b"Connection: upgrade",), (b"Upgrade: h2c", b"Connection: HTTP2-Settings, Upgrade", b"HTTP2-Settings: x"), (b"Connection: transfer-encoding",), (b"Connection: TE, keep-alive, X-Z", b"X-Z: 1"), (b"connection: CLOSE",),
    ):
        yield simple(f"hop {b' | '.join(lines)!r}", b"GET / HTTP/1.1", *lines)
    for lines in ((b"Connection: close",), (b"Connection: x-a", b"X-A: b"), (b"Keep-Alive: 5",), (b"Proxy-Authenticate: x",), (b"Te: x",), (b"Trailer: X-T",), (b"Upgrade: h2c",), (b"Proxy-Connection: x",), (b"Connection: content-type", b"Content-Type: x"), (b"Proxy-Authorization: x",)):
        yield answered(f"hop of response {b' | '.join(lines)!r}", response_with(b"ok", *lines))


def forwarded() -> Iterator[Case]:
    for lines in (
        (b"X-Forwarded-For: 1.2.3.4",), (b"X-Forwarded-For: 1.2.3.4, 5.6.7.8",), (b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-For: 5.6.7.8"), (b"X-Forwarded-For:",), (b"X-Forwarded-For:", b"X-Forwarded-For: 1.2.3.4"), (b"X-Forwarded-For: \"x\"",), (b"X-Forwarded-For: ::1",), (b"x-FORWARDED-for: a , b ",),
        (b"X-Forwarded-Proto: https",), (b"X-Forwarded-Proto: http",), (b"X-Forwarded-Proto: x",), (b"X-Forwarded-Proto:",), (b"X-Forwarded-Proto:", b"X-Forwarded-Proto: https"), (b"X-Forwarded-Proto: https", b"X-Forwarded-Proto: http"), (b"X-Forwarded-Proto: HTTPS, http",),
        (b"X-Forwarded-Host: x",), (b"X-Forwarded-Port: 1",), (b"Forwarded: for=1.2.3.4;proto=https",), (b"X-Forwarded-Client-Cert: abc",), (b"X-Forwarded-Client-Cert: a", b"X-Forwarded-Client-Cert: b"), (b"X-Forwarded-Client-Cert:",), (b"X-Real-Ip: 1",),
    ):
        yield simple(f"forwarded {b' | '.join(lines)!r}", b"GET / HTTP/1.1", *lines)
        yield simple(f"forwarded and expecting {b' | '.join(lines)!r}", b"POST / HTTP/1.1", *lines, b"Expect: 100-continue", _length(b"x"), body=b"x", backend=CONTINUING)


def instances() -> Iterator[Case]:
    guid = APP.encode()
    for value in (guid + b":0", guid + b":1", guid + b":", guid, guid + b":x", guid + b":-1", guid + b":00", guid.upper() + b":0", b"", b":", b":0", b"x:0", b"x", b" " + guid + b":0 ", guid + b":0:0", guid + b":99999999999999999999", guid[:-1] + b":0"):
        for host in (b"app.parity", b"unknown.parity:80"):
            yield simple(f"app instance {value!r} of {host.decode()}", b"GET / HTTP/1.1", b"X-Cf-App-Instance: " + value, host=host)
    process = PROCESS.encode()
    for value in (process + b":0", process + b":1", process + b":", process, process + b":x", process.upper(), b"", b":0", b"x", process + b":0:0"):
        for host in (b"app.parity", b"unknown.parity:80"):
            yield simple(f"process instance {value!r} of {host.decode()}", b"GET / HTTP/1.1", b"X-Cf-Process-Instance: " + value, host=host)
    yield simple("both instances", b"GET / HTTP/1.1", b"X-Cf-App-Instance: " + guid + b":0", b"X-Cf-Process-Instance: " + process)
    yield simple("both instances, none there", b"GET / HTTP/1.1", b"X-Cf-App-Instance: " + guid + b":8", b"X-Cf-Process-Instance: " + process + b":9")
    yield simple("two app instances", b"GET / HTTP/1.1", b"X-Cf-App-Instance: " + guid + b":0", b"X-Cf-App-Instance: " + guid + b":7")
    yield simple("wrong app instance with a semicolon", b"GET /;a HTTP/1.1", b"X-Cf-App-Instance: x")


def bodies() -> Iterator[Case]:
    post = b"POST / HTTP/1.1"
    for value in (b"0", b"5", b"00005", b"+5", b"-5", b"5 ", b"5, 5", b"5,6", b"x", b"", b"0x5", b"5.0", b"99999999999999999999", b"9223372036854775807", b"\t5"):
        data = b"hello" if b"5" in value and len(value) < 6 else b""
        yield Case(f"length {value!r}", (request(post, b"Content-Length: " + value, body=data), 0.02, Do.HALF_CLOSE, Do.READ), settle=0.1)
    yield simple("two lengths, equal", post, b"Content-Length: 5", b"Content-Length: 5", body=b"hello")
    yield simple("two lengths, unequal", post, b"Content-Length: 5", b"Content-Length: 6", body=b"hello!")
    yield simple("length and chunked", post, b"Content-Length: 5", CHUNKED, body=chunked(b"hello"))
    yield simple("chunked and length", post, CHUNKED, b"Content-Length: 15", body=chunked(b"hello"))
    for value in (b"chunked", b"Chunked", b"identity", b"gzip", b"gzip, chunked", b"chunked, chunked", b"chunked, gzip", b"", b"x", b" chunked ", b"chunked,", b"\"chunked\"", b"chunked;q=1", b"\x0bchunked"):
        yield simple(f"coding {value!r}", post, b"Transfer-Encoding: " + value, body=chunked(b"hello"))
    yield simple("chunked twice", post, CHUNKED, CHUNKED, body=chunked(b"hello"))
    yield simple("chunked with HTTP/1.0", b"POST / HTTP/1.0", CHUNKED, body=chunked(b"hello"))
    for name, body in (
        ("two chunks", chunked(b"a", b"bc")), ("no chunk", chunked()), ("extension", b"5;a=b\r\nhello\r\n0\r\n\r\n"), ("quoted extension", b'5;a="b;c"\r\nhello\r\n0\r\n\r\n'), ("zeros before the size", b"0005\r\nhello\r\n000\r\n\r\n"),
        ("upper-case size", b"A\r\n0123456789\r\n0\r\n\r\n"), ("no size", b"\r\nhello\r\n0\r\n\r\n"), ("bad size", b"x\r\nhello\r\n0\r\n\r\n"), ("size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n"), ("signed size", b"+5\r\nhello\r\n0\r\n\r\n"), ("space after size", b"5 \r\nhello\r\n0\r\n\r\n"), ("space before size", b" 5\r\nhello\r\n0\r\n\r\n"),
        ("size of 17 digits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"), ("bare line feeds", b"5\nhello\n0\n\n"), ("chunk too long", b"5\r\nhello!\r\n0\r\n\r\n"), ("chunk too short", b"5\r\nhell\r\n0\r\n\r\n"),
        ("trailer", chunked(b"hello", trailers=b"X-T: v\r\n")), ("two trailers", chunked(b"hello", trailers=b"X-T: v\r\nx-u: w\r\n")), ("forbidden trailers", chunked(b"hello", trailers=b"Content-Length: 3\r\nHost: x\r\n")), ("bad trailer", chunked(b"hello", trailers=b"X T: v\r\n")),
    ):
        yield simple(f"chunked: {name}", post, CHUNKED, body=body, settle=0.1)
    yield simple("announced trailer", post, CHUNKED, b"Trailer: X-T", body=chunked(b"hello", trailers=b"X-T: v\r\nX-Not: w\r\n"))
    yield simple("announced trailer that does not come", post, CHUNKED, b"Trailer: X-T", body=chunked(b"hello"))
    yield simple("announced trailer that is forbidden", post, CHUNKED, b"Trailer: Content-Length", body=chunked(b"hello"))
    yield simple("trailer announced with a length", post, b"Trailer: X-T", _length(b"x"), body=b"x")
    yield simple("large body", post, _length(b"x" * 300_000), body=b"x" * 300_000)
    yield simple("large chunked body", post, CHUNKED, body=chunked(*[b"x" * 9000] * 30))
    for method in (b"GET", b"DELETE", b"PUT", b"PATCH", b"HEAD", b"OPTIONS"):
        yield simple(f"no length with {method.decode()}", method + b" / HTTP/1.1")
        yield simple(f"length 0 with {method.decode()}", method + b" / HTTP/1.1", b"Content-Length: 0")
        yield simple(f"chunked {method.decode()}", method + b" / HTTP/1.1", CHUNKED, body=chunked(b"hello"))
        yield simple(f"empty chunked {method.decode()}", method + b" / HTTP/1.1", CHUNKED, body=chunked())
    yield Case("body cut", (request(post, b"Content-Length: 10", body=b"hello"), 0.02, Do.HALF_CLOSE, Do.READ), settle=0.2)
    yield Case("body and away", (request(post, b"Content-Length: 10", body=b"hello"), 0.05, Do.CLOSE), settle=0.2)
    yield Case("chunked body and away", (request(post, CHUNKED, body=b"5\r\nhello\r\n"), 0.05, Do.CLOSE), settle=0.2)
    yield Case("answer before the body", (request(post, b"Content-Length: 10"), 0.3, b"0123456789", Do.READ), (Do.READ_HEAD, response_with(b"early"), 0.5), settle=0.2)


def responses() -> Iterator[Case]:
    def head(status: bytes, *lines: bytes) -> bytes:
        return b"\r\n".join([b"HTTP/1.1 " + status, *lines]) + b"\r\n\r\n"

    for status in (b"200 OK", b"200", b"200 ", b"201 Other Words", b"204 No Content", b"205 x", b"206 x", b"299 x", b"300 x", b"301 x", b"302 x", b"304 x", b"400 x", b"401 x", b"404 x", b"418 x", b"451 x", b"499 x", b"500 x", b"503 x", b"599 x", b"600 x", b"999 x", b"099 x", b"20 x", b"2000 x", b"0 x", b"abc x", b"1xx x", b"200\tx", b"101 x"):
        for method in (b"GET", b"HEAD"):
            yield answered(f"status {status!r} to {method.decode()}", head(status, b"Content-Length: 0"), method + b" / HTTP/1.1")
    for method in (b"GET", b"HEAD", b"POST"):
        line = method + b" / HTTP/1.1"
        for code in (b"200 OK", b"204 No Content", b"304 Not Modified"):
            yield answered(f"{code.decode()} with a length to {method.decode()}", head(code, b"Content-Length: 5"), line, closes=True)
            yield answered(f"{code.decode()} chunked to {method.decode()}", head(code, CHUNKED), line, closes=True)
            yield answered(f"{code.decode()} bare to {method.decode()}", head(code), line, closes=True)
    for lines, body in (
        ((CHUNKED,), chunked(b"a", b"bc")), ((CHUNKED,), chunked()), ((CHUNKED, b"Trailer: X-T"), chunked(b"a", trailers=b"X-T: v\r\n")), ((CHUNKED,), chunked(b"a", trailers=b"X-T: v\r\n")), ((CHUNKED, b"Trailer: X-T"), chunked(b"a")), ((CHUNKED, b"Trailer: X-T"), chunked(b"a", trailers=b"X-U: v\r\n")),
        ((CHUNKED, b"Content-Length: 1"), chunked(b"a")), ((b"Content-Length: 1", b"Content-Length: 1"), b"a"), ((b"Content-Length: 1", b"Content-Length: 2"), b"ab"), ((b"Content-Length: x",), b"a"), ((b"Content-Length: 1, 1",), b"a"), ((b"Content-Length: -1",), b"a"), ((b"Content-Length: +1",), b"a"), ((b"Content-Length:",), b"a"),
        ((b"Transfer-Encoding: gzip",), b"a"), ((b"Transfer-Encoding: gzip, chunked",), chunked(b"a")), ((b"Transfer-Encoding: identity",), b"a"), ((b"Transfer-Encoding: Chunked",), chunked(b"a")), ((CHUNKED, CHUNKED), chunked(b"a")), ((b"Transfer-Encoding: chunked, chunked",), chunked(b"a")),
        ((), b"until the end"), ((b"Connection: keep-alive",), b"until the end"), ((b"Content-Length: 5",), b"cut"), ((CHUNKED,), b"5\r\nhel"), ((CHUNKED,), b"5\r\nhello\r\n"), ((CHUNKED,), b"x\r\nhello\r\n0\r\n\r\n"), ((b"Content-Length: 2",), b"more than two"), ((CHUNKED,), b"1\na\n0\n\n"),
        ((b"Content-Type: text/event-stream", CHUNKED), chunked(b"data: x\n\n")), ((CHUNKED,), b"1;x=y\r\na\r\n0\r\n\r\n"), ((CHUNKED,), chunked(b"a") + b"rest"),
    ):
        name = f"{b' | '.join(lines)!r} {body[:30]!r}"
        for method in (b"GET", b"HEAD"):
            yield answered(f"body of response {name} to {method.decode()}", head(b"200 OK", *lines) + (body if method == b"GET" else b""), method + b" / HTTP/1.1", closes=True)
        yield answered(f"body of response {name} to HTTP/1.0", head(b"200 OK", *lines) + body, b"GET / HTTP/1.0", closes=True)
        yield answered(f"body of response {name} to keep-alive of HTTP/1.0", head(b"200 OK", *lines) + body, b"GET / HTTP/1.0", b"Connection: keep-alive", closes=True)
    for line in (b"X-A:", b"X-A: b\r\n c", b"x-a: b", b"X-A : b", b"X A: b", b": b", b"X-A", b"X-A: \xc3\xa4", b"X-A: a\x00b", b"X-A: a\x01b", b"X-A: a\x7fb", b"X-A: a\tb", b" X-A: b", b"X-A: b\rc", b"X-A: " + b"v" * 200_000,
                 b"Set-Cookie: a=b\r\nSet-Cookie: c=d", b"Location: /x", b"Location: http://x/", b"Date: yesterday", b"Date: a\r\nDate: b", b"Server: x", b"Content-Type: x", b"Content-Type:", b"X-Vcap-Request-Id: mine", b"X-Vcap-Request-Id:", b"X-Cf-Routererror: mine", b"X-Cf-Proxy-Signature: x", b"X-Cf-Proxy-Metadata: x",
                 b"X-Vcap-Router: x", b"X-Vcap-Backend: x", b"WWW-Authenticate: Negotiate x", b"Strict-Transport-Security: x", b"Vary: a\r\nVary: b", b"Alt-Svc: x", b"Via: x", b"ETag: x"):
        yield answered(f"header of response {line[:50]!r}", head(b"200 OK", b"Content-Length: 2", line) + b"ok")
    for data in (b"garbage\r\n\r\n", b"garbage", b"HTTP/1.0 200 OK\r\n\r\nold", b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"old"), b"HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/0.9 200 OK\r\n\r\n",
                 b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok", b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Le", b"\x15\x03\x01\x00\x02\x02\x50", b""):
        yield answered(f"answer {data[:60]!r}", data, closes=True)


def interim() -> Iterator[Case]:
    for status in (b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 x"):
        for version in (b"1.1", b"1.0"):
            answer = b"HTTP/1.1 " + status + b"\r\nLink: x\r\nConnection: x-b\r\nX-B: c\r\n\r\n" + response_with()
            yield answered(f"interim {status.decode()} to HTTP/{version.decode()}", answer, b"GET / HTTP/" + version)
    hints = b"HTTP/1.1 103 x\r\nLink: x\r\n\r\n"
    yield answered("interim three times", hints * 3 + response_with())
    yield answered("interim six times", hints * 6 + response_with())
    yield answered("interim twenty times", hints * 20 + response_with())
    yield answered("interim and nothing", hints, closes=True)
    body = b"hello"
    for value in (b"100-continue", b"100-Continue", b"x", b"", b"100-continue, x"):
        yield simple(f"expect {value!r} with the body at once", b"POST / HTTP/1.1", b"Expect: " + value, _length(body), body=body)
        yield simple(f"expect {value!r} without a body", b"GET / HTTP/1.1", b"Expect: " + value)
        yield simple(f"expect {value!r}, HTTP/1.0", b"POST / HTTP/1.0", b"Expect: " + value, _length(body), body=body)
    expecting = request(b"POST / HTTP/1.1", b"Expect: 100-continue", _length(body))
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    yield Case("expect, backend continues", (expecting, Do.READ_INTERIM, body, Do.READ), (Do.READ_HEAD, go_on, Take(5), response_with()))
    yield Case("expect, backend says nothing", (expecting, Do.READ_INTERIM, body, Do.READ), (Do.READ, response_with()))
    yield Case("expect, backend refuses", (expecting, Do.READ), (Do.READ_HEAD, response_with(status=b"413 x"), Do.CLOSE))
    yield Case("expect, unknown host", (request(b"POST / HTTP/1.1", b"Expect: 100-continue", _length(body), host=b"unknown.parity"), Do.READ))
    chunks = request(b"POST / HTTP/1.1", b"Expect: 100-continue", CHUNKED)
    yield Case("expect with chunks", (chunks, Do.READ_INTERIM, chunked(body), Do.READ), (Do.READ_HEAD, go_on, 0.05, Take(15), response_with()))


def connections() -> Iterator[Case]:
    get = request()
    for name, lines in (("plain", ()), ("close", (b"Connection: close",)), ("keep-alive", (b"Connection: keep-alive",)), ("Keep-Alive", (b"Connection: Keep-Alive",)), ("both", (b"Connection: keep-alive, close",))):
        for version in (b"1.0", b"1.1"):
            for host in (b"app.parity", b"unknown.parity"):
                yield simple(f"persistence {name} {version.decode()} {host.decode()}", b"GET / HTTP/" + version, *lines, host=host)
            yield simple(f"persistence of HEAD {name} {version.decode()}", b"HEAD / HTTP/" + version, *lines)
            yield simple(f"persistence of POST {name} {version.decode()}", b"POST / HTTP/" + version, *lines, _length(b"x"), body=b"x")
    yield Case("three in turn", (get, Do.READ, get, Do.READ, get, Do.READ))
    yield Case("two at once", (get + get, Do.READ, Do.READ))
    yield Case("empty line between", (get, Do.READ, b"\r\n" + get, Do.READ))
    yield Case("after an error", (request(host=b"unknown.parity"), Do.READ, get, Do.READ))
    yield Case("after a bad request", (b"GET / HTTP/1.1\r\nX\r\n\r\n", Do.READ, get, Do.READ))
    yield Case("byte by byte", (*(get[n : n + 1] for n in range(len(get))), Do.READ))
    yield Case("half close after the request", (get, Do.HALF_CLOSE, Do.READ), (Do.READ, 0.1, response_with()), settle=0.2)
    yield Case("client away while the backend thinks", (get, 0.1, Do.CLOSE), (Do.READ, 0.5, response_with()), settle=0.7)
    yield Case("client resets while the backend thinks", (get, 0.1, Do.RESET), (Do.READ, 0.5, response_with()), settle=0.7)
    post = request(b"POST / HTTP/1.1", _length(b"x"), body=b"x")
    yield Case("client of a POST away", (post, 0.1, Do.CLOSE), (Do.READ, 0.5, response_with()), settle=0.7)
    yield Case("client away inside the response", (get, Do.READ_HEAD, Do.CLOSE), (Do.READ, b"HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 1000000, 0.2, b"x" * 3000000), settle=0.6)
    yield Case("second request while the first runs", (get, 0.05, get, Do.READ, Do.READ), (Do.READ, 0.1, response_with()))


def upgrades() -> Iterator[Case]:
    echo: tuple[Step, ...] = (Do.READ_HEAD, SWITCHING, Take(4), b"pong", Take(4), b"done", Do.CLOSE)
    talk: tuple[Step, ...] = (Do.READ, b"ping", Take(4), b"last", Take(4))
    for name, lines in (
        ("plain", WEBSOCKET), ("list", (b"Connection: keep-alive, Upgrade", b"Upgrade: websocket")), ("odd case", (b"connection: uPGRADE", b"upgrade: WebSocket")), ("two lines", (b"Connection: keep-alive", b"Connection: Upgrade", b"Upgrade: websocket")),
        ("its headers", (*WEBSOCKET, b"Sec-WebSocket-Key: x", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Protocol: a, b")), ("other protocol", (b"Connection: Upgrade", b"Upgrade: other")), ("list of protocols", (b"Connection: Upgrade", b"Upgrade: websocket, other")), ("no connection", (b"Upgrade: websocket",)), ("no upgrade", (b"Connection: Upgrade",)),
        ("substring", (b"Connection: notupgraded", b"Upgrade: websocket")), ("two upgrades", (b"Connection: Upgrade", b"Upgrade: other", b"Upgrade: websocket")), ("odd value", (b"Connection: Upgrade", b"Upgrade: w\xc3\xa4")), ("empty", (b"Connection: Upgrade", b"Upgrade:")),
    ):
        yield Case(f"upgrade {name}", (request(b"GET /ws HTTP/1.1", *lines), *talk), echo, settle=0.2)
        yield Case(f"upgrade {name}, refused", (request(b"GET /ws HTTP/1.1", *lines), Do.READ), (Do.READ_HEAD, response_with(status=b"400 no")))
    upgrade = request(b"GET /ws HTTP/1.1", *WEBSOCKET)
    answers: tuple[tuple[str, tuple[bytes, ...]], ...] = (("other", (b"Connection: Upgrade", b"Upgrade: other")), ("no", (b"X-A: b",)), ("odd case", (b"Connection: upgrade", b"Upgrade: WEBSOCKET")), ("no connection", (b"Upgrade: websocket",)), ("headers", (b"Connection: Upgrade", b"Upgrade: websocket", b"X-A: b", b"Sec-WebSocket-Accept: x", b"Keep-Alive: x", b"X-Cf-Proxy-Signature: s")), ("length", (b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 0")))
    for name, fields in answers:
        yield Case(f"upgrade answered with {name}", (upgrade, Do.READ), (Do.READ_HEAD, b"\r\n".join([b"HTTP/1.1 101 x", *fields]) + b"\r\n\r\n", 0.05, Do.CLOSE), settle=0.2)
    yield Case("upgrade with HTTP/1.0", (request(b"GET /ws HTTP/1.0", *WEBSOCKET), *talk), echo, settle=0.2)
    yield Case("upgrade with POST", (request(b"POST /ws HTTP/1.1", *WEBSOCKET, b"Content-Length: 0"), *talk), echo, settle=0.2)
    yield Case("upgrade, client ends", (upgrade, Do.READ, b"ping", Take(4), Do.CLOSE), (Do.READ_HEAD, SWITCHING, Take(4), b"pong", Take(1)), settle=0.2)
    yield Case("upgrade, data at once", (upgrade, Do.READ, Take(5), Do.CLOSE), (Do.READ_HEAD, SWITCHING + b"hello", Take(1)), settle=0.2)
    yield Case("upgrade, interim first", (upgrade, Do.READ, Take(5), Do.CLOSE), (Do.READ_HEAD, b"HTTP/1.1 103 x\r\nLink: y\r\n\r\n" + SWITCHING + b"hello", Take(1)), settle=0.2)
    yield Case("upgrade, backend closes", (upgrade, Do.READ), (Do.READ_HEAD, Do.CLOSE))
    yield Case("upgrade, refused port", (request(b"GET /ws HTTP/1.1", *WEBSOCKET, host=b"refused.parity"), Do.READ))
    yield Case("upgrade, unknown host", (request(b"GET /ws HTTP/1.1", *WEBSOCKET, host=b"unknown.parity"), Do.READ))
    yield answered("101 that nobody asked for", SWITCHING, closes=True)


def failures() -> Iterator[Case]:
    for method in (b"GET", b"POST", b"HEAD"):
        line = method + b" / HTTP/1.1"
        name = method.decode()
        extra = (_length(b"x"),) if method == b"POST" else ()
        body = b"x" if extra else b""
        yield simple(f"refused {name}", line, *extra, host=b"refused.parity", body=body)
        for what, steps in (
            ("EOF", (Do.READ, Do.CLOSE)), ("EOF at once", (Do.CLOSE,)), ("reset", (Do.READ, Do.RESET)), ("silence", (Do.READ, 3.0)), ("half a head", (Do.READ, b"HTTP/1.1 200 OK\r\nX-A:", Do.CLOSE)), ("half a head, reset", (Do.READ, b"HTTP/1.1 200 OK\r\nX-A:", 0.05, Do.RESET)),
            ("half a body", (Do.READ, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Do.CLOSE)), ("half a body, reset", (Do.READ, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 0.1, Do.RESET)), ("half a chunked body", (Do.READ, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", Do.CLOSE)),
            ("silence in the body", (Do.READ, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 3.0)),
        ):
            yield simple(f"{what} {name}", line, *extra, body=body, backend=steps, settle=0.1)
    yield simple("EOF POST with Idempotency-Key", b"POST / HTTP/1.1", b"Idempotency-Key: x", backend=(Do.READ, Do.CLOSE))
    yield simple("EOF POST with a body and Idempotency-Key", b"POST / HTTP/1.1", b"Idempotency-Key: x", _length(b"x"), body=b"x", backend=(Do.READ, Do.CLOSE))
    many = b"".join(b"X-%d: y\r\n" % n for n in range(3000))
    yield answered("many headers of response", b"HTTP/1.1 200 OK\r\n" + many + b"Content-Length: 0\r\n\r\n")
    yield answered("head of response of 11 MB", b"HTTP/1.1 200 OK\r\nX-A: " + b"v" * 11_000_000 + b"\r\nContent-Length: 0\r\n\r\n")
    yield simple("refused with a semicolon", b"GET /;x HTTP/1.1", host=b"refused.parity")
    yield simple("refused with HTTP/1.0", b"GET / HTTP/1.0", host=b"refused.parity")
    yield simple("refused and closing", b"GET / HTTP/1.1", b"Connection: close", host=b"refused.parity")


def sticky() -> Iterator[Case]:
    ours = b"__VCAP_ID__=instance-a"
    requests: Iterable[tuple[bytes, ...]] = ((), (b"JSESSIONID=x",), (b"JSESSIONID=x; " + ours,), (ours,), (b"JSESSIONID=x; __VCAP_ID__=stale",), (b"jsessionid=x; " + ours,), (b"JSESSIONID=x", ours), (b"__VCAP_ID__=stale; " + ours + b"; JSESSIONID=x",), (b"JSESSIONID=; " + ours,), (b"JSESSIONID=x; __VCAP_ID__=",), (b"JSESSIONID=x; __VCAP_ID__=\"instance-a\"",), (b"JSESSIONID; " + ours,), (b"JSESSIONID=x;" + ours,), (b"JSESSIONID=x, " + ours,))
    answers = (b"", b"JSESSIONID=y", b"other=y")
    for cookies in requests:
        for answer in answers:
            lines = (b"Set-Cookie: " + answer,) if answer else ()
            for host, target in ((b"sticky.parity", b"/"), (b"sticky.parity", b"/context/x"), (b"plain.parity", b"/")):
                yield simple(f"cookies {cookies!r} answered {answer!r} of {host.decode()}{target.decode()}", b"GET " + target + b" HTTP/1.1", *(b"Cookie: " + cookie for cookie in cookies), host=host, backend=(Do.READ, response_with(b"ok", *lines)))
    for value in (
        b"JSESSIONID=y; Secure", b"JSESSIONID=y; secure; HttpOnly", b"JSESSIONID=y; Max-Age=0", b"JSESSIONID=y; Max-Age=-1", b"JSESSIONID=y; Max-Age=60", b"JSESSIONID=y; max-age=x", b"JSESSIONID=y; Max-Age=", b"JSESSIONID=y; Max-Age=00", b"JSESSIONID=y; Max-Age=-0",
        b"JSESSIONID=y; Expires=Thu, 01 Jan 1970 00:00:00 GMT", b"JSESSIONID=y; Expires=Wed, 21-Oct-2026 07:28:00 GMT", b"JSESSIONID=y; Expires=Wed, 21 Oct 2026 07:28:00 UTC", b"JSESSIONID=y; Expires=x", b"JSESSIONID=y; Expires=Wednesday, 21-Oct-26 07:28:00 GMT", b"JSESSIONID=y; Expires=Wed Oct 21 07:28:00 2026", b"JSESSIONID=y; Expires=Wed, 21 Oct 1500 07:28:00 GMT", b"JSESSIONID=y; Expires=Wed, 21 Oct 2026 09:28:00 +0200",
        b"JSESSIONID=y; SameSite=Lax", b"JSESSIONID=y; samesite=strict", b"JSESSIONID=y; SameSite=None; Secure", b"JSESSIONID=y; SameSite=x", b"JSESSIONID=y; SameSite", b"JSESSIONID=y; SameSite=", b"JSESSIONID=y; Partitioned", b"JSESSIONID=y; Partitioned; Secure; SameSite=None", b"JSESSIONID=y; Partitioned=x",
        b"JSESSIONID=y; Path=/else; Domain=x.y", b"JSESSIONID=y; Secure; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; SameSite=Strict; Partitioned; Path=/x", b"JSESSIONID=", b"JSESSIONID", b" JSESSIONID=y", b"JSESSIONID =y", b"JSESSIONID=\"y\"", b"JSESSIONID=a b", b"JSESSIONID=\xc3\xa4", b"JSESSIONID=y;Secure", b"JSESSIONID=y; ; Secure", b"JSESSIONID=y; Secure=", b"JSESSIONID=y; Secure=no", b"jsessionid=y", b"=y", b"__VCAP_ID__=app", b"JSESSIONID=y, x=z",
    ):
        yield simple(f"set-cookie {value!r}", host=b"sticky.parity", backend=(Do.READ, response_with(b"ok", b"Set-Cookie: " + value)))
    for values in ((b"JSESSIONID=y", b"__VCAP_ID__=app"), (b"__VCAP_ID__=app", b"JSESSIONID=y"), (b"JSESSIONID=y; Secure", b"JSESSIONID=z"), (b"a=b", b"JSESSIONID=y")):
        yield simple(f"set-cookies {values!r}", host=b"sticky.parity", backend=(Do.READ, response_with(b"ok", *(b"Set-Cookie: " + value for value in values))))
    for status in (b"404 x", b"500 x", b"204 x", b"302 x"):
        yield simple(f"set-cookie with {status.decode()}", host=b"sticky.parity", backend=(Do.READ, b"HTTP/1.1 " + status + b"\r\nSet-Cookie: JSESSIONID=y\r\n" + (b"" if status[:3] == b"204" else b"Content-Length: 0\r\n") + b"\r\n"))
    yield Case("set-cookie with 101", (request(b"GET / HTTP/1.1", *WEBSOCKET, host=b"sticky.parity"), Do.READ), (Do.READ_HEAD, SWITCHING[:-2] + b"Set-Cookie: JSESSIONID=y\r\n\r\n", 0.05, Do.CLOSE), settle=0.2)


def negotiate() -> Iterator[Case]:
    for authorization in (b"", b"Negotiate abc", b"negotiate", b"Negotiated", b"Basic x", b" NEGOTIATE x"):
        for cookie in (b"", b"__VCAP_ID__=instance-a", b"__VCAP_ID__=stale", b"__VCAP_ID__=stale; JSESSIONID=x"):
            for challenge in ((), (b"WWW-Authenticate: Negotiate x",), (b"WWW-Authenticate: negotiate",), (b"WWW-Authenticate: Basic", b"WWW-Authenticate: Negotiate"), (b"WWW-Authenticate: Negotiate", b"Set-Cookie: JSESSIONID=x; Secure")):
                lines = [b"Authorization: " + authorization] * bool(authorization) + [b"Cookie: " + cookie] * bool(cookie)
                yield simple(f"negotiate {authorization!r} {cookie!r} {challenge!r}", b"GET / HTTP/1.1", *lines, host=b"sticky.parity", backend=(Do.READ, response_with(b"ok", *challenge, status=b"401 x")))


def tracing() -> Iterator[Case]:
    trace, span = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
    for lines in (
        (), (b"b3: " + trace + b"-" + span,), (b"b3: " + trace + b"-" + span + b"-1",), (b"b3: " + trace + b"-" + span + b"-d-05e3ac9a4f6e3b90",), (b"b3: " + span + b"-" + span,), (b"b3: 0",), (b"b3: 1",), (b"b3: d",), (b"b3: x",), (b"b3:",), (b"b3: " + trace.upper() + b"-" + span,), (b"b3: " + trace + b"-" + span + b"-x",), (b"b3: 00000000000000000000000000000000-" + span,),
        (b"X-B3-TraceId: " + trace, b"X-B3-SpanId: " + span), (b"X-B3-TraceId: " + trace,), (b"X-B3-SpanId: " + span,), (b"X-B3-TraceId: " + span, b"X-B3-SpanId: " + span), (b"X-B3-TraceId: x", b"X-B3-SpanId: y"), (b"X-B3-TraceId: " + trace, b"X-B3-SpanId: " + span, b"X-B3-Sampled: 1"), (b"X-B3-TraceId: " + trace, b"X-B3-SpanId: " + span, b"X-B3-Sampled: true"), (b"X-B3-TraceId: " + trace, b"X-B3-SpanId: " + span, b"X-B3-Sampled: x"),
        (b"X-B3-TraceId: " + trace, b"X-B3-SpanId: " + span, b"X-B3-Flags: 1"), (b"X-B3-TraceId: " + trace, b"X-B3-SpanId: " + span, b"X-B3-ParentSpanId: " + span, b"X-B3-Sampled: 0"), (b"X-B3-TraceId: abc", b"X-B3-SpanId: def"), (b"X-B3-TraceId: " + trace.upper(), b"X-B3-SpanId: " + span.upper()), (b"X-B3-Sampled: 1",), (b"b3: x", b"X-B3-TraceId: " + trace, b"X-B3-SpanId: " + span), (b"Connection: b3, x-b3-traceid",),
        (b"traceparent: 00-" + trace + b"-" + span + b"-01",), (b"traceparent: 00-" + trace + b"-" + span + b"-00", b"tracestate: a=b,c=d"), (b"traceparent: 00-" + trace + b"-" + span + b"-01", b"tracestate: gorouter=x,a=b"), (b"traceparent: 00-" + trace + b"-" + span + b"-01", b"tracestate: a=b , gorouter=x, ,c"), (b"traceparent: 00-" + trace + b"-" + span + b"-01", b"tracestate: a=b", b"tracestate: c=d"), (b"traceparent: 00-" + trace + b"-" + span + b"-01", b"tracestate: tenant@gorouter=1,a=b"),
        (b"traceparent: 01-" + trace + b"-" + span + b"-ff",), (b"traceparent: 00-" + trace.upper() + b"-" + span + b"-01",), (b"traceparent: x",), (b"traceparent:",), (b"traceparent: 00-00000000000000000000000000000000-" + span + b"-01",), (b"traceparent: zz-" + trace + b"-" + span + b"-01",), (b"traceparent: 00x" + trace + b"x" + span + b"x01",), (b"tracestate: a=b",), (b"traceparent: 00-" + trace + b"-" + span + b"-01", b"tracestate: a=" + b"v" * 2100), (b"traceparent:  00-" + trace + b"-" + span + b"-01 ", b"tracestate: a"), (b"traceparent: 00-" + trace + b"-" + span + b"-01", b"b3: " + b"1" * 32 + b"-" + b"2" * 16), (b"traceparent: 00-" + trace + b"-" + span + b"-01", b"tracestate: a=b=c,d="),
    ):
        yield simple(f"trace {b' | '.join(lines)[:150]!r}", b"GET / HTTP/1.1", *lines)
    yield simple("trace of an unknown host", host=b"unknown.parity")
    yield simple("trace of an error", host=b"")
    yield simple("trace of a failure", host=b"refused.parity")


def kept_backends() -> Iterator[Case]:
    get = request()
    yield Case("two requests, one backend connection", (get, Do.READ, get, Do.READ))
    yield Case("backend closes", (get, Do.READ, get, Do.READ), (Do.READ, response_with(b"ok", b"Connection: close"), Do.CLOSE))
    yield Case("backend closes unannounced", (get, Do.READ, 0.1, get, Do.READ), (*ANSWER, Do.CLOSE))
    yield Case("HTTP/1.0 backend", (get, Do.READ, get, Do.READ), (Do.READ, b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Do.CLOSE))
    yield simple("expecting", b"POST / HTTP/1.1", b"Expect: 100-continue", b"Content-Length: 1", body=b"x")
    yield simple("keep-alive asked", b"GET / HTTP/1.1", b"Connection: keep-alive")
    yield simple("close asked", b"GET / HTTP/1.1", b"Connection: close")


def few() -> Iterator[Case]:
    """One case of each kind of answer, for configurations that change something everywhere."""
    yield simple("served", b"GET /x?y=z&a HTTP/1.1", b"Referer: r", b"User-Agent: u", b"X-A: b")
    yield simple("served without a query", b"GET /x HTTP/1.1")
    yield simple("served POST", b"POST /x?y=z HTTP/1.1", _length(b"x"), body=b"x")
    yield simple("served without an app", host=b"plain.parity")
    yield simple("unknown", b"GET /x?y HTTP/1.1", host=b"<unknown>".replace(b"<", b"'").replace(b">", b"'"))
    yield simple("empty host", host=b"")
    yield simple("bad instance", b"GET / HTTP/1.1", b"X-Cf-App-Instance: <x>")
    yield simple("no such instance", b"GET / HTTP/1.1", b"X-Cf-App-Instance: " + APP.encode() + b":8")
    yield simple("refused", host=b"refused.parity")
    yield simple("EOF", backend=(Do.READ, Do.CLOSE))
    yield simple("semicolon", b"GET /a;b?c=d;e HTTP/1.1")
    yield simple("health", b"GET /x HTTP/1.1", b"User-Agent: HTTP-Monitor/1.1", host=b"unknown.parity")
    yield simple("bad", b"GET / HTTP/1.1", b"X A: b")
    yield simple("HEAD unknown", b"HEAD / HTTP/1.1", host=b"unknown.parity")
    yield simple("response with headers", backend=(Do.READ, response_with(b"ok", b"X-Remove: a", b"X-Present: b", b"X-Vcap-Request-Id: c", b"Server: d")))
    yield simple("forwarded", b"GET / HTTP/1.1", b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Proto: https", b"X-Forwarded-Client-Cert: x")
    yield simple("forwarded proto twice", b"GET / HTTP/1.1", b"X-Forwarded-Proto: a", b"X-Forwarded-Proto: b")
    yield simple("named in Connection", b"GET / HTTP/1.1", b"Connection: x-forwarded-for, X-A, close", b"Connection: X-A", b"X-A: b", b"X-Forwarded-For: 1.2.3.4")
    yield simple("trace key", b"GET / HTTP/1.1", b"X-Vcap-Trace: key")
    yield simple("wrong trace key", b"GET / HTTP/1.1", b"X-Vcap-Trace: other")
    yield simple("trace key of a failure", b"GET / HTTP/1.1", b"X-Vcap-Trace: key", host=b"refused.parity")
    yield simple("trace key of an unknown host", b"GET / HTTP/1.1", b"X-Vcap-Trace: key", host=b"unknown.parity")
    yield simple("session", host=b"sticky.parity", backend=(Do.READ, response_with(b"ok", b"Set-Cookie: JSESSIONID=x")))
    yield simple("other session", host=b"sticky.parity", backend=(Do.READ, response_with(b"ok", b"Set-Cookie: mine=x; SameSite=None")))
    yield simple("expecting", b"POST / HTTP/1.1", b"Expect: 100-continue", _length(b"x"), body=b"x")
    yield Case("tunnel", (request(b"GET /ws HTTP/1.1", *WEBSOCKET), Do.READ), (Do.READ_HEAD, SWITCHING[:-2] + b"X-Remove: a\r\n\r\n", 0.05, Do.CLOSE), settle=0.2)
    yield answered("early hints", b"HTTP/1.1 103 x\r\nLink: y\r\nX-Remove: z\r\n\r\n" + response_with())


def empty_lengths() -> Iterator[Case]:
    for value in (b"", b" ", b"\t"):
        for method in (b"GET", b"POST", b"HEAD"):
            yield simple(f"length {value!r} of {method.decode()}", method + b" / HTTP/1.1", b"Content-Length:" + value)
    yield simple("empty length, HTTP/1.0", b"GET / HTTP/1.0", b"Content-Length:")
    yield simple("empty length, unknown host", b"POST / HTTP/1.1", b"Content-Length:", host=b"unknown.parity")
    yield simple("empty length and others", b"POST / HTTP/1.1", b"Content-Length:", b"Content-Length: 1", body=b"x")
    yield simple("two empty lengths", b"POST / HTTP/1.1", b"Content-Length:", b"Content-Length:")
    yield simple("empty length and chunked", b"POST / HTTP/1.1", b"Content-Length:", b"Transfer-Encoding: chunked", body=chunked(b"x"))
    yield simple("length that is none", b"POST / HTTP/1.1", b"Content-Length: x")
    yield simple("length", b"POST / HTTP/1.1", b"Content-Length: 1", body=b"x")
    yield Case("empty length, then another request", (request(b"POST / HTTP/1.1", b"Content-Length:") + request(b"GET /next HTTP/1.1"), Do.READ, Do.READ))


def limits() -> Iterator[Case]:
    for count in range(14):
        yield simple(f"{count} headers", b"GET / HTTP/1.1", *(b"X-%d: y" % n for n in range(count)))
        yield answered(f"{count} headers of response", response_with(b"ok", *(b"X-%d: y" % n for n in range(count))))
    yield simple("empty headers count", b"GET / HTTP/1.1", *(b"X-%d:" % n for n in range(11)))
    for size in range(984, 1020, 3):
        yield simple(f"{size} more bytes", b"GET / HTTP/1.1", b"X-A: " + b"v" * size)
        yield answered(f"{size} more bytes of response", response_with(b"ok", b"X-A: " + b"v" * size))
    for size in (4000, 4096, 4300, 5000, 9000):
        yield answered(f"{size} more bytes of response", response_with(b"ok", b"X-A: " + b"v" * size))
    yield simple("too large of an unknown host", b"GET / HTTP/1.1", b"X-A: " + b"v" * 2000, host=b"unknown.parity")
    yield simple("too large POST", b"POST / HTTP/1.1", b"X-A: " + b"v" * 2000, _length(b"x"), body=b"x")


def over_tls(certificate: str) -> Iterator[Case]:
    """Requests over TLS, with and without a client certificate (a file), where one is asked for."""
    for shown in ("", certificate):
        for lines in ((), (b"X-Forwarded-Client-Cert: x",), (b"X-Forwarded-Proto: http",), (b"X-Forwarded-For: 1.2.3.4",), (b"X-Forwarded-Client-Cert: x", b"X-Forwarded-Client-Cert: y"), (b"Connection: X-Forwarded-Client-Cert", b"X-Forwarded-Client-Cert: x")):
            yield Case(f"TLS {'with' if shown else 'without'} a certificate {lines!r}", (request(b"GET / HTTP/1.1", *lines), Do.READ), over_tls=True, certificate=shown)
        yield Case(f"TLS {'with' if shown else 'without'} a certificate, unknown", (request(host=b"unknown.parity"), Do.READ), over_tls=True, certificate=shown)
    yield Case("TLS with no name", (request(), Do.READ), over_tls=True, server_name="")
    yield Case("TLS with another name", (request(), Do.READ), over_tls=True, server_name="other.parity")
    yield Case("TLS, tunnel", (request(b"GET /ws HTTP/1.1", *WEBSOCKET), Do.READ), (Do.READ_HEAD, SWITCHING, 0.05, Do.CLOSE), over_tls=True, settle=0.2)
    yield Case("TLS, half a body", (request(), Do.READ), (Do.READ, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Do.CLOSE), over_tls=True, settle=0.1)
    yield Case("plain request", (request(), Do.READ))


def tls_backends() -> Iterator[Case]:
    """Requests to backends with TLS, to some that cannot be what they should be, and to one that does not speak it (spec 5.4, 5.7)."""
    post = (b"POST / HTTP/1.1", b"Content-Length: 1")
    steps: tuple[Step, ...]
    for host in (b"secure.parity", b"misnamed.parity", b"unnamed.parity", b"refused.parity"):
        yield simple(f"TLS to {host.decode()}", host=host)
        yield simple(f"TLS to {host.decode()}, POST", *post, host=host, body=b"x")
    for what, steps in (("an answer in plain", (b"HTTP/1.1 400 x\r\n\r\n", Do.CLOSE)), ("EOF", (Do.CLOSE,)), ("handshake failure", (b"\x15\x03\x03\x00\x02\x02\x28", Do.CLOSE)), ("bad certificate", (b"\x15\x03\x03\x00\x02\x02\x2a", Do.CLOSE)), ("protocol version", (b"\x15\x03\x03\x00\x02\x02\x46", Do.CLOSE))):
        yield simple(f"TLS and {what}", host=b"spoken.parity", backend=steps)
        yield simple(f"TLS and {what}, POST", *post, host=b"spoken.parity", body=b"x", backend=steps)
    for what, steps in (("EOF", (Do.READ, Do.CLOSE)), ("half a head", (Do.READ, b"HTTP/1.1 200", Do.CLOSE)), ("half a body", (Do.READ, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", 0.1, Do.CLOSE)), ("silence", (Do.READ, 3.0))):
        yield Case(f"TLS, then {what}", (request(host=b"secure.parity"), Do.READ), service=steps, settle=0.1)
    yield Case("TLS and a tunnel", (request(b"GET /ws HTTP/1.1", *WEBSOCKET, host=b"secure.parity"), Do.READ), service=(Do.READ_HEAD, SWITCHING, 0.05, Do.CLOSE), settle=0.2)


def proxied() -> Iterator[Case]:
    get = request()
    for header in (b"", b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n", b"PROXY TCP6 ::1 ::2 9 10\r\n", b"PROXY UNKNOWN\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 9\r\n", b"PROXY TCP4 x 5.6.7.8 9 10\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 10\r\n", b"PROXY TCP4  1.2.3.4 5.6.7.8 9 10\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\n", b"PROXY TCP4 ::1 ::2 9 10\r\n", b"PROXY tcp4 1.2.3.4 5.6.7.8 9 10\r\n", b"PROXY \r\n", b"proxy TCP4 1.2.3.4 5.6.7.8 9 10\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10 11\r\n", b"PROXY UNKNOWN 1.2.3.4 5.6.7.8 9 10\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n", b"PROXY TCP4 01.2.3.4 5.6.7.8 9 10\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 9 " + b"1" * 200 + b"\r\n"):
        yield raw(f"header {header[:60]!r}", header + get)
    yield raw("host is the client", b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n" + request(host=b"1.2.3.4:80"))
    yield raw("host is the proxy", b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n" + request(host=b"127.0.0.1"))
    yield Case("header in pieces", (b"PRO", 0.02, b"XY TCP4 1.2.3.4 5.6.7.8 9 10\r", 0.02, b"\n" + get, Do.READ))
    yield Case("request after a while", (0.2, get, Do.READ))
