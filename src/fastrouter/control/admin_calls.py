"""What the control process answers and does for the admin process. Everything is validated here once more (ADR 18)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fastrouter.bus.bus import Bus
from fastrouter.control.certificate_sources import certificate_sources
from fastrouter.control.log_level import TimedLogLevel
from fastrouter.control.options import RouterOptions
from fastrouter.control.reload import Reload as Reloading
from fastrouter.control.static_route_sources import StaticRouteSources, StaticRouteSourcesError
from fastrouter.control.workers import Workers
from fastrouter.ipc.admin_messages import (
    Act,
    AskCertificates,
    AskMembers,
    AskState,
    AskStaticRoutes,
    BeginDrain,
    CertificateSource,
    ChangeLogLevel,
    DeleteStaticRoute,
    LogLevelSet,
    MemberFacts,
    NatsFacts,
    OwnedRoute,
    PutStaticRoute,
    Question,
    Reload,
    RouterState,
    SetEndpointState,
    StaticRouteKept,
)
from fastrouter.logs.logger import LEVELS, Logger, parse_level
from fastrouter.observe.health import Health
from fastrouter.registry.route import Member
from fastrouter.registry.static_registry import NEVER, StaticRouteRegistry

# Endpoints of a route that are told of; there is one route in thousands that has more.
_MAX_MEMBERS = 1000


class CallRefusedError(Exception):
    """A call that is not done; `status` is that of HTTP which fits, the text is for the caller."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


Phase = Literal["starting", "serving", "draining", "stopping"]


@dataclass(frozen=True, kw_only=True)
class RouterParts:
    """The parts of a router that calls are about, and what only the router itself knows or can begin."""

    options: RouterOptions
    health: Health
    registry: StaticRouteRegistry
    workers: Workers
    reloading: Reloading
    static_routes: StaticRouteSources
    log_level: TimedLogLevel
    bus: Callable[[], Bus | None]
    phase: Callable[[], Phase]
    has_successor: Callable[[], bool]
    begin_drain: Callable[[], None]


class AdminCalls:
    """Answers questions at once; acts may take some turns of the loop, and are logged with the name of who asked."""

    def __init__(self, parts: RouterParts, logger: Logger) -> None:
        self._parts = parts
        self._logger = logger.child("admin")

    def answer(self, question: Question) -> object:
        """Answer a question. Raises CallRefusedError."""
        match question:
            case AskState():
                return self._state()
            case AskMembers(route):
                return self._members(route)
            case AskCertificates():
                return self._certificates()
            case AskStaticRoutes():
                return self._static_routes()

    async def act(self, act: Act, by: str) -> object:
        """Do an act, and return what there is to say about it. Raises CallRefusedError."""
        try:
            result = await self._do(act)
        except CallRefusedError as error:
            self._logger.warn("admin-act-refused", act=_name_of(act), by=by, error=str(error), **_data_of(act))
            raise
        self._logger.info("admin-act", act=_name_of(act), by=by, **_data_of(act))
        return result

    async def _do(self, act: Act) -> object:
        match act:
            case SetEndpointState(address, is_draining):
                return await self._set_endpoint_state(address, is_draining=is_draining)
            case PutStaticRoute():
                return await self._change_static_routes(self._parts.static_routes.put, act)
            case DeleteStaticRoute(route):
                return await self._change_static_routes(self._parts.static_routes.delete, route)
            case Reload():
                self._reload()
                return None
            case BeginDrain():
                self._begin_drain()
                return None
            case ChangeLogLevel(level, seconds):
                return self._change_log_level(level, seconds)

    def _state(self) -> RouterState:
        parts = self._parts
        registry = parts.registry
        since = registry.ms_since_last_update
        return RouterState(
            state=parts.phase(),
            healthy=parts.health.is_healthy,
            log_level=parts.log_level.level.name.lower(),
            log_level_until=parts.log_level.until,
            has_successor=parts.has_successor(),
            nats=self._nats(),
            workers=parts.workers.facts(),
            registrations=sum(registry.report.registrations.values()),
            unregistrations=sum(registry.report.unregistrations.values()),
            pruned=registry.routes_pruned,
            ms_since_last_registration=since if since >= 0 else None,
        )

    def _nats(self) -> NatsFacts | None:
        bus = self._parts.bus()
        options = self._parts.options.bus
        if bus is None or options is None:
            return None
        pending, dropped = bus.message_counts()
        return NatsFacts(
            bus.is_connected,
            bus.server if bus.is_connected else "",
            tuple(map(str, options.servers)),
            pending,
            dropped,
            bus.is_pruning_suspended,
        )

    def _members(self, key: str) -> list[MemberFacts]:
        route = self._parts.registry.find(key)
        if route is None:
            raise CallRefusedError(404, f"there is no route {key}")
        return [self._member(member) for member in list(route.all_members())[:_MAX_MEMBERS]]

    def _member(self, member: Member) -> MemberFacts:
        endpoint = member.endpoint
        traits = endpoint.traits
        tag = traits.modification_tag
        is_static = traits.stale_threshold == NEVER
        return MemberFacts(
            address=endpoint.address,
            origin="static" if is_static else "registered",
            age=self._parts.registry.age(member),
            # TLS endpoints are known by their certificates, so age does not matter (spec 3.6).
            ttl=None if is_static or traits.tls else traits.stale_threshold,
            tags=endpoint.tags(endpoint.texts()) or {},
            isolation_segment=traits.isolation_segment,
            modification_tag=f"{tag.guid}:{tag.index}" if tag.guid else "",
        )

    def _certificates(self) -> list[CertificateSource]:
        return certificate_sources(self._parts.options, self._parts.workers.front_tls)

    def _static_routes(self) -> list[OwnedRoute]:
        return self._parts.static_routes.owned()

    async def _set_endpoint_state(self, address: str, *, is_draining: bool) -> int:
        count = self._parts.registry.held.set_draining(address, is_draining=is_draining)
        if not count:
            raise CallRefusedError(404, f"there is no endpoint {address}")
        # What comes after the answer is to find it so.
        await self._parts.workers.until_applied()
        return count

    async def _change_static_routes(self, change: Callable[..., object], argument: object) -> StaticRouteKept:
        if self._parts.has_successor() or self._parts.phase() != "serving":
            raise CallRefusedError(409, "static routes are changed at a router that serves, and has no successor yet")
        try:
            kept: StaticRouteKept = await change(argument)  # type: ignore[misc]
        except StaticRouteSourcesError as error:
            raise CallRefusedError(error.status, str(error)) from error
        await self._parts.workers.until_applied()
        return kept

    def _reload(self) -> None:
        if self._parts.phase() != "serving":
            raise CallRefusedError(409, f"a router that is {self._parts.phase()} does not read its files again")
        self._parts.reloading.begin()

    def _begin_drain(self) -> None:
        if self._parts.phase() != "serving":
            raise CallRefusedError(409, f"the router is {self._parts.phase()}")
        # When the answer is on its way.
        asyncio.get_running_loop().call_soon(self._parts.begin_drain)

    def _change_log_level(self, name: str, seconds: float) -> LogLevelSet:
        level = parse_level(name)
        if level is None:
            raise CallRefusedError(422, f"{name} is no level: {', '.join(LEVELS)}")
        self._parts.log_level.set(level, seconds)
        return LogLevelSet(level.name.lower(), self._parts.log_level.until)


def _name_of(act: Act) -> str:
    return str(type(act).__struct_config__.tag)


def _data_of(act: Act) -> dict[str, object]:
    return {name: getattr(act, name) for name in act.__struct_fields__}
