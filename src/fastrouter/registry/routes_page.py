"""The content of `/routes`, byte for byte as Gorouter writes it (spec 3.11)."""

from collections.abc import Iterator

import msgspec

from fastrouter.registry.endpoint import INSTANCE_ID, SAN, RegisteredEndpoint
from fastrouter.registry.route import Route

# Endpoints of a route that are shown in one step.
_ENDPOINTS_AT_ONCE = 64
# Bytes in a part of the page.
_SHOWN_AT_ONCE = 16 * 1024


class _Shown(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """An endpoint in `/routes`: fields with a default are left out when they are empty (spec 3.11)."""

    address: str
    availability_zone: str
    protocol: str
    tls: bool
    ttl: int
    route_service_url: str = ""
    tags: dict[str, str] | None
    isolation_segment: str = ""
    private_instance_id: str = ""
    server_cert_domain_san: str = ""
    load_balancing_algorithm: str = ""
    hash_header: str = ""
    hash_balance: float | None = None
    route_policy_scope: str = ""
    route_policies: tuple[str, ...] = ()


# As Go escapes JSON for HTML; the last two are U+2028 and U+2029.
_HTML_ESCAPES = (
    (b"&", b"\\u0026"),
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)

_ENCODER = msgspec.json.Encoder()


def _escape(text: bytes) -> bytes:
    for character, escape in _HTML_ESCAPES:
        text = text.replace(character, escape)
    return text


def _show(endpoint: RegisteredEndpoint) -> _Shown:
    texts = endpoint.texts()
    traits = endpoint.traits
    hashing, policy = traits.hashing, traits.policy
    return _Shown(
        address=endpoint.address,
        availability_zone=endpoint.availability_zone,
        protocol=traits.protocol,
        tls=traits.tls,
        ttl=int(traits.stale_threshold),
        route_service_url=traits.route_service_url,
        tags=endpoint.tags(texts),
        isolation_segment=traits.isolation_segment,
        private_instance_id=texts[INSTANCE_ID],
        server_cert_domain_san=texts[SAN],
        load_balancing_algorithm=traits.algorithm,
        hash_header=hashing.name if hashing is not None and hashing.source == "header" else "",
        hash_balance=_plain_number(hashing.balance) if hashing is not None else None,
        route_policy_scope=policy.scope if policy is not None else "",
        route_policies=policy.sources if policy is not None else (),
    )


def _plain_number(number: float) -> float:
    """Return a whole number as an int, which is written without a fraction, as in Go."""
    return int(number) if number.is_integer() else number


def render_routes(steps: Iterator[tuple[str, Route] | None]) -> Iterator[bytes]:
    """Render `/routes` byte for byte as Gorouter does (spec 3.11), in small parts.

    `steps` are the routes in order with their keys, and None where a step is over. Each is shown as it is when its turn
    comes.
    """
    part = bytearray(b"{")
    separator = b""
    for step in steps:
        if step is None:
            # An empty part ends a step, too.
            yield bytes(part)
            part.clear()
            continue
        key, route = step
        part += separator + _escape(_ENCODER.encode(key)) + b":["
        separator = b","
        endpoints = [member.endpoint for member in route.all_members()]
        for start in range(0, len(endpoints), _ENDPOINTS_AT_ONCE):
            shown = [_show(endpoint) for endpoint in endpoints[start : start + _ENDPOINTS_AT_ONCE]]
            # Without the brackets, because the list continues in the next part.
            part += b"," * (start > 0) + _escape(_ENCODER.encode(shown)[1:-1])
            if len(part) >= _SHOWN_AT_ONCE:
                yield bytes(part)
                part.clear()
        part += b"]"
    yield bytes(part + b"}\n")
