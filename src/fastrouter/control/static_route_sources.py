"""The static routes of a router: from the command line, from a file of the operator's, and from the admin API.

Those of the API are kept in a file of their own, which nobody else writes: so the operator's keeps its comments.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress

import msgspec
import yaml

from fastrouter._core import route_key
from fastrouter.control.options import RouterOptions, StartError
from fastrouter.ipc.admin_messages import OwnedRoute, PutStaticRoute, StaticEndpointFields, StaticRouteKept
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger
from fastrouter.logs.rule_text import rule_text
from fastrouter.registry.static_registry import StaticRouteRegistry
from fastrouter.registry.static_routes import RoutesError, StaticRoute, load_routes_file

_HEADER = "# Routes that were put through the admin API of fastrouter, which writes this file.\n"


class StaticRouteSourcesError(Exception):
    """Static routes stay as they are; `status` is that of HTTP which fits, the text says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class StaticRouteSources:
    """Gives `registry` the routes of all sources."""

    def __init__(self, registry: StaticRouteRegistry, options: RouterOptions) -> None:
        self._registry = registry
        self._options = options.routes
        self._file = options.file_routes
        # The file of those of the API; None: they are not kept.
        self._path = options.admin.routes_file if options.admin is not None else None
        self._put: dict[str, StaticRoute] = {}
        self._changing = asyncio.Lock()

    async def start(self, logger: Logger) -> None:
        """Read the file of the API's routes, if there is one, and apply all. Raises StartError."""
        if self._path is not None:
            try:
                routes = await asyncio.to_thread(load_routes_file, self._path)
            except FileNotFoundError:
                # It is made with the first route.
                routes = ()
            except (RoutesError, OSError) as error:
                logger.error("routes-file-refused", file=self._path, error=error_text(error))
                raise StartError(f"cannot read the routes of the admin API: {error_text(error)}") from error
            self._put = {route_key(route.route): route for route in routes}
        await self._apply()

    async def replace_file(self, routes: Sequence[StaticRoute]) -> tuple[int, int]:
        """Make `routes` those of the operator's file; returns how many endpoints were changed, and removed."""
        async with self._changing:
            self._file = routes
            return await self._apply()

    async def put(self, given: PutStaticRoute) -> StaticRouteKept:
        """Add or replace a route. Raises StaticRouteSourcesError."""
        fields = {"route": given.route, "app_id": given.app_id, "endpoints": msgspec.to_builtins(given.endpoints)}
        try:
            route = msgspec.convert(fields, StaticRoute)
        except ValueError as error:
            raise StaticRouteSourcesError(422, rule_text(error, StaticRoute)) from error
        async with self._changing:
            return await self._change({**self._put, route_key(route.route): route})

    async def delete(self, name: str) -> StaticRouteKept:
        """Remove a route that was put. Raises StaticRouteSourcesError."""
        key = route_key(name)
        async with self._changing:
            if key not in self._put:
                others = {route_key(route.route) for route in (*self._options, *self._file)}
                if key in others:
                    raise StaticRouteSourcesError(409, f"{key} is a route of the command line or of a file")
                raise StaticRouteSourcesError(404, f"there is no static route {key}")
            return await self._change({other: route for other, route in self._put.items() if other != key})

    def owned(self) -> list[OwnedRoute]:
        """Return all static routes."""
        return [
            *(_owned(route, "option") for route in self._options),
            *(_owned(route, "file") for route in self._file),
            *(_owned(route, "api") for route in self._put.values()),
        ]

    async def _change(self, routes: dict[str, StaticRoute]) -> StaticRouteKept:
        if self._path is not None:
            try:
                # In a thread, because a disk may hang.
                await asyncio.to_thread(_write, self._path, list(routes.values()))
            except OSError as error:
                text = f"the routes cannot be kept in {self._path}: {error_text(error)}"
                raise StaticRouteSourcesError(500, text) from error
        self._put = routes
        changed, removed = await self._apply()
        return StaticRouteKept(changed, removed, self._path)

    async def _apply(self) -> tuple[int, int]:
        return await self._registry.replace_static([*self._options, *self._file, *self._put.values()])


def _owned(route: StaticRoute, origin: str) -> OwnedRoute:
    endpoints = tuple(
        StaticEndpointFields(**msgspec.structs.asdict(endpoint))  # they have the same fields
        for endpoint in route.endpoints
    )
    return OwnedRoute(route.route, origin, route.app_id, endpoints)  # type: ignore[arg-type]  # one of the three


def _write(path: str, routes: list[StaticRoute]) -> None:
    """Replace the file as a whole: whoever reads it meanwhile finds the old one or the new one. Raises OSError."""
    shown = [
        {"route": owned.route, **({"app_id": owned.app_id} if owned.app_id else {}), "endpoints": endpoints}
        for owned in (_owned(route, "api") for route in routes)
        for endpoints in [msgspec.to_builtins(owned.endpoints)]
    ]
    text = _HEADER + yaml.dump({"routes": [*shown]}, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
    temporary = f"{path}.{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise
