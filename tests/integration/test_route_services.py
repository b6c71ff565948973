"""Route services: to the service, back from it, and what can be wrong with either (spec 5.9; V01-V11, V14, V15)."""

import contextlib
import datetime
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import gorouter_signature
from fastrouter._core import RouteServices
from fastrouter.route_services.reach import EgressBlockList
from fastrouter.route_services.signature import RouteServiceSigner, derive_key
from fastrouter.tls.backends import route_service_context

from .http_message import Request, Response, response_with
from .in_process import HOST, InProcessRouter
from .raw_backend import BackendStream, ClosedPort, RawBackend
from .raw_client import RawClient
from .tls_backend import Authority, TlsBackend

OURS = Authority()
KEY = derive_key("rs-secret")
PREVIOUS_KEY = derive_key("secret of last year")
SIGNATURE, METADATA, FORWARDED_URL = b"X-Cf-Proxy-Signature", b"X-Cf-Proxy-Metadata", b"X-Cf-Forwarded-Url"
THREE = (SIGNATURE, METADATA, FORWARDED_URL)
POST = b"POST /items?id=1 HTTP/1.1"
WEBSOCKET = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: a2V5", b"Sec-WebSocket-Version: 13")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def context_for_services(**options: Any) -> ssl.SSLContext:
    versions = {"min_version": "TLSv1.2", "max_version": "TLSv1.3"}
    return route_service_context(**{**versions, "ca_certs": [OURS.pem], **options})


class World:
    """A router, the service of its route `app.test`, and the app behind it. The test plays all three others."""

    def __init__(self, service: RawBackend, url: str, **options: Any) -> None:
        self.service = service
        self.app = RawBackend()
        self.url = url.replace("PORT", str(service.port))
        settings = {name: options.pop(name) for name in list(options) if name in _SETTINGS}
        signer = RouteServiceSigner(KEY, options.pop("previous_key", b""), lifetime=60.0)
        services = RouteServices(
            options.pop("signer", signer), **{"max_attempts": 3, "tls": context_for_services(), **options}
        )
        self.router = InProcessRouter(route_services=services, **settings)
        self.register(HOST, self.url)

    def register(self, uri: str, route_service_url: str = "") -> None:
        from fastrouter._core import Endpoint

        endpoint = Endpoint("127.0.0.1", self.app.port, app_id="the-app", instance_id="the-instance")
        self.router.call(self.router.table.register, uri, endpoint)
        if route_service_url:
            self.router.call(lambda: self.router.table.set_route(uri, route_service_url=route_service_url))

    def close(self) -> None:
        self.router.close()
        self.service.close()
        self.app.close()

    def send(
        self, *lines: bytes, start_line: bytes = b"GET / HTTP/1.1", body: bytes = b"", host: str = HOST
    ) -> RawClient:
        client = self.router.connect()
        head = b"\r\n".join([start_line, b"Host: " + host.encode(), *lines])
        client.send(head + b"\r\n\r\n" + body)
        return client

    def visit(self, *lines: bytes, **request: Any) -> tuple[RawClient, BackendStream, Request]:
        """A client's request, and what the service gets of it."""
        client = self.send(*lines, **request)
        stream, received = self.service.accept_request()
        return client, stream, received

    def signature_of_a_visit(self) -> tuple[bytes, ...]:
        """The lines of the three headers that the service gets."""
        client, stream, received = self.visit()
        stream.send(response_with())
        assert client.read_response().status == 200
        return three_lines(received)


_SETTINGS = frozenset({"resolve", "endpoint_timeout", "dial_timeout", "tls_handshake_timeout", "max_response_headers"})


def three_lines(request: Request) -> tuple[bytes, ...]:
    return tuple(name + b": " + (request.value(name) or b"") for name in THREE)


def signed(key: bytes, url: str = f"http://{HOST}/", **options: Any) -> tuple[bytes, bytes]:
    """Lines with a signature of an independent implementation."""
    signature, metadata = gorouter_signature.sign(key, url, **options)
    return SIGNATURE + b": " + signature, METADATA + b": " + metadata


@pytest.fixture
def new_world() -> Iterator[Callable[..., World]]:
    worlds: list[World] = []

    def new(service: RawBackend | None = None, url: str = "https://127.0.0.1:PORT/visit", **options: Any) -> World:
        worlds.append(World(service or TlsBackend(OURS.server("127.0.0.1", "localhost")), url, **options))
        return worlds[-1]

    yield new
    for world in worlds:
        world.close()


NewWorld = Callable[..., World]


@pytest.fixture
def world(new_world: NewWorld) -> World:
    return new_world()


class TestToTheService:
    """V01, V02."""

    def test_whole_round_trip(self, world: World) -> None:
        client, visit, received = world.visit(b"Content-Length: 4", b"X-Own: kept", start_line=POST, body=b"body")
        assert received.start_line == b"POST /visit HTTP/1.1"
        assert received.value(b"Host") == f"127.0.0.1:{world.service.port}".encode()
        assert received.value(b"X-Own") == b"kept"
        assert received.body == b"body"
        assert received.value(FORWARDED_URL) == b"http://app.test/items?id=1"
        # The service, which validates nothing, sends the request on its way.
        back = world.send(*three_lines(received), b"Content-Length: 4", start_line=POST, body=b"BODY")
        stream, arrived = world.app.accept_request()
        assert arrived.start_line == b"POST /items?id=1 HTTP/1.1"
        assert arrived.value(b"Host") == HOST.encode()
        assert arrived.body == b"BODY"
        assert not any(arrived.has(name) for name in THREE)
        stream.send(response_with(b"from the app"))
        answer = back.read_response()
        visit.send(response_with(answer.body, b"X-Service: was here"))
        response = client.read_response()
        assert (response.status, response.body) == (200, b"from the app")
        assert response.value(b"X-Service") == b"was here"

    def test_signature_is_read_by_an_independent_implementation(self, world: World) -> None:
        before = datetime.datetime.now(datetime.UTC)
        client, stream, received = world.visit(start_line=b"GET /a%20b?c=<d>&e HTTP/1.1")
        signature, metadata = received.value(SIGNATURE), received.value(METADATA)
        assert signature is not None
        assert metadata is not None
        contents = gorouter_signature.unseal(KEY, signature, metadata)
        assert contents["forwarded_url"] == "http://app.test/a%20b?c=<d>&e"
        # Whole microseconds are as fine as Python's clock reads it.
        at = datetime.datetime.fromisoformat(contents["requested_time"])
        assert abs(at - before) < datetime.timedelta(seconds=60)
        stream.send(response_with())
        assert client.read_response().status == 200

    @pytest.mark.parametrize("recommends_https", [False, True])
    def test_scheme_of_the_forwarded_url(self, recommends_https: bool, new_world: NewWorld) -> None:
        world = new_world(recommends_https=recommends_https)
        _, _, received = world.visit()
        scheme = b"https" if recommends_https else b"http"
        assert received.value(FORWARDED_URL) == scheme + b"://app.test/"

    @pytest.mark.parametrize(
        ("host", "target", "url"),
        [
            ("app.test:8080", b"/", b"http://app.test/"),
            ("App.Test", b"/%2e%2E/x", b"http://App.Test/%2e%2E/x"),
            (HOST, b"/a?", b"http://app.test/a?"),
            (HOST, b"/?q=%zz&r=a+b;c", b"http://app.test/?q=%zz&r=a+b;c"),
            (HOST, b"/\xc3\xa9", b"http://app.test/\xc3\xa9"),
        ],
    )
    def test_forwarded_url_is_host_without_port_and_the_raw_target(
        self, world: World, host: str, target: bytes, url: bytes
    ) -> None:
        _, _, received = world.visit(start_line=b"GET " + target + b" HTTP/1.1", host=host)
        assert received.value(FORWARDED_URL) == url
        # It comes back as it went.
        world.send(*three_lines(received), start_line=b"GET " + target + b" HTTP/1.1", host=host)
        _, arrived = world.app.accept_request()
        assert arrived.target == target

    @pytest.mark.parametrize(
        ("url", "target"),
        [
            ("https://127.0.0.1:PORT", b"/"),
            ("https://127.0.0.1:PORT/", b"/"),
            ("https://127.0.0.1:PORT/a/b?c=d&e=f", b"/a/b?c=d&e=f"),
            ("https://127.0.0.1:PORT?c=d", b"/?c=d"),
        ],
    )
    def test_path_and_query_are_those_of_the_service(self, new_world: NewWorld, url: str, target: bytes) -> None:
        world = new_world(url=url)
        _, _, received = world.visit(start_line=b"GET /own?own=1 HTTP/1.1")
        assert received.target == target

    def test_headers_of_the_client_do_not_pass_for_the_routers(self, world: World) -> None:
        _, _, received = world.visit(METADATA + b": mine", FORWARDED_URL + b": http://evil.test/")
        assert received.value(FORWARDED_URL) == b"http://app.test/"
        assert received.value(METADATA) != b"mine"
        assert received.has(SIGNATURE)

    def test_other_headers_are_as_for_a_backend(self, world: World) -> None:
        _, _, received = world.visit(b"Connection: X-Hop", b"X-Hop: x", b"X-Forwarded-For: 1.2.3.4")
        assert not received.has(b"X-Hop")
        assert received.value(b"X-Forwarded-For") == b"1.2.3.4, 127.0.0.1"
        assert received.value(b"X-Forwarded-Proto") == b"http"
        assert received.has(b"X-Vcap-Request-Id")
        assert received.has(b"X-Request-Start")
        # It is no instance of an app.
        for name in (b"X-Cf-Applicationid", b"X-Cf-Instanceid", b"X-Cf-Instanceindex"):
            assert not received.has(name)

    def test_connections_are_not_kept(self, world: World) -> None:
        client = world.router.connect()
        for _ in range(2):
            client.send(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            stream, _ = world.service.accept_request()
            stream.send(response_with())
            assert client.read_response().status == 200
            stream.expect_end()

    def test_a_body_is_streamed(self, world: World) -> None:
        client = world.send(b"Transfer-Encoding: chunked", start_line=POST)
        client.send(b"5\r\nfirst\r\n")
        stream = world.service.accept()
        head = stream.read_request_head()
        assert head.framing == "chunked"
        assert stream.read_until(b"first\r\n")
        client.send(b"4\r\nlast\r\n0\r\n\r\n")
        stream.read_until(b"0\r\n\r\n")
        stream.send(response_with())
        assert client.read_response().status == 200

    def test_the_name_of_the_service_is_sent_and_verified(self, new_world: NewWorld) -> None:
        named: list[str | None] = []
        context = OURS.server("localhost")
        context.sni_callback = lambda _socket, name, _context: named.append(name)
        world = new_world(TlsBackend(context), "https://localhost:PORT/")
        client, stream, received = world.visit()
        assert received.value(b"Host") == f"localhost:{world.service.port}".encode()
        assert named == ["localhost"]
        stream.send(response_with())
        assert client.read_response().status == 200

    def test_access_log_has_no_endpoint(self, world: World) -> None:
        client, stream, _ = world.visit()
        stream.send(response_with())
        client.read_response()
        line = world.router.wait_for_log_line()
        assert '"GET / HTTP/1.1" 200 0 2 "-" "-" "127.0.0.1:' in line
        assert ' "-" x_forwarded_for:"127.0.0.1"' in line
        assert 'app_id:"-" app_index:"-" instance_id:"-"' in line

    def test_last_registration_decides(self, world: World) -> None:
        """5.9.10."""
        world.router.call(lambda: world.router.table.set_route(HOST))
        client = world.send()
        stream, _ = world.app.accept_request()
        stream.send(response_with())
        assert client.read_response().status == 200


class TestAnswers:
    def test_signature_never_reaches_the_client(self, world: World) -> None:
        """5.9.9."""
        client, stream, received = world.visit()
        stream.send(response_with(b"ok", *three_lines(received)))
        response = client.read_response()
        assert not response.has(SIGNATURE)
        assert response.has(METADATA)
        assert response.has(FORWARDED_URL)

    def test_signature_of_an_app_neither(self, world: World) -> None:
        world.register("plain.test")
        client = world.send(host="plain.test")
        stream, _ = world.app.accept_request()
        stream.send(response_with(b"ok", SIGNATURE + b": x"))
        assert not client.read_response().has(SIGNATURE)

    @pytest.mark.parametrize("status", [b"403 Forbidden", b"302 Found", b"503 Service Unavailable", b"418 X"])
    def test_another_status_is_returned_and_logged(self, world: World, status: bytes) -> None:
        client, stream, _ = world.visit()
        stream.send(response_with(b"mine", status=status))
        response = client.read_response()
        assert (response.status, response.body) == (int(status[:3]), b"mine")
        assert not response.has(b"X-Cf-Routererror")
        event = world.router.wait_for_event("route-service-response")
        assert event["route-service-endpoint"] == world.url
        assert event["status-code"] == int(status[:3])
        assert (event["attempt"], event["got-connection"], event["wrote-headers"]) == (1, True, True)
        assert (event["conn-reused"], event["num-endpoints"]) == (False, 1)

    def test_success_is_not_logged(self, world: World) -> None:
        client, stream, _ = world.visit()
        stream.send(response_with())
        client.read_response()
        assert not world.router.events_of("route-service-response")

    def test_interim_responses_pass(self, world: World) -> None:
        client, stream, _ = world.visit()
        stream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + response_with())
        assert client.read_response().status == 103
        assert client.read_response().status == 200


class TestFromTheService:
    """V03, V04, V05."""

    def arrives(self, world: World, *lines: bytes, **request: Any) -> Request:
        client = world.send(*lines, **request)
        stream, arrived = world.app.accept_request()
        stream.send(response_with(b"ok", b"Connection: close"))
        assert client.read_response().status == 200
        assert not any(arrived.has(name) for name in THREE)
        return arrived

    def test_signature_of_an_independent_implementation(self, world: World) -> None:
        self.arrives(world, *signed(KEY))

    def test_signature_of_the_secret_before(self, new_world: NewWorld) -> None:
        self.arrives(new_world(previous_key=PREVIOUS_KEY), *signed(PREVIOUS_KEY))

    def test_a_rewritten_request(self, world: World) -> None:
        """What the service makes of the request is up to it, within the route."""
        lines = world.signature_of_a_visit()
        arrived = self.arrives(
            world, *lines, b"Content-Length: 3", b"X-Added: 1", start_line=b"PUT /other?x HTTP/1.1", body=b"new"
        )
        assert arrived.start_line == b"PUT /other?x HTTP/1.1"
        assert arrived.value(b"X-Added") == b"1"
        assert arrived.body == b"new"

    def test_a_signature_may_be_used_again_while_it_lives(self, world: World) -> None:
        lines = world.signature_of_a_visit()
        for _ in range(3):
            self.arrives(world, *lines)

    def test_forwarded_url_header_proves_nothing(self, world: World) -> None:
        self.arrives(world, *signed(KEY), FORWARDED_URL + b": http://elsewhere.test/")

    def test_host_of_the_signed_url_in_any_case_and_with_a_port(self, world: World) -> None:
        self.arrives(world, *signed(KEY, "https://APP.test:443/x"))

    def test_another_path_of_the_same_route(self, world: World) -> None:
        self.arrives(world, *signed(KEY, "http://app.test/a/b"), start_line=b"GET /c HTTP/1.1")

    def test_backend_failures_are_those_of_any_request(self, world: World) -> None:
        client = world.send(*signed(KEY), b"Content-Length: 0", start_line=POST)
        stream, _ = world.app.accept_request()
        stream.close()
        response = client.read_response()
        assert response.status == 502
        assert response.value(b"X-Cf-Routererror") == b"endpoint_failure (EOF)"


LONG_AGO = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=61)
INVALID = "Failed to validate Route Service Signature: "


def refused(world: World, *lines: bytes, **request: Any) -> Response:
    """The answer to a request that gets no further than the router."""
    response = world.send(*lines, **request).read_response()
    assert not world.app.has_pending_connection()
    assert not world.service.has_pending_connection()
    return response


class TestRefusedSignatures:
    """V06, V07, V08."""

    def assert_refused(self, world: World, status: int, reason: str, *lines: bytes, **request: Any) -> None:
        response = refused(world, *lines, **request)
        names = {502: "Bad Gateway", 504: "Gateway Timeout"}
        assert (response.status, response.body.decode()) == (status, f"{status} {names[status]}: {INVALID}{reason}\n")
        assert not response.has(b"X-Cf-Routererror")
        assert response.value(b"Content-Type") == b"text/plain; charset=utf-8"
        assert world.router.wait_for_event("signature-validation-failed")["error"] == reason

    def test_expired(self, world: World) -> None:
        self.assert_refused(world, 504, "route service request expired", *signed(KEY, at=LONG_AGO))

    def test_expired_of_the_secret_before(self, new_world: NewWorld) -> None:
        world = new_world(previous_key=PREVIOUS_KEY)
        self.assert_refused(world, 504, "route service request expired", *signed(PREVIOUS_KEY, at=LONG_AGO))

    def test_of_another_secret(self, world: World) -> None:
        lines = signed(derive_key("guessed"))
        self.assert_refused(world, 502, "cipher: message authentication failed", *lines)

    def test_without_metadata(self, world: World) -> None:
        self.assert_refused(world, 502, "No metadata found", signed(KEY)[0])

    def test_with_metadata_of_another(self, world: World) -> None:
        lines = signed(KEY)[0], signed(KEY)[1]
        self.assert_refused(world, 502, "cipher: message authentication failed", *lines)

    def test_truncated(self, world: World) -> None:
        signature, metadata = signed(KEY)
        self.assert_refused(world, 502, "cipher: message authentication failed", signature[:-4], metadata)

    def test_no_base64(self, world: World) -> None:
        self.assert_refused(world, 502, "illegal base64 data at input byte 2", SIGNATURE + b": no!!", signed(KEY)[1])

    def test_of_a_nonce_that_is_none(self, world: World) -> None:
        signature, metadata = gorouter_signature.seal(KEY, b"{}", nonce=bytes(16))
        lines = SIGNATURE + b": " + signature, METADATA + b": " + metadata
        self.assert_refused(world, 502, "incorrect nonce length", *lines)

    def test_for_a_route_that_is_gone(self, world: World) -> None:
        reason = "original request URL gone.test/a%20b does not exist in the routing table"
        self.assert_refused(world, 502, reason, *signed(KEY, "http://gone.test:80/a%20b?c"))

    def test_for_another_route(self, world: World) -> None:
        world.register("other.test", world.url)
        reason = "route service forwarded URL app.test/ does not match the original request URL other.test/x"
        self.assert_refused(world, 502, reason, *signed(KEY, "http://other.test/x"))

    def test_for_a_longer_path_with_a_route_of_its_own(self, world: World) -> None:
        world.register("app.test/admin", world.url)
        reason = "route service forwarded URL app.test/admin does not match the original request URL app.test"
        self.assert_refused(world, 502, reason, *signed(KEY), start_line=b"GET /admin/x HTTP/1.1")

    def test_that_holds_no_url(self, world: World) -> None:
        response = refused(world, *signed(KEY, "app.test/"))
        assert response.status == 502
        assert response.body.startswith(f"502 Bad Gateway: {INVALID}".encode())


class TestNotSupported:
    """V09, V10, N08."""

    def test_without_a_secret(self, new_world: NewWorld) -> None:
        world = new_world(signer=None)
        response = refused(world)
        assert (response.status, response.body) == (502, b"502 Bad Gateway: Support for route services is disabled.\n")
        assert response.value(b"X-Cf-Routererror") == b"route_service_unsupported"
        world.router.wait_for_event("route-service-unsupported")

    def test_without_a_secret_signatures_are_not_believed(self, new_world: NewWorld) -> None:
        """5.9.11."""
        response = refused(new_world(signer=None), *signed(KEY))
        assert response.status == 502
        assert response.body.startswith(b"502 Bad Gateway: ")

    def test_without_a_secret_other_routes_are_as_ever(self, new_world: NewWorld) -> None:
        world = new_world(signer=None)
        world.register("plain.test")
        client = world.send(*signed(KEY), host="plain.test")
        stream, arrived = world.app.accept_request()
        assert arrived.has(SIGNATURE)
        stream.send(response_with())
        assert client.read_response().status == 200

    def test_websockets(self, world: World) -> None:
        response = refused(world, *WEBSOCKET)
        assert (response.status, response.body) == (
            503,
            b"503 Service Unavailable: Websocket requests are not supported for routes bound to Route Services.\n",
        )
        assert response.value(b"X-Cf-Routererror") == b"route_service_unsupported"

    def test_websockets_that_are_allowed(self, new_world: NewWorld) -> None:
        world = new_world(allows_websockets=True)
        client, stream, received = world.visit(*WEBSOCKET)
        assert received.value(b"Upgrade") == b"websocket"
        back = world.send(*three_lines(received), *WEBSOCKET)
        app, arrived = world.app.accept_request()
        assert not any(arrived.has(name) for name in THREE)
        app.send(SWITCHING)
        assert back.read_response().status == 101
        stream.send(SWITCHING)
        assert client.read_response().status == 101
        client.send(b"ping")
        back.send(stream.read_exactly(4))
        assert app.read_exactly(4) == b"ping"
        app.send(b"pong")
        stream.send(back.read_exactly(4))
        assert client.read_exactly(4) == b"pong"
        for end in (app, back, stream, client):
            end.close()
        lines = [world.router.wait_for_log_line(number) for number in range(2)]
        assert all('"GET / HTTP/1.1" 101 0 0 ' in line for line in lines)


class TestStrictValidation:
    """V11: signatures on routes without a service."""

    @pytest.fixture
    def strict(self, new_world: NewWorld) -> World:
        world = new_world(is_strict=True)
        world.register("plain.test")
        return world

    @pytest.mark.parametrize("is_strict", [False, True])
    def test_a_sound_one_reaches_the_app_with_all_headers(self, is_strict: bool, new_world: NewWorld) -> None:
        world = new_world(is_strict=is_strict)
        world.register("plain.test")
        lines = (*signed(KEY), FORWARDED_URL + b": http://app.test/")
        client = world.send(*lines, host="plain.test")
        stream, arrived = world.app.accept_request()
        assert three_lines(arrived) == lines
        stream.send(response_with())
        assert client.read_response().status == 200

    def test_a_forged_one(self, strict: World) -> None:
        response = refused(strict, *signed(derive_key("guessed")), host="plain.test")
        assert (response.status, response.body) == (
            400,
            b"400 Bad Request: invalid route service signature detected\n",
        )
        assert response.value(b"X-Cf-Routererror") == b"invalid_route_service_signature"

    def test_an_expired_one(self, strict: World) -> None:
        response = refused(strict, *signed(KEY, at=LONG_AGO), host="plain.test")
        assert (response.status, response.body) == (
            504,
            f"504 Gateway Timeout: {INVALID}route service request expired\n".encode(),
        )
        assert response.value(b"X-Cf-Routererror") == b"expired_route_service_signature"

    def test_a_forged_one_that_nobody_looks_at(self, world: World) -> None:
        world.register("plain.test")
        client = world.send(*signed(derive_key("guessed")), host="plain.test")
        stream, arrived = world.app.accept_request()
        assert arrived.has(SIGNATURE)
        stream.send(response_with())
        assert client.read_response().status == 200

    def test_no_signature_is_fine(self, strict: World) -> None:
        client = strict.send(METADATA + b": x", host="plain.test")
        stream, _ = strict.app.accept_request()
        stream.send(response_with())
        assert client.read_response().status == 200


class TestFailures:
    """V14, V15: services that cannot be reached or talked to."""

    def assert_failed(self, world: World, client: RawClient, status: int, *texts: str) -> list[dict[str, Any]]:
        """Check the client's answer; returns the events of the attempts."""
        response = client.read_response()
        error = (response.value(b"X-Cf-Routererror") or b"").decode()
        assert response.status == status, error
        assert error.startswith("endpoint_failure (")
        assert any(text in error for text in texts), error
        world.router.wait_for_log_line()
        events = world.router.events_of("route-service-connection-failed")
        for event in events:
            assert event["route-service-endpoint"] == world.url
            assert any(text in event["error"] for text in texts)
        return events

    def test_refused(self, new_world: NewWorld, closed_port: ClosedPort) -> None:
        world = new_world(url=f"https://{closed_port.address}/")
        text = f"dial tcp {closed_port.address}: connect: connection refused"
        events = self.assert_failed(world, world.send(), 502, text)
        assert [(event["attempt"], event["retriable"]) for event in events] == [(1, True), (2, True), (3, True)]

    @pytest.mark.parametrize("max_attempts", [-1, 0, 1, 2])
    def test_attempts_are_as_many_as_configured(
        self, max_attempts: int, new_world: NewWorld, closed_port: ClosedPort
    ) -> None:
        world = new_world(url=f"https://{closed_port.address}/", max_attempts=max_attempts)
        events = self.assert_failed(world, world.send(), 502, "connection refused")
        assert len(events) == max(1, max_attempts)

    def test_body_survives_an_attempt_that_could_not_connect(self, new_world: NewWorld) -> None:
        world = new_world()
        client = world.send(b"Content-Length: 4", start_line=POST, body=b"body")
        assert isinstance(world.service, TlsBackend)
        # The first handshake is broken off, the second goes well.
        world.service.accept_plain().close()
        stream, received = world.service.accept_request()
        assert received.body == b"body"
        stream.send(response_with())
        assert client.read_response().status == 200
        assert len(world.router.events_of("route-service-connection-failed")) == 1

    def test_reset_after_the_request(self, world: World) -> None:
        client, stream, _ = world.visit()
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()
        (event,) = self.assert_failed(world, client, 502, "connection reset by peer")
        assert not event["retriable"]

    def test_end_before_a_response_to_a_post(self, world: World) -> None:
        client, stream, _ = world.visit(b"Content-Length: 0", start_line=POST)
        stream.close()
        (event,) = self.assert_failed(world, client, 502, "EOF")
        assert not event["retriable"]

    def test_end_before_a_response_to_a_get_is_tried_again(self, world: World) -> None:
        client, stream, _ = world.visit()
        stream.close()
        again, _ = world.service.accept_request()
        again.send(response_with())
        assert client.read_response().status == 200
        (event,) = world.router.events_of("route-service-connection-failed")
        assert (event["error"], event["retriable"]) == ("EOF (via idempotent request)", True)

    def test_silence(self, new_world: NewWorld) -> None:
        world = new_world(endpoint_timeout=2.0)
        client, _, _ = world.visit()
        (event,) = self.assert_failed(world, client, 502, "context deadline exceeded")
        assert not event["retriable"]

    def test_silence_instead_of_a_handshake(self, new_world: NewWorld) -> None:
        world = new_world(RawBackend(), tls_handshake_timeout=0.3, max_attempts=2)
        events = self.assert_failed(world, world.send(), 502, "TLS handshake timeout")
        assert len(events) == 2

    def test_plain_http(self, new_world: NewWorld) -> None:
        world = new_world(RawBackend())
        client = world.send()
        for _ in range(3):
            stream = world.service.accept()
            stream.read_exactly(1)
            stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        events = self.assert_failed(world, client, 525, "tls: first record does not look like a TLS handshake")
        assert len(events) == 3

    def refuse(self, world: World, times: int) -> threading.Thread:
        """Take part in handshakes that must fail, in a thread."""
        service = world.service
        assert isinstance(service, TlsBackend)

        def serve() -> None:
            for _ in range(times):
                service.refuse()

        thread = threading.Thread(target=serve)
        thread.start()
        return thread

    @pytest.mark.parametrize(
        ("names", "options", "status", "text"),
        [
            (("10.0.0.1", "other.test"), {}, 503, "certificate is valid for 10.0.0.1, not 127.0.0.1"),
            (
                ("127.0.0.1",),
                {"not_after": datetime.datetime(2020, 1, 2), "not_before": datetime.datetime(2020, 1, 1)},
                526,
                "certificate has expired or is not yet valid",
            ),
            (("localhost",), {"common_name": "127.0.0.1"}, 503, "it doesn't contain any IP SANs"),
        ],
        ids=["wrong name", "expired", "common name"],
    )
    def test_certificate(
        self, new_world: NewWorld, names: tuple[str, ...], options: dict[str, Any], status: int, text: str
    ) -> None:
        world = new_world(TlsBackend(OURS.server(*names, **options)))
        client = world.send()
        thread = self.refuse(world, 3)
        events = self.assert_failed(world, client, status, text)
        thread.join()
        assert len(events) == 3

    def test_unknown_authority(self, new_world: NewWorld) -> None:
        world = new_world(TlsBackend(Authority().server("127.0.0.1")))
        client = world.send()
        thread = self.refuse(world, 3)
        self.assert_failed(world, client, 526, "certificate signed by unknown authority")
        thread.join()

    @pytest.mark.parametrize("names", [("127.0.0.1",), ("other.test",)])
    def test_any_certificate_will_do_if_configured(self, new_world: NewWorld, names: tuple[str, ...]) -> None:
        world = new_world(TlsBackend(Authority().server(*names)), tls=context_for_services(skip_ssl_validation=True))
        client, stream, _ = world.visit()
        stream.send(response_with())
        assert client.read_response().status == 200

    @pytest.mark.parametrize(
        ("version", "bounds"),
        [
            (ssl.TLSVersion.TLSv1_3, {"max_version": "TLSv1.2"}),
            (ssl.TLSVersion.TLSv1_2, {"min_version": "TLSv1.3"}),
        ],
    )
    def test_other_versions(self, new_world: NewWorld, version: ssl.TLSVersion, bounds: dict[str, str]) -> None:
        world = new_world(
            TlsBackend(OURS.server("127.0.0.1", version=version)), tls=context_for_services(**bounds), max_attempts=1
        )
        client = world.send()
        thread = self.refuse(world, 1)
        self.assert_failed(world, client, 502, "protocol version not supported")
        thread.join()

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_configured_versions(self, new_world: NewWorld, version: ssl.TLSVersion) -> None:
        world = new_world(TlsBackend(OURS.server("127.0.0.1", version=version)))
        client, stream, _ = world.visit()
        stream.send(response_with())
        assert client.read_response().status == 200

    def test_own_certificate_is_shown(self, new_world: NewWorld) -> None:
        chain, key = OURS.pair("router.internal")
        world = new_world(
            TlsBackend(OURS.server("127.0.0.1", client_authority=OURS)),
            tls=context_for_services(cert_chain=chain, private_key=key),
        )
        client, stream, _ = world.visit()
        assert isinstance(stream.socket, ssl.SSLSocket)
        shown = stream.socket.getpeercert()
        assert shown is not None
        assert shown["subjectAltName"] == (("DNS", "router.internal"),)
        stream.send(response_with())
        assert client.read_response().status == 200

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_own_certificate_is_refused(self, new_world: NewWorld, version: ssl.TLSVersion) -> None:
        chain, key = Authority().pair("router.internal")
        world = new_world(
            TlsBackend(OURS.server("127.0.0.1", client_authority=OURS, version=version)),
            tls=context_for_services(cert_chain=chain, private_key=key),
        )
        client = world.send()
        thread = self.refuse(world, 3)
        self.assert_failed(world, client, 496, "remote error: tls: ")
        thread.join()

    def test_too_many_headers(self, new_world: NewWorld) -> None:
        world = new_world(max_response_headers=3)
        client, stream, _ = world.visit()
        stream.send(response_with(b"ok", b"A: 1", b"B: 2", b"C: 3"))
        response = client.read_response()
        assert response.status == 502
        assert response.value(b"X-Cf-Routererror") == b"endpoint_failure (Too many response headers)"
        event = world.router.wait_for_event("route-service-too-many-response-headers")
        assert event["route-service-endpoint"] == world.url

    def test_client_that_goes_away(self, world: World) -> None:
        client, stream, _ = world.visit()
        client.close()
        stream.expect_end()
        assert '" 499 ' in world.router.wait_for_log_line()

    def test_service_that_dies_within_its_response(self, world: World) -> None:
        client, stream, _ = world.visit()
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        client.read_until(b"half")
        stream.close()
        with contextlib.suppress(ConnectionError):
            assert client.read_to_end() == b""


class TestEgress:
    """N09: networks that no service may be in."""

    def test_blocked_address(self, new_world: NewWorld) -> None:
        world = new_world(is_blocked=EgressBlockList(["127.0.0.0/8"]).is_blocked)
        response = refused(world)
        assert response.status == 502
        assert b"connection to 127.0.0.1 not allowed" in (response.value(b"X-Cf-Routererror") or b"")

    def test_name_of_a_blocked_address(self, new_world: NewWorld) -> None:
        world = new_world(
            url="https://localhost:PORT/", is_blocked=EgressBlockList(["127.0.0.0/8", "::1/128"]).is_blocked
        )
        response = refused(world)
        assert response.status == 502
        assert b"not allowed" in (response.value(b"X-Cf-Routererror") or b"")

    @pytest.mark.parametrize("found", [["127.0.0.1"], ["127.0.0.2", "127.0.0.1"]])
    def test_name_that_a_resolver_finds_there(self, new_world: NewWorld, found: list[str]) -> None:
        async def resolve(_host: str) -> list[str]:
            return found

        world = new_world(
            url="https://service.test:PORT/", is_blocked=EgressBlockList(["127.0.0.0/8"]).is_blocked, resolve=resolve
        )
        response = refused(world)
        assert response.status == 502
        assert f"connection to {found[0]} not allowed".encode() in (response.value(b"X-Cf-Routererror") or b"")

    def test_name_with_one_address_outside(self, new_world: NewWorld) -> None:
        async def resolve(_host: str) -> list[str]:
            return ["10.0.0.1", "127.0.0.1"]

        world = new_world(
            url="https://localhost:PORT/", is_blocked=EgressBlockList(["10.0.0.0/8"]).is_blocked, resolve=resolve
        )
        _, stream, _ = world.visit()
        stream.send(response_with())

    def test_other_addresses(self, new_world: NewWorld) -> None:
        world = new_world(is_blocked=EgressBlockList(["10.0.0.0/8"]).is_blocked)
        client, stream, _ = world.visit()
        stream.send(response_with())
        assert client.read_response().status == 200

    def test_backends_are_not_concerned(self, new_world: NewWorld) -> None:
        world = new_world(is_blocked=EgressBlockList(["127.0.0.0/8"]).is_blocked)
        client = world.send(*signed(KEY))
        stream, _ = world.app.accept_request()
        stream.send(response_with())
        assert client.read_response().status == 200


@pytest.mark.parametrize("proto", [b"https", b"http"])
def test_forwarded_proto_that_the_service_saw_first_is_kept(world: World, proto: bytes) -> None:
    """8.3: on the way back nothing is set or forced."""
    _, _, received = world.visit(b"X-Forwarded-Proto: " + proto)
    assert received.value(b"X-Forwarded-Proto") == proto
    world.send(*three_lines(received), b"X-Forwarded-Proto: " + proto)
    _, arrived = world.app.accept_request()
    assert arrived.value(b"X-Forwarded-Proto") == proto
