"""Error pages from a template of the operator's: the part of Go's html/template that error pages need (spec 4.3).

A template is run with the fields `.Status` (a number), `.StatusText`, `.Message`, and `.Header`, the headers of the
response, whose methods are `.Header.Get "X-Name"` and `.Header.Values "X-Name"`. There are the actions if, with, range,
else, end, variables, comments and trims of white space; pipelines with parentheses; and the functions of functions.py.
Templates within templates, break and continue are not supported, and are refused by name. What is written is escaped
for the place where it stands (escapes.py).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastrouter.gotemplate.escapes import escape_at
from fastrouter.gotemplate.nodes import Assignment, Branch, Node, Output, Scope, Text
from fastrouter.gotemplate.parser import ErrorTemplateError, Parser, error_at
from fastrouter.gotemplate.places import Context, EscapingError, advance, join
from fastrouter.gotemplate.values import ExecutionError, Header, Page, go_text, is_true


class ErrorTemplate:
    """A template for error pages. Raises ErrorTemplateError."""

    def __init__(self, text: str) -> None:
        try:
            self._body = Parser(text).parse()
            context = _escape_nodes(self._body, Context())
        except RecursionError as error:
            raise ErrorTemplateError("template: it is nested too deeply") from error
        if not context.is_text:
            raise ErrorTemplateError("template: the template ends within a tag, a comment or a script")

    def render(self, status: int, status_text: str, message: str, header: Mapping[str, str]) -> bytes:
        """Return the page. `header` has the headers of the response by their names. Raises ExecutionError."""
        root = Page(status, status_text, message, Header(header))
        written: list[str] = []
        _run(self._body, Scope(root, {"$": root}), written)
        # A message may hold bytes of the request that are no text.
        return "".join(written).encode("utf-8", "replace")


def _escape_nodes(nodes: Sequence[Node], context: Context) -> Context:
    """Find the place of every value; returns the place behind the last node. Raises ErrorTemplateError."""
    for node in nodes:
        if isinstance(node, Text):
            try:
                context, node.text = advance(context, node.text)
            except EscapingError as error:
                raise error_at(node.line, str(error)) from error
        elif isinstance(node, Output):
            try:
                context, node.escape = escape_at(context)
            except EscapingError as error:
                raise error_at(node.line, str(error)) from error
        elif isinstance(node, Branch):
            context = _escape_branch(node, context)
    return context


def _escape_branch(node: Branch, context: Context) -> Context:
    behind_body = _escape_nodes(node.body, context)
    behind_otherwise = _escape_nodes(node.otherwise, context)
    try:
        if node.kind == "range" and join(behind_body, context) != context:
            # The second turn would begin in another place than the first.
            raise EscapingError("a turn of a range begins in one place of the page and ends in another")
        return join(behind_body, behind_otherwise)
    except EscapingError as error:
        raise error_at(node.line, str(error)) from error


def _run(nodes: Sequence[Node], scope: Scope, written: list[str]) -> None:
    for node in nodes:
        if isinstance(node, Text):
            written.append(node.text)
        elif isinstance(node, Output):
            written.append(node.escape(_printed(node.pipeline(scope))))
        elif isinstance(node, Assignment):
            value = node.pipeline(scope)
            (scope if node.is_new else scope.owner(node.name)).variables[node.name] = value
        else:
            _run_branch(node, scope, written)


def _run_branch(node: Branch, scope: Scope, written: list[str]) -> None:
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
    if is_true(value):
        _run(node.body, outer.inner(value) if node.kind == "with" else outer, written)
    else:
        _run(node.otherwise, outer, written)


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Header):
        yield from sorted(value.values.items())
    elif isinstance(value, list):
        yield from enumerate(value)
    else:
        raise ExecutionError(f"range can't iterate over {go_text(value)}")


def _printed(value: Any) -> str | int | bool:
    return value if isinstance(value, (str, int)) else go_text(value)
