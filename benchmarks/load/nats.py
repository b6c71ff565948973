"""A nats-server for a measurement, and what an app says to it."""

import contextlib
import json
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.load.processes import LOAD_CORE, free_port, listening


@contextlib.contextmanager
def nats_server(workdir: Path) -> Iterator[int]:
    """Run the server of the `dev` extra on the driving core; gives its port."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("nats-server")), "-a", "127.0.0.1", "-p", str(port)]
    with listening("nats-server", command, LOAD_CORE, workdir, port):
        yield port


def register(port: int, host: str, addresses: Sequence[str]) -> None:
    """Register each of `addresses` (ip:port) for `host`, once, and wait until the server has the messages."""
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as connection, connection.makefile("rb") as replies:
        messages = [b'CONNECT {"verbose":false}\r\n']
        for address in addresses:
            ip, _, number = address.rpartition(":")
            body = json.dumps({"host": ip, "port": int(number), "uris": [host], "app": "app"}).encode()
            messages.append(b"PUB router.register %d\r\n%s\r\n" % (len(body), body))
        connection.sendall(b"".join([*messages, b"PING\r\n"]))
        while replies.readline().strip() != b"PONG":
            continue
