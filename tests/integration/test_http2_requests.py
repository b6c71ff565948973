"""What requests over HTTP/2 have in common with all others: sessions, route services, counts, faults of ours."""

import asyncio
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from h2.errors import ErrorCodes

import gorouter_signature
from fastrouter._core import Endpoint, RouteServices
from fastrouter.route_services.signature import RouteServiceSigner, derive_key
from fastrouter.tls.backends import backend_context, route_service_context

from .byte_stream import PATIENCE
from .conftest import StartGorouter
from .gorouter_process import register
from .http2_backend import H2cBackend, Http2Peer
from .http2_client import Http2Client, get
from .http_message import response_with
from .in_process import HOST
from .issuer import Issuer
from .metrics_page import metrics_of
from .nats_server import RawNatsClient
from .raw_backend import AnsweringBackend, BackendStream, RawBackend, ServingBackend
from .router_process import START_PATIENCE
from .tls_backend import Authority, TlsBackend
from .tls_front import FrontRouter, TlsClient, client_context, server_tls, tls_keys

OURS = Authority()
KEY = derive_key("rs-secret")
GRPC = (b"content-type", b"application/grpc")
SIGNATURE, METADATA, FORWARDED_URL = b"x-cf-proxy-signature", b"x-cf-proxy-metadata", b"x-cf-forwarded-url"
Start = Callable[..., FrontRouter]
Connect = Callable[..., Http2Client]


@pytest.fixture
def start(issuer: Issuer) -> Iterator[Start]:
    """Starts a router with HTTP/2 to clients over TLS, and to backends."""
    routers: list[FrontRouter] = []
    contexts: dict[str, Any] = {
        "backend_tls": backend_context(ca_certs=[OURS.pem]),
        "backend_http2_tls": backend_context(ca_certs=[OURS.pem], protocols=("h2", "http/1.1")),
    }

    def start(*endpoints: Endpoint, tls: dict[str, Any] | None = None, **settings: Any) -> FrontRouter:
        front = server_tls(issuer.pair(HOST), protocols=("h2", "http/1.1"), **(tls or {}))
        routers.append(FrontRouter(*endpoints, tls=front, **contexts, **settings))
        return routers[-1]

    yield start
    for router in routers:
        with router:
            pass


@pytest.fixture
def connect(issuer: Issuer) -> Iterator[Connect]:
    clients: list[Http2Client] = []

    def connect(router: FrontRouter, **options: Any) -> Http2Client:
        context = client_context(issuer, protocols=("h2",), **options)
        clients.append(Http2Client(TlsClient(router.port, context)))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


class TestSessions:
    """Sticky sessions (3.7): both cookies of a browser may come in one field, or each in its own."""

    @pytest.mark.parametrize("is_http2", [False, True], ids=["HTTP/1.1 backends", "HTTP/2 backends"])
    def test_they_stay_with_their_instance(self, is_http2: bool, start: Start, connect: Connect) -> None:
        def serve_http1(name: bytes) -> Callable[[BackendStream], bool]:
            def serve(stream: BackendStream) -> bool:
                stream.read_request()
                stream.send(response_with(name, b"Set-Cookie: JSESSIONID=s; Path=/app"))
                return True

            return serve

        def serve_http2(name: bytes) -> Callable[[BackendStream], bool]:
            def serve(stream: BackendStream) -> bool:
                peer = Http2Peer(stream)
                while True:
                    number, _ = peer.read_request()
                    peer.answer(number, name, (b"set-cookie", b"JSESSIONID=s; Path=/app"))

            return serve

        serving = serve_http2 if is_http2 else serve_http1
        protocol = "h2c" if is_http2 else "http1"
        with ServingBackend(serving(b"one")) as one, ServingBackend(serving(b"two")) as two:
            endpoints = [
                Endpoint("127.0.0.1", backend.port, instance_id=name, protocol=protocol)
                for backend, name in ((one, "one"), (two, "two"))
            ]
            client = connect(start(*endpoints))
            answer = client.ask(get())
            name = bytes(answer.body)
            cookies = [value for key, value in answer.fields if key == b"set-cookie"]
            assert cookies == [b"JSESSIONID=s; Path=/app", b"__VCAP_ID__=%s; Path=/; HttpOnly" % name]
            for crumbs in (
                [(b"cookie", b"JSESSIONID=s"), (b"cookie", b"__VCAP_ID__=%s" % name)],
                [(b"cookie", b"a=b; __VCAP_ID__=%s; JSESSIONID=s" % name)],
            ):
                assert {bytes(client.ask(get(b"/", *crumbs)).body) for _ in range(10)} == {name}
            # Without them they take turns.
            assert {bytes(client.ask(get()).body) for _ in range(10)} == {b"one", b"two"}


class TestRouteServices:
    """Over HTTP/1.1, whatever the client speaks (5.9)."""

    @pytest.fixture
    def service(self) -> Iterator[TlsBackend]:
        context = OURS.server("127.0.0.1")
        # It would speak HTTP/2, if it were asked.
        context.set_alpn_protocols(["h2", "http/1.1"])
        with TlsBackend(context) as service:
            yield service

    @pytest.fixture
    def app(self) -> Iterator[H2cBackend]:
        with H2cBackend() as app:
            yield app

    @pytest.fixture
    def client(self, service: TlsBackend, app: H2cBackend, start: Start, connect: Connect) -> Http2Client:
        tls = route_service_context(min_version="TLSv1.2", max_version="TLSv1.3", ca_certs=[OURS.pem])
        services = RouteServices(RouteServiceSigner(KEY, b"", lifetime=60.0), max_attempts=3, tls=tls)
        router = start(app.endpoint(), route_services=services)
        url = f"https://127.0.0.1:{service.port}/visit"
        router.call(lambda: router.table.set_route(HOST, route_service_url=url))
        return connect(router)

    def test_there_and_back(self, client: Http2Client, service: TlsBackend, app: H2cBackend) -> None:
        number = client.send_request(get(b"/items?id=1", method=b"POST"), b"body")
        stream, seen = service.accept_request()
        assert isinstance(stream.socket, ssl.SSLSocket)
        assert stream.socket.selected_alpn_protocol() is None
        assert (seen.start_line, seen.body) == (b"POST /visit HTTP/1.1", b"body")
        assert seen.value(FORWARDED_URL) == b"http://app.test/items?id=1"
        # The service sends it on, in HTTP/2 as well.
        signed = [(name, seen.value(name) or b"") for name in (SIGNATURE, METADATA, FORWARDED_URL)]
        back = client.send_request(get(b"/items?id=1", *signed, method=b"POST"), b"body")
        peer = app.accept_http2()
        at_app, fields = peer.read_request()
        assert (fields[b":path"], peer.read_body(at_app)) == (b"/items?id=1", b"body")
        assert {SIGNATURE, METADATA, FORWARDED_URL}.isdisjoint(fields)
        peer.answer(at_app, b"from the app")
        stream.send(response_with(bytes(client.answer(back).body)))
        assert client.answer(number).body == b"from the app"

    def test_a_client_that_resets_its_stream(self, client: Http2Client, service: TlsBackend) -> None:
        number = client.send_request(get())
        stream, _ = service.accept_request()
        client.reset(number)
        stream.expect_end()

    def test_a_signature_that_is_none(self, client: Http2Client) -> None:
        signature, metadata = gorouter_signature.sign(derive_key("another"), f"http://{HOST}/")
        answer = client.ask(get(b"/", (SIGNATURE, signature), (METADATA, metadata)))
        assert answer.status == 502
        assert b"Failed to validate Route Service Signature" in answer.body


class TestForwardedFields:
    def test_who_the_client_is(self, start: Start, connect: Connect, issuer: Issuer, backend: RawBackend) -> None:
        tls = {"client_certificates": "request", "client_ca_certs": issuer.pem}
        router = start(Endpoint("127.0.0.1", backend.port), tls=tls, forwarded_client_cert="sanitize_set")
        client = connect(router, identity=issuer.pair("client.test"))
        client.send_request(get(b"/", (b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-client-cert", b"forged")))
        _, seen = backend.accept_request()
        assert seen.value(b"X-Forwarded-For") == b"192.0.2.1, 127.0.0.1"
        assert seen.value(b"X-Forwarded-Proto") == b"https"
        certificate = seen.value(b"X-Forwarded-Client-Cert") or b""
        assert len(certificate) > 300
        assert b"forged" not in certificate

    def test_a_trace_goes_on(self, start: Start, connect: Connect, backend: RawBackend) -> None:
        router = start(Endpoint("127.0.0.1", backend.port), traces_zipkin=True, traces_w3c=True)
        trace = b"00-" + b"ab" * 16 + b"-" + b"cd" * 8 + b"-01"
        connect(router).send_request(get(b"/", (b"traceparent", trace)))
        _, seen = backend.accept_request()
        assert (seen.value(b"Traceparent") or b"").startswith(b"00-" + b"ab" * 16)
        assert seen.value(b"X-B3-Traceid") is not None


class TestCounts:
    def test_metrics_and_the_log(
        self,
        start_gorouter: StartGorouter,
        nats: RawNatsClient,
        serving: AnsweringBackend,
        issuer: Issuer,
        tmp_path: Path,
    ) -> None:
        keys: dict[str, Any] = {
            "prometheus": {"enabled": True, "port": 0},
            "access_log": {"file": str(tmp_path / "access.log")},
        }
        router = start_gorouter(**tls_keys(issuer.pair(HOST)), go_max_procs=1, **keys)
        router.access_log = tmp_path / "access.log"
        router.wait_until_started()
        register(nats, serving.address, HOST)
        router.wait_for_event("endpoint-registered")
        port = router.wait_for_event("tls-listener-started", START_PATIENCE)["data"]["address"]["Port"]
        with Http2Client(TlsClient(port, client_context(issuer, protocols=("h2",)))) as client:
            assert [client.ask(get(b"/%d" % number)).status for number in range(3)] == [200] * 3
            assert client.ask(get(host=b"unknown.test")).status == 404
        (unknown,) = router.wait_for_log_lines("unknown.test")
        assert '"GET / HTTP/2.0" 404 ' in unknown
        lines = router.wait_for_log_lines(HOST, 3)
        assert [re.findall(r'"(\S+ \S+ HTTP/\S+)" (\d+)', line)[0] for line in lines] == [
            (f"GET /{number} HTTP/2.0", "200") for number in range(3)
        ]
        page = metrics_of(router)
        assert page.value("responses", status_group="2xx") == 3
        assert page.value("rejected_requests") == 1


class FaultyLog(list[Any]):
    """Events of a router, some of which it fails to take."""

    def append(self, event: Any) -> None:
        if event[1] in ("invalid-app-instance-header", "backend-too-many-response-headers"):
            raise RuntimeError("a bug")
        super().append(event)


class TestFaultsOfOurs:
    """They cost the stream that they happen to, and nobody else (4.2, handler 1)."""

    BROKEN = (b"x-cf-app-instance", b"none")

    @pytest.fixture
    def faulty(self, start: Start) -> Start:
        def faulty(*endpoints: Endpoint, **settings: Any) -> FrontRouter:
            router = start(*endpoints, **settings)
            router.events = FaultyLog()
            return router

        return faulty

    def test_in_a_request(self, faulty: Start, connect: Connect, backend: RawBackend) -> None:
        router = faulty(Endpoint("127.0.0.1", backend.port))
        client = connect(router)
        sibling = client.send_request(get(b"/sibling"))
        stream, _ = backend.accept_request()
        answer = client.ask(get(b"/", self.BROKEN))
        assert (answer.status, answer.value(b"x-cf-routererror")) == (502, b"unknown_failure")
        call = client.ask(get(b"/", self.BROKEN, GRPC, method=b"POST"))
        # Nothing that says `try again`: it may have been carried out.
        assert (call.status, call.value(b"grpc-status")) == (200, b"13")
        stream.send(response_with())
        assert client.answer(sibling).status == 200
        assert len(router.events_of("panic-check")) == 2

    def test_in_a_response(self, faulty: Start, connect: Connect) -> None:
        with H2cBackend() as backend:
            router = faulty(backend.endpoint(), max_response_headers=10)
            client = connect(router)
            sibling, broken = client.send_request(get(b"/sibling")), client.send_request(get(b"/broken"))
            peer = backend.accept_http2()
            streams = {fields[b":path"]: stream for stream, fields in (peer.read_request(), peer.read_request())}
            peer.answer(streams[b"/broken"], b"", *[(b"x", b"y")] * 20)
            assert client.answer(broken).status == 502
            peer.answer(streams[b"/sibling"])
            assert client.answer(sibling).body == b"ok"
            assert len(router.events_of("panic-check")) == 1


class TestWeakSuites:
    """TLS 1.2 as HTTP/2 must not have it (RFC 9113 appendix A)."""

    @pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"])
    def test_they_are_refused(self, suite: str, start: Start, issuer: Issuer, backend: RawBackend) -> None:
        router = start(Endpoint("127.0.0.1", backend.port), tls={"ciphers": (suite,)})
        context = client_context(issuer, version=ssl.TLSVersion.TLSv1_2, protocols=("h2",), ciphers=suite)
        with Http2Client(TlsClient(router.port, context)) as client:
            client.send_request(get())
            client.wait_closed()
            assert client.goaways == [(ErrorCodes.INADEQUATE_SECURITY, 0)]
        assert not backend.has_pending_connection()

    @pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"])
    def test_others_are_not(self, suite: str, start: Start, issuer: Issuer) -> None:
        context = client_context(issuer, version=ssl.TLSVersion.TLSv1_2, protocols=("h2",), ciphers=suite)
        with Http2Client(TlsClient(start(tls={"ciphers": (suite,)}).port, context)) as client:
            assert client.ask(get()).status == 404

    def test_http_1_1_may_have_them(self, start: Start, issuer: Issuer) -> None:
        suite = "ECDHE-ECDSA-AES128-SHA"
        context = client_context(issuer, version=ssl.TLSVersion.TLSv1_2, protocols=("http/1.1",), ciphers=suite)
        with TlsClient(start(tls={"ciphers": (suite,)}).port, context) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            assert client.read_response().status == 404


def has_curl() -> bool:
    curl = shutil.which("curl")
    return curl is not None and b" HTTP2" in subprocess.run([curl, "-V"], capture_output=True, check=True).stdout


@pytest.mark.skipif(not has_curl(), reason="a curl that speaks HTTP/2 is not there")
class TestCurl:
    """Which is nghttp2, too, but by another binding, and with opinions of its own."""

    @pytest.fixture
    def router(self, start: Start, serving: AnsweringBackend) -> FrontRouter:
        return start(Endpoint("127.0.0.1", serving.port), takes_h2c=True)

    def curl(self, *arguments: str, standard_input: bytes = b"") -> str:
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--output", "/dev/null", *arguments]
        process = subprocess.run(command, input=standard_input, capture_output=True, check=True, timeout=PATIENCE)
        return process.stdout.decode()

    def ask(self, router: FrontRouter, issuer: Issuer, tmp_path: Path, *arguments: str, **options: Any) -> str:
        """What curl says of its request: version, status, bytes up and down, connections."""
        (tmp_path / "ca.pem").write_text(issuer.pem)
        return self.curl(
            "--cacert",
            str(tmp_path / "ca.pem"),
            "--resolve",
            f"{HOST}:{router.port}:127.0.0.1",
            "--write-out",
            "%{http_version} %{response_code} %{size_upload} %{size_download} %{num_connects}\n",
            *arguments,
            **options,
        )

    def test_over_tls(self, router: FrontRouter, issuer: Issuer, tmp_path: Path) -> None:
        url = f"https://{HOST}:{router.port}/a"
        assert self.ask(router, issuer, tmp_path, "--http2", url) == "2 200 0 5 1\n"
        assert self.ask(router, issuer, tmp_path, "--http1.1", url) == "1.1 200 0 5 1\n"

    def test_an_upload(self, router: FrontRouter, serving: AnsweringBackend, issuer: Issuer, tmp_path: Path) -> None:
        body = b"x" * 1_000_000
        said = self.ask(
            router, issuer, tmp_path, "--http2", "--data-binary", "@-", f"https://{HOST}:{router.port}/",
            standard_input=body,
        )  # fmt: skip
        assert said == "2 200 1000000 5 1\n"
        assert serving.requests[-1].body == body

    def test_streams_beside_each_other(self, router: FrontRouter, issuer: Issuer, tmp_path: Path) -> None:
        """One connection carries them all."""
        url = f"https://{HOST}:{router.port}/[1-50]"
        said = self.ask(router, issuer, tmp_path, "--http2", "--parallel", "--parallel-max", "20", url)
        lines = said.splitlines()
        assert len(lines) == 50
        assert {line.rpartition(" ")[0] for line in lines} == {"2 200 0 5"}
        assert sum(int(line.rpartition(" ")[2]) for line in lines) == 1


class TestAiohttp:
    """A client of HTTP/1.1, and a backend of HTTP/2."""

    def test_bodies_both_ways(self, start: Start, issuer: Issuer) -> None:
        body = bytes(range(256)) * 2000

        def serve(stream: BackendStream) -> bool:
            peer = Http2Peer(stream)
            while True:
                number, _ = peer.read_request()
                received = peer.read_body(number)
                # Without a length, so that both directions are chunked on the client's side.
                peer.send_head(number, (b"x-size", b"%d" % len(received)))
                peer.send_data(number, received, is_last=True)

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(body), 10_000):
                yield body[at : at + 10_000]

        async def ask(port: int) -> list[tuple[str, bytes]]:
            context = client_context(issuer, checks_names=False)
            async with aiohttp.ClientSession(headers={"Host": HOST}) as session:
                found = []
                for data in (pieces(), body, None):
                    async with session.post(f"https://127.0.0.1:{port}/", data=data, ssl=context) as answer:
                        assert (answer.version, answer.status) == (aiohttp.HttpVersion11, 200)
                        found.append((answer.headers["X-Size"], await answer.read()))
                return found

        with ServingBackend(serve) as backend:
            router = start(Endpoint("127.0.0.1", backend.port, protocol="h2c"))
            said = asyncio.run(asyncio.wait_for(ask(router.port), PATIENCE))
            assert said == [(str(len(body)), body), (str(len(body)), body), ("0", b"")]
