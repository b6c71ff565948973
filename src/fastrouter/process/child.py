"""How a process of the router begins and ends that the control process has started by exec."""

import faulthandler
import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import NoReturn

import uvloop

from fastrouter.process.parent_death import end_with_parent
from fastrouter.process.peer_credentials import peer_pid
from fastrouter.process.signals import IGNORED_BY_WORKERS


def _become_child(channel: int) -> socket.socket:
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


def run_child(
    channel: int,
    run: Callable[[socket.socket], Coroutine[None, None, None]],
    log_failure: Callable[[BaseException], object],
    flush_log: Callable[[], object],
) -> NoReturn:
    """Be such a process: `run` gets this end of the channel, and returns when the process is to end.

    What it raises goes to `log_failure`, and the exit status is 1.
    """
    end = _become_child(channel)
    status = 0
    try:
        uvloop.new_event_loop().run_until_complete(run(end))
    except BaseException as error:
        log_failure(error)
        traceback.print_exc(file=sys.stderr)
        status = 1
    flush_log()
    # Not sys.exit: it would wait for threads that look up names or read files, and free a large table object by object.
    os._exit(status)


def tune_garbage_collector() -> None:
    """Keep the collector from walking long-lived objects again and again.

    Modules, routes and endpoints live as long as the process; frozen, they are never walked. A request leaves hardly
    any cycles behind, but its containers count as allocations: with Python's own threshold of 700 the collector would
    run several times per thousand requests and find nothing, and its older generations would cost milliseconds under
    thousands of connections. A collection of 10,000 young ones takes some 2 ms at most.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 100, 50)


def _end_with_control_process(end: socket.socket) -> None:
    """Have the kernel kill this process when the control process ends, even if this one is stopped or stuck in a loop.

    A healthy one would see the end of its channel, but it is killed, too. This happens only when the control process is
    killed: otherwise it ends those that it has started first.
    """
    end_with_parent()
    if os.getppid() != peer_pid(end):
        # The control process has ended before the kernel was asked.
        os._exit(0)
