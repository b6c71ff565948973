"""How far JavaScript has come, which decides what a value in it may be."""

import re
from typing import NamedTuple


class Script(NamedTuple):
    """How far JavaScript has come.

    `inside` is what has begun and not ended: a quote, `/` for a regular expression, `//` and `/*` for comments, or ""
    for plain code. A slash behind an operand divides; elsewhere it begins a regular expression.
    """

    inside: str = ""
    is_after_operand: bool = False


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


def script_after(script: Script, text: str) -> Script:
    """Return how far `script` is behind `text`."""
    at = 0
    while at < len(text):
        if script.inside:
            match = _ENDS[script.inside].match(text, at)
            if match is None:
                return script
            is_operand = script.is_after_operand if script.inside in ("//", "/*") else True
            script = Script("", is_operand)
        else:
            match = _SCRIPT_TOKEN.match(text, at)
            assert match is not None, "the pattern matches any character"
            script = _after_token(script, match)
        at = match.end()
    return script


def _after_token(script: Script, match: re.Match[str]) -> Script:
    token = match[0]
    if match["space"]:
        return script
    if match["comment"]:
        return script._replace(inside=token)
    if match["quote"]:
        return Script(token)
    if match["slash"]:
        return Script("") if script.is_after_operand else Script("/")
    if match["word"]:
        return Script("", token not in _WORDS_BEFORE_OPERANDS)
    return Script("", token in ")]}")
