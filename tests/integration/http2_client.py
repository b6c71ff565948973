"""A client that speaks HTTP/2 by the h2 package, which knows nothing of the engine that the router has."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

from .closable import Closable
from .in_process import HOST
from .raw_client import RawClient

T = TypeVar("T")

Fields = list[tuple[bytes, bytes]]

GOAWAY = 7


def get(
    path: bytes = b"/", *fields: tuple[bytes, bytes], method: bytes = b"GET", host: bytes = HOST.encode()
) -> Fields:
    """The fields of a request to the route."""
    return [(b":method", method), (b":scheme", b"https"), (b":authority", host), (b":path", path), *fields]


@dataclass
class Answer:
    """What has come on one stream."""

    interims: list[Fields] = field(default_factory=list)
    fields: Fields = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: Fields = field(default_factory=list)
    is_complete: bool = False
    reset: int | None = None

    @property
    def status(self) -> int:
        return int(self.value(b":status"))

    def value(self, name: bytes) -> bytes:
        """The value of a field that there is once."""
        (value,) = [value for key, value in self.fields if key == name]
        return value


class Http2Client(Closable):
    """One connection. With `auto_window` each byte of a body lets another one come."""

    def __init__(
        self,
        stream: RawClient,
        *,
        auto_window: bool = True,
        settings: dict[h2.settings.SettingCodes, int] | None = None,
        is_careless: bool = False,
    ) -> None:
        self.stream = stream
        self.engine = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=not is_careless,
                normalize_outbound_headers=not is_careless,
            )
        )
        self.auto_window = auto_window
        self.answers: dict[int, Answer] = defaultdict(Answer)
        self.goaways: list[tuple[int, int]] = []
        self.settings: dict[int, int] = {}
        self.unacknowledged: dict[int, int] = defaultdict(int)
        self.pings = 0
        self._arrived = bytearray()
        self.has_ended = False
        if settings is not None:
            self.engine.local_settings = h2.settings.Settings(
                client=True, initial_values={h2.settings.SettingCodes.ENABLE_PUSH: 0, **settings}
            )
        self.engine.initiate_connection()
        self.flush()

    def close(self) -> None:
        self.stream.close()

    def flush(self) -> None:
        self.stream.send(self.engine.data_to_send())

    def send_request(self, fields: Iterable[tuple[bytes, bytes]], body: bytes = b"", *, is_last: bool = True) -> int:
        """Send a request, whole or up to here; returns the number of its stream."""
        number = self.engine.get_next_available_stream_id()
        self.engine.send_headers(number, list(fields), end_stream=is_last and not body)
        if body:
            self.send_body(number, body, is_last=is_last)
        self.flush()
        return number

    def send_body(self, number: int, body: bytes, *, is_last: bool = True) -> None:
        """Send all of it, as the router's windows let it go."""
        while body:
            room = min(self.engine.local_flow_control_window(number), self.engine.max_outbound_frame_size, len(body))
            if room == 0:
                self.flush()
                self.receive()
                continue
            self.engine.send_data(number, body[:room], end_stream=is_last and room == len(body))
            body = body[room:]
        self.flush()

    def end(self, number: int, trailers: Fields | None = None) -> None:
        if trailers is None:
            self.engine.end_stream(number)
        else:
            self.engine.send_headers(number, trailers, end_stream=True)
        self.flush()

    def reset(self, number: int, code: int = h2.errors.ErrorCodes.CANCEL) -> None:
        self.engine.reset_stream(number, code)
        self.flush()

    def open_window(self, size: int, number: int | None = None) -> None:
        self.engine.increment_flow_control_window(size, number)
        self.flush()

    def receive(self) -> bool:
        """Take what comes next; False at the end of the connection."""
        if self.has_ended:
            return False
        if not self.stream._fill():
            self.has_ended = True
            return False
        self._arrived += self.stream._take(len(self.stream.pending))
        while len(self._arrived) >= 9 and len(self._arrived) >= (size := 9 + int.from_bytes(self._arrived[:3], "big")):
            frame = bytes(self._arrived[:size])
            del self._arrived[:size]
            if frame[3] == GOAWAY:
                # To h2 this is the end, though streams go on.
                self.goaways.append((int.from_bytes(frame[13:17], "big"), int.from_bytes(frame[9:13], "big")))
                continue
            for event in self.engine.receive_data(frame):
                self._take(event)
        with contextlib.suppress(OSError):
            # The router may not take any more.
            self.flush()
        return True

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.InformationalResponseReceived():
                self.answers[event.stream_id].interims.append(list(event.headers))
            case h2.events.ResponseReceived():
                self.answers[event.stream_id].fields = list(event.headers)
            case h2.events.DataReceived():
                self.answers[event.stream_id].body += event.data
                if self.auto_window:
                    if event.flow_controlled_length:
                        self.engine.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                else:
                    self.unacknowledged[event.stream_id] += event.flow_controlled_length
            case h2.events.TrailersReceived():
                self.answers[event.stream_id].trailers = list(event.headers)
            case h2.events.StreamEnded():
                self.answers[event.stream_id].is_complete = True
            case h2.events.StreamReset():
                self.answers[event.stream_id].reset = int(event.error_code)
            case h2.events.PingAckReceived():
                self.pings += 1
            case h2.events.RemoteSettingsChanged():
                self.settings.update({int(code): change.new_value for code, change in event.changed_settings.items()})

    def wait_for(self, condition: Callable[[], T | None]) -> T:
        """Receive until `condition` holds; returns what it says."""
        while not (found := condition()):
            assert self.receive(), "the connection has ended"
        return found

    def settle(self) -> None:
        """Wait until the router has taken what was sent before."""
        seen = self.pings
        self.engine.ping(b"settling")
        self.flush()
        self.wait_for(lambda: self.pings > seen)

    def answer(self, number: int) -> Answer:
        """Wait for the whole answer, or the reset, on a stream."""
        answer = self.answers[number]
        self.wait_for(lambda: answer.is_complete or answer.reset is not None)
        return answer

    def ask(self, fields: Iterable[tuple[bytes, bytes]], body: bytes = b"") -> Answer:
        return self.answer(self.send_request(fields, body))

    def wait_closed(self) -> None:
        """Wait for the end of the connection."""
        try:
            while self.receive():
                pass
        except ConnectionError:
            self.has_ended = True
