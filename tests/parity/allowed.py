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
    r"^1 (Content-Length: (15|3[5-8]|45|46|60)|body 400 Bad Request"
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
)


def reason_for(case: str, aspect: str, side: str, line: str) -> str | None:
    """Why this line may differ; None if nothing allows it."""
    for allowed in TABLE:
        if allowed.covers(case, aspect, side, line):
            return allowed.reason
    return None
