"""Whatever clients and backends do at random, every answer carries its own request's token (tests/soak/desync.py)."""

import asyncio

from soak.desync import Soak


def test_nobody_gets_what_was_not_for_him() -> None:
    soak = Soak(seed=12)
    asyncio.run(soak.run(10.0))
    assert soak.counts["honest requests"] > 100
    assert soak.counts["requests to bad apps"] > 100
