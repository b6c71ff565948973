"""The client of the routing API: its list of routes, and the stream of events (spec 3.12)."""

import asyncio
from collections.abc import AsyncGenerator

import aiohttp
import orjson

from fastrouter.process.slices import Pace
from fastrouter.routing_api.options import RoutingAPIOptions
from fastrouter.routing_api.routes import Event, EventDecoder, ListDecoder, Route
from fastrouter.routing_api.session import (
    RoutingAPIError,
    UnauthorizedError,
    client_context,
    failure_text,
    open_session,
)

# A subscription is tried again so often while the API cannot be reached, so many seconds apart; for as long as it
# responds that it cannot serve for now, there is no limit.
_RETRIES = 3
_RETRY_PAUSE = 1.0
_BUSY = frozenset({500, 502, 503, 504})

# Bytes of the response that says why a request was refused.
_MAX_REFUSAL = 64 * 1024


class EventStream:
    """The events of one subscription."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield events as they come, for ever. Raises RoutingAPIError when the stream ends or is malformed."""
        decoder = EventDecoder()
        pace = Pace()
        try:
            async for received in self._response.content.iter_any():
                for event in decoder.feed(received):
                    yield event
                    await pace.keep()
        except (aiohttp.ClientError, OSError) as error:
            raise RoutingAPIError(failure_text(error)) from error
        except ValueError as error:
            raise RoutingAPIError(str(error)) from error
        raise RoutingAPIError("EOF")

    def close(self) -> None:
        """End the subscription."""
        self._response.close()


class RoutingAPIClient:
    """Asks the routing API, with `token` as what it is by then. Raises ssl.SSLError for an identity that is none."""

    def __init__(self, options: RoutingAPIOptions) -> None:
        self.token = ""
        self._url = options.url
        self._session = open_session(client_context(options.ca_certs, options.cert_chain, options.private_key))

    async def routes(self) -> list[Route]:
        """Fetch the whole list. Raises RoutingAPIError."""
        url = f"{self._url}/routing/v1/routes"
        decoder = ListDecoder()
        routes: list[Route] = []
        pace = Pace()
        try:
            async with self._session.get(url, headers=self._headers()) as response:
                await _refuse_failure(response)
                async for received in response.content.iter_any():
                    routes += decoder.feed(received)
                    await pace.keep()
            return routes + decoder.end()
        except (aiohttp.ClientError, OSError) as error:
            raise RoutingAPIError(f'Get "{url}": {failure_text(error)}') from error
        except ValueError as error:
            raise RoutingAPIError(str(error)) from error

    async def subscribe(self) -> EventStream:
        """Open the stream of events. Raises RoutingAPIError."""
        url = f"{self._url}/routing/v1/events"
        timeout = aiohttp.ClientTimeout(sock_connect=_RETRY_PAUSE * 30)
        failures = 0
        while True:
            try:
                response = await self._session.get(url, headers=self._headers(), timeout=timeout)
            except (aiohttp.ClientError, OSError) as error:
                failures += 1
                if failures > _RETRIES:
                    raise RoutingAPIError(f'Get "{url}": {failure_text(error)}') from error
            else:
                if response.status == 200:
                    return EventStream(response)
                response.close()
                if response.status == 401:
                    raise UnauthorizedError
                if response.status not in _BUSY:
                    raise RoutingAPIError(f"bad response from event source: {response.status} {response.reason}")
            await asyncio.sleep(_RETRY_PAUSE)

    async def close(self) -> None:
        """Close all connections, those of subscriptions included."""
        await self._session.close()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"bearer {self.token}"}


async def _refuse_failure(response: aiohttp.ClientResponse) -> None:
    if response.status == 401:
        raise UnauthorizedError
    if response.status > 299:
        text = await response.content.read(_MAX_REFUSAL)
        try:
            document = orjson.loads(text)
        except ValueError:
            document = None
        if isinstance(document, dict) and document.get("name"):
            raise RoutingAPIError(str(document.get("message", "")))
        raise RoutingAPIError(text.decode(errors="replace"))
