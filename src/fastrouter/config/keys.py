"""Every key of Gorouter's configuration, as frozen structs: type, default, meaning (spec 2.2, 9).

A field is named as its key. `Annotated` adds to its type what the key means. Lists are tuples, durations are
`Duration`, texts in PEM are `str`. The structs check nothing; `fastrouter.config.load` does.
"""

from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from fastrouter.config.duration import Duration
from fastrouter.config.error import ConfigError
from fastrouter.config.section import Int, Key, Port, Section, Uint, Uint32, Width
from fastrouter.config.sections import (
    FORWARDED_CLIENT_CERT_MODES,
    AccessLog,
    Admin,
    Backends,
    ClientCertificateRule,
    HTTPRewrite,
    KeyPair,
    Logging,
    MutualTLSDomain,
    Nats,
    OAuth,
    Prometheus,
    RouteServices,
    RoutingAPI,
    Status,
    StatusTLS,
    TableSnapshot,
    Tracing,
)

SHARDING_MODES = ("all", "segments", "shared-and-segments")
# The Gorouter of April 2025, and those after it.
GENERATIONS = (APRIL_2025, CURRENT) = ("april-2025", "current")
BALANCING_ALGORITHMS = ("round-robin", "least-connection")
AZ_PREFERENCES = ("none", "locally-optimistic")
CLIENT_CERT_VALIDATIONS = ("none", "request", "require")
MIN_TLS_VERSIONS = ("", "TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1.0")
MAX_TLS_VERSIONS = ("", "TLSv1.2", "TLSv1.3")

# Characters that a key of session tickets has at least: whoever holds a ticket can try keys on it at leisure.
TICKET_KEY_MIN = 32

# What stands in front of the component in the `source` of a log line when `logging.syslog` is empty (spec 1.3).
DEFAULT_LOG_SOURCE = "gorouter.stdout"
DEFAULT_TLS_VERSION = "TLSv1.2"


class Derived(msgspec.Struct, frozen=True, kw_only=True):
    """What loading finds out beyond the values of keys. Without a file nothing is derived (spec 1.1)."""

    local_ip: str = ""
    """The address this machine is reached at: the source of packets to the outside."""
    client_cert_validation: str = "none"
    """As the key, but `none` without `enable_ssl`."""
    min_tls_version: str = DEFAULT_TLS_VERSION
    """`TLSv1.0` to `TLSv1.3`; as the key, but the default without `enable_ssl`."""
    max_tls_version: str = DEFAULT_TLS_VERSION
    """`TLSv1.2` or `TLSv1.3`; as the key, but the default without `enable_ssl`."""
    openssl_ciphers: tuple[str, ...] | None = None
    """OpenSSL's names of the suites up to TLS 1.2; None: the library's own choice (without `enable_ssl`)."""
    lines: dict[str, int] = {}
    """Dotted paths of the keys that the file has, with their lines (from 1)."""
    unknown: tuple[ConfigError, ...] = ()
    """Keys of the file that no Gorouter has, each as the fault that it is where they are refused."""


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration; `Config()` is what Gorouter uses without a file."""

    status: Status = Status()
    nats: Nats = Nats()
    logging: Logging = Logging()
    prometheus: Prometheus = Prometheus()
    tracing: Tracing = Tracing()
    access_log: AccessLog = AccessLog()

    gorouter_generation: Annotated[
        str, Key("Whose defaults and ways hold (a key of fastrouter's)", choices=GENERATIONS)
    ] = APRIL_2025
    port: Annotated[Port, Key("HTTP port, on all interfaces")] = 8081
    index: Annotated[Uint, Key("Number of this instance")] = 0
    zone: Annotated[str, Key("Availability zone of this instance")] = ""
    go_max_procs: Annotated[Int, Key("CPUs to use; -1: all, 0: left to the runtime")] = -1
    trace_key: Annotated[str, Key("Requests whose `X-Vcap-Trace` equals it get trace headers in the response")] = ""
    debug_addr: Annotated[str, Key("`HOST:PORT` of the debug server; empty: none")] = ""
    pid_file: Annotated[str, Key("Never written", inert=True)] = ""

    enable_proxy: Annotated[bool, Key("Expect the PROXY protocol on both main listeners")] = False
    trusted_proxies: Annotated[
        tuple[str, ...],
        Key("Networks, such as `10.0.0.0/8`, that alone may send PROXY headers; none: all (a key of fastrouter's)"),
    ] = ()
    enable_ssl: Annotated[bool, Key("Listen for HTTPS")] = False
    ssl_port: Annotated[Port, Key("HTTPS port")] = 443
    disable_http: Annotated[bool, Key("Do not listen for HTTP")] = False
    enable_http2: Annotated[bool, Key("Offer HTTP/2 to clients, and use it with backends that ask for it")] = True
    enable_h2c: Annotated[
        bool, Key("Take HTTP/2 in the clear, too, of clients that know it is spoken here (a key of fastrouter's)")
    ] = False
    enable_http1_concurrent_read_write: Annotated[
        bool, Key("Relay a response while the request is read; fastrouter always does", inert=True)
    ] = False
    tls_pem: Annotated[tuple[KeyPair, ...], Key("Server certificates; mandatory with `enable_ssl`")] = ()
    ca_certs: Annotated[
        tuple[str, ...], Key("CAs, besides the system's, that verify backends and route services, PEM")
    ] = ()
    ca_certs_file: Annotated[str, Key("Their file, in place of `ca_certs` (ours)", holds="ca_certs")] = ""
    client_ca_certs: Annotated[str, Key("CAs that verify clients, PEM")] = ""
    client_ca_certs_file: Annotated[
        str, Key("Their file, in place of `client_ca_certs` (ours)", holds="client_ca_certs")
    ] = ""
    skip_ssl_validation: Annotated[bool, Key("Accept any certificate of a route service")] = False
    forwarded_client_cert: Annotated[
        str, Key("What becomes of X-Forwarded-Client-Cert", choices=FORWARDED_CLIENT_CERT_MODES)
    ] = "always_forward"
    force_forwarded_proto_https: Annotated[bool, Key("Always send `X-Forwarded-Proto: https`")] = False
    sanitize_forwarded_proto: Annotated[bool, Key("Overwrite the client's X-Forwarded-Proto")] = False
    hop_by_hop_headers_to_filter: Annotated[
        tuple[str, ...], Key("Names taken out of a request's Connection header")
    ] = ()
    isolation_segments: Annotated[tuple[str, ...], Key("Segments this router serves")] = ()
    routing_table_sharding_mode: Annotated[str, Key("Whose routes are taken", choices=SHARDING_MODES)] = "all"
    cipher_suites: Annotated[str, Key("Colon-separated, OpenSSL or RFC names; mandatory with `enable_ssl`")] = ""
    min_tls_version: Annotated[str, Key("Lowest TLS version; empty: TLSv1.2", choices=MIN_TLS_VERSIONS)] = ""
    max_tls_version: Annotated[str, Key("Highest TLS version; empty: TLSv1.2", choices=MAX_TLS_VERSIONS)] = ""
    client_cert_validation: Annotated[
        str, Key("Whether clients show a certificate; mandatory with `enable_ssl`", choices=CLIENT_CERT_VALIDATIONS)
    ] = ""
    only_trust_client_ca_certs: Annotated[bool, Key("Verify clients without the system's CAs")] = False
    tls_session_ticket_key: Annotated[
        str,
        Key(
            f"At least {TICKET_KEY_MIN} characters; HTTPS sessions go on with all routers that have the same; "
            "empty: a random one (a key of fastrouter's)",
            secret=True,
        ),
    ] = ""
    tls_handshake_timeout: Annotated[Duration, Key("For a TLS handshake with a backend")] = Duration.of(10)
    enable_verify_client_certificate_metadata: Annotated[
        bool, Key("Hold clients to `verify_client_certificate_metadata`")
    ] = False
    verify_client_certificate_metadata: Annotated[
        tuple[ClientCertificateRule, ...], Key("Which certificates a client CA may vouch for")
    ] = ()
    domains: Annotated[tuple[MutualTLSDomain, ...], Key("Domains with client CAs of their own")] = ()

    load_balancer_healthy_threshold: Annotated[Duration, Key("Not negative; unused", inert=True)] = Duration(0)
    publish_start_message_interval: Annotated[Duration, Key("Unused", inert=True)] = Duration.of(30)
    suspend_pruning_if_nats_unavailable: Annotated[bool, Key("Keep stale routes while NATS is down")] = False
    prune_stale_droplets_interval: Annotated[Duration, Key("Between prunings; 0: none")] = Duration.of(30)
    droplet_stale_threshold: Annotated[
        Duration, Key("Age at which a route is stale; at least `start_response_delay_interval`")
    ] = Duration.of(120)
    publish_active_apps_interval: Annotated[Duration, Key("Between announcements of active apps; 0: none")] = Duration(
        0
    )
    start_response_delay_interval: Annotated[Duration, Key("From the start to the first connection")] = Duration.of(5)
    nats_client_ping_interval: Annotated[Duration, Key("Between pings to NATS")] = Duration.of(20)

    endpoint_timeout: Annotated[Duration, Key("For a response of a backend; 0: no limit")] = Duration.of(60)
    http_1_endpoint_timeout: Annotated[Duration, Key("The same for HTTP/1 clients; 0: `endpoint_timeout`")] = Duration(
        0
    )
    http_2_endpoint_timeout: Annotated[Duration, Key("The same for HTTP/2 clients; 0: `endpoint_timeout`")] = Duration(
        0
    )
    http2_ping_interval: Annotated[
        Duration,
        Key(
            "Silence of an HTTP/2 backend that owes a response until it is sent a PING; 0: none (a key of fastrouter's)"
        ),
    ] = Duration.of(30)
    http2_ping_timeout: Annotated[Duration, Key("For it to say anything then; 0: no limit (a key of fastrouter's)")] = (
        Duration.of(15)
    )
    endpoint_dial_timeout: Annotated[Duration, Key("For a connection to a backend")] = Duration.of(5)
    websocket_dial_timeout: Annotated[Duration, Key("Unused; 0: `endpoint_dial_timeout`", inert=True)] = Duration(0)
    endpoint_keep_alive_probe_interval: Annotated[
        Duration, Key("Between TCP keep-alive probes to backends; negative: none")
    ] = Duration.of(1)
    route_services_timeout: Annotated[Duration, Key("Life of a route service's signature")] = Duration.of(60)
    frontend_idle_timeout: Annotated[
        Duration,
        Key("Until an idle client is disconnected, or a tunnel of which one side takes nothing that is sent to it"),
    ] = Duration.of(900)
    read_header_timeout: Annotated[Duration, Key("For the head of a request; 0: no limit")] = Duration(0)
    route_latency_metric_muzzle_duration: Annotated[
        Duration, Key("From the start to the first registration latency that is reported")
    ] = Duration.of(20)
    drain_wait: Annotated[Duration, Key("How long a draining router still accepts connections")] = Duration(0)
    drain_timeout: Annotated[Duration, Key("How long a drain waits for requests in flight; 0: `endpoint_timeout`")] = (
        Duration(0)
    )
    healthcheck_poll_interval: Annotated[Duration, Key("For the separate health checker", inert=True)] = Duration.of(10)
    healthcheck_timeout: Annotated[Duration, Key("For the separate health checker", inert=True)] = Duration.of(5)

    secure_cookies: Annotated[bool, Key("Mark sticky session cookies as Secure")] = False
    sticky_session_cookie_names: Annotated[
        frozenset[str], Key("Cookies of applications that make a session sticky; replaces the default")
    ] = frozenset({"JSESSIONID"})
    sticky_session_metadata: Annotated[
        bool, Key("Stick as later Gorouters do, with `__VCAP_ID_META__` and any Max-Age (a key of fastrouter's)")
    ] = False
    sticky_sessions_for_auth_negotiate: Annotated[bool, Key("Make sessions with Negotiate sticky")] = False
    healthcheck_user_agent: Annotated[str, Key("User-Agent of a load balancer's health check")] = "HTTP-Monitor/1.1"

    oauth: OAuth = OAuth()
    routing_api: RoutingAPI = RoutingAPI()
    token_fetcher_max_retries: Annotated[Uint32, Key("Retries for a token")] = 3
    token_fetcher_retry_interval: Annotated[Duration, Key("Between these retries")] = Duration.of(5)
    token_fetcher_expiration_buffer_time: Annotated[Int, Key("Seconds before its end that a token is renewed")] = 30

    backends: Backends = Backends()
    balancing_algorithm: Annotated[str, Key("How endpoints take turns", choices=BALANCING_ALGORITHMS)] = "round-robin"
    balancing_algorithm_az_preference: Annotated[
        str, Key("Whether endpoints of the own zone come first", choices=AZ_PREFERENCES)
    ] = "none"
    disable_keep_alives: Annotated[bool, Key("Open a connection to a backend for every request")] = True
    max_idle_conns: Annotated[Int, Key("Idle connections per endpoint at most")] = 100
    max_idle_conns_per_host: Annotated[Int, Key("Idle connections kept per endpoint")] = 2
    learn_idle_limits: Annotated[
        bool,
        Key(
            "Keep requests that cannot be repeated off connections that their backend may be closing "
            "(a key of fastrouter's)"
        ),
    ] = True

    route_services: RouteServices = RouteServices()
    route_services_secret: Annotated[str, Key("Secret of signatures; turns route services on", secret=True)] = ""
    route_services_secret_decrypt_only: Annotated[str, Key("The secret before that one", secret=True)] = ""
    route_services_recommend_https: Annotated[bool, Key("Give route services an https URL to return to")] = False
    route_services_hairpinning: Annotated[bool, Key("Look route services up in the own routing table")] = False
    route_services_hairpinning_allowlist: Annotated[
        tuple[str, ...], Key("Hosts this is done for, `host.domain` or `*.domain`; none: all")
    ] = ()
    route_services_internal_server_port: Annotated[Port, Key("Port for that, on 127.0.0.1; 0: any")] = 7070

    max_request_header_bytes: Annotated[Int, Key("Bytes of a request's head; less than 1 or over 1 MiB: 1 MiB")] = 0
    max_large_header_bytes: Annotated[
        Int,
        Key(
            "Bytes that request heads over 32 KiB may take together in a worker; less than 1: any "
            "(a key of fastrouter's)"
        ),
    ] = 4194304
    max_response_header_bytes: Annotated[Int, Key("Bytes of a response's head; 0: 10 MiB")] = 0
    max_request_headers: Annotated[Int, Key("Number of request headers; 0: any")] = 0
    max_response_headers: Annotated[Int, Key("Number of response headers; 0: any")] = 0
    keep_alive_100_continue_requests: Annotated[bool, Key("Gone from later Gorouters", inert=True)] = False
    extra_headers_to_log: Annotated[tuple[str, ...], Key("Request headers added to access logs")] = ()
    http_rewrite: HTTPRewrite = HTTPRewrite()
    empty_pool_response_code_503: Annotated[bool, Key("Status 503 while a route has lost all its endpoints")] = False
    empty_pool_timeout: Annotated[Duration, Key("How long such a route is remembered")] = Duration(0)
    html_error_template_file: Annotated[str, Key("File of the template of error pages; empty: plain text")] = ""

    per_request_metrics_reporting: Annotated[bool, Key("Report metrics of every request")] = True
    enable_envelope_v1_metrics: Annotated[bool, Key("Emit metrics to the Loggregator agent")] = True
    send_http_start_stop_server_event: Annotated[bool, Key("Emit an event per request")] = True
    send_http_start_stop_client_event: Annotated[bool, Key("Emit an event per attempt")] = True
    per_app_prometheus_http_metrics_reporting: Annotated[bool, Key("Label `http_latency_seconds` with the app")] = False

    admin: Admin = Admin()
    table_snapshot: TableSnapshot = TableSnapshot()

    derived: Derived = Derived()

    @property
    def log_source(self) -> str:
        """What stands in front of the component in the `source` of every log line."""
        return self.logging.syslog or DEFAULT_LOG_SOURCE

    @property
    def has_status_tls(self) -> bool:
        """Whether health is served over TLS."""
        return self.status.tls != StatusTLS()

    @property
    def has_admin(self) -> bool:
        """Whether there is an admin API."""
        return self.admin.socket != "" or self.admin.listen != ""

    @property
    def has_routing_api(self) -> bool:
        """Whether routes also come from the routing API."""
        return self.routing_api.uri != "" and self.routing_api.port != 0

    @property
    def has_route_services(self) -> bool:
        """Whether route services are supported: whether they have a secret."""
        return self.route_services_secret != ""

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of the file, for editors."""
        from fastrouter.config.reference import schema  # noqa: PLC0415 who only routes does not pay for it

        return schema()


class Field(NamedTuple):
    """One field of a section: its attribute, the key it is in the file, its type without annotations, and these."""

    attribute: str
    key: str
    kind: Any
    default: Any
    about: Key | None
    width: Width | None


@cache
def fields_of(section: type[Section]) -> tuple[Field, ...]:
    """Return the fields of a section that are keys of the file, in order."""
    hints = get_type_hints(section, include_extras=True)
    fields = []
    for field in msgspec.structs.fields(section):
        hint = hints[field.name]
        if hint is Derived:
            continue
        kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        about = next((note for note in notes if isinstance(note, Key)), None)
        width = next((note for note in notes if isinstance(note, Width)), None)
        fields.append(Field(field.name, field.encode_name, kind, field.default, about, width))
    return tuple(fields)
