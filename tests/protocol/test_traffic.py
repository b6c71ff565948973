"""The figures of `/varz` out of what workers have counted (spec 7.3)."""

import mmap

import msgspec
import pytest

from fastrouter._core import Endpoint, Settings, Stats
from fastrouter.logs.logger import Level, Logger
from fastrouter.observe.traffic import Rates, TrafficReader
from fastrouter.registry.label_rows import LabelRows

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
SLOTS = 2


class Router:
    """Two workers; app.test has one endpoint of the component web."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, Stats.size(2, SLOTS))
        self.components = LabelRows(Logger(level=Level.ERROR), "latency")
        self.reader = TrafficReader(Stats(self._memory, 2, SLOTS), self.components, interval=5.0)

    def ask(self, worker: int, status: int, component: str = "web") -> None:
        stats = Stats(self._memory, 2, SLOTS, worker)
        endpoint = Endpoint("10.0.0.1", 80, component=component)
        endpoint.share(stats, 0, self.components.row(component), 0)
        conversation = Conversation([endpoint], Settings(observes_requests=True), stats)
        conversation.from_client(GET)
        conversation.from_backend(b"HTTP/1.1 %d Reason\r\nContent-Length: 0\r\n\r\n" % status)


def test_before_the_first_request() -> None:
    traffic = Router().reader.read()
    assert traffic.all.requests == 0
    assert traffic.all.latency.p99 == 0.0
    assert traffic.components == {}


def test_figures_are_sums_over_workers() -> None:
    router = Router()
    for worker, status in ((0, 200), (1, 200), (1, 302), (0, 404), (1, 500)):
        router.ask(worker, status)
    traffic = router.reader.read()
    every = traffic.all
    assert (every.responses_2xx, every.responses_3xx, every.responses_4xx, every.responses_5xx) == (2, 1, 1, 1)
    assert (every.requests, traffic.components["web"].requests) == (5, 5)
    assert traffic.components["web"] == msgspec.structs.replace(every, rate=(0.0, 0.0, 0.0))
    assert 0 < every.latency.p50 <= every.latency.p99
    assert every.latency == traffic.components["web"].latency
    assert (traffic.bad_requests, traffic.bad_gateways) == (0, 0)


def test_figures_are_kept_apart_by_component() -> None:
    router = Router()
    router.reader.tick()
    for component, status in (("web", 200), ("api", 200), ("web", 503), ("api", 304), ("", 404), ("", 200)):
        router.ask(0, status, component)
    router.reader.tick()
    traffic = router.reader.read()
    web, api = traffic.components["web"], traffic.components["api"]
    assert (web.requests, web.responses_2xx, web.responses_3xx, web.responses_5xx) == (2, 1, 0, 1)
    assert (api.requests, api.responses_2xx, api.responses_3xx, api.responses_5xx) == (2, 1, 1, 0)
    assert (traffic.all.responses_2xx, traffic.all.responses_4xx) == (3, 1), "of those without a component, too"
    assert (web.rate[0], api.rate[0]) == (2 / 5, 2 / 5)
    assert traffic.components.keys() == {"web", "api"}


def test_rates_decay_over_minutes() -> None:
    rates = Rates(5.0)
    assert rates.values() == (0.0, 0.0, 0.0)
    rates.tick(50)
    assert rates.values() == (10.0, 10.0, 10.0)
    # A minute without requests.
    for _ in range(12):
        rates.tick(50)
    one, five, fifteen = rates.values()
    assert one == pytest.approx(10 * 0.36788, rel=1e-4)
    assert five == pytest.approx(10 * 0.81873, rel=1e-4)
    assert fifteen == pytest.approx(10 * 0.93551, rel=1e-4)
