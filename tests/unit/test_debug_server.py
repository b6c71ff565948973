"""What the debug server answers (spec 7.7, 9.12)."""

import pytest

from fastrouter.logs.logger import Level
from fastrouter.observe.debug_server import debug_handler, new_debug_server
from fastrouter.observe.responses import StatusRequest, StatusResponse


class Debugged:
    """A log level and the handler that changes it."""

    def __init__(self) -> None:
        self.level = Level.INFO
        self._handle = debug_handler(lambda: self.level, self._set)

    def _set(self, level: Level) -> None:
        self.level = level

    def ask(self, method: str, path: str, body: bytes = b"") -> StatusResponse:
        return self._handle(StatusRequest(method, path, "", body))


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    ("body", "level"),
    [
        (b"debug", Level.DEBUG),
        (b"INFO", Level.INFO),
        (b"warn\n", Level.WARN),
        (b"error", Level.ERROR),
        (b"fatal", Level.ERROR),
    ],
)
def test_level_is_set(method: str, body: bytes, level: Level) -> None:
    debugged = Debugged()
    answer = debugged.ask(method, "/log-level", body)
    assert (answer.status, debugged.level) == (200, level)
    assert answer.body == f"{level.name.lower()}\n".encode()


@pytest.mark.parametrize("body", [b"", b"loud", b"Debug", b"0", b"\xff", b"debug info"])
def test_wrong_level_changes_nothing(body: bytes) -> None:
    debugged = Debugged()
    assert debugged.ask("PUT", "/log-level", body).status == 400
    assert debugged.level is Level.INFO


def test_level_is_told() -> None:
    debugged = Debugged()
    answer = debugged.ask("GET", "/log-level", b"debug")
    assert (answer.status, answer.body, debugged.level) == (200, b"info\n", Level.INFO)


def test_other_methods() -> None:
    debugged = Debugged()
    assert debugged.ask("DELETE", "/log-level", b"debug").status == 405
    assert debugged.level is Level.INFO


@pytest.mark.parametrize(
    "path", ["/debug/pprof/", "/debug/pprof/heap", "/block-profile-rate", "/mutex-profile-fraction"]
)
def test_what_only_go_has(path: str) -> None:
    answer = Debugged().ask("GET", path)
    assert answer.status == 404
    assert b"no Go process" in answer.body


def test_nothing_else_is_there() -> None:
    assert Debugged().ask("GET", "/").body == b"404 page not found\n"


async def test_stacks_are_those_of_this_process() -> None:
    answer = Debugged().ask("GET", "/debug/pprof/goroutine")
    assert answer.status == 200
    assert b"test_stacks_are_those_of_this_process" in answer.body


@pytest.mark.parametrize("address", ["17002", "host:port", "::1:1"])
def test_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=address):
        new_debug_server(address, lambda: Level.INFO, lambda _: None)
