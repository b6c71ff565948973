"""Where in an HTML page a text stands, and how a value is written so that it cannot leave that place.

Go's html/template does the same for Gorouter's error pages, and in the text of a page and in attributes the bytes are
the same as there. URLs, JavaScript and CSS are escaped more strictly than Go does it: what may be written without
thought is written, everything else is percent-encoded, written as an escape, or replaced by `ZgotmplZ`, Go's mark for a
value that is not safe where it stands.
"""

import html
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple
from urllib.parse import quote

UNSAFE = "ZgotmplZ"


class EscapingError(ValueError):
    """A text in which nobody can tell where a value would stand; the text says why."""


class _State(Enum):
    """The place in a page."""

    TEXT = auto()
    # The contents of an element that holds no other elements.
    RAW = auto()
    COMMENT = auto()
    TAG_NAME = auto()
    TAG = auto()
    ATTRIBUTE_NAME = auto()
    AFTER_NAME = auto()
    # Behind a name that, by a condition, is there or not: it must be over.
    AFTER_WORD = auto()
    BEFORE_VALUE = auto()
    VALUE = auto()


class _Kind(Enum):
    """What the value of an attribute is to the browser."""

    PLAIN = auto()
    URL = auto()
    PAGE = auto()
    SCRIPT = auto()
    STYLE = auto()


class _Part(Enum):
    """How far a URL has come: at its start, where a scheme may still follow, in its path, or behind `?` or `#`."""

    START = auto()
    SCHEME = auto()
    PATH = auto()
    QUERY = auto()
    # It depends on a condition.
    UNKNOWN = auto()


class _Script(NamedTuple):
    """How far JavaScript has come.

    `inside` is what has begun and not ended: a quote, `/` for a regular expression, `//` and `/*` for comments, or ""
    for plain code. A slash behind an operand divides; elsewhere it begins a regular expression.
    """

    inside: str = ""
    is_after_operand: bool = False


class Context(NamedTuple):
    """A place in a page; the place at the start of one unless it says otherwise.

    `element` is the one that a tag opens, or whose contents these are; "" for a tag that opens nothing.
    """

    state: _State = _State.TEXT
    element: str = ""
    attribute: str = ""
    delimiter: str = ""
    part: _Part = _Part.START
    script: _Script = _Script()

    @property
    def is_text(self) -> bool:
        """Whether this is the plain text of a page: where one begins and ends."""
        return self.state is _State.TEXT


def join(one: Context, other: Context) -> Context:
    """Return the place where two ways of a condition meet. Raises EscapingError if they end in different ones."""
    if one == other:
        return one
    one, other = _after_word(one), _after_word(other)
    script = _Script(one.script.inside)
    met = one._replace(part=_Part.UNKNOWN if one.part is not other.part else one.part, script=script)
    if met != other._replace(part=met.part, script=_Script(other.script.inside)):
        raise EscapingError("the ways of a condition end in different places of the page")
    return met


def _after_word(context: Context) -> Context:
    if context.state in (_State.TAG_NAME, _State.TAG, _State.ATTRIBUTE_NAME, _State.AFTER_NAME, _State.AFTER_WORD):
        return Context(_State.AFTER_WORD, context.element)
    return context


# --- Through literal text ---------------------------------------------------------------------------------------------

_MARKUP = re.compile(r"<(?:(!--)|(/?)(?=[A-Za-z]))")
_DOCTYPE = re.compile(r"<(?=!doctype)", re.IGNORECASE)
# White space is what HTML takes for it.
_TAG_NAME = re.compile(r"[^ \t\n\f\r/>]*")
_TAG_FILLING = re.compile(r"[ \t\n\f\r/]*")
_ATTRIBUTE_NAME = re.compile(r"""[^ \t\n\f\r=>/"'<]*""")
_SPACE = re.compile(r"[ \t\n\f\r]*")
_UNQUOTED = re.compile(r"[^ \t\n\f\r>]*")
_RAW_ELEMENTS = frozenset({"script", "style", "textarea", "title"})


def advance(context: Context, text: str) -> tuple[Context, str]:
    """Return the place behind a literal text, and the text as it is written.

    As in Go, comments are left out, and a `<` that begins no tag is written as an entity. Raises EscapingError.
    """
    written: list[str] = []
    at = 0
    while at < len(text):
        start = at
        context, at, piece = _STEPS[context.state](context, text, at)
        written.append(text[start:at] if piece is None else piece)
    return context, "".join(written)


# A step returns the place behind what it has read, where that ends, and what is written for it, None for the same.
_Step = tuple[Context, int, str | None]


def _through_text(context: Context, text: str, at: int) -> _Step:
    match = _MARKUP.search(text, at)
    if match is None or match.start() > at:
        end = match.start() if match is not None else len(text)
        return context, end, _without_stray_brackets(text[at:end])
    if match[1]:
        return context._replace(state=_State.COMMENT), match.end(), ""
    # A name that begins with a slash is none that opens an element.
    return context._replace(state=_State.TAG_NAME, element=match[2]), match.end(), None


def _without_stray_brackets(text: str) -> str:
    pieces = _DOCTYPE.split(text)
    return "<".join(piece.replace("<", "&lt;") for piece in pieces)


def _through_comment(context: Context, text: str, at: int) -> _Step:
    end = text.find("-->", at)
    if end < 0:
        return context, len(text), ""
    return Context(), end + 3, ""


def _through_tag_name(context: Context, text: str, at: int) -> _Step:
    end = _end(_TAG_NAME, text, at)
    context = context._replace(element=context.element + text[at:end].lower())
    return (context if end == len(text) else context._replace(state=_State.TAG)), end, None


def _through_tag(context: Context, text: str, at: int) -> _Step:
    end = _end(_TAG_FILLING, text, at)
    if end == len(text):
        return context, end, None
    if text[end] == ">":
        if context.element in _RAW_ELEMENTS:
            return Context(_State.RAW, context.element), end + 1, None
        return Context(), end + 1, None
    if text[end] in "\"'<=":
        raise EscapingError(f"{text[end]} where the name of an attribute should be")
    return context._replace(state=_State.ATTRIBUTE_NAME, attribute=""), end, None


def _through_attribute_name(context: Context, text: str, at: int) -> _Step:
    end = _end(_ATTRIBUTE_NAME, text, at)
    if end < len(text) and text[end] in "\"'<":
        raise EscapingError(f"{text[end]} in the name of an attribute")
    context = context._replace(attribute=context.attribute + text[at:end].lower())
    return (context if end == len(text) else context._replace(state=_State.AFTER_NAME)), end, None


def _through_space_after_name(context: Context, text: str, at: int) -> _Step:
    end = _end(_SPACE, text, at)
    if end == len(text):
        return context, end, None
    if text[end] == "=":
        return context._replace(state=_State.BEFORE_VALUE), end + 1, None
    return context._replace(state=_State.TAG), end, None


def _through_gap(context: Context, text: str, at: int) -> _Step:
    if text[at] not in " \t\n\f\r/>":
        raise EscapingError("a name of a tag or of an attribute that depends on a condition")
    return context._replace(state=_State.TAG), at, None


def _through_space_before_value(context: Context, text: str, at: int) -> _Step:
    end = _end(_SPACE, text, at)
    if end == len(text):
        return context, end, None
    if text[end] == ">":
        return context._replace(state=_State.TAG), end, None
    delimiter = text[end] if text[end] in "\"'" else ""
    value = context._replace(state=_State.VALUE, delimiter=delimiter, part=_Part.START, script=_Script())
    return value, end + len(delimiter), None


def _through_value(context: Context, text: str, at: int) -> _Step:
    if context.delimiter:
        end = text.find(context.delimiter, at)
        end = len(text) if end < 0 else end
    else:
        end = _end(_UNQUOTED, text, at)
    is_over = end < len(text)
    context = _after_value_text(context, html.unescape(text[at:end]))
    if not is_over:
        return context, end, None
    return Context(_State.TAG, context.element), end + len(context.delimiter), None


def _after_value_text(context: Context, text: str) -> Context:
    kind = _kind_of(context.attribute)
    if kind is _Kind.URL:
        return context._replace(part=_part_after(context.part, text))
    if kind is _Kind.SCRIPT:
        return context._replace(script=_script_after(context.script, text))
    return context


def _through_raw(context: Context, text: str, at: int) -> _Step:
    match = re.compile(rf"</{context.element}(?=[ \t\n\f\r/>]|\Z)", re.IGNORECASE).search(text, at)
    end = match.start() if match is not None else len(text)
    if end > at:
        if context.element == "script":
            context = context._replace(script=_script_after(context.script, text[at:end]))
        is_text = context.element in ("textarea", "title")
        return context, end, text[at:end].replace("<", "&lt;") if is_text else None
    assert match is not None, "it is at the end tag, or before the end of the text"
    return Context(_State.TAG), match.end(), None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    assert match is not None, "these patterns match an empty text too"
    return match.end()


_STEPS: dict[_State, Callable[[Context, str, int], _Step]] = {
    _State.TEXT: _through_text,
    _State.RAW: _through_raw,
    _State.COMMENT: _through_comment,
    _State.TAG_NAME: _through_tag_name,
    _State.TAG: _through_tag,
    _State.ATTRIBUTE_NAME: _through_attribute_name,
    _State.AFTER_NAME: _through_space_after_name,
    _State.AFTER_WORD: _through_gap,
    _State.BEFORE_VALUE: _through_space_before_value,
    _State.VALUE: _through_value,
}


# --- What an attribute holds ------------------------------------------------------------------------------------------

# fmt: off
_URL_ATTRIBUTES = frozenset({
    "action", "archive", "background", "cite", "classid", "codebase", "data", "formaction", "href", "icon", "longdesc",
    "manifest", "ping", "poster", "profile", "src", "srcset", "usemap", "xmlns",
})
# fmt: on


def _kind_of(attribute: str) -> _Kind:
    # A prefix changes nothing: scripts and libraries treat `data-href` and `xlink:href` as `href`.
    name = attribute.removeprefix("data-").rpartition(":")[2]
    if name.startswith("on"):
        return _Kind.SCRIPT
    if name == "style":
        return _Kind.STYLE
    if name == "srcdoc":
        return _Kind.PAGE
    if name in _URL_ATTRIBUTES or attribute.startswith("xmlns:") or any(part in name for part in ("src", "uri", "url")):
        return _Kind.URL
    return _Kind.PLAIN


def _part_after(part: _Part, text: str) -> _Part:
    if "?" in text or "#" in text:
        return _Part.QUERY
    if part in (_Part.START, _Part.SCHEME):
        if ":" in text or "/" in text:
            return _Part.PATH
        return _Part.SCHEME if text.strip() else part
    return part


_SCRIPT_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<comment>//|/\*)|(?P<quote>["'`])|(?P<word>[\w$]+)|(?P<slash>/)|(?P<other>.)""", re.DOTALL
)
# fmt: off
_WORDS_BEFORE_OPERANDS = frozenset({
    "break", "case", "continue", "delete", "do", "else", "finally", "in", "instanceof", "return", "throw", "try",
    "typeof", "void",
})
# fmt: on
_ENDS = {
    '"': re.compile(r"""(?:[^"\\\n]|\\.)*(?:"|\n)""", re.DOTALL),
    "'": re.compile(r"""(?:[^'\\\n]|\\.)*(?:'|\n)""", re.DOTALL),
    "`": re.compile(r"""(?:[^`\\]|\\.)*`""", re.DOTALL),
    "/": re.compile(r"(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])*(?:/|\n)", re.DOTALL),
    "//": re.compile(r"[^\n\r\u2028\u2029]*[\n\r\u2028\u2029]"),
    "/*": re.compile(r".*?\*/", re.DOTALL),
}


def _script_after(script: _Script, text: str) -> _Script:
    at = 0
    while at < len(text):
        if script.inside:
            match = _ENDS[script.inside].match(text, at)
            if match is None:
                return script
            is_operand = script.is_after_operand if script.inside in ("//", "/*") else True
            script = _Script("", is_operand)
        else:
            match = _SCRIPT_TOKEN.match(text, at)
            assert match is not None, "the pattern matches any character"
            script = _after_token(script, match)
        at = match.end()
    return script


def _after_token(script: _Script, match: re.Match[str]) -> _Script:
    token = match[0]
    if match["space"]:
        return script
    if match["comment"]:
        return script._replace(inside=token)
    if match["quote"]:
        return _Script(token)
    if match["slash"]:
        return _Script("") if script.is_after_operand else _Script("/")
    if match["word"]:
        return _Script("", token not in _WORDS_BEFORE_OPERANDS)
    return _Script("", token in ")]}")


# --- Values -----------------------------------------------------------------------------------------------------------

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
    if context.state is _State.TEXT or (context.state is _State.RAW and context.element in ("textarea", "title")):
        return context, _escape_html
    if context.state is _State.COMMENT:
        return context, _leave_out
    if context.state is _State.RAW:
        if context.element == "style":
            return context, _escape_style
        return context._replace(script=_after_script_value(context.script)), _script_escape(context.script)
    if context.state is _State.BEFORE_VALUE:
        context = context._replace(state=_State.VALUE, delimiter="", part=_Part.START, script=_Script())
    if context.state is _State.VALUE:
        return _escape_at_value(context)
    raise EscapingError("a value cannot be part of the name of a tag or of an attribute, or stand in a tag alone")


def _escape_at_value(context: Context) -> tuple[Context, Escape]:
    in_attribute = _escape_html if context.delimiter else _escape_unquoted
    kind = _kind_of(context.attribute)
    if kind is _Kind.PLAIN:
        return context, in_attribute
    if kind is _Kind.URL:
        if context.part is _Part.UNKNOWN:
            raise EscapingError("a value stands where, by a condition, a URL is in its path or in its query")
        escape_url = _URL_ESCAPES[context.part]
        return context, lambda value: in_attribute(escape_url(value))
    if kind is _Kind.SCRIPT:
        escape_script = _script_escape(context.script)
        behind = context._replace(script=_after_script_value(context.script))
        return behind, lambda value: in_attribute(escape_script(value))
    inner = _escape_style if kind is _Kind.STYLE else _escape_html
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
    _Part.START: _escape_url_start,
    _Part.SCHEME: _escape_url_scheme,
    _Part.PATH: _escape_url_path,
    _Part.QUERY: _escape_url_query,
}


def _escape_style(value: Value) -> str:
    text = text_of(value)
    return text if _SAFE_STYLE.fullmatch(text) else UNSAFE


def _after_script_value(script: _Script) -> _Script:
    return _Script("", True) if not script.inside else script


def _script_escape(script: _Script) -> Escape:
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
