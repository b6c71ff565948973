"""What is computed from a request or a response is linear in it: the same cost per byte at 1 KB and at 1 MB.

Each round is the wake-up that brings a message whose one field is that long; `ns_per_byte` is in the extra info of each
benchmark. Answers and log lines are part of it.
"""

from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastrouter._core import AccessLog, DataPlane, Endpoint, RouteTable, Settings

from .fake_io import FakeLoop, FakeTransport

_SIZES = (1_000, 1_000_000)
_GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n"
# The connection is not kept: each round has one of its own.
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n"


def _header(name: bytes, unit: bytes) -> Callable[[int], bytes]:
    return lambda size: _GET + name + b": " + unit * (size // len(unit)) + b"x\r\n\r\n"


def _target(start: bytes, unit: bytes, host: bytes = b"app.test") -> Callable[[int], bytes]:
    return lambda size: b"GET " + start + unit * (size // len(unit)) + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"


_REQUESTS: dict[str, Callable[[int], bytes]] = {
    "plain header": _header(b"X-Field", b"v"),
    "many headers": lambda size: _GET + b"".join(b"X-%d: v\r\n" % number for number in range(size // 9)) + b"\r\n",
    "names in Connection": _header(b"Connection", b"x-a, "),
    "X-Forwarded-For": _header(b"X-Forwarded-For", b"10.0.0.1, "),
    "cookies": _header(b"Cookie", b"a=b; "),
    "empty cookies": _header(b"Cookie", b";"),
    "__VCAP_ID__": _header(b"Cookie", b"JSESSIONID=a; __VCAP_ID__=i; "),
    "logged field to escape": _header(b"User-Agent", b"\xc3\xa9\x80"),
    "tracestate": _header(b"tracestate", b"a=b,"),
    "app instance": _header(b"X-CF-App-Instance", b"1"),
    "host": lambda size: b"GET / HTTP/1.1\r\nHost: " + b"a." * (size // 2) + b"x\r\n\r\n",
    "path": _target(b"/", b"a/"),
    "path of an unknown host": _target(b"/", b"a.a/", b"no.test"),
    "path to requote": _target(b"//", b"%2f"),
    "query": _target(b"/?", b"a=b&"),
    "query to sort": _target(b"//x?", b"a=b&"),
    "query to redact": _target(b"/?", b"a"),
}

_RESPONSES: dict[str, Callable[[int], bytes]] = {
    "plain header": lambda size: _OK + b"X-Field: " + b"v" * size + b"\r\n\r\n",
    "Set-Cookie": lambda size: _OK + b"Set-Cookie: JSESSIONID=" + b"v" * size + b"\r\n\r\n",
    "attributes of Set-Cookie": lambda size: (
        _OK + b"Set-Cookie: JSESSIONID=a" + b"; Secure" * (size // 8) + b"\r\n\r\n"
    ),
    "names in Connection": lambda size: _OK + b"Connection: " + b"x-a, " * (size // 5) + b"x\r\n\r\n",
}


class _Bench:
    """A data plane with every option that looks at fields, and one client at a time."""

    def __init__(self) -> None:
        table = RouteTable()
        table.register("app.test", Endpoint("127.0.0.1", 8081, app_id="app", instance_id="i", instance_index="0"))
        log = AccessLog(lambda _: None, extra_headers=["X-Field"], redaction="hash")
        settings = Settings(traces_zipkin=True, traces_w3c=True, keeps_sticky_metadata=True, max_response_head=4 << 20)
        self._plane = DataPlane(table, settings, log)
        self.loop = FakeLoop()
        loop: Any = self.loop
        self._plane.start(loop)

    def new_client(self) -> Any:
        client = self._plane.new_client()
        client.connection_made(FakeTransport())
        return client


def _note(benchmark: BenchmarkFixture, message: bytes) -> None:
    if benchmark.stats is not None:
        benchmark.extra_info["ns_per_byte"] = round(benchmark.stats["min"] * 1e9 / len(message), 2)


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("name", _REQUESTS)
@pytest.mark.benchmark(group="a long field of a request")
def test_request(benchmark: BenchmarkFixture, name: str, size: int) -> None:
    bench = _Bench()
    message = _REQUESTS[name](size)
    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda client: client.data_received(message), setup=lambda: ((bench.new_client(),), {}), rounds=10
    )
    _note(benchmark, message)


@pytest.mark.parametrize("size", _SIZES)
@pytest.mark.parametrize("name", _RESPONSES)
@pytest.mark.benchmark(group="a long field of a response")
def test_response(benchmark: BenchmarkFixture, name: str, size: int) -> None:
    bench = _Bench()
    message = _RESPONSES[name](size)

    def ask() -> tuple[tuple[Any], dict[str, Any]]:
        bench.loop.backend = None
        bench.new_client().data_received(_GET + b"Connection: close\r\n\r\n")
        return (bench.loop.backend,), {}

    benchmark.pedantic(  # type: ignore[no-untyped-call]
        lambda backend: backend.data_received(message), setup=ask, rounds=10
    )
    _note(benchmark, message)
