"""A Loggregator agent: a real UDP socket that takes envelopes."""

import socket
from contextlib import suppress

from dropsonde import Envelope, read_envelope

from .router_process import wait_for


class Agent:
    """Takes envelopes; `received` are those that have come by the last look."""

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # More than a test sends.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(address)
        self._socket.setblocking(False)
        self.place: tuple[str, int] = self._socket.getsockname()
        self.address = f"127.0.0.1:{self.place[1]}"
        self.received: list[Envelope] = []

    def look(self) -> list[Envelope]:
        """All that has come."""
        with suppress(BlockingIOError):
            while True:
                envelope = read_envelope(self._socket.recv(65536))
                assert envelope.origin == "gorouter"
                self.received.append(envelope)
        return self.received

    def named(self, name: str) -> list[Envelope]:
        """Those of the values or counters of this name that have come."""
        return [each for each in self.look() if each.event.get("name") == name]

    def wait_for_named(self, name: str, count: int = 1) -> Envelope:
        """The value or counter of this name that came as number `count`."""
        return wait_for(lambda: self.named(name)[count - 1 : count] or None, name)[0]

    def sum_of(self, name: str) -> int:
        """What a counter has come to."""
        return sum(each.event["delta"] for each in self.named(name))

    def close(self) -> None:
        self._socket.close()
