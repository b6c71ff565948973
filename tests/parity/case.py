"""One case: what the client does, what each backend does, and what was seen when they did it with one router."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from dropsonde import Envelope
from integration.byte_stream import ByteStream
from integration.http_message import response_with
from integration.raw_backend import BackendStream

from .messages import UnfinishedError, read_message

PATIENCE = 4.0
"""Seconds until a read that finds nothing is given up. A case whose point is that nothing comes takes that long."""


class Do(Enum):
    """Steps that are neither bytes to send nor a time to wait."""

    READ = "read one message"
    READ_HEAD = "read up to the empty line"
    READ_INTERIM = "read one 1xx response"
    HALF_CLOSE = "send FIN"
    RESET = "send RST"
    CLOSE = "close"
    SEND_BACK = "send the request that was read to the router that it came from, as route services do"


@dataclass(frozen=True)
class Take:
    """Read so many bytes, whatever they are."""

    count: int


Step = bytes | float | Do | Take
ANSWER: tuple[Step, ...] = (Do.READ, response_with())


@dataclass(frozen=True)
class Case:
    """Steps of the client on one connection, and of a backend and a route service for each request that they get.

    `settle` is the time after the client's last step until all has happened that the case is about, where no response
    says so: a client that goes away does not learn how it was logged.
    """

    name: str
    client: tuple[Step, ...]
    backend: tuple[Step, ...] = ANSWER
    service: tuple[Step, ...] = ANSWER
    settle: float = 0.0
    over_tls: bool = False
    server_name: str = "app.parity"
    certificate: str = ""


def request(
    start_line: bytes = b"GET / HTTP/1.1", *lines: bytes, host: bytes = b"app.parity", body: bytes = b""
) -> bytes:
    """Build the bytes of a request with the host that all configurations serve."""
    return b"\r\n".join([start_line, b"Host: " + host, *lines]) + b"\r\n\r\n" + body


def simple(
    name: str,
    start_line: bytes = b"GET / HTTP/1.1",
    *lines: bytes,
    host: bytes = b"app.parity",
    body: bytes = b"",
    backend: tuple[Step, ...] = ANSWER,
    settle: float = 0.0,
) -> Case:
    """One request, one response."""
    return Case(name, (request(start_line, *lines, host=host, body=body), Do.READ), backend, settle=settle)


def raw(name: str, data: bytes, *, backend: tuple[Step, ...] = ANSWER) -> Case:
    """One request given byte by byte, one response."""
    return Case(name, (data, Do.READ), backend)


def answered(
    name: str, answer: bytes, start_line: bytes = b"GET / HTTP/1.1", *lines: bytes, closes: bool = False
) -> Case:
    """A plain request with an answer of the backend that is not plain."""
    end: tuple[Step, ...] = (Do.CLOSE,) if closes else ()
    return simple(name, start_line, *lines, backend=(Do.READ, answer, *end))


@dataclass
class Seen:
    """What came out of one case with one router, in raw bytes and lines."""

    sent: bytes = b""
    client: bytes = b""
    client_end: str = ""
    methods: list[bytes] = field(default_factory=list)
    backend: list[bytes] = field(default_factory=list)
    service: list[bytes] = field(default_factory=list)
    access: list[str] = field(default_factory=list)
    log: list[dict[str, object]] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    client_port: int = 0
    router_port: int = 0


SendBack = Callable[[bytes], bytes]
"""Sends a request to the router and gives its response."""


def take_steps(
    stream: ByteStream,
    steps: Sequence[Step],
    *,
    is_client: bool,
    methods: Sequence[bytes] = (),
    send_back: SendBack | None = None,
) -> str:
    """Do what the steps say; what ended it before its time, or "".

    `methods` are those of the requests that the client has sent, which say how their responses are framed.
    """
    reads = 0
    try:
        for step in steps:
            if step is Do.READ:
                _read_final(stream, methods[min(reads, len(methods) - 1)] if is_client else None)
                reads += 1
            elif step is Do.SEND_BACK:
                assert send_back is not None
                stream.send(send_back(bytes(stream.received)))
            elif ended := _take_step(stream, step):
                return ended
    except TimeoutError:
        return "silence"
    except (EOFError, UnfinishedError):
        return "end"
    except ConnectionError:
        return "reset"
    except OSError as error:
        return type(error).__name__
    return ""


def _read_final(stream: ByteStream, method: bytes | None) -> None:
    while (status := read_message(stream, method)) != 101 and 100 <= status < 200:
        pass


def _take_step(stream: ByteStream, step: Step) -> str:
    match step:
        case bytes():
            stream.send(step)
        case float():
            time.sleep(step)
        case Take(count):
            stream.read_exactly(count)
        case Do.READ_INTERIM:
            read_message(stream, b"GET")
        case Do.READ_HEAD:
            stream.read_until(b"\r\n\r\n")
        case Do.HALF_CLOSE:
            stream.half_close()
        case Do.RESET:
            stream.reset()
            return "reset by us"
        case Do.CLOSE:
            stream.close()
            return "closed by us"
    return ""


def end_of(stream: ByteStream, quiet: float) -> str:
    """How the router leaves the connection after the last step; what it still sends is kept in `received`."""
    deadline = time.monotonic() + quiet
    try:
        while time.monotonic() < deadline:
            if not stream._fill(max(0.001, deadline - time.monotonic())):
                return "closed"
    except TimeoutError:
        return "kept"
    except ConnectionError:
        return "reset"
    except OSError as error:
        return type(error).__name__
    return "kept"


def backend_handler(
    steps_of: Callable[[], Sequence[Step]], send_back: SendBack | None = None
) -> Callable[[BackendStream], bool]:
    """A handler for ServingBackend that does the steps of the case which runs just now."""

    def handle(stream: BackendStream) -> bool:
        if not stream.pending and not stream._fill():
            return False
        ended = take_steps(stream, steps_of(), is_client=False, send_back=send_back)
        if ended == "end":
            with contextlib.suppress(OSError):
                stream.close()
        return not ended

    return handle
