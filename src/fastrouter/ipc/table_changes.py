"""Changes of the routing table, and how they travel from the control process to a worker.

A batch of changes is one frame: its length as four bytes, big-endian, and a MessagePack array of that length. Each
change is itself an array, `[tag, field, …]`.

An endpoint is introduced once under a number, then put into routes by that number, and forgotten when no route holds
it; numbers of forgotten endpoints are used again.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

# A worker applies a batch in one go, between requests: 32 KiB are some 100 new routes and take it less than a
# millisecond.
MAX_BATCH = 32 * 1024
# What a frame may announce. A batch is closed when it has reached MAX_BATCH, so one change may go far beyond: a URI may
# be as long as a NATS message, and these are 64 MiB at most.
MAX_FRAME = 128 * 1024 * 1024

_LENGTH_SIZE = 4
# array32 of MessagePack: one byte and a four-byte count, which is known only when the batch is complete.
_ARRAY_SIZE = 5
_ARRAY_MARK = 0xDD


class Introduce(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=0):
    """From now on `number` is this endpoint; the rows are those of its labels in histograms (label_rows)."""

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


class Put(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """Add an endpoint to the route `uri`, which is created if need be, or replace the one of the same address there."""

    uri: str
    number: int


class Remove(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """Take the endpoint at `address` (host:port) off the route `uri`; the route stays, even if it is empty then."""

    uri: str
    address: str


class Drop(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=3):
    """Remove the route `uri`."""

    uri: str


class SetRoute(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=4):
    """Set what belongs to the route `uri` as a whole; `algorithm` empty means the router's own.

    `latency_row` is that of the route in the histogram by route (label_rows).
    """

    uri: str
    route_service_url: str
    algorithm: str
    latency_row: int = 0


class Forget(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=5):
    """No route holds the endpoint `number` any more."""

    number: int


Change = Introduce | Put | Remove | Drop | SetRoute | Forget
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
        self._buffer = bytearray(_LENGTH_SIZE + _ARRAY_SIZE)
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
        buffer[:_LENGTH_SIZE] = (len(buffer) - _LENGTH_SIZE).to_bytes(_LENGTH_SIZE, "big")
        buffer[_LENGTH_SIZE] = _ARRAY_MARK
        buffer[_LENGTH_SIZE + 1 : _LENGTH_SIZE + _ARRAY_SIZE] = self._count.to_bytes(4, "big")
        frame = bytes(buffer)
        del buffer[_LENGTH_SIZE + _ARRAY_SIZE :]
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
        start = _LENGTH_SIZE
        with memoryview(buffer) as view:
            while start <= len(view):
                length = int.from_bytes(view[start - _LENGTH_SIZE : start], "big")
                if length > MAX_FRAME:
                    raise ValueError(f"a batch of table changes cannot have {length} bytes")
                end = start + length
                if end > len(view):
                    break
                with view[start:end] as body:
                    batches.append(self._decoder.decode(body))
                start = end + _LENGTH_SIZE
        del buffer[: start - _LENGTH_SIZE]
        return batches
