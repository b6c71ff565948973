"""What each route has been asked for is counted, by whoever serves it (issue 16, ADR 19)."""

import mmap
from typing import Any

import pytest

from fastrouter._core import DataPlane, Endpoint, RouteCounters, RouteSnapshot, RouteTable, Settings, route_owner

from .fake_network import FakeLoop, FakeTransport

SLOTS = 8
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def memory_of(blocks: int = 2) -> mmap.mmap:
    return mmap.mmap(-1, RouteCounters.size(blocks, SLOTS))


class Worker:
    """A data plane that counts in one block."""

    def __init__(self, memory: mmap.mmap, block: int = 0, **settings: Any) -> None:
        self.counters = RouteCounters(memory, 2, SLOTS, block)
        self.counters.begin()
        self.table = RouteTable()
        self.table.count_in(self.counters)
        # Every request is dialled for, so that the last dial is its own.
        self.plane = DataPlane(self.table, Settings(backend_keep_alive=False, **settings))
        self.loop = FakeLoop()
        loop: Any = self.loop
        self.plane.start(loop)

    def register(self, uri: str, slot: int, port: int = 8080) -> None:
        self.table.register(uri, Endpoint("10.0.0.1", port), slot)

    def ask(self, host: str, *lines: str) -> FakeTransport:
        client = self.loop.connect_client(self.plane.new_client())
        client.deliver("\r\n".join(["GET / HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode())
        self.loop.run()
        return client

    def answer(self, response: bytes = OK) -> None:
        self.loop.dialled[-1].deliver(response)
        self.loop.run()

    def serve(self, host: str, response: bytes = OK) -> None:
        self.ask(host)
        self.answer(response)

    def close(self) -> None:
        self.plane.stop()
        self.loop.run()


@pytest.fixture
def memory() -> mmap.mmap:
    return memory_of()


def totals(memory: mmap.mmap, slot: int, uri: str = "") -> tuple[int, list[int]] | None:
    """Requests in flight and sums of a slot, over all blocks."""
    read = RouteSnapshot(RouteCounters(memory, 2, SLOTS)).read(slot, route_owner(uri) if uri else 0)
    return None if read is None else (read[1], read[3][:7])


class TestCounts:
    def test_responses_by_class(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 1)
        worker.register("b.test", 2)
        for status in (200, 204, 301, 404, 500):
            worker.serve("a.test", b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
        worker.serve("b.test")
        assert totals(memory, 1, "a.test") == (0, [2, 1, 1, 1, 0, 0, 0])
        assert totals(memory, 2, "B.test/") == (0, [1, 0, 0, 0, 0, 0, 0])
        worker.close()

    def test_in_flight_until_the_end_of_the_response(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 1)
        worker.ask("a.test")
        assert totals(memory, 1) == (1, [0] * 7)
        worker.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        assert totals(memory, 1) == (1, [0] * 7)
        worker.answer(b"ok")
        assert totals(memory, 1) == (0, [1, 0, 0, 0, 0, 0, 0])
        worker.close()

    def test_retries(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 1)
        worker.register("a.test", 1, 8081)
        worker.loop.refusing = {("10.0.0.1", 8080), ("10.0.0.1", 8081)}
        worker.ask("a.test")
        assert totals(memory, 1) == (0, [0, 0, 0, 1, 0, 2, 0])
        worker.close()

    def test_a_response_that_breaks_off(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 1)
        worker.ask("a.test")
        worker.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        worker.loop.dialled[-1].break_off()
        assert totals(memory, 1) == (0, [1, 0, 0, 0, 0, 0, 1])
        worker.close()

    def test_a_client_that_leaves(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 1)
        worker.ask("a.test").abort()
        worker.loop.run()
        assert totals(memory, 1) == (0, [0, 0, 1, 0, 0, 0, 0])
        worker.close()

    def test_what_the_router_responds_for_a_route(self, memory: mmap.mmap) -> None:
        worker = Worker(memory, empty_pool_503=True)
        worker.register("a.test", 1)
        worker.table.unregister("a.test", "10.0.0.1:8080")
        worker.ask("a.test")
        worker.ask("unknown.test")
        assert totals(memory, 1) == (0, [0, 0, 0, 1, 0, 0, 0])
        worker.close()

    def test_an_instance_counts_for_its_route(self, memory: mmap.mmap) -> None:
        guid = "0123abcd-0000-4000-8000-000000000000"
        worker = Worker(memory)
        worker.table.register("a.test", Endpoint("10.0.0.1", 8080, app_id=guid, instance_index="0"), 1)
        worker.ask("a.test", f"X-CF-App-Instance: {guid}:0")
        worker.answer()
        worker.ask("a.test", f"X-CF-App-Instance: {guid}:7")
        assert totals(memory, 1) == (0, [1, 0, 1, 0, 0, 0, 0])
        worker.close()

    def test_tunnels_have_no_latency(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 1)
        client = worker.ask("a.test", "Connection: Upgrade", "Upgrade: websocket")
        worker.answer(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert totals(memory, 1) == (1, [0] * 7)
        client.abort()
        worker.loop.run()
        read = RouteSnapshot(worker.counters).read(1)
        assert read is not None
        assert (read[1], read[3], sum(read[4])) == (0, [0, 0, 0, 0, 1, 0, 0, 0], 0)
        worker.close()

    def test_a_route_without_a_slot_is_not_counted(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 0)
        worker.serve("a.test")
        assert len(RouteSnapshot(worker.counters)) == 0
        worker.close()


class TestSlots:
    def test_another_route_begins_anew(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 1)
        worker.serve("a.test")
        worker.table.drop("a.test")
        worker.register("b.test", 1)
        assert totals(memory, 1, "a.test") is None
        assert totals(memory, 1, "b.test") == (0, [0] * 7)
        worker.close()

    def test_the_same_route_goes_on(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 1)
        worker.serve("a.test")
        worker.table.drop("a.test")
        worker.register("A.test/", 1)
        worker.serve("a.test")
        assert totals(memory, 1) == (0, [2, 0, 0, 0, 0, 0, 0])
        worker.close()

    def test_a_request_that_outlives_its_route_counts_nowhere(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 1)
        worker.ask("a.test")
        worker.table.drop("a.test")
        worker.register("b.test", 1)
        worker.answer()
        assert totals(memory, 1) == (0, [0] * 7)
        worker.close()

    @pytest.mark.parametrize("slot", [-1, SLOTS])
    def test_a_slot_that_is_not_there(self, memory: mmap.mmap, slot: int) -> None:
        worker = Worker(memory)
        with pytest.raises(ValueError, match=r"slot must be 1\.\.7"):
            worker.register("a.test", slot)
        worker.close()


class TestBlocks:
    def test_workers_are_added_up(self, memory: mmap.mmap) -> None:
        workers = [Worker(memory, block) for block in range(2)]
        for worker in workers:
            worker.register("a.test", 1)
            worker.serve("a.test")
            worker.ask("a.test")
        assert totals(memory, 1) == (2, [2, 0, 0, 0, 0, 0, 0])
        for worker in workers:
            worker.close()

    def test_a_dead_worker_has_nothing_in_flight_and_its_counts_stay(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 1)
        worker.serve("a.test")
        worker.ask("a.test")
        RouteCounters(memory, 2, SLOTS).end(0)
        assert totals(memory, 1) == (0, [1, 0, 0, 0, 0, 0, 0])
        successor = Worker(memory)
        successor.register("a.test", 1)
        successor.serve("a.test")
        assert totals(memory, 1) == (0, [2, 0, 0, 0, 0, 0, 0])
        successor.close()
        worker.close()

    def test_a_worker_that_has_another_route_in_a_slot_is_left_out(self, memory: mmap.mmap) -> None:
        workers = [Worker(memory, block) for block in range(2)]
        for worker, host in zip(workers, ["a.test", "b.test"], strict=True):
            worker.register(host, 1)
            worker.serve(host)
        assert totals(memory, 1) == (0, [1, 0, 0, 0, 0, 0, 0])
        assert workers[0].counters.owners(0, 2) == [(1, route_owner("a.test"))]
        for worker in workers:
            worker.close()

    @pytest.mark.parametrize(
        ("blocks", "slots", "block"), [(3, SLOTS, 0), (2, SLOTS - 1, 0), (2, SLOTS, 2), (0, 1, -1)]
    )
    def test_other_layouts_are_refused(self, memory: mmap.mmap, blocks: int, slots: int, block: int) -> None:
        RouteCounters(memory, 2, SLOTS)
        with pytest.raises(ValueError, match=r"memory|block"):
            RouteCounters(memory, blocks, slots, block)


class TestTop:
    def test_windows(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        for number in range(1, 6):
            worker.register(f"{number}.test", number)
        worker.serve("1.test")
        earlier = RouteSnapshot(worker.counters)
        for number in range(2, 5):
            for _ in range(number):
                worker.serve(f"{number}.test")
        worker.serve("2.test", b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
        worker.ask("5.test")
        later = RouteSnapshot(worker.counters)
        assert later.top("requests", 2, earlier) == ([4, 2], 3)
        assert later.top("requests", 9, earlier) == ([4, 2, 3], 3)
        assert later.top("requests", 9)[0][-1] == 1
        assert later.top("errors", 9, earlier) == ([2], 1)
        assert later.top("inflight", 9, earlier) == ([5], 1)
        assert set(later.top("p99", 9, earlier)[0]) == {2, 3, 4}
        assert later.top("requests", 9, earlier, bytes([0, 1, 0, 1, 1])) == ([4, 3], 2)
        assert later.top("requests", 9, earlier, b"") == ([], 0)
        assert later.seconds_since(earlier) > 0
        worker.close()

    def test_a_slot_that_has_changed_hands_has_no_past(self, memory: mmap.mmap) -> None:
        worker = Worker(memory)
        worker.register("a.test", 1)
        for _ in range(3):
            worker.serve("a.test")
        earlier = RouteSnapshot(worker.counters)
        worker.table.drop("a.test")
        worker.register("b.test", 1)
        worker.serve("b.test")
        read = RouteSnapshot(worker.counters).read(1, 0, earlier)
        assert read is not None
        assert read[3][0] == 1
        worker.close()

    @pytest.mark.parametrize(("by", "limit"), [("fame", 1), ("errors", 0), ("errors", 1001)])
    def test_what_is_no_order(self, memory: mmap.mmap, by: str, limit: int) -> None:
        with pytest.raises(ValueError, match=r"by|limit"):
            RouteSnapshot(RouteCounters(memory, 2, SLOTS)).top(by, limit)
