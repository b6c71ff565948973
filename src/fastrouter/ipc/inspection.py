"""What the admin process asks a worker, and the answers (ADR 19); each side has one end of a socket pair.

Messages are those of a Channel, without table changes and descriptors. Every question has a number, which its answers
repeat. A worker closes its end when it gets what is no question, or more questions than it can answer; one that is
wrong by itself is answered with Refused.
"""

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import msgspec

from fastrouter.ipc.channel import Channel
from fastrouter.ipc.messages import Inspect

# Bytes of a question and of an answer.
MAX_QUESTION = 64 * 1024
MAX_ANSWER = 8 * 1024 * 1024
# Records that wait for a reader of a TailStream; the oldest go first.
MAX_WAITING = 5000


class ActiveRequests(msgspec.Struct, frozen=True, array_like=True, tag="active"):
    """Which requests have been under way for `older_than` seconds: the oldest `limit` of them."""

    number: int
    older_than: float = 0.0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class Tail(msgspec.Struct, frozen=True, array_like=True, tag="tail"):
    """Tell of each request that ends from now on.

    It must be of `route` (empty: any), have a status that begins with the digit `status_class` (0: any), and have taken
    `slower_than` seconds; of these, the fraction `sample` is chosen by chance.
    """

    number: int
    route: str = ""
    status_class: Annotated[int, msgspec.Meta(ge=0, le=5)] = 0
    slower_than: float = 0.0
    sample: float = 1.0


class EndTail(msgspec.Struct, frozen=True, array_like=True, tag="end-tail"):
    """Tell no more of what the question `number` was about."""

    number: int


class Explain(msgspec.Struct, frozen=True, array_like=True, tag="explain"):
    """What would become of a request of a new client for `url`; a header Host is in place of the URL's host.

    Where the host needs a certificate, the client has one that names `caller`: `app:`, `space:` and `organization:`
    with a GUID, and SPIFFE ids.
    """

    number: int
    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    caller: tuple[str, ...] = ()


Question = ActiveRequests | Tail | EndTail | Explain


class ActiveRequest(msgspec.Struct, frozen=True, array_like=True):
    """A request under way; `age` is seconds, `state` one of docs/life-of-a-request.md, the path without its query."""

    method: str
    host: str
    path: str
    route: str
    endpoint: str
    state: str
    age: float
    bytes_received: int
    bytes_sent: int
    client: str
    attempts: int
    protocol: str
    request_id: str
    worker: int = -1


class FinishedRequest(msgspec.Struct, frozen=True, array_like=True):
    """A request that has ended; `at` is Unix time, `latency` seconds; `status` 0 if there was none."""

    at: float
    method: str
    host: str
    path: str
    status: int
    route: str
    endpoint: str
    latency: float
    bytes_received: int
    bytes_sent: int
    client: str
    attempts: int
    protocol: str
    router_error: str
    request_id: str


Verdict = Literal[
    "chosen",
    "by_chance",
    "full",
    "draining",
    "other_zone",
    "failed",
    "other_instance",
    "not_sticky",
    "busier",
    "not_its_turn",
    "other_hash",
    "not_asked",
]


# What a policy says of a caller.
PolicyVerdict = Literal[
    "",
    "admits",
    "no_caller",
    "other_organization",
    "other_space",
    "unknown_scope",
    "no_sources",
    "other_sources",
]


class Candidate(msgspec.Struct, frozen=True):
    """An endpoint of the route, and why it is chosen or passed over.

    It is one of several that chance decides between (`by_chance`), at its `max_conns` (`full`), `draining`, of another
    zone than the router where there are some of its own, marked as `failed` for the reason `failure`, which is one of
    `_core.FAILURES`, not the instance that a header names, or that the session is of; it has more requests in flight
    than others (`busier`), comes later in the round (`not_its_turn`), is not the one that the hash names
    (`other_hash`), or was `not_asked` about. Times are seconds. `policy` is whether it would serve the caller, empty if
    it serves whoever it is.
    """

    address: str
    app: str
    instance_id: str
    index: str
    zone: str
    in_flight: int
    is_draining: bool
    failed_ago: float | None
    failure: str
    verdict: Verdict
    policy: PolicyVerdict = ""


class Explanation(msgspec.Struct, frozen=True):
    """What would become of a request.

    With a `status` the router answers by itself, with `message` and the reason `router_error`. Otherwise it goes to
    the one endpoint that is `chosen`, or to one of those, as chance decides; or, if it `visits_route_service`, there.

    `host` and `path` are the part of the request that matched, by the key of `route`; `instance` what a header
    X-CF-App-Instance or X-CF-Process-Instance names. `sticky` is the instance that the session wants, and may be gone.
    `candidates` are the first 256 of `endpoints`. All endpoints that could serve are marked if `forgets_marks`: so
    marks do not count.

    `mutual_tls_domain` is the domain that the client is held to. The `policy_scope` and the first 256 of
    `policy_sources` are those of the route's first endpoint that has a policy; `refusal` is why policies let the caller
    reach nobody, or `misdirected`: its connection was held to other rules than the host wants.
    """

    status: int
    router_error: str
    message: str
    route: str
    host: str
    is_wildcard: bool
    path: str
    instance: str
    algorithm: str
    is_algorithm_own: bool
    sticky: str
    must_stick: bool
    is_sticky_there: bool
    route_service: str
    visits_route_service: bool
    max_conns: int
    prefers_zone: str
    forgets_marks: bool
    endpoints: int
    candidates: list[Candidate]
    chosen: list[str]
    mutual_tls_domain: str = ""
    policy_scope: str = ""
    policy_sources: list[str] = []
    refusal: PolicyVerdict | Literal["misdirected"] = ""

    @property
    def is_chance(self) -> bool:
        """Whether chance decides between several endpoints."""
        return len(self.chosen) > 1


class ActiveFound(msgspec.Struct, frozen=True, array_like=True, tag="active"):
    """The answer to ActiveRequests: the oldest first, and how many there are in all."""

    number: int
    requests: list[ActiveRequest]
    total: int


class Tailed(msgspec.Struct, frozen=True, array_like=True, tag="tail"):
    """Requests that have ended since the last answer to a Tail, and how many more did, which were too many."""

    number: int
    requests: list[FinishedRequest]
    lost: int


class Explained(msgspec.Struct, frozen=True, array_like=True, tag="explain"):
    """The answer to Explain."""

    number: int
    explanation: Explanation


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """The question cannot be answered; the text says why."""

    number: int
    error: str


Answer = ActiveFound | Tailed | Explained | Refused


class InspectionEnd(msgspec.Struct, frozen=True, array_like=True, tag="inspection-end"):
    """The descriptor that comes with this is where the worker of this number answers questions from now on."""

    worker: int


def inspect_over(channel: Channel) -> socket.socket:
    """Have the worker at the other end of `channel` answer questions over a new pair of sockets; returns our end.

    Raises OSError if there can be none.
    """
    ours, theirs = socket.socketpair()
    channel.send_message(Inspect(), [theirs.detach()], closes=True)
    return ours


def hand_over_end(channel: Channel, worker: int, end: socket.socket) -> None:
    """Send the end of a worker over the channel to the admin process, which owns it from now on."""
    channel.send_message(InspectionEnd(worker), [end.detach()], closes=True)


def take_end(channel: Channel) -> socket.socket:
    """Return the end that has come with an InspectionEnd. Raises ChannelError if none has."""
    return socket.socket(fileno=channel.take_descriptor())


class InspectionError(Exception):
    """A worker cannot be asked, or has refused to answer; the text says why."""


class TailStream:
    """What ends in one worker, until `close`: `next` waits for it."""

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end
        self._waiting: deque[FinishedRequest] = deque()
        self._lost = 0
        self._has_more = asyncio.Event()
        self._error: str | None = None

    def add(self, requests: Iterable[FinishedRequest], lost: int) -> None:
        """Take what the worker tells."""
        self._lost += lost
        for request in requests:
            if len(self._waiting) >= MAX_WAITING:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(request)
        self._has_more.set()

    def fail(self, error: str) -> None:
        """Take that nothing more comes."""
        self._error = error
        self._has_more.set()

    async def next(self) -> tuple[list[FinishedRequest], int]:
        """Wait for more; returns it, and how many requests more have ended that are lost.

        Raises InspectionError at the end.
        """
        await self._has_more.wait()
        if not self._waiting and not self._lost and self._error is not None:
            raise InspectionError(self._error)
        requests, lost = list(self._waiting), self._lost
        self._waiting.clear()
        self._lost = 0
        if self._error is None:
            self._has_more.clear()
        return requests, lost

    def close(self) -> None:
        """Listen no more."""
        self._end()


class InspectionClient:
    """Asks one worker. It owns `end`; `on_end` is called once when the worker is gone, or talks nonsense."""

    def __init__(self, end: socket.socket, on_end: Callable[[], object] = lambda: None) -> None:
        self._on_end = on_end
        self._numbers = itertools.count(1)
        self._answers = msgspec.msgpack.Decoder(Answer)
        self._asked: dict[int, asyncio.Future[Answer]] = {}
        self._tails: dict[int, TailStream] = {}
        self._error: str | None = None
        self._channel = Channel(
            end,
            on_message=self._on_answer,
            on_end=lambda: self._fail("the worker has ended"),
            on_fault=lambda error: self._fail(f"the worker cannot be understood: {error}"),
            max_frame=MAX_ANSWER,
            max_descriptors=0,
        )

    @property
    def is_usable(self) -> bool:
        """Whether the worker is still there, and talks sense."""
        return self._error is None

    async def active_requests(self, older_than: float = 0.0, limit: int = 100) -> tuple[list[ActiveRequest], int]:
        """Return the oldest requests under way, and how many there are in all. Raises InspectionError."""
        answer = await self._ask(ActiveRequests(next(self._numbers), older_than, limit))
        assert isinstance(answer, ActiveFound)
        return answer.requests, answer.total

    async def explain(
        self, method: str, url: str, headers: Iterable[tuple[str, str]] = (), caller: Iterable[str] = ()
    ) -> Explanation:
        """Return what would become of a request of this caller. Raises InspectionError."""
        answer = await self._ask(Explain(next(self._numbers), method, url, tuple(headers), tuple(caller)))
        assert isinstance(answer, Explained)
        return answer.explanation

    def tail(
        self, *, route: str = "", status_class: int = 0, slower_than: float = 0.0, sample: float = 1.0
    ) -> TailStream:
        """Listen to requests that end."""
        question = Tail(next(self._numbers), route, status_class, slower_than, sample)
        stream = TailStream(lambda: self._end_tail(question.number))
        if self._error is not None:
            stream.fail(self._error)
        else:
            self._tails[question.number] = stream
            self._channel.send_message(question)
        return stream

    def close(self) -> None:
        """Ask no more; who waits for an answer gets InspectionError."""
        self._on_end = lambda: None
        self._fail("the connection to the worker was closed")

    def _end_tail(self, number: int) -> None:
        if self._tails.pop(number, None) is not None:
            self._channel.send_message(EndTail(number))

    async def _ask(self, question: ActiveRequests | Explain) -> Answer:
        if self._error is not None:
            raise InspectionError(self._error)
        future = self._asked[question.number] = asyncio.get_running_loop().create_future()
        try:
            self._channel.send_message(question)
            answer: Answer = await future
        finally:
            self._asked.pop(question.number, None)
        return answer

    def _on_answer(self, body: bytes) -> None:
        answer = self._answers.decode(body)
        future = self._asked.get(answer.number)
        stream = self._tails.get(answer.number)
        match answer:
            case Tailed(_, requests, lost):
                if stream is not None:
                    stream.add(requests, lost)
            case Refused(_, error):
                if stream is not None:
                    del self._tails[answer.number]
                    stream.fail(error)
                elif future is not None and not future.done():
                    future.set_exception(InspectionError(error))
            case _:
                if future is not None and not future.done():
                    future.set_result(answer)

    def _fail(self, error: str) -> None:
        if self._error is not None:
            return
        self._error = error
        self._channel.close()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(InspectionError(error))
        for stream in self._tails.values():
            stream.fail(error)
        self._tails.clear()
        self._on_end()
