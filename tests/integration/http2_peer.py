"""One end of a connection of HTTP/2, over the library h2: what the test's client and the test's backend have in common.

It needs no thread: the test says what is sent, and frames are read when the test waits for something that they bring.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.settings import SettingCodes

from .byte_stream import ByteStream
from .closable import Closable
from .http2_frames import Code, Fields


@dataclass
class Http2Message:
    """What has come of a request or of a response, in one direction of a stream."""

    fields: Fields = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: Fields = field(default_factory=list)
    interims: list[Fields] = field(default_factory=list)
    is_ended: bool = False
    reset_code: Code | None = None

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field, in order; the name in lower case, as on the wire."""
        return [value for key, value in self.fields if key == name]

    def value(self, name: bytes) -> bytes | None:
        """Return the value of a field that must not be repeated; None if it is absent."""
        found = self.values(name)
        assert len(found) <= 1, f"{name!r} is repeated: {found!r}"
        return found[0] if found else None

    @property
    def status(self) -> int:
        status = self.value(b":status")
        assert status is not None, self
        return int(status)


class Http2Peer(Closable):
    """A connection whose frames h2 reads and writes. It says whatever the test wants and insists on correct answers.

    `returns_credit`: body that has come is let flow on at once; without that, `acknowledge` does it.
    """

    def __init__(
        self,
        stream: ByteStream,
        *,
        is_client: bool,
        settings: dict[SettingCodes, int] | None = None,
        returns_credit: bool = True,
    ) -> None:
        self.stream = stream
        self.returns_credit = returns_credit
        self.messages: dict[int, Http2Message] = {}
        self.opened: list[int] = []
        self.goaways: list[Code] = []
        self.last_streams: list[int] = []
        self.pongs: list[bytes] = []
        self.has_settings = False
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=is_client,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        if settings:
            self.connection.local_settings = h2.settings.Settings(client=is_client, initial_values=settings)
        self.connection.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.stream.send(self.connection.data_to_send())

    def message(self, stream: int) -> Http2Message:
        return self.messages.setdefault(stream, Http2Message())

    # --- what the test says

    def send_headers(self, stream: int, fields: Sequence[tuple[bytes, bytes]], *, ends: bool = False) -> None:
        self.connection.send_headers(stream, fields, end_stream=ends)
        self.flush()

    def send_data(self, stream: int, body: bytes = b"", *, ends: bool = False) -> None:
        """Send body as fast as the peer's windows let it go."""
        view = memoryview(body)
        while view:
            self.wait_for(lambda: self.room(stream), f"room for body on stream {stream}")
            size = min(self.room(stream), len(view))
            self.connection.send_data(stream, bytes(view[:size]), end_stream=ends and size == len(view))
            self.flush()
            view = view[size:]
        if ends and not body:
            self.connection.end_stream(stream)
            self.flush()

    def room(self, stream: int) -> int:
        """Bytes of body that one frame may have now, by both windows."""
        return min(self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size)

    def reset(self, stream: int, code: Code = Code.CANCEL) -> None:
        self.connection.reset_stream(stream, code)
        self.flush()

    def send_goaway(self, code: Code = Code.NO_ERROR, last_stream: int | None = None) -> None:
        self.connection.close_connection(code, last_stream_id=last_stream)
        self.flush()

    def acknowledge(self, stream: int, size: int) -> None:
        """Let so many bytes of body flow on."""
        self.connection.acknowledge_received_data(size, stream)
        self.flush()

    def ping(self, opaque: bytes = b"12345678") -> None:
        """Send a PING and wait until it is answered: all that was sent before has been read then."""
        count = len(self.pongs)
        self.connection.ping(opaque)
        self.flush()
        self.wait_for(lambda: len(self.pongs) > count, "a PING's answer")

    # --- what the test waits for

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Read frames until `condition` holds. Raises EOFError if the peer ends the connection before."""
        while not condition():
            if not self.pump():
                raise EOFError(f"the connection ended before {what}; GOAWAY: {self.goaways}")

    def pump(self) -> bool:
        """Read what is there, at least one byte; False at the end of the connection."""
        if not self.stream.pending and not self.stream.fill():
            return False
        for event in self.connection.receive_data(self.stream.take_pending()):
            self._on_event(event)
        self.flush()
        return True

    def read_head(self, stream: int) -> Http2Message:
        """Wait for the header fields of a message; the rest may come later."""
        message = self.message(stream)
        self.wait_for(lambda: message.fields or message.reset_code is not None, f"a head on stream {stream}")
        return message

    def read_body(self, stream: int, size: int) -> bytes:
        """Wait until at least so many bytes of body have come; give all of them."""
        message = self.message(stream)
        self.wait_for(lambda: len(message.body) >= size, f"{size} bytes of body on stream {stream}")
        return bytes(message.body)

    def read_message(self, stream: int) -> Http2Message:
        """Wait for the end of a message, or for its reset."""
        message = self.message(stream)
        self.wait_for(lambda: message.is_ended or message.reset_code is not None, f"the end of stream {stream}")
        return message

    def read_reset(self, stream: int) -> Code:
        """Wait until the peer resets a stream."""
        message = self.message(stream)
        self.wait_for(lambda: message.reset_code is not None, f"a reset of stream {stream}")
        assert message.reset_code is not None
        return message.reset_code

    def read_goaway(self) -> Code:
        """Wait for the next GOAWAY there is."""
        self.wait_for(lambda: self.goaways, "a GOAWAY")
        return self.goaways.pop(0)

    def read_settings(self) -> h2.settings.Settings:
        """Wait for the peer's settings, which come before everything else."""
        self.wait_for(lambda: self.has_settings, "the settings")
        return self.connection.remote_settings

    def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self.opened.append(event.stream_id)
            self.message(event.stream_id).fields = list(event.headers)
        elif isinstance(event, h2.events.ResponseReceived):
            self.message(event.stream_id).fields = list(event.headers)
        elif isinstance(event, h2.events.InformationalResponseReceived):
            self.message(event.stream_id).interims.append(list(event.headers))
        elif isinstance(event, h2.events.TrailersReceived):
            self.message(event.stream_id).trailers = list(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self.message(event.stream_id).body += event.data
            if self.returns_credit and event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self.message(event.stream_id).is_ended = True
        elif isinstance(event, h2.events.StreamReset):
            self.message(event.stream_id).reset_code = Code(event.error_code or 0)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaways.append(Code(event.error_code or 0))
            self.last_streams.append(event.last_stream_id or 0)
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs.append(event.ping_data)
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.has_settings = True

    def close(self) -> None:
        self.stream.close()
