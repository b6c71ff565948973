"""Error pages from a template of the operator's: the part of Go's html/template that error pages need (spec 4.3).

A template is run with the fields `.Status` (a number), `.StatusText`, `.Message`, and `.Header`, the headers of the
response, whose methods are `.Header.Get "X-Name"` and `.Header.Values "X-Name"`. There are the actions if, with, range,
else, end, variables, comments and trims of white space; pipelines with parentheses; and the functions in `_FUNCTIONS`.
Templates within templates, break and continue are not supported, and are refused by name. What is written is escaped
for the place where it stands (template_escaping).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fastrouter.gotemplate.escaping import Context, Escape, EscapingError, advance, escape_at, join, text_of


class ErrorTemplateError(ValueError):
    """A text that is no template, or one that needs what is not supported; the message names the line."""


class ExecutionError(Exception):
    """A template that cannot be run: it asks for a field that is not there, or compares what cannot be compared."""


class ErrorTemplate:
    """A template for error pages. Raises ErrorTemplateError."""

    def __init__(self, text: str) -> None:
        try:
            self._body = _Parser(text).parse()
            context = _escape_nodes(self._body, Context())
        except RecursionError as error:
            raise ErrorTemplateError("template: it is nested too deeply") from error
        if not context.is_text:
            raise ErrorTemplateError("template: the template ends within a tag, a comment or a script")

    def render(self, status: int, status_text: str, message: str, header: Mapping[str, str]) -> bytes:
        """Return the page. `header` has the headers of the response by their names. Raises ExecutionError."""
        root = _Page(status, status_text, message, _Header(header))
        written: list[str] = []
        _run(self._body, _Scope(root, {"$": root}), written)
        # A message may hold bytes of the request that are no text.
        return "".join(written).encode("utf-8", "replace")


# --- What a template sees ---------------------------------------------------------------------------------------------


class _Header:
    """The headers of the response: to the template a map of lists, with methods that take a name in any case."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = {_canonical(name): [value] for name, value in values.items()}

    def get(self, name: str) -> str:
        return self.values.get(_canonical(name), [""])[0]

    def get_all(self, name: str) -> list[str]:
        return self.values.get(_canonical(name), [])


class _Page(NamedTuple):
    status: int
    status_text: str
    message: str
    header: _Header


_FIELDS: dict[str, Callable[[_Page], Any]] = {
    "Status": lambda page: page.status,
    "StatusText": lambda page: page.status_text,
    "Message": lambda page: page.message,
    "Header": lambda page: page.header,
}
_METHODS: dict[str, Callable[[_Header, str], Any]] = {"Get": _Header.get, "Values": _Header.get_all}
_NO_TOKEN_CHAR = re.compile(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]")


def _canonical(name: str) -> str:
    if not name or _NO_TOKEN_CHAR.search(name):
        return name
    return "-".join(word[:1].upper() + word[1:].lower() for word in name.split("-"))


# --- Nodes ------------------------------------------------------------------------------------------------------------


class _Text:
    def __init__(self, text: str, line: int) -> None:
        self.text = text
        self.line = line


class _Output:
    """A value that is written. `escape` is known once the place is."""

    escape: Escape

    def __init__(self, pipeline: "_Expression", line: int) -> None:
        self.pipeline = pipeline
        self.line = line


class _Assignment(NamedTuple):
    name: str
    pipeline: "_Expression"
    is_new: bool


class _Branch(NamedTuple):
    """if, with or range: `variables` get the value, of range the index and the value, or the value alone."""

    kind: str
    variables: Sequence[str]
    pipeline: "_Expression"
    body: Sequence["_Node"]
    otherwise: Sequence["_Node"]
    line: int


_Node = _Text | _Output | _Assignment | _Branch


def _escape_nodes(nodes: Sequence[_Node], context: Context) -> Context:
    """Find the place of every value; returns the place behind the last node. Raises ErrorTemplateError."""
    for node in nodes:
        if isinstance(node, _Text):
            try:
                context, node.text = advance(context, node.text)
            except EscapingError as error:
                raise _error(node.line, str(error)) from error
        elif isinstance(node, _Output):
            try:
                context, node.escape = escape_at(context)
            except EscapingError as error:
                raise _error(node.line, str(error)) from error
        elif isinstance(node, _Branch):
            context = _escape_branch(node, context)
    return context


def _escape_branch(node: _Branch, context: Context) -> Context:
    behind_body = _escape_nodes(node.body, context)
    behind_otherwise = _escape_nodes(node.otherwise, context)
    try:
        if node.kind == "range" and join(behind_body, context) != context:
            # The second turn would begin in another place than the first.
            raise EscapingError("a turn of a range begins in one place of the page and ends in another")
        return join(behind_body, behind_otherwise)
    except EscapingError as error:
        raise _error(node.line, str(error)) from error


def _error(line: int, text: str) -> ErrorTemplateError:
    return ErrorTemplateError(f"template: line {line}: {text}")


# --- Running ----------------------------------------------------------------------------------------------------------


class _Scope:
    """The dot, and the variables that can be seen."""

    def __init__(self, dot: Any, variables: dict[str, Any], outer: "_Scope | None" = None) -> None:
        self.dot = dot
        self.variables = variables
        self._outer = outer

    def inner(self, dot: Any) -> "_Scope":
        return _Scope(dot, {}, self)

    def owner(self, name: str) -> "_Scope":
        """Return the scope that has a variable; the parser knows that there is one."""
        scope = self
        while name not in scope.variables:
            assert scope._outer is not None
            scope = scope._outer
        return scope

    def value(self, name: str) -> Any:
        return self.owner(name).variables[name]


_Expression = Callable[[_Scope], Any]


def _run(nodes: Sequence[_Node], scope: _Scope, written: list[str]) -> None:
    for node in nodes:
        if isinstance(node, _Text):
            written.append(node.text)
        elif isinstance(node, _Output):
            written.append(node.escape(_printed(node.pipeline(scope))))
        elif isinstance(node, _Assignment):
            value = node.pipeline(scope)
            (scope if node.is_new else scope.owner(node.name)).variables[node.name] = value
        else:
            _run_branch(node, scope, written)


def _run_branch(node: _Branch, scope: _Scope, written: list[str]) -> None:
    outer = scope.inner(scope.dot)
    value = node.pipeline(outer)
    if node.kind == "range":
        items = list(_items(value))
        for item in items:
            turn = outer.inner(item[1])
            # With one variable it is the value, with two the index comes first.
            turn.variables.update(zip(node.variables, item[-len(node.variables) :], strict=False))
            _run(node.body, turn, written)
        if not items:
            _run(node.otherwise, outer, written)
        return
    outer.variables.update(dict.fromkeys(node.variables, value))
    if _is_true(value):
        _run(node.body, outer.inner(value) if node.kind == "with" else outer, written)
    else:
        _run(node.otherwise, outer, written)


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, _Header):
        yield from sorted(value.values.items())
    elif isinstance(value, list):
        yield from enumerate(value)
    else:
        raise ExecutionError(f"range can't iterate over {_go_text(value)}")


def _is_true(value: Any) -> bool:
    if isinstance(value, _Header):
        return bool(value.values)
    return isinstance(value, _Page) or bool(value)


def _printed(value: Any) -> str | int | bool:
    return value if isinstance(value, (str, int)) else _go_text(value)


def _go_text(value: Any) -> str:
    """Return what Go's `%v` makes of a value."""
    if isinstance(value, list):
        return f"[{' '.join(value)}]"
    if isinstance(value, _Header):
        return f"map[{' '.join(f'{name}:{_go_text(values)}' for name, values in sorted(value.values.items()))}]"
    if isinstance(value, _Page):
        return f"{{{' '.join(map(_go_text, value))}}}"
    return text_of(value)


def _field(value: Any, name: str, arguments: Sequence[Any]) -> Any:
    if isinstance(value, _Header) and name in _METHODS:
        if len(arguments) != 1 or not isinstance(arguments[0], str):
            raise ExecutionError(f"{name} takes one argument, the name of a header")
        return _METHODS[name](value, arguments[0])
    if arguments:
        raise ExecutionError(f"{name} has arguments but cannot be invoked as function")
    if isinstance(value, _Header):
        return value.values.get(name, [])
    if isinstance(value, _Page) and name in _FIELDS:
        return _FIELDS[name](value)
    raise ExecutionError(f"can't evaluate field {name}")


# --- Functions --------------------------------------------------------------------------------------------------------


def _eq(first: Any, *others: Any) -> bool:
    if not others:
        raise ExecutionError("missing argument for comparison")
    # Whether a type can be compared is looked at first, so that a template fails for all values or for none.
    for other in others:
        _check_comparable(first, other)
    return first in others


def _ne(first: Any, second: Any) -> bool:
    _check_comparable(first, second)
    return bool(first != second)


def _lt(first: Any, second: Any) -> bool:
    _check_comparable(first, second)
    if isinstance(first, bool):
        raise ExecutionError("invalid type for comparison")
    return bool(first < second)


def _check_comparable(first: Any, second: Any) -> None:
    for value in (first, second):
        if not isinstance(value, (str, int)):
            raise ExecutionError("invalid type for comparison")
    if type(first) is not type(second):
        raise ExecutionError("incompatible types for comparison")


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "replace"))
    if isinstance(value, _Header):
        return len(value.values)
    if isinstance(value, list):
        return len(value)
    raise ExecutionError("len of a value that has none")


def _index(value: Any, key: Any) -> Any:
    if isinstance(value, _Header) and isinstance(key, str):
        return value.values.get(key, [])
    if isinstance(value, list) and type(key) is int:
        if 0 <= key < len(value):
            return value[key]
        raise ExecutionError(f"index out of range: {key}")
    raise ExecutionError("can't index item")


def _print(*values: Any) -> str:
    """Join values as Go's Sprint does: with a space between two that are no texts."""
    pieces: list[str] = []
    for position, value in enumerate(values):
        if position and not isinstance(value, str) and not isinstance(values[position - 1], str):
            pieces.append(" ")
        pieces.append(_go_text(value))
    return "".join(pieces)


_VERB = re.compile(r"%(.?)", re.DOTALL)


def _printf(layout: Any, *values: Any) -> str:
    """Fill in `%s`, `%d` and `%v`, one value each."""
    rest = list(values)

    def fill(match: re.Match[str]) -> str:
        if match[1] == "%":
            return "%"
        if match[1] not in ("s", "d", "v") or not rest:
            raise ExecutionError(f"printf cannot fill in {match[0]}")
        value = rest.pop(0)
        if (match[1] == "d") is not (type(value) is int) and match[1] != "v":
            raise ExecutionError(f"printf cannot fill in {match[0]} with {_go_text(value)}")
        return _go_text(value)

    if not isinstance(layout, str):
        raise ExecutionError("printf takes a text first")
    text = _VERB.sub(fill, layout)
    if rest:
        raise ExecutionError("printf has more values than places for them")
    return text


class _Function(NamedTuple):
    call: Callable[..., Any]
    least: int
    most: int | None


_FUNCTIONS = {
    "eq": _Function(_eq, 2, None),
    "ne": _Function(_ne, 2, 2),
    "lt": _Function(_lt, 2, 2),
    "le": _Function(lambda first, second: not _lt(second, first), 2, 2),
    "gt": _Function(lambda first, second: _lt(second, first), 2, 2),
    "ge": _Function(lambda first, second: not _lt(first, second), 2, 2),
    "not": _Function(lambda value: not _is_true(value), 1, 1),
    "len": _Function(_len, 1, 1),
    "index": _Function(_index, 2, 2),
    "print": _Function(_print, 0, None),
    "printf": _Function(_printf, 1, None),
    # Whatever is written is escaped for its place anyway, and once only.
    "html": _Function(_print, 1, None),
}
# These two stop at the first argument that decides.
_DECIDING = {"and": False, "or": True}


def _call(function: _Function, arguments: Sequence[_Expression]) -> _Expression:
    return lambda scope: function.call(*[argument(scope) for argument in arguments])


def _decide(deciding: bool, arguments: Sequence[_Expression]) -> _Expression:
    def evaluate(scope: _Scope) -> Any:
        value = None
        for argument in arguments:
            value = argument(scope)
            if _is_true(value) is deciding:
                break
        return value

    return evaluate


def _constant(value: Any) -> _Expression:
    return lambda _: value


def _chain(start: _Expression, names: Sequence[str], arguments: Sequence[_Expression] = ()) -> _Expression:
    def evaluate(scope: _Scope) -> Any:
        value = start(scope)
        for name in names[:-1]:
            value = _field(value, name, ())
        given = [argument(scope) for argument in arguments]
        return _field(value, names[-1], given) if names else value

    return evaluate


# --- Parsing ----------------------------------------------------------------------------------------------------------

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


class _Parser:
    """Reads one template."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._tokens: list[_Token] = []
        # Names of variables, in as many scopes as are open.
        self._scopes: list[set[str]] = [{"$"}]

    def parse(self) -> Sequence[_Node]:
        """Return the nodes of the whole text."""
        nodes, end = self._parse_nodes()
        if end:
            raise self._error(f"unexpected {{{{{end}}}}}")
        return nodes

    def _error(self, text: str) -> ErrorTemplateError:
        return _error(self._line, text)

    def _parse_nodes(self) -> tuple[Sequence[_Node], str]:
        """Return the nodes up to the action that ends them, `else` or `end`, or "" for the end of the text."""
        nodes: list[_Node] = []
        while True:
            line = self._text.count("\n", 0, self._at) + 1
            literal, has_action = self._read_literal()
            if literal:
                nodes.append(_Text(literal, line))
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

    def _parse_action(self, word: str) -> _Node:
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
            return _Assignment(variables[0], pipeline, sign == ":=")
        return _Output(self._parse_pipeline(), self._line)

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

    def _parse_branch(self, kind: str) -> _Branch:
        line = self._line
        self._scopes.append(set())
        variables, sign = self._parse_variables()
        if sign == "=" or len(variables) > (2 if kind == "range" else 1):
            raise self._error(f"unexpected variables in {{{{{kind}}}}}")
        pipeline = self._parse_pipeline()
        self._expect_nothing()
        self._scopes[-1].update(variables)
        body, end = self._parse_scope()
        otherwise: Sequence[_Node] = ()
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
        return _Branch(kind, variables, pipeline, body, otherwise, line)

    def _parse_scope(self) -> tuple[Sequence[_Node], str]:
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

    def _parse_pipeline(self) -> _Expression:
        """Read commands between bars; each gets the value of the one before as its last argument."""
        value = self._parse_command(None)
        while self._tokens and self._tokens[0].text == "|":
            self._take()
            value = self._parse_command(value)
        return value

    def _parse_command(self, last: _Expression | None) -> _Expression:
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
        return _chain(start, names, arguments)

    def _parse_arguments(self) -> list[_Expression]:
        arguments = []
        while self._tokens and self._tokens[0].text not in ("|", ")"):
            if self._tokens[0].kind == "word" and self._tokens[0].text not in ("true", "false"):
                arguments.append(self._function(self._take().text, []))
            else:
                arguments.append(_chain(*self._parse_operand()))
        return arguments

    def _function(self, name: str, arguments: Sequence[_Expression]) -> _Expression:
        if name in _DECIDING:
            if not arguments:
                raise self._error(f"wrong number of args for {name}: want at least 1 got 0")
            return _decide(_DECIDING[name], arguments)
        function = _FUNCTIONS.get(name)
        if function is None:
            raise self._error(f'function "{name}" is not supported')
        if len(arguments) < function.least or (function.most is not None and len(arguments) > function.most):
            raise self._error(f"wrong number of args for {name}: got {len(arguments)}")
        return _call(function, arguments)

    def _parse_operand(self) -> tuple[_Expression, list[str]]:
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

    def _start_of_operand(self, token: _Token) -> _Expression:
        match token.kind:
            case "dot" | "chain":
                return lambda scope: scope.dot
            case "variable":
                self._check_variable(token.text)
                return lambda scope: scope.value(token.text)
            case "string":
                return _constant(self._unquoted(token.text[1:-1]))
            case "raw":
                return _constant(token.text[1:-1].replace("\r", ""))
            case "number":
                return _constant(self._number(token.text))
            case "word":
                return _constant(token.text == "true")
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
