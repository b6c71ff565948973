"""What the tool that compares routers (tests/parity) leaves out, and what it must not."""

from typing import Any

from parity.case import Seen
from parity.counts import added, counts
from parity.normal_form import NormalForm

REQUEST_ID = "396adf0d-35bf-45a8-4f69-49e2174b9341"
TRACE = REQUEST_ID.replace("-", "")
EXPOSITION = """# TYPE responses counter
responses{status_group="2xx"} 3
# TYPE latency histogram
latency_bucket{component="",le="+Inf"} 2
latency_sum{component=""} 0.5
latency_count{component=""} 2
# TYPE total_routes gauge
total_routes 7
# TYPE go_gc_duration_seconds counter
go_gc_duration_seconds 9
"""


def line_of(message: str, **data: Any) -> str:
    event = {"log_level": 0, "message": message, "source": "gorouter.stdout", "data": data}
    seen = Seen(access=[f'vcap_request_id:"{REQUEST_ID}"'], log=[event])
    return NormalForm({}, "").of(seen)["log"][0]


class TestIdsOfATrace:
    def test_are_left_out_of_lines_that_have_none_in_gorouter(self) -> None:
        ids = {"trace-id": TRACE, "span-id": TRACE[16:]}
        assert line_of("backend", attempt=1, **ids) == line_of("backend", attempt=1)

    def test_stay_in_others(self) -> None:
        ids = {"trace-id": TRACE, "span-id": TRACE[16:]}
        assert "trace-id" in line_of("deprecated-semicolon-params", **ids)

    def test_of_another_request_stay(self) -> None:
        assert "trace-id" in line_of("backend", **{"trace-id": "1" * 32, "span-id": TRACE[16:]})
        assert "trace-id" in line_of("backend", **{"trace-id": TRACE, "span-id": "1" * 16})


def test_durations_are_nothing_or_something() -> None:
    assert line_of("x", **{"dial-time": 0.0}) == line_of("x", **{"dial-time": 0})
    assert line_of("x", **{"dial-time": 0.5}) == line_of("x", **{"dial-time": 0.25})
    assert line_of("x", **{"dial-time": 0.5}) != line_of("x", **{"dial-time": 0})


def test_counters_and_counts_and_whether_sums_have_grown() -> None:
    before = {'responses{status_group="2xx"}': 1.0, 'latency_count{component=""}': 2.0}
    assert added(before, counts(EXPOSITION)) == ['latency_sum{component=""} more', 'responses{status_group="2xx"} +2']
