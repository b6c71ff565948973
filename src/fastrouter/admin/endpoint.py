"""What an endpoint of the admin API consists of: where it is, who may use it, and the structs that are its schema."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from fastrouter.admin.problems import ProblemError
from fastrouter.ipc.admin_messages import Role
from fastrouter.logs.rule_text import rule_text

StructT = TypeVar("StructT", bound=msgspec.Struct)

# Gets the request; returns the struct to answer with, None for an answer without a body, or a response of its own.
Handler = Callable[[web.Request], Awaitable[Any]]


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An endpoint without parameters."""


class Endpoint(NamedTuple):
    """One method of one path. `answer` is the type of what `handle` returns; `media_type` that of a stream."""

    method: str
    path: str
    role: Role
    handle: Handler
    summary: str
    answer: Any
    query: type[msgspec.Struct] = NoQuery
    body: type[msgspec.Struct] | None = None
    status: int = 200
    media_type: str = "application/json"


# The caller of a request, for the audit log.
CALLER = "caller"


def read_query(request: web.Request, kind: type[StructT]) -> StructT:
    """Return the parameters of a request. Raises ProblemError for those that the endpoint does not have."""
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise ProblemError(400, f"in the query: {rule_text(error, kind)}") from error


async def read_body(request: web.Request, kind: type[StructT]) -> StructT:
    """Return the body of a request. Raises ProblemError."""
    if request.content_type != "application/json":
        # A form of a foreign page could send anything else without asking.
        raise ProblemError(415, "a body needs Content-Type: application/json")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise ProblemError(400, f"in the body: {rule_text(error, kind)}") from error
