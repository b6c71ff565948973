"""The agent, as the control process talks to it."""

import socket
import time
from typing import NamedTuple

from fastrouter.metron.envelopes import counter_envelope, value_envelope
from fastrouter.metron.options import AgentError, check_address

# What all envelopes say they come from: Gorouter's name for its job.
ORIGIN = "gorouter"


class AgentAddress(NamedTuple):
    """An IPv4 address and a port."""

    host: str
    port: int


def find_agent(address: str) -> AgentAddress:
    """Look up `address`, which may have a name; this may take a while. Raises AgentError."""
    host, port = check_address(address)
    try:
        found = socket.getaddrinfo(host or "localhost", port, socket.AF_INET, socket.SOCK_DGRAM)
    except (UnicodeError, socket.gaierror) as error:
        is_port = isinstance(error, socket.gaierror) and error.errno == socket.EAI_SERVICE
        reason = f"lookup udp4/{port}: unknown port" if is_port else f"lookup {host}: no such host"
        raise AgentError(reason) from error
    return AgentAddress(*found[0][4][:2])


class Agent:
    """Sends envelopes at once, and never waits: what cannot be sent is lost, as it may be on the way."""

    def __init__(self, address: AgentAddress) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(address)

    def send_value(self, name: str, value: float, unit: str) -> None:
        """Tell the value that something has now."""
        self._send(value_envelope(ORIGIN, time.time_ns(), name, value, unit))

    def send_counter(self, name: str, delta: int) -> None:
        """Tell that a counter has grown by `delta`."""
        self._send(counter_envelope(ORIGIN, time.time_ns(), name, delta))

    def close(self) -> None:
        """Send no more."""
        self._socket.close()

    def _send(self, envelope: bytes) -> None:
        try:
            self._socket.send(envelope)
        except OSError:
            # Nobody listens there, or the kernel has no room.
            return
