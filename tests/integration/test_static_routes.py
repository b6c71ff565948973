"""Static routes beside registrations, and their file read again on SIGHUP."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from .conftest import StartGorouter, StartRouter
from .gorouter_process import get, register, unregister
from .nats_server import RawNatsClient
from .raw_backend import AnsweringBackend
from .router_process import LoggingProcess, wait_for
from .tls_backend import SAN, Authority, TlsBackend


class RoutesFile:
    """A routes file that the test changes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, **routes: Sequence[str]) -> None:
        """Route each name, with `.test` behind it, to addresses."""
        document = {
            "routes": [
                {"route": f"{name}.test", "endpoints": [{"address": address} for address in addresses]}
                for name, addresses in routes.items()
            ]
        }
        self.path.write_text(yaml.safe_dump(document))


@pytest.fixture
def file(tmp_path: Path) -> RoutesFile:
    return RoutesFile(tmp_path / "routes.yml")


def reload(router: LoggingProcess, message: str = "routes-file-loaded") -> dict[str, object]:
    """Have the file read again; returns the data of the log line about it."""
    count = len(router.events(message))
    router.send_signal(signal.SIGHUP)
    wait_for(lambda: len(router.events(message)) > count or None, message)
    data: dict[str, object] = router.events(message)[-1]["data"]
    return data


def body_of(router: LoggingProcess, host: str) -> bytes:
    return get(router.port, "/", Host=host)[1]


def test_both_kinds_of_routes_are_served(
    file: RoutesFile,
    start_gorouter: StartGorouter,
    nats: RawNatsClient,
    serving: AnsweringBackend,
    other: AnsweringBackend,
) -> None:
    file.write(static=[serving.address])
    router = start_gorouter(
        arguments=["--routes", str(file.path)], prune_stale_droplets_interval="100ms", droplet_stale_threshold="500ms"
    )
    router.wait_until_started()
    register(nats, other.address, "app.test")
    wait_for(lambda: router.addresses("app.test"), "the registration")
    assert body_of(router, "static.test") == b"first"
    wait_for(lambda: body_of(router, "app.test") == b"second" or None, "the registered app")
    # Registrations age, static routes never do.
    router.wait_for_event("pruned-route")
    assert sorted(router.routes()) == ["static.test"]
    assert body_of(router, "static.test") == b"first"


def test_a_new_file_replaces_the_static_part_only(
    file: RoutesFile,
    start_gorouter: StartGorouter,
    nats: RawNatsClient,
    serving: AnsweringBackend,
    other: AnsweringBackend,
) -> None:
    file.write(static=[serving.address], gone=[serving.address])
    router = start_gorouter(arguments=["--routes", str(file.path)])
    router.wait_until_started()
    register(nats, other.address, "app.test", "static.test")
    wait_for(lambda: router.addresses("app.test"), "the registration")
    file.write(static=[serving.address], new=[other.address])
    assert reload(router) == {"file": str(file.path), "changed": 1, "removed": 1}
    assert router.routes().keys() == {"static.test", "new.test", "app.test"}
    assert sorted(router.addresses("static.test") or []) == sorted([serving.address, other.address])
    wait_for(lambda: body_of(router, "new.test") == b"second" or None, "the new route")
    wait_for(lambda: get(router.port, "/", Host="gone.test")[0] == 404 or None, "the end of the old one")
    assert body_of(router, "app.test") == b"second"

    file.write()
    reload(router)
    assert router.routes().keys() == {"static.test", "app.test"}
    assert router.addresses("static.test") == [other.address], "what an app has registered is the app's"


def test_what_stays_keeps_its_connections(
    file: RoutesFile, start_gorouter: StartGorouter, serving: AnsweringBackend
) -> None:
    file.write(static=[serving.address])
    router = start_gorouter(arguments=["--routes", str(file.path)])
    router.wait_until_started()
    assert body_of(router, "static.test") == b"first"
    file.write(static=[serving.address], new=["127.0.0.1:1"])
    reload(router)
    wait_for(lambda: get(router.port, "/", Host="new.test")[0] == 502 or None, "the new route")
    assert body_of(router, "static.test") == b"first"
    assert serving.connection_count == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("routes: [{route: a.test, endpoints: []}]", "routes[0].endpoints: Expected `array` of length >= 1"),
        ("routes: [", "not valid YAML"),
        ("", "Expected `object`"),
        (None, "no such file or directory"),
    ],
)
def test_a_file_that_does_not_validate_is_refused(
    text: str | None, told: str, file: RoutesFile, start_gorouter: StartGorouter, serving: AnsweringBackend
) -> None:
    file.write(static=[serving.address])
    router = start_gorouter(arguments=["--routes", str(file.path)])
    router.wait_until_started()
    if text is None:
        file.path.unlink()
    else:
        file.path.write_text(text)
    refused = reload(router, "routes-file-refused")
    assert refused["file"] == str(file.path)
    assert told in str(refused["error"])
    assert router.events("routes-file-refused")[0]["log_level"] == 3
    assert body_of(router, "static.test") == b"first"
    # And is no obstacle to a better one.
    file.write(better=[serving.address])
    reload(router)
    wait_for(lambda: body_of(router, "better.test") == b"first" or None, "the better one")


def test_a_bad_file_keeps_the_router_from_starting(file: RoutesFile, start_gorouter: StartGorouter) -> None:
    file.path.write_text("routes: 1")
    router = start_gorouter(arguments=["--routes", str(file.path)])
    assert router.wait() == 1
    assert router.events("routes-file-refused")


def test_where_both_name_the_same_backend_the_static_one_stays(
    file: RoutesFile, start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend
) -> None:
    file.write(both=[serving.address])
    router = start_gorouter(
        arguments=["--routes", str(file.path)], prune_stale_droplets_interval="100ms", droplet_stale_threshold="500ms"
    )
    router.wait_until_started()
    register(nats, serving.address, "both.test")
    register(nats, serving.address, "marker.test")
    unregister(nats, serving.address, "both.test")
    router.wait_for_event("pruned-route")
    assert router.addresses("both.test") == [serving.address]
    assert body_of(router, "both.test") == b"first"


def test_a_registration_takes_over_from_a_static_route_that_goes(
    file: RoutesFile, start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend
) -> None:
    """Whether it came before the static one, or while that was there."""
    file.write(later=[serving.address])
    router = start_gorouter(arguments=["--routes", str(file.path)])
    router.wait_until_started()
    register(nats, serving.address, "earlier.test", "later.test", app="the-app")
    wait_for(lambda: router.addresses("earlier.test"), "the registration")
    file.write(earlier=[serving.address], later=[serving.address])
    reload(router)
    file.write()
    reload(router)
    assert router.addresses("earlier.test") == [serving.address]
    assert router.addresses("later.test") == [serving.address]
    unregister(nats, serving.address, "earlier.test", "later.test")
    wait_for(lambda: True if not router.routes() else None, "their end")


def test_the_static_router_reads_its_file_again_too(
    file: RoutesFile, tmp_path: Path, serving: AnsweringBackend, other: AnsweringBackend
) -> None:
    """What was given on the command line stays."""
    file.write(static=[serving.address])
    router = LoggingProcess(
        *("run", "--no-admin", "--listen", "127.0.0.1:0", "--workers", "2", "--routes", str(file.path)),
        *("--route", f"option.test={other.address}"),
        access_log=tmp_path / "access.log",
    )
    try:
        router.wait_for_event("gorouter.started")
        assert body_of(router, "static.test") == b"first"
        file.write(new=[serving.address])
        reload(router)
        for _ in range(8):
            wait_for(lambda: body_of(router, "new.test") == b"first" or None, "the new route")
            wait_for(lambda: get(router.port, "/", Host="static.test")[0] == 404 or None, "the end of the old one")
        assert body_of(router, "option.test") == b"second"
    finally:
        router.stop()
    assert router.complaints == []


def test_endpoints_with_tls(tmp_path: Path, start_router: StartRouter) -> None:
    # The router does not trust this authority, but the handshake shows that it speaks TLS.
    with TlsBackend(Authority().server()) as backend:
        path = tmp_path / "routes.yml"
        endpoint = {"address": backend.address, "tls": True, "server_cert_domain_san": SAN}
        path.write_text(yaml.safe_dump({"routes": [{"route": "tls.test", "endpoints": [endpoint]}]}))
        router = start_router({}, arguments=["--routes", str(path)])
        client = router.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: tls.test\r\n\r\n")
        backend.refuse()
        response = client.read_response()
        assert response.status == 526
        assert response.body == b"526 Invalid SSL Certificate\n"
        pruned = router.wait_for_event("prune-failed-endpoint")
        assert pruned["source"] == "gorouter.stdout.registry"
        assert pruned["data"]["route-endpoint"]["Addr"] == backend.address
        assert router.wait_for_event("backend-endpoint-failed")["source"] == "gorouter.stdout"
        # Off the table of this worker and of all others.
        client.send(b"GET / HTTP/1.1\r\nHost: tls.test\r\n\r\n")
        assert client.read_response().status == 404
