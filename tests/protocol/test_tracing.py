"""Trace headers: adopted, continued or begun, and what the request id and the process log make of them (spec 4.2)."""

import re

import pytest

from fastrouter._core import Settings

from .conversation import Conversation

TRACE = "7f46165474d11ee5836777d85df2cdab"
SPAN = "54ebcb82b14862d9"
PARENT = "05e3ac9a4f6e3b90"
ZEROS = "0" * 16
NAMES = (
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "traceparent",
    "tracestate",
)
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
ERRORS = ("failed-to-parse-single-header", "failed-to-parse-b3-trace-id")


class Sent:
    """What became of one request: the trace headers and the id that the backend got, and the lines of the log."""

    def __init__(
        self,
        *lines: str,
        zipkin: bool = False,
        w3c: bool = False,
        tenant: str = "",
        propagates_only: bool = False,
        hop_by_hop_filter: tuple[str, ...] = (),
    ) -> None:
        settings = Settings(
            traces_zipkin=zipkin,
            traces_w3c=w3c,
            w3c_tenant_id=tenant,
            propagates_only=propagates_only,
            hop_by_hop_filter=hop_by_hop_filter,
        )
        conversation = Conversation(settings=settings)
        head = "".join(f"{line}\r\n" for line in ("GET / HTTP/1.1", "Host: app.test", *lines, ""))
        conversation.from_client(head.encode("latin-1"))
        self.written = bytes(conversation.backend.written).decode("latin-1") if conversation.loop.dialled else ""
        fields = [line.partition(": ") for line in self.written.split("\r\n") if ": " in line]
        self.trace = [(name.lower(), value) for name, _, value in fields if name.lower() in NAMES]
        self.id = next((value for name, _, value in fields if name == "X-Vcap-Request-Id"), "")
        self.events = conversation.events
        self.client_id = re.findall(rb"X-Vcap-Request-Id: (.*)\r", conversation.client.written)

    @property
    def headers(self) -> dict[str, str]:
        assert len(dict(self.trace)) == len(self.trace), "each header once"
        return dict(self.trace)


def b3_lines(trace: str = TRACE, span: str = SPAN, **others: str) -> list[str]:
    return [f"X-B3-TraceId: {trace}", f"X-B3-SpanId: {span}"] + [
        f"X-B3-{name.capitalize()}: {value}" for name, value in others.items()
    ]


class TestZipkin:
    @pytest.mark.parametrize(
        "b3",
        [
            f"{TRACE}-{SPAN}",
            f"{TRACE}-{SPAN}-0",
            f"{TRACE}-{SPAN}-1",
            f"{TRACE}-{SPAN}-d",
            f"{TRACE}-{SPAN}-1-{PARENT}",
            f"{TRACE[16:]}-{SPAN}",
            f"{TRACE[16:]}-{SPAN}-0-{PARENT}",
            f"{TRACE.upper()}-{SPAN.upper()}",
            "0",
            "1",
            "d",
        ],
    )
    def test_a_b3_header_is_left_as_it_is(self, b3: str) -> None:
        sent = Sent(f"b3: {b3}", "X-B3-TraceId: something", "X-B3-Sampled: else", zipkin=True)
        assert sent.trace == [("b3", b3), ("x-b3-traceid", "something"), ("x-b3-sampled", "else")]
        assert sent.events == []

    @pytest.mark.parametrize(
        "b3",
        [
            TRACE,
            TRACE[:16],
            f"{TRACE}-{SPAN}-",
            f"{TRACE}-{SPAN}-2",
            f"{TRACE}-{SPAN}-1-",
            f"{TRACE}-{SPAN}-1-{PARENT}0",
            f"{TRACE}-{SPAN[1:]}",
            f"{TRACE[1:]}-{SPAN}",
            f"g{TRACE[1:]}-{SPAN}",
            f"{TRACE}-g{SPAN[1:]}",
            f"{TRACE}-{SPAN}-1-g{PARENT[1:]}",
            "x",
            "\xe9",
        ],
    )
    def test_a_b3_header_that_is_none_is_an_error_and_replaced(self, b3: str) -> None:
        sent = Sent(f"B3: {b3}", zipkin=True)
        assert [(level, message) for level, message, _ in sent.events] == [(3, ERRORS[0])]
        assert "error" in sent.events[0][2]
        trace = sent.id.replace("-", "")
        assert sent.headers == {
            "x-b3-traceid": trace,
            "x-b3-spanid": trace[16:],
            "b3": f"{trace}-{trace[16:]}",
        }

    def test_without_headers_a_trace_begins(self) -> None:
        sent = Sent(zipkin=True)
        assert re.fullmatch(UUID, sent.id)
        trace = sent.id.replace("-", "")
        assert sent.headers == {"x-b3-traceid": trace, "x-b3-spanid": trace[16:], "b3": f"{trace}-{trace[16:]}"}
        assert "\r\nX-B3-Traceid: " in sent.written
        assert "\r\nB3: " in sent.written

    @pytest.mark.parametrize("line", [f"X-B3-TraceId: {TRACE}", f"X-B3-SpanId: {SPAN}", "b3:", "X-B3-TraceId:"])
    def test_what_is_incomplete_is_overwritten(self, line: str) -> None:
        sent = Sent(line, "X-B3-Sampled: 1", zipkin=True)
        trace = sent.id.replace("-", "")
        assert trace != TRACE
        assert sent.headers == {
            "x-b3-sampled": "1",
            "x-b3-traceid": trace,
            "x-b3-spanid": trace[16:],
            "b3": f"{trace}-{trace[16:]}",
        }
        assert sent.events == []

    @pytest.mark.parametrize(
        ("lines", "b3"),
        [
            (b3_lines(), f"{TRACE}-{SPAN}"),
            (b3_lines(TRACE.upper(), SPAN.upper()), f"{TRACE}-{SPAN}"),
            (b3_lines("1a", "2B"), "000000000000001a-000000000000002b"),
            (b3_lines("1" + ZEROS, "1"), f"0000000000000001{ZEROS}-0000000000000001"),
            (b3_lines("000" + TRACE, "00" + SPAN), f"{TRACE}-{SPAN}"),
            (b3_lines(sampled="1"), f"{TRACE}-{SPAN}-1"),
            (b3_lines(sampled="TRUE"), f"{TRACE}-{SPAN}-1"),
            (b3_lines(sampled="0"), f"{TRACE}-{SPAN}-0"),
            (b3_lines(sampled="False"), f"{TRACE}-{SPAN}-0"),
            (b3_lines(sampled=""), f"{TRACE}-{SPAN}"),
            (b3_lines(flags="1"), f"{TRACE}-{SPAN}-d"),
            (b3_lines(flags="1", sampled="0"), f"{TRACE}-{SPAN}-d"),
            (b3_lines(flags="0", sampled="0"), f"{TRACE}-{SPAN}-0"),
            (b3_lines(parentspanid="9"), f"{TRACE}-{SPAN}-0000000000000009"),
            (b3_lines(parentspanid=PARENT, sampled="1"), f"{TRACE}-{SPAN}-1-{PARENT}"),
            (b3_lines(parentspanid=PARENT, flags="1"), f"{TRACE}-{SPAN}-d-{PARENT}"),
            # Ids of zero are invalid, so they are left out.
            (b3_lines("0", SPAN, sampled="1"), "1"),
            (b3_lines(TRACE, "0", parentspanid=PARENT), PARENT),
        ],
    )
    def test_two_ids_become_a_b3_header(self, lines: list[str], b3: str) -> None:
        sent = Sent(*lines, zipkin=True)
        expected = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert sent.headers == expected | {"b3": b3}
        assert sent.events == []

    @pytest.mark.parametrize(
        ("lines", "named"),
        [
            (b3_lines("x"), "X-B3-TraceId"),
            (b3_lines("-1"), "X-B3-TraceId"),
            (b3_lines("0x1"), "X-B3-TraceId"),
            (b3_lines("1" + TRACE), "X-B3-TraceId"),
            (b3_lines(span="1" + SPAN), "X-B3-SpanId"),
            (b3_lines(span="1_0"), "X-B3-SpanId"),
            (b3_lines(parentspanid="y"), "X-B3-ParentSpanId"),
            (b3_lines(sampled="2"), "X-B3-Sampled"),
            (b3_lines(sampled="d"), "X-B3-Sampled"),
        ],
    )
    def test_two_ids_that_are_none_pass_untouched(self, lines: list[str], named: str) -> None:
        sent = Sent(*lines, zipkin=True)
        assert sent.headers == {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        assert sent.events == [(1, ERRORS[1], {"error": f"invalid {named} header"})]
        assert re.fullmatch(UUID, sent.id)

    def test_after_a_bad_b3_header_two_ids_count(self) -> None:
        sent = Sent("b3: bad", *b3_lines(), zipkin=True)
        assert sent.headers == {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "b3": f"{TRACE}-{SPAN}"}
        assert [message for _, message, _ in sent.events] == [ERRORS[0]]

    def test_connection_strips_what_the_router_set(self) -> None:
        sent = Sent("Connection: b3, X-B3-SpanId", zipkin=True)
        assert list(sent.headers) == ["x-b3-traceid"]

    def test_connection_cannot_strip_what_is_protected(self) -> None:
        sent = Sent("Connection: b3, X-B3-SpanId", zipkin=True, hop_by_hop_filter=("B3",))
        assert list(sent.headers) == ["x-b3-traceid", "b3"]

    def test_long_values_fit(self) -> None:
        sent = Sent(*b3_lines("0" * 200_000 + TRACE), zipkin=True)
        assert sent.headers["b3"] == f"{TRACE}-{SPAN}"

    def test_off_nothing_is_touched(self) -> None:
        sent = Sent("b3: bad", "traceparent: bad", "tracestate: bad")
        assert sent.headers == {"b3": "bad", "traceparent": "bad", "tracestate": "bad"}
        assert sent.events == []


class TestW3C:
    def test_without_headers_a_trace_begins(self) -> None:
        sent = Sent("tracestate: a=1", w3c=True)
        trace = sent.id.replace("-", "")
        assert re.fullmatch(UUID, sent.id)
        assert sent.headers == {
            "traceparent": f"00-{trace}-{trace[16:]}-01",
            "tracestate": f"gorouter={trace[16:]}",
        }
        assert "\r\nTraceparent: 00-" in sent.written
        assert "\r\nTracestate: gorouter=" in sent.written

    @pytest.mark.parametrize(
        "traceparent",
        [
            "",
            "00",
            f"00-{TRACE}-{SPAN}-0",
            f"00-{TRACE}-{SPAN}-011",
            f"0g-{TRACE}-{SPAN}-01",
            f"00-{TRACE[1:]}g-{SPAN}-01",
            f"00-{TRACE}-{SPAN[1:]}g-01",
            f"00-{TRACE}-{SPAN}-0g",
            f"00-{TRACE}--{SPAN}01",
        ],
    )
    def test_what_is_no_traceparent_is_replaced(self, traceparent: str) -> None:
        sent = Sent(f"traceparent: {traceparent}", f"traceparent: 00-{TRACE}-{SPAN}-01", w3c=True)
        assert re.fullmatch(UUID, sent.id)
        trace = sent.id.replace("-", "")
        assert sent.headers["traceparent"] == f"00-{trace}-{trace[16:]}-01"

    @pytest.mark.parametrize(
        ("traceparent", "flags"),
        [
            (f"00-{TRACE}-{SPAN}-01", "01"),
            (f"00-{TRACE}-{SPAN}-00", "00"),
            (f"cc-{TRACE}-{SPAN}-f3", "f3"),
            (f"FF-{TRACE.upper()}-{SPAN.upper()}-AB", "ab"),
            (f"00_{TRACE}x{SPAN}-01", "01"),
        ],
    )
    def test_a_trace_goes_on_under_a_new_parent(self, traceparent: str, flags: str) -> None:
        sent = Sent(f"traceparent: {traceparent}", w3c=True)
        match = re.fullmatch(f"00-{TRACE}-([0-9a-f]{{16}})-{flags}", sent.headers["traceparent"])
        assert match
        assert match[1] != SPAN
        assert sent.headers["tracestate"] == f"gorouter={match[1]}"
        again = Sent(f"traceparent: {traceparent}", w3c=True)
        assert again.headers["traceparent"] != sent.headers["traceparent"]

    @pytest.mark.parametrize(
        ("tenant", "tracestate", "rest"),
        [
            ("", "a=1,b=2", ",a=1,b=2"),
            ("", " a=1 ,\tb=2=3 , c=", ",a=1,b=2=3,c="),
            ("", "gorouter=0,a=1,gorouter=9,t@gorouter=7", ",a=1,t@gorouter=7"),
            ("t", "gorouter=0,a=1,t@gorouter=7", ",gorouter=0,a=1"),
            ("a=b", "a=1,a=b@gorouter=7,a=b@gorouter", ",a=1,a=b@gorouter"),
            ("", "a,b,,c=1", ",c=1"),
            ("", "=1", ",=1"),
            ("", "GoRouter=1,gorouter2=3,gorouter =4", ",GoRouter=1,gorouter2=3,gorouter =4"),
            ("", "", ""),
            ("", "a=" + "1" * 2046, ",a=" + "1" * 2046),
            ("", "a=" + "1" * 2047, ""),
        ],
    )
    def test_the_own_entry_comes_first(self, tenant: str, tracestate: str, rest: str) -> None:
        lines = [f"traceparent: 00-{TRACE}-{SPAN}-01", f"tracestate: {tracestate}", "tracestate: second=1"]
        sent = Sent(*lines, w3c=True, tenant=tenant)
        parent = sent.headers["traceparent"].split("-")[2]
        key = f"{tenant}@gorouter" if tenant else "gorouter"
        assert sent.headers["tracestate"] == f"{key}={parent}{rest}"

    def test_connection_strips_what_the_router_set(self) -> None:
        sent = Sent("Connection: tracestate", w3c=True)
        assert list(sent.headers) == ["traceparent"]

    def test_a_tenant_cannot_break_the_line(self) -> None:
        with pytest.raises(ValueError, match="w3c_tenant_id"):
            Settings(w3c_tenant_id="a\r\nb")


class TestBoth:
    def test_they_share_one_new_trace(self) -> None:
        sent = Sent(zipkin=True, w3c=True)
        trace = sent.id.replace("-", "")
        assert sent.headers == {
            "x-b3-traceid": trace,
            "x-b3-spanid": trace[16:],
            "b3": f"{trace}-{trace[16:]}",
            "traceparent": f"00-{trace}-{trace[16:]}-01",
            "tracestate": f"gorouter={trace[16:]}",
        }

    def test_a_b3_trace_becomes_a_traceparent(self) -> None:
        sent = Sent(f"b3: {TRACE}-{SPAN}", zipkin=True, w3c=True)
        assert sent.headers["traceparent"] == f"00-{TRACE}-{SPAN}-01"
        assert sent.headers["tracestate"] == f"gorouter={SPAN}"

    def test_a_short_b3_trace_is_filled_up(self) -> None:
        sent = Sent(f"b3: {TRACE[16:]}-{SPAN}", zipkin=True, w3c=True)
        assert sent.headers["traceparent"] == f"00-{ZEROS}{TRACE[16:]}-{SPAN}-01"

    def test_each_goes_on_with_its_own_trace(self) -> None:
        other = "0af7651916cd43dd8448eb211c80319c"
        sent = Sent(f"b3: {TRACE}-{SPAN}", f"traceparent: 00-{other}-{PARENT}-01", zipkin=True, w3c=True)
        assert sent.headers["b3"] == f"{TRACE}-{SPAN}"
        assert sent.headers["traceparent"].startswith(f"00-{other}-")
        # Zipkin came first.
        assert sent.id.replace("-", "") == TRACE


class TestRequestId:
    def dashed(self, trace: str) -> str:
        return f"{trace[:8]}-{trace[8:12]}-{trace[12:16]}-{trace[16:20]}-{trace[20:]}"

    def test_is_the_trace_id(self) -> None:
        assert Sent(f"b3: {TRACE}-{SPAN}", zipkin=True).id == self.dashed(TRACE)
        assert Sent(*b3_lines(), zipkin=True).id == self.dashed(TRACE)
        assert Sent(f"traceparent: 00-{TRACE}-{SPAN}-00", w3c=True).id == self.dashed(TRACE)

    @pytest.mark.parametrize("b3", ["0", "1", "d", f"{TRACE[16:]}-{SPAN}", f"{ZEROS}{TRACE[16:]}-{SPAN}"])
    def test_is_random_for_a_short_trace_id(self, b3: str) -> None:
        sent, again = (Sent(f"b3: {b3}", zipkin=True) for _ in range(2))
        assert re.fullmatch(UUID, sent.id)
        assert sent.id != again.id

    def test_overwrites_the_clients(self) -> None:
        sent = Sent("X-Vcap-Request-Id: mine", f"b3: {TRACE}-{SPAN}", zipkin=True)
        assert sent.id == self.dashed(TRACE)
        assert "mine" not in sent.written


class TestProcessLog:
    """A request for a bad instance gives one line."""

    BAD = "X-CF-App-Instance: nobody"

    def test_without_tracing_the_ids_are_those_of_the_request_id(self) -> None:
        (level, message, data), _ = Sent(self.BAD).events
        assert (level, message) == (3, "invalid-app-instance-header")
        assert list(data) == ["trace-id", "span-id", "error"]
        assert re.fullmatch("[0-9a-f]{32}", data["trace-id"])
        assert data["span-id"] == data["trace-id"][16:]

    @pytest.mark.parametrize(
        ("b3", "ids"),
        [
            (f"{TRACE}-{SPAN}", (TRACE, SPAN)),
            (f"{TRACE[16:]}-{SPAN}", (TRACE[16:], SPAN)),
            (f"{TRACE.upper()}-{SPAN.upper()}", (TRACE, SPAN)),
            ("0", (ZEROS, ZEROS)),
        ],
    )
    def test_the_ids_are_those_of_the_trace(self, b3: str, ids: tuple[str, str]) -> None:
        (_, _, data), _ = Sent(self.BAD, f"b3: {b3}", zipkin=True).events
        assert (data["trace-id"], data["span-id"]) == ids

    def test_the_span_of_a_continued_trace_is_the_new_parent(self) -> None:
        (_, _, data), _ = Sent(self.BAD, f"traceparent: 00-{TRACE}-{SPAN}-01", w3c=True).events
        assert data["trace-id"] == TRACE
        assert re.fullmatch("[0-9a-f]{16}", data["span-id"])
        assert data["span-id"] != SPAN


class TestPropagateOnly:
    """No span that nobody ever sees stands between the client's and the app's (a key of fastrouter's)."""

    @pytest.mark.parametrize(
        "lines",
        [
            [],
            [f"b3: {TRACE}-{SPAN}-1"],
            ["b3: nonsense"],
            b3_lines(),
            b3_lines(Sampled="1"),
            [f"X-B3-TraceId: {TRACE}"],
            [f"traceparent: 00-{TRACE}-{SPAN}-01", "tracestate: a=b,gorouter=c"],
            ["traceparent: nonsense", "tracestate: a=b"],
            [f"traceparent: 00-{TRACE}-{SPAN}-00", f"b3: {TRACE}-{PARENT}-0"],
        ],
    )
    def test_headers_stay_as_they_are(self, lines: list[str]) -> None:
        sent = Sent(*lines, zipkin=True, w3c=True, propagates_only=True)
        names = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in lines)]
        assert sorted(sent.trace) == sorted(names)

    @pytest.mark.parametrize("line", [f"b3: {TRACE}-{SPAN}-1", f"traceparent: 00-{TRACE}-{SPAN}-01"])
    def test_the_request_id_is_that_of_the_trace(self, line: str) -> None:
        sent = Sent(line, zipkin=True, w3c=True, propagates_only=True)
        assert sent.id.replace("-", "") == TRACE

    def test_lines_of_the_log_have_the_clients_span(self) -> None:
        settings = Settings(traces_w3c=True, propagates_only=True)
        conversation = Conversation(settings=settings)
        conversation.loop.refusing = {("10.0.0.1", 8080)}
        conversation.from_client(
            f"GET / HTTP/1.1\r\nHost: app.test\r\ntraceparent: 00-{TRACE}-{SPAN}-01\r\n\r\n".encode()
        )
        (data,) = (data for _, message, data in conversation.events if message == "backend-endpoint-failed")
        assert (data["trace-id"], data["span-id"]) == (TRACE, SPAN)

    def test_without_a_trace_the_request_has_an_id(self) -> None:
        assert re.fullmatch(UUID, Sent(zipkin=True, w3c=True, propagates_only=True).id)
