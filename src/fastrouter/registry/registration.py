"""Registrations: how messages are decoded, and which are rejected (spec 3.2)."""

import re
from typing import Annotated, Any

import msgspec

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class MessageError(ValueError):
    """A message that is rejected as a whole; the text says which rule it breaks."""


class Options(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Per-route options. `hash_header` and `hash_balance` belong to the algorithm `hash` (spec 9.1).

    Who may call the route is of `route_policy_scope` (`any`, `org`, `space`; empty: whoever it is), and of one of
    `route_policy_sources`, which are divided by commas (spec 9.8).
    """

    loadbalancing: str = ""
    hash_header: str = ""
    hash_balance: float = 0.0
    route_policy_scope: str = ""
    route_policy_sources: str = ""


NO_OPTIONS = Options()


class Registration(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The payload of `router.register` and `router.unregister`, each field as sent (spec 3.2).

    `port` and `tls_port` are TCP ports, 0 when absent; `stale_threshold_in_seconds` 0 means the router's own;
    `endpoint_updated_at_ns` is Unix time in nanoseconds, 0 when unknown; `tags` is None when absent.
    """

    host: str = ""
    port: Port = 0
    tls_port: Port = 0
    uris: tuple[str, ...] = ()
    app: str = ""
    private_instance_id: str = ""
    private_instance_index: str = ""
    tags: dict[str, str] | None = None
    stale_threshold_in_seconds: Int64 = 0
    route_service_url: str = ""
    server_cert_domain_san: str = ""
    isolation_segment: str = ""
    endpoint_updated_at_ns: Int64 = 0
    protocol: str = ""
    availability_zone: str = ""
    options: Options = NO_OPTIONS


_EXACT = msgspec.json.Decoder(Registration)
_ANYTHING = msgspec.json.Decoder()

_FIELDS = frozenset(Registration.__struct_fields__)
_OPTION_FIELDS = frozenset(Options.__struct_fields__)

# These fields become header values, labels, or parts of the access log in the data plane.
_HEADER_FIELDS = (
    "host",
    "app",
    "private_instance_id",
    "private_instance_index",
    "server_cert_domain_san",
    "protocol",
    "availability_zone",
)
_HEADER_TAGS = ("component", "process_id")
# Longer values of header fields are refused by the data plane.
_MAX_HEADER_TEXT = 1024
_PLAIN_FIELDS = ("route_service_url", "isolation_segment")
# Bytes of a registration: the default limit of a NATS server. Decoding so much takes some milliseconds. Oddly spelled
# ones take several times as long, and have a lower limit.
MAX_REGISTRATION = 1024 * 1024
MAX_ODD_REGISTRATION = 256 * 1024
# Characters of a text that stands once in a message but is repeated for each of its URIs in logs and `/routes`.
_MAX_PLAIN_TEXT = 8 * 1024
_MAX_TAGS_TEXT = 64 * 1024
_MAX_SOURCES_TEXT = 64 * 1024
_NOT_PRINTABLE_ASCII = re.compile(r"[^ -~]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BYTES = bytes([*range(0x20), 0x7F])


def decode_registration(payload: bytes) -> Registration:
    """Read a registration as Go's decoder does: names in any case, null for the default, unknown fields ignored.

    Raises MessageError, and nothing else, whatever the bytes are.
    """
    if len(payload) > MAX_REGISTRATION:
        raise MessageError(f"Unable to validate message. It must not be longer than {MAX_REGISTRATION} bytes")
    try:
        registration = _EXACT.decode(payload)
    except (ValueError, RecursionError) as error:
        if len(payload) > MAX_ODD_REGISTRATION:
            raise MessageError(str(error)) from error
        # An odd but legal spelling, or no registration at all: the slow decoder decides.
        registration = _decode_patiently(payload)
    if registration.route_service_url and not registration.route_service_url.startswith("https"):
        raise MessageError("Unable to validate message. route_service_url must be https")
    # JSON has control characters only as escapes, except DEL, so short plain messages need no check of each field.
    if len(payload) > _MAX_HEADER_TEXT or b"\\" in payload or b"\x7f" in payload or not payload.isascii():
        refuse_unfit_text(registration)
    return registration


def refuse_unfit_text(registration: Registration) -> None:
    """Raise MessageError for text that is not allowed in a header value."""
    for names, unfit, rule, limit in (
        (_HEADER_FIELDS, _NOT_PRINTABLE_ASCII, "be printable ASCII", _MAX_HEADER_TEXT),
        (_PLAIN_FIELDS, _CONTROL, "not have control characters", _MAX_PLAIN_TEXT),
    ):
        for name in names:
            text = getattr(registration, name)
            if unfit.search(text):
                raise MessageError(f"Unable to validate message. {name} must {rule}")
            _refuse_long(name, len(text), limit)
    if _has_control_characters("".join(registration.uris)):
        raise MessageError("Unable to validate message. uris must not have control characters")
    tags = registration.tags or {}
    _refuse_long("tags", sum(map(len, tags)) + sum(map(len, tags.values())), _MAX_TAGS_TEXT)
    options = registration.options
    for option in (options.loadbalancing, options.hash_header, options.route_policy_scope):
        _refuse_long("options", len(option), _MAX_HEADER_TEXT)
    _refuse_long("route_policy_sources", len(options.route_policy_sources), _MAX_SOURCES_TEXT)
    for name in _HEADER_TAGS:
        if _NOT_PRINTABLE_ASCII.search(tags.get(name, "")):
            raise MessageError(f"Unable to validate message. the tag {name} must be printable ASCII")


def _refuse_long(name: str, length: int, limit: int) -> None:
    if length > limit:
        raise MessageError(f"Unable to validate message. {name} must not be longer than {limit} characters")


def _decode_patiently(payload: bytes) -> Registration:
    try:
        document = _ANYTHING.decode(payload)
        if document is None:
            return Registration()
        if not isinstance(document, dict):
            raise MessageError("a registration is a JSON object")
        return msgspec.convert(_known_fields(document), Registration)
    except MessageError:
        raise
    except RecursionError as error:
        raise MessageError("the message is nested too deeply") from error
    except ValueError as error:
        raise MessageError(str(error)) from error


def _known_fields(document: dict[str, Any]) -> dict[str, Any]:
    """Return the known fields of a message by their exact names, with every null replaced by its default."""
    fields = _canonical(document, _FIELDS)
    if isinstance(options := fields.get("options"), dict):
        fields["options"] = _canonical(options, _OPTION_FIELDS)
    # A null inside a list or map is the empty string there.
    if isinstance(uris := fields.get("uris"), list):
        fields["uris"] = ["" if uri is None else uri for uri in uris]
    if isinstance(tags := fields.get("tags"), dict):
        fields["tags"] = {name: "" if value is None else value for name, value in tags.items()}
    return fields


def _canonical(document: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    fields = {}
    for name, value in document.items():
        # Case folding, as Go does it: the long s and the Kelvin sign are equal to s and k, which lower() would miss.
        folded = name.casefold()
        if folded in names and value is not None:
            fields[folded] = value
    return fields


def _has_control_characters(text: str) -> bool:
    """Return whether a long text has any, at a nanosecond per character."""
    raw = text.encode(errors="surrogatepass")
    return len(raw.translate(None, _CONTROL_BYTES)) != len(raw)
