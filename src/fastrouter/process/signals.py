"""Signals: which of them the control process acts on, and how they wait until it can (spec 1.5)."""

import signal

STOP = (signal.SIGTERM, signal.SIGINT)
DRAIN = signal.SIGUSR1
RELOAD = signal.SIGHUP
UPGRADE = signal.SIGUSR2
HANDLED = (*STOP, DRAIN, RELOAD, UPGRADE)

# What a terminal or a service manager sends to the whole group: workers leave it to the control process.
IGNORED_BY_WORKERS = HANDLED

# As Gorouter names them in its log.
NAMES: dict[int, str] = {
    signal.SIGTERM: "terminated",
    signal.SIGINT: "interrupt",
    signal.SIGUSR1: "user defined signal 1",
    signal.SIGUSR2: "user defined signal 2",
}


def hold() -> None:
    """Keep signals back from now on: called before the first line of the log, after which anybody may send one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def release() -> None:
    """Let signals through, also those kept back so far: the handlers are in place."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
