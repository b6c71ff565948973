"""From the text of a template to its nodes."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from fastrouter.gotemplate.functions import DECIDING, FUNCTIONS
from fastrouter.gotemplate.nodes import (
    Assignment,
    Branch,
    Expression,
    Node,
    Output,
    Text,
    call,
    chain,
    constant,
    decide,
)


class ErrorTemplateError(ValueError):
    """A text that is no template, or one that needs what is not supported; the message names the line."""


def error_at(line: int, text: str) -> ErrorTemplateError:
    """Make the error that names `line`."""
    return ErrorTemplateError(f"template: line {line}: {text}")


_OPEN = re.compile(r"\{\{(-(?=\s))?")
_COMMENT = re.compile(r"\s*/\*.*?\*/\s*(?:(-)\}\}|\}\})", re.DOTALL)
_TOKEN = re.compile(
    r"""
    (?P<space>\s+(?!-\}\}))
    | (?P<close>\s+-\}\}|\}\})
    | (?P<string>"(?:[^"\\\n]|\\[^\n])*")
    | (?P<raw>`[^`]*`)
    | (?P<number>[+-]?\d[\w.]*)
    | (?P<chain>(?:\.[^\W\d]\w*)+)
    | (?P<dot>\.)
    | (?P<variable>\$\w*)
    | (?P<word>[^\W\d]\w*)
    | (?P<sign>:=|[=|(),])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"""\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))""")
_ESCAPED = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))
_NOT_SUPPORTED = frozenset({"block", "break", "continue", "define", "template"})


class _Token(NamedTuple):
    kind: str
    text: str


class Parser:
    """Reads one template."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._tokens: list[_Token] = []
        # Names of variables, in as many scopes as are open.
        self._scopes: list[set[str]] = [{"$"}]

    def parse(self) -> Sequence[Node]:
        """Return the nodes of the whole text."""
        nodes, end = self._parse_nodes()
        if end:
            raise self._error(f"unexpected {{{{{end}}}}}")
        return nodes

    def _error(self, text: str) -> ErrorTemplateError:
        return error_at(self._line, text)

    def _parse_nodes(self) -> tuple[Sequence[Node], str]:
        """Return the nodes up to the action that ends them, `else` or `end`, or "" for the end of the text."""
        nodes: list[Node] = []
        while True:
            line = self._text.count("\n", 0, self._at) + 1
            literal, has_action = self._read_literal()
            if literal:
                nodes.append(Text(literal, line))
            if not has_action:
                return nodes, ""
            if not self._tokens:
                # A comment.
                continue
            word = self._tokens[0].text if self._tokens[0].kind == "word" else ""
            if word in ("else", "end"):
                self._take()
                return nodes, word
            nodes.append(self._parse_action(word))
            self._expect_nothing()

    def _read_literal(self) -> tuple[str, bool]:
        """Return the text up to the next action, and whether there is one; its tokens are ready then."""
        start = self._at
        match = _OPEN.search(self._text, start)
        if match is None:
            self._at = len(self._text)
            return self._text[start:], False
        literal = self._text[start : match.start()]
        if match[1]:
            literal = literal.rstrip(" \t\r\n")
        self._line = self._text.count("\n", 0, match.start()) + 1
        self._at = match.end()
        comment = _COMMENT.match(self._text, self._at)
        if comment is not None:
            self._tokens = []
            self._go_on(comment.end(), is_trimmed=comment[1] is not None)
        else:
            self._tokens = self._read_tokens()
            if not self._tokens:
                raise self._error("missing value for command")
        return literal, True

    def _read_tokens(self) -> list[_Token]:
        tokens: list[_Token] = []
        while True:
            match = _TOKEN.match(self._text, self._at)
            if match is None:
                rest = self._text[self._at : self._at + 1]
                raise self._error(f"unexpected {rest!r} in action" if rest else "unclosed action")
            self._at = match.end()
            kind = match.lastgroup or ""
            if kind == "close":
                self._go_on(self._at, is_trimmed=match[0] != "}}")
                return [token for position, token in enumerate(tokens) if not _is_idle_space(tokens, position)]
            tokens.append(_Token(kind, match[0]))

    def _go_on(self, at: int, *, is_trimmed: bool) -> None:
        if is_trimmed:
            while self._text[at : at + 1] in (" ", "\t", "\r", "\n"):
                at += 1
        self._at = at

    def _parse_action(self, word: str) -> Node:
        if word in _NOT_SUPPORTED:
            raise self._error(f"{{{{{word}}}}} is not supported")
        if word in ("if", "with", "range"):
            self._take()
            return self._parse_branch(word)
        variables, sign = self._parse_variables()
        if sign:
            if len(variables) > 1:
                raise self._error("two variables are for range only")
            pipeline = self._parse_pipeline()
            if sign == ":=":
                self._scopes[-1].add(variables[0])
            return Assignment(variables[0], pipeline, sign == ":=")
        return Output(self._parse_pipeline(), self._line)

    def _parse_variables(self) -> tuple[list[str], str]:
        """Read `$x :=`, `$x =` or `$i, $x :=`, if that is what comes. Returns the names and the sign, or nothing."""
        for count in (1, 2):
            names = [token.text for token in self._tokens[0 : 2 * count : 2] if token.kind == "variable"]
            signs = [token.text for token in self._tokens[1 : 2 * count : 2]]
            if len(names) == count and signs[-1:] in ([":="], ["="]) and signs[:-1] == [","] * (count - 1):
                if signs[-1] == "=":
                    for name in names:
                        self._check_variable(name)
                del self._tokens[: 2 * count]
                return names, signs[-1]
        return [], ""

    def _parse_branch(self, kind: str) -> Branch:
        line = self._line
        self._scopes.append(set())
        variables, sign = self._parse_variables()
        if sign == "=" or len(variables) > (2 if kind == "range" else 1):
            raise self._error(f"unexpected variables in {{{{{kind}}}}}")
        pipeline = self._parse_pipeline()
        self._expect_nothing()
        self._scopes[-1].update(variables)
        body, end = self._parse_scope()
        otherwise: Sequence[Node] = ()
        if end == "else" and self._tokens:
            if kind != "if" or self._take() != _Token("word", "if"):
                raise self._error(f"unexpected words behind {{{{else}}}} of {{{{{kind}}}}}")
            # `else if` has its `end` in common with the `if`.
            otherwise = [self._parse_branch("if")]
        elif end == "else":
            otherwise, end = self._parse_scope()
            self._expect_end(end, kind)
        else:
            self._expect_end(end, kind)
        self._scopes.pop()
        return Branch(kind, variables, pipeline, body, otherwise, line)

    def _parse_scope(self) -> tuple[Sequence[Node], str]:
        self._scopes.append(set())
        nodes, end = self._parse_nodes()
        self._scopes.pop()
        return nodes, end

    def _expect_end(self, end: str, kind: str) -> None:
        if end != "end":
            raise self._error(f"{{{{{kind}}}}} without {{{{end}}}}")
        self._expect_nothing()

    def _expect_nothing(self) -> None:
        if self._tokens:
            raise self._error(f"unexpected {self._tokens[0].text!r}")

    def _take(self) -> _Token:
        token = self._tokens.pop(0)
        if self._tokens and self._tokens[0].kind == "space":
            self._tokens.pop(0)
        return token

    def _parse_pipeline(self) -> Expression:
        """Read commands between bars; each gets the value of the one before as its last argument."""
        value = self._parse_command(None)
        while self._tokens and self._tokens[0].text == "|":
            self._take()
            value = self._parse_command(value)
        return value

    def _parse_command(self, last: Expression | None) -> Expression:
        if not self._tokens or self._tokens[0].text in ("|", ")"):
            raise self._error("missing value for command")
        first = self._tokens[0]
        further = [] if last is None else [last]
        if first.kind == "word" and first.text not in ("true", "false"):
            self._take()
            return self._function(first.text, [*self._parse_arguments(), *further])
        start, names = self._parse_operand()
        arguments = [*self._parse_arguments(), *further]
        if arguments and not names:
            raise self._error(f"can't give argument to non-function {first.text}")
        return chain(start, names, arguments)

    def _parse_arguments(self) -> list[Expression]:
        arguments = []
        while self._tokens and self._tokens[0].text not in ("|", ")"):
            if self._tokens[0].kind == "word" and self._tokens[0].text not in ("true", "false"):
                arguments.append(self._function(self._take().text, []))
            else:
                arguments.append(chain(*self._parse_operand()))
        return arguments

    def _function(self, name: str, arguments: Sequence[Expression]) -> Expression:
        if name in DECIDING:
            if not arguments:
                raise self._error(f"wrong number of args for {name}: want at least 1 got 0")
            return decide(DECIDING[name], arguments)
        function = FUNCTIONS.get(name)
        if function is None:
            raise self._error(f'function "{name}" is not supported')
        if len(arguments) < function.least or (function.most is not None and len(arguments) > function.most):
            raise self._error(f"wrong number of args for {name}: got {len(arguments)}")
        return call(function, arguments)

    def _parse_operand(self) -> tuple[Expression, list[str]]:
        """Read a value; returns it, and the names of the fields that are asked of it."""
        token = self._tokens.pop(0)
        start = self._start_of_operand(token)
        names = token.text[1:].split(".") if token.kind == "chain" else []
        if token.kind == "variable" or token.text == "(":
            names = self._parse_chain()
        if self._tokens and self._tokens[0].kind == "space":
            self._tokens.pop(0)
        elif self._tokens and self._tokens[0].text not in ("|", ")"):
            raise self._error(f"unexpected {self._tokens[0].text!r} behind {token.text!r}")
        return start, names

    def _parse_chain(self) -> list[str]:
        if self._tokens and self._tokens[0].kind == "chain":
            return self._tokens.pop(0).text[1:].split(".")
        return []

    def _start_of_operand(self, token: _Token) -> Expression:
        match token.kind:
            case "dot" | "chain":
                return lambda scope: scope.dot
            case "variable":
                self._check_variable(token.text)
                return lambda scope: scope.value(token.text)
            case "string":
                return constant(self._unquoted(token.text[1:-1]))
            case "raw":
                return constant(token.text[1:-1].replace("\r", ""))
            case "number":
                return constant(self._number(token.text))
            case "word":
                return constant(token.text == "true")
        if token.text != "(":
            raise self._error(f"unexpected {token.text!r}")
        if self._tokens and self._tokens[0].kind == "space":
            self._tokens.pop(0)
        value = self._parse_pipeline()
        if not self._tokens or self._tokens.pop(0).text != ")":
            raise self._error("unclosed left paren")
        return value

    def _check_variable(self, name: str) -> None:
        if not any(name in scope for scope in self._scopes):
            raise self._error(f'undefined variable "{name}"')

    def _number(self, text: str) -> int:
        try:
            return int(text, 0)
        except ValueError as error:
            raise self._error(f"{text!r} is no whole number, and others are not supported") from error

    def _unquoted(self, text: str) -> str:
        def char(match: re.Match[str]) -> str:
            name, hexadecimal, octal, short, long, other = match.groups()
            if name is not None:
                return _ESCAPED[name]
            code = int(octal, 8) if octal is not None else int(hexadecimal or short or long or "-1", 16)
            if other is not None or not 0 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF or (octal and code > 255):
                raise self._error(f"{match[0]!r} is no escape of a string")
            return chr(code)

        return _ESCAPE.sub(char, text)


def _is_idle_space(tokens: Sequence[_Token], position: int) -> bool:
    """Whether a token is white space that separates nothing: what stands at either end, or beside a sign."""
    if tokens[position].kind != "space":
        return False
    if position in (0, len(tokens) - 1):
        return True
    before, behind = tokens[position - 1], tokens[position + 1]
    return before.text in (":=", "=", "|", "(", ",") or behind.text in (":=", "=", "|", ")", ",")
