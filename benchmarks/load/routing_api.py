"""What routes of the routing API cost: 100,000 in its list, then events, over HTTPS.

The control process (this one) has the fetcher, the registry and the encoder; a forked child has a RouteTable, fed
through a socket pair as a worker is. The server is a process of its own. Run it on a machine that does nothing else:

    python -m benchmarks.load.routing_api [--routes N] [--events N] [--level info]
"""

import argparse
import asyncio
import gc
import itertools
import os
import random
import socket
import ssl
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from typing import Any

import orjson
import trustme
import uvloop
from aiohttp import web

from benchmarks.load.registrations import work
from fastrouter.ipc.table_changes import BatchEncoder
from fastrouter.logs.logger import Level, LineWriter, Logger
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.routing_api.options import RoutingAPIOptions
from fastrouter.routing_api.route_fetcher import RouteFetcher

_TIMEOUT = 60.0


def routes(count: int) -> Iterator[dict[str, Any]]:
    """Routes of apps, with GUIDs that occur nowhere else."""
    chance = random.Random(1)
    for number in range(count):
        yield {
            "route": f"app-{number:06}.apps.example.com",
            "port": 61000 + number % 4000,
            "ip": f"10.{number // 50_000}.{number // 250 % 200}.{number % 250}",
            "ttl": 120,
            "log_guid": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            "modification_tag": {"guid": str(uuid.UUID(int=chance.getrandbits(128), version=4)), "index": 0},
        }


def serve(count: int, events: int, certificate: str) -> None:
    """Serve the list, and the events after it: of each route in turn a newer one. Prints the port."""
    listed = orjson.dumps(list(routes(count)))
    newer = [
        b"event: Upsert\ndata: %s\n\n"
        % orjson.dumps({**route, "ttl": 60, "modification_tag": {**route["modification_tag"], "index": 1}})
        for route in itertools.islice(routes(count), events)
    ]

    async def answer_list(_: web.Request) -> web.Response:
        return web.Response(body=listed)

    async def answer_events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for event in newer:
            await response.write(event)
        await asyncio.sleep(_TIMEOUT)
        return response

    app = web.Application()
    app.add_routes([web.get("/routing/v1/routes", answer_list), web.get("/routing/v1/events", answer_events)])
    listener = socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    print(listener.getsockname()[1], flush=True)
    web.run_app(app, sock=listener, ssl_context=context, print=None)


async def longest_turn() -> float:
    """Return the most seconds of CPU that one turn of the loop took, until it is cancelled."""
    longest = 0.0
    try:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)
    except asyncio.CancelledError:
        return longest


async def run(count: int, events: int, logger: Logger, port: int, authority: str) -> None:
    """Measure the start, then the refresh and the events behind it."""
    loop = asyncio.get_running_loop()
    # As the processes of a router do it when they have started.
    gc.collect()
    gc.freeze()
    ours, theirs = socket.socketpair()
    worker = os.fork()
    if worker == 0:
        ours.close()
        gc.set_threshold(10_000, 100, 50)
        work(theirs)
        os._exit(0)
    theirs.close()
    reader, writer = await asyncio.open_connection(sock=ours)
    encoder = BatchEncoder(writer.write, loop.call_soon)
    registry = RouteRegistry(logger, encoder.add)
    options = RoutingAPIOptions(
        url=f"https://localhost:{port}",
        ca_certs=authority,
        cert_chain="",
        private_key="",
        uaa=None,
        refresh_interval=0.0,
    )
    fetcher = RouteFetcher(options, logger, registry, until_sent=writer.drain)

    def handled() -> int:
        return sum(registry.report.registrations.values())

    watching = asyncio.create_task(longest_turn())
    started_at, cpu_at = time.perf_counter(), time.process_time()
    await fetcher.connect()
    fetched_at = time.perf_counter()
    await fetcher.start()
    async with asyncio.timeout(_TIMEOUT):
        while int.from_bytes(await reader.readexactly(4), "big") < count:
            continue
    took, cpu = time.perf_counter() - started_at, time.process_time() - cpu_at
    print(
        f"{count} routes: {fetched_at - started_at:.2f} s until they are fetched, {took:.2f} s until the worker has "
        f"them all, {cpu:.2f} s of CPU in the control process, watching included"
    )
    async with asyncio.timeout(_TIMEOUT):
        while handled() < 2 * count:  # noqa: ASYNC110  # the registry has no event for it
            await asyncio.sleep(0.001)
        print(f"the same again: {time.perf_counter() - started_at - took:.2f} s")
        watching.cancel()
        print(f"a turn of the loop took {await watching * 1e3:.1f} ms of CPU at most")
        started_at, cpu_at = time.perf_counter(), time.process_time()
        while handled() < 2 * count + events:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    took, cpu = time.perf_counter() - started_at, time.process_time() - cpu_at
    print(f"{events} events: {events / took:.0f} a second, {cpu / events * 1e6:.0f} µs of CPU each")
    await fetcher.stop()
    writer.close()
    await asyncio.to_thread(os.waitpid, worker, 0)


async def run_beside_server(options: argparse.Namespace, workdir: str, logger: Logger) -> None:
    """Measure against a server that runs as long as this."""
    authority = trustme.CA()
    certificate = f"{workdir}/server.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    statement = f"serve({options.routes}, {options.events}, {certificate!r})"
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"from benchmarks.load.routing_api import serve; {statement}",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert server.stdout is not None
    try:
        port = int(await server.stdout.readline())
        pem = authority.cert_pem.bytes().decode()
        await run(options.routes, options.events, logger, port, pem)
    finally:
        server.kill()
        await server.wait()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routes", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--level", choices=[level.name.lower() for level in Level], default="info")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as workdir, open(f"{workdir}/log", "wb") as log:
        logger = Logger("router", level=Level[options.level.upper()], writer=LineWriter(log.fileno()))
        uvloop.run(run_beside_server(options, workdir, logger))


if __name__ == "__main__":
    main()
