"""The messages between the control process and the admin process, besides table changes (ADR 18).

The control process sends Begin, the table, TableLoaded, and from then on Happened for what its log tells of; table
changes come at any time. The admin process sends calls, each with a number of its own, and gets one answer to each. The
end of the stream is the order to stop.
"""

from typing import Literal

import msgspec

from fastrouter.ipc.inspection import InspectionEnd
from fastrouter.ipc.messages import ServerTLS, SharedColumns
from fastrouter.ipc.route_counters import CounterBlock

Role = Literal["read", "operate"]


class Token(msgspec.Struct, frozen=True, array_like=True):
    """A bearer token, of which only the SHA-256 is known here; `name` stands for its owner in the audit log."""

    digest: bytes
    role: Role
    name: str


class AdminBegin(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """Everything that the admin process needs to start.

    With it come the descriptors of the mappings where all workers count, in all and by route, and those of the
    listening sockets that `listeners` names. `configuration` is JSON without secrets. `hosts` are names by which the
    TCP listener is known. `client_role` is what a client certificate that `tls` asks for allows.
    """

    columns: SharedColumns
    route_counters: CounterBlock
    pid: int
    version: str
    started_at: float
    failure_memory: float
    listeners: tuple[Literal["unix", "tcp"], ...]
    tokens: tuple[Token, ...]
    hosts: tuple[str, ...]
    tls: ServerTLS | None
    client_role: Role
    configuration: bytes
    log_source: str | None
    log_level: int
    log_timestamps: Literal["rfc3339", "unix-epoch"]


class TableLoaded(msgspec.Struct, frozen=True, array_like=True, tag="table-loaded"):
    """The table is complete: whatever changes from now on is news."""


class Happened(msgspec.Struct, frozen=True, array_like=True, tag="happened"):
    """A line of the process log that operators wait for; `data` is a JSON object."""

    level: int
    message: str
    data: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """The answer to the call of this number, as MessagePack."""

    number: int
    body: msgspec.Raw


class Refusal(msgspec.Struct, frozen=True, array_like=True, tag="refusal"):
    """The call of this number was refused; `status` is that of HTTP which fits."""

    number: int
    status: int
    detail: str


AdminOrder = AdminBegin | TableLoaded | Happened | Answer | Refusal | InspectionEnd


class AskState(msgspec.Struct, frozen=True, tag="ask-state"):
    """Asks for RouterState."""


class AskMembers(msgspec.Struct, frozen=True, tag="ask-members"):
    """Asks for the MemberFacts of the route with this key, a tuple."""

    route: str


class AskCertificates(msgspec.Struct, frozen=True, tag="ask-certificates"):
    """Asks for the CertificateSource of each certificate in use, a tuple."""


class AskStaticRoutes(msgspec.Struct, frozen=True, tag="ask-static-routes"):
    """Asks for the OwnedRoute of each static route, a tuple."""


class SetEndpointState(msgspec.Struct, frozen=True, tag="set-endpoint-state"):
    """Have the endpoints at this address drain, or serve again; the answer is their number."""

    address: str
    is_draining: bool


class StaticEndpointFields(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One backend of a static route, as a file of routes has it; `address` is `HOST:PORT`."""

    address: str
    instance_id: str = ""
    index: str = ""
    tls: bool = False
    server_cert_domain_san: str = ""
    protocol: Literal["", "http1", "http2", "h2c"] = ""


class PutStaticRoute(msgspec.Struct, frozen=True, tag="put-static-route"):
    """Add or replace a static route; the answer is a StaticRouteKept."""

    route: str
    endpoints: tuple[StaticEndpointFields, ...]
    app_id: str = ""


class DeleteStaticRoute(msgspec.Struct, frozen=True, tag="delete-static-route"):
    """Remove a static route that was put; the answer is a StaticRouteKept."""

    route: str


class Reload(msgspec.Struct, frozen=True, tag="reload"):
    """Do what SIGHUP does."""


class BeginDrain(msgspec.Struct, frozen=True, tag="begin-drain"):
    """Do what SIGUSR1 does."""


class ChangeLogLevel(msgspec.Struct, frozen=True, tag="change-log-level"):
    """Log lines of `level` and above, for so many seconds (0: until it is changed again)."""

    level: str
    seconds: float


Question = AskState | AskMembers | AskCertificates | AskStaticRoutes
Act = SetEndpointState | PutStaticRoute | DeleteStaticRoute | Reload | BeginDrain | ChangeLogLevel


class Ask(msgspec.Struct, frozen=True, array_like=True, tag="ask"):
    """A call that changes nothing."""

    number: int
    question: Question


class Do(msgspec.Struct, frozen=True, array_like=True, tag="do"):
    """A call that changes something; `by` says for whom, for the audit log."""

    number: int
    by: str
    act: Act


Call = Ask | Do


class WorkerFacts(msgspec.Struct, frozen=True):
    """One worker: its process while there is one. `started_at` is Unix time, `unsent_bytes` wait for it."""

    name: str
    state: Literal["starting", "ready", "serving", "ended"]
    pid: int | None
    started_at: float | None
    starts: int
    crashes: int
    unsent_bytes: int


class NatsFacts(msgspec.Struct, frozen=True):
    """The connection to NATS: the server that is connected, all servers, and messages that wait or were dropped."""

    connected: bool
    server: str
    servers: tuple[str, ...]
    pending_messages: int
    dropped_messages: int
    pruning_suspended: bool


class RouterState(msgspec.Struct, frozen=True):
    """What only the control process knows; `log_level_until` is Unix time, None without an end."""

    state: Literal["starting", "serving", "draining", "stopping"]
    healthy: bool
    log_level: str
    log_level_until: float | None
    has_successor: bool
    nats: NatsFacts | None
    workers: tuple[WorkerFacts, ...]
    registrations: int
    unregistrations: int
    pruned: int
    ms_since_last_registration: int | None


class MemberFacts(msgspec.Struct, frozen=True):
    """What the registry knows of one endpoint of a route. `ttl` is None for one that never ages; both are seconds."""

    address: str
    origin: Literal["static", "registered"]
    age: float
    ttl: float | None
    tags: dict[str, str]
    isolation_segment: str
    modification_tag: str


class CertificateSource(msgspec.Struct, frozen=True):
    """Certificates in PEM, or the file that has them, and what they are for."""

    use: str
    pem: str = ""
    path: str = ""


class OwnedRoute(msgspec.Struct, frozen=True):
    """A static route, and where it comes from: the command line, a file, or this API."""

    route: str
    origin: Literal["option", "file", "api"]
    app_id: str
    endpoints: tuple[StaticEndpointFields, ...]


class LogLevelSet(msgspec.Struct, frozen=True):
    """The level that holds from now on; `until` is Unix time, null without an end."""

    level: str
    until: float | None


class StaticRouteKept(msgspec.Struct, frozen=True):
    """How many endpoints of routes were added or changed, and removed; `kept` names the file, if there is one."""

    changed: int
    removed: int
    kept: str | None
