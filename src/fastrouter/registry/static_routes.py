"""Static routes: those given on the command line, and those of a routes file.

A routes file is YAML:

    routes:
      - route: app.example.com/api      # HOST[/PATH]
        app_id: 5e1c…                   # optional, for X-Cf-Applicationid and the access log
        organization_id: 77aa…          # optional: where the app is, for the scope of policies
        space_id: 91bc…
        route_policy_scope: org         # optional: any, org or space: only such callers may call, and of them
        route_policy_sources: [cf:any]  # cf:any, cf:app:GUID, cf:space:GUID, cf:org:GUID, or a SPIFFE id
        loadbalancing: hash             # optional: round-robin, least-connection or hash; for hash one of
        hash_header: X-Tenant           # hash_header, hash_cookie (a name) and hash_by (path or client-address),
        hash_balance: 1.25              # and optionally how much more than the average an endpoint may have
        endpoints:
          - address: 10.0.1.2:61001     # HOST:PORT
            instance_id: 0f3a…          # optional
            index: 0                    # optional
            tls: true                   # optional, for a backend that speaks TLS,
            server_cert_domain_san: …   # and the name its certificate must have; without one its address
            protocol: http2             # optional: http2 by ALPN over TLS, h2c without TLS, or http1
"""

import math
import re
from typing import Annotated, Literal, NamedTuple

import msgspec
import yaml

from fastrouter._core import Endpoint
from fastrouter.ipc.table_changes import HashRule
from fastrouter.logs.rule_text import rule_text
from fastrouter.net.address import parse_backend_address
from fastrouter.registry.endpoint import HASH
from fastrouter.registry.route_policies import is_source

# RFC 9110 section 5.6.2: what the names of headers and cookies are.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class RoutesError(ValueError):
    """Static routes that break a rule; the text names the place and the rule."""


class StaticEndpoint(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One backend of a static route; `address` is `HOST:PORT`."""

    address: str
    instance_id: str = ""
    index: str = ""
    tls: bool = False
    server_cert_domain_san: str = ""
    protocol: Literal["", "http1", "http2", "h2c"] = ""

    def __post_init__(self) -> None:
        parse_backend_address(self.address)


class StaticBalancing(NamedTuple):
    """How requests are balanced: the algorithm, empty for the router's own, and the rule of `hash`."""

    algorithm: str
    hashing: HashRule | None


class StaticOwnership(NamedTuple):
    """Whose the endpoints of a route are, and who may call them: the scope, empty for anybody, and the sources."""

    app_id: str
    organization_id: str
    space_id: str
    policy_scope: str
    policy_sources: tuple[str, ...]


class StaticRoute(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A route (`HOST[/PATH]`, where HOST may be `*.DOMAIN`) and the backends that serve it."""

    route: str
    endpoints: Annotated[tuple[StaticEndpoint, ...], msgspec.Meta(min_length=1)]
    app_id: str = ""
    loadbalancing: Literal["", "round-robin", "least-connection", "hash"] = ""
    hash_header: str = ""
    hash_cookie: str = ""
    hash_by: Literal["", "path", "client-address"] = ""
    hash_balance: float = 0.0
    organization_id: str = ""
    space_id: str = ""
    route_policy_scope: Literal["", "any", "org", "space"] = ""
    route_policy_sources: tuple[str, ...] = ()

    @property
    def balancing(self) -> StaticBalancing:
        """How its requests are balanced."""
        if self.loadbalancing != HASH:
            return StaticBalancing(self.loadbalancing, None)
        if self.hash_by:
            return StaticBalancing(HASH, HashRule(self.hash_by, "", self.hash_balance))
        source, name = ("header", self.hash_header) if self.hash_header else ("cookie", self.hash_cookie)
        return StaticBalancing(HASH, HashRule(source, name, self.hash_balance))

    @property
    def ownership(self) -> StaticOwnership:
        """Whose its endpoints are, and who may call them."""
        return StaticOwnership(
            self.app_id, self.organization_id, self.space_id, self.route_policy_scope, self.route_policy_sources
        )

    def __post_init__(self) -> None:
        self._check_balancing()
        self._check_policy()
        if "://" in self.route:
            raise ValueError(f"{self.route!r} has a scheme: expected HOST[/PATH]")
        if "?" in self.route:
            raise ValueError(f"{self.route!r} has a query: expected HOST[/PATH]")
        if not all("!" <= character <= "~" for character in self.route):
            raise ValueError(f"{self.route!r} has a character that is always escaped in a request")
        host = self.route.partition("/")[0]
        if not host:
            raise ValueError(f"{self.route!r} has no host: expected HOST[/PATH]")
        if ":" in host:
            raise ValueError(f"{self.route!r} has a port: a request is matched by its host without the port")
        for endpoint in self.endpoints:
            host, port = parse_backend_address(endpoint.address)
            # The data plane refuses an id that is no header value.
            Endpoint(host, port, app_id=self.app_id, instance_id=endpoint.instance_id, instance_index=endpoint.index)

    def _check_policy(self) -> None:
        scope, sources = self.route_policy_scope, self.route_policy_sources
        if sources and not scope:
            raise ValueError(f"{self.route!r} has route_policy_sources, but no route_policy_scope")
        if wrong := [source for source in sources if not is_source(source)]:
            raise ValueError(
                f"{wrong[0]!r} is no source: expected cf:any, cf:app:GUID, cf:space:GUID, cf:org:GUID, or a SPIFFE id"
            )
        for needed, tag in (("org", "organization_id"), ("space", "space_id")):
            if scope == needed and not getattr(self, tag):
                raise ValueError(f"{self.route!r} has the route_policy_scope {scope}, which needs its {tag}")

    def _check_balancing(self) -> None:
        sources = [source for source in (self.hash_header, self.hash_cookie, self.hash_by) if source]
        if self.loadbalancing != HASH:
            if sources or self.hash_balance:
                raise ValueError(f"{self.route!r} has keys of `hash`, but its loadbalancing is not that")
            return
        if len(sources) != 1:
            raise ValueError(f"{self.route!r} needs one of hash_header, hash_cookie and hash_by")
        if not self.hash_by and not _TOKEN.fullmatch(sources[0]):
            raise ValueError(f"{sources[0]!r} is no name of a header or cookie")
        if self.hash_balance != 0 and not 1 <= self.hash_balance < math.inf:
            raise ValueError(f"hash_balance must be 0 or at least 1, not {self.hash_balance:g}")


class RoutesFile(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The whole of a routes file."""

    routes: tuple[StaticRoute, ...]


def parse_route_option(text: str) -> StaticRoute:
    """Parse `HOST[/PATH]=ADDRESS[,ADDRESS…]`. Raises RoutesError."""
    # The last "=": a path may hold one, an address may not.
    route, equals, addresses = text.rpartition("=")
    if not equals:
        raise RoutesError(f"{text!r} has no '=': expected HOST[/PATH]=ADDRESS[,ADDRESS...]")
    try:
        return StaticRoute(route, tuple(StaticEndpoint(address) for address in addresses.split(",")))
    except ValueError as error:
        raise RoutesError(str(error)) from error


def load_routes_file(path: str) -> tuple[StaticRoute, ...]:
    """Read a routes file. Raises RoutesError naming the file, the key and the rule, and OSError."""
    with open(path, "rb") as file:
        text = file.read()
    try:
        # Every field of a routes file is text, and the base loader takes every scalar as it is written. With any other
        # loader YAML 1.1 turns an unquoted id of digits into a number, `on` into a bool and 1:20 into 80.
        document = yaml.load(text, Loader=yaml.CBaseLoader)
    except yaml.YAMLError as error:
        # PyYAML spreads its message over several lines; a message of ours is one.
        raise RoutesError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    try:
        # Not strict: `true` is a text too.
        return msgspec.convert(document, RoutesFile, strict=False).routes
    except msgspec.ValidationError as error:
        raise RoutesError(f"{path}: {rule_text(error, RoutesFile)}") from error
