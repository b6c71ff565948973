"""One case of a client of HTTP/2, whose backend speaks HTTP/1.1: a stream, and what came of it, as in `played`.

reset CODE          the stream is reset
goaway CODE         the connection ends
"""

import hpack

from fastrouter._core import Endpoint
from integration.http2_frames import (
    PREFACE,
    Code,
    Fields,
    Flag,
    Frame,
    Kind,
    data,
    headers,
    settings,
    settings_ack,
)
from integration.raw_client import RawClient
from integration.tls_front import FrontRouter

from .played import check_requests, described
from .recording_backend import RecordingBackend, right_answer

_PSEUDO = {":method": "GET", ":scheme": "http", ":authority": "app.test", ":path": "/"}
_PROBE_STREAM = 101


def fields_of(text: str) -> Fields:
    """Fields written as `name=value|name=value`: those of a GET, replaced by these, and without `-name`."""
    pseudo = dict(_PSEUDO)
    others = []
    for item in filter(None, text.split("|")):
        name, _, value = item.partition("=")
        if item.startswith("-"):
            del pseudo[item[1:]]
        elif name in pseudo:
            pseudo[name] = value
        else:
            others.append((name, value))
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*pseudo.items(), *others)]


def play_fields(text: str, *pieces: str, trailers: str | None = None) -> str:
    """Send the fields, pieces of a body, and trailers."""
    has_body = bool(pieces) or trailers is not None
    frames = headers(1, fields_of(text), ends=not has_body)
    for number, piece in enumerate(pieces, 1):
        frames += data(1, piece.encode("latin-1"), ends=number == len(pieces) and trailers is None)
    if trailers is not None:
        pairs = [item.partition("=") for item in trailers.split("|")]
        frames += headers(1, [(name.encode("latin-1"), value.encode("latin-1")) for name, _, value in pairs])
    return play_frames(frames, text.replace("=", ": ").replace("|", "\n"))


def play_frames(frames: bytes, names: str = "") -> str:
    """Send frames about stream 1, and when that has ended a request on another. `names` are lines with their fields."""
    with RecordingBackend(right_answer) as backend:
        with FrontRouter(Endpoint("127.0.0.1", backend.port), takes_h2c=True) as router:
            client = router.connect()
            client.send(PREFACE + settings() + settings_ack() + frames)
            told = _Told(client)
            told.read_to_end_of(1)
            if not told.goaway:
                client.send(headers(_PROBE_STREAM, fields_of(":path=/probe")))
                told.read_to_end_of(_PROBE_STREAM)
        backend.settle()
        check_requests(backend, names.encode("latin-1"))
        return told.outcome(backend)


class _Told:
    """What the client is told."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self._decoder = hpack.Decoder()
        self._fields: dict[int, list[dict[str, str]]] = {}
        self._resets: dict[int, Code] = {}
        self._ended: set[int] = set()
        self.goaway = ""

    def read_to_end_of(self, stream: int) -> None:
        try:
            while stream not in self._ended and not self.goaway:
                self._take(Frame.read(self._client))
        except (EOFError, ConnectionError):
            self.goaway = "goaway without a word"

    def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.HEADERS:
            assert frame.flags & Flag.END_HEADERS
            fields = {str(name): str(value) for name, value in self._decoder.decode(frame.payload)}
            self._fields.setdefault(frame.stream, []).append(fields)
        if frame.kind == Kind.RST_STREAM:
            self._resets[frame.stream] = frame.code
            self._ended.add(frame.stream)
        if frame.kind in (Kind.HEADERS, Kind.DATA) and frame.flags & Flag.END_STREAM:
            self._ended.add(frame.stream)
        if frame.kind == Kind.GOAWAY:
            self.goaway = f"goaway {frame.code.name}"

    def outcome(self, backend: RecordingBackend) -> str:
        parts = []
        answered = set()
        for stream in (1, _PROBE_STREAM):
            finals = [
                fields for fields in self._fields.get(stream, []) if not fields.get(":status", "").startswith("1")
            ]
            for fields in finals[:1]:
                assert not {"connection", "transfer-encoding", "keep-alive", "upgrade"} & set(fields)
                if (token := fields.get("x-token")) is None:
                    parts.append(fields[":status"])
                else:
                    answered.add(int(token))
                    parts.append(described(backend.requests[int(token)]))
            if (code := self._resets.get(stream)) not in (None, Code.NO_ERROR):
                parts.append(f"reset {code.name}")
        parts += [
            f"unanswered {described(backend.requests[n])}" for n in range(len(backend.requests)) if n not in answered
        ]
        parts += [self.goaway] if self.goaway else []
        return ", ".join("on" if part == "GET /probe" else part for part in parts) or "nothing"
