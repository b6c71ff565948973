"""Signals: which of them the control process acts on, and how they wait until it can (spec 1.5)."""

import signal

STOP = (signal.SIGTERM, signal.SIGINT)
DRAIN = signal.SIGUSR1
RELOAD = signal.SIGHUP
UPGRADE = signal.SIGUSR2
HANDLED = (*STOP, DRAIN, RELOAD, UPGRADE)

# Signals that a terminal or a service manager sends to the whole process group: only the control process acts on them.
IGNORED_BY_WORKERS = HANDLED

# As Gorouter names them in its log.
NAMES: dict[int, str] = {
    signal.SIGTERM: "terminated",
    signal.SIGINT: "interrupt",
    signal.SIGUSR1: "user defined signal 1",
    signal.SIGUSR2: "user defined signal 2",
}


def hold() -> None:
    """Block the signals: called before the first line of the log, after which operators may send them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)


def release() -> None:
    """Unblock the signals, once the handlers are set; those sent so far are delivered now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
