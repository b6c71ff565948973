"""The options of what the Loggregator agent is told."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AgentOptions:
    """Where the agent is (`host:port`, UDP), and what it is told besides counters and values of the router.

    `index` is the router's number. For `registration_muzzle` seconds from the start registrations are not timed.
    `sends_values` is for the times of each request, `sends_server_events` for an event about it, `sends_client_events`
    for one about each attempt, and `has_records` for the lines of the access log.
    """

    address: str
    index: int = 0
    registration_muzzle: float = 0.0
    sends_values: bool = False
    sends_server_events: bool = False
    sends_client_events: bool = False
    has_records: bool = False


class AgentError(Exception):
    """The agent's address is none, or is not found; the text is Gorouter's."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Failed to initialize dropsonde: {reason}")


def check_address(address: str) -> tuple[str, str]:
    """Return host and port of `address`, as they stand there. Raises AgentError."""
    if not address:
        raise AgentError("destination variable not set")
    host, colon, port = address.rpartition(":")
    if not colon:
        raise AgentError(f"address {address}: missing port in address")
    return host.removeprefix("[").removesuffix("]"), port
