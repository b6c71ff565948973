"""Where the network cuts a message makes no difference: every message, cut at every byte, gives the same exchange."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .conversation import Conversation

GET = b"GET /x?y=1 HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 1.2.3.4\r\nCookie: a=b\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: c=d\r\n\r\nhello"

# name: what the client sends, what the backend answers
EXCHANGES: dict[str, tuple[bytes, bytes]] = {
    "length": (b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 6\r\n\r\nabcdef", OK),
    "get": (GET, OK),
    "pipeline": (GET + GET, OK),
    "chunked": (
        b"PUT / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 2\r\n\r\n",
    ),
    "head": (b"HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    "no content": (GET, b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n"),
    "interim": (GET, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + OK),
    "continue": (
        b"POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    ),
    "upgrade": (
        b"GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\nearly",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframes",
    ),
    "refused upgrade": (
        b"GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno",
    ),
    "http 1.0": (b"GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n", OK),
    "chunks for http 1.0": (
        b"GET / HTTP/1.0\r\nHost: app.test\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    ),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: app.test\nX-A: b\n\n", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    "unknown method": (b"BREW /pot\xc3\xa9 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\n\r\nx", OK),
    "absolute form": (b"GET http://app.test/a HTTP/1.1\r\nHost: other.test\r\n\r\n", OK),
    "unknown route": (b"GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n", b""),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: app.test\r\nHost: app.test\r\n\r\n", b""),
    "bad chunk": (
        b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"",
    ),
    "connection close": (GET.replace(b"Cookie", b"Connection: close\r\nCookie"), OK),
}


def run(client_pieces: list[bytes], backend_pieces: list[bytes]) -> tuple[bytes, list[bytes], list[bytes]]:
    conversation = Conversation()
    conversation.from_client(*client_pieces)
    if backend_pieces and conversation.loop.dialled:
        conversation.from_backend(*backend_pieces)
    client, backends, lines = joined(conversation.outcome())
    # A request that is refused may have been dialled for, or not yet.
    return client, backends if any(backend_pieces) else [], lines


def joined(outcome: tuple[bytes, list[bytes], list[bytes]]) -> tuple[bytes, list[bytes], list[bytes]]:
    """Chunks may be cut like the reads they came in; what they carry may not differ."""
    client, backends, lines = outcome
    return without_chunk_borders(client), [without_chunk_borders(data) for data in backends], lines


def without_chunk_borders(data: bytes) -> bytes:
    """Every chunked body of a stream as one chunk; all else as it is."""
    out = b""
    while True:
        head, mark, rest = data.partition(b"Transfer-Encoding: chunked\r\n")
        if not mark:
            return out + data
        lines, end, rest = rest.partition(b"\r\n\r\n") if not rest.startswith(b"\r\n") else (b"", b"\r\n", rest[2:])
        body = b""
        while (size_line := rest.partition(b"\r\n"))[1]:
            size = int(size_line[0], 16)
            if size == 0:
                break
            body, rest = body + size_line[2][:size], size_line[2][size + 2 :]
        out += head + mark + lines + end + b"<%s>" % body
        data = rest


def splits(data: bytes) -> Iterator[list[bytes]]:
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize("name", EXCHANGES)
def test_request_cut_at_every_byte(name: str) -> None:
    request, response = EXCHANGES[name]
    whole = run([request], [response])
    assert whole[0], "the client gets an answer"
    for pieces in splits(request):
        assert run(pieces, [response]) == whole, pieces


@pytest.mark.parametrize("name", [name for name, (_, response) in EXCHANGES.items() if response])
def test_response_cut_at_every_byte(name: str) -> None:
    request, response = EXCHANGES[name]
    whole = run([request], [response])
    for pieces in splits(response):
        assert run([request], pieces) == whole, pieces


cuts = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(data[at : at + size])
        at += size
    return pieces


@given(st.sampled_from(sorted(EXCHANGES)), cuts, cuts)
def test_any_cut_of_both_sides(name: str, client_sizes: list[int], backend_sizes: list[int]) -> None:
    request, response = EXCHANGES[name]
    assert run(cut(request, client_sizes), cut(response, backend_sizes)) == run([request], [response])
