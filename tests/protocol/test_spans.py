"""Which requests have a span, what is in it, and how it goes with the trace headers (spec 4.2)."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from fastrouter._core import Endpoint, Settings, Spans
from otlp import ERROR, SERVER, Span, read_spans

from .conversation import Conversation

APP = "0b1c7a52-8c38-4bd2-9d1c-1c0c4b9a6a11"
TRACE = "7f46165474d11ee5836777d85df2cdab"
PARENT = "05e3ac9a4f6e3b90"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Router(Conversation):
    """A worker whose requests have spans."""

    def __init__(self, *, ratio: float = 1.0, endpoints: Sequence[Endpoint] = (), **settings: Any) -> None:
        self.batches: list[tuple[bytes, int]] = []
        spans = Spans(lambda spans, count: self.batches.append((spans, count)), ratio=ratio)
        given = {"traces_w3c": True, **settings}
        super().__init__(
            endpoints or [Endpoint("10.0.0.1", 8080, app_id=APP, instance_index="3")], Settings(**given), spans=spans
        )

    def request(
        self, *lines: bytes, start: bytes = b"GET / HTTP/1.1", host: bytes = b"app.test", answer: bytes = OK
    ) -> None:
        self.from_client(b"\r\n".join([start, b"Host: " + host, *lines]) + b"\r\n\r\n")
        if self.loop.dialled and answer:
            self.from_backend(answer)

    def sent_parent(self) -> list[str]:
        """The parts of the `traceparent` that the backend got."""
        (line,) = [
            line for line in bytes(self.backend.written).split(b"\r\n") if line.lower().startswith(b"traceparent: ")
        ]
        return line.decode().partition(": ")[2].split("-")

    def told(self) -> list[Span]:
        """All spans, at the end."""
        self.end()
        found: list[Span] = []
        for spans, count in self.batches:
            read = read_spans(spans)
            assert len(read) == count
            found += read
        return found


def traceparent(flags: str, trace: str = TRACE, parent: str = PARENT) -> bytes:
    return f"traceparent: 00-{trace}-{parent}-{flags}".encode()


class TestIds:
    def test_a_trace_that_begins_here(self) -> None:
        router = Router()
        router.request()
        version, trace, parent, flags = router.sent_parent()
        (span,) = router.told()
        assert (version, flags) == ("00", "01")
        assert (span.trace_id, span.span_id, span.parent_span_id) == (trace, parent, "")
        # Sampled; whether a parent is remote would be known.
        assert span.flags == 0x101

    def test_a_trace_that_goes_on(self) -> None:
        router = Router(ratio=0.0)
        router.request(traceparent("01"))
        _, trace, parent, flags = router.sent_parent()
        (span,) = router.told()
        assert (trace, flags) == (TRACE, "01")
        assert parent != PARENT
        assert (span.trace_id, span.span_id, span.parent_span_id) == (TRACE, parent, PARENT)
        assert span.flags == 0x301

    @pytest.mark.parametrize("flags", ["00", "02", "f0", "fe"])
    def test_whoever_began_it_has_said_that_it_is_not_sampled(self, flags: str) -> None:
        router = Router(ratio=1.0)
        router.request(traceparent(flags))
        assert router.sent_parent()[3] == flags
        assert router.told() == []

    @pytest.mark.parametrize("flags", ["01", "03", "ff", "0f"])
    def test_or_that_it_is(self, flags: str) -> None:
        router = Router(ratio=0.0)
        router.request(traceparent(flags))
        assert router.sent_parent()[3] == flags
        assert len(router.told()) == 1

    def test_a_trace_that_begins_here_and_is_not_sampled_says_so(self) -> None:
        router = Router(ratio=0.0)
        router.request()
        assert router.sent_parent()[3] == "00"
        assert router.told() == []

    def test_a_trace_of_zipkin_has_named_the_parent(self) -> None:
        router = Router(traces_zipkin=True)
        router.request(f"b3: {TRACE}-{PARENT}".encode())
        _, trace, parent, flags = router.sent_parent()
        (span,) = router.told()
        assert (trace, flags) == (TRACE, "01")
        assert (span.trace_id, span.span_id, span.parent_span_id) == (TRACE, parent, PARENT)
        assert parent != PARENT

    @pytest.mark.parametrize("lines", [[traceparent("01", "0" * 32)], [b"b3: 0"]])
    def test_ids_of_zeros_are_none(self, lines: list[bytes]) -> None:
        router = Router(traces_zipkin=True)
        router.request(*lines)
        assert router.told() == []

    def test_a_parent_of_zeros_is_none(self) -> None:
        router = Router()
        router.request(traceparent("01", parent="0" * 16))
        (span,) = router.told()
        assert (span.trace_id, span.parent_span_id, span.flags) == (TRACE, "", 0x101)

    @pytest.mark.parametrize("settings", [{"traces_w3c": False}, {"propagates_only": True}])
    def test_without_ids_of_its_own_a_request_has_none(self, settings: dict[str, Any]) -> None:
        router = Router(**settings)
        router.request(traceparent("01"))
        assert router.told() == []

    def test_each_request_of_a_connection_has_its_own(self) -> None:
        router = Router()
        for _ in range(3):
            router.request(traceparent("01"))
        spans = router.told()
        assert len({span.span_id for span in spans}) == 3


class TestSampling:
    def test_about_as_many_as_the_ratio_says(self) -> None:
        router = Router(ratio=0.25)
        for _ in range(400):
            router.request()
        # Six standard deviations of the binomial distribution to either side.
        assert 100 - 52 < len(router.told()) < 100 + 52

    @pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
    def test_a_ratio_that_is_none(self, ratio: float) -> None:
        with pytest.raises(ValueError, match="is not between 0 and 1"):
            Spans(lambda *_: None, ratio=ratio)


class TestSpan:
    def test_of_a_request(self) -> None:
        router = Router()
        before = time.time_ns()
        router.request(
            b"User-Agent: agent/1.0",
            b"X-Forwarded-For: 192.0.2.7, 10.1.1.1",
            b"Content-Length: 3",
            b"",
            b"abc",
            start=b"POST /path/x?secret=1 HTTP/1.1",
            host=b"app.test:8443",
            answer=b"",
        )
        router.from_backend(OK)
        (span,) = router.told()
        assert (span.name, span.kind, span.status) == ("POST app.test", SERVER, 0)
        assert before - 1_000_000_000 <= span.start <= span.end <= time.time_ns() + 1_000_000_000
        assert span.attributes == {
            "http.request.method": "POST",
            "url.scheme": "http",
            "url.path": "/path/x",
            "server.address": "app.test",
            "server.port": 8443,
            "network.peer.address": "10.0.0.9",
            "client.address": "192.0.2.7",
            "network.protocol.version": "1.1",
            "user_agent.original": "agent/1.0",
            "http.request.body.size": 3,
            "http.response.status_code": 200,
            "http.response.body.size": 2,
            "fastrouter.route": "app.test",
            "fastrouter.endpoint": "10.0.0.1:8080",
            "cloudfoundry.app.id": APP,
            "cloudfoundry.app.instance.id": "3",
        }

    def test_of_a_request_that_there_is_no_route_for(self) -> None:
        router = Router()
        router.request(host=b"unknown.test", start=b"GET / HTTP/1.0")
        (span,) = router.told()
        assert (span.name, span.status) == ("GET", 0)
        assert span.attributes["server.address"] == "unknown.test"
        assert span.attributes["http.response.status_code"] == 404
        assert span.attributes["client.address"] == "10.0.0.9"
        assert span.attributes["network.protocol.version"] == "1.0"
        assert not {"fastrouter.route", "fastrouter.endpoint", "error.type", "server.port"} & span.attributes.keys()

    def test_of_an_attempt_that_fails(self) -> None:
        router = Router(max_attempts=1)
        router.request(answer=b"nonsense\r\n\r\n")
        (span,) = router.told()
        assert (span.status, span.attributes["http.response.status_code"]) == (ERROR, 502)
        assert span.attributes["error.type"].startswith("endpoint_failure")
        assert span.attributes["fastrouter.failed_attempts"] == 1

    def test_of_an_app_that_fails(self) -> None:
        router = Router()
        router.request(answer=b"HTTP/1.1 503 Oh\r\nContent-Length: 0\r\n\r\n")
        (span,) = router.told()
        assert (span.status, span.attributes["error.type"]) == (ERROR, "503")

    def test_methods_that_nobody_knows_make_no_names(self) -> None:
        router = Router()
        router.request(start=b"BREW / HTTP/1.1")
        (span,) = router.told()
        assert span.name == "HTTP app.test"
        assert (span.attributes["http.request.method"], span.attributes["http.request.method_original"]) == (
            "_OTHER",
            "BREW",
        )

    def test_texts_are_plain_and_bounded(self) -> None:
        router = Router()
        router.request(b"User-Agent: \xff\xfe" + b"a" * 2000, start=b"GET /\xc3\xa4\x80 HTTP/1.1")
        (span,) = router.told()
        assert span.attributes["url.path"] == "/%C3%A4%80"
        assert span.attributes["user_agent.original"] == "%FF%FE" + "a" * 1022

    def test_many_come_in_pieces(self) -> None:
        router = Router()
        for _ in range(300):
            router.request(b"User-Agent: " + b"a" * 1000)
        spans = router.told()
        assert len(spans) == 300
        assert len(router.batches) > 4
        assert all(len(batch) < 65536 + 4096 for batch, _ in router.batches)
