"""`fastrouter demo`: the router in front of small live backends, for a first look and for trying things out.

The backends are one application of three instances, each an aiohttp server on a free loopback port, all in one process
of their own.
"""

import asyncio
import json
import socket
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fastrouter import app
from fastrouter._core import Settings
from fastrouter.address import Address
from fastrouter.log import LineWriter, Logger
from fastrouter.routes import StaticEndpoint, StaticRoute
from fastrouter.workers import Child, ParentLink

if TYPE_CHECKING:
    from aiohttp import web

HOST = "demo.localhost"
APP_ID = "demo-app"
INSTANCES = 3

# Pause between two pieces of a streamed answer: long enough to see that they come one by one.
PACE = 0.3
STREAM_PIECES = 5
# Bytes of a request body that /echo takes.
MAX_ECHO_BODY = 16 * 1024 * 1024


def run(listen: Address, logger: Logger) -> bool:
    """Serve the demo on `listen` until SIGTERM or SIGINT. Returns and raises as `app.run` does."""
    if find_spec("aiohttp") is None:
        raise app.StartError("the demo's backends need aiohttp: pip install 'fastrouter[demo]'")
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(INSTANCES)]
    endpoints = tuple(
        StaticEndpoint(str(Address(*listener.getsockname())), instance_id=f"{APP_ID}-{index}", index=str(index))
        for index, listener in enumerate(listeners)
    )
    options = app.RouterOptions(
        listen=listen,
        routes=[StaticRoute(HOST, endpoints, app_id=APP_ID)],
        workers=app.usable_cpus(),
        settings=Settings(),
    )
    backends = Child("demo-backends", partial(_run_backends, listeners))
    return app.run(options, logger, companions=[backends], on_started=_welcome)


def _welcome(address: Address) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(address.host, address.host)
    url = f"http://{Address(host, address.port)}"
    welcome = f"""
fastrouter listens on {address} and routes http://{HOST} to {INSTANCES} instances.
Try, in another terminal:

  curl -H 'Host: {HOST}' {url}/
  curl -H 'Host: {HOST}' {url}/echo -d 'hello'
  curl -N -H 'Host: {HOST}' {url}/stream

There are also /events (Server-Sent Events) and /ws (a WebSocket that echoes). Ctrl-C stops everything.

"""
    # As a log line is: a terminal that is gone must not end the demo halfway.
    LineWriter().write(welcome.encode())


def _run_backends(listeners: Sequence[socket.socket], link: ParentLink) -> None:
    asyncio.run(_serve_backends(listeners, link))


async def _serve_backends(listeners: Sequence[socket.socket], link: ParentLink) -> None:
    from aiohttp import web  # noqa: PLC0415 in the backends' own process only: the router starts without it

    runners = []
    for index, listener in enumerate(listeners):
        # An endless /events must not hold up the end.
        runner = web.AppRunner(_instance(index), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        runners.append(runner)
    link.announce_ready()
    await link.wait_for_stop()
    await asyncio.gather(*(runner.cleanup() for runner in runners))


def _instance(index: int) -> "web.Application":
    from aiohttp import WSMsgType, web  # noqa: PLC0415

    async def greet(_: web.Request) -> web.Response:
        return web.Response(text=f"Hello from instance {index} of {APP_ID}.\n")

    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        return web.json_response(
            {
                "instance": index,
                "method": request.method,
                "target": request.raw_path,
                "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers],
                "body": body.decode(errors="replace"),
            },
            # A terminal wants the newline.
            dumps=lambda echoed: json.dumps(echoed) + "\n",
        )

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in range(1, STREAM_PIECES + 1):
            await response.write(f"piece {piece} of {STREAM_PIECES} from instance {index}\n".encode())
            await asyncio.sleep(PACE)
        return response

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        number = 0
        while True:
            number += 1
            await response.write(f"id: {number}\nevent: tick\ndata: instance {index}\n\n".encode())
            await asyncio.sleep(PACE)

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    application = web.Application(client_max_size=MAX_ECHO_BODY)
    application.router.add_get("/", greet)
    application.router.add_route("*", "/echo", echo)
    application.router.add_get("/stream", stream)
    application.router.add_get("/events", events)
    application.router.add_get("/ws", websocket)
    return application
