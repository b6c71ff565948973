"""What the choice of an endpoint costs: whole exchanges that differ in nothing else."""

import asyncio
from typing import cast

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro.fake_io import FakeLoop, FakeTransport
from fastrouter._core import DataPlane, Endpoint, MaglevTable, RouteTable

_HOST = "app.example.com"
_REQUEST = f"GET / HTTP/1.1\r\nHost: {_HOST}\r\nX-Tenant: 6a3b4c55-8f0a-4c55-8f0a-0123456789ab\r\n\r\n".encode()
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def _endpoints(count: int) -> list[Endpoint]:
    return [
        Endpoint("10.0.0.1", 1024 + number, instance_id=f"5e1c1f0e-6a3b-4c55-8f0a-{number:012}")
        for number in range(count)
    ]


@pytest.mark.benchmark(group="one exchange")
@pytest.mark.parametrize(
    ("algorithm", "count", "balance"),
    [
        pytest.param("", 1, 0.0, id="of one endpoint"),
        pytest.param("hash", 1000, 0.0, id="of 1000 by hash"),
        pytest.param("hash", 1000, 1.25, id="of 1000 by hash, the first of them too busy"),
    ],
)
def test_selection(benchmark: BenchmarkFixture, algorithm: str, count: int, balance: float) -> None:
    table = RouteTable()
    for endpoint in _endpoints(count):
        table.register(_HOST, endpoint)
    if algorithm:
        table.set_route(_HOST, algorithm=algorithm, hash_source="header", hash_name="X-Tenant", hash_balance=balance)
    loop = FakeLoop()
    plane = DataPlane(table)
    plane.start(cast(asyncio.AbstractEventLoop, loop))
    client, waiting = plane.new_client(), plane.new_client()
    for protocol in (client, waiting):
        protocol.connection_made(FakeTransport())

    def exchange() -> None:
        client.data_received(_REQUEST)
        assert loop.backend is not None
        loop.backend.data_received(_RESPONSE)

    exchange()
    if balance:
        # With the one request in flight of all endpoints, its endpoint has far more than the average.
        waiting.data_received(_REQUEST)
    exchange()
    benchmark(exchange)


def test_table(benchmark: BenchmarkFixture) -> None:
    """Measure how long the request is held up that finds the endpoints of its route changed."""
    endpoints = _endpoints(1000)

    def build() -> None:
        assert MaglevTable(endpoints).fill()

    benchmark(build)
