"""Exchange: whatever clients, backends and clocks do, and in whatever order, it goes from state to state as documented.

And it ends once: one line in the access log, and one whole response or a connection that is visibly broken off.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastrouter._core import AccessLog, Endpoint, Settings
from integration.http_message import Response
from protocol.conversation import Conversation
from protocol.fake_network import FakeTransport, MemorySource

T = TypeVar("T")

PAGE = Path(__file__).parents[2] / "docs" / "life-of-a-request.md"
ADDRESSES = [("10.0.0.1", 8080), ("10.0.0.2", 8080)]
CLIENTS = 2
# Which of those there are. When a client dials depends on the clock, so what is drawn must not depend on who is there.
WHICH = st.integers(0, 5)
# In the words of Exchange's repr: it has reserved its place at an endpoint, and no final response head has come.
COUNTED = ("waiting to dial", "dialling", "sent", "sent without its body")

REQUESTS = {
    "GET": (b"GET", b"", b""),
    "HEAD": (b"HEAD", b"", b""),
    "last": (b"GET", b"Connection: close\r\n", b""),
    "POST": (b"POST", b"Content-Length: 6\r\n", b"abcdef"),
    "chunked": (b"POST", b"Transfer-Encoding: chunked\r\n", b"6\r\nabcdef\r\n0\r\n\r\n"),
    "expectant": (b"POST", b"Content-Length: 6\r\nExpect: 100-continue\r\n", b"abcdef"),
    "upgrade": (b"GET", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b""),
    "expectant upgrade": (
        b"POST",
        b"Content-Length: 6\r\nExpect: 100-continue\r\nConnection: Upgrade\r\nUpgrade: x\r\n",
        b"abcdef",
    ),
    "broken": (b"POST", b"Transfer-Encoding: chunked\r\n", b"no size\r\n"),
    "nowhere": (b"GET", b"", b""),
}
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n"
CIRCUMSTANCES = ["takes", "takes nothing", "answers", "answers", "refuses", "is silent", "time"]
# What a backend may say, in any order: most of it is wrong where it comes.
UTTERANCES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
    b"ok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    SWITCH % b"websocket",
    b"HTTP/1.1 200",
]


def documented() -> dict[str, dict[str, set[str]]]:
    """The table of the page: {state: {what happens: states it may be in then}}."""
    table: dict[str, dict[str, set[str]]] = {}
    text = PAGE.read_text().partition("## The states of an exchange")[2]
    for state, event, following in re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)[1:]:
        table.setdefault(state, {})[event] = set(following.split(", "))
    return table


TABLE = documented()


@dataclass(eq=False)
class Client:
    """A client and what it has sent: the numbers of its requests are their paths."""

    transport: FakeTransport
    requests: list[int] = field(default_factory=list)
    body_left: bytes = b""
    has_ended: bool = False
    # What it has asked for last; behind it may come what is no request.
    wants_upgrade: bool = False
    # The exchange under way, and its state.
    number: int | None = None
    state: str = "new"

    def look(self) -> tuple[int | None, str]:
        found = re.search(r"<Exchange ([a-z -]+): [A-Z]+ [a-z.]+/(\d+)", repr(self.transport))
        return (None, "new") if found is None else (int(found[2]), found[1])

    def may_ask(self) -> bool:
        may_upgrade = self.wants_upgrade and self.number is not None
        return self.transport.can_deliver and not (self.body_left or self.has_ended or may_upgrade)


def one_of(those: Sequence[T], which: int) -> T | None:
    return those[which % len(those)] if those else None


class Exchanges(RuleBasedStateMachine):
    @initialize(is_dial_short=st.booleans(), is_attempt_short=st.booleans(), keeps=st.integers(0, 2))
    def start(self, is_dial_short: bool, is_attempt_short: bool, keeps: int) -> None:
        self.log: list[bytes] = []
        self.access_log = AccessLog(self.log.append)
        self.endpoints = [Endpoint(host, port) for host, port in ADDRESSES]
        self.conversation = Conversation(
            self.endpoints,
            Settings(
                dial_timeout=0.001 if is_dial_short else 60,
                endpoint_timeout=0.001 if is_attempt_short else 60,
                half_close_timeout=0.001,
                tunnel_silence_timeout=0.001,
                max_idle_per_endpoint=keeps,
                max_buffered=4096,
            ),
            access_log=self.access_log,
        )
        self.loop = self.conversation.loop
        self.clients = [Client(self.conversation.client)]
        self.all_clients = self.clients[:]
        self.methods: list[bytes] = []
        self.ended_backends: set[FakeTransport] = set()
        while len(self.clients) < CLIENTS:
            self.a_client_comes()

    # --- what the rules have in common

    def a_client_comes(self) -> None:
        client = Client(self.loop.connect_client(self.conversation.plane.new_client()))
        self.clients.append(client)
        self.all_clients.append(client)

    def backends(self) -> list[FakeTransport]:
        return [one for one in self.loop.dialled if not one.is_closing() and one not in self.ended_backends]

    def happened(self, event: str, *, runs: bool = True) -> None:
        """`event` has come (none: time); look what has become of every exchange, and after what the loop had to do."""
        self.compare(event)
        if runs:
            self.loop.run()
            self.compare("")

    def compare(self, event: str) -> None:
        for client in self.clients:
            number, state = client.look()
            if number != client.number:
                if client.number is not None:
                    self.check(client.state, event, "finished")
                if number is not None:
                    self.check("new", event, state)
            elif state != client.state:
                self.check(client.state, event, state)
            client.number, client.state = number, state
        for client in list(self.clients):
            if client.transport.is_over:
                self.clients.remove(client)
                self.a_client_comes()

    def check(self, before: str, event: str, after: str) -> None:
        """Behind a turn of the loop (no event) it may be anything that leads there."""
        row = TABLE.get(before, {})
        allowed = row.get(event, set()) if event and before != "new" else set().union(*row.values())
        assert after in allowed, f"{before} -> {after}, for {event or 'whatever the loop had to do'}"

    # --- clients

    @rule(which=WHICH, kind=st.sampled_from(["GET", *REQUESTS]), is_split=st.booleans(), runs=st.booleans())
    def a_request_comes(self, which: int, kind: str, is_split: bool, runs: bool) -> None:
        client = one_of([client for client in self.clients if client.may_ask()], which)
        if client is None:
            return
        method, lines, body = REQUESTS[kind]
        host = b"no.test" if kind == "nowhere" else b"app.test"
        client.requests.append(len(self.methods))
        head = b"%s /%d HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (method, len(self.methods), host, lines)
        self.methods.append(method)
        client.wants_upgrade = "upgrade" in kind
        client.body_left = body if is_split or "expectant" in kind else b""
        client.transport.deliver(head + (b"" if client.body_left else body))
        self.happened("the client sends", runs=runs)

    @rule(which=WHICH, runs=st.booleans())
    def more_of_it_comes(self, which: int, runs: bool) -> None:
        """Of its body, or of what goes through a tunnel."""
        sending = [one for one in self.clients if (one.body_left or "tunnel" in one.state) and not one.has_ended]
        client = one_of(sending, which)
        if client is not None and client.transport.can_deliver:
            piece, client.body_left = client.body_left[:4] or b"data", client.body_left[4:]
            client.transport.deliver(piece)
            self.happened("the client sends", runs=runs)

    @rule(which=WHICH, how=st.sampled_from(["end", "reset"]), runs=st.booleans())
    def a_client_ends(self, which: int, how: str, runs: bool) -> None:
        client = self.clients[which % CLIENTS]
        if client.transport.is_over:
            return
        if how == "reset":
            client.transport.break_off()
        elif not client.has_ended and client.transport.can_deliver:
            client.transport.deliver_eof()
        client.has_ended = True
        self.happened("the client ends", runs=runs)

    # --- backends

    @rule(which=WHICH, runs=st.booleans())
    def a_backend_answers(self, which: int, runs: bool) -> None:
        """As it was asked."""
        backend = one_of(self.backends(), which)
        if backend is not None and backend.can_deliver:
            asked = re.findall(rb"Upgrade: (\w+)", backend.written.rpartition(b"HTTP/1.1\r\n")[2])
            backend.deliver(SWITCH % asked[0] if asked else UTTERANCES[0])
            self.happened("the backend speaks", runs=runs)

    @rule(which=WHICH, utterance=st.sampled_from(UTTERANCES), runs=st.booleans())
    def a_backend_speaks(self, which: int, utterance: bytes, runs: bool) -> None:
        backend = one_of(self.backends(), which)
        if backend is not None and backend.can_deliver:
            backend.deliver(utterance)
            self.happened("the backend speaks", runs=runs)

    @rule(which=WHICH, how=st.sampled_from(["end", "reset"]), runs=st.booleans())
    def a_backend_ends(self, which: int, how: str, runs: bool) -> None:
        backend = one_of(self.backends(), which)
        if backend is None:
            return
        if how == "reset":
            backend.break_off()
        elif backend.can_deliver:
            self.ended_backends.add(backend)
            backend.deliver_eof()
        self.happened("the backend ends", runs=runs)

    def dial(self, address: tuple[str, int], how: str) -> None:
        """How an endpoint meets dials from now on."""
        for addresses, is_one in ((self.loop.refusing, how == "refuses"), (self.loop.silent, how == "is silent")):
            addresses.discard(address)
            if is_one:
                addresses.add(address)

    # --- either

    @rule(
        which=WHICH,
        what=st.sampled_from(["takes", "takes nothing", "answers", "answers", "refuses", "is silent", "time"]),
    )
    def circumstances_change(self, which: int, what: str) -> None:
        if what == "time":
            self.happened("")
            self.conversation.let_deadlines_pass()
            self.happened("")
        elif what.startswith("takes"):
            transport = one_of([client.transport for client in self.clients] + self.backends(), which)
            assert transport is not None
            transport.set_writing_paused(what == "takes nothing")
            self.happened("the client sends" if what == "takes" else "")
        else:
            self.dial(ADDRESSES[which % 2], what)

    # --- what must hold

    @invariant()
    def no_fault_of_ours(self) -> None:
        assert not [event for event in self.conversation.events if event[1] == "panic-check"]

    @invariant()
    def connections_are_busy_or_idle(self) -> None:
        states = [
            re.findall(r"<BackendConnection \S+ (\w+)>", repr(one))[0] for one in self.loop.dialled if not one.is_over
        ]
        assert set(states) <= {"busy", "idle", "closing"}
        assert states.count("idle") == self.conversation.plane.stats()["idle_backend_connections"]
        assert states.count("busy") <= sum(client.look()[0] is not None for client in self.all_clients)

    @invariant()
    def the_endpoints_know_who_waits(self) -> None:
        waiting = sum(client.look()[1] in COUNTED for client in self.all_clients)
        assert sum(endpoint.in_flight for endpoint in self.endpoints) == waiting

    @invariant()
    def each_has_one_line_in_order(self) -> None:
        logged = self.logged()
        for client in self.all_clients:
            number = client.look()[0]
            begun = [one for one, _ in logged if one in client.requests] + ([] if number is None else [number])
            assert begun == client.requests[: len(begun)]
        assert len(logged) == self.conversation.plane.stats()["requests"]

    def logged(self) -> list[tuple[int, int]]:
        """(number, status) of every request that is over."""
        self.access_log.flush()
        found = re.findall(rb'"[A-Z]+ /(\d+) HTTP/1.1" (\d+) ', b"".join(self.log))
        assert len(found) == b"".join(self.log).count(b"\n")
        return [(int(number), int(status)) for number, status in found]

    def check_answers(self, client: Client) -> None:
        """One response for each line of the log, but for the last one, which may be broken off."""
        source = MemorySource(client.transport.written)
        statuses = [(number, status) for number, status in self.logged() if number in client.requests]
        for number, status in statuses:
            try:
                response = Response.read(source, self.methods[number])
                while 100 <= response.status < 200 and response.status != 101:
                    response = Response.read(source, self.methods[number])
            except EOFError:
                assert client.transport.is_closing() or client.transport.has_eof
                assert (number, status) == statuses[-1]
                return
            assert response.status == status
            if status == 101:
                return
        if client.look()[0] is None:
            assert source.read_to_end() == b"", "nobody has asked for this"

    def teardown(self) -> None:
        if not hasattr(self, "all_clients"):
            return
        self.loop.run()
        for client in self.all_clients:
            self.check_answers(client)
        self.conversation.end()
        for transport in [*self.loop.dialled, *(client.transport for client in self.all_clients)]:
            assert " closed>" in repr(transport)
        self.no_fault_of_ours()
        self.the_endpoints_know_who_waits()
        self.each_has_one_line_in_order()
        stats = self.conversation.plane.stats()
        assert (stats["idle_backend_connections"], stats["client_connections"]) == (0, 0)


TestExchanges = Exchanges.TestCase
TestExchanges.settings = hypothesis_settings(max_examples=300, stateful_step_count=50)
