"""Requests and responses of OTLP as they travel: protobuf messages of opentelemetry.proto.collector.trace.v1.

Workers make the spans themselves, in the form that they have there; here they get what goes around them.
"""

from collections.abc import Mapping, Sequence

from google.protobuf.message import DecodeError

from fastrouter import __version__
from fastrouter.metron.message_types import message_types

# Of what is made by others, or is not looked into, there are bytes: these are encoded as messages are.
_TYPES = message_types(
    "otlp.proto",
    {
        "AnyValue": {"string_value": (1, "string")},
        "KeyValue": {"key": (1, "string"), "value": (2, "AnyValue")},
        "Resource": {"attributes": (1, "KeyValue[]")},
        "Scope": {"name": (1, "string"), "version": (2, "string")},
        "ScopeSpans": {"scope": (1, "Scope")},
        "ResourceSpans": {"resource": (1, "Resource"), "scope_spans": (2, "bytes")},
        "Request": {"resource_spans": (1, "bytes")},
        "PartialSuccess": {"rejected_spans": (1, "int64"), "error_message": (2, "string")},
        "Response": {"partial_success": (1, "PartialSuccess")},
    },
)


class RequestMaker:
    """Makes requests of spans, of a router that `attributes` tell of."""

    def __init__(self, attributes: Mapping[str, str]) -> None:
        pairs = [
            _TYPES["KeyValue"](key=key, value=_TYPES["AnyValue"](string_value=value))
            for key, value in attributes.items()
        ]
        self._resource = _TYPES["Resource"](attributes=pairs)
        scope = _TYPES["Scope"](name="fastrouter", version=__version__)
        self._scope = bytes(_TYPES["ScopeSpans"](scope=scope).SerializeToString())

    def request(self, spans: Sequence[bytes]) -> bytes:
        """Return a request of all these spans; each of `spans` is many, as fields of `ScopeSpans`."""
        of_resource = _TYPES["ResourceSpans"](resource=self._resource, scope_spans=b"".join((self._scope, *spans)))
        return bytes(_TYPES["Request"](resource_spans=of_resource.SerializeToString()).SerializeToString())


def rejected_spans(response: bytes) -> tuple[int, str]:
    """Return how many spans a collector has not taken though it has taken the request, and why. Raises ValueError."""
    try:
        partial = _TYPES["Response"].FromString(response).partial_success
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return int(partial.rejected_spans), str(partial.error_message)
