"""`/v1/events`: what happens in the router, as server-sent events (WHATWG HTML, 9.2)."""

import asyncio
from typing import Annotated

import msgspec
from aiohttp import web

from fastrouter.admin.endpoint import Endpoint, read_query
from fastrouter.admin.journal import Event, Journal
from fastrouter.admin.streams import BEGINNING, HEARTBEAT, EventStreams, write

# Streams at a time.
MAX_STREAMS = 64
# Events that are written at a time.
_BATCH = 256

_ENCODER = msgspec.json.Encoder()


class EventQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which events are wanted, and from where on."""

    kind: Annotated[str, msgspec.Meta(description="Beginning of the kinds that are wanted, such as `endpoint-`.")] = ""
    route: Annotated[str, msgspec.Meta(description="Key of the route that they are about.")] = ""
    after: Annotated[
        str,
        msgspec.Meta(
            description="Id of the last event that is known, as Last-Event-ID, which goes before it; `0`: all that are "
            "kept; empty: only new ones."
        ),
    ] = ""


class Events:
    """Streams the journal: each stream remembers where it is, so a slow reader costs nothing but a gap."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._streams = EventStreams(MAX_STREAMS, "streams of events")

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of the API."""
        return [
            Endpoint(
                "GET",
                "/v1/events",
                "read",
                self._stream,
                "What happens, as server-sent events whose data are Event.",
                Event,
                EventQuery,
                media_type="text/event-stream",
            )
        ]

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        query = read_query(request, EventQuery)
        # A reader that has left comes back with the id of the last event it has seen.
        last_id = request.headers.get("Last-Event-ID", query.after)
        return await self._streams.serve(request, lambda response: self._write_events(response, query, last_id))

    async def _write_events(self, response: web.StreamResponse, query: EventQuery, last_id: str) -> None:
        journal = self._journal
        number = journal.next_number
        await write(response, BEGINNING)
        if last_id:
            known = journal.number_after(last_id)
            number = journal.first_number if known is None else known
            if known is None and last_id != "0":
                # The events in between were those of an admin process that is gone.
                await write(response, b"event: gap\ndata: {}\n\n")
        while True:
            if number < journal.first_number:
                number = journal.first_number
                await write(response, b"event: gap\ndata: {}\n\n")
            events = journal.since(number, _BATCH)
            number += len(events)
            if wanted := b"".join(_render(event) for event in events if _is_wanted(event, query)):
                await write(response, wanted)
            if not events:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        await journal.until_after(number)
                except TimeoutError:
                    await write(response, b":\n\n")


def _is_wanted(event: Event, query: EventQuery) -> bool:
    return event.kind.startswith(query.kind) and query.route in ("", event.route)


def _render(event: Event) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (event.id.encode(), event.kind.encode(), _ENCODER.encode(event))
