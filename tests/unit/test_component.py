import json
import re

import pytest

from fastrouter.logs.logger import Level, Logger
from fastrouter.observe.process_usage import Usage
from fastrouter.observe.varz import AppRequests, Responses, Traffic, Varz, format_uptime
from fastrouter.registry.registration import Registration
from fastrouter.registry.route_registry import RouteRegistry
from kept_lines import KeptLines


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0d:0h:0m:0s"), (59.9, "0d:0h:0m:59s"), (200_000, "2d:7h:33m:20s"), (3600, "0d:1h:0m:0s")]
)
def test_uptime(seconds: float, text: str) -> None:
    assert format_uptime(seconds) == text


def test_varz_has_what_components_have_and_what_routers_have() -> None:
    registry = RouteRegistry(Logger(level=Level.ERROR, writer=KeptLines()), lambda _: None)
    varz = Varz(
        registry,
        index=2,
        host="10.0.0.9:8080",
        user="u",
        password="p",
        router_uuid="2-uuid",
        num_cores=4,
        traffic=lambda: Traffic(
            all=Responses(requests=3, responses_2xx=2, responses_xxx=1),
            components={"c": Responses(requests=1)},
            bad_requests=5,
            top10_app_requests=(AppRequests("app", 1, 60),),
        ),
        usage=lambda: Usage(cpu=1.5, resident_kib=123_456),
    )
    assert json.loads(varz.json())["ms_since_last_registry_update"] == -1
    for uri in ("a", "b"):
        for port in (1, 2):
            registry.register(uri, registry.new_endpoint(Registration(host="h", port=port)))
    document = json.loads(varz.json())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}", document.pop("start"))
    assert re.fullmatch(r"0d:0h:\d+m:\d+s", document.pop("uptime"))
    assert 0 <= document.pop("ms_since_last_registry_update") < 60_000
    latency = {"50": 0, "75": 0, "90": 0, "95": 0, "99": 0, "value": 0, "samples": 1}
    nothing = {f"responses_{group}": 0 for group in ("2xx", "3xx", "4xx", "5xx", "xxx")}
    assert document == {
        "type": "Router",
        "index": 2,
        "host": "10.0.0.9:8080",
        "credentials": ["u", "p"],
        "uuid": "2-uuid",
        "num_cores": 4,
        "mem": 123_456,
        "cpu": 1.5,
        "log_counts": {},
        "requests": 3,
        "rate": [0, 0, 0],
        **nothing,
        "responses_2xx": 2,
        "responses_xxx": 1,
        "latency": latency,
        "tags": {"component": {"c": {"requests": 1, "rate": [0, 0, 0], **nothing, "latency": latency}}},
        "urls": 2,
        "droplets": 2,
        "bad_requests": 5,
        "bad_gateways": 0,
        "requests_per_sec": 0,
        "top10_app_requests": [{"application_id": "app", "rps": 1, "rpm": 60}],
    }
