"""TLS to backends that works: names, identities, sessions, kept connections, bodies, tunnels (spec 5.6, K02-K05)."""

import contextlib
import ssl
import threading
from collections.abc import Iterator

import pytest

from fastrouter.tls.backends import backend_context

from .http_message import chunked, read_chunk, response_with
from .in_process import HOST, InProcessRouter, request
from .tls_backend import SAN, Authority, TlsBackend

OURS = Authority()
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
POST = b"POST / HTTP/1.1"
LARGE = bytes(range(256)) * 12_000


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def backend(request: pytest.FixtureRequest) -> Iterator[TlsBackend]:
    with TlsBackend(OURS.server(version=request.param)) as backend:
        yield backend


def router_to(backend: TlsBackend, san: str = SAN, **settings: object) -> InProcessRouter:
    return InProcessRouter(backend.endpoint(san), **{"backend_tls": backend_context(ca_certs=[OURS.pem]), **settings})


def assert_ended_by_the_client(router: InProcessRouter, backend: TlsBackend) -> None:
    """It is logged, and nobody is blamed."""
    assert " 499 " in router.wait_for_log_line()
    assert router.addresses() == [backend.address]
    ((_, message, data),) = router.events
    assert message == "backend-endpoint-failed"
    assert data["error"] == "context canceled (context canceled)"
    assert not data["retriable"]


class TestName:
    """K04: whose certificate it must be."""

    def test_is_sent_and_verified(self) -> None:
        named: list[str | None] = []
        context = OURS.server()
        context.sni_callback = lambda _socket, name, _context: named.append(name)
        with TlsBackend(context) as backend, router_to(backend) as router:
            client = router.ask()
            stream, received = backend.accept_request()
            assert received.values(b"Host") == [HOST.encode()]
            stream.send(response_with())
            assert client.read_response().status == 200
            assert named == [SAN]

    def test_without_one_it_is_the_address(self) -> None:
        named: list[str | None] = []
        context = OURS.server("127.0.0.1")
        context.sni_callback = lambda _socket, name, _context: named.append(name)
        with TlsBackend(context) as backend, router_to(backend, san="") as router:
            client = router.ask()
            backend.accept_request()[0].send(response_with())
            assert client.read_response().status == 200
            # An address is never sent as a name (RFC 6066 section 3).
            assert named == [None]


class TestIdentity:
    """K05: the router's own certificate."""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_is_shown_to_a_backend_that_asks(self, version: ssl.TLSVersion) -> None:
        chain, key = OURS.pair("router.internal")
        context = backend_context(ca_certs=[OURS.pem], cert_chain=chain, private_key=key)
        with (
            TlsBackend(OURS.server(version=version, client_authority=OURS)) as backend,
            router_to(backend, backend_tls=context) as router,
        ):
            client = router.ask()
            stream, _ = backend.accept_request()
            assert isinstance(stream.socket, ssl.SSLSocket)
            shown = stream.socket.getpeercert()
            assert shown is not None
            assert shown["subjectAltName"] == (("DNS", "router.internal"),)
            stream.send(response_with())
            assert client.read_response().status == 200


class TestConnections:
    """K02, K03: a connection with TLS is kept and handed on like any other."""

    def test_is_kept(self, backend: TlsBackend) -> None:
        with router_to(backend) as router:
            client = router.connect()
            client.send(request())
            stream, _ = backend.accept_request()
            for _ in range(3):
                stream.send(response_with())
                client.read_response()
                client.send(request())
                stream.read_request()
            assert router.stats()["dials"] == 1

    @pytest.mark.parametrize(("san", "is_kept"), [(SAN, True), ("other.internal", False)])
    def test_survives_a_registration_with_the_same_name(self, san: str, is_kept: bool) -> None:
        with TlsBackend(OURS.server(SAN, "other.internal")) as backend, router_to(backend) as router:
            client = router.ask()
            first, _ = backend.accept_request()
            first.send(response_with())
            client.read_response()
            router.call(router.table.register, HOST, backend.endpoint(san, app_id="again"))
            client.send(request())
            stream = first if is_kept else backend.accept()
            assert stream.read_request().value(b"X-Cf-Applicationid") == b"again"

    @pytest.mark.parametrize("keep_alive", [True, False])
    def test_next_one_resumes_the_session(self, keep_alive: bool, backend: TlsBackend) -> None:
        with router_to(backend, backend_keep_alive=keep_alive) as router:
            resumed = []
            for _ in range(3):
                client = router.ask()
                stream, _ = backend.accept_request()
                assert isinstance(stream.socket, ssl.SSLSocket)
                resumed.append(stream.socket.session_reused)
                stream.send(response_with(b"ok", b"Connection: close"))
                assert client.read_response().status == 200
            assert resumed == [False, True, True]

    def test_end_of_an_idle_one_is_seen(self, backend: TlsBackend) -> None:
        # Often enough that the end and the next request meet in one turn of the loop.
        with router_to(backend) as router:
            client = router.connect()
            client.send(request())
            stream, _ = backend.accept_request()
            for _ in range(40):
                stream.send(response_with())
                assert client.read_response().status == 200
                stream.close()
                client.send(request(b"Content-Length: 4", start_line=POST, body=b"once"))
                stream, received = backend.accept_request()
                assert received.body == b"once"
            assert not router.events

    def test_response_nobody_asked_for_reaches_nobody(self, backend: TlsBackend) -> None:
        """It lies on the idle connection, unread, when the next request comes."""
        with router_to(backend) as router:
            client = router.ask()
            stream, _ = backend.accept_request()
            stream.send(response_with(b"ok"))
            assert client.read_response().body == b"ok"
            with router.held():
                client.send(request())
                stream.send(response_with(b"stale"))
            fresh, _ = backend.accept_request()
            fresh.send(response_with(b"fresh"))
            assert client.read_response().body == b"fresh"

    def test_dead_one_is_replaced_for_a_get(self, backend: TlsBackend) -> None:
        with router_to(backend) as router:
            client = router.ask()
            stream, _ = backend.accept_request()
            stream.send(response_with())
            client.read_response()
            client.send(request())
            stream.read_request()
            stream.close()
            backend.accept_request()[0].send(response_with(b"again"))
            assert client.read_response().body == b"again"
            assert not router.events

    @pytest.mark.parametrize("has_alert", [True, False])
    def test_end_is_the_end_of_a_body(self, has_alert: bool, backend: TlsBackend) -> None:
        # Go takes the end of a connection for the end of a body, with or without a closing alert.
        with router_to(backend) as router:
            client = router.ask()
            stream, _ = backend.accept_request()
            stream.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
            client.read_response_head()
            assert read_chunk(client) == b"hello"
            if has_alert:
                assert isinstance(stream.socket, ssl.SSLSocket)
                stream.socket.settimeout(0)
                # The alert is sent; the router's own need not be waited for.
                with contextlib.suppress(ssl.SSLWantReadError):
                    stream.socket.unwrap()
            stream.close()
            assert read_chunk(client) == b""

    def test_end_inside_a_body_of_known_length_is_none(self, backend: TlsBackend) -> None:
        with router_to(backend) as router:
            client = router.ask()
            stream, _ = backend.accept_request()
            stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            client.read_response_head()
            assert client.read_exactly(5) == b"hello"
            stream.close()
            client.expect_end()

    def test_client_that_leaves_ends_it(self, backend: TlsBackend) -> None:
        with router_to(backend) as router:
            client = router.ask()
            stream, _ = backend.accept_request()
            client.close()
            stream.wait_closed()
            assert_ended_by_the_client(router, backend)

    def test_client_that_leaves_inside_the_handshake_ends_it(self, backend: TlsBackend) -> None:
        with router_to(backend) as router:
            client = router.ask()
            stream = backend.accept_plain()
            stream.read_exactly(5)
            client.close()
            stream.wait_closed()
            assert_ended_by_the_client(router, backend)


class TestBodies:
    """Back-pressure and framing are the same with TLS."""

    def test_large_both_ways(self, backend: TlsBackend) -> None:
        with router_to(backend) as router:
            client = router.connect()
            upload = request(b"Content-Length: %d" % len(LARGE), start_line=POST, body=LARGE)
            sending = threading.Thread(target=client.send, args=(upload,))
            sending.start()
            stream, received = backend.accept_request()
            sending.join()
            assert received.body == LARGE
            sending = threading.Thread(target=stream.send, args=(response_with(LARGE),))
            sending.start()
            assert client.read_response().body == LARGE
            sending.join()

    def test_chunked_both_ways(self, backend: TlsBackend) -> None:
        with router_to(backend) as router:
            client = router.ask(b"Transfer-Encoding: chunked", start_line=POST, body=chunked(b"one", b"two"))
            stream, received = backend.accept_request()
            assert received.body == b"onetwo"
            stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"three", b"four"))
            assert client.read_response().body == b"threefour"


class TestTunnel:
    """W01 over TLS."""

    def test_bytes_flow_both_ways(self, backend: TlsBackend) -> None:
        with router_to(backend, endpoint_timeout=0.3) as router:
            client = router.ask(b"Connection: Upgrade", b"Upgrade: websocket")
            stream, _ = backend.accept_request()
            stream.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + b"early"
            )
            assert client.read_response().status == 101
            assert client.read_exactly(5) == b"early"
            client.send(b"up")
            assert stream.read_exactly(2) == b"up"
            # No timeout is for a tunnel.
            assert client.is_silent(0.7)
            stream.send(b"down")
            assert client.read_exactly(4) == b"down"
            client.close()
            stream.wait_closed()
            assert '" 101 0 0 "' in router.wait_for_log_line()

    def test_end_of_the_backend_ends_it(self, backend: TlsBackend) -> None:
        with router_to(backend) as router:
            client = router.ask(b"Connection: Upgrade", b"Upgrade: websocket")
            stream, _ = backend.accept_request()
            stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            assert client.read_response().status == 101
            stream.close()
            client.expect_end()
            assert '" 101 0 0 "' in router.wait_for_log_line()
