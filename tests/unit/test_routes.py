from pathlib import Path

import pytest

from fastrouter.ipc.table_changes import HashRule
from fastrouter.registry.static_routes import (
    RoutesError,
    StaticBalancing,
    StaticEndpoint,
    StaticRoute,
    load_routes_file,
    parse_route_option,
)


def write(directory: Path, text: str) -> str:
    path = directory / "routes.yml"
    path.write_text(text)
    return str(path)


def test_route_option() -> None:
    assert parse_route_option("app.test/a=b=127.0.0.1:1,[::1]:2") == StaticRoute(
        "app.test/a=b", (StaticEndpoint("127.0.0.1:1"), StaticEndpoint("[::1]:2"))
    )


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("app.test", "'app.test' has no '=': expected HOST[/PATH]=ADDRESS[,ADDRESS...]"),
        ("=127.0.0.1:1", "'' has no host: expected HOST[/PATH]"),
        ("/path=127.0.0.1:1", "'/path' has no host: expected HOST[/PATH]"),
        ("app.test=", "'' has no port: expected HOST:PORT"),
        ("app.test=127.0.0.1:1,", "'' has no port: expected HOST:PORT"),
        ("http://app.test=127.0.0.1:1", "'http://app.test' has a scheme: expected HOST[/PATH]"),
        ("app.test/?a=127.0.0.1:1", "'app.test/?a' has a query: expected HOST[/PATH]"),
        (
            "app.test/a b=127.0.0.1:1",
            "'app.test/a b' has a character that is always escaped in a request",
        ),
        (
            "äpp.test=127.0.0.1:1",
            "'äpp.test' has a character that is always escaped in a request",
        ),
        (
            "app.test:80=127.0.0.1:1",
            "'app.test:80' has a port: a request is matched by its host without the port",
        ),
    ],
)
def test_route_option_that_breaks_a_rule(text: str, rule: str) -> None:
    with pytest.raises(RoutesError) as raised:
        parse_route_option(text)
    assert str(raised.value) == rule


def test_routes_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        routes:
          - route: "*.app.test/api"
            app_id: some-app
            endpoints:
              - {address: "127.0.0.1:1", instance_id: first, index: 0}
              - address: 127.0.0.1:2
              - {address: "127.0.0.1:3", tls: true, server_cert_domain_san: app.internal, protocol: http2}
              - {address: "127.0.0.1:4", tls: false}
        """,
    )
    endpoints = (
        StaticEndpoint("127.0.0.1:1", "first", "0"),
        StaticEndpoint("127.0.0.1:2"),
        StaticEndpoint("127.0.0.1:3", tls=True, server_cert_domain_san="app.internal", protocol="http2"),
        StaticEndpoint("127.0.0.1:4"),
    )
    assert load_routes_file(path) == (StaticRoute("*.app.test/api", endpoints, app_id="some-app"),)


def test_every_scalar_of_a_routes_file_is_the_text_that_was_written(tmp_path: Path) -> None:
    """YAML 1.1 would make these 8, True, 4810, 1.2e+35 and None."""
    path = write(
        tmp_path,
        """
        routes:
          - {route: on, app_id: 010, endpoints: [{address: "a:1", instance_id: 1:20:10, index: 12e34}]}
          - {route: ~, app_id: null, endpoints: [{address: "a:1", instance_id: 2001-01-01, index: 0x1F}]}
        """,
    )
    assert load_routes_file(path) == (
        StaticRoute("on", (StaticEndpoint("a:1", "1:20:10", "12e34"),), app_id="010"),
        StaticRoute("~", (StaticEndpoint("a:1", "2001-01-01", "0x1F"),), app_id="null"),
    )


@pytest.mark.parametrize(
    ("keys", "balancing"),
    [
        ("", StaticBalancing("", None)),
        ("loadbalancing: least-connection", StaticBalancing("least-connection", None)),
        (
            "loadbalancing: hash, hash_header: X-Tenant, hash_balance: 1.25",
            StaticBalancing("hash", HashRule("header", "X-Tenant", 1.25)),
        ),
        ("loadbalancing: hash, hash_cookie: shop", StaticBalancing("hash", HashRule("cookie", "shop"))),
        ("loadbalancing: hash, hash_by: path", StaticBalancing("hash", HashRule("path"))),
        (
            "loadbalancing: hash, hash_by: client-address, hash_balance: 2",
            StaticBalancing("hash", HashRule("client-address", "", 2.0)),
        ),
    ],
)
def test_balancing_of_a_route(tmp_path: Path, keys: str, balancing: StaticBalancing) -> None:
    path = write(tmp_path, f"routes: [{{route: a, endpoints: [{{address: 'a:1'}}], {keys}}}]")
    (route,) = load_routes_file(path)
    assert route.balancing == balancing


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "Expected `object`, got `null`"),
        ("routes: x", "routes: Expected `array`, got `str`"),
        ("rotues: []", "Object contains unknown field `rotues`: there are routes"),
        ("routes: [{endpoints: [{address: 'a:1'}]}]", "routes[0]: Object missing required field `route`"),
        ("routes: [{route: a, endpoints: []}]", "routes[0].endpoints: Expected `array` of length >= 1"),
        (
            "routes: [{route: a, endpoints: [{address: 'a:1'}, {address: a}]}]",
            "routes[0].endpoints[1]: 'a' has no port: expected HOST:PORT",
        ),
        (
            "routes: [{route: a, endpoints: [{address: 'a:1', index: [0]}]}]",
            "routes[0].endpoints[0].index: Expected `str`, got `array`",
        ),
        (
            "routes: [{route: a, endpoints: [{address: 'a:1', tls: perhaps}]}]",
            "routes[0].endpoints[0].tls: Expected `bool`, got `str`",
        ),
        (
            "routes: [{route: a, endpoints: [{address: 'a:1', protocol: h3}]}]",
            "routes[0].endpoints[0].protocol: Invalid enum value 'h3': it is one of h2c, http1, http2",
        ),
        (
            "routes: [{route: a, endpoints: [{address: 'a:1', port: 1}]}]",
            "routes[0].endpoints[0]: Object contains unknown field `port`: "
            "there are address, instance_id, index, tls, server_cert_domain_san, protocol",
        ),
        (
            "routes: [{route: 'a:80', endpoints: [{address: 'a:1'}]}]",
            "routes[0]: 'a:80' has a port: a request is matched by its host without the port",
        ),
        (
            'routes: [{route: a, app_id: "x\\r\\nX-Evil: 1", endpoints: [{address: "a:1"}]}]',
            "routes[0]: app_id must be printable ASCII, not 'x\\r\\nX-Evil: 1'",
        ),
        (
            "routes: [{route: a, loadbalancing: fair, endpoints: [{address: 'a:1'}]}]",
            "routes[0].loadbalancing: Invalid enum value 'fair': it is one of hash, least-connection, round-robin",
        ),
        (
            "routes: [{route: a, hash_header: X, endpoints: [{address: 'a:1'}]}]",
            "routes[0]: 'a' has keys of `hash`, but its loadbalancing is not that",
        ),
        (
            "routes: [{route: a, loadbalancing: hash, hash_balance: 2, endpoints: [{address: 'a:1'}]}]",
            "routes[0]: 'a' needs one of hash_header, hash_cookie and hash_by",
        ),
        (
            "routes: [{route: a, loadbalancing: hash, hash_header: X, hash_by: path, endpoints: [{address: 'a:1'}]}]",
            "routes[0]: 'a' needs one of hash_header, hash_cookie and hash_by",
        ),
        (
            "routes: [{route: a, loadbalancing: hash, hash_by: weather, endpoints: [{address: 'a:1'}]}]",
            "routes[0].hash_by: Invalid enum value 'weather': it is one of client-address, path",
        ),
        (
            "routes: [{route: a, loadbalancing: hash, hash_cookie: 'a b', endpoints: [{address: 'a:1'}]}]",
            "routes[0]: 'a b' is no name of a header or cookie",
        ),
        (
            "routes: [{route: a, loadbalancing: hash, hash_by: path, hash_balance: 0.5, endpoints: [{address: a:1}]}]",
            "routes[0]: hash_balance must be 0 or at least 1, not 0.5",
        ),
        (
            "routes: [{route: a, loadbalancing: hash, hash_by: path, hash_balance: nan, endpoints: [{address: a:1}]}]",
            "routes[0]: hash_balance must be 0 or at least 1, not nan",
        ),
    ],
)
def test_routes_file_that_breaks_a_rule(tmp_path: Path, text: str, rule: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RoutesError) as raised:
        load_routes_file(path)
    assert str(raised.value) == f"{path}: {rule}"


def test_routes_file_that_is_no_yaml(tmp_path: Path) -> None:
    path = write(tmp_path, "routes: [")
    with pytest.raises(RoutesError, match=r"not valid YAML: .* line 2, column 1$") as raised:
        load_routes_file(path)
    assert str(raised.value).startswith(f"{path}: ")


def test_a_routes_file_builds_no_python_objects(tmp_path: Path) -> None:
    path = write(tmp_path, "!!python/object/apply:os.getpid []")
    with pytest.raises(RoutesError, match="Expected `object`, got `array`"):
        load_routes_file(path)
