"""The routing table on its way from a router to its successor (ADR 0005).

The successor asks, when it listens to registrations itself, with one line that has the version. The answer is a stream
of frames, each with a MessagePack array of what is handed over. A version of the router
that knows further fields appends them: who does not know them leaves them out, and who misses them has their defaults.
"""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

import msgspec

from fastrouter.ipc.frames import FrameError, next_frame, word_of
from fastrouter.logs.error_text import error_text
from fastrouter.process.slices import SLICE

REQUEST = b"table 1\n"

# Members of a route that are handed over at a time: some have thousands.
MEMBERS_AT_ONCE = 256

# Seconds that a frame may take to come. The first comes when the predecessor has handled what it was told by then.
_PATIENCE = 10.0

_READ_SIZE = 256 * 1024


class TableError(Exception):
    """What comes is not a whole table; the text says what is wrong with it."""


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


class HandedEnd(msgspec.Struct, frozen=True, gc=False, array_like=True, tag="end"):
    """The table is complete."""


Handed = HandedEndpoint | HandedRoute | HandedEnd

_ENCODER = msgspec.msgpack.Encoder()


async def offer_table(
    line: socket.socket, catch_up: Callable[[], Awaitable[None]], table: Callable[[], Iterator[Handed]]
) -> bool:
    """Send `table` over `line` when it is asked for; False if whoever is there asks for none, or leaves.

    `catch_up` is called before, and no more than a frame is in memory or takes the loop at a time: `table` may change
    meanwhile.
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
        for frame in _frames(table()):
            await loop.sock_sendall(line, frame)
            # To a peer that is fast enough there is nothing to wait for.
            await asyncio.sleep(0)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _frames(table: Iterator[Handed]) -> Iterator[bytes]:
    part: list[Handed] = []
    until = time.perf_counter() + SLICE
    for handed in table:
        part.append(handed)
        if time.perf_counter() >= until:
            yield _frame(part)
            part.clear()
            until = time.perf_counter() + SLICE
    part.append(HandedEnd())
    yield _frame(part)


def _frame(part: list[Handed]) -> bytes:
    body = _ENCODER.encode(part)
    return word_of(len(body)) + body


async def receive_table(line: socket.socket) -> AsyncGenerator[list[HandedEndpoint | HandedRoute], None]:
    """Ask for the table, and return it part by part. Raises TableError."""
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
            yield [handed for handed in part if not isinstance(handed, HandedEnd)]
            await asyncio.sleep(0)
    except TimeoutError as error:
        raise TableError(f"nothing of it comes within {_PATIENCE:g} s") from error
    except OSError as error:
        raise TableError(f"it cannot be heard: {error_text(error)}") from error
    except (FrameError, msgspec.MsgspecError) as error:
        raise TableError(str(error)) from error


async def _receive_more(line: socket.socket, buffer: bytearray) -> None:
    """Append to `buffer` what comes next. Raises TableError if that is the end."""
    data = await asyncio.get_running_loop().sock_recv(line, _READ_SIZE)
    if not data:
        raise TableError("it breaks off")
    buffer += data
