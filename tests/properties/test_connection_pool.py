"""ConnectionPool against a list: who is idle, who goes on first and who is closed, whatever both sides do."""

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fastrouter._core import AccessLog, Endpoint, Settings
from protocol.conversation import Conversation
from protocol.fake_network import FakeTransport

# One endpoint has two routes, and one connection may serve both.
ROUTES = {"one.test": 0, "alias.test": 0, "two.test": 1}
CLIENTS = 4


@dataclass
class Backend:
    """The backend's end of one connection, as the model knows it."""

    transport: FakeTransport
    endpoint: int
    was_used: bool = False
    takes_nothing: bool = False


@dataclass(eq=False)
class Client:
    """A client that waits for an answer, or for nothing."""

    transport: FakeTransport
    is_replayable: bool = False
    is_answer_open: bool = False
    backend: Backend | None = None


class Pools(RuleBasedStateMachine):
    """Two endpoints and some clients. All that the loop has to do is done behind each step."""

    @initialize(limit=st.integers(0, CLIENTS), keeps=st.sampled_from([True, True, True, False]), forgives=st.booleans())
    def start(self, limit: int, keeps: bool, forgives: bool) -> None:
        self.limit = limit
        self.forgives = forgives
        # Endpoints that have sent what nobody asked for.
        self.distrusted: set[int] = set()
        self.keeps = keeps
        self.endpoints = [Endpoint("10.0.0.1", 8080), Endpoint("10.0.0.2", 8080)]
        self.log: list[bytes] = []
        self.access_log = AccessLog(self.log.append)
        self.conversation = Conversation(
            # Which idle ones a request may use does not depend on how old they are, which the model does not know.
            settings=Settings(
                max_idle_per_endpoint=limit,
                backend_keep_alive=keeps,
                backend_idle_timeout=0.001,
                learns_idle_limits=False,
                distrust_memory=0 if forgives else 1000,
            ),
            access_log=self.access_log,
        )
        for host, endpoint in ROUTES.items():
            self.conversation.table.register(host, self.endpoints[endpoint])
        self.loop = self.conversation.loop
        self.clients = [Client(self.conversation.client)]
        while len(self.clients) < CLIENTS:
            self.a_client_comes()
        self.idle: list[list[Backend]] = [[], []]
        self.requests = 0
        # Connections dialled so far.
        self.known = 0

    # --- the model

    def acquire(self, endpoint: int) -> Backend:
        """Whom a request must go to now: the idle connection used last, or else the one that was dialled for it."""
        if endpoint in self.distrusted:
            # They end now at the latest.
            self.idle[endpoint].clear()
        if self.idle[endpoint]:
            return self.idle[endpoint].pop()
        (dialled,) = self.loop.dialled[self.known :]
        self.known += 1
        return Backend(dialled, endpoint)

    def release(self, backend: Backend) -> None:
        """It may go on if it takes what is written, there is room, and connections of this endpoint are kept."""
        keeps = self.keeps and backend.endpoint not in self.distrusted
        if keeps and not backend.takes_nothing and len(self.idle[backend.endpoint]) < self.limit:
            backend.was_used = True
            self.idle[backend.endpoint].append(backend)

    def on_unsolicited(self, backend: Backend) -> None:
        """It has sent more than it was asked for."""
        if not self.forgives:
            self.distrusted.add(backend.endpoint)

    def busy(self) -> list[Client]:
        return [client for client in self.clients if client.backend is not None]

    def pick_busy(self, data: Any) -> tuple[Client, Backend]:
        client = data.draw(st.sampled_from(self.busy()), "client")
        assert client.backend is not None
        return client, client.backend

    def pick_idle(self, data: Any) -> Backend:
        """Take one out of the model whose connection is about to end."""
        stack = data.draw(st.sampled_from([stack for stack in self.idle if stack]), "endpoint")
        backend: Backend = stack.pop(data.draw(st.integers(0, len(stack) - 1), "connection"))
        return backend

    # --- clients

    def a_client_comes(self) -> None:
        self.clients.append(Client(self.loop.connect_client(self.conversation.plane.new_client())))

    def ask(self, client: Client, host: str, method: bytes = b"GET") -> None:
        self.requests += 1
        client.transport.deliver(b"%s / HTTP/1.1\r\nHost: %s\r\n\r\n" % (method, host.encode()))
        self.loop.run()
        client.backend = self.acquire(ROUTES[host])
        client.is_replayable = method == b"GET"
        client.is_answer_open = False
        self.take_request(client.backend, method)

    def take_request(self, backend: Backend, method: bytes) -> None:
        assert backend.transport.written.startswith(method), "it is here that the request came"
        backend.transport.written.clear()

    @precondition(lambda self: len(self.busy()) < CLIENTS)
    @rule(data=st.data(), host=st.sampled_from(sorted(ROUTES)), method=st.sampled_from([b"GET", b"POST"]))
    def a_request_comes(self, data: Any, host: str, method: bytes) -> None:
        self.ask(
            data.draw(st.sampled_from([one for one in self.clients if one.backend is None]), "client"), host, method
        )

    @rule(host=st.sampled_from(sorted(ROUTES)))
    def requests_come_together_and_are_answered(self, host: str) -> None:
        asking = [client for client in self.clients if client.backend is None]
        for client in asking:
            self.ask(client, host)
        for client in asking:
            self.answer(client, "kept")

    # --- backends in use

    def answer(self, client: Client, how: str) -> None:
        backend = client.backend
        assert backend is not None
        client.backend = None
        line = {"closing": b"Connection: close\r\nContent-Length: 2\r\n", "until the end": b""}.get(
            how, b"Content-Length: 2\r\n"
        )
        head = b"" if client.is_answer_open else b"HTTP/1.1 200 OK\r\n" + line + b"\r\n"
        backend.transport.deliver(head + b"ok" + (b"more" if how == "more" else b""))
        if how == "until the end" and head:
            backend.transport.deliver_eof()
        elif how == "more":
            self.on_unsolicited(backend)
        elif not head or how == "kept":
            self.release(backend)
        self.loop.run()
        assert b"\r\n\r\n2\r\nok\r\n" in client.transport.written or client.transport.written.endswith(b"ok")
        client.transport.written.clear()

    @precondition(lambda self: self.busy())
    @rule(data=st.data(), how=st.sampled_from(["kept", "kept", "kept", "closing", "more", "until the end"]))
    def an_answer_comes(self, data: Any, how: str) -> None:
        self.answer(self.pick_busy(data)[0], how)

    @precondition(lambda self: self.busy())
    @rule(data=st.data(), what=st.sampled_from(["answer", "room", "client", "end", "reset"]))
    def something_comes_in_between(self, data: Any, what: str) -> None:
        """The head of an answer, back-pressure, or somebody leaves."""
        client, backend = self.pick_busy(data)
        if what == "answer" and not client.is_answer_open:
            client.is_answer_open = True
            backend.transport.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        elif what == "room":
            backend.takes_nothing = not backend.takes_nothing
            backend.transport.set_writing_paused(backend.takes_nothing)
        elif what == "client":
            client.transport.break_off()
            self.replace(client)
        elif what in ("end", "reset"):
            backend.transport.break_off() if what == "reset" else backend.transport.deliver_eof()
            self.loop.run()
            self.on_lost(client, backend)
        self.loop.run()

    def replace(self, client: Client) -> None:
        self.clients.remove(client)
        self.a_client_comes()

    def on_lost(self, client: Client, backend: Backend) -> None:
        client.backend = None
        if client.is_answer_open:
            # It is told by the end of its own connection.
            self.replace(client)
        elif client.is_replayable and backend.was_used:
            # That one was dead already, for all the router knows: the request goes on over the next.
            client.backend = self.acquire(backend.endpoint)
            self.take_request(client.backend, b"GET")

    # --- idle ones

    @precondition(lambda self: any(self.idle))
    @rule(data=st.data(), how=st.sampled_from(["end", "reset", "data", "time"]))
    def an_idle_one_is_of_no_use_any_more(self, data: Any, how: str) -> None:
        if how == "time":
            self.conversation.let_deadlines_pass()
            self.idle = [[], []]
            return
        backend = self.pick_idle(data)
        transport = backend.transport
        if how == "end":
            transport.deliver_eof()
        elif how == "reset":
            transport.break_off()
        else:
            transport.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            self.on_unsolicited(backend)
        self.loop.run()

    # --- what must hold

    @invariant()
    def every_connection_is_idle_or_has_one_request_or_is_gone(self) -> None:
        used = [client.backend for client in self.busy()]
        kept = [backend.transport for backend in [*self.idle[0], *self.idle[1], *used] if backend is not None]
        assert len(set(map(id, kept))) == len(kept)
        is_open = [transport for transport in self.loop.dialled if not transport.is_over]
        assert sorted(map(id, is_open)) == sorted(map(id, kept))

    @invariant()
    def figures_say_so(self) -> None:
        stats = self.conversation.plane.stats()
        assert stats["idle_backend_connections"] == len(self.idle[0]) + len(self.idle[1])
        assert stats["client_connections"] == len(self.clients)
        assert stats["dials"] == len(self.loop.dialled) == self.known
        awaited = [one.backend.endpoint for one in self.busy() if one.backend is not None and not one.is_answer_open]
        assert [endpoint.in_flight for endpoint in self.endpoints] == [awaited.count(0), awaited.count(1)]
        assert not [event for event in self.conversation.events if event[1] == "panic-check"]

    def teardown(self) -> None:
        if not hasattr(self, "conversation"):
            return
        self.conversation.end()
        assert all(transport.is_over for transport in self.loop.dialled)
        stats = self.conversation.plane.stats()
        assert (stats["idle_backend_connections"], stats["client_connections"]) == (0, 0)
        assert [endpoint.in_flight for endpoint in self.endpoints] == [0, 0]
        self.access_log.flush()
        assert len(b"".join(self.log).splitlines()) == stats["requests"] == self.requests


TestPools = Pools.TestCase
TestPools.settings = settings(max_examples=150, stateful_step_count=50)
