"""What a process of the router does first that the control process has started by exec."""

import faulthandler
import os
import signal
import socket

from fastrouter.process.parent_death import end_with_parent
from fastrouter.process.peer_credentials import peer_pid
from fastrouter.process.signals import IGNORED_BY_WORKERS


def become_child(channel: int) -> socket.socket:
    """Leave signals to the control process, end with it, and return this end of the channel."""
    # The control process has blocked these signals until now, so that they do not end a process while it starts.
    for number in IGNORED_BY_WORKERS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_BY_WORKERS)
    # Without this a crash in compiled code leaves nothing but the number of a signal.
    faulthandler.enable(file=2)
    end = socket.socket(fileno=channel)
    _end_with_control_process(end)
    return end


def _end_with_control_process(end: socket.socket) -> None:
    """Have the kernel kill this process when the control process ends, even if this one is stopped or stuck in a loop.

    A healthy one would see the end of its channel, but it is killed, too. This happens only when the control process is
    killed: otherwise it ends those that it has started first.
    """
    end_with_parent()
    if os.getppid() != peer_pid(end):
        # The control process has ended before the kernel was asked.
        os._exit(0)
