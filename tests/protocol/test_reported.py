"""What is counted of which request, as Gorouter's reporters count it (spec 4.2, 7.4)."""

import mmap

import pytest

from fastrouter._core import Endpoint, Settings, Stats

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# The row of the histogram `http_latency_seconds` that an app has.
APP_ROW = 3


class Router(Conversation):
    """One worker that observes everything, and one app with a label of its own unless `source_row` says otherwise."""

    def __init__(self, source_row: int = APP_ROW, *, observes_requests: bool = True) -> None:
        self.stats = Stats(mmap.mmap(-1, Stats.size(1, 1)), 1, 1)
        endpoint = Endpoint("10.0.0.1", 8080)
        endpoint.share(self.stats, 0, 0, source_row)
        settings = Settings(observes_requests=observes_requests, observes_apps=True, observes_routes=True)
        super().__init__([endpoint], settings, self.stats)

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
    def test_what_the_router_answers_is_its_own(self, request_head: bytes) -> None:
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
        counts = router.tripper.stats()
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
        counts = router.tripper.stats()
        assert (counts["responses_xxx"], counts["websocket_upgrades"]) == (1, 1)
        assert (router.count("latency"), router.http_latencies()) == (1, (0, 1))
