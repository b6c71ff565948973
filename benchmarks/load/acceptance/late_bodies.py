"""Backends that send late what nobody has asked for: a body behind HEAD, 204 and 304, or a second response."""

import asyncio
import itertools
import random
from collections import Counter
from pathlib import Path

from benchmarks.load.acceptance.subject import Check, proxy_under_test
from benchmarks.load.backends import application_backend
from benchmarks.load.workloads import HOST

_ANSWERS = 10_000
_CLIENTS = 8
# What is asked for, half of it without a body.
_KINDS = ("GET /{}", "GET /{}", "GET /{}", "HEAD /{}", "GET /204/{}", "GET /304/{}")
# A client waits so long between two requests at most, in seconds: connections to the backend are idle now and then.
_LONGEST_PAUSE = 0.004
# Seconds until a client gives up.
_PATIENCE = 5.0
# The bar, of the answers until the backend is caught; none afterwards.
_MOST_AT_FIRST = 5


def run(proxy_name: str, workdir: Path) -> list[Check]:
    checks = []
    for what in ("bodies", "responses"):
        directory = workdir / what
        directory.mkdir()
        with (
            application_backend(directory, f"late-{what}", "late_application", what) as (backend, _),
            proxy_under_test(proxy_name, directory, [backend]) as proxy,
        ):
            for when, most in (("at first", _MOST_AT_FIRST), ("afterwards", 0)):
                outcomes = asyncio.run(_ask(proxy.port))
                poisoned = outcomes["of another"] + outcomes["broken"]
                checks.append(
                    Check(
                        f"answers poisoned by late {what} {when}",
                        f"{poisoned} of {outcomes.total()} ({outcomes['broken']} of them no answers)",
                        f"{most} of {_ANSWERS} at most",
                        poisoned <= most and outcomes.total() >= _ANSWERS,
                    )
                )
    return checks


async def _ask(port: int) -> Counter[str]:
    """Have clients ask until there are enough answers, and count what they are."""
    outcomes: Counter[str] = Counter()
    numbers = itertools.count()

    async def be_client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (number := next(numbers)) < _ANSWERS:
            token = f"t{number}"
            request = random.choice(_KINDS).format(token)
            writer.write(f"{request} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            try:
                async with asyncio.timeout(_PATIENCE):
                    told = await _read_token(reader, is_head=request.startswith("HEAD"))
                outcomes["right" if told == token else "broken" if told is None else "of another"] += 1
            except (EOFError, ConnectionError, TimeoutError):
                outcomes["broken"] += 1
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(random.random() * _LONGEST_PAUSE)
        writer.close()

    async with asyncio.TaskGroup() as clients:
        for _ in range(_CLIENTS):
            clients.create_task(be_client())
    return outcomes


async def _read_token(reader: asyncio.StreamReader, *, is_head: bool) -> str | None:
    """Whose response this is; None for one of the proxy's own."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = b""
    if not is_head and start.split(" ")[1] not in ("204", "304"):
        if fields.get("transfer-encoding") == "chunked":
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        else:
            body = await reader.readexactly(int(fields["content-length"]))
    token = fields.get("x-token")
    return body.decode() if token is not None and body and body.decode() != token else token
