"""RouteRegistry: which endpoints serve which route, from registrations (spec 3.3 to 3.6, 3.9 to 3.11).

It is in the control process and is the only writer of routes. The workers get its decisions as table changes.

There may be a hundred thousand routes, and most have one endpoint. So the objects per route are few and small, texts
are packed, and attributes that many endpoints share are kept once. Nothing walks over all routes in one go: such work
is an iterator with small steps, between which the registry may change (see `process/slices.py`).
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from fastrouter._core import route_key
from fastrouter.ipc.route_counters import RouteSlots
from fastrouter.ipc.table_changes import Change, ChangeSink, Drop, Forget, HashRule, Introduce, Put, Remove, SetRoute
from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.balancing import Balancing
from fastrouter.registry.endpoint import (
    APP,
    NO_TAG,
    EndpointFactory,
    ModificationTag,
    RegisteredEndpoint,
    Traits,
)
from fastrouter.registry.freshness import Freshness
from fastrouter.registry.handed_table import HandedEndpoint, HandedRoute
from fastrouter.registry.held_endpoints import HeldEndpoints
from fastrouter.registry.introductions import Introductions
from fastrouter.registry.label_rows import HistogramRows
from fastrouter.registry.registration import Registration
from fastrouter.registry.registration_report import PutResult, RegistrationReport
from fastrouter.registry.route import Member, Route
from fastrouter.registry.routes_page import render_routes
from fastrouter.registry.sharding import Segments, ShardingMode
from fastrouter.registry.sorted_keys import SortedKeys
from fastrouter.registry.succession import hand_over_routes, registration_of

# Routes that are looked at, and endpoints of a route that are pruned, in one step.
_ROUTES_AT_ONCE = 128
_ENDPOINTS_AT_ONCE = 64


class RouteRegistry:
    """All routes of this router.

    `emit` gets each change of the table, in order. `stale_threshold` and `empty_pool_timeout` are seconds; an empty
    route goes at once if the latter is 0, which it must be unless empty routes are to be 503. With `is_current`,
    results, logs and algorithms are those of Gorouters after April 2025 (spec 9.1, 9.2).
    `is_pruning_suspended` says whether the source of registrations is out of reach. Apps get rows of their own in
    histograms if `is_observing_apps`, routes if `is_observing_routes`; `observe_latency` gets the milliseconds between
    the update that an endpoint names and its registration. `on_unregistration` is called with the component of an
    endpoint that a message takes back, `on_number_reused` before an endpoint gets the number that another has had.
    `encode_tags` makes of the tags of an endpoint what the workers put into envelopes. Routes get places for their
    counters from `route_slots`. `clock` returns seconds that never go back.
    """

    def __init__(
        self,
        logger: Logger,
        emit: ChangeSink,
        *,
        stale_threshold: float = 120.0,
        empty_pool_timeout: float = 0.0,
        is_http2_enabled: bool = True,
        balancing_algorithm: str = "round-robin",
        is_current: bool = False,
        sharding_mode: ShardingMode = ShardingMode.ALL,
        isolation_segments: Collection[str] = (),
        is_pruning_suspended: Callable[[], bool] = lambda: False,
        is_observing_apps: bool = False,
        is_observing_routes: bool = False,
        observe_latency: Callable[[float], None] | None = None,
        on_unregistration: Callable[[str], object] = lambda _: None,
        on_number_reused: Callable[[int], object] = lambda _: None,
        route_slots: RouteSlots | None = None,
        encode_tags: Callable[[Mapping[str, str]], bytes] = lambda _: b"",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger.child("registry")
        self._emit = emit
        self._empty_pool_timeout = empty_pool_timeout
        self._is_current = is_current
        self._segments = Segments(sharding_mode, isolation_segments)
        self._route_slots = route_slots
        self._clock = clock

        self._routes: dict[str, Route] = {}
        self._keys = SortedKeys()
        self.balancing = Balancing(self._logger, balancing_algorithm)
        self._endpoints = EndpointFactory(
            stale_threshold,
            is_http2_enabled=is_http2_enabled,
            default_algorithm=balancing_algorithm if is_current else "",
            knows_hash=is_current,
            on_malformed_policy=lambda source: self._logger.error("malformed-route-policy", policy=source),
        )
        self.rows = HistogramRows(logger, is_observing_apps=is_observing_apps, is_observing_routes=is_observing_routes)
        self.report = RegistrationReport(
            self._logger,
            self._endpoints,
            self.rows,
            observe_latency=observe_latency,
            on_unregistration=on_unregistration,
            is_current=is_current,
        )
        self._introductions = Introductions(self._endpoints, self.rows, encode_tags)
        self.held = HeldEndpoints(emit, self._introduction, on_number_reused)
        self._freshness = Freshness(self._logger, clock, is_pruning_suspended)

        self.routes_pruned = 0
        self.routes_registered = 0
        self.routes_unregistered = 0
        self._updated_at: float | None = None

    def __len__(self) -> int:
        """Return the number of routes, empty ones included: `total_routes`."""
        return len(self._routes)

    @property
    def ms_since_last_update(self) -> int:
        """Milliseconds since the last registration of any result, -1 if there was none."""
        return -1 if self._updated_at is None else int((self._clock() - self._updated_at) * 1000)

    def count_endpoints(self) -> int:
        """Count the different addresses over all routes."""
        return self.held.count_addresses()

    def introduction(self, number: int) -> Introduce | None:
        """Return the change that introduces the endpoint that has `number`, if there is one."""
        endpoint = self.held.by_number(number)
        return self._introduction(endpoint) if endpoint is not None else None

    def find(self, key: str) -> Route | None:
        """Return the route with this key."""
        return self._routes.get(key)

    def age(self, member: Member) -> float:
        """Return how many seconds ago `member` was registered."""
        return self._freshness.age(member)

    def app_ids(self, numbers: Iterable[int]) -> Iterator[str]:
        """Yield the app ids of the endpoints that have these numbers, some repeatedly; `""` for those without one."""
        for number in numbers:
            endpoint = self.held.by_number(number)
            yield endpoint.texts()[APP] if endpoint is not None else ""

    def new_endpoint(
        self,
        registration: Registration,
        modification_tag: ModificationTag = NO_TAG,
        hashing: HashRule | None = None,
    ) -> RegisteredEndpoint:
        """Make the endpoint that a registration describes, to be registered under each of its URIs.

        `hashing` is a rule that a registration over the bus cannot have.
        """
        return self._endpoints.new(registration, modification_tag, hashing)

    def register(self, uri: str, endpoint: RegisteredEndpoint) -> None:
        """Put `endpoint` into the route `uri` by the rules of spec 3.4."""
        if not self._is_ours(endpoint):
            return
        now = self._updated_at = self._clock()
        key = route_key(uri)
        route = self._routes.get(key)
        is_new = route is None
        if route is None:
            route = self._new_route(key, uri, now)
            self.routes_registered += 1
            self._logger.info("route-registered", uri=uri if self._is_current else key)
            self._logger.debug("uri-added", uri=key)
        result = self._put(route, endpoint, now)
        if result is not PutResult.UNMODIFIED:
            route.changed_at = now
        if result in (PutResult.ADDED, PutResult.UPDATED):
            self._set_route(key, route, endpoint.traits, is_new=is_new)
        self.report.on_registration(uri, endpoint, result)

    def _new_route(self, key: str, uri: str, changed_at: float) -> Route:
        slot = self._route_slots.take(key) if self._route_slots is not None else 0
        # The key is mostly the URI itself: then it is kept once.
        route = Route(key if key == uri else uri, None, "", "", changed_at, slot)
        self._routes[key] = route
        self._keys.add(key)
        return route

    def unregister(self, uri: str, endpoint: RegisteredEndpoint) -> None:
        """Take the endpoint of the same address off the route `uri` by the rules of spec 3.5."""
        if not self._is_ours(endpoint):
            return
        self.report.on_unregistration(endpoint)
        key = route_key(uri)
        route = self._routes.get(key)
        if route is None:
            if self._is_current:
                self._logger.debug("route-not-unregistered", uri=uri)
            return
        now = self._clock()
        member = route.find(endpoint.address)
        tag = endpoint.traits.modification_tag
        level, message = Level.INFO, "endpoint-unregistered"
        if member is not None and member.endpoint.traits.modification_tag.may_be_removed_by(tag):
            self._remove(route, member, now)
        else:
            level, message = Level.DEBUG if self._is_current else Level.INFO, "endpoint-not-unregistered"
        if self._logger.is_enabled(level):
            self._logger.event(level, message, endpoint.log_fields(key, self._endpoints.texts(endpoint)))
        if self._is_current and message == "endpoint-not-unregistered":
            return
        if route.members is None and self._is_overdue(route, now):
            self._delete(key, route)
            self.routes_unregistered += 1
            self._logger.info("route-unregistered", uri=uri if self._is_current else key)

    def prune_endpoint(self, uri: str, address: str) -> bool:
        """Take off a TLS endpoint that a worker could not reach (spec 3.6); False if it is not there as such any more.

        The route stays until the next prune pass, as after a failure in Gorouter.
        """
        route = self._routes.get(route_key(uri))
        member = route.find(address) if route is not None else None
        if route is None or member is None or not member.endpoint.traits.tls:
            return False
        self._remove(route, member, self._clock())
        return True

    def prune(self) -> Iterator[None]:
        """Run one prune pass: drop stale endpoints and overdue empty routes, unless pruning is suspended (spec 3.6).

        The pass is over when the iterator is exhausted. Members that are registered meanwhile are fresh.
        """
        self._logger.debug("start-pruning-routes")
        if not self._freshness.is_suspended():
            self._freshness.resume()
            yield from self._prune_stale()
        self._logger.debug("finished-pruning-routes")

    def snapshot(self) -> Iterator[Change]:
        """Return the changes that make an empty table equal to this one. The registry must not change meanwhile."""
        introduced = set()
        for key, route in self._routes.items():
            for member in route.all_members():
                endpoint = member.endpoint
                if endpoint.number not in introduced:
                    yield self._introduction(endpoint)
                    if endpoint.uses > 1:
                        introduced.add(endpoint.number)
                yield Put(route.uri, endpoint.number, route.slot)
            yield from self.changes_of_whole(key, route)

    def changes_of_whole(self, key: str, route: Route) -> Iterator[Change]:
        """Return the changes that give a route what it has besides its members."""
        if route.members is None:
            yield from self._empty_route(route)
        latency_row = self.rows.of_route(key)
        if route.route_service_url or route.algorithm or latency_row:
            yield SetRoute(route.uri, route.route_service_url, route.algorithm, latency_row, route.hashing)

    def _empty_route(self, route: Route) -> Iterator[Change]:
        # A route comes into being with its first endpoint, so an empty one gets a placeholder that is removed again.
        number = self.held.next_number
        yield Introduce(number, "", 0, "", "", "", False, "", "", "", "", "")
        yield Put(route.uri, number, route.slot)
        yield Remove(route.uri, ":0")
        yield Forget(number)

    def hand_over(self, failed_ago: Callable[[int], float | None]) -> Iterator[HandedEndpoint | HandedRoute]:
        """Return the registrations for a successor; `failed_ago` returns seconds by the number of an endpoint.

        The registry may change meanwhile: each part of a route is as it is when its turn comes, and the successor
        receives later messages itself.
        """
        return self.registrations(failed_ago)

    def registrations(self, failed_ago: Callable[[int], float | None]) -> Iterator[HandedEndpoint | HandedRoute]:
        """Return what `hand_over` does, but only registrations that have effect."""
        return hand_over_routes(self._registered(), self._clock, self._freshness.age_in_successor, failed_ago)

    def _registered(self) -> Iterator[tuple[Route, list[Member]]]:
        """Yield the routes that apps have made, each when its turn comes, with their members of that moment."""
        for key in list(self._routes):
            if (route := self._routes.get(key)) is not None:
                members = self._registered_members(route)
                if members or route.members is None:
                    yield route, members

    def _registered_members(self, route: Route) -> list[Member]:
        """Return those members of a route that were registered over the bus."""
        return list(route.all_members())

    def new_handed_endpoint(self, handed: HandedEndpoint) -> RegisteredEndpoint:
        """Make the endpoint that was handed over, by this router's options. Raises ValueError."""
        endpoint = self.new_endpoint(registration_of(handed), ModificationTag(handed.tag_guid, handed.tag_index))
        self._endpoints.shorten_threshold(endpoint, handed.stale_threshold)
        return endpoint

    def adopt(self, handed: HandedRoute, members: Iterable[tuple[RegisteredEndpoint, float]]) -> None:
        """Add a route that was handed over, with its endpoints and their ages, to what is here."""
        key = route_key(handed.uri)
        adopted = [(endpoint, age) for endpoint, age in members if self._may_adopt(handed.uri, endpoint)]
        is_empty = not handed.members and self._empty_pool_timeout > 0
        route = self._routes.get(key)
        if not adopted and (not is_empty or route is not None):
            return
        now = self._clock()
        if route is None:
            route = self._new_route(key, handed.uri, now - handed.unchanged_for)
        for endpoint, age in adopted:
            self._put(route, endpoint, now - max(age, 0.0))
        if is_empty:
            for change in self._empty_route(route):
                self._emit(change)
        route.route_service_url = handed.route_service_url
        self.balancing.set(key, route, self.balancing.handed_over(handed.algorithm, handed.hashing))
        latency_row = self.rows.of_route(key)
        if route.route_service_url or route.algorithm or latency_row:
            self._emit(SetRoute(route.uri, route.route_service_url, route.algorithm, latency_row, route.hashing))

    def doubt(self) -> None:
        """From now on endpoints with TLS, too, are pruned unless they are registered again; see Freshness."""
        self._freshness.doubt()

    def _may_adopt(self, uri: str, endpoint: RegisteredEndpoint) -> bool:
        del uri
        return self._is_ours(endpoint)

    def routes_json(self) -> Iterator[bytes]:
        """Render `/routes` in small parts, between which the registry may change."""
        return render_routes(self.walk())

    def walk(self) -> Iterator[tuple[str, Route] | None]:
        """Yield all routes in the order of their keys, and None where a step is over.

        Routes may change, come and go meanwhile: one that is there all the time is met exactly once.
        """
        after = None
        while keys := self._keys.page(after, _ROUTES_AT_ONCE):
            for key in keys:
                if (route := self._routes.get(key)) is not None:
                    yield key, route
            yield None
            after = keys[-1]

    def _is_ours(self, endpoint: RegisteredEndpoint) -> bool:
        return endpoint.traits.isolation_segment in self._segments

    def _put(self, route: Route, endpoint: RegisteredEndpoint, now: float) -> PutResult:
        member = route.find(endpoint.address)
        if member is None:
            self.held.hold(endpoint)
            route.add(Member(endpoint, now))
            self._emit(Put(route.uri, endpoint.number, route.slot))
            return PutResult.ADDED
        known = member.endpoint
        if known is endpoint or known.is_same_as(endpoint):
            member.refreshed_at = now
            return PutResult.REFRESHED if self._is_current else PutResult.UPDATED
        if not known.traits.modification_tag.is_succeeded_by(endpoint.traits.modification_tag):
            return PutResult.UNMODIFIED
        self.held.hold(endpoint)
        member.endpoint = endpoint
        member.refreshed_at = now
        self._emit(Put(route.uri, endpoint.number, route.slot))
        self.held.release(known)
        return PutResult.UPDATED

    def _set_route(self, key: str, route: Route, traits: Traits, *, is_new: bool) -> None:
        """Set the attributes of the route as a whole; the last registration wins."""
        wanted = self.balancing.wanted_of(route, traits)
        is_changed = route.route_service_url != traits.route_service_url or wanted != (route.algorithm, route.hashing)
        if not is_changed and not is_new:
            return
        route.route_service_url = traits.route_service_url
        self.balancing.set(key, route, wanted)
        latency_row = self.rows.of_route(key)
        if is_changed or latency_row:
            self._emit(SetRoute(route.uri, route.route_service_url, wanted.algorithm, latency_row, wanted.hashing))

    def _remove(self, route: Route, member: Member, now: float) -> None:
        endpoint = member.endpoint
        route.remove(endpoint.address)
        route.changed_at = now
        self._emit(Remove(route.uri, endpoint.address))
        self.held.release(endpoint)

    def _delete(self, key: str, route: Route) -> None:
        del self._routes[key]
        self.balancing.forget(key)
        self._keys.remove(key)
        self._emit(Drop(route.uri))
        if self._route_slots is not None:
            self._route_slots.give_back(key, route.slot)

    def _is_overdue(self, route: Route, now: float) -> bool:
        """Whether `route`, which is empty, has lingered long enough."""
        return self._empty_pool_timeout <= 0 or now - route.changed_at > self._empty_pool_timeout

    def _prune_stale(self) -> Iterator[None]:
        now = self._clock()
        for step in self.walk():
            if step is None:
                yield
                if self._freshness.is_suspended():
                    return
                now = self._clock()
                continue
            key, route = step
            if not isinstance(route.members, Member) or self._freshness.is_stale(route.members, now):
                yield from self._prune_route(key, route)

    def _prune_route(self, key: str, route: Route) -> Iterator[None]:
        stale = []
        for count, member in enumerate(tuple(route.all_members()), 1):
            now = self._clock()
            # It may have been removed or registered again since the list was made.
            if self._freshness.is_stale(member, now) and route.find(member.endpoint.address) is member:
                self._remove(route, member, now)
                stale.append(member)
            if count % _ENDPOINTS_AT_ONCE == 0:
                yield
        if route.members is None and self._routes.get(key) is route and self._is_overdue(route, self._clock()):
            self._delete(key, route)
        if stale:
            self.routes_pruned += len(stale)
            self._logger.info(
                "pruned-route",
                uri=key,
                endpoints=[member.endpoint.address for member in stale],
                isolation_segment=stale[0].endpoint.traits.isolation_segment or "-",
            )
            yield

    def _introduction(self, endpoint: RegisteredEndpoint) -> Introduce:
        return self._introductions.of(endpoint, is_draining=self.held.is_draining(endpoint.address))
