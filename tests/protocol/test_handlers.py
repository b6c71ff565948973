"""Handlers that need no certificate: what they make of requests and responses (spec 4.2)."""

from typing import Any

import pytest

from fastrouter._core import DataPlane, Endpoint, RouteServices, Settings

from .conversation import Conversation, timeless

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def request(*lines: str, target: str = "/", host: str = "app.test") -> bytes:
    head = [f"GET {target} HTTP/1.1", f"Host: {host}", *lines]
    return "".join(f"{line}\r\n" for line in [*head, ""]).encode("latin-1")


def fields(message: bytes | bytearray, name: str) -> list[str]:
    """The values of a header in the first message of `message`."""
    lines = bytes(message).partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
    return [value for line in lines for key, _, value in [line.partition(": ")] if key.lower() == name.lower()]


def sent(*lines: str, target: str = "/", **settings: Any) -> bytes:
    """What the backend gets of a request."""
    conversation = Conversation(settings=Settings(**settings))
    conversation.from_client(request(*lines, target=target))
    return bytes(conversation.backend.written)


def answered(response: bytes = OK, *lines: str, **settings: Any) -> bytes:
    """What the client gets of a response."""
    conversation = Conversation(settings=Settings(**settings))
    conversation.from_client(request(*lines))
    conversation.from_backend(response)
    return bytes(conversation.client.written)


class TestHealthCheckByUserAgent:
    HEALTHY = (
        b"HTTP/1.1 200 OK\r\nCache-Control: private, max-age=0\r\nExpires: 0\r\nDate: -\r\n"
        b"Content-Length: 3\r\n\r\nok\n"
    )

    @pytest.mark.parametrize("host", ["app.test", "unknown.test", ""])
    def test_any_host_will_do(self, host: str) -> None:
        conversation = Conversation()
        conversation.from_client(request("User-Agent: HTTP-Monitor/1.1", target="/any/path", host=host))
        assert timeless(conversation.client.written) == self.HEALTHY
        assert not conversation.loop.dialled

    def test_a_router_that_should_get_no_clients_says_so(self) -> None:
        conversation = Conversation()
        conversation.plane.set_health(False)
        conversation.from_client(request("User-Agent: HTTP-Monitor/1.1"))
        assert timeless(conversation.client.written) == (
            b"HTTP/1.1 503 Service Unavailable\r\nCache-Control: private, max-age=0\r\nExpires: 0\r\nDate: -\r\n"
            b"Content-Length: 0\r\n\r\n"
        )

    @pytest.mark.parametrize("agent", ["HTTP-Monitor/1.0", "http-monitor/1.1", "HTTP-Monitor/1.11", "x"])
    def test_another_agent_is_a_client(self, agent: str) -> None:
        assert fields(sent(f"User-Agent: {agent}"), "user-agent") == [agent]

    def test_an_empty_setting_means_requests_without_the_header(self) -> None:
        conversation = Conversation(settings=Settings(healthcheck_user_agent=""))
        conversation.from_client(GET)
        assert timeless(conversation.client.written) == self.HEALTHY

    def test_it_is_logged(self) -> None:
        conversation = Conversation()
        conversation.from_client(request("User-Agent: HTTP-Monitor/1.1"))
        _, _, (line,) = conversation.outcome()
        assert b'"GET / HTTP/1.1" 200 0 3 "-" "HTTP-Monitor/1.1"' in line


class TestRewriting:
    """`http_rewrite.responses`."""

    def test_first_headers_go_and_then_come(self) -> None:
        response = answered(
            b"HTTP/1.1 200 OK\r\nServer: old\r\nX-Keep: 1\r\nX-Gone: 1\r\nx-gone: 2\r\nContent-Length: 0\r\n\r\n",
            removed_headers=("server", "X-Gone"),
            added_headers=("Server: new", "X-KEEP: 2", "x-more: 1", "X-More: 2"),
        )
        assert fields(response, "server") == ["new"]
        assert fields(response, "x-keep") == ["1"]
        assert fields(response, "x-gone") == []
        assert b"X-More: 1\r\nX-More: 2\r\n" in response

    def test_the_routers_own_headers_may_go(self) -> None:
        response = answered(removed_headers=("X-Vcap-Request-Id",))
        assert fields(response, "x-vcap-request-id") == []

    def test_router_errors_are_rewritten_too(self) -> None:
        conversation = Conversation(
            settings=Settings(removed_headers=("X-Cf-RouterError",), added_headers=("X-Frame-Options: DENY",))
        )
        conversation.from_client(request(host="unknown.test"))
        assert conversation.client.written.startswith(b"HTTP/1.1 404 ")
        assert fields(conversation.client.written, "x-cf-routererror") == []
        assert fields(conversation.client.written, "x-frame-options") == ["DENY"]
        _, _, (line,) = conversation.outcome()
        assert b'x_cf_routererror:"-"' in line

    def test_the_log_has_the_router_error_that_is_left(self) -> None:
        conversation = Conversation(settings=Settings(max_request_headers=1, removed_headers=("X-Cf-RouterError",)))
        conversation.from_client(request("X-One: 1", "X-Two: 2"))
        assert conversation.client.written.startswith(b"HTTP/1.1 431 ")
        _, _, (line,) = conversation.outcome()
        assert b'x_cf_routererror:"-"' in line

    @pytest.mark.parametrize(
        ("rules", "logged"),
        [
            ({"added_headers": ("X-Cf-RouterError: first", "x-cf-routererror: second")}, '"app"'),
            ({"removed_headers": ("x-cf-routererror",), "added_headers": ("X-CF-ROUTERERROR: mine",)}, '"mine"'),
            ({"removed_headers": ("x-cf-routererror",)}, '"-"'),
            ({"removed_headers": ("Server",)}, '"app"'),
        ],
    )
    def test_the_log_has_the_router_error_of_the_response(self, rules: dict[str, Any], logged: str) -> None:
        conversation = Conversation(settings=Settings(**rules))
        conversation.from_client(GET)
        conversation.from_backend(
            b"HTTP/1.1 103 Early Hints\r\nx-cf-routererror: early\r\n\r\n"
            b"HTTP/1.1 200 OK\r\nX-CF-RouterError: app\r\nServer: s\r\nx-cf-routererror: second\r\n"
            b"Content-Length: 0\r\n\r\n"
        )
        _, _, (line,) = conversation.outcome()
        assert f"x_cf_routererror:{logged}" in line.decode()

    def test_hundreds_of_rules_and_fields(self) -> None:
        # Names of many lengths, and many names of one length; "X-Date" and a name of 36 bytes are near to "Date".
        removed = [f"X-Gone-{n:03}" for n in range(300)] + [f"X-{'g' * n}" for n in range(1, 100)]
        added = [f"X-New-{n:03}: {'v' * n}" for n in range(300)] + [f"X-{'n' * n}: 1" for n in range(1, 100)]
        kept = [f"X-Date-{n:03}: {n}" for n in range(200)] + [f"X-{'k' * 34}: 1", "X-New-007: mine"]
        lines = [line for n, line in enumerate(kept) for line in (removed[n].upper() + ": 1", line)]
        response = answered(
            b"HTTP/1.1 200 OK\r\n" + "".join(f"{line}\r\n" for line in lines).encode() + b"Content-Length: 0\r\n\r\n",
            removed_headers=removed,
            added_headers=added,
        )
        got = timeless(response).decode().split("\r\n")[1:]
        expected = [f"X-K{'k' * 33}: 1" if line.startswith("X-kk") else line for line in kept]
        expected += ["X-Vcap-Request-Id: <uuid>"]
        expected += [f"{line[:2]}N{line[3:]}" for line in added if not line.startswith("X-New-007")]
        assert got == [*expected, "Date: -", "Content-Length: 0", "", ""]

    def test_added_headers_of_a_response_of_the_router_have_room(self) -> None:
        conversation = Conversation(settings=Settings(added_headers=(f"X-Long: {'x' * 200_000}",)))
        conversation.from_client(request(host="unknown.test"))
        assert fields(conversation.client.written, "x-long") == ["x" * 200_000]
        assert conversation.client.written.endswith(
            b"\r\n\r\n404 Not Found: Requested route ('unknown.test') does not exist.\n"
        )

    @pytest.mark.parametrize("length", [70_000, 300_000, 900_000])
    def test_a_long_list_of_trailers_has_room(self, length: int) -> None:
        names = "x" * length
        response = answered(
            b"HTTP/1.1 200 OK\r\nTrailer: %s\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % names.encode(),
            added_headers=("X-New: 1",),
        )
        assert fields(response, "trailer") == [names]
        assert fields(response, "x-new") == ["1"]

    def test_interim_responses_are_rewritten_too(self) -> None:
        early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Gone: 1\r\n\r\n"
        response = answered(early + OK, removed_headers=("X-Gone",), added_headers=("X-New: 1",))
        assert response.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-New: 1\r\n\r\nHTTP/1.1 200 OK\r\n")

    def test_a_switch_of_protocols_is_not(self) -> None:
        response = answered(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\nX-Gone: 1\r\n\r\n",
            "Connection: Upgrade",
            "Upgrade: chat",
            removed_headers=("X-Gone",),
            added_headers=("X-New: 1",),
        )
        assert fields(response, "x-gone") == ["1"]
        assert fields(response, "x-new") == []

    @pytest.mark.parametrize("rules", [{}, {"added_headers": ("X-New: 1",)}])
    def test_a_signature_never_reaches_a_client(self, rules: dict[str, Any]) -> None:
        secrets = b"X-CF-Proxy-Signature: s\r\nX-CF-Proxy-Metadata: m\r\n"
        upgrade = b"Connection: Upgrade\r\nUpgrade: chat\r\n"
        for head in (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade):
            response = answered(head + secrets + b"\r\n", "Connection: Upgrade", "Upgrade: chat", **rules)
            assert response.split(b"\r\n")[0] == head.split(b"\r\n")[0]
            assert fields(response, "x-cf-proxy-signature") == []
            assert fields(response, "x-cf-proxy-metadata") == ["m"]

    def test_the_date_is_never_missing_and_never_twice(self) -> None:
        dated = OK.replace(b"Content", b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent")
        assert fields(answered(dated, added_headers=("X-New: 1",)), "date") == ["Sun, 06 Nov 1994 08:49:37 GMT"]
        (replaced,) = fields(answered(dated, removed_headers=("date",)), "date")
        assert replaced.endswith(" GMT")
        assert replaced != "Sun, 06 Nov 1994 08:49:37 GMT"
        assert fields(answered(OK, added_headers=("Date: mine",)), "date") == ["mine"]

    def test_framing_is_not_for_rules(self) -> None:
        response = answered(removed_headers=("content-length",))
        assert fields(response, "content-length") == ["2"]
        for name in ("Content-Length", "transfer-encoding", "Connection", "Upgrade", "Trailer"):
            with pytest.raises(ValueError, match="is for the router itself to set"):
                Settings(added_headers=(f"{name}: 1",))

    @pytest.mark.parametrize("line", ["", ": v", "A B: v", "X-A: v\r\nSet-Cookie: a=b", "X-\xe4: v"])
    def test_what_is_no_header_line_is_refused(self, line: str) -> None:
        with pytest.raises(ValueError, match="not a header line"):
            Settings(added_headers=(line,))


class TestHopByHopFilter:
    def test_protected_headers_survive_a_hostile_connection_header(self) -> None:
        lines = (
            "Connection: X-Request-Start, X-Mine, authorization",
            "X-Mine: 1",
            "Authorization: me",
            "X-Request-Start: 1",
        )
        plain = sent(*lines)
        assert [fields(plain, name) for name in ("x-request-start", "x-mine", "authorization")] == [[], [], []]
        filtered = sent(*lines, hop_by_hop_filter=("AUTHORIZATION", "X-Request-Start"))
        assert [fields(filtered, name) for name in ("x-request-start", "x-mine", "authorization")] == [
            ["1"],
            [],
            ["me"],
        ]

    def test_headers_the_router_sets_are_protected_too(self) -> None:
        name = "X-Request-Start"
        assert fields(sent(f"Connection: {name}"), name) == []
        assert len(fields(sent(f"Connection: {name}", hop_by_hop_filter=(name,)), name)) == 1

    def test_every_request_has_an_id(self) -> None:
        name = "X-Vcap-Request-Id"
        assert len(fields(sent(f"Connection: {name}"), name)) == 1
        assert len(fields(sent(f"Connection: {name}", f"{name}: mine"), name)) == 1

    def test_a_filtered_upgrade_is_none(self) -> None:
        lines = ("Connection: close, Upgrade", "Upgrade: websocket")
        assert fields(sent(*lines), "upgrade") == ["websocket"]
        filtered = sent(*lines, hop_by_hop_filter=("upgrade",))
        assert fields(filtered, "upgrade") == []
        assert fields(filtered, "connection") == []


class TestTrailers:
    """Headers that a client or an app may not set are removed from trailers, too."""

    TRAILERS = (
        b"0\r\nX-Forwarded-Client-Cert: forged\r\nx-cf-proxy-signature: s\r\nX-CF-Proxy-Metadata: m\r\n"
        b"X-Cf-Forwarded-Url: u\r\nX-Mine: 1\r\n\r\n"
    )

    def test_of_requests(self) -> None:
        conversation = Conversation(settings=Settings(forwarded_client_cert="sanitize_set"))
        head = b"PUT / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
        conversation.from_client(head + self.TRAILERS)
        assert conversation.backend.written.endswith(b"\r\n\r\n0\r\nX-Mine: 1\r\n\r\n")

    def test_of_responses(self) -> None:
        response = answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + self.TRAILERS)
        assert response.endswith(b"\r\n\r\n0\r\nX-Mine: 1\r\n\r\n")


class TestForwardedProto:
    """Spec 8.3 over plain connections; tests/integration has the rest of the matrix."""

    @pytest.mark.parametrize(
        ("settings", "client", "backend"),
        [
            ({}, None, "http"),
            ({}, "", "http"),
            ({}, "https", "https"),
            ({}, "anything", "anything"),
            ({"sanitizes_proto": True}, None, "http"),
            ({"sanitizes_proto": True}, "https", "http"),
            ({"forces_proto_https": True}, None, "https"),
            ({"forces_proto_https": True}, "http", "https"),
            ({"forces_proto_https": True, "sanitizes_proto": True}, "http", "https"),
        ],
    )
    def test_matrix(self, settings: dict[str, Any], client: str | None, backend: str) -> None:
        conversation = Conversation(settings=Settings(**settings))
        conversation.from_client(request(*([] if client is None else [f"X-Forwarded-Proto: {client}"])))
        assert fields(conversation.backend.written, "x-forwarded-proto") == [backend]
        conversation.from_backend(OK)
        _, _, (line,) = conversation.outcome()
        assert f'x_forwarded_proto:"{backend}"'.encode() in line


class TestTraceHeaders:
    NAMES = ("x-vcap-router", "x-vcap-backend", "x-cf-routeendpoint")

    def traced(self, *lines: str, key: str = "secret", response: bytes = OK) -> list[list[str]]:
        message = answered(response, *lines, trace_key=key, local_ip="192.0.2.1")
        return [fields(message, name) for name in self.NAMES]

    def test_with_the_key(self) -> None:
        expected = [["192.0.2.1"], ["10.0.0.1:8080"], ["10.0.0.1:8080"]]
        assert self.traced("X-Vcap-Trace: secret") == expected
        lying = OK.replace(b"Content", b"X-Vcap-Router: app\r\nX-Vcap-Backend: app\r\nContent")
        assert self.traced("X-Vcap-Trace: secret", response=lying) == expected

    @pytest.mark.parametrize("lines", [[], ["X-Vcap-Trace: Secret"], ["X-Vcap-Trace: "]])
    def test_without_the_key(self, lines: list[str]) -> None:
        assert self.traced(*lines) == [[], [], []]

    def test_no_key_is_configured(self) -> None:
        assert self.traced("X-Vcap-Trace: ", key="") == [[], [], []]


class TestDoubleSlash:
    """Q03: a target that begins with two slashes becomes absolute, or a backend would take its path for a host."""

    @pytest.mark.parametrize(
        ("target", "forwarded"),
        [
            ("//", "http://app.test//"),
            ("//x", "http://app.test//x"),
            ("//x/", "http://app.test//x/"),
            ("///x", "http://app.test///x"),
            ("//a%2fb/c%20d", "http://app.test//a/b/c%20d"),
            ("//a!b'c(d)*", "http://app.test//a%21b%27c%28d%29%2A"),
            ("//$&+:=@~._-", "http://app.test//$&+:=@~._-"),
            ("//x;y,z", "http://app.test//x%3By%2Cz"),
            ("//x?b=2&a=1&b=1", "http://app.test//x?a=1&b=2&b=1"),
            ("//x?", "http://app.test//x"),
            ("//x?a", "http://app.test//x?a="),
            ("//x?a=b+c%20d%2f&&", "http://app.test//x?a=b+c+d%2F"),
            ("//x?a;b=1&c=2&d=%zz", "http://app.test//x?c=2"),
            ("/x//y?b&a", "/x//y?b&a"),
        ],
    )
    def test_target(self, target: str, forwarded: str) -> None:
        message = sent(target=target)
        assert message.split(b"\r\n")[0] == f"GET {forwarded} HTTP/1.1".encode()
        assert fields(message, "host") == ["app.test"]


class ExpiredError(ValueError):
    """What a signer raises for a signature that was sound once."""

    is_expired = True


class Signer:
    """Signs with what it signs; `error` is what it finds in any signature."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.validated = 0

    def sign(self, forwarded_url: str) -> tuple[bytes, bytes]:
        return b"signed " + forwarded_url.encode(), b"metadata"

    def validate(self, signature: bytes, metadata: bytes) -> str:
        self.validated += 1
        if self.error is not None:
            raise self.error
        assert metadata == b"metadata"
        return signature.removeprefix(b"signed ").decode()


def visiting(signer: Signer | None, url: str = "http://service.test:8000/rs/%20?x=1", **options: Any) -> Conversation:
    """A router whose route app.test has a route service, reached in the clear."""
    conversation = Conversation(settings=Settings(route_services=RouteServices(signer, **options), max_attempts=2))
    conversation.table.set_route("app.test", route_service_url=url)
    return conversation


SIGNED = ("X-CF-Proxy-Signature: signed http://app.test/", "X-CF-Proxy-Metadata: metadata", "X-CF-Forwarded-Url: u")


class TestRouteService:
    def test_a_request_goes_out(self) -> None:
        conversation = visiting(Signer())
        conversation.from_client(
            b"POST http://app.test:80/a?b HTTP/1.1\r\nHost: other\r\nContent-Length: 4\r\nX-Mine: 1\r\n"
            b"X-CF-Proxy-Metadata: mine\r\n\r\nbody"
        )
        assert timeless(conversation.backend.written) == (
            b"POST /rs/%20?x=1 HTTP/1.1\r\nHost: service.test:8000\r\nX-Mine: 1\r\nX-Forwarded-For: 10.0.0.9\r\n"
            b"X-Forwarded-Proto: http\r\nX-Request-Start: -\r\nX-Vcap-Request-Id: <uuid>\r\n"
            b"X-Cf-Proxy-Signature: signed http://app.test/a?b\r\nX-Cf-Proxy-Metadata: metadata\r\n"
            b"X-Cf-Forwarded-Url: http://app.test/a?b\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
        )
        conversation.from_backend(b"HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=1\r\nContent-Length: 2\r\n\r\nok")
        assert fields(conversation.client.written, "set-cookie") == ["JSESSIONID=1"]
        _, _, (line,) = conversation.outcome()
        assert b' 200 4 2 "-" "-" "10.0.0.9:4321" "-" ' in line
        assert b'app_id:"-" app_index:"-" instance_id:"-"' in line

    def test_https_is_recommended(self) -> None:
        conversation = visiting(Signer(), recommends_https=True)
        conversation.from_client(request(host="app.test:8080"))
        assert fields(conversation.backend.written, "x-cf-forwarded-url") == ["https://app.test/"]

    def test_a_request_comes_back(self) -> None:
        conversation = visiting(Signer())
        conversation.from_client(request(*SIGNED, "X-Forwarded-Proto: seen first"))
        message = bytes(conversation.backend.written)
        assert message.startswith(b"GET / HTTP/1.1\r\nHost: app.test\r\n")
        for name in ("x-cf-proxy-signature", "x-cf-proxy-metadata", "x-cf-forwarded-url"):
            assert fields(message, name) == []
        assert fields(message, "x-cf-instanceid") == ["one"]
        assert fields(message, "x-forwarded-proto") == ["seen first"]

    def test_a_connection_serves_one_visit(self) -> None:
        conversation = visiting(Signer())
        for _ in range(2):
            conversation.from_client(GET)
            conversation.from_backend(OK)
        assert len(conversation.loop.dialled) == 2

    def test_a_response_of_the_service_is_noted(self) -> None:
        conversation = visiting(Signer())
        conversation.from_client(GET)
        conversation.from_backend(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")
        assert conversation.client.written.startswith(b"HTTP/1.1 418 ")
        ((level, message, data),) = conversation.events
        assert (level, message, data["status-code"]) == (1, "route-service-response", 418)
        assert data["route-service-endpoint"] == "http://service.test:8000/rs/%20?x=1"

    @pytest.mark.parametrize(
        ("signature", "url", "has_service", "is_strict", "validated"),
        [
            ("signed x", "", False, False, 0),
            ("signed x", "u", False, False, 1),
            ("signed x", "", False, True, 1),
            ("", "u", False, True, 1),
            ("", "u", False, False, 0),
            ("", "u", True, False, 0),
            ("", "u", True, True, 0),
            ("signed http://app.test/", "", True, False, 1),
        ],
    )
    def test_a_signature_is_read_where_it_matters(
        self, signature: str, url: str, has_service: bool, is_strict: bool, validated: int
    ) -> None:
        signer = Signer()
        conversation = visiting(signer, url="http://service.test/" if has_service else "", is_strict=is_strict)
        lines = ("X-CF-Proxy-Signature: " + signature, "X-CF-Proxy-Metadata: metadata", "X-CF-Forwarded-Url: " + url)
        conversation.from_client(request(*lines))
        assert signer.validated == validated

    def test_route_services_are_off(self) -> None:
        conversation = visiting(None)
        conversation.from_client(request(*SIGNED))
        assert conversation.client.written.startswith(b"HTTP/1.1 502 ")
        assert fields(conversation.client.written, "x-cf-routererror") == ["route_service_unsupported"]
        assert conversation.client.written.endswith(b"502 Bad Gateway: Support for route services is disabled.\n")
        assert [message for _, message, _ in conversation.events] == ["route-service-unsupported", "status"]

    @pytest.mark.parametrize("allows", [False, True])
    def test_websockets(self, allows: bool) -> None:
        conversation = visiting(Signer(), allows_websockets=allows)
        conversation.from_client(request("Connection: Upgrade", "Upgrade: websocket"))
        if allows:
            assert fields(conversation.backend.written, "upgrade") == ["websocket"]
        else:
            assert fields(conversation.client.written, "x-cf-routererror") == ["route_service_unsupported"]
            assert conversation.client.written.endswith(
                b"503 Service Unavailable: Websocket requests are not supported for routes bound to Route Services.\n"
            )

    @pytest.mark.parametrize(
        ("signed", "text"),
        [
            ("http://other.test/", "original request URL other.test does not exist in the routing table"),
            (
                "http://app.test:80/sub/x?q",
                "route service forwarded URL app.test/ does not match the original request URL app.test/sub/x",
            ),
            ("http://other.test", "original request URL other.test does not exist in the routing table"),
            ("no url", 'parse "no url": invalid URI for request'),
            ("http://a b/", 'parse "http://a b/": invalid character " " in host name'),
            ("http://app.test/%zz", 'parse "http://app.test/%zz": invalid URL escape "%zz"'),
            ("http://app.test/%a", 'parse "http://app.test/%a": invalid URL escape "%a"'),
        ],
    )
    def test_a_signature_for_another_route(self, signed: str, text: str) -> None:
        conversation = visiting(Signer())
        conversation.table.register("app.test/sub", conversation.table.lookup("app.test").endpoints[0])  # type: ignore[union-attr]
        conversation.from_client(request(f"X-CF-Proxy-Signature: signed {signed}", "X-CF-Proxy-Metadata: metadata"))
        assert conversation.client.written.endswith(
            f"\r\n\r\n502 Bad Gateway: Failed to validate Route Service Signature: {text}\n".encode()
        )
        assert fields(conversation.client.written, "x-cf-routererror") == []

    @pytest.mark.parametrize("url", ["https://", "https://a b.test/", "https://a\x0b[::1]/", "https://a.test:65536/"])
    def test_a_url_of_a_service_that_nobody_could_be_sent_to(self, url: str) -> None:
        conversation = visiting(Signer(), url=url)
        conversation.from_client(GET)
        assert conversation.client.written.endswith(b"500 Internal Server Error: Route service request failed.\n")
        assert conversation.events[0][1] == "route-service-failed"

    def test_the_service_of_a_route_may_change(self) -> None:
        conversation = visiting(Signer())
        conversation.from_client(GET)
        conversation.from_backend(OK)
        conversation.table.set_route("app.test", route_service_url="http://new.test/")
        conversation.from_client(GET)
        assert fields(conversation.backend.written, "host") == ["new.test"]
        conversation.from_backend(OK)
        conversation.table.set_route("app.test")
        conversation.from_client(GET)
        assert fields(conversation.backend.written, "host") == ["app.test"]


class TestStraySignature:
    """A signature on a route without a route service (spec 5.9.5)."""

    def ask(self, signer: Signer | None, **options: Any) -> Conversation:
        conversation = Conversation(settings=Settings(route_services=RouteServices(signer, **options)))
        conversation.from_client(request(*SIGNED))
        return conversation

    def test_it_goes_on_as_it_is(self) -> None:
        for signer in (None, Signer(), Signer(ValueError("forged"))):
            message = self.ask(signer).backend.written
            assert fields(message, "x-cf-proxy-signature") == ["signed http://app.test/"]

    def test_a_sound_one_goes_on_where_signatures_count(self) -> None:
        message = self.ask(Signer(), is_strict=True).backend.written
        assert fields(message, "x-cf-proxy-signature") == ["signed http://app.test/"]

    def test_a_forged_one_is_refused_there(self) -> None:
        for signer in (None, Signer(ValueError("forged"))):
            written = self.ask(signer, is_strict=True).client.written
            assert fields(written, "x-cf-routererror") == ["invalid_route_service_signature"]
            assert written.endswith(b"400 Bad Request: invalid route service signature detected\n")

    def test_an_expired_one_too(self) -> None:
        written = self.ask(Signer(ExpiredError("route service request expired")), is_strict=True).client.written
        assert fields(written, "x-cf-routererror") == ["expired_route_service_signature"]
        assert written.endswith(
            b"504 Gateway Timeout: Failed to validate Route Service Signature: route service request expired\n"
        )


class TestProtocolCheck:
    """HTTP/1.2 and later go through the handlers in front of the lookup, and no further (spec 4.2)."""

    BARE = b"HTTP/1.0 400 Bad Request\r\n\r\n"

    def ask(self, *lines: str, version: str = "1.5", body: bytes = b"") -> Conversation:
        conversation = Conversation()
        conversation.from_client(request(*lines).replace(b"HTTP/1.1", f"HTTP/{version}".encode()) + body)
        return conversation

    @pytest.mark.parametrize("version", ["1.2", "1.5", "1.9"])
    def test_logged_without_a_status(self, version: str) -> None:
        conversation = self.ask(version=version)
        assert conversation.client.is_over
        client, backends, (line,) = conversation.outcome()
        assert client == self.BARE
        assert backends == []
        assert f' HTTP/{version}" "-" 0 0 "'.encode() in line

    @pytest.mark.parametrize("body", [b"hello", b"GET /next HTTP/1.1\r\nHost: app.test\r\n\r\n"])
    def test_what_comes_behind_is_not_looked_at(self, body: bytes) -> None:
        conversation = self.ask(f"Content-Length: {1000}", body=body)
        client, backends, lines = conversation.outcome()
        assert (client, backends, len(lines)) == (self.BARE, [], 1)

    def test_behind_the_health_check(self) -> None:
        written = self.ask("User-Agent: HTTP-Monitor/1.1").client.written
        assert written.startswith(b"HTTP/1.1 200 OK\r\n")

    def test_framing_is_judged_as_of_http_1_1(self) -> None:
        written = self.ask("Transfer-Encoding: chunked", "Content-Length: 5").client.written
        assert written.startswith(b"HTTP/1.1 400 Bad Request\r\nContent-Type: ")


class TestPanic:
    def test_a_fault_costs_one_request(self) -> None:
        conversation = visiting(Signer(RuntimeError("a bug")))
        conversation.from_client(request(*SIGNED), request("User-Agent: HTTP-Monitor/1.1"))
        assert timeless(conversation.client.written).startswith(
            b"HTTP/1.1 502 Bad Gateway\r\nX-Cf-Routererror: unknown_failure\r\nDate: -\r\nContent-Length: 0\r\n\r\n"
            b"HTTP/1.1 200 OK\r\n"
        )
        ((level, message, data),) = conversation.events
        assert (level, message, data["host"], data["error"]) == (3, "panic-check", "app.test", "RuntimeError('a bug')")
        assert "a bug" in data["stacktrace"]
        _, _, lines = conversation.outcome()
        assert b'" 502 0 0 ' in lines[0]
        assert b'x_cf_routererror:"unknown_failure"' in lines[0]

    def test_a_fault_in_a_dial(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fault(*_arguments: Any) -> None:
            raise KeyError("a bug")

        conversation = Conversation()
        monkeypatch.setattr(conversation.loop, "create_connection", fault)
        conversation.from_client(GET)
        assert fields(conversation.client.written, "x-cf-routererror") == ["unknown_failure"]
        assert [message for _, message, _ in conversation.events] == ["panic-check"]
        monkeypatch.undo()
        conversation.from_client(GET)
        conversation.from_backend(OK)
        assert conversation.client.written.endswith(b"\r\n\r\nok")

    def test_a_fault_behind_a_failed_attempt(self) -> None:
        def fault(_uri: str, _address: str) -> None:
            raise RuntimeError("a bug")

        conversation = Conversation([Endpoint("10.0.0.1", 8080, tls=True)])
        plane = DataPlane(
            conversation.table, event_log=lambda *event: conversation.events.append(event), on_prune=fault
        )
        loop: Any = conversation.loop
        plane.start(loop)
        conversation.client = conversation.loop.connect_client(plane.new_client())
        conversation.loop.refusing.add(("10.0.0.1", 8080))
        conversation.from_client(GET)
        assert fields(conversation.client.written, "x-cf-routererror") == ["unknown_failure"]
        assert conversation.events[-1][1] == "panic-check"


class TestErrorPages:
    def ask(self, render: Any) -> tuple[bytes, list[tuple[int, str, dict[str, Any]]]]:
        conversation = Conversation(settings=Settings(render_error=render))
        conversation.from_client(request(host="unknown.test"))
        return timeless(conversation.client.written), conversation.events

    def test_rendered(self) -> None:
        seen: list[Any] = []

        def render(*arguments: Any) -> bytes:
            seen.append(arguments)
            return b"<html>"

        written, _ = self.ask(render)
        assert written == (
            b"HTTP/1.1 404 Not Found\r\nCache-Control: no-cache, no-store\r\nX-Cf-Routererror: unknown_route\r\n"
            b"Content-Type: text/html; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nDate: -\r\n"
            b"Content-Length: 6\r\n\r\n<html>"
        )
        assert seen == [
            (
                404,
                "Not Found",
                "Requested route ('unknown.test') does not exist.",
                {"Cache-Control": "no-cache, no-store", "X-Cf-Routererror": "unknown_route"},
            )
        ]

    def test_a_page_that_cannot_be_rendered(self) -> None:
        def render(*_arguments: Any) -> bytes:
            raise RuntimeError("a bug")

        written, events = self.ask(render)
        assert written.endswith(b"\r\n\r\n404 Not Found: Requested route ('unknown.test') does not exist.")
        assert b"Content-Type: text/plain; charset=utf-8\r\n" in written
        ((level, message, data),) = events
        assert (level, message, data["error"]) == (3, "render-error-failed", "a bug")


class TestBrokenStream:
    """N16: a client that goes away in the middle of a response."""

    HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"

    def leave(self, response: bytes) -> tuple[dict[str, Any], bytes]:
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.from_backend(response)
        conversation.client.break_off()
        conversation.loop.run()
        ((level, message, data),) = conversation.events
        assert (level, message) == (3, "client-conn-closed-during-response-streaming")
        _, _, (line,) = conversation.outcome()
        return data, line

    def test_it_is_told_of(self) -> None:
        data, line = self.leave(self.HEAD + b"1234")
        assert (data["bytes_written"], data["total_size"], data["status"]) == (4, 10, 200)
        assert data["error"] == "write tcp 10.0.0.9:4321: write: connection reset by peer"
        assert b" 200 0 4 " in line
        assert b'x_cf_routererror:"client-conn-closed-during-response-streaming"' in line

    def test_nobody_knows_how_much_was_to_come(self) -> None:
        data, _ = self.leave(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert (data["bytes_written"], data["total_size"]) == (3, -1)

    def test_another_router_error_stands(self) -> None:
        _, line = self.leave(b"HTTP/1.1 200 OK\r\nX-Cf-RouterError: mine\r\nContent-Length: 10\r\n\r\n")
        assert b'x_cf_routererror:"mine"' in line


class TestRequestIdInTheResponse:
    @pytest.mark.parametrize(
        ("lines", "expected"),
        [
            (b"", r"<uuid>"),
            (b"X-Vcap-Request-Id: mine\r\n", "mine"),
            (b"X-Vcap-Request-Id:\r\n", "<uuid>"),
            (b"X-Vcap-Request-Id: mine\r\nConnection: X-Vcap-Request-Id\r\n", "<uuid>"),
        ],
    )
    def test_the_backends_counts_if_it_is_one(self, lines: bytes, expected: str) -> None:
        response = timeless(answered(b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n"))
        assert fields(response, "x-vcap-request-id") == [expected]


def test_a_switch_to_another_protocol_is_no_failed_attempt() -> None:
    conversation = Conversation()
    conversation.from_client(request("Connection: Upgrade", "Upgrade: chat"))
    conversation.from_backend(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
    assert conversation.client.written.startswith(b"HTTP/1.1 502 ")
    assert conversation.events == []
