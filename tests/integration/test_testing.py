"""`fastrouter.testing`: a router in the process of somebody's test, of which nothing is left afterwards."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import tomllib
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastrouter.testing import Router, StaticEndpoint
from live_objects import live_objects

from .gorouter_process import get
from .raw_backend import AnsweringBackend
from .raw_client import RawClient
from .router_process import wait_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def backend() -> Iterator[AnsweringBackend]:
    with AnsweringBackend(b"one") as backend:
        yield backend


def test_a_request_goes_to_its_route(backend: AnsweringBackend) -> None:
    with Router(routes={"app.test": backend.address, "*.more.test/api": [backend.address]}) as router:
        assert router.url == f"http://127.0.0.1:{router.port}"
        assert get(router.port, "/", Host="app.test") == (200, b"one")
        assert get(router.port, "/api/x", Host="a.more.test") == (200, b"one")
        assert get(router.port, "/", Host="none.test")[0] == 404
        lines = router.access_log()
    assert [line.split(" - ")[0] for line in lines] == ["app.test", "a.more.test", "none.test"]
    with pytest.raises(RuntimeError, match="does not run"):
        router.url  # noqa: B018


def test_routes_come_and_go(backend: AnsweringBackend) -> None:
    with Router() as router, AnsweringBackend(b"two") as other:
        router.add("app.test", StaticEndpoint(backend.address, instance_id="id-1"))
        assert get(router.port, "/", Host="app.test") == (200, b"one")
        router.add("app.test", other.address)
        assert {get(router.port, "/", Host="app.test")[1] for _ in range(4)} == {b"one", b"two"}
        router.remove("app.test", backend.address)
        assert {get(router.port, "/", Host="app.test")[1] for _ in range(4)} == {b"two"}
        router.remove("app.test")
        router.remove("app.test")
        assert get(router.port, "/", Host="app.test")[0] == 404


async def test_in_a_coroutine(backend: AnsweringBackend) -> None:
    async with Router(routes={"app.test": backend.address}) as router:
        status, _ = await asyncio.to_thread(get, router.port, "/", Host="app.test")
    assert status == 200


def test_it_may_be_entered_again(backend: AnsweringBackend) -> None:
    router = Router(routes={"app.test": backend.address})
    for _ in range(2):
        with router:
            assert get(router.port, "/", Host="app.test")[0] == 200
            assert len(router.access_log()) == 1


def test_what_breaks_a_rule_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="has no port"):
        Router(routes={"app.test": "nowhere"})
    with pytest.raises(ValueError, match="max_attempts"):
        Router(max_attempts=0)
    with Router() as router, pytest.raises(ValueError, match="has a scheme"):
        router.add("http://app.test", "127.0.0.1:1")


def test_a_backend_by_name(backend: AnsweringBackend) -> None:
    with Router(routes={"app.test": f"localhost:{backend.port}"}) as router:
        assert get(router.port, "/", Host="app.test") == (200, b"one")


def test_settings_and_events() -> None:
    with Router(routes={"app.test": "127.0.0.1:1"}, max_attempts=1) as router:
        assert get(router.port, "/", Host="app.test")[0] == 502
        assert "backend-endpoint-failed" in [event.message for event in router.events]


def test_fifty_of_them_leave_nothing(backend: AnsweringBackend) -> None:
    def route_once() -> "weakref.ref[Router]":
        with Router(routes={"app.test": f"localhost:{backend.port}"}) as router:
            # One request is over, one connection is idle, and one request is cut.
            assert get(router.port, "/", Host="app.test")[0] == 200
            with RawClient(router.port) as idle, RawClient(router.port) as busy:
                busy.send(b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\n")
                idle.send(b"GET / HTTP/1.1\r\nHost: none.test\r\n\r\n")
                idle.read_response()
                router.stop()
        return weakref.ref(router)

    route_once()
    gc.collect()
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    threads = threading.active_count()
    descriptors = len(os.listdir("/proc/self/fd"))
    references = [route_once() for _ in range(50)]
    assert not live_objects()
    assert [reference() for reference in references] == [None] * 50
    assert [signal.getsignal(number) for number in signal.valid_signals()] == handlers
    # Threads and connections of the backend end when it notices.
    backend.close()
    wait_for(lambda: threading.active_count() <= threads or None, "the end of the backend's threads")
    wait_for(lambda: len(os.listdir("/proc/self/fd")) <= descriptors or None, "the end of its connections")


TEST_OF_SOMEBODY = """
import urllib.request

def test_routed(fastrouter):
    first, second = fastrouter(routes={"app.test": "127.0.0.1:PORT"}), fastrouter()
    assert first.port != second.port
    request = urllib.request.Request(first.url, headers={"Host": "app.test"})
    assert urllib.request.urlopen(request).read() == b"one"
"""


def test_the_fixture(backend: AnsweringBackend, tmp_path: Path) -> None:
    (tmp_path / "test_somebody.py").write_text(TEST_OF_SOMEBODY.replace("PORT", str(backend.port)))
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "fastrouter.testing.pytest_plugin", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    # Installed, it is found without a flag.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"fastrouter": "fastrouter.testing.pytest_plugin"}
