"""The apps of `fastrouter demo`, in a process of their own: `python -m fastrouter.demo.apps CHANNEL`.

One application of three instances, each an aiohttp server on a free loopback port, and the NATS server where they
register as real apps do: at once when a router starts, and then again and again. CHANNEL is the number of an inherited
socket: the port of the NATS server is written to it, a line that comes is the URL of the dashboard, and its end is the
order to stop.
"""

import asyncio
import html
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import nats
import orjson
from aiohttp import WSMsgType, web
from nats.aio.client import Client

from fastrouter.process.parent_death import end_with_parent
from fastrouter.process.signals import IGNORED_BY_WORKERS

HOST = "demo.localhost"
# Hosts under which a browser gets a page about the demo instead of an app.
PAGE_HOSTS = ("127.0.0.1", "localhost")
APP_ID = "demo-app"
INSTANCES = 3

# Seconds between two registrations, as real apps have it.
REGISTER_INTERVAL = 20.0
# Seconds that the NATS server has to come up.
NATS_PATIENCE = 10.0

# Pause between two pieces of a streamed response: long enough to see that they come one by one.
PACE = 0.3
STREAM_PIECES = 5
# Bytes of a request body that /echo takes.
MAX_ECHO_BODY = 16 * 1024 * 1024


# Without a port in its address a browser is at port 80.
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>fastrouter demo</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }}
pre {{ background: #8882; padding: .7rem 1rem; overflow-x: auto }}
</style>
<h1>This is fastrouter</h1>
<p>An HTTP router that takes Gorouter's place in Cloud Foundry. It finds the app that a request is for by its host and
path, and passes it on to one of the app's instances. This page came from instance {index}: reload it, and it comes from
another of {count}.</p>
<h2>Try</h2>
<ul>
<li><a href="http://{host}:{port}/">{host}</a>: which instance responds?</li>
<li><a href="/echo">/echo</a>: the request as the app gets it, with what the router adds</li>
<li><a href="/stream">/stream</a>: a response in pieces</li>
<li><a href="/broken">/broken</a>: an error of the app</li>
<li><a href="/events">/events</a>: Server-Sent Events; /ws is a WebSocket that echoes</li>
<li><a href="http://nowhere.localhost:{port}/">nowhere.localhost</a>: a host that nobody has registered</li>
</ul>
<pre>curl -H 'Host: {host}' http://{origin}/
curl -H 'Host: {host}' http://{origin}/echo -d 'hello'
curl -N -H 'Host: {host}' http://{origin}/stream</pre>
<h2>Watch</h2>
<p>{watch}
<button id="traffic">Live traffic</button> <output></output></p>
<p>An app of your own registers over NATS: the terminal where this runs says where, and the README how.</p>
<script>
// Six clients, each of whom asks a few times a second; one of fifty requests meets an error.
const button = document.getElementById("traffic");
const output = document.querySelector("output");
let isOn = false, sent = 0;
async function client() {{
  while (isOn) {{
    try {{ await fetch(Math.random() < 0.02 ? "/broken" : Math.random() < 0.5 ? "/echo" : "/"); }} catch {{ break; }}
    output.textContent = `${{++sent}} requests`;
    await new Promise((go) => setTimeout(go, 400 * Math.random()));
  }}
}}
button.onclick = () => {{
  isOn = !isOn;
  button.textContent = isOn ? "Stop the traffic" : "Live traffic";
  for (let i = 0; isOn && i < 6; i++) client();
}};
</script>
</html>
"""
WATCHED = (
    'See what the router does in its <a href="{dashboard}" rel="noopener">dashboard</a>, and give it something to show:'
)
UNWATCHED = "The terminal where this runs says where the dashboard is, if there is one. Give it something to show:"


class NatsServer:
    """A real nats-server on a free loopback port, as a child that cannot outlive this process."""

    def __init__(self, binary: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="fastrouter-demo-")
        self._process = subprocess.Popen(
            # Port -1: any free one, which the server writes to a file.
            [binary, "--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir", self._directory.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Ctrl-C must not end it before the router has closed its connection.
            process_group=0,
            preexec_fn=end_with_parent,  # noqa: PLW1509 there is one thread
        )

    async def wait_for_port(self) -> int:
        """Return the port when clients can connect. Raises TimeoutError."""
        ports = Path(self._directory.name) / f"nats-server_{self._process.pid}.ports"
        async with asyncio.timeout(NATS_PATIENCE):
            while True:
                try:
                    (url,) = orjson.loads(ports.read_bytes())["nats"]
                except (OSError, ValueError):
                    await asyncio.sleep(0.01)
                else:
                    return int(url.rpartition(":")[2])

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
        self._directory.cleanup()


async def register(client: Client, is_asked: asyncio.Event, listeners: Sequence[socket.socket]) -> None:
    """Register all instances over NATS: now, when `is_asked` says so, and every REGISTER_INTERVAL."""
    while True:
        is_asked.clear()
        for index, listener in enumerate(listeners):
            host, instance_port = listener.getsockname()
            registration = {
                "host": host,
                "port": instance_port,
                "uris": [HOST, *PAGE_HOSTS],
                "app": APP_ID,
                "private_instance_id": f"{APP_ID}-{index}",
                "private_instance_index": str(index),
            }
            await client.publish("router.register", orjson.dumps(registration))
        try:
            async with asyncio.timeout(REGISTER_INTERVAL):
                await is_asked.wait()
        except TimeoutError:
            continue


async def serve(channel: socket.socket, nats_server: NatsServer) -> None:
    """Serve until the channel ends."""
    channel.setblocking(False)
    loop = asyncio.get_running_loop()
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(INSTANCES)]
    runners = []
    links = Links()
    for index, listener in enumerate(listeners):
        # An endless /events must not delay the end.
        runner = web.AppRunner(_instance(index, links), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        runners.append(runner)
    port = await nats_server.wait_for_port()
    is_asked = asyncio.Event()

    async def on_start(_: object) -> None:
        is_asked.set()

    client = await nats.connect(f"nats://127.0.0.1:{port}", max_reconnect_attempts=-1)
    await client.subscribe("router.start", cb=on_start)
    # The subscription is in effect: a router that starts from now on gets an answer.
    await client.flush()
    registering = asyncio.create_task(register(client, is_asked, listeners))
    await loop.sock_sendall(channel, b"%d\n" % port)
    reader, writer = await asyncio.open_connection(sock=channel)
    while line := await reader.readline():
        # The router tells where its dashboard is when it has started.
        links.watch = WATCHED.format(dashboard=html.escape(line.decode().strip()))
    writer.close()
    registering.cancel()
    await asyncio.gather(*(runner.cleanup() for runner in runners))


@web.middleware
async def without_traceback(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Respond to a request without a traceback when the client leaves in the middle of it."""
    try:
        return await handler(request)
    except (ConnectionError, web.RequestPayloadError):
        # It is sent to nobody, but aiohttp needs a response.
        return web.Response()


class Links:
    """What the page says of the dashboard, as HTML."""

    def __init__(self) -> None:
        self.watch = UNWATCHED


def _instance(index: int, links: Links) -> web.Application:
    async def greet(request: web.Request) -> web.Response:
        name, _, port = request.host.partition(":")
        if name in PAGE_HOSTS:
            page = PAGE.format(
                host=HOST, origin=request.host, port=port or "80", index=index, count=INSTANCES, watch=links.watch
            )
            return web.Response(text=page, content_type="text/html")
        return web.Response(text=f"Hello from instance {index} of {APP_ID}.\n")

    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        echoed = orjson.dumps(
            {
                "instance": index,
                "method": request.method,
                "target": request.raw_path,
                "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers],
                "body": body.decode(errors="replace"),
            },
            # For terminals.
            option=orjson.OPT_APPEND_NEWLINE,
        )
        return web.Response(body=echoed, content_type="application/json", charset="utf-8")

    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=500, text=f"Instance {index} was asked to fail.\n")

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

    application = web.Application(client_max_size=MAX_ECHO_BODY, middlewares=[without_traceback])
    application.router.add_get("/", greet)
    application.router.add_route("*", "/echo", echo)
    application.router.add_route("*", "/broken", fail)
    application.router.add_get("/stream", stream)
    application.router.add_get("/events", events)
    application.router.add_get("/ws", websocket)
    return application


def main(channel: socket.socket, binary: str) -> None:
    """Start the NATS server, serve, and end it."""
    nats_server = NatsServer(binary)
    try:
        asyncio.run(serve(channel, nats_server))
    finally:
        nats_server.stop()


if __name__ == "__main__":
    # Ctrl-C reaches the whole process group; the control process decides what it means.
    for number in IGNORED_BY_WORKERS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_BY_WORKERS)
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
