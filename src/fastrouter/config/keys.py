"""Every key of Gorouter's configuration, as frozen structs: type, default, meaning (spec 2.2, 9).

A field is named as its key. `Annotated` adds to its type what the key means. Lists are tuples, durations are
`Duration`, texts in PEM are `str`. The structs check nothing; `fastrouter.config.load` does.
"""

from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from fastrouter.config.duration import Duration
from fastrouter.logs.logger import LEVELS

REDACTION_MODES = ("none", "all", "hash")
FORWARDED_CLIENT_CERT_MODES = ("always_forward", "forward", "sanitize_set")
XFCC_FORMATS = ("raw", "envoy")
SHARDING_MODES = ("all", "segments", "shared-and-segments")
BALANCING_ALGORITHMS = ("round-robin", "least-connection")
AZ_PREFERENCES = ("none", "locally-optimistic")
CLIENT_CERT_VALIDATIONS = ("none", "request", "require")
MIN_TLS_VERSIONS = ("", "TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1.0")
MAX_TLS_VERSIONS = ("", "TLSv1.2", "TLSv1.3")
ACCESS_LOG_FORMATS = ("text", "json")
LOG_LEVELS = tuple(LEVELS)

# Characters that a key of session tickets has at least: whoever holds a ticket can try keys on it at leisure.
TICKET_KEY_MIN = 32

# What stands in front of the component in the `source` of a log line when `logging.syslog` is empty (spec 1.3).
DEFAULT_LOG_SOURCE = "gorouter.stdout"
DEFAULT_TLS_VERSION = "TLSv1.2"


class Key(NamedTuple):
    """What is to be said of a key beyond its type: its meaning, and how it is treated.

    A `secret` is masked where the configuration is shown. An `inert` key has no effect, and is not to get any.
    `choices` are the values that a text may have.
    """

    meaning: str
    secret: bool = False
    inert: bool = False
    choices: tuple[str, ...] = ()


class Width(NamedTuple):
    """The range of an integer, and the short name of that range."""

    name: str
    low: int
    high: int


Port = Annotated[int, Width("u16", 0, 2**16 - 1)]
# Gorouter of 2024 writes -1 for "no port"; it becomes 0.
OptionalPort = Annotated[int, Width("u16 or -1", -1, 2**16 - 1)]
Int = Annotated[int, Width("int", -(2**63), 2**63 - 1)]
Uint = Annotated[int, Width("uint", 0, 2**64 - 1)]
Uint32 = Annotated[int, Width("u32", 0, 2**32 - 1)]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping with known keys. Keys that it does not know are nobody's concern (spec 2.1)."""


class KeyPair(Section, frozen=True, kw_only=True):
    """A certificate chain with its private key, both in PEM."""

    cert_chain: Annotated[str, Key("Certificate chain, PEM")] = ""
    private_key: Annotated[str, Key("Its private key, PEM", secret=True)] = ""


class StatusRoutes(Section, frozen=True, kw_only=True):
    """`status.routes`."""

    port: Annotated[Port, Key("Port of `/routes`, on 127.0.0.1")] = 8082


class StatusTLS(Section, frozen=True, kw_only=True):
    """`status.tls`; all defaults together count as not configured."""

    port: Annotated[Port, Key("Port of the health endpoints over TLS")] = 8443
    certificate: Annotated[str, Key("Its certificate chain, PEM")] = ""
    key: Annotated[str, Key("Its private key, PEM", secret=True)] = ""


class Status(Section, frozen=True, kw_only=True):
    """`status`: what tells about the router itself."""

    host: Annotated[str, Key("Address of the deprecated component listener; the health endpoints are on all")] = (
        "0.0.0.0"
    )
    port: Annotated[Port, Key("Port of the health endpoints without TLS")] = 8080
    enable_nontls_health_checks: Annotated[bool, Key("Serve the health endpoints without TLS")] = True
    enable_deprecated_varz_healthz_endpoints: Annotated[
        bool, Key("Serve `/varz` and `/healthz` on `status.port`, in place of the health endpoints without TLS")
    ] = False
    user: Annotated[str, Key("User of `/routes` and `/varz`")] = ""
    pass_: Annotated[str, Key("Password of that user", secret=True)] = msgspec.field(default="", name="pass")
    routes: StatusRoutes = StatusRoutes()
    tls: StatusTLS = StatusTLS()


class NatsHost(Section, frozen=True, kw_only=True):
    """One NATS server."""

    hostname: Annotated[str, Key("Host name or address")] = ""
    port: Annotated[Port, Key("Port")] = 0


class Nats(KeyPair, frozen=True, kw_only=True):
    """`nats`: the bus where backends register; the pair is the client's, and may be left out."""

    hosts: Annotated[tuple[NatsHost, ...], Key("Servers; one that fails is followed by another, for ever")] = (
        NatsHost(hostname="localhost", port=4222),
    )
    user: Annotated[str, Key("User on every server")] = ""
    pass_: Annotated[str, Key("Password of that user", secret=True)] = msgspec.field(default="", name="pass")
    tls_enabled: Annotated[bool, Key("Connect with TLS")] = False
    ca_certs: Annotated[str, Key("CAs that verify the servers, PEM")] = ""


class LoggingFormat(Section, frozen=True, kw_only=True):
    """`logging.format`."""

    timestamp: Annotated[str, Key("`rfc3339`; anything else: seconds since the epoch")] = "unix-epoch"


class Logging(Section, frozen=True, kw_only=True):
    """`logging`: the process log, and where access logs go."""

    syslog: Annotated[str, Key("Source of log lines and syslog app-name; empty: `gorouter.stdout`")] = ""
    syslog_addr: Annotated[str, Key("`HOST:PORT` that access logs are streamed to")] = "127.0.0.1:514"
    syslog_network: Annotated[str, Key("Network of the stream; begins with `tcp` or `udp`")] = "udp"
    syslog_truncate: Annotated[Int, Key("Bytes that a streamed record is cut to; 0: not cut")] = 0
    level: Annotated[str, Key("Least severe level that is logged, all lower or all upper case", choices=LOG_LEVELS)] = (
        "debug"
    )
    loggregator_enabled: Annotated[bool, Key("Emit access logs to the Loggregator agent")] = False
    metron_address: Annotated[str, Key("`HOST:PORT` of the Loggregator agent (UDP)")] = "localhost:3457"
    disable_log_forwarded_for: Annotated[bool, Key("Log `-` for X-Forwarded-For")] = False
    disable_log_source_ip: Annotated[bool, Key("Log `-` for the client's address")] = False
    redact_query_params: Annotated[str, Key("How queries of GET requests are logged", choices=REDACTION_MODES)] = "none"
    format: LoggingFormat = LoggingFormat()
    extra_access_log_fields: Annotated[
        tuple[str, ...], Key("Fields added to access logs, such as `backend_time`; unknown ones are ignored")
    ] = ()


class PrometheusMeters(Section, frozen=True, kw_only=True):
    """`prometheus.meters`: upper bounds of histogram buckets."""

    route_lookup_time_histogram_buckets: Annotated[tuple[float, ...], Key("Of route lookups, in nanoseconds")] = tuple(
        float(step) for step in range(10_000, 100_001, 10_000)
    )
    gorouter_time_histogram_buckets: Annotated[tuple[float, ...], Key("Of time in the router, in milliseconds")] = (
        *(1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 50.0, 100.0, 500.0, 1000.0),
    )
    route_registration_latency_histogram_buckets: Annotated[
        tuple[float, ...], Key("Of time from a registration to its effect, in milliseconds")
    ] = (0.1, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
    routing_response_latency_histogram_buckets: Annotated[tuple[float, ...], Key("Of responses, in milliseconds")] = (
        *(1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 50.0, 100.0, 500.0, 1000.0),
    )
    http_latency_histogram_buckets: Annotated[tuple[float, ...], Key("Of `http_latency_seconds`")] = (
        *(0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6),
    )


class Prometheus(Section, frozen=True, kw_only=True):
    """`prometheus`: the `/metrics` listener on 127.0.0.1."""

    enabled: Annotated[bool, Key("Serve `/metrics`; left out, a `port` other than 0 turns it on as in 2024")] = False
    port: Annotated[Port, Key("Port of `/metrics`")] = 0
    cert_path: Annotated[str, Key("File of its certificate; with it, clients need one too")] = ""
    key_path: Annotated[str, Key("File of its private key")] = ""
    ca_path: Annotated[str, Key("File of the CAs that verify clients")] = ""
    gauges: Annotated[bool, Key("Times are gauges, as in later Gorouters, instead of histograms")] = False
    route_latency: Annotated[bool, Key("Report `fastrouter_route_latency_seconds`, by route")] = False
    meters: PrometheusMeters = PrometheusMeters()


class Tracing(Section, frozen=True, kw_only=True):
    """`tracing`."""

    enable_zipkin: Annotated[bool, Key("Send B3 headers")] = False
    enable_w3c: Annotated[bool, Key("Send W3C trace headers")] = False
    w3c_tenant_id: Annotated[str, Key("Tenant in `tracestate`")] = ""


class AccessLog(Section, frozen=True, kw_only=True):
    """`access_log`."""

    file: Annotated[str, Key("File that access logs are appended to; empty: none")] = ""
    enable_streaming: Annotated[bool, Key("Stream access logs to `logging.syslog_addr`")] = False
    format: Annotated[str, Key("Format of access logs (ours)", choices=ACCESS_LOG_FORMATS)] = "text"
    refused_requests: Annotated[bool, Key("Log requests that are refused before any handler, too (ours)")] = False


class DistinguishedName(Section, frozen=True, kw_only=True):
    """The subject of a certificate, as far as Gorouter compares it."""

    country: Annotated[tuple[str, ...], Key("C")] = ()
    organization: Annotated[tuple[str, ...], Key("O")] = ()
    organizational_unit: Annotated[tuple[str, ...], Key("OU")] = ()
    common_name: Annotated[str, Key("CN")] = ""
    serial_number: Annotated[str, Key("SERIALNUMBER")] = ""
    locality: Annotated[tuple[str, ...], Key("L")] = ()
    province: Annotated[tuple[str, ...], Key("ST")] = ()
    street_address: Annotated[tuple[str, ...], Key("STREET")] = ()
    postal_code: Annotated[tuple[str, ...], Key("POSTALCODE")] = ()

    def __str__(self) -> str:
        """Return the name as Go prints it; two names are the same if they print the same (spec 8.6)."""
        attributes = (
            ("SERIALNUMBER", (self.serial_number,) if self.serial_number else ()),
            ("CN", (self.common_name,) if self.common_name else ()),
            ("POSTALCODE", self.postal_code),
            ("STREET", self.street_address),
            ("ST", self.province),
            ("L", self.locality),
            ("OU", self.organizational_unit),
            ("O", self.organization),
            ("C", self.country),
        )
        return ",".join(
            "+".join(f"{kind}={_escaped(value)}" for value in values) for kind, values in attributes if values
        )


def _escaped(value: str) -> str:
    # RFC 2253 section 2.4.
    text = "".join(f"\\{character}" if character in ',+"\\<>;' else character for character in value)
    if value[:1] in (" ", "#"):
        text = f"\\{text}"
    if len(value) > 1 and value.endswith(" "):
        text = f"{text[:-1]}\\ "
    return text


class ClientCertificateRule(Section, frozen=True, kw_only=True):
    """Whom a client CA may vouch for."""

    issuer_in_chain: Annotated[DistinguishedName, Key("Subject of a CA of `client_ca_certs`")] = DistinguishedName()
    valid_cert_subjects: Annotated[tuple[DistinguishedName, ...], Key("Subjects accepted below that CA")] = ()


class OAuth(Section, frozen=True, kw_only=True):
    """`oauth`: the UAA that gives tokens for the routing API."""

    token_endpoint: Annotated[str, Key("Host of the UAA")] = ""
    port: Annotated[OptionalPort, Key("Port of the UAA; 0 or -1: none, which is an error when a token is needed")] = 0
    skip_ssl_validation: Annotated[bool, Key("Accept any certificate of the UAA")] = False
    client_name: Annotated[str, Key("OAuth client")] = ""
    client_secret: Annotated[str, Key("Secret of that client", secret=True)] = ""
    ca_certs: Annotated[str, Key("**File** of the CAs that verify the UAA")] = ""


class RoutingAPI(KeyPair, frozen=True, kw_only=True):
    """`routing_api`: a second source of routes, used when both `uri` and `port` are given; the pair is the client's."""

    uri: Annotated[str, Key("Scheme and host, without port")] = ""
    port: Annotated[Int, Key("Port")] = 0
    auth_disabled: Annotated[bool, Key("Send no token")] = False
    ca_certs: Annotated[str, Key("CAs that verify it, PEM")] = ""


class Backends(KeyPair, frozen=True, kw_only=True):
    """`backends`; the pair is what the router shows to backends."""

    max_conns: Annotated[Int, Key("Requests at a time per endpoint; 0: any number")] = 0
    max_attempts: Annotated[Int, Key("Endpoints tried for one request; less than 1: 1")] = 0


class RouteServices(KeyPair, frozen=True, kw_only=True):
    """`route_services`; the pair is what the router shows to route services."""

    max_attempts: Annotated[Int, Key("Times a route service is tried for one request; less than 1: 1")] = 0
    strict_signature_validation: Annotated[bool, Key("Check signatures on routes without a route service too")] = False
    enable_websockets: Annotated[bool, Key("Let WebSocket requests go through route services")] = False
    egress_blocklist: Annotated[
        tuple[str, ...], Key("Networks, such as `10.0.0.0/8`, that no route service may be in (a key of fastrouter's)")
    ] = ()


class HeaderValue(Section, frozen=True, kw_only=True):
    """A header to add."""

    name: Annotated[str, Key("Header")] = ""
    value: Annotated[str, Key("Value")] = ""


class HeaderName(Section, frozen=True, kw_only=True):
    """A header to remove."""

    name: Annotated[str, Key("Header")] = ""


class ResponseRewrite(Section, frozen=True, kw_only=True):
    """`http_rewrite.responses`."""

    add_headers_if_not_present: Annotated[tuple[HeaderValue, ...], Key("Added to responses without them")] = ()
    remove_headers: Annotated[tuple[HeaderName, ...], Key("Removed from responses")] = ()


class HTTPRewrite(Section, frozen=True, kw_only=True):
    """`http_rewrite`."""

    responses: ResponseRewrite = ResponseRewrite()


class MutualTLSDomain(Section, frozen=True, kw_only=True):
    """A domain whose clients must show a certificate of its own CAs."""

    name: Annotated[str, Key("`app.example.com` or `*.example.com`")] = ""
    domain: Annotated[str, Key("Another spelling of `name`")] = ""
    ca_certs: Annotated[str, Key("CAs that verify clients of this domain, PEM")] = ""
    forwarded_client_cert: Annotated[
        str, Key("As the global key, for this domain", choices=FORWARDED_CLIENT_CERT_MODES)
    ] = "sanitize_set"
    xfcc_format: Annotated[str, Key("Form of X-Forwarded-Client-Cert", choices=XFCC_FORMATS)] = "raw"


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
    given: frozenset[str] = frozenset()
    """Dotted paths of the keys that the file has."""
    without_effect: tuple[str, ...] = ()
    """Those of them that ask for something other than the default, and that nothing heeds yet; for a warning."""


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration; `Config()` is what Gorouter uses without a file."""

    status: Status = Status()
    nats: Nats = Nats()
    logging: Logging = Logging()
    prometheus: Prometheus = Prometheus()
    tracing: Tracing = Tracing()
    access_log: AccessLog = AccessLog()

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
    enable_http1_concurrent_read_write: Annotated[
        bool, Key("Relay a response while the request is read; fastrouter always does", inert=True)
    ] = False
    tls_pem: Annotated[tuple[KeyPair, ...], Key("Server certificates; mandatory with `enable_ssl`")] = ()
    ca_certs: Annotated[
        tuple[str, ...], Key("CAs, besides the system's, that verify backends and route services, PEM")
    ] = ()
    client_ca_certs: Annotated[str, Key("CAs that verify clients, PEM")] = ""
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
    max_response_header_bytes: Annotated[Int, Key("Bytes of a response's head; 0: 10 MiB")] = 0
    max_request_headers: Annotated[Int, Key("Number of request headers; 0: any")] = 0
    max_response_headers: Annotated[Int, Key("Number of response headers; 0: any")] = 0
    keep_alive_100_continue_requests: Annotated[bool, Key("Gone from later Gorouters", inert=True)] = False
    extra_headers_to_log: Annotated[tuple[str, ...], Key("Request headers added to access logs")] = ()
    http_rewrite: HTTPRewrite = HTTPRewrite()
    empty_pool_response_code_503: Annotated[bool, Key("Answer 503 while a route has lost all its endpoints")] = False
    empty_pool_timeout: Annotated[Duration, Key("How long such a route is remembered")] = Duration(0)
    html_error_template_file: Annotated[str, Key("File of the template of error pages; empty: plain text")] = ""

    per_request_metrics_reporting: Annotated[bool, Key("Report metrics of every request")] = True
    enable_envelope_v1_metrics: Annotated[bool, Key("Emit metrics to the Loggregator agent")] = True
    send_http_start_stop_server_event: Annotated[bool, Key("Emit an event per request")] = True
    send_http_start_stop_client_event: Annotated[bool, Key("Emit an event per attempt")] = True
    per_app_prometheus_http_metrics_reporting: Annotated[bool, Key("Label `http_latency_seconds` with the app")] = False

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
