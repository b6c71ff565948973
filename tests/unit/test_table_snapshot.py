"""The table in a file: what is loaded is what there was, without what has been removed since, or nothing at all."""

import asyncio
import stat
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrouter.bus.bus import Bus
from fastrouter.bus.connection import NatsConnectionError
from fastrouter.control.options import SnapshotOptions
from fastrouter.control.table_snapshots import TableSnapshots
from fastrouter.ipc.shared_stats import SharedStats
from fastrouter.logs.logger import Level, Logger
from fastrouter.observe.histogram import DEFAULT_BOUNDS
from fastrouter.registry.adoption import Adoption
from fastrouter.registry.handed_table import Handed, HandedEnd, HandedEndpoint, HandedMember, HandedRoute, frames_of
from fastrouter.registry.registration import Registration
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.registry.table_snapshot import Removal, SnapshotError, TableSnapshot
from kept_lines import KeptLines


class Clock:
    """Unix time that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "table"


@pytest.fixture
def snapshot(file: Path, clock: Clock) -> TableSnapshot:
    return TableSnapshot(str(file), clock)


def endpoint(number: int, **fields: Any) -> HandedEndpoint:
    return HandedEndpoint(
        number=number,
        host=f"10.0.0.{number}",
        port=80,
        tls=False,
        app_id="app",
        instance_id="",
        instance_index="",
        server_cert_domain_san="",
        tags=None,
        availability_zone="",
        protocol="http1",
        isolation_segment="",
        route_service_url="",
        algorithm="",
        hash_header="",
        hash_balance=0.0,
        updated_at_ns=0,
        stale_threshold=120.0,
        tag_guid="",
        tag_index=0,
        **fields,
    )


def route(uri: str, *numbers: int, age: float = 1.0) -> HandedRoute:
    return HandedRoute(uri, tuple(HandedMember(number, age) for number in numbers))


def make(snapshot: TableSnapshot, *parts: Handed, draining: tuple[str, ...] = ()) -> None:
    snapshot.begin()
    for frames in frames_of(iter(parts), lambda: draining):
        snapshot.add(frames)
    snapshot.finish()


def test_everything_comes_back_older(snapshot: TableSnapshot, clock: Clock) -> None:
    parts: list[Handed] = [
        endpoint(1, failed_ago=2.0),
        endpoint(2),
        route("a.test", 1, 2, age=3.0),
        route("b.test/path", 2),
    ]
    make(snapshot, *parts, draining=("10.0.0.2:80",))
    clock.now += 7.0
    loaded = snapshot.load()
    assert loaded.age == 7.0
    assert loaded.parts == [
        *parts[:2],
        route("a.test", 1, 2, age=10.0),
        route("b.test/path", 2, age=8.0),
        HandedEnd(("10.0.0.2:80",)),
    ]


def test_a_clock_that_was_set_back(snapshot: TableSnapshot, clock: Clock) -> None:
    make(snapshot, endpoint(1), route("a.test", 1))
    clock.now -= 3600.0
    assert snapshot.load().parts[1] == route("a.test", 1)


def test_what_was_removed_since_does_not_come_back(snapshot: TableSnapshot) -> None:
    make(snapshot, endpoint(1), endpoint(2), route("a.test", 1, 2), route("b.test", 1), route("c.test", 2))
    snapshot.remove([Removal("a.test", "10.0.0.1:80"), Removal("c.test", "10.0.0.2:80")])
    assert [part for part in snapshot.load().parts if isinstance(part, HandedRoute)] == [
        route("a.test", 2),
        route("b.test", 1),
    ]


def test_nor_what_is_removed_while_the_next_is_made(snapshot: TableSnapshot) -> None:
    make(snapshot, endpoint(1), endpoint(2), route("a.test", 1, 2))
    snapshot.remove([Removal("a.test", "10.0.0.1:80")])
    snapshot.begin()
    for frames in frames_of(iter([endpoint(2), route("a.test", 2), route("b.test", 2)]), tuple):
        snapshot.add(frames)
    snapshot.remove([Removal("b.test", "10.0.0.2:80")])
    snapshot.finish()
    assert [part for part in snapshot.load().parts if isinstance(part, HandedRoute)] == [route("a.test", 2)]


def test_a_removal_from_before_is_forgotten(snapshot: TableSnapshot, file: Path) -> None:
    make(snapshot, endpoint(1), route("a.test", 1))
    snapshot.remove([Removal("a.test", "10.0.0.1:80")])
    # It has registered again.
    make(snapshot, endpoint(1), route("a.test", 1))
    assert snapshot.load().parts[1] == route("a.test", 1)
    assert file.with_suffix(".removed").read_bytes() == b""


def test_one_that_is_not_finished_changes_nothing(snapshot: TableSnapshot, file: Path, clock: Clock) -> None:
    make(snapshot, endpoint(1), route("a.test", 1))
    snapshot.begin()
    assert TableSnapshot(str(file), clock).load().parts[1] == route("a.test", 1)
    # The next router begins anew.
    make(TableSnapshot(str(file), clock), endpoint(2), route("b.test", 2))
    assert snapshot.load().parts == [endpoint(2), route("b.test", 2), HandedEnd()]


def test_the_end_of_the_machine_within_a_line(snapshot: TableSnapshot, file: Path) -> None:
    make(snapshot, endpoint(1), route("a.test", 1))
    file.with_suffix(".removed").write_bytes(b'["a.test","10.0.')
    assert snapshot.load().parts[1] == route("a.test", 1)


def test_what_is_discarded_is_gone(snapshot: TableSnapshot, file: Path) -> None:
    make(snapshot, endpoint(1), route("a.test", 1))
    snapshot.remove([Removal("a.test", "10.0.0.1:80")])
    snapshot.begin()
    snapshot.discard()
    assert list(file.parent.iterdir()) == []
    with pytest.raises(SnapshotError, match="there is none"):
        snapshot.load()
    snapshot.discard()


def test_nobody_else_may_read_it(snapshot: TableSnapshot, file: Path) -> None:
    make(snapshot, endpoint(1), route("a.test", 1))
    snapshot.remove([Removal("a.test", "10.0.0.1:80")])
    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "does not begin as a snapshot"),
        (b"routes:\n", "does not begin as a snapshot"),
        (b'{"format":"fastrouter table 2","made_at":1}\n', "another format: fastrouter table 2"),
        (b'{"format":"fastrouter table 1","made_at":1}', "another format"),
        (b'{"format":"fastrouter table 1","made_at":1}\n', "it breaks off"),
        (b'{"format":"fastrouter table 1","made_at":1}\n\x00\x00\x00\x01\x90', "it breaks off"),
        (b'{"format":"fastrouter table 1","made_at":1}\n\x00\x00\x00\x01\xc1', "invalid"),
    ],
)
def test_what_is_no_snapshot(snapshot: TableSnapshot, file: Path, data: bytes, text: str) -> None:
    file.write_bytes(data)
    with pytest.raises(SnapshotError, match=text):
        snapshot.load()


@given(st.data())
def test_cut_anywhere_it_is_none(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.mktemp("cut") / "table"
    snapshot = TableSnapshot(str(file), Clock())
    make(snapshot, endpoint(1), route("a.test", 1), draining=("10.0.0.1:80",))
    whole = file.read_bytes()
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(SnapshotError):
        snapshot.load()


class Router:
    """A registry that has a snapshot, and no bus yet. Its clock stands still."""

    def __init__(self, clock: Clock, *parts: Handed) -> None:
        self.has_bus = False
        self.registry = RouteRegistry(
            Logger(level=Level.ERROR, writer=KeptLines()),
            lambda _: None,
            stale_threshold=120.0,
            is_pruning_suspended=lambda: not self.has_bus,
            clock=clock,
        )
        self.registry.doubt()
        adoption = Adoption(self.registry, lambda _number, _ago: None)
        for part in parts:
            adoption.take(part)

    def register(self, uri: str, **fields: Any) -> None:
        self.registry.register(uri, self.registry.new_endpoint(Registration(**fields)))

    def prune(self) -> None:
        for _ in self.registry.prune():
            pass

    def routes(self) -> list[str]:
        return [step[0] for step in self.registry.walk() if step is not None]


class TestServedFrom:
    @pytest.fixture
    def router(self, clock: Clock) -> Router:
        secure = msgspec.structs.replace(endpoint(2), tls=True)
        return Router(clock, endpoint(1), secure, route("plain.test", 1, age=500.0), route("tls.test", 2, age=500.0))

    def test_while_the_bus_is_away_all_of_it_stays(self, router: Router, clock: Clock) -> None:
        clock.now += 3600.0
        router.prune()
        assert router.routes() == ["plain.test", "tls.test"]
        found = router.registry.find("plain.test")
        assert found is not None
        assert [router.registry.age(member) for member in found.all_members()] == [4100.0]

    def test_when_the_bus_is_back_apps_have_time_to_register(self, router: Router, clock: Clock) -> None:
        router.has_bus = True
        router.prune()
        clock.now += 119.0
        router.prune()
        assert router.routes() == ["plain.test", "tls.test"]

    def test_who_does_not_is_gone_with_tls_too(self, router: Router, clock: Clock) -> None:
        router.has_bus = True
        router.prune()
        clock.now += 121.0
        router.prune()
        assert router.routes() == []

    def test_who_does_stays_and_with_tls_for_ever(self, router: Router, clock: Clock) -> None:
        router.has_bus = True
        router.prune()
        clock.now += 60.0
        router.register("plain.test", host="10.0.0.1", port=80, app="app")
        router.register("tls.test", host="10.0.0.2", tls_port=80, app="app")
        clock.now += 121.0
        router.prune()
        assert router.routes() == ["tls.test"]


class LateBus:
    """A bus that cannot be reached at the start, and can the next time."""

    is_pruning_suspended = False

    def __init__(self) -> None:
        self.attempts = 0

    async def connect(self, *, is_needed: bool) -> None:
        assert not is_needed
        self.attempts += 1
        if self.attempts == 1:
            raise NatsConnectionError("nobody is there")


async def test_a_bus_that_cannot_be_listened_to_is_the_end(
    snapshot: TableSnapshot, file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the table would be that of the snapshot for ever."""
    monkeypatch.setattr("fastrouter.control.table_snapshots.RECONNECT_PAUSE", 0.0)
    make(snapshot, endpoint(1), route("a.test", 1))
    router, bus, failure = Router(clock), cast(Bus, LateBus()), asyncio.get_running_loop().create_future()
    snapshots = TableSnapshots(
        SnapshotOptions(file=str(file), interval=1.0),
        Logger(level=Level.ERROR, writer=KeptLines()),
        router.registry,
        SharedStats(1, DEFAULT_BOUNDS.of_workers()),
        is_successor=False,
        on_failure=failure.set_result,
        may_make=lambda: True,
    )

    async def listen(_bus: Bus) -> None:
        raise RuntimeError("no such subject")

    await snapshots.connect(bus)
    await snapshots.listen(bus, listen)
    assert router.routes() == ["a.test"]
    async with asyncio.timeout(20.0):
        assert await failure == "cannot listen to NATS: RuntimeError: no such subject"
    snapshots.stop()
