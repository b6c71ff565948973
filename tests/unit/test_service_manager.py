import asyncio
from collections.abc import Callable

import pytest

from fastrouter.process.service_manager import ServiceManager


class Loop:
    """Keeps what is to be called later, and when."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self.callbacks: list[Callable[[], None]] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self.delays.append(delay)
        self.callbacks.append(callback)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop


def test_the_watchdog_is_fed_twice_as_often_as_needed(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    ServiceManager().feed_watchdog()
    loop.callbacks[0]()
    assert loop.delays == [1.5, 1.5]
