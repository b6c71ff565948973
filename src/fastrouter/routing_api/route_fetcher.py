"""Feeds the registry with the routes of the routing API (spec 3.12)."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger
from fastrouter.process.slices import Pace
from fastrouter.registry.endpoint import RegisteredEndpoint
from fastrouter.registry.registration import MessageError
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.routing_api.client import RoutingAPIClient
from fastrouter.routing_api.options import RoutingAPIOptions
from fastrouter.routing_api.routes import Event, Route
from fastrouter.routing_api.session import RoutingAPIError, UnauthorizedError
from fastrouter.routing_api.token_fetcher import NoTokens, TokenError, TokenFetcher, TokenSource, UAAError

# Seconds between the end of a subscription and the next one.
_SUBSCRIPTION_PAUSE = 1.0
# Routes that are taken between two looks at how far the workers are.
_ROUTES_AT_ONCE = 256


class RouteFetcherError(Exception):
    """The start cannot go on without the routing API; the process log has why, the text too."""


# Counters of what fails, as Gorouter has them (spec 7.5).
_TOKEN_ERRORS = "token_fetch_errors"
_SUBSCRIPTION_ERRORS = "subscribe_events_errors"


class RouteFetcher:
    """Registers what the routing API lists, and what its events say, in `registry`.

    `until_sent` waits until the workers have taken most of the changes so far. Failures after the start are logged, and
    leave all routes as they are: they age like others; `count_error` gets the name of the counter of each that has one.
    """

    def __init__(
        self,
        options: RoutingAPIOptions,
        logger: Logger,
        registry: RouteRegistry,
        *,
        until_sent: Callable[[], Awaitable[None]],
        count_error: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._options = options
        self._logger = logger
        self._fetcher_logger = logger.child("route-fetcher")
        self._registry = registry
        self._until_sent = until_sent
        self._count_error = count_error
        self._client: RoutingAPIClient | None = None
        self._tokens: TokenSource = NoTokens()
        # The list that was applied last, and that of the start until it is applied.
        self._known: dict[str, Route] = {}
        self._first: list[Route] = []
        # Events that come while a list is fetched are applied after it: they are newer, or say the same.
        self._applying = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def connect(self) -> None:
        """Fetch a token and the list, to see that it can be done. Raises RouteFetcherError, which is logged."""
        self._logger.info("setting-up-routing-api")
        options = self._options
        try:
            self._client = client = RoutingAPIClient(options)
            self._logger.debug("fetching-token")
            self._tokens = self._token_source()
            client.token = await self._first_token()
            self._first = await client.routes()
        except (RoutingAPIError, ssl.SSLError) as error:
            raise self._fatal("routing-api-connection-failed", error_text(error)) from error
        try:
            # Gorouter's second client for tokens starts with one of its own.
            await self._tokens.token(force_update=True)
        except TokenError as error:
            raise self._fatal("unable-to-fetch-token", str(error)) from error

    def _token_source(self) -> TokenSource:
        """Return where tokens come from. Raises RouteFetcherError."""
        uaa = self._options.uaa
        if uaa is None:
            self._logger.info("using-noop-token-fetcher")
            return NoTokens()
        try:
            return TokenFetcher(uaa, self._logger)
        except UAAError as error:
            self._logger.error("Failed to create UAA client", error=str(error))
            raise self._fatal("initialize-uaa-client", str(error)) from error

    async def _first_token(self) -> str:
        try:
            return await self._tokens.token(force_update=True)
        except TokenError as error:
            raise RoutingAPIError(f"unable-to-fetch-token: {error}") from error

    async def start(self) -> None:
        """Register the list that `connect` has fetched, and follow the routing API from now on."""
        async with self._applying:
            await self._apply(self._first)
        self._begin(self._follow_events())
        if self._options.refresh_interval > 0:
            self._begin(self._refresh_for_ever())
        self._fetcher_logger.info("syncer-started")

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def stop(self) -> None:
        """Follow the routing API no more; all routes stay."""
        if self._tasks:
            self._fetcher_logger.info("stopping")
        for task in self._tasks:
            task.cancel()
        # Their ends must not meet a session that is closed.
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
        await self._tokens.close()

    def _fatal(self, message: str, error: str) -> RouteFetcherError:
        self._logger.fatal(message, error=error)
        return RouteFetcherError(f"{message}: {error}")

    async def _refresh_for_ever(self) -> None:
        self._fetcher_logger.debug("created-ticker", interval=int(self._options.refresh_interval * 1e9))
        while True:
            await asyncio.sleep(self._options.refresh_interval)
            await self._refresh("failed-to-fetch-routes")

    async def _follow_events(self) -> None:
        logger = self._fetcher_logger
        force_update = False
        while True:
            logger.debug("fetching-token")
            try:
                token = await self._tokens.token(force_update=force_update)
            except TokenError as error:
                self._count_error(_TOKEN_ERRORS)
                logger.error("failed-to-fetch-token", error=str(error))
            else:
                logger.debug("token-fetched-successfully")
                force_update = await self._follow_subscription(token)
            await asyncio.sleep(_SUBSCRIPTION_PAUSE)

    async def _follow_subscription(self, token: str) -> bool:
        """Subscribe, and apply events until the stream ends; returns whether the token was refused."""
        logger, client = self._fetcher_logger, self._connected()
        client.token = token
        logger.info("subscribing-to-routing-api-event-stream")
        try:
            stream = await client.subscribe()
        except RoutingAPIError as error:
            self._count_error(_SUBSCRIPTION_ERRORS)
            logger.error("failed-subscribing-to-routing-api-event-stream", error=str(error))
            return isinstance(error, UnauthorizedError)
        logger.info("Successfully-subscribed-to-routing-api-event-stream")
        try:
            # What has changed since the subscription before is in no event.
            await self._refresh("failed-to-refresh-routes")
            async with aclosing(stream.events()) as events:
                async for event in events:
                    logger.debug("received-event", action=event.action, route=event.route.route)
                    async with self._applying:
                        self._apply_event(event)
        except RoutingAPIError as error:
            self._count_error(_SUBSCRIPTION_ERRORS)
            logger.error("failed-getting-next-event: ", error=str(error))
        finally:
            stream.close()
        return False

    async def _refresh(self, failure: str) -> None:
        """Fetch the list and apply it, or log `failure` and change nothing."""
        logger = self._fetcher_logger
        logger.debug("syncer-fetch-routes-started")
        try:
            async with self._applying:
                routes = await self._fetch()
                logger.debug("syncer-refreshing-endpoints", **{"number-of-routes": len(routes)})
                await self._apply(routes)
        except RoutingAPIError as error:
            logger.error(failure, error=str(error))
        logger.debug("syncer-fetch-routes-completed")

    async def _fetch(self) -> list[Route]:
        """Fetch the list, with a new token if the one that is kept is refused. Raises RoutingAPIError."""
        try:
            return await self._fetch_once(force_update=False)
        except UnauthorizedError:
            return await self._fetch_once(force_update=True)

    async def _fetch_once(self, *, force_update: bool) -> list[Route]:
        client = self._connected()
        self._fetcher_logger.debug("syncer-fetching-token")
        try:
            client.token = await self._tokens.token(force_update=force_update)
        except TokenError:
            self._count_error(_TOKEN_ERRORS)
            raise
        self._fetcher_logger.debug("syncer-fetching-routes")
        return await client.routes()

    async def _apply(self, routes: list[Route]) -> None:
        """Register `routes`, which is empty afterwards, once what the list before had and they lack is unregistered.

        Lists are emptied one by one: to free one of 100,000 routes at once would take 20 ms.
        """
        pace = Pace()
        listed: dict[str, Route] = {}
        routes.reverse()
        while routes:
            route = routes.pop()
            listed[route.place] = route
            await pace.keep()
        known, self._known = self._known, listed
        count = 0
        while known:
            place, route = known.popitem()
            if place not in listed and (endpoint := self._endpoint_of(route)) is not None:
                self._registry.unregister(route.route, endpoint)
            count += 1
            await self._keep(pace, count)
        for count, route in enumerate(listed.values()):
            if (endpoint := self._endpoint_of(route)) is not None:
                self._registry.register(route.route, endpoint)
            await self._keep(pace, count)

    async def _keep(self, pace: Pace, count: int) -> None:
        await pace.keep()
        if count % _ROUTES_AT_ONCE == 0:
            await self._until_sent()

    def _apply_event(self, event: Event) -> None:
        if event.action not in ("Upsert", "Delete"):
            return
        route = event.route
        if (endpoint := self._endpoint_of(route)) is None:
            return
        if event.action == "Upsert":
            self._registry.register(route.route, endpoint)
        else:
            self._registry.unregister(route.route, endpoint)

    def _endpoint_of(self, route: Route) -> RegisteredEndpoint | None:
        """Return the endpoint to be registered; None, and a line in the log, for one that no header could carry."""
        try:
            registration = route.registration()
        except MessageError as error:
            self._fetcher_logger.error("validation-error", error=str(error), route=route.route)
            return None
        return self._registry.new_endpoint(registration, route.modification_tag)

    def _connected(self) -> RoutingAPIClient:
        assert self._client is not None, "connect comes first"
        return self._client
