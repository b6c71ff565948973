"""Where registrations come from, besides files: NATS and the routing API, which a start waits for."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fastrouter.bus.bus import Bus, BusOptions
from fastrouter.control.options import StartError
from fastrouter.control.table_snapshots import TableSnapshots
from fastrouter.control.workers import Workers
from fastrouter.logs.logger import Logger
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.routing_api.options import RoutingAPIOptions

if TYPE_CHECKING:
    from fastrouter.routing_api.route_fetcher import RouteFetcher


async def connect_bus(
    options: BusOptions,
    logger: Logger,
    registry: RouteRegistry,
    workers: Workers,
    *,
    snapshots: TableSnapshots,
    on_closed: Callable[[], None],
) -> Bus:
    """Connect, unless `snapshots` have one to serve from as long as NATS is out of reach.

    `on_closed` is called when the connection has ended for good. Raises StartError.
    """
    logger.info("setting-up-nats-connection")
    bus = Bus(options, logger, registry, send_changes=workers.send_changes, on_closed=on_closed)
    await snapshots.connect(bus)
    return bus


async def connect_routing_api(
    options: RoutingAPIOptions,
    logger: Logger,
    registry: RouteRegistry,
    workers: Workers,
    count_error: Callable[[str], object],
) -> "RouteFetcher":
    """Connect. Raises StartError."""
    # With an HTTP client, which takes 200 ms, for few.
    from fastrouter.routing_api.route_fetcher import RouteFetcher, RouteFetcherError  # noqa: PLC0415

    fetcher = RouteFetcher(options, logger, registry, until_sent=workers.until_sent, count_error=count_error)
    try:
        await fetcher.connect()
    except RouteFetcherError as error:
        raise StartError(f"cannot use the routing API: {error}") from error
    return fetcher
