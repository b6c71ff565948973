"""A UAA and a routing API: real HTTPS servers, which do as a test says."""

import json
import queue
import ssl
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from fastrouter.tls.pem_files import load_identity, trust

from .byte_stream import PATIENCE
from .closable import Closable
from .issuer import Issuer, Pair


class Asked(NamedTuple):
    """A request that was received."""

    path: str
    authorization: str
    body: bytes


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def setup(self) -> None:
        # Here and not when the connection is accepted: this thread may wait.
        self.request.settimeout(PATIENCE)
        self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def _serve(self, body: bytes) -> None:
        self.server.serve(self, Asked(self.path, self.headers["Authorization"] or "", body))

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext, serve: Callable[[_Handler, Asked], None], port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.serve = serve

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may go, or refuse the certificate: it is the router that tells what it thinks of it."""


class HTTPSServer(Closable):
    """Answers with what waits in `answers`, a status and a body each, and then by `_serve`; `asked` has all requests.

    With `client_ca` a client must have a certificate of that authority.
    """

    def __init__(self, identity: Pair, *, client_ca: str = "", port: int = 0) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_identity(context, identity.chain, identity.key)
        if client_ca:
            trust(context, client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        self.asked: list[Asked] = []
        self.answers: deque[tuple[int, bytes]] = deque()
        self._server = _Server(context, self._take, port)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _take(self, handler: _Handler, asked: Asked) -> None:
        self.asked.append(asked)
        if self.answers:
            handler.answer(*self.answers.popleft())
        else:
            self._serve(handler, asked)

    def _serve(self, handler: _Handler, asked: Asked) -> None:
        raise NotImplementedError


class UAA(HTTPSServer):
    """Gives the tokens `token-1`, `token-2` and so on, each for `lifetime` seconds."""

    lifetime = 3600
    tokens = 0

    def _serve(self, handler: _Handler, asked: Asked) -> None:
        assert asked.path == "/oauth/token"
        self.tokens += 1
        answer = {"access_token": f"token-{self.tokens}", "token_type": "bearer", "expires_in": self.lifetime}
        handler.answer(200, json.dumps(answer).encode(), **{"Content-Type": "application/json"})


class RoutingAPIServer(HTTPSServer):
    """Has `routes` in its list, and sends what is published to all who have subscribed.

    It refuses the tokens in `refused`.
    """

    def __init__(self, identity: Pair, **options: Any) -> None:
        self.routes: list[dict[str, Any]] = []
        self.refused: set[str] = set()
        self._subscribers: list[queue.Queue[bytes | None]] = []
        super().__init__(identity, **options)

    def close(self) -> None:
        self.disconnect()
        super().close()

    def publish(self, action: str, route: dict[str, Any]) -> None:
        """Send an event."""
        self.send(f"id: 1\nevent: {action}\ndata: {json.dumps(route)}\n\n".encode())

    def send(self, text: bytes) -> None:
        """Send any bytes to those who have subscribed."""
        for subscriber in self._subscribers:
            subscriber.put(text)

    def disconnect(self) -> None:
        """End all subscriptions."""
        subscribers, self._subscribers = self._subscribers, []
        for subscriber in subscribers:
            subscriber.put(None)

    def _serve(self, handler: _Handler, asked: Asked) -> None:
        if asked.authorization.removeprefix("bearer ") in self.refused:
            handler.answer(401, b'{"name":"UnauthorizedError","message":"no"}')
        elif asked.path == "/routing/v1/routes":
            handler.answer(200, json.dumps(self.routes, separators=(",", ":")).encode())
        else:
            assert asked.path == "/routing/v1/events"
            self._stream(handler)

    def _stream(self, handler: _Handler) -> None:
        subscriber: queue.Queue[bytes | None] = queue.Queue()
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        self._subscribers.append(subscriber)
        while (text := subscriber.get()) is not None:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        handler.wfile.write(b"0\r\n\r\n")
        handler.close_connection = True


class RoutingAPIFixture:
    """Both servers, the authorities that vouch for them and for the router, and the keys that say so."""

    def __init__(self, ca_file: str) -> None:
        self.authority = Issuer("servers")
        self.clients = Issuer("clients")
        self.ca_file = ca_file
        with open(ca_file, "w", encoding="ascii") as file:
            file.write(self.authority.pem)
        identity = self.authority.pair("localhost")
        self.uaa = UAA(identity)
        self.api = RoutingAPIServer(identity, client_ca=self.clients.pem)

    def keys(
        self, *, routing_api: dict[str, Any] | None = None, oauth: dict[str, Any] | None = None, **keys: Any
    ) -> dict[str, Any]:
        """Keys of a configuration; the arguments replace some of them."""
        client = self.clients.pair("router")
        return {
            "routing_api": {
                "uri": "https://localhost",
                "port": self.api.port,
                "ca_certs": self.authority.pem,
                "cert_chain": client.chain,
                "private_key": client.key,
                **(routing_api or {}),
            },
            "oauth": {
                "token_endpoint": "localhost",
                "port": self.uaa.port,
                "client_name": "gorouter",
                "client_secret": "s3cret/+",
                "ca_certs": self.ca_file,
                **(oauth or {}),
            },
            "token_fetcher_retry_interval": "10ms",
            **keys,
        }

    def close(self) -> None:
        self.api.close()
        self.uaa.close()


def api_route(route: str, address: str, *, index: int = 0, guid: str = "guid", **fields: Any) -> dict[str, Any]:
    """A route as the routing API has it, served by `address`."""
    ip, _, port = address.rpartition(":")
    return {
        "route": route,
        "port": int(port),
        "ip": ip,
        "ttl": 120,
        "log_guid": "log-guid",
        "modification_tag": {"guid": guid, "index": index},
        **fields,
    }
