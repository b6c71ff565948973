"""What a backend sees: request target, Host, hop-by-hop and X- headers (spec 4.4)."""

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Lane, StartRouter
from .http_message import Request, response_with
from .raw_backend import RawBackend

UUID4 = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def seen(lane: Lane, *lines: bytes, start_line: bytes = b"GET / HTTP/1.1") -> Request:
    """Send a request and return it as the backend receives it."""
    request, response = lane.exchange(response_with(), start_line, *lines)
    assert response.status == 200
    return request


class TestTarget:
    @pytest.mark.parametrize(
        "target",
        [
            b"/",
            b"/?",
            b"/path?",
            b"/a%2Fb%2f%20%C3%A9",
            b"/%7e?%zz%",
            b"/a;b=c;d?x;y=1;z",
            b"/?a=b&a=b&&",
            b"/a//b///",
            b"/./../x/../..",
            b"/gr\xc3\xbc\xc3\x9fe?\xff\xfe",
            b"/!$&'()*+,=:@-._~",
            b'/"<>[]{}|\\^`',
            b"/?q=http://other.test/?x",
            b"/UPPER/lower",
            b"/" + b"x" * 8000,
        ],
    )
    def test_byte_for_byte(self, lane: Lane, target: bytes) -> None:
        assert seen(lane, start_line=b"GET " + target + b" HTTP/1.1").target == target

    def test_absolute_form_stays_and_replaces_host(self, lane: Lane) -> None:
        client = lane.connect()
        target = b"http://" + lane.host.encode() + b"/x?y=1"
        client.send(b"GET " + target + b" HTTP/1.1\r\nHost: other.test\r\n\r\n")
        _, request = lane.backend.accept_request()
        assert request.target == target
        assert request.values(b"Host") == [lane.host.encode()]

    @pytest.mark.parametrize("target", [b"http:///x?y", b"http://"])
    def test_absolute_form_without_authority_is_none(self, lane: Lane, target: bytes) -> None:
        client = lane.connect()
        client.send(b"GET " + target + b" HTTP/1.1\r\nHost: " + lane.host.encode() + b"\r\n\r\n")
        assert client.read_response().status == 400

    @pytest.mark.parametrize("user", [b"user@", b"user:secret@", b"a@b@", b"@"])
    @pytest.mark.parametrize("rest", [b"", b"/", b"/a@b?c@d", b"?a@b"])
    def test_absolute_form_loses_its_user(self, lane: Lane, user: bytes, rest: bytes) -> None:
        client = lane.connect()
        host = lane.host.encode()
        client.send(b"GET http://" + user + host + rest + b" HTTP/1.1\r\nHost: other.test\r\n\r\n")
        _, request = lane.backend.accept_request()
        assert (request.target, request.values(b"Host")) == (b"http://" + host + rest, [host])

    def test_absolute_form_with_port_and_without_path(self, lane: Lane) -> None:
        client = lane.connect()
        authority = lane.host.encode() + b":8080"
        client.send(b"GET http://" + authority + b" HTTP/1.1\r\nHost: " + lane.host.encode() + b"\r\n\r\n")
        _, request = lane.backend.accept_request()
        assert request.target == b"http://" + authority
        assert request.values(b"Host") == [authority]

    @pytest.mark.parametrize(
        "method",
        [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"PROPFIND", b"REPORT", b"PURGE"],
    )
    def test_method(self, lane: Lane, method: bytes) -> None:
        assert seen(lane, start_line=method + b" / HTTP/1.1").method == method

    @pytest.mark.parametrize("method", [b"FOO", b"get", b"X-Y_Z", b"SOURCE", b"DESCRIBE", b"A" * 300])
    def test_unheard_of_method(self, lane: Lane, method: bytes) -> None:
        # Any token is a method to Go; llhttp knows a list.
        client = lane.connect()
        client.send(lane.request(method + b" /x HTTP/1.1"))
        stream = lane.backend.accept()
        assert stream.read_until(b"\r\n") == method + b" /x HTTP/1.1\r\n"
        stream.read_until(b"\r\n\r\n")
        stream.send(response_with(b"ok"))
        assert client.read_response().body == b"ok"

    def test_unheard_of_method_with_a_body(self, lane: Lane) -> None:
        client = lane.connect()
        client.send(lane.request(b"FOO / HTTP/1.1", b"Content-Length: 4", body=b"body") + lane.request())
        stream = lane.backend.accept()
        stream.read_until(b"\r\n\r\n")
        assert stream.read_exactly(4) == b"body"
        stream.send(response_with(b"1"))
        assert client.read_response().body == b"1"
        assert stream.read_request().target == b"/"

    def test_options_with_a_path_is_no_options_star(self, lane: Lane) -> None:
        assert seen(lane, start_line=b"OPTIONS /x HTTP/1.1").target == b"/x"


class TestHost:
    def test_preserved(self, lane: Lane) -> None:
        assert seen(lane).values(b"Host") == [lane.host.encode()]

    def test_port_and_case_are_preserved(self, lane: Lane) -> None:
        client = lane.connect()
        host = lane.host.upper().encode() + b":1234"
        client.send(b"GET / HTTP/1.1\r\nhOST: " + host + b"\r\n\r\n")
        _, request = lane.backend.accept_request()
        assert request.values(b"Host") == [host]


class TestForwardedHeaders:
    def test_x_forwarded_for_is_added(self, lane: Lane) -> None:
        assert seen(lane).values(b"X-Forwarded-For") == [b"127.0.0.1"]

    def test_x_forwarded_for_is_appended(self, lane: Lane) -> None:
        request = seen(lane, b"X-Forwarded-For: 10.0.0.1, 10.0.0.2")
        assert request.values(b"X-Forwarded-For") == [b"10.0.0.1, 10.0.0.2, 127.0.0.1"]

    def test_several_x_forwarded_for_become_one(self, lane: Lane) -> None:
        request = seen(lane, b"x-forwarded-for: 10.0.0.1", b"X-Other: y", b"X-Forwarded-For: 10.0.0.2")
        assert request.values(b"X-Forwarded-For") == [b"10.0.0.1, 10.0.0.2, 127.0.0.1"]

    def test_x_forwarded_proto_is_set(self, lane: Lane) -> None:
        assert seen(lane).values(b"X-Forwarded-Proto") == [b"http"]

    def test_x_forwarded_proto_of_the_client_is_left(self, lane: Lane) -> None:
        assert seen(lane, b"X-Forwarded-Proto: https").values(b"X-Forwarded-Proto") == [b"https"]

    def test_empty_x_forwarded_proto_counts_as_missing(self, lane: Lane) -> None:
        assert seen(lane, b"X-Forwarded-Proto:").values(b"X-Forwarded-Proto") == [b"http"]

    def test_others_are_untouched(self, lane: Lane) -> None:
        request = seen(
            lane,
            b"Forwarded: for=1.2.3.4",
            b"X-Forwarded-Host: h",
            b"X-Forwarded-Port: 1",
            b"Authorization: Basic eDp5",
            b"Cookie: __VCAP_ID__=abc; other=1",
        )
        assert request.values(b"Forwarded") == [b"for=1.2.3.4"]
        assert request.values(b"X-Forwarded-Host") == [b"h"]
        assert request.values(b"X-Forwarded-Port") == [b"1"]
        assert request.values(b"Authorization") == [b"Basic eDp5"]
        assert request.values(b"Cookie") == [b"__VCAP_ID__=abc; other=1"]


class TestRequestStart:
    def test_milliseconds_if_absent(self, lane: Lane) -> None:
        before = time.time_ns() // 1_000_000
        value = seen(lane).value(b"X-Request-Start")
        assert value is not None
        assert re.fullmatch(rb"\d{13}", value)
        assert before <= int(value) <= time.time_ns() // 1_000_000

    def test_kept_if_present(self, lane: Lane) -> None:
        assert seen(lane, b"x-request-start: t=12").values(b"X-Request-Start") == [b"t=12"]


class TestRequestId:
    def test_is_a_random_uuid(self, lane: Lane) -> None:
        value = seen(lane).value(b"X-Vcap-Request-Id")
        assert value is not None
        assert UUID4.fullmatch(value)

    def test_of_the_client_is_overwritten(self, lane: Lane) -> None:
        mine = str(uuid.uuid4()).encode()
        value = seen(lane, b"X-Vcap-Request-Id: " + mine, b"x-vcap-request-id: " + mine).value(b"X-Vcap-Request-Id")
        assert value is not None
        assert UUID4.fullmatch(value)
        assert value != mine

    def test_differs_from_request_to_request(self, lane: Lane) -> None:
        client = lane.connect()
        stream, first = lane.forward(client)
        stream.send(response_with())
        client.read_response()
        client.send(lane.request())
        assert stream.read_request().value(b"X-Vcap-Request-Id") != first.value(b"X-Vcap-Request-Id")


class TestEndpointHeaders:
    APP_ID = "5e1c6a3e-9d6b-4b0b-8a51-4f5f0f9f6a11"

    def test_of_an_endpoint_without_ids(self, lane: Lane) -> None:
        request = seen(lane)
        # Sent even if empty; the instance id falls back to the address.
        assert request.values(b"X-Cf-Applicationid") == [b""]
        assert request.values(b"X-Cf-Instanceindex") == [b""]
        assert request.values(b"X-Cf-Instanceid") == [lane.backend.address.encode()]

    def test_of_the_client_are_overwritten(self, lane: Lane) -> None:
        request = seen(lane, b"X-CF-ApplicationID: a", b"X-CF-InstanceIndex: 9", b"X-CF-InstanceID: b")
        assert request.values(b"X-Cf-Applicationid") == [b""]
        assert request.values(b"X-Cf-Instanceindex") == [b""]
        assert request.values(b"X-Cf-Instanceid") == [lane.backend.address.encode()]

    @pytest.fixture
    def app(self, start_router: StartRouter, tmp_path: Path) -> Iterator[Lane]:
        """Start a router with one app with ids, from a routes file."""
        with RawBackend() as backend:
            routes = tmp_path / "routes.yml"
            routes.write_text(
                "routes:\n"
                "- route: app.test\n"
                f"  app_id: {self.APP_ID}\n"
                "  endpoints:\n"
                f"  - address: {backend.address}\n"
                "    instance_id: instance-7\n"
                "    index: 3\n"
            )
            yield Lane(start_router({}, arguments=["--routes", str(routes)]), "app.test", backend)

    def test_of_an_app_instance(self, app: Lane) -> None:
        request = seen(app)
        assert request.values(b"X-Cf-Applicationid") == [self.APP_ID.encode()]
        assert request.values(b"X-Cf-Instanceindex") == [b"3"]
        assert request.values(b"X-Cf-Instanceid") == [b"instance-7"]
        (line,) = app.router.wait_for_log_lines("app.test")
        assert f' app_id:"{self.APP_ID}" app_index:"3" instance_id:"instance-7" ' in line

    def test_x_cf_app_instance_is_removed_and_process_instance_is_not(self, app: Lane) -> None:
        assert not seen(app, b"X-CF-App-Instance: " + self.APP_ID.encode() + b":3").has(b"X-Cf-App-Instance")


class TestHopByHop:
    @pytest.mark.parametrize(
        "line",
        [
            b"Proxy-Connection: keep-alive",
            b"Keep-Alive: timeout=5",
            b"Proxy-Authenticate: Basic",
            b"Proxy-Authorization: Basic eDp5",
            b"Te: gzip",
            b"Trailer: X-Sum",
            b"Upgrade: websocket",
            b"Connection: keep-alive",
        ],
    )
    def test_standard_list_is_removed(self, lane: Lane, line: bytes) -> None:
        assert not seen(lane, line, b"X-Kept: 1").has(line.partition(b":")[0])

    def test_those_named_by_connection_are_removed(self, lane: Lane) -> None:
        request = seen(
            lane,
            b"Connection: X-One, x-two",
            b"connection:X-THREE",
            b"X-One: 1",
            b"X-Two: 2",
            b"X-Three: 3",
            b"X-Four: 4",
        )
        assert not any(request.has(name) for name in (b"X-One", b"X-Two", b"X-Three", b"Connection"))
        assert request.values(b"X-Four") == [b"4"]

    def test_x_request_start_can_be_named_away(self, lane: Lane) -> None:
        # It is added before hop-by-hop headers are removed (spec 4.4, step 5).
        assert not seen(lane, b"Connection: X-Request-Start").has(b"X-Request-Start")

    def test_host_and_framing_cannot_be_named_away(self, lane: Lane) -> None:
        client = lane.connect()
        _, request = lane.forward(
            client, b"POST / HTTP/1.1", b"Connection: Host, Content-Length", b"Content-Length: 3", body=b"abc"
        )
        assert request.values(b"Host") == [lane.host.encode()]
        assert request.body == b"abc"

    @pytest.mark.parametrize("value", [b"trailers", b"trailers, deflate;q=0.5", b"gzip, Trailers"])
    def test_te_trailers_is_kept(self, lane: Lane, value: bytes) -> None:
        assert seen(lane, b"TE: " + value, b"Connection: TE").values(b"Te") == [b"trailers"]


class TestPassedOn:
    def test_nothing_is_added(self, lane: Lane) -> None:
        names = {name for name, _ in seen(lane).fields}
        assert names == {
            b"Host",
            b"X-Cf-Applicationid",
            b"X-Cf-Instanceid",
            b"X-Cf-Instanceindex",
            b"X-Forwarded-For",
            b"X-Forwarded-Proto",
            b"X-Request-Start",
            b"X-Vcap-Request-Id",
        }

    def test_names_become_canonical_and_values_stay(self, lane: Lane) -> None:
        request = seen(lane, b"x-my-HEADER:  two  words\t", b"ACCEPT: */*", b"x_under: 1", b"X-Empty:")
        assert (b"X-My-Header", b"two  words") in request.fields
        assert (b"Accept", b"*/*") in request.fields
        assert (b"X_under", b"1") in request.fields
        assert (b"X-Empty", b"") in request.fields

    def test_repeated_headers_stay_separate_and_in_order(self, lane: Lane) -> None:
        request = seen(lane, b"X-A: 1", b"X-B: x", b"x-a: 2", b"X-A: 3")
        assert request.values(b"X-A") == [b"1", b"2", b"3"]

    def test_bytes_beyond_ascii_in_a_value(self, lane: Lane) -> None:
        assert seen(lane, b"X-Name: gr\xc3\xbc\xc3\x9fe \xff").values(b"X-Name") == [b"gr\xc3\xbc\xc3\x9fe \xff"]
