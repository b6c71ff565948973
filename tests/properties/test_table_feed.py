"""A table that is sent in small steps, while it changes, is the registry's when it is complete."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fastrouter.admin.table_replica import TableReplica, address_of
from fastrouter.ipc.table_changes import BatchDecoder, BatchEncoder, Change
from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.registration import Options, Registration
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.registry.table_feed import TableFeed

URIS = st.sampled_from(["a.test", "A.test/", "a.test/p", "b.test", "c.test", "d.test"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["register", "unregister", "drain", "activate", "prune"]),
        URIS,
        st.integers(1, 4),
        st.sampled_from(["", "least-connection"]),
        st.sampled_from(["app", "other"]),
    ),
    max_size=25,
)


class World:
    """A registry with one receiver that gets its changes through a feed."""

    def __init__(self, empty_pool_timeout: float) -> None:
        self.now = 0.0
        self.registry = RouteRegistry(
            Logger(level=Level.ERROR),
            self.on_change,
            empty_pool_timeout=empty_pool_timeout,
            stale_threshold=100.0,
            clock=lambda: self.now,
        )
        self.feed: TableFeed | None = None
        self.news: list[tuple[str, str]] = []
        self.replica = TableReplica(lambda kind, route, _: self.news.append((kind, route)))
        self._decoder = BatchDecoder()
        self.encoder = BatchEncoder(self.receive, lambda _: None)

    def receive(self, frame: bytes) -> None:
        for batch in self._decoder.feed(frame):
            self.replica.apply_all(batch)

    def on_change(self, change: Change) -> None:
        if self.feed is not None:
            self.feed.add(change)

    async def step(self, kind: str, uri: str, port: int, algorithm: str, app: str) -> None:
        registry = self.registry
        endpoint = registry.new_endpoint(
            Registration(host="10.0.0.1", port=port, app=app, options=Options(loadbalancing=algorithm))
        )
        match kind:
            case "register":
                registry.register(uri, endpoint)
            case "unregister":
                registry.unregister(uri, endpoint)
            case "drain" | "activate":
                registry.held.set_draining(endpoint.address, is_draining=kind == "drain")
            case "prune":
                self.now += 60.0
                for _ in registry.prune():
                    pass

    def expected(self) -> dict[str, Any]:
        found = {}
        for step in self.registry.walk():
            if step is not None:
                key, route = step
                members = [member.endpoint for member in route.all_members()]
                drained = [self.registry.held.is_draining(member.address) for member in members]
                apps = [member.texts()[0] for member in members]
                found[key] = (
                    dict(zip([member.address for member in members], zip(apps, drained, strict=True), strict=True)),
                    route.algorithm,
                )
        return found

    def received(self) -> dict[str, Any]:
        self.encoder.flush()
        replica = self.replica
        return {
            key: (
                {
                    address_of(endpoint): (endpoint.app_id, endpoint.number in replica.draining)
                    for endpoint in replica.endpoints_of(route)
                },
                route.algorithm,
            )
            for key, route in replica.routes.items()
        }


@given(before=STEPS, meanwhile=STEPS, after=STEPS, empty_pool_timeout=st.sampled_from([0.0, 90.0]))
def test_the_receiver_has_what_the_registry_has(
    before: list[Any], meanwhile: list[Any], after: list[Any], empty_pool_timeout: float
) -> None:
    async def run() -> None:
        world = World(empty_pool_timeout)
        for step in before:
            await world.step(*step)
        world.feed = TableFeed(world.registry, world.encoder.add)
        steps = iter(meanwhile)

        class Eager:
            """Changes something wherever the loop could have its turn."""

            async def keep(self) -> None:
                if (step := next(steps, None)) is not None:
                    await world.step(*step)

        async def until_taken() -> None:
            await Eager().keep()

        await _run_with_pace(world.feed, until_taken, Eager())
        assert world.received() == world.expected()
        assert set(world.replica.holders) == {
            number for route in world.replica.routes.values() for number in route.numbers
        }
        for step in (*steps, *after):
            await world.step(*step)
        assert world.received() == world.expected()

    asyncio.run(run())


async def _run_with_pace(feed: TableFeed, until_taken: Any, pace: Any) -> None:
    from unittest.mock import patch

    with patch("fastrouter.registry.table_feed.Pace", lambda: pace):
        await feed.run(until_taken)
