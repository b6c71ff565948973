"""RouteTable.lookup must not get dearer with the number of routes."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from fastrouter._core import Endpoint, RouteTable

_LOOKUPS = 10_000
# Coprime to both sizes, so that the lookups jump all over the table.
_STRIDE = 7919
_SIZES = (10, 100_000)


@pytest.fixture(scope="module", params=_SIZES, ids="{} routes".format)
def table(request: pytest.FixtureRequest) -> RouteTable:
    table = RouteTable()
    for number in range(request.param):
        table.register(_host(number), Endpoint("127.0.0.1", 1024 + number % 60_000))
    return table


def _host(number: int) -> str:
    return f"app-{number}.apps.example.com"


@pytest.mark.benchmark(group="10,000 lookups, ten popular hosts")
def test_lookup_of_popular_hosts(benchmark: BenchmarkFixture, table: RouteTable) -> None:
    _measure(benchmark, table, [_host(number % 10) for number in range(_LOOKUPS)])


@pytest.mark.benchmark(group="10,000 lookups, spread over all hosts")
def test_lookup_spread_over_all_hosts(benchmark: BenchmarkFixture, table: RouteTable) -> None:
    """Measure the worst traffic there is: in a large table every lookup misses the processor's caches."""
    _measure(benchmark, table, [_host(number * _STRIDE % len(table)) for number in range(_LOOKUPS)])


def _measure(benchmark: BenchmarkFixture, table: RouteTable, hosts: list[str]) -> None:
    lookup = table.lookup

    def look_up_all() -> int:
        found = 0
        for host in hosts:
            if lookup(host, "/orders/1234") is not None:
                found += 1
        return found

    assert benchmark(look_up_all) == len(hosts)
