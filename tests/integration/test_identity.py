"""mTLS domains and route policies: who reaches which backend, and who is turned away (spec 9.8).

The matrix has every cell: what a client shows to which domain, what it asks for then, and by which policy. What is
expected comes from a model of its own, `expected_status`.
"""

import ssl
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import pytest

from fastrouter._core import Endpoint, RoutePolicy, RouteServices, RouteTable
from fastrouter.ipc.messages import DomainTLS
from fastrouter.route_services.signature import RouteServiceSigner, derive_key

from .http2_client import Http2Client, get
from .http_message import Request, Response
from .issuer import CLIENT, Issuer, Pair, instance_name, uri_names
from .raw_backend import AnsweringBackend, BackendStream, ClosedPort, ServingBackend
from .raw_client import RawClient
from .tls_front import FrontRouter, TlsClient, client_context, server_tls

# The hosts of two domains, one of them a wildcard, and of none.
DOMAIN_A, DOMAIN_B, NOWHERE = "one.a.test", "b.test", "public.test"
HOSTS = (DOMAIN_A, DOMAIN_B, NOWHERE)
FIELDS = ("caller_cf_app", "caller_cf_space", "caller_cf_org", "route_policy", "tls_sni")
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Authorities(NamedTuple):
    """That of the router, and the client CAs of the domains."""

    server: Issuer
    a: Issuer
    b: Issuer


class Shown(NamedTuple):
    """What a client shows: who has issued it, and whom it names."""

    issuer: str
    units: tuple[str, ...] = ()
    spiffe_id: str = ""
    is_expired: bool = False


NOTHING = Shown("")
APP_A = Shown("a", ("app:app-1", "space:space-1", "organization:org-1"))
APP_B = Shown("b", ("app:app-1", "space:space-1", "organization:org-1"))
CERTIFICATES = {
    "none": NOTHING,
    "app": APP_A,
    "app of the other CA": APP_B,
    "another app": Shown("a", ("app:app-2", "space:space-2", "organization:org-2")),
    "app without a space": Shown("a", ("app:app-1",)),
    "space without an app": Shown("a", ("space:space-1", "organization:org-1")),
    "nobody": Shown("a", ("team:red",)),
    "workload": Shown("a", (), "spiffe://cluster.test/ns/prod/sa/shop"),
    "expired": Shown("a", ("app:app-1",), is_expired=True),
    "of nobody's CA": Shown("other", ("app:app-1",)),
}

# Sources of a policy; None: there is no policy.
SOURCES: dict[str, tuple[str, ...]] = {
    "nobody": (),
    "any": ("cf:any",),
    "app": ("cf:app:app-1",),
    "another app": ("cf:app:app-9",),
    "space": ("cf:space:space-1",),
    "org": ("cf:app:app-9", "cf:org:org-1"),
    "malformed": ("cf:app:", "cf:", "app-1", "cf:app:app-1x", "CF:ANY"),
    "workload": ("spiffe://cluster.test/ns/prod/sa/shop",),
    "workloads": ("spiffe://cluster.test/ns/prod/*",),
    "other workloads": ("spiffe://cluster.test/ns/prod", "spiffe://cluster.test/ns/prod/sa/*/x", "spiffe://other/*"),
}
SCOPES = ("any", "org", "space", "Org", "nowhere")


class Policy(NamedTuple):
    """A policy of the matrix, by the names of its parts, and whether its endpoint says where it is."""

    scope: str
    sources: str
    is_placed: bool


POLICIES = [None, *(Policy(*one) for one in product(SCOPES, SOURCES, (True, False)))]


def path_of(number: int) -> str:
    return f"/route{number}"


def rule_of(policy: Policy | None) -> RoutePolicy | None:
    if policy is None:
        return None
    place = {"organization": "org-1", "space": "space-1"} if policy.is_placed else {}
    return RoutePolicy(policy.scope, SOURCES[policy.sources], **place)


class Identity(NamedTuple):
    app: str
    space: str
    organization: str
    spiffe_id: str


def identity_of(shown: Shown) -> Identity | None:
    named = dict(unit.split(":", 1) for unit in shown.units)
    if "app" in named:
        return Identity(named["app"], named.get("space", ""), named.get("organization", ""), shown.spiffe_id)
    return Identity("", "", "", shown.spiffe_id) if shown.spiffe_id else None


def is_source_of(source: str, caller: Identity) -> bool:
    if source.startswith("spiffe://"):
        if source.endswith("/*"):
            return caller.spiffe_id.startswith(source[:-1])
        return caller.spiffe_id == source
    return source in {
        *(["cf:any", f"cf:app:{caller.app}"] if caller.app else []),
        *([f"cf:space:{caller.space}"] if caller.space else []),
        *([f"cf:org:{caller.organization}"] if caller.organization else []),
    }


def expected_status(held_to: str | None, shown: Shown, host: str, policy: Policy | None) -> int:
    """What a request for `host` gets on a connection that was held to the domain of the host `held_to`."""
    if (held_to or NOWHERE) != host:
        return 421
    if policy is None:
        return 200
    caller = identity_of(shown) if held_to is not None else None
    if caller is None:
        return 403
    if policy.scope not in ("any", "org", "space"):
        return 403
    if policy.scope == "org" and not (policy.is_placed and caller.organization == "org-1"):
        return 403
    if policy.scope == "space" and not (policy.is_placed and caller.space == "space-1"):
        return 403
    return 200 if any(is_source_of(source, caller) for source in SOURCES[policy.sources]) else 403


@pytest.fixture(scope="module")
def authorities() -> Authorities:
    return Authorities(Issuer("front"), Issuer("client CA a"), Issuer("client CA b"))


class World:
    """A router with two mTLS domains in front of one backend, which keeps what has come to it."""

    def __init__(self, authorities: Authorities, *, protocols: tuple[str, ...] = (), **options: Any) -> None:
        self.authorities = authorities
        self.arrived: list[Request] = []
        self.backend = ServingBackend(self._serve)
        self._pair = authorities.server.pair(*HOSTS, "*.a.test")
        self._modes = {name: options.pop(name) for name in ("forwarded_client_cert", "xfcc_format") if name in options}
        self.tls = server_tls(self._pair, protocols=protocols, ticket_secret=b"s" * 32, domains=self.domains())
        self.router = FrontRouter(tls=self.tls, extra_fields=FIELDS, **options)

    def domains(self, ca_a: Issuer | None = None) -> tuple[DomainTLS, ...]:
        return (
            DomainTLS("*.A.test", (ca_a or self.authorities.a).pem, **self._modes),
            DomainTLS("b.test", self.authorities.b.pem, **self._modes),
        )

    def _serve(self, stream: BackendStream) -> bool:
        self.arrived.append(stream.read_request())
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return True

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.router.__exit__(*exception)
        self.backend.close()

    def register(self, uri: str, policy: RoutePolicy | None = None, address: str = "", **options: Any) -> None:
        host, _, port = (address or self.backend.address).rpartition(":")
        endpoint = Endpoint(host, int(port), policy=policy, **options)
        self.router.call(self.router.table.register, uri, endpoint)

    def certificate(self, shown: Shown) -> Pair | None:
        issuers = {"a": self.authorities.a, "b": self.authorities.b, "other": Issuer("nobody's CA")}
        if not shown.issuer:
            return None
        return issuers[shown.issuer].pair(
            subject=instance_name(*shown.units),
            usages=(CLIENT,),
            is_expired=shown.is_expired,
            extensions=[uri_names(shown.spiffe_id)] if shown.spiffe_id else [],
        )

    def context(self, shown: Shown, **options: Any) -> ssl.SSLContext:
        return client_context(self.authorities.server, identity=self.certificate(shown), **options)

    def connect(self, server_name: str | None, shown: Shown = NOTHING, **options: Any) -> TlsClient:
        context = self.context(shown, checks_names=False, **options)
        return TlsClient(self.router.port, context, server_name)

    def ask(self, server_name: str, shown: Shown, host: str | None = None, *lines: str, path: str = "/") -> Response:
        with self.connect(server_name, shown) as client:
            return ask(client, host or server_name, path, *lines)

    def log_fields(self, number: int) -> list[str]:
        """The values of FIELDS in a line of the access log."""
        line = self.router.wait_for_log_line(number)
        return [line.partition(f" {field}:")[2].partition(" ")[0].strip('"') for field in FIELDS]


def ask(client: RawClient, host: str, path: str = "/", *lines: str) -> Response:
    head = "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *lines])
    client.send(head.encode() + b"\r\n\r\n")
    return client.read_response()


def register_policies(table: RouteTable, port: int) -> None:
    for host, (number, policy) in product(HOSTS, enumerate(POLICIES)):
        table.register(host + path_of(number), Endpoint("127.0.0.1", port, policy=rule_of(policy)))


@pytest.fixture
def world(authorities: Authorities) -> Iterator[World]:
    """One whose hosts have a route for each policy."""
    with World(authorities) as world:
        world.router.call(register_policies, world.router.table, world.backend.port)
        yield world


def is_let_in(held_to: str | None, shown: Shown) -> bool:
    """Whether the handshake succeeds; without a domain nobody is asked for a certificate."""
    if held_to is None:
        return True
    return shown.issuer == ("a" if held_to == DOMAIN_A else "b") and not shown.is_expired


class TestMatrix:
    """N10 to N13: domain x certificate x policy x scope; a connection asks for everything, so nothing is kept in it."""

    @pytest.mark.parametrize("server_name", [DOMAIN_A, DOMAIN_B, NOWHERE, None])
    @pytest.mark.parametrize("certificate", CERTIFICATES)
    def test_who_reaches_whom(self, world: World, certificate: str, server_name: str | None) -> None:
        shown = CERTIFICATES[certificate]
        held_to = None if server_name in (NOWHERE, None) else server_name
        if not is_let_in(held_to, shown):
            assert held_to is not None
            self.assert_turned_away(world, held_to, shown)
            return
        wrong = []
        with world.connect(server_name, shown) as client:
            for (number, policy), host in product(enumerate(POLICIES), HOSTS):
                expected = expected_status(held_to, shown, host, policy)
                before = len(world.arrived)
                response = ask(client, host, path_of(number))
                reached = len(world.arrived) - before
                if (response.status, reached) != (expected, int(expected == 200)):
                    wrong.append((host, policy, response.status, reached, expected))
        assert wrong == []

    def assert_turned_away(self, world: World, server_name: str, shown: Shown) -> None:
        before = len(world.arrived)
        assert self.words_of(world, server_name, shown) == b""
        assert len(world.arrived) == before

    def words_of(self, world: World, server_name: str, shown: Shown) -> bytes:
        """What a client gets that should get nothing but an alert, or the end."""
        try:
            with world.connect(server_name, shown) as client:
                # In TLS 1.3 the client takes its own handshake for complete before the router has verified it.
                client.send(f"GET /route0 HTTP/1.1\r\nHost: {server_name}\r\n\r\n".encode())
                return client.read_to_end()
        except OSError:
            return b""

    def test_without_tls(self, world: World) -> None:
        """Of whoever comes by a listener without TLS nothing is known."""
        wrong = []
        with AnsweringBackend() as backend, FrontRouter() as router:
            router.hold_to_domains(world.tls)
            router.call(register_policies, router.table, backend.port)
            client = router.connect()
            for host, (number, policy) in product(HOSTS, enumerate(POLICIES)):
                expected = expected_status(None, NOTHING, host, policy)
                before = router.stats()["total_requests"]
                status = ask(client, host, path_of(number)).status
                if (status, router.stats()["total_requests"] - before) != (expected, int(expected == 200)):
                    wrong.append((host, policy, status, expected))
        assert wrong == []


class TestDomains:
    """N10: whose rules a handshake goes by."""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_alerts(self, world: World, version: ssl.TLSVersion) -> None:
        missing, unknown = (self.error_of(world, shown, version) for shown in (NOTHING, CERTIFICATES["of nobody's CA"]))
        if version == ssl.TLSVersion.TLSv1_3:
            assert "certificate required" in missing.lower().replace("_", " ")
        else:
            assert "handshake failure" in missing.lower().replace("_", " ")
        assert "unknown ca" in unknown.lower().replace("_", " ")

    def error_of(self, world: World, shown: Shown, version: ssl.TLSVersion) -> str:
        try:
            with world.connect(DOMAIN_A, shown, version=version) as client:
                client.send(b"GET / HTTP/1.1\r\nHost: one.a.test\r\n\r\n")
                return f"no error, but {client.read_to_end()!r}"
        except ssl.SSLError as error:
            return str(error)

    @pytest.mark.parametrize(
        ("server_name", "is_held"),
        [
            ("one.a.test", True),
            ("TWO.A.TEST", True),
            ("x.one.a.test", False),
            ("a.test", False),
            ("B.test", True),
            ("x.b.test", False),
        ],
    )
    def test_names(self, world: World, server_name: str, is_held: bool) -> None:
        try:
            with world.connect(server_name) as client:
                response = ask(client, NOWHERE, path_of(0))
        except OSError:
            assert is_held
        else:
            assert (response.status, is_held) == (200, False)

    @pytest.mark.parametrize("host", ["ONE.A.TEST", "one.a.test:443", "two.a.test"])
    def test_case_and_port_do_not_count(self, authorities: Authorities, host: str) -> None:
        with World(authorities) as world:
            world.register("*.a.test")
            assert world.ask(DOMAIN_A, APP_A, host).status == 200
            assert world.ask(NOWHERE, NOTHING, host).status == 421
            assert len(world.arrived) == 1

    def test_an_exact_name_is_another_domain_than_the_wildcard(self, authorities: Authorities) -> None:
        with World(authorities) as world:
            world.register("*.a.test")
            exact = DomainTLS("special.a.test", authorities.b.pem)
            tls = server_tls(world._pair, domains=(*world.domains(), exact))
            world.router.call(world.router.secure, tls)
            assert world.ask("special.a.test", APP_B).status == 200
            # Gorouter takes the wildcard for good enough.
            assert world.ask("one.a.test", APP_A, "special.a.test").status == 421
            assert world.ask("special.a.test", APP_B, "one.a.test").status == 421

    @pytest.mark.parametrize("route", ["*.a.test", "/*.A.test/"])
    def test_what_a_wildcard_route_serves_besides_is_of_its_domain(self, authorities: Authorities, route: str) -> None:
        """Otherwise anybody would reach its apps by two labels in place of one."""
        with World(authorities) as world:
            world.register(route)
            assert world.ask(NOWHERE, NOTHING, ".a.test").status == 421
            assert world.ask(NOWHERE, NOTHING, "x.y.a.test").status == 421
            assert world.ask(DOMAIN_A, APP_A, "x.y.a.test").status == 200
            assert len(world.arrived) == 1

    def test_an_unknown_host_is_404_before(self, world: World) -> None:
        assert world.ask(DOMAIN_A, APP_A, "none.test").status == 404

    def test_a_refusal_is_empty_and_the_connection_goes_on(self, world: World) -> None:
        with world.connect(DOMAIN_A, APP_A) as client:
            response = ask(client, NOWHERE, path_of(0))
            assert (response.status, response.body, response.has(b"Connection")) == (421, b"", False)
            assert ask(client, DOMAIN_A, path_of(0)).status == 200


class TestNothingIsCarriedOver:
    """N11: neither a connection, nor a stream, nor a session brings an identity to another domain."""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_session_of_another_domain(self, world: World, version: ssl.TLSVersion) -> None:
        """A client with tickets of one domain shows its certificate to the other, or fails."""
        context = world.context(APP_A, version=version)
        session = self.session_of(world, context, DOMAIN_A)
        again = self.session_of(world, context, DOMAIN_A, session, is_resumed=True)
        for name in (DOMAIN_B, NOWHERE):
            try:
                with TlsClient(world.router.port, context, name, session=again) as client:
                    status = ask(client, name, path_of(0)).status
                    is_resumed = client.socket.session_reused
            except OSError:
                # Its certificate is no good there.
                assert name == DOMAIN_B
            else:
                assert (name, status, is_resumed) == (NOWHERE, 200, False)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_session_without_a_certificate(self, world: World, version: ssl.TLSVersion) -> None:
        context = world.context(NOTHING, version=version)
        session = self.session_of(world, context, NOWHERE)
        with pytest.raises(OSError), TlsClient(world.router.port, context, DOMAIN_A, session=session) as client:  # noqa: PT011
            ask(client, DOMAIN_A, path_of(0))

    @pytest.mark.parametrize("version", VERSIONS)
    def test_domains_with_the_same_authority(self, authorities: Authorities, version: ssl.TLSVersion) -> None:
        with World(authorities) as world:
            domains = (DomainTLS("*.a.test", authorities.a.pem), DomainTLS("b.test", authorities.a.pem))
            tls = server_tls(world._pair, ticket_secret=b"s" * 32, domains=domains)
            world.router.call(world.router.secure, tls)
            world.register(DOMAIN_A + path_of(0))
            world.register(DOMAIN_B + path_of(0))
            context = world.context(APP_A, version=version)
            session = self.session_of(world, context, DOMAIN_A)
            with TlsClient(world.router.port, context, DOMAIN_B, session=session) as client:
                assert ask(client, DOMAIN_B, path_of(0)).status == 200
                assert not client.socket.session_reused

    @pytest.mark.parametrize("version", VERSIONS)
    def test_a_resumed_session_has_its_identity_in_its_own_domain(self, world: World, version: ssl.TLSVersion) -> None:
        context = world.context(APP_A, version=version)
        session = self.session_of(world, context, DOMAIN_A)
        admitted = path_of(POLICIES.index(Policy("space", "app", True)))
        refused = path_of(POLICIES.index(Policy("space", "another app", True)))
        with TlsClient(world.router.port, context, DOMAIN_A, session=session) as client:
            assert client.socket.session_reused
            assert [ask(client, DOMAIN_A, path).status for path in (admitted, refused)] == [200, 403]

    def session_of(
        self,
        world: World,
        context: ssl.SSLContext,
        server_name: str,
        session: ssl.SSLSession | None = None,
        *,
        is_resumed: bool = False,
    ) -> ssl.SSLSession:
        with TlsClient(world.router.port, context, server_name, session=session) as client:
            assert ask(client, server_name, path_of(0)).status == 200
            assert client.socket.session_reused == is_resumed
            assert client.socket.session is not None
            return client.socket.session

    def test_streams_with_another_authority(self, authorities: Authorities) -> None:
        with World(authorities, protocols=("h2", "http/1.1")) as world:
            for host in HOSTS:
                world.register(host, RoutePolicy("any", ["cf:app:app-1"]) if host != NOWHERE else None)
            for name, shown in ((DOMAIN_A, APP_A), (NOWHERE, NOTHING)):
                stream = world.connect(name, shown, protocols=("h2",))
                with Http2Client(stream) as client:
                    for host in (*HOSTS, name, "two.a.test"):
                        before = len(world.arrived)
                        answer = client.ask(get(host=host.encode()))
                        expected = 200 if host == name else 404 if host == "two.a.test" else 421
                        assert (answer.status, len(world.arrived) - before) == (expected, int(expected == 200))
                        assert not answer.body or expected != 421

    def test_domains_that_have_changed(self, authorities: Authorities) -> None:
        """A connection that was held to CAs that are no longer the domain's is of no use, another one goes on."""
        with World(authorities) as world:
            for host in (DOMAIN_A, DOMAIN_B):
                world.register(host)
            with world.connect(DOMAIN_A, APP_A) as a, world.connect(DOMAIN_B, APP_B) as b:
                assert (ask(a, DOMAIN_A).status, ask(b, DOMAIN_B).status) == (200, 200)
                tls = server_tls(world._pair, domains=world.domains(ca_a=Issuer("new CA")))
                world.router.call(world.router.secure, tls)
                assert (ask(a, DOMAIN_A).status, ask(b, DOMAIN_B).status) == (421, 200)
                world.router.call(world.router.secure, server_tls(world._pair))
                assert (ask(a, DOMAIN_A).status, ask(b, DOMAIN_B).status) == (421, 421)


class TestForwarded:
    """N12: what becomes of X-Forwarded-Client-Cert on mTLS domains, and whom it names."""

    FORGED = 'X-Forwarded-Client-Cert: Hash=0;Subject="CN=x,OU=app:app-1"'

    @pytest.mark.parametrize("lines", [(), (FORGED,), (FORGED, FORGED)])
    def test_raw(self, authorities: Authorities, lines: tuple[str, ...]) -> None:
        with World(authorities, forwarded_client_cert="sanitize_set") as world:
            world.register(DOMAIN_A, RoutePolicy("any", ["cf:app:app-1"]))
            world.register(NOWHERE)
            assert world.ask(DOMAIN_A, APP_A, None, *lines).status == 200
            (value,) = world.arrived[-1].values(b"X-Forwarded-Client-Cert")
            assert value.startswith(b"MII")
            assert b"\n" not in value
            another = Shown("a", ("app:app-2",))
            assert world.ask(DOMAIN_A, another, None, *lines).status == 403, "a client cannot say who it is"
            assert world.ask(NOWHERE, NOTHING, None, *lines).status == 200
            assert len(world.arrived[-1].values(b"X-Forwarded-Client-Cert")) == len(lines), "elsewhere the global rule"

    def test_envoy(self, authorities: Authorities) -> None:
        with World(authorities, xfcc_format="envoy") as world:
            world.register(DOMAIN_A, RoutePolicy("any", ["cf:app:app-1"]))
            assert world.ask(DOMAIN_A, APP_A, None, self.FORGED).status == 200
            (value,) = world.arrived[-1].values(b"X-Forwarded-Client-Cert")
            head, _, subject = value.decode().partition(";")
            assert head.startswith("Hash=")
            assert len(head) == len("Hash=") + 64
            assert subject.startswith('Subject="CN=instance,OU=')
            assert set(subject.removeprefix('Subject="').removesuffix('"').split(",")) == {
                "CN=instance",
                *(f"OU={unit}" for unit in APP_A.units),
            }

    def test_a_unit_cannot_smuggle_another_one_in(self, authorities: Authorities) -> None:
        with World(authorities, xfcc_format="envoy") as world:
            world.register(DOMAIN_A, RoutePolicy("any", ["cf:app:app-1"]))
            sly = Shown("a", ("app:app-2,OU=app:app-1",))
            assert world.ask(DOMAIN_A, sly).status == 403
            assert world.log_fields(0)[0] == "app:app-2,OU=app:app-1".removeprefix("app:")

    @pytest.mark.parametrize("mode", ["forward", "always_forward"])
    @pytest.mark.parametrize(
        ("lines", "status"),
        [
            ((FORGED,), 200),
            ((FORGED, FORGED), 403),
            ((FORGED + ',Subject="OU=app:app-1"',), 403),
            (('X-Forwarded-Client-Cert: Subject="OU=app:app-2"',), 403),
            (("X-Forwarded-Client-Cert:",), 403),
            ((), 403),
        ],
    )
    def test_of_a_load_balancer(self, authorities: Authorities, mode: str, lines: tuple[str, ...], status: int) -> None:
        """The client of the domain is who says who asks; its own certificate does not."""
        with World(authorities, forwarded_client_cert=mode, xfcc_format="envoy") as world:
            world.register(DOMAIN_A, RoutePolicy("any", ["cf:app:app-1"]))
            world.register(DOMAIN_A + "/open")
            assert world.ask(DOMAIN_A, APP_A, None, *lines).status == status
            assert world.ask(DOMAIN_A, APP_A, None, *lines, path="/open").status == 200
            assert [line.decode() for line in world.arrived[-1].values(b"X-Forwarded-Client-Cert")] == [
                line.partition(": ")[2] for line in lines
            ]


class TestSelection:
    """N13: a policy is asked about the endpoint that was selected, at each attempt."""

    def test_an_app_in_two_spaces(self, authorities: Authorities) -> None:
        with World(authorities) as world, AnsweringBackend() as other:
            world.register(DOMAIN_A, RoutePolicy("space", ["cf:any"], space="space-1"))
            world.register(DOMAIN_A, RoutePolicy("space", ["cf:any"], space="space-9"), other.address)
            with world.connect(DOMAIN_A, APP_A) as client:
                responses = [ask(client, DOMAIN_A) for _ in range(4)]
            assert sorted(response.status for response in responses) == [200, 200, 403, 403]
            assert {response.body for response in responses if response.status == 403} == {b"Forbidden"}
            assert (len(world.arrived), other.connection_count) == (2, 0)

    def test_another_attempt_is_checked_too(self, authorities: Authorities) -> None:
        with World(authorities) as world:
            closed = ClosedPort()
            world.register(DOMAIN_A, RoutePolicy("space", ["cf:any"], space="space-1"), closed.address)
            world.register(DOMAIN_A, RoutePolicy("space", ["cf:any"], space="space-9"))
            with world.connect(DOMAIN_A, APP_A) as client:
                assert {ask(client, DOMAIN_A).status for _ in range(4)} <= {403, 502}
            assert world.arrived == []
            closed.close()

    def test_an_endpoint_without_a_policy_beside_one_that_has_it(self, authorities: Authorities) -> None:
        with World(authorities) as world, AnsweringBackend() as other:
            world.register(DOMAIN_A, RoutePolicy("any", ["cf:any"]))
            world.register(DOMAIN_A, None, other.address)
            with world.connect(DOMAIN_A, APP_A) as client:
                assert sorted(ask(client, DOMAIN_A).status for _ in range(4)) == [200, 200, 403, 403]
                world.router.call(world.router.table.unregister, DOMAIN_A, world.backend.address)
                assert ask(client, DOMAIN_A).status == 200, "nobody of the route has one any more"
            assert other.connection_count == 1

    def test_an_instance_that_a_header_names(self, authorities: Authorities) -> None:
        guid = "0f3a0f3a-0f3a-0f3a-0f3a-0f3a0f3a0f3a"
        with World(authorities) as world:
            policy = RoutePolicy("any", ["cf:app:app-9"])
            world.register(DOMAIN_A, policy, app_id=guid, instance_index="0")
            assert world.ask(DOMAIN_A, APP_A, None, f"X-Cf-App-Instance: {guid}:0").status == 403
            assert world.arrived == []

    def test_bodies_and_lines(self, authorities: Authorities) -> None:
        """Without an identity the body is empty; the endpoint is in the line either way, the policy's word, too."""
        with World(authorities) as world:
            world.register(DOMAIN_A, RoutePolicy("org", ["cf:app:app-2", "cf:org:org-1"], organization="org-1"))
            world.register(DOMAIN_A + "/none", RoutePolicy("any"))
            world.register(DOMAIN_A + "/open")
            nobody = CERTIFICATES["nobody"]
            cases: list[tuple[Shown, str, int, bytes, Sequence[str]]] = [
                (APP_A, "/", 200, b"ok", ("app-1", "space-1", "org-1", "route:cf:org:org-1", DOMAIN_A)),
                (nobody, "/", 403, b"", ("-", "-", "-", "identity_extraction", DOMAIN_A)),
                (APP_A, "/none", 403, b"Forbidden", ("app-1", "space-1", "org-1", "-", DOMAIN_A)),
                (
                    CERTIFICATES["another app"],
                    "/",
                    403,
                    b"Forbidden",
                    ("app-2", "space-2", "org-2", "domain:scope=org:post-selection", DOMAIN_A),
                ),
                (APP_A, "/open", 200, b"ok", ("app-1", "space-1", "org-1", "-", DOMAIN_A)),
                (nobody, "/open", 200, b"ok", ("-", "-", "-", "-", DOMAIN_A)),
            ]
            for number, (shown, path, status, body, fields) in enumerate(cases):
                response = world.ask(DOMAIN_A, shown, path=path)
                assert (response.status, response.body) == (status, body), path
                assert world.log_fields(number) == list(fields)
                assert f'"{world.backend.address}"' in world.router.log_lines()[number]
            assert world.ask(NOWHERE, NOTHING, DOMAIN_A).status == 421
            assert world.log_fields(len(cases)) == ["-", "-", "-", "-", NOWHERE]

    def test_a_call_of_grpc(self, authorities: Authorities) -> None:
        with World(authorities, protocols=("h2",)) as world:
            world.register(DOMAIN_A, RoutePolicy("any"))
            with Http2Client(world.connect(DOMAIN_A, APP_A, protocols=("h2",))) as client:
                fields = get(b"/", (b"content-type", b"application/grpc"), method=b"POST", host=DOMAIN_A.encode())
                answer = client.ask(fields)
                assert (answer.status, answer.value(b"grpc-status")) == (200, b"7")
            assert world.arrived == []


class TestRouteServices:
    """A request that may not reach the app does not reach its route service; what comes back is checked again."""

    KEY = derive_key("secret")

    @pytest.fixture
    def visited(self, authorities: Authorities) -> Iterator[tuple[World, AnsweringBackend]]:
        services = RouteServices(RouteServiceSigner(self.KEY, lifetime=60.0), recommends_https=True)
        with AnsweringBackend() as service, World(authorities, route_services=services, xfcc_format="envoy") as world:
            for host in (DOMAIN_A, "two.a.test"):
                world.register(host, RoutePolicy("any", ["cf:app:app-1"]))
            world.register("open.a.test", RoutePolicy("any", ["cf:app:app-1"]))
            for host in (DOMAIN_A, "two.a.test"):
                world.router.call(
                    lambda host=host: world.router.table.set_route(host, route_service_url=f"http://{service.address}/")
                )
            yield world, service

    def test_on_the_way_there(self, visited: tuple[World, AnsweringBackend]) -> None:
        world, service = visited
        assert world.ask(DOMAIN_A, CERTIFICATES["another app"]).status == 403
        assert world.ask(DOMAIN_A, CERTIFICATES["nobody"]).status == 403
        assert (world.arrived, service.connection_count) == ([], 0)
        assert world.ask(DOMAIN_A, APP_A).status == 200
        assert (world.arrived, service.connection_count) == ([], 1)

    def test_on_the_way_back(self, visited: tuple[World, AnsweringBackend]) -> None:
        """The service, which shows a certificate of the domain, says who has asked; only that of the same route may."""
        world, _ = visited
        told = 'X-Forwarded-Client-Cert: Subject="CN=x,OU=app:app-1"'
        another = CERTIFICATES["another app"]
        for host, signed_for, status in (
            (DOMAIN_A, DOMAIN_A, 200),
            ("two.a.test", DOMAIN_A, 502),
            ("open.a.test", DOMAIN_A, 403),
        ):
            signature, metadata = RouteServiceSigner(self.KEY, lifetime=60.0).sign(f"https://{signed_for}/")
            lines = (
                f"X-CF-Proxy-Signature: {signature.decode()}",
                f"X-CF-Proxy-Metadata: {metadata.decode()}",
                f"X-CF-Forwarded-Url: https://{signed_for}/",
            )
            before = len(world.arrived)
            assert world.ask(host, another, None, told, *lines).status == status, host
            assert len(world.arrived) - before == (status == 200)
            if status == 200:
                assert world.arrived[-1].values(b"X-Forwarded-Client-Cert") == [told.partition(": ")[2].encode()]
