"""`/v1/routes`: the routing table, one route with its endpoints, and what has changed of it lately."""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from fastrouter._core import route_key
from fastrouter.admin.control_link import ControlLink
from fastrouter.admin.endpoint import Endpoint, read_query
from fastrouter.admin.endpoint_state import EndpointState, EndpointStates, Failure
from fastrouter.admin.journal import Event, Journal
from fastrouter.admin.paging import PAGE_SIZE, Cursor, Limit, Page, SortKey, page_of
from fastrouter.admin.problems import ProblemError
from fastrouter.admin.route_traffic import RouteTraffic
from fastrouter.admin.table_replica import ReplicaRoute, TableReplica, address_of
from fastrouter.ipc.admin_messages import AskMembers, MemberFacts

# Endpoints of a route that are shown at most; there is one route in thousands that has more.
MAX_SHOWN = 1000


class RouteSummary(msgspec.Struct, frozen=True):
    """A route in a list; its endpoints by state."""

    route: str
    app_ids: list[str]
    endpoints: int
    draining: int
    failed: int
    in_flight: int
    route_service: bool
    algorithm: str


class RouteEndpoint(msgspec.Struct, frozen=True):
    """An endpoint of a route: `id` is its address. `in_flight` counts attempts that wait for a response head.

    `age` is the seconds since it was registered last, and `ttl` those after which it is forgotten; both are null while
    the registry does not say, `ttl` also for one that never ages. Who may call it is of the `policy_scope`, empty for
    whoever it is, and of one of `policy_sources`.
    """

    id: str
    state: EndpointState
    app_id: str
    instance_id: str
    instance_index: str
    process_id: str
    zone: str
    tls: bool
    protocol: str
    server_cert_domain_san: str
    in_flight: int
    last_failure: Failure | None
    origin: str
    age: float | None
    ttl: float | None
    isolation_segment: str
    tags: dict[str, str]
    policy_scope: str
    policy_sources: list[str]


class RouteTotals(msgspec.Struct, frozen=True):
    """What a route has been asked for. Latencies are seconds; `errors` are responses 5xx and those that broke off."""

    requests: int
    responses_2xx: int
    responses_3xx: int
    responses_4xx: int
    responses_5xx: int
    errors: int
    retries: int
    in_flight: int
    mean: float
    p50: float
    p99: float


class RouteDetail(msgspec.Struct, frozen=True):
    """One route; `total` are its endpoints, of which not all may be in `endpoints`; `counts` are null at first."""

    route: str
    uri: str
    algorithm: str
    route_service_url: str
    counts: RouteTotals | None
    total: int
    endpoints: list[RouteEndpoint]


class History(msgspec.Struct, frozen=True):
    """What has changed of a route lately, newest first; `exists` says whether it is there now."""

    route: str
    exists: bool
    changes: list[Event]


RouteSort = Literal["route", "-route", "endpoints", "-endpoints", "in_flight", "-in_flight", "failed", "-failed"]


class RouteQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which routes are wanted, and in which order."""

    filter: Annotated[str, msgspec.Meta(description="A part of the route, in any case.")] = ""
    app: Annotated[str, msgspec.Meta(description="The id of an app that serves it.")] = ""
    state: Annotated[
        Literal["", "failed", "draining", "empty"],
        msgspec.Meta(description="Has an endpoint in this state, or none at all."),
    ] = ""
    sort: Annotated[RouteSort, msgspec.Meta(description="With `-`, greatest first.")] = "route"
    limit: Limit = PAGE_SIZE
    cursor: Cursor = ""


class Routes:
    """Answers from the replica of the table, the shared counters, and what the registry says of single routes."""

    def __init__(
        self,
        table: TableReplica,
        states: EndpointStates,
        journal: Journal,
        control: ControlLink,
        traffic: RouteTraffic,
    ) -> None:
        self._table = table
        self._states = states
        self._journal = journal
        self._control = control
        self._traffic = traffic

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of the API."""
        route = "/v1/routes/{route}"
        return [
            Endpoint("GET", "/v1/routes", "read", self._list, "All routes, in pages.", Page[RouteSummary], RouteQuery),
            Endpoint("GET", route, "read", self._show, "A route with its endpoints.", RouteDetail),
            Endpoint("GET", f"{route}/history", "read", self._show_history, "The last changes of a route.", History),
        ]

    async def _list(self, request: web.Request) -> Page[RouteSummary]:
        query = read_query(request, RouteQuery)
        field = query.sort.removeprefix("-")
        keys, total, following = await page_of(
            list(self._table.routes),
            self._sort_key(query, field),
            query.limit,
            query.cursor,
            is_descending=query.sort.startswith("-"),
        )
        found = [(key, route) for key in keys if (route := self._table.routes.get(key)) is not None]
        return Page([self._summary(key, route) for key, route in found], total, following)

    def _sort_key(self, query: RouteQuery, field: str) -> Callable[[str], SortKey | None]:
        wanted = query.filter.lower()
        routes = self._table.routes
        is_picky = bool(query.app or query.state)

        def sort_key(key: str) -> SortKey | None:
            if wanted not in key:
                return None
            if field == "route" and not is_picky:
                return "", key
            route = routes.get(key)
            if route is None or (is_picky and not self._is_wanted(route, query)):
                return None
            return self._value(route, field), key

        return sort_key

    def _is_wanted(self, route: ReplicaRoute, query: RouteQuery) -> bool:
        if query.app and all(endpoint.app_id != query.app for endpoint in self._table.endpoints_of(route)):
            return False
        match query.state:
            case "failed":
                return any(map(self._states.is_failed, route.numbers))
            case "draining":
                return any(number in self._table.draining for number in route.numbers)
            case "empty":
                return not route.numbers
        return True

    def _value(self, route: ReplicaRoute, field: str) -> float | str:
        match field:
            case "endpoints":
                return len(route.numbers)
            case "in_flight":
                return sum(map(self._states.in_flight, route.numbers))
            case "failed":
                return sum(map(self._states.is_failed, route.numbers))
        return ""

    def _summary(self, key: str, route: ReplicaRoute) -> RouteSummary:
        numbers = route.numbers
        apps = dict.fromkeys(endpoint.app_id for endpoint in self._table.endpoints_of(route) if endpoint.app_id)
        return RouteSummary(
            key,
            list(apps),
            len(numbers),
            sum(number in self._table.draining for number in numbers),
            sum(map(self._states.is_failed, numbers)),
            sum(map(self._states.in_flight, numbers)),
            bool(route.route_service_url),
            route.algorithm,
        )

    async def _show(self, request: web.Request) -> RouteDetail:
        key = route_key(request.match_info["route"])
        if key not in self._table.routes:
            raise ProblemError(404, f"there is no route {key}")
        members = await self._control.ask(AskMembers(key), tuple[MemberFacts, ...])
        route = self._table.routes.get(key)
        if route is None:
            raise ProblemError(404, f"there is no route {key}")
        facts = {member.address: member for member in members}
        shown = [self._endpoint(number, facts) for number in route.numbers[:MAX_SHOWN]]
        counts = self._totals(key)
        return RouteDetail(key, route.uri, route.algorithm, route.route_service_url, counts, len(route.numbers), shown)

    def _totals(self, key: str) -> RouteTotals | None:
        counts = self._traffic.counts(key)
        if counts is None:
            return None
        return RouteTotals(
            counts.requests,
            *counts.responses[:4],
            errors=counts.errors,
            retries=counts.retries,
            in_flight=counts.in_flight,
            mean=counts.mean,
            p50=counts.p50,
            p99=counts.p99,
        )

    def _endpoint(self, number: int, facts: dict[str, MemberFacts]) -> RouteEndpoint:
        endpoint = self._table.endpoint(number)
        address = address_of(endpoint)
        member = facts.get(address)
        return RouteEndpoint(
            id=address,
            state=self._states.state(number),
            app_id=endpoint.app_id,
            instance_id=endpoint.instance_id,
            instance_index=endpoint.instance_index,
            process_id=endpoint.process_id,
            zone=endpoint.availability_zone,
            tls=endpoint.tls,
            protocol=endpoint.protocol,
            server_cert_domain_san=endpoint.server_cert_domain_san,
            in_flight=self._states.in_flight(number),
            last_failure=self._states.last_failure(number),
            origin=member.origin if member is not None else "",
            age=member.age if member is not None else None,
            ttl=member.ttl if member is not None else None,
            isolation_segment=member.isolation_segment if member is not None else "",
            tags=member.tags if member is not None else {},
            policy_scope=endpoint.policy.scope if endpoint.policy is not None else "",
            policy_sources=list(endpoint.policy.sources) if endpoint.policy is not None else [],
        )

    async def _show_history(self, request: web.Request) -> History:
        key = route_key(request.match_info["route"])
        changes = self._journal.history(key)
        if not changes and key not in self._table.routes:
            raise ProblemError(404, f"there is no route {key}, and none was there lately")
        return History(key, key in self._table.routes, changes[::-1])
