"""The status listeners of a router, and their handlers (spec 1.2, 7.1 to 7.3)."""

import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from fastrouter.net.handover import HEALTH, HEALTH_TLS, ROUTES, InheritedListeners, NamedListener
from fastrouter.observe.health import Health
from fastrouter.observe.responses import BodyParts
from fastrouter.observe.status_pages import (
    Credentials,
    component_handler,
    health_handler,
    routes_handler,
    with_end_after,
)
from fastrouter.observe.status_server import StatusServer
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.tls.pem_files import load_identity
from fastrouter.tls.server import limit_suites


@dataclass(frozen=True, kw_only=True)
class StatusTLS:
    """Health over TLS: a port, the identity in PEM, versions such as `TLSv1.2`, and OpenSSL's names of the ciphers."""

    port: int
    certificate: str
    key: str
    min_version: str
    max_version: str
    ciphers: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """Ports of the status listeners, 0 for any free one; None means that there is no such listener.

    `user` and `password` are those of `/routes`. With a `component_host`, the deprecated component listener is there
    and on `health_port` instead of plain health.
    """

    user: str = ""
    password: str = ""
    routes_port: int | None = None
    health_port: int | None = None
    component_host: str | None = None
    tls: StatusTLS | None = None


class StatusListeners:
    """All status listeners of a router; `varz_json` is what the component listener needs.

    `until_applied` waits until the registry's changes are in effect for clients, so that a listed route is served.
    """

    def __init__(
        self,
        options: StatusOptions,
        health: Health,
        registry: RouteRegistry,
        until_applied: Callable[[], Coroutine[None, None, None]],
        varz_json: Callable[[], bytes],
    ) -> None:
        def is_healthy() -> bool:
            return health.is_healthy

        def routes_json() -> BodyParts:
            return with_end_after(registry.routes_json(), until_applied)

        credentials = Credentials(options.user, options.password)
        handle_health = health_handler(is_healthy)
        self._servers: dict[str, StatusServer] = {}
        if options.routes_port is not None:
            handle_routes = routes_handler(credentials, routes_json)
            self._servers[ROUTES] = StatusServer(handle_routes, "127.0.0.1", options.routes_port)
        if options.component_host is not None:
            handle = component_handler(credentials, is_healthy, varz_json, routes_json)
            self._servers[HEALTH] = StatusServer(handle, options.component_host, options.health_port or 0)
        elif options.health_port is not None:
            self._servers[HEALTH] = StatusServer(handle_health, "0.0.0.0", options.health_port)
        if options.tls is not None:
            self._servers[HEALTH_TLS] = StatusServer(
                handle_health, "0.0.0.0", options.tls.port, _server_tls(options.tls)
            )

    async def start(self, inherited: InheritedListeners) -> None:
        """Bind and serve, in Gorouter's order; what is `inherited` is not bound. Raises OSError."""
        for name, server in self._servers.items():
            await server.start(inherited, name)

    @property
    def routes_port(self) -> int | None:
        """Where `/routes` is served, once it is; None if it is not."""
        return self._servers[ROUTES].port if ROUTES in self._servers else None

    def listeners(self) -> list[NamedListener]:
        """Return the listening sockets, once they are bound."""
        return [NamedListener(name, server.listener) for name, server in self._servers.items()]

    def close_listeners(self) -> None:
        """Accept no more connections; those that there are go on."""
        for server in self._servers.values():
            server.close_listener()

    async def stop(self) -> None:
        """Close all listeners and their connections."""
        for server in self._servers.values():
            await server.stop()


def _server_tls(tls: StatusTLS) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    limit_suites(context, tls.min_version, tls.max_version, tls.ciphers)
    load_identity(context, tls.certificate, tls.key)
    return context
