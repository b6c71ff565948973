"""Differences that are known and meant, each with its reason. What is not here is a bug, of the router or of this table."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Allowed:
    """Lines of one aspect that one side alone may have: "-" Gorouter, "+" ours, "±" either; `cases` and `line` are patterns."""

    reason: str
    aspect: str
    side: str
    line: str
    cases: str = ""

    def covers(self, case: str, aspect: str, side: str, line: str) -> bool:
        return (
            self.aspect in ("any", aspect)
            and (self.side in ("±", side))
            and re.search(self.line, line) is not None
            and re.search(self.cases, case) is not None
        )


_ANY_BAD_REQUEST = (
    r"^1 (Content-Length: (15|29|3[5-8]|45|46|60)|body 400 Bad Request"
    r"(: (invalid header (name|value)|too many Host headers|missing required Host header|malformed Host header))?)$"
)

TABLE: tuple[Allowed, ...] = (
    Allowed("debug lines of Gorouter's own workings", "log", "-", r"^0 "),
    Allowed("lines of other moments: pruning", "log", "±", r"^0 (start|finished)-pruning-routes"),
    Allowed(
        "H07: what is refused before the handlers has a length, too, and the words of Go 1.24",
        "client",
        "±",
        _ANY_BAD_REQUEST,
    ),
    Allowed(
        "G01: the target is logged as received",
        "access",
        "±",
        r"",
        r"""target b["'](/#f|/a#b|//?\\x|/"|/<>|/\{\}|/\||/\\|/\^|/`|//a b)|target b'/"'""",
    ),
    Allowed("H01: a response to HTTP/1.0 says that the connection closes", "client", "+", r"^1 Connection: close$"),
    Allowed("ADR 2: CONNECT is refused", "any", "±", "", r"CONNECT"),
    Allowed("ADR 2: folded lines are refused", "any", "±", "", r"header b'X-A: b\\r\\n"),
    Allowed(
        "ADR 2: framing given twice, or in HTTP/1.0, is refused",
        "any",
        "±",
        "",
        r"two lengths, equal|length and chunked|chunked and length|chunked with HTTP/1.0",
    ),
    Allowed("H03: HTTP/2 is not spoken to clients", "any", "±", "", r"preface of HTTP/2"),
    Allowed(
        "Q02: targets that are neither a path nor have an authority are refused",
        "any",
        "±",
        "",
        r"target b'(\*|app.parity:80|http:/?x?|mailto:a@b)'",
    ),
    Allowed(
        "RFC 9112 2.2: empty lines before a request are forgiven",
        "any",
        "±",
        "",
        r"empty lines first|empty line between",
    ),
    Allowed(
        "a head cut by the client's end is not answered", "client", "±", "", r"half a (request line|head) and away"
    ),
    Allowed(
        "H17: OPTIONS * ends the connection where it has a body, and answers HTTP/1.0 as HTTP/1.1",
        "client",
        "±",
        "",
        r"OPTIONS \* with",
    ),
    Allowed(
        "Go drops an empty User-Agent and any after the first",
        "backend",
        "+",
        r"User-Agent",
        r"User-Agent:|User-Agent: b",
    ),
    Allowed("Go adds Cache-Control for Pragma", "backend", "-", r"Cache-Control: no-cache", r"Pragma"),
    Allowed("later Gos limit the number of fields", "any", "±", "", r"a thousand headers|many headers of response"),
    Allowed(
        "H12: hop-by-hop headers of interim responses are not passed on",
        "client",
        "-",
        r"^\d+ (Connection: x-b|X-B: c)$",
        r"interim ",
    ),
    Allowed("H12: HTTP/1.0 knows no interim responses", "client", "±", "", r"interim .* to HTTP/1\.0"),
    Allowed("H13: malformed chunks are the client's fault: 400", "any", "±", "", r"chunked: (?!trailer|two)"),
    Allowed("H13: trailers of requests are passed on", "backend", "+", r"trailer ", r"trailer"),
    Allowed("H13: a Trailer line that forbids itself is passed on", "any", "±", "", r"trailer that is forbidden"),
    Allowed("H15: a body that nobody reads does not cost the connection", "any", "±", r"", r"answer before the body"),
    Allowed("a length beyond 2^62 is refused", "any", "±", "", r"length b'9223372036854775807'"),
    Allowed(
        "a control character in Transfer-Encoding is an unknown coding", "client", "±", "", r"coding b'.x0bchunked'"
    ),
    Allowed(
        "G01: aborted responses are logged, too",
        "access",
        "+",
        r"",
        r"body of response|half a|silence in|with a length|chunked to|client away inside|cut",
    ),
    Allowed(
        "a head goes out at once, not with the first bytes of its body",
        "client",
        "+",
        "",
        r"body of response|half a|silence in|with a length|chunked to|client away inside",
    ),
    Allowed(
        "N16: broken streams have a line",
        "any",
        "+",
        "client-conn-closed-during-response-streaming",
        r"client away inside",
    ),
    Allowed(
        "ADR 2: responses whose framing is given twice are refused",
        "any",
        "±",
        "",
        r"body of response b'.*(chunked \\| Content-Length|chunked \\| Transfer|Length: 1 \\| Content)",
    ),
    Allowed(
        "E07: words for malformed responses",
        "any",
        "±",
        r"malformed HTTP|Content-Length: 67|endpoint_failure|502|unexpected EOF|panic|unknown_failure",
        r"status b'|answer b'|header of response|body of response|interim and nothing|half a head",
    ),
    Allowed(
        "a refusal of an expectation says HTTP/1.1, and a list of expectations is refused",
        "any",
        "±",
        "",
        r"expect b'(100-continue, )?x'",
    ),
    Allowed(
        "an expected body that never came ends the connection",
        "client",
        "±",
        r"then (kept|closed)|Connection: close",
        r"expect, (backend refuses|unknown host)",
    ),
    Allowed(
        "RFC 9112 9.3: close outweighs keep-alive", "client", "±", r"Connection: |then ", r"persistence .*both 1\.0"
    ),
    Allowed("E12: nobody is answered who has left", "client", "±", "", r"half close after the request"),
    Allowed(
        "E17: data of lines about failed attempts",
        "log",
        "±",
        # A client that leaves and an upgrade that fails have other lines altogether.
        r"^3 (backend-endpoint-failed|endpoint-marked-as-ineligible|backend-request-timeout|backend-too-many-response-headers|select-endpoint-failed)",
        r"^(?!.*(away|resets|half close|upgrade|101 (x|that)|body cut))",
    ),
    Allowed("Q16, Q15: words for malformed trace headers", "log", "±", r"failed-to-parse"),
    Allowed("S05: stripped from 101 as well", "client", "-", "X-Cf-Proxy-Signature", r"upgrade answered with headers"),
    Allowed(
        "W01: 101 in the client's version, without a length",
        "client",
        "±",
        r"HTTP/1\.[01] 101|Content-Length: 0",
        r"upgrade with",
    ),
    Allowed("S01: trailers are announced only where they follow", "client", "-", r"Trailer: ", r"Trailer: X-T'"),
    Allowed("S09: a body that ends with the connection is ended by a reset", "client", "-", r"then", r"HTTP/1\.0$"),
    Allowed(
        "ADR 2: responses with header lines that strict llhttp refuses are 502",
        "any",
        "±",
        "",
        r"header of response b'(X-A: b.r.n c|X-A : b|X A: b|: b|X-A'|X-A: a.x0[01]b| X-A: b|X-A: b.rc)",
    ),
    Allowed(
        "S09: what is not HTTP/1.0 or HTTP/1.1 is no response", "any", "±", "", r"answer b'HTTP/(0\.9|1\.2|2\.0|1\.1  )"
    ),
    Allowed("RFC 9112 6.1: chunks of HTTP/1.0 are decoded", "any", "±", "", r"answer b'HTTP/1.0 .*chunked"),
    Allowed("O04: metrics of our own", "metrics", "+", r"^fastrouter_"),
    Allowed(
        "H20: malformed PROXY headers are refused",
        "any",
        "±",
        "",
        r"proxy protocol: header b'PROXY TCP4 (1.2.3.4 5.6.7.8 (99999 10|9 10.n')|::1)",
    ),
    Allowed("a status below 100 makes Gorouter panic", "any", "±", "", r"status b'099 x'"),
    Allowed("an Upgrade beyond ASCII is passed on", "any", "±", "", r"upgrade odd value"),
    Allowed("R05: what is no UTF-8 is rejected", "any", "±", r"bad-utf8", r"registrations"),
    Allowed(
        "S11: more is escaped in scripts than Go does",
        "any",
        "±",
        r"Content-Length|<html>|access|response_time|body",
        r"HTML errors",
    ),
)


def reason_for(case: str, aspect: str, side: str, line: str) -> str | None:
    """Why this line may differ; None if nothing allows it."""
    for allowed in TABLE:
        if allowed.covers(case, aspect, side, line):
            return allowed.reason
    return None
