"""What comes before HTTP: PROXY headers and ClientHellos, read alone and by a listener."""

import functools
import ipaddress
import ssl

import trustme

from fastrouter._core import has_foreign_protocols, parse_proxy_header
from protocol.secure_end import server_context

from .http1_targets import SPOKEN, FuzzedConversation, pieces, requests_at

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
NO_APPLICATION_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"


def verdict_of(data: bytes) -> tuple[int, bytes | None, int] | str | None:
    try:
        return parse_proxy_header(data)
    except ValueError as error:
        return str(error)


def check_proxy_header(data: bytes) -> None:
    """A load balancer says anything, and a request of HTTP/1.1 follows."""
    _, parts = pieces(data)
    said = b"".join(parts)
    verdict = verdict_of(said)
    if isinstance(verdict, tuple):
        size, ip, port = verdict
        assert size <= len(said)
        assert (size == 0) != said.startswith((b"PROXY ", SIGNATURE))
        assert 0 <= port <= 65535
        assert ip is None or ipaddress.ip_address(ip.decode())
        # The same as soon as it is complete, and none before.
        assert size == 0 or verdict_of(said[:size]) == verdict
        assert all(verdict_of(said[:end]) is None for end in range(size))
    conversation = FuzzedConversation(reads_proxy_headers=True)
    conversation.from_client(*parts, GET)
    conversation.answer()
    if isinstance(verdict, tuple) and 0 < verdict[0] == len(said):
        ip = verdict[1] or b"10.0.0.9"
        assert b"X-Forwarded-For: %s\r\n" % ip in bytes(conversation.backend.written), said
        assert conversation.client.written.endswith(b"ok")
    conversation.hang_up()
    for transport in conversation.loop.dialled:
        requests_at(transport)


@functools.cache
def secure_server() -> ssl.SSLContext:
    context = server_context(trustme.CA(key_type=trustme.KeyType.ECDSA), "app.test")
    context.set_alpn_protocols(["http/1.1"])
    return context


def check_client_hello(data: bytes) -> None:
    """A client begins a TLS handshake in any way."""
    _, parts = pieces(data)
    said = b"".join(parts)
    verdicts = [has_foreign_protocols(said[:end], SPOKEN) for end in range(len(said) + 1)]
    known = [verdict for verdict in verdicts if verdict is not None]
    # Once there is a verdict, it stays.
    assert verdicts == [None] * (len(verdicts) - len(known)) + known[:1] * len(known), said
    conversation = FuzzedConversation(tls=secure_server())
    conversation.from_client(*parts)
    if verdicts[-1]:
        assert conversation.client.written == NO_APPLICATION_PROTOCOL
    conversation.hang_up()
    assert not conversation.loop.dialled
