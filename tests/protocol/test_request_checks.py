"""Requests at the edge of what is one: ports, authorities, transfer codings, blank lines."""

import pytest

from fastrouter._core import Settings

from .conversation import Conversation
from .test_splits import OK


def sent(data: bytes) -> Conversation:
    conversation = Conversation()
    conversation.from_client(data)
    return conversation


class TestPorts:
    @pytest.mark.parametrize(
        "port", [b":8x", b":-1", b":80:b", b": 80", b":+80", b":80 x", b":0x50", b"::8x", b":80:", b"::80", b":80:80"]
    )
    def test_what_is_none_is_refused(self, port: bytes) -> None:
        for head in (
            b"GET / HTTP/1.1\r\nHost: app.test" + port + b"\r\n\r\n",
            b"GET http://app.test" + port.replace(b" ", b"") + b"/ HTTP/1.1\r\nHost: app.test\r\n\r\n",
        ):
            if port == b": 80" and head.startswith(b"GET http"):
                continue
            conversation = sent(head)
            assert conversation.client.written.startswith(b"HTTP/1.1 400 Bad Request"), head
            assert not conversation.loop.dialled

    @pytest.mark.parametrize("port", [b"", b":", b":80", b":0", b":99999999"])
    def test_what_is_one_is_passed_on(self, port: bytes) -> None:
        conversation = sent(b"GET / HTTP/1.1\r\nHost: app.test" + port + b"\r\n\r\n")
        assert b"Host: app.test" + port + b"\r\n" in conversation.backend.written

    @pytest.mark.parametrize("host", [b"[::1", b"[::1]x", b"[::1]:8x", b"[::1]80", b"[::1]x]:80", b"[::1]:80:"])
    def test_of_an_address_of_version_6(self, host: bytes) -> None:
        assert sent(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").client.written.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("target", [b"http:///P", b"http://", b"http://?x", b"http://user@/"])
def test_an_absolute_target_names_a_host(target: bytes) -> None:
    conversation = sent(b"GET " + target + b" HTTP/1.1\r\nHost: app.test\r\n\r\n")
    assert conversation.client.written.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("coding", [b"chunked\t", b"chunked \t ", b"\tchunked", b"Chunked\t", b"chunked"])
def test_blanks_around_a_transfer_coding(coding: bytes) -> None:
    conversation = sent(
        b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: " + coding + b"\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    head, _, body = bytes(conversation.backend.written).partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked" in head
    assert body == b"2\r\nok\r\n0\r\n\r\n"
    conversation.from_backend(OK)
    assert conversation.client.written.endswith(b"hello")


@pytest.mark.parametrize("coding", [b"chunked\tx", b"chunked\x0b", b"x\tchunked", b"chunked,\t", b"chunked\t,chunked"])
def test_what_is_another_coding(coding: bytes) -> None:
    conversation = sent(
        b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: " + coding + b"\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    )
    assert conversation.client.written.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
    assert not conversation.loop.dialled


def test_blank_lines_do_not_keep_a_connection() -> None:
    """They are no request, and the time for a request is not extended by them."""
    conversation = Conversation(settings=Settings(read_header_timeout=0.001, frontend_idle_timeout=1000))
    conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
    conversation.from_backend(OK)
    conversation.let_deadlines_pass()
    assert not conversation.client.is_over
    conversation.from_client(b"\r\n")
    conversation.let_deadlines_pass()
    assert conversation.client.is_over


class TestEmptyLength:
    """`Content-Length:` without a value, which Gorouter's Go refuses unless GODEBUG says otherwise (spec 2.5)."""

    HEAD = b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length:"

    @pytest.mark.parametrize("blank", [b"", b" ", b"\t"])
    def test_is_none_where_it_is_taken(self, blank: bytes) -> None:
        conversation = Conversation(settings=Settings(takes_empty_length=True))
        conversation.from_client(self.HEAD + blank + b"\r\n\r\n")
        head, _, body = bytes(conversation.backend.written).partition(b"\r\n\r\n")
        assert b"\r\nContent-Length: 0" in head
        assert body == b""
        conversation.from_backend(OK)
        assert conversation.client.written.startswith(b"HTTP/1.1 200 OK\r\n")
        assert not conversation.client.is_closing()

    @pytest.mark.parametrize(
        "more",
        [
            b"\r\nContent-Length: 1\r\n\r\nx",
            b"\r\nContent-Length:\r\n\r\n",
            b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ],
    )
    def test_is_refused_beside_other_framing(self, more: bytes) -> None:
        conversation = Conversation(settings=Settings(takes_empty_length=True))
        conversation.from_client(self.HEAD + more)
        assert conversation.client.written.startswith(b"HTTP/1.1 400 ")
        assert not conversation.loop.dialled

    def test_is_refused_otherwise(self) -> None:
        assert sent(self.HEAD + b"\r\n\r\n").client.written.startswith(b"HTTP/1.1 400 ")
