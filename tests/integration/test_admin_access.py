"""Who may use the admin API: every endpoint, by role, transport, Host and Origin, with the real executable."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastrouter.tls.pem_files import load_identity

from .admin_client import AdminClient, Reply, admin_socket_of
from .gorouter_process import GorouterProcess, configuration
from .issuer import CLIENT, SERVER, Issuer, name
from .nats_server import NatsServerProcess
from .raw_client import RawClient

READ_TOKEN = "read-token-0123456789"
OPERATE_TOKEN = "operate-token-0123456789"
HOST = "admin.test"

# Method, path, body: what would be done if it were allowed. Streams and what ends a router are not done to the end.
ENDPOINTS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/overview", None),
    ("GET", "/v1/overview/history", None),
    ("GET", "/v1/routes", None),
    ("GET", "/v1/routes/none.test", None),
    ("GET", "/v1/routes/none.test/history", None),
    ("GET", "/v1/apps", None),
    ("GET", "/v1/workers", None),
    ("GET", "/v1/nats", None),
    ("GET", "/v1/certificates", None),
    ("GET", "/v1/config", None),
    ("GET", "/v1/static-routes", None),
    ("GET", "/v1/events", None),
    ("GET", "/v1/openapi.json", None),
    ("GET", "/v1/requests", None),
    ("GET", "/v1/tail", None),
    ("GET", "/v1/top", None),
    ("POST", "/v1/explain", {"url": "http://none.test/"}),
    ("PATCH", "/v1/endpoints/10.0.0.1:1", {"state": "draining"}),
    ("PUT", "/v1/static-routes/put.test", {"endpoints": [{"address": "10.0.0.1:1"}]}),
    ("DELETE", "/v1/static-routes/none.test", None),
    ("POST", "/v1/reload", None),
    ("POST", "/v1/drain", None),
    ("PUT", "/v1/log-level", {"level": "debug"}),
]
STREAMS = ("/v1/events", "/v1/tail")
IDS = [f"{method} {path}" for method, path, _ in ENDPOINTS]


@pytest.fixture(scope="module")
def nats_for_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServerProcess]:
    server = NatsServerProcess(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


def start(directory: Path, nats: NatsServerProcess, **admin: Any) -> GorouterProcess:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(directory))
        document = configuration(nats.port, admin={"listen": "127.0.0.1:0", **admin})
        router = GorouterProcess(directory, document)
    router.wait_until_started()
    return router


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory, nats_for_module: NatsServerProcess) -> Iterator[GorouterProcess]:
    directory = tmp_path_factory.mktemp("router")
    (directory / "token").write_text(f"{OPERATE_TOKEN}\n")
    router = start(
        directory,
        nats_for_module,
        hosts=[HOST],
        tokens=[
            {"name": "dashboard", "token": READ_TOKEN, "role": "read"},
            {"name": "operator", "token_file": str(directory / "token"), "role": "operate"},
        ],
    )
    yield router
    router.stop()
    assert router.complaints == []


@pytest.fixture(scope="module")
def tcp(router: GorouterProcess) -> AdminClient:
    host, _, port = router.wait_for_event("admin-listener-started")["data"]["address"].rpartition(":")
    return AdminClient((host, int(port)))


@pytest.fixture(scope="module")
def unix(router: GorouterProcess) -> AdminClient:
    return AdminClient(admin_socket_of(router))


def is_act(method: str, path: str) -> bool:
    return method != "GET" and path != "/v1/explain"


def try_out(client: AdminClient, method: str, path: str, document: Any, **headers: str) -> Reply:
    if path in STREAMS:
        # Only its head: it does not end.
        connection = client.connection()
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        reply = Reply(response.status, dict(response.getheaders()), b"")
        connection.close()
        return reply
    return client.request(method, path, document, headers)


def assert_refused(reply: Reply, status: int) -> None:
    """It says so, and nothing else."""
    assert reply.status == status
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.headers["Cache-Control"] == "no-store"
    assert set(reply.document) == {"status", "title", "detail", "type"} if reply.body else True


@pytest.mark.parametrize(("method", "path", "document"), ENDPOINTS, ids=IDS)
class TestOverTCP:
    @pytest.mark.parametrize(
        "authorization",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            f"Bearer {READ_TOKEN[:-1]}",
            f"Bearer {READ_TOKEN}x",
            f"Bearer {READ_TOKEN} {OPERATE_TOKEN}",
            f"Basic {OPERATE_TOKEN}",
            OPERATE_TOKEN,
        ],
    )
    def test_a_stranger(
        self, tcp: AdminClient, method: str, path: str, document: Any, authorization: str | None
    ) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        reply = try_out(tcp, method, path, document, **headers)
        assert_refused(reply, 401)
        assert reply.headers["WWW-Authenticate"].startswith("Bearer")

    @pytest.mark.parametrize("host", ["evil.test", "admin.test.evil.test", "localhost.evil.test:80", ""])
    def test_a_foreign_name(self, tcp: AdminClient, method: str, path: str, document: Any, host: str) -> None:
        reply = try_out(tcp, method, path, document, Host=host, Authorization=f"Bearer {OPERATE_TOKEN}")
        assert_refused(reply, 421)

    @pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://admin.test:1", "https://admin.test"])
    def test_a_foreign_page(self, tcp: AdminClient, method: str, path: str, document: Any, origin: str) -> None:
        headers = {"Host": HOST, "Origin": origin, "Authorization": f"Bearer {OPERATE_TOKEN}"}
        assert_refused(try_out(tcp, method, path, document, **headers), 403)

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_another_site(self, tcp: AdminClient, method: str, path: str, document: Any, site: str) -> None:
        headers = {"Sec-Fetch-Site": site, "Authorization": f"Bearer {OPERATE_TOKEN}"}
        assert_refused(try_out(tcp, method, path, document, **headers), 403)

    def test_who_may_read(self, tcp: AdminClient, method: str, path: str, document: Any) -> None:
        headers = {"Host": f"{HOST}:80", "Origin": f"http://{HOST}:80", "Authorization": f"bearer {READ_TOKEN}"}
        reply = try_out(tcp, method, path, document, **headers)
        if is_act(method, path):
            assert_refused(reply, 403)
            assert "dashboard" in reply.document["detail"]
        else:
            assert reply.status in (200, 404)

    def test_who_may_operate(self, tcp: AdminClient, method: str, path: str, document: Any) -> None:
        if path == "/v1/drain":
            pytest.skip("the router is needed for the others")
        reply = try_out(tcp, method, path, document, Authorization=f"Bearer {OPERATE_TOKEN}")
        assert reply.status in (200, 202, 404)


@pytest.mark.parametrize(("method", "path", "document"), ENDPOINTS, ids=IDS)
class TestOverTheUnixSocket:
    @pytest.mark.parametrize(
        "headers",
        [{"Host": "evil.test"}, {"Origin": "https://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    )
    def test_a_browser(self, unix: AdminClient, method: str, path: str, document: Any, headers: dict[str, str]) -> None:
        assert_refused(try_out(unix, method, path, document, **headers), 421 if "Host" in headers else 403)

    def test_its_owner(self, unix: AdminClient, method: str, path: str, document: Any) -> None:
        if path == "/v1/drain":
            pytest.skip("the router is needed for the others")
        assert try_out(unix, method, path, document).status in (200, 202, 404)


@pytest.mark.parametrize("path", ["/v1/none", "/v1/", "/v2/overview", "/metrics", "/v1/routes/none.test/none"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "TRACE"])
def test_a_stranger_does_not_learn_what_there_is(tcp: AdminClient, method: str, path: str) -> None:
    reply = tcp.request(method, path)
    assert reply.status == 401
    assert "Allow" not in reply.headers


@pytest.mark.parametrize(("method", "path", "document"), ENDPOINTS, ids=IDS)
def test_a_foreign_page_may_not_even_ask(tcp: AdminClient, method: str, path: str, document: Any) -> None:
    """What a browser sends before a request that a form cannot make (Fetch, 4.8)."""
    del document
    asking = {"Host": HOST, "Origin": "https://evil.test", "Access-Control-Request-Method": method}
    reply = tcp.request("OPTIONS", path, headers={**asking, "Access-Control-Request-Headers": "authorization"})
    assert_refused(reply, 403)
    assert not {name for name in reply.headers if name.lower().startswith("access-control-")}


def test_nobody_has_changed_anything_who_may_not(router: GorouterProcess, tcp: AdminClient, unix: AdminClient) -> None:
    before = [unix.get(path) for path in ("/v1/static-routes", "/v1/config")]
    level = unix.get("/v1/overview")["log_level"]
    acts = len(router.events("admin-act"))
    strangers: list[dict[str, str]] = [
        {},
        {"Authorization": f"Bearer {READ_TOKEN}"},
        {"Authorization": f"Bearer {OPERATE_TOKEN}", "Origin": "https://evil.test"},
        {"Authorization": f"Bearer {OPERATE_TOKEN}", "Host": "evil.test"},
    ]
    for method, path, document in ENDPOINTS:
        for headers in strangers if is_act(method, path) else ():
            assert tcp.request(method, path, document, headers).status in (401, 403, 421)
    overview = unix.get("/v1/overview")
    assert (overview["state"], overview["log_level"]) == ("serving", level)
    assert [unix.get(path) for path in ("/v1/static-routes", "/v1/config")] == before
    # An act that is done is a line; one of this client's own is written behind all of theirs.
    assert unix.request("PUT", "/v1/log-level", {"level": level}).status == 200
    assert len(router.wait_for_events("admin-act", acts + 1)) == acts + 1


def test_every_endpoint_is_in_the_table(unix: AdminClient) -> None:
    document = unix.get("/v1/openapi.json")
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    shown = {"10.0.0.1:1": "{id}", "none.test": "{route}", "put.test": "{route}"}
    tried = {
        (method, "/".join(shown.get(segment, segment) for segment in path.split("/"))) for method, path, _ in ENDPOINTS
    }
    assert tried == described


def test_the_roles_are_those_of_the_document(unix: AdminClient) -> None:
    for path, methods in unix.get("/v1/openapi.json")["paths"].items():
        for method, operation in methods.items():
            assert operation["x-role"] == ("operate" if is_act(method.upper(), path) else "read")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_what_a_form_can_send_is_no_body(unix: AdminClient, content_type: str) -> None:
    reply = unix.request("PUT", "/v1/log-level", {"level": "debug"}, {"Content-Type": content_type})
    assert_refused(reply, 415)


def test_the_audit_log_names_who_has_done_it(router: GorouterProcess, tcp: AdminClient) -> None:
    tcp.request("PUT", "/v1/log-level", {"level": "info"}, {"Authorization": f"Bearer {OPERATE_TOKEN}"})
    names = {line["data"]["by"] for line in router.wait_for_events("admin-act", 1)}
    assert "token operator" in names
    assert names <= {"token operator", "unix socket"}


def test_headers(unix: AdminClient) -> None:
    headers = unix.request("GET", "/v1/routes").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert not {name for name in headers if name.startswith("Access-Control-")}


def test_tokens_never_leave(unix: AdminClient) -> None:
    for method, path, _ in ENDPOINTS:
        if method == "GET" and path not in STREAMS:
            body = unix.request(method, path).body.decode()
            assert READ_TOKEN not in body
            assert OPERATE_TOKEN not in body


class TestClientCertificates:
    @pytest.fixture
    def mutual(self, tmp_path: Path, nats_for_module: NatsServerProcess, issuer: Issuer) -> Iterator[GorouterProcess]:
        pair = issuer.pair("localhost", usages=[SERVER])
        router = start(
            tmp_path,
            nats_for_module,
            tls={
                "cert_chain": pair.chain,
                "private_key": pair.key,
                "client_ca_certs": issuer.pem,
                "client_role": "read",
            },
        )
        yield router
        router.stop()
        assert router.complaints == []

    def test_a_certificate_allows_what_its_role_says(self, mutual: GorouterProcess, issuer: Issuer) -> None:
        host, _, port = mutual.wait_for_event("admin-listener-started")["data"]["address"].rpartition(":")
        context = ssl.create_default_context(cadata=issuer.pem)
        context.check_hostname = False
        stranger = AdminClient((host, int(port)), tls=context)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            stranger.request("GET", "/v1/overview")
        pair = issuer.pair(subject=name("an operator"), usages=[CLIENT])
        load_identity(context, pair.chain, pair.key)
        client = AdminClient((host, int(port)), tls=context)
        assert client.get("/v1/overview")["state"] == "serving"
        reply = client.request("POST", "/v1/reload")
        assert_refused(reply, 403)
        assert "certificate an operator" in reply.document["detail"]
        uses = {certificate["use"] for certificate in client.get("/v1/certificates")["certificates"]}
        assert uses == {"admin.tls.cert_chain", "admin.tls.client_ca_certs"}
        # Without TLS there is no HTTP.
        with RawClient(int(port)) as plain:
            plain.send(b"GET /v1/overview HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200" not in plain.read_to_end()
