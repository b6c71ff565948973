"""Clients that attack with HTTP/2: each pays for it alone, and what is no request gets to no backend."""

import ssl
import struct
from collections.abc import Callable, Iterator

import hpack
import pytest
from h2.settings import SettingCodes

from fastrouter._core import Endpoint

from . import http2_frames as frames
from .byte_stream import ByteStream
from .http2_client import Http2Client, get
from .http2_frames import Code, Fields, Flag, Frame, Kind, Setting
from .in_process import HOST
from .issuer import Issuer
from .raw_backend import AnsweringBackend, RawBackend
from .raw_client import RawClient
from .tls_front import FrontRouter, TlsClient, client_context, server_tls

GET: Fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", HOST.encode()), (b":path", b"/")]
POST: Fields = [(b":method", b"POST"), *GET[1:]]


@pytest.fixture(scope="module")
def context(issuer: Issuer) -> ssl.SSLContext:
    return client_context(issuer, protocols=("h2",))


@pytest.fixture
def router(issuer: Issuer, serving: AnsweringBackend) -> Iterator[FrontRouter]:
    tls = server_tls(issuer.pair(HOST), protocols=("h2", "http/1.1"))
    with FrontRouter(Endpoint("127.0.0.1", serving.port), tls=tls) as router:
        yield router


@pytest.fixture
def attacker(router: FrontRouter, context: ssl.SSLContext) -> Iterator[RawClient]:
    """A connection that has said its preface and its settings, and speaks for itself from then on."""
    with TlsClient(router.port, context) as client:
        client.send(frames.PREFACE + frames.settings() + frames.settings_ack())
        yield client


@pytest.fixture
def bystander(router: FrontRouter, context: ssl.SSLContext) -> Iterator[Http2Client]:
    """Another client, which has been there before."""
    with Http2Client(TlsClient(router.port, context)) as client:
        assert client.ask(get()).status == 200
        yield client


def send_all(client: ByteStream, data: bytes) -> None:
    """Send until the router has had enough."""
    try:
        for start in range(0, len(data), 16384):
            client.send(data[start : start + 16384])
    except OSError:
        pass


def last_words(client: ByteStream) -> Code | None:
    """The code of the GOAWAY that ends the connection; None if there is none before the end."""
    code = None
    try:
        while True:
            frame = Frame.read(client)
            if frame.kind == Kind.GOAWAY:
                code = frame.code
    except (EOFError, ConnectionError, ssl.SSLError):
        return code


def next_of(client: ByteStream, stream: int) -> Frame:
    """The next frame of a stream, or the GOAWAY that comes instead."""
    while True:
        frame = Frame.read(client)
        if frame.stream == stream and frame.kind != Kind.WINDOW_UPDATE:
            return frame
        if frame.kind == Kind.GOAWAY:
            return frame


def streams(count: int) -> range:
    return range(1, 2 * count, 2)


# --- floods -----------------------------------------------------------------------------------------------------------


def rapid_resets() -> bytes:
    return b"".join(frames.headers(number, GET) + frames.reset(number) for number in streams(20_000))


def provoked_resets() -> bytes:
    """The client has the router reset its streams, by what is wrong about their bodies."""
    head = [*POST, (b"content-length", b"1")]
    return b"".join(frames.headers(number, head, ends=False) + frames.data(number, b"ab") for number in streams(20_000))


def malformed_requests() -> bytes:
    return b"".join(frames.headers(number, [*GET, (b"Upper", b"case")]) for number in streams(20_000))


def continuations(piece: bytes) -> Callable[[], bytes]:
    """A header block that does not end."""

    def flood() -> bytes:
        first = Frame(Kind.HEADERS, Flag.END_STREAM, 1, frames.block(GET)).encode()
        return first + Frame(Kind.CONTINUATION, 0, 1, piece).encode() * (4_000_000 // (len(piece) + 9))

    return flood


def empty_data() -> bytes:
    return frames.headers(1, POST, ends=False) + frames.data(1) * 200_000


def empty_heads() -> bytes:
    return b"".join(
        Frame(Kind.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, number).encode() for number in streams(200_000)
    )


def unknown_frames() -> bytes:
    return Frame(0xFA, 0, 0, b"x").encode() * 200_000


def priorities() -> bytes:
    return Frame(Kind.PRIORITY, 0, 1, b"\0\0\0\0\x10").encode() * 200_000


FLOODS: dict[str, Callable[[], bytes]] = {
    "rapid resets": rapid_resets,
    "provoked resets": provoked_resets,
    "malformed requests": malformed_requests,
    "large continuations": continuations(frames.block([(b"x-filler", b"y" * 16000)])),
    "small continuations": continuations(frames.block([(b"a", b"b")])),
    "empty continuations": continuations(b""),
    "pings": lambda: frames.ping() * 200_000,
    "settings": lambda: frames.settings((Setting.INITIAL_WINDOW_SIZE, 65535)) * 200_000,
    "empty data": empty_data,
    "empty heads": empty_heads,
    "unknown frames": unknown_frames,
    "priorities": priorities,
}


# Those whose streams are all open until the router ends them.
OF_STREAMS = {"provoked resets", "malformed requests", "empty heads"}


class TestFloods:
    @pytest.mark.parametrize("name", FLOODS)
    def test_the_attacker_is_told_to_calm_down(self, name: str, attacker: RawClient, bystander: Http2Client) -> None:
        send_all(attacker, FLOODS[name]())
        assert bystander.ask(get()).status == 200
        # More streams at a time than it may have are an error of another kind, whichever is found first.
        codes = [Code.ENHANCE_YOUR_CALM, Code.PROTOCOL_ERROR] if name in OF_STREAMS else [Code.ENHANCE_YOUR_CALM]
        assert last_words(attacker) in codes
        assert bystander.ask(get()).status == 200


class TestWindows:
    """Who takes little, or nothing, waits alone."""

    def test_a_window_of_nothing(self, router: FrontRouter, context: ssl.SSLContext, bystander: Http2Client) -> None:
        with Http2Client(TlsClient(router.port, context), settings={SettingCodes.INITIAL_WINDOW_SIZE: 0}) as client:
            waiting = [client.send_request(get()) for _ in range(50)]
            client.wait_for(lambda: all(client.answers[number].fields for number in waiting))
            client.settle()
            assert bystander.ask(get()).status == 200
            assert not any(client.answers[number].body for number in waiting)
            for number in waiting:
                client.open_window(10, number)
            assert {bytes(client.answer(number).body) for number in waiting} == {b"first"}

    def test_windows_of_a_byte(self, attacker: RawClient, bystander: Http2Client) -> None:
        attacker.send(frames.settings((Setting.INITIAL_WINDOW_SIZE, 1)) + frames.headers(1, GET))
        body = b""
        while len(body) < 5:
            frame = next_of(attacker, 1)
            if frame.kind == Kind.DATA and frame.payload:
                assert len(frame.payload) == 1
                body += frame.payload
                attacker.send(frames.window_update(1, 1))
        assert body == b"first"
        assert bystander.ask(get()).status == 200

    def test_a_sibling_does_not_wait(self, router: FrontRouter, context: ssl.SSLContext) -> None:
        with Http2Client(TlsClient(router.port, context), settings={SettingCodes.INITIAL_WINDOW_SIZE: 0}) as client:
            stalled, other = client.send_request(get()), client.send_request(get())
            client.open_window(10, other)
            assert bytes(client.answer(other).body) == b"first"
            assert not client.answers[stalled].body


# --- errors -----------------------------------------------------------------------------------------------------------

CONNECTION_ERRORS = {
    "a frame that is too large": (Frame(Kind.DATA, 0, 1, b"x" * 16385).encode(), Code.FRAME_SIZE_ERROR),
    "a PING of another size": (Frame(Kind.PING, 0, 0, b"short").encode(), Code.FRAME_SIZE_ERROR),
    "SETTINGS of another size": (Frame(Kind.SETTINGS, 0, 0, b"12345").encode(), Code.FRAME_SIZE_ERROR),
    "SETTINGS on a stream": (Frame(Kind.SETTINGS, 0, 1).encode(), Code.PROTOCOL_ERROR),
    "a window that is too large": (frames.settings((Setting.INITIAL_WINDOW_SIZE, 1 << 31)), Code.FLOW_CONTROL_ERROR),
    "frames that are too small": (frames.settings((Setting.MAX_FRAME_SIZE, 100)), Code.PROTOCOL_ERROR),
    "a window that overflows": (frames.window_update(0, 0x7FFFFFFF), Code.FLOW_CONTROL_ERROR),
    "a window that does not grow": (frames.window_update(0, 0), Code.PROTOCOL_ERROR),
    "a stream of the server's": (frames.headers(2, GET), Code.PROTOCOL_ERROR),
    "DATA on an idle stream": (frames.data(1, b"x"), Code.PROTOCOL_ERROR),
    "DATA on no stream": (frames.data(0, b"x"), Code.PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (frames.reset(1), Code.PROTOCOL_ERROR),
    "PUSH_PROMISE": (Frame(Kind.PUSH_PROMISE, Flag.END_HEADERS, 1, b"\0\0\0\2").encode(), Code.PROTOCOL_ERROR),
    "CONTINUATION without HEADERS": (Frame(Kind.CONTINUATION, Flag.END_HEADERS, 1).encode(), Code.PROTOCOL_ERROR),
    "another frame inside a header block": (frames.headers(1, GET, flags=0) + frames.ping(), Code.PROTOCOL_ERROR),
    "padding that is longer than its frame": (
        Frame(Kind.HEADERS, Flag.END_HEADERS | Flag.PADDED, 1, b"\xff" + frames.block(GET)).encode(),
        Code.PROTOCOL_ERROR,
    ),
    "a priority of no stream": (Frame(Kind.PRIORITY, 0, 0, b"\0\0\0\1\x10").encode(), Code.PROTOCOL_ERROR),
    "a stream that depends on itself": (Frame(Kind.PRIORITY, 0, 3, b"\x80\0\0\3\x10").encode(), Code.PROTOCOL_ERROR),
    "a header block that is none": (
        Frame(Kind.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff\xff").encode(),
        Code.COMPRESSION_ERROR,
    ),
    "a table that is too large": (
        Frame(
            Kind.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, b"\x3f\xe1\xff\xff\x03" + frames.block(GET)
        ).encode(),
        Code.COMPRESSION_ERROR,
    ),
}


class TestConnectionErrors:
    @pytest.mark.parametrize("name", CONNECTION_ERRORS)
    def test_goaway(self, name: str, attacker: RawClient, bystander: Http2Client, serving: AnsweringBackend) -> None:
        sent, code = CONNECTION_ERRORS[name]
        requests = len(serving.requests)
        attacker.send(sent)
        assert last_words(attacker) == code
        assert bystander.ask(get()).status == 200
        # The bystander's.
        assert len(serving.requests) == requests + 1

    def test_another_preface(self, router: FrontRouter, context: ssl.SSLContext, bystander: Http2Client) -> None:
        with TlsClient(router.port, context) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
            assert last_words(client) in (Code.PROTOCOL_ERROR, None)
        assert bystander.ask(get()).status == 200


# What comes in two pieces, the second behind the answer to stream 1, if there is one.
FRAMES_AFTER_THE_END = {
    "DATA behind an answer": (frames.headers(1, GET), frames.data(1, b"x"), Code.STREAM_CLOSED),
    "HEADERS behind an answer": (frames.headers(1, GET), frames.headers(1, GET), Code.STREAM_CLOSED),
    "DATA behind RST_STREAM": (
        b"",
        frames.headers(1, POST, ends=False) + frames.reset(1) + frames.data(1, b"x"),
        Code.STREAM_CLOSED,
    ),
    "HEADERS behind RST_STREAM": (
        b"",
        frames.headers(1, POST, ends=False) + frames.reset(1) + frames.headers(1, GET),
        Code.STREAM_CLOSED,
    ),
    "a number that was left out": (b"", frames.headers(5, GET) + frames.headers(3, GET), Code.PROTOCOL_ERROR),
}


class TestEndedStreams:
    @pytest.mark.parametrize("name", FRAMES_AFTER_THE_END)
    def test_their_frames_end_the_connection(self, name: str, attacker: RawClient, bystander: Http2Client) -> None:
        first, second, code = FRAMES_AFTER_THE_END[name]
        if first:
            attacker.send(first)
            while not next_of(attacker, 1).flags & Flag.END_STREAM:
                pass
        attacker.send(second)
        assert last_words(attacker) == code
        assert bystander.ask(get()).status == 200

    def test_frames_on_their_way_to_one_that_the_router_has_ended_are_no_fault(self, attacker: RawClient) -> None:
        attacker.send(frames.headers(1, [*POST, (b"content-length", b"1")], ends=False) + frames.data(1, b"ab"))
        assert next_of(attacker, 1).code == Code.PROTOCOL_ERROR
        attacker.send(frames.data(1, b"c") + frames.headers(1, [(b"x", b"y")]) + frames.headers(3, GET))
        assert next_of(attacker, 3).kind == Kind.HEADERS

    def test_numbers_may_be_left_out(self, attacker: RawClient) -> None:
        attacker.send(frames.headers(7, POST, ends=False) + frames.headers(11, GET) + frames.headers(7, [(b"x", b"y")]))
        assert next_of(attacker, 7).kind == Kind.HEADERS


def test_a_window_that_overflows_ends_its_stream(attacker: RawClient) -> None:
    update = frames.window_update(1, 0x7FFFFFFF)
    attacker.send(frames.headers(1, POST, ends=False) + update[:-1])
    attacker.send(update[-1:] + update)
    reset = next_of(attacker, 1)
    assert (reset.kind, reset.code) == (Kind.RST_STREAM, Code.FLOW_CONTROL_ERROR)
    attacker.send(frames.headers(3, GET) + frames.window_update(3, 1 << 30))
    assert next_of(attacker, 3).kind == Kind.HEADERS


class TestManyStreams:
    def test_more_than_allowed_are_refused(self, router: FrontRouter, context: ssl.SSLContext) -> None:
        with Http2Client(TlsClient(router.port, context)) as client:
            limit = client.wait_for(lambda: client.settings.get(Setting.MAX_CONCURRENT_STREAMS))
        with TlsClient(router.port, context) as raw:
            opened = b"".join(frames.headers(number, POST, ends=False) for number in streams(limit + 1))
            raw.send(frames.PREFACE + frames.settings() + opened)
            frame = next_of(raw, 2 * limit + 1)
            assert (frame.kind, frame.code) == (Kind.RST_STREAM, Code.REFUSED_STREAM)


# --- smuggling --------------------------------------------------------------------------------------------------------


def changed(name: bytes, value: bytes | None, fields: Fields = GET) -> Fields:
    """The request with another value of a pseudo-header, or without it."""
    return [(key, value if key == name else old) for key, old in fields if key != name or value is not None]  # type: ignore[misc]


SMUGGLED_HEADS: dict[str, Fields] = {
    "a name in upper case": [*GET, (b"X-Upper", b"1")],
    "a name with CR LF": [*GET, (b"x\r\nhost", b"evil")],
    "a name with LF": [*GET, (b"x\nhost", b"evil")],
    "a name with NUL": [*GET, (b"x\0y", b"1")],
    "a name with a colon": [*GET, (b"x:y", b"1")],
    "a name with a space": [*GET, (b"x y", b"1")],
    "a name with a tab": [*GET, (b"x\ty", b"1")],
    "a name beyond ASCII": [*GET, (b"x\xe9", b"1")],
    "an empty name": [*GET, (b"", b"1")],
    "a value with CR LF": [*GET, (b"x", b"1\r\ntransfer-encoding: chunked")],
    "a value with LF": [*GET, (b"x", b"1\n\nGET /evil HTTP/1.1")],
    "a value with CR": [*GET, (b"x", b"1\rhost: evil")],
    "a value with NUL": [*GET, (b"x", b"1\0")],
    "a value with a space in front": [*GET, (b"x", b" 1")],
    "a value with a tab behind": [*GET, (b"x", b"1\t")],
    "a cookie with CR LF": [*GET, (b"cookie", b"a=1"), (b"cookie", b"b=2\r\nx: y")],
    ":method twice": [(b":method", b"POST"), *GET],
    ":scheme twice": [(b":scheme", b"http"), *GET],
    ":path twice": [(b":path", b"/evil"), *GET],
    ":authority twice": [(b":authority", b"evil"), *GET],
    "a late :path": [*changed(b":path", None), (b"x", b"1"), (b":path", b"/")],
    "an unknown pseudo-header": [*GET, (b":evil", b"1")],
    ":status in a request": [*GET, (b":status", b"200")],
    ":protocol without CONNECT": [*GET, (b":protocol", b"websocket")],
    "without :method": changed(b":method", None),
    "without :scheme": changed(b":scheme", None),
    "without :path": changed(b":path", None),
    "an empty :method": changed(b":method", b""),
    "an empty :path": changed(b":path", b""),
    ":method with a space": changed(b":method", b"GET /evil HTTP/1.1\r\nx:"),
    ":method with a blank": changed(b":method", b"GET "),
    ":path with a space": changed(b":path", b"/ HTTP/1.1"),
    ":path with CR LF": changed(b":path", b"/ HTTP/1.1\r\nhost: evil\r\n\r\nGET /evil"),
    ":path with a tab": changed(b":path", b"/\tx"),
    ":path with NUL": changed(b":path", b"/\0"),
    ":path without a slash": changed(b":path", b"evil"),
    ":path as a URL": changed(b":path", b"http://evil/"),
    ":path with an authority": changed(b":path", b"evil:80"),
    "* for another method than OPTIONS": changed(b":path", b"*"),
    ":scheme with a space": changed(b":scheme", b"https ://x"),
    ":scheme with CR LF": changed(b":scheme", b"https\r\nx: y"),
    ":authority with a space": changed(b":authority", b"app.test evil"),
    ":authority with CR LF": changed(b":authority", b"app.test\r\nx: y"),
    ":authority with a path": changed(b":authority", b"app.test/evil"),
    ":authority with a user": changed(b":authority", b"evil@app.test"),
    "Host against :authority": [*GET, (b"host", b"evil.test")],
    "Host twice": [*changed(b":authority", None), (b"host", b"app.test"), (b"host", b"evil.test")],
    "without Host and :authority": changed(b":authority", None),
    "connection": [*GET, (b"connection", b"close")],
    "keep-alive": [*GET, (b"keep-alive", b"timeout=5")],
    "proxy-connection": [*GET, (b"proxy-connection", b"keep-alive")],
    "transfer-encoding": [*POST, (b"transfer-encoding", b"chunked")],
    "upgrade": [*GET, (b"upgrade", b"websocket")],
    "te that is not trailers": [*GET, (b"te", b"gzip")],
    "content-length of another sum": [*POST, (b"content-length", b"5")],
    "content-length twice": [*POST, (b"content-length", b"0"), (b"content-length", b"5")],
    "content-length in a list": [*POST, (b"content-length", b"0, 0")],
    "content-length with a sign": [*POST, (b"content-length", b"+0")],
    "content-length with a blank": [*POST, (b"content-length", b"0 0")],
    "content-length that is negative": [*POST, (b"content-length", b"-1")],
    "content-length in hexadecimal": [*POST, (b"content-length", b"0x0")],
    "content-length that is empty": [*POST, (b"content-length", b"")],
    "content-length that overflows": [*POST, (b"content-length", b"18446744073709551616")],
    "CONNECT with :path": changed(b":method", b"CONNECT"),
}

LENGTH_3: Fields = [*POST, (b"content-length", b"3")]

SMUGGLED_BODIES: dict[str, bytes] = {
    "more than content-length": frames.headers(1, LENGTH_3, ends=False) + frames.data(1, b"abcGET /evil", ends=True),
    "more in another frame": frames.headers(1, LENGTH_3, ends=False)
    + frames.data(1, b"ab")
    + frames.data(1, b"cGET /evil", ends=True),
    "less than content-length": frames.headers(1, LENGTH_3, ends=False) + frames.data(1, b"ab", ends=True),
    "nothing of content-length": frames.headers(1, LENGTH_3, ends=False) + frames.data(1, b"", ends=True),
    "less before trailers": frames.headers(1, LENGTH_3, ends=False)
    + frames.data(1, b"ab")
    + frames.headers(1, [(b"x", b"1")]),
    "trailers that do not end": frames.headers(1, POST, ends=False)
    + frames.data(1, b"ab")
    + frames.headers(1, [(b"x", b"1")], ends=False),
    "a pseudo-header in trailers": frames.headers(1, POST, ends=False)
    + frames.data(1, b"ab")
    + frames.headers(1, [(b":path", b"/evil")]),
    "CR LF in trailers": frames.headers(1, POST, ends=False)
    + frames.data(1, b"ab")
    + frames.headers(1, [(b"x", b"1\r\n\r\nGET /evil HTTP/1.1")]),
    "an upper-case name in trailers": frames.headers(1, POST, ends=False)
    + frames.data(1, b"ab")
    + frames.headers(1, [(b"Upper", b"1")]),
    "transfer-encoding in trailers": frames.headers(1, POST, ends=False)
    + frames.data(1, b"ab")
    + frames.headers(1, [(b"transfer-encoding", b"chunked")]),
}


def assert_alive(client: ByteStream, serving: AnsweringBackend) -> None:
    """The connection serves its next request, the first that gets to a backend."""
    client.send(frames.headers(3, GET))
    frame = next_of(client, 3)
    assert (frame.kind, frame.flags & Flag.END_HEADERS) == (Kind.HEADERS, Flag.END_HEADERS), frame
    assert len(serving.requests) == 1


class TestSmuggling:
    """What would be another line, another request or another framing in HTTP/1.1 ends its stream and nothing else."""

    @pytest.mark.parametrize("name", SMUGGLED_HEADS)
    def test_heads(self, name: str, attacker: RawClient, serving: AnsweringBackend) -> None:
        attacker.send(frames.headers(1, SMUGGLED_HEADS[name]))
        frame = next_of(attacker, 1)
        assert frame.kind == Kind.RST_STREAM, frame
        assert frame.code == Code.PROTOCOL_ERROR
        assert_alive(attacker, serving)

    @pytest.mark.parametrize("name", SMUGGLED_BODIES)
    def test_bodies(self, name: str, attacker: RawClient, serving: AnsweringBackend) -> None:
        attacker.send(SMUGGLED_BODIES[name])
        frame = next_of(attacker, 1)
        assert frame.kind == Kind.RST_STREAM, frame
        assert frame.code == Code.PROTOCOL_ERROR
        assert_alive(attacker, serving)

    def test_a_tunnel(self, attacker: RawClient, serving: AnsweringBackend) -> None:
        attacker.send(frames.headers(1, [(b":method", b"CONNECT"), (b":authority", b"app.test:80")]))
        frame = next_of(attacker, 1)
        assert frame.kind == Kind.HEADERS
        assert dict(hpack.Decoder().decode(frame.payload, raw=True))[b":status"] == b"400"
        assert_alive(attacker, serving)

    def test_an_older_stream(self, attacker: RawClient, serving: AnsweringBackend) -> None:
        """It counts as closed."""
        attacker.send(frames.headers(5, GET) + frames.headers(3, GET) + frames.headers(7, GET))
        while next_of(attacker, 7).kind not in (Kind.HEADERS, Kind.GOAWAY):
            pass
        assert len(serving.requests) <= 2

    def test_what_looks_odd_and_is_sound(self, attacker: RawClient, serving: AnsweringBackend) -> None:
        fields = [*changed(b":path", b"/a%20b;c?d=\xc3\xa9"), (b"x", b"a b\tc"), (b"te", b"trailers"), (b"y", b"")]
        attacker.send(frames.headers(1, fields))
        frame = next_of(attacker, 1)
        assert frame.kind == Kind.HEADERS, frame
        assert serving.requests[0].target == b"/a%20b;c?d=\xc3\xa9"
        assert serving.requests[0].value(b"X") == b"a b\tc"


def test_data_of_a_byte_goes_on_together(issuer: Issuer, context: ssl.SSLContext) -> None:
    """The backend gets what was read at once, and not a chunk for each frame."""
    tls = server_tls(issuer.pair(HOST), protocols=("h2", "http/1.1"))
    with (
        RawBackend() as backend,
        FrontRouter(Endpoint("127.0.0.1", backend.port), tls=tls) as router,
        TlsClient(router.port, context) as client,
    ):
        client.send(frames.PREFACE + frames.settings() + frames.headers(1, POST, ends=False))
        stream = backend.accept()
        stream.read_request_head()
        client.send(frames.data(1, b"x") * 5000 + frames.data(1, ends=True))
        body = stream.read_until(b"\r\n0\r\n\r\n")
    chunks = body.split(b"\r\n")[1::2]
    assert sum(len(chunk) for chunk in chunks) == 5000
    assert len(chunks) < 500


def test_bytes_in_pieces(router: FrontRouter, context: ssl.SSLContext, serving: AnsweringBackend) -> None:
    """One byte a record: frames end where they end."""
    with TlsClient(router.port, context) as client:
        client.send_split(frames.PREFACE + frames.settings() + frames.headers(1, POST, ends=False))
        client.send_split(frames.data(1, b"abc") + frames.data(1, ends=True))
        assert next_of(client, 1).kind == Kind.HEADERS
        assert serving.requests[0].body == b"abc"


def test_priorities_and_padding_are_no_matter(attacker: RawClient, serving: AnsweringBackend) -> None:
    padded = b"\x05" + struct.pack(">IB", 0, 16) + frames.block(POST) + bytes(5)
    attacker.send(Frame(Kind.HEADERS, Flag.END_HEADERS | Flag.PADDED | Flag.PRIORITY, 1, padded).encode())
    attacker.send(Frame(Kind.DATA, Flag.PADDED | Flag.END_STREAM, 1, b"\x02abc\0\0").encode())
    assert next_of(attacker, 1).kind == Kind.HEADERS
    assert serving.requests[0].body == b"abc"
