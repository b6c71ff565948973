"""Nobody holds the loop: whatever comes in one piece is worked on in turns, and nothing of it is lost."""

import errno
import os
from collections.abc import Callable

import pytest

from fastrouter._core import Endpoint, Settings

from .conversation import Conversation
from .fake_network import FakeTransport

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
NO_ROUTE = b"GET /%d HTTP/1.1\r\nHost: no.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
_EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
# Far more than can be done in one go, whatever the machine.
MANY = 20_000
# libuv would read on at once.
FULL_READ = 200_000


def payload(chunked: bytes) -> bytes:
    """The data of complete chunks."""
    parts = []
    while chunked:
        size, _, chunked = chunked.partition(b"\r\n")
        parts.append(chunked[: int(size, 16)])
        chunked = chunked[int(size, 16) + 2 :]
    return b"".join(parts)


class TestOfAClient:
    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (b"GET / HTTP/1.1\r\nHost: no.test\r\n\r\n", b"HTTP/1.1 404 "),
            (b"OPTIONS * HTTP/1.1\r\nHost: no.test\r\n\r\n", b"HTTP/1.1 200 "),
            (b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: HTTP-Monitor/1.1\r\n\r\n", b"HTTP/1.1 200 "),
            (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", b"HTTP/1.1 400 "),
        ],
        ids=["no route", "options", "health", "no host"],
    )
    def test_a_pipeline(self, request_: bytes, status: bytes) -> None:
        conversation = Conversation()
        client = conversation.client
        client.deliver(request_ * MANY)
        assert 0 < client.written.count(status) < MANY
        assert not client.is_read()
        conversation.loop.run()
        assert client.written.count(status) == MANY
        assert client.is_read()

    def test_two_clients_take_turns(self) -> None:
        conversation = Conversation()
        first = conversation.client
        second = conversation.loop.connect_client(conversation.plane.new_client())
        first.deliver(NO_ROUTE % 1 * MANY)
        second.deliver(NO_ROUTE % 2)
        assert second.written.count(b"HTTP/1.1 404 ") == 1
        assert first.written.count(b"HTTP/1.1 404 ") < MANY

    def test_responses_keep_their_order(self) -> None:
        conversation = Conversation()
        pipeline = b"".join(b"GET / HTTP/1.1\r\nHost: no-%d.test\r\n\r\n" % number for number in range(MANY))
        conversation.client.deliver(pipeline)
        conversation.loop.run()
        hosts = [f"('no-{number}.test')".encode() for number in range(MANY)]
        assert [
            bytes(line).split()[5] for line in conversation.client.written.splitlines() if b"does not" in line
        ] == hosts

    def test_who_has_ended_gets_all_responses(self) -> None:
        conversation = Conversation()
        conversation.client.deliver(GET.replace(b"app", b"no") * MANY + GET[:9])
        conversation.client.deliver_eof()
        conversation.loop.run()
        assert conversation.client.written.count(b"HTTP/1.1 404 ") == MANY
        assert conversation.client.is_over

    def test_a_request_that_waits_for_its_turn_is_in_progress(self) -> None:
        conversation = Conversation()
        conversation.client.deliver(NO_ROUTE % 1 * MANY)
        assert conversation.plane.connection_counts() == (1, 0)
        conversation.plane.drain()
        conversation.loop.run()
        assert conversation.client.is_over

    def test_tiny_chunks_go_on_as_large_ones(self) -> None:
        conversation = Conversation()
        conversation.from_client(POST)
        before = len(conversation.backend.written)
        conversation.client.deliver(b"1\r\nx\r\n" * MANY + b"0\r\n\r\n")
        conversation.loop.run()
        sent = bytes(conversation.backend.written[before:])
        assert payload(sent) == b"x" * MANY
        assert sent.endswith(b"\r\n0\r\n\r\n")
        assert len(sent) < 2 * MANY

    def test_what_ends_the_connection_ends_its_turns(self) -> None:
        conversation = Conversation()
        conversation.client.deliver(NO_ROUTE % 1 * MANY)
        answered = conversation.client.written.count(b"HTTP/1.1 404 ")
        conversation.client.break_off()
        conversation.loop.run()
        assert conversation.client.written.count(b"HTTP/1.1 404 ") == answered

    def test_who_sends_as_much_as_is_read_is_not_read_on_at_once(self) -> None:
        conversation = Conversation()
        conversation.from_client(b"PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 900000\r\n\r\n")
        conversation.client.deliver(bytes(FULL_READ))
        assert not conversation.client.is_read()
        conversation.loop.run()
        assert conversation.client.is_read()

    def test_a_tunnel(self) -> None:
        conversation = Conversation()
        conversation.from_client(UPGRADE)
        conversation.from_backend(SWITCHING)
        for side in (conversation.client, conversation.backend):
            side.deliver(bytes(FULL_READ))
            assert not side.is_read()
            conversation.loop.run()
            assert side.is_read()


class TestOfABackend:
    def test_tiny_chunks_go_on_as_large_ones(self) -> None:
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.from_backend(CHUNKED)
        before = len(conversation.client.written)
        conversation.backend.deliver(b"1\r\nx\r\n" * MANY)
        assert not conversation.backend.is_read()
        conversation.loop.run()
        assert conversation.backend.is_read()
        conversation.from_backend(b"0\r\n\r\n")
        sent = bytes(conversation.client.written[before:])
        assert payload(sent) == b"x" * MANY
        assert len(sent) < 2 * MANY

    @pytest.mark.parametrize("ends_in_order", [True, False])
    def test_what_came_before_the_end_counts(self, ends_in_order: bool) -> None:
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.from_backend(CHUNKED)
        backend = conversation.backend
        backend.deliver(b"1\r\nx\r\n" * MANY + b"0\r\n\r\n")
        assert not conversation.client.written.endswith(b"\r\n0\r\n\r\n")
        if ends_in_order:
            backend.deliver_eof()
        else:
            backend.break_off()
        conversation.loop.run()
        assert conversation.client.written.endswith(b"\r\n0\r\n\r\n")
        assert not conversation.client.is_over

    def test_a_client_that_leaves_meanwhile(self) -> None:
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.from_backend(CHUNKED)
        conversation.backend.deliver(b"1\r\nx\r\n" * MANY)
        conversation.client.break_off()
        conversation.loop.run()
        assert conversation.backend.is_over

    @pytest.mark.parametrize("count", [64, 65])
    def test_interim_responses(self, count: int) -> None:
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.from_backend(b"HTTP/1.1 103 Early Hints\r\n\r\n" * count)
        assert conversation.client.written.count(b"HTTP/1.1 103 ") == 64
        conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        final = bytes(conversation.client.written).rpartition(b"103 Early Hints\r\n\r\n")[2]
        assert final.startswith(b"HTTP/1.1 200 " if count == 64 else b"HTTP/1.1 502 ")
        assert (b"too many 1xx informational responses" in final) == (count == 65)


class TestChunks:
    """Size lines and trailers may not be most of a body, of a request and of a response."""

    @pytest.fixture(params=["request", "response"])
    def is_taken(self, request: pytest.FixtureRequest) -> Callable[[bytes], bool]:
        """Whether chunked bytes, in one piece and cut, go on to the other side."""

        def is_taken(body: bytes, *pieces: bytes) -> bool:
            conversation = Conversation()
            conversation.from_client(POST if request.param == "request" else GET)
            if request.param == "request":
                conversation.from_client(body, *pieces)
                assert bytes(conversation.client.written[:13]) in (b"", b"HTTP/1.1 400 ")
                return not conversation.client.written
            conversation.from_backend(CHUNKED, body, *pieces)
            assert conversation.client.is_over == conversation.backend.is_over
            return not conversation.client.is_over

        return is_taken

    @pytest.mark.parametrize("extension", [b";x", b";" + b"e" * 2000])
    def test_extensions_in_sum(self, is_taken: Callable[..., bool], extension: bytes) -> None:
        chunk = b"1" + extension + b"\r\nx\r\n"
        assert is_taken(chunk * 8 + b"0\r\n\r\n")
        assert is_taken(chunk * 3000) == (len(extension) < 8)
        assert is_taken(*[chunk] * 3000) == (len(extension) < 8)

    def test_an_extension_without_end(self, is_taken: Callable[..., bool]) -> None:
        assert not is_taken(b"1;" + b"e" * 5000)
        assert not is_taken(b"1;", *[b"e" * 500] * 10)

    def test_what_belongs_to_large_chunks(self, is_taken: Callable[..., bool]) -> None:
        """Signatures of 64 KiB chunks, say, are little beside the data."""
        assert is_taken((b"10000;chunk-signature=" + b"f" * 64 + b"\r\n" + bytes(65536) + b"\r\n") * 40)

    @pytest.mark.parametrize("count", [1000, 1001])
    def test_trailer_lines(self, is_taken: Callable[..., bool], count: int) -> None:
        assert is_taken(b"0\r\n" + b"a: b\r\n" * count + b"\r\n") == (count == 1000)

    def test_bytes_of_a_trailer(self, is_taken: Callable[..., bool]) -> None:
        assert is_taken(b"0\r\na: " + b"b" * 60_000 + b"\r\n\r\n")
        assert not is_taken(b"0\r\na: " + b"b" * 70_000)
        assert not is_taken(b"0\r\na: ", *[b"b" * 7000] * 10)


class TestDialsOfNewClients:
    """When many connections begin, their first requests dial in turns."""

    def dials(self, conversation: Conversation) -> int:
        return conversation.plane.stats()["dials"]

    def connect(self, conversation: Conversation, sent: bytes) -> FakeTransport:
        client = conversation.loop.connect_client(conversation.plane.new_client())
        client.deliver(sent)
        return client

    def crowd(self, conversation: Conversation, sent: bytes = GET) -> FakeTransport:
        """New clients, until one has to wait for its dial: the clock is the real one. Returns that one."""
        for _ in range(1000):
            before = self.dials(conversation)
            client = self.connect(conversation, sent)
            if self.dials(conversation) == before:
                return client
        raise AssertionError("nobody waits")

    def test_everybody_has_a_turn(self) -> None:
        conversation = Conversation()
        self.crowd(conversation)
        before = self.dials(conversation)
        for _ in range(9):
            self.connect(conversation, GET)
        assert self.dials(conversation) == before
        conversation.loop.run()
        assert self.dials(conversation) == before + 10
        assert all(backend.written.startswith(b"GET / HTTP/1.1\r\n") for backend in conversation.loop.dialled)

    def test_who_arrives_comes_first(self) -> None:
        conversation = Conversation()
        # The longest wait is short, and the clock the real one.
        for _ in range(1000):
            self.crowd(conversation)
            before = self.dials(conversation)
            self.connect(conversation, b"")
            conversation.loop.turn()
            if self.dials(conversation) == before:
                break
        else:
            raise AssertionError("a new connection has kept nobody from dialling")
        conversation.loop.turn()
        assert self.dials(conversation) == before + 1
        conversation.loop.run()

    @pytest.mark.parametrize("resets", [True, False])
    def test_who_leaves_before_does_not_dial(self, resets: bool) -> None:
        conversation = Conversation()
        client = self.crowd(conversation, b"PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nhalf")
        before = self.dials(conversation)
        if resets:
            client.break_off()
        else:
            client.deliver_eof()
        conversation.loop.run()
        assert self.dials(conversation) == before
        assert client.is_over
        assert not client.written
        conversation.plane.stop()
        (line,) = b"".join(conversation.log).splitlines()
        assert b'" 499 4 ' in line
        (told,) = [data for _, message, data in conversation.events if message == "backend-endpoint-failed"]
        assert told["got-connection"] is False

    def test_who_half_closes_behind_a_whole_request_gets_a_response(self) -> None:
        conversation = Conversation()
        client = self.crowd(conversation)
        client.deliver_eof()
        conversation.loop.run()
        conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.written.endswith(b"\r\n\r\nok")
        assert client.is_over

    def test_what_comes_meanwhile_goes_with_the_head(self) -> None:
        conversation = Conversation()
        client = self.crowd(conversation, b"PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\n")
        client.deliver(b"some ")
        client.deliver(b"more")
        conversation.loop.run()
        assert conversation.backend.written.endswith(b"\r\n\r\nsome more")

    def test_a_connection_that_becomes_free_will_do(self) -> None:
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.from_backend(_EMPTY)
        conversation.client.deliver(GET)
        kept = conversation.backend
        self.crowd(conversation)
        before = self.dials(conversation)
        kept.deliver(_EMPTY)
        conversation.loop.run()
        assert kept.written.count(b"GET / HTTP/1.1\r\n") == 3
        assert self.dials(conversation) == before

    def test_routes_take_turns(self) -> None:
        conversation = Conversation()
        conversation.table.register("other.test", Endpoint("10.0.0.2", 8080))
        self.crowd(conversation)
        before = self.dials(conversation)
        for _ in range(3):
            self.connect(conversation, GET)
        self.connect(conversation, GET.replace(b"app", b"other"))
        conversation.loop.run()
        waited = [host for host, _ in conversation.loop.attempted[before:]]
        assert waited == ["10.0.0.1", "10.0.0.2", *["10.0.0.1"] * 3]

    def test_a_later_request_does_not_wait(self) -> None:
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.from_backend(_EMPTY.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        self.crowd(conversation)
        before = self.dials(conversation)
        conversation.client.deliver(GET)
        assert self.dials(conversation) == before + 1
        conversation.loop.run()


class TestWantOfResources:
    """No backend is marked for time that the router itself has used."""

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL])
    @pytest.mark.parametrize("where", ["dial", "lookup"])
    def test_nobody_is_marked_or_pruned(self, number: int, where: str) -> None:
        async def resolve(host: str) -> list[str]:
            if where == "lookup":
                raise OSError(number, os.strerror(number))
            return [host]

        endpoints = [Endpoint("10.0.0.1", 8080, tls=True), Endpoint("10.0.0.2", 8080)]
        conversation = Conversation(endpoints, Settings(resolve=resolve))
        conversation.loop.refusing = {("10.0.0.1", 8080), ("10.0.0.2", 8080)}
        conversation.loop.refusal = number
        for _ in range(3):
            conversation.from_client(GET)
            conversation.loop.run()
        assert conversation.client.written.count(b"HTTP/1.1 502 ") == 3
        pool = conversation.table.lookup("app.test")
        assert pool is not None
        assert len(pool) == 2
        told = [message for _, message, _ in conversation.events]
        assert "endpoint-marked-as-ineligible" not in told
        assert "prune-failed-endpoint" not in told
        conversation.loop.tick()
        conversation.loop.tick()
        (line,) = [data for _, message, data in conversation.events if message == "out-of-resources"]
        assert line["failed-dials"] == 6
        assert not line["refuses-clients"]

    @pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM])
    @pytest.mark.parametrize("method", [b"GET", b"POST"])
    @pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
    def test_nor_is_one_whose_connection_fails_for_it(self, number: int, method: bytes, begun: bytes) -> None:
        conversation = Conversation()
        conversation.from_client(GET.replace(b"GET", method))
        conversation.from_backend(begun)
        conversation.backend.break_off(number)
        conversation.loop.run()
        assert (
            conversation.client.written.rpartition(b"\r\n\r\n")[0]
            .rpartition(b"\r\n\r\n")[2]
            .startswith(b"HTTP/1.1 502 ")
        )
        told = [message for _, message, _ in conversation.events]
        assert "endpoint-marked-as-ineligible" not in told
        conversation.loop.tick()
        conversation.loop.tick()
        (line,) = [data for _, message, data in conversation.events if message == "out-of-resources"]
        assert line["failed-dials"] == 0


class TestClosing:
    """Without an idle timeout, too, a connection that is to be closed is closed."""

    SETTINGS = Settings(frontend_idle_timeout=0, backend_idle_timeout=0, closing_timeout=0.001)

    def until_over(self, conversation: Conversation, transport: FakeTransport) -> None:
        assert transport.is_closing_down
        assert not transport.is_over
        while not transport.is_over:
            conversation.loop.tick()

    def test_a_client_that_takes_nothing(self) -> None:
        conversation = Conversation(settings=self.SETTINGS)
        conversation.client.unsent = 1000
        conversation.from_client(GET[:-2] + b"Connection: close\r\n\r\n")
        conversation.from_backend(_EMPTY)
        self.until_over(conversation, conversation.client)

    def test_a_backend_that_takes_nothing(self) -> None:
        """Of a request whose response was there first."""
        conversation = Conversation(settings=self.SETTINGS)
        conversation.from_client(GET)
        conversation.backend.unsent = 1000
        conversation.from_backend(_EMPTY + b"more")
        self.until_over(conversation, conversation.backend)

    @pytest.mark.parametrize("side", ["client", "backend"])
    def test_of_a_tunnel(self, side: str) -> None:
        conversation = Conversation(settings=self.SETTINGS)
        conversation.from_client(UPGRADE)
        conversation.from_backend(SWITCHING)
        slow = getattr(conversation, side)
        slow.unsent = 1000
        for transport in (conversation.client, conversation.backend):
            transport.deliver_eof()
        conversation.loop.run()
        self.until_over(conversation, slow)
