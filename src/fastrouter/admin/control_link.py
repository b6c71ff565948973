"""Calls of the control process: questions that only it can answer, and acts that only it can do."""

import asyncio
from typing import TypeVar

import msgspec

from fastrouter.admin.problems import ProblemError
from fastrouter.ipc.admin_messages import Act, Answer, Ask, Call, Do, Question, Refusal
from fastrouter.ipc.channel import Channel

# Seconds that the control process may take for an answer.
PATIENCE = 10.0
# Calls under way at a time; further ones wait.
MAX_CALLS = 32

T = TypeVar("T")


class ControlLink:
    """Sends calls over a channel, whose answers are to be given to `on_answer` and `on_refusal`."""

    def __init__(self) -> None:
        self.channel: Channel | None = None
        self._turns = asyncio.Semaphore(MAX_CALLS)
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._calls = 0

    async def ask(self, question: Question, kind: type[T]) -> T:
        """Return the answer to `question`, which is of this type. Raises ProblemError."""
        return await self._call(Ask(self._next_number(), question), kind)

    async def do(self, act: Act, by: str, kind: type[T]) -> T:
        """Have `act` done for whom `by` names; returns the answer, which is of this type. Raises ProblemError."""
        return await self._call(Do(self._next_number(), by, act), kind)

    def on_answer(self, answer: Answer) -> None:
        """Take an answer to one of the calls."""
        if (waiting := self._waiting.get(answer.number)) is not None and not waiting.done():
            waiting.set_result(bytes(answer.body))

    def on_refusal(self, refusal: Refusal) -> None:
        """Take the refusal of one of the calls."""
        if (waiting := self._waiting.get(refusal.number)) is not None and not waiting.done():
            waiting.set_exception(ProblemError(refusal.status, refusal.detail))

    def _next_number(self) -> int:
        self._calls += 1
        return self._calls

    async def _call(self, call: Call, kind: type[T]) -> T:
        assert self.channel is not None, "the process has a channel"
        try:
            async with asyncio.timeout(PATIENCE), self._turns:
                waiting = self._waiting[call.number] = asyncio.get_running_loop().create_future()
                try:
                    self.channel.send_message(call)
                    body = await waiting
                finally:
                    del self._waiting[call.number]
        except TimeoutError:
            raise ProblemError(504, f"the control process has not answered within {PATIENCE:g} s") from None
        return msgspec.msgpack.decode(body, type=kind)
