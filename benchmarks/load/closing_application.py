"""A backend that closes its connections at random, most of them while they are idle; run with a port as only argument.

GET  /seen       the ids of all posts so far, a line each time one came
GET  /closed     how many connections it has closed
GET  <any path>  the small body
POST /<id>       the small body, and the id is noted
"""

import asyncio
import random
import socket
import struct
import sys
from functools import partial
from typing import Any

import uvloop

from benchmarks.load.workloads import SMALL_BODY

# How many responses are the last of their connection, and how long after that it ends. Most ends fall into the time
# in which the router takes the connection out of its pool again.
_LAST_OF = 40
_LONGEST_WAIT = 0.004
_RESET = struct.pack("ii", 1, 0)


class _Record:
    """What all connections have seen and done."""

    def __init__(self) -> None:
        self.posts: list[bytes] = []
        self.closed = 0


class _Connection(asyncio.Protocol):
    def __init__(self, record: _Record) -> None:
        self._record = record
        self._received = b""

    # uvloop's transports are none of asyncio's classes.
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._received) < end + 4 + length:
                return
            self._received = self._received[end + 4 + length :]
            self._answer(*head.split(b" ", 2)[:2])

    def _answer(self, method: bytes, target: bytes) -> None:
        if target == b"/seen":
            self._write(b"\n".join(self._record.posts))
            return
        if target == b"/closed":
            self._write(b"%d" % self._record.closed)
            return
        if method == b"POST":
            self._record.posts.append(target)
        self._write(SMALL_BODY)
        if random.randrange(_LAST_OF) == 0:
            asyncio.get_running_loop().call_later(random.random() * _LONGEST_WAIT, self._close)

    def _write(self, body: bytes) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def _close(self) -> None:
        if self._transport.is_closing():
            return
        self._record.closed += 1
        if random.randrange(2):
            # A reset looks different to the router in everything but what must come of it.
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()


async def _main(port: int) -> None:
    record = _Record()
    server = await asyncio.get_running_loop().create_server(
        partial(_Connection, record), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1])))
