"""Endpoints as registered: what identifies one, and the attributes that many share, which are kept once."""

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import msgspec

from fastrouter.ipc.table_changes import HashRule, Introduce, PolicyRule
from fastrouter.registry.packed_text import pack_texts, unpack_texts
from fastrouter.registry.registration import Registration
from fastrouter.registry.route_policies import PolicyFactory

# The texts of an endpoint that come before its tag values, in this order.
APP, INSTANCE_ID, INSTANCE_INDEX, SAN, FIXED_TEXTS = range(5)
_UPDATED_AT_SIZE = 8

# The algorithm that single routes may have (spec 9.1).
HASH = "hash"

# Protocols of endpoints that need `enable_http2`: HTTP/2 by ALPN, and with prior knowledge over plain TCP.
HTTP2_PROTOCOLS = ("http2", "h2c")

# Values that endpoints share. The bound keeps a flood of odd registrations from filling the memory.
_MAX_SHARED = 10_000

T = TypeVar("T", bound=Hashable)


class ModificationTag(msgspec.Struct, frozen=True, gc=False):
    """The version of a route of the routing API; registrations over NATS carry the empty one."""

    guid: str = ""
    index: int = 0

    def is_succeeded_by(self, new: "ModificationTag") -> bool:
        """Whether `new` may take the place of this one."""
        return not self.guid or not new.guid or self.guid != new.guid or self.index < new.index

    def may_be_removed_by(self, new: "ModificationTag") -> bool:
        """Whether `new` may take this one away."""
        return self == new or self.is_succeeded_by(new)


NO_TAG = ModificationTag()


class Traits(msgspec.Struct, frozen=True, gc=False):
    """What many endpoints have in common, so that equal ones are kept once. `stale_threshold` is seconds.

    `hashing` is None unless the algorithm is `hash` and the router knows it; `policy` is None where anybody may call.
    """

    tls: bool
    protocol: str
    isolation_segment: str
    route_service_url: str
    algorithm: str
    hashing: HashRule | None
    stale_threshold: float
    modification_tag: ModificationTag
    policy: PolicyRule | None = None


class RegisteredEndpoint(msgspec.Struct, gc=False, eq=False):
    """One backend as registered: `address` is `host:port`, with the TLS port if it has one.

    Everything but `number` (its name in table changes, valid while `uses`, the count of routes that hold it, is not 0)
    is immutable. `identity` packs the remaining compared attributes: time of update, app, instance, SAN and the values
    of the tags that `tag_names` (sorted, None without tags) names.
    """

    address: str
    identity: bytes
    tag_names: tuple[str, ...] | None
    availability_zone: str
    traits: Traits
    number: int = -1
    uses: int = 0

    def is_same_as(self, other: "RegisteredEndpoint") -> bool:
        """Whether all compared attributes are equal; the availability zone is not compared (spec 3.4)."""
        return (
            self.identity == other.identity
            and self.traits == other.traits
            and self.tag_names == other.tag_names
            and self.address == other.address
        )

    @property
    def updated_at_ns(self) -> int:
        """Unix time of the update that the registration names, in nanoseconds; 0 if it names none."""
        return int.from_bytes(self.identity[:_UPDATED_AT_SIZE], "big", signed=True)

    def texts(self) -> list[str]:
        """Unpack app id, instance id, instance index, SAN, and the values of the tags."""
        count = FIXED_TEXTS + (len(self.tag_names) if self.tag_names is not None else 0)
        return unpack_texts(self.identity[_UPDATED_AT_SIZE:], count)

    def tags(self, texts: Sequence[str]) -> dict[str, str] | None:
        """Return the tags, sorted by name, from what `texts` has returned; None if the registration had none."""
        if self.tag_names is None:
            return None
        return dict(zip(self.tag_names, texts[FIXED_TEXTS:], strict=True))

    def tag(self, name: str, texts: Sequence[str]) -> str:
        """Return one tag from what `texts` has returned, empty if there is none."""
        if not self.tag_names or name not in self.tag_names:
            return ""
        return texts[FIXED_TEXTS + self.tag_names.index(name)]

    def introduction(
        self, texts: Sequence[str], component_row: int, source_row: int, envelope_tags: bytes, *, is_draining: bool
    ) -> Introduce:
        """Return the change that introduces this endpoint to the workers; `texts` is what `texts` has returned.

        The rows are those of its tags `component` and `source_id` in the histograms of the workers; `envelope_tags` are
        its tags for the agent.
        """
        host, _, port = self.address.rpartition(":")
        return Introduce(
            self.number,
            host,
            int(port),
            texts[APP],
            texts[INSTANCE_ID],
            texts[INSTANCE_INDEX],
            self.traits.tls,
            texts[SAN],
            self.traits.protocol,
            self.availability_zone,
            self.tag("process_id", texts),
            self.tag("component", texts),
            component_row,
            source_row,
            is_draining,
            envelope_tags,
            self.traits.policy,
        )

    def log_fields(self, uri: str, texts: Sequence[str]) -> dict[str, object]:
        """Return the fields of a log line about this endpoint under `uri`; `texts` is what `texts` has returned."""
        traits = self.traits
        return {
            "uri": uri,
            "route_service_url": traits.route_service_url,
            "backend": self.address,
            "application_id": texts[APP],
            "instance_id": texts[INSTANCE_ID],
            "server_cert_domain_san": texts[SAN],
            "protocol": traits.protocol,
            "modification_tag": {"guid": traits.modification_tag.guid, "index": traits.modification_tag.index},
            "isolation_segment": traits.isolation_segment or "-",
            "isTLS": traits.tls,
        }


class _Shared(Generic[T]):
    """Returns for equal values the same object."""

    def __init__(self) -> None:
        self._values: dict[T, T] = {}

    def __call__(self, value: T) -> T:
        if len(self._values) >= _MAX_SHARED:
            self._values.clear()
        return self._values.setdefault(value, value)


class EndpointFactory:
    """Makes the endpoints that registrations describe. `stale_threshold` is seconds, the most that an app may have.

    An endpoint that asks for no algorithm has the `default_algorithm`, which may be empty. `knows_hash` lets
    registrations ask for `hash`; `on_malformed_policy` is told of sources of policies that nobody can be of.
    """

    def __init__(
        self,
        stale_threshold: float,
        *,
        is_http2_enabled: bool,
        default_algorithm: str = "",
        knows_hash: bool = False,
        on_malformed_policy: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._stale_threshold = stale_threshold
        self._policies = PolicyFactory(on_malformed_policy)
        self._is_http2_enabled = is_http2_enabled
        self._default_algorithm = default_algorithm
        self._knows_hash = knows_hash
        self._share_text: _Shared[str] = _Shared()
        self._share_names: _Shared[tuple[str, ...]] = _Shared()
        self._share_traits: _Shared[Traits] = _Shared()
        # Texts of the last endpoint, which is the one that is logged and introduced next.
        self._last_texts: tuple[RegisteredEndpoint, list[str]] | None = None

    def new(
        self, registration: Registration, modification_tag: ModificationTag, hashing: HashRule | None = None
    ) -> RegisteredEndpoint:
        """Make the endpoint that a registration describes, to be registered under each of its URIs.

        `hashing` is a rule that a registration over the bus cannot have.
        """
        tags = registration.tags
        names = None if tags is None else self._share_names(tuple(sorted(tags)))
        texts = [
            registration.app,
            registration.private_instance_id,
            registration.private_instance_index,
            registration.server_cert_domain_san,
        ]
        if tags:
            texts += [tags[name] for name in names or ()]
        updated_at = registration.endpoint_updated_at_ns.to_bytes(_UPDATED_AT_SIZE, "big", signed=True)
        threshold: float = registration.stale_threshold_in_seconds
        if threshold == 0 or threshold > self._stale_threshold:
            threshold = self._stale_threshold
        protocol = registration.protocol or "http1"
        if protocol in HTTP2_PROTOCOLS and not self._is_http2_enabled:
            protocol = "http1"
        options = registration.options
        if hashing is None and self._knows_hash and options.loadbalancing == HASH:
            # Without the header's name there is nothing to hash, and nothing to balance.
            name = options.hash_header
            hashing = HashRule("header", name, options.hash_balance) if name else HashRule()
        endpoint = RegisteredEndpoint(
            f"{registration.host}:{registration.tls_port or registration.port}",
            updated_at + pack_texts(texts),
            names,
            self._share_text(registration.availability_zone),
            self._share_traits(
                Traits(
                    registration.tls_port != 0,
                    protocol,
                    registration.isolation_segment,
                    registration.route_service_url,
                    options.loadbalancing or self._default_algorithm,
                    hashing,
                    threshold,
                    modification_tag,
                    self._policies.new(options, tags),
                )
            ),
        )
        self._last_texts = (endpoint, texts)
        return endpoint

    def shorten_threshold(self, endpoint: RegisteredEndpoint, stale_threshold: float) -> None:
        """Have `endpoint`, which nobody holds yet, be stale after `stale_threshold` seconds, unless it is sooner."""
        if stale_threshold < endpoint.traits.stale_threshold:
            endpoint.traits = self._share_traits(
                msgspec.structs.replace(endpoint.traits, stale_threshold=stale_threshold)
            )

    def texts(self, endpoint: RegisteredEndpoint) -> list[str]:
        """Return the texts of `endpoint`, at no cost if it was made last."""
        if self._last_texts is not None and self._last_texts[0] is endpoint:
            return self._last_texts[1]
        return endpoint.texts()
