"""When an attempt is repeated, how often, where, and what the next requests make of it (spec 5.1, 5.2, 5.4, 5.10)."""

import os
import socket
import time

import pytest

from fastrouter._core import Endpoint

from .byte_stream import PATIENCE
from .http_message import read_chunk, response_with
from .in_process import HOST, InProcessRouter, request
from .raw_backend import AnsweringBackend, BackendStream, ClosedPort, FullBacklog, RawBackend
from .router_process import wait_for

POST = b"POST / HTTP/1.1"
# For dials that fail: time enough for what is to happen meanwhile, even on a busy machine.
DIAL_TIMEOUT = 2.0
WEBSOCKET = (b"Connection: Upgrade", b"Upgrade: websocket")


def endpoint_at(address: str, identity: str = "") -> Endpoint:
    host, _, port = address.rpartition(":")
    return Endpoint(host, int(port), instance_id=identity)


def led_to(identity: str) -> bytes:
    return b"Cookie: JSESSIONID=x; __VCAP_ID__=" + identity.encode()


def attempts_of(router: InProcessRouter) -> list[str]:
    """The endpoints of failed attempts, in order."""
    return [event["route-endpoint"]["Addr"] for event in router.events_of("backend-endpoint-failed")]


def kept_connection(router: InProcessRouter, backend: RawBackend) -> BackendStream:
    """A connection that has served a request and waits for the next."""
    client = router.ask()
    stream, _ = backend.accept_request()
    stream.send(response_with())
    client.read_response()
    return stream


class TestBounds:
    """E01, E15: how many attempts there are."""

    @pytest.mark.parametrize(("max_attempts", "endpoints", "expected"), [(1, 3, 1), (3, 1, 1), (3, 2, 2), (3, 5, 3)])
    def test_by_setting_and_by_endpoints(self, max_attempts: int, endpoints: int, expected: int) -> None:
        ports = [ClosedPort() for _ in range(endpoints)]
        with InProcessRouter(*[endpoint_at(port.address) for port in ports], max_attempts=max_attempts) as router:
            response = router.get()
            assert response.status == 502
            tried = attempts_of(router)
            assert len(tried) == len(set(tried)) == expected
            assert [event["attempt"] for event in router.events_of("backend-endpoint-failed")] == list(
                range(1, expected + 1)
            )
            # The last error is reported.
            assert tried[-1].encode() in (response.value(b"X-Cf-Routererror") or b"")
        for port in ports:
            port.close()

    def test_each_request_tries_anew(self, closed_port: ClosedPort) -> None:
        # If all endpoints are marked, the marks do not count.
        with InProcessRouter(endpoint_at(closed_port.address)) as router:
            for count in (1, 2, 3):
                assert router.get().status == 502
                assert len(attempts_of(router)) == count

    def test_endpoints_that_are_gone_when_the_next_is_chosen(self, full_backlog: FullBacklog) -> None:
        with InProcessRouter(endpoint_at(full_backlog.address), dial_timeout=DIAL_TIMEOUT) as router:
            client = router.ask()
            wait_for(lambda: router.stats()["dials"] or None, "the dial")
            router.call(router.table.unregister, HOST, full_backlog.address)
            response = client.read_response()
            assert response.status == 502
            # The attempt had an error of its own, which is the better answer.
            assert b"i/o timeout" in (response.value(b"X-Cf-Routererror") or b"")
            (event,) = router.events_of("select-endpoint-failed")
            assert event["host"] == HOST
            assert event["error"] == "No endpoints available"
            # Whom it concerns is no longer there: no mark, nothing pruned.
            assert not router.events_of("endpoint-marked-as-ineligible")


class TestNewEndpoints:
    """E02: the table is looked at before each attempt."""

    def test_one_that_joins_while_dialling_is_tried(self, full_backlog: FullBacklog, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(full_backlog.address), dial_timeout=DIAL_TIMEOUT) as router:
            client = router.ask(b"Content-Length: 5", start_line=POST, body=b"hello")
            wait_for(lambda: router.stats()["dials"] or None, "the dial")
            router.call(router.table.register, HOST, endpoint_at(backend.address))
            stream, retried = backend.accept_request()
            assert retried.body == b"hello"
            stream.send(response_with(b"served"))
            assert client.read_response().body == b"served"
            assert attempts_of(router) == [full_backlog.address]

    def test_one_that_leaves_is_not(self, full_backlog: FullBacklog, backend: RawBackend) -> None:
        with InProcessRouter(
            endpoint_at(full_backlog.address, "first"), endpoint_at(backend.address), dial_timeout=DIAL_TIMEOUT
        ) as router:
            client = router.ask(led_to("first"))
            wait_for(lambda: router.stats()["dials"] or None, "the dial")
            router.call(router.table.unregister, HOST, backend.address)
            assert client.read_response().status == 502
            assert not backend.has_pending_connection()


class TestSafety:
    """E03-E06: nothing is sent twice that may have been seen, and nothing is lost that was not."""

    @pytest.mark.parametrize(
        ("start_line", "lines", "body"),
        [
            (b"GET / HTTP/1.1", (), b""),
            (b"HEAD / HTTP/1.1", (), b""),
            (b"OPTIONS / HTTP/1.1", (), b""),
            (b"TRACE / HTTP/1.1", (), b""),
            (POST, (b"Idempotency-Key: 1",), b""),
            (POST, (b"X-Idempotency-Key: 1", b"Content-Length: 0"), b""),
            (b"DELETE / HTTP/1.1", (b"Idempotency-Key: 1",), b""),
        ],
    )
    @pytest.mark.parametrize("is_kept", [False, True])
    def test_replayable(self, start_line: bytes, lines: tuple[bytes, ...], body: bytes, is_kept: bool) -> None:
        with RawBackend() as backend, InProcessRouter(endpoint_at(backend.address)) as router:
            if is_kept:
                # A connection that dies under the request is no attempt: with one endpoint there is one attempt only.
                kept = kept_connection(router, backend)
                client = router.ask(*lines, start_line=start_line, body=body)
                kept.read_request()
                kept.close()
                stream, again = backend.accept_request()
                assert again.start_line == start_line
                stream.send(response_with(b""))
                assert client.read_response(again.method).status == 200
                assert router.stats()["total_requests"] == 2
                assert not router.events
                return
            router.call(router.table.register, HOST, endpoint_at(backend.address))
            client = router.ask(*lines, start_line=start_line, body=body)
            backend.accept_request()[0].close()
            # One endpoint, one attempt; but it is said that another would have been safe.
            assert client.read_response(start_line.split()[0]).status == 502
            (event,) = router.events_of("backend-endpoint-failed")
            assert event["retriable"]
            assert "EOF" in event["error"]

    @pytest.mark.parametrize(
        ("start_line", "lines", "body"),
        [
            (POST, (), b""),
            (POST, (b"Content-Length: 0",), b""),
            (POST, (b"Idempotency-Key: ",), b""),
            (POST, (b"Idempotency-Key: 1", b"Content-Length: 4"), b"once"),
            (b"GET / HTTP/1.1", (b"Content-Length: 4",), b"once"),
            (b"GET / HTTP/1.1", (b"Transfer-Encoding: chunked",), b"4\r\nonce\r\n0\r\n\r\n"),
            (b"PUT / HTTP/1.1", (b"Content-Length: 4",), b"once"),
            (b"DELETE / HTTP/1.1", (), b""),
            (b"PATCH / HTTP/1.1", (), b""),
            (b"PROPFIND / HTTP/1.1", (), b""),
        ],
    )
    @pytest.mark.parametrize("is_kept", [False, True])
    @pytest.mark.parametrize("how", ["close", "reset"])
    def test_not_replayable(
        self, start_line: bytes, lines: tuple[bytes, ...], body: bytes, is_kept: bool, how: str
    ) -> None:
        with (
            RawBackend() as first,
            RawBackend() as second,
            InProcessRouter(endpoint_at(first.address, "first")) as router,
        ):
            stream = kept_connection(router, first) if is_kept else None
            router.call(router.table.register, HOST, endpoint_at(second.address))
            client = router.ask(led_to("first"), *lines, start_line=start_line, body=body)
            stream = stream or first.accept()
            stream.read_request()
            getattr(stream, how)()
            assert client.read_response().status == 502
            assert not first.has_pending_connection()
            assert not second.has_pending_connection()
            (event,) = router.events_of("backend-endpoint-failed")
            assert not event["retriable"]
            assert event["wrote-headers"]
            assert event["got-connection"]
            assert event["conn-reused"] == is_kept

    def test_response_that_began_is_never_asked_for_again(self, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address)) as router:
            kept = kept_connection(router, backend)
            client = router.ask()
            kept.read_request()
            kept.send(b"HTTP/1.1 200")
            kept.close()
            assert client.read_response().status == 502
            assert not backend.has_pending_connection()

    def test_interim_response_is_one_that_began(self, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address)) as router:
            kept = kept_connection(router, backend)
            client = router.ask()
            kept.read_request()
            kept.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            assert client.read_response().status == 103
            kept.close()
            assert client.read_response().status == 502
            assert not backend.has_pending_connection()

    @pytest.mark.parametrize("size", [0, 5, 200_000])
    def test_whole_body_follows_dials_that_failed(self, size: int, backend: RawBackend) -> None:
        ports = [ClosedPort(), ClosedPort()]
        body = bytes(number % 251 for number in range(size))
        with InProcessRouter(*[endpoint_at(port.address) for port in ports], endpoint_at(backend.address)) as router:
            for _ in range(3):
                client = router.ask(b"Content-Length: %d" % size, start_line=POST, body=body)
                stream, received = backend.accept_request()
                assert received.body == body
                stream.send(response_with(b"served", b"Connection: close"))
                assert client.read_response().body == b"served"
        for port in ports:
            port.close()


class TestMarks:
    """B05: who failed is passed over, for a while."""

    def test_for_as_long_as_configured(self, closed_port: ClosedPort) -> None:
        memory = 0.6
        with (
            AnsweringBackend() as working,
            InProcessRouter(
                endpoint_at(closed_port.address, "failing"), endpoint_at(working.address), failure_memory=memory
            ) as router,
        ):
            begun = time.monotonic()
            assert router.get(led_to("failing")).status == 200
            while len(attempts_of(router)) == 1:
                assert router.get().status == 200
                assert time.monotonic() - begun < PATIENCE, "never tried again"
            # Never before its time; after that in its next turn, which is the next but one request at most.
            assert time.monotonic() - begun >= memory

    def test_a_sticky_request_does_not_mind(self, closed_port: ClosedPort) -> None:
        with (
            AnsweringBackend() as working,
            InProcessRouter(endpoint_at(closed_port.address, "failing"), endpoint_at(working.address)) as router,
        ):
            for count in (1, 2, 3):
                assert router.get(led_to("failing")).status == 200
                assert len(attempts_of(router)) == count

    def test_of_an_instance_asked_for_by_name_are_not_kept(self, closed_port: ClosedPort) -> None:
        app = "5e1c6a3e-9d6b-4b0b-8a51-4f5f0f9f6a11"
        host, _, port = closed_port.address.rpartition(":")
        with (
            AnsweringBackend() as working,
            InProcessRouter(
                Endpoint(host, int(port), app_id=app, instance_index="0"), endpoint_at(working.address)
            ) as router,
        ):
            assert router.get(f"X-CF-App-Instance: {app}:0".encode()).status == 502
            assert len(attempts_of(router)) == 1
            # Its turn comes as if nothing had been.
            for _ in range(2):
                assert router.get().status == 200
            assert len(attempts_of(router)) == 2


class TestTimeouts:
    """E13, E14, E16."""

    def test_while_dialling_is_retried(self, full_backlog: FullBacklog, backend: RawBackend) -> None:
        with InProcessRouter(
            endpoint_at(full_backlog.address, "full"), endpoint_at(backend.address), endpoint_timeout=2.0
        ) as router:
            client = router.ask(led_to("full"), b"Content-Length: 5", start_line=POST, body=b"hello")
            # No mark, so the same endpoint may be the next to be tried, but not the next two times.
            stream, received = backend.accept_request()
            assert received.body == b"hello"
            stream.send(response_with(b"served"))
            assert client.read_response().body == b"served"
            assert len(router.events_of("backend-request-timeout")) == len(attempts_of(router))
            assert not router.events_of("endpoint-marked-as-ineligible")

    @pytest.mark.parametrize("framing", ["length", "chunked", "close"])
    def test_inside_the_body_breaks_off(self, framing: str, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address), endpoint_timeout=2.0) as router:
            client = router.ask()
            stream, _ = backend.accept_request()
            head = {"length": b"Content-Length: 10\r\n", "chunked": b"Transfer-Encoding: chunked\r\n", "close": b""}
            body = b"5\r\nhello\r\n" if framing == "chunked" else b"hello"
            stream.send(b"HTTP/1.1 200 OK\r\n" + head[framing] + b"\r\n" + body)
            received = client.read_response_head()
            assert (read_chunk(client) if received.framing == "chunked" else client.read_exactly(5)) == b"hello"
            client.expect_end()
            stream.expect_end()
            (event,) = router.events_of("backend-request-timeout")
            assert event["error"] == "context deadline exceeded"
            # The attempt had its answer: it is not one that failed.
            assert not router.events_of("backend-endpoint-failed")
            assert '" 200 0 5 "' in router.wait_for_log_line()

    def test_does_not_concern_a_websocket(self, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address), endpoint_timeout=0.3) as router:
            client = router.ask(*WEBSOCKET)
            stream, _ = backend.accept_request()
            assert client.is_silent(0.7)
            stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            assert client.read_response().status == 101
            assert client.is_silent(0.7)
            assert not router.events

    def test_each_attempt_has_its_own(self, closed_port: ClosedPort, backend: RawBackend) -> None:
        with InProcessRouter(
            endpoint_at(closed_port.address, "closed"), endpoint_at(backend.address), endpoint_timeout=0.4
        ) as router:
            client = router.ask(led_to("closed"))
            backend.accept_request()
            assert client.read_response().value(b"X-Cf-Routererror") == b"endpoint_failure (context deadline exceeded)"
            assert len(router.events_of("backend-request-timeout")) == 1


class TestClientGone:
    """E12: 499, and no endpoint is marked."""

    @pytest.mark.parametrize("framing", ["none", "length", "chunked"])
    def test_is_told_as_a_failed_attempt(self, framing: str, backend: RawBackend) -> None:
        lines = {"none": (), "length": (b"Content-Length: 10",), "chunked": (b"Transfer-Encoding: chunked",)}[framing]
        body = {"none": b"", "length": b"half", "chunked": b"4\r\nhalf\r\n"}[framing]
        with InProcessRouter(endpoint_at(backend.address)) as router:
            client = router.ask(*lines, start_line=POST, body=body)
            stream = backend.accept()
            stream.read_request_head()
            stream.read_until(body)
            client.close()
            assert " 499 " in router.wait_for_log_line()
            (event,) = router.events_of("backend-endpoint-failed")
            assert (event["attempt"], event["retriable"]) == (1, False)
            assert (event["got-connection"], event["wrote-headers"]) == (True, True)
            cause = {
                "none": "context canceled",
                "length": f"readfrom tcp {event['local-address']}->{backend.address}: unexpected EOF",
                "chunked": "unexpected EOF",
            }[framing]
            assert event["error"] == f"context canceled ({cause})"
            told = router.events_of("gateway-error-and-original-request-context-cancelled")
            assert told == ([] if framing == "none" else [{"error": cause}])

    @pytest.mark.parametrize("how", ["close", "reset"])
    @pytest.mark.parametrize(
        "size", [0, 5, 10_000_000], ids=["no body", "half a small body", "half a body larger than any buffer"]
    )
    def test_before_the_response(self, how: str, size: int, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address)) as router:
            if size == 0:
                client = router.ask()
            else:
                client = router.connect()
                client.send(request(b"Content-Length: %d" % size, start_line=POST))
                client.send_until_blocked(b"x" * (size // 2 + 1), quiet=0.2)
            stream = backend.accept()
            stream.read_request_head()
            getattr(client, how)()
            # A backend that reads nothing would keep the router from seeing the client's end behind all that body.
            stream.wait_closed()
            line = router.wait_for_log_line()
            assert " 499 " in line
            assert line.endswith('x_cf_routererror:"endpoint_failure (context canceled)"')
            assert router.addresses() == [backend.address]
            assert not router.events_of("endpoint-marked-as-ineligible")
            assert not router.events_of("prune-failed-endpoint")
            assert not router.prunes
            assert router.stats()["bad_gateways"] == 0

    def test_while_dialling_is_not_retried(self, full_backlog: FullBacklog, backend: RawBackend) -> None:
        with InProcessRouter(
            endpoint_at(full_backlog.address, "full"), endpoint_at(backend.address), dial_timeout=DIAL_TIMEOUT
        ) as router:
            client = router.ask(led_to("full"))
            wait_for(lambda: router.stats()["dials"] or None, "the dial")
            client.reset()
            assert " 499 " in router.wait_for_log_line()
            assert not backend.has_pending_connection(0.5)
            assert not router.events_of("endpoint-marked-as-ineligible")

    def test_and_then_the_backend_fails_too(self, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address)) as router:
            client = router.ask(b"Content-Length: 10", start_line=POST, body=b"12345")
            stream = backend.accept()
            stream.read_request_head()
            client.close()
            stream.reset()
            # Whichever the router learns first: it is one request, and it ends once.
            line = router.wait_for_log_line()
            assert " 499 " in line or " 502 " in line
            assert len(router.log_lines()) == 1


class TestWebSocket:
    """W04, W05, W07: failures of upgrades."""

    def test_dial_is_retried_as_for_any_get(self, closed_port: ClosedPort, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(closed_port.address, "closed"), endpoint_at(backend.address)) as router:
            client = router.ask(led_to("closed"), *WEBSOCKET)
            stream, _ = backend.accept_request()
            stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            assert client.read_response().status == 101
            stats = router.stats()
            assert (stats["websocket_upgrades"], stats["websocket_failures"]) == (1, 0)

    def test_nobody_there(self, closed_port: ClosedPort) -> None:
        with InProcessRouter(endpoint_at(closed_port.address)) as router:
            client = router.ask(*WEBSOCKET)
            assert client.read_response().status == 502
            stats = router.stats()
            assert (stats["websocket_upgrades"], stats["websocket_failures"]) == (0, 1)
            # The connection of the client is still an HTTP connection.
            client.send(request())
            assert client.read_response().status == 502

    def test_backend_that_closes(self, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address)) as router:
            client = router.ask(*WEBSOCKET)
            backend.accept_request()[0].close()
            response = client.read_response()
            assert response.status == 502
            assert response.value(b"X-Cf-Routererror") == b"endpoint_failure (EOF)"
            assert router.stats()["websocket_failures"] == 1

    def test_another_protocol_than_asked_for(self, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address)) as router:
            client = router.ask(*WEBSOCKET)
            stream, _ = backend.accept_request()
            stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n")
            response = client.read_response()
            assert response.status == 502
            assert response.body == b""
            assert not response.has(b"X-Cf-Routererror")

    def test_ordinary_response_counts_as_an_upgrade(self, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address)) as router:
            client = router.ask(*WEBSOCKET)
            backend.accept_request()[0].send(response_with(b"no", status=b"426 Upgrade Required"))
            assert client.read_response().status == 426
            stats = router.stats()
            assert (stats["websocket_upgrades"], stats["websocket_failures"], stats["responses_4xx"]) == (1, 0, 1)


class TestConnections:
    """K01-K03, K07."""

    def test_off_new_active_closed(self, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address), backend_keep_alive=False) as router:
            client = router.connect()
            for _ in range(3):
                client.send(request())
                stream, received = backend.accept_request()
                assert received.values(b"Connection") == [b"close"]
                stream.send(response_with())
                client.read_response()
                stream.expect_end()
            assert router.stats()["dials"] == 3

    def test_on_new_active_idle_active(self, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address)) as router:
            client = router.connect()
            client.send(request())
            stream, received = backend.accept_request()
            for _ in range(3):
                assert not received.has(b"Connection")
                stream.send(response_with())
                client.read_response()
                client.send(request())
                received = stream.read_request()
            assert router.stats()["dials"] == 1

    def test_registered_again_the_connection_stays(self, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address)) as router:
            stream = kept_connection(router, backend)
            host, _, port = backend.address.rpartition(":")
            router.call(router.table.register, HOST, Endpoint(host, int(port), app_id="new", instance_id="i"))
            client = router.ask()
            assert stream.read_request().value(b"X-Cf-Applicationid") == b"new"
            stream.send(response_with())
            assert client.read_response().status == 200

    def test_other_routes_share_an_endpoint_object(self, backend: RawBackend) -> None:
        endpoint = endpoint_at(backend.address)
        with InProcessRouter(endpoint) as router:
            router.call(router.table.register, "other.test", endpoint)
            stream = kept_connection(router, backend)
            client = router.connect()
            client.send(b"GET /other HTTP/1.1\r\nHost: other.test\r\n\r\n")
            assert stream.read_request().target == b"/other"

    def test_but_not_an_address(self, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address)) as router:
            router.call(router.table.register, "other.test", endpoint_at(backend.address))
            kept_connection(router, backend)
            client = router.connect()
            client.send(b"GET /other HTTP/1.1\r\nHost: other.test\r\n\r\n")
            assert backend.accept_request()[1].target == b"/other"

    @pytest.mark.parametrize(("interval", "seconds"), [(1.0, 1), (7.0, 7), (0.2, 1)])
    def test_keep_alive_probes(self, interval: float, seconds: int, backend: RawBackend) -> None:
        with InProcessRouter(endpoint_at(backend.address), keep_alive_probe_interval=interval) as router:
            with dialled_socket(router, backend) as found:
                options = [
                    found.getsockopt(level, option)
                    for level, option in (
                        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
                    )
                ]
            assert options == [1, seconds, seconds]

    def test_no_probes_when_switched_off(self, backend: RawBackend) -> None:
        with (
            InProcessRouter(endpoint_at(backend.address), keep_alive_probe_interval=-1.0) as router,
            dialled_socket(router, backend) as found,
        ):
            assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


def dialled_socket(router: InProcessRouter, backend: RawBackend) -> socket.socket:
    """The router's end of a connection to the backend: it is in this process, so it can be found by its address."""
    stream = kept_connection(router, backend)
    wanted = stream.socket.getpeername()
    for name in os.listdir("/proc/self/fd"):
        try:
            found = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        try:
            if found.getsockname() == wanted and found.getpeername() == stream.socket.getsockname():
                return found
        except OSError:
            pass
        found.close()
    raise AssertionError("no such socket")
