"""A worker that may open nothing more: nobody else pays for it, and it is told once."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from .conftest import StartRouter
from .raw_backend import AnsweringBackend
from .raw_client import RawClient
from .router_process import RouterProcess

REQUEST = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"


@contextmanager
def out_of_descriptors(worker: int) -> Iterator[None]:
    """It keeps what it has."""
    used = {int(name) for name in os.listdir(f"/proc/{worker}/fd")}
    free = min(set(range(len(used) + 1)) - used)
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (free, before[1]))
    yield
    resource.prlimit(worker, resource.RLIMIT_NOFILE, before)


def status_at(client: RawClient) -> int:
    client.send(REQUEST)
    return client.read_response().status


def test_a_worker_without_descriptors(start_router: StartRouter) -> None:
    with AnsweringBackend() as backend:
        router = start_router({"app.test": [backend.address]})
        (worker,) = router.children()
        accepted = connect_and_settle(router)
        with out_of_descriptors(worker):
            assert status_at(accepted) == 502
            # libuv accepts it, only to close it.
            RawClient(router.port).expect_end()
            RawClient(router.port).expect_end()
            event = router.wait_for_event("out-of-resources")
            assert event["data"]["error"] == "too many open files"
            assert event["data"]["refuses-clients"]
        assert status_at(accepted) == 200
        assert status_at(router.connect()) == 200
        assert len(router.events("out-of-resources")) == 1
        assert not router.events("endpoint-marked-as-ineligible")
        assert not router.events("prune-failed-endpoint")


def connect_and_settle(router: RouterProcess) -> RawClient:
    """A connection that the worker has accepted."""
    client = router.connect()
    client.send(REQUEST.replace(b"app", b"unknown"))
    assert client.read_response().status == 404
    return client
