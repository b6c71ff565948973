"""RouteRegistry: who serves which route, kept from registrations (spec 3.3 to 3.6, 3.9 to 3.11).

It lives in the control process and is the only writer of routes. What it decides reaches the workers as table changes.

There may be a hundred thousand routes, and most have one endpoint: the objects per route are few and small, texts are
packed, and whatever many endpoints have in common is kept once. Nothing walks over all of them in one go: what has to
is an iterator, whose steps are small and between which the registry may change (slices).
"""

import math
import time
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from fastrouter.ipc.table_changes import Change, ChangeSink, Drop, Forget, Introduce, Put, Remove, SetRoute
from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.handed_table import MEMBERS_AT_ONCE, HandedEndpoint, HandedMember, HandedRoute
from fastrouter.registry.label_rows import LabelRows
from fastrouter.registry.packed_text import pack_texts, unpack_texts
from fastrouter.registry.registration import Options, Registration, refuse_unfit_text
from fastrouter.registry.sorted_keys import SortedKeys

# What a pool may be switched to by `options.loadbalancing`.
ALGORITHMS = frozenset({"round-robin", "least-connection"})

# Values shared by endpoints: a bound keeps a flood of odd registrations from filling the memory for ever.
_MAX_SHARED = 10_000

# Routes that are looked at, and endpoints of a route that are shown or pruned, in one step.
_ROUTES_AT_ONCE = 128
_ENDPOINTS_AT_ONCE = 64
# Bytes in a part of `/routes`.
_SHOWN_AT_ONCE = 16 * 1024

# The texts of an endpoint that come before its tag values, in this order.
_APP, _INSTANCE_ID, _INSTANCE_INDEX, _SAN, _FIXED_TEXTS = range(5)
_UPDATED_AT_SIZE = 8

_MAX_PORT = 65535

T = TypeVar("T", bound=Hashable)


class ShardingMode(StrEnum):
    """Which isolation segments a router serves (spec 3.9)."""

    ALL = "all"
    SEGMENTS = "segments"
    SHARED_AND_SEGMENTS = "shared-and-segments"


class PutResult(StrEnum):
    """What a registration has come to; the label `action` of its metric."""

    ADDED = "added"
    UPDATED = "updated"
    UNMODIFIED = "unmodified"


class ModificationTag(msgspec.Struct, frozen=True, gc=False):
    """The version of a route of the routing API; registrations over NATS carry the empty one."""

    guid: str = ""
    index: int = 0

    def is_succeeded_by(self, new: "ModificationTag") -> bool:
        """Whether `new` may take the place of this one."""
        return not self.guid or not new.guid or self.guid != new.guid or self.index < new.index


NO_TAG = ModificationTag()


class Traits(msgspec.Struct, frozen=True, gc=False):
    """What many endpoints have in common, so that equal ones are kept once. `stale_threshold` is seconds."""

    tls: bool
    protocol: str
    isolation_segment: str
    route_service_url: str
    algorithm: str
    hash_header: str
    hash_balance: float
    stale_threshold: float
    modification_tag: ModificationTag


class RegisteredEndpoint(msgspec.Struct, gc=False, eq=False):
    """One backend as registered: `address` is `host:port`, with the TLS port if it has one.

    Everything but `number` (its name in table changes, valid while `uses`, the count of routes that hold it, is not 0)
    is immutable. `identity` packs the remaining compared attributes: time of update, app, instance, SAN and the values
    of the tags that `tag_names` (sorted, None without tags) names.
    """

    address: str
    identity: bytes
    tag_names: tuple[str, ...] | None
    availability_zone: str
    traits: Traits
    number: int = -1
    uses: int = 0

    def is_same_as(self, other: "RegisteredEndpoint") -> bool:
        """Whether all compared attributes are equal; the availability zone is none of them (spec 3.4)."""
        return (
            self.identity == other.identity
            and self.traits == other.traits
            and self.tag_names == other.tag_names
            and self.address == other.address
        )

    def texts(self) -> list[str]:
        """Unpack app id, instance id, instance index, SAN, and the values of the tags."""
        count = _FIXED_TEXTS + (len(self.tag_names) if self.tag_names is not None else 0)
        return unpack_texts(self.identity[_UPDATED_AT_SIZE:], count)


class Member(msgspec.Struct, gc=False, eq=False):
    """An endpoint in one route, and when it was last registered there, by the registry's clock."""

    endpoint: RegisteredEndpoint
    refreshed_at: float


class Route(msgspec.Struct, gc=False, eq=False):
    """One route: the URI it was first registered by, and its members in order.

    A single member stands for itself; None is a route that lost its members and lingers. `changed_at` is the time of
    its last change, by the registry's clock. `algorithm` is empty as long as no endpoint has asked for one.
    """

    uri: str
    members: Member | dict[str, Member] | None
    route_service_url: str
    algorithm: str
    changed_at: float

    def find(self, address: str) -> Member | None:
        """Return the member at `address`."""
        members = self.members
        if isinstance(members, Member):
            return members if members.endpoint.address == address else None
        return members.get(address) if members else None

    def add(self, member: Member) -> None:
        """Append a member of an address that no other has."""
        members = self.members
        if members is None:
            self.members = member
        elif isinstance(members, Member):
            self.members = {members.endpoint.address: members, member.endpoint.address: member}
        else:
            members[member.endpoint.address] = member

    def remove(self, address: str) -> None:
        """Remove the member at `address`, which must be there."""
        members = self.members
        if not isinstance(members, dict):
            self.members = None
            return
        del members[address]
        if len(members) == 1:
            (self.members,) = members.values()

    def all_members(self) -> Collection[Member]:
        """Return the members in order."""
        members = self.members
        if isinstance(members, Member):
            return (members,)
        return members.values() if members else ()


class _Shown(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """An endpoint in `/routes`: what has a default is left out when it is empty (spec 3.11)."""

    address: str
    availability_zone: str
    protocol: str
    tls: bool
    ttl: int
    route_service_url: str = ""
    tags: dict[str, str] | None
    isolation_segment: str = ""
    private_instance_id: str = ""
    server_cert_domain_san: str = ""
    load_balancing_algorithm: str = ""


# As Go escapes JSON for HTML; the last two are U+2028 and U+2029.
_HTML_ESCAPES = (
    (b"&", b"\\u0026"),
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


_ENCODER = msgspec.json.Encoder()


def _escape(text: bytes) -> bytes:
    for character, escape in _HTML_ESCAPES:
        text = text.replace(character, escape)
    return text


class _Shared(Generic[T]):
    """Returns for equal values the same object."""

    def __init__(self) -> None:
        self._values: dict[T, T] = {}

    def __call__(self, value: T) -> T:
        if len(self._values) >= _MAX_SHARED:
            self._values.clear()
        return self._values.setdefault(value, value)


class RouteRegistry:
    """All routes of this router.

    `emit` gets each change of the table, in order. `stale_threshold` and `empty_pool_timeout` are seconds; an empty
    route goes at once if the latter is 0, which it must be unless empty routes are to be answered with 503.
    `is_pruning_suspended` tells whether the source of registrations is out of reach. Apps get rows of their own in
    histograms if `is_observing_apps`, routes if `is_observing_routes`; `observe_latency` gets the milliseconds between
    the update that an endpoint speaks of and its registration. `on_number_reused` is called before an endpoint gets the
    number that another has had. `clock` returns seconds that never go back.
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
        sharding_mode: ShardingMode = ShardingMode.ALL,
        isolation_segments: Collection[str] = (),
        is_pruning_suspended: Callable[[], bool] = lambda: False,
        is_observing_apps: bool = False,
        is_observing_routes: bool = False,
        observe_latency: Callable[[float], None] | None = None,
        on_number_reused: Callable[[int], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger.child("registry")
        self._emit = emit
        self._stale_threshold = stale_threshold
        self._empty_pool_timeout = empty_pool_timeout
        self._is_http2_enabled = is_http2_enabled
        self._balancing_algorithm = balancing_algorithm
        self._is_every_segment_ours = sharding_mode == ShardingMode.ALL
        self._segments = frozenset(isolation_segments)
        if sharding_mode == ShardingMode.SHARED_AND_SEGMENTS:
            self._segments |= {""}
        self._is_pruning_suspended = is_pruning_suspended
        self._is_observing_apps = is_observing_apps
        self._is_observing_routes = is_observing_routes
        self._observe_latency = observe_latency
        self._on_number_reused = on_number_reused
        self._clock = clock

        self._routes: dict[str, Route] = {}
        self._keys = SortedKeys()
        # How many endpoints that routes hold have an address.
        self._addresses: dict[str, int] = {}
        # Numbers of endpoints: those given back are used first, so that lists of workers stay dense.
        self._next_number = 0
        self._free_numbers: list[int] = []
        self._by_number: list[RegisteredEndpoint | None] = []
        self._share_text: _Shared[str] = _Shared()
        self._share_names: _Shared[tuple[str, ...]] = _Shared()
        self._share_traits: _Shared[Traits] = _Shared()
        # Texts of the endpoint that was made last, which is the one that is logged and introduced next.
        self._last_texts: tuple[RegisteredEndpoint, list[str]] | None = None
        self._was_suspended = False
        # By the clock: whatever was registered before counts as registered then.
        self._all_fresh_at = -math.inf

        # Counters for the metrics of spec 7.4, by (component, action) and by component.
        self.registry_messages: dict[tuple[str, str], int] = {}
        self.unregistry_messages: dict[str, int] = {}
        self.routes_pruned = 0
        self.routes_registered = 0
        self.routes_unregistered = 0
        # Rows of the labels of endpoints, and of routes, in the histograms of the workers.
        self.component_rows = LabelRows(logger, "latency")
        self.source_rows = LabelRows(logger, "http_latency_seconds", unlabelled="gorouter")
        self.route_rows = LabelRows(logger, "fastrouter_route_latency_seconds")
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
        return len(self._addresses)

    def app_ids(self, numbers: Iterable[int]) -> Iterator[str]:
        """Yield the app ids of the endpoints that have these numbers, some repeatedly; `""` for those without one."""
        for number in numbers:
            endpoint = self._by_number[number] if number < len(self._by_number) else None
            yield endpoint.texts()[_APP] if endpoint is not None else ""

    def new_endpoint(
        self, registration: Registration, modification_tag: ModificationTag = NO_TAG
    ) -> RegisteredEndpoint:
        """Make the endpoint that a registration describes, to be registered under each of its URIs."""
        tags = registration.tags
        names = None if tags is None else self._share_names(tuple(sorted(tags)))
        texts = [
            registration.app,
            registration.private_instance_id,
            registration.private_instance_index,
            registration.server_cert_domain_san,
        ]
        if tags:
            texts += [tags[name] for name in names or ()]
        updated_at = registration.endpoint_updated_at_ns.to_bytes(_UPDATED_AT_SIZE, "big", signed=True)
        threshold: float = registration.stale_threshold_in_seconds
        if threshold == 0 or threshold > self._stale_threshold:
            threshold = self._stale_threshold
        protocol = registration.protocol or "http1"
        if protocol == "http2" and not self._is_http2_enabled:
            protocol = "http1"
        options = registration.options
        endpoint = RegisteredEndpoint(
            f"{registration.host}:{registration.tls_port or registration.port}",
            updated_at + pack_texts(texts),
            names,
            self._share_text(registration.availability_zone),
            self._share_traits(
                Traits(
                    registration.tls_port != 0,
                    protocol,
                    registration.isolation_segment,
                    registration.route_service_url,
                    options.loadbalancing,
                    options.hash_header,
                    options.hash_balance,
                    threshold,
                    modification_tag,
                )
            ),
        )
        self._last_texts = (endpoint, texts)
        return endpoint

    def register(self, uri: str, endpoint: RegisteredEndpoint) -> None:
        """Put `endpoint` into the route `uri` by the rules of spec 3.4."""
        if not self._is_ours(endpoint):
            return
        now = self._updated_at = self._clock()
        key = route_key(uri)
        route = self._routes.get(key)
        is_new = route is None
        if route is None:
            # The key is mostly the URI itself: then it is kept once.
            route = Route(key if key == uri else uri, None, "", "", now)
            self._routes[key] = route
            self._keys.add(key)
            self.routes_registered += 1
            self._logger.info("route-registered", uri=key)
            self._logger.debug("uri-added", uri=key)
        result = self._put(route, endpoint, now)
        if result is not PutResult.UNMODIFIED:
            route.changed_at = now
            self._set_route(key, route, endpoint.traits, is_new=is_new)
        if result is PutResult.ADDED and self._observe_latency is not None:
            self._observe_latency_of(endpoint, self._observe_latency)
        label = (self._counted_component(endpoint), result.value)
        self.registry_messages[label] = self.registry_messages.get(label, 0) + 1
        self._log_registration(uri, endpoint, result)

    def unregister(self, uri: str, endpoint: RegisteredEndpoint) -> None:
        """Take the endpoint of the same address off the route `uri` by the rules of spec 3.5."""
        if not self._is_ours(endpoint):
            return
        component = self._counted_component(endpoint)
        self.unregistry_messages[component] = self.unregistry_messages.get(component, 0) + 1
        key = route_key(uri)
        route = self._routes.get(key)
        if route is None:
            return
        now = self._clock()
        member = route.find(endpoint.address)
        if member is not None and _may_remove(
            member.endpoint.traits.modification_tag, endpoint.traits.modification_tag
        ):
            self._remove(route, member, now)
            message = "endpoint-unregistered"
        else:
            message = "endpoint-not-unregistered"
        self._logger.info(message, **self._log_data(key, endpoint))
        if route.members is None and self._is_overdue(route, now):
            self._delete(key, route)
            self.routes_unregistered += 1
            self._logger.info("route-unregistered", uri=key)

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

        It is over when the iterator is exhausted. What is registered in between is fresh.
        """
        self._logger.debug("start-pruning-routes")
        if not self._suspend_pruning():
            if self._was_suspended:
                self._was_suspended = False
                self._logger.debug("prune-unsuspended-refresh-routes-start")
                self._all_fresh_at = self._clock()
                self._logger.debug("prune-unsuspended-refresh-routes-complete")
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
                yield Put(route.uri, endpoint.number)
            if route.members is None:
                yield from self._empty_route(route.uri)
            latency_row = self._latency_row(key)
            if route.route_service_url or route.algorithm or latency_row:
                yield SetRoute(route.uri, route.route_service_url, route.algorithm, latency_row)

    def _empty_route(self, uri: str) -> Iterator[Change]:
        # A route is made by its first endpoint, so an empty one is made by losing a placeholder.
        yield Introduce(self._next_number, "", 0, "", "", "", False, "", "", "", "", "")
        yield Put(uri, self._next_number)
        yield Remove(uri, ":0")
        yield Forget(self._next_number)

    def hand_over(self, failed_ago: Callable[[int], float | None]) -> Iterator[HandedEndpoint | HandedRoute]:
        """Return the registrations for a successor; `failed_ago` tells seconds by the number of an endpoint.

        The registry may change meanwhile: each part of a route is as it is when its turn comes, and of what comes later
        the successor hears, too.
        """
        # By identity, and kept: an endpoint that goes meanwhile must not lend its place to another.
        numbers: dict[RegisteredEndpoint, int] = {}
        count = 0
        for key in list(self._routes):
            route = self._routes.get(key)
            if route is None:
                continue
            members = self._registered_members(route)
            if not members and route.members is not None:
                continue
            for start in range(0, max(len(members), 1), MEMBERS_AT_ONCE):
                now = self._clock()
                # While nobody could register, nobody ages: afterwards all are taken for fresh.
                is_ageless = self._was_suspended or self._is_pruning_suspended()
                handed = []
                for member in members[start : start + MEMBERS_AT_ONCE]:
                    endpoint = member.endpoint
                    if endpoint.uses == 0:
                        # Gone since its route had its turn.
                        continue
                    number = numbers.get(endpoint)
                    if number is None:
                        number = count
                        count += 1
                        if endpoint.uses > 1:
                            numbers[endpoint] = number
                        yield self._handed_endpoint(number, endpoint, failed_ago(endpoint.number))
                    refreshed_at = max(member.refreshed_at, self._all_fresh_at)
                    handed.append(HandedMember(number, 0.0 if is_ageless else now - refreshed_at))
                yield HandedRoute(
                    route.uri, tuple(handed), route.route_service_url, route.algorithm, now - route.changed_at
                )

    def _registered_members(self, route: Route) -> list[Member]:
        """Return those members of a route that were registered over the bus."""
        return list(route.all_members())

    def _handed_endpoint(self, number: int, endpoint: RegisteredEndpoint, failed_ago: float | None) -> HandedEndpoint:
        host, _, port = endpoint.address.rpartition(":")
        texts = endpoint.texts()
        traits = endpoint.traits
        return HandedEndpoint(
            number=number,
            host=host,
            port=int(port),
            tls=traits.tls,
            app_id=texts[_APP],
            instance_id=texts[_INSTANCE_ID],
            instance_index=texts[_INSTANCE_INDEX],
            server_cert_domain_san=texts[_SAN],
            tags=_tags(endpoint, texts),
            availability_zone=endpoint.availability_zone,
            protocol=traits.protocol,
            isolation_segment=traits.isolation_segment,
            route_service_url=traits.route_service_url,
            algorithm=traits.algorithm,
            hash_header=traits.hash_header,
            hash_balance=traits.hash_balance,
            updated_at_ns=int.from_bytes(endpoint.identity[:_UPDATED_AT_SIZE], "big", signed=True),
            stale_threshold=traits.stale_threshold,
            tag_guid=traits.modification_tag.guid,
            tag_index=traits.modification_tag.index,
            failed_ago=failed_ago,
        )

    def new_handed_endpoint(self, handed: HandedEndpoint) -> RegisteredEndpoint:
        """Make the endpoint that was handed over, as this router's options would have it. Raises ValueError."""
        if not 0 <= handed.port <= _MAX_PORT:
            raise ValueError(f"{handed.port} is no port")
        registration = Registration(
            host=handed.host,
            port=0 if handed.tls else handed.port,
            tls_port=handed.port if handed.tls else 0,
            app=handed.app_id,
            private_instance_id=handed.instance_id,
            private_instance_index=handed.instance_index,
            tags=handed.tags,
            route_service_url=handed.route_service_url,
            server_cert_domain_san=handed.server_cert_domain_san,
            isolation_segment=handed.isolation_segment,
            endpoint_updated_at_ns=handed.updated_at_ns,
            protocol=handed.protocol,
            availability_zone=handed.availability_zone,
            options=Options(handed.algorithm, handed.hash_header, handed.hash_balance),
        )
        refuse_unfit_text(registration)
        endpoint = self.new_endpoint(registration, ModificationTag(handed.tag_guid, handed.tag_index))
        if handed.stale_threshold < endpoint.traits.stale_threshold:
            endpoint.traits = self._share_traits(
                msgspec.structs.replace(endpoint.traits, stale_threshold=handed.stale_threshold)
            )
        return endpoint

    def adopt(self, handed: HandedRoute, members: Iterable[tuple[RegisteredEndpoint, float]]) -> None:
        """Take a route over, with its endpoints and their ages, beside what is here."""
        key = route_key(handed.uri)
        adopted = [(endpoint, age) for endpoint, age in members if self._may_adopt(handed.uri, endpoint)]
        is_empty = not handed.members and self._empty_pool_timeout > 0
        route = self._routes.get(key)
        if not adopted and (not is_empty or route is not None):
            return
        now = self._clock()
        if route is None:
            route = Route(key if key == handed.uri else handed.uri, None, "", "", now - handed.unchanged_for)
            self._routes[key] = route
            self._keys.add(key)
        for endpoint, age in adopted:
            self._put(route, endpoint, now - max(age, 0.0))
        if is_empty:
            for change in self._empty_route(route.uri):
                self._emit(change)
        route.route_service_url = handed.route_service_url
        route.algorithm = handed.algorithm if handed.algorithm in ALGORITHMS else ""
        latency_row = self._latency_row(key)
        if route.route_service_url or route.algorithm or latency_row:
            self._emit(SetRoute(route.uri, route.route_service_url, route.algorithm, latency_row))

    def _may_adopt(self, uri: str, endpoint: RegisteredEndpoint) -> bool:
        del uri
        return self._is_ours(endpoint)

    def routes_json(self) -> Iterator[bytes]:
        """Render `/routes` byte for byte as Gorouter does (spec 3.11), in small parts.

        The registry may change between them: each route is shown as it is when its turn comes, if it is there then.
        """
        part = bytearray(b"{")
        separator = b""
        for step in self._walk():
            if step is None:
                # A part without anything has taken its time, too.
                yield bytes(part)
                part.clear()
                continue
            key, route = step
            part += separator + _escape(_ENCODER.encode(key)) + b":["
            separator = b","
            endpoints = [member.endpoint for member in route.all_members()]
            for start in range(0, len(endpoints), _ENDPOINTS_AT_ONCE):
                shown = [_show(endpoint) for endpoint in endpoints[start : start + _ENDPOINTS_AT_ONCE]]
                # Without the brackets: the list goes on.
                part += b"," * (start > 0) + _escape(_ENCODER.encode(shown)[1:-1])
                if len(part) >= _SHOWN_AT_ONCE:
                    yield bytes(part)
                    part.clear()
            part += b"]"
        yield bytes(part + b"}\n")

    def _walk(self) -> Iterator[tuple[str, Route] | None]:
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
        return self._is_every_segment_ours or endpoint.traits.isolation_segment in self._segments

    def _put(self, route: Route, endpoint: RegisteredEndpoint, now: float) -> PutResult:
        member = route.find(endpoint.address)
        if member is None:
            self._hold(endpoint)
            route.add(Member(endpoint, now))
            self._emit(Put(route.uri, endpoint.number))
            return PutResult.ADDED
        known = member.endpoint
        if known is endpoint or known.is_same_as(endpoint):
            member.refreshed_at = now
            return PutResult.UPDATED
        if not known.traits.modification_tag.is_succeeded_by(endpoint.traits.modification_tag):
            return PutResult.UNMODIFIED
        self._hold(endpoint)
        member.endpoint = endpoint
        member.refreshed_at = now
        self._emit(Put(route.uri, endpoint.number))
        self._release(known)
        return PutResult.UPDATED

    def _latency_row(self, key: str) -> int:
        """Return the row of the route in the histogram by route; one that had a row gets it again."""
        return self.route_rows.row(key) if self._is_observing_routes else 0

    def _set_route(self, key: str, route: Route, traits: Traits, *, is_new: bool) -> None:
        """Let the last writer decide what belongs to the route as a whole."""
        algorithm = traits.algorithm or route.algorithm
        before = route.algorithm or self._balancing_algorithm
        if traits.algorithm and traits.algorithm not in ALGORITHMS:
            algorithm = route.algorithm
            self._logger.error(
                "invalid-endpoint-load-balancing-algorithm-provided-keeping-pool-lb-algo",
                endpointLBAlgorithm=traits.algorithm,
                poolLBAlgorithm=before,
            )
        elif traits.algorithm and traits.algorithm != before:
            # Gorouter names the new one twice.
            self._logger.debug(
                "setting-pool-load-balancing-algorithm-to-that-of-an-endpoint",
                endpointLBAlgorithm=algorithm,
                poolLBAlgorithm=algorithm,
            )
        is_changed = route.route_service_url != traits.route_service_url or route.algorithm != algorithm
        if not is_changed and not is_new:
            return
        route.route_service_url = traits.route_service_url
        route.algorithm = algorithm
        latency_row = self._latency_row(key)
        if is_changed or latency_row:
            self._emit(SetRoute(route.uri, route.route_service_url, algorithm, latency_row))

    def _hold(self, endpoint: RegisteredEndpoint) -> None:
        """Count one more route that holds `endpoint`; the first introduces it to the workers."""
        if endpoint.uses == 0:
            if self._free_numbers:
                endpoint.number = self._free_numbers.pop()
                self._on_number_reused(endpoint.number)
            else:
                endpoint.number = self._next_number
                self._next_number += 1
                self._by_number.append(None)
            self._by_number[endpoint.number] = endpoint
            self._addresses[endpoint.address] = self._addresses.get(endpoint.address, 0) + 1
            self._emit(self._introduction(endpoint))
        endpoint.uses += 1

    def _release(self, endpoint: RegisteredEndpoint) -> None:
        endpoint.uses -= 1
        if endpoint.uses == 0:
            self._by_number[endpoint.number] = None
            self._free_numbers.append(endpoint.number)
            if self._addresses[endpoint.address] == 1:
                del self._addresses[endpoint.address]
            else:
                self._addresses[endpoint.address] -= 1
            self._emit(Forget(endpoint.number))

    def _remove(self, route: Route, member: Member, now: float) -> None:
        endpoint = member.endpoint
        route.remove(endpoint.address)
        route.changed_at = now
        self._emit(Remove(route.uri, endpoint.address))
        self._release(endpoint)

    def _delete(self, key: str, route: Route) -> None:
        del self._routes[key]
        self._keys.remove(key)
        self._emit(Drop(route.uri))

    def _is_overdue(self, route: Route, now: float) -> bool:
        """Whether `route`, which is empty, has lingered long enough."""
        return self._empty_pool_timeout <= 0 or now - route.changed_at > self._empty_pool_timeout

    def _suspend_pruning(self) -> bool:
        """Tell whether pruning is suspended, and remember that it was."""
        if not self._is_pruning_suspended():
            return False
        self._logger.info("prune-suspended")
        self._was_suspended = True
        return True

    def _prune_stale(self) -> Iterator[None]:
        now = self._clock()
        for step in self._walk():
            if step is None:
                yield
                if self._suspend_pruning():
                    return
                now = self._clock()
                continue
            key, route = step
            if not isinstance(route.members, Member) or self._is_stale(route.members, now):
                yield from self._prune_route(key, route)

    def _prune_route(self, key: str, route: Route) -> Iterator[None]:
        stale = []
        for count, member in enumerate(tuple(route.all_members()), 1):
            now = self._clock()
            # It may have gone, or been registered anew, since the list was made.
            if self._is_stale(member, now) and route.find(member.endpoint.address) is member:
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

    def _is_stale(self, member: Member, now: float) -> bool:
        # A TLS endpoint cannot be mistaken for another app that took over its address: its certificate tells
        # (spec 3.6).
        traits = member.endpoint.traits
        return not traits.tls and now - max(member.refreshed_at, self._all_fresh_at) > traits.stale_threshold

    def _texts(self, endpoint: RegisteredEndpoint) -> list[str]:
        if self._last_texts is not None and self._last_texts[0] is endpoint:
            return self._last_texts[1]
        return endpoint.texts()

    def _introduction(self, endpoint: RegisteredEndpoint) -> Introduce:
        host, _, port = endpoint.address.rpartition(":")
        texts = self._texts(endpoint)
        tags = _tags(endpoint, texts) or {}
        component = tags.get("component", "")
        return Introduce(
            endpoint.number,
            host,
            int(port),
            texts[_APP],
            texts[_INSTANCE_ID],
            texts[_INSTANCE_INDEX],
            endpoint.traits.tls,
            texts[_SAN],
            endpoint.traits.protocol,
            endpoint.availability_zone,
            tags.get("process_id", ""),
            component,
            self.component_rows.row(component),
            self.source_rows.row(tags.get("source_id", "")) if self._is_observing_apps else 0,
        )

    def _component(self, endpoint: RegisteredEndpoint) -> str:
        names = endpoint.tag_names
        if not names or "component" not in names:
            return ""
        return self._texts(endpoint)[_FIXED_TEXTS + names.index("component")]

    def _counted_component(self, endpoint: RegisteredEndpoint) -> str:
        """Return the component as a label of counters, of which there are only so many."""
        component = self._component(endpoint)
        return component if self.component_rows.row(component) else ""

    def _observe_latency_of(self, endpoint: RegisteredEndpoint, observe: Callable[[float], None]) -> None:
        """Count how long it took from the update that an endpoint speaks of to its registration here."""
        updated_at_ns = int.from_bytes(endpoint.identity[:_UPDATED_AT_SIZE], "big", signed=True)
        if updated_at_ns != 0:
            observe((time.time_ns() - updated_at_ns) / 1e6)

    def _log_registration(self, uri: str, endpoint: RegisteredEndpoint, result: PutResult) -> None:
        level = Level.INFO if result is PutResult.ADDED else Level.DEBUG
        if self._logger.is_enabled(level):
            message = "endpoint-not-registered" if result is PutResult.UNMODIFIED else "endpoint-registered"
            self._logger.event(level, message, self._log_data(uri.removesuffix("/"), endpoint))

    def _log_data(self, uri: str, endpoint: RegisteredEndpoint) -> dict[str, object]:
        texts = self._texts(endpoint)
        traits = endpoint.traits
        return {
            "uri": uri,
            "route_service_url": traits.route_service_url,
            "backend": endpoint.address,
            "application_id": texts[_APP],
            "instance_id": texts[_INSTANCE_ID],
            "server_cert_domain_san": texts[_SAN],
            "protocol": traits.protocol,
            "modification_tag": {"guid": traits.modification_tag.guid, "index": traits.modification_tag.index},
            "isolation_segment": traits.isolation_segment or "-",
            "isTLS": traits.tls,
        }


class Adoption:
    """Takes into `registry` what a router hands over to this one.

    `mark` gets the number of each endpoint that has failed, and how many seconds ago.
    """

    def __init__(self, registry: RouteRegistry, mark: Callable[[int, float], object]) -> None:
        self._registry = registry
        self._mark = mark
        self._endpoints: dict[int, RegisteredEndpoint] = {}
        self._failed_ago: dict[int, float] = {}

    def take(self, handed: HandedEndpoint | HandedRoute) -> None:
        """Take the next part. Raises ValueError for what no registration could have brought."""
        match handed:
            case HandedEndpoint(number):
                self._endpoints[number] = self._registry.new_handed_endpoint(handed)
                if handed.failed_ago is not None:
                    self._failed_ago[number] = handed.failed_ago
            case HandedRoute(_, members):
                numbers = [member.number for member in members]
                if unknown := [number for number in numbers if number not in self._endpoints]:
                    raise ValueError(f"endpoint {unknown[0]} was not introduced")
                self._registry.adopt(handed, [(self._endpoints[member.number], member.age) for member in members])
                for number in numbers:
                    endpoint, ago = self._endpoints[number], self._failed_ago.get(number)
                    if ago is not None and endpoint.uses > 0:
                        self._mark(endpoint.number, ago)


def route_key(uri: str) -> str:
    """Return the key of a registered URI: lower case, no query, no outer slashes (spec 3.3)."""
    return uri.removesuffix("/").lower().partition("?")[0].removesuffix("/").removeprefix("/")


def _may_remove(stored: ModificationTag, new: ModificationTag) -> bool:
    return stored == new or stored.is_succeeded_by(new)


def _tags(endpoint: RegisteredEndpoint, texts: list[str]) -> dict[str, str] | None:
    """Return the tags, sorted by name, out of the `texts` of `endpoint`; None if the registration had none."""
    if endpoint.tag_names is None:
        return None
    return dict(zip(endpoint.tag_names, texts[_FIXED_TEXTS:], strict=True))


def _show(endpoint: RegisteredEndpoint) -> _Shown:
    texts = endpoint.texts()
    traits = endpoint.traits
    return _Shown(
        address=endpoint.address,
        availability_zone=endpoint.availability_zone,
        protocol=traits.protocol,
        tls=traits.tls,
        ttl=int(traits.stale_threshold),
        route_service_url=traits.route_service_url,
        tags=_tags(endpoint, texts),
        isolation_segment=traits.isolation_segment,
        private_instance_id=texts[_INSTANCE_ID],
        server_cert_domain_san=texts[_SAN],
        load_balancing_algorithm=traits.algorithm,
    )
