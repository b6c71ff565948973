"""Giving memory back to the system."""

import ctypes


def release_free_memory() -> None:
    """Return what was freed to the system, where the C library can do so.

    glibc keeps freed memory for later use; after a burst that is tens of megabytes that nothing will use. Takes some
    milliseconds.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
