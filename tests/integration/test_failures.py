"""Backends that fail, and clients that go away (spec 5.1, 5.4, 5.7, 5.10)."""

import re
import time

import pytest

from .conftest import Lane, StartRouter
from .http_message import Response, read_chunk, response_with
from .raw_backend import BackendStream, ClosedPort, FullBacklog, RawBackend, ServingBackend
from .raw_client import RawClient

BAD_GATEWAY = b"502 Bad Gateway: Registered endpoint failed to handle the request.\n"


def assert_bad_gateway(response: Response, error: bytes) -> None:
    """Check the one shape of a 502 for a failed backend; `error` is a regular expression of Gorouter's error text."""
    assert response.start_line.endswith(b" 502 Bad Gateway")
    assert response.body == BAD_GATEWAY
    assert response.values(b"Content-Type") == [b"text/plain; charset=utf-8"]
    assert response.values(b"X-Content-Type-Options") == [b"nosniff"]
    assert not response.has(b"Connection")
    value = response.value(b"X-Cf-Routererror")
    assert value is not None
    assert re.fullmatch(rb"endpoint_failure \(" + error + rb"\)", value), value


def echo(stream: BackendStream) -> None:
    request = stream.read_request()
    stream.send(response_with(request.body or b"ok"))


class TestDial:
    def test_single_dead_endpoint_is_502(self, start_router: StartRouter, closed_port: ClosedPort) -> None:
        router = start_router({"dead.test": [closed_port.address]})
        client = router.connect()
        for _ in range(2):
            # The client's connection survives it.
            client.send(b"GET / HTTP/1.1\r\nHost: dead.test\r\n\r\n")
            error = re.escape(f"dial tcp {closed_port.address}: connect: connection refused".encode())
            assert_bad_gateway(client.read_response(), error)
        line = router.wait_for_log_lines("dead.test")[0]
        assert ' 502 0 67 "-" "-" ' in line
        assert f' "{closed_port.address}" ' in line
        assert (
            f'x_cf_routererror:"endpoint_failure (dial tcp {closed_port.address}: connect: connection refused)"' in line
        )

    def test_body_of_a_request_to_a_dead_endpoint_is_no_request(
        self, start_router: StartRouter, closed_port: ClosedPort
    ) -> None:
        client = start_router({"dead.test": [closed_port.address]}).connect()
        request = b"POST / HTTP/1.1\r\nHost: dead.test\r\nContent-Length: 5\r\n\r\nhello"
        client.send(request + request)
        for _ in range(2):
            assert client.read_response().status == 502

    @pytest.mark.parametrize("dead_count", [1, 2])
    def test_another_endpoint_is_tried(
        self, start_router: StartRouter, closed_port: ClosedPort, dead_count: int
    ) -> None:
        second = ClosedPort()
        dead = [closed_port.address, second.address][:dead_count]
        with ServingBackend(echo) as backend:
            router = start_router({"mixed.test": [*dead, backend.address]})
            client = router.connect()
            # Selection starts anywhere: enough requests that every endpoint is met first.
            for _ in range(6):
                client.send(b"GET / HTTP/1.1\r\nHost: mixed.test\r\n\r\n")
                assert client.read_response().body == b"ok"
        second.close()

    def test_attempts_are_logged(self, start_router: StartRouter, closed_port: ClosedPort) -> None:
        router = start_router({"dead.test": [closed_port.address]})
        client = router.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: dead.test\r\n\r\n")
        client.read_response()
        event = router.wait_for_event("backend-endpoint-failed")
        assert event["log_level"] == 3
        assert "connection refused" in event["data"]["error"]

    def test_attempts_are_bounded(self, start_router: StartRouter) -> None:
        dead = [ClosedPort() for _ in range(5)]
        router = start_router({"dead.test": [port.address for port in dead]}, max_attempts=3)
        client = router.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: dead.test\r\n\r\n")
        assert_bad_gateway(client.read_response(), rb"dial tcp 127\.0\.0\.1:\d+: connect: connection refused")
        router.wait_for_log_lines("dead.test")
        assert len(router.wait_for_events("backend-endpoint-failed", 3)) == 3
        for port in dead:
            port.close()

    @pytest.mark.parametrize("size", [5, 300_000])
    @pytest.mark.parametrize("framing", ["length", "chunked"])
    def test_body_held_during_a_failed_dial_is_not_lost(
        self, start_router: StartRouter, closed_port: ClosedPort, size: int, framing: str
    ) -> None:
        with ServingBackend(echo) as backend:
            router = start_router({"mixed.test": [closed_port.address, backend.address]})
            body = bytes(number % 251 for number in range(size))
            head = b"POST / HTTP/1.1\r\nHost: mixed.test\r\n"
            if framing == "length":
                request = head + b"Content-Length: %d\r\n\r\n" % size + body
            else:
                request = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (size, body)
            client = router.connect()
            for _ in range(4):
                client.send(request)
                response = client.read_response()
                assert response.status == 200
                assert response.body == body
            assert not backend.errors

    def test_timeout_is_honoured(self, start_router: StartRouter, full_backlog: FullBacklog) -> None:
        # The limit on the whole attempt is below the one on dials that there would be otherwise.
        router = start_router({"full.test": [full_backlog.address]}, dial_timeout=0.5, endpoint_timeout=4)
        client = router.connect()
        start = time.monotonic()
        client.send(b"GET / HTTP/1.1\r\nHost: full.test\r\n\r\n")
        error = re.escape(f"dial tcp {full_backlog.address}: i/o timeout".encode())
        assert_bad_gateway(client.read_response(), error)
        assert time.monotonic() - start >= 0.4

    def test_timeout_leads_to_another_endpoint(self, start_router: StartRouter, full_backlog: FullBacklog) -> None:
        with ServingBackend(echo) as backend:
            client = start_router({"m.test": [full_backlog.address, backend.address]}, dial_timeout=0.3).connect()
            for _ in range(2):
                client.send(b"POST / HTTP/1.1\r\nHost: m.test\r\nContent-Length: 5\r\n\r\nhello")
                assert client.read_response().body == b"hello"

    def test_unresolvable_name_is_502(self, start_router: StartRouter) -> None:
        client = start_router({"dns.test": ["does-not-exist.invalid:80"]}).connect()
        client.send(b"GET / HTTP/1.1\r\nHost: dns.test\r\n\r\n")
        assert_bad_gateway(client.read_response(), rb"dial tcp: lookup does-not-exist\.invalid.*")


class TestBeforeTheResponse:
    @pytest.mark.parametrize(
        ("start_line", "lines"),
        [(b"GET / HTTP/1.1", ()), (b"POST / HTTP/1.1", (b"Content-Length: 0",))],
    )
    def test_eof_is_502(self, lane: Lane, start_line: bytes, lines: tuple[bytes, ...]) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, start_line, *lines)
        stream.close()
        assert_bad_gateway(client.read_response(), b"EOF")
        # The client's connection survives it, and so does the route.
        second, _ = lane.forward(client)
        second.send(response_with(b"ok"))
        assert client.read_response().body == b"ok"

    def test_post_is_not_sent_twice(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client, b"POST / HTTP/1.1", b"Content-Length: 4", body=b"once")
        stream.close()
        assert_bad_gateway(client.read_response(), b"EOF")
        assert not lane.backend.has_pending_connection()

    def test_reset_is_502(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.reset()
        assert_bad_gateway(client.read_response(), rb"read tcp .*: read: connection reset by peer")

    @pytest.mark.parametrize(
        "answer",
        [
            b"garbage\r\n\r\n",
            b"\x00\x01\x02\x03",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 abc OK\r\n\r\n",
            b"HTTP/1.1 99 Low\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/x.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 1000 High\r\nContent-Length: 0\r\n\r\n",
            b"220 smtp.test ESMTP\r\n",
            b"HTTP/1.1 200 OK\r\nBad(Name: x\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nX-A: b\rX-Injected: c\r\nContent-Length: 2\r\n\r\nok",
        ],
    )
    def test_garbage_is_502(self, lane: Lane, answer: bytes) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(answer)
        # Some of it is only wrong because nothing more comes.
        stream.half_close()
        assert_bad_gateway(client.read_response(), rb".+")
        stream.wait_closed()
        # Never on the same backend connection again.
        second, _ = lane.forward(client, b"GET /2 HTTP/1.1")
        second.send(response_with(b"ok"))
        assert client.read_response().body == b"ok"

    def test_head_cut_short_is_502(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        stream.close()
        assert_bad_gateway(client.read_response(), rb"net/http: HTTP/1\.x transport connection broken: unexpected EOF")

    def test_eof_during_an_upload_is_502(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", b"Content-Length: 10", body=b"12345"))
        stream = lane.backend.accept()
        stream.read_request_head()
        stream.read_exactly(5)
        stream.close()
        response = client.read_response()
        assert response.status == 502
        assert (
            response.value(
                b"X-Cf-Routererror",
            )
            is not None
        )


class TestInsideTheBody:
    def test_of_known_length_comes_out_short(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        assert client.read_response_head().framing == "length"
        assert client.read_exactly(5) == b"12345"
        stream.close()
        client.expect_end()

    @pytest.mark.parametrize("ending", ["close", "reset"])
    def test_chunked_has_no_final_chunk(self, lane: Lane, ending: str) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        client.read_response_head()
        assert read_chunk(client) == b"hello"
        getattr(stream, ending)()
        client.expect_end()

    def test_bad_chunk_size_has_no_final_chunk(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        client.read_response_head()
        assert read_chunk(client) == b"hello"
        stream.send(b"nonsense\r\n")
        client.expect_end()
        assert stream.wait_closed() == b""

    def test_reset_of_a_close_delimited_body_has_no_final_chunk(self, lane: Lane) -> None:
        # Only an orderly end means that such a body is complete.
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        client.read_response_head()
        assert read_chunk(client) == b"hello"
        stream.reset()
        client.expect_end()

    def test_1_0_client_is_cut_off_too(self, lane: Lane) -> None:
        # A close-delimited body can only be ended visibly wrong by a reset.
        client = lane.connect()
        stream, _ = lane.forward(client, b"GET / HTTP/1.0")
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        client.read_response_head()
        assert client.read_exactly(5) == b"hello"
        stream.close()
        with pytest.raises(ConnectionResetError):
            client.read_to_end()

    def test_pipelined_request_behind_it_is_not_served(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request() + lane.request(b"GET /2 HTTP/1.1"))
        stream, _ = lane.backend.accept_request()
        stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        stream.close()
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read_response()
        client.wait_closed()
        assert not lane.backend.has_pending_connection()


class TestClientGone:
    @staticmethod
    def leave(client: RawClient, how: str) -> None:
        getattr(client, how)()

    @staticmethod
    def assert_logged_as_499(lane: Lane, method: str) -> None:
        (line,) = lane.router.wait_for_log_lines(lane.host)
        assert f'"{method} / HTTP/1.1" 499 ' in line
        assert f' "{lane.backend.address}" ' in line
        assert line.endswith('x_cf_routererror:"endpoint_failure (context canceled)"')

    def test_a_half_close_behind_complete_requests_is_no_end(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request() * 3)
        client.half_close()
        stream = lane.backend.accept()
        for _ in range(3):
            stream.read_request_head()
            stream.send(response_with(b"ok"))
            assert client.read_response().body == b"ok"
        client.expect_end()

    @pytest.mark.parametrize("how", ["close", "reset"])
    def test_while_waiting_cancels_the_backend(self, lane: Lane, how: str) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        self.leave(client, how)
        assert stream.wait_closed() == b""
        self.assert_logged_as_499(lane, "GET")
        # No mark: the endpoint serves the next one.
        lane.forward(lane.connect())

    @pytest.mark.parametrize("how", ["close", "reset"])
    @pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
    def test_inside_the_request_body_cancels_the_backend(self, lane: Lane, how: str, framing: bytes) -> None:
        client = lane.connect()
        body = b"5\r\nhello\r\n" if framing.startswith(b"Transfer") else b"hello"
        client.send(lane.request(b"POST / HTTP/1.1", framing, body=body))
        stream = lane.backend.accept()
        stream.read_request_head()
        stream.read_until(b"hello")
        self.leave(client, how)
        # The backend must not take the body for complete.
        assert not stream.wait_closed().endswith(b"0\r\n\r\n")
        self.assert_logged_as_499(lane, "POST")

    @pytest.mark.parametrize("how", ["close", "reset"])
    def test_inside_the_response_closes_the_backend(self, lane: Lane, how: str) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        client.read_response_head()
        assert read_chunk(client) == b"hello"
        self.leave(client, how)
        # The router has nothing more to say on that connection but that it is over.
        assert stream.wait_closed() == b""

    def test_during_a_dial(self, start_router: StartRouter, full_backlog: FullBacklog) -> None:
        # The dial takes longer than a client is waited for that sends no more.
        router = start_router({"full.test": [full_backlog.address]}, dial_timeout=10.0)
        client = router.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: full.test\r\n\r\n")
        client.close()
        (line,) = router.wait_for_log_lines("full.test")
        assert '"GET / HTTP/1.1" 499 ' in line

    def test_before_a_whole_head_it_gets_no_response(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request()[:-2])
        client.close()
        other = lane.connect()
        stream, _ = lane.forward(other)
        stream.send(response_with())
        other.read_response()
        refused, served = sorted(lane.router.wait_for_log_lines(lane.host, 2), key=lambda line: " 200 " in line)
        assert '"GET / HTTP/1.1" "-" 0 0 ' in refused
        assert refused.endswith('x_cf_routererror:"refused (incomplete_header)"')
        assert '"GET / HTTP/1.1" 200 ' in served


class TestEndpointTimeout:
    def test_before_the_response_is_502(self, start_router: StartRouter) -> None:
        with RawBackend() as backend:
            lane = Lane(start_router({"slow.test": [backend.address]}, endpoint_timeout=0.4), "slow.test", backend)
            client = lane.connect()
            stream, _ = lane.forward(client)
            assert_bad_gateway(client.read_response(), b"context deadline exceeded")
            assert stream.wait_closed() == b""
            # Not retried: the backend may have acted on it.
            assert not backend.has_pending_connection()

    def test_inside_the_body_aborts_the_client(self, start_router: StartRouter) -> None:
        with RawBackend() as backend:
            # Time enough to begin an answer, even on a busy machine.
            lane = Lane(start_router({"slow.test": [backend.address]}, endpoint_timeout=2.5), "slow.test", backend)
            client = lane.connect()
            stream, _ = lane.forward(client)
            stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            client.read_response_head()
            assert read_chunk(client) == b"hello"
            client.expect_end()
            assert stream.wait_closed() == b""


def test_requests_that_can_be_retried_survive_the_loss_of_a_backend(start_router: StartRouter) -> None:
    with ServingBackend(echo) as stays:
        leaves = ServingBackend(echo)
        router = start_router({"pair.test": [stays.address, leaves.address]})
        client = router.connect()
        for number in range(40):
            if number == 10:
                leaves.close()
            client.send(b"GET /%d HTTP/1.1\r\nHost: pair.test\r\n\r\n" % number)
            assert client.read_response().status == 200
