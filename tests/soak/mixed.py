"""Everything at once, for as long as one likes: all kinds of traffic, and whatever can go wrong around a router.

    python -m tests.soak.mixed --minutes 30 --chart docs/images/soak.svg

HTTP/1.1 and HTTP/2, in the clear and over TLS, WebSockets, requests through a route service, and the clients and apps
that misbehave of desync.py go through one router with two workers and NATS. In the first half it is reloaded, upgraded,
loses workers and NATS; in the second, which belongs to one generation, only apps, clients and routes go on failing.
Every honest client expects its own token back, always: what else it gets is an error without an explanation, unless a
worker was killed in these seconds. Memory, descriptors and objects are sampled, and may not grow in the second half,
which says something from ten minutes on: endpoints that have gone keep their idle connections for 90 s.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import websockets

from integration.generations import Generations
from integration.gorouter_process import register, unregister
from integration.issuer import Issuer
from integration.nats_server import NatsServerProcess, RawNatsClient
from integration.processes import children_of, command_of
from integration.tls_backend import Authority
from integration.tls_front import client_context, tls_keys

from .desync import BAD, GOOD, Reader, Soak, Writer, answer, read_head, read_response
from .samples import Sampler, chart, growth

SOCKETS, SERVED, FLAPPING = "ws.test", "served.test", "flapping.test"
# Seconds after a worker was killed in which losses may be noticed, and after an upgrade in which the old router drains.
_LOSSES_LAST = 5.0
_DRAINS_LAST = 30.0
# Seconds for a whole visit of a client, on a machine that may be busy.
_PATIENCE = 120.0
# Seconds between two samples, and between two acts of disturbance.
_SAMPLE_EVERY = 2.0
_DISTURB_EVERY = 8.0
_THREE = (b"x-cf-proxy-signature", b"x-cf-proxy-metadata", b"x-cf-forwarded-url")


class ConnectionOverError(Exception):
    """A connection that was kept has ended before anything of an answer came: the request is sent again, on another."""


class Mixed(Soak):
    """One run. `unexplained` is what nobody can say a reason for."""

    def __init__(self, seed: int, directory: Path) -> None:
        super().__init__(seed)
        self._directory = directory
        self._begun = time.monotonic()
        # Until when errors are explained by a killed worker, and ends of connections by a drain.
        self._lossy_until = self._drains_until = 0.0
        self._issuer = Issuer()
        self._authority = Authority()
        self._tls = client_context(self._issuer)
        self._tls2 = client_context(self._issuer, protocols=("h2",))
        self._tls_port = 0
        self._addresses: dict[str, str] = {}
        self.unexplained: list[str] = []
        self.marks: list[tuple[float, str]] = []
        self.sampler = Sampler(directory / "objects")

    async def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        objects = self._directory / "objects"
        objects.mkdir()
        os.environ["SOAK_OBJECTS"] = str(objects)
        os.environ["PYTHONPATH"] = str(Path(__file__).parent / "watched")
        async with contextlib.AsyncExitStack() as stack:
            service_port = await self._start_apps(stack)
            nats = await asyncio.to_thread(NatsServerProcess, self._directory)
            stack.callback(nats.stop)
            generations = await asyncio.to_thread(self._start_router, nats)
            stack.push_async_callback(asyncio.to_thread, generations.stop)
            self.port = generations.port
            self._tls_port = generations.wait_for("tls-listener-started")["address"]["Port"]
            publisher = asyncio.create_task(self._register_all(nats, service_port))
            await self._wait_for_routes()
            works: list[tuple[Callable[[], Awaitable[None]], int]] = [
                (lambda: self._be_patient(self._ask_once, None), 4),
                (lambda: self._be_patient(self._ask_once, self._tls), 4),
                (self._ask_by_http2, 3),
                (self._talk, 4),
                (self._visit, 2),
                (self._misbehave, 4),
                (self._ask_bad_apps, 4),
                (self._ask_flapping, 2),
            ]
            try:
                async with asyncio.TaskGroup() as group:
                    for work, count in works:
                        for _ in range(count):
                            group.create_task(self._go_on(self._explained(work), until))
                    group.create_task(self._disturb(generations, nats, until, seconds))
                    group.create_task(self._sample(generations, until))
            finally:
                publisher.cancel()
            self.unexplained += [line for line in generations.first.complaints if "worker-exited" not in line]

    def _start_router(self, nats: NatsServerProcess) -> Generations:
        keys = tls_keys(self._issuer.pair(GOOD), min_tls_version="TLSv1.2", enable_http2=True, enable_h2c=True)
        services = {"route_services_secret": "rs-secret", "ca_certs": [self._authority.pem]}
        log = {"access_log": {"file": str(self._directory / "access.log")}, "logging": {"level": "info"}}
        return Generations(
            self._directory, nats, **{**keys, **services, **log, "go_max_procs": 2, "endpoint_timeout": "10s"}
        )

    # --- apps

    async def _start_apps(self, stack: contextlib.AsyncExitStack) -> int:
        good = await asyncio.start_server(self._serve_well, "127.0.0.1", 0)
        bad = await asyncio.start_server(self._serve_badly, "127.0.0.1", 0)
        service = await asyncio.start_server(
            self._serve_as_service, "127.0.0.1", 0, ssl=self._authority.server("localhost")
        )
        sockets = await stack.enter_async_context(websockets.serve(self._echo, "127.0.0.1", 0))
        for server in (good, bad, service):
            stack.callback(server.close)
        for host, listening in ((GOOD, good), (BAD, bad), (SERVED, good), (FLAPPING, good), (SOCKETS, sockets)):
            self._addresses[host] = f"127.0.0.1:{next(iter(listening.sockets)).getsockname()[1]}"
        return int(service.sockets[0].getsockname()[1])

    async def _echo(self, socket: websockets.ServerConnection) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in socket:
                await socket.send(message)

    async def _serve_as_service(self, reader: Reader, writer: Writer) -> None:
        """A route service: it sends each request back to the router, and passes on what comes of it."""
        with contextlib.suppress(EOFError, ConnectionError, ValueError, asyncio.LimitOverrunError):
            _, fields = await read_head(reader)
            path = b"/" + fields[b"x-cf-forwarded-url"].split(b"/", 3)[3]
            back, there = await self._connect()
            with contextlib.closing(there):
                kept = b"".join(b"%s: %s\r\n" % (name, fields[name]) for name in _THREE)
                there.write(
                    b"GET %s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n" % (path, SERVED.encode(), kept)
                )
                status, token, body = await read_response(back)
            if status == 200 and token is not None:
                writer.write(answer(token, body, b"Connection: close"))
                await writer.drain()
        writer.close()

    async def _register_all(self, nats: NatsServerProcess, service_port: int) -> None:
        """Register all apps every two seconds, and have one of them come and go, as long as NATS is there."""
        client: RawNatsClient | None = None
        for turn in range(10**9):
            try:
                if client is None:
                    client = RawNatsClient(nats.port)
                for host, address in self._addresses.items() if turn % 20 == 0 else ():
                    url = f"https://localhost:{service_port}/" if host == SERVED else ""
                    register(client, address, host, app=host, route_service_url=url)
                act = (register, unregister)[turn % 2]
                act(client, self._addresses[FLAPPING], FLAPPING, app=FLAPPING)
            except (OSError, AssertionError):
                client = None
            await asyncio.sleep(0.1)

    # --- honest clients

    async def _go_on(self, work: Callable[[], Awaitable[None]], until: float) -> None:
        while time.monotonic() < until:
            await work()

    def _explained(self, work: Callable[[], Awaitable[None]]) -> Callable[[], Coroutine[Any, Any, None]]:
        """Do some work, and write down what goes wrong in it, unless a loss explains it."""

        async def explained() -> None:
            try:
                await work()
            except (
                OSError,
                EOFError,
                ValueError,
                AssertionError,
                TimeoutError,
                websockets.WebSocketException,
            ) as error:
                if time.monotonic() < self._lossy_until:
                    self.counts["errors explained by a killed worker"] += 1
                else:
                    self.unexplained.append(f"{time.monotonic() - self._begun:.1f} s: {error!r} of {work}")

        return explained

    async def _wait_for_routes(self) -> None:
        async with asyncio.timeout(_PATIENCE):
            for host in self._addresses:
                status = 404
                while status == 404:
                    reader, writer = await self._connect()
                    with contextlib.closing(writer):
                        writer.write(b"HEAD / HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
                        status = int((await reader.readuntil(b"\r\n")).split(b" ")[1])
                    await asyncio.sleep(0.05)

    async def _be_patient(self, ask: Callable[[Reader, Writer], Awaitable[None]], tls: ssl.SSLContext | None) -> None:
        """One connection with some requests, and some waiting between them."""
        name = GOOD if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._tls_port if tls else self.port, ssl=tls, server_hostname=name
        )
        with contextlib.closing(writer):
            for turn in range(self._random.randrange(1, 20)):
                try:
                    await ask(reader, writer)
                except ConnectionOverError:
                    assert turn > 0, "a new connection was closed without an answer"
                    self.counts["kept connections that were over"] += 1
                    return
                await asyncio.sleep(self._random.random() * 0.05)

    async def _ask_once(self, reader: Reader, writer: Writer, host: str = GOOD) -> None:
        token = self.token()
        try:
            writer.write(self._request(host, token))
            first = await reader.readexactly(1)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise ConnectionOverError from error
        reader._buffer[:0] = first  # type: ignore[attr-defined]
        status, told, _ = await read_response(reader)
        assert (status, told) == (200, token), f"sent {token!r} and got {status} {told!r}"
        self.counts[f"requests of {host}"] += 1

    async def _visit(self) -> None:
        """A request through the route service."""
        reader, writer = await self._connect()
        with contextlib.closing(writer):
            token = self.token()
            writer.write(b"GET /%s HTTP/1.1\r\nHost: %s\r\n\r\n" % (token, SERVED.encode()))
            status, told, _ = await read_response(reader)
            assert (status, told) == (200, token), f"through the service: sent {token!r} and got {status} {told!r}"
            self.counts["requests through the route service"] += 1

    async def _ask_flapping(self) -> None:
        """A route that comes and goes: the app's answer, or none."""
        reader, writer = await self._connect()
        with contextlib.closing(writer):
            token = self.token()
            writer.write(b"GET /%s HTTP/1.1\r\nHost: %s\r\n\r\n" % (token, FLAPPING.encode()))
            status, told, _ = await read_response(reader)
            assert (status, told) in ((200, token), (404, None)), f"of a flapping route: {status} {told!r}"
            self.counts[f"requests of a flapping route: {status}"] += 1
        await asyncio.sleep(0.02)

    async def _talk(self) -> None:
        """A WebSocket for some seconds; a drain ends it."""
        uri = f"ws://{SOCKETS}:{self.port}/"
        async with websockets.connect(uri, host="127.0.0.1", port=self.port, proxy=None) as socket:
            for _ in range(self._random.randrange(1, 60)):
                token = self.token().decode() * self._random.randrange(1, 1000)
                try:
                    await socket.send(token)
                    echoed = await socket.recv()
                except websockets.ConnectionClosed:
                    self.counts["WebSockets that a drain has ended"] += 1
                    assert time.monotonic() < self._drains_until, "a WebSocket has ended without a drain"
                    return
                assert echoed == token, "a WebSocket said something else"
                self.counts["messages by WebSockets"] += 1
                await asyncio.sleep(self._random.random() * 0.1)

    async def _ask_by_http2(self) -> None:
        """One connection of HTTP/2 with some streams at once, and again."""
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._tls_port, ssl=self._tls2, server_hostname=GOOD
        )
        engine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        engine.initiate_connection()
        with contextlib.closing(writer):
            for _ in range(self._random.randrange(1, 10)):
                sent: dict[int, bytes] = {}
                for _ in range(self._random.randrange(1, 10)):
                    token = self.token()
                    number = engine.get_next_available_stream_id()
                    body = token * self._random.choice([0, 1, 300])
                    fields = [(":method", "POST" if body else "GET"), (":scheme", "https"), (":authority", GOOD)]
                    engine.send_headers(number, [*fields, (":path", f"/{token.decode()}")], end_stream=not body)
                    if body:
                        engine.send_data(number, body, end_stream=True)
                    sent[number] = token
                writer.write(engine.data_to_send())
                if await self._read_streams(reader, writer, engine, sent):
                    self.counts["connections of HTTP/2 that a drain has ended"] += 1
                    return
                await asyncio.sleep(self._random.random() * 0.1)

    async def _read_streams(
        self, reader: Reader, writer: Writer, engine: h2.connection.H2Connection, sent: dict[int, bytes]
    ) -> bool:
        """Read until all streams are answered; returns whether the router has said that it wants no more."""
        told: dict[int, dict[str, str]] = {}
        while sent:
            data = await reader.read(65536)
            assert data, "a connection of HTTP/2 has ended without a GOAWAY"
            for event in engine.receive_data(data):
                if isinstance(event, h2.events.ConnectionTerminated):
                    assert not event.error_code, f"GOAWAY with {event.error_code}"
                    assert time.monotonic() < self._drains_until, "GOAWAY without a drain"
                    # To h2 that is the end, though streams go on.
                    return True
                if isinstance(event, h2.events.ResponseReceived):
                    told[event.stream_id] = dict(event.headers)  # type: ignore[arg-type]
                elif isinstance(event, h2.events.DataReceived):
                    engine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamReset):
                    raise AssertionError(f"stream {event.stream_id} was reset with {event.error_code}")
                elif isinstance(event, h2.events.StreamEnded):
                    fields, token = told.pop(event.stream_id), sent.pop(event.stream_id)
                    assert fields[":status"] == "200", fields
                    assert fields["x-token"] == token.decode(), f"sent {token!r} and got {fields['x-token']}"
                    self.counts["requests by HTTP/2"] += 1
            writer.write(engine.data_to_send())
        return False

    # --- what goes wrong around it

    async def _disturb(self, generations: Generations, nats: NatsServerProcess, until: float, seconds: float) -> None:
        """One act after the other. What begins new processes is done in the first half only."""
        half = until - seconds / 2
        acts = ["reload", "upgrade", "worker killed", "no NATS"]
        for turn in range(10**9):
            if (left := until - time.monotonic()) < _DISTURB_EVERY:
                return
            await asyncio.sleep(_DISTURB_EVERY)
            act = acts[turn % len(acts)] if time.monotonic() < half - _DISTURB_EVERY else "reload"
            self.marks.append((seconds - left + _DISTURB_EVERY, act))
            self.counts[f"disturbance: {act}"] += 1
            if act == "reload":
                os.kill(generations.current, signal.SIGHUP)
            elif act == "upgrade":
                self._drains_until = float("inf")
                await asyncio.to_thread(generations.upgrade)
                self._drains_until = time.monotonic() + _DRAINS_LAST
            elif act == "worker killed":
                workers = [one for one in children_of(generations.current) if "fastrouter.worker" in command_of(one)]
                self._lossy_until = time.monotonic() + _LOSSES_LAST
                os.kill(self._random.choice(workers), signal.SIGKILL)
            else:
                await asyncio.to_thread(nats.kill)
                await asyncio.sleep(_DISTURB_EVERY / 2)
                await asyncio.to_thread(nats.start)

    async def _sample(self, generations: Generations, until: float) -> None:
        while time.monotonic() < until - _SAMPLE_EVERY:
            await asyncio.to_thread(self.sampler.take, generations.current)
            await asyncio.sleep(_SAMPLE_EVERY)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--chart", type=Path, metavar="FILE", help="an SVG of what the router held")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    seconds = 60 * options.minutes
    with tempfile.TemporaryDirectory() as directory:
        soak = Mixed(options.seed, Path(directory))
        asyncio.run(soak.run(seconds))
    for name, count in sorted(soak.counts.items()):
        print(f"{count:10,}  {name}")
    is_flat = True
    for name, (third, last, flat) in growth(soak.sampler.samples, seconds).items():
        print(f"{name}: {third:,.1f} in the third quarter, {last:,.1f} in the last: {'flat' if flat else 'GROWS'}")
        is_flat = is_flat and flat
    print("objects of the data plane at the end:", dict(sorted(soak.sampler.kinds.items())))
    for line in soak.unexplained[:20]:
        print("unexplained:", line)
    print(f"{len(soak.unexplained)} errors without an explanation")
    if options.chart:
        title = f"{options.minutes:g} minutes of mixed traffic and faults"
        options.chart.write_text(chart(soak.sampler.samples, soak.marks, title))
    return int(bool(soak.unexplained) or not is_flat)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
