"""A real worker answers questions while it serves, and another takes its place (issue 16, ADR 19)."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fastrouter.control.workers import Workers
from fastrouter.ipc.inspection import InspectionClient, InspectionError
from fastrouter.ipc.messages import AccessLogOptions, BackendTLS, Begin, SharedColumns
from fastrouter.ipc.route_counters import RouteSlots, SharedRouteCounters
from fastrouter.ipc.shared_stats import SLOTS, SharedStats
from fastrouter.logs.logger import Level, Logger
from fastrouter.net.handover import CLIENTS, NamedListener
from fastrouter.registry.endpoint import NO_TAG
from fastrouter.registry.registration import Registration
from fastrouter.registry.route_registry import RouteRegistry
from kept_lines import KeptLines

from .http_message import response_with
from .raw_backend import BackendStream, ServingBackend

TIMEOUT = 30.0
BOUNDS = ((1.0,),) * 5


class Router:
    """The parts of a control process that have to do with one worker."""

    def __init__(self, address: str) -> None:
        logger = Logger(level=Level.ERROR, writer=KeptLines())
        self.shared = SharedStats(1, BOUNDS)
        self.counters = SharedRouteCounters(1)
        self.ends: asyncio.Queue[InspectionClient] = asyncio.Queue()
        self.workers = Workers(
            1,
            logger,
            on_crash_loop=lambda _: None,
            on_prune=lambda _uri, _address: None,
            on_death=lambda _: None,
            counter_block=self.counters.block_of,
        )
        self.registry = RouteRegistry(logger, self.workers.add_change, route_slots=RouteSlots())
        host, _, port = address.rpartition(":")
        self.registry.register("app.test", self.registry.new_endpoint(Registration(host=host, port=int(port)), NO_TAG))
        self.listener = socket.create_server(("127.0.0.1", 0))

    async def start(self) -> None:
        begin = Begin(
            columns=SharedColumns(1, SLOTS, 0, BOUNDS),
            counter_block=self.counters.block_of(0),
            settings={},
            backend_tls=BackendTLS(),
            front_tls=None,
            internal_tls=None,
            proxy_protocol=None,
            route_services=None,
            error_template=None,
            log_source=None,
            log_level=3,
            log_timestamps="unix-epoch",
            access_log=AccessLogOptions(),
        )
        self.workers.start(begin, [self.shared.descriptor, self.counters.descriptor], self.registry.snapshot)
        await self.workers.listen([NamedListener(CLIENTS, self.listener)])
        self.workers.offer_inspection(lambda _worker, end: self.ends.put_nowait(InspectionClient(end)))

    async def next_client(self) -> InspectionClient:
        return await asyncio.wait_for(self.ends.get(), TIMEOUT)

    async def ask(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.listener.getsockname())
        writer.write(b"GET /slow HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
        return reader, writer

    async def stop(self) -> None:
        await self.workers.stop()
        self.listener.close()
        os.close(self.shared.descriptor)
        os.close(self.counters.descriptor)


class Holding:
    """A backend that answers when it is told to."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.streams: asyncio.Queue[BackendStream] = asyncio.Queue()
        self.backend = ServingBackend(self._serve)

    def _serve(self, stream: BackendStream) -> None:
        stream.read_request()
        self.loop.call_soon_threadsafe(self.streams.put_nowait, stream)
        stream.expect_end()

    async def answer(self) -> None:
        stream = await asyncio.wait_for(self.streams.get(), TIMEOUT)
        stream.send(response_with(b"ok"))


@pytest.fixture
async def holding() -> AsyncIterator[Holding]:
    made = Holding()
    yield made
    made.backend.close()


@pytest.fixture
async def router(holding: Holding) -> AsyncIterator[Router]:
    made = Router(holding.backend.address)
    await made.start()
    yield made
    await asyncio.wait_for(made.stop(), TIMEOUT)


async def active(client: InspectionClient) -> list[Any]:
    return (await asyncio.wait_for(client.active_requests(), TIMEOUT))[0]


async def test_a_request_is_seen_while_it_lasts_and_when_it_ends(router: Router, holding: Holding) -> None:
    client = await router.next_client()
    told = await asyncio.wait_for(client.explain("GET", "http://app.test/slow"), TIMEOUT)
    assert told.chosen == [holding.backend.address]
    stream = client.tail(route="app.test")
    reader, writer = await router.ask()
    waiting = await asyncio.wait_for(holding.streams.get(), TIMEOUT)
    [request] = await active(client)
    assert (request.path, request.endpoint, request.state) == ("/slow", holding.backend.address, "sent")
    waiting.send(response_with(b"ok"))
    assert (await asyncio.wait_for(reader.read(), TIMEOUT)).endswith(b"ok")
    [finished], lost = await asyncio.wait_for(stream.next(), TIMEOUT)
    assert (finished.path, finished.status, finished.bytes_sent, lost) == ("/slow", 200, 2, 0)
    assert await active(client) == []
    writer.close()
    client.close()


async def test_an_endpoint_that_drains(router: Router, holding: Holding) -> None:
    client = await router.next_client()
    assert router.registry.held.set_draining(holding.backend.address, is_draining=True)
    await router.workers.until_applied()
    told = await asyncio.wait_for(client.explain("GET", "http://app.test/"), TIMEOUT)
    assert (told.status, told.candidates[0].verdict) == (503, "draining")
    reader, writer = await router.ask()
    assert (await asyncio.wait_for(reader.read(), TIMEOUT)).startswith(b"HTTP/1.1 503 ")
    writer.close()
    client.close()


async def test_another_admin_process_takes_over(router: Router) -> None:
    first = await router.next_client()
    router.workers.offer_inspection(lambda _worker, end: router.ends.put_nowait(InspectionClient(end)))
    second = await router.next_client()
    assert await active(second) == []
    with pytest.raises(InspectionError, match="ended"):
        await active(first)
    second.close()


async def test_another_worker_has_an_end_of_its_own(router: Router) -> None:
    first = await router.next_client()
    [state] = router.workers.states()
    assert state.pid is not None
    os.kill(state.pid, signal.SIGKILL)
    second = await router.next_client()
    with pytest.raises(InspectionError, match="the worker"):
        await active(first)
    assert await active(second) == []
    second.close()


async def test_an_end_that_is_not_read_disturbs_nobody(router: Router, holding: Holding) -> None:
    """An admin process that stands still: its tails fill what they may, and requests go on."""
    client = await router.next_client()
    stopped: asyncio.Queue[socket.socket] = asyncio.Queue()
    router.workers.offer_inspection(lambda _worker, end: stopped.put_nowait(end))
    end = await asyncio.wait_for(stopped.get(), TIMEOUT)
    end.sendall(b"\x80\x00\x00\x01\xc1")
    reader, writer = await router.ask()
    await holding.answer()
    assert (await asyncio.wait_for(reader.read(), TIMEOUT)).startswith(b"HTTP/1.1 200 ")
    writer.close()
    end.close()
    client.close()
