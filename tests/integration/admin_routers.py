"""Routers with an admin API for one test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from .admin_client import AdminClient, admin_socket_of
from .router_process import LoggingProcess, RouterProcess, wait_for

__all__ = ["admin_of", "admin_router", "statuses"]


@contextmanager
def admin_router(
    directory: Path, routes: Mapping[str, Sequence[str]], *arguments: str
) -> Iterator[tuple[RouterProcess, AdminClient]]:
    """A router whose sockets are below `directory`, and a client of its admin API."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(directory))
        router = RouterProcess(routes, directory / "access.log", arguments=arguments, has_admin=True)
    try:
        yield router, admin_of(router)
    finally:
        router.stop()
    assert router.complaints == []


def admin_of(router: LoggingProcess) -> AdminClient:
    """A client of the admin API of `router`, once it has the whole table."""
    client = AdminClient(admin_socket_of(router))
    wait_for(lambda: client.get("/v1/overview")["table_loaded"] or None, "the table")
    return client


def statuses(router: RouterProcess, host: str, count: int, *headers: str) -> list[tuple[int, bytes]]:
    """Status and body of so many requests, on a connection of their own."""
    client = router.connect()
    answers = []
    for _ in range(count):
        lines = "".join(f"{header}\r\n" for header in headers)
        client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode())
        response = client.read_response()
        answers.append((response.status, response.body))
    return answers
