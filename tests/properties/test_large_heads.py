"""The room of large heads against a sum, whoever comes, goes on, is answered or leaves (ADR 23)."""

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.fake_network import FakeTransport
from protocol.test_large_heads import KB, LARGE, OK, REFUSED, START, Hoard

LIMIT = 1024 * 1024 + 4096 + 65536
FULL_SIZE = 1024 * 1024
END = b"\r\n\r\n"


@dataclass(eq=False)
class Client:
    """One that sends a head, or waits for the answer to it."""

    transport: FakeTransport
    size: int = 0
    backend: FakeTransport | None = None

    @property
    def counted(self) -> int:
        return self.size if self.size > LARGE else 0


class LargeHeads(RuleBasedStateMachine):
    """Nobody makes way: a newcomer is refused when there is no room."""

    @initialize()
    def start(self) -> None:
        self.hoard = Hoard(backend_keep_alive=False)
        self.clients: list[Client] = []
        self.refused = 0

    @property
    def taken(self) -> int:
        return sum(client.counted for client in self.clients)

    def sending(self) -> list[Client]:
        return [client for client in self.clients if client.backend is None]

    def answered(self) -> list[Client]:
        return [client for client in self.clients if client.backend is not None]

    def send(self, client: Client, data: bytes) -> bool:
        """Whether there is room for it."""
        client.size += len(data)
        if client.counted and self.taken > LIMIT:
            self.hoard.send(client.transport, data)
            assert client.transport.written.startswith(REFUSED)
            self.clients.remove(client)
            self.refused += 1
            return False
        self.hoard.send(client.transport, data)
        assert not client.transport.written
        return True

    @rule(size=st.sampled_from([KB, 30 * KB, 40 * KB, 300 * KB, 600 * KB]))
    def a_client_comes(self, size: int) -> None:
        client = Client(self.hoard.client())
        self.clients.append(client)
        self.send(client, START + b"X-Large: " + size * b"x")

    @precondition(lambda self: self.sending())
    @rule(data=st.data(), size=st.sampled_from([1, 2 * KB, 200 * KB, 400 * KB]))
    def it_goes_on(self, data: Any, size: int) -> None:
        client = data.draw(st.sampled_from(self.sending()))
        self.send(client, min(size, FULL_SIZE - len(END) - client.size) * b"x")

    @precondition(lambda self: self.sending())
    @rule(data=st.data())
    def it_is_complete(self, data: Any) -> None:
        client = data.draw(st.sampled_from(self.sending()))
        if self.send(client, END):
            client.backend = self.hoard.conversation.backend

    @precondition(lambda self: self.answered())
    @rule(data=st.data())
    def it_is_answered(self, data: Any) -> None:
        client = data.draw(st.sampled_from(self.answered()))
        assert client.backend is not None
        client.backend.deliver(OK)
        self.hoard.loop.run()
        assert client.transport.written.endswith(b"ok")
        self.clients.remove(client)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def it_leaves(self, data: Any) -> None:
        client = data.draw(st.sampled_from(self.clients))
        client.transport.break_off()
        self.hoard.loop.run()
        self.clients.remove(client)

    @invariant()
    def what_is_taken_is_what_there_is(self) -> None:
        assert self.hoard.held == self.taken <= LIMIT
        assert self.hoard.refused == self.refused

    def teardown(self) -> None:
        if hasattr(self, "hoard"):
            self.hoard.conversation.end()
            assert self.hoard.held == 0
            assert not [event for event in self.hoard.conversation.events if event[1] == "panic-check"]


TestLargeHeads = LargeHeads.TestCase
TestLargeHeads.settings = settings(max_examples=50, stateful_step_count=40)
