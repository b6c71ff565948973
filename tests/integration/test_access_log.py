"""The access log line, byte for byte (spec 6.2), and what happens to the file."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

from .conftest import Lane, StartRouter
from .http_message import response_with
from .raw_backend import AnsweringBackend
from .raw_client import RawClient
from .router_process import RouterProcess, wait_for
from .test_upgrades import open_tunnel

TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{9}Z"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
SECONDS = r"\d+\.\d{6}"

SINK_ERROR = "error-emitting-access-log-to-writer-accesslog"


def assert_line(line: str, expected: str) -> re.Match[str]:
    """Compare with the whole line, which has {TIME}, {UUID}, {TOTAL} and {OWN} where runs differ."""
    pattern = re.escape(expected)
    for name, regex in (("TIME", TIME), ("UUID", UUID), ("TOTAL", SECONDS), ("OWN", SECONDS)):
        pattern = pattern.replace(re.escape("{" + name + "}"), f"(?P<{name}>{regex})")
    match = re.fullmatch(pattern, line)
    assert match, f"{line!r}\nis not\n{expected!r}"
    return match


def test_get(lane: Lane) -> None:
    client = lane.connect()
    before = time.time()
    stream, request = lane.forward(
        client, b"GET /path;a?x=1&y=%20 HTTP/1.1", b"User-Agent: agent/1.0", b"Referer: http://r.test/"
    )
    stream.send(response_with(b"hello"))
    client.read_response()
    after = time.time()
    (line,) = lane.router.wait_for_log_lines(lane.host)
    match = assert_line(
        line,
        f'{lane.host} - [{{TIME}}] "GET /path;a?x=1&y=%20 HTTP/1.1" 200 0 5 "http://r.test/" "agent/1.0" '
        f'"127.0.0.1:{client.local_port}" "{lane.backend.address}" x_forwarded_for:"127.0.0.1" '
        f'x_forwarded_proto:"http" vcap_request_id:"{{UUID}}" response_time:{{TOTAL}} gorouter_time:{{OWN}} '
        'app_id:"-" app_index:"-" instance_id:"-" x_cf_routererror:"deprecated-semicolon-params"',
    )
    assert match["UUID"].encode() == request.value(b"X-Vcap-Request-Id")
    assert 0 < float(match["OWN"]) <= float(match["TOTAL"]) <= after - before + 0.001
    received = datetime.strptime(match["TIME"][:26], "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
    assert before - 0.001 <= received <= after


def test_post_with_a_body(lane: Lane) -> None:
    client = lane.connect()
    stream, _ = lane.forward(
        client,
        b"POST /form HTTP/1.1",
        b"Content-Length: 7",
        b"X-Forwarded-For: 10.0.0.1",
        b"X-Forwarded-Proto: https",
        body=b"a=1&b=2",
    )
    stream.send(response_with(b"created", status=b"201 Created"))
    client.read_response()
    (line,) = lane.router.wait_for_log_lines(lane.host)
    assert_line(
        line,
        f'{lane.host} - [{{TIME}}] "POST /form HTTP/1.1" 201 7 7 "-" "-" '
        f'"127.0.0.1:{client.local_port}" "{lane.backend.address}" x_forwarded_for:"10.0.0.1, 127.0.0.1" '
        f'x_forwarded_proto:"https" vcap_request_id:"{{UUID}}" response_time:{{TOTAL}} gorouter_time:{{OWN}} '
        'app_id:"-" app_index:"-" instance_id:"-" x_cf_routererror:"-"',
    )


def test_chunked_bodies_are_counted_without_their_framing(lane: Lane) -> None:
    client = lane.connect()
    body = b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    stream, _ = lane.forward(client, b"PUT / HTTP/1.1", b"Transfer-Encoding: chunked", body=body)
    stream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n")
    client.read_response()
    (line,) = lane.router.wait_for_log_lines(lane.host)
    assert '"PUT / HTTP/1.1" 200 7 3 "-" ' in line


def test_unknown_host(lane: Lane) -> None:
    client = lane.connect()
    host = f"no.{lane.host}"
    client.send(f"GET /x HTTP/1.1\r\nHost: {host}:99\r\n\r\n".encode())
    size = len(client.read_response().body)
    (line,) = lane.router.wait_for_log_lines(f"{host}:99")
    match = assert_line(
        line,
        f'{host}:99 - [{{TIME}}] "GET /x HTTP/1.1" 404 0 {size} "-" "-" "127.0.0.1:{client.local_port}" "-" '
        f'x_forwarded_for:"-" x_forwarded_proto:"-" vcap_request_id:"{{UUID}}" response_time:{{TOTAL}} '
        f'gorouter_time:{{OWN}} app_id:"-" app_index:"-" instance_id:"-" x_cf_routererror:"unknown_route"',
    )
    assert match["OWN"] == "0.000000"


def test_response_to_head_counts_as_it_would_to_get(lane: Lane) -> None:
    client = lane.connect()
    host = f"head.{lane.host}"
    client.send(f"HEAD / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    length = int(client.read_response(b"HEAD").values(b"Content-Length")[0])
    (line,) = lane.router.wait_for_log_lines(host)
    assert f'"HEAD / HTTP/1.1" 404 0 {length} ' in line


def test_what_connection_names_is_not_logged(lane: Lane) -> None:
    lane.exchange(
        response_with(),
        b"GET / HTTP/1.1",
        b"Connection: Referer, User-Agent, X-Forwarded-For, X-Forwarded-Proto",
        b"Referer: a",
        b"User-Agent: b",
        b"X-Forwarded-For: 10.0.0.1",
        b"X-Forwarded-Proto: https",
    )
    (line,) = lane.router.wait_for_log_lines(lane.host)
    assert ' 200 0 2 "-" "-" ' in line
    assert ' x_forwarded_for:"127.0.0.1" x_forwarded_proto:"-" ' in line


def test_empty_host(lane: Lane) -> None:
    client = lane.connect()
    client.send(b"GET /empty-host HTTP/1.1\r\nHost:\r\n\r\n")
    client.read_response()
    port = client.local_port
    (line,) = wait_for(
        lambda: [line for line in lane.router.log_lines("") if f'"127.0.0.1:{port}"' in line] or None, "its line"
    )
    assert line.startswith(" - [")
    assert line.endswith('x_cf_routererror:"empty_host"')


def test_tunnel(lane: Lane) -> None:
    start = time.monotonic()
    client, stream = open_tunnel(lane)
    client.send(b"12345")
    stream.read_exactly(5)
    stream.send(b"123")
    client.read_exactly(3)
    # The line is written when the tunnel ends, and not before.
    assert client.is_silent(0.7)
    assert lane.router.log_lines(lane.host) == []
    client.close()
    stream.expect_end()
    stream.close()
    (line,) = lane.router.wait_for_log_lines(lane.host)
    match = assert_line(
        line,
        f'{lane.host} - [{{TIME}}] "GET /ws HTTP/1.1" 101 0 0 "-" "-" "127.0.0.1:{client_port(line)}" '
        f'"{lane.backend.address}" x_forwarded_for:"127.0.0.1" x_forwarded_proto:"http" vcap_request_id:"{{UUID}}" '
        "response_time:{TOTAL} gorouter_time:{OWN} "
        'app_id:"-" app_index:"-" instance_id:"-" x_cf_routererror:"-"',
    )
    assert 0.7 <= float(match["TOTAL"]) <= time.monotonic() - start
    # gorouter_time excludes the life of the tunnel.
    assert float(match["OWN"]) <= float(match["TOTAL"]) - 0.7


def client_port(line: str) -> str:
    match = re.search(r'"127\.0\.0\.1:(\d+)"', line)
    assert match
    return match[1]


def test_client_gone(lane: Lane) -> None:
    client = lane.connect()
    port = client.local_port
    stream, _ = lane.forward(client)
    client.close()
    stream.wait_closed()
    (line,) = lane.router.wait_for_log_lines(lane.host)
    assert_line(
        line,
        f'{lane.host} - [{{TIME}}] "GET / HTTP/1.1" 499 0 22 "-" "-" "127.0.0.1:{port}" "{lane.backend.address}" '
        'x_forwarded_for:"127.0.0.1" x_forwarded_proto:"http" vcap_request_id:"{UUID}" response_time:{TOTAL} '
        'gorouter_time:{OWN} app_id:"-" app_index:"-" instance_id:"-" '
        'x_cf_routererror:"endpoint_failure (context canceled)"',
    )


def test_http_1_0_head(lane: Lane) -> None:
    client = lane.connect()
    stream, _ = lane.forward(client, b"HEAD / HTTP/1.0")
    stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    client.read_response(b"HEAD")
    (line,) = lane.router.wait_for_log_lines(lane.host)
    assert '"HEAD / HTTP/1.0" 200 0 0 "-" ' in line


def test_absolute_target_is_logged_in_origin_form(lane: Lane) -> None:
    client = lane.connect()
    client.send(b"GET http://" + lane.host.encode() + b"/x?y=1 HTTP/1.1\r\nHost: other.test\r\n\r\n")
    stream, _ = lane.backend.accept_request()
    stream.send(response_with())
    client.read_response()
    (line,) = lane.router.wait_for_log_lines(lane.host)
    assert '"GET /x?y=1 HTTP/1.1" 200 ' in line


def test_interim_status_is_not_logged(lane: Lane) -> None:
    client = lane.connect()
    stream, _ = lane.forward(client)
    stream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response_with(b"ok"))
    client.read_response()
    client.read_response()
    (line,) = lane.router.wait_for_log_lines(lane.host)
    assert '"GET / HTTP/1.1" 200 0 2 ' in line


def test_quotes_and_other_bytes_are_escaped_as_go_does(lane: Lane) -> None:
    client = lane.connect()
    stream, _ = lane.forward(
        client, b"GET / HTTP/1.1", b'User-Agent: a"b\\c\td', b"Referer: gr\xc3\xbc\xc3\x9fe \xff \xe2\x80\x8b"
    )
    stream.send(response_with())
    client.read_response()
    (line,) = lane.router.wait_for_log_lines(lane.host)
    assert r' "grüße \xff \u200b" "a\"b\\c\td" ' in line


def test_quote_in_the_target_cannot_end_the_field(lane: Lane) -> None:
    client = lane.connect()
    stream, _ = lane.forward(client, b'GET /"x\\ HTTP/1.1')
    stream.send(response_with())
    client.read_response()
    (line,) = lane.router.wait_for_log_lines(lane.host)
    assert r'"GET /\"x\\ HTTP/1.1" 200 ' in line


def test_is_flushed_without_further_requests(lane: Lane) -> None:
    client = lane.connect()
    stream, _ = lane.forward(client)
    stream.send(response_with())
    client.read_response()
    lane.router.wait_for_log_lines(lane.host)


def test_every_request_has_its_line_in_order(start_router: StartRouter) -> None:
    count = 2000
    with AnsweringBackend() as backend:
        router = start_router({"many.test": [backend.address]})
        client = router.connect()
        requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: many.test\r\n\r\n" % number for number in range(count))
        client.send(requests)
        for _ in range(count):
            assert client.read_response().status == 200
        lines = router.wait_for_log_lines("many.test", count)
    assert [line.split('"')[1] for line in lines] == [f"GET /{number} HTTP/1.1" for number in range(count)]


def test_is_complete_after_a_stop(start_router: StartRouter) -> None:
    with AnsweringBackend() as backend:
        router = start_router({"stop.test": [backend.address]})
        client = router.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: stop.test\r\n\r\n")
        client.read_response()
        # Well before the next flush.
        router.stop()
        assert len(router.log_lines("stop.test")) == 1


def test_is_appended_to(start_router: StartRouter, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("a line of before\n")
    with AnsweringBackend() as backend:
        router = start_router({"append.test": [backend.address]}, access_log=path)
        client = router.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: append.test\r\n\r\n")
        client.read_response()
        router.wait_for_log_lines("append.test")
    first, second = path.read_text().splitlines()
    assert first == "a line of before"
    assert second.startswith("append.test - [")


def test_full_disk_is_one_error_and_traffic_goes_on(start_router: StartRouter) -> None:
    with AnsweringBackend() as backend:
        router = start_router({"full.test": [backend.address]}, access_log=Path("/dev/full"))
        client = router.connect()
        request = b"GET / HTTP/1.1\r\nHost: full.test\r\n\r\n"
        client.send(request)
        assert client.read_response().status == 200
        error = router.wait_for_event(SINK_ERROR)
        assert error["log_level"] == 3
        assert "no space left on device" in error["data"]["error"].lower()
        # Through two more flushes at least.
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            client.send(request)
            assert client.read_response().status == 200
        assert len(router.events(SINK_ERROR)) == 1
        assert router.is_running


class TestRefusedRequests:
    LINE = (
        'refused.test - [{TIME}] "GET /x HTTP/1.1" 417 0 0 "-" "-" "127.0.0.1:%d" "-" x_forwarded_for:"-" '
        'x_forwarded_proto:"-" vcap_request_id:"-" response_time:0.000000 gorouter_time:0.000000 app_id:"-" '
        'app_index:"-" instance_id:"-" x_cf_routererror:"refused (expectation)"'
    )

    def refuse_and_serve(self, router: RouterProcess) -> RawClient:
        """Returns the client that was refused."""
        refused, served = router.connect(), router.connect()
        refused.send(b"GET /x HTTP/1.1\r\nHost: refused.test\r\nExpect: more\r\n\r\n")
        assert refused.read_response().status == 417
        served.send(b"GET / HTTP/1.1\r\nHost: refused.test\r\n\r\n")
        assert served.read_response().status == 404
        return refused

    def test_have_lines(self, start_router: StartRouter) -> None:
        router = start_router({"app.test": ["127.0.0.1:1"]})
        client = self.refuse_and_serve(router)
        lines = router.wait_for_log_lines("refused.test", 2)
        assert_line(next(line for line in lines if " 417 " in line), self.LINE % client.local_port)

    def test_have_none_where_they_are_not_wanted(self, start_router: StartRouter) -> None:
        router = start_router({"app.test": ["127.0.0.1:1"]}, arguments=["--disable-log-refused-requests"])
        self.refuse_and_serve(router)
        (line,) = router.wait_for_log_lines("refused.test")
        router.stop()
        assert router.log_lines("refused.test") == [line]
        assert " 404 " in line
