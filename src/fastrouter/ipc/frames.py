"""Frames, the format of all data between processes of the router: a word of four bytes, big-endian, and a body.

The word is the length of the body. Where there are two kinds of bodies, MARK, the top bit of the word, marks one kind.
"""

from typing import NamedTuple

WORD_SIZE = 4
MARK = 0x8000_0000

# The longest body of a frame. Bodies are kept short, but a URI may be as long as a NATS message, and these are 64 MiB
# at most.
MAX_FRAME = 128 * 1024 * 1024


class FrameError(ValueError):
    """What comes is no sequence of frames; the text says why."""


class Frame(NamedTuple):
    """Where in a buffer the body of a whole frame is, and whether its word has the mark."""

    start: int
    end: int
    is_marked: bool


def word_of(size: int, mark: int = 0) -> bytes:
    """Return what stands in front of a body of `size` bytes."""
    return (mark | size).to_bytes(WORD_SIZE, "big")


def next_frame(
    buffer: bytearray | memoryview, at: int, name: str, mark: int = 0, limit: int = MAX_FRAME
) -> Frame | None:
    """Return the frame whose word is at `at`, None if not all of it is there.

    Raises FrameError, which calls the frame `name`, for a body of more than `limit` bytes. Without `mark`, the top bit
    belongs to the length.
    """
    start = at + WORD_SIZE
    if start > len(buffer):
        return None
    word = int.from_bytes(buffer[at:start], "big")
    size = word & ~mark
    if size > limit:
        raise FrameError(f"{name} cannot have {size} bytes")
    end = start + size
    return Frame(start, end, bool(word & mark)) if end <= len(buffer) else None
