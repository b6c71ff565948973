"""The fixture `fastrouter`, which pytest finds by itself where fastrouter is installed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fastrouter.testing import Router


@pytest.fixture(name="fastrouter")
def fastrouter_fixture() -> "Iterator[Callable[..., Router]]":
    """Start routers in this process: `fastrouter(routes={"app.test": "127.0.0.1:9000"})`; they end with the test."""
    # Whoever tests without a router waits for none.
    from fastrouter.testing import Router  # noqa: PLC0415

    with ExitStack() as routers:

        def start(routes: Any = None, **options: Any) -> Router:
            return routers.enter_context(Router(routes, **options))

        yield start
