"""One case: bytes of a client, what the backend has got of it, what the client was told, and what must always hold.

An outcome is a text, with the parts in the order in which the client has got them:

    POST / 'hello'      a request that the backend has got, with this body, and whose response the client has got
    400                 a response of the router's own, of which the backend knows nothing
    unanswered POST /   a request that the backend has got whole, but the client has got no response
    on                  the connection goes on: the next request of the client is served
    nothing             none of these

Of a request that is in none of them the backend may have got a part, but nothing that it could take for the whole.
"""

import re
from typing import Any

from fastrouter._core import Endpoint
from integration.byte_stream import PATIENCE
from integration.http_message import Request, Response, canonical
from integration.in_process import InProcessRouter
from protocol.fake_network import MemorySource

from .recording_backend import RecordingBackend, right_answer

PROBE = b"GET /probe HTTP/1.1\r\nHost: app.test\r\n\r\n"

# What the router adds to a request by itself.
_ADDED = {
    *(b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Request-Start", b"X-Vcap-Request-Id"),
    *(b"X-Cf-Applicationid", b"X-Cf-Instanceid", b"X-Cf-Instanceindex"),
    *(b"Host", b"Connection", b"Content-Length", b"Transfer-Encoding"),
}
# What must not pass (RFC 9110 section 7.6.1): Connection only for an upgrade, and TE only for trailers.
_HOP_BY_HOP = {b"Keep-Alive", b"Proxy-Connection", b"Proxy-Authenticate", b"Proxy-Authorization"}
_NAME = re.compile(rb"^[ \t]*([^:\r\n]*?)[ \t]*:", re.M)


def play(sent: bytes, **settings: Any) -> str:
    """Send this and a further request, and half-close. Returns the outcome, once all holds that always must."""
    with RecordingBackend(right_answer) as backend:
        endpoint = Endpoint("127.0.0.1", backend.port)
        with InProcessRouter(endpoint, half_close_timeout=PATIENCE, **settings) as router:
            client = router.connect()
            try:
                client.send(sent + PROBE)
                client.half_close()
            except OSError:
                # It has had enough before the end.
                pass
            got = client.wait_closed()
        backend.settle()
        check_requests(backend, sent + PROBE)
        return outcome_of(got, backend)


def check_requests(backend: RecordingBackend, sent: bytes) -> None:
    """What must hold of all that the backend has got, whatever was sent."""
    assert not backend.errors, backend.errors
    names = {canonical(name) for name in _NAME.findall(sent)} | _ADDED
    for one in backend.connections:
        at = 0
        for request in one.requests:
            head = b"".join(b"%s: %s\r\n" % field for field in request.fields)
            head = request.start_line + b"\r\n" + head + b"\r\n"
            # Nothing stands in the head but what a strict reader has read: each byte is accounted for.
            assert one.received.startswith(head, at)
            source = MemorySource(one.received[at:])
            Request.read(source)
            at += source.at
            check_request(request, names)
        if one.rest and b"\r\n\r\n" in one.rest:
            # It was cut, so the end of its connection must show that.
            check_request(Request.read_head(MemorySource(one.rest)), names)


def check_request(request: Request, names: set[bytes]) -> None:
    found = {name for name, _ in request.fields}
    assert found <= names, found - names
    assert not found & _HOP_BY_HOP
    assert len(request.values(b"Host")) == 1
    assert len(request.values(b"X-Forwarded-For")) == 1
    upgrade = request.value(b"Upgrade")
    assert request.value(b"Connection") in ((None, b"close") if upgrade is None else (b"Upgrade",))
    # To what the router does not understand nobody behind it may switch.
    assert upgrade is None or not {b"h2c", b"tls/1.0"} & set(upgrade.lower().split(b", "))
    assert request.value(b"Te") in (None, b"trailers")
    # What says where a message ends, or where it comes from or goes, stands in the head alone.
    assert not {name for name, _ in request.trailers} & (_ADDED | {b"Upgrade", b"Authorization"})


def outcome_of(got: bytes, backend: RecordingBackend) -> str:
    parts: list[str] = []
    answered: list[int] = []
    source = MemorySource(got)
    while source.at < len(got):
        head = Response.read_head(MemorySource(got[source.at :]), b"HEAD")
        token = head.value(b"X-Token")
        request = None if token is None else backend.requests[int(token)]
        response = Response.read(source, b"GET" if request is None else request.method)
        if response.status == 100:
            continue
        if request is None or token is None:
            parts.append(str(response.status))
            continue
        assert response.status == 200
        assert response.body == (b"" if request.method == b"HEAD" else b"the answer")
        answered.append(int(token))
        parts.append(described(request))
    # Each request has one response, in the order in which they came.
    assert answered == sorted(set(answered))
    parts += [
        f"unanswered {described(backend.requests[n])}" for n in sorted({*range(len(backend.requests))} - {*answered})
    ]
    return ", ".join("on" if part == "GET /probe" else part for part in parts) or "nothing"


def described(request: Request) -> str:
    text = request.start_line.decode("latin-1").removesuffix(" HTTP/1.1")
    body = f" {request.body.decode('latin-1')!r}" if request.framing != "none" else ""
    trailers = "".join(f" {name.decode()}={value.decode('latin-1')}" for name, value in request.trailers)
    return text + body + trailers
