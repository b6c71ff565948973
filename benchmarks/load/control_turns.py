"""How long the control process holds its event loop at 100,000 routes, for each kind of work that grows with them.

    python -m benchmarks.load.control_turns

Prints for each kind how long it took, and the longest time between two turns of the loop meanwhile; at last, what 50
readers of `/routes` that take nothing cost in memory.
"""

import asyncio
import gc
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import orjson
import uvloop

from fastrouter.bus.connection import NatsConnection
from fastrouter.bus.subscriber import Subscriber
from fastrouter.ipc.shared_stats import SharedStats
from fastrouter.ipc.table_changes import BatchEncoder
from fastrouter.logs.logger import Level, LineWriter, Logger
from fastrouter.observe.histogram import DEFAULT_BOUNDS, Histogram
from fastrouter.observe.metrics import Metrics
from fastrouter.observe.monitor import Monitor
from fastrouter.observe.process_usage import UsageMeter
from fastrouter.observe.status_pages import Credentials, routes_handler
from fastrouter.observe.status_server import StatusServer
from fastrouter.process.slices import in_slices
from fastrouter.registry.registration import MAX_REGISTRATION
from fastrouter.registry.static_registry import StaticRouteRegistry
from fastrouter.registry.static_routes import StaticEndpoint, StaticRoute

_ROUTES = 100_000
_URIS = 110_000
_READERS = 50
_THRESHOLD = 120.0


class Turns:
    """The longest time between two turns of the loop, by the clock and in CPU of the loop's thread.

    Where other processes want the same cores, the former is mostly theirs.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._begin()
        self._turn()

    def _begin(self) -> None:
        self._last_at, self._last_cpu = time.perf_counter(), time.thread_time()
        self._longest = self._longest_cpu = 0.0

    def _turn(self) -> None:
        self._look()
        self._loop.call_soon(self._turn)

    def _look(self) -> None:
        now, cpu = time.perf_counter(), time.thread_time()
        self._longest = max(self._longest, now - self._last_at)
        self._longest_cpu = max(self._longest_cpu, cpu - self._last_cpu)
        self._last_at, self._last_cpu = now, cpu

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Print how long the block took, and its longest turn."""
        self._begin()
        began_at = time.perf_counter()
        yield
        took = time.perf_counter() - began_at
        self._look()
        print(
            f"{what:50} {took * 1e3:6.0f} ms, longest turn {self._longest * 1e3:5.1f} ms, "
            f"{self._longest_cpu * 1e3:5.1f} ms of CPU",
            flush=True,
        )


class Control:
    """What of a control process grows with its routes; `now` is the registry's clock."""

    def __init__(self) -> None:
        self.now = 0.0
        logger = Logger("router", writer=LineWriter(os.open(os.devnull, os.O_WRONLY)), level=Level.INFO)
        encoder = BatchEncoder(lambda _: None, asyncio.get_running_loop().call_soon)
        latency = Histogram(DEFAULT_BOUNDS.route_registration_latency)
        self.registry = StaticRouteRegistry(
            logger,
            encoder.add,
            stale_threshold=_THRESHOLD,
            is_observing_apps=True,
            is_observing_routes=True,
            observe_latency=latency.observe,
            clock=lambda: self.now,
        )
        connection = NatsConnection(logger, [], on_closed=lambda: None)
        self.subscriber = Subscriber(logger, connection, self.registry, b"", encoder.flush)
        shared = SharedStats(1, DEFAULT_BOUNDS.of_workers())
        monitor = Monitor(lambda: (), lambda: (0, 0))
        self.metrics = Metrics(shared.stats, self.registry, latency, monitor, list)

    async def receive(self, *payloads: bytes, subject: str = "router.register") -> None:
        """Have the subscriber handle these messages, in pieces as they come from the network."""
        for number, payload in enumerate(payloads):
            self.subscriber._receive(subject, payload)
            if number % 100 == 0:
                self.subscriber._work_at_once()
                await asyncio.sleep(0)
        self.subscriber._work_at_once()
        while self.subscriber.pending_messages:  # noqa: ASYNC110  # the subscriber has no event for it
            await asyncio.sleep(0)


def _message(number: int) -> bytes:
    return orjson.dumps(
        {
            "host": "10.0.0.1",
            "port": 1 + number % 60_000,
            "uris": [f"app-{number}.example.com"],
            "app": f"5f6a0d44-0f2c-4c70-b0b2-{number:012x}",
            "tags": {"component": "route-emitter", "source_id": str(number)},
        }
    )


async def run() -> None:
    """Measure everything, one after the other."""
    control = Control()
    registry = control.registry
    turns = Turns()
    uris = [f"{number:05x}.a" for number in range(_URIS)]
    messages = [_message(number) for number in range(_ROUTES)]
    static = [StaticRoute(f"s{number}.test", (StaticEndpoint("10.0.0.8:80"),)) for number in range(_ROUTES)]
    # As the control process does when it has started.
    gc.collect()
    gc.freeze()
    with turns.during(f"{_ROUTES} registrations"):
        await control.receive(*messages)
    uris = uris[: MAX_REGISTRATION // 10 - 20]
    many = orjson.dumps({"host": "10.0.0.9", "port": 1, "uris": uris})
    with turns.during(f"one message of {len(uris)} URIs"):
        await control.receive(many)
    with turns.during("the same to unregister them"):
        await control.receive(many, subject="router.unregister")
    with turns.during("prune pass without anything stale"):
        await in_slices(registry.prune())
    with turns.during(f"{_ROUTES} static routes"):
        await registry.replace_static(static)
    with turns.during("none of them any more"):
        await registry.replace_static([])
    with turns.during("app ids of all endpoints"):
        await in_slices(registry.app_ids(range(_ROUTES)))
    with turns.during("count of endpoints"):
        registry.count_endpoints()
    with turns.during("/metrics"):
        await in_slices(control.metrics.render())
    await _read_routes(registry, turns)
    control.now += 2 * _THRESHOLD
    with turns.during(f"prune pass with {_ROUTES} stale routes"):
        await in_slices(registry.prune())
    control.subscriber.stop()


async def _read_routes(registry: StaticRouteRegistry, turns: Turns) -> None:
    server = StatusServer(routes_handler(Credentials("u", "p"), registry.routes_json), "127.0.0.1", 0)
    await server.start()
    request = b"GET /routes HTTP/1.1\r\nHost: x\r\nAuthorization: Basic dTpw\r\n\r\n"
    with turns.during("/routes over a connection"):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request)
        size = 0
        while data := await reader.read(1 << 20):
            size += len(data)
        writer.close()
    before = _resident_kib()
    slow = []
    with turns.during(f"{_READERS} readers that take nothing, for 2 s"):
        for _ in range(_READERS):
            client = socket.create_connection(("127.0.0.1", server.port))
            client.sendall(request)
            slow.append(client)
        await asyncio.sleep(2.0)
    print(f"/routes is {size / 1e6:.0f} MB; they cost {(_resident_kib() - before) / 1024:.1f} MB in the process")
    for client in slow:
        client.close()
    await server.stop()


def _resident_kib() -> int:
    return UsageMeter().look([os.getpid()]).resident_kib


if __name__ == "__main__":
    uvloop.run(run())
