"""What Python may see of the compiled data plane.

Times are seconds as float, sizes are bytes as int, unless a name says otherwise.
"""

import asyncio
from collections.abc import Callable
from typing import Any

CYTHON_VERSION: str

# Process-log levels as Gorouter writes them (spec 6.6): 0 debug, 1 info, 2 warn, 3 error.
EventLog = Callable[[int, str, dict[str, Any]], None]

class Settings:
    """Bounds, deadlines and policies of one data plane. Immutable once built.

    Raises ValueError naming the field for a value out of range.
    """

    max_attempts: int
    dial_timeout: float
    endpoint_timeout: float
    frontend_idle_timeout: float
    read_header_timeout: float
    backend_idle_timeout: float
    backend_keep_alive: bool
    max_idle_per_endpoint: int
    max_request_head: int
    max_request_headers: int
    max_response_head: int
    max_response_headers: int
    max_buffered: int
    empty_pool_503: bool

    def __init__(
        self,
        *,
        max_attempts: int = 3,
        dial_timeout: float = 5.0,
        endpoint_timeout: float = 900.0,
        frontend_idle_timeout: float = 900.0,
        read_header_timeout: float = 0.0,
        backend_idle_timeout: float = 90.0,
        backend_keep_alive: bool = True,
        max_idle_per_endpoint: int = 100,
        max_request_head: int = 1048576,
        max_request_headers: int = 1000,
        max_response_head: int = 1048576,
        max_response_headers: int = 1000,
        max_buffered: int = 65536,
        empty_pool_503: bool = False,
    ) -> None: ...

class Endpoint:
    """One backend address with what Gorouter knows of it (spec 3.2); `address` is `host:port`.

    One Endpoint registered under several routes shares its connections. Raises ValueError for texts that cannot be header
    values and for ports out of range.
    """

    app_id: str
    instance_id: str
    instance_index: str
    address: str
    host: str
    port: int
    tls: bool
    is_http2: bool
    server_cert_domain_san: str
    availability_zone: str
    process_id: str
    component: str
    in_flight: int

    def __init__(
        self,
        host: str,
        port: int,
        *,
        app_id: str = "",
        instance_id: str = "",
        instance_index: str = "",
        tls: bool = False,
        server_cert_domain_san: str = "",
        protocol: str = "http1",
        availability_zone: str = "",
        process_id: str = "",
        component: str = "",
    ) -> None: ...

class EndpointPool:
    """The endpoints of one route, in registration order."""

    uri: str
    host: str
    context_path: str
    endpoints: list[Endpoint]
    route_service_url: str | None
    algorithm: str | None

    def __len__(self) -> int: ...

class RouteTable:
    """The hot read structure: host and path -> EndpointPool (spec 3.3, 3.7)."""

    def register(self, uri: str, endpoint: Endpoint) -> None: ...
    def unregister(self, uri: str, address: str) -> bool: ...
    def drop(self, uri: str) -> bool: ...
    def set_route(self, uri: str, *, route_service_url: str = "", algorithm: str = "") -> None: ...
    def lookup(self, host: str, path: str = "/") -> EndpointPool | None: ...
    def __len__(self) -> int: ...

class AccessLog:
    """Renders one line per exchange (spec 6.2) into a batch, and hands batches of whole lines to `sink`.

    `sink` gets bytes ending in a newline: at 64 KiB, and from the tick at most 0.5 s after the first line.
    It must not block and must not raise.
    """

    def __init__(self, sink: Callable[[bytes], None]) -> None: ...
    def flush(self) -> None: ...

class RoundTripper:
    """One worker's data plane: a table, its settings, its deadlines, its connections.

    `start` begins the coarse tick on the running loop; `stop` ends it and aborts every connection.
    `new_client` is the protocol factory to give to `loop.create_server`. `drain` closes idle connections, and from then on
    every connection that becomes idle. `connection_counts` are client connections with a request in progress, and idle ones;
    tunnels and connections that never sent a request are in neither (spec 1.5).
    """

    def __init__(
        self,
        table: RouteTable,
        settings: Settings | None = None,
        access_log: AccessLog | None = None,
        event_log: EventLog | None = None,
    ) -> None: ...
    def start(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def stop(self) -> None: ...
    def new_client(self) -> asyncio.Protocol: ...
    def drain(self) -> None: ...
    def connection_counts(self) -> tuple[int, int]: ...
    def stats(self) -> dict[str, int]: ...
