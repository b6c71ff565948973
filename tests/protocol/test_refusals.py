"""Requests that come to no handler, and connections that come to no request: counted by reason, logged if wanted."""

import json
import mmap
import ssl
from contextlib import suppress

import pytest
import trustme

from fastrouter._core import REFUSALS, AccessLog, ListenerProtocol, Settings, Stats

from .conversation import Conversation, timeless
from .test_listener_protocol import SIGNATURE, through
from .test_splits import OK, splits

# What a line says behind the client's address of a request that has no X-Forwarded headers.
REST = (
    'x_forwarded_for:"-" x_forwarded_proto:"-" vcap_request_id:"-" response_time:- gorouter_time:- '
    'app_id:"-" app_index:"-" instance_id:"-" x_cf_routererror:"refused ({})"'
)

# What is sent | reason | host, request line, status and bytes of the answer's body as the line tells them.
REFUSED = [
    (b"GET /\r\nHost: app.test\r\n\r\n", "malformed", 'app.test - [-] "GET - -" 400 0 15'),
    (
        b"\r\nGET / HTTP/1.1\r\nHost: app.test\r\nno field\r\n\r\n",
        "malformed",
        'app.test - [-] "GET / HTTP/1.1" 400 0 15',
    ),
    (b"GE\tT /x HTTP/1.1\r\nHost: app.test\r\n\r\n", "malformed", r'app.test - [-] "GE\tT /x -" 400 0 15'),
    (b"GET /x?a HTTP/1.x\r\nHost: app.test\r\n\r\n", "malformed", 'app.test - [-] "GET /x?a -" 400 0 15'),
    (b"CONNECT app.test:80 HTTP/1.1\r\nHost: app.test\r\n\r\n", "malformed", None),
    (b"GET /%zz HTTP/1.1\r\nHost: app.test\r\n\r\n", "malformed", 'app.test - [-] "GET /%zz HTTP/1.1" 400 0 15'),
    (b"GET * HTTP/1.1\r\nHost: app.test\r\n\r\n", "malformed", 'app.test - [-] "GET * HTTP/1.1" 400 0 15'),
    (
        b"GET / HTTP/1.1\r\nHost: app.test\r\nContent-Length: x\r\n\r\n",
        "malformed",
        'app.test - [-] "GET / HTTP/1.1" 400 0 15',
    ),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "malformed", ' - [-] "- - -" 400 0 15'),
    (
        b"GET / HTTP/1.1\r\nHost: app.test\r\nX: " + (1 << 21) * b"x",
        "header_too_large",
        'app.test - [-] "GET / HTTP/1.1" 431 0 35',
    ),
    (b"GET /" + (1 << 21) * b"x", "header_too_large", ' - [-] "- - -" 431 0 35'),
    (b"GET / HTTP/1.1\r\nHost: app.test\r\nX Y: a\r\n\r\n", "bad_header", 'app.test - [-] "GET / HTTP/1.1" 400 0 36'),
    (b"GET / HTTP/1.1\r\nHost: app.test\r\nX: a\0\r\n\r\n", "bad_header", 'app.test - [-] "GET / HTTP/1.1" 400 0 37'),
    (b"GET / HTTP/1.1\r\n\r\n", "bad_host", ' - [-] "GET / HTTP/1.1" 400 0 45'),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "bad_host", 'a - [-] "GET / HTTP/1.1" 400 0 38'),
    (b'GET / HTTP/1.1\r\nHost: a" 1\x7f\xff\r\n\r\n', "bad_header", r'"a\" 1\x7f\xff" - [-] "GET / HTTP/1.1" 400 0 37'),
    (b'GET / HTTP/1.1\r\nHost: a" 1\r\n\r\n', "bad_host", r'"a\" 1" - [-] "GET / HTTP/1.1" 400 0 38'),
    (b"GET http://a%b/p HTTP/1.1\r\nHost: app.test\r\n\r\n", "malformed", None),
    (b"GET http://a:x/p HTTP/1.1\r\nHost: app.test\r\n\r\n", "bad_host", 'a:x - [-] "GET /p HTTP/1.1" 400 0 15'),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "bad_version", ' - [-] "PRI * HTTP/2.0" 400 0 46'),
    (b"GET / HTTP/3.1\r\nHost: app.test\r\n\r\n", "bad_version", 'app.test - [-] "GET / HTTP/3.1" 505 0 60'),
    (
        b"GET / HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n",
        "transfer_encoding",
        'app.test - [-] "GET / HTTP/1.0" 400 0 15',
    ),
    (
        b"GET / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: gzip\r\n\r\n",
        "transfer_encoding",
        'app.test - [-] "GET / HTTP/1.1" 501 0 29',
    ),
    (
        b"GET / HTTP/1.1\r\nHost: app.test\r\nExpect: more\r\n\r\n",
        "expectation",
        'app.test - [-] "GET / HTTP/1.1" 417 0 0',
    ),
]


class Listened:
    """A conversation that logs what is refused."""

    def __init__(self, settings: Settings | None = None, *, logs_refused: bool = True, is_json: bool = False) -> None:
        self.lines: list[bytes] = []
        log = AccessLog(self.lines.append, logs_refused=logs_refused, is_json=is_json)
        self.conversation = Conversation(settings=settings, access_log=log)

    def refused(self) -> dict[str, int]:
        """How often for each reason, as far as there was one."""
        stats = self.conversation.plane.stats()
        return {reason: count for reason in REFUSALS if (count := stats[f"refused_{reason}"])}

    def text(self) -> str:
        self.conversation.end()
        return timeless(b"".join(self.lines)).decode()


def line(beginning: str, reason: str, agent: str = "-") -> str:
    return f'{beginning} "-" "{agent}" "10.0.0.9:4321" "-" ' + REST.format(reason) + "\n"


@pytest.mark.parametrize(("sent", "reason", "beginning"), REFUSED)
def test_is_counted_once_and_logged(sent: bytes, reason: str, beginning: str | None) -> None:
    listened = Listened()
    listened.conversation.from_client(sent, b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
    assert listened.refused() == {reason: 1}
    assert listened.conversation.plane.stats()["requests"] == 0
    text = listened.text()
    assert text.count("\n") == 1
    if beginning is not None:
        assert text == line(beginning, reason)


@pytest.mark.parametrize("sent", [sent for sent, _, _ in REFUSED if len(sent) < 100])
def test_pieces_make_no_difference(sent: bytes) -> None:
    told = set()
    for pieces in splits(sent):
        listened = Listened()
        listened.conversation.from_client(*pieces)
        told.add((str(listened.refused()), listened.text()))
    assert len(told) == 1, told


def test_all_workers_count_together() -> None:
    memory = mmap.mmap(-1, Stats.size(2, 1))
    for worker in range(2):
        Conversation(stats=Stats(memory, 2, 1, worker)).from_client(b"GET / HTTP/1.1\r\n\r\n")
    assert Stats(memory, 2, 1).counts()["refused_bad_host"] == 2


def test_unless_it_is_wanted_nothing_is_logged() -> None:
    listened = Listened(logs_refused=False)
    listened.conversation.from_client(b"GET / HTTP/1.1\r\n\r\n")
    assert listened.refused() == {"bad_host": 1}
    assert listened.text() == ""


def test_every_field() -> None:
    listened = Listened()
    listened.conversation.from_client(
        b'POST /x?y HTTP/1.1\r\nHost: app.test\r\nReferer: r\r\nUser-Agent: a"\r\nX-Forwarded-For: 10.1.1.1\r\n'
        b"X-Forwarded-Proto: https\r\nContent-Length: 5\r\nExpect: more\r\n\r\nhello"
    )
    assert listened.text() == (
        'app.test - [-] "POST /x?y HTTP/1.1" 417 0 0 "r" "a\\"" "10.0.0.9:4321" "-" x_forwarded_for:"10.1.1.1" '
        'x_forwarded_proto:"https" vcap_request_id:"-" response_time:- gorouter_time:- app_id:"-" app_index:"-" '
        'instance_id:"-" x_cf_routererror:"refused (expectation)"\n'
    )


def test_what_is_not_to_be_logged_is_not() -> None:
    lines: list[bytes] = []
    log = AccessLog(
        lines.append,
        logs_refused=True,
        redaction="all",
        hides_source=True,
        hides_forwarded_for=True,
        extra_fields=("failed_attempts", "dial_time"),
        extra_headers=("X-One", "X-Vcap-Request-Id"),
    )
    conversation = Conversation(access_log=log)
    conversation.from_client(b"GET /x?secret HTTP/1.1\r\nX-Forwarded-For: 10.1.1.1\r\nX-One: 1\r\n\r\n")
    conversation.end()
    assert timeless(b"".join(lines)).decode() == (
        ' - [-] "GET /x HTTP/1.1" 400 0 45 "-" "-" "-" "-" x_forwarded_for:"-" x_forwarded_proto:"-" '
        'vcap_request_id:"-" response_time:- gorouter_time:- app_id:"-" app_index:"-" instance_id:"-" '
        'failed_attempts:0 dial_time:"-" x_cf_routererror:"refused (bad_host)" x_one:"1" x_vcap_request_id:"-"\n'
    )


def test_as_json() -> None:
    listened = Listened(is_json=True)
    listened.conversation.from_client(b"\x16\x03\x01\x02\x00\n\n")
    record = json.loads(listened.text())
    assert [record[name] for name in ("host", "method", "uri", "protocol", "status", "bytes_sent")] == (
        ["", "-", "-", "-", 400, 15]
    )
    assert (record["vcap_request_id"], record["x_cf_routererror"]) == (None, "refused (malformed)")


def test_a_line_looks_at_the_beginning_only() -> None:
    """A flood of long heads writes no long lines."""
    listened = Listened()
    listened.conversation.from_client(
        b"GET / HTTP/1.1\r\nHost: app.test\r\nUser-Agent: " + 3000 * b"\xff" + b"\r\nHost: b\r\n\r\n"
    )
    assert listened.text() == line('app.test - [-] "GET / HTTP/1.1" 400 0 38', "bad_host")


def test_requests_before_and_on_other_connections_are_as_ever() -> None:
    listened = Listened()
    conversation = listened.conversation
    conversation.from_client(b"GET /1 HTTP/1.1\r\nHost: app.test\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
    conversation.from_backend(OK)
    assert conversation.plane.stats()["requests"] == 1
    first, second = listened.text().splitlines()
    assert '"GET /1 HTTP/1.1" 200 ' in first
    assert second + "\n" == line(' - [-] "GET /2 HTTP/1.1" 400 0 45', "bad_host")


class TestIncompleteHeads:
    HEAD = b"GET / HTTP/1.1\r\nHost: app.test\r\nX-Long: " + 300 * b"x" + b"\r\nUser-Agent: a\r\nX-Fo"
    LINE = 'app.test - [-] "GET / HTTP/1.1" "-" 0 0'

    def test_too_slow(self) -> None:
        listened = Listened(Settings(read_header_timeout=0.001))
        listened.conversation.from_client(self.HEAD)
        listened.conversation.let_deadlines_pass()
        assert listened.conversation.client.is_over
        assert listened.refused() == {"incomplete_header": 1}
        assert listened.text() == line(self.LINE, "incomplete_header")

    def test_cut_by_the_end_of_the_client(self) -> None:
        listened = Listened()
        listened.conversation.from_client(self.HEAD)
        listened.conversation.client.deliver_eof()
        listened.conversation.loop.run()
        assert listened.refused() == {"incomplete_header": 1}
        assert listened.text() == line(self.LINE, "incomplete_header")

    def test_cut_behind_a_whole_request(self) -> None:
        listened = Listened()
        listened.conversation.from_client(b"GET /1 HTTP/1.1\r\nHost: app.test\r\n\r\n" + self.HEAD)
        listened.conversation.client.deliver_eof()
        listened.conversation.from_backend(OK)
        assert listened.refused() == {"incomplete_header": 1}
        assert listened.text().endswith(line(self.LINE, "incomplete_header"))

    def test_who_says_nothing_is_not_refused(self) -> None:
        listened = Listened(Settings(read_header_timeout=0.001))
        listened.conversation.let_deadlines_pass()
        assert listened.conversation.client.is_over
        assert listened.refused() == {}
        assert listened.text() == ""


def hello_of(context: ssl.SSLContext) -> bytes:
    """What a client with this context says first."""
    outgoing = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="app.test").do_handshake()
    return outgoing.read()


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA(key_type=trustme.KeyType.ECDSA).issue_cert("app.test").configure_cert(context)
    return context


class TestDoors:
    def secured(
        self, context: ssl.SSLContext, protocols: tuple[bytes, ...] = (), settings: Settings | None = None
    ) -> Listened:
        listened = Listened(settings)
        listener = ListenerProtocol(listened.conversation.plane)
        listener.secure(context, protocols=protocols)
        through(listener, listened.conversation)
        return listened

    def test_plain_http_on_the_tls_port_is_a_request(self, context: ssl.SSLContext) -> None:
        listened = self.secured(context)
        listened.conversation.from_client(b"GET /x HTTP/1.1\r\nHost: app.test\r\nUser-Agent: a\r\n\r\n")
        assert listened.refused() == {"plain_http": 1}
        assert listened.text() == line('app.test - [-] "GET /x HTTP/1.1" 400 0 48', "plain_http", "a")

    @pytest.mark.parametrize("greeting", [b"\0\1\2", b"\x16\x03\x01\x00\x04\x01\0\0\0", b"hello"])
    def test_a_handshake_that_fails_is_none(self, context: ssl.SSLContext, greeting: bytes) -> None:
        listened = self.secured(context)
        listened.conversation.from_client(greeting)
        assert listened.refused() == {"tls_handshake": 1}
        assert listened.text() == ""

    def test_neither_is_one_for_another_protocol(self, context: ssl.SSLContext) -> None:
        client_side = ssl.create_default_context()
        client_side.set_alpn_protocols(["h2"])
        listened = self.secured(context, (b"http/1.1",))
        listened.conversation.from_client(hello_of(client_side))
        assert listened.refused() == {"tls_handshake": 1}

    def test_neither_is_one_of_another_version(self) -> None:
        context, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        client_side.maximum_version = ssl.TLSVersion.TLSv1_2
        listened = self.secured(context)
        listened.conversation.from_client(hello_of(client_side))
        assert listened.refused() == {"tls_handshake": 1}

    def test_neither_is_one_that_takes_too_long(self, context: ssl.SSLContext) -> None:
        listened = self.secured(context, settings=Settings(read_header_timeout=0.001))
        listened.conversation.from_client(hello_of(ssl.create_default_context()))
        listened.conversation.let_deadlines_pass()
        assert listened.conversation.client.is_over
        assert listened.refused() == {"tls_handshake": 1}

    def test_who_says_nothing_is_not_refused(self, context: ssl.SSLContext) -> None:
        listened = self.secured(context, settings=Settings(read_header_timeout=0.001))
        listened.conversation.let_deadlines_pass()
        assert listened.conversation.client.is_over
        assert listened.refused() == {}

    @pytest.mark.parametrize("header", [b"PROXY TCP4 x y 1 2\r\n", SIGNATURE + b"\x31\x11\x00\x00"])
    def test_a_wrong_proxy_header_is_none(self, header: bytes) -> None:
        listened = Listened()
        through(ListenerProtocol(listened.conversation.plane, reads_proxy_headers=True), listened.conversation)
        listened.conversation.from_client(header)
        assert listened.conversation.client.is_over
        assert listened.refused() == {"proxy_header": 1}
        assert listened.text() == ""

    def test_half_a_proxy_header_is_none(self) -> None:
        listened = Listened(Settings(proxy_header_timeout=0.001))
        through(ListenerProtocol(listened.conversation.plane, reads_proxy_headers=True), listened.conversation)
        listened.conversation.from_client(b"PROXY TCP4 ")
        listened.conversation.let_deadlines_pass()
        assert listened.refused() == {"proxy_header": 1}
