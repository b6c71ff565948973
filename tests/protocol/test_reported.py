"""What is counted of which request, as Gorouter's reporters count it (spec 4.2, 7.4)."""

import mmap
from typing import Any

import pytest

from fastrouter._core import Endpoint, RouteServices, Settings, Stats

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# The row of the histogram `http_latency_seconds` that an app has.
APP_ROW = 3


class Router(Conversation):
    """One worker that observes everything, and one app with a label of its own unless `source_row` says otherwise."""

    def __init__(self, source_row: int = APP_ROW, **settings: Any) -> None:
        self.stats = Stats(mmap.mmap(-1, Stats.size(1, 1)), 1, 1)
        endpoint = Endpoint("10.0.0.1", 8080)
        endpoint.share(self.stats, 0, 0, source_row)
        observing = {"observes_requests": True, "observes_apps": True, "observes_routes": True, **settings}
        super().__init__([endpoint], Settings(**observing), self.stats)

    def count(self, histogram: str, row: int = 0) -> int:
        """How many values a histogram has."""
        _, counts, _ = self.stats.histogram(histogram, row)
        return sum(counts)

    def http_latencies(self) -> tuple[int, int]:
        """How many requests are the router's own, and how many the app's."""
        return self.count("http_latency_seconds"), self.count("http_latency_seconds", APP_ROW)


class TestHttpLatency:
    """`http_latency_seconds` has every request: those that no app has seen are the router's own."""

    @pytest.mark.parametrize(
        "request_head",
        [
            b"GET / HTTP/1.1\r\nHost: unknown.test\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: app.test\r\nX-CF-App-Instance: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: app.test\r\nUser-Agent: HTTP-Monitor/1.1\r\n\r\n",
            b"GET / HTTP/1.2\r\nHost: app.test\r\n\r\n",
        ],
    )
    def test_what_the_router_responds_is_its_own(self, request_head: bytes) -> None:
        router = Router()
        router.from_client(request_head)
        assert router.client.written
        assert not router.loop.dialled
        assert router.http_latencies() == (1, 0)
        assert (router.count("latency"), router.count("gorouter_time")) == (0, 0)

    @pytest.mark.parametrize(("source_row", "expected"), [(APP_ROW, (0, 1)), (0, (1, 0))])
    def test_an_app_has_its_label_if_it_has_one(self, source_row: int, expected: tuple[int, int]) -> None:
        router = Router(source_row)
        router.from_client(GET)
        assert router.http_latencies() == (0, 0), "the request is not over"
        router.from_backend(OK)
        assert router.http_latencies() == expected


class TestSwitch:
    """101 to another protocol than the one asked for."""

    def switch(self, asked: bytes, given: bytes) -> Router:
        router = Router()
        router.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" % asked)
        router.from_backend(b"HTTP/1.1 101 Whatever\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" % given)
        return router

    @pytest.mark.parametrize(("asked", "upgrades"), [(b"websocket", 1), (b"chat", 0)])
    def test_another_is_a_502_and_an_upgrade(self, asked: bytes, upgrades: int) -> None:
        router = self.switch(asked, b"other")
        assert router.client.written.startswith(b"HTTP/1.1 502 ")
        counts = router.plane.stats()
        assert counts["responses_5xx"] == counts["requests"] == 1
        assert counts["responses_xxx"] == 0
        assert (counts["websocket_upgrades"], counts["websocket_failures"]) == (upgrades, 0)
        assert counts["bad_gateways"] == 0
        assert router.count("latency") == 1
        assert router.http_latencies() == (0, 1)
        assert (router.stats.requests_in_flight(), router.events) == (0, [])

    def test_the_same_is_counted_when_it_ends(self) -> None:
        router = self.switch(b"websocket", b"websocket")
        assert router.http_latencies() == (0, 0)
        router.client.break_off()
        router.loop.run()
        counts = router.plane.stats()
        assert (counts["responses_xxx"], counts["websocket_upgrades"]) == (1, 1)
        assert (router.count("latency"), router.http_latencies()) == (1, (0, 1))


class Signer:
    """Signs with what it signs."""

    def sign(self, forwarded_url: str) -> tuple[bytes, bytes]:
        return forwarded_url.encode(), b"metadata"

    def validate(self, signature: bytes, metadata: bytes) -> str:
        del metadata
        return signature.decode()


class TestLookup:
    """`route_lookup_time` has every lookup, whatever it is for and whether it finds anything."""

    GUID = b"5e1c6a3e-9d6b-4b0b-8a51-4f5f0f9f6a11"

    @pytest.mark.parametrize("route_patience", [0, 1])
    @pytest.mark.parametrize(
        ("lines", "lookups"),
        [
            (b"Host: app.test", 1),
            (b"Host: unknown.test", 1),
            (b"Host: app.test\r\nX-CF-App-Instance: %s:0" % GUID, 1),
            (b"Host: unknown.test\r\nX-CF-Process-Instance: %s" % GUID, 1),
            (b"Host: app.test\r\nX: %s" % (b"x" * 2000), 1),
            # Answered without one.
            (b"Host: app.test\r\nX-CF-App-Instance: malformed", 0),
            (b"Host: app.test\r\nX-CF-Process-Instance: malformed", 0),
            (b"Host:", 0),
            (b"Host: app.test\r\nUser-Agent: HTTP-Monitor/1.1", 0),
        ],
    )
    def test_of_a_request(self, lines: bytes, lookups: int, route_patience: int) -> None:
        """However long a route is awaited before."""
        router = Router(max_request_head=1024, route_patience=route_patience)
        router.from_client(b"GET / HTTP/1.1\r\n%s\r\n\r\n" % lines)
        for _ in range(2 * route_patience):
            router.loop.tick()
        assert router.client.written or router.loop.dialled
        assert router.count("route_lookup_time") == lookups

    def test_an_empty_length_counts_once_whether_its_route_is_awaited_or_not(self) -> None:
        """It is looked at again when the wait is over."""
        router = Router(takes_empty_length=True, route_patience=1)
        router.from_client(b"GET / HTTP/1.1\r\nHost: unknown.test\r\nContent-Length:\r\n\r\n")
        for _ in range(2):
            router.loop.tick()
        assert router.client.written.startswith(b"HTTP/1.1 404 ")
        router.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\nContent-Length:\r\n\r\n")
        assert router.plane.stats()["empty_content_length_header"] == 2

    def test_of_a_visit_to_a_route_service_and_back(self) -> None:
        router = Router(route_services=RouteServices(Signer(), hairpin_port=1))
        router.table.set_route("app.test", route_service_url="https://service.test/")
        router.from_client(GET)
        assert router.count("route_lookup_time") == 2, "one for the route, one to see whether its service is an app"
        back = b"X-CF-Proxy-Signature: http://app.test/\r\nX-CF-Proxy-Metadata: m\r\nX-CF-Forwarded-Url: u\r\n\r\n"
        router.client = router.loop.connect_client(router.plane.new_client())
        router.from_client(GET[:-2] + back)
        assert router.count("route_lookup_time") == 4, "one for the route, one for what is signed"

    def test_none_unless_wanted(self) -> None:
        router = Router(observes_requests=False)
        router.from_client(GET)
        router.from_backend(OK)
        assert [router.count(name) for name in ("route_lookup_time", "latency", "gorouter_time")] == [0, 0, 0]


class TestBrokenOff:
    """A response that breaks off is counted nowhere: Gorouter leaves its handlers by a panic then (spec 4.2)."""

    PART = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1234"

    def assert_uncounted(self, router: Router) -> None:
        router.loop.run()
        counts = router.plane.stats()
        assert [name for name, count in counts.items() if name.startswith("responses_") and count] == []
        for histogram in ("latency", "gorouter_time", "fastrouter_route_latency_seconds"):
            assert router.count(histogram) == 0, histogram
        assert router.http_latencies() == (0, 0)
        # It was a request all the same, and has its line.
        assert counts["requests"] == counts["total_requests"] == 1
        router.end()
        assert len(b"".join(router.log).splitlines()) == 1

    @pytest.mark.parametrize(
        ("side", "how"), [("client", "break_off"), ("backend", "break_off"), ("backend", "deliver_eof")]
    )
    def test_one_side_leaves(self, side: str, how: str) -> None:
        router = Router()
        router.from_client(GET)
        router.from_backend(self.PART)
        getattr(getattr(router, side), how)()
        self.assert_uncounted(router)

    def test_the_framing_is_wrong(self) -> None:
        router = Router()
        router.from_client(GET)
        router.from_backend(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")
        self.assert_uncounted(router)

    def test_its_time_is_over(self) -> None:
        router = Router(endpoint_timeout=1e-9)
        router.loop.run()
        router.from_client(GET)
        router.from_backend(self.PART)
        router.loop.tick()
        self.assert_uncounted(router)

    def test_the_clients_body_breaks_off(self) -> None:
        router = Router()
        router.from_client(b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        router.from_backend(self.PART)
        router.from_client(b"x\r\n")
        self.assert_uncounted(router)

    def test_a_fault_of_the_router(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def connect(*_: object) -> None:
            raise RuntimeError("a bug")

        router = Router()
        monkeypatch.setattr(router.loop, "create_connection", connect)
        router.from_client(GET)
        assert router.client.written.startswith(b"HTTP/1.1 502 ")
        self.assert_uncounted(router)

    @pytest.mark.parametrize("response", [OK, b"HTTP/1.1 200 OK\r\n\r\nok"])
    def test_a_whole_one_counts_though_an_end_follows(self, response: bytes) -> None:
        router = Router()
        router.from_client(GET)
        router.from_backend(response)
        router.backend.deliver_eof()
        router.client.break_off()
        assert router.plane.stats()["responses_2xx"] == 1
        assert router.http_latencies() == (0, 1)

    def test_a_client_that_leaves_before_a_response_counts(self) -> None:
        router = Router()
        router.from_client(GET)
        router.client.break_off()
        router.loop.run()
        assert router.plane.stats()["responses_4xx"] == 1, "499"
        assert router.http_latencies() == (0, 1)
