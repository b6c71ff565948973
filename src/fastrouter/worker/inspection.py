"""A worker's answers to the admin process (ADR 19): the other end of `ipc.inspection`."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable

import msgspec

from fastrouter import _core
from fastrouter._core import DataPlane, RequestWalk
from fastrouter.ipc.channel import Channel
from fastrouter.ipc.inspection import (
    MAX_QUESTION,
    ActiveFound,
    ActiveRequest,
    ActiveRequests,
    Answer,
    EndTail,
    Explain,
    Explained,
    Explanation,
    FinishedRequest,
    Question,
    Refused,
    Tail,
    Tailed,
)
from fastrouter.logs.error_text import error_text, fault_text

# Questions that may wait for their turns, and tails: whoever asks for more is not the admin process.
MAX_QUESTIONS = 64
MAX_TAILS = 16
# Bytes of answers that may wait for the peer: above the first, tails lose records; above the second, the end is closed.
_TAIL_UNSENT = 256 * 1024
_MAX_UNSENT = 8 * 1024 * 1024
# Connections and requests that are looked at in one turn of the loop: some 0.2 ms.
_LOOKS = 512
# Seconds between two answers to a tail, and the records in one: a thousand a second, which nobody can read.
_TAIL_INTERVAL = 0.1
_TAIL_RECORDS = 100


class Inspection:
    """Answers the questions that come over `end`, which it owns, one in each turn of the loop.

    `on_end` is called once when the peer is gone, does not take its answers, or says what is no question.
    """

    def __init__(
        self, end: socket.socket, data_plane: DataPlane, on_end: Callable[[str], object] = lambda _: None
    ) -> None:
        self._data_plane = data_plane
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._questions = msgspec.msgpack.Decoder(Question)
        self._waiting: deque[ActiveRequests | Explain] = deque()
        self._walk: RequestWalk | None = None
        self._tails: dict[int, _core.Tail] = {}
        self._turn: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._channel = Channel(
            end,
            on_message=self._on_question,
            on_end=lambda: self._fail(""),
            on_fault=lambda error: self._fail(error_text(error)),
            max_frame=MAX_QUESTION,
            max_descriptors=0,
        )

    def close(self) -> None:
        """Answer no more."""
        self._is_closed = True
        for handle in (self._turn, self._timer):
            if handle is not None:
                handle.cancel()
        for tail in self._tails.values():
            self._data_plane.remove_tail(tail)
        self._tails.clear()
        self._waiting.clear()
        self._walk = None
        self._channel.close()

    def _fail(self, error: str) -> None:
        if not self._is_closed:
            self.close()
            self._on_end(error)

    def _on_question(self, body: bytes) -> None:
        question = self._questions.decode(body)
        match question:
            case Tail(number):
                self._begin_tail(number, question)
            case EndTail(number):
                if (tail := self._tails.pop(number, None)) is not None:
                    self._data_plane.remove_tail(tail)
            case ActiveRequests() | Explain():
                if len(self._waiting) >= MAX_QUESTIONS:
                    raise ValueError(f"more than {MAX_QUESTIONS} questions at once")
                self._waiting.append(question)
                self._take_turn()

    def _begin_tail(self, number: int, question: Tail) -> None:
        if number in self._tails or len(self._tails) >= MAX_TAILS:
            raise ValueError(f"more than {MAX_TAILS} tails, or one number for two")
        try:
            tail = _core.Tail(
                route=question.route,
                status_class=question.status_class,
                slower_than=question.slower_than,
                sample=question.sample,
            )
        except ValueError as error:
            self._answer(Refused(number, str(error)))
            return
        tail.take(_TAIL_RECORDS)
        self._tails[number] = tail
        self._data_plane.add_tail(tail)
        if self._timer is None:
            self._timer = self._loop.call_later(_TAIL_INTERVAL, self._send_tails)

    def _send_tails(self) -> None:
        self._timer = None
        if self._channel.unsent <= _TAIL_UNSENT:
            for number, tail in list(self._tails.items()):
                requests, lost = tail.take(_TAIL_RECORDS)
                if requests or lost:
                    self._answer(Tailed(number, [FinishedRequest(*request) for request in requests], lost))
        if self._tails:
            self._timer = self._loop.call_later(_TAIL_INTERVAL, self._send_tails)

    def _take_turn(self) -> None:
        if self._turn is None and not self._is_closed:
            self._turn = self._loop.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        """Answer a question, or a part of it."""
        self._turn = None
        question = self._waiting[0]
        try:
            answer = self._explained(question) if isinstance(question, Explain) else self._found(question)
        except ValueError as error:
            answer = Refused(question.number, str(error))
        except Exception as error:
            # A fault of ours costs this answer.
            answer = Refused(question.number, f"a bug of the router: {fault_text(error)}")
        if answer is not None:
            self._waiting.popleft()
            self._walk = None
            self._answer(answer)
        if self._waiting:
            self._take_turn()

    def _explained(self, question: Explain) -> Answer:
        told = _core.explain(self._data_plane, question.method, question.url, question.headers, caller=question.caller)
        return Explained(question.number, msgspec.convert(told, Explanation))

    def _found(self, question: ActiveRequests) -> Answer | None:
        """Look at some more connections; None: there are others."""
        if self._walk is None:
            self._walk = RequestWalk(self._data_plane, question.older_than, question.limit)
        if not self._walk.step(_LOOKS):
            return None
        requests = [ActiveRequest(*request) for request in self._walk.requests()]
        return ActiveFound(question.number, requests, self._walk.count)

    def _answer(self, answer: Answer) -> None:
        self._channel.send_message(answer)
        if self._channel.unsent > _MAX_UNSENT:
            self._fail("answers are not taken")
