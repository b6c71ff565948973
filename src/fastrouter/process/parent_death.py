"""Ends a process together with the one that started it, however that ends (prctl(2), PR_SET_PDEATHSIG)."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1
# Looked up beforehand: between fork and exec there is no time for it.
_prctl = ctypes.CDLL(None).prctl


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it has ended."""
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
