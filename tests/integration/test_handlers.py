"""Handlers as an operator configures them: a gorouter.yml, a bus, and what app and client see (spec 4.2)."""

import signal

from fastrouter.tls.backends import backend_context

from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, get, register
from .http_message import Request, Response, response_with
from .in_process import InProcessRouter
from .nats_server import RawNatsClient
from .raw_backend import RawBackend
from .raw_client import RawClient
from .router_process import wait_for
from .tls_backend import Authority, TlsBackend

HOST = "app.test"


def serve(router: GorouterProcess, nats: RawNatsClient, backend: RawBackend) -> None:
    """Register the backend, and wait until its route is there."""
    router.wait_until_started()
    register(nats, backend.address, HOST)
    wait_for(lambda: HOST in router.routes() or None, "the route")


def exchange(
    router: GorouterProcess, backend: RawBackend, *lines: bytes, target: bytes = b"/", answer: bytes | None = None
) -> tuple[Request, Response]:
    """One exchange: what the backend saw, and what the client got."""
    with RawClient(router.port) as client:
        client.send(b"\r\n".join([b"GET %s HTTP/1.1" % target, b"Host: " + HOST.encode(), *lines, b"", b""]))
        stream, request = backend.accept_request()
        stream.send(answer or response_with(b"ok", b"Connection: close"))
        return request, client.read_response()


def test_health_by_user_agent_while_draining(
    start_gorouter: StartGorouter, nats: RawNatsClient, backend: RawBackend
) -> None:
    """H19, P06: all workers, and one that is started meanwhile, tell a load balancer to stay away."""
    router = start_gorouter(healthcheck_user_agent="balancer", drain_wait="60s", go_max_procs=2)
    serve(router, nats, backend)

    def health() -> int:
        return get(router.port, "/", **{"Host": HOST, "User-Agent": "balancer"})[0]

    assert {health() for _ in range(20)} == {200}
    router.send_signal(signal.SIGUSR1)
    router.wait_for_event("gorouter-draining")
    # Each worker gets the order in its turn.
    wait_for(lambda: True if {health() for _ in range(20)} == {503} else None, "workers that all say no")
    request, response = exchange(router, backend, b"User-Agent: client")
    assert (request.value(b"User-Agent"), response.status) == (b"client", 200)
    # It would go on for a minute, and heeds no other signal.
    router.send_signal(signal.SIGKILL)
    assert router.wait() == -signal.SIGKILL


def test_keys_of_the_handlers(start_gorouter: StartGorouter, nats: RawNatsClient, backend: RawBackend) -> None:
    router = start_gorouter(
        trace_key="22",
        sanitize_forwarded_proto=True,
        hop_by_hop_headers_to_filter=["X-Protected"],
        forwarded_client_cert="sanitize_set",
        http_rewrite={
            "responses": {
                "remove_headers": [{"name": "Server"}],
                "add_headers_if_not_present": [{"name": "X-Frame-Options", "value": "DENY"}],
            }
        },
    )
    serve(router, nats, backend)
    request, response = exchange(
        router,
        backend,
        b"X-Vcap-Trace: 22",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Client-Cert: mine",
        b"X-Protected: 1",
        b"X-Other: 1",
        b"Connection: x-protected, x-other",
        answer=response_with(b"ok", b"Server: app", b"Connection: close"),
    )
    assert request.value(b"X-Forwarded-Proto") == b"http"
    assert not request.has(b"X-Forwarded-Client-Cert")
    assert request.value(b"X-Protected") == b"1"
    assert not request.has(b"X-Other")
    assert not response.has(b"Server")
    assert response.value(b"X-Frame-Options") == b"DENY"
    assert response.value(b"X-Vcap-Backend") == response.value(b"X-Cf-Routeendpoint") == backend.address.encode()
    local_ip = response.value(b"X-Vcap-Router")
    assert local_ip is not None
    assert local_ip.count(b".") == 3
    status, _ = get(router.port, "/", Host="unknown.test")
    assert status == 404


def test_double_slash() -> None:
    """Q03: the scheme is that of the endpoint."""
    authority = Authority()
    request = b"GET //a%2fb?z&a=1 HTTP/1.1\r\nHost: app.test\r\n\r\n"
    with (
        TlsBackend(authority.server()) as backend,
        InProcessRouter(backend.endpoint(), backend_tls=backend_context(ca_certs=[authority.pem])) as router,
    ):
        client = RawClient(router.port)
        client.send(request)
        stream, seen = backend.accept_request()
        stream.send(response_with(b"ok"))
        assert client.read_response().status == 200
        client.close()
    assert seen.target == b"https://app.test//a/b?a=1&z="
