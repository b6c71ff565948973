"""Endpoints find their place in the shared mapping by their numbers."""

import mmap

from fastrouter._core import RouteTable, Stats
from fastrouter.ipc.table_changes import Introduce, Put
from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.registration import Registration
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.worker.table_applier import TableApplier

SLOTS = 2


def introduction(number: int) -> Introduce:
    return Introduce(number, "10.0.0.1", 8000 + number, "", "", "", False, "", "http1", "", "", "")


def test_an_endpoint_beyond_all_slots_counts_for_itself_and_the_first_one_is_told() -> None:
    unshared: list[int] = []
    table = RouteTable()
    applier = TableApplier(table, on_unshared=unshared.append)
    applier.stats = Stats(mmap.mmap(-1, Stats.size(1, SLOTS)), 1, SLOTS)
    for number in range(5):
        applier.apply_all([introduction(number), Put("app.test", number)])
    assert unshared == [SLOTS]
    pool = table.lookup("app.test")
    assert pool is not None
    assert len(pool) == 5


def test_a_number_that_another_endpoint_has_had_is_told_before_its_introduction() -> None:
    told: list[object] = []
    registry = RouteRegistry(Logger(level=Level.ERROR), told.append, on_number_reused=told.append)

    def endpoint_at(port: int) -> None:
        registry.register("app.test", registry.new_endpoint(Registration(host="10.0.0.1", port=port)))

    endpoint_at(1)
    endpoint_at(2)
    assert 0 not in told
    registry.unregister("app.test", registry.new_endpoint(Registration(host="10.0.0.1", port=1)))
    told.clear()
    endpoint_at(3)
    assert told[0] == 0
    assert isinstance(told[1], Introduce)
    assert told[1].number == 0
