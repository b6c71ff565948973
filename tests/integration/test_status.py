"""The status listeners over real sockets."""

import asyncio
import base64
import contextlib
import fcntl
import json
import socket
import ssl
import sys
import termios
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import trustme
import uvloop

from fastrouter.logs.logger import Logger
from fastrouter.net.handover import NOTHING_INHERITED
from fastrouter.observe import status_server
from fastrouter.observe.health import Health
from fastrouter.observe.responses import StatusHandler, StatusResponse
from fastrouter.observe.status_listeners import StatusListeners, StatusOptions
from fastrouter.observe.status_pages import (
    LIVENESS_PATH,
    Credentials,
    component_handler,
    health_handler,
    routes_handler,
    with_end_after,
)
from fastrouter.observe.status_server import StatusServer
from fastrouter.registry.route_registry import RouteRegistry
from protocol.secure_end import ask_for_keys

CREDENTIALS = Credentials("user", "pass")
ROUTES = b'{"a":[]}\n'
NOT_FOUND = (404, b"404 page not found\n")

# The hook that replaces the fixture below is younger than the pytest-asyncio that is asked for.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy:DeprecationWarning")


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the control process runs on."""
    return uvloop.EventLoopPolicy()


Serve = Callable[..., Awaitable[StatusServer]]


class Answer:
    """One parsed response."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = dict(line.split(": ", 1) for line in lines)
        self.body = body


class Client:
    """Sends bytes, reads responses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, server: StatusServer, tls: ssl.SSLContext | None = None) -> "Client":
        name = "localhost" if tls is not None else None
        return cls(*await asyncio.open_connection("127.0.0.1", server.port, ssl=tls, server_hostname=name))

    async def get(self, path: str, *lines: str, method: str = "GET") -> Answer:
        self.send("\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode())
        return await self.read(has_body=method != "HEAD")

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def send_eof(self) -> None:
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    async def read(self, *, has_body: bool = True) -> Answer:
        head = (await self._reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n")
        answer = Answer(head, b"")
        if has_body and answer.headers.get("Transfer-Encoding") == "chunked":
            while size := int(await self._reader.readline(), 16):
                answer.body += (await self._reader.readexactly(size + 2))[:-2]
            assert await self._reader.readline() == b"\r\n"
        elif has_body:
            answer.body = await self._reader.readexactly(int(answer.headers["Content-Length"]))
        return answer

    async def read_end(self) -> bytes:
        """Read what is left until the server has ended the connection, in whichever way."""
        try:
            async with asyncio.timeout(20):
                return await self._reader.read()
        except ConnectionError:
            return b""


PIPELINED = 1000
PIPELINE = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * PIPELINED


def small_socket(server: StatusServer) -> socket.socket:
    """Return a client that takes little by itself; nobody reads from it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    return client


async def send_for_ever(client: socket.socket) -> None:
    client.setblocking(False)
    while True:
        await asyncio.get_running_loop().sock_sendall(client, PIPELINE)


def basic(text: str, scheme: str = "Basic") -> str:
    return f"Authorization: {scheme} {base64.b64encode(text.encode()).decode()}"


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[StatusServer] = []

    async def start(handler: StatusHandler, tls: ssl.SSLContext | None = None) -> StatusServer:
        server = StatusServer(handler, "127.0.0.1", 0, tls)
        servers.append(server)
        await server.start()
        return server

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
async def health(serve: Serve) -> Client:
    return await Client.connect(await serve(health_handler(lambda: True)))


@pytest.fixture
async def routes(serve: Serve) -> StatusServer:
    return await serve(routes_handler(CREDENTIALS, lambda: iter([ROUTES])))


class TestHealth:
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
    async def test_healthy(self, health: Client, method: str) -> None:
        answer = await health.get("/health", method=method)
        assert (answer.status, answer.body) == (200, b"ok\n")
        assert answer.headers["Cache-Control"] == "private, max-age=0"
        assert answer.headers["Expires"] == "0"
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["Content-Length"] == "3"
        assert "Date" in answer.headers

    async def test_it_follows_the_state_on_one_connection(self, serve: Serve) -> None:
        is_healthy = False
        client = await Client.connect(await serve(health_handler(lambda: is_healthy)))
        for is_healthy, expected in ((False, (503, b"")), (True, (200, b"ok\n")), (False, (503, b""))):  # noqa: B007
            answer = await client.get("/health")
            assert (answer.status, answer.body) == expected
            assert answer.headers["Cache-Control"] == "private, max-age=0"

    async def test_the_process_is_alive_whatever_its_health(self, serve: Serve) -> None:
        client = await Client.connect(await serve(health_handler(lambda: False)))
        answer = await client.get(LIVENESS_PATH)
        assert (answer.status, answer.body) == (200, b"ok\n")
        assert "Cache-Control" not in answer.headers

    @pytest.mark.parametrize("path", ["/", "/healthz", "/health/", "/routes"])
    async def test_nothing_else_is_there(self, health: Client, path: str) -> None:
        answer = await health.get(path)
        assert (answer.status, answer.body) == NOT_FOUND

    async def test_a_query_does_not_count(self, health: Client) -> None:
        assert (await health.get("/health?x=y")).status == 200

    async def test_head_has_no_body(self, health: Client) -> None:
        answer = await health.get("/health", method="HEAD")
        assert (answer.status, answer.headers["Content-Length"]) == (200, "3")
        assert (await health.get("/health")).body == b"ok\n"

    async def test_tls(self, serve: Serve) -> None:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        client = await Client.connect(await serve(health_handler(lambda: True), context), trust)
        assert (await client.get("/health")).body == b"ok\n"


class TestRoutes:
    async def test_with_the_credentials(self, routes: StatusServer) -> None:
        client = await Client.connect(routes)
        answer = await client.get("/routes", basic("user:pass"))
        assert (answer.status, answer.body) == (200, ROUTES)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Connection"] == "close"
        assert await client.read_end() == b""

    @pytest.mark.parametrize(
        "line",
        [
            "X-Nothing: here",
            basic("user:wrong"),
            basic("wrong:pass"),
            basic("user:pass", "basic"),
            basic("user:pass", "Bearer"),
            basic("user:pass:"),
            basic("userpass"),
            basic(""),
            "Authorization: Basic",
            "Authorization: Basic !!!",
            "Authorization: Basic dXNlcjpwYXNz\xff",
        ],
    )
    @pytest.mark.parametrize("path", ["/routes", "/", "/varz"])
    async def test_without_them(self, routes: StatusServer, line: str, path: str) -> None:
        answer = await (await Client.connect(routes)).get(path, line)
        assert (answer.status, answer.body) == (401, b"401 Unauthorized\n")
        assert answer.headers["WWW-Authenticate"] == "Basic"

    @pytest.mark.parametrize(("path", "line"), [("/health", "X: y"), ("/healthz", "X: y"), ("/x", basic("user:pass"))])
    async def test_what_is_not_there(self, routes: StatusServer, path: str, line: str) -> None:
        answer = await (await Client.connect(routes)).get(path, line)
        assert (answer.status, answer.body) == NOT_FOUND

    async def test_no_credentials_configured(self, serve: Serve) -> None:
        server = await serve(routes_handler(Credentials("", ""), lambda: iter([ROUTES])))
        assert (await (await Client.connect(server)).get("/routes")).status == 401
        assert (await (await Client.connect(server)).get("/routes", basic(":"))).status == 200

    async def test_a_long_response(self, serve: Serve) -> None:
        long = b"[" + b'"x",' * 2_000_000 + b"0]\n"
        client = await Client.connect(await serve(routes_handler(CREDENTIALS, lambda: iter([long]))))
        assert (await client.get("/routes", basic("user:pass"))).body == long

    async def test_others_have_their_turn_between_the_parts(self, serve: Serve) -> None:
        may_go_on = False
        begun = asyncio.Event()

        def in_parts() -> Iterator[bytes]:
            yield b"{"
            while not may_go_on:
                begun.set()
                yield b""
            yield b"}\n"

        server = await serve(routes_handler(CREDENTIALS, in_parts))
        slow = await Client.connect(server)
        # The bytes behind the request are not parsed as a request.
        slow.send(f"GET /routes HTTP/1.1\r\nHost: x\r\n{basic('user:pass')}\r\n\r\nHEAD /x HTTP/1.1\r\n\r\n".encode())
        slow.send_eof()
        gone = await Client.connect(server)
        gone.send(f"GET /routes HTTP/1.1\r\nHost: x\r\n{basic('user:pass')}\r\n\r\n".encode())
        gone.close()
        async with asyncio.timeout(20):
            await begun.wait()
        other = await Client.connect(server)
        assert (await other.get("/other", basic("user:pass"))).status == 404
        may_go_on = True
        answer = await slow.read()
        assert (answer.status, answer.body) == (200, b"{}\n")
        assert answer.headers["Connection"] == "close"
        assert await slow.read_end() == b""

    async def test_a_body_of_several_parts(self, serve: Serve) -> None:
        """In chunks; HTTP/1.0 has none, and the answer to HEAD has neither parts nor a length."""
        made = []

        def in_parts() -> Iterator[bytes]:
            for part in (b"{", b"", b'"a":[]', b"}\n"):
                made.append(part)
                yield part

        server = await serve(routes_handler(CREDENTIALS, in_parts))
        answer = await (await Client.connect(server)).get("/routes", basic("user:pass"), method="HEAD")
        assert (answer.headers["Transfer-Encoding"], answer.headers["Connection"], made) == ("chunked", "close", [])
        client = await Client.connect(server)
        answer = await client.get("/routes", basic("user:pass"))
        assert (answer.headers["Transfer-Encoding"], answer.body) == ("chunked", ROUTES)
        assert await client.read_end() == b""
        old = await Client.connect(server)
        old.send(f"GET /routes HTTP/1.0\r\nConnection: keep-alive\r\n{basic('user:pass')}\r\n\r\n".encode())
        head, _, body = (await old.read_end()).partition(b"\r\n\r\n")
        assert body == ROUTES
        assert b"\r\nConnection: close" in head
        assert b"Transfer-Encoding" not in head
        assert b"Content-Length" not in head

    async def test_the_end_waits_for_what_the_list_says(self, serve: Serve) -> None:
        """Who has the whole list may rely on it."""
        made: list[bytes] = []
        is_waiting = asyncio.Event()
        may_go_on = asyncio.Event()

        def in_parts() -> Iterator[bytes]:
            for part in (b"{", b'"a":[]', b"}\n"):
                made.append(part)
                yield part

        async def wait() -> None:
            assert b"".join(made) == ROUTES, "what comes later need not be there"
            is_waiting.set()
            await may_go_on.wait()

        server = await serve(routes_handler(CREDENTIALS, lambda: with_end_after(in_parts(), wait)))
        reader, gone = await Client.connect(server), await Client.connect(server)
        gone.send(f"GET /routes HTTP/1.1\r\n{basic('user:pass')}\r\n\r\n".encode())
        async with asyncio.timeout(20):
            await is_waiting.wait()
        gone.close()
        made.clear()
        is_waiting.clear()
        reader.send(f"GET /routes HTTP/1.1\r\n{basic('user:pass')}\r\n\r\n".encode())
        async with asyncio.timeout(20):
            await is_waiting.wait()
        other = await Client.connect(server)
        assert (await other.get("/other", basic("user:pass"))).status == 404
        answer = asyncio.create_task(reader.read())
        # As many turns of the loop as it takes to serve somebody else.
        assert (await other.get("/other", basic("user:pass"))).status == 404
        assert not answer.done()
        may_go_on.set()
        assert (await answer).body == ROUTES

    async def test_a_connection_may_outlive_a_body_of_several_parts(self, serve: Serve) -> None:
        client = await Client.connect(await serve(lambda _: StatusResponse(200, (), iter([b"a", b"b"]))))
        client.send(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
        assert [(await client.read()).body for _ in range(2)] == [b"ab", b"ab"]

    async def test_a_reader_that_takes_nothing_has_little_made_for_it_and_is_cut_off(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(status_server, "WRITE_TIMEOUT", 0.2)
        made = 0
        closed = asyncio.Event()

        def in_parts() -> Iterator[bytes]:
            nonlocal made
            try:
                while True:
                    made += 1
                    yield b"x" * 65536
            finally:
                closed.set()

        server = await serve(routes_handler(CREDENTIALS, in_parts))
        with small_socket(server) as reader:
            reader.sendall(f"GET /routes HTTP/1.1\r\n{basic('user:pass')}\r\n\r\n".encode())
            async with asyncio.timeout(20):
                await closed.wait()
        # What the kernel takes on both sides, and one part that waits.
        assert made * 65536 <= 16 * 1024 * 1024


async def test_every_list_of_routes_is_true_for_clients() -> None:
    waits = 0

    async def until_applied() -> None:
        nonlocal waits
        waits += 1

    options = StatusOptions(user="user", password="pass", routes_port=0, health_port=0, component_host="127.0.0.1")
    registry = RouteRegistry(Logger(), lambda _: None)
    listeners = StatusListeners(options, Health(), registry, until_applied, lambda: b"{}")
    await listeners.start(NOTHING_INHERITED)
    try:
        for _, listener in listeners.listeners():
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            answer = await Client(reader, writer).get("/routes", basic("user:pass"))
            assert (answer.status, answer.body) == (200, b"{}\n")
            writer.close()
    finally:
        await listeners.stop()
    assert waits == 2


class TestComponent:
    @pytest.fixture
    async def component(self, serve: Serve) -> StatusServer:
        return await serve(
            component_handler(CREDENTIALS, lambda: True, lambda: b'{"type":"Router"}', lambda: iter([ROUTES]))
        )

    @pytest.mark.parametrize("path", ["/health", "/healthz"])
    async def test_health_is_open(self, component: StatusServer, path: str) -> None:
        assert (await (await Client.connect(component)).get(path)).body == b"ok\n"

    @pytest.mark.parametrize(("path", "body"), [("/varz", b'{"type":"Router"}'), ("/routes", ROUTES)])
    async def test_the_rest_is_not(self, component: StatusServer, path: str, body: bytes) -> None:
        assert (await (await Client.connect(component)).get(path)).status == 401
        answer = await (await Client.connect(component)).get(path, basic("user:pass"))
        assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, body, "application/json")

    async def test_nothing_else(self, component: StatusServer) -> None:
        answer = await (await Client.connect(component)).get("/x", basic("user:pass"))
        assert (answer.status, answer.body) == NOT_FOUND
        assert json.loads(ROUTES)


class TestConnections:
    async def test_requests_may_come_in_pieces_and_several_at_once(self, health: Client) -> None:
        request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        for byte in request + request[:20]:
            health.send(bytes([byte]))
        assert (await health.read()).body == b"ok\n"
        health.send(request[20:] + request)
        assert [(await health.read()).status for _ in range(2)] == [200, 200]

    async def test_a_short_body_is_read_past(self, health: Client) -> None:
        health.send(b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        assert (await health.read()).status == 200
        assert (await health.get("/health")).status == 200

    @pytest.mark.parametrize(
        ("request_bytes", "code"),
        [
            (b"nonsense\r\n\r\n", 400),
            (b"GET /health HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
            (b"GET /" + b"x" * 70_000, 431),
            (b"POST /health HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 70_000, 413),
            (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ],
    )
    async def test_what_is_refused(self, health: Client, request_bytes: bytes, code: int) -> None:
        health.send(request_bytes)
        answer = await health.read()
        assert answer.status == code
        assert answer.headers["Connection"] == "close"

    async def test_close_when_asked(self, health: Client) -> None:
        assert (await health.get("/health", "Connection: close")).headers["Connection"] == "close"
        assert await health.read_end() == b""

    async def test_http_1_0_is_closed(self, health: Client) -> None:
        health.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert (await health.read()).body == b"ok\n"
        assert await health.read_end() == b""

    @pytest.mark.parametrize("data", [b"", b"GET /health HTTP/1.1\r\nHost:"])
    async def test_a_client_that_says_nothing_more_is_cut_off(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, data: bytes
    ) -> None:
        monkeypatch.setattr(status_server, "READ_TIMEOUT", 0.05)
        client = await Client.connect(await serve(health_handler(lambda: True)))
        client.send(data)
        assert await client.read_end() == b""

    async def test_a_slow_trickle_does_not_help(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(status_server, "READ_TIMEOUT", 0.1)
        client = await Client.connect(await serve(health_handler(lambda: True)))
        client.send(b"GET /health HTTP/1.1\r\nX: ")
        end = asyncio.create_task(client.read_end())
        while not end.done():
            client.send(b"X")
            await asyncio.sleep(0.01)
        assert await end == b""

    async def test_whoever_takes_no_responses_is_not_read_and_is_cut_off(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Pipelined requests grew the process without end, and each answer gave the client more time."""
        monkeypatch.setattr(status_server, "WRITE_TIMEOUT", 0.2)
        server = await serve(health_handler(lambda: True))
        with small_socket(server) as client, pytest.raises(ConnectionError):
            await send_for_ever(client)

    async def test_nor_is_it_over_tls(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(status_server, "WRITE_TIMEOUT", 0.2)
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        server = await serve(health_handler(lambda: True), context)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", server.port, ssl=trust, server_hostname="localhost", limit=1
        )

        async def write_for_ever() -> None:
            while True:
                writer.write(PIPELINE)
                await writer.drain()

        with pytest.raises(ConnectionError):
            await write_for_ever()
        assert not reader.at_eof(), "there are answers that nobody has read"

    async def test_a_flood_that_is_read_holds_up_nobody(self, serve: Serve) -> None:
        server = await serve(health_handler(lambda: True))
        flood = await Client.connect(server)
        flood.send(PIPELINE)
        assert (await (await Client.connect(server)).get("/health")).status == 200
        assert [(await flood.read()).status for _ in range(PIPELINED)] == [200] * PIPELINED

    async def test_key_updates_hold_up_nobody(self, serve: Serve) -> None:
        """uvloop's TLS works on all that one read brings, so that is little."""
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        server = await serve(health_handler(lambda: True), context)
        flooding = socket.create_connection(("127.0.0.1", server.port))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trust.wrap_bio(incoming, outgoing, server_hostname="localhost")

        def shake_hands() -> bytes:
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    flooding.sendall(outgoing.read())
                    incoming.write(flooding.recv(65536))
                else:
                    ask_for_keys(tls, 40_000)
                    return outgoing.read()

        def flood(data: bytes) -> None:
            # What is still on its way when the connection is closed makes a reset of it.
            with contextlib.suppress(ConnectionError):
                flooding.sendall(data)

        def take_responses() -> None:
            with contextlib.suppress(ConnectionError):
                while flooding.recv(1 << 20):
                    pass

        threads = [threading.Thread(target=flood, args=(await asyncio.to_thread(shake_hands),))]
        threads.append(threading.Thread(target=take_responses))
        for thread in threads:
            thread.start()
        client = await Client.connect(server, trust)
        for _ in range(3):
            assert (await client.get("/health")).status == 200
        unsent = int.from_bytes(fcntl.ioctl(flooding, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        flooding.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(20)
        flooding.close()
        assert unsent > 0

    async def test_one_connection_too_many_takes_the_place_of_the_one_served_least_recently(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(status_server, "MAX_CONNECTIONS", 2)
        server = await serve(health_handler(lambda: True))
        first, second = [await Client.connect(server) for _ in range(2)]
        for client in (second, first):
            assert (await client.get("/health")).status == 200
        third = await Client.connect(server)
        assert (await third.get("/health")).status == 200
        assert await second.read_end() == b""
        assert (await first.get("/health")).status == 200

    async def test_a_tls_client_that_does_not_shake_hands_counts_and_has_its_time(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(status_server, "MAX_CONNECTIONS", 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("localhost").configure_cert(context)
        server = await serve(health_handler(lambda: True), context)
        first, second = [await Client.connect(server) for _ in range(2)]
        assert await first.read_end() == b""
        second.send(b"GET /health HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in await second.read_end()
        monkeypatch.setattr(status_server, "READ_TIMEOUT", 0.05)
        assert await (await Client.connect(server)).read_end() == b""

    @pytest.mark.parametrize(
        "endless", [b"X: " + b"x" * 512, b"1\r\nx\r\n", b"1;x=" + b"y" * 512], ids=["trailer", "chunks", "extension"]
    )
    async def test_chunks_and_trailers_have_an_end(self, health: Client, endless: bytes) -> None:
        start = b"0\r\n" if endless.startswith(b"X") else b""
        health.send(b"POST /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + start + endless * 100_000)
        assert (await health.read()).status in (400, 413)

    async def test_another_protocol_is_not_taken_up(self, health: Client) -> None:
        answer = await health.get("/health", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: x")
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        assert await health.read_end() == b""

    async def test_stop_ends_connections(self, serve: Serve) -> None:
        server = await serve(health_handler(lambda: True))
        client = await Client.connect(server)
        assert (await client.get("/health")).status == 200
        await server.stop()
        assert await client.read_end() == b""

    async def test_a_port_in_use_is_an_error(self, routes: StatusServer) -> None:
        second = StatusServer(health_handler(lambda: True), "127.0.0.1", routes.port)
        with pytest.raises(OSError, match="address already in use"):
            await second.start()
        await second.stop()
