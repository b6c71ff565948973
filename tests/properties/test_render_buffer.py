"""Messages of any size come out whole, one behind the other: what they are rendered into grows, and shrinks again."""

from hypothesis import given
from hypothesis import strategies as st

from fastrouter._core import AccessLog, Settings
from protocol.conversation import Conversation

# A buffer begins with 1 KiB and doubles; what is beyond half a MiB goes back.
SIZES = st.one_of(
    st.builds(lambda power, beside: 2**power + beside, st.integers(9, 17), st.integers(-300, 20)),
    st.integers(0, 70_000),
    st.sampled_from([0, 1, 524_288, 700_000]),
)


def fields(size: int) -> bytes:
    """Header lines of `size` bytes or a few more, whose names are spelt another way when they go on."""
    line = b"x-" + b"n" * 30 + b": " + b"v" * 900 + b"\r\n"
    count, rest = divmod(size, len(line))
    return line * count + b"x-rest: " + b"r" * rest + b"\r\n"


def canonical(lines: bytes) -> bytes:
    return lines.replace(b"x-nnn", b"X-Nnn").replace(b"x-rest", b"X-Rest")


def body_of(response: bytes) -> bytes:
    """The body of a chunked response that the router has put into chunks of its own."""
    rest = response.partition(b"\r\n\r\n")[2]
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        assert size == b"%x" % int(size, 16), "the shortest form"
        body += rest[: int(size, 16)]
        assert rest[int(size, 16) : int(size, 16) + 2] == b"\r\n"
        rest = rest[int(size, 16) + 2 :]
    return body


@given(SIZES, SIZES)
def test_heads_of_any_size_come_out_whole(first: int, second: int) -> None:
    conversation = Conversation()
    for size in (first, second):
        conversation.loop.dialled.clear()
        lines = fields(size)
        conversation.client.written.clear()
        conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\n" + lines + b"\r\n")
        backend = conversation.loop.dialled[-1]
        assert b"\r\nHost: app.test\r\n" + canonical(lines) + b"X-Forwarded-For: " in backend.written
        assert backend.written.endswith(b"X-Cf-Instanceindex: 0\r\n\r\n")
        conversation.from_backend(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + lines + b"Content-Length: 2\r\n\r\nok")
        assert b"HTTP/1.1 200 OK\r\n" + canonical(lines) + b"X-Vcap-Request-Id: " in conversation.client.written
        assert conversation.client.written.endswith(b"Content-Length: 2\r\n\r\nok")
    conversation.end()


@given(SIZES, st.lists(st.integers(1, 70_000), max_size=4))
def test_chunks_behind_heads_of_any_size_come_out_whole(size: int, chunks: list[int]) -> None:
    conversation = Conversation()
    conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
    body = b"".join(b"%x\r\n" % chunk + b"c" * chunk + b"\r\n" for chunk in chunks)
    conversation.from_backend(
        b"HTTP/1.1 200 OK\r\n" + fields(size) + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"
    )
    assert canonical(fields(size)) in conversation.client.written
    assert body_of(bytes(conversation.client.written)) == b"c" * sum(chunks)
    conversation.end()


@given(SIZES, st.integers(0, 8))
def test_rules_rewrite_heads_of_any_size(size: int, gone: int) -> None:
    conversation = Conversation(settings=Settings(removed_headers=["X-Gone"], added_headers=["X-Added: " + "a" * 500]))
    conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
    conversation.from_backend(
        b"HTTP/1.1 200 OK\r\n" + b"X-Gone: g\r\n" * gone + fields(size) + b"X-Gone: g\r\nContent-Length: 2\r\n\r\nok"
    )
    written = bytes(conversation.client.written)
    assert written.startswith(b"HTTP/1.1 200 OK\r\n" + canonical(fields(size)) + b"X-Vcap-Request-Id: ")
    assert b"X-Gone" not in written
    assert written.count(b"\r\nX-Added: " + b"a" * 500 + b"\r\n") == 1
    assert written.endswith(b"\r\n\r\nok")
    conversation.end()


@given(st.lists(SIZES.filter(lambda size: size < 65_536), min_size=1, max_size=8), st.booleans())
def test_log_lines_of_any_size_come_out_whole(sizes: list[int], is_json: bool) -> None:
    lines: list[bytes] = []
    conversation = Conversation(access_log=AccessLog(lines.append, is_json=is_json))
    # Each byte takes three or four in the line.
    agents = [b"\x80" * size + b"." for size in sizes]
    for agent in agents:
        conversation.from_client(b"GET / HTTP/1.1\r\nHost: unknown.test\r\nUser-Agent: " + agent + b"\r\n\r\n")
    conversation.end()
    shown = [agent.replace(b"\x80", "\ufffd".encode() if is_json else rb"\x80") for agent in agents]
    assert len(b"".join(lines).splitlines()) == len(sizes)
    for line, agent in zip(b"".join(lines).splitlines(), shown, strict=True):
        assert b'"' + agent + b'"' in line
