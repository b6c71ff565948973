"""Policies of routes: how registrations and static routes say them, and where they are shown (spec 9.8)."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fastrouter._core import RoutePolicy
from fastrouter.ipc.table_changes import Change, Introduce, PolicyRule, Put
from fastrouter.logs.logger import Level, Logger
from fastrouter.registry.adoption import Adoption
from fastrouter.registry.registration import Options, Registration, decode_registration
from fastrouter.registry.static_registry import StaticRouteRegistry
from fastrouter.registry.static_routes import RoutesError, load_routes_file
from fastrouter.worker.table_applier import TableApplier
from kept_lines import KeptLines

TAGS = {"organization_id": "o-1", "space_id": "s-1", "component": "route-emitter"}
RULE = PolicyRule("org", ("cf:app:a-1", "cf:any"), "o-1", "s-1")


class Harness:
    def __init__(self, **options: Any) -> None:
        self.changes: list[Change] = []
        self.lines = KeptLines()
        self.registry = StaticRouteRegistry(
            Logger("router", level=Level.INFO, writer=self.lines), self.changes.append, **options
        )

    def register(self, scope: str, sources: str, uri: str = "a.test", **fields: Any) -> None:
        options = Options(route_policy_scope=scope, route_policy_sources=sources)
        registration = Registration(**{"host": "10.0.0.1", "port": 80, "tags": TAGS, "options": options, **fields})
        self.registry.register(uri, self.registry.new_endpoint(registration))

    def policies(self) -> list[PolicyRule | None]:
        return [change.policy for change in self.changes if isinstance(change, Introduce)]

    def malformed(self) -> list[str]:
        return [
            record["data"]["policy"] for record in self.lines.records if record["message"] == "malformed-route-policy"
        ]

    def routes(self) -> dict[str, list[dict[str, Any]]]:
        routes: dict[str, list[dict[str, Any]]] = json.loads(b"".join(self.registry.routes_json()))
        return routes


class TestRegistrations:
    @pytest.mark.parametrize("is_current", [False, True])
    def test_come_with_the_endpoint(self, is_current: bool) -> None:
        """In any generation: who asks to be guarded must not be left open. No route is there before its policy."""
        harness = Harness(is_current=is_current)
        harness.register("org", " cf:app:a-1, cf:any ,,")
        assert [type(change) for change in harness.changes] == [Introduce, Put]
        assert harness.policies() == [RULE]

    def test_that_ask_for_none(self) -> None:
        harness = Harness()
        harness.register("", "cf:any")
        assert harness.policies() == [None]
        assert "route_policy_scope" not in harness.routes()["a.test"][0]

    def test_that_say_not_where_the_app_is(self) -> None:
        harness = Harness()
        harness.register("space", "", tags=None)
        assert harness.policies() == [PolicyRule("space")]

    def test_another_policy_is_another_endpoint(self) -> None:
        harness = Harness()
        for sources in ("cf:any", "cf:any", "cf:app:a-1"):
            harness.register("any", sources)
        assert [rule.sources for rule in harness.policies() if rule] == [("cf:any",), ("cf:app:a-1",)]

    def test_malformed_sources_are_logged_once(self) -> None:
        harness = Harness()
        for port in (80, 81):
            harness.register("any", "cf:app:,cf:any,app-1,cf:org:o-1,spiffe://t/x,spiffe:,cf:ANY", port=port)
        assert harness.malformed() == ["cf:app:", "app-1", "spiffe:", "cf:ANY"]

    def test_in_routes(self) -> None:
        harness = Harness()
        harness.register("org", "cf:app:a-1,cf:any")
        (shown,) = harness.routes()["a.test"]
        assert (shown["route_policy_scope"], shown["route_policies"]) == ("org", ["cf:app:a-1", "cf:any"])

    def test_in_json(self) -> None:
        options = b'{"route_policy_scope": "org", "Route_Policy_Sources": "cf:any"}'
        registration = decode_registration(b'{"host": "h", "port": 1, "uris": ["a"], "options": ' + options + b"}")
        assert registration.options == Options(route_policy_scope="org", route_policy_sources="cf:any")
        with pytest.raises(ValueError, match="route_policy_sources must not be longer"):
            decode_registration(b'{"options": {"route_policy_sources": "' + b"x" * 70000 + b'"}}')

    def test_are_handed_over(self) -> None:
        harness, successor = Harness(), Harness()
        harness.register("org", "cf:app:a-1,cf:any")
        adoption = Adoption(successor.registry, lambda *_: None)
        for handed in harness.registry.hand_over(lambda _: None):
            adoption.take(handed)
        assert successor.policies() == [RULE]


def test_endpoints_with_the_same_policy_share_it() -> None:
    from fastrouter._core import RouteTable

    table = RouteTable()
    applier = TableApplier(table)
    for number, rule in enumerate([RULE, msgspec.structs.replace(RULE), PolicyRule("any"), None]):
        fields = ("", "", "", False, "", "http1", "", "", "")
        applier.apply(Introduce(number, "h", number + 1, *fields, policy=rule))
        applier.apply(Put("a.test", number))
    pool = table.lookup("a.test")
    assert pool is not None
    first, second, third, fourth = (endpoint.policy for endpoint in pool.endpoints)
    assert first is second
    assert (third.scope if third else "", fourth) == ("any", None)


def test_the_first_source_that_is_for_a_caller_counts() -> None:
    policy = RoutePolicy("any", ["cf:app:a", "cf:app:a", "cf:any"])
    assert policy.sources == ("cf:app:a", "cf:app:a", "cf:any")


ROUTE = """
routes:
  - route: a.test
    app_id: the-app
    {keys}
    endpoints:
      - address: 10.0.0.1:80
"""


class TestStaticRoutes:
    async def load(self, directory: Path, harness: Harness, *keys: str) -> None:
        path = directory / "routes.yml"
        path.write_text(ROUTE.replace("{keys}", "\n    ".join(keys)))
        await harness.registry.replace_static(load_routes_file(str(path)))

    async def test_have_the_same_policies(self, tmp_path: Path) -> None:
        harness = Harness()
        await self.load(
            tmp_path,
            harness,
            "organization_id: o-1",
            "space_id: s-1",
            "route_policy_scope: org",
            "route_policy_sources: [cf:app:a-1, cf:any]",
        )
        assert harness.policies() == [RULE]
        await self.load(tmp_path, harness, "route_policy_scope: any", "route_policy_sources: ['spiffe://t/*']")
        assert harness.policies()[-1] == PolicyRule("any", ("spiffe://t/*",))
        await self.load(tmp_path, harness)
        assert harness.policies()[-1] is None
        assert len(harness.policies()) == 3

    async def test_and_a_registration_is_as_it_says(self, tmp_path: Path) -> None:
        """It may bring one of its own, and cannot take away what another endpoint has."""
        harness = Harness()
        await self.load(tmp_path, harness, "route_policy_scope: any", "route_policy_sources: [cf:any]")
        harness.register("", "", host="10.0.0.2")
        assert harness.policies() == [PolicyRule("any", ("cf:any",)), None]

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            (("route_policy_sources: [cf:any]",), "has route_policy_sources, but no route_policy_scope"),
            (("route_policy_scope: any", "route_policy_sources: [app-1]"), "'app-1' is no source"),
            (("route_policy_scope: any", "route_policy_sources: ['cf:app:x,cf:any']"), "'cf:app:x,cf:any' is no"),
            (("route_policy_scope: org",), "needs its organization_id"),
            (("route_policy_scope: space", "organization_id: o-1"), "needs its space_id"),
            (("route_policy_scope: planet",), "Invalid enum value 'planet'"),
        ],
    )
    async def test_that_are_refused(self, tmp_path: Path, keys: tuple[str, ...], message: str) -> None:
        with pytest.raises(RoutesError, match=message):
            await self.load(tmp_path, Harness(), *keys)
