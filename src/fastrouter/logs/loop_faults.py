"""Errors that an event loop reports to nobody in particular: a line of the process log instead of text on stderr."""

import asyncio
import traceback
from contextlib import suppress
from typing import Any

from fastrouter.logs.error_text import error_text
from fastrouter.logs.library_faults import log_library_faults
from fastrouter.logs.logger import Logger


def log_loop_faults(loop: asyncio.AbstractEventLoop, logger: Logger) -> None:
    """Have `loop` log errors in callbacks and transports, and errors of tasks that nobody awaits; libraries, too.

    One line of level error for each. Logging raises nothing, whatever the error is.
    """

    def log_fault(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        where = str(context.get("message", ""))
        if error is None:
            logger.error("loop-exception", error=where, type="")
            return
        kind = type(error).__name__
        # The text of an error is made by its own code, which may fail, too.
        text, stack = kind, ""
        with suppress(Exception):
            text = error_text(error)
            stack = "".join(traceback.format_exception(error))
        logger.error("loop-exception", error=text, type=kind, where=where, stacktrace=stack)

    loop.set_exception_handler(log_fault)
    log_library_faults(logger)
