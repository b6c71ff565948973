"""How a value is written so that it cannot leave its place in the page.

Go's html/template does the same for Gorouter's error pages, and in the text of a page and in attributes the bytes are
the same as there. URLs, JavaScript and CSS are escaped more strictly than Go does it: harmless characters are
written, everything else is percent-encoded, written as an escape, or replaced by `ZgotmplZ`, Go's mark for a
value that is not safe where it stands.
"""

import re
from collections.abc import Callable
from urllib.parse import quote

from fastrouter.gotemplate.javascript import Script
from fastrouter.gotemplate.places import Context, EscapingError, Kind, Part, State, kind_of

UNSAFE = "ZgotmplZ"

Value = str | int | bool
Escape = Callable[[Value], str]

_HTML = str.maketrans(
    {"\0": "\ufffd", '"': "&#34;", "&": "&amp;", "'": "&#39;", "+": "&#43;", "<": "&lt;", ">": "&gt;"}
)
_UNQUOTED_HTML = {
    **_HTML,
    **{ord(char): f"&#{ord(char)};" for char in "\t\n\v\f\r =`"},
    0: "&#xfffd;",
}
_URL_SCHEME = re.compile(r"([^:/]*):")
_SAFE_SCHEMES = frozenset({"http", "https", "mailto"})
_SAFE_STYLE = re.compile(r"(?!.*(?:--|expression|mozbinding))[A-Za-z0-9 #%.,_-]*", re.IGNORECASE)
_NEEDS_SCRIPT_ESCAPE = re.compile(r"[^A-Za-z0-9 ,._]")


def escape_at(context: Context) -> tuple[Context, Escape]:
    """Return how a value is written at a place, and the place behind it. Raises EscapingError where none may stand."""
    if context.state is State.TEXT or (context.state is State.RAW and context.element in ("textarea", "title")):
        return context, _escape_html
    if context.state is State.COMMENT:
        return context, _leave_out
    if context.state is State.RAW:
        if context.element == "style":
            return context, _escape_style
        return context._replace(script=_after_script_value(context.script)), _script_escape(context.script)
    if context.state is State.BEFORE_VALUE:
        context = context._replace(state=State.VALUE, delimiter="", part=Part.START, script=Script())
    if context.state is State.VALUE:
        return _escape_at_value(context)
    raise EscapingError("a value cannot be part of the name of a tag or of an attribute, or stand in a tag alone")


def _escape_at_value(context: Context) -> tuple[Context, Escape]:
    in_attribute = _escape_html if context.delimiter else _escape_unquoted
    kind = kind_of(context.attribute)
    if kind is Kind.PLAIN:
        return context, in_attribute
    if kind is Kind.URL:
        if context.part is Part.UNKNOWN:
            raise EscapingError("a value stands where, by a condition, a URL is in its path or in its query")
        escape_url = _URL_ESCAPES[context.part]
        return context, lambda value: in_attribute(escape_url(value))
    if kind is Kind.SCRIPT:
        escape_script = _script_escape(context.script)
        behind = context._replace(script=_after_script_value(context.script))
        return behind, lambda value: in_attribute(escape_script(value))
    inner = _escape_style if kind is Kind.STYLE else _escape_html
    return context, lambda value: in_attribute(inner(value))


def text_of(value: Value) -> str:
    """Return a value as Go prints it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _escape_html(value: Value) -> str:
    return text_of(value).translate(_HTML)


def _escape_unquoted(value: Value) -> str:
    # Without a text the next attribute would become the value.
    return text_of(value).translate(_UNQUOTED_HTML) or UNSAFE


def _leave_out(value: Value) -> str:  # noqa: ARG001 as all escapes
    return ""


def _escape_url_start(value: Value) -> str:
    text = text_of(value)
    scheme = _URL_SCHEME.match(text)
    if scheme is not None and scheme[1].lower() not in _SAFE_SCHEMES:
        return "#" + UNSAFE
    return _escape_url_path(text)


def _escape_url_path(value: Value) -> str:
    # What is percent-encoded already stays so.
    return quote(text_of(value), safe="!#$&*+,-./:;=?@[]_~%", errors="replace")


def _escape_url_scheme(value: Value) -> str:
    return _escape_url_path(value).replace(":", "%3A")


def _escape_url_query(value: Value) -> str:
    return quote(text_of(value), safe="-._~", errors="replace")


_URL_ESCAPES = {
    Part.START: _escape_url_start,
    Part.SCHEME: _escape_url_scheme,
    Part.PATH: _escape_url_path,
    Part.QUERY: _escape_url_query,
}


def _escape_style(value: Value) -> str:
    text = text_of(value)
    return text if _SAFE_STYLE.fullmatch(text) else UNSAFE


def _after_script_value(script: Script) -> Script:
    return Script("", True) if not script.inside else script


def _script_escape(script: Script) -> Escape:
    if not script.inside:
        return _script_value
    if script.inside in ('"', "'"):
        return _script_text
    if script.inside in ("//", "/*"):
        return _leave_out
    raise EscapingError("a value cannot stand in a template literal or in a regular expression of JavaScript")


def _script_value(value: Value) -> str:
    return f'"{_script_text(value)}"' if isinstance(value, str) else f" {text_of(value)} "


def _script_text(value: Value) -> str:
    return _NEEDS_SCRIPT_ESCAPE.sub(_script_escape_of, text_of(value))


def _script_escape_of(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
