"""A RouteRegistry with a static part: routes that the operator has given, beside those that apps register."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from fastrouter._core import route_key
from fastrouter.net.address import parse_backend_address
from fastrouter.process.slices import Pace
from fastrouter.registry.endpoint import RegisteredEndpoint, Traits
from fastrouter.registry.handed_table import HandedEndpoint, HandedMember, HandedRoute
from fastrouter.registry.registration import Options, Registration
from fastrouter.registry.route import Member, Route
from fastrouter.registry.route_policies import ORGANIZATION_TAG, SPACE_TAG
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.registry.static_routes import StaticBalancing, StaticEndpoint, StaticOwnership, StaticRoute
from fastrouter.registry.succession import handed_endpoint

# Seconds after which a static endpoint is stale, which is never.
NEVER = 1_000_000_000.0


class _Place(msgspec.Struct, frozen=True, gc=False):
    """One endpoint of one route: the key of the route, and `host:port`."""

    key: str
    address: str


class _Static(msgspec.Struct, frozen=True, gc=False):
    uri: str
    endpoint: RegisteredEndpoint


def _identity(endpoint: RegisteredEndpoint) -> tuple[str, bytes, tuple[str, ...] | None, Traits]:
    """Return the attributes in which static endpoints can differ."""
    return endpoint.address, endpoint.identity, endpoint.tag_names, endpoint.traits


class StaticRouteRegistry(RouteRegistry):
    """Registrations, and static routes that never age.

    Where both name the same address for the same route, the static one is in force; the registration waits until there
    is no static one any more.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._static: dict[_Place, _Static] = {}
        # A start and a reload may want to replace them at the same time.
        self._replacing = asyncio.Lock()
        # Registrations with a static endpoint in their place.
        self._waiting: dict[_Place, _Static] = {}

    async def replace_static(self, routes: Iterable[StaticRoute]) -> tuple[int, int]:
        """Make `routes` the static part; returns how many endpoints of routes were added or changed, and removed.

        It takes many turns of the loop; each endpoint is replaced in one step. New endpoints are added before old ones
        are removed, so that a route that stays is never without an endpoint.
        """
        async with self._replacing:
            pace = Pace()
            # Only this function changes the static part, one call at a time.
            known = {}
            for static in self._static.values():
                known[_identity(static.endpoint)] = static.endpoint
                await pace.keep()
            wanted: dict[_Place, _Static] = {}
            made: dict[tuple[StaticOwnership, StaticBalancing, StaticEndpoint], RegisteredEndpoint] = {}
            for route in routes:
                ownership, balancing = route.ownership, route.balancing
                for given in route.endpoints:
                    endpoint = made.get((ownership, balancing, given))
                    if endpoint is None:
                        endpoint = self._new_static_endpoint(ownership, balancing, given)
                        # An unchanged endpoint stays the same object, so that workers keep its connections.
                        endpoint = known.get(_identity(endpoint), endpoint)
                        made[ownership, balancing, given] = endpoint
                    wanted[_Place(route_key(route.route), endpoint.address)] = _Static(route.route, endpoint)
                    await pace.keep()
            changed = 0
            for place, static in wanted.items():
                if self._static.get(place) != static:
                    changed += 1
                    self._put_static(place, static)
                await pace.keep()
            removed = 0
            for place in list(self._static):
                if place not in wanted:
                    removed += 1
                    self._take_static(place)
                await pace.keep()
            return changed, removed

    def _put_static(self, place: _Place, static: _Static) -> None:
        if place not in self._static:
            self._set_aside(place)
        self._static[place] = static
        super().register(static.uri, static.endpoint)

    def _take_static(self, place: _Place) -> None:
        static = self._static.pop(place)
        super().unregister(static.uri, static.endpoint)
        if (waiting := self._waiting.pop(place, None)) is not None:
            super().register(waiting.uri, waiting.endpoint)

    def register(self, uri: str, endpoint: RegisteredEndpoint) -> None:
        """Put `endpoint` into the route `uri`, or have it wait for a static one to go."""
        if self._static and (place := _Place(route_key(uri), endpoint.address)) in self._static:
            if self._is_ours(endpoint):
                self._waiting[place] = _Static(uri, endpoint)
            return
        super().register(uri, endpoint)

    def unregister(self, uri: str, endpoint: RegisteredEndpoint) -> None:
        """Take the endpoint off the route `uri`, unless a static one is in its place."""
        if self._static and (place := _Place(route_key(uri), endpoint.address)) in self._static:
            if self._is_ours(endpoint):
                self._waiting.pop(place, None)
            return
        super().unregister(uri, endpoint)

    def hand_over(self, failed_ago: Callable[[int], float | None]) -> Iterator[HandedEndpoint | HandedRoute]:
        """Return the registrations for a successor, which has static routes of its own; see RouteRegistry."""
        count = 0
        for handed in super().hand_over(failed_ago):
            if isinstance(handed, HandedEndpoint):
                count = handed.number + 1
            yield handed
        for number, waiting in enumerate(list(self._waiting.values()), count):
            yield handed_endpoint(number, waiting.endpoint, None)
            # The time of its registration is unknown.
            yield HandedRoute(waiting.uri, (HandedMember(number, 0.0),), waiting.endpoint.traits.route_service_url)

    def _registered_members(self, route: Route) -> list[Member]:
        return [member for member in route.all_members() if member.endpoint.traits.stale_threshold != NEVER]

    def _may_adopt(self, uri: str, endpoint: RegisteredEndpoint) -> bool:
        if not super()._may_adopt(uri, endpoint):
            return False
        place = _Place(route_key(uri), endpoint.address)
        if place in self._static:
            self._waiting[place] = _Static(uri, endpoint)
            return False
        return True

    def _set_aside(self, place: _Place) -> None:
        """Remember the registration that a static endpoint is about to replace."""
        route = self._routes.get(place.key)
        member = route.find(place.address) if route is not None else None
        if route is not None and member is not None:
            self._waiting[place] = _Static(route.uri, member.endpoint)

    def _is_ours(self, endpoint: RegisteredEndpoint) -> bool:
        return endpoint.traits.stale_threshold == NEVER or super()._is_ours(endpoint)

    def _new_static_endpoint(
        self, ownership: StaticOwnership, balancing: StaticBalancing, given: StaticEndpoint
    ) -> RegisteredEndpoint:
        owners = {ORGANIZATION_TAG: ownership.organization_id, SPACE_TAG: ownership.space_id}
        host, _, _ = str(parse_backend_address(given.address)).rpartition(":")
        port = parse_backend_address(given.address).port
        endpoint = self.new_endpoint(
            Registration(
                host=host,
                port=0 if given.tls else port,
                tls_port=port if given.tls else 0,
                server_cert_domain_san=given.server_cert_domain_san,
                app=ownership.app_id,
                tags={tag: guid for tag, guid in owners.items() if guid} or None,
                private_instance_id=given.instance_id,
                private_instance_index=given.index,
                protocol=given.protocol,
                # By name, so that a route goes back to the router's own when the file no longer has another.
                options=Options(
                    balancing.algorithm or self.balancing.algorithm,
                    route_policy_scope=ownership.policy_scope,
                    route_policy_sources=",".join(ownership.policy_sources),
                ),
            ),
            hashing=balancing.hashing,
        )
        endpoint.traits = msgspec.structs.replace(endpoint.traits, stale_threshold=NEVER)
        return endpoint
