"""Connections to backends: reuse, order of reuse, idle limits, eviction, stale ones (spec 5.4, 5.6)."""

import time
from collections.abc import Iterator

import pytest

from fastrouter._core import Endpoint

from .conftest import Lane, LaneSupply, StartRouter, new_lane
from .http_message import response_with
from .in_process import InProcessRouter, request
from .raw_backend import BackendStream, RawBackend
from .raw_client import RawClient
from .router_process import wait_for


def two_connections(lane: Lane) -> tuple[RawClient, BackendStream, RawClient, BackendStream]:
    """Two requests in flight at once, each on a backend connection of its own."""
    first, second = lane.connect(), lane.connect()
    first_stream, _ = lane.forward(first, b"GET /1 HTTP/1.1")
    second_stream, _ = lane.forward(second, b"GET /2 HTTP/1.1")
    return first, first_stream, second, second_stream


class TestKeepAlive:
    def test_is_shared_by_clients(self, lane: Lane) -> None:
        client = lane.connect()
        stream, request = lane.forward(client)
        assert not request.has(b"Connection")
        stream.send(response_with())
        client.read_response()
        other = lane.connect()
        other.send(lane.request(b"GET /2 HTTP/1.1"))
        assert stream.read_request().target == b"/2"
        assert not lane.backend.has_pending_connection()

    def test_last_released_is_used_first(self, lane: Lane) -> None:
        first, first_stream, second, second_stream = two_connections(lane)
        # Released in the order second, first: each is read by its client before the next is answered.
        second_stream.send(response_with())
        second.read_response()
        first_stream.send(response_with())
        first.read_response()
        second.send(lane.request(b"GET /3 HTTP/1.1"))
        assert first_stream.read_request().target == b"/3"
        first.send(lane.request(b"GET /4 HTTP/1.1"))
        assert second_stream.read_request().target == b"/4"

    def test_after_a_response_without_body(self, backend: RawBackend) -> None:
        """It rests first, for a time that is over at once here."""
        with InProcessRouter(Endpoint("127.0.0.1", backend.port), bodiless_rest=1e-9) as router:
            client = router.ask()
            stream, _ = backend.accept_request()
            stream.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            client.read_response()
            client.send(request(start_line=b"GET /2 HTTP/1.1"))
            assert stream.read_request().target == b"/2"

    def test_not_at_once_after_a_response_without_body(self, backend: RawBackend) -> None:
        with InProcessRouter(Endpoint("127.0.0.1", backend.port), bodiless_rest=1000) as router:
            client = router.ask()
            stream, _ = backend.accept_request()
            stream.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            client.read_response()
            client.send(request(start_line=b"GET /2 HTTP/1.1"))
            assert backend.accept_request()[1].target == b"/2"
            assert stream.is_silent()

    def test_not_after_a_response_that_came_before_the_request_ended(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"POST / HTTP/1.1", b"Content-Length: 10", body=b"12345"))
        stream = lane.backend.accept()
        stream.read_request_head()
        stream.read_exactly(5)
        stream.send(response_with())
        client.read_response()
        client.close()
        # The rest of that request must not be followed by another one.
        _, request = lane.forward(lane.connect(), b"GET /2 HTTP/1.1")
        assert request.target == b"/2"

    def test_surplus_bytes_behind_a_response_are_never_served(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(response_with(b"mine") + response_with(b"smuggled"))
        assert client.read_response().body == b"mine"
        stream.wait_closed()
        second, _ = lane.forward(client, b"GET /2 HTTP/1.1")
        second.send(response_with(b"right"))
        assert client.read_response().body == b"right"

    def test_unasked_bytes_on_an_idle_connection_are_never_served(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(response_with(b"mine"))
        assert client.read_response().body == b"mine"
        stream.send(response_with(b"unasked"))
        stream.wait_closed()
        second, _ = lane.forward(client, b"GET /2 HTTP/1.1")
        second.send(response_with(b"right"))
        assert client.read_response().body == b"right"


class TestEviction:
    def test_end_of_an_idle_connection_evicts_it_at_once(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(response_with())
        client.read_response()
        stream.half_close()
        # Its own end is how the router shows that it has let go of the connection.
        stream.expect_end()
        # Not even a POST, which must not be sent twice, notices.
        second, request = lane.forward(client, b"POST / HTTP/1.1", b"Content-Length: 4", body=b"once")
        assert request.body == b"once"
        second.send(response_with(b"ok"))
        assert client.read_response().status == 200

    def test_stale_connection_is_replaced_for_a_get(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(response_with())
        client.read_response()
        client.send(lane.request(b"GET /2 HTTP/1.1"))
        assert stream.read_request().target == b"/2"
        # Died under the request, before any byte of a response: it is sent again on a new one.
        stream.close()
        second, request = lane.backend.accept_request()
        assert request.target == b"/2"
        second.send(response_with(b"again"))
        assert client.read_response().body == b"again"

    def test_stale_connection_is_not_replaced_for_a_post(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(response_with())
        client.read_response()
        client.send(lane.request(b"POST / HTTP/1.1", b"Content-Length: 4", body=b"once"))
        assert stream.read_request().body == b"once"
        stream.close()
        response = client.read_response()
        assert response.status == 502
        assert response.value(b"X-Cf-Routererror") == b"endpoint_failure (EOF)"
        assert not lane.backend.has_pending_connection()

    def test_all_of_several_stale_connections_are_gone_through(self, lane: Lane) -> None:
        first, first_stream, second, second_stream = two_connections(lane)
        for client, stream in ((first, first_stream), (second, second_stream)):
            stream.send(response_with())
            client.read_response()
        for stream in (first_stream, second_stream):
            stream.half_close()
            stream.expect_end()
        fresh, request = lane.forward(first, b"POST /3 HTTP/1.1", b"Content-Length: 0")
        assert request.target == b"/3"
        fresh.send(response_with(b"ok"))
        assert first.read_response().body == b"ok"


class TestIdleLimits:
    @pytest.fixture(scope="class")
    @classmethod
    def supply(cls, start_module_router: StartRouter) -> Iterator[LaneSupply]:
        supply = LaneSupply(start_module_router, backend_idle_timeout=1.5, max_idle_per_endpoint=1)
        yield supply
        supply.close()

    @pytest.fixture
    def limited(self, supply: LaneSupply) -> Iterator[Lane]:
        yield from new_lane(supply)

    def test_idle_timeout(self, limited: Lane) -> None:
        client = limited.connect()
        stream, _ = limited.forward(client)
        start = time.monotonic()
        stream.send(response_with())
        client.read_response()
        stream.expect_end()
        assert time.monotonic() - start >= 1.25
        # The client's connection has nothing to do with it.
        limited.forward(client)

    def test_connection_in_use_is_not_idle(self, limited: Lane) -> None:
        client = limited.connect()
        stream, _ = limited.forward(client)
        assert stream.is_silent(2.1)
        stream.send(response_with(b"late"))
        assert client.read_response().body == b"late"

    def test_surplus_idle_connection_is_closed(self, start_router: StartRouter) -> None:
        with RawBackend() as backend:
            # Far longer than the test: no connection goes for being idle.
            router = start_router({"app.test": [backend.address]}, backend_idle_timeout=3600, max_idle_per_endpoint=1)
            first, first_stream, second, second_stream = two_connections(Lane(router, "app.test", backend))
            first_stream.send(response_with())
            first.read_response()
            second_stream.send(response_with())
            second.read_response()
            wait_for(
                lambda: None if first_stream.is_silent() and second_stream.is_silent() else True, "one of them to go"
            )


class TestLearntIdleLimits:
    """What cannot be sent again keeps clear of connections that the backend may be closing (ADR 24)."""

    def test_limit_that_a_response_names(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(response_with(b"ok", b"Keep-Alive: timeout=1"))
        client.read_response()
        time.sleep(1.0)
        # The connection is still there, but it might go at any moment.
        second, request = lane.forward(client, b"POST / HTTP/1.1", b"Content-Length: 4", body=b"once")
        assert request.body == b"once"
        second.send(response_with(b"ok", b"Keep-Alive: timeout=1"))
        assert client.read_response().status == 200
        stream.close()

    def test_post_behind_a_get_that_was_lost(self, lane: Lane) -> None:
        client = lane.connect()
        stream, _ = lane.forward(client)
        stream.send(response_with())
        client.read_response()
        client.send(lane.request(b"GET /2 HTTP/1.1"))
        stream.read_request()
        stream.close()
        second, _ = lane.backend.accept_request()
        second.send(response_with())
        client.read_response()
        third, _ = lane.forward(client, b"POST / HTTP/1.1", b"Content-Length: 4", body=b"once")
        third.send(response_with())
        assert client.read_response().status == 200
        # What can be sent again goes over the freshest one.
        client.send(lane.request(b"GET /4 HTTP/1.1"))
        assert third.read_request().target == b"/4"


class TestKeepAliveOff:
    @pytest.fixture(scope="class")
    @classmethod
    def supply(cls, start_module_router: StartRouter) -> Iterator[LaneSupply]:
        supply = LaneSupply(start_module_router, arguments=["--disable-backend-keep-alive"])
        yield supply
        supply.close()

    @pytest.fixture
    def closing(self, supply: LaneSupply) -> Iterator[Lane]:
        yield from new_lane(supply)

    def test_connection_is_closed_after_each_request(self, closing: Lane) -> None:
        client = closing.connect()
        for number in range(2):
            stream, request = closing.forward(client, b"GET /%d HTTP/1.1" % number)
            assert request.values(b"Connection") == [b"close"]
            stream.send(response_with(b"%d" % number))
            response = client.read_response()
            assert response.body == b"%d" % number
            # It concerns the other hop only.
            assert not response.has(b"Connection")
            stream.expect_end()

    def test_upgrade_still_works(self, closing: Lane) -> None:
        client = closing.connect()
        stream, request = closing.forward(client, b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket")
        assert b"upgrade" in b",".join(request.values(b"Connection")).lower()
        stream.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        assert client.read_response().status == 101
        client.send(b"up")
        assert stream.read_exactly(2) == b"up"
