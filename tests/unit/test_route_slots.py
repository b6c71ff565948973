"""Slots of routes: what the registry keeps of them (ADR 19)."""

from typing import Any

import pytest

from fastrouter.ipc.route_counters import RouteSlots
from fastrouter.ipc.table_changes import Change, Put
from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.endpoint import NO_TAG
from fastrouter.registry.registration import Registration
from fastrouter.registry.static_registry import StaticRouteRegistry
from kept_lines import KeptLines

ADDRESS = "10.0.0.1:80"


class Registry:
    """A registry whose clock stands still, and what workers are told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.registry = StaticRouteRegistry(
            Logger(level=Level.ERROR, writer=KeptLines()),
            self.changes.append,
            clock=lambda: 1000.0,
            route_slots=RouteSlots(),
        )

    def register(self, uri: str, **fields: Any) -> None:
        self.registry.register(uri, self._endpoint(fields))

    def unregister(self, uri: str, **fields: Any) -> None:
        self.registry.unregister(uri, self._endpoint(fields))

    def _endpoint(self, fields: dict[str, Any]) -> Any:
        return self.registry.new_endpoint(Registration(**{"host": "10.0.0.1", "port": 80, **fields}), NO_TAG)

    def told(self, kind: type) -> list[Any]:
        changes = [change for change in self.changes if isinstance(change, kind)]
        self.changes.clear()
        return changes


@pytest.fixture
def registry() -> Registry:
    return Registry()


class TestSlots:
    def test_a_route_has_one_as_long_as_it_is_there(self, registry: Registry) -> None:
        registry.register("a.test")
        registry.register("A.test", host="10.0.0.2")
        registry.register("b.test")
        assert [change.slot for change in registry.told(Put)] == [1, 1, 2]
        assert [change.slot for change in registry.registry.snapshot() if isinstance(change, Put)] == [1, 1, 2]

    def test_one_that_comes_back_has_it_again(self, registry: Registry) -> None:
        registry.register("a.test")
        registry.register("b.test")
        registry.unregister("a.test")
        registry.told(Put)
        registry.register("c.test")
        registry.register("a.test")
        assert [change.slot for change in registry.told(Put)] == [3, 1]
