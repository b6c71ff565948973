"""What Python may see of the compiled data plane.

Times are seconds as float, sizes are bytes as int, unless a name says otherwise.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, final

from typing_extensions import Buffer

CYTHON_VERSION: str

# Why requests are refused before they come to a handler; `refused_<reason>` in `Stats.counts`.
REFUSALS: tuple[str, ...]

# Why attempts fail; `Stats.failure_of` returns one of them.
FAILURES: tuple[str, ...]

# Process-log levels as Gorouter writes them (spec 6.6): 0 debug, 1 info, 2 warn, 3 error.
EventLog = Callable[[int, str, dict[str, Any]], None]

# (status, its standard text, message, response headers so far) -> an error page; may raise anything.
ErrorRenderer = Callable[[int, str, str, dict[str, str]], bytes]
# A host -> its IP addresses, in the order in which they are to be tried; may raise socket.gaierror.
Resolve = Callable[[str], Awaitable[Sequence[str]]]

class Settings:
    """Bounds, deadlines and policies of one data plane. Immutable once built.

    Raises ValueError naming the field for a value out of range.
    """

    max_attempts: int
    dial_timeout: float
    tls_handshake_timeout: float
    endpoint_timeout: float
    http2_endpoint_timeout: float
    frontend_idle_timeout: float
    read_header_timeout: float
    proxy_header_timeout: float
    backend_idle_timeout: float
    route_patience: float
    large_head_patience: float
    half_close_timeout: float
    tunnel_silence_timeout: float
    closing_timeout: float
    keep_alive_probe_interval: float
    http2_ping_interval: float
    http2_ping_timeout: float
    backend_keep_alive: bool
    max_idle_per_endpoint: int
    learns_idle_limits: bool
    max_request_head: int
    max_large_heads: int
    max_request_headers: int
    max_response_head: int
    max_response_headers: int
    max_buffered: int
    empty_pool_503: bool
    max_conns: int
    balancing_algorithm: str
    az_preference: str
    zone: str
    failure_memory: float
    distrust_memory: float
    bodiless_rest: float
    sticky_cookie_names: tuple[bytes, ...]
    sticky_for_negotiate: bool
    secure_cookies: bool
    keeps_sticky_metadata: bool
    takes_empty_length: bool
    takes_h2c: bool
    observes_requests: bool
    observes_apps: bool
    observes_routes: bool
    traces_zipkin: bool
    traces_w3c: bool
    w3c_tenant_id: str
    propagates_only: bool
    backend_tls: ssl.SSLContext | None
    backend_http2_tls: ssl.SSLContext | None
    refuses_client_ip: bool
    forwarded_client_cert: str
    forces_proto_https: bool
    sanitizes_proto: bool
    hop_by_hop_filter: frozenset[bytes]
    render_error: ErrorRenderer | None
    resolve: Resolve | None
    route_services: RouteServices

    def __init__(
        self,
        *,
        max_attempts: int = 3,
        dial_timeout: float = 5.0,
        tls_handshake_timeout: float = 10.0,
        endpoint_timeout: float = 900.0,
        http2_endpoint_timeout: float = 0.0,
        frontend_idle_timeout: float = 900.0,
        read_header_timeout: float = 0.0,
        proxy_header_timeout: float = 0.1,
        backend_idle_timeout: float = 90.0,
        closing_timeout: float = 900.0,
        route_patience: float = 0.0,
        large_head_patience: float = 1.0,
        half_close_timeout: float = 2.0,
        tunnel_silence_timeout: float = 0.5,
        keep_alive_probe_interval: float = 1.0,
        http2_ping_interval: float = 30.0,
        http2_ping_timeout: float = 15.0,
        backend_keep_alive: bool = True,
        max_idle_per_endpoint: int = 100,
        learns_idle_limits: bool = True,
        max_request_head: int = 1048576,
        max_large_heads: int = 4194304,
        max_request_headers: int = 1000,
        max_response_head: int = 1048576,
        max_response_headers: int = 1000,
        max_buffered: int = 65536,
        empty_pool_503: bool = False,
        max_conns: int = 0,
        balancing_algorithm: str = "round-robin",
        az_preference: str = "none",
        zone: str = "",
        failure_memory: float = 30.0,
        distrust_memory: float = 600.0,
        bodiless_rest: float = 0.02,
        sticky_cookie_names: Iterable[str] = ("JSESSIONID",),
        sticky_for_negotiate: bool = False,
        secure_cookies: bool = False,
        keeps_sticky_metadata: bool = False,
        takes_empty_length: bool = False,
        takes_h2c: bool = False,
        observes_requests: bool = True,
        observes_apps: bool = False,
        observes_routes: bool = False,
        traces_zipkin: bool = False,
        traces_w3c: bool = False,
        w3c_tenant_id: str = "",
        propagates_only: bool = False,
        backend_tls: ssl.SSLContext | None = None,
        backend_http2_tls: ssl.SSLContext | None = None,
        healthcheck_user_agent: str = "HTTP-Monitor/1.1",
        trace_key: str = "",
        local_ip: str = "127.0.0.1",
        refuses_client_ip: bool = True,
        forwarded_client_cert: str = "always_forward",
        forces_proto_https: bool = False,
        sanitizes_proto: bool = False,
        hop_by_hop_filter: Iterable[str] = (),
        removed_headers: Iterable[str] = (),
        added_headers: Iterable[str] = (),
        render_error: ErrorRenderer | None = None,
        resolve: Resolve | None = None,
        route_services: RouteServices | None = None,
    ) -> None: ...

class RouteServiceSigner(Protocol):
    """Signs what goes to route services, and validates what comes back (spec 5.9): header values as bytes, the URL as text.

    `validate` raises ValueError for a signature that does not hold, with a true attribute `is_expired` if it did once.
    """

    def sign(self, forwarded_url: str, /) -> tuple[bytes, bytes]: ...
    def validate(self, signature: bytes, metadata: bytes, /) -> str: ...

class RouteServices:
    """The router's side of all route services; without a signer they are off.

    `hairpin_port` (0: none) on 127.0.0.1 is the router's own listener for services that are apps of it, if
    `is_hairpin_host(host of the route)` allows. `is_blocked(ip)` says where nobody may go.
    """

    max_attempts: int

    def __init__(
        self,
        signer: RouteServiceSigner | None = None,
        *,
        max_attempts: int = 1,
        recommends_https: bool = False,
        is_strict: bool = False,
        allows_websockets: bool = False,
        tls: ssl.SSLContext | None = None,
        hairpin_port: int = 0,
        hairpin_tls: ssl.SSLContext | None = None,
        is_hairpin_host: Callable[[str], bool] | None = None,
        is_blocked: Callable[[str], bool] | None = None,
    ) -> None: ...

class Stats:
    """What all workers of a router count, in one mapping (`memory`: a writable buffer, zeroed at first) all its processes see.

    `worker` is whose column this process writes; `slots` are the endpoints there is room for. Raises ValueError for memory that
    is too small. `clear_worker` takes what a dead worker had in flight off the sums.
    `last_failure` is the time (monotonic, ns) of the last mark of a slot's endpoint, and why it was set; `failed_since` are the
    slots, of the first so many, with a later one. `bounds` are those of the histograms
    route_lookup_time (ns), gorouter_time (s), latency (ms), http_latency_seconds and fastrouter_route_latency_seconds; `histogram` gives bounds, counts (one more
    than bounds, not cumulative) and sum of one row, and `rows` how many values the label of a histogram can have.
    """

    workers: int
    slots: int
    worker: int

    def __init__(
        self, memory: Buffer, workers: int, slots: int, worker: int = 0, bounds: Sequence[Sequence[float]] = ...
    ) -> None: ...
    def histogram(self, name: str, row: int = 0) -> tuple[list[float], list[int], float]: ...
    @staticmethod
    def rows(name: str) -> int: ...
    @staticmethod
    def size(workers: int, slots: int) -> int: ...
    @staticmethod
    def private() -> Stats: ...
    def counts(self, worker: int | None = None) -> dict[str, int]: ...
    def attempts(self, row: int = 0) -> int: ...
    def responses(self, row: int) -> dict[str, int]: ...
    def count_lost_lines(self, count: int) -> None: ...
    def clear_mark(self, slot: int) -> None: ...
    def in_flight_of(self, slot: int) -> int: ...
    def last_failure(self, slot: int) -> tuple[int, str] | None: ...
    def failed_since(self, since_ns: int, slots: int) -> list[int]: ...
    def mark_of(self, slot: int) -> int: ...
    def failure_of(self, slot: int) -> str: ...
    def set_mark(self, slot: int, failed_at_ns: int) -> None: ...
    def take_used(self) -> list[int]: ...
    def requests_in_flight(self, worker: int | None = None) -> int: ...
    def clear_worker(self, worker: int) -> None: ...

class RouteCounters:
    """What each route has been asked for, in one mapping (`memory`: a writable buffer, zeroed at first) all processes see.

    Each of `blocks` is written by one worker; `block` is the one that this process writes, -1 for none. A route has one of `slots`,
    from 1 on. Raises ValueError for memory that is too small, or is laid out for other numbers. `begin` is called before the first
    route is registered, `end` when the worker of a block has ended. `owners` are (slot, `route_owner`) by some blocks.
    """

    blocks: int
    slots: int
    block: int

    def __init__(self, memory: Buffer, blocks: int, slots: int, block: int = -1) -> None: ...
    @staticmethod
    def size(blocks: int, slots: int) -> int: ...
    def begin(self) -> None: ...
    def end(self, block: int) -> None: ...
    def owners(self, first: int, last: int) -> list[tuple[int, int]]: ...

class RouteSnapshot:
    """The counters of all routes at one moment (`at_ns` by the monotonic clock), added up over the workers.

    `read` returns (owner, in flight, seconds, sums, latencies) of a slot since `earlier`, else since ever; None if the slot is
    nobody's or not `owner`'s (0: anybody's). `sums` are responses 2xx, 3xx, 4xx, 5xx and others, retries, responses that broke off,
    and the latencies' sum in ns; `latencies` count responses by their time, each bucket to twice the bound of the one before, from
    2^19 ns on. `top` returns the slots with the most requests, errors, p99 or inflight, and how many have any; `among` has a byte
    for each slot, 0 if it is not wanted.
    """

    count: int
    at_ns: int

    def __init__(self, counters: RouteCounters) -> None: ...
    def __len__(self) -> int: ...
    def read(
        self, slot: int, owner: int = 0, earlier: RouteSnapshot | None = None
    ) -> tuple[int, int, float, list[int], list[int]] | None: ...
    def top(
        self, by: str, limit: int, earlier: RouteSnapshot | None = None, among: bytes | None = None
    ) -> tuple[list[int], int]: ...
    def seconds_since(self, earlier: RouteSnapshot | None = None) -> float: ...

def route_owner(uri: str) -> int:
    """Return whose a slot is that the route `uri` has: a hash of its key, the same in all processes; never 0."""

def latency_at(latencies: Sequence[int], quantile: float) -> float:
    """Return the seconds within which a fraction of the responses came; the counts are those of `RouteSnapshot.read`."""

class RoutePolicy:
    """Which callers may reach an endpoint (spec 9.8): of `scope` any, org or space, and of one of the `sources`.

    Of the endpoint are `organization` and `space`, GUIDs.
    """

    scope: str
    sources: tuple[str, ...]

    def __init__(self, scope: str, sources: Iterable[str] = (), *, organization: str = "", space: str = "") -> None: ...

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
    is_draining: bool
    policy: RoutePolicy | None

    def set_draining(self, is_draining: bool) -> None: ...
    def share(self, stats: Stats, slot: int, component_row: int = 0, source_row: int = 0) -> None: ...
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
        envelope_tags: bytes = b"",
        policy: RoutePolicy | None = None,
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

def route_key(uri: str) -> str:
    """Return the key of a registered URI: lower case, no query, no outer slashes (spec 3.3)."""

@final
class MaglevTable:
    """Which endpoint each slot leads to, where requests are balanced by hash (spec 9.1). It is empty at first."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None: ...
    def fill(self, looks: int = ...) -> bool: ...
    def owners(self) -> list[Endpoint | None]: ...

@final
class IdleLimit:
    """How long connections to a backend may have been idle before it may close them at any moment (ADR 24). Times are in ns."""

    limit_ns: int
    clear_ns: int
    def is_clear(self, idle_ns: int, now_ns: int) -> bool: ...
    def on_end(self, idle_ns: int) -> None: ...
    def on_said(self, seconds: int) -> None: ...
    def on_lost(self, idle_ns: int, took_ns: int, now_ns: int) -> bool: ...
    def is_refuted(self, idle_ns: int) -> bool: ...
    def forget(self) -> None: ...

class RouteTable:
    """The hot read structure: host and path -> EndpointPool (spec 3.3, 3.7).

    A route that is registered with a slot counts in `counters`, as far as `count_in` has been called: before a data plane is made.
    """

    counters: RouteCounters | None

    def count_in(self, counters: RouteCounters) -> None: ...
    def register(self, uri: str, endpoint: Endpoint, slot: int = 0) -> None: ...
    def unregister(self, uri: str, address: str) -> bool: ...
    def drop(self, uri: str) -> bool: ...
    def set_route(
        self,
        uri: str,
        *,
        route_service_url: str = "",
        algorithm: str = "",
        latency_row: int = 0,
        hash_source: str = "",
        hash_name: str = "",
        hash_balance: float = 0.0,
    ) -> None: ...
    def lookup(self, host: str, path: str = "/") -> EndpointPool | None: ...
    def __len__(self) -> int: ...

class AccessLog:
    """Renders one line per exchange (spec 6.2) into a batch, and hands batches of whole lines to `sink`.

    `sink` gets bytes ending in a newline: at 64 KiB, and from the tick at most 0.5 s after the first line.
    It must not block and must not raise. `extra_fields` are of spec 6.2, others are ignored; `extra_headers` are names of
    request headers. `logs_refused` gives lines to requests that came to no handler. What it makes for a Metron is cut (spec 6.3),
    with `has_whole` only where the whole record, which another log has, is too long. `hides_forwarded_for`, `hides_source` and `redaction` (of the queries of GET requests) leave out what must
    not be kept. Raises ValueError for a redaction that is none.
    """

    def __init__(
        self,
        sink: Callable[[bytes], None],
        *,
        is_json: bool = False,
        has_whole: bool = False,
        logs_refused: bool = False,
        extra_fields: Iterable[str] = (),
        extra_headers: Iterable[str] = (),
        hides_forwarded_for: bool = False,
        hides_source: bool = False,
        redaction: str = "none",
    ) -> None: ...
    def flush(self) -> None: ...

class Metron:
    """Sends envelopes of dropsonde about requests to the Loggregator agent of the machine (spec 6.5, 7.5, 7.6).

    `descriptor`, which stays the caller's, is a datagram socket that is connected to the agent. `origin` is what all envelopes
    name as theirs. `sends_values` is for the times of each request, `sends_server_events` for an event about it and
    `sends_client_events` for one about each attempt; with `log` each request of an app has a record, as this log makes it, of
    the router that is number `source_instance`. Nothing is made, but for an envelope a second, while the agent does not listen.
    """

    sends_values: bool
    sends_server_events: bool
    sends_client_events: bool

    def __init__(
        self,
        descriptor: int,
        *,
        origin: str,
        sends_values: bool = False,
        sends_server_events: bool = False,
        sends_client_events: bool = False,
        log: AccessLog | None = None,
        source_instance: str = "0",
    ) -> None: ...
    def flush(self) -> None: ...

class Spans:
    """Makes the spans of requests in sampled traces, as OpenTelemetry has them, and gives them to `send` some at a time.

    `send` gets them as they stand in a `ScopeSpans` message, and their number: up to 64 KiB and a span, or what a tick has brought.
    Of the traces that begin here `ratio` (0 to 1) are sampled; where a client has sent a trace, it says whether. Requests have
    spans only with `traces_w3c`. Raises ValueError for any other ratio.
    """

    def __init__(self, send: Callable[[bytes, int], object], *, ratio: float) -> None: ...
    def flush(self) -> None: ...

class DataPlane:
    """One worker's data plane: a table, its settings, its deadlines, its connections.

    `start` begins the coarse tick on the running loop; `stop` ends it and aborts every connection.
    `new_client` is the protocol factory to give to `loop.create_server`. `drain` closes idle connections, and from then on
    every connection that becomes idle. `set_domains` holds clients to these, also those that are connected. `connection_counts` are client connections with a request in progress, and idle ones;
    tunnels and connections that never sent a request are in neither (spec 1.5). `on_prune` is called with route and address
    of a TLS endpoint that was removed because of how it responded (spec 5.2.4). `table_log` gets the lines about the pools of
    the table, which are the registry's in Gorouter; without one, `event_log` does. After `set_debug(True)` there are lines of
    level 0, several for each request. `on_table_changed` lets requests go on that wait for a route (`route_patience`).
    """

    def __init__(
        self,
        table: RouteTable,
        settings: Settings | None = None,
        access_log: AccessLog | None = None,
        event_log: EventLog | None = None,
        on_prune: Callable[[str, str], None] | None = None,
        stats: Stats | None = None,
        *,
        table_log: EventLog | None = None,
        metron: Metron | None = None,
        spans: Spans | None = None,
    ) -> None: ...
    def start(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def stop(self) -> None: ...
    def new_client(self) -> asyncio.Protocol: ...
    def drain(self, *, closes_idle: bool = True) -> None: ...
    def connection_counts(self) -> tuple[int, int]: ...
    def has_connections(self) -> bool: ...
    def set_health(self, is_healthy: bool) -> None: ...
    def set_domains(self, domains: Iterable[MutualTLSDomain]) -> None: ...
    def on_table_changed(self) -> None: ...
    def set_debug(self, logs_debug: bool) -> None: ...
    def add_tail(self, tail: Tail) -> None: ...
    def remove_tail(self, tail: Tail) -> None: ...
    def stats(self) -> dict[str, int]: ...

class RequestWalk:
    """Finds the oldest requests under way that are older than some seconds, at most 1,000 of them, a few connections a `step`.

    `count` are all that are old enough, so far. `requests` are (method, host, path, route, endpoint, state, seconds, bytes received,
    bytes sent, client, attempts, protocol, request id), the oldest first.
    """

    count: int

    def __init__(self, plane: DataPlane, older_than: float = 0.0, limit: int = 100) -> None: ...
    def step(self, looks: int) -> bool: ...
    def requests(self) -> list[tuple[str, str, str, str, str, str, float, int, int, str, int, str, str]]: ...

class Tail:
    """Keeps records of requests that end, for `DataPlane.add_tail`.

    They are those of one route, of statuses that begin with a digit, slower than some seconds, and of these a fraction. Raises
    ValueError for a filter that is none.

    `take` returns the records since the last call, and how many more there would have been; `room` is for how many more there is
    room until the next call. A record is (Unix time, method, host, path, status, route, endpoint, seconds, bytes received, bytes
    sent, client, attempts, protocol, router error, request id).
    """

    def __init__(
        self, *, route: str = "", status_class: int = 0, slower_than: float = 0.0, sample: float = 1.0
    ) -> None: ...
    def take(
        self, room: int
    ) -> tuple[list[tuple[float, str, str, str, int, str, str, float, int, int, str, int, str, str, str]], int]: ...

def explain(
    plane: DataPlane,
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]] = (),
    client_ip: str = "192.0.2.1",
    caller: Iterable[str] = (),
) -> dict[str, Any]:
    """Return what `plane` would do with a request, as the fields of `ipc.inspection.Explanation`; it changes nothing.

    `caller` is what a certificate would say of the client: `app:`, `space:` and `organization:` with a GUID, SPIFFE ids.
    Raises ValueError for what is no request, and names no caller.
    """

@final
class Caller:
    """Who a client is: GUIDs of its app, space and organization, as far as they are known, and SPIFFE ids."""

    def __init__(
        self, app: str = "", space: str = "", organization: str = "", spiffe_ids: Iterable[str] = ()
    ) -> None: ...

# The arguments of Caller; None: a certificate that names nobody.
CallerNames = tuple[str, str, str, Sequence[str]]

@final
class MutualTLSDomain:
    """A domain, a host or `*.` with what is behind its first label, whose clients show a certificate of its own CAs (spec 9.8).

    `identify` says whom a certificate (DER) names, `identify_header` whom the value of an X-Forwarded-Client-Cert does, and
    `render` makes such a value of a certificate. `secure` must be called before clients may ask for it by SNI.
    """

    name: str
    forwarded_client_cert: str

    def __init__(
        self,
        name: str,
        *,
        identify: Callable[[bytes], CallerNames | None],
        identify_header: Callable[[bytes], CallerNames | None],
        render: Callable[[bytes], bytes],
        forwarded_client_cert: str = "sanitize_set",
    ) -> None: ...
    def secure(self, context: ssl.SSLContext, is_allowed: Callable[[ssl.SSLObject], bool] | None = None) -> None: ...

class ListenerProtocol:
    """How the connections of one listener become clients: `new_connection` is its protocol factory.

    With `reads_proxy_headers` a connection may begin with a PROXY header, if `is_trusted_proxy` is there only one from an IP
    that it says yes to. After `secure`, connections begin with a TLS handshake (behind the header): with a server's `context`,
    for clients that offer one of `protocols` or know no ALPN (none: whatever they offer), and that `is_allowed` says yes to, as
    far as it is there, when the handshake is complete. If the listener `knows_domains`, a client that asks for a MutualTLSDomain
    of the data plane shakes hands by the rules of that.
    """

    def __init__(
        self,
        plane: DataPlane,
        *,
        reads_proxy_headers: bool = False,
        is_trusted_proxy: Callable[[str], bool] | None = None,
    ) -> None: ...
    def secure(
        self,
        context: ssl.SSLContext,
        *,
        protocols: tuple[bytes, ...] = (),
        is_allowed: Callable[[ssl.SSLObject], bool] | None = None,
        knows_domains: bool = False,
    ) -> None: ...
    def new_connection(self) -> asyncio.Protocol: ...

def parse_proxy_header(data: bytes) -> tuple[int, bytes | None, int] | None:
    """Read the PROXY header at the beginning of `data`: its size, and IP and port of the client, as far as it names them.

    The size is 0 if there is no header. None: this may become one, and is not complete. Raises ValueError for a header that
    is malformed.
    """

def has_foreign_protocols(data: bytes, spoken: tuple[bytes, ...]) -> bool | None:
    """Whether the ClientHello at the beginning of `data` offers protocols, and none that is `spoken`.

    None while it is not complete; False for what is no ClientHello.
    """

def server_name_in(data: bytes) -> bytes | None:
    """Return the host that the ClientHello at the beginning of `data` asks for by SNI; None if it names none, or is not complete."""

def send_datagrams(descriptor: int, messages: list[bytes]) -> tuple[int, int]:
    """Send `messages` over a connected, blocking UDP socket, without the GIL.

    Returns how many of them were lost, and the errno of the last loss, or 0.
    """

HTTP2Fields = tuple[tuple[bytes, bytes], ...]

class MalformedFieldsError(ValueError):
    """These fields are no message of HTTP/2: a stream error of type PROTOCOL_ERROR."""

def http2_request_head(fields: HTTP2Fields, has_body: bool) -> bytes:
    """Translate the fields of a request into a head of HTTP/1.1; `has_body`: its stream goes on. Raises MalformedFieldsError."""

def http2_response_head(fields: HTTP2Fields, has_body: bool) -> bytes:
    """Translate the fields of a response, interim or final, in the same way."""

def http2_trailer_lines(fields: HTTP2Fields) -> bytes:
    """Translate the fields of a trailer section into lines. Raises MalformedFieldsError."""

def http2_request_fields(head: bytes, is_secure: bool) -> list[tuple[bytes, bytes]]:
    """Translate a request head that the router has rendered; `is_secure`: it goes over TLS."""

def http2_response_fields(head: bytes) -> list[tuple[bytes, bytes]]:
    """Translate a response head that the router has rendered."""
