"""TLS sessions of clients: they go on with every worker, with later ones, and with routers that have the same key."""

import os
import signal
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import StartGorouter
from .generations import Generations, with_route
from .gorouter_process import GorouterProcess
from .http_message import Request
from .in_process import HOST, request
from .issuer import Issuer, Pair, name
from .nats_server import NatsServerProcess
from .raw_backend import AnsweringBackend
from .router_process import START_PATIENCE, wait_for
from .tls_front import TlsClient, client_context, tls_keys

# So many that all workers of a router meet some: the kernel deals them out by chance.
CONNECTIONS = 60

KEY, OTHER_KEY = "k" * 32, "o" * 32


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLSv1.2", "TLSv1.3"])
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    found: ssl.TLSVersion = request.param
    return found


@pytest.fixture
def requests(serving: AnsweringBackend) -> list[Request]:
    """What the backend has got."""
    return serving.requests


Start = Callable[..., GorouterProcess]


@pytest.fixture
def start(start_gorouter: StartGorouter, serving: AnsweringBackend, tmp_path: Path) -> Start:
    """Starts a router of two workers with HTTPS and a route, whose clients ask for a certificate by its name."""

    def start(*pairs: Pair, **keys: Any) -> GorouterProcess:
        arguments = with_route(tmp_path, HOST, serving.address)
        return start_gorouter(arguments=arguments, **{"go_max_procs": 2, **tls_keys(*pairs, **keys)})

    return start


def tls_port(router: GorouterProcess) -> int:
    router.wait_until_started()
    port: int = router.wait_for_event("tls-listener-started", START_PATIENCE)["data"]["address"]["Port"]
    return port


def reload(router: GorouterProcess, **keys: Any) -> None:
    """Have the router read a changed configuration; returns when its workers have the orders."""
    path = router.access_log.with_name("gorouter.yml")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | keys))
    count = len(router.events("certificates-loaded")) + 1
    router.send_signal(signal.SIGHUP)
    router.wait_for_events("certificates-loaded", count)


def visit(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[bool, ssl.SSLSession | None]:
    """Make one request that offers `session`; returns whether it is resumed, and the session of then."""
    with TlsClient(port, context, session=session) as client:
        client.send(request())
        assert client.read_response().status == 200
        return bool(client.socket.session_reused), client.socket.session


def new_session(port: int, context: ssl.SSLContext) -> ssl.SSLSession:
    is_reused, session = visit(port, context)
    assert not is_reused
    assert session is not None
    return session


def resumed(port: int, context: ssl.SSLContext, session: ssl.SSLSession) -> int:
    """How many of CONNECTIONS that offer `session` resume it."""
    return sum(visit(port, context, session)[0] for _ in range(CONNECTIONS))


class TestOneRouter:
    @pytest.mark.parametrize("has_names", [False, True])
    def test_every_worker_resumes(
        self, start: Start, issuer: Issuer, version: ssl.TLSVersion, *, has_names: bool
    ) -> None:
        """Also where the name that is asked for leads to another context than the connection began with."""
        others = [issuer.pair("first.test"), issuer.pair("second.test")] if has_names else []
        router = start(*others, issuer.pair(HOST))
        port, context = tls_port(router), client_context(issuer, version=version)
        assert len(router.children()) == 2
        assert resumed(port, context, new_session(port, context)) == CONNECTIONS
        assert router.events("tls-sessions-not-shared") == []

    def test_with_a_client_certificate(
        self, start: Start, issuer: Issuer, version: ssl.TLSVersion, requests: list[Request]
    ) -> None:
        router = start(
            issuer.pair("other.test"),
            issuer.pair(HOST),
            client_cert_validation="require",
            client_ca_certs=issuer.pem,
            forwarded_client_cert="sanitize_set",
        )
        identity = issuer.pair("client.test")
        port, context = tls_port(router), client_context(issuer, version=version, identity=identity)
        assert resumed(port, context, new_session(port, context)) == CONNECTIONS
        shown = {got.value(b"X-Forwarded-Client-Cert") for got in requests}
        assert len(requests) == CONNECTIONS + 1
        assert len(shown) == 1
        assert shown != {None}

    def test_a_worker_that_comes_later(self, start: Start, issuer: Issuer, version: ssl.TLSVersion) -> None:
        router = start(issuer.pair(HOST))
        port, context = tls_port(router), client_context(issuer, version=version)
        session = new_session(port, context)
        for worker in router.children():
            os.kill(worker, signal.SIGKILL)
        router.wait_for_events("worker-exited", 2)
        assert resumed(port, context, session) == CONNECTIONS
        router.forgive_deaths(2)

    def test_new_certificates(self, start: Start, issuer: Issuer, version: ssl.TLSVersion) -> None:
        router, new = start(issuer.pair(HOST)), issuer.pair(HOST)
        port, context = tls_port(router), client_context(issuer, version=version)
        session = new_session(port, context)
        reload(router, **tls_keys(new, max_tls_version="TLSv1.3"))

        def is_new() -> bool | None:
            with TlsClient(port, context) as client:
                return True if client.server_certificate == new.der else None

        wait_for(is_new, "the new certificate")
        assert resumed(port, context, session) == CONNECTIONS

    def test_a_new_key_ends_sessions(self, start: Start, issuer: Issuer, version: ssl.TLSVersion) -> None:
        router = start(issuer.pair(HOST), tls_session_ticket_key=KEY, go_max_procs=1)
        port, context = tls_port(router), client_context(issuer, version=version)
        session = new_session(port, context)
        reload(router, tls_session_ticket_key=OTHER_KEY)
        wait_for(lambda: None if visit(port, context, session)[0] else True, "the new key")

    def test_a_successor(
        self, nats_server: NatsServerProcess, serving: AnsweringBackend, issuer: Issuer, tmp_path: Path
    ) -> None:
        arguments = with_route(tmp_path, HOST, serving.address)
        routers = Generations(tmp_path, nats_server, *arguments, **tls_keys(issuer.pair(HOST)), go_max_procs=2)
        try:
            port = routers.wait_for("tls-listener-started")["address"]["Port"]
            versions = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
            contexts = [client_context(issuer, version=version) for version in versions]
            sessions = [new_session(port, context) for context in contexts]
            for _ in range(2):
                routers.upgrade()
                routers.wait_gone(routers.pids[-2])
                for context, session in zip(contexts, sessions, strict=True):
                    assert resumed(port, context, session) == CONNECTIONS
        finally:
            routers.stop()

    def test_a_python_whose_libssl_cannot_be_called(
        self, start: Start, issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As one that has OpenSSL linked in: then a session is good for the worker that it comes from."""
        (tmp_path / "sitecustomize.py").write_text("import _ssl\ndel _ssl.__file__\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        router = start(issuer.pair(HOST))
        port, context = tls_port(router), client_context(issuer)
        assert 0 < resumed(port, context, new_session(port, context)) < CONNECTIONS
        (event,) = router.events("tls-sessions-not-shared")
        assert event["log_level"] == 1
        assert event["data"] == {"error": "this Python has its ssl built in"}


class TestSeveralRouters:
    @pytest.mark.parametrize(("keys", "is_shared"), [((KEY, KEY), True), ((KEY, OTHER_KEY), False), (("", ""), False)])
    def test_those_with_the_same_key(
        self, *, start: Start, issuer: Issuer, version: ssl.TLSVersion, keys: tuple[str, str], is_shared: bool
    ) -> None:
        pair = issuer.pair(HOST)
        ports = [tls_port(router) for router in [start(pair, tls_session_ticket_key=key) for key in keys]]
        context = client_context(issuer, version=version)
        session = new_session(ports[0], context)
        assert resumed(ports[1], context, session) == (CONNECTIONS if is_shared else 0)
        assert resumed(ports[0], context, session) == CONNECTIONS


class TestRules:
    """A resumed client shows no certificate, so its session must not be resumed under other rules."""

    @pytest.fixture
    @staticmethod
    def trusting(issuer: Issuer) -> dict[str, Any]:
        return {
            "client_cert_validation": "require",
            "client_ca_certs": issuer.pem,
            "only_trust_client_ca_certs": True,
            "tls_session_ticket_key": KEY,
        }

    @pytest.fixture
    @staticmethod
    def rules() -> dict[str, Any]:
        rule = {
            "issuer_in_chain": {"common_name": "test authority"},
            "valid_cert_subjects": [{"common_name": "good"}],
        }
        return {"enable_verify_client_certificate_metadata": True, "verify_client_certificate_metadata": [rule]}

    def test_of_another_router(
        self, *, start: Start, issuer: Issuer, version: ssl.TLSVersion, trusting: dict[str, Any], rules: dict[str, Any]
    ) -> None:
        pair = issuer.pair(HOST)
        lenient, strict = start(pair, **trusting), start(pair, **trusting, **rules)
        good, bad = (
            client_context(issuer, version=version, identity=issuer.pair(subject=name(who))) for who in ("good", "bad")
        )
        sessions = {context: new_session(tls_port(lenient), context) for context in (good, bad)}
        is_reused, session = visit(tls_port(strict), good, sessions[good])
        assert not is_reused
        assert session is not None
        assert resumed(tls_port(strict), good, session) == CONNECTIONS, "its own sessions go on"
        assert_refused(strict, bad, sessions[bad])
        assert strict.wait_for_event("invalid-subject")["data"] == {"subject": "CN=bad"}

    def test_that_have_changed(
        self, *, start: Start, issuer: Issuer, version: ssl.TLSVersion, trusting: dict[str, Any], rules: dict[str, Any]
    ) -> None:
        router = start(issuer.pair(HOST), **trusting, go_max_procs=1)
        context = client_context(issuer, version=version, identity=issuer.pair(subject=name("bad")))
        session = new_session(tls_port(router), context)
        assert visit(tls_port(router), context, session)[0]
        reload(router, **rules)
        # Orders are handled one after the other, so a worker that comes now has the new rules.
        os.kill(router.children()[0], signal.SIGKILL)
        router.wait_for_event("worker-exited")
        assert_refused(router, context, session)
        router.forgive_deaths(1)

    def test_an_authority_that_is_trusted_no_more(
        self, start: Start, issuer: Issuer, version: ssl.TLSVersion, trusting: dict[str, Any]
    ) -> None:
        other, pair = Issuer("other"), issuer.pair(HOST)
        routers = start(pair, **trusting), start(pair, **trusting | {"client_ca_certs": other.pem})
        context = client_context(issuer, version=version, identity=issuer.pair("client.test"))
        assert_refused(routers[1], context, new_session(tls_port(routers[0]), context))

    def test_a_session_without_a_certificate(
        self, start: Start, issuer: Issuer, version: ssl.TLSVersion, trusting: dict[str, Any]
    ) -> None:
        pair = issuer.pair(HOST)
        asking = start(pair, **trusting | {"client_cert_validation": "request"})
        insisting = start(pair, **trusting)
        context = client_context(issuer, version=version)
        assert_refused(insisting, context, new_session(tls_port(asking), context))


def assert_refused(router: GorouterProcess, context: ssl.SSLContext, session: ssl.SSLSession) -> None:
    """A client that offers `session` gets to no request."""
    try:
        with TlsClient(tls_port(router), context, session=session) as client:
            # In TLS 1.3 the client takes its own handshake for complete before the router has verified it.
            client.send(request())
            got = client.read_to_end()
    except OSError:
        return
    assert got == b""
