"""The start of a router's successor: a new process of the installed version, which gets the listening sockets.

What comes of it is told to whoever asked for it with `fastrouter upgrade`: see `tell_outcome`.
"""

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from fastrouter.handover import SERVING, NamedListener, handover_environment

# Variables that a service manager addresses to one process by its number.
_FOR_ONE_PROCESS = ("WATCHDOG_PID",)

_CREDENTIALS = struct.Struct("3i")


class UpgradeError(Exception):
    """The successor does not serve; the text says why."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of an upgrade: the successor's process id, or why there is none."""

    successor: int | None
    error: str = ""


class Successor:
    """A process that is to succeed this one, until it serves or is given up."""

    def __init__(self, named: Sequence[NamedListener]) -> None:
        """Start it, with the listeners `named`. Raises UpgradeError."""
        self._line, theirs = socket.socketpair()
        self._line.setblocking(False)
        environment = {name: value for name, value in os.environ.items() if name not in _FOR_ONE_PROCESS}
        try:
            self._process = subprocess.Popen(
                # Not the console script, which may be of another installation by now. -P: whatever lies in the current
                # directory is no module of ours.
                [sys.executable, "-P", "-m", "fastrouter", *sys.argv[1:]],
                stdin=subprocess.DEVNULL,
                env=environment | handover_environment(named, theirs),
                pass_fds=[theirs.fileno(), *(listener.fileno() for _, listener in named)],
            )
        except OSError as error:
            self._line.close()
            raise UpgradeError(f"cannot be started: {error.strerror}") from error
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def until_serving(self, seconds: float) -> None:
        """Wait until it serves. Raises UpgradeError if it ends instead, or takes longer than `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                said = await asyncio.get_running_loop().sock_recv(self._line, len(SERVING))
        except TimeoutError as error:
            raise UpgradeError(f"does not serve after {seconds:g} s") from error
        except OSError as error:
            raise UpgradeError(f"cannot be heard: {error.strerror}") from error
        if said != SERVING:
            raise UpgradeError(f"ended: {await self._end()}")

    async def give_up(self) -> None:
        """End it, if it has not ended yet."""
        self._line.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def _end(self) -> str:
        # It holds its end of the line to its last moment.
        code = await asyncio.to_thread(self._process.wait)
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"


def tell_outcome(outcome: Outcome) -> None:
    """Tell whoever waits in `upgrade_and_wait`, if anybody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller, suppress(OSError):
        teller.setblocking(False)
        teller.sendto(msgspec.json.encode(outcome), _address(os.getpid()))


def upgrade_and_wait(pid: int, seconds: float) -> Outcome:
    """Have the router with process id `pid` start its successor; returns what came of it.

    Raises OSError if it cannot be told to or somebody else is waiting already, TimeoutError if it says nothing within
    `seconds`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        # Anybody may send here: the kernel says who did.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listener.bind(_address(pid))
        os.kill(pid, signal.SIGUSR2)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            listener.settimeout(left)
            data, ancillary, _, _ = listener.recvmsg(65536, socket.CMSG_SPACE(_CREDENTIALS.size))
            senders = [
                _CREDENTIALS.unpack(content)[0] for _, kind, content in ancillary if kind == socket.SCM_CREDENTIALS
            ]
            if senders == [pid]:
                return msgspec.json.decode(data, type=Outcome)
    raise TimeoutError


def _address(pid: int) -> str:
    # Abstract: it is in no directory, and gone with the process that waits.
    return f"\0fastrouter-upgrade-{pid}"
