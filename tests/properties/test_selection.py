"""Which endpoint an attempt goes to, against a plain model of spec 5.1 and 5.2.

Selection begins at a random place and breaks ties at random, so the model does not say what happens: it says what may
happen, keeps every state that explains what was seen, and fails when none is left.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastrouter._core import DataPlane, Endpoint, RouteTable, Settings
from protocol.fake_network import FakeLoop, FakeTransport, Unencrypted

HOST = "10.0.0.1"
HERE, ELSEWHERE = "z1", "z2"
NEVER, ALWAYS = 0.0, 1e6
"""Seconds for which marks are kept: of neither does the time that a test takes matter."""


@dataclass(eq=False)
class Peer:
    """One endpoint as it was registered; the one registered after it at the same address is another."""

    port: int
    identity: str
    zone: str
    is_tls: bool
    in_flight: int = 0


@dataclass(frozen=True)
class State:
    """The hidden state: whose turn it is (None before the first request), and which ports are marked."""

    turn: int | None = None
    marked: frozenset[int] = frozenset()


@dataclass(eq=False)
class Asked:
    """One request, from its first attempt to its response head."""

    client: FakeTransport
    sticky: str | None
    must_stick: bool
    attempt: int = 0
    position: int | None = None
    tried: frozenset[int] = frozenset()
    peer: Peer | None = None
    backend: FakeTransport | None = None


@dataclass(frozen=True)
class Course:
    """One way a request may go on: the ports dialled, where it got, and the state behind it."""

    state: State
    attempt: int
    position: int | None
    tried: frozenset[int]
    dialled: tuple[int, ...] = ()
    peer: Peer | None = None
    pruned: frozenset[int] = frozenset()


@dataclass
class Model:
    """The route as spec 5.2 has it."""

    max_attempts: int
    max_conns: int
    prefers_local: bool
    keeps_marks: bool
    algorithm: str
    peers: list[Peer] = field(default_factory=list)
    refusing: set[int] = field(default_factory=set)

    def has_room(self, peer: Peer) -> bool:
        return self.max_conns == 0 or peer.in_flight < self.max_conns

    def selections(self, asked: Asked, course: Course, peers: list[Peer]) -> Iterator[tuple[Peer | None, Course]]:
        """Yield every endpoint that may be chosen for this attempt, None for none, with what is so afterwards."""
        if asked.sticky is not None and (course.attempt == 1 or asked.must_stick):
            named = [peer for peer in peers if asked.sticky == peer.identity]
            named += [peer for peer in peers if asked.sticky == f"{HOST}:{peer.port}"]
            if named and self.has_room(named[0]):
                yield named[0], course
                return
            if asked.must_stick:
                yield None, course
                return
        is_local_wanted = self.prefers_local and course.attempt == 1
        if self.algorithm == "round-robin":
            yield from self._in_turn(course, peers, is_local_wanted)
        else:
            free = [peer for peer in peers if self.has_room(peer)]
            local = [peer for peer in free if peer.zone == HERE] if is_local_wanted else []
            candidates = local or free
            least = min((peer.in_flight for peer in candidates), default=0)
            if not candidates:
                yield None, course
            for peer in candidates:
                if peer.in_flight == least:
                    yield peer, course

    def _in_turn(
        self, course: Course, peers: list[Peer], is_local_wanted: bool
    ) -> Iterator[tuple[Peer | None, Course]]:
        if not peers:
            yield None, course
            return
        starts: list[tuple[int, int | None]]
        if course.position is not None:
            starts = [(course.position, course.state.turn)]
        elif course.state.turn is None:
            starts = [(turn, turn) for turn in range(len(peers))]
        else:
            # A turn beyond the end is the first one's.
            following = course.state.turn + 1 if course.state.turn + 1 < len(peers) else 0
            starts = [(following, following)]
        for start, turn in starts:
            begin = start if start < len(peers) else 0
            circle = [(begin + step) % len(peers) for step in range(len(peers))]
            free = [index for index in circle if self.has_room(peers[index])]
            fit = [
                index
                for index in free
                if peers[index].port not in course.state.marked and (peers[index].zone == HERE or not is_local_wanted)
            ]
            marked = course.state.marked if fit or not free else frozenset()
            after = replace(course, state=State(turn, marked), position=begin)
            if not free:
                yield None, after
            else:
                chosen = (fit or free)[0]
                yield peers[chosen], replace(after, position=chosen + 1)

    def courses(self, asked: Asked, course: Course) -> Iterator[Course]:
        """Yield every way the request may go from its next attempt on, to a connection or to its end."""
        peers = [peer for peer in self.peers if peer.port not in course.pruned]
        course = replace(course, attempt=course.attempt + 1)
        for peer, after in self.selections(asked, course, peers):
            if peer is None or (after.attempt > max(1, len(peers)) and peer.port in after.tried):
                yield after
                continue
            here = replace(after, dialled=(*after.dialled, peer.port), tried=after.tried | {peer.port})
            if peer.port not in self.refusing:
                yield replace(here, peer=peer)
            elif here.attempt < self.max_attempts:
                yield from self.courses(asked, self.marked(here, peer))
            else:
                yield self.marked(here, peer)

    def marked(self, course: Course, peer: Peer) -> Course:
        """Go on after a refused dial: without the endpoint if it is one with TLS, else with a mark on it."""
        if not peer.is_tls:
            return replace(course, state=self.mark(course.state, peer.port))
        state = replace(course.state, marked=course.state.marked - {peer.port})
        return replace(course, state=state, pruned=course.pruned | {peer.port})

    def mark(self, state: State, port: int) -> State:
        return replace(state, marked=state.marked | {port}) if self.keeps_marks else state


class Selection(RuleBasedStateMachine):
    """Requests come, are answered and fail, endpoints come and go."""

    @initialize(
        max_attempts=st.integers(1, 4),
        max_conns=st.sampled_from([0, 0, 1, 2]),
        prefers_local=st.booleans(),
        keeps_marks=st.booleans(),
        algorithm=st.sampled_from(["round-robin", "least-connection"]),
        ports=st.sets(st.integers(1, 4), max_size=4),
    )
    def start(self, ports: set[int], **choices: Any) -> None:
        self.model = Model(**choices)
        self.states = {State()}
        self.open: list[Asked] = []
        self.prunes: list[tuple[str, str]] = []
        self.table = RouteTable()
        unencrypted: Any = Unencrypted()
        self.plane = DataPlane(
            self.table,
            Settings(
                max_attempts=self.model.max_attempts,
                max_conns=self.model.max_conns,
                balancing_algorithm=self.model.algorithm,
                az_preference="locally-optimistic" if self.model.prefers_local else "none",
                zone=HERE,
                failure_memory=ALWAYS if self.model.keeps_marks else NEVER,
                sticky_for_negotiate=True,
                # Every attempt is a dial then, which is what can be seen of it.
                backend_keep_alive=False,
                backend_tls=unencrypted,
            ),
            on_prune=lambda uri, address: self.prunes.append((uri, address)),
        )
        self.loop = FakeLoop()
        loop: Any = self.loop
        self.plane.start(loop)
        # The route must be there before its first endpoint, and stays without any.
        self.table.register("app.test", Endpoint(HOST, 99))
        self.table.unregister("app.test", f"{HOST}:99")
        for port in sorted(ports):
            self.register(port, HERE, is_tls=False, generation=0)

    # --- endpoints

    @rule(
        port=st.integers(1, 4),
        zone=st.sampled_from([HERE, ELSEWHERE]),
        is_tls=st.booleans(),
        generation=st.integers(0, 1),
    )
    def register(self, port: int, zone: str, is_tls: bool, generation: int) -> None:
        peer = Peer(port, f"i{port}-{generation}", zone, is_tls)
        self.table.register(
            "app.test",
            Endpoint(HOST, port, instance_id=peer.identity, availability_zone=zone, tls=is_tls),
        )
        ports = [known.port for known in self.model.peers]
        if port in ports:
            # In its place, with its mark, and with no request in flight (spec 3.4).
            self.model.peers[ports.index(port)] = peer
        else:
            self.model.peers.append(peer)

    @rule(port=st.integers(1, 4))
    def unregister(self, port: int) -> None:
        known = [peer for peer in self.model.peers if peer.port == port]
        assert self.table.unregister("app.test", f"{HOST}:{port}") == bool(known)
        self._remove({port})

    def _remove(self, ports: set[int]) -> None:
        self.model.peers = [peer for peer in self.model.peers if peer.port not in ports]
        self.states = {State(state.turn, state.marked - ports) for state in self.states}

    @rule(port=st.integers(1, 4), refuses=st.booleans())
    def change(self, port: int, refuses: bool) -> None:
        (self.model.refusing.add if refuses else self.model.refusing.discard)(port)
        self.loop.refusing = {(HOST, refusing) for refusing in self.model.refusing}

    @rule(algorithm=st.sampled_from(["round-robin", "least-connection"]))
    def override(self, algorithm: str) -> None:
        self.table.set_route("app.test", algorithm=algorithm)
        self.model.algorithm = algorithm

    # --- requests

    @rule(
        sticky=st.none()
        | st.builds("i{}-{}".format, st.integers(1, 4), st.integers(0, 1))
        | st.builds((HOST + ":{}").format, st.integers(1, 4)),
        must_stick=st.booleans(),
    )
    def ask(self, sticky: str | None, must_stick: bool) -> None:
        client = self.loop.connect_client(self.plane.new_client())
        asked = Asked(client, sticky, must_stick and sticky is not None)
        lines = [b"GET / HTTP/1.1", b"Host: app.test"]
        if sticky is not None:
            lines.append(b"Cookie: JSESSIONID=x; __VCAP_ID__=" + sticky.encode())
        if asked.must_stick:
            lines.append(b"Authorization: Negotiate x")
        if not self.model.peers or not any(map(self.model.has_room, self.model.peers)):
            # Refused before anything is selected.
            client.deliver(b"\r\n".join(lines) + b"\r\n\r\n")
            self.loop.run()
            assert status_of(client) == (b"503" if self.model.peers else b"404")
            assert not self._take_attempted()
            return
        client.deliver(b"\r\n".join(lines) + b"\r\n\r\n")
        self._follow(asked)

    @rule(which=st.integers(0, 99))
    def answer(self, which: int) -> None:
        asked = self._end(which)
        if asked is None:
            return
        assert asked.backend is not None
        asked.backend.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.loop.run()
        assert status_of(asked.client) == b"200"

    @rule(which=st.integers(0, 99))
    def end_of_stream(self, which: int) -> None:
        """Nothing was answered, so a GET is asked again, and no endpoint is marked."""
        asked = self._end(which)
        if asked is None:
            return
        assert asked.backend is not None
        asked.backend.deliver_eof()
        if asked.attempt < self.model.max_attempts:
            self._follow(asked)
        else:
            self.loop.run()
            assert status_of(asked.client) == b"502"

    @rule(which=st.integers(0, 99))
    def reset(self, which: int) -> None:
        """Not asked again, and marked."""
        asked = self._end(which)
        if asked is None:
            return
        assert asked.backend is not None
        assert asked.peer is not None
        asked.backend.break_off()
        self.loop.run()
        assert status_of(asked.client) == b"502"
        port = asked.peer.port
        if any(peer.port == port for peer in self.model.peers):
            self.states = {self.model.mark(state, port) for state in self.states}

    @rule(which=st.integers(0, 99))
    def leave(self, which: int) -> None:
        """The client closes its connection; no other request is affected."""
        asked = self._end(which)
        if asked is None:
            return
        asked.client.abort()
        self.loop.run()
        assert not self._take_attempted()

    def _end(self, which: int) -> Asked | None:
        """Choose one of the requests that wait; its endpoint is done with it.

        None without any: what chance has decided must not bar a rule, or hypothesis could not repeat a run.
        """
        if not self.open:
            return None
        asked = self.open.pop(which % len(self.open))
        assert asked.peer is not None
        asked.peer.in_flight -= 1
        return asked

    def _follow(self, asked: Asked) -> None:
        """Let the router go on with this request, and keep what explains where it went."""
        self.loop.run()
        attempted = self._take_attempted()
        is_waiting = not asked.client.written
        pruned = frozenset(int(address.rpartition(":")[2]) for _, address in self.prunes)
        self.prunes.clear()
        before = [Course(state, asked.attempt, asked.position, asked.tried) for state in self.states]
        after = [
            course
            for start in before
            for course in self.model.courses(asked, start)
            if course.dialled == attempted and (course.peer is not None) == is_waiting and course.pruned == pruned
        ]
        assert after, f"attempts on {attempted}, pruned {pruned}: not with {self.model} in any of {self.states}"
        self._remove(set(pruned))
        self.states = {course.state for course in after}
        if not is_waiting:
            assert status_of(asked.client) == b"502"
            return
        # Where it stands follows from where it went, so it is the same in every course.
        course = after[0]
        assert course.peer is not None
        course.peer.in_flight += 1
        asked.attempt, asked.position, asked.tried = course.attempt, course.position, course.tried
        asked.peer, asked.backend = course.peer, self.loop.dialled[-1]
        self.open.append(asked)

    def _take_attempted(self) -> tuple[int, ...]:
        attempted = tuple(port for _, port in self.loop.attempted)
        self.loop.attempted.clear()
        return attempted

    @invariant()
    def same_endpoints(self) -> None:
        pool = self.table.lookup("app.test") if hasattr(self, "table") else None
        if pool is not None:
            assert [(endpoint.port, endpoint.in_flight) for endpoint in pool.endpoints] == [
                (peer.port, peer.in_flight) for peer in self.model.peers
            ]

    def teardown(self) -> None:
        if hasattr(self, "plane"):
            self.plane.stop()
            self.loop.run()


def status_of(client: FakeTransport) -> bytes:
    return bytes(client.written[9:12])


TestSelection = Selection.TestCase
TestSelection.settings = hypothesis_settings(
    max_examples=3 * hypothesis_settings().max_examples, stateful_step_count=60
)
