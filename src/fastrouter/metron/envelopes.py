"""Envelopes of dropsonde as they travel: those of the control process, and the tags of an endpoint (spec 7.5).

The messages are described here, in a table, and their bytes are protobuf's. The workers make envelopes of requests
themselves, because these are thousands a second (ADR 20).
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

# `Envelope.eventType`.
_VALUE_METRIC = 6
_COUNTER_EVENT = 7

# Message -> the numbers and types of its fields; what is no type of protobuf's is another message.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
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


def _message_types() -> dict[str, Any]:
    """Return the class of each message."""
    file = FileDescriptorProto(name="dropsonde.proto", syntax="proto2")
    for message_name, fields in _MESSAGES.items():
        message = file.message_type.add(name=message_name)
        for name, (number, kind) in fields.items():
            field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
            single = kind.removesuffix("[]")
            if single != kind:
                field.label = FieldDescriptorProto.LABEL_REPEATED
            if single in _MESSAGES:
                field.type = FieldDescriptorProto.TYPE_MESSAGE
                field.type_name = single
            else:
                field.type = FieldDescriptorProto.Type.Value(f"TYPE_{single.upper()}")
    pool = DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in _MESSAGES}


_TYPES = _message_types()
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
