"""Clients and backends that misbehave at random, and others beside them: every answer carries its own request's token.

    python -m tests.soak.desync --minutes 10 --seed 1

Three kinds of traffic go through one router with two workers. Honest clients of an honest app expect their own token
back, always. Bad clients of the same app send whatever a client can get wrong; of what they are answered, each token
must be one that they have sent on that very connection, in order. Honest clients of bad apps may be answered with 502,
or not at all; but a token that they are told is theirs. A bad app sends what nobody has asked for only together with an
answer, so that it never comes when the next request is on its way (which is HTTP/1.1's own race).
"""

import argparse
import asyncio
import contextlib
import itertools
import random
import re
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from integration.router_process import RouterProcess

GOOD = "good.test"
BAD = "bad.test"
HONEST_CLIENTS = 6
BAD_CLIENTS = 6
CLIENTS_OF_BAD_APPS = 6

# Seconds after which somebody who waits gives up.
_PATIENCE = 20.0
_TOKEN = re.compile(rb"X-Token: (\w+)")
_SENT_TOKEN = re.compile(rb"/(t\w+)")
_ABORT = struct.pack("ii", 1, 0)

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class DesyncError(AssertionError):
    """Somebody got what was not for him; the text tells who and what."""


class Soak:
    """One run: what was sent, and what went wrong."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self.counts: Counter[str] = Counter()
        self.port = 0

    def token(self) -> bytes:
        return b"t%d" % next(self._numbers)

    async def run(self, seconds: float) -> None:
        """Have everybody at it for so long. Raises DesyncError."""
        until = time.monotonic() + seconds
        good = await asyncio.start_server(self._serve_well, "127.0.0.1", 0)
        bad = await asyncio.start_server(self._serve_badly, "127.0.0.1", 0)
        routes = {
            host: [f"127.0.0.1:{server.sockets[0].getsockname()[1]}"] for host, server in ((GOOD, good), (BAD, bad))
        }
        with tempfile.TemporaryDirectory() as directory:
            options = {"workers": 2}
            router = await asyncio.to_thread(
                lambda: RouterProcess(routes, Path(directory) / "access.log", options=options)
            )
            self.port = router.port
            try:
                async with asyncio.TaskGroup() as group:
                    for work, count in (
                        (self._be_honest, HONEST_CLIENTS),
                        (self._misbehave, BAD_CLIENTS),
                        (self._ask_bad_apps, CLIENTS_OF_BAD_APPS),
                    ):
                        for _ in range(count):
                            group.create_task(self._repeat(work, until))
                router.check()
            finally:
                await asyncio.to_thread(router.stop)
                for server in (good, bad):
                    server.close()

    async def _repeat(self, work: Callable[[], Awaitable[None]], until: float) -> None:
        while time.monotonic() < until:
            async with asyncio.timeout(_PATIENCE):
                await work()

    async def _connect(self) -> tuple[Reader, Writer]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    # --- honest clients

    def _request(self, host: str, token: bytes) -> bytes:
        start = b"/%s HTTP/1.1\r\nHost: %s\r\n" % (token, host.encode())
        kind = self._random.randrange(4)
        if kind == 0:
            return b"POST " + start + b"Content-Length: %d\r\n\r\n%s" % (len(token), token)
        if kind == 1:
            return b"POST " + start + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(token), token)
        return b"GET " + start + b"\r\n"

    async def _be_honest(self) -> None:
        reader, writer = await self._connect()
        with contextlib.closing(writer):
            for _ in range(self._random.randrange(1, 20)):
                token = self.token()
                writer.write(self._request(GOOD, token))
                status, told, body = await read_response(reader)
                self.counts["honest requests"] += 1
                if (status, told, body) != (200, token, token):
                    raise DesyncError(
                        f"an honest client of an honest app sent {token!r} and got {status} {told!r} {body!r}"
                    )

    async def _ask_bad_apps(self) -> None:
        reader, writer = await self._connect()
        with contextlib.closing(writer):
            for _ in range(self._random.randrange(1, 10)):
                token = self.token()
                writer.write(self._request(BAD, token))
                self.counts["requests to bad apps"] += 1
                try:
                    status, told, _ = await read_response(reader)
                except (EOFError, ConnectionError, ValueError):
                    self.counts["answers of bad apps that broke off"] += 1
                    return
                self.counts[f"answers of bad apps: {status}"] += 1
                if told is not None and told != token:
                    raise DesyncError(f"a client of a bad app sent {token!r} and got {status} {told!r}")
                if status not in (200, 204, 304, 502):
                    raise DesyncError(f"a client of a bad app sent {token!r} and got {status}")

    # --- bad clients

    async def _misbehave(self) -> None:
        kind = self._random.choice(list(_OF_CLIENTS))
        count = self._random.randrange(1, 4)
        tokens = [self.token() for _ in range(count)]
        message = b"".join(self._request(GOOD, token) for token in tokens[:-1])
        message += _OF_CLIENTS[kind](tokens[-1])
        self.counts[f"bad client: {kind}"] += 1
        reader, writer = await self._connect()
        sent = [*tokens, *_SENT_TOKEN.findall(message)]
        try:
            for piece in self._cut(message):
                writer.write(piece)
                await asyncio.sleep(0)
            end = self._random.randrange(3)
            if end == 0:
                writer.write_eof()
            elif end == 1:
                writer.get_extra_info("socket").setsockopt(1, 13, _ABORT)
                return
            got = b""
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    while data := await reader.read(65536):
                        got += data
            told = _TOKEN.findall(got)
            if not is_subsequence(told, sent):
                raise DesyncError(f"a client that misbehaves ({kind}) sent {sent!r} and got {told!r}")
        except ConnectionError:
            pass
        finally:
            writer.close()

    def _cut(self, message: bytes) -> list[bytes]:
        cuts = sorted(self._random.randrange(len(message) + 1) for _ in range(self._random.randrange(3)))
        return [message[start:stop] for start, stop in itertools.pairwise([0, *cuts, len(message)])]

    # --- apps

    async def _serve_well(self, reader: Reader, writer: Writer) -> None:
        with contextlib.suppress(EOFError, ConnectionError, ValueError, asyncio.LimitOverrunError):
            while True:
                token, body = await read_request(reader)
                writer.write(answer(token, body or token))
        writer.close()

    async def _serve_badly(self, reader: Reader, writer: Writer) -> None:
        with contextlib.suppress(EOFError, ConnectionError, ValueError, asyncio.LimitOverrunError):
            while True:
                token, _ = await read_request(reader)
                kind = self._random.choice(list(_OF_APPS))
                self.counts[f"bad app: {kind}"] += 1
                said, is_last = _OF_APPS[kind](token)
                writer.write(said)
                await writer.drain()
                if is_last:
                    if self._random.random() < 0.5:
                        writer.get_extra_info("socket").setsockopt(1, 13, _ABORT)
                    break
        writer.close()


def answer(token: bytes, body: bytes, *lines: bytes) -> bytes:
    head = [b"HTTP/1.1 200 OK", b"X-Token: " + token, b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def chunked(token: bytes, *trailers: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nX-Token: " + token + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%s\r\n0\r\n" % (len(token), token) + b"".join(line + b"\r\n" for line in trailers) + b"\r\n"


_STALE = answer(b"STALE", b"stale")

# By name: what an app says to a request, and whether it goes then.
_OF_APPS: dict[str, Callable[[bytes], tuple[bytes, bool]]] = {
    "well": lambda token: (answer(token, token), False),
    "interim and close": lambda token: (
        b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n" + answer(token, token),
        False,
    ),
    "many interim": lambda token: (b"HTTP/1.1 102 Processing\r\n\r\n" * 70 + answer(token, token), False),
    "proxy-connection": lambda token: (answer(token, token, b"Proxy-Connection: close"), False),
    "connection: close, and stays": lambda token: (answer(token, token, b"Connection: close"), False),
    "trailer with close": lambda token: (chunked(token, b"Connection: close"), False),
    "trailer with proxy-connection": lambda token: (chunked(token, b"Proxy-Connection: close", b"A: b"), False),
    "an answer too many": lambda token: (answer(token, token) + _STALE, False),
    "bytes too many": lambda token: (answer(token, token) + b"x", False),
    "blank lines behind": lambda token: (answer(token, token) + b"\r\n\r\n", False),
    "no content, with content": lambda token: (
        b"HTTP/1.1 204 No Content\r\nX-Token: " + token + b"\r\n\r\nstale",
        False,
    ),
    "not modified, with content": lambda token: (
        b"HTTP/1.1 304 Not Modified\r\nX-Token: " + token + b"\r\nContent-Length: 5\r\n\r\nstale",
        False,
    ),
    "upgrade unasked": lambda _: (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        True,
    ),
    "short": lambda token: (answer(token, token + b"more")[:-4], True),
    "no end of chunks": lambda token: (chunked(token)[:-5], True),
    "broken chunks": lambda token: (chunked(token)[:-5] + b"zz\r\n", True),
    "half a head": lambda _: (b"HTTP/1.1 200 OK\r\nX-Tok", True),
    "nothing": lambda _: (b"", True),
    "garbage": lambda _: (b"\x00\xff garbage\r\n\r\n", True),
    "two lengths": lambda token: (answer(token, token, b"Content-Length: 1"), False),
    "folded": lambda token: (answer(token, token).replace(b": ", b":\r\n "), False),
    "blanks before colons": lambda token: (answer(token, token, b"A: b").replace(b": ", b" : "), False),
    "the same length twice": lambda token: (answer(token, token, b"Content-Length: %d" % len(token)) + _STALE, False),
    "a length beside chunks": lambda token: (
        chunked(token).replace(b"Transfer", b"Content-Length: 3\r\nTransfer") + _STALE,
        False,
    ),
    "blanks behind sizes": lambda token: (chunked(token).replace(b"\r\n0\r\n", b"\r\n0 \t\r\n"), False),
    "half-closed": lambda token: (answer(token, token), True),
    "bare line feeds": lambda token: (answer(token, token).replace(b"\r\n", b"\n"), False),
    "until close": lambda token: (b"HTTP/1.1 200 OK\r\nX-Token: " + token + b"\r\n\r\n" + token, True),
    "version 1.0": lambda token: (answer(token, token).replace(b"HTTP/1.1", b"HTTP/1.0"), False),
}


def _get(token: bytes, *lines: bytes) -> bytes:
    return b"GET /%s HTTP/1.1\r\nHost: %s\r\n" % (token, GOOD.encode()) + b"".join(f + b"\r\n" for f in lines) + b"\r\n"


def _post(token: bytes, rest: bytes, *lines: bytes) -> bytes:
    return _get(token, *lines).replace(b"GET", b"POST", 1) + rest


# By name: the last thing that a client sends.
_OF_CLIENTS: dict[str, Callable[[bytes], bytes]] = {
    "proxy-connection": lambda token: _get(token, b"Proxy-Connection: close"),
    "connection: close": lambda token: _get(token, b"Connection: close") + _get(b"never"),
    "close in a trailer": lambda token: _post(
        token, b"1\r\nx\r\n0\r\nConnection: close\r\n\r\n", b"Transfer-Encoding: chunked"
    ),
    "version 1.0": lambda token: _get(token).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "version 1.0, kept": lambda token: _get(token, b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "half a body": lambda token: _post(token, b"half", b"Content-Length: 100"),
    "half a chunk": lambda token: _post(token, b"64\r\nhalf", b"Transfer-Encoding: chunked"),
    "broken chunks": lambda token: _post(token, b"zz\r\n", b"Transfer-Encoding: chunked"),
    "chunk extensions": lambda token: _post(
        token, (b"1;" + b"e" * 2000 + b"\r\nx\r\n") * 20, b"Transfer-Encoding: chunked"
    ),
    "both lengths": lambda token: _post(token, b"0\r\n\r\n", b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "expects, and does not wait": lambda token: _post(token, b"abcde", b"Content-Length: 5", b"Expect: 100-continue"),
    "expects, and sends nothing": lambda token: _post(token, b"", b"Content-Length: 5", b"Expect: 100-continue"),
    "upgrade": lambda token: _get(token, b"Connection: upgrade", b"Upgrade: websocket"),
    "bare line feeds": lambda token: _get(token, b"A: b \nB: c").replace(b"\r\n", b"\n"),
    "garbage behind": lambda token: _get(token) + b"\x16\x03\x01garbage",
    "half a head": lambda token: _get(token)[:-7],
    "blank lines": lambda token: b"\r\n\r\n" + _get(token) + b"\r\n",
    "no host": lambda token: b"GET /%s HTTP/1.1\r\n\r\n" % token,
    "unknown host": lambda token: _get(token).replace(GOOD.encode(), b"no.test"),
    "head": lambda token: _get(token).replace(b"GET", b"HEAD", 1),
}


def is_subsequence(part: list[bytes], whole: list[bytes]) -> bool:
    rest = iter(whole)
    return all(each in rest for each in part)


async def read_head(reader: Reader) -> tuple[bytes, dict[bytes, bytes]]:
    head = await reader.readuntil(b"\r\n\r\n")
    start, *lines = head[:-4].split(b"\r\n")
    return start, {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}


async def read_body(reader: Reader, fields: dict[bytes, bytes], *, until_end: bool) -> bytes:
    if b"transfer-encoding" in fields:
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return body
    if b"content-length" in fields:
        return await reader.readexactly(int(fields[b"content-length"]))
    return await reader.read() if until_end else b""


async def read_request(reader: Reader) -> tuple[bytes, bytes]:
    """The token and the body of the next request. Raises EOFError and ValueError."""
    start, fields = await read_head(reader)
    return start.split(b" ")[1].removeprefix(b"/"), await read_body(reader, fields, until_end=False)


async def read_response(reader: Reader) -> tuple[int, bytes | None, bytes]:
    """Status, token and body of the next response that is no interim one. Raises EOFError and ValueError."""
    while True:
        start, fields = await read_head(reader)
        status = int(start.split(b" ")[1])
        if status >= 200:
            break
    has_body = status not in (204, 304)
    return status, fields.get(b"x-token"), await read_body(reader, fields, until_end=True) if has_body else b""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    soak = Soak(options.seed)
    asyncio.run(soak.run(60 * options.minutes))
    for name, count in sorted(soak.counts.items()):
        print(f"{count:10,}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
