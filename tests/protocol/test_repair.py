"""Faults of responses that RFC 9112 lets a proxy repair are repaired; what stays ambiguous is 502 (spec 4.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .conversation import Conversation
from .test_splits import cut, splits

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"


def answered(*pieces: bytes) -> tuple[list[bytes], bytes, Conversation]:
    """The lines of the head that the client gets, its body, and the conversation: the backend has sent these pieces."""
    conversation = Conversation()
    conversation.from_client(GET)
    conversation.from_backend(*pieces)
    head, _, body = bytes(conversation.client.written).partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body, conversation


REPAIRED = {
    "folded": (b"X-A: one\r\n two\r\n\t three \r\nContent-Length: 2", b"X-A: one two three"),
    "folded-with-a-colon": (b"X-A: one\r\n two: three\r\nContent-Length: 2", b"X-A: one two: three"),
    "folded-empty": (b"X-A: one\r\n \r\nContent-Length: 2", b"X-A: one"),
    "blank-before-colon": (b"X-A : one\r\nContent-Length: 2", b"X-A: one"),
    "tab-before-colon": (b"X-A\t: one\r\nContent-Length: 2", b"X-A: one"),
    "blank-before-the-colon-of-the-length": (b"X-A: one\r\nContent-Length : 2", b"X-A: one"),
    "the-same-length-twice": (b"Content-Length: 2\r\nX-A: one\r\ncontent-length:  2", b"X-A: one"),
    "bare-line-feeds": (b"X-A : one\nContent-Length: 2", b"X-A: one"),
}


class TestHead:
    @pytest.mark.parametrize(("fields", "line"), REPAIRED.values(), ids=REPAIRED)
    def test_is_rendered_anew(self, fields: bytes, line: bytes) -> None:
        head, body, conversation = answered(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\nok")
        assert head[0] == b"HTTP/1.1 200 OK"
        assert line in head
        assert [one for one in head if one.lower().startswith(b"content-length")] == [b"Content-Length: 2"]
        assert body == b"ok"
        assert conversation.backend.is_over, "a connection on which that was sent is not trusted with another request"

    def test_a_name_with_a_blank_is_left_out(self) -> None:
        head, body, _ = answered(b"HTTP/1.1 200 OK\r\nX A: one\r\nX-B: three\r\nContent-Length: 2\r\n\r\nok")
        assert b"X-B: three" in head
        assert not any(b"one" in line for line in head)
        assert body == b"ok"

    @pytest.mark.parametrize("length", [b"5", b"5\r\nContent-Length: 6", b"x"])
    @pytest.mark.parametrize("is_first", [True, False])
    def test_a_length_beside_chunks_does_not_count(self, length: bytes, is_first: bool) -> None:
        fields = [b"Content-Length: " + length, b"Transfer-Encoding: chunked"]
        fields = fields if is_first else fields[::-1]
        head, body, conversation = answered(
            b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(fields) + b"\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        )
        assert b"Transfer-Encoding: chunked" in head
        assert not any(line.lower().startswith(b"content-length") for line in head)
        assert body == b"2\r\nok\r\n0\r\n\r\n"
        assert conversation.backend.is_over

    @pytest.mark.parametrize("end", [b"\r\n", b"\n"])
    @pytest.mark.parametrize(
        "coding", [b"chunked", b" chunked\t", b"\tchunked", b"  Chunked \t ", b" chunked ", b" chunked\t\t"]
    )
    def test_blanks_around_a_transfer_coding(self, coding: bytes, end: bytes) -> None:
        """They are no fault at all (RFC 9110 section 5.5)."""
        head, body, conversation = answered(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding:" + coding + end + end + b"2\r\nok\r\n0\r\n\r\n"
        )
        assert b"Transfer-Encoding: chunked" in head
        assert body == b"2\r\nok\r\n0\r\n\r\n"
        assert not conversation.backend.is_closing()

    @pytest.mark.parametrize("line", [b"HTTP/1.1  200 OK", b"HTTP/1.1    200", b"HTTP/1.0  200 Fine"])
    def test_blanks_in_front_of_the_status(self, line: bytes) -> None:
        head, body, _ = answered(line + b"\r\nContent-Length: 2\r\n\r\nok")
        assert head[0] == b"HTTP/1.1 200 OK"
        assert body == b"ok"

    @pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"9.9"])
    def test_of_another_version(self, version: bytes) -> None:
        head, body, conversation = answered(b"HTTP/" + version + b" 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert head[0] == b"HTTP/1.1 200 OK"
        assert body == b"ok"
        assert conversation.backend.is_over

    def test_of_an_interim_response(self) -> None:
        _, body, _ = answered(
            b"HTTP/1.1 103 Early Hints\r\nLink: <a>;\r\n rel=x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 2\r\n\r\nok",
        )
        assert b"X-A: b\r\n" in body
        assert body.endswith(b"\r\n\r\nok")

    @given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20), name=st.sampled_from(sorted(REPAIRED)))
    def test_in_any_pieces(self, sizes: list[int], name: str) -> None:
        fields, line = REPAIRED[name]
        head, body, _ = answered(*cut(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\nok", sizes))
        assert line in head
        assert body == b"ok"

    @pytest.mark.parametrize(
        "head",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 02",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2",
            b"HTTP/1.1 200 OK\r\nContent-Length:",
            b"HTTP/1.1 200 OK\r\nContent-Length: +2",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 2",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n , chunked",
            b"HTTP/1.1 200 OK\r\n folded: first\r\nContent-Length: 2",
            b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2",
            b"HTTP/1.1 200 OK\r\nX(: a\r\nContent-Length: 2",
            b"HTTP/1.1 200 OK\r\nX-A : a\0b\r\nContent-Length: 2",
            b"HTTP/1.1 200 OK\r\nX-A : a\rb\r\nContent-Length: 2",
            b"HTTP/1.1\t200 OK\r\nContent-Length: 2",
            b"HTTP/1.1 2x0 OK\r\nContent-Length: 2",
            b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 2",
            b"HTTP/1.x 200 OK\r\nContent-Length: 2",
            b"HTTP/11 200 OK\r\nContent-Length: 2",
            b"HTTP/-1.1 200 OK\r\nContent-Length: 2",
            b"HTTP/1.1 200 OK\r\nX-A : b\r\n" + b"X: y\r\n" * 1000 + b"Content-Length: 2",
            b"HTTP/1.1 200 OK\r\nX-A : " + b"b" * 65536 + b"\r\nContent-Length: 2",
        ],
    )
    def test_what_stays_ambiguous_or_is_none(self, head: bytes) -> None:
        lines, _, conversation = answered(head + b"\r\n\r\nok")
        assert lines[0] == b"HTTP/1.1 502 Bad Gateway"
        assert conversation.backend.is_over


class TestFirstLine:
    """What cannot become a status line is refused when that is clear, not when the attempt's time is over."""

    @pytest.mark.parametrize(
        "start",
        [
            b"S",
            b"SSH-2.0-x",
            b"SSH-2.0-x\r\n",
            b"\r\n",
            b"HTTQ",
            b"HTTP/x",
            b"HTTP/1x",
            b"HTTP/1.x",
            b"HTTP/11",
            b"HTTP/1.1\t",
            b"HTTP/1.1\r\n",
            b"HTTP/1.1 \r\n",
            b"HTTP/1.1 2x0 OK\r\n",
            b"HTTP/1.1 0",
            b"HTTP/1.1 -",
            b"HTTP/1.1 20\r\n",
            b"HTTP/1.1 2000",
            b"HTTP/1.1 200OK",
            b"HTTP/1.1 200\t",
            b"ICY 200 OK\r\n",
            b"\x15\x03\x01",
        ],
    )
    def test_what_is_none(self, start: bytes) -> None:
        for pieces in ([start], cut(start, [1])):
            head, _, conversation = answered(*pieces)
            assert head[0] == b"HTTP/1.1 502 Bad Gateway"
            assert conversation.backend.is_over

    @pytest.mark.parametrize(
        "start",
        [
            b"H",
            b"HTTP/",
            b"HTTP/1.1 2",
            b"HTTP/2.0   2",
            b"HTTP/1.1 200\r",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1  200\n",
            b"HTTP/1.1 200 OK\r\nA",
        ],
    )
    def test_what_may_become_one(self, start: bytes) -> None:
        for pieces in ([start], cut(start, [1])):
            _, _, conversation = answered(*pieces)
            assert not conversation.client.written
            assert not conversation.backend.is_closing()


class TestChunkSizes:
    """Blanks behind the size of a chunk go, as in Gorouter; in a request they are refused."""

    BODY = b"5 \r\nhello\r\n6\t \t\r\n world\r\n0  \r\nX-Trailer: t\r\n\r\n"

    @given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20))
    def test_of_a_response(self, sizes: list[int]) -> None:
        response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n" + self.BODY
        _, body, conversation = answered(*cut(response, sizes))
        chunks, payload = body, b""
        while (size := int(chunks.partition(b"\r\n")[0], 16)) > 0:
            start = chunks.index(b"\r\n") + 2
            payload += chunks[start : start + size]
            chunks = chunks[start + size + 2 :]
        assert payload == b"hello world"
        assert chunks == b"0\r\nX-Trailer: t\r\n\r\n"
        assert not conversation.backend.is_closing()

    @pytest.mark.parametrize("line", [b" 5", b"5 5", b"5 ;a", b"5 x", b"5\x0b", b"5" + b" " * 5000])
    def test_other_blanks(self, line: bytes) -> None:
        _, body, conversation = answered(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + line + b"\r\nhello\r\n0\r\n\r\n"
        )
        assert not body.endswith(b"0\r\n\r\n")
        assert conversation.client.is_over

    def test_of_a_request(self) -> None:
        conversation = Conversation()
        conversation.from_client(b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n" + self.BODY)
        assert b"HTTP/1.1 400 Bad Request" in conversation.client.written


class TestTrailers:
    """The trailer section of a response is repaired as its head is."""

    START = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"

    @pytest.mark.parametrize(
        ("lines", "kept"),
        [
            (b"A: b\r\n c\r\n\t d\r\n", b"A: b c d\r\n"),
            (b"A : b\r\nC\t: d\r\n", b"A: b\r\nC: d\r\n"),
            (b"A B: c\r\nD: e\r\n", b"D: e\r\n"),
            (b"A B: c\r\n", b""),
            (b"A: b\nC: d\n", b"A: b\r\nC: d\r\n"),
        ],
    )
    def test_is_rendered_anew(self, lines: bytes, kept: bytes) -> None:
        for pieces in splits(lines + b"\r\n"):
            _, body, conversation = answered(self.START, *pieces)
            assert body == b"2\r\nok\r\n0\r\n" + kept + b"\r\n", pieces
            assert not conversation.client.is_over
            assert conversation.backend.is_over, "it is not trusted with another request"
            conversation.end()

    def test_a_sound_one_is_passed_on(self) -> None:
        for pieces in splits(b"A: b\r\nC: d\r\n\r\n"):
            _, body, conversation = answered(self.START, *pieces)
            assert body == b"2\r\nok\r\n0\r\nA: b\r\nC: d\r\n\r\n", pieces
            assert not conversation.backend.is_closing()
            conversation.end()

    @pytest.mark.parametrize(
        "lines", [b" A: b\r\n", b"no colon\r\n", b": b\r\n", b"A: b\0\r\n", b"A: b\rc\r\n", b"A(: b\r\n"]
    )
    def test_what_is_past_repair(self, lines: bytes) -> None:
        for pieces in splits(lines + b"\r\n"):
            _, body, conversation = answered(self.START, *pieces)
            assert not body.endswith(b"0\r\n\r\n")
            assert conversation.client.is_over
            assert conversation.backend.is_over
            conversation.end()

    def test_a_line_feed_alone_ends_none(self) -> None:
        _, _, conversation = answered(self.START, b"A: b\r\n\n")
        assert conversation.client.is_over
