"""The routing table on its way to a successor: what arrives is what was there, whatever happens meanwhile."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from fastrouter.bus.subscriber import Subscriber
from fastrouter.ipc.shared_stats import SharedStats
from fastrouter.ipc.table_changes import Change, Introduce, Put, SetRoute
from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.adoption import Adoption
from fastrouter.registry.endpoint import ModificationTag
from fastrouter.registry.handed_table import (
    REQUEST,
    Handed,
    HandedEnd,
    HandedEndpoint,
    HandedMember,
    HandedRoute,
    TableError,
    offer_table,
    receive_table,
)
from fastrouter.registry.registration import Options, Registration
from fastrouter.registry.sharding import ShardingMode
from fastrouter.registry.static_registry import StaticRouteRegistry
from fastrouter.registry.static_routes import StaticEndpoint, StaticRoute
from kept_lines import KeptLines

TIMEOUT = 20.0
NO_TAG = ("", 0)


LOGGER = Logger(level=Level.ERROR, writer=KeptLines())


class Router:
    """A registry with a clock that stands still, the changes that it emits, and marks of endpoints that have failed."""

    def __init__(self, now: float = 1000.0, **options: Any) -> None:
        self.now = now
        self.is_suspended = False
        self.changes: list[Change] = []
        self.failed_ago: dict[int, float] = {}
        self.registry = StaticRouteRegistry(
            LOGGER,
            self.changes.append,
            clock=lambda: self.now,
            is_pruning_suspended=lambda: self.is_suspended,
            **options,
        )

    def register(self, uri: str, tag: tuple[str, int] = NO_TAG, **fields: Any) -> None:
        self.registry.register(uri, self.endpoint(tag, fields))

    def unregister(self, uri: str, tag: tuple[str, int] = NO_TAG, **fields: Any) -> None:
        self.registry.unregister(uri, self.endpoint(tag, fields))

    def endpoint(self, tag: tuple[str, int], fields: dict[str, Any]) -> Any:
        registration = Registration(**{"host": "10.0.0.1", "port": 80, **fields})
        return self.registry.new_endpoint(registration, ModificationTag(*tag))

    def handed(self) -> Iterator[HandedEndpoint | HandedRoute]:
        return self.registry.hand_over(self.failed_ago.get)

    def adopt(self, handed: Any) -> None:
        adoption = Adoption(self.registry, self.failed_ago.__setitem__)
        for part in handed:
            # As it comes over the line.
            adoption.take(msgspec.msgpack.decode(msgspec.msgpack.encode(part), type=HandedEndpoint | HandedRoute))

    def routes(self) -> Any:
        return json.loads(b"".join(self.registry.routes_json()))

    def addresses(self, key: str) -> list[str]:
        return [endpoint["address"] for endpoint in self.routes().get(key, [])]


RICH: dict[str, Any] = {
    "host": "2001:db8::7",
    "port": 8080,
    "tls_port": 8443,
    "app": "0f3a5d1e-8d0f-4c55-9b7e-111111111111",
    "private_instance_id": "one",
    "private_instance_index": "3",
    "server_cert_domain_san": "san.test",
    "tags": {"component": "app", "process_id": "p", "organization": "örg"},
    "availability_zone": "z1",
    "protocol": "http2",
    "isolation_segment": "segment",
    "route_service_url": "https://service.test/",
    "endpoint_updated_at_ns": 1_700_000_000_123_456_789,
    "stale_threshold_in_seconds": 60,
    "options": Options("least-connection", "X-Tenant", 1.5),
}


class TestRegistry:
    def test_everything_arrives(self) -> None:
        old, new = Router(), Router(now=5.0)
        rich = old.endpoint(("guid", 7), RICH)
        old.registry.register("Rich.test/Path", rich)
        old.registry.register("other.test", rich)
        old.register("plain.test")
        old.register("plain.test", host="10.0.0.2")
        new.adopt(old.handed())
        assert new.routes() == old.routes()
        assert {(type(change), change) for change in new.registry.snapshot()} == {
            (type(change), change) for change in old.registry.snapshot()
        }
        for key, route in old.registry._routes.items():
            theirs = new.registry._routes[key]
            assert theirs.uri == route.uri
            for one, other in zip(route.all_members(), theirs.all_members(), strict=True):
                assert one.endpoint.is_same_as(other.endpoint)
                assert one.endpoint.traits == other.endpoint.traits
        # What is one endpoint there is one here.
        assert new.registry.count_endpoints() == 3
        assert [type(change) for change in new.changes].count(Introduce) == 3

    def test_what_workers_are_told_makes_the_same_table(self) -> None:
        old, new = Router(), Router()
        old.register("a.test", **RICH)
        new.adopt(old.handed())
        assert [type(change) for change in new.changes] == [Introduce, Put, SetRoute]
        assert new.changes[-1] == SetRoute("a.test", "https://service.test/", "least-connection")

    @pytest.mark.parametrize("options", [Options("hash", "X-Tenant", 1.25), Options("hash")])
    def test_routes_by_hash(self, options: Options) -> None:
        old, new = Router(is_current=True), Router(is_current=True)
        old.register("a.test", options=options)
        new.adopt(old.handed())
        assert new.changes[-1] == old.changes[-1]
        assert new.routes() == old.routes()
        assert list(new.registry.balancing.hash_pools()) == [("a.test", 1)]

    def test_ages(self) -> None:
        old, new = Router(), Router(now=5.0)
        old.register("a.test")
        old.now += 100
        new.adopt(old.handed())
        new.now += 20
        list(new.registry.prune())
        assert new.addresses("a.test") == ["10.0.0.1:80"]
        new.now += 1
        list(new.registry.prune())
        assert new.addresses("a.test") == []

    def test_while_nobody_could_register_nobody_ages(self) -> None:
        old, new = Router(), Router()
        old.register("a.test")
        old.now += 1000
        old.is_suspended = True
        new.adopt(old.handed())
        list(new.registry.prune())
        assert new.addresses("a.test") == ["10.0.0.1:80"]

    def test_what_was_suspended_and_is_not_marked_fresh_yet(self) -> None:
        old, new = Router(), Router()
        old.register("a.test")
        old.is_suspended = True
        list(old.registry.prune())
        old.now += 1000
        old.is_suspended = False
        new.adopt(old.handed())
        list(new.registry.prune())
        assert new.addresses("a.test") == ["10.0.0.1:80"]

    def test_marks(self) -> None:
        old, new = Router(), Router()
        for number in range(3):
            old.register("a.test", host=f"10.0.0.{number}")
        old.failed_ago[1] = 12.5
        new.register("here.test", host="10.1.1.1")
        new.adopt(old.handed())
        (mark,) = new.failed_ago.items()
        (endpoint,) = [
            member.endpoint
            for member in new.registry._routes["a.test"].all_members()
            if member.endpoint.address == "10.0.0.1:80"
        ]
        assert mark == (endpoint.number, 12.5)

    def test_modification_tags_go_on(self) -> None:
        old, new = Router(), Router()
        old.register("a.test", ("guid", 7))
        new.adopt(old.handed())
        new.unregister("a.test", ("guid", 6))
        assert new.addresses("a.test") == ["10.0.0.1:80"]
        new.unregister("a.test", ("guid", 7))
        assert new.addresses("a.test") == []

    def test_routes_that_linger(self) -> None:
        old, new = Router(empty_pool_timeout=30.0), Router(now=5.0, empty_pool_timeout=30.0)
        old.register("a.test")
        old.unregister("a.test")
        old.now += 20
        new.adopt(old.handed())
        assert new.routes() == {"a.test": []}
        assert Put("a.test", 0) in new.changes, "and workers know of it"
        new.now += 11
        list(new.registry.prune())
        assert new.routes() == {}

    def test_routes_that_linger_where_none_does(self) -> None:
        old, new = Router(empty_pool_timeout=30.0), Router()
        old.register("a.test")
        old.unregister("a.test")
        new.adopt(old.handed())
        assert new.routes() == {}
        assert new.changes == []

    def test_the_own_options_count(self) -> None:
        old, new = Router(), Router(stale_threshold=30.0, is_http2_enabled=False)
        old.register("a.test", protocol="h2c")
        new.adopt(old.handed())
        (endpoint,) = new.routes()["a.test"]
        assert endpoint["protocol"] == "http1"
        assert endpoint["ttl"] == 30

    def test_segments_that_are_not_ours(self) -> None:
        old = Router()
        new = Router(sharding_mode=ShardingMode.SEGMENTS, isolation_segments=["ours"])
        old.register("a.test", isolation_segment="ours")
        old.register("a.test", host="10.0.0.2", isolation_segment="theirs")
        old.register("b.test", isolation_segment="theirs")
        new.adopt(old.handed())
        assert new.routes().keys() == {"a.test"}
        assert new.addresses("a.test") == ["10.0.0.1:80"]

    async def test_static_routes_stay_where_they_are_configured(self) -> None:
        old, new = Router(), Router()
        await old.registry.replace_static([StaticRoute("a.test", (StaticEndpoint("10.9.9.9:80"),))])
        old.register("a.test")
        new.adopt(old.handed())
        assert new.addresses("a.test") == ["10.0.0.1:80"]
        only_static = Router()
        await only_static.registry.replace_static([StaticRoute("a.test", (StaticEndpoint("10.9.9.9:80"),))])
        assert list(only_static.handed()) == []

    async def test_a_static_route_of_the_successor_counts(self) -> None:
        old, new = Router(), Router()
        old.register("a.test", app="registered")
        await new.registry.replace_static([StaticRoute("a.test", (StaticEndpoint("10.0.0.1:80"),))])
        changes = len(new.changes)
        new.adopt(old.handed())
        assert len(new.changes) == changes
        # The registration waits for it to go.
        await new.registry.replace_static([])
        assert new.addresses("a.test") == ["10.0.0.1:80"]

    async def test_registrations_behind_a_static_route_are_handed_over(self) -> None:
        old, new = Router(), Router()
        await old.registry.replace_static([StaticRoute("a.test", (StaticEndpoint("10.0.0.1:80"),))])
        old.register("a.test", app="registered")
        new.adopt(old.handed())
        assert new.addresses("a.test") == ["10.0.0.1:80"]

    def test_many_members_come_in_parts(self) -> None:
        old, new = Router(), Router()
        for number in range(1000):
            old.register("a.test", port=1000 + number)
        handed = list(old.handed())
        assert max(len(part.members) for part in handed if isinstance(part, HandedRoute)) == 256
        new.adopt(handed)
        assert new.addresses("a.test") == old.addresses("a.test")

    def test_what_changes_meanwhile_does_not_mix_things_up(self) -> None:
        old, new = Router(), Router()
        old.register("a.test", host="10.0.0.1")
        old.register("b.test", host="10.0.0.1")
        old.register("c.test", host="10.0.0.3")
        handed = old.handed()
        parts: list[Any] = [next(handed), next(handed)]
        # The number of one endpoint goes to another.
        old.unregister("c.test", host="10.0.0.3")
        old.register("d.test", host="10.0.0.4")
        old.register("b.test", host="10.0.0.5")
        parts += handed
        new.adopt(parts)
        assert new.routes().keys() == {"a.test", "b.test"}, "the successor receives registrations of the others itself"
        assert new.addresses("a.test") == ["10.0.0.1:80"]
        assert new.addresses("b.test") == ["10.0.0.1:80", "10.0.0.5:80"]

    @pytest.mark.parametrize(
        "field", [{"port": 65536}, {"port": -1}, {"app_id": "a\r\nb"}, {"host": "\x7f"}, {"tags": {"component": "\n"}}]
    )
    def test_what_no_registration_could_have_brought(self, field: dict[str, Any]) -> None:
        old, new = Router(), Router()
        old.register("a.test")
        endpoint, _ = old.handed()
        with pytest.raises(ValueError):  # noqa: PT011 each has words of its own
            new.adopt([msgspec.structs.replace(endpoint, **field)])

    def test_an_endpoint_that_was_not_introduced(self) -> None:
        with pytest.raises(ValueError, match="endpoint 4 was not introduced"):
            Router().adopt([HandedRoute("a.test", (HandedMember(4, 0.0),))])

    def test_fields_of_a_later_version_are_left_out(self) -> None:
        old, new = Router(), Router()
        old.register("a.test")
        adoption = Adoption(new.registry, new.failed_ago.__setitem__)
        for part in old.handed():
            longer = [*msgspec.msgpack.decode(msgspec.msgpack.encode(part)), "of a later version"]
            adoption.take(msgspec.convert(longer, HandedEndpoint | HandedRoute))
        assert new.addresses("a.test") == ["10.0.0.1:80"]


def test_marks_cross_from_one_mapping_to_another() -> None:
    bounds = ((1.0,),) * 5
    ours, theirs = SharedStats(1, bounds), SharedStats(2, bounds)
    assert ours.failed_ago(3) is None
    ours.mark(3, 10.0)
    ago = ours.failed_ago(3)
    assert ago is not None
    assert ago >= 10.0
    theirs.mark(5, ago)
    assert (theirs.failed_ago(5) or 0) >= ago
    theirs.clear_mark(5)
    assert theirs.failed_ago(5) is None


class TestMessagesMeanwhile:
    """What the successor receives between its subscription and the table's end counts more than the table."""

    @pytest.fixture
    def successor(self) -> Router:
        return Router()

    @pytest.fixture
    def subscriber(self, successor: Router) -> Subscriber:
        connection: Any = SimpleNamespace(flush=lambda: asyncio.sleep(0))
        subscriber = Subscriber(LOGGER, connection, successor.registry, b"{}", lambda: None)
        subscriber.hold()
        return subscriber

    async def test_an_unregistration_wins(self, successor: Router, subscriber: Subscriber) -> None:
        old = Router()
        old.register("a.test")
        await receive(subscriber, "router.unregister")
        await asyncio.sleep(0)
        successor.adopt(old.handed())
        assert successor.addresses("a.test") == ["10.0.0.1:80"]
        subscriber.release()
        await subscriber.until_caught_up()
        assert successor.addresses("a.test") == []

    async def test_a_registration_after_it_too(self, successor: Router, subscriber: Subscriber) -> None:
        old = Router()
        for subject in ("router.register", "router.unregister", "router.register"):
            await receive(subscriber, subject)
        successor.adopt(old.handed())
        subscriber.release()
        await subscriber.until_caught_up()
        assert successor.addresses("a.test") == ["10.0.0.1:80"]

    async def test_what_the_table_has_already(self, successor: Router, subscriber: Subscriber) -> None:
        old = Router()
        old.register("a.test")
        old.unregister("a.test")
        for subject in ("router.register", "router.unregister"):
            await receive(subscriber, subject)
        successor.adopt(old.handed())
        subscriber.release()
        await subscriber.until_caught_up()
        assert successor.routes() == {}


async def receive(subscriber: Subscriber, subject: str) -> None:
    subscriber._receive(subject, b'{"host":"10.0.0.1","port":80,"uris":["a.test"]}')


@pytest.fixture
async def lines() -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


Lines = tuple[socket.socket, socket.socket]

SMALL: list[Handed] = [HandedRoute("a.test", ()), HandedRoute("b.test", ())]


async def need_not() -> None:
    pass


async def received_with_end(line: socket.socket) -> list[Any]:
    async with asyncio.timeout(TIMEOUT):
        return [handed async for part in receive_table(line) for handed in part]


async def received(line: socket.socket) -> list[Any]:
    """The table without its end, which comes once, and last."""
    *table, end = await received_with_end(line)
    assert end == HandedEnd()
    assert HandedEnd not in map(type, table)
    return table


class TestLine:
    async def test_a_table(self, lines: Lines) -> None:
        offer = asyncio.create_task(offer_table(lines[0], need_not, lambda: iter(SMALL)))
        assert await received(lines[1]) == SMALL
        assert await offer

    async def test_no_table_is_one(self, lines: Lines) -> None:
        offer = asyncio.create_task(offer_table(lines[0], need_not, lambda: iter(())))
        assert await received(lines[1]) == []
        assert await offer

    async def test_the_end_says_what_drains(self, lines: Lines) -> None:
        offer = asyncio.create_task(offer_table(lines[0], need_not, lambda: iter(()), lambda: ["10.0.0.1:80"]))
        handed = await received_with_end(lines[1])
        assert handed == [HandedEnd(("10.0.0.1:80",))]
        assert await offer
        adoption = Adoption(Router().registry, lambda _number, _ago: None)
        adoption.take(handed[0])
        assert adoption.draining == ("10.0.0.1:80",)

    async def test_the_predecessor_catches_up_before_it_looks(self, lines: Lines) -> None:
        steps = []

        async def catch_up() -> None:
            steps.append("caught up")

        def table() -> Iterator[Handed]:
            steps.append("looked")
            return iter(())

        offer = asyncio.create_task(offer_table(lines[0], catch_up, table))
        await received(lines[1])
        assert await offer
        assert steps == ["caught up", "looked"]

    @pytest.mark.parametrize("request_line", [b"", b"table 2\n", REQUEST[:3]])
    async def test_who_does_not_ask_for_this_gets_none(self, lines: Lines, request_line: bytes) -> None:
        offer = asyncio.create_task(offer_table(lines[0], need_not, lambda: iter(SMALL)))
        lines[1].send(request_line)
        lines[1].shutdown(socket.SHUT_WR)
        async with asyncio.timeout(TIMEOUT):
            assert not await offer

    async def test_a_successor_that_leaves(self, lines: Lines) -> None:
        lines[1].send(REQUEST)
        lines[1].close()
        async with asyncio.timeout(TIMEOUT):
            assert not await offer_table(lines[0], need_not, lambda: iter(SMALL * 1000))

    async def test_a_successor_that_reads_slowly_fills_no_memory(self, lines: Lines) -> None:
        taken = 0

        def table() -> Iterator[Handed]:
            nonlocal taken
            while taken < 1000:
                taken += 1
                yield HandedRoute("x" * 100_000, ())

        lines[1].send(REQUEST)
        offer = asyncio.create_task(offer_table(lines[0], need_not, table))
        # It has had its turns when other things of the loop have had a thousand.
        for _ in range(1000):
            await asyncio.sleep(0)
        assert taken < 500, "or the frame is larger than a few milliseconds make it"
        offer.cancel()

    async def test_nobody_holds_the_loop(self, lines: Lines) -> None:
        turns = 0

        async def bystander() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        table = [HandedRoute(f"{number}.test", ()) for number in range(100_000)]
        beside = asyncio.create_task(bystander())
        offer = asyncio.create_task(offer_table(lines[0], need_not, lambda: iter(table)))
        assert len(await received(lines[1])) == len(table)
        assert await offer
        beside.cancel()
        assert turns > 10

    @pytest.mark.parametrize(
        ("sent", "reason"),
        [
            (b"", "it breaks off"),
            (b"\0\0", "it breaks off"),
            (b"\0\0\0\x05\x91", "it breaks off"),
            (b"\0\0\0\x01\xc1", "malformed"),
            (b"\0\0\0\x01\x05", "Expected `array`"),
            (b"\0\0\0\x03\x91\x91\x09", "Expected `str`"),
            (b"\xff\xff\xff\xff", "cannot have 4294967295 bytes"),
        ],
    )
    async def test_what_is_no_table(self, lines: Lines, sent: bytes, reason: str) -> None:
        lines[0].send(sent)
        lines[0].shutdown(socket.SHUT_WR)
        with pytest.raises(TableError, match=reason):
            await received(lines[1])

    async def test_a_table_that_does_not_come(self, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fastrouter.registry.handed_table._PATIENCE", 0.01)
        with pytest.raises(TableError, match="nothing of it comes"):
            await received(lines[1])
