"""The HTTP server of the admin API: from a request to its endpoint, and from an answer to a response."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable
from socket import socket
from typing import Any

import msgspec
from aiohttp import web

from fastrouter.admin.access import Access, allows
from fastrouter.admin.dashboard import Dashboard
from fastrouter.admin.endpoint import CALLER, Endpoint, read_query
from fastrouter.admin.headers import HEADERS
from fastrouter.admin.openapi import openapi_document
from fastrouter.admin.problems import ProblemError, problem_response
from fastrouter.logs.error_text import fault_text
from fastrouter.logs.logger import Logger

# Bytes of a request's body.
MAX_BODY = 1024 * 1024

_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ENCODER = msgspec.json.Encoder()


class AdminServer:
    """Serves `endpoints` to whom `access` admits."""

    def __init__(self, endpoints: Iterable[Endpoint], access: Access, version: str, logger: Logger) -> None:
        self._access = access
        self._logger = logger
        self._endpoints = list(endpoints)
        self._endpoints.append(
            Endpoint("GET", "/v1/openapi.json", "read", self._openapi, "This document.", dict[str, Any])
        )
        self._document = _ENCODER.encode(openapi_document(self._endpoints, version))
        self._roles = {(endpoint.method, endpoint.path): endpoint.role for endpoint in self._endpoints}
        self._servers: list[asyncio.Server] = []
        self._dashboard = Dashboard()

    async def start(self, unix: list[socket], tcp: list[socket], tls: ssl.SSLContext | None) -> None:
        """Serve on these listening sockets; those of TCP with `tls`."""
        application = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY)
        for endpoint in self._endpoints:
            application.router.add_route(endpoint.method, endpoint.path, _handler(endpoint))
        for path in self._dashboard.paths:
            application.router.add_get(path, self._dashboard.serve)
        # No access log: who has changed something is in the log of the control process. A stream whose reader has left
        # ends at once: there may be only so many of them.
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, logger=_silent_logger(), handler_cancellation=True
        )
        await self._runner.setup()
        assert self._runner.server is not None
        loop = asyncio.get_running_loop()
        for listener in unix:
            self._servers.append(await loop.create_unix_server(self._runner.server, sock=listener))
        for listener in tcp:
            self._servers.append(await loop.create_server(self._runner.server, sock=listener, ssl=tls))

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Next) -> web.StreamResponse:
        try:
            response = await self._answer(request, handler)
        except ProblemError as error:
            response = problem_response(error.status, str(error), error.headers)
        except web.HTTPException as error:
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            response = problem_response(error.status, _detail_of(error, request), allowed)
        except Exception as error:
            # A bug of this endpoint; the others go on.
            self._logger.error("admin-request-failed", path=request.path, error=fault_text(error))
            response = problem_response(500, "a bug of the admin API: the process log has it")
        if not response.prepared:
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
        return response

    async def _answer(self, request: web.Request, handle: _Next) -> web.StreamResponse:
        if request.path in self._dashboard.paths:
            # Any page may link to it, so where the browser comes from does not matter.
            self._access.check_host(request)
            return await handle(request)
        caller = self._access.admit(request)
        request[CALLER] = caller.name
        resource = request.match_info.route.resource
        role = self._roles.get((request.method, resource.canonical)) if resource is not None else None
        if role is not None and not allows(caller.role, role):
            raise ProblemError(403, f"this needs the role {role}, and {caller.name} has {caller.role}")
        return await handle(request)

    async def _openapi(self, request: web.Request) -> web.Response:
        del request
        return web.Response(body=self._document, content_type="application/json")


def _silent_logger() -> logging.Logger:
    """Return a logger for aiohttp, which would write to stderr of every request that is no HTTP."""
    logger = logging.getLogger("fastrouter.admin")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _handler(endpoint: Endpoint) -> _Next:
    async def handle(request: web.Request) -> web.StreamResponse:
        read_query(request, endpoint.query)
        answer = await endpoint.handle(request)
        if isinstance(answer, web.StreamResponse):
            return answer
        if answer is None:
            return web.Response(status=204)
        return web.Response(status=endpoint.status, body=_ENCODER.encode(answer), content_type="application/json")

    return handle


def _detail_of(error: web.HTTPException, request: web.Request) -> str:
    if error.status == 404:
        return f"there is no {request.path}"
    if error.status == 405:
        return f"{request.path} does not take {request.method}"
    return error.reason
