"""Faults of the router itself, wherever they happen, cost one request, and nothing waits for ever (spec 4.2)."""

from collections.abc import Callable
from typing import Any

import pytest

from fastrouter._core import AccessLog, Settings

from .conversation import Conversation
from .fake_network import FakeTransport

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
# A line of the access log that is handed to the sink at once.
LONG_HEADERS = [f"X-Long-{number}" for number in range(5)]
# Together longer than a batch of lines, so that each line is handed over at once.
LONG_GET = GET[:-2] + b"".join(f"{name}: {'x' * 60_000}\r\n".encode() for name in LONG_HEADERS) + b"\r\n"
UPGRADE = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nbegun"
UNKNOWN_FAILURE = b"HTTP/1.1 502 Bad Gateway\r\nX-Cf-Routererror: unknown_failure\r\n"
AT_ONCE = 1e-9


def fault(*_arguments: Any, **_options: Any) -> Any:
    raise RuntimeError("a bug")


def fault_of_long_lines(batch: bytes) -> None:
    if len(batch) > len(LONG_GET):
        fault()


def panics(conversation: Conversation) -> list[str]:
    """The faults that were reported."""
    return [data["error"] for _, message, data in conversation.events if message == "panic-check"]


def with_broken_log(**settings: Any) -> Conversation:
    """A conversation whose access log fails with every line that is long enough."""
    log = AccessLog(fault_of_long_lines, extra_headers=LONG_HEADERS)
    conversation = Conversation(settings=Settings(**settings), access_log=log)
    conversation.from_client(LONG_GET)
    return conversation


def is_served(conversation: Conversation) -> bool:
    """Whether the next client gets its answer."""
    client = conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
    conversation.from_client(GET)
    conversation.from_backend(OK)
    return client.written.endswith(b"\r\n\r\nok")


class TestAtTheEndOfAnExchange:
    """Its client's connection is over then: nothing would ever come of another request on it."""

    def assert_over(self, conversation: Conversation) -> None:
        assert panics(conversation) == ["RuntimeError('a bug')"]
        assert conversation.client.is_over
        assert conversation.backend.is_over
        assert is_served(conversation)

    def test_by_data(self) -> None:
        conversation = with_broken_log()
        conversation.from_backend(OK)
        assert conversation.client.written.endswith(b"\r\n\r\nok")
        assert panics(conversation) == ["RuntimeError('a bug')"]
        assert conversation.client.is_over
        assert is_served(conversation)

    def test_by_the_end_of_the_backend(self) -> None:
        conversation = with_broken_log()
        conversation.from_backend(UNTIL_CLOSE)
        conversation.backend.deliver_eof()
        conversation.loop.run()
        self.assert_over(conversation)

    @pytest.mark.parametrize("answer", [UNTIL_CLOSE, OK[:-1]])
    def test_by_a_reset_of_the_backend(self, answer: bytes) -> None:
        conversation = with_broken_log()
        conversation.from_backend(answer)
        conversation.backend.break_off()
        conversation.loop.run()
        self.assert_over(conversation)

    def test_by_a_deadline(self) -> None:
        conversation = with_broken_log(endpoint_timeout=AT_ONCE)
        conversation.loop.tick()
        self.assert_over(conversation)

    def test_of_a_tunnel(self) -> None:
        conversation = Conversation(access_log=AccessLog(fault_of_long_lines, extra_headers=LONG_HEADERS))
        conversation.from_client(UPGRADE[:-2] + LONG_GET[len(GET) - 2 :])
        conversation.from_backend(SWITCHING)
        conversation.backend.break_off()
        conversation.loop.run()
        self.assert_over(conversation)

    def test_that_the_client_has_left(self) -> None:
        conversation = with_broken_log()
        conversation.client.break_off()
        conversation.loop.run()
        self.assert_over(conversation)


class TestInCallbacks:
    def test_of_a_new_client(self) -> None:
        conversation = Conversation()
        client = FakeTransport(conversation.loop, None, ("no IP address: \u00fc", 1))
        protocol: Any = conversation.plane.new_client()
        client.set_protocol(protocol)
        protocol.connection_made(client)
        conversation.loop.run()
        assert client.is_over
        (error,) = panics(conversation)
        assert error.startswith("UnicodeEncodeError(")

    def test_of_a_new_connection_to_a_backend(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made: list[Any] = []

        async def connect(factory: Callable[[], Any], *_address: Any) -> tuple[Any, Any]:
            made.append(factory())
            return None, None

        conversation = Conversation()
        monkeypatch.setattr(conversation.loop, "create_connection", connect)
        conversation.from_client(GET)
        backend = FakeTransport(conversation.loop, made[0], ("10.0.0.1", 8080))
        monkeypatch.setattr(backend, "write", fault)
        made[0].connection_made(backend)
        conversation.loop.run()
        assert conversation.client.written.startswith(UNKNOWN_FAILURE)
        assert backend.is_over
        assert panics(conversation) == ["RuntimeError('a bug')"]

    def test_of_a_dial_whose_client_has_left(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def connect(*_arguments: Any) -> tuple[Any, Any]:
            conversation.client.break_off()
            raise RuntimeError("a bug")

        conversation = Conversation()
        with monkeypatch.context() as patch:
            patch.setattr(conversation.loop, "create_connection", connect)
            conversation.from_client(GET)
        assert panics(conversation) == ["RuntimeError('a bug')"]
        assert is_served(conversation)

    @pytest.mark.parametrize("side", ["client", "backend"])
    @pytest.mark.parametrize("is_paused", [True, False])
    def test_of_back_pressure(self, side: str, is_paused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        conversation = Conversation()
        conversation.from_client(b"POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\n")
        slow, other = conversation.client, conversation.backend
        if side == "backend":
            slow, other = other, slow
        if not is_paused:
            slow.set_writing_paused(True)
        monkeypatch.setattr(other, "pause_reading" if is_paused else "resume_reading", fault)
        slow.set_writing_paused(is_paused)
        conversation.loop.run()
        assert conversation.client.written.startswith(UNKNOWN_FAILURE)
        assert conversation.backend.is_over
        assert panics(conversation) == ["RuntimeError('a bug')"]

    def test_of_a_pipeline_that_may_go_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.from_backend(OK)
        conversation.client.set_writing_paused(True)
        conversation.from_client(b"x" * 100_000)
        assert conversation.client.is_reading_paused
        monkeypatch.setattr(conversation.client, "resume_reading", fault)
        conversation.client.set_writing_paused(False)
        conversation.loop.run()
        assert conversation.client.is_over
        assert conversation.plane.stats()["client_connections"] == 0

    def test_which_the_loop_ends_itself(self) -> None:
        """A fault in data_received is the end of a connection to a loop, and the reason that it gives for it."""
        conversation = Conversation()
        conversation.from_client(GET)
        conversation.client._protocol.connection_lost(RuntimeError("a bug"))
        assert conversation.backend.is_closing()
        assert panics(conversation) == ["RuntimeError('a bug')"]
        conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
        conversation.from_client(GET)
        conversation.backend._protocol.connection_lost(RuntimeError("a bug"))
        assert conversation.client.written.startswith(UNKNOWN_FAILURE)


class TestDeadlines:
    def test_those_behind_have_nothing_to_do_with_it(self) -> None:
        faults = [fault, fault]
        told: list[str] = []

        def tell(_level: int, message: str, _data: dict[str, Any]) -> None:
            told.append(message)
            if message == "backend-request-timeout" and faults:
                faults.pop()()

        conversation = Conversation(settings=Settings(endpoint_timeout=AT_ONCE), event_log=tell)
        clients = [conversation.client]
        while len(clients) < 4:
            clients.append(conversation.loop.connect_client(conversation.plane.new_client()))
        for client in clients:
            client.deliver(GET)
        conversation.loop.run()
        conversation.loop.tick()
        for client in clients[:2]:
            assert client.written.startswith(UNKNOWN_FAILURE)
        for client in clients[2:]:
            assert b"endpoint_failure (context deadline exceeded)" in client.written
        assert told.count("panic-check") == 2
        assert all(backend.is_over for backend in conversation.loop.dialled)


def test_a_log_that_fails_costs_no_response() -> None:
    conversation = Conversation(event_log=fault)
    conversation.from_client(b"GET /;a HTTP/1.1\r\nHost: app.test\r\n\r\n")
    assert conversation.client.written.startswith(UNKNOWN_FAILURE)
    conversation.from_client(GET)
    conversation.from_backend(OK)
    assert conversation.client.written.endswith(b"\r\n\r\nok")
