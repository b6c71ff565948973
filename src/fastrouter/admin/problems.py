"""Errors as RFC 9457 has them: `application/problem+json`."""

from http import HTTPStatus

import msgspec
from aiohttp import web

CONTENT_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True):
    """What went wrong: `title` for the kind of problem, `detail` for this one. `type` is always `about:blank`."""

    status: int
    title: str
    detail: str
    type: str = "about:blank"


class ProblemError(Exception):
    """Ends the handling of a request with a problem; `headers` go with it."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}


def problem_response(status: int, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return the response that tells of a problem."""
    problem = Problem(status, HTTPStatus(status).phrase, detail)
    return web.Response(
        status=status, body=msgspec.json.encode(problem), content_type=CONTENT_TYPE, headers=headers or {}
    )
