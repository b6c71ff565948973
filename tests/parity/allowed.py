"""Differences that are known and meant, each with its reason. What is not here is a bug, of the router or of this table.

There are three kinds, and each allows as little as it can. An Outcome is a case that Gorouter and our router end in two
different ways: both are spelt out, so a third one is a bug. A Blur takes away what may differ inside of lines, which
must be equal otherwise. A Line is one that only one side has.
"""

import re
from collections import defaultdict
from dataclasses import dataclass

from .normal_form import Compared, Difference

# fmt: off
# Entries stand in rows, as the cases of the corpus do.


@dataclass(frozen=True)
class Outcome:
    """Cases (a pattern) with two outcomes (`normal_form.outcome`); lines of `aspects` may differ as they like then."""

    reason: str
    cases: str
    gorouter: str
    ours: str
    aspects: tuple[str, ...] = ("client", "backend", "service", "access", "log")

    def covers(self, compared: Compared, aspect: str) -> bool:
        return (
            aspect in self.aspects
            and (self.gorouter, self.ours) == compared.outcomes
            and re.search(self.cases, compared.name) is not None
        )


@dataclass(frozen=True)
class Blur:
    """What matches `part` in lines of one aspect does not count; `cases` and `part` are patterns."""

    reason: str
    aspect: str
    part: str
    cases: str = ""


@dataclass(frozen=True)
class Line:
    """Lines of one aspect that one side alone may have: "-" Gorouter, "+" ours; `cases` and `line` are patterns."""

    reason: str
    aspect: str
    side: str
    line: str
    cases: str = ""

    def covers(self, case: str, aspect: str, side: str, line: str) -> bool:
        return (aspect, side) == (self.aspect, self.side) and bool(re.search(self.line, line) and re.search(self.cases, case))


_SERVED = "200 kept; 1 sent; logged 200"
_SERVED_AND_CLOSED = "200 closed; 1 sent; logged 200"
_REFUSED = "400 closed; 0 sent; logged nothing"
_BAD_GATEWAY = "502 kept; 1 sent; logged 502"
_BAD_GATEWAY_AND_CLOSED = "502 closed; 1 sent; logged 502"
_BROKEN_CHUNKS = "400 closed; 0 sent; logged 400"
_CUT_UNSEEN = "end; 1 sent; logged nothing"

_CONNECT = "ADR 2: CONNECT is refused"
_FRAMED_TWICE = "ADR 2: framing given twice, or in HTTP/1.0, is refused"
_ANSWER_FRAMED_TWICE = "ADR 2: responses whose framing is given twice are refused"
_STRICT_HEADERS = "ADR 2: responses with header lines that strict llhttp refuses are 502"
_NO_TARGET = "Q02: targets that are neither a path nor have an authority are refused"
_EMPTY_LINES = "RFC 9112 2.2: empty lines before a request are forgiven"
_CHUNKS = "H13: malformed chunks are the client's fault: 400"
_EXPECTATIONS = "a list of expectations is refused"
_UNSENT_BODY = "an expected body that never came ends the connection"
_ABORTED = "G01: aborted responses are logged, too"
_HEAD_AT_ONCE = "G01, E14: aborted responses are logged, too, and their head goes out at once, not with the first bytes of a body"
_GONE = "E12: nobody is answered who has left"
_UPGRADE = "an Upgrade beyond ASCII is passed on"
_INTERIM = "H12: HTTP/1.0 knows no interim responses"
_CLOSE_WINS = "RFC 9112 9.3: close outweighs keep-alive"

OUTCOMES = (
    Outcome(_CONNECT, r"plain: (method CONNECT|CONNECT with)", "405 closed; 0 sent; logged 405", _REFUSED),
    Outcome("ADR 2: folded lines are refused", r"plain: header b'X-A: b\\r\\n( |\\t)c'", _SERVED, _REFUSED),
    Outcome(_FRAMED_TWICE, r"plain: (two lengths, equal|length and chunked|chunked and length)$", _SERVED, _REFUSED),
    Outcome(_FRAMED_TWICE, r"plain: chunked with HTTP/1\.0$", _SERVED_AND_CLOSED, _REFUSED),
    Outcome("H03: HTTP/2 is not spoken to clients", r"plain: preface of HTTP/2$", "400 closed; 0 sent; logged 400", _REFUSED),
    Outcome(_NO_TARGET, r"target b'(app.parity:80|http:/?x?|mailto:a@b)'$", _SERVED, _REFUSED),
    Outcome(_NO_TARGET, r"target b'\*'$", "404 kept; 0 sent; logged 404", _REFUSED),
    Outcome(_EMPTY_LINES, r"plain: empty lines first$", _REFUSED, _SERVED),
    Outcome(_EMPTY_LINES, r"plain: empty line between$", "200 400 closed; 1 sent; logged 200", "200 200 kept; 2 sent; logged 200 200"),
    Outcome("H06: a head cut by the client's end is not answered", r"plain: half a (request line|head) and away$", _REFUSED, "end; 0 sent; logged nothing"),
    Outcome("H17: OPTIONS * with a body ends the connection", r"plain: OPTIONS \* with a body$", "200 kept; 0 sent; logged nothing", "200 closed; 0 sent; logged nothing"),
    Outcome("H09: later Gos limit the number of fields", r"plain: a thousand headers$", "431 closed; 0 sent; logged nothing", _SERVED),
    Outcome("a length beyond 2^62 is refused", r"plain: length b'9223372036854775807'$", "499 closed; 1 sent; logged 499", _REFUSED),
    Outcome("a control character in Transfer-Encoding is an unknown coding", r"plain: coding b'.x0bchunked'$", _REFUSED, "501 closed; 0 sent; logged nothing"),
    Outcome(_CHUNKS, r"plain: chunked: (space after size|forbidden trailers|bad trailer)$", _SERVED, _BROKEN_CHUNKS),
    Outcome(_CHUNKS, r"plain: chunked: ((no|bad|signed) size|s.*ze (with 0x|of 17 digits)|space before size|bare line feeds|chunk too (long|short))$", "502 closed; 1 sent; logged 502", _BROKEN_CHUNKS),
    Outcome("H13: a Trailer line that forbids itself is passed on", r"plain: announced trailer that is forbidden$", _REFUSED, _SERVED),
    Outcome("S09: a status below 100 makes Gorouter panic", r"plain: status b'099 x'", "502 kept; 1 sent; logged nothing", _BAD_GATEWAY),
    Outcome(_ANSWER_FRAMED_TWICE, r"body of response b'(Transfer-Encoding: chunked|Content-Length: 1) \| Content-Length: 1' .* to (GET|HEAD)$", _SERVED, _BAD_GATEWAY),
    Outcome(_ANSWER_FRAMED_TWICE, r"body of response b'Content-Length: 1 \| Content-Length: 1' .* to keep-alive of HTTP/1\.0$", _SERVED, _BAD_GATEWAY),
    Outcome(_ANSWER_FRAMED_TWICE, r"body of response b'Transfer-Encoding: chunked \| Content-Length: 1' .* to keep-alive of HTTP/1\.0$", _SERVED_AND_CLOSED, _BAD_GATEWAY),
    Outcome(_ANSWER_FRAMED_TWICE, r"body of response b'(Transfer-Encoding: chunked|Content-Length: 1) \| Content-Length: 1' .* to HTTP/1\.0$", _SERVED_AND_CLOSED, _BAD_GATEWAY_AND_CLOSED),
    Outcome(_STRICT_HEADERS, r"header of response b'(X-A: b\\r\\n c|X-A : b|X A: b)'$", _SERVED, _BAD_GATEWAY),
    Outcome("S09: what is not HTTP/1.0 or HTTP/1.1 is no response", r"answer b'HTTP/(0\.9|1\.2|2\.0|1\.1  )", _SERVED, _BAD_GATEWAY),
    *(
        Outcome(_INTERIM, rf"plain: interim {status} .* to HTTP/1\.0$", f"{status} {_SERVED_AND_CLOSED}", _SERVED_AND_CLOSED, ("client",))
        for status in (100, 102, 103, 199)
    ),
    Outcome(_EXPECTATIONS, r"plain: expect b'100-continue, x' with the body", "100 200 kept; 1 sent; logged 200", "417 closed; 0 sent; logged nothing"),
    Outcome(_EXPECTATIONS, r"plain: expect b'100-continue, x' without", _SERVED, "417 closed; 0 sent; logged nothing"),
    Outcome(_EXPECTATIONS, r"plain: expect b'100-continue, x', HTTP/1\.0$", _SERVED_AND_CLOSED, "417 closed; 0 sent; logged nothing"),
    Outcome(_UNSENT_BODY, r"plain: expect, unknown host$", "404 kept; 0 sent; logged 404", "404 closed; 0 sent; logged 404", ("client",)),
    Outcome(_UNSENT_BODY, r"plain: expect, backend refuses$", "413 kept; 1 sent; logged 413", "413 closed; 1 sent; logged 413", ("client",)),
    Outcome(_CLOSE_WINS, r"plain: persistence .*both 1\.0( app\.parity)?$", _SERVED, _SERVED_AND_CLOSED, ("client",)),
    Outcome(_CLOSE_WINS, r"plain: persistence both 1\.0 unknown\.parity$", "404 kept; 0 sent; logged 404", "404 closed; 0 sent; logged 404", ("client",)),
    Outcome(_GONE, r"plain: body cut$", "499 closed; 1 sent; logged 499", "end; 1 sent; logged 499", ("client",)),
    *(
        # Whether the request has gone out when its client is found to be gone is a matter of chance.
        Outcome(_GONE, r"plain: half close after the request$", f"499 closed; {theirs} sent; logged 499", f"end; {mine} sent; logged 499", ("client", "backend", "log"))
        for theirs in (0, 1) for mine in (0, 1)
    ),
    Outcome(_UPGRADE, r"plain: upgrade odd value$", "502 silence; 0 sent; logged 502", "502 silence; 1 sent; logged 502"),
    Outcome(_UPGRADE, r"plain: upgrade odd value, refused$", "502 kept; 0 sent; logged 502", "400 kept; 1 sent; logged 400"),
    Outcome("H20: PROXY UNKNOWN is served", r"proxy protocol: header b'PROXY UNKNOWN", "end; 0 sent; logged nothing", _SERVED),
    Outcome("H20: malformed PROXY headers are refused", r"proxy protocol: header b'PROXY TCP4 (1.2.3.4 5.6.7.8 (99999 10|9 10.n')|::1)", _SERVED, "end; 0 sent; logged nothing"),
    Outcome(_HEAD_AT_ONCE, r"(200 OK (with a length|chunked) to|body of response b'Content-Length: 5'|half a body)", _CUT_UNSEEN, "200 end; 1 sent; logged 200", ("client", "access")),
    Outcome(_ABORTED, r"body of response b'Transfer-Encoding: chunked' b'(x.r.nhello|1.na)", _CUT_UNSEEN, "end; 1 sent; logged 200", ("access",)),
    Outcome(_ABORTED, r"(200 OK (with a length|chunked) to|body of response b'(Content-Length: 5'|Transfer-Encoding: chunked' b'5.r.nhel)|half a (chunked )?body|silence in the body)", "200 end; 1 sent; logged nothing", "200 end; 1 sent; logged 200", ("access",)),
    Outcome("S09: a body that ends with the connection is ended by a reset", r"body of response .*HTTP/1\.0$", "200 closed; 1 sent; logged nothing", "200 reset; 1 sent; logged 200", ("client", "access")),
    Outcome("S09: a body that ends with the connection is ended by a reset", r"body of response .*HTTP/1\.0$", _CUT_UNSEEN, "reset; 1 sent; logged 200", ("client", "access")),
    Outcome(_ABORTED, r"services.*: service: half a body|TLS backends.*: TLS, then half a body", "200 end; 0 sent, 1 to services; logged nothing", "200 end; 0 sent, 1 to services; logged 200", ("access",)),
    Outcome("V02: a target in absolute form is the forwarded URL, where Gorouter puts it behind another", r"services.*: visit for b'http://", "404 kept; 0 sent, 1 to services; logged 404 404", "200 kept; 1 sent, 1 to services; logged 200 200"),
    Outcome("N16: broken streams have a line", r"plain: client away inside the response$", "200 closed by us; 1 sent; logged nothing", "200 closed by us; 1 sent; logged 200", ("client", "access", "log")),
)

_WORDS = "E07: words for malformed responses"
_MALFORMED = r"plain: (status b'|answer b'|header of response b'|body of response b')"
_BROKEN = r"(?<=transport connection broken: )"
_REFUSAL_WORDS = "H07: words for malformed requests"
_TARGETS = r"""plain: target b["'](/#f|/a#b|//?\\x|/"|/<>|/\{\}|/\||/\\|/\^|/`|//a b|/')|visit for b'/(.xc3|<|#f)"""
_NO_TIME = r"services.*: signature bad time inside"
_SERVICE_FAILS = r"services.*: (service of down|service: reset)"
_LOST_SERVICE = r"services.*: (service of nowhere|inner visit of (other-)?in\.parity)"
_NAME_SERVER = r" on [\d.]+:53(?=: no such host)"
_SCRIPTS = "S11: more is escaped in scripts than Go does"
_PAGES = r"HTML errors: (unknown|bad instance|no such instance|HEAD unknown|trace key of an unknown host)$"

BLURS = (
    Blur("E17: lines about attempts have the ids of the trace, as spec 6.6 wants it", "log", r', "(span|trace)-id": "<id>"(?=.*\} \(\)$)'),
    Blur(_WORDS, "client", _BROKEN + r".*(?=\)$)", _MALFORMED),
    Blur(_WORDS, "access", _BROKEN + r'.*(?=\)"$)', _MALFORMED),
    Blur(_WORDS, "log", _BROKEN + r'.*(?=", "got-connection": )', _MALFORMED),
    Blur(_REFUSAL_WORDS, "client", r"(?<=^1 body 400 Bad Request)(: (invalid header (name|value)|too many Host headers|malformed Host header|missing required Host header))?$", r"plain: (bare carriage return in|host b'|two (equal )?hosts|space before the colon|header b')"),
    Blur(_REFUSAL_WORDS, "client", r"(?<=^1 Content-Length: )(15|3[678]|45)$", r"plain: (bare carriage return in|host b'|two (equal )?hosts|space before the colon|header b')"),
    Blur("V04: words for what is no time", "client", r'(?<=cannot parse )("x" as "2006"|it)(?=.n$)', _NO_TIME),
    Blur("V04: words for what is no time", "client", r"(?<=^1 Content-Length: )1\d\d$", _NO_TIME),
    Blur("V04: words for what is no time", "access", r'(?<=" 502 0 )1\d\d(?= ")', _NO_TIME),
    Blur("V04: words for what is no time", "log", r'(?<=cannot parse )(.."x.." as .."2006.."|it)(?=")', _NO_TIME),
    Blur("V14: a route service goes by the name in its URL, not by its address", "client", r"(127\.0\.0\.1|localhost)(?=:<(refused|outer)>)", _SERVICE_FAILS),
    Blur("V14: a route service goes by the name in its URL, not by its address", "access", r"(127\.0\.0\.1|localhost)(?=:<(refused|outer)>)", _SERVICE_FAILS),
    Blur("V14: a route service goes by the name in its URL, not by its address", "log", r"(127\.0\.0\.1|localhost)(?=:<(refused|outer)>: )", _SERVICE_FAILS),
    Blur("E16: which name server knew of no such host is not told", "client", _NAME_SERVER, _LOST_SERVICE),
    Blur("E16: which name server knew of no such host is not told", "access", _NAME_SERVER, _LOST_SERVICE),
    Blur("E16: which name server knew of no such host is not told", "log", _NAME_SERVER, _LOST_SERVICE),
    Blur("V12: an inner service is logged with its own URL, over a connection of its own", "log", r'(?<="route-service-endpoint": "https://)(127\.0\.0\.1:<internal>|[a-z.]+)(?=/visit")', r"services inside.*inner visit"),
    Blur("V12: an inner service is logged with its own URL, over a connection of its own", "log", r'(?<="conn-reused": )(true|false)(?=.*route-service-endpoint)', r"services inside.*inner visit"),
    Blur("G01: the target is logged as received", "access", r'(?<="GET ).*?(?= HTTP/1\.1")', _TARGETS),
    Blur("Q15, Q16: words for malformed trace headers", "log", r'(?<=\{"error": ")(invalid|not) [^"]*', r"trace b'.*(b3|B3)"),
    Blur(_SCRIPTS, "client", r"(?<=<script>).*(?=</script>)", _PAGES),
    Blur(_SCRIPTS, "client", r"(?<=^1 Content-Length: )\d{3}$", _PAGES),
    Blur(_SCRIPTS, "access", r'(?<=" 40[04] 0 )\d{3}(?= ")', _PAGES),
    Blur("Q08: named in Connection, the request id is logged all the same", "access", r'(?<= vcap_request_id:")[^"]*', r"hop b'Connection: X-Vcap-Request-Id'$"),
    Blur("G01: bytes of a body count when they have come, whether they went on or not", "access", r'(?<=" \d{3} )[015](?= \d\d ")', r"plain: refused POST$|TLS backends.*POST$|services.*: (service of .*|inner visit of .*), POST$"),
    Blur("H15: a body behind its answer is read and thrown away, uncounted", "access", r'(?<=" 200 )(0|10)(?= 5 ")', r"plain: answer before the body$"),
    Blur("E12: which of its reads or writes tells Gorouter that a client has gone is a matter of chance", "log", r"(?<=context canceled \()(readfrom tcp 127.0.0.1:<own>->127.0.0.1:<a>: )?(unexpected EOF|context canceled)(?=\))", r"plain: .*(away|cut)$"),
    Blur("W01: 101 in the client's version", "client", r"(?<=^1 HTTP/1\.)[01](?= 101$)", r"plain: upgrade with HTTP/1\.0$"),
    Blur("what the server itself says to HTTP/1.0 is HTTP/1.1", "client", r"(?<=^1 HTTP/1\.)[01](?= (200|417)$)", r"plain: (OPTIONS \* with|expect b'x',) HTTP/1\.0$"),
    Blur("RFC 9112 6.1: chunks of HTTP/1.0 are decoded", "client", r"(?<=^1 body )(3.r.nold.r.n0.r.n.r.n|old)$", r"answer b'HTTP/1\.0 .*chunked"),
    Blur("RFC 9112 6.1: chunks of HTTP/1.0 are decoded", "access", r'(?<=" 200 0 )(13|3)(?= ")', r"answer b'HTTP/1\.0 .*chunked"),
)

LINES = (
    Line("H07: what is refused before the handlers has a length, too", "client", "+", r"^1 Content-Length: (15|29|3[5-8]|45|46|60)$", r"^plain: |: bad$|proxy protocol: header b'proxy"),
    Line("H01: a response to HTTP/1.0 says that the connection closes", "client", "+", r"^1 Connection: close$", r"HTTP/1\.0$|HTTP/1\.0 with|version 1\.0$|persistence .*(plain|close|both) 1\.0"),
    Line("Go drops an empty User-Agent", "backend", "+", r"^a1 User-Agent: $", r"header b'User-Agent:'$"),
    Line("Go drops any User-Agent after the first", "backend", "+", r"^a1 \(2\) User-Agent: b$", r"headers b'User-Agent: a, User-Agent: b'$"),
    Line("Go adds Cache-Control for Pragma", "backend", "-", r"^a1 Cache-Control: no-cache$", r"header b'Pragma: no-cache'$"),
    Line("H12: hop-by-hop headers of interim responses are not passed on", "client", "-", r"^1 (Connection: x-b|X-B: c)$", r"plain: interim "),
    Line("H13: trailers of requests are passed on", "backend", "+", r"^a1 trailer X-(T: v|U: w|u: w|Not: w)$", r"plain: (chunked: (two )?trailers?|announced trailer)$"),
    Line("S05: stripped from 101 as well", "client", "-", r"^1 X-Cf-Proxy-Signature: s$", r"plain: upgrade answered with headers$"),
    Line("W01: 101 without a length", "client", "-", r"^1 Content-Length: 0$", r"plain: upgrade with POST$"),
    Line("S01: trailers are announced only where they follow", "client", "-", r"^1 Trailer: X-T$", r"Trailer: X-T' .* (HEAD|HTTP/1\.0)$"),
    Line("a bad upgrade is answered to HEAD with the length of what GET gets", "client", "+", r"^1 Content-Length: 0$", r"plain: status b'101 x' to HEAD$"),
    Line("Q14: Go asks services inside for gzip", "service", "-", r"^a1 Accept-Encoding: gzip$", r"services inside.*inner visit"),
    Line("Q14: Go asks services inside for gzip", "backend", "-", r"^a1 Accept-Encoding: gzip$", r"services inside.*inner visit"),
    Line("O04: metrics of our own", "metrics", "+", r"^fastrouter_"),
    Line("N17: counters of later Gorouters", "metrics", "+", r"^routes_(un)?registered counter "),
    Line("O04: all values of status_group are there from the start", "metrics", "+", r"^responses_route_services counter "),
    Line("R05: what is no UTF-8 is rejected", "routes", "-", r'bad-utf8.* => .bad-utf8-.\.reg.: \['),
    Line("R05: what is no UTF-8 is rejected", "routes", "+", r'bad-utf8.* => .bad-utf8-.\.reg.: unchanged$'),
    Line("R05: what is no UTF-8 is rejected", "told", "-", r'bad-utf8.* => (0 uri-added|1 (endpoint|route)-registered) '),
    Line("R05: what is no UTF-8 is rejected", "told", "+", r'bad-utf8.* => 3 validation-error '),
)

ALL_REASONS = (
    {outcome.reason for outcome in OUTCOMES} | {blur.reason for blur in BLURS} | {line.reason for line in LINES}
)


def explain(compared: Compared) -> tuple[set[str], list[Difference]]:
    """Why what differs may differ, and what of it nothing allows."""
    reasons: set[str] = set()
    left = []
    for difference in compared.found:
        outcome = next((entry for entry in OUTCOMES if entry.covers(compared, difference[0])), None)
        if outcome is not None:
            reasons.add(outcome.reason)
        else:
            left.append(difference)
    unexplained = []
    for difference in _unpaired(compared.name, left, reasons):
        line = next((entry for entry in LINES if entry.covers(compared.name, *difference)), None)
        if line is not None:
            reasons.add(line.reason)
        else:
            unexplained.append(difference)
    return reasons, unexplained


def _unpaired(case: str, found: list[Difference], reasons: set[str]) -> list[Difference]:
    """What is left of `found` without the pairs that are equal but for blurs; the reasons of these are added."""
    waiting: dict[tuple[str, str, str], list[tuple[Difference, set[str]]]] = defaultdict(list)
    for difference in found:
        aspect, side, line = difference
        blurred, why = _blurred(case, aspect, line)
        partners = waiting[aspect, "-" if side == "+" else "+", blurred]
        if partners:
            reasons |= why | partners.pop()[1]
        else:
            waiting[aspect, side, blurred].append((difference, why))
    single = [difference for unpaired in waiting.values() for difference, _ in unpaired]
    return [difference for difference in found if difference in single]


def _blurred(case: str, aspect: str, line: str) -> tuple[str, set[str]]:
    reasons = set()
    for blur in BLURS:
        if blur.aspect == aspect and re.search(blur.cases, case):
            without = re.sub(blur.part, "", line)
            if without != line:
                reasons.add(blur.reason)
            line = without
    return line, reasons
