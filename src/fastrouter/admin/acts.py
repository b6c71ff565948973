"""What operators change: drained endpoints, static routes, reload, drain, log level. The control process does it."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web

from fastrouter.admin.control_link import ControlLink
from fastrouter.admin.endpoint import CALLER, Endpoint, read_body
from fastrouter.ipc.admin_messages import (
    AskStaticRoutes,
    BeginDrain,
    ChangeLogLevel,
    DeleteStaticRoute,
    LogLevelSet,
    OwnedRoute,
    PutStaticRoute,
    Reload,
    SetEndpointState,
    StaticEndpointFields,
    StaticRouteKept,
)

# Seconds that a log level may be changed for.
_MAX_SECONDS = 7 * 24 * 3600


class EndpointStateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state that an endpoint is to have."""

    state: Literal["active", "draining"]


class EndpointStateSet(msgspec.Struct, frozen=True):
    """The state of the `registrations` that there are of an endpoint."""

    id: str
    state: Literal["active", "draining"]
    registrations: int


class StaticRouteBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What serves a static route."""

    endpoints: Annotated[tuple[StaticEndpointFields, ...], msgspec.Meta(min_length=1)]
    app_id: str = ""


class StaticRoutes(msgspec.Struct, frozen=True):
    """All static routes, each with where it comes from."""

    routes: list[OwnedRoute]


class LogLevelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A level of the process log, and for how long; 0: until it is changed again."""

    level: Literal["debug", "info", "warn", "error"]
    seconds: Annotated[float, msgspec.Meta(ge=0, le=_MAX_SECONDS)] = 0.0


class Accepted(msgspec.Struct, frozen=True):
    """It has begun; events and the overview tell how it goes."""

    accepted: bool


class Acts:
    """Passes acts on to the control process."""

    def __init__(self, control: ControlLink) -> None:
        self._control = control

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of the API."""
        route = "/v1/static-routes/{route}"
        return [
            Endpoint(
                "PATCH",
                "/v1/endpoints/{id}",
                "operate",
                self._set_state,
                "Have an endpoint drain, or serve again.",
                EndpointStateSet,
                body=EndpointStateBody,
            ),
            Endpoint("GET", "/v1/static-routes", "read", self._list, "Static routes.", StaticRoutes),
            Endpoint("PUT", route, "operate", self._put, "Add or replace one.", StaticRouteKept, body=StaticRouteBody),
            Endpoint("DELETE", route, "operate", self._delete, "Remove one that was put.", StaticRouteKept),
            Endpoint("POST", "/v1/reload", "operate", self._reload, "What SIGHUP does.", Accepted, status=202),
            Endpoint("POST", "/v1/drain", "operate", self._drain, "What SIGUSR1 does.", Accepted, status=202),
            Endpoint(
                "PUT",
                "/v1/log-level",
                "operate",
                self._set_log_level,
                "Change the level of the process log, for a time.",
                LogLevelSet,
                body=LogLevelBody,
            ),
        ]

    async def _set_state(self, request: web.Request) -> EndpointStateSet:
        body = await read_body(request, EndpointStateBody)
        address = request.match_info["id"]
        act = SetEndpointState(address, body.state == "draining")
        count = await self._control.do(act, request[CALLER], int)
        return EndpointStateSet(address, body.state, count)

    async def _list(self, request: web.Request) -> StaticRoutes:
        del request
        return StaticRoutes(list(await self._control.ask(AskStaticRoutes(), tuple[OwnedRoute, ...])))

    async def _put(self, request: web.Request) -> StaticRouteKept:
        body = await read_body(request, StaticRouteBody)
        act = PutStaticRoute(request.match_info["route"], body.endpoints, body.app_id)
        return await self._control.do(act, request[CALLER], StaticRouteKept)

    async def _delete(self, request: web.Request) -> StaticRouteKept:
        act = DeleteStaticRoute(request.match_info["route"])
        return await self._control.do(act, request[CALLER], StaticRouteKept)

    async def _reload(self, request: web.Request) -> Accepted:
        await self._control.do(Reload(), request[CALLER], type(None))
        return Accepted(True)

    async def _drain(self, request: web.Request) -> Accepted:
        await self._control.do(BeginDrain(), request[CALLER], type(None))
        return Accepted(True)

    async def _set_log_level(self, request: web.Request) -> LogLevelSet:
        body = await read_body(request, LogLevelBody)
        return await self._control.do(ChangeLogLevel(body.level, body.seconds), request[CALLER], LogLevelSet)
