"""Isolation segments: which of them a router serves (spec 3.9)."""

from collections.abc import Collection
from enum import StrEnum


class ShardingMode(StrEnum):
    """Which isolation segments a router serves (spec 3.9)."""

    ALL = "all"
    SEGMENTS = "segments"
    SHARED_AND_SEGMENTS = "shared-and-segments"


class Segments:
    """The isolation segments of one router, of which `names` are configured."""

    def __init__(self, mode: ShardingMode, names: Collection[str]) -> None:
        self._is_every_one_ours = mode == ShardingMode.ALL
        self._ours = frozenset(names) | ({""} if mode == ShardingMode.SHARED_AND_SEGMENTS else set())

    def __contains__(self, segment: str) -> bool:
        return self._is_every_one_ours or segment in self._ours
