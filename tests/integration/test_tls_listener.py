"""The HTTPS listener of the real executable: start, reload of its certificates, upgrade, drain (spec 1.2, 1.3)."""

import os
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, configuration, get, register
from .http2_client import Http2Client
from .http2_client import get as get_fields
from .http_message import response_with
from .in_process import HOST, request
from .issuer import Issuer, Pair, name
from .nats_server import NatsServerProcess, RawNatsClient
from .raw_backend import AnsweringBackend, RawBackend
from .raw_client import RawClient
from .router_process import START_PATIENCE, LoggingProcess, wait_for
from .tls_front import TlsClient, client_context, tls_keys


def tls_port(router: GorouterProcess) -> int:
    port: int = router.wait_for_event("tls-listener-started", START_PATIENCE)["data"]["address"]["Port"]
    return port


def status(client: RawClient) -> int:
    client.send(request())
    return client.read_response().status


@pytest.fixture
def start(
    start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend
) -> Callable[..., GorouterProcess]:
    """Starts a router with HTTPS and the route app.test."""

    def start(*pairs: Pair, **keys: Any) -> GorouterProcess:
        router = start_gorouter(**tls_keys(*pairs, **keys))
        router.wait_until_started()
        register(nats, serving.address, HOST)
        wait_for(lambda: router.addresses(HOST), "the route")
        return router

    return start


def configure(router: GorouterProcess, change: dict[str, Any]) -> None:
    """Change the configuration that the router would read now."""
    path = router.access_log.with_name("gorouter.yml")
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))


def test_certificates_in_files_of_their_own(
    start: Callable[..., GorouterProcess], issuer: Issuer, tmp_path: Path
) -> None:
    def write(pair: Pair) -> None:
        (tmp_path / "chain.pem").write_text(pair.chain)
        (tmp_path / "key.pem").write_text(pair.key)

    first, second = issuer.pair(HOST), issuer.pair(HOST, "renewed.test")
    write(first)
    files = {"cert_chain_file": str(tmp_path / "chain.pem"), "private_key_file": str(tmp_path / "key.pem")}
    router = start(tls_pem=[files])
    with TlsClient(tls_port(router), client_context(issuer)) as client:
        assert status(client) == 200
    # The configuration stays as it is: what it names has changed.
    write(second)
    router.send_signal(signal.SIGHUP)
    assert router.wait_for_event("certificates-loaded")["data"]["names"] == sorted([HOST, "renewed.test"])
    assert router.events("configuration-needs-restart") == []
    (tmp_path / "key.pem").unlink()
    router.send_signal(signal.SIGHUP)
    refused = router.wait_for_event("configuration-refused")["data"]
    assert refused["error"] == f"open {tmp_path}/key.pem: no such file or directory"
    assert refused["key"] == "tls_pem[0].private_key_file"
    with TlsClient(tls_port(router), client_context(issuer)) as client:
        assert status(client) == 200


class TestStart:
    def test_after_http(self, start: Callable[..., GorouterProcess], issuer: Issuer) -> None:
        router = start(issuer.pair(HOST))
        messages = router.messages()
        assert messages.index("tcp-listener-started") + 1 == messages.index("tls-listener-started")
        assert router.events("tls-listener-started")[0]["data"]["address"]["IP"] == "::"
        with TlsClient(tls_port(router), client_context(issuer)) as client:
            assert status(client) == 200
        with router.connect() as client:
            assert status(client) == 200

    def test_without_http(self, start: Callable[..., GorouterProcess], issuer: Issuer) -> None:
        router = start(issuer.pair(HOST), disable_http=True)
        assert "tcp-listener-disabled" in router.messages()
        with TlsClient(tls_port(router), client_context(issuer)) as client:
            assert status(client) == 200

    def test_port_in_use(self, nats_server: NatsServerProcess, issuer: Issuer, tmp_path: Path) -> None:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as taken:
            keys = tls_keys(issuer.pair(HOST), ssl_port=taken.getsockname()[1])
            router = GorouterProcess(tmp_path, configuration(nats_server.port, **keys))
            assert router.wait() == 1
        (error,) = router.events("tls-listener-error")
        assert error["data"]["error"] == f"listen tcp :{keys['ssl_port']}: bind: address already in use"
        assert router.complaints == []

    def test_ciphers_that_only_later_versions_have(
        self, nats_server: NatsServerProcess, issuer: Issuer, tmp_path: Path
    ) -> None:
        keys = tls_keys(issuer.pair(HOST), cipher_suites="TLS_AES_128_GCM_SHA256", max_tls_version="TLSv1.2")
        router = GorouterProcess(tmp_path, configuration(nats_server.port, **keys))
        assert router.wait() == 1
        (error,) = router.events("tls-listener-error")
        assert error["data"]["error"] == "none of the cipher suites can be used with TLSv1.2"
        assert router.complaints == []


class TestReload:
    def test_new_certificates(self, start: Callable[..., GorouterProcess], issuer: Issuer) -> None:
        old, new = issuer.pair(HOST), issuer.pair(HOST)
        router = start(old, go_max_procs=2)
        port = tls_port(router)
        with TlsClient(port, client_context(issuer)) as kept:
            assert kept.server_certificate == old.der
            configure(router, tls_keys(new))
            router.send_signal(signal.SIGHUP)
            assert router.wait_for_event("certificates-loaded")["data"] == {"names": [HOST]}

            def is_new() -> bool | None:
                with TlsClient(port, client_context(issuer)) as client:
                    return True if client.server_certificate == new.der else None

            # Workers take it up one after the other; several looks make it likely that both were asked.
            for _ in range(16):
                wait_for(is_new, "the new certificate")
            assert status(kept) == 200, "connections go on"

    def test_a_worker_that_comes_later_has_them_too(
        self, start: Callable[..., GorouterProcess], issuer: Issuer
    ) -> None:
        router, new = start(issuer.pair(HOST)), issuer.pair(HOST)
        configure(router, tls_keys(new))
        router.send_signal(signal.SIGHUP)
        router.wait_for_event("certificates-loaded")
        (worker,) = router.children()
        os.kill(worker, signal.SIGKILL)
        router.wait_for_event("worker-exited")
        with TlsClient(tls_port(router), client_context(issuer)) as client:
            assert client.server_certificate == new.der
        router.forgive_deaths(1)

    def test_a_worker_that_cannot_load_them_is_replaced_by_one_that_has_them(
        self, start: Callable[..., GorouterProcess], issuer: Issuer
    ) -> None:
        router, new = start(issuer.pair(HOST)), issuer.pair(HOST)
        (worker,) = router.children()
        # It keeps what it has open, and can open nothing more: not what a context is made of either.
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (4, 4))
        configure(router, tls_keys(new))
        router.send_signal(signal.SIGHUP)
        failed = router.wait_for_event("worker-failed")["data"]
        assert failed["name"] == "worker-0"
        assert "too many open files" in failed["error"]
        cause = f"exited with status 1: {failed['error']}"
        assert router.wait_for_event("worker-exited")["data"]["error"] == cause
        with TlsClient(tls_port(router), client_context(issuer)) as client:
            assert client.server_certificate == new.der
            assert status(client) == 200, "and the whole table"
        # Besides the death there is the traceback.
        assert router.children() != [worker]
        router.forgive_deaths(1, with_traceback=True)

    def test_a_file_that_is_refused_changes_nothing(
        self, start: Callable[..., GorouterProcess], issuer: Issuer
    ) -> None:
        old, other = issuer.pair(HOST), issuer.pair(HOST)
        router = start(old)
        configure(router, tls_keys(Pair(old.chain, other.key)))
        router.send_signal(signal.SIGHUP)
        refused = router.wait_for_event("configuration-refused")["data"]
        assert "private key does not match public key" in refused["error"]
        assert refused["key"] == "tls_pem[0].private_key"
        assert other.key not in refused["error"]
        with TlsClient(tls_port(router), client_context(issuer)) as client:
            assert client.server_certificate == old.der
            assert status(client) == 200
        configure(router, {"enable_ssl": False})
        router.send_signal(signal.SIGHUP)
        assert "enable_ssl" in router.wait_for_event("configuration-needs-restart")["data"]["keys"]
        with TlsClient(tls_port(router), client_context(issuer)) as client:
            assert client.server_certificate == old.der

    def test_with_static_routes_on_one_signal(
        self, start: Callable[..., GorouterProcess], issuer: Issuer, tmp_path: Path
    ) -> None:
        routes = tmp_path / "routes.yml"
        routes.write_text("routes: []")
        router, new = start(issuer.pair(HOST), arguments=["-routes", str(routes)]), issuer.pair("new.test")
        configure(router, tls_keys(new))
        router.send_signal(signal.SIGHUP)
        router.wait_for_event("routes-file-loaded")
        assert router.wait_for_event("certificates-loaded")["data"] == {"names": ["new.test"]}


class TestRunWithFiles:
    def test_a_certificate_in_files(self, issuer: Issuer, tmp_path: Path) -> None:
        old, new = issuer.pair(HOST), issuer.pair(HOST)
        chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
        chain.write_text(old.chain)
        key.write_text(old.key)
        router = LoggingProcess(
            *("run", "--listen", "127.0.0.1:0", "--no-admin", "--workers", "1", "--metrics-port", "0"),
            *("--tls-cert", str(chain), "--tls-key", str(key)),
            access_log=tmp_path / "access.log",
        )
        try:
            router.wait_for_event("gorouter.started", START_PATIENCE)
            port = router.wait_for_event("tls-listener-started")["data"]["address"]["Port"]
            with TlsClient(port, client_context(issuer)) as client:
                assert client.server_certificate == old.der
                assert status(client) == 404
            with Http2Client(TlsClient(port, client_context(issuer, protocols=("h2",)))) as http2_client:
                assert http2_client.ask(get_fields()).status == 404
            page = get(router.wait_for_event("metrics-listener-started")["data"]["port"], "/metrics")
            assert page[0] == 200
            key.write_text(new.key)
            router.send_signal(signal.SIGHUP)
            refused = router.wait_for_event("configuration-refused")["data"]
            assert refused["key"] == "--tls-key"
            assert "private key does not match public key" in refused["error"]
            chain.write_text(new.chain)
            router.send_signal(signal.SIGHUP)
            router.wait_for_event("certificates-loaded")
            with TlsClient(port, client_context(issuer)) as client:
                assert client.server_certificate == new.der
            with TlsClient(port, client_context(issuer, protocols=("h2", "http/1.1"))) as client:
                assert client.socket.selected_alpn_protocol() == "h2"
        finally:
            router.stop()


class TestDrain:
    def test_the_port_closes_and_requests_are_finished(
        self, start_gorouter: StartGorouter, nats: RawNatsClient, issuer: Issuer
    ) -> None:
        router = start_gorouter(**tls_keys(issuer.pair(HOST)))
        router.wait_until_started()
        port = tls_port(router)
        with RawBackend() as backend, TlsClient(port, client_context(issuer)) as client:
            register(nats, backend.address, HOST)
            wait_for(lambda: router.addresses(HOST), "the route")
            client.send(request())
            stream, _ = backend.accept_request()
            router.send_signal(signal.SIGUSR1)
            router.wait_for_event("Draining with 1 outstanding active connections")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
            stream.send(response_with(b"the last"))
            assert client.read_response().body == b"the last"
            client.expect_end()
        assert router.wait() == 0


class TestClients:
    def test_who_breaks_a_rule_is_named_in_the_log(self, start: Callable[..., GorouterProcess], issuer: Issuer) -> None:
        router = start(
            issuer.pair(HOST),
            client_cert_validation="require",
            client_ca_certs=issuer.pem,
            only_trust_client_ca_certs=True,
            enable_verify_client_certificate_metadata=True,
            verify_client_certificate_metadata=[
                {
                    "issuer_in_chain": {"common_name": "test authority"},
                    "valid_cert_subjects": [{"common_name": "good", "organization": ["apps"]}],
                }
            ],
        )
        good = client_context(issuer, identity=issuer.pair(subject=name("good", "apps")))
        with TlsClient(tls_port(router), good) as client:
            assert status(client) == 200
        assert router.events("invalid-subject") == []
        with TlsClient(tls_port(router), client_context(issuer, identity=issuer.pair(subject=name("bad")))) as client:
            assert client.wait_closed() == b""
        warning = router.wait_for_event("invalid-subject")
        assert (warning["log_level"], warning["source"]) == (2, "gorouter.stdout.router")
        assert warning["data"] == {"subject": "CN=bad"}
