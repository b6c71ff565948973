"""Starting a process of the router by exec: it inherits one end of a channel and the standard descriptors (ADR 4)."""

import os
import signal
import socket
import subprocess
import sys
from typing import NamedTuple

from fastrouter.process.signals import IGNORED_BY_WORKERS


class Child(NamedTuple):
    """A process, a pidfd of it, and our end of its channel."""

    process: subprocess.Popen[bytes]
    exit_watch: int
    end: socket.socket


def spawn(module: str, name: str) -> Child:
    """Start `python -m MODULE NAME CHANNEL`. Raises OSError."""
    ours, theirs = socket.socketpair()
    try:
        process = _spawn_with(module, name, theirs)
        try:
            return Child(process, os.pidfd_open(process.pid), ours)
        except OSError:
            # Without a pidfd its end would go unnoticed.
            process.kill()
            process.wait()
            raise
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()


def end_cause(code: int) -> str:
    """Return why a process has ended, from its exit code as `subprocess` has it."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"


def _spawn_with(module: str, name: str, end: socket.socket) -> subprocess.Popen[bytes]:
    """Start the process, with its end of the channel. Raises OSError."""
    # Signals to the whole group wait until the process has said that it ignores them.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_BY_WORKERS)
    try:
        return subprocess.Popen(
            # -P keeps modules in the current directory from being imported.
            [sys.executable, "-P", "-m", module, name, str(end.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[end.fileno()],
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
