"""Requests to status listeners and their responses: what a handler gets and returns, and how it is written as HTTP."""

import asyncio
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

TEXT = ("Content-Type", "text/plain; charset=utf-8")


class StatusRequest(NamedTuple):
    """What a handler looks at: method, path without query, the first Authorization, and a short body."""

    method: str
    path: str
    authorization: str
    body: bytes


# Parts of a body. After a future, the next part is requested when the future is done.
BodyParts = Iterator[bytes | asyncio.Future[None]]


class StatusResponse(NamedTuple):
    """A whole response; `is_last` closes the connection after it.

    A body that is long or takes long to make is an iterator of its parts. The next part is requested when the client
    has taken those before, and the loop does other work in between. A part may be empty: then it only ends a step of
    work.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | BodyParts = b""
    is_last: bool = False


StatusHandler = Callable[[StatusRequest], StatusResponse]

NOT_FOUND = StatusResponse(404, (TEXT, ("X-Content-Type-Options", "nosniff")), b"404 page not found\n")


class ResponseStream:
    """A response whose body is made part by part."""

    def __init__(self, parts: BodyParts, response: StatusResponse, *, is_chunked: bool, is_last: bool) -> None:
        self.response = response
        self.is_chunked = is_chunked
        self.is_last = is_last
        self._parts = parts
        self._awaited: asyncio.Future[None] | None = None
        self._first = b""
        self.has_begun = False

    def must_wait(self, wake: Callable[[], None]) -> bool:
        """Whether the next part waits for something; if so, `wake` is called when it is there."""
        if self._awaited is None or self._awaited.done():
            return False
        self._awaited.add_done_callback(lambda _: wake())
        return True

    def next_bytes(self) -> tuple[bytes, bool]:
        """Make the next part; returns what is to be sent, and whether the response is complete with it.

        A body of one part is sent with its length, as any other.
        """
        part = next(self._parts, None)
        if part is None:
            if not self.has_begun:
                return head_of(self.response, is_last=self.is_last, size=len(self._first)) + self._first, True
            return b"0\r\n\r\n" if self.is_chunked else b"", True
        if isinstance(part, asyncio.Future):
            self._awaited = part
            return b"", False
        if not part:
            return b"", False
        if not self.has_begun and not self._first:
            self._first = part
            return b"", False
        if self.has_begun:
            return self._frame(part), False
        self.has_begun = True
        head = head_of(self.response, is_last=self.is_last, is_chunked=self.is_chunked)
        first, self._first = self._first, b""
        return head + self._frame(first) + self._frame(part), False

    def _frame(self, part: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(part), part) if self.is_chunked else part


def head_of(response: StatusResponse, *, is_last: bool, size: int | None = None, is_chunked: bool = False) -> bytes:
    """Render the head of a response whose body has `size` bytes, comes in chunks, or ends with the connection."""
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    lines.append(f"Date: {formatdate(usegmt=True)}")
    if size is not None:
        lines.append(f"Content-Length: {size}")
    elif is_chunked:
        lines.append("Transfer-Encoding: chunked")
    if is_last:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")
