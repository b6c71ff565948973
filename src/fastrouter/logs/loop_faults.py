"""What an event loop says of faults that nobody waits for: a line of the process log instead of text on stderr."""

import asyncio
import traceback
from contextlib import suppress
from typing import Any

from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger


def log_loop_faults(loop: asyncio.AbstractEventLoop, logger: Logger) -> None:
    """Have `loop` tell `logger` of errors in callbacks and transports, and of tasks whose errors nobody has asked for.

    One line of level error for each. Whatever the error is like, telling of it raises nothing.
    """

    def log_fault(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        where = str(context.get("message", ""))
        if error is None:
            logger.error("loop-exception", error=where, type="")
            return
        kind = type(error).__name__
        # What an error says of itself is its own code, which may fail, too.
        text, stack = kind, ""
        with suppress(Exception):
            text = error_text(error)
            stack = "".join(traceback.format_exception(error))
        logger.error("loop-exception", error=text, type=kind, where=where, stacktrace=stack)

    loop.set_exception_handler(log_fault)
