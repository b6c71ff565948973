"""The registered routes in a file, for a start while nobody can say which there are.

Two files, only for the user of the router. FILE has a line with what it is and when it was made, and then the frames
that a router hands over to a successor (handed_table). `FILE.removed` has a line for each endpoint that a route has
lost since the last FILE was begun: an app that has unregistered does not come back, even if the router ends before it
makes the next FILE.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from fastrouter.ipc.frames import FrameError, next_frame
from fastrouter.logs.error_text import error_text
from fastrouter.registry.handed_table import Handed, HandedEnd, HandedMember, HandedRoute

# What the first line must say; a router that writes another format has another one.
FORMAT = "fastrouter table 1"

_ONLY_OWNER = 0o600
# No first line is longer.
_HEAD_MAX = 256
_PART = msgspec.msgpack.Decoder(list[Handed])


class SnapshotError(Exception):
    """The file is no snapshot, or cannot be used; the text says why."""


class Removal(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The route `uri` has lost the endpoint at `address`."""

    uri: str
    address: str


class _Head(msgspec.Struct, frozen=True):
    format: str
    made_at: float


class LoadedTable(NamedTuple):
    """What a snapshot has: `parts` to be adopted, made `age` seconds ago."""

    age: float
    parts: list[Handed]


class TableSnapshot:
    """The files of one snapshot. `wall_clock` is Unix time, in seconds; it may be set back between two starts.

    All methods block until the disk has done its work, and raise OSError.
    """

    def __init__(self, file: str, wall_clock: Callable[[], float] = time.time) -> None:
        self._file = Path(file)
        self._next = Path(f"{file}.next")
        self._removed = Path(f"{file}.removed")
        self._wall_clock = wall_clock
        # Bytes of `FILE.removed` from before the snapshot that is being written was begun.
        self._removed_before = 0

    def begin(self) -> None:
        """Begin the next snapshot beside the present one."""
        with suppress(FileNotFoundError):
            self._next.unlink()
        self._removed_before = self._removed.stat().st_size if self._removed.exists() else 0
        _append(self._next, msgspec.json.encode(_Head(FORMAT, self._wall_clock())) + b"\n")

    def add(self, frames: bytes) -> None:
        """Append frames of the table to the snapshot that has begun."""
        _append(self._next, frames)

    def finish(self) -> None:
        """Put the snapshot in the place of the last one; of the removals, forget those from before it was begun."""
        _sync(self._next)
        self._next.replace(self._file)
        _sync(self._file.parent)
        # In this order: a removal too many costs a route some seconds, one too few would bring an endpoint back.
        if self._removed_before > 0:
            later = self._removed.read_bytes()[self._removed_before :]
            self._next.unlink(missing_ok=True)
            _append(self._next, later)
            self._next.replace(self._removed)

    def remove(self, removals: Iterable[Removal]) -> None:
        """Note that these endpoints have been removed."""
        _append(self._removed, b"".join(msgspec.json.encode(removal) + b"\n" for removal in removals))

    def discard(self) -> None:
        """Delete everything: what is there may not be true any more."""
        for path in (self._file, self._next, self._removed):
            path.unlink(missing_ok=True)

    def load(self) -> LoadedTable:
        """Read the table, without what has been removed since. Raises SnapshotError."""
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            raise SnapshotError("there is none") from None
        except OSError as error:
            raise SnapshotError(error_text(error)) from error
        head, separator, _ = data[:_HEAD_MAX].partition(b"\n")
        try:
            made_at = msgspec.json.decode(head, type=_Head)
        except msgspec.MsgspecError as error:
            raise SnapshotError(f"it does not begin as a snapshot: {error}") from error
        if made_at.format != FORMAT or not separator:
            raise SnapshotError(f"it is of another format: {made_at.format}")
        try:
            age = max(0.0, self._wall_clock() - made_at.made_at)
            parts = list(_without(self._load_removals(), age, _parts_of(memoryview(data)[len(head) + 1 :])))
        except (FrameError, msgspec.MsgspecError, OSError) as error:
            raise SnapshotError(str(error)) from error
        return LoadedTable(age, parts)

    def _load_removals(self) -> set[Removal]:
        try:
            lines = self._removed.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return set()
        # The machine may have ended in the middle of the last line.
        return {msgspec.json.decode(line, type=Removal) for line in lines if line.endswith(b"\n")}


def _parts_of(frames: memoryview) -> Iterator[Handed]:
    at = 0
    handed: Handed | None = None
    while (frame := next_frame(frames, at, "a part of it")) is not None:
        for handed in _PART.decode(frames[frame.start : frame.end]):
            yield handed
        at = frame.end
    if not isinstance(handed, HandedEnd) or at != len(frames):
        raise FrameError("it breaks off")


def _without(removals: set[Removal], age: float, parts: Iterable[Handed]) -> Iterator[Handed]:
    """Yield `parts`, all of them older by `age`, without members that have been removed."""
    addresses: dict[int, str] = {}
    for handed in parts:
        if isinstance(handed, HandedRoute):
            members = tuple(
                HandedMember(member.number, member.age + age)
                for member in handed.members
                if Removal(handed.uri, addresses.get(member.number, "")) not in removals
            )
            if members:
                yield msgspec.structs.replace(handed, members=members)
            continue
        if not isinstance(handed, HandedEnd):
            addresses[handed.number] = f"{handed.host}:{handed.port}"
        yield handed


def _append(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _ONLY_OWNER)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
