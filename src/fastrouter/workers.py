"""Supervision of child processes: the router's workers, and whatever else must live and die with the router.

The control process forks its children before it creates an event loop or a thread, and has neither while it
supervises, so that a successor of a dead child can be forked safely at any time. Parent and child share a socket pair:
the child says on it that it is ready, and sees its end when the parent is gone.
"""

import asyncio
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from fastrouter.log import Logger

# A child that dies sooner than this after its start counts as crashing, and is restarted with a growing delay.
CRASH_WINDOW = 10.0
# So many crashes of one child in a row, and the router gives up.
CRASH_LIMIT = 5
FIRST_RESTART_DELAY = 0.1

# How long children have to stop by themselves; the process must be gone 5 s after the signal (spec 1.5).
STOP_GRACE = 3.0

_READY = b"r"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_OWN_SIGNALS = (*_STOP_SIGNALS, signal.SIGCHLD)
# As Gorouter names them in `gorouter.signal.ignored`.
_SIGNAL_NAMES: dict[int, str] = {signal.SIGTERM: "terminated", signal.SIGINT: "interrupt"}


class ParentLink:
    """A child's end of the socket pair between it and the control process."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def announce_ready(self) -> None:
        """Tell the parent that this child does its work from now on."""
        try:
            self._channel.send(_READY)
        except OSError:
            # The parent is gone; wait_for_stop is about to see it too.
            return

    async def wait_for_stop(self) -> None:
        """Wait for SIGTERM from the parent, or for the end of the parent."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        self._channel.setblocking(False)
        # The parent sends nothing: a readable channel is a closed one.
        loop.add_reader(self._channel, stop.set)
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        try:
            await stop.wait()
        finally:
            loop.remove_reader(self._channel)


class Child:
    """What the control process knows of one child: how to run it, and how it fares.

    `run` is called in the forked process and does the child's work until its ParentLink says to stop.
    """

    def __init__(self, name: str, run: Callable[[ParentLink], None]) -> None:
        self.name = name
        self.run = run
        self.pid: int | None = None
        self.channel: socket.socket | None = None
        self.is_ready = False
        self.started_at = 0.0
        self.restart_at = 0.0
        self.crashes = 0

    @property
    def is_alive(self) -> bool:
        """Whether the process has been started and not been reaped yet."""
        return self.pid is not None

    def close_channel(self) -> None:
        """Close the parent's end, in the parent or in a process that must not hold it."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None


class Supervisor:
    """Starts children, restarts those that die, and stops them all.

    Construct it as early as possible: from then on SIGTERM and SIGINT are kept until `watch` acts on them.
    """

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._children: Sequence[Child] = ()
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Python writes the number of each signal that has a handler here; the handlers themselves need not do a thing.
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        for number in _OWN_SIGNALS:
            signal.signal(number, _leave_to_wakeup_fd)

    def watch(self, children: Sequence[Child], on_ready: Callable[[], None]) -> bool:
        """Start `children` and keep them alive until a stop signal.

        Calls `on_ready` once, when all of them have announced that they are ready. Returns True after a stop signal,
        False if a child crashed too often; children may be running in both cases: call `stop`.
        """
        self._children = children
        for child in children:
            self._start(child)
        is_ready = False
        while True:
            signals = self._wait(self._next_restart_in())
            if any(number in _STOP_SIGNALS for number in signals):
                return True
            for child, status in self._reap():
                if not self._plan_restart(child, status):
                    return False
            if not is_ready and all(child.is_ready for child in children):
                is_ready = True
                on_ready()
            for child in children:
                if not child.is_alive and child.restart_at <= time.monotonic():
                    self._start(child)

    def stop(self) -> None:
        """Ask all children to stop, and end those by force that have not done so after STOP_GRACE seconds."""
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE
        while any(child.is_alive for child in self._children):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                self._logger.error("workers-killed", names=[child.name for child in self._children if child.is_alive])
                self._signal_all(signal.SIGKILL)
                deadline = time.monotonic() + STOP_GRACE
                continue
            for number in self._wait(remaining):
                if number in _STOP_SIGNALS:
                    self._logger.info("gorouter.signal.ignored", signal=_SIGNAL_NAMES[number])
            self._reap()

    def _start(self, child: Child) -> None:
        ours, theirs = socket.socketpair()
        # A signal that comes between the fork and the child's own dispositions waits instead of waking the parent.
        signal.pthread_sigmask(signal.SIG_BLOCK, _OWN_SIGNALS)
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become(child, theirs)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OWN_SIGNALS)
        theirs.close()
        child.pid = pid
        child.channel = ours
        child.is_ready = False
        child.started_at = time.monotonic()

    def _become(self, child: Child, channel: socket.socket) -> NoReturn:
        """Turn the forked process into `child`; never return into the parent's stack."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            # Ctrl-C reaches the whole process group; the parent decides what it means.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._wake_reader)
            os.close(self._wake_writer)
            # A sibling's channel held open here would hide the parent's end from that sibling.
            for sibling in self._children:
                sibling.close_channel()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OWN_SIGNALS)
            child.run(ParentLink(channel))
            status = 0
        except BaseException as error:
            self._logger.error("worker-failed", name=child.name, error=repr(error))
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(status)

    def _wait(self, timeout: float | None) -> bytes:
        """Wait for a signal, for word from a child, or for `timeout` seconds; returns the numbers of the signals."""
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        starting = {}
        for child in self._children:
            if child.channel is not None and not child.is_ready:
                starting[child.channel.fileno()] = child
                poll.register(child.channel, select.POLLIN)
        signals = b""
        for fd, _ in poll.poll(None if timeout is None else max(0.0, timeout) * 1000):
            if fd == self._wake_reader:
                signals = os.read(fd, 4096)
            else:
                self._hear(starting[fd])
        return signals

    def _hear(self, child: Child) -> None:
        assert child.channel is not None
        try:
            word = child.channel.recv(1)
        except OSError:
            word = b""
        if word == _READY:
            child.is_ready = True
        else:
            # Died before it was ready: SIGCHLD tells the rest.
            child.close_channel()

    def _reap(self) -> list[tuple[Child, int]]:
        dead = []
        for child in self._children:
            if child.pid is None:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.pid = None
                child.close_channel()
                dead.append((child, status))
        return dead

    def _plan_restart(self, child: Child, status: int) -> bool:
        """Decide when `child`, which ended with the wait `status`, starts again; False if it crashed too often."""
        now = time.monotonic()
        code = os.waitstatus_to_exitcode(status)
        child.crashes = child.crashes + 1 if now - child.started_at < CRASH_WINDOW else 1
        delay = FIRST_RESTART_DELAY * 2 ** (child.crashes - 1)
        child.restart_at = now + delay
        is_hopeless = child.crashes >= CRASH_LIMIT
        self._logger.error(
            "worker-exited",
            name=child.name,
            error=f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}",
            restart_in=None if is_hopeless else int(delay * 1e9),
        )
        return not is_hopeless

    def _next_restart_in(self) -> float | None:
        """Seconds until the next dead child is due, None if all live."""
        due = [child.restart_at for child in self._children if not child.is_alive]
        return min(due) - time.monotonic() if due else None

    def _signal_all(self, number: int) -> None:
        for child in self._children:
            if child.pid is not None:
                os.kill(child.pid, number)


def _leave_to_wakeup_fd(number: int, frame: object) -> None:
    """Exist, so that Python catches the signal and writes its number to the wake-up descriptor."""
