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
    """Cases with two outcomes (`normal_form.outcome`); all three are patterns. Lines of `aspects` may differ as they like then."""

    reason: str
    cases: str
    gorouter: str
    ours: str
    aspects: tuple[str, ...] = ("client", "backend", "service", "access", "log", "counts", "envelopes")

    def covers(self, compared: Compared, aspect: str) -> bool:
        return (
            aspect in self.aspects
            and re.fullmatch(self.gorouter, compared.outcomes[0]) is not None
            and re.fullmatch(self.ours, compared.outcomes[1]) is not None
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

# Each choice begins with the ids of the rows of docs/parity.md that describe it.
_STRICT = "H03, H05, H11, H13, H20, Q02: requests that are not right, or framed in two ways, are refused"
_FRAMED_ANEW = "S01: framing of responses, and what is not right in their headers, is rendered anew"
_SPOKEN = "H07, H17: what is refused before the handlers is told in words of our own, with a length, as HTTP/1.1"
_FIRST_LIMIT = "H08: limits for heads come before the lookup"
_EMPTY_LINES = "H06: empty lines before a request are forgiven, and a head that its client cuts is not answered"
_HTTP10 = "H01, H02: what ends with a response to HTTP/1.0 says so, and close outweighs keep-alive"
_UNSENT_BODY = "H11, H17: a body that nobody asked for ends the connection"
_INTERIM = "H12: interim responses are for HTTP/1.1, without hop-by-hop headers, and may be more than five"
_TRAILERS = "H13: trailers of requests are passed on, whatever was announced"
_COUNTED = "G01, H15: bytes of a body count when they have come for a backend, whether they went on or not"
_BROKEN_OFF = "G01, H16, N16, S09: responses that break off are logged, their head goes out at once, and a reset ends what has no length"
_BAD_STATUS = "S09: a status below 100 makes Gorouter panic, and a bad switch is answered to HEAD as to GET"
_GONE = "E12: who half-closes is answered, who has left is not, and which read or write tells of either is a matter of chance"
_UPGRADE = "S05, W01, W02: which upgrades are passed on, and what goes with 101"
_WORDS = "E07, E10, E16, E17, Q15, V04, V06, V14: texts of errors are our own, and times of lookups are part of the dial's"
_GO_CLIENT = "Q02, Q14: what Go's client adds and takes away is not, a user in a target is not passed on"
_LOGGED = "G01, Q08: the target is logged as received, and the request id though Connection names it"
_SCRIPTS = "S11: more is escaped in scripts than Go does"
_SIGNED = "V02, V05: a target in absolute form is the forwarded URL, and a signature is looked at once, and with it its route"
_INNER = "V12: an inner service is logged with its own URL, over a connection of its own"
_METRICS = "N17, O04, R30: metrics of our own and of later Gorouters, and pages that are made as they are taken"
_LIFE = "C02, O04, O09, P11, P12, V12, V13: lines of our own tell more of starts and ends, and a list is looked at first"
_TOLD = "O05, O07: Go's own values are not told, nor a user agent that Connection names; URLs of services have a path; crowded responses are failures"
_NO_TEXT = "R05: what is no UTF-8 is rejected"

OUTCOMES = (
    Outcome(_STRICT, r"plain: (method CONNECT|CONNECT with)", _SERVED, _REFUSED),
    Outcome(_STRICT, r"plain: header b'X-A: b\\r\\n( |\\t)c'", _SERVED, _REFUSED),
    Outcome(_STRICT, r"plain: (two lengths, equal|length and chunked|chunked and length)$", _SERVED, _REFUSED),
    Outcome(_STRICT, r"plain: chunked with HTTP/1\.0$", _SERVED_AND_CLOSED, _REFUSED),
    Outcome(_STRICT, r"plain: preface of HTTP/2$", "400 closed; 0 sent; logged 400", _REFUSED),
    Outcome(_STRICT, r"target b'(app.parity:80|http:/{0,3}x?|mailto:a@b)'$", _SERVED, _REFUSED),
    Outcome(_STRICT, r"target b'\*'$", "404 kept; 0 sent; logged 404", _REFUSED),
    Outcome(_STRICT, r"plain: host b'app.parity:x'$", _SERVED, _REFUSED),
    Outcome(_STRICT, r"plain: host b'(\[|::1)'$", "404 kept; 0 sent; logged 404", _REFUSED),
    Outcome(_FIRST_LIMIT, r"plain: head over the limit, unknown host|limits: too large of an unknown host", "404 kept; 0 sent; logged 404", "431 kept; 0 sent; logged 431"),
    Outcome(_EMPTY_LINES, r"plain: empty lines first$", _REFUSED, _SERVED),
    Outcome(_EMPTY_LINES, r"plain: empty line between$", "200 400 closed; 1 sent; logged 200", "200 200 kept; 2 sent; logged 200 200"),
    Outcome(_EMPTY_LINES, r"plain: half a (request line|head) and away$", _REFUSED, "end; 0 sent; logged nothing"),
    Outcome(_UNSENT_BODY, r"plain: OPTIONS \* with a body$", "200 kept; 0 sent; logged nothing", "200 closed; 0 sent; logged nothing"),
    Outcome(_STRICT, r"plain: length b'9223372036854775807'$", "499 closed; 1 sent; logged 499", _REFUSED),
    Outcome(_STRICT, r"plain: coding b'.x0bchunked'$", _REFUSED, "501 closed; 0 sent; logged nothing"),
    Outcome(_STRICT, r"plain: chunked: (space after size|forbidden trailers|bad trailer)$", _SERVED, _BROKEN_CHUNKS),
    Outcome(_STRICT, r"plain: chunked: ((no|bad|signed) size|s.*ze (with 0x|of 17 digits)|space before size|bare line feeds|chunk too (long|short))$", "502 closed; 1 sent; logged 502", _BROKEN_CHUNKS),
    Outcome(_TRAILERS, r"plain: announced trailer that is forbidden$", _REFUSED, _SERVED),
    Outcome(_BAD_STATUS, r"plain: status b'099 x'", "502 kept; 1 sent; logged nothing", _BAD_GATEWAY),
    *(
        Outcome(_INTERIM, rf"plain: interim {status} .* to HTTP/1\.0$", f"{status} {_SERVED_AND_CLOSED}", _SERVED_AND_CLOSED, ("client",))
        for status in (100, 102, 103, 199)
    ),
    *(
        Outcome(_INTERIM, rf"plain: interim {name} times$", "103 103 103 103 103 502 kept; 1 sent; logged 502", f"{'103 ' * number}{_SERVED}")
        for name, number in (("six", 6), ("twenty", 20))
    ),
    Outcome(_STRICT, r"plain: expect b'100-continue, x' with the body", "100 200 kept; 1 sent; logged 200", "417 closed; 0 sent; logged nothing"),
    Outcome(_STRICT, r"plain: expect b'100-continue, x' without", _SERVED, "417 closed; 0 sent; logged nothing"),
    Outcome(_STRICT, r"plain: expect b'100-continue, x', HTTP/1\.0$", _SERVED_AND_CLOSED, "417 closed; 0 sent; logged nothing"),
    Outcome(_UNSENT_BODY, r"plain: expect, unknown host$", "404 kept; 0 sent; logged 404", "404 closed; 0 sent; logged 404", ("client",)),
    Outcome(_UNSENT_BODY, r"plain: expect, backend refuses$", "silence; 1 sent; logged 413", "413 closed; 1 sent; logged 413", ("client", "log")),
    Outcome(_HTTP10, r"plain: persistence .*both 1\.0( app\.parity)?$", _SERVED, _SERVED_AND_CLOSED, ("client",)),
    Outcome(_HTTP10, r"plain: persistence both 1\.0 unknown\.parity$", "404 kept; 0 sent; logged 404", "404 closed; 0 sent; logged 404", ("client",)),
    Outcome(_GONE, r"plain: body cut$", "499 closed; 1 sent; logged 499", "end; 1 sent; logged 499", ("client", "log")),
    # Whether the request has gone out when its client is found to be gone is a matter of chance.
    Outcome(_GONE, r"plain: half close after the request$", "499 closed; [01] sent; logged 499", "200 closed; 1 sent; logged 200"),
    Outcome(_GONE, r"plain: client (away while the backend thinks|of a POST away)$", "closed by us; 1 sent; logged 499", "closed by us; 1 sent; logged 200", ("access", "log", "counts", "envelopes")),
    Outcome(_UPGRADE, r"plain: upgrade with HTTP/1\.0$", "101 closed; 1 sent; logged 101", "502 (reset|end); 1 sent; logged 502"),
    Outcome(_UPGRADE, r"plain: upgrade odd value$", "502 silence; 0 sent; logged 502", "502 silence; 1 sent; logged 502"),
    Outcome(_UPGRADE, r"plain: upgrade odd value, refused$", "502 kept; 0 sent; logged 502", "400 kept; 1 sent; logged 400"),
    Outcome("H20: PROXY UNKNOWN is served", r"proxy protocol: header b'PROXY UNKNOWN", "end; 0 sent; logged nothing", _SERVED),
    Outcome(_STRICT, r"proxy protocol: header b'PROXY TCP4 (1.2.3.4 5.6.7.8 (99999 10|9 10.n')|::1)", _SERVED, "end; 0 sent; logged nothing"),
    Outcome(_BROKEN_OFF, r"(200 OK (with a length|chunked) to|body of response b'Content-Length: 5'|half a body)", _CUT_UNSEEN, "200 end; 1 sent; logged 200", ("client", "access", "envelopes")),
    Outcome(_BROKEN_OFF, r"body of response b'Transfer-Encoding: chunked' b'(x.r.nhello|1.na)", _CUT_UNSEEN, "end; 1 sent; logged 200", ("access", "envelopes")),
    Outcome(_BROKEN_OFF, r"(200 OK (with a length|chunked) to|body of response b'(Content-Length: 5'|Transfer-Encoding: chunked' b'5.r.nhel)|half a (chunked )?body|silence in the body)", "200 end; 1 sent; logged nothing", "200 end; 1 sent; logged 200", ("access", "envelopes")),
    Outcome(_BROKEN_OFF, r"body of response .*HTTP/1\.0$", "200 closed; 1 sent; logged nothing", "200 reset; 1 sent; logged 200", ("client", "access", "envelopes")),
    Outcome(_BROKEN_OFF, r"body of response .*HTTP/1\.0$", _CUT_UNSEEN, "reset; 1 sent; logged 200", ("client", "access", "envelopes")),
    Outcome(_BROKEN_OFF, r"services.*: service: half a body|TLS backends.*: TLS, then half a body", "200 end; 0 sent, 1 to services; logged nothing", "200 end; 0 sent, 1 to services; logged 200", ("access", "envelopes")),
    Outcome(_SIGNED, r"services.*: visit for b'http://", "404 kept; 0 sent, 1 to services; logged 404 404", "200 kept; 1 sent, 1 to services; logged 200 200"),
    Outcome(_BROKEN_OFF, r"plain: client away inside the response$", "200 closed by us; 1 sent; logged nothing", "200 closed by us; 1 sent; logged 200", ("client", "access", "log", "envelopes")),
    Outcome(_STRICT, r"empty lengths: (two empty lengths|empty length and chunked)$", _SERVED, _REFUSED),
    Outcome(_STRICT, r"empty lengths: empty length, HTTP/1\.0$", "silence; 1 sent; logged 499", _SERVED_AND_CLOSED),
    Outcome(_LIFE, r"life: taken port inside$", "refused, exit code 1", "started, exit code 0", ("log", "end")),
)

_MALFORMED = r"plain: (status b'|answer b'|header of response b'|body of response b')"
_BROKEN = r"(?<=transport connection broken: )"
_TARGETS = r"""plain: target b["'](/#f|/a#b|//?\\x|/"|/<>|/\{\}|/\||/\\|/\^|/`|//a b|/')|visit for b'/(.xc3|<|#f)"""
_NO_TIME = r"services.*: signature bad time inside"
_SERVICE_FAILS = r"services.*: (service of down|service: reset)"
_LOST_SERVICE = r"services.*: (service of nowhere|inner visit of (other-)?in\.parity)"
_NAME_SERVER = r" on [\d.]+:53(?=: no such host)"
_UNKNOWN_AUTHORITY = r"(?<= x509: )(certificate signed by unknown authority|unhandled critical extension|a root or intermediate certificate is not authorized to sign for this name)"
_MISTRUSTED = r"^certificates, .*: (sha-1|unknown-critical-extension-untrusted|authority-(that-is-none|without-constraints|that-may-not-sign|for-other-names))$"
_PAGES = r"HTML errors: (unknown|bad instance|no such instance|HEAD unknown|trace key of an unknown host)$"

BY_CHANCE = Blur(_GONE, "log", r"(?<=context canceled \()(readfrom tcp 127.0.0.1:<own>->127.0.0.1:<a>: )?(unexpected EOF|context canceled)(?=\))", r"plain: (chunked )?body and away$")
"""The one entry that may allow nothing in a run."""

BLURS = (
    Blur(_WORDS, "client", _BROKEN + r".*(?=\)$)", _MALFORMED),
    Blur(_WORDS, "access", _BROKEN + r'.*(?=\)"$)', _MALFORMED),
    Blur(_WORDS, "log", _BROKEN + r'.*(?=", "got-connection": )', _MALFORMED),
    Blur(_SPOKEN, "client", r"(?<=^1 body 400 Bad Request)(: (invalid header (name|value)|too many Host headers|malformed Host header|missing required Host header))?$", r"plain: (bare carriage return in|host b'|two (equal )?hosts|space before the colon|header b')"),
    Blur(_WORDS, "client", r'(?<=cannot parse )("x" as "2006"|it)(?=.n$)', _NO_TIME),
    Blur(_WORDS, "client", r"(?<=^1 Content-Length: )1\d\d$", _NO_TIME),
    Blur(_WORDS, "access", r'(?<=" 502 0 )1\d\d(?= ")', _NO_TIME),
    Blur(_WORDS, "log", r'(?<=cannot parse )(.."x.." as .."2006.."|it)(?=")', _NO_TIME),
    Blur(_WORDS, "client", r"(127\.0\.0\.1|localhost)(?=:<(refused|outer)>)", _SERVICE_FAILS),
    Blur(_WORDS, "access", r"(127\.0\.0\.1|localhost)(?=:<(refused|outer)>)", _SERVICE_FAILS),
    Blur(_WORDS, "log", r"(127\.0\.0\.1|localhost)(?=:<(refused|outer)>: )", _SERVICE_FAILS),
    Blur(_WORDS, "client", _NAME_SERVER, _LOST_SERVICE),
    Blur(_WORDS, "access", _NAME_SERVER, _LOST_SERVICE),
    Blur(_WORDS, "log", _NAME_SERVER, _LOST_SERVICE),
    Blur(_WORDS, "log", r'(?<="dial-time": )(0|"<s>")', _LOST_SERVICE),
    Blur(_WORDS, "log", r'(?<="dns-lookup-time": )(0|"<s>")', r"^services"),
    Blur(_INNER, "log", r'(?<="route-service-endpoint": "https://)(127\.0\.0\.1:<internal>|[a-z.]+)(?=/visit")', r"services inside.*inner visit"),
    Blur(_WORDS, "log", r'(?<="request-time": )("[^"<]*"|"<s>")', r"services.*: signature (expired|null inside|no time inside)"),
    Blur(_INNER, "log", r'(?<=-time": )(0|"<s>")', r"services inside.*inner visit"),
    Blur(_INNER, "log", r'(?<="conn-reused": )(true|false)(?=.*route-service-endpoint)', r"services inside.*inner visit"),
    Blur(_LIFE, "log", r'(, )?"key": "[^"]*"(, "line": \d+)?', r"^life: (no such|sharding|TLS without|no listener|an allowed|no template)"),
    Blur(_LIFE, "log", r', "servers": \[[^]]*\]', r"^life: no NATS$"),
    Blur(_LIFE, "log", r'(?<="error": ")(yaml|time): .*(?=\})', r"^life: (no YAML|not a mapping|no duration)$"),
    Blur(_TOLD, "envelopes", r'(?<="userAgent": ")a?(?="\}.*trace_id)', r"plain: hop b'Connection: User-Agent"),
    Blur(_TOLD, "envelopes", r'(?<=<outer>)/?(?=", "userAgent")', r"^services.*host b'bare\.parity'"),
    Blur(_FRAMED_ANEW, "envelopes", r'(?<=^server \{"contentLength": )(13|3)(?=,)', r"answer b'HTTP/1\.0 .*chunked"),
    Blur(_FRAMED_ANEW, "envelopes", r'(?<="contentLength": )(-1|1)(?=,)', r"body of response b'Transfer-Encoding: chunked \| Content-Length: 1' .* to HEAD$"),
    Blur(_WORDS, "envelopes", r'(?<=^server \{"contentLength": )1\d\d(?=,)', _NO_TIME),
    Blur(_SCRIPTS, "envelopes", r'(?<=^server \{"contentLength": )\d{3}(?=,)', _PAGES),
    Blur(_SIGNED, "counts", r"(?<=^route_lookup_time_count\{\} \+)\d$", r"^services"),
    Blur(_WORDS, "client", _UNKNOWN_AUTHORITY + r".*(?=\)$)", _MISTRUSTED),
    Blur(_WORDS, "access", _UNKNOWN_AUTHORITY + r'.*(?=\)"$)', _MISTRUSTED),
    Blur(_WORDS, "log", _UNKNOWN_AUTHORITY + r'.*(?=\)", "got-connection": )', _MISTRUSTED),
    Blur(_LOGGED, "access", r'(?<="GET ).*?(?= HTTP/1\.1")', _TARGETS),
    Blur(_WORDS, "log", r'(?<=\{"error": ")(invalid|not) [^"]*', r"trace b'.*(b3|B3)"),
    Blur(_SCRIPTS, "client", r"(?<=<script>).*(?=</script>)", _PAGES),
    Blur(_SCRIPTS, "client", r"(?<=^1 Content-Length: )\d{3}$", _PAGES),
    Blur(_SCRIPTS, "access", r'(?<=" 40[04] 0 )\d{3}(?= ")', _PAGES),
    Blur(_LOGGED, "access", r'(?<= vcap_request_id:")[^"]*', r"hop b'Connection: X-Vcap-Request-Id'$"),
    Blur(_COUNTED, "access", r'(?<=" \d{3} )[015](?= \d\d ")', r"plain: refused POST$|TLS backends.*POST$|services.*: (service of .*|inner visit of .*), POST$"),
    Blur(_COUNTED, "access", r'(?<=" 200 )(0|10)(?= 5 ")', r"plain: answer before the body$"),
    BY_CHANCE,
    Blur(_SPOKEN, "client", r"(?<=^1 HTTP/1\.)[01](?= (200|417)$)", r"plain: (OPTIONS \* with|expect b'x',) HTTP/1\.0$"),
    Blur(_GO_CLIENT, "backend", r"(?<=^a1 GET http://)u:p@", r"plain: target b'http://u:p@"),
    Blur(_FRAMED_ANEW, "client", r"(?<=^1 body )(3.r.nold.r.n0.r.n.r.n|old)$", r"answer b'HTTP/1\.0 .*chunked"),
    Blur(_FRAMED_ANEW, "access", r'(?<=" 200 0 )(13|3)(?= ")', r"answer b'HTTP/1\.0 .*chunked"),
)

LINES = (
    Line(_UPGRADE, "backend", "-", r"^a1 (Connection: Upgrade|Upgrade: h2c)$", r"plain: hop b'Upgrade: h2c "),
    Line(_UPGRADE, "backend", "+", r"^a1 Connection: close$", r"plain: hop b'Upgrade: h2c "),
    Line(_FRAMED_ANEW, "client", "+", r"^1 X-A: b$", r"header of response b'X-A : b'$"),
    Line(_FRAMED_ANEW, "client", "-", r"^1 Content-Length: 1$", r"body of response b'Transfer-Encoding: chunked \| Content-Length: 1' .* to HEAD$"),
    Line(_METRICS, "status", "-", r"^routes \S+ /routes .*: \(200, .*\('Content-Length', "),
    Line(_METRICS, "status", "+", r"^routes \S+ /routes .*: \(200, .*\('Transfer-Encoding', 'chunked'\)"),
    Line(_SPOKEN, "client", "+", r"^1 Content-Length: (15|29|3[5-8]|45|46|60)$", r"^(plain|empty lengths): |: bad$|proxy protocol: header b'proxy"),
    Line(_HTTP10, "client", "+", r"^1 Connection: close$", r"HTTP/1\.0$|HTTP/1\.0 with|version 1\.0$|persistence .*(plain|close|both) 1\.0"),
    Line(_GO_CLIENT, "backend", "+", r"^a1 User-Agent: $", r"header b'User-Agent:'$"),
    Line(_GO_CLIENT, "backend", "+", r"^a1 \(2\) User-Agent: b$", r"headers b'User-Agent: a, User-Agent: b'$"),
    Line(_GO_CLIENT, "backend", "-", r"^a1 Cache-Control: no-cache$", r"header b'Pragma: no-cache'$"),
    Line(_INTERIM, "client", "-", r"^1 (Connection: x-b|X-B: c)$", r"plain: interim "),
    Line(_TRAILERS, "backend", "+", r"^a1 trailer X-(T: v|U: w|u: w|Not: w)$", r"plain: (chunked: (two )?trailers?|announced trailer)$"),
    Line(_UPGRADE, "client", "-", r"^1 X-Cf-Proxy-Signature: s$", r"plain: upgrade answered with headers$"),
    Line(_UPGRADE, "client", "-", r"^1 Content-Length: 0$", r"plain: upgrade with POST$"),
    Line(_FRAMED_ANEW, "client", "-", r"^1 Trailer: X-T$", r"Trailer: X-T' .* (HEAD|HTTP/1\.0)$"),
    Line(_BAD_STATUS, "client", "+", r"^1 Content-Length: 0$", r"plain: status b'101 x' to HEAD$"),
    Line(_GO_CLIENT, "service", "-", r"^a1 Accept-Encoding: gzip$", r"services inside.*inner visit"),
    Line(_GO_CLIENT, "backend", "-", r"^a1 Accept-Encoding: gzip$", r"services inside.*inner visit"),
    Line(_STRICT, "backend", "-", r"^a1 Transfer-Encoding: chunked$", r"^empty lengths: (length b'|empty length, then)"),
    Line(_STRICT, "backend", "+", r"^a1 Content-Length: 0$", r"^empty lengths: (length b'|empty length, then)"),
    Line(_LIFE, "log", "-", r"^3 error-stopping-route-services-server ", r"^life: drain"),
    Line(_LIFE, "log", "+", r"^1 gorouter\.signal\.ignored ", r"^life: drained twice$"),
    Line(_LIFE, "log", "+", r"^1 internal-listener-started ", r"^life: hairpinning$"),
    Line(_LIFE, "log", "+", r"^1 debugserver-started ", r"^life: a debug server$"),
    Line(_LIFE, "log", "+", r"^3 Error loading config: ", r"^life: TLS without a pair$"),
    Line(_LIFE, "log", "+", r"^3 metrics-listener-error ", r"^life: taken port of metrics$"),
    Line(_LIFE, "log", "-", r"^1 (setting-up-nats-connection|Successfully-connected-to-nats) ", r"^life: (an allowed host that is none|no directory for the access log)$"),
    Line(_TOLD, "envelopes", "-", r'^client .*"statusCode": 200', r"^limits: 1\d headers of response$"),
    Line(_SIGNED, "envelopes", "-", r"^route_lookup_time ", r"^services"),
    Line(_INNER, "envelopes", "+", r'^client .*"uri": "http://[a-z.-]+/visit"', r"^services inside.*inner visit"),
    Line(_TOLD, "agent", "-", r"^value (numCPUS|numGoRoutines|memoryStats\.\w+) "),
    Line(_METRICS, "metrics", "+", r"^fastrouter_"),
    Line(_METRICS, "metrics", "+", r"^routes_(un)?registered counter "),
    Line(_METRICS, "metrics", "+", r"^responses_route_services counter "),
    Line(_NO_TEXT, "routes", "-", r'bad-utf8.* => .bad-utf8-.\.reg.: \['),
    Line(_NO_TEXT, "routes", "+", r'bad-utf8.* => .bad-utf8-.\.reg.: unchanged$'),
    Line(_NO_TEXT, "logged", "-", r'bad-utf8.* => (0 uri-added|1 (endpoint|route)-registered) '),
    Line(_NO_TEXT, "logged", "+", r'bad-utf8.* => 3 validation-error '),
)

Entry = Outcome | Blur | Line

ENTRIES: tuple[Entry, ...] = (*OUTCOMES, *BLURS, *LINES)


def explain(compared: Compared) -> tuple[set[Entry], list[Difference]]:
    """The entries that allow what differs, and what of it nothing allows."""
    used: set[Entry] = set()
    left = []
    for difference in compared.found:
        outcome = next((entry for entry in OUTCOMES if entry.covers(compared, difference[0])), None)
        if outcome is not None:
            used.add(outcome)
        else:
            left.append(difference)
    unexplained = []
    for difference in _unpaired(compared.name, left, used):
        line = next((entry for entry in LINES if entry.covers(compared.name, *difference)), None)
        if line is not None:
            used.add(line)
        else:
            unexplained.append(difference)
    return used, unexplained


def _unpaired(case: str, found: list[Difference], used: set[Entry]) -> list[Difference]:
    """What is left of `found` without the pairs that are equal but for blurs; these are added to `used`."""
    waiting: dict[tuple[str, str, str], list[tuple[Difference, set[Blur]]]] = defaultdict(list)
    for difference in found:
        aspect, side, line = difference
        blurred, why = _blurred(case, aspect, line)
        partners = waiting[aspect, "-" if side == "+" else "+", blurred]
        if partners:
            used |= why | partners.pop()[1]
        else:
            waiting[aspect, side, blurred].append((difference, why))
    single = [difference for unpaired in waiting.values() for difference, _ in unpaired]
    return [difference for difference in found if difference in single]


def _blurred(case: str, aspect: str, line: str) -> tuple[str, set[Blur]]:
    used = set()
    for blur in BLURS:
        if blur.aspect == aspect and re.search(blur.cases, case):
            without = re.sub(blur.part, "", line)
            if without != line:
                used.add(blur)
            line = without
    return line, used
