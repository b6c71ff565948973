"""Where the admin socket of a router is, and whom one trusts with it."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastrouter.net import admin_socket
from fastrouter.net.admin_socket import AdminSocket, AdminSocketError, find_socket, find_sockets


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories that are tried, in this order."""
    places = [tmp_path / "first", tmp_path / "second"]
    monkeypatch.setattr(admin_socket, "_own_directories", lambda: iter(places))
    monkeypatch.setattr(admin_socket, "_known_directories", lambda: iter(places))
    return places


@pytest.fixture
def own(places: list[Path]) -> Iterator[AdminSocket]:
    assert places
    own = AdminSocket(None)
    yield own
    own.close()


def test_it_is_found_by_its_process(own: AdminSocket, places: list[Path]) -> None:
    assert own.path == str(places[0] / f"{os.getpid()}.sock")
    assert find_socket() == find_socket(os.getpid()) == own.path
    with pytest.raises(AdminSocketError, match="process 1 has no admin socket"):
        find_socket(1)


def test_one_that_drains_is_found_by_its_number_only(own: AdminSocket) -> None:
    own.become_old()
    assert own.path.endswith(".old.sock")
    ((pid, path, is_old),) = find_sockets()
    assert (pid, path, is_old) == (os.getpid(), own.path, True)
    with AdminSocketAt(own.path.replace(".old", "")) as successor:
        assert find_socket() == successor


class AdminSocketAt:
    """A socket that listens at a path."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> str:
        self._listener.bind(self._path)
        self._listener.listen()
        return self._path

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        os.unlink(self._path)


def test_a_name_that_another_process_has_taken_is_no_routers(places: list[Path]) -> None:
    places[0].mkdir(mode=0o700)
    with AdminSocketAt(str(places[0] / "1.sock")):
        assert find_sockets() == []
        with pytest.raises(AdminSocketError, match="no router with an admin socket is running here"):
            find_socket()


@pytest.mark.parametrize("kind", ["writable for others", "a link", "a file"])
def test_a_directory_that_others_may_have_made_is_passed_over(places: list[Path], kind: str, tmp_path: Path) -> None:
    first, second = places
    match kind:
        case "writable for others":
            first.mkdir()
            first.chmod(0o777)
        case "a link":
            (tmp_path / "theirs").mkdir(mode=0o700)
            first.symlink_to(tmp_path / "theirs")
        case "a file":
            first.touch()
    own = AdminSocket(None)
    try:
        assert Path(own.path).parent == second
        assert second.stat().st_mode & 0o777 == 0o700
    finally:
        own.close()


def test_without_a_directory_there_is_none(places: list[Path]) -> None:
    for place in places:
        place.touch()
    with pytest.raises(OSError, match="no directory to put the admin socket into"):
        AdminSocket(None)


def test_what_is_no_socket_is_not_replaced(tmp_path: Path, places: list[Path]) -> None:
    assert places
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(FileExistsError):
        AdminSocket(str(file))
    assert file.read_text() == "precious"


def test_a_socket_that_nobody_serves_is_replaced(tmp_path: Path, places: list[Path]) -> None:
    assert places
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    own = AdminSocket(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match="Address already in use"):
        AdminSocket(str(path))
    # A successor takes the place, and whoever had it leaves it alone.
    successor = AdminSocket(str(path), is_successor=True)
    own.close()
    assert path.is_socket()
    successor.close()
    assert not path.exists()
