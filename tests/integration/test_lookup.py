"""From host and path to a backend, and the answers when there is none (spec 3.3, 3.7, 4.2 #15, 4.3)."""

import contextlib
from collections.abc import Iterator

import pytest

from .conftest import Lane, StartRouter
from .raw_backend import AnsweringBackend
from .router_process import RouterProcess

ROUTES = {
    "app.test": "host",
    "app.test/api": "path",
    "app.test/api/v1": "deep",
    "*.wild.test": "wildcard",
    "*.wild.test/sub": "wildcard-path",
    "*.deep.wild.test": "deep-wildcard",
    "exact.wild.test": "exact",
    "only.test/path": "only-path",
    "*.only.test": "only-wildcard",
    "x.only.test/path": "x-path",
    "MiXed.test/CaSe": "mixed",
}


class TestUnknownHost:
    def test_is_404_with_the_exact_response(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(b"GET /x HTTP/1.1\r\nHost: Nowhere.test:8080\r\n\r\n")
        response = client.read_response()
        assert response.start_line == b"HTTP/1.1 404 Not Found"
        # With the port, and as it was written.
        assert response.body == b"404 Not Found: Requested route ('Nowhere.test:8080') does not exist.\n"
        assert response.values(b"X-Cf-Routererror") == [b"unknown_route"]
        assert response.values(b"Cache-Control") == [b"no-cache, no-store"]
        assert response.values(b"Content-Type") == [b"text/plain; charset=utf-8"]
        assert response.values(b"X-Content-Type-Options") == [b"nosniff"]
        assert not response.has(b"Connection")

    def test_head_gets_no_body(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(b"HEAD /x HTTP/1.1\r\nHost: nowhere.test\r\n\r\n")
        response = client.read_response(b"HEAD")
        assert (response.status, response.body) == (404, b"")
        assert client.is_silent(0.05)

    @pytest.mark.parametrize(
        "framing", [b"Content-Length: 5\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
    )
    def test_body_of_the_request_is_not_taken_for_a_request(self, lane: Lane, framing: bytes) -> None:
        client = lane.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: nowhere.test\r\n" + framing + lane.request(b"GET /next HTTP/1.1"))
        assert client.read_response().status == 404
        # Either the body is read over and the connection goes on, or it ends here.
        if lane.backend.has_pending_connection(0.5):
            assert lane.backend.accept_request()[1].target == b"/next"
        else:
            client.expect_end()

    def test_response_reaches_a_client_with_a_large_body(self, lane: Lane) -> None:
        client = lane.connect()
        with contextlib.suppress(ConnectionError):
            client.send(b"POST / HTTP/1.1\r\nHost: nowhere.test\r\nContent-Length: 8388608\r\n\r\n" + bytes(8388608))
        assert client.read_response().status == 404


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nHost:\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \r\nX-A: b\r\n\r\n"])
def test_empty_host_is_400_with_the_exact_response(lane: Lane, head: bytes) -> None:
    client = lane.connect()
    client.send(head)
    response = client.read_response()
    assert response.start_line == b"HTTP/1.1 400 Bad Request"
    assert response.body == b"400 Bad Request: Request had empty Host header\n"
    assert response.values(b"X-Cf-Routererror") == [b"empty_host"]
    assert response.values(b"Cache-Control") == [b"public,max-age=2"]
    assert response.values(b"Content-Type") == [b"text/plain; charset=utf-8"]
    assert response.values(b"X-Content-Type-Options") == [b"nosniff"]
    # Go's server has no quarrel with it: the connection stays usable.
    lane.forward(client)


@pytest.mark.parametrize("host", [b"127.0.0.1", b"127.0.0.1:80"])
def test_host_that_is_the_clients_address_counts_as_empty(lane: Lane, host: bytes) -> None:
    client = lane.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    response = client.read_response()
    assert (response.status, response.value(b"X-Cf-Routererror")) == (400, b"empty_host")


class TestRouteTable:
    @pytest.fixture(scope="class")
    @classmethod
    def router(cls, start_module_router: StartRouter) -> Iterator[RouterProcess]:
        backends = {uri: AnsweringBackend(name.encode()) for uri, name in ROUTES.items()}
        yield start_module_router({uri: [backend.address] for uri, backend in backends.items()})
        for backend in backends.values():
            backend.close()

    @pytest.mark.parametrize(
        ("host", "target", "served_by"),
        [
            ("app.test", "/", "host"),
            ("app.test", "/other", "host"),
            ("app.test", "/api", "path"),
            ("app.test", "/api/", "path"),
            ("app.test", "/api?x=/v1", "path"),
            ("app.test", "/api/v2", "path"),
            ("app.test", "/api/v1", "deep"),
            ("app.test", "/api/v1/x/y", "deep"),
            ("app.test", "/apix", "host"),
            ("app.test", "/x/api", "host"),
            ("app.test", "/%61pi", "host"),
            ("app.test:8080", "/api", "path"),
            ("APP.test", "/API/V1", "deep"),
            ("a.wild.test", "/", "wildcard"),
            ("a.b.wild.test", "/", "wildcard"),
            ("a.wild.test", "/sub/x", "wildcard-path"),
            ("a.deep.wild.test", "/", "deep-wildcard"),
            ("a.b.deep.wild.test", "/sub", "deep-wildcard"),
            ("deep.wild.test", "/", "wildcard"),
            ("exact.wild.test", "/", "exact"),
            # The exact host beats the wildcard even with a shorter path.
            ("exact.wild.test", "/sub", "exact"),
            ("only.test", "/path/x", "only-path"),
            ("x.only.test", "/path", "x-path"),
            # An exact host without a route for this path does not stop the wildcard.
            ("x.only.test", "/else", "only-wildcard"),
            ("mixed.test", "/case", "mixed"),
        ],
    )
    def test_serves(self, router: RouterProcess, host: str, target: str, served_by: str) -> None:
        with router.connect() as client:
            client.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert client.read_response().body.decode() == served_by

    @pytest.mark.parametrize(
        ("host", "target"), [("only.test", "/"), ("wild.test", "/"), ("test", "/"), ("b.app.test", "/")]
    )
    def test_serves_nobody(self, router: RouterProcess, host: str, target: str) -> None:
        with router.connect() as client:
            client.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert client.read_response().status == 404
