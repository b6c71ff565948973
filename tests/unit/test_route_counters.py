"""The mapping of route counters: who has which part of it, and what is read from it (ADR 19)."""

import mmap
import os

import pytest

from fastrouter._core import Endpoint as CoreEndpoint
from fastrouter._core import RouteCounters, RouteTable, latency_at, route_owner
from fastrouter.ipc.route_counters import RouteCounterReader, RouteSlots, SharedRouteCounters, attach_route_counters


class TestSlots:
    def test_fresh_ones_go_first(self) -> None:
        slots = RouteSlots()
        assert [slots.take("a"), slots.take("b")] == [1, 2]
        slots.give_back("a", 1)
        assert slots.take("c") == 3

    def test_a_route_that_comes_back_finds_its_own(self) -> None:
        slots = RouteSlots()
        first, second = slots.take("a"), slots.take("b")
        slots.give_back("a", first)
        slots.give_back("b", second)
        assert [slots.take("b"), slots.take("a")] == [second, first]

    def test_the_one_that_waits_longest_is_used_again(self) -> None:
        slots = RouteSlots(slots=4)
        taken = {key: slots.take(key) for key in "abc"}
        for key in "bca":
            slots.give_back(key, taken[key])
        assert [slots.take(key) for key in "xyz"] == [2, 3, 1]

    def test_many_that_wait_are_used_before_fresh_ones(self) -> None:
        slots = RouteSlots()
        keys = [str(number) for number in range(RouteSlots.KEPT + 1)]
        for key, slot in [(key, slots.take(key)) for key in keys]:
            slots.give_back(key, slot)
        assert slots.take("another") == 1

    def test_none_is_left(self) -> None:
        told: list[str] = []
        slots = RouteSlots(on_exhausted=lambda: told.append("exhausted"), slots=2)
        assert [slots.take(key) for key in "abc"] == [1, 0, 0]
        assert told == ["exhausted"]
        slots.give_back("b", 0)
        slots.give_back("a", 1)
        assert slots.take("d") == 1

    def test_those_of_a_predecessor(self) -> None:
        slots = RouteSlots({route_owner("a"): 7, route_owner("b"): 3})
        assert [slots.take("new"), slots.take("a"), slots.take("b")] == [8, 7, 3]


def count_one(memory: SharedRouteCounters, uri: str, slot: int) -> RouteTable:
    """Register a route as a worker does, which claims its slot."""
    block = memory.block_of(0)
    counters = attach_route_counters(
        os.dup(memory.descriptor), blocks=block.blocks, slots=block.slots, block=block.block
    )
    table = RouteTable()
    table.count_in(counters)
    table.register(uri, CoreEndpoint("10.0.0.1", 80), slot)
    return table


class TestMemory:
    def test_a_successor_has_the_other_half_and_the_slots(self) -> None:
        first = SharedRouteCounters(2)
        count_one(first, "a.test", 5)
        second = SharedRouteCounters(2, os.dup(first.descriptor), first.half)
        assert second.is_inherited
        assert [memory.block_of(1).block for memory in (first, second)] == [1, 3]
        assert second.inherited_slots() == {route_owner("a.test"): 5}
        count_one(second, "b.test", 6)
        third = SharedRouteCounters(2, os.dup(second.descriptor), second.half)
        assert third.block_of(1).block == 1
        assert third.inherited_slots() == {route_owner("a.test"): 5, route_owner("b.test"): 6}
        for memory in (first, second, third):
            os.close(memory.descriptor)

    @pytest.mark.parametrize("workers", [1, 3])
    def test_another_number_of_workers_begins_anew(self, workers: int) -> None:
        refused: list[str] = []
        first = SharedRouteCounters(2)
        second = SharedRouteCounters(workers, os.dup(first.descriptor), first.half, refused.append)
        assert not second.is_inherited
        assert second.inherited_slots() == {}
        assert refused == ["memory has another size"]
        for memory in (first, second):
            os.close(memory.descriptor)

    def test_what_is_no_mapping_begins_anew(self) -> None:
        refused: list[str] = []
        other = os.memfd_create("other")
        os.ftruncate(other, RouteCounters.size(2, 131_072))
        os.pwrite(other, b"x" * 64, 0)
        memory = SharedRouteCounters(1, other, 0, refused.append)
        assert not memory.is_inherited
        assert refused == ["memory has another layout"]
        os.close(memory.descriptor)

    def test_it_takes_memory_only_for_what_is_in_use(self) -> None:
        memory = SharedRouteCounters(2)
        count_one(memory, "a.test", 131_071)
        assert os.fstat(memory.descriptor).st_blocks * 512 <= 64 * 1024
        os.close(memory.descriptor)


class TestReader:
    def test_counts(self) -> None:
        memory = mmap.mmap(-1, RouteCounters.size(1, 4))
        counters = RouteCounters(memory, 1, 4, 0)
        table = RouteTable()
        table.count_in(counters)
        table.register("a.test", CoreEndpoint("10.0.0.1", 80), 1)
        reader = RouteCounterReader(counters)
        snapshot = reader.snapshot()
        counts = reader.counts(snapshot, 1, "a.test")
        assert counts is not None
        assert (counts.requests, counts.errors, counts.per_second, counts.mean, counts.p99) == (0, 0, 0.0, 0.0, 0.0)
        assert reader.counts(snapshot, 1, "b.test") is None
        assert reader.counts(snapshot, 2) is None
        assert reader.top("requests", 5, snapshot) == ([], 0)

    def test_quantiles_lie_in_their_buckets(self) -> None:
        counts = [0] * 16
        counts[3] = 99
        counts[9] = 1
        assert 2**21 / 1e9 < latency_at(counts, 0.5) < 2**22 / 1e9
        assert latency_at(counts, 0.99) == pytest.approx(2**22 / 1e9)
        assert latency_at(counts, 1.0) == pytest.approx(2**28 / 1e9)
        assert latency_at([0] * 16, 0.5) == 0

    @pytest.mark.parametrize(("counts", "quantile"), [([0], 0.5), ([0] * 16, 1.5)])
    def test_no_quantiles(self, counts: list[int], quantile: float) -> None:
        with pytest.raises(ValueError, match="latencies"):
            latency_at(counts, quantile)
