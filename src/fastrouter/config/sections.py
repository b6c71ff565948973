"""The sections of Gorouter's configuration, as frozen structs (spec 2.2, 9)."""

import re
from typing import Annotated

import msgspec

from fastrouter.config.duration import Duration
from fastrouter.config.section import Int, Key, OptionalPort, Port, Section
from fastrouter.logs.logger import LEVELS

REDACTION_MODES = ("none", "all", "hash")
FORWARDED_CLIENT_CERT_MODES = ("always_forward", "forward", "sanitize_set")
XFCC_FORMATS = ("raw", "envoy")
ACCESS_LOG_FORMATS = ("text", "json")
LOG_LEVELS = tuple(LEVELS)
ADMIN_ROLES = ("read", "operate")
# Characters that a token has at least: whoever reaches the port can try.
ADMIN_TOKEN_MIN = 16

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class KeyPair(Section, frozen=True, kw_only=True):
    """A certificate chain with its private key, both in PEM."""

    cert_chain: Annotated[str, Key("Certificate chain, PEM")] = ""
    cert_chain_file: Annotated[str, Key("Its file, in place of `cert_chain` (ours)", holds="cert_chain")] = ""
    private_key: Annotated[str, Key("Its private key, PEM", secret=True)] = ""
    private_key_file: Annotated[str, Key("Its file, in place of `private_key` (ours)", holds="private_key")] = ""

    def whole(self) -> dict[str, str]:
        """Return chain and key by the names of their keys; half a pair counts as none, without an error (spec 2.3)."""
        is_whole = self.cert_chain != "" and self.private_key != ""
        return {"cert_chain": self.cert_chain, "private_key": self.private_key} if is_whole else {}


class StatusRoutes(Section, frozen=True, kw_only=True):
    """`status.routes`."""

    port: Annotated[Port, Key("Port of `/routes`, on 127.0.0.1")] = 8082


class StatusTLS(Section, frozen=True, kw_only=True):
    """`status.tls`; all defaults together count as not configured."""

    port: Annotated[Port, Key("Port of the health endpoints over TLS")] = 8443
    certificate: Annotated[str, Key("Its certificate chain, PEM")] = ""
    certificate_file: Annotated[str, Key("Its file, in place of `certificate` (ours)", holds="certificate")] = ""
    key: Annotated[str, Key("Its private key, PEM", secret=True)] = ""
    key_file: Annotated[str, Key("Its file, in place of `key` (ours)", holds="key")] = ""


class Status(Section, frozen=True, kw_only=True):
    """`status`: the listeners for health and routes."""

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

    enabled: Annotated[
        bool, Key("Take registrations; `false` needs a file of static routes, or the routing API (ours)")
    ] = True
    hosts: Annotated[tuple[NatsHost, ...], Key("Servers; one that fails is followed by another, for ever")] = (
        NatsHost(hostname="localhost", port=4222),
    )
    user: Annotated[str, Key("User on every server")] = ""
    pass_: Annotated[str, Key("Password of that user", secret=True)] = msgspec.field(default="", name="pass")
    tls_enabled: Annotated[bool, Key("Connect with TLS")] = False
    ca_certs: Annotated[str, Key("CAs that verify the servers, PEM")] = ""
    ca_certs_file: Annotated[str, Key("Their file, in place of `ca_certs` (ours)", holds="ca_certs")] = ""


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


class HeaderValue(Section, frozen=True, kw_only=True):
    """A header to add."""

    name: Annotated[str, Key("Header")] = ""
    value: Annotated[str, Key("Value")] = ""

    @property
    def is_header(self) -> bool:
        """Whether these can stand in a message as a header."""
        return _HEADER_NAME.fullmatch(self.name) is not None and self.value.isprintable()


class SecretHeader(HeaderValue, frozen=True, kw_only=True):
    """A header that may say who the router is."""

    value: Annotated[str, Key("Value", secret=True)] = ""


class OTLP(KeyPair, frozen=True, kw_only=True):
    """`tracing.otlp`: where spans of requests go; the pair is the client's."""

    endpoint: Annotated[str, Key("URL of a collector that takes OTLP over HTTP, with its path; empty: no spans")] = ""
    headers: Annotated[tuple[SecretHeader, ...], Key("Headers of each request to it")] = ()
    ca_certs: Annotated[str, Key("CAs that verify it, PEM; empty: the system's")] = ""
    ca_certs_file: Annotated[str, Key("Their file, in place of `ca_certs`", holds="ca_certs")] = ""
    sample_ratio: Annotated[float, Key("How many of the traces that begin here are sampled, from 0 to 1")] = 0.01
    service_name: Annotated[str, Key("`service.name` of the router")] = "fastrouter"


class Tracing(Section, frozen=True, kw_only=True):
    """`tracing`."""

    enable_zipkin: Annotated[bool, Key("Send B3 headers")] = False
    enable_w3c: Annotated[bool, Key("Send W3C trace headers")] = False
    w3c_tenant_id: Annotated[str, Key("Tenant in `tracestate`")] = ""
    propagate_only: Annotated[
        bool, Key("Log the ids of clients, and leave their trace headers as they are (a key of fastrouter's)")
    ] = False
    otlp: OTLP = OTLP()


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
    ca_certs_file: Annotated[str, Key("Their file, in place of `ca_certs` (ours)", holds="ca_certs")] = ""


class Backends(KeyPair, frozen=True, kw_only=True):
    """`backends`; the pair is what the router shows to backends."""

    max_conns: Annotated[Int, Key("Requests at a time per endpoint; 0: any number")] = 0
    max_attempts: Annotated[Int, Key("Endpoints tried for one request; less than 1: 1")] = 0
    distrust_memory: Annotated[
        Duration,
        Key("How long no connection is kept to a backend that sent bytes unasked; 0: all are (a key of fastrouter's)"),
    ] = Duration.of(600)
    bodiless_rest: Annotated[
        Duration, Key("How long a connection rests after a response without a body (a key of fastrouter's)")
    ] = Duration.parse("20ms")


class RouteServices(KeyPair, frozen=True, kw_only=True):
    """`route_services`; the pair is what the router shows to route services."""

    max_attempts: Annotated[Int, Key("Times a route service is tried for one request; less than 1: 1")] = 0
    strict_signature_validation: Annotated[bool, Key("Check signatures on routes without a route service too")] = False
    enable_websockets: Annotated[bool, Key("Let WebSocket requests go through route services")] = False
    egress_blocklist: Annotated[
        tuple[str, ...], Key("Networks, such as `10.0.0.0/8`, that no route service may be in (a key of fastrouter's)")
    ] = ()


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
    ca_certs_file: Annotated[str, Key("Their file, in place of `ca_certs` (ours)", holds="ca_certs")] = ""
    forwarded_client_cert: Annotated[
        str, Key("As the global key, for this domain", choices=FORWARDED_CLIENT_CERT_MODES)
    ] = "sanitize_set"
    xfcc_format: Annotated[str, Key("Form of X-Forwarded-Client-Cert", choices=XFCC_FORMATS)] = "raw"


class TableSnapshot(Section, frozen=True, kw_only=True):
    """`table_snapshot`: the routes that apps have registered, kept in a file for a start while NATS is out of reach."""

    file: Annotated[str, Key("Path; empty: none, and no start without NATS")] = ""
    interval: Annotated[Duration, Key("Between two snapshots, at least 1s")] = Duration.of(30)


class AdminToken(Section, frozen=True, kw_only=True):
    """A token that callers of the admin API show."""

    name: Annotated[str, Key("Its owner, for the audit log; empty: `token N`")] = ""
    token: Annotated[str, Key(f"At least {ADMIN_TOKEN_MIN} characters", secret=True)] = ""
    token_file: Annotated[str, Key("File that has it, instead")] = ""
    role: Annotated[str, Key("What it allows", choices=ADMIN_ROLES)] = "read"


class AdminTLS(KeyPair, frozen=True, kw_only=True):
    """`admin.tls`: TLS of `admin.listen`."""

    client_ca_certs: Annotated[str, Key("Callers show a certificate of these CAs, PEM")] = ""
    client_ca_certs_file: Annotated[str, Key("Their file, in place of `client_ca_certs`", holds="client_ca_certs")] = ""
    client_role: Annotated[str, Key("What such a certificate allows without a token", choices=ADMIN_ROLES)] = "read"


class Admin(Section, frozen=True, kw_only=True):
    """`admin`: the admin API, which is there if it has a `socket` or an address to `listen` on."""

    socket: Annotated[
        str, Key("Path of its Unix socket, for the router's user alone; `auto`: where commands find it")
    ] = ""
    listen: Annotated[str, Key("`HOST:PORT` besides, for callers with a token or a client certificate")] = ""
    hosts: Annotated[
        tuple[str, ...], Key("Names by which `listen` is known, besides `localhost` and IP addresses")
    ] = ()
    tokens: Annotated[tuple[AdminToken, ...], Key("Tokens that are accepted there")] = ()
    tls: AdminTLS = AdminTLS()
    routes_file: Annotated[str, Key("File that keeps static routes of the admin API; empty: they are not kept")] = ""
