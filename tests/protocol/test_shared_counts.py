"""Limits and marks hold over all workers: two data planes over one mapping, taking turns (B04, B05)."""

import mmap

from fastrouter._core import Endpoint, Settings, Stats

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SLOTS = 8


class Router:
    """Two workers that know the same endpoints by the same slots."""

    def __init__(self, endpoints: int, settings: Settings) -> None:
        self.memory = mmap.mmap(-1, Stats.size(2, SLOTS))
        self.settings = settings
        self.tables = [self._endpoints(worker, endpoints) for worker in range(2)]

    def _endpoints(self, worker: int, count: int) -> list[Endpoint]:
        stats = Stats(self.memory, 2, SLOTS, worker)
        endpoints = [Endpoint("10.0.0.1", 8000 + number) for number in range(count)]
        for number, endpoint in enumerate(endpoints):
            endpoint.share(stats, number)
        return endpoints

    def ask(self, worker: int) -> Conversation:
        """A client of one worker sends a request; nobody has answered it yet."""
        conversation = Conversation(self.tables[worker], self.settings, Stats(self.memory, 2, SLOTS, worker))
        conversation.from_client(GET)
        return conversation


def status(conversation: Conversation) -> bytes:
    return bytes(conversation.client.written[9:12])


def test_limit_counts_the_requests_of_all_workers() -> None:
    router = Router(1, Settings(max_conns=2))
    waiting = [router.ask(0), router.ask(1)]
    for worker in (0, 1):
        refused = router.ask(worker)
        assert status(refused) == b"503"
        assert b"X-Cf-Routererror: Connection Limit Reached\r\n" in refused.client.written
        assert refused.tripper.stats()["backend_exhausted_conns"] == 1
    assert Stats(router.memory, 2, SLOTS).requests_in_flight() == 2
    # The count goes down with the response head, whoever it is for.
    waiting[0].from_backend(OK)
    assert status(router.ask(1)) == b""


def test_full_endpoint_is_passed_over() -> None:
    router = Router(2, Settings(max_conns=1))
    ports = {router.ask(worker).backend.get_extra_info("peername")[1] for worker in (0, 1)}
    assert ports == {8000, 8001}


def test_fewest_requests_are_counted_over_all_workers() -> None:
    router = Router(2, Settings(balancing_algorithm="least-connection"))
    busy = [router.ask(0).backend.get_extra_info("peername")[1] for _ in range(6)]
    assert sorted(busy) == [8000] * 3 + [8001] * 3
    assert {router.ask(1).backend.get_extra_info("peername")[1] for _ in range(2)} == {8000, 8001}


def test_counts_of_a_dead_worker_are_taken_off() -> None:
    router = Router(1, Settings(max_conns=3))
    lost = [router.ask(0), router.ask(0)]
    router.ask(1)
    assert status(router.ask(1)) == b"503"
    control = Stats(router.memory, 2, SLOTS)
    assert (control.requests_in_flight(0), control.requests_in_flight(1)) == (2, 1)
    control.clear_worker(0)
    assert (control.requests_in_flight(0), control.requests_in_flight()) == (0, 1)
    assert status(router.ask(1)) == b""
    assert lost


def test_counters_of_all_workers_add_up() -> None:
    # A connection kept would be one of another fake loop.
    router = Router(1, Settings(backend_keep_alive=False))
    for worker in (0, 1, 1):
        router.ask(worker).from_backend(OK)
    control = Stats(router.memory, 2, SLOTS)
    assert [control.counts(worker)["responses_2xx"] for worker in (0, 1, None)] == [1, 2, 3]
    control.clear_worker(1)
    assert control.counts()["requests"] == 3


def test_used_endpoints_are_told_once() -> None:
    router = Router(2, Settings(max_conns=1))
    control = Stats(router.memory, 2, SLOTS)
    assert control.take_used() == []
    router.ask(0)
    assert len(control.take_used()) == 1
    router.ask(1)
    assert len(control.take_used()) == 1
    assert control.take_used() == []
