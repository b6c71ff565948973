"""Where in an HTML page a text stands."""

import html
import re
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

from fastrouter.gotemplate.javascript import Script, script_after


class EscapingError(ValueError):
    """A template in which the place of a value is ambiguous; the text says why."""


class State(Enum):
    """The place in a page."""

    TEXT = auto()
    # The contents of an element that holds no other elements.
    RAW = auto()
    COMMENT = auto()
    TAG_NAME = auto()
    TAG = auto()
    ATTRIBUTE_NAME = auto()
    AFTER_NAME = auto()
    # Behind a name that a condition may leave out: the name must be complete.
    AFTER_WORD = auto()
    BEFORE_VALUE = auto()
    VALUE = auto()


class Kind(Enum):
    """What the value of an attribute is to the browser."""

    PLAIN = auto()
    URL = auto()
    PAGE = auto()
    SCRIPT = auto()
    STYLE = auto()


class Part(Enum):
    """How far a URL has come: at its start, where a scheme may still follow, in its path, or behind `?` or `#`."""

    START = auto()
    SCHEME = auto()
    PATH = auto()
    QUERY = auto()
    # It depends on a condition.
    UNKNOWN = auto()


class Context(NamedTuple):
    """A place in a page; the place at the start of one unless it says otherwise.

    `element` is the one that a tag opens, or whose contents these are; "" for a tag that opens nothing.
    """

    state: State = State.TEXT
    element: str = ""
    attribute: str = ""
    delimiter: str = ""
    part: Part = Part.START
    script: Script = Script()

    @property
    def is_text(self) -> bool:
        """Whether this is the plain text of a page: where one begins and ends."""
        return self.state is State.TEXT


def join(one: Context, other: Context) -> Context:
    """Return the place where two ways of a condition meet. Raises EscapingError if they end in different ones."""
    if one == other:
        return one
    one, other = _after_word(one), _after_word(other)
    script = Script(one.script.inside)
    met = one._replace(part=Part.UNKNOWN if one.part is not other.part else one.part, script=script)
    if met != other._replace(part=met.part, script=Script(other.script.inside)):
        raise EscapingError("the ways of a condition end in different places of the page")
    return met


def _after_word(context: Context) -> Context:
    if context.state in (State.TAG_NAME, State.TAG, State.ATTRIBUTE_NAME, State.AFTER_NAME, State.AFTER_WORD):
        return Context(State.AFTER_WORD, context.element)
    return context


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
        return context._replace(state=State.COMMENT), match.end(), ""
    # A name that begins with a slash is none that opens an element.
    return context._replace(state=State.TAG_NAME, element=match[2]), match.end(), None


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
    return (context if end == len(text) else context._replace(state=State.TAG)), end, None


def _through_tag(context: Context, text: str, at: int) -> _Step:
    end = _end(_TAG_FILLING, text, at)
    if end == len(text):
        return context, end, None
    if text[end] == ">":
        if context.element in _RAW_ELEMENTS:
            return Context(State.RAW, context.element), end + 1, None
        return Context(), end + 1, None
    if text[end] in "\"'<=":
        raise EscapingError(f"{text[end]} where the name of an attribute should be")
    return context._replace(state=State.ATTRIBUTE_NAME, attribute=""), end, None


def _through_attribute_name(context: Context, text: str, at: int) -> _Step:
    end = _end(_ATTRIBUTE_NAME, text, at)
    if end < len(text) and text[end] in "\"'<":
        raise EscapingError(f"{text[end]} in the name of an attribute")
    context = context._replace(attribute=context.attribute + text[at:end].lower())
    return (context if end == len(text) else context._replace(state=State.AFTER_NAME)), end, None


def _through_space_after_name(context: Context, text: str, at: int) -> _Step:
    end = _end(_SPACE, text, at)
    if end == len(text):
        return context, end, None
    if text[end] == "=":
        return context._replace(state=State.BEFORE_VALUE), end + 1, None
    return context._replace(state=State.TAG), end, None


def _through_gap(context: Context, text: str, at: int) -> _Step:
    if text[at] not in " \t\n\f\r/>":
        raise EscapingError("a name of a tag or of an attribute that depends on a condition")
    return context._replace(state=State.TAG), at, None


def _through_space_before_value(context: Context, text: str, at: int) -> _Step:
    end = _end(_SPACE, text, at)
    if end == len(text):
        return context, end, None
    if text[end] == ">":
        return context._replace(state=State.TAG), end, None
    delimiter = text[end] if text[end] in "\"'" else ""
    value = context._replace(state=State.VALUE, delimiter=delimiter, part=Part.START, script=Script())
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
    return Context(State.TAG, context.element), end + len(context.delimiter), None


def _after_value_text(context: Context, text: str) -> Context:
    kind = kind_of(context.attribute)
    if kind is Kind.URL:
        return context._replace(part=_part_after(context.part, text))
    if kind is Kind.SCRIPT:
        return context._replace(script=script_after(context.script, text))
    return context


def _through_raw(context: Context, text: str, at: int) -> _Step:
    match = re.compile(rf"</{context.element}(?=[ \t\n\f\r/>]|\Z)", re.IGNORECASE).search(text, at)
    end = match.start() if match is not None else len(text)
    if end > at:
        if context.element == "script":
            context = context._replace(script=script_after(context.script, text[at:end]))
        is_text = context.element in ("textarea", "title")
        return context, end, text[at:end].replace("<", "&lt;") if is_text else None
    assert match is not None, "it is at the end tag, or before the end of the text"
    return Context(State.TAG), match.end(), None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    assert match is not None, "these patterns match an empty text too"
    return match.end()


_STEPS: dict[State, Callable[[Context, str, int], _Step]] = {
    State.TEXT: _through_text,
    State.RAW: _through_raw,
    State.COMMENT: _through_comment,
    State.TAG_NAME: _through_tag_name,
    State.TAG: _through_tag,
    State.ATTRIBUTE_NAME: _through_attribute_name,
    State.AFTER_NAME: _through_space_after_name,
    State.AFTER_WORD: _through_gap,
    State.BEFORE_VALUE: _through_space_before_value,
    State.VALUE: _through_value,
}


# fmt: off
_URL_ATTRIBUTES = frozenset({
    "action", "archive", "background", "cite", "classid", "codebase", "data", "formaction", "href", "icon", "longdesc",
    "manifest", "ping", "poster", "profile", "src", "srcset", "usemap", "xmlns",
})
# fmt: on


def kind_of(attribute: str) -> Kind:
    """Return what the value of `attribute` is."""
    # A prefix changes nothing: scripts and libraries treat `data-href` and `xlink:href` as `href`.
    name = attribute.removeprefix("data-").rpartition(":")[2]
    if name.startswith("on"):
        return Kind.SCRIPT
    if name == "style":
        return Kind.STYLE
    if name == "srcdoc":
        return Kind.PAGE
    if name in _URL_ATTRIBUTES or attribute.startswith("xmlns:") or any(part in name for part in ("src", "uri", "url")):
        return Kind.URL
    return Kind.PLAIN


def _part_after(part: Part, text: str) -> Part:
    if "?" in text or "#" in text:
        return Part.QUERY
    if part in (Part.START, Part.SCHEME):
        if ":" in text or "/" in text:
            return Part.PATH
        return Part.SCHEME if text.strip() else part
    return part
