"""Changes of the routing table, and how they travel from the control process to a worker.

A batch of changes is one frame, whose body is a MessagePack array. Each change is itself an array, `[tag, field, …]`.

An endpoint is introduced once under a number, then put into routes by that number, and forgotten when no route holds
it; numbers of forgotten endpoints are used again.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from fastrouter.ipc.frames import WORD_SIZE, next_frame, word_of

# A worker applies a batch in one go, between requests: 32 KiB are some 100 new routes and take it less than a
# millisecond. A batch is closed when it has reached that, so one change may go far beyond.
MAX_BATCH = 32 * 1024

# array32 of MessagePack: one byte and a four-byte count, which is known only when the batch is complete.
_ARRAY_SIZE = 5
_ARRAY_MARK = 0xDD


class PolicyRule(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Which callers may reach an endpoint, of which organization and space it is itself (spec 9.8)."""

    scope: str
    sources: tuple[str, ...] = ()
    organization: str = ""
    space: str = ""


class Introduce(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=0):
    """From now on `number` is this endpoint; the rows are those of its labels in histograms (label_rows).

    `envelope_tags` are its tags as `metron.envelopes` writes them, if the agent is told of requests.
    """

    number: int
    host: str
    port: int
    app_id: str
    instance_id: str
    instance_index: str
    tls: bool
    server_cert_domain_san: str
    protocol: str
    availability_zone: str
    process_id: str
    component: str
    component_row: int = 0
    source_row: int = 0
    is_draining: bool = False
    envelope_tags: bytes = b""
    policy: PolicyRule | None = None


class Put(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """Add an endpoint to the route `uri`, which is created if need be, or replace the one of the same address there.

    A route that is created counts in `slot` of the mapping of route_counters; 0: nowhere.
    """

    uri: str
    number: int
    slot: int = 0


class Remove(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """Take the endpoint at `address` (host:port) off the route `uri`; the route stays, even if it is empty then."""

    uri: str
    address: str


class Drop(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=3):
    """Remove the route `uri`."""

    uri: str


class HashRule(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What of a request decides which endpoint of a route it goes to (spec 9.1).

    `source` is `header` or `cookie`, of that `name`, `path` or `client-address`; empty if a registration wants `hash`
    and names no header. An endpoint gets no more than `balance` times the average of requests in flight; 0: any number.
    """

    source: str = ""
    name: str = ""
    balance: float = 0.0


class SetRoute(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=4):
    """Set what belongs to the route `uri` as a whole; `algorithm` empty means the router's own.

    `latency_row` is that of the route in the histogram by route (label_rows). `hashing` goes with the algorithm `hash`
    alone.
    """

    uri: str
    route_service_url: str
    algorithm: str
    latency_row: int = 0
    hashing: HashRule | None = None


class Forget(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=5):
    """No route holds the endpoint `number` any more."""

    number: int


class SetDraining(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=6):
    """From now on the endpoint `number` gets no new requests, but for its sticky sessions; or it does again."""

    number: int
    is_draining: bool


Change = Introduce | Put | Remove | Drop | SetRoute | Forget | SetDraining
ChangeSink = Callable[[Change], None]


class BatchEncoder:
    """Collects changes and hands them over as frames.

    `send` gets each complete frame. `schedule` is called when a batch begins, with the function that completes it:
    `loop.call_soon` makes one batch of what one turn of the loop changes.
    """

    def __init__(self, send: Callable[[bytes], None], schedule: Callable[[Callable[[], None]], object]) -> None:
        self._send = send
        self._schedule = schedule
        self._encoder = msgspec.msgpack.Encoder()
        self._buffer = bytearray(WORD_SIZE + _ARRAY_SIZE)
        self._count = 0

    def add(self, change: Change) -> None:
        """Append one change to the batch."""
        self._encoder.encode_into(change, self._buffer, -1)
        if not self._count:
            self._schedule(self.flush)
        self._count += 1
        if len(self._buffer) >= MAX_BATCH:
            self.flush()

    def flush(self) -> None:
        """Complete the batch, if there is one: afterwards everything added has been handed to `send`."""
        if not self._count:
            return
        buffer = self._buffer
        buffer[:WORD_SIZE] = word_of(len(buffer) - WORD_SIZE)
        buffer[WORD_SIZE] = _ARRAY_MARK
        buffer[WORD_SIZE + 1 : WORD_SIZE + _ARRAY_SIZE] = self._count.to_bytes(4, "big")
        frame = bytes(buffer)
        del buffer[WORD_SIZE + _ARRAY_SIZE :]
        self._count = 0
        self._send(frame)


def encode_changes(changes: Iterable[Change]) -> Iterator[bytes]:
    """Encode many changes, such as `RouteRegistry.snapshot()`, as frames, one after the other as they are asked for."""
    frames: list[bytes] = []
    encoder = BatchEncoder(frames.append, lambda _: None)
    for change in changes:
        encoder.add(change)
        if frames:
            yield frames.pop()
    encoder.flush()
    yield from frames


class BatchDecoder:
    """Turns the bytes of a stream back into changes."""

    def __init__(self) -> None:
        self._decoder = msgspec.msgpack.Decoder(list[Change])
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[list[Change]]:
        """Return the batches that `data` completes. Raises ValueError if the stream is no stream of batches."""
        buffer = self._buffer
        buffer += data
        batches = []
        at = 0
        with memoryview(buffer) as view:
            while (frame := next_frame(view, at, "a batch of table changes")) is not None:
                with view[frame.start : frame.end] as body:
                    batches.append(self._decoder.decode(body))
                at = frame.end
        del buffer[:at]
        return batches
