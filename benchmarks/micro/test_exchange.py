"""One whole exchange on warm connections: client bytes in, backend bytes in, response and log line out."""

import asyncio
from typing import cast

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.load.workloads import HOST, WORKLOADS
from benchmarks.micro.fake_io import FakeLoop, FakeTransport
from fastrouter._core import AccessLog, DataPlane, Endpoint, RouteTable

_RESPONSE = (
    b"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 18:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 27\r\n\r\n"
    b"hello from the backend app\n"
)


@pytest.mark.benchmark(group="one exchange")
@pytest.mark.parametrize("workload", ["W1", "W2"])
def test_exchange(benchmark: BenchmarkFixture, workload: str) -> None:
    fields = {"Host": HOST, **WORKLOADS[workload].headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    request = f"GET /small HTTP/1.1\r\n{head}\r\n".encode()

    table = RouteTable()
    table.register(HOST, Endpoint("127.0.0.1", 9000, app_id="app", instance_id="instance", instance_index="0"))
    lines: list[bytes] = []
    access_log = AccessLog(lines.append)
    loop = FakeLoop()
    plane = DataPlane(table, access_log=access_log)
    plane.start(cast(asyncio.AbstractEventLoop, loop))
    client = plane.new_client()
    client_transport = FakeTransport()
    client.connection_made(client_transport)

    def exchange() -> None:
        client.data_received(request)
        assert loop.backend is not None
        loop.backend.data_received(_RESPONSE)

    exchange()
    assert client_transport.written.endswith(b"hello from the backend app\n")
    benchmark(exchange)
    access_log.flush()
    assert sum(batch.count(b"\n") for batch in lines) > 1
    lines.clear()
