"""The text of an error in the process log: the system's or library's, as in Gorouter, without Python's additions."""

import os
import re

# What Python puts in front of and behind the text of an error of the system or of OpenSSL, also inside longer texts.
_MARKS = re.compile(r"\[(?:Errno -?\d+|SSL|SSL: \w+|X509|X509: \w+)\] | \(_ssl\.c:\d+\)")


def fault_text(error: BaseException) -> str:
    """Return the kind and the text of an error that nobody has foreseen."""
    kind, text = type(error).__name__, error_text(error)
    return kind if text == kind else f"{kind}: {text}"


def error_text(error: BaseException) -> str:
    """Return the text of `error`: the C library's in lower case, one of fastrouter unchanged."""
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    if isinstance(error, TimeoutError) and str(error) in ("", "timed out"):
        return "i/o timeout"
    text = _MARKS.sub("", error.strerror or str(error)) or type(error).__name__
    if error.errno is not None:
        words = os.strerror(error.errno)
        if text.startswith((words, "Connect call failed")):
            # Without what Python has added; asyncio has put words of its own there.
            text = words.lower()
        elif error.errno < 0:
            # The resolver has negative numbers and texts of its own.
            text = text.lower()
    return text if error.filename is None else f"open {error.filename}: {text}"
