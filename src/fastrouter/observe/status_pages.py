"""The responses for health, routes and the component, and their credentials (spec 7.1 to 7.3)."""

import asyncio
import base64
import binascii
import hmac
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import NamedTuple

from fastrouter.observe.responses import NOT_FOUND, TEXT, BodyParts, StatusHandler, StatusRequest, StatusResponse

_HEALTH_HEADERS = (("Cache-Control", "private, max-age=0"), ("Expires", "0"))

LIVENESS_PATH = "/is-process-alive-do-not-use-for-loadbalancing"


class Credentials(NamedTuple):
    """What basic authentication asks for."""

    user: str
    password: str

    def admits(self, authorization: str) -> bool:
        """Whether an Authorization header carries these credentials: exactly `Basic`, exactly one colon."""
        scheme, _, encoded = authorization.partition(" ")
        if scheme != "Basic":
            return False
        try:
            decoded = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        if decoded.count(b":") != 1:
            return False
        user, _, password = decoded.partition(b":")
        # Both are compared, in constant time, so that the duration reveals nothing about either.
        is_user = hmac.compare_digest(user, self.user.encode())
        is_password = hmac.compare_digest(password, self.password.encode())
        return is_user and is_password


def health_handler(is_healthy: Callable[[], bool]) -> StatusHandler:
    """Respond to `/health` and the liveness path."""

    def handle(request: StatusRequest) -> StatusResponse:
        if request.path == "/health":
            return _health(is_healthy())
        if request.path == LIVENESS_PATH:
            return StatusResponse(200, (TEXT,), b"ok\n")
        return NOT_FOUND

    return handle


def with_end_after(parts: Iterator[bytes], wait: Callable[[], Coroutine[None, None, None]]) -> BodyParts:
    """Yield `parts`; before the last one, call `wait` and wait until it is done."""
    held = b""
    for part in parts:
        yield held
        held = part
    yield asyncio.get_running_loop().create_task(wait())
    yield held


def routes_handler(credentials: Credentials, routes_json: Callable[[], BodyParts]) -> StatusHandler:
    """Respond to `/routes` for those who have the credentials."""
    # Gorouter checks no credentials for health paths here, and has no handler for them.
    return _pages_handler(lambda: NOT_FOUND, credentials, {"/routes": lambda: _json(routes_json())})


def component_handler(
    credentials: Credentials,
    is_healthy: Callable[[], bool],
    varz_json: Callable[[], bytes],
    routes_json: Callable[[], BodyParts],
) -> StatusHandler:
    """Respond to the paths of the deprecated component listener."""
    return _pages_handler(
        lambda: _health(is_healthy()),
        credentials,
        {"/varz": lambda: _json(varz_json()), "/routes": lambda: _json(routes_json())},
    )


def _pages_handler(
    health: Callable[[], StatusResponse], credentials: Credentials, pages: Mapping[str, Callable[[], StatusResponse]]
) -> StatusHandler:
    """Respond to health paths for everybody, and to `pages`, by their paths, for those who have the credentials."""

    def handle(request: StatusRequest) -> StatusResponse:
        if request.path in {"/health", "/healthz"}:
            return health()
        if not credentials.admits(request.authorization):
            return _unauthorized()
        return pages.get(request.path, lambda: NOT_FOUND)()

    return handle


def _health(is_healthy: bool) -> StatusResponse:
    if is_healthy:
        return StatusResponse(200, (*_HEALTH_HEADERS, TEXT), b"ok\n")
    return StatusResponse(503, _HEALTH_HEADERS)


def _unauthorized() -> StatusResponse:
    return StatusResponse(401, (("WWW-Authenticate", "Basic"), TEXT), b"401 Unauthorized\n")


def _json(body: bytes | BodyParts) -> StatusResponse:
    return StatusResponse(200, (("Content-Type", "application/json"),), body, is_last=True)
