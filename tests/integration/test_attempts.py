"""Every way an attempt can fail, provoked for real: answer, retry, mark, prune, events (spec 5.1, 5.4, 5.7).

The route has a failing endpoint, alone or beside one that works; a sticky cookie leads the first attempt to the failing
one. Each row of the table says what must come of it.
"""

import datetime
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from fastrouter._core import Endpoint
from fastrouter.tls.backends import backend_context

from .http_message import Response, response_with
from .in_process import HOST, InProcessRouter
from .raw_backend import BackendStream, ClosedPort, FullBacklog, RawBackend
from .tls_backend import SAN, Authority, TlsBackend

OURS, THEIRS = Authority(), Authority()
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)

TO_THE_FAILING_ONE = b"Cookie: JSESSIONID=x; __VCAP_ID__=failing"
ATTRIBUTES: dict[str, Any] = {
    "app_id": "the-app",
    "instance_id": "failing",
    "process_id": "the-process",
    "component": "the-component",
    "availability_zone": "z1",
}

BAD_GATEWAY = b"502 Bad Gateway: Registered endpoint failed to handle the request.\n"
HANDSHAKE_FAILED = b"525 SSL Handshake Failed\n"
INVALID_CERTIFICATE = b"526 Invalid SSL Certificate\n"
CERTIFICATE_REQUIRED = b"496 SSL Certificate Required\n"
UNAVAILABLE = b"503 Service Unavailable\n"
COUNTER_OF = {
    BAD_GATEWAY: "bad_gateways",
    HANDSHAKE_FAILED: "backend_tls_handshake_failed",
    INVALID_CERTIFICATE: "backend_invalid_tls_cert",
    CERTIFICATE_REQUIRED: None,
    UNAVAILABLE: "backend_invalid_id",
}


@dataclass(frozen=True)
class Failing:
    """An endpoint that fails once `act` has played the backend's part."""

    endpoint: Endpoint
    act: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Row:
    """A failure and what must come of it. `error` is a regular expression with ADDRESS for the endpoint's."""

    name: str
    failing: Callable[[], AbstractContextManager[Failing]]
    error: str
    retriable: bool = True
    fate: Literal["pruned", "marked", "kept"] = "kept"
    body: bytes = BAD_GATEWAY
    got_connection: bool = False
    wrote_headers: bool = False
    post_retriable: bool | None = None
    # What the attempt ended in the middle of.
    unended: Literal["dial", "handshake"] | None = None
    event: str = "backend-endpoint-failed"
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return int(self.body[:3])

    def router(self, endpoint: Endpoint) -> InProcessRouter:
        return InProcessRouter(endpoint, **{"backend_tls": backend_context(ca_certs=[OURS.pem]), **self.settings})

    def matches(self, text: object, failing: Failing) -> bool:
        return re.search(self.error.replace("ADDRESS", re.escape(failing.endpoint.address)), str(text)) is not None


# --- backends that fail ---


def plain(act: Callable[[RawBackend], object]) -> Callable[[], AbstractContextManager[Failing]]:
    @contextmanager
    def failing() -> Iterator[Failing]:
        with RawBackend() as backend:
            yield Failing(Endpoint("127.0.0.1", backend.port, **ATTRIBUTES), lambda: act(backend))

    return failing


def answered(answer: bytes) -> Callable[[], AbstractContextManager[Failing]]:
    return plain(lambda backend: backend.accept_request()[0].send(answer))


def unreachable(
    port: Callable[[], ClosedPort | FullBacklog], tls: bool
) -> Callable[[], AbstractContextManager[Failing]]:
    @contextmanager
    def failing() -> Iterator[Failing]:
        kept = port()
        try:
            host, _, number = kept.address.rpartition(":")
            yield Failing(Endpoint(host, int(number), tls=tls, server_cert_domain_san=SAN if tls else "", **ATTRIBUTES))
        finally:
            kept.close()

    return failing


def named(host: str) -> Callable[[], AbstractContextManager[Failing]]:
    @contextmanager
    def failing() -> Iterator[Failing]:
        yield Failing(Endpoint(host, 80, **ATTRIBUTES))

    return failing


def over_tls(
    context: Callable[[], ssl.SSLContext],
    act: Callable[[TlsBackend], object] = TlsBackend.refuse,
    san: str = SAN,
) -> Callable[[], AbstractContextManager[Failing]]:
    @contextmanager
    def failing() -> Iterator[Failing]:
        with TlsBackend(context()) as backend:
            yield Failing(backend.endpoint(san, **ATTRIBUTES), lambda: act(backend))

    return failing


def sent_in_plain(data: bytes) -> Callable[[TlsBackend], object]:
    return lambda backend: backend.accept_plain().send(data)


def after_the_hello(act: Callable[[BackendStream], object]) -> Callable[[TlsBackend], object]:
    def met(backend: TlsBackend) -> None:
        stream = backend.accept_plain()
        # Read to its end: unread bytes would make a reset of every close.
        stream.read_exactly(int.from_bytes(stream.read_exactly(5)[3:]))
        act(stream)

    return met


def sent_after_the_hello(data: bytes) -> Callable[[TlsBackend], object]:
    return after_the_hello(lambda stream: stream.send(data))


def with_other_suites() -> ssl.SSLContext:
    context = OURS.server(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    return context


def alert(number: int) -> bytes:
    """A fatal alert as a backend sends it before anything is encrypted."""
    return bytes([0x15, 3, 3, 0, 2, 2, number])


def _rows() -> Iterator[Row]:
    v12, v13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
    reset = "read tcp 127\\.0\\.0\\.1:\\d+->ADDRESS: read: connection reset by peer"
    broken = "net/http: HTTP/1\\.x transport connection broken: "

    # Dial: never a byte of the request is sent.
    for kind, tls, fate in (("", False, "marked"), (", TLS", True, "pruned")):
        refused = "dial tcp ADDRESS: connect: connection refused"
        yield Row("refused" + kind, unreachable(ClosedPort, tls), refused, fate=fate)  # type: ignore[arg-type]
        yield Row(
            "full backlog" + kind,
            unreachable(FullBacklog, tls),
            "dial tcp ADDRESS: i/o timeout",
            fate=fate,  # type: ignore[arg-type]
            settings={"dial_timeout": 0.3},
        )
    yield Row(
        "attempt timeout inside the dial",
        unreachable(FullBacklog, tls=True),
        "context deadline exceeded",
        unended="dial",
        settings={"endpoint_timeout": 0.4},
    )
    for host in ("does-not-exist.invalid", "a" * 70 + ".invalid"):
        yield Row(f"no such host, {len(host)}", named(host), f"dial tcp: lookup {host}.*: no such host", fate="marked")

    # A connection, and then no usable response.
    connected = {"got_connection": True, "wrote_headers": True}
    final: dict[str, Any] = {**connected, "retriable": False}
    yield Row(
        "EOF",
        plain(lambda backend: backend.accept_request()[0].close()),
        "EOF",
        **connected,  # type: ignore[arg-type]
        post_retriable=False,
    )
    yield Row(
        "EOF inside the head",
        plain(lambda backend: _send_and_close(backend.accept_request()[0], b"HTTP/1.1 200 OK\r\nA")),
        broken + "unexpected EOF",
        **final,
    )
    yield Row("reset", plain(lambda backend: backend.accept_request()[0].reset()), reset, fate="marked", **final)
    yield Row(
        "reset, TLS",
        over_tls(OURS.server, lambda backend: backend.accept_request()[0].reset()),
        reset,
        fate="marked",
        **final,
    )
    yield Row(
        "slow headers",
        plain(lambda backend: backend.accept_request()),
        "context deadline exceeded",
        **final,
        settings={"endpoint_timeout": 0.4},
    )
    yield Row("no HTTP", answered(b"garbage\r\n\r\n"), broken + 'malformed HTTP response "garbage"', **final)
    yield Row(
        "large head",
        answered(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 2000 + b"\r\n\r\n"),
        broken + "net/http: server response headers exceeded 1024 bytes; aborted",
        **final,
        settings={"max_response_head": 1024},
    )
    yield Row(
        "many headers",
        answered(b"HTTP/1.1 200 OK\r\n" + b"A: a\r\n" * 6 + b"Content-Length: 0\r\n\r\n"),
        "Too many response headers",
        **final,
        event="backend-too-many-response-headers",
        settings={"max_response_headers": 6},
    )

    # TLS that does not come about.
    not_tls = "tls: first record does not look like a TLS handshake"
    for name, act in (
        ("HTTP", sent_after_the_hello(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
        ("a greeting", sent_in_plain(b"220 mail.internal ESMTP\r\n")),
    ):
        yield Row(f"plain answer, {name}", over_tls(OURS.server, act), not_tls, fate="pruned", body=HANDSHAKE_FAILED)
    invalid = "tls: failed to verify certificate: x509: "
    for name, context in (
        ("another name", lambda: OURS.server("other.internal")),
        ("name as CommonName only", lambda: OURS.server("other.internal", common_name=SAN)),
    ):
        yield Row(
            name,
            over_tls(context),
            invalid + f"certificate is valid for other.internal, not {SAN}",
            fate="pruned",
            body=UNAVAILABLE,
        )
    yield Row(
        "address without a name",
        over_tls(OURS.server, san=""),
        invalid + "cannot validate certificate for 127\\.0\\.0\\.1 because it doesn't contain any IP SANs",
        fate="pruned",
        body=UNAVAILABLE,
    )
    for name, context, text in (
        ("unknown authority", THEIRS.server, "certificate signed by unknown authority"),
        ("expired", lambda: OURS.server(not_before=NOW - 2 * DAY, not_after=NOW - DAY), "certificate has expired"),
        ("not yet valid", lambda: OURS.server(not_before=NOW + DAY, not_after=NOW + 2 * DAY), "not yet valid"),
    ):
        yield Row(name, over_tls(context), invalid + ".*" + text, fate="pruned", body=INVALID_CERTIFICATE)

    # TLS the backend does not want.
    remote = "remote error: tls: "
    refusal: dict[str, Any] = {"fate": "pruned", "body": CERTIFICATE_REQUIRED}
    unknown: dict[str, Any] = dict(zip(("cert_chain", "private_key"), THEIRS.pair("router.internal"), strict=True))
    introduced = {"backend_tls": backend_context(ca_certs=[OURS.pem], **unknown)}
    yield Row(
        "alert: bad certificate",
        over_tls(OURS.server, sent_after_the_hello(alert(42))),
        remote + "bad certificate",
        **refusal,
    )
    yield Row(
        "alert: unknown authority, TLS 1.2",
        over_tls(lambda: OURS.server(version=v12, client_authority=OURS)),
        remote + "unknown certificate authority",
        **refusal,
        settings=introduced,
    )
    # TLS 1.3: the request may have been written already when the alert comes, so its body may be gone.
    late: dict[str, Any] = {**refusal, **connected, "post_retriable": False}
    yield Row(
        "alert: unknown authority, TLS 1.3",
        over_tls(lambda: OURS.server(version=v13, client_authority=OURS)),
        remote + "unknown certificate authority",
        **late,
        settings=introduced,
    )
    yield Row(
        "alert: certificate required",
        over_tls(lambda: OURS.server(version=v13, client_authority=OURS)),
        remote + "certificate required",
        **late,
    )
    yield Row(
        "alert: handshake failure",
        over_tls(with_other_suites),
        remote + "handshake failure",
        fate="pruned",
        body=HANDSHAKE_FAILED,
        settings={
            "backend_tls": backend_context(ca_certs=[OURS.pem], ciphers=["ECDHE-ECDSA-AES128-GCM-SHA256"]),
        },
    )
    # Other alerts have no class of their own: the request was not sent, and that is all.
    for number, text in (
        (43, "unsupported certificate"),
        (45, "expired certificate"),
        (46, "unknown certificate"),
        (47, "illegal parameter"),
        (49, "access denied"),
        (70, "protocol version not supported"),
        (80, "internal error"),
        (112, "unrecognized name"),
        (120, "no application protocol"),
    ):
        yield Row(f"alert: {text}", over_tls(OURS.server, sent_after_the_hello(alert(number))), remote + text)
    yield Row(
        "handshake timeout",
        over_tls(OURS.server, lambda backend: backend.accept_plain()),
        "net/http: TLS handshake timeout",
        fate="pruned",
        settings={"tls_handshake_timeout": 0.3},
    )
    yield Row(
        "attempt timeout inside the handshake",
        over_tls(OURS.server, lambda backend: backend.accept_plain()),
        "context deadline exceeded",
        unended="handshake",
        settings={"endpoint_timeout": 0.4},
    )
    yield Row("EOF inside the handshake", over_tls(OURS.server, after_the_hello(BackendStream.close)), "EOF")
    yield Row(
        "reset inside the handshake",
        over_tls(OURS.server, after_the_hello(BackendStream.reset)),
        reset,
        fate="marked",
    )


def _send_and_close(stream: BackendStream, data: bytes) -> None:
    stream.send(data)
    stream.close()


ROWS = list(_rows())
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


# --- what must come of them ---


@contextmanager
def router_with_both(row: Row, failing: Failing, backend: RawBackend) -> Iterator[InProcessRouter]:
    """A router whose next request goes to the working endpoint if nothing leads it to the failing one.

    The turn is a matter of chance until the first request has been served (spec 5.2.2); from then on it moves by one.
    """
    working = Endpoint("127.0.0.1", backend.port, instance_id="working")
    with row.router(working) as router:
        client = router.ask()
        backend.accept_request()[0].send(response_with(b"served", b"Connection: close"))
        assert client.read_response().body == b"served"
        router.call(router.table.register, HOST, failing.endpoint)
        router.call(router.table.unregister, HOST, working.address)
        router.call(router.table.register, HOST, working)
        yield router


def assert_failed(response: Response, row: Row, failing: Failing) -> None:
    """Check the answer of the error handler."""
    assert response.status == row.status
    assert response.body == row.body
    assert response.values(b"Content-Type") == [b"text/plain; charset=utf-8"]
    assert response.values(b"X-Content-Type-Options") == [b"nosniff"]
    assert not response.has(b"Connection")
    error = (response.value(b"X-Cf-Routererror") or b"").decode()
    assert error.startswith("endpoint_failure (")
    assert error.endswith(")")
    assert row.matches(error, failing), error


def assert_fate(router: InProcessRouter, row: Row, failing: Failing) -> None:
    """Check what became of the endpoint, and that it was said."""
    address = failing.endpoint.address
    assert (address not in router.addresses()) == (row.fate == "pruned")
    assert router.prunes == ([(HOST, address)] if row.fate == "pruned" else [])
    told = {
        "pruned": router.events_of("prune-failed-endpoint"),
        "marked": router.events_of("endpoint-marked-as-ineligible"),
    }
    assert [fate for fate, events in told.items() if events] == [fate for fate in told if fate == row.fate]
    for events in told.values():
        for event in events:
            assert event.keys() == {"route-endpoint"}, "the table knows nothing of requests"
            assert event["route-endpoint"] == described(failing)


def span(seconds: object) -> str:
    """What became of a step of an attempt, by the time that a log line has for it."""
    assert isinstance(seconds, float)
    return "never" if seconds == 0 else "unended" if seconds == -1 else "ended" if seconds > 0 else f"{seconds} s"


def described(failing: Failing) -> dict[str, object]:
    """The endpoint as it is in log lines."""
    return {
        "ApplicationId": "the-app",
        "Addr": failing.endpoint.address,
        "Tags": {"component": "the-component", "process_id": "the-process"},
        "RouteServiceUrl": "",
        "AZ": "z1",
    }


@every_row
def test_alone(row: Row) -> None:
    """Answer, fate, one attempt, and everything that is said of it."""
    with row.failing() as failing, row.router(failing.endpoint) as router:
        client = router.ask()
        failing.act()
        assert_failed(client.read_response(), row, failing)
        assert_fate(router, row, failing)

        (event,) = router.events_of(row.event)
        assert row.matches(event["error"], failing), event["error"]
        line = router.wait_for_log_line()
        assert re.search(rf'" {row.status} 0 {len(row.body)} "', line)
        assert f' "{failing.endpoint.address}" ' in line
        assert ' app_id:"the-app" ' in line
        assert 'x_cf_routererror:"endpoint_failure (' in line
        assert event.pop("dns-lookup-time") == 0
        assert span(event.pop("dial-time")) == ("unended" if row.unended == "dial" else "ended")
        has_handshake = failing.endpoint.tls and row.unended != "dial" and not row.error.startswith("dial tcp")
        assert span(event.pop("tls-handshake-time")) == (
            "never" if not has_handshake else "unended" if row.unended else "ended"
        )
        local_address = event.pop("local-address")
        assert bool(local_address) == row.got_connection
        if local_address:
            assert re.fullmatch(r"127\.0\.0\.1:\d+", local_address)
        request_id = re.search(r'vcap_request_id:"([0-9a-f-]{36})"', line)
        assert request_id is not None
        trace = {"trace-id": request_id[1].replace("-", ""), "span-id": request_id[1].replace("-", "")[16:]}
        del event["error"]
        assert event == trace | {
            "route-endpoint": described(failing),
            "attempt": 1,
            "vcap_request_id": request_id[1],
            "num-endpoints": 1,
            "got-connection": row.got_connection,
            "wrote-headers": row.wrote_headers,
            "conn-reused": False,
            "retriable": row.retriable,
        }
        assert {level for level, _, _ in router.events} == {3}
        timeouts = router.events_of("backend-request-timeout")
        assert bool(timeouts) == ("deadline" in row.error)
        for timeout in timeouts:
            assert timeout == trace | {
                "route-endpoint": described(failing),
                "error": "context deadline exceeded",
                "vcap_request_id": request_id[1],
            }

        stats = router.stats()
        assert stats["total_requests"] == 1
        counters = {name: stats[name] for name in COUNTER_OF.values() if name is not None}
        assert counters == {name: int(name == COUNTER_OF[row.body]) for name in counters}


@pytest.mark.parametrize(
    ("start_line", "body", "error"),
    [(b"GET / HTTP/1.1", b"", "EOF (via idempotent request)"), (b"POST / HTTP/1.1", b"x", "EOF")],
)
def test_eof_inside_the_handshake(start_line: bytes, body: bytes, error: str) -> None:
    """Every EOF is logged with whether the request can be repeated, even if nothing of it was sent."""
    (row,) = (row for row in ROWS if row.name == "EOF inside the handshake")
    with row.failing() as failing, row.router(failing.endpoint) as router:
        client = router.ask(*([b"Content-Length: 1"] if body else []), start_line=start_line, body=body)
        failing.act()
        assert client.read_response().value(b"X-Cf-Routererror") == b"endpoint_failure (EOF)"
        (event,) = router.events_of("backend-endpoint-failed")
        assert event["error"] == f"incomplete request ({error})"


def test_an_attempt_tells_nothing_of_the_one_before() -> None:
    refusing = ClosedPort()
    with RawBackend() as backend, InProcessRouter(Endpoint("127.0.0.1", backend.port)) as router:
        client = router.ask()
        stream, _ = backend.accept_request()
        host, _, port = refusing.address.rpartition(":")
        router.call(router.table.register, HOST, Endpoint(host, int(port)))
        router.call(router.table.unregister, HOST, f"127.0.0.1:{backend.port}")
        stream.close()
        assert client.read_response().status == 502
        first, second = router.events_of("backend-endpoint-failed")
        assert (first["got-connection"], bool(first["local-address"])) == (True, True)
        assert (second["got-connection"], second["local-address"]) == (False, "")
    refusing.close()


def test_a_reset_behind_an_interim_response_marks_the_endpoint() -> None:
    with RawBackend() as backend, InProcessRouter(Endpoint("127.0.0.1", backend.port)) as router:
        client = router.ask()
        stream, _ = backend.accept_request()
        stream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        assert client.read_response().status == 103
        stream.reset()
        response = client.read_response()
        assert (response.status, response.body) == (502, BAD_GATEWAY)
        error = response.value(b"X-Cf-Routererror") or b""
        assert b"transport connection broken: read tcp 127.0.0.1:" in error
        assert error.endswith(b": read: connection reset by peer)")
        assert len(router.events_of("endpoint-marked-as-ineligible")) == 1


@every_row
def test_beside_another(row: Row) -> None:
    """A GET is sent to the other endpoint where that is safe; later requests depend on the mark of the failing one."""
    with RawBackend() as other, row.failing() as failing, router_with_both(row, failing, other) as router:
        client = router.ask(TO_THE_FAILING_ONE)
        failing.act()
        if row.retriable:
            stream, retried = other.accept_request()
            assert retried.value(b"X-Cf-Instanceid") == b"working"
            stream.send(response_with(b"served", b"Connection: close"))
            assert client.read_response().body == b"served"
            assert 'x_cf_routererror:"-"' in router.wait_for_log_line(1)
        else:
            assert_failed(client.read_response(), row, failing)
            assert not other.has_pending_connection()
        assert_fate(router, row, failing)
        (event,) = router.events_of(row.event)
        assert event["num-endpoints"] == 2
        if row.fate == "kept":
            return
        # Round robin would meet each of two endpoints.
        for _ in range(2):
            client = router.ask()
            other.accept_request()[0].send(response_with(b"served", b"Connection: close"))
            assert client.read_response().body == b"served"
        assert len(router.events_of(row.event)) == 1


@every_row
def test_body_beside_another(row: Row) -> None:
    """A POST is sent to the other endpoint only if nothing of it was sent before, and then completely."""
    retriable = row.retriable if row.post_retriable is None else row.post_retriable
    with RawBackend() as other, row.failing() as failing, router_with_both(row, failing, other) as router:
        client = router.ask(TO_THE_FAILING_ONE, b"Content-Length: 5", start_line=b"POST / HTTP/1.1", body=b"hello")
        failing.act()
        if retriable:
            stream, retried = other.accept_request()
            assert retried.body == b"hello"
            stream.send(response_with(b"served"))
            assert client.read_response().body == b"served"
        else:
            assert_failed(client.read_response(), row, failing)
            assert not other.has_pending_connection()
        assert_fate(router, row, failing)
        (event,) = router.events_of(row.event)
        assert event["retriable"] == retriable
