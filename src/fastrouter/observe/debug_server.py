"""The debug server: the log level and the stacks of the control process (spec 1.2, 7.7, 9.12)."""

import asyncio
import io
import sys
import traceback
from collections.abc import Callable

from fastrouter.logs.logger import LEVELS, Level, parse_level
from fastrouter.net.address import parse_listen_address
from fastrouter.observe.responses import NOT_FOUND, StatusHandler, StatusRequest, StatusResponse
from fastrouter.observe.status_server import StatusServer

_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
# Paths that Gorouter has because of Go's runtime.
_GO_ONLY_PATHS = ("/debug/pprof/", "/block-profile-rate", "/mutex-profile-fraction")
_NO_GO = StatusResponse(404, _TEXT, b"not there: this is no Go process; /debug/pprof/goroutine has the stacks\n")


def new_debug_server(address: str, level: Callable[[], Level], set_level: Callable[[Level], None]) -> StatusServer:
    """Make the listener at `address` (HOST:PORT), which is not bound yet. Raises ValueError if that is no address."""
    host, port = parse_listen_address(address)
    return StatusServer(debug_handler(level, set_level), host, port)


def debug_handler(level: Callable[[], Level], set_level: Callable[[Level], None]) -> StatusHandler:
    """Respond to `/log-level` and, in place of Go's profile of goroutines, the stacks of the control process."""

    def handle(request: StatusRequest) -> StatusResponse:
        if request.path == "/log-level":
            return _log_level(request, level, set_level)
        if request.path == "/debug/pprof/goroutine":
            return StatusResponse(200, _TEXT, _stacks())
        if request.path.startswith(_GO_ONLY_PATHS):
            return _NO_GO
        return NOT_FOUND

    return handle


def _log_level(
    request: StatusRequest, level: Callable[[], Level], set_level: Callable[[Level], None]
) -> StatusResponse:
    if request.method in ("PUT", "POST"):
        wanted = parse_level(request.body.decode("latin-1").strip())
        if wanted is None:
            return StatusResponse(400, _TEXT, f"expected one of {', '.join(LEVELS)}\n".encode())
        set_level(wanted)
    elif request.method not in ("GET", "HEAD"):
        return StatusResponse(405, (("Allow", "GET, HEAD, POST, PUT"), *_TEXT), b"405 Method Not Allowed\n")
    return StatusResponse(200, _TEXT, f"{level().name.lower()}\n".encode())


def _stacks() -> bytes:
    """Return where every task and thread of this process stands."""
    text = io.StringIO()
    for task in asyncio.all_tasks():
        task.print_stack(file=text)
    for number, frame in sys._current_frames().items():
        text.write(f"Thread {number}:\n{''.join(traceback.format_stack(frame))}")
    return text.getvalue().encode(errors="replace")
