"""Route services with the real executable: configuration, several workers, the router as its own client, both schemes.

Spec 5.9, 8.2, 8.3, 9.6; V05, V06, V11-V13, N08, N09.
"""

import base64
import datetime
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gorouter_signature
from fastrouter.route_services.signature import derive_key

from .byte_stream import PATIENCE
from .conftest import StartGorouter
from .generations import Generations, with_route
from .gorouter_process import register
from .http_message import Request, Response, response_with
from .issuer import CLIENT, Issuer, Pair
from .nats_server import NatsServerProcess, RawNatsClient
from .raw_backend import BackendStream, RawBackend, ServingBackend
from .raw_client import RawClient
from .router_process import START_PATIENCE, wait_for
from .test_route_services import FORWARDED_URL, METADATA, SIGNATURE, THREE, signed, three_lines
from .test_tls_listener import tls_port
from .tls_backend import Authority, TlsBackend
from .tls_front import TlsClient, client_context, tls_keys

APP, SERVICE = "app.test", "service.apps.test"
XFCC, XFP = b"X-Forwarded-Client-Cert", b"X-Forwarded-Proto"
SECRET = "rs-secret"
OURS = Authority()
FOREVER_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class World:
    """A router with HTTPS, the app behind it, and a service outside, all three on 127.0.0.1."""

    def __init__(
        self, start: StartGorouter, nats: RawNatsClient, issuer: Issuer, access_log: Path, **keys: Any
    ) -> None:
        self._access_log = access_log
        self._nats = nats
        self._issuer = issuer
        self.app = RawBackend()
        self.service = TlsBackend(OURS.server("localhost"))
        services = {"max_attempts": 3, **keys.pop("route_services", {})}
        front = tls_keys(issuer.pair(APP), client_ca_certs=issuer.pem, only_trust_client_ca_certs=True)
        given = {"route_services_secret": SECRET, "ca_certs": [OURS.pem], "route_services": services}
        log = {"access_log": {"file": str(access_log)}}
        self.router = start(**{**front, **given, **log, **keys})
        self.router.wait_until_started()
        self.register(APP, self.app.address, route_service_url=self.url)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.service.port}/visit"

    def register(self, uri: str, address: str, **fields: Any) -> None:
        register(self._nats, address, uri, app="the-app", **fields)
        wait_for(lambda: address in (self.router.addresses(uri) or []), f"the route {uri}")

    def close(self) -> None:
        self.app.close()
        self.service.close()

    def connect(self, *, is_secure: bool = False, identity: Pair | None = None) -> RawClient:
        if is_secure:
            return TlsClient(tls_port(self.router), client_context(self._issuer, identity=identity), APP)
        return RawClient(self.router.port)

    def send(self, *lines: bytes, host: str = APP, **connection: Any) -> RawClient:
        client = self.connect(**connection)
        client.send(b"\r\n".join([b"GET / HTTP/1.1", b"Host: " + host.encode(), *lines]) + b"\r\n\r\n")
        return client

    def pass_on(self, request: Request, **connection: Any) -> RawClient:
        """Send a request back to the router as it came, as a service does."""
        kept = [name + b": " + value for name, value in request.fields if name not in (b"Host", b"Connection")]
        return self.send(*kept, **connection)

    def round_trip(self, *lines: bytes, return_is_secure: bool, **connection: Any) -> tuple[Request, Request]:
        """A request of a client through the service to the app; what these two get."""
        client = self.send(*lines, **connection)
        visit, seen = self.service.accept_request()
        back = self.pass_on(seen, is_secure=return_is_secure)
        stream, arrived = self.app.accept_request()
        stream.send(response_with(b"ok", b"Connection: close"))
        assert back.read_response().status == 200
        visit.send(response_with())
        assert client.read_response().status == 200
        for end in (client, back, visit, stream):
            end.close()
        return seen, arrived

    def access_log(self) -> list[str]:
        return self._access_log.read_text().splitlines()


@pytest.fixture
def new_world(
    start_gorouter: StartGorouter, nats: RawNatsClient, issuer: Issuer, tmp_path: Path
) -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def new(**keys: Any) -> World:
        worlds.append(World(start_gorouter, nats, issuer, tmp_path / "access.log", **keys))
        return worlds[-1]

    yield new
    for world in worlds:
        world.close()


NewWorld = Callable[..., World]


class TestConfiguration:
    def test_every_key_has_effect(self, new_world: NewWorld) -> None:
        world = new_world(
            route_services_secret_decrypt_only="old secret",
            route_services_recommend_https=True,
            route_services_timeout="1h",
            route_services={"strict_signature_validation": True, "enable_websockets": True},
        )
        seen, arrived = world.round_trip(return_is_secure=True)
        assert seen.target == b"/visit"
        assert seen.value(FORWARDED_URL) == b"https://app.test/"
        assert not any(arrived.has(name) for name in THREE)
        # The secret before, and the age that the timeout allows.
        half_an_hour_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=30)
        client = world.send(*signed(derive_key("old secret"), at=half_an_hour_ago))
        stream, _ = world.app.accept_request()
        stream.send(response_with())
        assert client.read_response().status == 200
        assert answer(world.send(*signed(derive_key(SECRET), at=FOREVER_AGO))).status == 504
        world.register("plain.test", world.app.address)
        assert answer(world.send(*signed(derive_key("guessed")), host="plain.test")).status == 400
        for message in ("timeout", "current-key", "previous-key"):
            event = world.router.wait_for_event(f"proxy-route-service-{message}")
            assert event["source"] == "gorouter.stdout.proxy"

    def test_all_workers_hold_the_same_keys(self, new_world: NewWorld) -> None:
        world = new_world(go_max_procs=2)
        for _ in range(6):
            world.round_trip(return_is_secure=False)

    def test_without_a_secret(self, new_world: NewWorld) -> None:
        world = new_world(route_services_secret="")
        response = answer(world.send())
        assert response.status == 502
        assert response.value(b"X-Cf-Routererror") == b"route_service_unsupported"

    def test_egress_block_list(self, new_world: NewWorld) -> None:
        world = new_world(route_services={"egress_blocklist": ["127.0.0.0/8", "::1/128"]})
        response = answer(world.send())
        assert response.status == 502
        assert b"not allowed" in (response.value(b"X-Cf-Routererror") or b"")
        assert not world.service.has_pending_connection()

    def test_versions_are_those_of_the_listener(self, new_world: NewWorld) -> None:
        world = new_world(max_tls_version="TLSv1.2")
        client = world.send()
        stream, _ = world.service.accept_request()
        assert isinstance(stream.socket, ssl.SSLSocket)
        assert stream.socket.version() == "TLSv1.2"
        stream.send(response_with())
        assert client.read_response().status == 200


def answer(client: RawClient) -> Response:
    return client.read_response()


def answer_visits(stream: BackendStream) -> None:
    stream.read_request()
    stream.send(response_with())


HAIRPIN = {"route_services_hairpinning": True, "route_services_internal_server_port": 0}


class TestHairpinning:
    """V12, V13: services that are apps of this router."""

    def bind(self, world: World, host: str = SERVICE) -> RawBackend:
        """Make an app the service of the app."""
        inner = RawBackend()
        world.register(host, inner.address)
        world.register(APP, world.app.address, route_service_url=f"https://{host}/visit?a=b")
        return inner

    def assert_hairpins(self, world: World, inner: RawBackend, **connection: Any) -> None:
        client = world.send(b"X-Forwarded-For: 1.2.3.4", **connection)
        visit, seen = inner.accept_request()
        assert seen.start_line == b"GET /visit?a=b HTTP/1.1"
        assert seen.value(b"Host") == SERVICE.encode()
        assert all(seen.has(name) for name in THREE), "the service is an app, and needs them"
        assert seen.value(b"X-Forwarded-For") == b"1.2.3.4, 127.0.0.1, 127.0.0.1"
        back = world.pass_on(seen, **connection)
        stream, arrived = world.app.accept_request()
        assert not any(arrived.has(name) for name in THREE)
        stream.send(response_with(b"app", b"Connection: close"))
        visit.send(response_with(back.read_response().body, b"Connection: close"))
        response = client.read_response()
        assert (response.status, response.body) == (200, b"app")
        for end in (client, back):
            end.close()

    def test_twice_in_the_access_log(self, new_world: NewWorld) -> None:
        world = new_world(**HAIRPIN)
        with self.bind(world) as inner:
            self.assert_hairpins(world, inner)
            returned, visited, asked = wait_for(
                lambda: lines if len(lines := world.access_log()) == 3 else None, "three lines"
            )
            assert returned.startswith(f"{APP} - ")
            assert world.app.address in returned
            assert visited.startswith(f"{SERVICE} - ")
            assert '"GET /visit?a=b HTTP/1.1" 200 ' in visited
            assert inner.address in visited
            assert 'app_id:"the-app"' in visited
            assert asked.startswith(f"{APP} - ")
            assert '"GET / HTTP/1.1" 200 ' in asked
            assert 'app_id:"-"' in asked

    def test_with_several_workers(self, new_world: NewWorld) -> None:
        world = new_world(go_max_procs=2, **HAIRPIN)
        with self.bind(world) as inner:
            for _ in range(4):
                self.assert_hairpins(world, inner)

    def test_without_http(self, new_world: NewWorld) -> None:
        world = new_world(disable_http=True, **HAIRPIN)
        with self.bind(world) as inner:
            self.assert_hairpins(world, inner, is_secure=True)

    @pytest.mark.parametrize("suite", ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"])
    def test_with_any_suite(self, new_world: NewWorld, issuer: Issuer, suite: str) -> None:
        pair = issuer.pair(APP, is_rsa="RSA" in suite)
        front = tls_keys(pair, cipher_suites=suite, max_tls_version="TLSv1.2")
        world = new_world(**{**front, **HAIRPIN})
        with self.bind(world) as inner:
            self.assert_hairpins(world, inner)

    @pytest.mark.parametrize("allow_list", [[SERVICE], ["*.apps.test"], ["SERVICE.apps.test"]])
    def test_allow_list(self, new_world: NewWorld, allow_list: list[str]) -> None:
        world = new_world(**HAIRPIN, route_services_hairpinning_allowlist=allow_list)
        with self.bind(world) as inner:
            self.assert_hairpins(world, inner)

    @pytest.mark.parametrize("allow_list", [["*.other.test"], ["other.apps.test"]])
    def test_who_is_not_on_the_list_is_visited_outside(self, new_world: NewWorld, allow_list: list[str]) -> None:
        world = new_world(**HAIRPIN, route_services_hairpinning_allowlist=allow_list)
        # The router has a route of this name, and the name leads to the service outside.
        world.register("localhost", world.app.address)
        client = world.send()
        stream, _ = world.service.accept_request()
        stream.send(response_with())
        assert client.read_response().status == 200

    def test_only_where_it_is_wanted(self, new_world: NewWorld) -> None:
        world = new_world(**{**HAIRPIN, "route_services_hairpinning": False})
        assert not [message for message in world.router.messages() if message.startswith("internal-listener")]
        # A route of this name does not keep the request inside.
        world.register("localhost", world.app.address)
        client = world.send()
        stream, _ = world.service.accept_request()
        stream.send(response_with())
        assert client.read_response().status == 200

    def test_service_without_endpoints_is_what_the_client_gets(self, new_world: NewWorld) -> None:
        world = new_world(**HAIRPIN)
        inner = self.bind(world)
        inner.close()
        response = answer(world.send())
        assert response.status == 502
        assert b"connection refused" in (response.value(b"X-Cf-Routererror") or b"")

    def test_a_circle_ends(self, new_world: NewWorld) -> None:
        """Each is the other's service: the signature of one route is not valid for the other."""
        world = new_world(**HAIRPIN)
        world.register(SERVICE, world.app.address, route_service_url=f"https://{APP}/")
        world.register(APP, world.app.address, route_service_url=f"https://{SERVICE}/")
        response = answer(world.send())
        assert response.status == 502
        assert b"does not match the original request URL" in response.body

    def test_a_route_that_is_its_own_service(self, new_world: NewWorld) -> None:
        """5.9.8: with its signature the request has arrived."""
        world = new_world(**HAIRPIN)
        world.register(APP, world.app.address, route_service_url=f"https://{APP}/own")
        client = world.send()
        stream, arrived = world.app.accept_request()
        assert arrived.target == b"/own"
        stream.send(response_with())
        assert client.read_response().status == 200

    def test_nobody_else_comes_in(self, new_world: NewWorld, issuer: Issuer) -> None:
        world = new_world(**HAIRPIN)
        event = world.router.wait_for_event("internal-listener-started", START_PATIENCE)
        address = event["data"]["address"]
        assert address["IP"] == "127.0.0.1"
        context = client_context(issuer, identity=issuer.pair(usages=[CLIENT]), checks_names=False)
        context.verify_mode = ssl.CERT_NONE
        with pytest.raises(OSError):  # noqa: PT011 refused within the handshake, or by what follows it
            TlsClient(address["Port"], context, APP).read_exactly(1)


class Registrar:
    """Registers routes again and again, as apps do."""

    def __init__(self, nats_port: int, routes: dict[str, dict[str, Any]]) -> None:
        self._nats = RawNatsClient(nats_port)
        self._routes = routes
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.wait(0.05):
            for uri, fields in self._routes.items():
                register(self._nats, fields["address"], uri, route_service_url=fields.get("service", ""))

    def close(self) -> None:
        self._is_over.set()
        self._thread.join(PATIENCE)
        self._nats.close()


def test_hairpinning_goes_on_through_an_upgrade(nats_server: NatsServerProcess, tmp_path: Path) -> None:
    """For a while a router and its successor listen on the same port, and meet each other there."""
    with ServingBackend(answer_visits) as backend:
        # Long enough for the successor to receive all routes before the first request.
        log = {"file": str(tmp_path / "access.log")}
        keys = {"access_log": log, "route_services_secret": SECRET, "start_response_delay_interval": "2s", **HAIRPIN}
        service = {"address": backend.address, "service": f"https://{SERVICE}/"}
        registrar = Registrar(nats_server.port, {"bound.test": service, SERVICE: {"address": backend.address}})
        generations = Generations(tmp_path, nats_server, *with_route(tmp_path, APP, backend.address), **keys)

        statuses: list[int] = []
        is_over = threading.Event()

        def ask_on() -> None:
            # Each over a connection that it keeps, mostly idle: the old router has one more request of each to serve
            # when the port is the successor's already.
            client = RawClient(generations.port)
            while not is_over.wait(0.02):
                client.send(b"GET / HTTP/1.1\r\nHost: bound.test\r\n\r\n")
                response = client.read_response()
                statuses.append(response.status)
                if response.has(b"Connection"):
                    client.close()
                    client = RawClient(generations.port)
            client.close()

        askers = [threading.Thread(target=ask_on) for _ in range(8)]
        try:
            wait_for(lambda: {"bound.test", SERVICE} <= generations.first.routes().keys() or None, "the routes")
            for asker in askers:
                asker.start()
            wait_for(lambda: len(visits(generations)) > 20 or None, "visits")
            generations.upgrade()
            generations.wait_gone(generations.first.pid)
            before = len(visits(generations))
            wait_for(lambda: len(visits(generations)) > before + 20 or None, "visits by the successor")
        finally:
            is_over.set()
            for asker in askers:
                if asker.ident is not None:
                    asker.join(PATIENCE)
            registrar.close()
            generations.stop()
        assert set(statuses) == {200}
        assert generations.events("route-service-connection-failed") == []


def visits(generations: Generations) -> list[str]:
    """The access log's lines of requests at the service."""
    log = generations.first.access_log
    return [line for line in log.read_text().splitlines() if line.startswith(SERVICE)] if log.exists() else []


CERTIFICATE = b"of the client"


class TestForwardedClientCert:
    """8.2: what service and app see, for each mode, client, and scheme of the way back."""

    @pytest.mark.parametrize("mode", ["always_forward", "forward", "sanitize_set"])
    def test_matrix(self, mode: str, new_world: NewWorld, issuer: Issuer) -> None:
        world = new_world(forwarded_client_cert=mode, client_cert_validation="request")
        identity = issuer.pair(usages=[CLIENT])
        own = base64.b64encode(identity.der)
        clients: list[dict[str, Any]] = [
            {"is_secure": False},
            {"is_secure": True},
            {"is_secure": True, "identity": identity},
        ]
        for client in clients:
            for sent in ([], [CERTIFICATE]):
                has_identity = "identity" in client
                if mode == "always_forward":
                    expected: tuple[list[bytes], ...] = (sent, sent, sent)
                elif mode == "forward":
                    expected = (sent if has_identity else [], [], [])
                else:
                    expected = ([own], [], [own]) if has_identity else ([], [], [])
                for return_is_secure in (False, True):
                    lines = [XFCC + b": " + value for value in sent]
                    seen, arrived = world.round_trip(*lines, return_is_secure=return_is_secure, **client)
                    got = seen.values(XFCC), arrived.values(XFCC)
                    assert got == (expected[0], expected[2 if return_is_secure else 1]), (
                        client,
                        sent,
                        return_is_secure,
                    )

    @pytest.mark.parametrize("mode", ["forward", "sanitize_set"])
    def test_internal_certificate_is_none_of_the_clients(self, mode: str, new_world: NewWorld) -> None:
        world = new_world(forwarded_client_cert=mode, client_cert_validation="request", **HAIRPIN)
        with TestHairpinning().bind(world) as inner:
            client = world.send(XFCC + b": forged")
            visit, seen = inner.accept_request()
            assert not seen.has(XFCC)
            visit.send(response_with())
            assert client.read_response().status == 200


class TestForwardedProto:
    """8.3: what the service sees first stays, whatever the scheme of the way back."""

    @pytest.mark.parametrize("key", ["force_forwarded_proto_https", "sanitize_forwarded_proto", None])
    def test_matrix(self, key: str | None, new_world: NewWorld) -> None:
        world = new_world(**({key: True} if key else {}))
        for is_secure in (False, True):
            real = b"https" if is_secure else b"http"
            for sent in (None, b"", b"http", b"https", b"other"):
                if key == "force_forwarded_proto_https":
                    expected = b"https"
                else:
                    expected = real if key == "sanitize_forwarded_proto" or not sent else sent
                for return_is_secure in (False, True):
                    lines = [] if sent is None else [XFP + b": " + sent]
                    seen, arrived = world.round_trip(*lines, is_secure=is_secure, return_is_secure=return_is_secure)
                    assert (seen.values(XFP), arrived.values(XFP)) == ([expected], [expected]), (is_secure, sent)


def test_an_independent_implementation_and_the_executable_agree(new_world: NewWorld) -> None:
    """V04, from secret to header."""
    world = new_world()
    client = world.send()
    stream, seen = world.service.accept_request()
    stream.send(response_with())
    client.read_response()
    _, metadata, _ = three_lines(seen)
    assert metadata.startswith(METADATA)
    signature = seen.value(SIGNATURE)
    assert signature is not None
    contents = gorouter_signature.unseal(
        gorouter_signature.key_of(SECRET), signature, metadata.removeprefix(METADATA + b": ")
    )
    assert contents["forwarded_url"] == "http://app.test/"


def test_websockets_through_a_service(new_world: NewWorld) -> None:
    """N08."""
    world = new_world(route_services={"enable_websockets": True})
    upgrade = (b"Connection: Upgrade", b"Upgrade: websocket")
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    client = world.send(*upgrade)
    visit, seen = world.service.accept_request()
    back = world.send(*three_lines(seen), *upgrade)
    stream, _ = world.app.accept_request()
    stream.send(switching)
    assert back.read_response().status == 101
    visit.send(switching)
    assert client.read_response().status == 101
    for end in (stream, back, visit, client):
        end.close()
    lines = wait_for(lambda: lines if len(lines := world.access_log()) == 2 else None, "two lines")
    assert all('"GET / HTTP/1.1" 101 0 0 ' in line for line in lines)


def test_log_lines_of_a_service_that_serves(new_world: NewWorld) -> None:
    """A service that answers 2xx leaves nothing in the process log."""
    world = new_world()
    with ServingBackend(answer_visits) as plain:
        world.register("plain.test", plain.address)
        client = world.send(host="plain.test")
        assert client.read_response().status == 200
    world.round_trip(return_is_secure=False)
    assert not {"route-service-response", "signature-validation-failed"} & set(world.router.messages())
