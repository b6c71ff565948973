"""Backends that speak HTTP/2, driven frame by frame, with a library that shares nothing with the router's."""

import ssl
from typing import TypeVar

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, TrailersReceived
from h2.settings import SettingCodes, Settings

from fastrouter._core import Endpoint

from .raw_backend import BackendStream, RawBackend
from .tls_backend import Authority, TlsBackend

E = TypeVar("E", bound=Event)

Headers = list[tuple[bytes, bytes]]


class Http2Peer:
    """The backend's end of one connection from the router. Every wait has the patience of its stream."""

    def __init__(self, stream: BackendStream, *, validates: bool = True, **settings: int) -> None:
        self.stream = stream
        self.h2 = H2Connection(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=validates,
                normalize_outbound_headers=validates,
            )
        )
        # What is changed later counts, and is sent, when the router has acknowledged it.
        self.h2.local_settings = Settings(
            client=False, initial_values={SettingCodes[name]: value for name, value in settings.items()}
        )
        self.h2.initiate_connection()
        self.flush()
        self._seen: list[Event] = []

    def flush(self) -> None:
        self.stream.send(self.h2.data_to_send())

    def read_events(self) -> None:
        """Take in what comes next, and answer what h2 answers by itself."""
        data = self.stream.read_some()
        self._seen += self.h2.receive_data(data)
        if answer := self.h2.data_to_send():
            self.stream.send(answer)

    def wait_for(self, kind: type[E], stream_id: int | None = None) -> E:
        """The next event of this kind (about this stream); others stay for later."""
        while True:
            for event in self._seen:
                if isinstance(event, kind) and stream_id in (None, getattr(event, "stream_id", None)):
                    self._seen.remove(event)
                    return event
            self.read_events()

    def has_seen(self, kind: type[Event]) -> bool:
        return any(isinstance(event, kind) for event in self._seen)

    def read_request(self) -> tuple[int, dict[bytes, bytes]]:
        """The number and the fields of the next stream."""
        request = self.wait_for(RequestReceived)
        assert request.stream_id is not None
        return request.stream_id, dict(request.headers or [])

    def read_body(self, stream_id: int, *, acknowledges: bool = True) -> bytes:
        """All of a request's body, up to its end."""
        body = bytearray()
        while True:
            for event in [event for event in self._seen if getattr(event, "stream_id", None) == stream_id]:
                if isinstance(event, DataReceived):
                    body += event.data or b""
                    if acknowledges and event.flow_controlled_length:
                        self.h2.acknowledge_received_data(event.flow_controlled_length, stream_id)
                        self.flush()
                if isinstance(event, DataReceived | StreamEnded):
                    self._seen.remove(event)
                if isinstance(event, StreamEnded):
                    return bytes(body)
            self.read_events()

    def read_part(self, stream_id: int, size: int) -> bytes:
        """So many bytes of a request's body."""
        body = bytearray()
        while len(body) < size:
            event = self.wait_for(DataReceived, stream_id)
            body += event.data or b""
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
            self.flush()
        return bytes(body)

    def read_trailers(self, stream_id: int) -> Headers:
        return list(self.wait_for(TrailersReceived, stream_id).headers or [])

    def send_head(self, stream_id: int, *fields: tuple[bytes, bytes], status: int = 200, is_last: bool = False) -> None:
        self.h2.send_headers(stream_id, [(b":status", b"%d" % status), *fields], end_stream=is_last)
        self.flush()

    def send_data(self, stream_id: int, data: bytes, *, is_last: bool = False) -> None:
        """Send as much as the windows admit, and wait for more of them."""
        at = 0
        while True:
            room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size, len(data) - at)
            if room > 0 or at == len(data):
                self.h2.send_data(stream_id, data[at : at + room], end_stream=is_last and at + room == len(data))
                self.flush()
                at += room
                if at >= len(data):
                    return
            else:
                self.read_events()

    def send_until_blocked(self, stream_id: int, quiet: float = 0.5) -> int:
        """Send zeros until the window stays closed for `quiet` seconds; give their number."""
        sent = 0
        while True:
            room = min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)
            if room > 0:
                self.h2.send_data(stream_id, bytes(room))
                self.flush()
                sent += room
            elif self.stream.is_silent(quiet):
                return sent
            else:
                self.read_events()

    def send_trailers(self, stream_id: int, *fields: tuple[bytes, bytes]) -> None:
        self.h2.send_headers(stream_id, list(fields), end_stream=True)
        self.flush()

    def answer(self, stream_id: int, body: bytes = b"ok", *fields: tuple[bytes, bytes], status: int = 200) -> None:
        """A whole response."""
        self.send_head(stream_id, (b"content-length", b"%d" % len(body)), *fields, status=status)
        self.send_data(stream_id, body, is_last=True)

    def reset(self, stream_id: int, code: int) -> None:
        self.h2.reset_stream(stream_id, code)
        self.flush()


class Http2Backend(TlsBackend):
    """A backend that speaks HTTP/2 over TLS, if `protocols` of ALPN say so."""

    def __init__(self, authority: Authority, protocols: tuple[str, ...] = ("h2", "http/1.1")) -> None:
        context = authority.server()
        if protocols:
            context.set_alpn_protocols(list(protocols))
        super().__init__(context)

    def endpoint(self, *arguments: str, **attributes: str) -> Endpoint:
        return super().endpoint(*arguments, **{"protocol": "http2", **attributes})

    def accept_http2(self, *, validates: bool = True, **settings: int) -> Http2Peer:
        """Wait for the router's next connection, which must agree on HTTP/2."""
        stream = self.accept()
        assert isinstance(stream.socket, ssl.SSLSocket)
        assert stream.socket.selected_alpn_protocol() == "h2"
        return Http2Peer(stream, validates=validates, **settings)


class H2cBackend(RawBackend):
    """A backend that speaks HTTP/2 without TLS."""

    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port, protocol="h2c")

    def accept_http2(self, *, validates: bool = True, **settings: int) -> Http2Peer:
        return Http2Peer(self.accept(), validates=validates, **settings)
