"""The messages that the router sends over NATS (spec 3.1)."""

import zlib
from collections.abc import Iterable

import msgspec

_ENCODER = msgspec.json.Encoder()


class _Start(
    msgspec.Struct,
    frozen=True,
    rename={
        "minimum_register_interval": "minimumRegisterIntervalInSeconds",
        "prune_threshold": "pruneThresholdInSeconds",
    },
):
    id: str
    hosts: tuple[str, ...]
    minimum_register_interval: int
    prune_threshold: int


def start_message(router_id: str, host: str, minimum_register_interval: float, prune_threshold: float) -> bytes:
    """Build the payload of `router.start` and of the answer to `router.greet`. The durations are seconds."""
    return _ENCODER.encode(_Start(router_id, (host,), int(minimum_register_interval), int(prune_threshold)))


def active_apps_message(app_ids: Iterable[str]) -> bytes:
    """Build the payload of `router.active_apps`: a zlib-compressed JSON array."""
    return zlib.compress(_ENCODER.encode(list(app_ids)))
