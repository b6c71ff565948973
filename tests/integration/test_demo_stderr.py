"""Clients of the demo may leave whenever they like: nothing of it is on stderr, because none of it is a fault."""

import re
import signal
import socket
from pathlib import Path

import pytest

from .http_message import Response
from .raw_client import RawClient
from .router_process import wait_for
from .test_process import Process

_UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
ABANDONED = {
    "an upload": b"POST /echo HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 100000\r\n\r\nabc",
    "chunks": b"POST /echo HTTP/1.1\r\nHost: demo.localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "events": b"GET /events HTTP/1.1\r\nHost: demo.localhost\r\n\r\n",
    "a stream": b"GET /stream HTTP/1.1\r\nHost: demo.localhost\r\n\r\n",
    "a WebSocket": b"GET /ws HTTP/1.1\r\nHost: demo.localhost\r\n" + _UPGRADE,
    "a WebSocket with a frame that is none": b"GET /ws HTTP/1.1\r\nHost: demo.localhost\r\n" + _UPGRADE + b"\xff" * 8,
    "no WebSocket at all": b"GET /ws HTTP/1.1\r\nHost: demo.localhost\r\n\r\n",
}


@pytest.mark.slow
def test_nothing_but_faults_is_on_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    demo = Process("demo", "--listen", "127.0.0.1:0")
    try:
        wait_for(lambda: True if any("Ctrl-C stops" in line for line in demo.lines) else None, "the demo", 60)
        port = int(next(match[1] for line in demo.lines if (match := re.search(r"listens on 127.0.0.1:(\d+)", line))))
        for request in ABANDONED.values():
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(request)
                client.shutdown(socket.SHUT_RD)
        # All instances have noticed, and go on.
        answers: list[Response] = []
        for _ in range(6):
            with RawClient(port) as healthy:
                healthy.send(b"POST /echo HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 1\r\n\r\nx")
                answers.append(healthy.read_response())
        assert [answer.status for answer in answers] == [200] * 6
        demo.popen.send_signal(signal.SIGTERM)
        assert demo.popen.wait(60) == 0
        assert demo.errors == []
    finally:
        demo.popen.kill()
        demo.popen.wait()
