"""A worker that was held up, for instance stopped by a signal, marks no backend for the lost time."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .conftest import Lane, StartRouter
from .processes import state_of
from .raw_backend import RawBackend
from .router_process import wait_for

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STALE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale"
# Time enough to do something before it, even on a busy machine.
TIMEOUT = 1.5


@contextmanager
def held(pid: int) -> Iterator[None]:
    """A process that does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: state_of(pid) == "T" or None, "the process has stopped")
    yield
    os.kill(pid, signal.SIGCONT)


@pytest.fixture
def lane(start_router: StartRouter) -> Iterator[Lane]:
    with RawBackend() as backend:
        router = start_router({"app.test": [backend.address]}, endpoint_timeout=TIMEOUT, dial_timeout=TIMEOUT)
        yield Lane(router, "app.test", backend)


def test_a_response_that_came_in_time_counts(lane: Lane) -> None:
    (worker,) = lane.router.children()
    client = lane.connect()
    stream, _ = lane.forward(client)
    with held(worker):
        stream.send(OK)
        time.sleep(2 * TIMEOUT)
    assert client.read_response().body == b"ok"
    assert not lane.router.events("backend-request-timeout")


def test_a_dial_that_has_succeeded_counts(lane: Lane) -> None:
    (worker,) = lane.router.children()
    client = lane.connect()
    with held(worker):
        client.send(lane.request())
        time.sleep(2 * TIMEOUT)
    stream, _ = lane.backend.accept_request()
    stream.send(OK)
    assert client.read_response().status == 200
    assert not lane.router.events("endpoint-marked-as-ineligible")


def test_a_response_nobody_asked_for_reaches_nobody(lane: Lane) -> None:
    """It lies on the idle connection, unread, when the next request comes (RFC 9112 section 9.2 has no such thing)."""
    (worker,) = lane.router.children()
    client = lane.connect()
    stream, _ = lane.forward(client)
    stream.send(OK)
    assert client.read_response().body == b"ok"
    with held(worker):
        client.send(lane.request())
        stream.send(STALE)
    fresh, _ = lane.backend.accept_request()
    fresh.send(OK)
    assert client.read_response().body == b"ok"
