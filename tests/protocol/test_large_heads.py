"""What request heads over 32 KiB may take together, and who makes way when that is full (ADR 23)."""

from typing import Any

import pytest

from fastrouter._core import AccessLog, Settings

from .conversation import Conversation
from .fake_network import FakeTransport

KB = 1000
LARGE = 32 * 1024
# Room for one head of the largest size there is, in HTTP/2: 1 MiB and 68 KiB.
NARROW = 1
START = b"GET / HTTP/1.1\r\nHost: app.test\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
PATIENT, IMPATIENT = 1e6, 0


def head(size: int) -> bytes:
    """A head of `size` bytes without its end."""
    lines = (size - len(START)) // KB * (b"X-Large: " + (KB - 11) * b"x" + b"\r\n")
    return START + lines + b"X-Rest: " + (size - len(START) - len(lines) - 8) * b"x"


class Hoard:
    """A router with room for a single head of full size, unless `settings` say something else, and its clients."""

    def __init__(self, access_log: AccessLog | None = None, **settings: Any) -> None:
        self.conversation = Conversation(
            settings=Settings(**{"max_large_heads": NARROW, "large_head_patience": PATIENT, **settings}),
            access_log=access_log,
        )
        self.loop = self.conversation.loop

    def client(self, *pieces: bytes) -> FakeTransport:
        """A client that has sent that."""
        client = self.loop.connect_client(self.conversation.plane.new_client())
        for piece in pieces:
            self.send(client, piece)
        return client

    def send(self, client: FakeTransport, data: bytes) -> None:
        if client.can_deliver:
            client.deliver(data)
        self.loop.run()

    @property
    def held(self) -> int:
        return self.conversation.plane.stats()["large_header_bytes"]

    @property
    def refused(self) -> int:
        return self.conversation.plane.stats()["refused_header_memory"]


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [900 * KB, 50 * KB, 700])
def test_a_single_head_is_served_whatever_its_size_is(size: int) -> None:
    hoard = Hoard()
    whole = head(900 * KB) + b"\r\n\r\n"
    client = hoard.client(*pieces(whole, size * 50 if size < KB else size))
    assert len(hoard.conversation.backend.written) > 900 * KB
    hoard.conversation.from_backend(OK)
    assert client.written.endswith(b"ok")
    assert (hoard.held, hoard.refused) == (0, 0)


class TestRoom:
    def test_a_head_counts_while_it_comes_and_while_its_request_is_under_way(self) -> None:
        hoard = Hoard()
        client = hoard.client(head(LARGE))
        assert hoard.held == 0
        hoard.send(client, b"x")
        assert hoard.held == LARGE + 1
        hoard.send(client, 10 * KB * b"x")
        assert hoard.held == LARGE + 1 + 10 * KB
        hoard.send(client, b"\r\n\r\n")
        assert hoard.held == LARGE + 5 + 10 * KB
        hoard.conversation.from_backend(OK)
        assert hoard.held == 0

    def test_one_that_comes_at_once_counts_too(self) -> None:
        hoard = Hoard()
        hoard.client(head(200 * KB) + b"\r\n\r\n")
        assert hoard.held == 200 * KB + 4
        hoard.conversation.from_backend(OK)
        assert hoard.held == 0

    def test_one_behind_another_request(self) -> None:
        hoard = Hoard()
        hoard.client(START + b"\r\n" + head(50 * KB))
        assert hoard.held == 0
        hoard.conversation.from_backend(OK)
        assert hoard.held == 50 * KB

    @pytest.mark.parametrize("whole", [b"", b"\r\n\r\n"])
    def test_it_is_free_again_when_the_client_leaves(self, whole: bytes) -> None:
        hoard = Hoard()
        client = hoard.client(head(900 * KB) + whole)
        assert hoard.held == 900 * KB + len(whole)
        client.break_off()
        hoard.loop.run()
        assert hoard.held == 0

    def test_and_when_its_head_takes_too_long(self) -> None:
        hoard = Hoard(read_header_timeout=0.001)
        client = hoard.client(head(900 * KB))
        hoard.conversation.let_deadlines_pass()
        assert client.is_over
        assert hoard.held == 0

    def test_and_when_it_is_malformed(self) -> None:
        hoard = Hoard()
        client = hoard.client(head(900 * KB), b"\r\n Folded: line\r\n\r\n")
        assert client.written.startswith(b"HTTP/1.1 400 Bad Request: invalid header name\r\n")
        assert hoard.held == 0

    def test_and_when_it_has_no_route(self) -> None:
        hoard = Hoard(route_patience=1)
        client = hoard.client(head(900 * KB).replace(b"app.test", b"no.where") + b"\r\n\r\n")
        # Both halves of the patience.
        for _ in range(2):
            hoard.loop.tick()
        assert client.written.startswith(b"HTTP/1.1 404 Not Found\r\n")
        assert hoard.held == 0

    def test_all_of_it_is_free_at_the_end(self) -> None:
        hoard = Hoard(max_large_heads=0)
        for whole in (b"", b"\r\n\r\n"):
            hoard.client(head(900 * KB) + whole)
        hoard.conversation.end()
        assert hoard.held == 0


class TestNoRoom:
    """900 KB are taken, and 218 KB are free."""

    @pytest.mark.parametrize("whole", [b"", b"\r\n\r\n"])
    @pytest.mark.parametrize("sent", [[head(300 * KB)], pieces(head(300 * KB), 20 * KB)])
    @pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
    def test_a_newcomer_is_refused(self, whole: bytes, sent: list[bytes], end: bytes) -> None:
        hoard = Hoard()
        first = hoard.client(head(900 * KB) + whole)
        second = hoard.client(*sent[:-1], sent[-1] + end)
        assert second.written.startswith(REFUSED)
        assert (hoard.held, hoard.refused) == (900 * KB + len(whole), 1)
        # Nobody else has noticed.
        hoard.send(first, b"" if whole else b"\r\n\r\n")
        hoard.conversation.from_backend(OK)
        assert first.written.endswith(b"ok")

    def test_its_line_tells_why(self) -> None:
        lines: list[bytes] = []
        hoard = Hoard(access_log=AccessLog(lines.append, logs_refused=True))
        hoard.client(head(900 * KB))
        hoard.client(head(300 * KB))
        hoard.conversation.plane.stop()
        (line,) = b"".join(lines).splitlines()
        assert line.startswith(b"app.test - [")
        assert b'"GET / HTTP/1.1" 431 0 35' in line
        assert b'x_cf_routererror:"refused (header_memory)"' in line

    def test_ordinary_requests_are_served(self) -> None:
        hoard = Hoard()
        hoard.client(head(1024 * 1024))
        for _ in range(20):
            client = hoard.client(head(LARGE - 4), b"\r\n\r\n")
            hoard.conversation.from_backend(OK)
            assert client.written.endswith(b"ok")

    def test_one_that_has_been_coming_for_long_makes_way(self) -> None:
        hoard = Hoard(large_head_patience=IMPATIENT)
        first, second, third = (hoard.client(head(size * KB)) for size in (500, 400, 300))
        assert first.written.startswith(REFUSED)
        assert (hoard.held, hoard.refused) == (700 * KB, 1)
        for client in (second, third):
            hoard.send(client, b"\r\n\r\n")
            hoard.conversation.from_backend(OK)
            assert client.written.endswith(b"ok")
        # What it still sends is nobody's.
        hoard.send(first, 100 * KB * b"x")
        assert hoard.held == 0

    def test_one_that_is_complete_and_waits_does_too(self) -> None:
        hoard = Hoard(large_head_patience=IMPATIENT)
        first = hoard.client(START + b"\r\n")
        hoard.conversation.from_backend(OK)
        hoard.send(first, head(900 * KB))
        # It has taken nothing of that response.
        first.set_writing_paused(True)
        hoard.send(first, b"\r\n\r\n")
        assert hoard.held == 900 * KB
        second = hoard.client(head(300 * KB), b"\r\n\r\n")
        assert first.written.endswith(b"431 Request Header Fields Too Large")
        hoard.conversation.from_backend(OK)
        assert second.written.endswith(b"ok")
        assert not hoard.conversation.events

    def test_as_many_as_it_takes(self) -> None:
        hoard = Hoard(large_head_patience=IMPATIENT)
        clients = [hoard.client(head(100 * KB)) for _ in range(10)]
        hoard.client(head(900 * KB))
        assert [client.written.startswith(REFUSED) for client in clients] == 8 * [True] + 2 * [False]

    def test_one_whose_request_is_under_way_does_not(self) -> None:
        hoard = Hoard(large_head_patience=IMPATIENT)
        first = hoard.client(head(900 * KB) + b"\r\n\r\n")
        second = hoard.client(head(300 * KB))
        assert second.written.startswith(REFUSED)
        assert not first.is_closing()

    def test_who_grows_beyond_the_room_is_refused_as_the_oldest(self) -> None:
        hoard = Hoard(large_head_patience=IMPATIENT)
        first = hoard.client(head(500 * KB))
        second = hoard.client(head(500 * KB))
        hoard.send(first, 200 * KB * b"x")
        assert first.written.startswith(REFUSED)
        assert not second.is_closing()

    def test_without_a_limit_there_is_room_for_all(self) -> None:
        hoard = Hoard(max_large_heads=0)
        clients = [hoard.client(head(900 * KB)) for _ in range(5)]
        assert hoard.held == 4500 * KB
        assert not any(client.written for client in clients)
