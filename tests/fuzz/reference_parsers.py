"""What h11 and httptools (llhttp, every leniency off) read in the bytes of an HTTP/1 connection."""

from collections.abc import Callable
from typing import Any, NamedTuple

import h11
import httptools

# Beyond the router's own limit of a head; h11's would be 16 KiB.
_MAX_HEAD = 1 << 21


class Read(NamedTuple):
    """One message: the start line's method or status, the target of a request, the body as far as it is there."""

    start: bytes
    target: bytes
    body: bytes
    is_complete: bool


class Verdict(NamedTuple):
    """The messages that a parser has found; `is_accepted` unless it has refused something behind them."""

    messages: list[Read]
    is_accepted: bool

    @property
    def complete(self) -> list[Read]:
        return [message for message in self.messages if message.is_complete]


def requests_by_h11(data: bytes) -> Verdict:
    """Read requests until one of them is the last one, is not complete or is refused. Upgrades are refused by apps."""
    messages: list[Read] = []
    while data:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
        connection.receive_data(data)
        message, is_accepted, data = _read_by_h11(connection)
        if message is not None:
            messages.append(message)
        if not is_accepted:
            return Verdict(messages, False)
        if message is None or not message.is_complete or message.start == b"CONNECT":
            break
        if connection.their_state is h11.MUST_CLOSE:
            break
    return Verdict(messages, True)


def responses_by_h11(data: bytes, methods: list[bytes], *, has_ended: bool) -> Verdict:
    """Read a response to each of the methods; interim ones are passed over. `has_ended`: nothing follows `data`."""
    messages: list[Read] = []
    for method in methods:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        # An upgrade is asked for by none of these, so a 101 is refused.
        connection.send(h11.Request(method=method, target=b"/", headers=[(b"Host", b"app.test")]))
        connection.send(h11.EndOfMessage())
        if data:
            connection.receive_data(data)
        if has_ended:
            connection.receive_data(b"")
        message, is_accepted, data = _read_by_h11(connection)
        if message is not None:
            messages.append(message)
        if message is None or not message.is_complete or not is_accepted:
            return Verdict(messages, is_accepted)
    # Whatever is left nobody has asked for.
    return Verdict(messages, not data)


def _read_by_h11(connection: h11.Connection) -> tuple[Read | None, bool, bytes]:
    """Read one message: what there is of it, whether it is accepted so far, and the bytes behind it."""
    message: Read | None = None
    body: list[bytes] = []
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                message = Read(event.method, event.target, b"", False)
            elif isinstance(event, h11.Response):
                message = Read(b"%d" % event.status_code, b"", b"", False)
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                assert message is not None
                whole = message._replace(body=b"".join(body), is_complete=True)
                return whole, True, connection.trailing_data[0]
            elif not isinstance(event, h11.InformationalResponse):
                break
    except h11.RemoteProtocolError:
        return message and message._replace(body=b"".join(body)), False, b""
    return message and message._replace(body=b"".join(body)), True, b""


class _Callbacks:
    """What httptools calls with each part of a message."""

    def __init__(self, start: Callable[[Any], bytes]) -> None:
        self._start = start
        self.parser: Any = None
        self.messages: list[Read] = []
        self._target = b""

    def on_message_begin(self) -> None:
        self._target = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_headers_complete(self) -> None:
        self.messages.append(Read(self._start(self.parser), self._target, b"", False))

    def on_body(self, body: bytes) -> None:
        self.messages[-1] = self.messages[-1]._replace(body=self.messages[-1].body + body)

    def on_message_complete(self) -> None:
        self.messages[-1] = self.messages[-1]._replace(is_complete=True)


def requests_by_httptools(data: bytes) -> Verdict:
    """Read requests until one is refused or asks for another protocol."""
    callbacks = _Callbacks(lambda parser: bytes(parser.get_method()))
    callbacks.parser = httptools.HttpRequestParser(callbacks)
    return _read_by_httptools(callbacks, data)


def responses_by_httptools(data: bytes) -> Verdict:
    """Read responses to GET, one behind the other; interim ones are among them."""
    callbacks = _Callbacks(lambda parser: b"%d" % parser.get_status_code())
    callbacks.parser = httptools.HttpResponseParser(callbacks)
    return _read_by_httptools(callbacks, data)


def _read_by_httptools(callbacks: _Callbacks, data: bytes) -> Verdict:
    try:
        callbacks.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return Verdict(callbacks.messages, True)
    except httptools.HttpParserError:
        return Verdict(callbacks.messages, False)
    return Verdict(callbacks.messages, True)
