"""Clients and backends that say anything in HTTP/1, through a whole data plane without sockets."""

import ssl
from collections import Counter
from http import HTTPMethod
from itertools import cycle

from fastrouter._core import Endpoint, ListenerProtocol, Settings
from protocol.conversation import Conversation
from protocol.fake_network import FakeTransport

from .reference_parsers import (
    Read,
    Verdict,
    requests_by_h11,
    requests_by_httptools,
    responses_by_h11,
    responses_by_httptools,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SECOND = OK[:-2] + b"2!"
# What the clients of TLS are offered (ALPN).
SPOKEN = (b"http/1.1",)
# Gorouter passes on targets that are not ASCII, which no parser here takes. Where messages end does not depend on them.
ASCII = bytes(range(128)) + b"x" * 128
METHODS = {method.encode() for method in HTTPMethod}
# By the first byte of an input: sizes of the pieces that the rest comes in.
CUTS = ([1 << 20], [1], [7, 1, 30], [64], [3])


def pieces(data: bytes) -> tuple[int, list[bytes]]:
    """The first byte of an input, which chooses a case, and the rest of it, cut as that says."""
    choice = data[0] if data else 0
    sizes = cycle(CUTS[choice % len(CUTS)])
    rest = data[1:]
    cut: list[bytes] = []
    while rest:
        size = next(sizes)
        cut.append(rest[:size])
        rest = rest[size:]
    return choice // len(CUTS), cut


class FuzzedConversation(Conversation):
    """A conversation that is looked at when it is over."""

    def __init__(
        self, *, is_http2: bool = False, reads_proxy_headers: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        protocol = "h2c" if is_http2 else "http1"
        endpoint = Endpoint("10.0.0.1", 8080, app_id="app", protocol=protocol)
        super().__init__([endpoint], Settings(takes_h2c=True))
        self.client.close()
        self.loop.run()
        listener = ListenerProtocol(self.plane, reads_proxy_headers=reads_proxy_headers)
        if tls is not None:
            listener.secure(tls, protocols=SPOKEN)
        self.client = self.loop.connect_client(listener.new_connection())
        # How many requests of each backend connection are answered.
        self.answered: Counter[FakeTransport] = Counter()

    def answer(self) -> None:
        """Have backends answer every request that has arrived whole, as plainly as possible."""
        for transport in self.loop.dialled:
            while asked := requests_by_h11(bytes(transport.written)).complete[self.answered[transport] :]:
                self.answered[transport] += 1
                if transport.can_deliver:
                    transport.deliver(OK[:-2] if asked[0].start == b"HEAD" else OK)
                self.loop.run()

    def hang_up(self) -> None:
        """End everything, peers first. Whatever has been said, nothing of ours fails, and nobody is left."""
        for transport in [*self.loop.dialled, self.client]:
            if not transport.is_closing():
                transport.deliver_eof()
            self.loop.run()
        self.end()
        assert self.plane.stats()["client_connections"] == 0
        panics = [data for _, message, data in self.events if message == "panic-check"]
        assert not panics, panics


def requests_at(transport: FakeTransport) -> list[Read]:
    """What a backend was asked, which both parsers must take for the same requests."""
    data = bytes(transport.written).translate(ASCII)
    seen = requests_by_h11(data)
    assert seen.is_accepted, (data, seen)
    # Gorouter passes on methods that llhttp does not know.
    if all(message.start in METHODS for message in seen.messages):
        assert requests_by_httptools(data) == seen, (data, seen)
    return seen.messages


def assert_forwarded(conversation: Conversation, said: bytes) -> None:
    """Backends are asked for nothing but what both parsers find in the bytes of the client.

    Where a parser refuses what the client sends, nothing is known of what follows.
    """
    forwarded = [request for transport in conversation.loop.dialled for request in requests_at(transport)]
    said = said.translate(ASCII)
    if said.startswith(b"PRI * HTTP/2.0"):
        return
    for sent in (requests_by_h11(said), requests_by_httptools(said)):
        left = list(sent.messages)
        for request in forwarded if sent.is_accepted else []:
            found = [message for message in left if is_part(request, message)]
            assert found, f"{request} is none of {sent.messages}: {said!r}"
            left.remove(found[0])


def is_part(forwarded: Read, sent: Read) -> bool:
    """Whether this is the request that was sent, as far as it is there. Not every target is passed on as it was."""
    if forwarded.is_complete:
        return (forwarded.start, forwarded.body, True) == (sent.start, sent.body, sent.is_complete)
    return forwarded.start == sent.start and sent.body.startswith(forwarded.body)


def check_request_head(data: bytes) -> None:
    """A client says anything, from its first byte on; apps answer."""
    _, parts = pieces(data)
    conversation = FuzzedConversation()
    for part in parts:
        conversation.from_client(part)
        conversation.answer()
    conversation.hang_up()
    assert_forwarded(conversation, b"".join(parts))
    told = bytes(conversation.client.written)
    assert told == b"" or told.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ", b"\0\0"))


def check_response_head(data: bytes) -> None:
    """An app says anything in answer to the first of two requests, and then it ends."""
    choice, parts = pieces(data)
    method = (b"GET", b"HEAD", b"POST")[choice % 3]
    body = b"Content-Length: 2\r\n\r\nhi" if method == b"POST" else b"\r\n"
    conversation = FuzzedConversation()
    conversation.from_client(method + b" /1 HTTP/1.1\r\nHost: app.test\r\n" + body)
    first = conversation.backend
    conversation.from_backend(*parts)
    said = b"".join(parts)
    seen = responses_by_h11(said, [method], has_ended=False)
    methods = [method]
    if conversation.client.can_deliver:
        methods.append(b"GET")
        conversation.from_client(b"GET /2 HTTP/1.1\r\nHost: app.test\r\n\r\n")
    is_kept = b"GET /2 " in first.written
    if is_kept:
        # So nothing has come that was not asked for.
        assert not seen.complete or seen.is_accepted, (said, seen)
        first.deliver(SECOND)
        conversation.loop.run()
    conversation.hang_up()
    told = told_to(conversation.client, methods)
    if is_kept:
        assert [one.body for one in told[1:]] == [b"2!"], (said, told)
    assert_relayed(told[:1], responses_by_h11(said, [method], has_ended=True), said)
    if method == b"GET":
        assert_relayed(told[:1], responses_by_httptools(said), said)


def check_request_body(data: bytes) -> None:
    """A client says anything in a chunked body."""
    _, parts = pieces(data)
    head = b"POST /x HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
    conversation = FuzzedConversation()
    conversation.from_client(head)
    for part in parts:
        conversation.from_client(part)
        conversation.answer()
    conversation.hang_up()
    assert_forwarded(conversation, head + b"".join(parts))


def check_response_body(data: bytes) -> None:
    """An app says anything in a chunked body."""
    check_response_head(data[:1] + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data[1:])


def told_to(client: FakeTransport, methods: list[bytes]) -> list[Read]:
    """What a client was told in answer to its requests: as many responses, of which the last may be cut off."""
    data = bytes(client.written)
    told = responses_by_h11(data, methods, has_ended=False)
    assert told.is_accepted, (data, told)
    assert client.is_over or len(told.complete) == len(methods), (data, told)
    if b"HEAD" not in methods:
        final = [message for message in responses_by_httptools(data).messages if not message.start.startswith(b"1")]
        assert final == told.messages, (data, told, final)
    return told.complete


def assert_relayed(told: list[Read], said: Verdict, data: bytes) -> None:
    """A response that a parser of the app's bytes finds, too, is told as it finds it, or is replaced by an error."""
    final = [message for message in said.complete if not message.start.startswith(b"1")]
    if said.is_accepted and final and told and told[0].start != b"502":
        assert told[0] == final[0], (data, told, said)
