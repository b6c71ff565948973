"""Stats: columns of one mapping, as several workers see it."""

import mmap

import pytest

from fastrouter._core import DataPlane, Endpoint, RouteTable, Settings, Stats

SLOTS = 5


def mapping(workers: int) -> mmap.mmap:
    return mmap.mmap(-1, Stats.size(workers, SLOTS))


def test_memory_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="memory must have"):
        Stats(bytearray(10), 1, SLOTS)


@pytest.mark.parametrize("worker", [-1, 2])
def test_worker_out_of_range_is_refused(worker: int) -> None:
    with pytest.raises(ValueError, match="worker must be"):
        Stats(mapping(2), 2, SLOTS, worker)


@pytest.mark.parametrize("slot", [-1, SLOTS])
def test_slot_out_of_range_is_refused(slot: int) -> None:
    with pytest.raises(ValueError, match="slot must be"):
        Endpoint("10.0.0.1", 80).share(Stats(mapping(1), 1, SLOTS), slot)


def test_everything_starts_at_zero() -> None:
    stats = Stats(mapping(3), 3, SLOTS)
    assert set(stats.counts().values()) == {0}
    assert stats.requests_in_flight() == 0


def test_what_one_data_plane_counts_is_in_its_own_column() -> None:
    memory = mapping(2)
    plane = DataPlane(RouteTable(), Settings(), stats=Stats(memory, 2, SLOTS, 1))
    assert plane.stats()["requests"] == 0
    assert Stats(memory, 2, SLOTS).counts(0)["requests"] == 0
