"""Clients and backends that say anything in HTTP/2, through a whole data plane without sockets."""

from collections.abc import Iterator

import hpack

from integration.http2_frames import PREFACE, Flag, Frame, Kind, headers, settings
from protocol.fake_network import FakeTransport, MemorySource

from .http1_targets import FuzzedConversation, pieces, requests_at
from .reference_parsers import responses_by_h11

REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 2\r\n\r\nhi",
    b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n",
)
OK_FIELDS = [(b":status", b"200"), (b"content-length", b"2")]


def frames(data: bytes) -> Iterator[bytes]:
    """Frames of the right size, out of any bytes: kind, flags, stream, how many bytes of payload follow, and these."""
    source = MemorySource(data)
    while source.at < len(data):
        try:
            kind, flags, stream, size = source.read_exactly(4)
        except EOFError:
            break
        payload = data[source.at : source.at + size]
        source.at += len(payload)
        yield Frame(kind, flags, stream, payload).encode()


def parts_of(data: bytes) -> tuple[int, list[bytes]]:
    """What chooses a case, and what the peer sends in which pieces: whole frames, or bytes as they are."""
    choice, parts = pieces(data)
    return (choice // 2, parts) if choice % 2 else (choice // 2, list(frames(data[1:])))


def frames_of(transport: FakeTransport, *, first: bytes = b"") -> list[Frame]:
    """What the router has written: whole frames, whose header blocks can be read."""
    data = bytes(transport.written)
    assert data.startswith(first), data
    source = MemorySource(data.removeprefix(first))
    written: list[Frame] = []
    while source.at < len(data) - len(first):
        written.append(Frame.read(source))
    decoder = hpack.Decoder()
    block = b""
    for frame in written:
        if frame.kind in (Kind.HEADERS, Kind.CONTINUATION):
            assert not frame.flags & (Flag.PADDED | Flag.PRIORITY)
            block += frame.payload
            if frame.flags & Flag.END_HEADERS:
                assert decoder.decode(block, raw=True)
                block = b""
    assert block == b""
    return written


def check_http2_client(data: bytes) -> None:
    """A client says anything behind the preface; apps of HTTP/1.1, or one of HTTP/2, answer."""
    choice, parts = parts_of(data)
    is_http2 = choice % 2 == 1
    conversation = FuzzedConversation(is_http2=is_http2)
    conversation.from_client(PREFACE + settings())
    for part in parts:
        conversation.from_client(part)
        if is_http2:
            answer_streams(conversation)
        else:
            conversation.answer()
    conversation.hang_up()
    frames_of(conversation.client)
    for transport in conversation.loop.dialled:
        if transport.written.startswith(b"PRI"):
            frames_of(transport, first=PREFACE)
        else:
            requests_at(transport)


def answer_streams(conversation: FuzzedConversation) -> None:
    """Have a backend of HTTP/2 answer what has come to an end, as plainly as possible."""
    for transport in conversation.loop.dialled:
        if not transport.can_deliver or not transport.written.startswith(PREFACE):
            continue
        written = frames_of(transport, first=PREFACE)
        asked = [frame.stream for frame in written if frame.kind in (Kind.HEADERS, Kind.DATA) and frame.flags & 1]
        first_of_all = settings() if not conversation.answered[transport] else b""
        answers = [
            headers(stream, OK_FIELDS, ends=False) + Frame(Kind.DATA, Flag.END_STREAM, stream, b"ok").encode()
            for stream in asked[max(0, conversation.answered[transport] - 1) :]
        ]
        conversation.answered[transport] = 1 + len(asked)
        if message := first_of_all + b"".join(answers):
            transport.deliver(message)
        conversation.loop.run()


def check_http2_backend(data: bytes) -> None:
    """A backend says anything behind its SETTINGS, in answer to a client of HTTP/1.1."""
    choice, parts = parts_of(data)
    request = REQUESTS[choice % len(REQUESTS)]
    conversation = FuzzedConversation(is_http2=True)
    conversation.from_client(request)
    conversation.from_backend(settings(), *parts)
    conversation.hang_up()
    for transport in conversation.loop.dialled:
        frames_of(transport, first=PREFACE)
    told = bytes(conversation.client.written)
    seen = responses_by_h11(told, [request.split(b" ")[0]], has_ended=False)
    assert seen.is_accepted, (told, seen)
    assert seen.complete or conversation.client.is_over, told
