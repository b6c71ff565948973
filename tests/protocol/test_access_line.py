"""The access log line with every option, byte for byte as far as no clock is in it (spec 6.2, 8.12), and as JSON."""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from fastrouter._core import AccessLog, Endpoint, Settings

from .conversation import Conversation, timeless

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EXTRA_FIELDS = (
    "failed_attempts",
    "failed_attempts_time",
    "dns_time",
    "dial_time",
    "tls_time",
    "backend_time",
    "local_address",
)


def line_of(
    *lines: bytes,
    request: bytes = b"GET / HTTP/1.1",
    host: bytes = b"app.test",
    answer: bytes = OK,
    settings: Settings | None = None,
    **options: Any,
) -> str:
    """The line of one request."""
    batches: list[bytes] = []
    conversation = Conversation(settings=settings, access_log=AccessLog(batches.append, **options))
    conversation.from_client(b"\r\n".join([request, b"Host: " + host, *lines]) + b"\r\n\r\n")
    if conversation.loop.dialled:
        conversation.from_backend(answer)
    conversation.end()
    text = b"".join(batches)
    assert text.endswith(b"\n")
    assert text.count(b"\n") == 1
    return text[:-1].decode()


def extra_of(line: str) -> str:
    """What stands between instance_id and x_cf_routererror."""
    match = re.search(r' instance_id:"[^"]*"(.*) x_cf_routererror:', line)
    assert match
    return match[1]


def headers_of(line: str) -> str:
    """What stands behind x_cf_routererror."""
    match = re.search(r' x_cf_routererror:"[^"]*"(.*)$', line)
    assert match
    return match[1]


def test_every_field() -> None:
    line = line_of(
        b"Referer: http://r.test/",
        b"User-Agent: agent/1.0",
        b"X-Forwarded-For: 10.1.1.1",
        b"X-Forwarded-Proto: https",
        b"X-One: 1",
        request=b"GET /x?y=1 HTTP/1.1",
        extra_fields=("failed_attempts",),
        extra_headers=("X-One", "X-Two"),
    )
    assert timeless(line.encode()).decode() == (
        'app.test - [-] "GET /x?y=1 HTTP/1.1" 200 0 2 "http://r.test/" "agent/1.0" "10.0.0.9:4321" "10.0.0.1:8080" '
        'x_forwarded_for:"10.1.1.1, 10.0.0.9" x_forwarded_proto:"https" vcap_request_id:"<uuid>" response_time:- '
        'gorouter_time:- app_id:"app" app_index:"0" instance_id:"one" failed_attempts:0 x_cf_routererror:"-" '
        'x_one:"1" x_two:"-"'
    )


def test_a_request_that_nobody_serves() -> None:
    line = line_of(host=b"unknown.test:99", extra_fields=EXTRA_FIELDS, extra_headers=("Accept",))
    assert re.fullmatch(
        r'unknown\.test:99 - \[[^]]*\] "GET / HTTP/1\.1" 404 0 67 "-" "-" "10\.0\.0\.9:4321" "-" '
        rf'x_forwarded_for:"-" x_forwarded_proto:"-" vcap_request_id:"{UUID}" response_time:\d+\.\d{{6}} '
        r'gorouter_time:0\.000000 app_id:"-" app_index:"-" instance_id:"-" failed_attempts:0 '
        r'failed_attempts_time:"-" dns_time:"-" dial_time:"-" tls_time:"-" backend_time:"-" local_address:"-" '
        r'x_cf_routererror:"unknown_route" accept:"-"',
        line,
    )


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        (b"/", "/"),
        (b"/?", "/?"),
        (b"/a%20b?c=%FF", "/a%20b?c=%FF"),
        (b"http://app.test", "/"),
        (b"http://app.test?x", "/?x"),
        (b"http://app.test/p?x", "/p?x"),
        (b'/"\\', r"/\"\\"),
        ("/grüße?ß".encode(), "/grüße?ß"),
        (b"/\xff?\xc3", r"/\xff?\xc3"),
        ("/\u200b\u00a0\U000e0001".encode(), r"/\u200b\u00a0\U000e0001"),
    ],
)
def test_uri(target: bytes, uri: str) -> None:
    assert f'] "GET {uri} HTTP/1.1" 200 ' in line_of(request=b"GET " + target + b" HTTP/1.1")


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        (b"", '"-"'),
        (b"-", '"-"'),
        (b'"', r'"\""'),
        (b"\\n", r'"\\n"'),
        (b"a\tb", r'"a\tb"'),
        (b"a  b", '"a  b"'),
        ("grüße 日本 😀".encode(), '"grüße 日本 😀"'),
        (b"\x80\xc3\xe2\x82", r'"\x80\xc3\xe2\x82"'),
        # A surrogate is no character; U+FFFD itself is one.
        (b"\xed\xa0\x80", r'"\xed\xa0\x80"'),
        ("\ufffd".encode(), '"\ufffd"'),
        ("\u0085\u00ad\u2028\ue000\U0010ffff".encode(), r'"\u0085\u00ad\u2028\ue000\U0010ffff"'),
    ],
)
def test_quoting(value: bytes, logged: str) -> None:
    line = line_of(
        b"Referer: " + value,
        b"User-Agent: " + value,
        b"X-Forwarded-Proto: " + value,
        b"X-Any: " + value,
        extra_headers=("X-Any",),
    )
    assert f" 200 0 2 {logged} {logged} " in line
    assert f" x_forwarded_proto:{logged if value else chr(34) + 'http' + chr(34)} " in line
    assert headers_of(line) == f" x_any:{logged}"


def test_a_router_error_is_quoted() -> None:
    answer = b'HTTP/1.1 502 Bad Gateway\r\nX-Cf-Routererror: a "b"\xff\r\nContent-Length: 0\r\n\r\n'
    assert line_of(answer=answer).endswith(r' x_cf_routererror:"a \"b\"\xff"')


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD", b"get"])
@pytest.mark.parametrize("redaction", ["none", "all", "hash"])
@pytest.mark.parametrize("query", [None, b"", b"secret=1&b=%20"])
def test_redaction(method: bytes, redaction: str, query: bytes | None) -> None:
    target = b"/p" if query is None else b"/p?" + query
    line = line_of(request=method + b" " + target + b" HTTP/1.1", redaction=redaction)
    if method == b"GET" and query and redaction == "all":
        target = b"/p"
    elif method == b"GET" and query and redaction == "hash":
        target = b"/p?hash=" + hashlib.sha1(query).hexdigest().encode()
    assert f'] "{method.decode()} {target.decode()} HTTP/1.1" 200 ' in line


def test_redaction_of_an_absolute_target() -> None:
    line = line_of(request=b"GET http://app.test?secret HTTP/1.1", redaction="all")
    assert '] "GET / HTTP/1.1" 200 ' in line


def test_forwarded_for_is_not_logged() -> None:
    line = line_of(b"X-Forwarded-For: 10.1.1.1", hides_forwarded_for=True)
    assert ' x_forwarded_for:"-" ' in line
    assert "10.1.1.1" not in line
    assert '"10.0.0.9:4321"' in line


def test_source_is_not_logged() -> None:
    line = line_of(hides_source=True)
    assert '200 0 2 "-" "-" "-" "10.0.0.1:8080" x_forwarded_for:"10.0.0.9" ' in line


class TestExtraFields:
    """The fake network has no local addresses: see test_access_log_options.py for those."""

    def test_in_the_configured_order_each_once_and_known_ones_only(self) -> None:
        line = line_of(extra_fields=("local_address", "nonsense", "failed_attempts", "local_address"))
        assert extra_of(line) == ' local_address:"-" failed_attempts:0'

    def test_a_dialled_attempt(self) -> None:
        assert re.fullmatch(
            r' failed_attempts:0 failed_attempts_time:"-" dns_time:0\.000000 dial_time:\d\.\d{6} tls_time:0\.000000 '
            r'backend_time:\d\.\d{6} local_address:"-"',
            extra_of(line_of(extra_fields=EXTRA_FIELDS)),
        )

    def test_a_kept_connection_takes_no_time_to_get(self) -> None:
        batches: list[bytes] = []
        conversation = Conversation(access_log=AccessLog(batches.append, extra_fields=EXTRA_FIELDS))
        for _ in range(2):
            conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            conversation.from_backend(OK)
        conversation.end()
        assert len(conversation.loop.dialled) == 1
        line = b"".join(batches).decode().splitlines()[1]
        assert " dns_time:0.000000 dial_time:0.000000 tls_time:0.000000 backend_time:" in line

    def test_a_failed_attempt_and_one_that_succeeds(self) -> None:
        batches: list[bytes] = []
        endpoints = [Endpoint("10.0.0.1", 8080), Endpoint("10.0.0.2", 8080)]
        conversation = Conversation(endpoints, access_log=AccessLog(batches.append, extra_fields=EXTRA_FIELDS))
        conversation.loop.refusing.add(("10.0.0.1", 8080))
        # The first or the second is the one that meets it.
        for _ in range(2):
            conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            conversation.from_backend(OK)
        conversation.end()
        (line,) = (line for line in b"".join(batches).decode().splitlines() if " failed_attempts:1 " in line)
        assert re.fullmatch(
            r" failed_attempts:1 failed_attempts_time:\d\.\d{6} dns_time:0\.000000 dial_time:\d\.\d{6} "
            r'tls_time:0\.000000 backend_time:\d\.\d{6} local_address:"-"',
            extra_of(line),
        )

    def test_attempts_that_all_failed(self) -> None:
        batches: list[bytes] = []
        conversation = Conversation(
            settings=Settings(max_attempts=1), access_log=AccessLog(batches.append, extra_fields=EXTRA_FIELDS)
        )
        conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        conversation.backend.break_off()
        conversation.loop.run()
        conversation.end()
        assert re.fullmatch(
            r' failed_attempts:1 failed_attempts_time:\d\.\d{6} dns_time:"-" dial_time:"-" tls_time:"-" '
            r'backend_time:"-" local_address:"-"',
            extra_of(b"".join(batches).decode()),
        )


class TestExtraHeaders:
    def test_names_and_values(self) -> None:
        line = line_of(
            b"X-Something-Cool: yes",
            b"x-something-cool: no",
            b"Cookie: a=1",
            b"X-Empty:",
            extra_headers=("X-SOMETHING-Cool", "cookie", "X-Empty", "X-None", "x-something-cool", "User_Agent"),
        )
        assert headers_of(line) == ' x_something_cool:"yes" cookie:"a=1" x_empty:"-" x_none:"-" user_agent:"-"'

    def test_what_the_router_sets(self) -> None:
        line = line_of(
            b"X-Vcap-Request-Id: theirs",
            b"X-Forwarded-For: 10.1.1.1",
            extra_headers=("X-Vcap-Request-Id", "X-Forwarded-Proto", "X-Forwarded-For", "Host"),
        )
        assert re.fullmatch(
            f' x_vcap_request_id:"{UUID}" x_forwarded_proto:"http" x_forwarded_for:"10.1.1.1" host:"-"',
            headers_of(line),
        )

    def test_trace_headers_are_those_the_backend_got(self) -> None:
        line = line_of(
            b"traceparent: bad",
            settings=Settings(traces_zipkin=True, traces_w3c=True),
            extra_headers=("x-b3-traceid", "b3", "x-b3-parentspanid", "traceparent", "tracestate"),
        )
        match = re.search(r'vcap_request_id:"([^"]*)"', line)
        assert match
        trace = match[1].replace("-", "")
        assert headers_of(line) == (
            f' x_b3_traceid:"{trace}" b3:"{trace}-{trace[16:]}" x_b3_parentspanid:"-" '
            f'traceparent:"00-{trace}-{trace[16:]}-01" tracestate:"gorouter={trace[16:]}"'
        )

    def test_a_header_that_connection_names_is_logged(self) -> None:
        line = line_of(b"Connection: X-Secret", b"X-Secret: 1", extra_headers=("X-Secret", "Connection"))
        assert headers_of(line) == ' x_secret:"1" connection:"X-Secret"'

    def test_names_that_are_none(self) -> None:
        assert headers_of(line_of(extra_headers=("a\nb", 'q"', "ü"))) == r' a\nb:"-" q\":"-" ü:"-"'

    def test_fields_beyond_the_limit_are_logged(self) -> None:
        line = line_of(
            b"X-One: 1",
            b"X-Two: 2",
            b"Accept: late",
            settings=Settings(max_request_headers=2),
            extra_headers=("X-Two", "Accept", "X-One"),
        )
        assert '" 431 0 0 ' in line
        assert headers_of(line) == ' x_two:"2" accept:"late" x_one:"1"'

    def test_large_values(self) -> None:
        """The worst that escapes make of the longest fields there can be; what is longer is cut."""
        value = b"\xff" * 200_000
        line = line_of(b"X-A: " + value, b"Referer: " + value, extra_headers=("X-A", "Referer"))
        assert line.count('"' + r"\xff" * 65536 + '..."') == 3


class TestSemicolon:
    @pytest.mark.parametrize("target", [b"/a;b", b"/?x=1;y=2", b"/;"])
    def test_is_a_router_error_of_the_log_only(self, target: bytes) -> None:
        batches: list[bytes] = []
        conversation = Conversation(access_log=AccessLog(batches.append))
        conversation.from_client(b"GET " + target + b" HTTP/1.1\r\nHost: app.test\r\n\r\n")
        conversation.from_backend(OK)
        conversation.end()
        assert b"".join(batches).endswith(b' x_cf_routererror:"deprecated-semicolon-params"\n')
        assert b"deprecated" not in conversation.client.written
        ((level, message, data),) = conversation.events
        assert (level, message) == (2, "deprecated-semicolon-params")
        assert f'vcap_request_id:"{data["vcap_request_id"]}"' in b"".join(batches).decode()

    def test_another_error_comes_first(self) -> None:
        line = line_of(request=b"GET /;x HTTP/1.1", host=b"unknown.test")
        assert line.endswith(' x_cf_routererror:"unknown_route"')

    def test_elsewhere_it_means_nothing(self) -> None:
        assert line_of(b"Cookie: a;b").endswith(' x_cf_routererror:"-"')


class TestJSON:
    def test_every_field(self) -> None:
        line = line_of(
            b"Referer: http://r.test/",
            b"User-Agent: agent/1.0",
            b"X-Forwarded-Proto: https",
            b"X-One: 1",
            request=b"GET /x?y=1 HTTP/1.1",
            extra_fields=EXTRA_FIELDS,
            extra_headers=("X-One", "Referer", "X-Two"),
            is_json=True,
        )
        record = orjson.loads(line)
        assert " " not in line.replace("HTTP/1.1", "")
        received = datetime.fromisoformat(record.pop("time"))
        assert abs((datetime.now(UTC) - received).total_seconds()) < 60
        assert re.fullmatch(UUID, record.pop("vcap_request_id"))
        for name in ("response_time", "gorouter_time", "dial_time", "backend_time"):
            assert 0 <= record.pop(name) < 60
        assert record == {
            "host": "app.test",
            "method": "GET",
            "uri": "/x?y=1",
            "protocol": "HTTP/1.1",
            "status": 200,
            "bytes_received": 0,
            "bytes_sent": 2,
            "referer": "http://r.test/",
            "user_agent": "agent/1.0",
            "remote_addr": "10.0.0.9:4321",
            "backend_addr": "10.0.0.1:8080",
            "x_forwarded_for": "10.0.0.9",
            "x_forwarded_proto": "https",
            "app_id": "app",
            "app_index": "0",
            "instance_id": "one",
            "failed_attempts": 0,
            "failed_attempts_time": None,
            "dns_time": 0.0,
            "tls_time": 0.0,
            "local_address": None,
            "x_cf_routererror": None,
            "headers": {"x_one": "1", "referer": "http://r.test/", "x_two": None},
        }

    def test_what_there_is_none_of_is_null(self) -> None:
        record = orjson.loads(line_of(host=b"unknown.test", hides_forwarded_for=True, hides_source=True, is_json=True))
        assert {name for name, value in record.items() if value is None} == {
            "referer",
            "user_agent",
            "remote_addr",
            "backend_addr",
            "x_forwarded_for",
            "x_forwarded_proto",
            "app_id",
            "app_index",
            "instance_id",
        }
        assert (record["gorouter_time"], record["x_cf_routererror"]) == (0, "unknown_route")
        assert "headers" not in record

    @pytest.mark.parametrize(
        ("value", "logged"),
        [
            (b'"\\/', '"\\/'),
            (b"a\tb", "a\tb"),
            ("grüße 日本 😀\u2028\u0085".encode(), "grüße 日本 😀\u2028\u0085"),
            (b"a\xffb\xe2\x82", "a\ufffdb\ufffd"),
        ],
    )
    def test_any_text(self, value: bytes, logged: str) -> None:
        line = line_of(b"Referer: " + value, b"X-Any: " + value, extra_headers=("X-Any",), is_json=True)
        record = orjson.loads(line)
        assert (record["referer"], record["headers"]["x_any"]) == (logged, logged)

    def test_redaction(self) -> None:
        line = line_of(request=b"GET http://app.test?secret HTTP/1.0", redaction="all", is_json=True)
        record = json.loads(line)
        assert (record["uri"], record["protocol"]) == ("/", "HTTP/1.0")


def test_a_redaction_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"^redaction must be one of"):
        AccessLog(list[bytes]().append, redaction="some")


class TestBrokenResponses:
    """A response that the backend breaks off says why, though its status was right."""

    HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    BROKEN = "endpoint_failure (net/http: HTTP/1.x transport connection broken: malformed chunked encoding)"

    def errors_of(self, *answers: bytes, is_reset: bool | None = None) -> str:
        """Status, bytes and the router's error; afterwards the backend resets (True) or ends (False) its connection."""
        conversation = Conversation()
        conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        conversation.from_backend(*answers)
        if is_reset:
            conversation.backend.break_off()
        elif is_reset is not None:
            conversation.backend.deliver_eof()
        conversation.loop.run()
        assert conversation.client.is_over
        _, _, (line,) = conversation.outcome()
        match = re.search(r'HTTP/1\.1" (.*) "-" "-" "10\.0\.0\.9.* x_cf_routererror:"(.*)"$', line.decode())
        assert match
        return f"{match[1]} {match[2]}"

    @pytest.mark.parametrize("chunk", [b"xyz\r\n", b"-1\r\n", b"fffffffffffffffff\r\n", b"2\r\nabc\r\n", b"\r\n"])
    def test_in_its_first_chunk(self, chunk: bytes) -> None:
        assert self.errors_of(self.HEAD + b"\r\n" + chunk) == f"200 0 0 {self.BROKEN}"
        assert self.errors_of(self.HEAD + b"\r\n", chunk) == f"200 0 0 {self.BROKEN}"

    def test_in_a_later_one(self) -> None:
        assert self.errors_of(self.HEAD + b"\r\n5\r\nhello\r\n", b"xyz\r\n") == f"200 0 5 {self.BROKEN}"

    def test_by_the_end_of_the_backend(self) -> None:
        assert (
            self.errors_of(self.HEAD + b"\r\n5\r\nhel", is_reset=False) == "200 0 3 endpoint_failure (unexpected EOF)"
        )
        assert self.errors_of(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", is_reset=True) == (
            "200 0 5 endpoint_failure (read tcp ->10.0.0.1:8080: read: connection reset by peer)"
        )

    def test_unless_the_backend_has_said_something(self) -> None:
        assert self.errors_of(self.HEAD + b"X-Cf-RouterError: its own\r\n\r\nxyz\r\n") == "200 0 0 its own"
