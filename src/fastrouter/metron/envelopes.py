"""Envelopes of dropsonde as they travel: those of the control process, and the tags of an endpoint (spec 7.5).

The messages are described here, in a table, and their bytes are protobuf's. The workers make envelopes of requests
themselves, because these are thousands a second (ADR 20).
"""

from collections.abc import Mapping

from fastrouter.metron.message_types import Messages, message_types

# `Envelope.eventType`.
_VALUE_METRIC = 6
_COUNTER_EVENT = 7

_MESSAGES: Messages = {
    "ValueMetric": {"name": (1, "string"), "value": (2, "double"), "unit": (3, "string")},
    "CounterEvent": {"name": (1, "string"), "delta": (2, "uint64")},
    "Tag": {"key": (1, "string"), "value": (2, "string")},
    "Envelope": {
        "origin": (1, "string"),
        "event_type": (2, "int32"),
        "timestamp": (6, "int64"),
        "value_metric": (9, "ValueMetric"),
        "counter_event": (10, "CounterEvent"),
        # A map travels as a list of pairs.
        "tags": (17, "Tag[]"),
    },
}


_TYPES = message_types("dropsonde.proto", _MESSAGES)
_Envelope, _ValueMetric, _CounterEvent, _Tag = (
    _TYPES[name] for name in ("Envelope", "ValueMetric", "CounterEvent", "Tag")
)


def value_envelope(origin: str, timestamp: int, name: str, value: float, unit: str) -> bytes:
    """Return an envelope with a value; `timestamp` is Unix time in nanoseconds."""
    metric = _ValueMetric(name=name, value=value, unit=unit)
    envelope = _Envelope(origin=origin, event_type=_VALUE_METRIC, timestamp=timestamp, value_metric=metric)
    return bytes(envelope.SerializeToString())


def counter_envelope(origin: str, timestamp: int, name: str, delta: int) -> bytes:
    """Return an envelope that says that a counter has grown by `delta`."""
    event = _CounterEvent(name=name, delta=delta)
    envelope = _Envelope(origin=origin, event_type=_COUNTER_EVENT, timestamp=timestamp, counter_event=event)
    return bytes(envelope.SerializeToString())


def envelope_tags(tags: Mapping[str, str]) -> bytes:
    """Return the part of an envelope that has these tags; it is appended to the rest."""
    return bytes(_Envelope(tags=[_Tag(key=key, value=value) for key, value in tags.items()]).SerializeToString())
