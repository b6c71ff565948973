"""One request never pays for another: what a connection leaves behind, and what it has not said yet."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from fastrouter._core import AccessLog, DataPlane, Endpoint, RouteTable, Settings

from .conversation import Conversation
from .fake_network import FakeLoop

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class TestLineEnds:
    """Whatever stands in front of a bare line feed, the other side gets CRLF, or nothing at all."""

    # Where the line feed is, and what stands in front of it.
    REQUESTS: ClassVar[dict[str, bytes]] = {
        "first line": b"GET / HTTP/1.1%b\nHost: app.test\r\nB: c\r\n\r\n",
        "host": b"GET / HTTP/1.1\r\nHost: app.test%b\nB: c\r\n\r\n",
        "header": GET[:-2] + b"A: b%b\nB: c\r\n\r\n",
        "empty header": GET[:-2] + b"A:%b\nB: c\r\n\r\n",
        "last header": GET[:-2] + b"A: b%b\n\r\n",
        "end": GET[:-2] + b"A: b\r\n%b\n",
        "all lines": b"GET / HTTP/1.1%b\nHost: app.test%b\nA: b%b\n\n",
        "named by Connection": GET[:-2] + b"A: b%b\nB: c\r\nConnection: A%b\n\r\n",
        "hop by hop": GET[:-2] + b"Te: trailers%b\nKeep-Alive: b%b\n\r\n",
        "set by the router": GET[:-2] + b"X-Forwarded-For: 10.1.1.1%b\nX-Forwarded-Proto: http%b\n\r\n",
        "cookie": GET[:-2] + b"Cookie: JSESSIONID=a; __VCAP_ID__=one%b\n\r\n",
        "trailer": POST + b"1\r\nx\r\n0\r\nA: b%b\nB: c\r\n\r\n",
        "end of a trailer": POST + b"1\r\nx\r\n0\r\nA: b\r\n%b\n",
        "chunk": POST + b"1%b\nx\r\n0\r\n\r\n",
    }
    RESPONSES: ClassVar[dict[str, bytes]] = {
        "first line": b"HTTP/1.1 200 OK%b\nContent-Length: 0\r\nB: c\r\n\r\n",
        "status": b"HTTP/1.1 200%b\nContent-Length: 0\r\nB: c\r\n\r\n",
        "header": EMPTY[:-2] + b"A: b%b\nB: c\r\n\r\n",
        "empty header": EMPTY[:-2] + b"A:%b\nB: c\r\n\r\n",
        "last header": EMPTY[:-2] + b"A: b%b\n\r\n",
        "end": EMPTY[:-2] + b"A: b\r\n%b\n",
        "all lines": b"HTTP/1.1 200 OK%b\nContent-Length: 0%b\nA: b%b\n\n",
        "named by Connection": EMPTY[:-2] + b"A: b%b\nConnection: A%b\n\r\n",
        "removed by a rule": EMPTY[:-2] + b"X-Gone: b%b\nA: b%b\n\r\n",
        "cookie": EMPTY[:-2] + b"Set-Cookie: JSESSIONID=a; Secure%b\n\r\n",
        "interim": b"HTTP/1.1 103 Early Hints%b\nLink: </a>%b\nX-Gone: b%b\n\r\n" + EMPTY,
        "switch": SWITCHING[:-2] + b"A: b%b\n\r\n",
        "trailer": CHUNKED + b"1\r\nx\r\n0\r\nA: b%b\nB: c\r\n\r\n",
        "end of a trailer": CHUNKED + b"1\r\nx\r\n0\r\nA: b\r\n%b\n",
        "chunk": CHUNKED + b"1%b\nx\r\n0\r\n\r\n",
    }
    # Any byte but another line feed, and blanks behind it.
    ENDS: ClassVar[list[bytes]] = [b"", b" ", b"\t", b" \t "] + [
        bytes([byte]) + blanks for byte in range(256) if byte != 10 for blanks in (b"", b" ", b"\t", b" \t ")
    ]

    @pytest.mark.parametrize("place", REQUESTS)
    def test_of_a_request(self, place: str) -> None:
        for end in self.ENDS:
            conversation = Conversation()
            conversation.from_client(self.filled(self.REQUESTS[place], end))
            for transport in conversation.loop.dialled:
                self.assert_sound(transport.written)
            self.assert_sound(conversation.client.written)
            self.assert_no_fault(conversation)

    @pytest.mark.parametrize("place", RESPONSES)
    def test_of_a_response(self, place: str) -> None:
        for end in self.ENDS:
            conversation = Conversation(settings=Settings(removed_headers=("X-Gone",), added_headers=("X-New: 1",)))
            conversation.from_client(UPGRADE if place == "switch" else GET)
            conversation.from_backend(self.filled(self.RESPONSES[place], end))
            # What is no end of a head may still become one.
            conversation.backend.deliver_eof()
            conversation.loop.run()
            assert conversation.client.written or conversation.client.is_over, end
            self.assert_sound(conversation.client.written)
            self.assert_no_fault(conversation)

    def filled(self, message: bytes, end: bytes) -> bytes:
        return message % ((end,) * message.count(b"%b"))

    def assert_sound(self, written: bytearray) -> None:
        """No line ends but CRLF; the bodies of the router's own responses are text."""
        heads = bytes(written)
        if b"X-Cf-Routererror: " in heads:
            heads = heads[: heads.index(b"\r\n\r\n", heads.index(b"X-Cf-Routererror: "))]
        rest = heads.replace(b"\r\n", b"")
        assert b"\n" not in rest, heads
        assert b"\r" not in rest, heads

    def assert_no_fault(self, conversation: Conversation) -> None:
        assert not [message for _, message, _ in conversation.events if "panic" in message]
        conversation.end()


class TestParsers:
    """llhttp takes some messages for the last of a connection; such a parser is not used again."""

    @pytest.fixture(autouse=True)
    def is_poison(self) -> Iterator[None]:
        yield
        # Whoever comes next, at any of the parsers that there are.
        for _ in range(3):
            conversation = Conversation()
            conversation.from_client(GET)
            conversation.from_backend(OK)
            assert conversation.client.written.startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize("line", [b"Proxy-Connection: close", b"Connection: close", b"Connection: x, close"])
    def test_of_a_request(self, line: bytes) -> None:
        conversation = Conversation()
        conversation.from_client(GET[:-2] + line + b"\r\n\r\n")
        conversation.from_backend(OK)

    @pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
    @pytest.mark.parametrize(
        "line", [b"Proxy-Connection: close", b"Proxy-Connection: keep-alive", b"Connection: close"]
    )
    def test_of_a_response(self, version: bytes, line: bytes) -> None:
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.from_backend(OK.replace(b"HTTP/1.1", version).replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n"))
        assert conversation.client.written.endswith(b"ok")

    @pytest.mark.parametrize("name", [b"Connection", b"Proxy-Connection", b"connection"])
    def test_of_a_trailer(self, name: bytes) -> None:
        end = b"1\r\nx\r\n0\r\n" + name + b": close\r\n\r\n"
        conversation = Conversation()
        conversation.from_client(b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n" + end)
        conversation.from_backend(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + end)
        assert conversation.client.written.endswith(b"\r\n0\r\n\r\n")

    def test_of_an_interim_response(self) -> None:
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.from_backend(b"HTTP/1.1 103 Early Hints\r\nConnection: close\r\n\r\n" + OK)
        assert b"\r\n\r\nHTTP/1.1 200 " in conversation.client.written

    def test_of_a_body_that_breaks_off(self) -> None:
        conversation = Conversation()
        conversation.from_client(
            b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nzz\r\n"
        )


class TestWhatIsOnItsWay:
    """A response that breaks off takes nothing away of the one before, which its client may not have taken yet."""

    def begun(self, request: bytes, response: bytes) -> Conversation:
        conversation = Conversation()
        for _ in range(2):
            conversation.from_client(request)
            conversation.from_backend(response if conversation.client.written else OK)
        conversation.client.unsent = 1000
        return conversation

    @pytest.mark.parametrize(
        "broken",
        [b"Content-Length: 9\r\n\r\nbegun", b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"],
        ids=["length", "chunked"],
    )
    def test_a_close_waits_for_it(self, broken: bytes) -> None:
        conversation = self.begun(GET, b"HTTP/1.1 200 OK\r\n" + broken)
        conversation.backend.break_off()
        conversation.loop.run()
        assert conversation.client.is_closing_down
        assert not conversation.client.is_over

    def test_so_does_a_reset(self) -> None:
        kept = b"GET / HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\n\r\n"
        conversation = self.begun(kept, b"HTTP/1.1 200 OK\r\n\r\nbegun")
        conversation.backend.break_off()
        conversation.loop.tick()
        assert not conversation.client.is_over
        conversation.client.unsent = 0
        conversation.loop.tick()
        assert conversation.client.is_over

    def test_what_is_never_taken_is_given_up(self) -> None:
        conversation = self.begun(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun")
        conversation.backend.break_off()
        conversation.plane.stop()
        conversation.loop.run()
        assert conversation.client.is_over


class TestWhatIsLeft:
    """Nothing of a connection outlives it, and nothing of a data plane."""

    @pytest.fixture(autouse=True)
    def without_collector(self) -> Iterator[None]:
        gc.collect()
        gc.disable()
        yield
        gc.enable()

    @staticmethod
    def count(*names: str) -> int:
        return sum(type(each).__name__ in names for each in gc.get_objects())

    def serve(self, conversation: Conversation, request: bytes, *responses: bytes) -> None:
        conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
        conversation.from_client(request)
        for response in responses:
            conversation.from_backend(response)
        conversation.client.break_off()
        conversation.loop.run()

    @pytest.mark.parametrize(
        "responses",
        [
            (SWITCHING,),
            (),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",),
            (b"HTTP/1.1 2",),
            (b"garbage\r\n\r\n",),
        ],
        ids=["upgrade", "no response", "body", "head", "no HTTP"],
    )
    def test_of_exchanges_that_end_early(self, responses: tuple[bytes, ...]) -> None:
        conversation = Conversation()
        names = (
            "MessageValidator",
            "HttpResponseParser",
            "HttpRequestParser",
            "BackendConnection",
            "ClientConnection",
            "Exchange",
        )
        self.serve(conversation, UPGRADE, *responses)
        conversation.loop.dialled.clear()
        before = self.count(*names)
        for _ in range(20):
            self.serve(conversation, UPGRADE, *responses)
        conversation.loop.dialled.clear()
        assert self.count(*names) - before < 10

    def test_of_a_client_that_leaves_in_a_dial(self) -> None:
        conversation = Conversation()
        names = ("BackendConnection", "ClientConnection", "Exchange")
        before = self.count(*names)
        for _ in range(20):
            conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
            conversation.client.deliver(GET)
            conversation.client.break_off()
            conversation.loop.run()
        assert self.count(*names) - before < 10

    def test_of_a_data_plane(self) -> None:
        class Listener:
            def __call__(self, uri: str, address: str) -> None: ...

        listener = Listener()
        seen = weakref.ref(listener)
        lines: list[bytes] = []
        table = RouteTable()
        table.register("app.test", Endpoint("10.0.0.1", 8080))
        plane = DataPlane(table, access_log=AccessLog(lines.append), on_prune=listener)
        loop: Any = FakeLoop()
        plane.start(loop)
        client = loop.connect_client(plane.new_client())
        client.deliver(GET)
        loop.run()
        loop.dialled[0].deliver(OK)
        assert plane.stats()["idle_backend_connections"] == 1
        plane.stop()
        loop.run()
        assert loop.dialled[0].is_over
        assert plane.stats()["idle_backend_connections"] == 0
        del listener, table, plane, loop, client
        gc.collect()
        assert seen() is None
