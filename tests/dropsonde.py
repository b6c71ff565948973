"""Envelopes of dropsonde, read by the fields of spec 7.5 and without the library or the code that has made them."""

from dataclasses import dataclass, field
from typing import Any

from protobuf_reader import Fields, read_message

FIELDS: Fields = {
    "Envelope": {
        1: ("origin", "text"),
        2: ("eventType", "int"),
        6: ("timestamp", "int"),
        7: ("httpStartStop", "HttpStartStop"),
        8: ("logMessage", "LogMessage"),
        9: ("valueMetric", "ValueMetric"),
        10: ("counterEvent", "CounterEvent"),
        17: ("tags", "Tag[]"),
    },
    "Tag": {1: ("key", "text"), 2: ("value", "text")},
    "UUID": {1: ("low", "unsigned"), 2: ("high", "unsigned")},
    "HttpStartStop": {
        1: ("startTimestamp", "int"),
        2: ("stopTimestamp", "int"),
        3: ("requestId", "UUID"),
        4: ("peerType", "int"),
        5: ("method", "int"),
        6: ("uri", "text"),
        7: ("remoteAddress", "text"),
        8: ("userAgent", "text"),
        9: ("statusCode", "int"),
        10: ("contentLength", "int"),
        12: ("applicationId", "UUID"),
        13: ("instanceIndex", "int"),
        14: ("instanceId", "text"),
        15: ("forwarded", "text[]"),
    },
    "LogMessage": {
        1: ("message", "bytes"),
        2: ("message_type", "int"),
        3: ("timestamp", "int"),
        4: ("app_id", "text"),
        5: ("source_type", "text"),
        6: ("source_instance", "text"),
    },
    "ValueMetric": {1: ("name", "text"), 2: ("value", "double"), 3: ("unit", "text")},
    "CounterEvent": {1: ("name", "text"), 2: ("delta", "int"), 3: ("total", "int")},
}
EVENTS = {4: "httpStartStop", 5: "logMessage", 6: "valueMetric", 7: "counterEvent"}
CLIENT, SERVER = 1, 2


@dataclass
class Envelope:
    """What one datagram says: `kind` is the name of its event, `event` the fields of that."""

    origin: str
    kind: str
    timestamp: int
    event: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)


def read_envelope(datagram: bytes) -> Envelope:
    """Read a datagram. Raises AssertionError, or what else comes of it, if it is no envelope."""
    message = read_message(datagram, "Envelope", FIELDS)
    kind = EVENTS[message["eventType"]]
    assert {name for name in EVENTS.values() if name in message} == {kind}
    tags = {tag["key"]: tag["value"] for tag in message.get("tags", [])}
    return Envelope(message["origin"], kind, message["timestamp"], message[kind], tags)


def uuid_halves(text: str) -> dict[str, int]:
    """A UUID as two numbers: each has eight of its bytes, the lowest first."""
    raw = bytes.fromhex(text.replace("-", ""))
    return {"low": int.from_bytes(raw[:8], "little"), "high": int.from_bytes(raw[8:], "little")}
