"""Static routes in the registry; tests/integration/test_static_routes.py shows what becomes of them."""

import asyncio
import json

import msgspec
import pytest

from fastrouter.ipc.table_changes import Change, HashRule, Introduce, Put, Remove, SetRoute
from fastrouter.logs.logger import Level, Logger
from fastrouter.process import slices
from fastrouter.registry.registration import Registration
from fastrouter.registry.sharding import ShardingMode
from fastrouter.registry.static_registry import StaticRouteRegistry
from fastrouter.registry.static_routes import StaticEndpoint, StaticRoute
from kept_lines import KeptLines


def new_registry(changes: list[Change], **options: object) -> StaticRouteRegistry:
    return StaticRouteRegistry(Logger(level=Level.ERROR, writer=KeptLines()), changes.append, **options)


def static(route: str, *addresses: str, app_id: str = "") -> StaticRoute:
    return StaticRoute(route, tuple(StaticEndpoint(address) for address in addresses), app_id)


async def test_counts_what_has_changed() -> None:
    registry = new_registry([])
    assert await registry.replace_static([static("a.test", "h:1", "h:2"), static("b.test", "h:1")]) == (3, 0)
    assert await registry.replace_static([static("a.test", "h:1", "h:2"), static("b.test", "h:1")]) == (0, 0)
    assert await registry.replace_static([static("a.test", "h:1", app_id="x")]) == (1, 2)
    assert await registry.replace_static([]) == (0, 1)
    assert len(registry) == 0


async def test_what_stays_is_not_touched() -> None:
    changes: list[Change] = []
    registry = new_registry(changes)
    await registry.replace_static([static("a.test", "h:1")])
    changes.clear()
    await registry.replace_static([static("a.test", "h:1", "h:2")])
    assert [type(change) for change in changes] == [Introduce, Put]


async def test_one_backend_of_several_routes_is_one_endpoint_but_not_of_several_apps() -> None:
    changes: list[Change] = []
    registry = new_registry(changes)
    await registry.replace_static(
        [static("a.test", "h:1"), static("a.test/b", "h:1"), static("c.test", "h:1", app_id="x")]
    )
    numbers = [change.number for change in changes if isinstance(change, Put)]
    assert numbers[0] == numbers[1] != numbers[2]


async def test_another_protocol_is_another_endpoint() -> None:
    changes: list[Change] = []
    registry = new_registry(changes)
    await registry.replace_static([static("a.test", "h:1")])
    spoken = StaticRoute("a.test", (StaticEndpoint("h:1", protocol="h2c"),))
    assert await registry.replace_static([spoken]) == (1, 0)
    assert [change.protocol for change in changes if isinstance(change, Introduce)] == ["http1", "h2c"]


async def test_ipv6_addresses_keep_their_brackets() -> None:
    changes: list[Change] = []
    registry = new_registry(changes)
    await registry.replace_static([static("a.test", "[::1]:80")])
    (introduced,) = (change for change in changes if isinstance(change, Introduce))
    assert (introduced.host, introduced.port) == ("[::1]", 80)
    await registry.replace_static([])
    assert Remove("a.test", "[::1]:80") in changes


async def test_static_routes_are_ours_whatever_the_segment_and_never_age() -> None:
    now = [0.0]
    registry = new_registry(
        [], sharding_mode=ShardingMode.SEGMENTS, isolation_segments=["is1"], clock=lambda: now[0], stale_threshold=1.0
    )
    await registry.replace_static([static("a.test", "h:1")])
    now[0] = 10_000_000.0
    for _ in registry.prune():
        pass
    assert b'"a.test"' in b"".join(registry.routes_json())
    foreign = registry.new_endpoint(Registration(host="h", port=1, isolation_segment="is2"))
    registry.unregister("a.test", foreign)
    assert len(registry) == 1


async def test_a_foreign_registration_does_not_wait_for_its_turn() -> None:
    registry = new_registry([], sharding_mode=ShardingMode.SEGMENTS, isolation_segments=["is1"])
    await registry.replace_static([static("a.test", "h:1")])
    registry.register("a.test", registry.new_endpoint(Registration(host="h", port=1, isolation_segment="is2")))
    await registry.replace_static([])
    assert len(registry) == 0


async def test_the_case_and_the_slash_of_a_route_do_not_hide_a_conflict() -> None:
    registry = new_registry([])
    await registry.replace_static([static("App.test/Path/", "h:1")])
    registry.unregister("app.TEST/path", registry.new_endpoint(Registration(host="h", port=1)))
    assert len(registry) == 1


async def test_the_loop_has_its_turn_and_no_route_is_without_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE", 0.0)
    registry = new_registry([])
    names = [f"{number}.test" for number in range(100)]
    await registry.replace_static([static(name, "h:1") for name in names])
    replacing = asyncio.create_task(registry.replace_static([static(name, "h:2") for name in names]))
    turns = 0
    while not replacing.done():
        assert all(json.loads(b"".join(registry.routes_json())).values())
        if turns == 150:
            # In the middle: registrations for what has been replaced and for what has not.
            for uri in (names[0], names[-1]):
                registry.register(uri, registry.new_endpoint(Registration(host="h", port=2, app="x")))
        turns += 1
        await asyncio.sleep(0)
    assert turns > 200
    assert replacing.result() == (100, 100)
    assert await registry.replace_static([]) == (0, 100)
    assert set(json.loads(b"".join(registry.routes_json()))) == {names[0], names[-1]}


async def test_two_replacements_at_a_time_come_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE", 0.0)
    registry = new_registry([])
    first = [static(f"{number}.test", "h:1") for number in range(100)]
    counts = await asyncio.gather(registry.replace_static(first), registry.replace_static([]))
    assert list(counts) == [(100, 0), (0, 100)]
    assert len(registry) == 0


def by_hash(balance: float = 0.0) -> StaticRoute:
    return msgspec.structs.replace(
        static("a.test", "h:1"), loadbalancing="hash", hash_cookie="shop", hash_balance=balance
    )


@pytest.mark.parametrize("is_current", [False, True])
async def test_a_route_by_hash_and_back(is_current: bool) -> None:
    changes: list[Change] = []
    registry = new_registry(changes, is_current=is_current)
    await registry.replace_static([by_hash()])
    assert changes[-1] == SetRoute("a.test", "", "hash", 0, HashRule("cookie", "shop", 0.0))
    assert await registry.replace_static([by_hash()]) == (0, 0)
    assert await registry.replace_static([by_hash(1.5)]) == (1, 0)
    assert SetRoute("a.test", "", "hash", 0, HashRule("cookie", "shop", 1.5)) in changes
    changes.clear()
    assert await registry.replace_static([static("a.test", "h:1")]) == (1, 0)
    assert SetRoute("a.test", "", "") in changes


async def test_one_backend_of_routes_that_are_balanced_differently_is_not_one_endpoint() -> None:
    changes: list[Change] = []
    registry = new_registry(changes)
    await registry.replace_static([by_hash(), static("b.test", "h:1")])
    numbers = [change.number for change in changes if isinstance(change, Put)]
    assert numbers[0] != numbers[1]
