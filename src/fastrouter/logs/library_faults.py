"""What libraries say through Python's `logging`: lines of the process log instead of text on stderr."""

import logging
import traceback

from fastrouter.logs.logger import Logger


class _ToProcessLog(logging.Handler):
    def __init__(self, logger: Logger) -> None:
        super().__init__(logging.WARNING)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        try:
            said = {"library": record.name, "text": record.getMessage()}
            if record.exc_info is not None:
                said["stacktrace"] = "".join(traceback.format_exception(*record.exc_info))
        except Exception:
            # Wrong arguments for its text, or an error that cannot be shown. By default logging tells it on stderr.
            said = {"library": record.name, "text": str(record.msg)}
        if record.levelno >= logging.ERROR:
            self._logger.error("library-error", **said)
        else:
            # Mostly about what a peer did: asyncio warns of every end of a connection with TLS.
            self._logger.debug("library-warning", **said)


def log_library_faults(logger: Logger) -> None:
    """Have the process log tell what libraries report: errors, and at level debug warnings."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _ToProcessLog):
            root.removeHandler(handler)
    root.addHandler(_ToProcessLog(logger))
