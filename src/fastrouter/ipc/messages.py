"""The messages between the control process and a worker, besides table changes.

The control process sends orders, in this order: Begin, the table as it is, TableEnd, Listen when clients may come,
Degrade when health checks are to fail, Drain when no more clients may come. From TableEnd on, table changes come at any
time, and so do ReplaceTLS (when certificates have changed), SetLogLevel, Inspect and Confirm. The end of the stream,
whether the control process closes it or has ended, is the order to stop. A worker answers with reports.
"""

from typing import Literal

import msgspec

from fastrouter.ipc.route_counters import CounterBlock

# Arguments of `_core.Settings` by their names.
SettingsValues = dict[str, bool | int | float | str | tuple[str, ...]]

# Arguments of `_core.AccessLog` by their names.
LineValues = dict[str, bool | str | tuple[str, ...]]


class BackendTLS(msgspec.Struct, frozen=True, array_like=True):
    """What `tls.backend_context` makes its context of: PEM texts, and OpenSSL's names of ciphers."""

    ca_certs: tuple[str, ...] = ()
    cert_chain: str = ""
    private_key: str = ""
    ciphers: tuple[str, ...] = ()


class Identity(msgspec.Struct, frozen=True, array_like=True):
    """An identity of a listener: certificate chain and key in PEM, the kind of the key, and the names it is for.

    The names are in lower case; one may begin with `*.`.
    """

    names: tuple[str, ...]
    kind: str
    cert_chain: str
    private_key: str


class ClientRule(msgspec.Struct, frozen=True, array_like=True):
    """A CA that may vouch for these subjects only; all are names as `config.keys.DistinguishedName` prints them."""

    issuer: str
    subjects: tuple[str, ...]


class DomainTLS(msgspec.Struct, frozen=True, array_like=True):
    """A domain whose clients show a certificate of its own CAs, `ca_certs` (PEM), and what its apps are told of it.

    `name` is a host, or `*.` and what is behind the one label that it stands for.
    """

    name: str
    ca_certs: str
    forwarded_client_cert: str = "sanitize_set"
    xfcc_format: str = "raw"


class ServerTLS(msgspec.Struct, frozen=True, array_like=True):
    """What `server_tls` makes the TLS of a listener of.

    Versions are `TLSv1.0` to `TLSv1.3`; `ciphers` are OpenSSL's names up to TLS 1.2, None for its own choice. Clients
    are verified with `client_ca_certs` (PEM), and the system's roots if these are trusted. `protocols` are those of
    ALPN: a client that offers only others is refused; without any, ALPN is not negotiated. Sessions are resumed by all
    processes with the same `ticket_secret`; without one, by the same process only. Clients that ask for one of
    `domains` are held to its rules in place of these (`tls.server.domain_tls`); `domain` is its name then.
    """

    identities: tuple[Identity, ...]
    min_version: str = "TLSv1.2"
    max_version: str = "TLSv1.3"
    ciphers: tuple[str, ...] | None = None
    client_certificates: Literal["none", "request", "require"] = "none"
    client_ca_certs: str = ""
    trusts_system_roots: bool = False
    client_rules: tuple[ClientRule, ...] = ()
    protocols: tuple[str, ...] = ()
    ticket_secret: bytes = b""
    domains: tuple[DomainTLS, ...] = ()
    domain: str = ""


class ProxyProtocol(msgspec.Struct, frozen=True, array_like=True):
    """Clients' connections may begin with a PROXY header.

    If there are `trusted_networks`, such as `10.0.0.0/8`, only connections from these may.
    """

    trusted_networks: tuple[str, ...] = ()


class SyslogOptions(msgspec.Struct, frozen=True, array_like=True):
    """Where access-log lines are streamed to, and how (spec 6.4): `network` tcp or udp, `address` `host:port`.

    `truncate` is bytes of a record, 0 for all.
    """

    network: str
    address: str
    app_name: str
    truncate: int = 0


class MetronOptions(msgspec.Struct, frozen=True, array_like=True):
    """What a worker tells the Loggregator agent (spec 6.5, 7.5, 7.6).

    The agent is at `address`, of IPv4, and `port`; envelopes are those of `origin`. `index` is the router's number,
    `has_records` whether the lines of the access log are sent; the other three are arguments of `_core.Metron`.
    """

    address: str
    port: int
    origin: str
    index: int = 0
    sends_values: bool = False
    sends_server_events: bool = False
    sends_client_events: bool = False
    has_records: bool = False


class AccessLogOptions(msgspec.Struct, frozen=True, array_like=True):
    """Where the lines of the access log go, and what is in them (`line`). With neither place there is none."""

    file: str | None = None
    syslog: SyslogOptions | None = None
    line: LineValues = {}


class RouteServiceTLS(msgspec.Struct, frozen=True, array_like=True):
    """What `tls.route_service_context` makes its context of."""

    min_version: str
    max_version: str
    skip_ssl_validation: bool = False
    ca_certs: tuple[str, ...] = ()
    cert_chain: str = ""
    private_key: str = ""
    ciphers: tuple[str, ...] | None = None


class HairpinTLS(msgspec.Struct, frozen=True, array_like=True):
    """What `tls.hairpin_context` makes its context of."""

    min_version: str
    max_version: str
    ca_cert: str
    cert_chain: str
    private_key: str
    ciphers: tuple[str, ...] | None = None


class Hairpin(msgspec.Struct, frozen=True, array_like=True):
    """Where the router's internal listener is on 127.0.0.1, and which hosts may be reached through it (none: all)."""

    port: int
    tls: HairpinTLS
    allow_list: tuple[str, ...] = ()


class RouteServicesOptions(msgspec.Struct, frozen=True, array_like=True):
    """How route services are used (spec 5.9). Keys are those of `route_service_signature.derive_key`.

    `lifetime` is seconds. Without `hairpin` route services are never looked up in the router's own table.
    """

    key: bytes
    tls: RouteServiceTLS
    previous_key: bytes = b""
    lifetime: float = 60.0
    max_attempts: int = 1
    recommends_https: bool = False
    is_strict: bool = False
    allows_websockets: bool = False
    blocked_networks: tuple[str, ...] = ()
    hairpin: Hairpin | None = None


class SharedColumns(msgspec.Struct, frozen=True, array_like=True):
    """The layout of the mapping of shared_stats, and the number of this worker: arguments of `attach_stats`."""

    workers: int
    slots: int
    worker: int
    bounds: tuple[tuple[float, ...], ...]


class Begin(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """Everything that a worker needs to start. The fields of the log are those of `logger.Logger`.

    Requests have spans if there is a `span_ratio`, which is the one of `_core.Spans`.

    With it come the descriptors of the mappings where all workers count, and where they count by route, of the file of
    the access log and of its record of lost lines, if there is a file, and of the connection to syslog and its record
    of lost lines, if there is syslog.
    """

    columns: SharedColumns
    counter_block: CounterBlock
    settings: SettingsValues
    backend_tls: BackendTLS
    front_tls: ServerTLS | None
    internal_tls: ServerTLS | None
    proxy_protocol: ProxyProtocol | None
    route_services: RouteServicesOptions | None
    error_template: str | None
    log_source: str | None
    log_level: int
    log_timestamps: Literal["rfc3339", "unix-epoch"]
    access_log: AccessLogOptions
    metron: MetronOptions | None = None
    span_ratio: float | None = None


class TableEnd(msgspec.Struct, frozen=True, array_like=True, tag="table-end"):
    """The table is complete: report Ready."""


class Listen(msgspec.Struct, frozen=True, array_like=True, tag="listen"):
    """Accept clients on the listening sockets that come with this, and report Listening.

    Each has a name: CLIENTS, CLIENTS_TLS or INTERNAL of `handover`.
    """

    names: tuple[str, ...]


class ReplaceTLS(msgspec.Struct, frozen=True, array_like=True, tag="replace-tls"):
    """Use this TLS for clients that connect to CLIENTS_TLS from now on."""

    front_tls: ServerTLS


class ReplaceAccessLog(msgspec.Struct, frozen=True, array_like=True, tag="replace-access-log"):
    """Write the access log to the file whose descriptor comes with this."""


class Drain(msgspec.Struct, frozen=True, array_like=True, tag="drain"):
    """Accept no more clients; report Draining at once, and Drained when no request is in progress.

    An idle connection has `idle_grace` seconds for one more request, before it is closed; one that has arrived by then
    is served.
    """

    idle_grace: float


class SetLogLevel(msgspec.Struct, frozen=True, array_like=True, tag="set-log-level"):
    """Write process log lines of `level` and above from now on; may come at any time after Begin."""

    level: int


class Degrade(msgspec.Struct, frozen=True, array_like=True, tag="degrade"):
    """Respond to health checks by User-Agent with 503 from now on."""


class Inspect(msgspec.Struct, frozen=True, array_like=True, tag="inspect"):
    """Answer the questions of `inspection` over the socket whose descriptor comes with this, and over no other."""


class Confirm(msgspec.Struct, frozen=True, array_like=True, tag="confirm"):
    """Report Confirmed with this number: all that was sent before has taken effect by then."""

    number: int


Order = Begin | TableEnd | Listen | ReplaceTLS | ReplaceAccessLog | Drain | Degrade | SetLogLevel | Inspect | Confirm


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """The worker has its settings and the whole table."""


class Listening(msgspec.Struct, frozen=True, array_like=True, tag="listening"):
    """The worker accepts clients."""


class Draining(msgspec.Struct, frozen=True, array_like=True, tag="draining"):
    """The worker has stopped accepting. So many client connections had a request in progress, so many were idle."""

    active: int
    idle: int


class Drained(msgspec.Struct, frozen=True, array_like=True, tag="drained"):
    """No request is in progress."""


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """The worker ends because of this error."""

    error: str


class Pruned(msgspec.Struct, frozen=True, array_like=True, tag="pruned"):
    """The worker took the TLS endpoint at `address` (host:port) off the route `uri`: it is not what it should be."""

    uri: str
    address: str


class Confirmed(msgspec.Struct, frozen=True, array_like=True, tag="confirmed"):
    """Everything that came before the Confirm of this number has taken effect."""

    number: int


class FinishedSpans(msgspec.Struct, frozen=True, array_like=True, tag="finished-spans"):
    """Spans as `_core.Spans` makes them, and their number; besides them `lost` were made that there was no room for."""

    spans: bytes
    count: int
    lost: int


Report = Ready | Listening | Draining | Drained | Pruned | Confirmed | Failed | FinishedSpans
