"""Requests of OTLP for traces, read without the code that has made them (opentelemetry/proto/trace/v1/trace.proto)."""

from dataclasses import dataclass, field
from typing import Any

from protobuf_reader import Fields, read_message

FIELDS: Fields = {
    "Request": {1: ("resource_spans", "ResourceSpans[]")},
    "ResourceSpans": {1: ("resource", "Resource"), 2: ("scope_spans", "ScopeSpans[]")},
    "Resource": {1: ("attributes", "KeyValue[]")},
    "ScopeSpans": {1: ("scope", "Scope"), 2: ("spans", "Span[]")},
    "Scope": {1: ("name", "text"), 2: ("version", "text")},
    "Span": {
        1: ("trace_id", "bytes"),
        2: ("span_id", "bytes"),
        4: ("parent_span_id", "bytes"),
        5: ("name", "text"),
        6: ("kind", "int"),
        7: ("start", "fixed64"),
        8: ("end", "fixed64"),
        9: ("attributes", "KeyValue[]"),
        15: ("status", "Status"),
        16: ("flags", "fixed32"),
    },
    "KeyValue": {1: ("key", "text"), 2: ("value", "AnyValue")},
    "AnyValue": {1: ("string", "text"), 3: ("int", "int")},
    "Status": {2: ("message", "text"), 3: ("code", "int")},
}
SERVER = 2
ERROR = 2


@dataclass
class Span:
    """A span; ids are hexadecimal digits, times Unix time in nanoseconds."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: int
    start: int
    end: int
    flags: int
    status: int
    attributes: dict[str, Any] = field(default_factory=dict)


def read_spans(data: bytes) -> list[Span]:
    """Read the spans of a `ScopeSpans` message."""
    return [_span(each) for each in read_message(data, "ScopeSpans", FIELDS).get("spans", [])]


def read_request(data: bytes) -> tuple[dict[str, Any], dict[str, str], list[Span]]:
    """Read a request: the attributes of its resource, its scope, and its spans."""
    (of_resource,) = read_message(data, "Request", FIELDS)["resource_spans"]
    (of_scope,) = of_resource["scope_spans"]
    return _attributes(of_resource["resource"]), of_scope["scope"], [_span(each) for each in of_scope["spans"]]


def _span(message: dict[str, Any]) -> Span:
    return Span(
        message["trace_id"].hex(),
        message["span_id"].hex(),
        message.get("parent_span_id", b"").hex(),
        message["name"],
        message["kind"],
        message["start"],
        message["end"],
        message["flags"],
        message.get("status", {}).get("code", 0),
        _attributes(message),
    )


def _attributes(message: dict[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for each in message.get("attributes", []):
        (value,) = each["value"].values()
        assert each["key"] not in attributes, f"{each['key']} twice"
        attributes[each["key"]] = value
    return attributes
