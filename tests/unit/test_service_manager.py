import asyncio

import pytest

from fastrouter.process.service_manager import ServiceManager
from protocol.fake_network import FakeLoop


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    loop = FakeLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop


def test_the_watchdog_is_fed_twice_as_often_as_needed(loop: FakeLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    ServiceManager().feed_watchdog()
    loop.call_later_ones()
    assert loop.delays == [1.5, 1.5]
