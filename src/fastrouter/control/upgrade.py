"""The start of a router's successor: a new process of the installed version, which gets the listening sockets.

The outcome is reported to the `fastrouter upgrade` that asked for it: see `report_outcome`.
"""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from fastrouter.logs.error_text import error_text
from fastrouter.net.handover import SERVING, CounterMemory, NamedListener, handover_environment
from fastrouter.process.peer_credentials import CREDENTIALS_SIZE, credentials_pid, peer_pid

# Variables that a service manager addresses to one process by its number.
_FOR_ONE_PROCESS = ("WATCHDOG_PID",)


# Seconds that the kernel may take to connect two processes of one machine, and a router to be accepted again.
_PATIENCE = 1.0


class UpgradeError(Exception):
    """The successor does not serve; the text says why."""


class NoRouterError(Exception):
    """The process is not a router that can start a successor; the text says why."""


class Presence:
    """Shows other processes that this one is a router which handles SIGUSR2: see `upgrade_and_wait`.

    It listens on an abstract socket whose name holds the process id; the kernel tells those who connect whose socket it
    is. Where that is not possible, the router goes on without, and `fastrouter upgrade` does not find it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(_presence_address(os.getpid()))
            listener.listen()
        except OSError:
            listener.close()
            return
        listener.setblocking(False)
        self._listener = listener
        self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            # Who connects only wants to know whose socket this is, and the kernel has said so.
            listener.accept()[0].close()
        except BlockingIOError:
            return
        except OSError:
            # No descriptors are left. The kernel connects those who ask all the same.
            self._loop.remove_reader(listener)
            self._loop.call_later(_PATIENCE, self._accept_again, listener)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener is self._listener:
            self._loop.add_reader(listener, self._accept, listener)

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of an upgrade: the successor's process id, or why there is none."""

    successor: int | None
    error: str = ""


class Successor:
    """A process that is to succeed this one, until it serves or is given up."""

    def __init__(self, named: Sequence[NamedListener], ticket_secret: bytes, route_counters: CounterMemory) -> None:
        """Start it, with the listeners `named`, what makes session tickets go on, and where routes count.

        Raises UpgradeError.
        """
        self._line, theirs = _new_line()
        try:
            # On this line the successor asks for the routing table, if its version does so.
            self.table, their_table = _new_line()
        except UpgradeError:
            self._line.close()
            theirs.close()
            raise
        environment = {name: value for name, value in os.environ.items() if name not in _FOR_ONE_PROCESS}
        tickets = -1
        try:
            tickets = _filled_pipe(ticket_secret)
            self._process = subprocess.Popen(
                # Not the console script, which may belong to another installation by now. -P keeps modules in the
                # current directory from being imported.
                [sys.executable, "-P", "-m", "fastrouter", *sys.argv[1:]],
                stdin=subprocess.DEVNULL,
                env=environment | handover_environment(named, theirs, their_table, tickets, route_counters),
                pass_fds=[
                    theirs.fileno(),
                    their_table.fileno(),
                    tickets,
                    route_counters.descriptor,
                    *(listener.fileno() for _, listener in named),
                ],
            )
        except OSError as error:
            self.close()
            raise UpgradeError(f"cannot be started: {error_text(error)}") from error
        finally:
            theirs.close()
            their_table.close()
            if tickets >= 0:
                os.close(tickets)

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
            raise UpgradeError(f"cannot be heard: {error_text(error)}") from error
        if said != SERVING:
            raise UpgradeError(f"ended: {await self._end()}")

    async def give_up(self) -> None:
        """End it, if it has not ended yet."""
        self.close()
        with suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.to_thread(self._process.wait)

    def close(self) -> None:
        """Close the sockets to it."""
        self._line.close()
        self.table.close()

    async def _end(self) -> str:
        # The line has ended, so the process has ended or is about to.
        code = await asyncio.to_thread(self._process.wait)
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"


def _new_line() -> tuple[socket.socket, socket.socket]:
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise UpgradeError(f"cannot be started: {error_text(error)}") from error
    ours.setblocking(False)
    return ours, theirs


def _filled_pipe(content: bytes) -> int:
    """Return the end of a pipe from which `content` is read, and nothing more. Raises OSError."""
    reader, writer = os.pipe()
    # This does not block: a pipe holds far more.
    os.write(writer, content)
    os.close(writer)
    return reader


def report_outcome(outcome: Outcome) -> None:
    """Report to the process that waits in `upgrade_and_wait`, if there is one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
        sender.setblocking(False)
        sender.sendto(msgspec.json.encode(outcome), _address(os.getpid()))


def upgrade_and_wait(pid: int, seconds: float) -> Outcome:
    """Have the router with process id `pid` start its successor; returns the outcome.

    Raises NoRouterError, without having sent a signal, if the process is no router; OSError if it cannot be signalled
    or another process waits for an outcome already; TimeoutError if there is no outcome within `seconds`.
    """
    # A pidfd stands for this process, even if its number is given to another one.
    process = os.pidfd_open(pid)
    try:
        _raise_unless_router(pid)
        return _request_and_wait(pid, process, seconds)
    finally:
        os.close(process)


def running_routers() -> list[int]:
    """Return the process ids of the routers in this network namespace, in order. Raises OSError."""
    with open("/proc/net/unix") as table:
        # The last field of a line is the name, where a null byte is written as @.
        names = {line.split()[-1] for line in table}
    prefix = _presence_address(0).replace("\0", "@")[:-1]
    pids = sorted(int(name.removeprefix(prefix)) for name in names if re.fullmatch(f"{prefix}[0-9]+", name))
    return [pid for pid in pids if _is_router(pid)]


def _is_router(pid: int) -> bool:
    try:
        _raise_unless_router(pid)
    except (NoRouterError, OSError):
        return False
    return True


def _request_and_wait(pid: int, process: int, seconds: float) -> Outcome:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        # Any process may send here, so the kernel is asked who the sender is.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listener.bind(_address(pid))
        signal.pidfd_send_signal(process, signal.SIGUSR2)
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            listener.settimeout(left)
            data, ancillary, _, _ = listener.recvmsg(65536, socket.CMSG_SPACE(CREDENTIALS_SIZE))
            senders = [credentials_pid(content) for _, kind, content in ancillary if kind == socket.SCM_CREDENTIALS]
            if senders == [pid]:
                return msgspec.json.decode(data, type=Outcome)
    raise TimeoutError


def _raise_unless_router(pid: int) -> None:
    """Raise NoRouterError for a process that is no router, or would die of SIGUSR2."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
            visitor.settimeout(_PATIENCE)
            visitor.connect(_presence_address(pid))
            listener = peer_pid(visitor)
    except OSError as error:
        raise NoRouterError("is no control process of a router") from error
    # Any process may bind such a name, but the kernel knows the process id of the one that did.
    if listener != pid:
        raise NoRouterError("is no control process of a router")
    if not _catches(pid, signal.SIGUSR2):
        raise NoRouterError("does not handle SIGUSR2")


def _catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal. Raises OSError if it is gone."""
    with open(f"/proc/{pid}/status") as status:
        mask = next((line.split()[1] for line in status if line.startswith("SigCgt:")), "0")
    return bool(int(mask, 16) >> (number - 1) & 1)


def _presence_address(pid: int) -> str:
    # An abstract name, as in `_address`.
    return f"\0fastrouter-router-{pid}"


def _address(pid: int) -> str:
    # An abstract name: it is in no directory, and ends with the process that waits.
    return f"\0fastrouter-upgrade-{pid}"
