"""A backend that sends bytes late that nobody has asked for; run with a port and what it sends too much of.

GET  /<token>    the token as header and body
HEAD /<token>    the token as header; likewise GET of /204/<token> and /304/<token>

A share of the responses is followed by another whole response, with the token `stale`, some milliseconds later: with
`bodies` those that have no body, as if that were it, and with `responses` those that have one.
"""

import asyncio
import random
import sys
from functools import partial
from typing import Any

import uvloop

# Of the responses of which anything may follow, and the longest time until it does, in seconds.
_SHARE = 0.1
_LONGEST_WAIT = 0.01


def _response(status: bytes, token: bytes, body: bytes | None) -> bytes:
    head = b"HTTP/1.1 " + status + b"\r\nX-Token: " + token
    if body is None:
        return head + b"\r\n\r\n"
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


_STALE = _response(b"200 OK", b"stale", b"stale")


class _Connection(asyncio.Protocol):
    def __init__(self, sends_bodies: bool) -> None:
        self._sends_bodies = sends_bodies
        self._received = b""

    # uvloop's transports are none of asyncio's classes.
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            method, target, _ = self._received[:end].split(b" ", 2)
            self._received = self._received[end + 4 :]
            self._answer(method, target)

    def _answer(self, method: bytes, target: bytes) -> None:
        kind, _, token = target[1:].rpartition(b"/")
        status = {b"204": b"204 No Content", b"304": b"304 Not Modified"}.get(kind, b"200 OK")
        has_body = status == b"200 OK" and method != b"HEAD"
        self._transport.write(_response(status, token, token if has_body else None))
        if has_body != self._sends_bodies and random.random() < _SHARE:
            asyncio.get_running_loop().call_later(random.random() * _LONGEST_WAIT, self._say_too_much)

    def _say_too_much(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_STALE)


async def _main(port: int, what: str) -> None:
    server = await asyncio.get_running_loop().create_server(
        partial(_Connection, what == "bodies"), "127.0.0.1", port, backlog=4096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), sys.argv[2]))
