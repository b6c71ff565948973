"""What the Loggregator agent is told of requests: each envelope with its values (spec 6.3, 6.5, 7.5, 7.6)."""

import re
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from dropsonde import CLIENT, SERVER, Envelope, read_envelope, uuid_halves
from fastrouter._core import AccessLog, DataPlane, Endpoint, Metron, RouteServices, RouteTable, Settings
from fastrouter.metron.envelopes import envelope_tags
from fastrouter.metron.message_types import message_types

from .conversation import Conversation

APP = "0b1c7a52-8c38-4bd2-9d1c-1c0c4b9a6a11"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
EVENTS: dict[str, Any] = {"sends_server_events": True, "sends_client_events": True}
EXTRA_HEADERS = ("a", "b", "c")
VCAP_REQUEST_ID = re.compile(rb"X-Vcap-Request-Id: (\S+)")


def ignore(batch: bytes) -> None:
    """Take lines that nobody looks at."""


def endpoint(host: str = "10.0.0.1", **fields: Any) -> Endpoint:
    return Endpoint(host, 8080, **{"app_id": APP, "instance_id": "one", "instance_index": "3", **fields})


class Signer:
    """Signs with what a visit is about."""

    def sign(self, url: str) -> tuple[bytes, bytes]:
        return url.encode(), b"metadata"

    def validate(self, signature: bytes, metadata: bytes) -> str:
        raise ValueError(f"{signature!r} {metadata!r}")


def datagrams() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def udp_pair() -> tuple[socket.socket, socket.socket]:
    """A socket that is bound, and one that is connected to it."""
    agent, ours = datagrams(), datagrams()
    agent.bind(("127.0.0.1", 0))
    ours.connect(agent.getsockname())
    return agent, ours


class Router(Conversation):
    """A worker with an agent."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint] = (),
        settings: Settings | None = None,
        *,
        access_log: AccessLog | None = None,
        is_udp: bool = False,
        is_debug: bool = False,
        **told: Any,
    ) -> None:
        self.agent, self.ours = udp_pair() if is_udp else socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.agent.setblocking(False)
        self.metron = Metron(self.ours.fileno(), origin="gorouter", **told)
        super().__init__(endpoints or [endpoint()], settings, access_log=access_log, metron=self.metron)
        self.plane.set_debug(is_debug)

    def look(self) -> list[Envelope]:
        """What the agent was told since the last look."""
        envelopes = []
        with suppress(BlockingIOError):
            while True:
                envelopes.append(read_envelope(self.agent.recv(1 << 20)))
        return envelopes

    def told(self) -> list[Envelope]:
        """The same, at the end."""
        self.end()
        self.metron.flush()
        envelopes = self.look()
        self.agent.close()
        self.ours.close()
        return envelopes

    def request(
        self, *lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"app.test", answer: bytes = OK
    ) -> None:
        self.from_client(b"\r\n".join([start, b"Host: " + host, *lines]) + b"\r\n\r\n")
        if self.loop.dialled:
            self.from_backend(answer)


def of_peer(envelopes: Sequence[Envelope], peer: int) -> list[Envelope]:
    return [each for each in envelopes if each.kind == "httpStartStop" and each.event["peerType"] == peer]


class TestStartStop:
    def test_both_sides(self) -> None:
        tags = {"component": "c", "app_name": "täg"}
        router = Router([endpoint(envelope_tags=envelope_tags(tags))], **EVENTS)
        before = time.time_ns()
        router.request(
            b"User-Agent: agent/1.0", b"X-Forwarded-For: 10.1.1.1,  10.1.1.2 ", start=b"GET /a%20b/%C3%A4?q=1 HTTP/1.1"
        )
        match = VCAP_REQUEST_ID.search(router.backend.written)
        assert match
        client, server = router.told()
        after = time.time_ns()
        request = {
            "requestId": uuid_halves(match[1].decode()),
            "method": 1,
            "uri": "http://app.test/a b/ä",
            "remoteAddress": "10.0.0.9:4321",
            "userAgent": "agent/1.0",
            "statusCode": 200,
            "contentLength": 2,
        }
        for envelope in (client, server):
            event = envelope.event
            begun, ended = event.pop("startTimestamp"), event.pop("stopTimestamp")
            assert before <= begun <= ended <= after
            assert envelope.timestamp == ended
            assert envelope.origin == "gorouter"
        assert client.event == {
            **request,
            "peerType": CLIENT,
            "applicationId": uuid_halves(APP),
            "instanceIndex": 3,
            "instanceId": "one",
            "forwarded": ["10.1.1.1", "10.1.1.2", "10.0.0.9"],
        }
        assert client.tags == {}
        assert server.event == {**request, "peerType": SERVER, "forwarded": ["10.1.1.1", "10.1.1.2"]}
        trace = match[1].decode().replace("-", "")
        assert server.tags == {**tags, "trace_id": trace, "span_id": trace[16:]}

    def test_a_trace_that_goes_on_is_named(self) -> None:
        router = Router([endpoint()], Settings(traces_zipkin=True), **EVENTS)
        router.request(b"X-B3-TraceId: 463ac35c9f6413ad48485a3953bb6124", b"X-B3-SpanId: a2fb4a1d1a96d312")
        (server,) = of_peer(router.told(), SERVER)
        assert server.tags == {"trace_id": "463ac35c9f6413ad48485a3953bb6124", "span_id": "a2fb4a1d1a96d312"}

    @pytest.mark.parametrize(
        ("method", "number"),
        [(b"POST", 2), (b"PUT", 3), (b"DELETE", 4), (b"OPTIONS", 24), (b"PATCH", 26), (b"TRACE", 36), (b"BREW", 0)],
    )
    def test_methods_have_numbers(self, method: bytes, number: int) -> None:
        router = Router(**EVENTS)
        router.request(start=method + b" / HTTP/1.1")
        assert [each.event["method"] for each in router.told()] == [number, number]

    @pytest.mark.parametrize(
        ("method", "answer", "status", "lengths"),
        [
            (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, (0, 0)),
            (b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, (-1, 2)),
            (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", 200, (7, 0)),
            (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n", 200, (-1, 0)),
            (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, (0, 0)),
        ],
    )
    def test_lengths_are_what_is_announced_and_what_is_sent(
        self, method: bytes, answer: bytes, status: int, lengths: tuple[int, int]
    ) -> None:
        router = Router(**EVENTS)
        router.request(start=method + b" / HTTP/1.1", answer=answer)
        client, server = router.told()
        assert (client.event["statusCode"], server.event["statusCode"]) == (status, status)
        assert (client.event["contentLength"], server.event["contentLength"]) == lengths

    @pytest.mark.parametrize(
        ("host", "status"), [(b"unknown.test", 404), (b"app.test\r\nX-CF-App-Instance: x", 400), (b"", 400)]
    )
    def test_a_request_that_goes_nowhere_has_no_attempt(self, host: bytes, status: int) -> None:
        router = Router(**EVENTS)
        router.request(b"X-Forwarded-For: 10.1.1.1", host=host)
        (server,) = router.told()
        assert (server.event["peerType"], server.event["statusCode"]) == (SERVER, status)
        assert server.event["forwarded"] == ["10.1.1.1"]
        assert set(server.tags) == {"trace_id", "span_id"}

    def test_each_attempt_has_its_event(self) -> None:
        refusing = endpoint("10.0.0.2", app_id="no-uuid", instance_id="", instance_index="x")
        router = Router([endpoint(), refusing], Settings(max_attempts=4), **EVENTS)
        router.loop.refusing.add(("10.0.0.2", 8080))
        for _ in range(2):
            # One of them begins with the endpoint that refuses.
            router.request()
        told = router.told()
        failed, *succeeded = sorted(of_peer(told, CLIENT), key=lambda each: each.event["statusCode"])
        assert (failed.event["statusCode"], failed.event["contentLength"]) == (0, 0)
        assert failed.event["instanceId"] == "10.0.0.2:8080"
        assert not {"instanceIndex", "applicationId"} & set(failed.event)
        assert [each.event["instanceId"] for each in succeeded] == ["one", "one"]
        (retried,) = (each for each in succeeded if each.event["requestId"] == failed.event["requestId"])
        assert failed.event["startTimestamp"] <= failed.event["stopTimestamp"] <= retried.event["startTimestamp"]
        assert len(of_peer(told, SERVER)) == 2

    def test_a_visit_to_a_route_service_is_an_attempt_at_no_instance(self) -> None:
        router = Router([endpoint()], Settings(route_services=RouteServices(Signer())), **EVENTS)
        router.table.set_route("app.test", route_service_url="http://service.test:8080/a%20b?c=d")
        router.loop.refusing.add(("service.test", 8080))
        router.from_client(GET)
        client, server = router.told()
        assert client.event["uri"] == "http://service.test:8080/a b"
        assert not {"instanceIndex", "instanceId", "applicationId"} & set(client.event)
        assert (server.event["uri"], server.event["statusCode"]) == ("http://app.test/", 502)
        assert set(server.tags) == {"trace_id", "span_id"}

    def test_an_upgrade_is_told_of_when_it_is_over(self) -> None:
        router = Router(**EVENTS)
        router.request(
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            answer=b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        router.from_client(b"ping")
        client, server = router.told()
        assert (client.event["statusCode"], client.event["contentLength"]) == (101, 0)
        assert (server.event["statusCode"], server.event["contentLength"]) == (101, 0)

    def test_a_response_that_breaks_off_has_none_for_the_request(self) -> None:
        """As in Gorouter, whose handlers are left by a panic then."""
        router = Router(**EVENTS)
        router.request(answer=b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok")
        router.backend.break_off()
        router.loop.run()
        assert [each.event["peerType"] for each in router.told()] == [CLIENT]

    @pytest.mark.parametrize(("told", "peers"), [("sends_server_events", [SERVER]), ("sends_client_events", [CLIENT])])
    def test_only_what_is_wanted(self, told: str, peers: list[int]) -> None:
        wanted: dict[str, Any] = {told: True}
        router = Router(**wanted)
        router.request()
        assert [each.event["peerType"] for each in router.told()] == peers

    def test_a_long_head_is_no_envelope(self) -> None:
        router = Router(**EVENTS)
        router.request(start=b"GET /" + b"a" * 70_000 + b" HTTP/1.1")
        router.from_client(GET)
        router.from_backend(OK)
        assert [each.event["uri"] for each in router.told()] == ["http://app.test/"] * 2


class TestValues:
    def test_of_a_request(self) -> None:
        router = Router([endpoint(component="dea-1")], sends_values=True)
        before = time.time_ns()
        router.request()
        told = router.told()
        assert [(each.kind, each.event["name"], each.event["unit"]) for each in told] == [
            ("valueMetric", "route_lookup_time", "ns"),
            ("valueMetric", "latency", "ms"),
            ("valueMetric", "latency.dea-1", "ms"),
            ("valueMetric", "gorouter_time", "ms"),
        ]
        lookup, latency, of_component, own = (each.event["value"] for each in told)
        took = (time.time_ns() - before) / 1e6
        assert 0 < lookup < took * 1e6
        assert latency == of_component == int(latency) <= took
        assert 0 < own <= took
        assert all(each.tags == {} and before <= each.timestamp <= time.time_ns() for each in told)

    def test_of_a_request_that_goes_nowhere(self) -> None:
        router = Router(sends_values=True)
        router.request(host=b"unknown.test")
        assert [each.event["name"] for each in router.told()] == ["route_lookup_time"]

    def test_of_many_requests(self) -> None:
        """The kernel takes datagrams of one size together, if it can, and hands them over one by one."""
        router = Router([endpoint()], is_udp=True, sends_values=True, **EVENTS)
        paths = [b"/" + b"p" * (number % 40) for number in range(200)]
        told = []
        for path in paths:
            router.request(start=b"GET " + path + b" HTTP/1.1")
            told += router.look()
        told += router.told()
        for peer in (CLIENT, SERVER):
            uris = sorted(each.event["uri"] for each in of_peer(told, peer))
            assert uris == sorted(f"http://app.test{path.decode()}" for path in paths)
        names = sorted(each.event["name"] for each in told if each.kind == "valueMetric")
        assert names == sorted(["route_lookup_time", "latency", "gorouter_time"] * 200)


class TestRecord:
    def told_of(
        self, *lines: bytes, log: AccessLog | None = None, app: str = APP, start: bytes = b"GET / HTTP/1.1"
    ) -> list[Envelope]:
        tags = envelope_tags({"source_id": APP})
        other = AccessLog(ignore, extra_headers=EXTRA_HEADERS) if log is not None else None
        router = Router(
            [endpoint(app_id=app, envelope_tags=tags)],
            access_log=other,
            log=log or AccessLog(ignore),
            source_instance="7",
        )
        router.request(*lines, start=start)
        return router.told()

    def line_of(self, *lines: bytes, log: AccessLog | None = None, start: bytes = b"GET / HTTP/1.1") -> str:
        (told,) = self.told_of(*lines, log=log, start=start)
        line: str = told.event["message"].decode()
        return line

    def test_of_an_app(self) -> None:
        (told,) = self.told_of()
        line = told.event.pop("message").decode()
        assert re.match(
            r'app\.test - \[\S+\] "GET / HTTP/1\.1" 200 0 2 "-" "-" "10\.0\.0\.9:4321" "10\.0\.0\.1:8080" ', line
        )
        assert line.endswith('x_cf_routererror:"-"')
        assert told.event == {
            "message_type": 1,
            "timestamp": told.timestamp,
            "app_id": APP,
            "source_type": "RTR",
            "source_instance": "7",
        }
        assert (told.origin, told.tags) == ("gorouter", {"source_id": APP})

    def test_without_an_app_there_is_none(self) -> None:
        assert self.told_of(app="") == []

    def test_a_debug_line_tells_that_there_is_none(self) -> None:
        router = Router([endpoint(app_id="")], log=AccessLog(ignore), is_debug=True)
        router.request()
        assert router.told() == []
        assert [data for _, message, data in router.events if message == "dropping-loggregator-access-log"] == [
            {"error": "either no appId or source instance present", "appID": "", "sourceInstance": "0"}
        ]

    @pytest.mark.parametrize(
        ("header", "field", "name"),
        [
            (b"Referer", r'200 0 2 "([^"]*)"', "REFERER"),
            (b"User-Agent", r'200 0 2 "-" "([^"]*)"', "USER-AGENT"),
            (b"X-Forwarded-Proto", r'x_forwarded_proto:"([^"]*)"', "X-FORWARDED-PROTO"),
        ],
    )
    def test_long_headers_are_cut(self, header: bytes, field: str, name: str) -> None:
        mark = f"...{name}-TOO-LONG-TO-LOG--TRUNCATED"

        def logged(length: int) -> str:
            match = re.search(field, self.line_of(header + b": " + b"v" * length))
            assert match
            return match[1]

        assert logged(1000) == "v" * 1000
        assert logged(1001) == "v" * 500 + mark
        # Halved, and with the mark still too long.
        once = (5000 // 2 + len(mark)) // 2
        assert logged(5000) == "v" * ((once + len(mark)) // 2 if once + len(mark) > 1000 else once) + mark

    def test_forwarded_for_is_that_which_is_sent(self) -> None:
        match = re.search(r'x_forwarded_for:"([^"]*)"', self.line_of(b"X-Forwarded-For: " + b"1" * 1000))
        assert match
        assert match[1] == "1" * ((1000 + len(", 10.0.0.9")) // 2) + "...X-FORWARDED-FOR-TOO-LONG-TO-LOG--TRUNCATED"

    def test_a_long_target_is_cut(self) -> None:
        match = re.search(r'"GET (\S*) HTTP/1\.1"', self.line_of(start=b"GET /" + b"p" * 20_000 + b" HTTP/1.1"))
        assert match
        assert match[1] == "/" + "p" * 9_999 + "...REQUEST-URI-TOO-LONG-TO-LOG--TRUNCATED"

    def test_extra_headers_end_at_a_limit(self) -> None:
        log = AccessLog(ignore, extra_headers=EXTRA_HEADERS)
        line = self.line_of(b"A: " + b"1" * 9_000, b"B: " + b"2" * 9_000, b"C: " + b"3" * 2_100, log=log)
        assert line.endswith(
            'x_cf_routererror:"-" a:"'
            + "1" * 9_000
            + '" b:"'
            + "2" * 9_000
            + '" ...EXTRA-REQUEST-HEADERS-TOO-LONG-TO-LOG--TRUNCATED'
        )

    def test_beside_another_log_only_what_is_too_long_is_cut(self) -> None:
        log = AccessLog(ignore, has_whole=True, extra_headers=EXTRA_HEADERS)
        assert "v" * 5_000 in self.line_of(b"User-Agent: " + b"v" * 5_000, log=log)
        line = self.line_of(b"User-Agent: " + b"v" * 5_000, log=log, start=b"GET /" + b"p" * 62_000 + b" HTTP/1.1")
        assert "USER-AGENT-TOO-LONG-TO-LOG--TRUNCATED" in line
        assert "REQUEST-URI-TOO-LONG-TO-LOG--TRUNCATED" in line


class TestAgent:
    def test_one_that_does_not_listen_costs_one_envelope_a_second(self) -> None:
        with datagrams() as port, datagrams() as ours:
            port.bind(("127.0.0.1", 0))
            address = port.getsockname()
            ours.connect(address)
            port.close()
            metron = Metron(ours.fileno(), origin="gorouter", sends_values=True)
            conversation = Conversation([endpoint()], metron=metron)

            def request() -> None:
                conversation.from_client(GET)
                conversation.from_backend(OK)
                metron.flush()

            request()
            with datagrams() as agent:
                agent.bind(address)
                agent.setblocking(False)
                request()
                with pytest.raises(BlockingIOError):
                    agent.recv(65536)
                time.sleep(1)
                conversation.loop.tick()
                # The first finds out, and all are sent behind it.
                request()
                request()
                names = [read_envelope(agent.recv(65536)).event["name"] for _ in range(4)]
                assert names == ["route_lookup_time", "route_lookup_time", "latency", "gorouter_time"]
            conversation.end()


def test_all_logs_have_the_same_headers() -> None:
    """A request keeps the values of one list of headers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        metron = Metron(ours.fileno(), origin="gorouter", log=AccessLog(ignore, extra_headers=("a",)))
        with pytest.raises(ValueError, match="the same extra headers"):
            DataPlane(RouteTable(), None, AccessLog(ignore, extra_headers=("b",)), metron=metron)


class TestSizes:
    """Envelopes of one size go through the kernel together."""

    def sizes(self, *components: str, requests: int = 20) -> dict[str, set[int]]:
        """The sizes of envelopes by what they tell."""
        router = Router([endpoint(component=each) for each in components] or [endpoint()], sends_values=True, **EVENTS)
        for _ in range(requests):
            router.request(b"User-Agent: agent")
        router.end()
        router.metron.flush()
        found: dict[str, set[int]] = {}
        with suppress(BlockingIOError):
            while True:
                datagram = router.agent.recv(1 << 20)
                event = read_envelope(datagram).event
                found.setdefault(event.get("name", str(event.get("peerType"))), set()).add(len(datagram))
        router.agent.close()
        router.ours.close()
        return found

    def test_events_differ_by_their_peer_only(self) -> None:
        found = self.sizes(requests=100)
        # Half of all UUIDs would be a byte longer than the others.
        assert {name: len(found[name]) for name in ("1", "2")} == {"1": 1, "2": 1}

    def test_values_have_one_size(self) -> None:
        found = self.sizes("dea-7")
        names = ("latency", "latency.dea-7", "gorouter_time", "route_lookup_time")
        assert len(set.union(*(found[name] for name in names))) == 1

    def test_values_with_longer_names_have_their_own(self) -> None:
        found = self.sizes("a-component-of-some-length")
        (usual,) = found["latency"]
        assert found["latency.a-component-of-some-length"] == {usual + len("latency.a-component-of-some-length") - 17}

    def test_libraries_read_them(self) -> None:
        types = message_types(
            "read.proto",
            {
                "UUID": {"low": (1, "uint64"), "high": (2, "uint64")},
                "Event": {"request_id": (3, "UUID")},
                "Value": {"name": (1, "string"), "value": (2, "double"), "unit": (3, "string")},
                "Envelope": {"event_type": (2, "int32"), "event": (7, "Event"), "metric": (9, "Value")},
            },
        )
        router = Router(sends_values=True, **EVENTS)
        router.request()
        router.end()
        router.metron.flush()
        for _ in range(5):
            datagram = router.agent.recv(1 << 20)
            read, told = types["Envelope"].FromString(datagram), read_envelope(datagram)
            assert read.event_type == {"valueMetric": 6, "httpStartStop": 4}[told.kind]
            if told.kind == "valueMetric":
                assert (read.metric.name, read.metric.value, read.metric.unit) == tuple(told.event.values())
            else:
                assert {"low": read.event.request_id.low, "high": read.event.request_id.high} == told.event["requestId"]
        router.agent.close()
        router.ours.close()
