"""What a Loggregator agent was told of requests, as lines of text (spec 6.5, 7.5, 7.6)."""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dropsonde import CLIENT, SERVER, Envelope
from integration.loggregator_agent import Agent
from integration.router_process import wait_for

_OF_REQUESTS = frozenset(("latency", "gorouter_time", "route_lookup_time"))
"""Values that are about requests. Others, and counters, come when it is time for them (`pages.agent`)."""

_WHOLE = frozenset(("latency",))
"""Those of them that are whole numbers."""

_SLACK_NS = 1_000_000_000
"""How far times may be apart that are read one after the other."""

_PEERS = {CLIENT: "client", SERVER: "server"}


class EnvelopeReader:
    """Reads what an agent gets, from one barrier to the next."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._read = 0

    def up_to(self, host: str) -> list[Envelope]:
        """Envelopes about requests since this was asked last, when a request for `host` has been told of.

        Those that come in one batch with that one are there: all of them were sent before it is looked again.
        """
        address = f"http://{host}/;"

        def is_told() -> bool | None:
            return any(each.event.get("uri") == address for each in self.agent.look()[self._read :]) or None

        wait_for(is_told, f"the event of {host}")
        self.agent.look()
        found, self._read = self.agent.received[self._read :], len(self.agent.received)
        return [each for each in found if _is_of_a_request(each) and each.event.get("uri") != address]


def _is_of_a_request(envelope: Envelope) -> bool:
    name = str(envelope.event.get("name", ""))
    return envelope.kind in ("httpStartStop", "logMessage") or _family(name) in _OF_REQUESTS


def _family(name: str) -> str:
    """The name of a value without its component."""
    return name.partition(".")[0]


def envelope_line(envelope: Envelope, access: Sequence[str], clean: Callable[[str], str]) -> str:
    """All that an envelope says; of times it is left whether they are in order, of measured values whether they can be.

    A record that stands among the lines of the access log, which are compared themselves, is `<access line>`.
    """
    event, timestamp = envelope.event, envelope.timestamp
    match envelope.kind:
        case "httpStartStop":
            told = _start_stop(event, timestamp)
        case "logMessage":
            told = _log_message(event, timestamp, access)
        case _:
            told = _value(event)
    tags = f" {json.dumps(envelope.tags, sort_keys=True)}" if envelope.tags else ""
    return clean(told + tags)


def _value(event: Mapping[str, Any]) -> str:
    is_right = event["value"] >= 0 and (_family(event["name"]) not in _WHOLE or event["value"].is_integer())
    return f"{event['name']} {'<number>' if is_right else event['value']} {event['unit']}"


def _start_stop(event: Mapping[str, Any], timestamp: int) -> str:
    told: dict[str, Any] = {key: _uuid(value) if isinstance(value, dict) else value for key, value in event.items()}
    peer = _PEERS[told.pop("peerType")]
    started, stopped = told.pop("startTimestamp"), told.pop("stopTimestamp")
    times = "" if started <= stopped <= timestamp + _SLACK_NS else f" times {started} {stopped} {timestamp}"
    return f"{peer} {json.dumps(told, sort_keys=True)}{times}"


def _log_message(event: Mapping[str, Any], timestamp: int, access: Sequence[str]) -> str:
    told = dict(event)
    text = told.pop("message").decode("utf-8", "surrogateescape")
    message = "<access line>" if text in access else text
    times = "" if abs(told.pop("timestamp") - timestamp) <= _SLACK_NS else " times"
    return f"record {json.dumps(told, sort_keys=True)}{times} {message}"


def _uuid(halves: Mapping[str, int]) -> str:
    """The text of a UUID that travels as two numbers, each with eight of its bytes, the lowest first."""
    return str(uuid.UUID(bytes=halves["low"].to_bytes(8, "little") + halves["high"].to_bytes(8, "little")))
