"""The Unix socket of the admin API: where a router puts it, and how others find it.

In a directory of the router's user, each router has a name there, `PID.sock`: the socket itself, or a link to where
the configuration wants it. A router that has a successor is `PID.old.sock` while it drains. The directory is
`$XDG_RUNTIME_DIR/fastrouter`, `/run/fastrouter`, or `/tmp/fastrouter-UID`, whichever comes first of those that the
router may write to.
"""

import errno
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from glob import glob
from pathlib import Path
from typing import NamedTuple

from fastrouter.process.peer_credentials import peer_pid

# Connections that wait for the admin process: also those that come while it is replaced.
_BACKLOG = 128
# Seconds that a router may take to be asked whether it is there.
_PATIENCE = 1.0

_NAME = re.compile(r"(\d+)(\.old)?\.sock", re.ASCII)


class AdminSocketError(Exception):
    """There is no router to be found, or more than one; the text says which."""


class FoundSocket(NamedTuple):
    """The admin socket of a router that runs. `is_old`: it has a successor, and drains."""

    pid: int
    path: str
    is_old: bool


class AdminSocket:
    """The listening socket of this router, at `path` (None: at its name in the directory).

    It may take the place of another router's only if `is_successor`. Raises OSError.
    """

    def __init__(self, path: str | None, *, is_successor: bool = False) -> None:
        directory = _own_directory()
        self._name = str(directory / f"{os.getpid()}.sock") if directory is not None else None
        if path is None and self._name is None:
            raise FileNotFoundError(errno.ENOENT, "no directory to put the admin socket into", "/tmp")
        self.path = path or str(self._name)
        if not is_successor:
            _refuse_living(self.path)
        self.listener = _bind(self.path)
        self._status = os.stat(self.path)
        if path is not None and self._name is not None:
            # Whoever looks for it there does not find it then, and needs to be told the path.
            with suppress(OSError):
                _replace_link(os.path.abspath(path), self._name)

    def become_old(self) -> None:
        """Leave the place to a successor: who looks for a router finds that one."""
        if self._name is not None:
            old = f"{self._name.removesuffix('.sock')}.old.sock"
            with suppress(OSError):
                os.rename(self._name, old)
                if self.path == self._name:
                    self.path = old
                self._name = old

    def close(self) -> None:
        """Close the socket in this process, and remove what leads to it."""
        self.listener.close()
        with suppress(OSError):
            # A successor may have put its own there.
            if os.path.samestat(os.stat(self.path), self._status):
                os.unlink(self.path)
        if self._name is not None and self._name != self.path:
            with suppress(OSError):
                os.unlink(self._name)


def find_socket(pid: int | None = None) -> str:
    """Return the path of the admin socket of the router `pid`, or of the only one there is. Raises AdminSocketError."""
    found = [router for router in find_sockets() if pid in (None, router.pid)]
    if pid is None:
        found = [router for router in found if not router.is_old] or found
    if not found:
        raise AdminSocketError(
            "no router with an admin socket is running here" if pid is None else f"process {pid} has no admin socket"
        )
    if len(found) > 1:
        raise AdminSocketError(
            f"several routers are running, say which with --pid: {', '.join(str(router.pid) for router in found)}"
        )
    return found[0].path


def find_sockets() -> list[FoundSocket]:
    """Return the admin sockets of all routers that run and that this user may ask, oldest process id first."""
    return sorted(router for directory in _known_directories() for router in _look_into(directory))


def _own_directory() -> Path | None:
    """Return the first directory that may hold the socket, made if need be."""
    for directory in _own_directories():
        with suppress(OSError):
            directory.mkdir(mode=0o700, exist_ok=True)
            if _is_trustworthy(directory) and os.access(directory, os.W_OK | os.X_OK):
                return directory
    return None


def _own_directories() -> Iterator[Path]:
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(runtime, "fastrouter")
    yield Path("/run/fastrouter")
    yield Path(f"/tmp/fastrouter-{os.geteuid()}")


def _known_directories() -> Iterator[Path]:
    seen = set()
    others = [*glob("/run/user/*/fastrouter"), *glob("/tmp/fastrouter-*")] if os.geteuid() == 0 else []
    for directory in [*_own_directories(), *map(Path, others)]:
        if directory not in seen:
            seen.add(directory)
            yield directory


def _is_trustworthy(directory: Path) -> bool:
    """Whether nobody but this user, or the system, can have put something there."""
    status = os.lstat(directory)
    return stat.S_ISDIR(status.st_mode) and status.st_uid in (os.geteuid(), 0) and not status.st_mode & 0o022


def _look_into(directory: Path) -> Iterator[FoundSocket]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        if (match := _NAME.fullmatch(name)) is not None:
            router = FoundSocket(int(match[1]), str(directory / name), match[2] is not None)
            listening = _listening_pid(router.path)
            # The router itself, or the process that it has started for this.
            if listening is not None and router.pid in (listening, _parent_of(listening)):
                yield router


def _listening_pid(path: str) -> int | None:
    """Return the process that listens at `path`, which the kernel knows; None if nobody does, or we may not ask."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.settimeout(_PATIENCE)
        try:
            visitor.connect(path)
            return peer_pid(visitor)
        except OSError:
            return None


def _parent_of(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat") as status:
            # The name, in parentheses, may have anything in it.
            return int(status.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _refuse_living(path: str) -> None:
    if _listening_pid(path) is not None:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)


def _bind(path: str) -> socket.socket:
    """Listen at `path`, in place of a socket that may be there; nobody but this user may connect."""
    if os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
        raise FileExistsError(errno.EEXIST, "there is a file that is no socket", path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Under another name first: so there is never a moment without a socket, nor one with other permissions.
    temporary = f"{path}.{os.getpid()}"
    mask = os.umask(0o177)
    try:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        listener.bind(temporary)
        listener.listen(_BACKLOG)
        os.rename(temporary, path)
    except OSError as error:
        listener.close()
        raise OSError(error.errno or errno.EINVAL, error.strerror or str(error), path) from error
    finally:
        os.umask(mask)
    return listener


def _replace_link(target: str, path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
    os.symlink(target, path)
