"""The bytes of a large transfer, and how a slow reader takes them."""

import hashlib
import random
from collections.abc import Iterator

from benchmarks.load.processes import KIB, MIB

BLOCK_SIZE = MIB
READ_SIZE = 64 * KIB

# Pauses, long enough that a router that keeps reading would buffer everything the sender has.
_STOPS = {64 * MIB: 2.0, 512 * MIB: 2.0}
# A stretch that is read in small sips: back-pressure is switched on and off all the time.
_SIPPED = range(128 * MIB, 144 * MIB)
_SIP_PAUSE = 0.005


def blocks(size: int) -> Iterator[bytes]:
    """`size` bytes, a multiple of BLOCK_SIZE; every block begins with its number, so no two are alike."""
    filling = random.Random(1).randbytes(BLOCK_SIZE - 8)
    for number in range(size // BLOCK_SIZE):
        yield number.to_bytes(8) + filling


def digest(size: int) -> str:
    sha256 = hashlib.sha256()
    for block in blocks(size):
        sha256.update(block)
    return sha256.hexdigest()


def pause_before_reading(start: int, end: int) -> float:
    """Seconds a slow reader waits when its last read brought it from byte `start` to byte `end`."""
    for position, pause in _STOPS.items():
        if start < position <= end:
            return pause
    # By position and not by read: how large the pieces are is the router's choice.
    is_next_sip = start // READ_SIZE != end // READ_SIZE
    return _SIP_PAUSE if end in _SIPPED and is_next_sip else 0.0
