"""One case of a backend that misbehaves: what it says, what the client gets of it, and who serves the next request.

An outcome is a text:

    200 'ok'            the response that the client has got, with its body
    502                 one of the router's own
    cut 200             a response that the client can tell is not whole
    ..., kept           the next request goes over the same connection to the backend
    ..., new            it goes over another one
    ..., reconnected    the client had to connect again for it
"""

import re

from fastrouter._core import Endpoint
from integration.byte_stream import PATIENCE
from integration.http_message import Request
from integration.in_process import InProcessRouter
from integration.raw_client import RawClient

from .played import check_requests
from .recording_backend import Answer, End, RecordingBackend, right_answer

_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_HOP_BY_HOP = {
    *(b"Keep-Alive", b"Proxy-Connection", b"Proxy-Authenticate", b"Te", b"Trailer", b"Upgrade"),
}


def play_answer(
    said: str, end: End = End.NONE, *, late: str = "", method: str = "GET", lines: str = "", rest: float = 0.0
) -> str:
    """Have the backend say this to a first request, and then end, or say something late; and send a second one.

    `lines` are further ones of the first request, `rest` the seconds that its connection rests if there is no body.
    """
    answer = Answer(said.encode("latin-1"), end, late.encode("latin-1"))

    def answer_to(number: int, request: Request) -> Answer:
        return answer if number == 0 else right_answer(number, request)

    with RecordingBackend(answer_to) as backend:
        endpoint = Endpoint("127.0.0.1", backend.port)
        with InProcessRouter(endpoint, bodiless_rest=rest, half_close_timeout=PATIENCE) as router:
            client = router.connect()
            first = f"{method} /first HTTP/1.1\r\nHost: app.test\r\n{lines}\r\n".encode()
            client.send(first)
            parts, is_over = _read_answer(client, method.encode())
            backend.speak_late()
            if late or end is not End.NONE:
                backend.wait_for_end()
            if is_over:
                client = router.connect()
            second = b"GET /second HTTP/1.1\r\nHost: app.test\r\n\r\n"
            client.send(second)
            response = client.read_response()
            # Whatever was said before: this is the response to this request.
            assert (response.status, response.value(b"X-Token"), response.body) == (200, b"1", b"the answer")
        backend.settle()
        check_requests(backend, first + second)
        assert [request.target for request in backend.requests] == [b"/first", b"/second"]
        parts.append("kept" if len(backend.connections) == 1 else "new")
        return ", ".join([*parts, "reconnected"] if is_over else parts)


def _read_answer(client: RawClient, method: bytes) -> tuple[list[str], bool]:
    """What the client gets, and whether its connection ends with that."""
    parts: list[str] = []
    try:
        while True:
            response = client.read_response(method)
            assert not {name for name, _ in response.fields} & _HOP_BY_HOP
            trailers = "".join(f" {name.decode()}={value.decode('latin-1')}" for name, value in response.trailers)
            has_body = response.framing != "none" and not response.has(b"X-Cf-Routererror")
            body = f" {response.body.decode('latin-1')!r}" if has_body else ""
            parts.append(f"{response.status}{body}{trailers}")
            if response.status >= 200:
                return parts, response.value(b"Connection") == b"close"
    except (EOFError, ConnectionError):
        begun = _STATUS.findall(client.received)[len(parts) :]
        return [*parts, " ".join(["cut", *(status.decode() for status in begun)])], True
