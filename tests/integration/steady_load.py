"""Load from strict clients: whatever is not a whole 200 counts as a failure, with its reason."""

import select
import socket
import threading
import time
from types import TracebackType
from typing import Self

from fastrouter.control.drain import DRAIN_IDLE_GRACE, IDLE_GRACE

from .byte_stream import PATIENCE
from .raw_client import RawClient

# Seconds that a kept connection may be idle before it is not used any more: half of the time that routers allow.
REST = min(DRAIN_IDLE_GRACE, IDLE_GRACE) / 2


class SteadyLoad:
    """So many clients that send one request after the other to `host`, from entering the block to leaving it.

    `keeping` clients keep their connections for as long as they may, `fresh` ones use a new one for every request. A
    machine may be so busy that a client comes back to its connection when the router has done with waiting: that the
    request was too late is no failure, and it is sent again. With
    `is_leaving`, a client whose connection the router ends between two requests is content, and does not come back.
    """

    def __init__(self, port: int, host: str, *, keeping: int, fresh: int = 0, is_leaving: bool = False) -> None:
        self._port = port
        self._is_leaving = is_leaving
        self._request = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self.answered = 0
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._run, args=(is_keeping,), daemon=True)
            for is_keeping in [True] * keeping + [False] * fresh
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Have every client finish its request, and no more."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def wait_for_more(self, count: int) -> None:
        """Wait for `count` further answers."""
        wanted = self.answered + count
        deadline = time.monotonic() + PATIENCE
        while self.answered < wanted:
            assert time.monotonic() < deadline, f"{self.answered} of {wanted}, failures: {self.failures[:5]}"
            time.sleep(0.002)

    def _run(self, is_keeping: bool) -> None:
        client: RawClient | None = None
        # When it was answered, for a connection that was kept.
        rests_since: float | None = None
        while not self._is_over.is_set():
            step = "connect"
            try:
                is_late = False
                if client is None:
                    rests_since = None
                    client = RawClient(self._port)
                    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                elif self._is_leaving and has_ended(client.socket):
                    break
                step = "send"
                # Until what is sent is on its way: the thread may be held up at any point.
                try:
                    client.send(self._request)
                finally:
                    is_late = rests_since is not None and time.monotonic() - rests_since > REST
                step = "receive"
                response = client.read_response()
            except (OSError, EOFError) as error:
                was_too_late = is_late and client is not None and not client.pending
                if not was_too_late:
                    self._fail(f"{step}: {error!r}")
                if client is not None:
                    client.close()
                client = None
                if was_too_late and self._is_leaving:
                    break
                continue
            if response.status != 200:
                self._fail(f"status {response.status}")
            with self._lock:
                self.answered += 1
            rests_since = time.monotonic()
            if not is_keeping or response.value(b"connection") == b"close":
                client.close()
                client = None
                if self._is_leaving:
                    break
        if client is not None:
            client.close()

    def _fail(self, reason: str) -> None:
        with self._lock:
            self.failures.append(reason)


def has_ended(sock: socket.socket) -> bool:
    """Whether the peer has ended the connection, as far as the kernel knows."""
    # Looked at first: a socket with a timeout would wait for what recv is to peek at.
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0)) and sock.recv(1, socket.MSG_PEEK) == b""
