"""Upgrades and tunnels (spec 4.5, 5.8)."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator

import pytest
import websockets
from aiohttp import WSMsgType, web

from fastrouter._core import Endpoint
from fastrouter.tls.backends import backend_context

from .byte_stream import PATIENCE, ByteStream
from .conftest import Lane, StartRouter
from .http_message import response_with
from .in_process import HOST, InProcessRouter
from .in_process import request as upgrade_request
from .issuer import Issuer
from .raw_backend import BackendStream, RawBackend
from .raw_client import RawClient
from .tls_backend import Authority, TlsBackend
from .tls_front import FrontRouter, TlsClient, client_context, server_tls

UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def open_tunnel(lane: Lane, *lines: bytes) -> tuple[RawClient, BackendStream]:
    """Upgrade one connection and return both of its ends."""
    client = lane.connect()
    stream, _ = lane.forward(client, b"GET /ws HTTP/1.1", *(lines or UPGRADE))
    stream.send(SWITCHING)
    assert client.read_response().status == 101
    return client, stream


class TestHandshake:
    def test_heads(self, lane: Lane) -> None:
        client = lane.connect()
        stream, request = lane.forward(
            client, b"GET /ws HTTP/1.1", *UPGRADE, b"Sec-WebSocket-Key: a2V5", b"Sec-WebSocket-Version: 13"
        )
        assert request.values(b"Connection") == [b"Upgrade"]
        assert request.values(b"Upgrade") == [b"websocket"]
        assert request.value(b"Sec-Websocket-Key") == b"a2V5"
        assert request.framing == "none"
        stream.send(SWITCHING[:-2] + b"Sec-WebSocket-Accept: abc\r\n\r\n")
        response = client.read_response()
        assert (response.status, response.reason) == (101, b"Switching Protocols")
        assert response.values(b"Connection") == [b"Upgrade"]
        assert response.values(b"Upgrade") == [b"websocket"]
        assert response.value(b"Sec-Websocket-Accept") == b"abc"

    @pytest.mark.parametrize(
        "lines",
        [
            (b"connection: keep-alive, Upgrade", b"upgrade: WebSocket"),
            (b"Connection: keep-alive", b"Connection: UPGRADE", b"Upgrade: websocket"),
            (b"Connection: upgrade,keep-alive", b"Upgrade: websocket"),
        ],
    )
    def test_header_variants(self, lane: Lane, lines: tuple[bytes, ...]) -> None:
        client = lane.connect()
        stream, request = lane.forward(client, b"GET /ws HTTP/1.1", *lines)
        assert request.values(b"Connection") == [b"Upgrade"]
        assert [value.lower() for value in request.values(b"Upgrade")] == [b"websocket"]
        stream.send(SWITCHING)
        assert client.read_response().status == 101
        client.send(b"up")
        assert stream.read_exactly(2) == b"up"

    def test_response_token_in_another_case(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET /ws HTTP/1.1", *UPGRADE)
        stream.send(SWITCHING.replace(b"websocket", b"WebSocket"))
        assert client.read_response().status == 101

    def test_other_protocols_are_tunnelled_too(self, lane: Lane) -> None:
        client = lane.connect()
        stream, request = lane.forward(client, b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: foo/2")
        assert request.values(b"Upgrade") == [b"foo/2"]
        stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo/2\r\nConnection: Upgrade\r\n\r\n")
        assert client.read_response().status == 101
        stream.send(b"down")
        assert client.read_exactly(4) == b"down"

    def test_upgrade_header_without_connection_is_dropped(self, lane: Lane) -> None:
        client = lane.connect()
        stream, request = lane.forward(client, b"GET / HTTP/1.1", b"Upgrade: websocket")
        assert not request.has(b"Upgrade")
        assert not request.has(b"Connection")
        stream.send(response_with())
        assert client.read_response().status == 200

    @pytest.mark.parametrize("answer", [b"Upgrade: other", b"X-Nothing: here"])
    def test_wrong_token_in_the_response_is_502(self, lane: Lane, answer: bytes) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET /ws HTTP/1.1", *UPGRADE)
        stream.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" + answer + b"\r\n\r\n")
        response = client.read_response()
        assert (response.status, response.body) == (502, b"")
        assert not response.has(b"X-Cf-Routererror")
        stream.expect_end()

    def test_101_nobody_asked_for_is_502(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(SWITCHING)
        assert client.read_response().status == 502
        stream.expect_end()

    def test_backend_that_closes_without_a_response_is_502(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"POST /ws HTTP/1.1", *UPGRADE, b"Content-Length: 0")
        stream.close()
        assert client.read_response().status == 502


class TestNon101:
    @pytest.mark.parametrize("status", [b"200 OK", b"403 Forbidden", b"426 Upgrade Required"])
    def test_is_an_ordinary_response(self, lane: Lane, status: bytes) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET /ws HTTP/1.1", *UPGRADE)
        stream.send(response_with(b"no", status=status))
        response = client.read_response()
        assert (response.status, response.body) == (int(status[:3]), b"no")
        # The connection stays usable, for another upgrade too.
        client.send(lane.request(b"GET /2 HTTP/1.1"))
        assert stream.read_request().target == b"/2"
        stream.send(response_with(b"ok"))
        assert client.read_response().body == b"ok"
        client.send(lane.request(b"GET /ws HTTP/1.1", *UPGRADE))
        assert stream.read_request().values(b"Upgrade") == [b"websocket"]
        stream.send(SWITCHING)
        assert client.read_response().status == 101

    def test_with_a_pipelined_request_behind_it(self, lane: Lane) -> None:
        # What follows the head is the next request if the answer is not 101.
        client = lane.connect()
        client.send(lane.request(b"GET /ws HTTP/1.1", *UPGRADE) + lane.request(b"GET /2 HTTP/1.1"))
        stream, _ = lane.backend.accept_request()
        stream.send(response_with(b"no", status=b"400 Bad Request"))
        assert client.read_response().status == 400
        assert stream.read_request().target == b"/2"
        stream.send(response_with(b"ok"))
        assert client.read_response().body == b"ok"

    def test_with_chunked_body(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET /ws HTTP/1.1", *UPGRADE)
        stream.send(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n")
        assert client.read_response().body == b"no"
        client.send(lane.request())
        stream.read_request()


class TestTunnel:
    def test_bytes_flow_both_ways_unchanged(self, lane: Lane) -> None:
        client, stream = open_tunnel(lane)
        for number in range(5):
            up, down = b"GET / HTTP/1.1\r\n\r\n%d" % number, b"\x00\xff\r\n0\r\n\r\n%d" % number
            client.send(up)
            assert stream.read_exactly(len(up)) == up
            stream.send(down)
            assert client.read_exactly(len(down)) == down

    def test_early_bytes_of_the_client(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"GET /ws HTTP/1.1", *UPGRADE) + b"early")
        stream, _ = lane.backend.accept_request()
        stream.send(SWITCHING)
        assert client.read_response().status == 101
        assert stream.read_exactly(5) == b"early"
        client.send(b"late")
        assert stream.read_exactly(4) == b"late"

    def test_early_bytes_of_the_backend(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET /ws HTTP/1.1", *UPGRADE)
        stream.send(SWITCHING + b"early")
        assert client.read_response().status == 101
        assert client.read_exactly(5) == b"early"

    def test_request_with_a_body(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST /ws HTTP/1.1", *UPGRADE, b"Content-Length: 4", body=b"body" + b"early"))
        stream, request = lane.backend.accept_request()
        assert request.body == b"body"
        stream.send(SWITCHING)
        assert client.read_response().status == 101
        assert stream.read_exactly(5) == b"early"

    def test_request_with_a_body_and_an_ordinary_response(self, lane: Lane) -> None:
        client = lane.connect()
        request = lane.request(
            b"POST /ws HTTP/1.1", *UPGRADE, b"Transfer-Encoding: chunked", body=b"4\r\nbody\r\n0\r\n\r\n"
        )
        client.send(request + lane.request(b"GET /next HTTP/1.1"))
        stream, first = lane.backend.accept_request()
        assert first.body == b"body"
        stream.send(response_with(b"no", status=b"403 Forbidden"))
        assert client.read_response().status == 403
        assert stream.read_request().target == b"/next"

    def test_head_of_the_response_split_at_every_byte(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET /ws HTTP/1.1", *UPGRADE)
        stream.send_split(SWITCHING + b"early")
        assert client.read_response().status == 101
        assert client.read_exactly(5) == b"early"

    def test_close_of_the_client_ends_the_backend(self, lane: Lane) -> None:
        client, stream = open_tunnel(lane)
        client.close()
        stream.expect_end()

    def test_reset_of_the_client_ends_the_backend(self, lane: Lane) -> None:
        client, stream = open_tunnel(lane)
        client.reset()
        assert stream.wait_closed() == b""

    def test_reset_of_the_backend_ends_the_client(self, lane: Lane) -> None:
        client, stream = open_tunnel(lane)
        stream.reset()
        assert client.wait_closed() == b""

    def test_backend_connection_is_not_used_again(self, lane: Lane) -> None:
        client, stream = open_tunnel(lane)
        client.close()
        stream.expect_end()
        _, request = lane.forward(lane.connect(), b"GET /2 HTTP/1.1")
        assert request.target == b"/2"


class TestHalfClose:
    """A tunnel of which one side has ended goes on, until the other has been silent for a while or has ended, too."""

    @contextlib.contextmanager
    def tunnel(
        self, backend: RawBackend, **settings: float
    ) -> Iterator[tuple[InProcessRouter, RawClient, BackendStream]]:
        with InProcessRouter(Endpoint("127.0.0.1", backend.port), **settings) as router:
            client = router.ask(*UPGRADE)
            stream, _ = backend.accept_request()
            stream.send(SWITCHING)
            assert client.read_response().status == 101
            yield router, client, stream

    def test_of_the_client(self, backend: RawBackend) -> None:
        with self.tunnel(backend, tunnel_silence_timeout=PATIENCE) as (router, client, stream):
            client.send(b"last words")
            client.half_close()
            assert stream.read_to_end() == b"last words"
            stream.send(b"answer")
            assert client.read_exactly(6) == b"answer"
            stream.close()
            client.expect_end()
            assert " 101 0 0 " in router.wait_for_log_line()

    def test_of_the_backend(self, backend: RawBackend) -> None:
        with self.tunnel(backend, tunnel_silence_timeout=PATIENCE) as (router, client, stream):
            stream.send(b"last words")
            stream.half_close()
            assert client.read_to_end() == b"last words"
            client.send(b"answer")
            assert stream.read_exactly(6) == b"answer"
            client.close()
            stream.expect_end()
            assert " 101 0 0 " in router.wait_for_log_line()

    def test_of_a_client_that_has_left(self, backend: RawBackend) -> None:
        """The backend keeps its side open, as if only the client had finished."""
        with self.tunnel(backend) as (router, client, stream):
            client.close()
            assert " 101 0 0 " in router.wait_for_log_line()
            stream.expect_end()

    def test_of_a_backend_that_says_no_more(self, backend: RawBackend) -> None:
        with self.tunnel(backend) as (router, client, stream):
            stream.send(b"last words")
            stream.half_close()
            assert " 101 0 0 " in router.wait_for_log_line()
            assert client.read_to_end() == b"last words"

    def test_much_that_is_taken_late_is_all_there(self, backend: RawBackend) -> None:
        """Who is still taking what came before the end of the other side is not silent."""
        much = bytes(16 << 20)
        with self.tunnel(backend, tunnel_silence_timeout=0.001) as (_, client, stream):

            def say_much() -> None:
                client.send(much)
                client.half_close()

            sender = threading.Thread(target=say_much)
            sender.start()
            assert stream.read_to_end() == much
            sender.join()


def test_no_timeout_ends_a_quiet_tunnel(start_router: StartRouter) -> None:
    with RawBackend() as backend:
        router = start_router(
            {"quiet.test": [backend.address]},
            endpoint_timeout=1.5,
            frontend_idle_timeout=1.5,
            backend_idle_timeout=1.5,
            read_header_timeout=1.5,
        )
        client, stream = open_tunnel(Lane(router, "quiet.test", backend))
        assert client.is_silent(2.5)
        stream.send(b"awake")
        assert client.read_exactly(5) == b"awake"


class TestStalled:
    """Who takes nothing of what is sent to it is cut off after `frontend_idle_timeout`, and with it the tunnel."""

    def assert_cut_off(self, stream: ByteStream) -> None:
        """Send what the other end of the tunnel never reads, until this end is over."""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            stream.send(bytes(64 << 20))
        with contextlib.suppress(ssl.SSLError):
            stream.expect_end()

    @pytest.fixture(params=["plain", "tls"])
    @staticmethod
    def tunnel(request: pytest.FixtureRequest) -> Iterator[tuple[RawClient, BackendStream]]:
        with contextlib.ExitStack() as stack:
            if request.param == "plain":
                backend = stack.enter_context(RawBackend())
                router = stack.enter_context(
                    InProcessRouter(Endpoint("127.0.0.1", backend.port), frontend_idle_timeout=1.5)
                )
                client = router.connect()
            else:
                authority, issuer = Authority(), Issuer()
                backend = tls_backend = stack.enter_context(TlsBackend(authority.server()))
                front = FrontRouter(
                    tls_backend.endpoint(),
                    tls=server_tls(issuer.pair(HOST)),
                    frontend_idle_timeout=1.5,
                    backend_tls=backend_context(ca_certs=[authority.pem]),
                )
                stack.enter_context(front)
                client = stack.enter_context(TlsClient(front.port, client_context(issuer)))
            client.send(upgrade_request(*UPGRADE))
            stream, _ = backend.accept_request()
            stream.send(SWITCHING)
            assert client.read_response().status == 101
            yield client, stream

    def test_client(self, tunnel: tuple[RawClient, BackendStream]) -> None:
        self.assert_cut_off(tunnel[1])

    def test_backend(self, tunnel: tuple[RawClient, BackendStream]) -> None:
        self.assert_cut_off(tunnel[0])


@pytest.fixture
def websocket_backend() -> Iterator[str]:
    """Serve a real WebSocket echo and give its address."""

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_get("/echo", echo)
    runner = web.AppRunner(app)

    async def start() -> str:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        return f"{host}:{port}"

    address = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield address
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


async def test_websocket_library_through_the_router(start_router: StartRouter, websocket_backend: str) -> None:
    router = start_router({"ws.test": [websocket_backend]})
    uri = "ws://ws.test/echo"
    async with websockets.connect(uri, host="127.0.0.1", port=router.port, max_size=None, proxy=None) as socket:
        await socket.send("grüße")
        assert await socket.recv() == "grüße"
        large = bytes(range(256)) * 8192
        await socket.send(large)
        assert await socket.recv() == large
        assert await (await socket.ping()) >= 0
    assert socket.close_code == 1000
    (line,) = router.wait_for_log_lines("ws.test")
    assert '"GET /echo HTTP/1.1" 101 0 0 ' in line
