"""The format in which a router hands its routing table over to its successor (ADR 0005).

When the successor has subscribed to registrations, it asks with one line that has the version. The answer is a stream
of frames, each with a MessagePack array of a part of the table. Later versions append fields: a receiver ignores fields
that it does not know, and takes the defaults for fields that are missing.
"""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator

import msgspec

from fastrouter.ipc.frames import FrameError, next_frame, word_of
from fastrouter.ipc.table_changes import HashRule
from fastrouter.logs.error_text import error_text
from fastrouter.process.slices import SLICE

REQUEST = b"table 1\n"

# Members of a route that are handed over at a time: some have thousands.
MEMBERS_AT_ONCE = 256

# Seconds that a frame may take to come. The first one comes after the predecessor has handled all waiting messages.
_PATIENCE = 10.0

_READ_SIZE = 256 * 1024


class TableError(Exception):
    """The table is incomplete or malformed; the text says how."""


class HandedEndpoint(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="endpoint"):
    """From now on `number` is this endpoint; times are seconds, but for `updated_at_ns`.

    `failed_ago` is None unless it has failed.
    """

    number: int
    host: str
    port: int
    tls: bool
    app_id: str
    instance_id: str
    instance_index: str
    server_cert_domain_san: str
    tags: dict[str, str] | None
    availability_zone: str
    protocol: str
    isolation_segment: str
    route_service_url: str
    algorithm: str
    hash_header: str
    hash_balance: float
    updated_at_ns: int
    stale_threshold: float
    tag_guid: str
    tag_index: int
    failed_ago: float | None = None
    policy_scope: str = ""
    policy_sources: str = ""


class HandedMember(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An endpoint of a route, by its number, and how many seconds ago it was registered there."""

    number: int
    age: float


class HandedRoute(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="route"):
    """A route, or further members of it; without any it is an empty one, for `unchanged_for` seconds."""

    uri: str
    members: tuple[HandedMember, ...]
    route_service_url: str = ""
    algorithm: str = ""
    unchanged_for: float = 0.0
    hashing: HashRule | None = None


class HandedEnd(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="end"):
    """The table is complete; endpoints at these addresses drain, static ones as well."""

    draining: tuple[str, ...] = ()


Handed = HandedEndpoint | HandedRoute | HandedEnd

_ENCODER = msgspec.msgpack.Encoder()


async def offer_table(
    line: socket.socket,
    catch_up: Callable[[], Awaitable[None]],
    table: Callable[[], Iterator[Handed]],
    draining: Callable[[], Iterable[str]] = tuple,
) -> bool:
    """Send `table` over `line` when the successor asks for it; False if it does not ask, or ends meanwhile.

    `draining` returns the addresses of endpoints that drain.

    `catch_up` is called first. One frame at a time is in memory, and the loop does other work between two frames, so
    the registry may change meanwhile.
    """
    loop = asyncio.get_running_loop()
    try:
        request = bytearray()
        while len(request) < len(REQUEST):
            if not (data := await loop.sock_recv(line, len(REQUEST) - len(request))):
                return False
            request += data
        if request != REQUEST:
            return False
        await catch_up()
        for frame in frames_of(table(), draining):
            await loop.sock_sendall(line, frame)
            # Sending to a fast peer never waits, so the loop gets its turn here.
            await asyncio.sleep(0)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def frames_of(table: Iterator[Handed], draining: Callable[[], Iterable[str]]) -> Iterator[bytes]:
    """Yield the frames of `table`, up to HandedEnd; each is made in a slice of work."""
    part: list[Handed] = []
    until = time.perf_counter() + SLICE
    for handed in table:
        part.append(handed)
        if time.perf_counter() >= until:
            yield _frame(part)
            part.clear()
            until = time.perf_counter() + SLICE
    part.append(HandedEnd(tuple(draining())))
    yield _frame(part)


def _frame(part: list[Handed]) -> bytes:
    body = _ENCODER.encode(part)
    return word_of(len(body)) + body


async def receive_table(line: socket.socket) -> AsyncGenerator[list[Handed], None]:
    """Ask for the table, and yield its parts, up to HandedEnd. Raises TableError."""
    loop = asyncio.get_running_loop()
    decoder = msgspec.msgpack.Decoder(list[Handed])
    try:
        await loop.sock_sendall(line, REQUEST)
        is_complete = False
        buffer = bytearray()
        while not is_complete:
            async with asyncio.timeout(_PATIENCE):
                while (frame := next_frame(buffer, 0, "a part of it")) is None:
                    await _receive_more(line, buffer)
            part = decoder.decode(buffer[frame.start : frame.end])
            del buffer[: frame.end]
            is_complete = any(isinstance(handed, HandedEnd) for handed in part)
            yield part
            await asyncio.sleep(0)
    except TimeoutError as error:
        raise TableError(f"nothing of it comes within {_PATIENCE:g} s") from error
    except OSError as error:
        raise TableError(f"it cannot be heard: {error_text(error)}") from error
    except (FrameError, msgspec.MsgspecError) as error:
        raise TableError(str(error)) from error


async def _receive_more(line: socket.socket, buffer: bytearray) -> None:
    """Append the next bytes to `buffer`. Raises TableError at the end of the stream."""
    data = await asyncio.get_running_loop().sock_recv(line, _READ_SIZE)
    if not data:
        raise TableError("it breaks off")
    buffer += data
