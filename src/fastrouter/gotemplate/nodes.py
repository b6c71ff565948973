"""What a template is made of: nodes, in which expressions are functions of a scope."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fastrouter.gotemplate.escapes import Escape
from fastrouter.gotemplate.functions import Function
from fastrouter.gotemplate.values import field, is_true


class Scope:
    """The dot, and the variables that can be seen."""

    def __init__(self, dot: Any, variables: dict[str, Any], outer: "Scope | None" = None) -> None:
        self.dot = dot
        self.variables = variables
        self._outer = outer

    def inner(self, dot: Any) -> "Scope":
        """Return a scope within this one."""
        return Scope(dot, {}, self)

    def owner(self, name: str) -> "Scope":
        """Return the scope that has a variable; the parser has checked that there is one."""
        scope = self
        while name not in scope.variables:
            assert scope._outer is not None
            scope = scope._outer
        return scope

    def value(self, name: str) -> Any:
        """Return the value of a variable."""
        return self.owner(name).variables[name]


Expression = Callable[[Scope], Any]


class Text:
    """A text that is written as it stands. `line` is where it begins."""

    def __init__(self, text: str, line: int) -> None:
        self.text = text
        self.line = line


class Output:
    """A value that is written. `escape` is known once the place is."""

    escape: Escape

    def __init__(self, pipeline: Expression, line: int) -> None:
        self.pipeline = pipeline
        self.line = line


class Assignment(NamedTuple):
    """A variable that gets a value; `is_new` for `:=`."""

    name: str
    pipeline: Expression
    is_new: bool


class Branch(NamedTuple):
    """if, with or range: `variables` get the value, of range the index and the value, or the value alone."""

    kind: str
    variables: Sequence[str]
    pipeline: Expression
    body: Sequence["Node"]
    otherwise: Sequence["Node"]
    line: int


Node = Text | Output | Assignment | Branch


def call(function: Function, arguments: Sequence[Expression]) -> Expression:
    """Return the result of `function`."""
    return lambda scope: function.call(*[argument(scope) for argument in arguments])


def decide(deciding: bool, arguments: Sequence[Expression]) -> Expression:
    """Return the first of `arguments` whose truth is `deciding`, or the last."""

    def evaluate(scope: Scope) -> Any:
        value = None
        for argument in arguments:
            value = argument(scope)
            if is_true(value) is deciding:
                break
        return value

    return evaluate


def constant(value: Any) -> Expression:
    """Return `value`."""
    return lambda _: value


def chain(start: Expression, names: Sequence[str], arguments: Sequence[Expression] = ()) -> Expression:
    """Return the field that `names` lead to from `start`; the last may be a method, which gets `arguments`."""

    def evaluate(scope: Scope) -> Any:
        value = start(scope)
        for name in names[:-1]:
            value = field(value, name, ())
        given = [argument(scope) for argument in arguments]
        return field(value, names[-1], given) if names else value

    return evaluate
