"""RouteRegistry against a naive model, and every carrier of its changes against the registry itself."""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastrouter._core import EndpointPool, RouteTable
from fastrouter.ipc.table_changes import BatchDecoder, BatchEncoder, Change, Forget, Put, encode_changes
from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.registration import Options, Registration
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.worker.table_applier import TableApplier
from kept_lines import KeptLines

THRESHOLD = 100.0


@dataclass
class NaiveMember:
    fields: dict[str, Any]
    refreshed_at: float

    @property
    def is_stale_at(self) -> float:
        return float("inf") if self.fields["tls_port"] else self.refreshed_at + THRESHOLD


class NaiveRegistry:
    """All routes in a dict of dicts, every rule written out where it applies."""

    def __init__(self, empty_pool_timeout: float) -> None:
        self.routes: dict[str, dict[str, NaiveMember]] = {}
        self.changed_at: dict[str, float] = {}
        self.route_services: dict[str, str] = {}
        self.algorithms: dict[str, str] = {}
        self.empty_pool_timeout = empty_pool_timeout

    @staticmethod
    def key(uri: str) -> str:
        text = uri.removesuffix("/").lower()
        if "?" in text:
            text = text[: text.index("?")]
        return text.removesuffix("/").removeprefix("/")

    @staticmethod
    def address(fields: dict[str, Any]) -> str:
        return f"{fields['host']}:{fields['tls_port'] or fields['port']}"

    def register(self, uri: str, fields: dict[str, Any], now: float) -> None:
        key = self.key(uri)
        members = self.routes.setdefault(key, {})
        known = members.get(self.address(fields))
        zone = fields["availability_zone"]
        if known is not None and known.fields | {"availability_zone": zone, "port": fields["port"]} == fields:
            # The port behind a TLS port is no attribute of an endpoint.
            known.refreshed_at = now
        else:
            members[self.address(fields)] = NaiveMember(fields, now)
        self.changed_at[key] = now
        self.route_services[key] = fields["route_service_url"]
        if fields["options"].loadbalancing in {"round-robin", "least-connection"}:
            # The router's own needs no name.
            self.algorithms[key] = fields["options"].loadbalancing.replace("round-robin", "")

    def unregister(self, uri: str, fields: dict[str, Any], now: float) -> None:
        key = self.key(uri)
        if key not in self.routes:
            return
        if self.routes[key].pop(self.address(fields), None):
            self.changed_at[key] = now
        self.drop_if_empty(key, now)

    def prune_endpoint(self, uri: str, fields: dict[str, Any], now: float) -> None:
        key = self.key(uri)
        member = self.routes.get(key, {}).get(self.address(fields))
        if member is not None and member.fields["tls_port"]:
            del self.routes[key][self.address(fields)]
            self.changed_at[key] = now

    def prune(self, now: float) -> None:
        for key, members in list(self.routes.items()):
            for address, member in list(members.items()):
                if now > member.is_stale_at:
                    del members[address]
                    self.changed_at[key] = now
            self.drop_if_empty(key, now)

    def mark_all_fresh(self, now: float) -> None:
        for members in self.routes.values():
            for member in members.values():
                member.refreshed_at = now

    def drop_if_empty(self, key: str, now: float) -> None:
        lingers = self.empty_pool_timeout and now - self.changed_at[key] <= self.empty_pool_timeout
        if not self.routes[key] and not lingers:
            for book in (self.routes, self.changed_at, self.route_services, self.algorithms):
                book.pop(key, None)

    def shown(self) -> dict[str, list[tuple[str, str, str]]]:
        return {
            key: [
                (address, member.fields["app"], member.fields["availability_zone"])
                for address, member in members.items()
            ]
            for key, members in self.routes.items()
        }


uris = st.builds(
    lambda host, path, end: host + path + end,
    st.sampled_from(["a", "A", "b.a", "*.a"]),
    st.sampled_from(["", "/x", "/X/y"]),
    st.sampled_from(["", "/", "?q"]),
)
# Few values each, so that registrations meet, and differ in one thing.
fields = st.fixed_dictionaries(
    {
        "host": st.just("10.0.0.1"),
        "port": st.integers(1, 3),
        "tls_port": st.sampled_from([0, 0, 4]),
        "app": st.sampled_from(["", "app"]),
        "protocol": st.sampled_from(["http1", "http1", "http2"]),
        "private_instance_id": st.sampled_from(["i", "j"]),
        "availability_zone": st.sampled_from(["", "z"]),
        "route_service_url": st.sampled_from(["", "", "https://rs"]),
        "options": st.sampled_from(
            [Options(), Options("least-connection"), Options("round-robin"), Options("strange")]
        ),
        "tags": st.sampled_from([None, {}, {"component": "c"}, {"process_id": "p", "component": "d"}]),
    }
)


def contents(table: RouteTable, keys: set[str]) -> dict[str, object]:
    """All that a table says of the given routes; a lookup would also find the routes around them."""
    found = {}
    for key in keys:
        host, slash, path = key.partition("/")
        pool = table.lookup(host, slash + path)
        found[key] = None if pool is None else pool_contents(pool)
    return {**found, "size": len(table)}


def pool_contents(pool: EndpointPool) -> object:
    return (
        pool.host,
        pool.context_path,
        pool.route_service_url or "",
        pool.algorithm or "",
        [
            (
                endpoint.address,
                endpoint.app_id,
                endpoint.instance_id,
                endpoint.instance_index,
                endpoint.tls,
                endpoint.server_cert_domain_san,
                endpoint.is_http2,
                endpoint.availability_zone,
                endpoint.process_id,
                endpoint.component,
            )
            for endpoint in pool.endpoints
        ],
    )


class RegistryMachine(RuleBasedStateMachine):
    """One registry, its model, and three tables: fed by calls, by frames in pieces, and by a snapshot."""

    @initialize(empty_pool_timeout=st.sampled_from([0.0, 50.0]), piece=st.integers(1, 40))
    def start(self, empty_pool_timeout: float, piece: int) -> None:
        self.now = 0.0
        self.is_suspended = False
        self.piece = piece
        self.model = NaiveRegistry(empty_pool_timeout)
        self.direct, self.framed = RouteTable(), RouteTable()
        self.apply_direct = TableApplier(self.direct)
        self.apply_framed = TableApplier(self.framed)
        self.encoder = BatchEncoder(self.carry, lambda _: None)
        self.registry = RouteRegistry(
            Logger(level=Level.DEBUG, writer=KeptLines()),
            self.emit,
            stale_threshold=THRESHOLD,
            empty_pool_timeout=empty_pool_timeout,
            is_pruning_suspended=lambda: self.is_suspended,
            clock=lambda: self.now,
        )

    def emit(self, change: Change) -> None:
        self.apply_direct.apply(change)
        self.encoder.add(change)

    def carry(self, frame: bytes) -> None:
        for at in range(0, len(frame), self.piece):
            self.apply_framed.feed(frame[at : at + self.piece])

    @rule(uris=st.lists(uris, min_size=1, max_size=3), fields=fields)
    def register(self, uris: list[str], fields: dict[str, Any]) -> None:
        endpoint = self.registry.new_endpoint(Registration(**fields))
        for uri in uris:
            self.registry.register(uri, endpoint)
            self.model.register(uri, fields, self.now)

    @rule(uri=uris, fields=fields)
    def unregister(self, uri: str, fields: dict[str, Any]) -> None:
        self.registry.unregister(uri, self.registry.new_endpoint(Registration(**fields)))
        self.model.unregister(uri, fields, self.now)

    @rule(uri=uris, fields=fields)
    def prune_endpoint(self, uri: str, fields: dict[str, Any]) -> None:
        self.registry.prune_endpoint(uri, self.model.address(fields))
        self.model.prune_endpoint(uri, fields, self.now)

    @rule(seconds=st.sampled_from([1.0, 51.0, 101.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def prune(self) -> None:
        for _ in self.registry.prune():
            pass
        self.model.prune(self.now)

    @rule()
    def suspend_pruning_for_one_pass(self) -> None:
        self.is_suspended = True
        for _ in self.registry.prune():
            pass
        self.is_suspended = False
        self.model.mark_all_fresh(self.now)
        self.prune()

    @invariant()
    def agrees_with_the_model(self) -> None:
        shown = {
            key: [(endpoint["address"], endpoint.get("app"), endpoint["availability_zone"]) for endpoint in endpoints]
            for key, endpoints in json.loads(b"".join(self.registry.routes_json())).items()
        }
        # /routes does not show the app: the table does, below.
        assert shown == {
            key: [(address, None, zone) for address, _, zone in members] for key, members in self.model.shown().items()
        }
        assert len(self.registry) == len(self.model.routes)
        assert list(shown) == sorted(shown)
        for key, members in self.model.routes.items():
            if members:
                host, slash, path = key.partition("/")
                pool = self.direct.lookup(host, slash + path)
                assert pool is not None
                assert [endpoint.app_id for endpoint in pool.endpoints] == [
                    member.fields["app"] for member in members.values()
                ]
                assert (pool.route_service_url or "") == self.model.route_services[key]
                assert (pool.algorithm or "") == self.model.algorithms.get(key, "")

    @invariant()
    def all_tables_are_equal(self) -> None:
        self.encoder.flush()
        late = RouteTable()
        apply_late = TableApplier(late)
        for frame in encode_changes(self.registry.snapshot()):
            apply_late.feed(frame)
        keys = set(self.model.routes)
        expected = contents(self.direct, keys)
        assert expected["size"] == len(keys)
        assert contents(self.framed, keys) == expected
        assert contents(late, keys) == expected

    @invariant()
    def a_late_worker_understands_what_follows(self) -> None:
        """Every number that is in use is known after a snapshot, and no other."""
        known = {change.number for change in self.registry.snapshot() if isinstance(change, Put)}
        forgotten = {change.number for change in self.registry.snapshot() if isinstance(change, Forget)}
        in_use = {member.endpoint.number for route in self.registry._routes.values() for member in route.all_members()}
        assert known - forgotten == in_use


RegistryMachine.TestCase.settings = settings(max_examples=settings().max_examples * 3 // 5, stateful_step_count=25)
TestRegistry = RegistryMachine.TestCase


@given(st.lists(st.text(max_size=10), max_size=30), st.integers(1, 50))
def test_frames_carry_changes_whatever_the_pieces(texts: list[str], piece: int) -> None:
    changes: list[Change] = [Put(text, number) for number, text in enumerate(texts)]
    stream = b"".join(encode_changes(changes))
    decoder = BatchDecoder()
    arrived = [
        change
        for at in range(0, len(stream), piece)
        for batch in decoder.feed(stream[at : at + piece])
        for change in batch
    ]
    assert arrived == changes


@given(st.binary(min_size=1))
def test_a_stream_that_is_none_is_a_value_error(data: bytes) -> None:
    try:
        BatchDecoder().feed(data)
    except ValueError:
        return
