"""HTTP/2 towards backends (K06): streams, pools, flow control and failures, with h2 as the backend, over real TLS."""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, PingReceived, StreamReset
from hpack import Encoder
from hyperframe.frame import HeadersFrame, PingFrame

from fastrouter._core import Endpoint
from fastrouter.tls.backends import backend_context

from .conftest import StartGorouter, StartRouter
from .gorouter_process import register
from .http2_backend import H2cBackend, Headers, Http2Backend, Http2Peer
from .http_message import chunked, response_with
from .in_process import HOST, InProcessRouter, request
from .nats_server import RawNatsClient
from .raw_client import RawClient
from .router_process import wait_for
from .tls_backend import SAN, Authority

OURS = Authority()
POST = b"POST / HTTP/1.1"
LARGE = bytes(range(256)) * 12_000
CONTEXTS = {
    "backend_tls": backend_context(ca_certs=[OURS.pem]),
    "backend_http2_tls": backend_context(ca_certs=[OURS.pem], protocols=("h2", "http/1.1")),
}


@pytest.fixture
def backend() -> Iterator[Http2Backend]:
    with Http2Backend(OURS) as backend:
        yield backend


@pytest.fixture
def router(backend: Http2Backend) -> Iterator[InProcessRouter]:
    with router_to(backend) as router:
        yield router


def router_to(*backends: Http2Backend | H2cBackend, **settings: object) -> InProcessRouter:
    return InProcessRouter(*(backend.endpoint() for backend in backends), **{**CONTEXTS, **settings})


class TestRequest:
    def test_what_the_backend_gets(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask(b"User-Agent: t", b"TE: trailers", b"Connection: close, X-Hop", b"X-Hop: 1", b"X-Kept: a")
        peer = backend.accept_http2()
        stream, fields = peer.read_request()
        assert fields.pop(b"x-vcap-request-id")
        assert fields.pop(b"x-request-start")
        assert fields == {
            b":method": b"GET",
            b":scheme": b"https",
            b":authority": HOST.encode(),
            b":path": b"/",
            b"user-agent": b"t",
            b"x-kept": b"a",
            b"te": b"trailers",
            b"x-forwarded-for": b"127.0.0.1",
            b"x-forwarded-proto": b"http",
            b"x-cf-applicationid": b"",
            b"x-cf-instanceid": backend.address.encode(),
            b"x-cf-instanceindex": b"",
        }
        peer.answer(stream)
        assert client.read_response().body == b"ok"

    def test_a_body_of_known_length(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask(b"Content-Length: 5", start_line=POST, body=b"hello")
        peer = backend.accept_http2()
        stream, fields = peer.read_request()
        assert fields[b"content-length"] == b"5"
        assert peer.read_body(stream) == b"hello"
        peer.answer(stream)
        assert client.read_response().status == 200

    def test_a_body_in_chunks_and_its_trailer(self, backend: Http2Backend, router: InProcessRouter) -> None:
        body = chunked(b"one", b"two", trailers=b"X-Sum: 6\r\n")
        client = router.ask(b"Transfer-Encoding: chunked", b"Trailer: X-Sum", start_line=POST, body=body)
        peer = backend.accept_http2()
        stream, fields = peer.read_request()
        assert b"transfer-encoding" not in fields
        assert b"content-length" not in fields
        assert peer.read_trailers(stream) == [(b"x-sum", b"6")]
        assert peer.read_body(stream) == b"onetwo"
        peer.answer(stream)
        assert client.read_response().status == 200

    def test_h2c(self) -> None:
        with H2cBackend() as backend, router_to(backend) as router:
            client = router.ask()
            peer = backend.accept_http2()
            stream, fields = peer.read_request()
            assert fields[b":scheme"] == b"http"
            peer.answer(stream)
            assert client.read_response().body == b"ok"


class TestResponse:
    def test_without_a_length_it_is_chunked_and_has_a_trailer(
        self, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        client = router.ask()
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"trailer", b"x-sum"))
        peer.send_data(stream, b"one")
        peer.send_data(stream, b"two")
        peer.send_trailers(stream, (b"x-sum", b"6"))
        response = client.read_response()
        assert response.body == b"onetwo"
        assert response.value(b"Trailer") == b"x-sum"
        assert response.trailers == ((b"X-Sum", b"6"),)

    def test_interim_responses(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask(b"Expect: 100-continue", b"Content-Length: 2", start_line=POST)
        peer = backend.accept_http2()
        stream, fields = peer.read_request()
        assert fields[b"expect"] == b"100-continue"
        peer.send_head(stream, (b"link", b"</a>"), status=103)
        hint = client.read_response()
        assert (hint.status, hint.value(b"Link")) == (103, b"</a>")
        peer.send_head(stream, status=100)
        assert client.read_response().status == 100
        client.send(b"hi")
        assert peer.read_body(stream) == b"hi"
        peer.answer(stream)
        assert client.read_response().status == 200

    @pytest.mark.parametrize(("count", "status"), [(64, 200), (65, 502)])
    def test_interim_responses_are_limited(
        self, count: int, status: int, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        client = router.ask()
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        for _ in range(count):
            peer.send_head(stream, status=103)
        if count == 64:
            peer.answer(stream)
        assert [client.read_response().status for _ in range(65)] == [103] * 64 + [status]

    def test_trailers_only(self, backend: Http2Backend, router: InProcessRouter) -> None:
        """Everything of it is in one list of fields."""
        client = router.ask(start_line=POST)
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"grpc-status", b"5"), is_last=True)
        response = client.read_response()
        assert response.value(b"Grpc-Status") == b"5"
        assert response.value(b"Content-Length") == b"0"

    @pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
    def test_no_body(self, method: bytes, status: int, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask(start_line=method + b" / HTTP/1.1")
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"content-length", b"7"), status=status, is_last=True) if method == b"HEAD" else (
            peer.send_head(stream, status=status, is_last=True)
        )
        response = client.read_response(method)
        assert response.status == status
        assert response.value(b"Content-Length") == (b"7" if method == b"HEAD" else None)
        client.send(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        peer.answer(peer.read_request()[0])
        assert client.read_response().body == b"ok"

    def test_to_http_1_0(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask(start_line=b"GET / HTTP/1.0")
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream)
        peer.send_data(stream, b"until", is_last=False)
        peer.send_data(stream, b" the end", is_last=True)
        assert client.read_response().body == b"until the end"

    @pytest.mark.parametrize(
        "fields",
        [
            [(b"connection", b"close")],
            [(b"transfer-encoding", b"chunked")],
            [(b"x", b"a\nb")],
            [(b"x", b"a\0b")],
            [(b"x y", b"a")],
            [(b":path", b"/")],
            [(b"content-length", b"3"), (b"content-length", b"4")],
            [(b"content-length", b"many")],
        ],
        ids=lambda fields: repr(fields[0]),
    )
    def test_malformed_fields_end_their_stream_only(
        self, fields: Headers, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        sibling = router.ask()
        peer = backend.accept_http2(validates=False)
        waiting, _ = peer.read_request()
        client = router.ask()
        stream, _ = peer.read_request()
        peer.send_head(stream, *fields)
        assert client.read_response().status == 502
        assert peer.wait_for(StreamReset, stream).error_code == ErrorCodes.PROTOCOL_ERROR
        assert not router.events_of("backend-endpoint-failed")[0]["retriable"]
        peer.answer(waiting)
        assert sibling.read_response().body == b"ok"

    @pytest.mark.parametrize("length", [b"2", b"4"])
    def test_a_length_that_is_not_the_sum_of_data(
        self, length: bytes, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        client = router.ask()
        peer = backend.accept_http2(validates=False)
        stream, _ = peer.read_request()
        peer.send_head(stream, (b"content-length", length))
        assert client.read_response_head().status == 200
        peer.send_data(stream, b"abc", is_last=True)
        assert len(client.wait_closed()) < int(length)
        assert router.wait_for_log_line()

    def test_too_large_a_head(self, backend: Http2Backend) -> None:
        with router_to(backend, max_response_head=5000, max_response_headers=10) as router:
            client = router.ask()
            peer = backend.accept_http2()
            stream, _ = peer.read_request()
            peer.answer(stream, b"", (b"x", b"y" * 6000))
            assert client.read_response().status == 502
            assert router.wait_for_event("backend-endpoint-failed")["error"] == (
                "http2: response header list larger than advertised limit"
            )
            client = router.ask()
            stream, _ = peer.read_request()
            peer.answer(stream, b"", *[(b"x", b"y")] * 20)
            assert client.read_response().status == 502
            assert router.wait_for_event("backend-too-many-response-headers")


class TestLargeBodies:
    def test_both_ways(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.connect()
        client.send(request(b"Content-Length: %d" % len(LARGE), start_line=POST))
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        sender = threading.Thread(target=client.send, args=(LARGE,))
        sender.start()
        assert peer.read_body(stream) == LARGE
        sender.join()
        peer.send_head(stream, (b"content-length", b"%d" % len(LARGE)))
        receiver = threading.Thread(target=peer.send_data, args=(stream, LARGE), kwargs={"is_last": True})
        receiver.start()
        assert client.read_response().body == LARGE
        receiver.join()

    def test_a_client_that_takes_nothing_holds_back_its_stream_only(
        self, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        stalled = router.connect(receive_buffer=4096)
        stalled.send(request())
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream)
        # Until its window stays closed, because nobody takes what has come: sockets hold some megabytes.
        sent = peer.send_until_blocked(stream)
        assert sent < 64 * 1024 * 1024
        client = router.ask()
        other, _ = peer.read_request()
        receiver = threading.Thread(target=peer.answer, args=(other, LARGE))
        receiver.start()
        assert client.read_response().body == LARGE
        receiver.join()
        peer.h2.end_stream(stream)
        peer.flush()
        assert len(stalled.read_response().body) == sent

    def test_a_backend_that_takes_nothing_holds_back_its_client(
        self, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        client = router.connect()
        client.send(request(b"Content-Length: 100000000", start_line=POST))
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        # h2 does not acknowledge what nobody asks for.
        assert client.send_until_blocked(bytes(100_000_000)) < 64 * 1024 * 1024
        other = router.ask(b"Connection: close")
        number, _ = peer.read_request()
        peer.answer(number)
        assert other.read_response().body == b"ok"
        # A response ends it all the same.
        peer.answer(stream)
        assert client.read_response().status == 200
        assert peer.wait_for(StreamReset, stream).error_code == ErrorCodes.CANCEL


class TestEndings:
    def test_a_client_that_leaves_resets_its_stream_only(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client, sibling = router.ask(), router.ask()
        peer = backend.accept_http2()
        first, _ = peer.read_request()
        second, _ = peer.read_request()
        client.close()
        assert peer.wait_for(StreamReset).error_code == ErrorCodes.CANCEL
        assert " 499 " in router.wait_for_log_line()
        assert {first, second} == {1, 3}
        peer.answer(second)
        assert sibling.read_response().body == b"ok"

    def test_a_reset_is_a_failure_and_not_retried(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask()
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.reset(stream, ErrorCodes.INTERNAL_ERROR)
        assert client.read_response().status == 502
        event = router.wait_for_event("backend-endpoint-failed")
        assert event["error"] == f"stream error: stream ID {stream}; INTERNAL_ERROR; received from peer"
        assert not event["retriable"]
        # The connection goes on.
        client.send(request())
        peer.answer(peer.read_request()[0])
        assert client.read_response().status == 200

    def test_a_reset_in_the_body_breaks_it_off(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask()
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.send_head(stream)
        peer.send_data(stream, b"some")
        assert client.read_response_head().status == 200
        peer.reset(stream, ErrorCodes.CANCEL)
        assert client.wait_closed() == b"4\r\nsome\r\n"

    def test_a_refused_stream_goes_elsewhere_with_its_body(
        self, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        """Nobody has looked at it (RFC 9113 section 8.7), so it is no other attempt."""
        client = router.ask(b"Content-Length: 5", start_line=POST, body=b"hello")
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        peer.reset(stream, ErrorCodes.REFUSED_STREAM)
        again, fields = peer.read_request()
        assert fields[b":method"] == b"POST"
        assert peer.read_body(again) == b"hello"
        peer.answer(again)
        assert client.read_response().status == 200
        assert router.events == []

    def test_refused_everywhere(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask()
        peer = backend.accept_http2()
        for _ in range(2):
            peer.reset(peer.read_request()[0], ErrorCodes.REFUSED_STREAM)
        assert client.read_response().status == 502
        assert router.wait_for_event("backend-endpoint-failed")["retriable"]

    def test_a_refused_stream_that_has_taken_a_large_body_is_lost(
        self, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        client = router.connect()
        client.send(request(b"Content-Length: 200000", start_line=POST))
        peer = backend.accept_http2()
        stream, _ = peer.read_request()
        client.send(bytes(100_000))
        received = 0
        while received < 65_536 - 1:
            received += len(peer.wait_for(DataReceived, stream).data or b"")
            peer.h2.acknowledge_received_data(1, stream)
        peer.reset(stream, ErrorCodes.REFUSED_STREAM)
        assert client.read_response().status == 502
        assert not router.wait_for_event("backend-endpoint-failed")["retriable"]

    def test_goaway(self, backend: Http2Backend, router: InProcessRouter) -> None:
        """What it lets be is served to the end; what it does not is sent again, as is everything that comes later."""
        first = router.ask()
        peer = backend.accept_http2()
        kept, _ = peer.read_request()
        second = router.ask(b"Content-Length: 2", start_line=POST, body=b"hi")
        dropped, _ = peer.read_request()
        assert peer.read_body(dropped) == b"hi"
        peer.h2.close_connection(last_stream_id=kept)
        peer.flush()
        successor = backend.accept_http2()
        stream, fields = successor.read_request()
        assert fields[b":method"] == b"POST"
        assert successor.read_body(stream) == b"hi"
        successor.answer(stream)
        assert second.read_response().status == 200
        # h2 sends nothing more behind its own GOAWAY.
        frame = HeadersFrame(kept, Encoder().encode([(b":status", b"204")]), flags=["END_HEADERS", "END_STREAM"])
        peer.stream.send(frame.serialize())
        assert first.read_response().status == 204
        assert router.events == []
        # Nothing is left to do on it.
        peer.stream.wait_closed()

    def test_a_connection_that_ends_takes_its_streams_along(
        self, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        clients = [router.ask(start_line=POST) for _ in range(3)]
        peer = backend.accept_http2()
        for _ in clients:
            peer.read_request()
        peer.stream.close()
        assert [client.read_response().status for client in clients] == [502] * 3
        assert {event["error"] for event in router.events_of("backend-endpoint-failed")} == {"unexpected EOF"}

    def test_a_kept_connection_that_has_died_is_replaced_within_the_attempt(
        self, backend: Http2Backend, router: InProcessRouter
    ) -> None:
        client = router.ask()
        peer = backend.accept_http2()
        peer.answer(peer.read_request()[0])
        client.read_response()
        client.send(request())
        peer.read_request()
        peer.stream.close()
        successor = backend.accept_http2()
        successor.answer(successor.read_request()[0])
        assert client.read_response().status == 200
        assert router.events == []

    def test_a_peer_that_says_nothing_is_found_by_a_ping(self, backend: Http2Backend) -> None:
        with router_to(backend, http2_ping_interval=0.1, http2_ping_timeout=0.1) as router:
            client = router.ask(start_line=POST)
            peer = backend.accept_http2()
            peer.read_request()
            # It answers the first PING, so it lives, however long it takes, and gets no second one until it speaks.
            peer.wait_for(PingReceived)
            assert peer.stream.is_silent(0.5)
            other = router.ask(start_line=POST)
            peer.read_request()
            # Now it answers none.
            assert [client.read_response().status, other.read_response().status] == [502, 502]
            assert router.wait_for_event("backend-endpoint-failed")["error"] == "http2: client connection lost"

    @pytest.mark.parametrize("is_tls", [True, False])
    def test_a_router_that_stops_says_so(self, is_tls: bool, backend: Http2Backend) -> None:
        with H2cBackend() as plain:
            app = backend if is_tls else plain
            with router_to(app) as router:
                client = router.ask()
                peer = app.accept_http2()
                served(peer, client)
            assert peer.wait_for(ConnectionTerminated).error_code == ErrorCodes.NO_ERROR

    def test_no_http2_at_all(self) -> None:
        with H2cBackend() as backend, router_to(backend) as router:
            client = router.ask(start_line=POST)
            stream = backend.accept()
            stream.send(response_with())
            assert client.read_response().status == 502
            assert router.wait_for_event("backend-endpoint-failed")["error"].startswith(
                "incomplete request (http2: connection error: "
            )

    def test_a_flood_of_frames_that_move_nothing(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask()
        peer = backend.accept_http2()
        peer.read_request()
        with contextlib.suppress(OSError):
            # Far more than are answered before the end, none of whose answers is read.
            for _ in range(20):
                peer.stream.send(PingFrame(0, b"12345678").serialize() * 10_000)
        assert client.read_response().status == 502
        assert router.wait_for_event("backend-endpoint-failed")["error"] == (
            "http2: connection error: ENHANCE_YOUR_CALM"
        )
        peer.stream.wait_closed()
        assert router.events_of("panic-check") == []

    def test_silence_in_place_of_settings(self) -> None:
        with H2cBackend() as backend, router_to(backend, tls_handshake_timeout=0.1) as router:
            client = router.ask()
            stream = backend.accept()
            assert client.read_response().status == 502
            assert router.wait_for_event("backend-endpoint-failed")["error"] == (
                "incomplete request (http2: timeout awaiting SETTINGS)"
            )
            stream.wait_closed()


class TestPool:
    def test_one_connection_carries_all(self, backend: Http2Backend, router: InProcessRouter) -> None:
        clients = [router.ask() for _ in range(20)]
        peer = backend.accept_http2()
        streams = [peer.read_request()[0] for _ in clients]
        assert sorted(streams) == list(range(1, 41, 2))
        for stream in reversed(streams):
            peer.answer(stream, b"%d" % stream)
        assert sorted(int(client.read_response().body) for client in clients) == sorted(streams)
        assert not backend.has_pending_connection()
        assert router.stats()["dials"] == 1
        assert router.stats()["idle_backend_connections"] == 1

    def test_another_one_where_the_peer_takes_no_more(self, backend: Http2Backend, router: InProcessRouter) -> None:
        clients = [router.ask() for _ in range(5)]
        peers = [backend.accept_http2(MAX_CONCURRENT_STREAMS=2) for _ in range(3)]
        counts = []
        for peer, expected in zip(peers, (2, 2, 1), strict=True):
            streams = [peer.read_request()[0] for _ in range(expected)]
            for stream in streams:
                peer.answer(stream)
            counts.append(len(streams))
        assert [client.read_response().status for client in clients] == [200] * 5
        assert not backend.has_pending_connection()

    def test_idle_ones_end(self, backend: Http2Backend) -> None:
        with router_to(backend, backend_idle_timeout=0.1) as router:
            client = router.ask()
            peer = backend.accept_http2()
            peer.answer(peer.read_request()[0])
            assert client.read_response().status == 200
            assert peer.wait_for(ConnectionTerminated).error_code == ErrorCodes.NO_ERROR
            peer.stream.wait_closed()
            assert router.stats()["idle_backend_connections"] == 0

    def test_without_keep_alive(self, backend: Http2Backend) -> None:
        with router_to(backend, backend_keep_alive=False) as router:
            client = router.ask()
            peer = backend.accept_http2()
            stream, fields = peer.read_request()
            assert b"connection" not in fields
            peer.answer(stream)
            assert client.read_response().status == 200
            assert peer.wait_for(ConnectionTerminated).error_code == ErrorCodes.NO_ERROR

    @pytest.mark.parametrize("protocols", [("http/1.1",), ()])
    def test_http_1_1_is_what_it_falls_back_to(self, protocols: tuple[str, ...]) -> None:
        with Http2Backend(OURS, protocols) as backend, router_to(backend) as router:
            clients = [router.ask() for _ in range(3)]
            streams = []
            for _ in clients:
                stream, received = backend.accept_request()
                assert received.values(b"Host") == [HOST.encode()]
                streams.append(stream)
            for stream in streams[1:]:
                stream.send(response_with())
            # Each has one of its own, which is kept as any connection of HTTP/1.
            assert router.stats()["dials"] == 3
            streams[0].send(response_with())
            assert [client.read_response().status for client in clients] == [200] * 3
            assert router.stats()["idle_backend_connections"] == 3
            assert router.events == []

    def test_an_upgrade_gets_a_connection_of_http_1(self, backend: Http2Backend, router: InProcessRouter) -> None:
        client = router.ask()
        peer = backend.accept_http2()
        peer.answer(peer.read_request()[0])
        client.read_response()
        client.send(request(b"Connection: Upgrade", b"Upgrade: websocket"))
        stream = backend.accept()
        assert isinstance(stream.socket, ssl.SSLSocket)
        assert stream.socket.selected_alpn_protocol() is None
        stream.read_request_head()
        stream.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        assert client.read_response_head().status == 101
        assert client.read_exactly(5) == b"hello"
        client.send(b"world")
        assert stream.read_exactly(5) == b"world"

    def test_a_limit_of_requests_counts_streams(self, backend: Http2Backend) -> None:
        with router_to(backend, max_conns=2) as router:
            clients = [router.ask() for _ in range(2)]
            peer = backend.accept_http2()
            streams = [peer.read_request()[0] for _ in clients]
            assert router.get().status == 503
            for stream in streams:
                peer.answer(stream)
            assert [client.read_response().status for client in clients] == [200] * 2

    def test_a_dial_that_fails_fails_all_that_wait_for_it(self) -> None:
        with (
            Http2Backend(Authority()) as backend,
            InProcessRouter(endpoint := backend.endpoint(), **CONTEXTS) as router,
        ):
            clients = [router.ask() for _ in range(2)]
            # One that comes when the endpoint is pruned finds no route.
            wait_for(lambda: endpoint.in_flight == 2 or None, "both requests")
            backend.refuse()
            assert [client.read_response().status for client in clients] == [526, 526]
            assert router.prunes == [("app.test", backend.address)]


def served(peer: Http2Peer, client: RawClient) -> dict[bytes, bytes]:
    """Have the backend answer the client's request; give its fields."""
    stream, fields = peer.read_request()
    peer.answer(stream)
    assert client.read_response().body == b"ok"
    return fields


class TestRegistered:
    """From a registration, or a file of routes, to the backend, through the executable."""

    def test_http2(self, start_gorouter: StartGorouter, nats: RawNatsClient, backend: Http2Backend) -> None:
        router = start_gorouter(ca_certs=[OURS.pem])
        router.wait_until_started()
        tls = {"tls_port": backend.port, "server_cert_domain_san": SAN}
        register(nats, backend.address, HOST, protocol="http2", **tls)
        router.wait_for_event("endpoint-registered")
        client = router.connect()
        client.send(request())
        peer = backend.accept_http2()
        assert served(peer, client)[b":scheme"] == b"https"
        assert router.routes()[HOST][0]["protocol"] == "http2"
        # What is registered for another protocol later is another connection.
        register(nats, backend.address, HOST, **tls)
        wait_for(lambda: router.routes()[HOST][0]["protocol"] == "http1" or None, "the new registration")
        client.send(request())
        stream, _ = backend.accept_request()
        stream.send(response_with())
        assert client.read_response().status == 200

    def test_h2c(self, start_gorouter: StartGorouter, nats: RawNatsClient) -> None:
        router = start_gorouter()
        router.wait_until_started()
        with H2cBackend() as backend:
            register(nats, backend.address, HOST, protocol="h2c")
            router.wait_for_event("endpoint-registered")
            client = router.connect()
            client.send(request())
            assert served(backend.accept_http2(), client)[b":scheme"] == b"http"

    def test_neither_without_enable_http2(self, start_gorouter: StartGorouter, nats: RawNatsClient) -> None:
        router = start_gorouter(enable_http2=False)
        router.wait_until_started()
        with H2cBackend() as backend:
            register(nats, backend.address, HOST, protocol="h2c")
            router.wait_for_event("endpoint-registered")
            client = router.connect()
            client.send(request())
            stream, _ = backend.accept_request()
            stream.send(response_with())
            assert client.read_response().status == 200

    def test_a_file_of_routes(self, start_router: StartRouter, tmp_path: Path) -> None:
        with H2cBackend() as backend:
            path = tmp_path / "routes.yml"
            endpoint = {"address": backend.address, "protocol": "h2c"}
            path.write_text(yaml.safe_dump({"routes": [{"route": HOST, "endpoints": [endpoint]}]}))
            client = start_router({}, arguments=["--routes", str(path)]).connect()
            client.send(request())
            served(backend.accept_http2(), client)


@pytest.mark.parametrize(
    ("protocol", "tls", "is_http2"),
    [
        ("http2", True, True),
        ("http2", False, False),
        ("h2c", False, True),
        ("h2c", True, True),
        ("http1", True, False),
        ("odd", True, False),
    ],
)
def test_who_is_spoken_to_in_http2(protocol: str, tls: bool, is_http2: bool) -> None:
    assert Endpoint("127.0.0.1", 1, tls=tls, protocol=protocol).is_http2 is is_http2
