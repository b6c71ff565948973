"""mTLS domains and route policies with the real executable: its file, registrations, static routes, `explain`."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .admin_routers import admin_of
from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, register
from .issuer import CLIENT, Issuer, Pair, instance_name, uri_names
from .nats_server import RawNatsClient
from .raw_backend import AnsweringBackend
from .router_process import EXECUTABLE, START_PATIENCE, wait_for
from .tls_front import TlsClient, client_context, tls_keys

APP = ("app:app-1", "space:space-1", "organization:org-1")
POLICY = {"route_policy_scope": "org", "route_policy_sources": "cf:app:app-1"}


@pytest.fixture(scope="module")
def client_ca() -> Issuer:
    return Issuer("instance identities")


def identity(issuer: Issuer, *units: str, uri: str = "") -> Pair:
    extensions = [uri_names(uri)] if uri else []
    return issuer.pair(subject=instance_name(*units), usages=(CLIENT,), extensions=extensions)


@pytest.fixture
def start(
    start_gorouter: StartGorouter, issuer: Issuer, client_ca: Issuer, tmp_path: Path
) -> Callable[..., GorouterProcess]:
    """Starts a router with an mTLS domain, two workers, and the fields of identity in its access log."""

    def start(*, arguments: tuple[str, ...] = (), **keys: Any) -> GorouterProcess:
        domain = {"name": "*.apps.identity", "ca_certs": client_ca.pem, "xfcc_format": "envoy"}
        fields = ["caller_cf_app", "route_policy", "tls_sni"]
        pair = issuer.pair("*.apps.identity", "public.test")
        router = start_gorouter(
            arguments=arguments,
            **tls_keys(pair),
            domains=[domain],
            logging={"level": "debug", "extra_access_log_fields": fields},
            go_max_procs=2,
            access_log={"file": str(tmp_path / "access-of-clients.log")},
            **keys,
        )
        router.wait_until_started()
        return router

    return start


def status(router: GorouterProcess, issuer: Issuer, shown: Pair | None, name: str, host: str = "") -> int:
    port: int = router.wait_for_event("tls-listener-started", START_PATIENCE)["data"]["address"]["Port"]
    with TlsClient(port, client_context(issuer, identity=shown), name) as client:
        client.send(f"GET / HTTP/1.1\r\nHost: {host or name}\r\n\r\n".encode())
        return client.read_response().status


def test_registrations(
    start: Callable[..., GorouterProcess],
    nats: RawNatsClient,
    serving: AnsweringBackend,
    issuer: Issuer,
    client_ca: Issuer,
) -> None:
    router = start()
    log = Path(yaml.safe_load(router.config_path.read_text())["access_log"]["file"])
    tags = {"organization_id": "org-1", "space_id": "space-1"}
    register(nats, serving.address, "guarded.apps.identity", tags=tags, options=POLICY)
    register(nats, serving.address, "open.apps.identity", "public.test")
    wait_for(lambda: router.addresses("public.test"), "the routes")
    (shown,) = router.routes()["guarded.apps.identity"]
    assert (shown["route_policy_scope"], shown["route_policies"]) == ("org", ["cf:app:app-1"])
    one, two, nobody = (identity(client_ca, *units) for units in (APP, ("app:app-2", APP[2]), ()))
    for _ in range(3):
        # Each worker says the same.
        assert status(router, issuer, one, "guarded.apps.identity") == 200
        assert status(router, issuer, two, "guarded.apps.identity") == 403
        assert status(router, issuer, nobody, "guarded.apps.identity") == 403
        assert status(router, issuer, nobody, "open.apps.identity") == 200
        assert status(router, issuer, None, "public.test") == 200
        assert status(router, issuer, None, "public.test", "guarded.apps.identity") == 421
        assert status(router, issuer, one, "guarded.apps.identity", "public.test") == 421
        assert router.status_of("open.apps.identity") == 421
    with pytest.raises(OSError):  # noqa: PT011 whatever the handshake says
        status(router, issuer, None, "guarded.apps.identity")
    wait_for(lambda: len(log.read_text().splitlines()) == 24 or None, "all lines")
    for fields in (
        ' caller_cf_app:"app-1" route_policy:"route:cf:app:app-1" tls_sni:"guarded.apps.identity" x_cf_routererror:"-"',
        ' caller_cf_app:"app-2" route_policy:"route:route_policies" tls_sni:"guarded.apps.identity" ',
        ' caller_cf_app:"-" route_policy:"identity_extraction" tls_sni:"guarded.apps.identity" ',
        ' caller_cf_app:"-" route_policy:"-" tls_sni:"open.apps.identity" ',
    ):
        assert log.read_text().count(fields) == 3, fields


def test_another_authority_after_a_reload(
    start: Callable[..., GorouterProcess],
    nats: RawNatsClient,
    serving: AnsweringBackend,
    issuer: Issuer,
    client_ca: Issuer,
) -> None:
    router = start()
    register(nats, serving.address, "open.apps.identity")
    wait_for(lambda: router.addresses("open.apps.identity"), "the route")
    new_ca = Issuer("new")
    document = yaml.safe_load(router.config_path.read_text())
    document["domains"][0]["ca_certs"] = new_ca.pem
    old, new = identity(client_ca, *APP), identity(new_ca, *APP)
    assert status(router, issuer, old, "open.apps.identity") == 200
    router.config_path.write_text(yaml.safe_dump(document))
    router.send_signal(signal.SIGHUP)
    router.wait_for_event("certificates-loaded")

    def is_new() -> bool | None:
        try:
            return status(router, issuer, new, "open.apps.identity") == 200 or None
        except OSError:
            return None

    wait_for(is_new, "the new authority")
    assert router.events("configuration-needs-restart") == []
    document["domains"][0]["ca_certs"] = "nothing"
    router.config_path.write_text(yaml.safe_dump(document))
    router.send_signal(signal.SIGHUP)
    assert router.wait_for_event("configuration-refused")["data"]["key"] == "domains[0].ca_certs"
    assert status(router, issuer, new, "open.apps.identity") == 200


class TestStaticRoutes:
    @pytest.fixture
    def router(
        self, start: Callable[..., GorouterProcess], serving: AnsweringBackend, tmp_path: Path
    ) -> Iterator[GorouterProcess]:
        routes = [
            {
                "route": "workloads.apps.identity",
                "route_policy_scope": "any",
                "route_policy_sources": ["spiffe://cluster.test/ns/prod/*"],
                "endpoints": [{"address": serving.address}],
            }
        ]
        path = tmp_path / "routes.yml"
        path.write_text(yaml.safe_dump({"routes": routes}))
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("XDG_RUNTIME_DIR", str(tmp_path))
            yield start(arguments=("--routes", str(path)), admin={"socket": "auto"})

    def test_spiffe_ids(self, router: GorouterProcess, issuer: Issuer, client_ca: Issuer) -> None:
        prod, test = (identity(client_ca, uri=f"spiffe://cluster.test/ns/{one}/sa/shop") for one in ("prod", "test"))
        assert status(router, issuer, prod, "workloads.apps.identity") == 200
        assert status(router, issuer, test, "workloads.apps.identity") == 403
        assert status(router, issuer, identity(client_ca, *APP), "workloads.apps.identity") == 403

    def test_explain(self, router: GorouterProcess) -> None:
        """It tells who would be admitted, and why not, as the command and the admin API do."""
        url = "https://workloads.apps.identity/"

        def explain(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [str(EXECUTABLE), "explain", *arguments, "--pid", str(router.pid)]
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

        admitted = explain(url, "--caller", "spiffe://cluster.test/ns/prod/sa/shop")
        assert (admitted.returncode, admitted.stderr) == (0, "")
        assert "*.apps.identity, whose CAs have verified the client" in admitted.stdout
        assert "scope any; spiffe://cluster.test/ns/prod/* may call" in admitted.stdout
        for arguments, refusal, words in (
            ((url,), "no_caller", "nobody knows who asks"),
            ((url, "--caller", "app:app-1"), "other_sources", "its policy lets others call"),
            (("http://workloads.apps.identity/",), "misdirected", "of another mTLS domain"),
        ):
            refused = explain(*arguments)
            assert refused.returncode == 4
            assert words in refused.stdout
            told = json.loads(explain(*arguments, "--json").stdout)
            assert (told["refusal"], told["chosen"]) == (refusal, [])
            assert told["status"] == (421 if refusal == "misdirected" else 403)
        wrong = explain(url, "--caller", "user:x")
        assert "'user:x' names no caller" in wrong.stderr
        admin = admin_of(router)
        (endpoint,) = admin.get("/v1/routes/workloads.apps.identity")["endpoints"]
        assert endpoint["policy_scope"] == "any"
        assert endpoint["policy_sources"] == ["spiffe://cluster.test/ns/prod/*"]
        uses = [one["use"] for one in admin.get("/v1/certificates")["certificates"]]
        assert "domains[0].ca_certs" in uses
