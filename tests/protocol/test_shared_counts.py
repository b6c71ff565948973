"""Limits and marks hold over all workers: two data planes over one mapping, taking turns (B04, B05)."""

import mmap
from typing import Any

import pytest

from fastrouter._core import Endpoint, Settings, Stats

from .conversation import Conversation, timeless

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SLOTS = 8


class Router:
    """Two workers that have the same endpoints in the same slots."""

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

    def connect(self, worker: int) -> Conversation:
        """A client of one worker."""
        return Conversation(self.tables[worker], self.settings, Stats(self.memory, 2, SLOTS, worker))

    def ask(self, worker: int) -> Conversation:
        """A client of one worker sends a request; nobody has answered it yet."""
        conversation = self.connect(worker)
        conversation.from_client(GET)
        return conversation

    def ask_in_a_race(self, request: bytes, selecting: str) -> tuple[Conversation, list[str]]:
        """One worker serves it; when that says `selecting`, the other takes a place. Returns what it says, too."""
        said: list[str] = []

        def tell(_level: int, message: str, _data: dict[str, Any]) -> None:
            said.append(message)
            if message == selecting:
                self.ask(1)

        conversation = Conversation(self.tables[0], self.settings, Stats(self.memory, 2, SLOTS, 0), event_log=tell)
        conversation.plane.set_debug(True)
        conversation.from_client(request)
        return conversation, said


def status(conversation: Conversation) -> bytes:
    return bytes(conversation.client.written[9:12])


def test_limit_counts_the_requests_of_all_workers() -> None:
    router = Router(1, Settings(max_conns=2))
    waiting = [router.ask(0), router.ask(1)]
    for worker in (0, 1):
        refused = router.ask(worker)
        assert status(refused) == b"503"
        assert b"X-Cf-Routererror: Connection Limit Reached\r\n" in refused.client.written
        assert refused.plane.stats()["backend_exhausted_conns"] == 1
    assert Stats(router.memory, 2, SLOTS).requests_in_flight() == 2
    # The count goes down with the response head, whatever is done with it.
    waiting[0].from_backend(OK)
    assert status(router.ask(1)) == b""


@pytest.mark.parametrize("algorithm", ["round-robin", "least-connection"])
@pytest.mark.parametrize("endpoints", [1, 2])
def test_a_place_that_is_taken_behind_the_check_is_a_limit_too(algorithm: str, endpoints: int) -> None:
    """L11: whichever moment it is noticed at, the answer and its counter are the same."""
    router = Router(endpoints, Settings(max_conns=1, balancing_algorithm=algorithm))
    for _ in range(endpoints - 1):
        router.ask(1)
    refused, said = router.ask_in_a_race(GET, f"endpoint-iterator-with-{algorithm}-lb-algo")
    assert said[-2:] == ["connection-limit-reached", "status"]
    stats = refused.plane.stats()
    assert (stats["backend_exhausted_conns"], stats["bad_gateways"]) == (1, 0)
    assert refused.loop.dialled == []
    assert Stats(router.memory, 2, SLOTS).requests_in_flight() == endpoints
    assert status(refused) == b"503"
    assert timeless(refused.client.written) == timeless(router.ask(0).client.written)


@pytest.mark.parametrize(("others_have_room", "answer"), [(False, b"503"), (True, b"502")])
def test_an_instance_that_must_serve_and_is_full(others_have_room: bool, answer: bytes) -> None:
    """Spec 5.2.1: a full instance is like a missing one, unless all endpoints are full."""
    settings = Settings(max_conns=1, sticky_for_negotiate=True)
    router = Router(2, settings)
    sticking = (
        b"GET / HTTP/1.1\r\nHost: app.test\r\nAuthorization: Negotiate a\r\nCookie: __VCAP_ID__=10.0.0.1:%d\r\n\r\n"
    )
    busy = router.ask(1).backend.get_extra_info("peername")[1]
    free = 8000 + 8001 - busy
    if others_have_room:
        refused = router.connect(0)
        refused.from_client(sticking % busy)
    else:
        refused, _ = router.ask_in_a_race(sticking % free, "endpoint-iterator-with-round-robin-lb-algo")
    assert status(refused) == answer
    assert refused.plane.stats()["backend_exhausted_conns"] == (not others_have_room)


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
