"""`/v1/apps`: the apps that have endpoints, with their routes."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web

from fastrouter.admin.endpoint import Endpoint, read_query
from fastrouter.admin.endpoint_state import EndpointStates
from fastrouter.admin.paging import PAGE_SIZE, Cursor, Limit, Page, SortKey, page_of
from fastrouter.admin.table_replica import TableReplica
from fastrouter.process.slices import Pace

# Routes of an app that are shown; some have thousands.
MAX_ROUTES = 100


class App(msgspec.Struct, frozen=True):
    """An app: its endpoints by state, and its routes, of which not all may be in `routes`."""

    app_id: str
    endpoints: int
    draining: int
    failed: int
    in_flight: int
    total_routes: int
    routes: list[str]


class AppQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which apps are wanted, and in which order."""

    filter: Annotated[str, msgspec.Meta(description="A part of the app's id.")] = ""
    sort: Annotated[
        Literal["app_id", "-app_id", "endpoints", "-endpoints", "failed", "-failed", "in_flight", "-in_flight"],
        msgspec.Meta(description="With `-`, greatest first."),
    ] = "app_id"
    limit: Limit = PAGE_SIZE
    cursor: Cursor = ""


class Apps:
    """Answers from the replica of the table; endpoints without an app are in none."""

    def __init__(self, table: TableReplica, states: EndpointStates) -> None:
        self._table = table
        self._states = states

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of the API."""
        return [Endpoint("GET", "/v1/apps", "read", self._list, "All apps, in pages.", Page[App], AppQuery)]

    async def _list(self, request: web.Request) -> Page[App]:
        query = read_query(request, AppQuery)
        numbers = await self._numbers_by_app(query.filter)
        field = query.sort.removeprefix("-")

        def sort_key(app_id: str) -> SortKey:
            match field:
                case "endpoints":
                    return len(numbers[app_id]), app_id
                case "failed":
                    return sum(map(self._states.is_failed, numbers[app_id])), app_id
                case "in_flight":
                    return sum(map(self._states.in_flight, numbers[app_id])), app_id
            return "", app_id

        chosen, total, following = await page_of(
            numbers, sort_key, query.limit, query.cursor, is_descending=query.sort.startswith("-")
        )
        return Page([self._app(app_id, numbers[app_id]) for app_id in chosen], total, following)

    async def _numbers_by_app(self, wanted: str) -> dict[str, list[int]]:
        numbers: dict[str, list[int]] = {}
        pace = Pace()
        for count, endpoint in enumerate(list(self._table.endpoints)):
            if endpoint is not None and endpoint.app_id and wanted in endpoint.app_id:
                numbers.setdefault(endpoint.app_id, []).append(endpoint.number)
            if count % 256 == 0:
                await pace.keep()
        return numbers

    def _app(self, app_id: str, numbers: list[int]) -> App:
        routes = sorted({key for number in numbers for key in self._table.holders.get(number, ())})
        return App(
            app_id,
            len(numbers),
            sum(number in self._table.draining for number in numbers),
            sum(map(self._states.is_failed, numbers)),
            sum(map(self._states.in_flight, numbers)),
            len(routes),
            routes[:MAX_ROUTES],
        )
