"""`/v1/requests`, `/v1/tail` and `/v1/explain`: what workers say of requests, under way, past and supposed."""

import asyncio
from typing import Annotated

import msgspec
from aiohttp import web

from fastrouter.admin.endpoint import Endpoint, read_body, read_query
from fastrouter.admin.inspectors import Inspectors, Tail
from fastrouter.admin.streams import BEGINNING, HEARTBEAT, EventStreams, write
from fastrouter.ipc.inspection import ActiveRequest, Explanation, FinishedRequest, InspectionError

# Tails at a time; each has all workers tell of requests.
MAX_TAILS = 16
# Seconds between two writes of a tail: whoever reads it is a person.
_REST = 0.1

_ENCODER = msgspec.json.Encoder()


class RequestUnderWay(ActiveRequest, frozen=True, array_like=False):
    """A request under way, and the number of its worker. `age` is seconds; `path` has no query."""


class RequestsUnderWay(msgspec.Struct, frozen=True):
    """The oldest requests under way, and how many there are in all."""

    items: list[RequestUnderWay]
    total: int


class EndedRequest(FinishedRequest, frozen=True, array_like=False):
    """A request that has ended `at` (Unix time) after `latency` seconds; `status` is 0 if there was no response."""


class RequestQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests under way are wanted."""

    older_than: Annotated[float, msgspec.Meta(ge=0, description="Seconds that they have been under way.")] = 0.0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000, description="Requests at most.")] = 100


class TailQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests that end are wanted."""

    route: Annotated[str, msgspec.Meta(description="Key of the route; empty: any.")] = ""
    status: Annotated[int, msgspec.Meta(ge=0, le=5, description="First digit of the status; 0: any.")] = 0
    slower_than: Annotated[float, msgspec.Meta(ge=0, description="Seconds that they have taken.")] = 0.0
    sample: Annotated[float, msgspec.Meta(gt=0, le=1, description="The part of them that is wanted.")] = 1.0


class SupposedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request of a new client; a header `Host` is in place of the host of `url`.

    `caller` is what the certificate of the client says of it, where the host needs one: `app:`, `space:` and
    `organization:` with a GUID, and SPIFFE ids.
    """

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]
    method: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] = "GET"
    headers: Annotated[list[tuple[str, str]], msgspec.Meta(max_length=100)] = []
    caller: Annotated[list[Annotated[str, msgspec.Meta(max_length=2048)]], msgspec.Meta(max_length=16)] = []


class Requests:
    """Asks the workers; a dump of one of them takes a few turns of its loop, and changes nothing."""

    def __init__(self, inspectors: Inspectors) -> None:
        self._inspectors = inspectors
        self._tails = EventStreams(MAX_TAILS, "tails")

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of the API."""
        return [
            Endpoint(
                "GET",
                "/v1/requests",
                "read",
                self._list,
                "Requests under way, the oldest first.",
                RequestsUnderWay,
                RequestQuery,
            ),
            Endpoint(
                "GET",
                "/v1/tail",
                "read",
                self._tail,
                "Requests as they end: server-sent events `request`, whose data are EndedRequest, and `lost`.",
                EndedRequest,
                TailQuery,
                media_type="text/event-stream",
            ),
            Endpoint(
                "POST",
                "/v1/explain",
                "read",
                self._explain,
                "What would become of a request, and why.",
                Explanation,
                body=SupposedRequest,
            ),
        ]

    async def _list(self, request: web.Request) -> RequestsUnderWay:
        query = read_query(request, RequestQuery)
        found, total = await self._inspectors.active_requests(query.older_than, query.limit)
        items = [
            RequestUnderWay(**{**msgspec.structs.asdict(one), "worker": worker})  # the fields have the same names
            for worker, one in found
        ]
        return RequestsUnderWay(items, total)

    async def _explain(self, request: web.Request) -> Explanation:
        supposed = await read_body(request, SupposedRequest)
        return await self._inspectors.explain(supposed.method, supposed.url, supposed.headers, supposed.caller)

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, TailQuery)
        return await self._tails.serve(request, lambda response: self._write_tail(response, query))

    async def _write_tail(self, response: web.StreamResponse, query: TailQuery) -> None:
        tail = Tail(
            self._inspectors,
            route=query.route,
            status_class=query.status,
            slower_than=query.slower_than,
            sample=query.sample,
        )
        try:
            await write(response, BEGINNING)
            while True:
                try:
                    requests, lost = await tail.next(HEARTBEAT)
                except InspectionError:
                    # What one worker refuses to tell, the others do, too.
                    return
                parts = [
                    b"event: request\ndata: %s\n\n" % _ENCODER.encode(EndedRequest(**msgspec.structs.asdict(one)))
                    for one in requests
                ]
                if lost:
                    parts.append(b'event: lost\ndata: {"lost":%d}\n\n' % lost)
                await write(response, b"".join(parts) or b":\n\n")
                await asyncio.sleep(_REST)
        finally:
            tail.close()
