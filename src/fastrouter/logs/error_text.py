"""What the process log says of an error: the words of whoever met it, as Gorouter has them, without Python's marks."""

import os
import re

# How Python introduces an error of the system or of OpenSSL, also within a text that tells of several, and ends one.
_MARKS = re.compile(r"\[(?:Errno -?\d+|SSL|SSL: \w+|X509|X509: \w+)\] | \(_ssl\.c:\d+\)")


def error_text(error: BaseException) -> str:
    """Return what `error` says. The C library's words are in lower case, a text of ours is as it is."""
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    if isinstance(error, TimeoutError) and str(error) in ("", "timed out"):
        return "i/o timeout"
    text = _MARKS.sub("", error.strerror or str(error)) or type(error).__name__
    if error.errno is not None:
        words = os.strerror(error.errno)
        if text.startswith(words):
            # Without what Python has added.
            text = words.lower()
        elif error.errno < 0:
            # The resolver's own numbers and words.
            text = text.lower()
    return text if error.filename is None else f"open {error.filename}: {text}"
