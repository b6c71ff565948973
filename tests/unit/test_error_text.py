"""What the process log says of errors: nothing of Python's own way to print them."""

import errno
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from fastrouter.logs.error_text import error_text, fault_text


def refused() -> None:
    with socket.socket() as holder, socket.socket() as client:
        # Bound and not listening, so no other process can be there.
        holder.bind(("127.0.0.1", 0))
        client.connect(holder.getsockname())


def taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        socket.create_server(holder.getsockname())


def no_certificate() -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata="none")


def no_file() -> None:
    Path("/nowhere/access.log").read_bytes()


@pytest.mark.parametrize(
    ("meet", "text"),
    [
        (refused, "connection refused"),
        (taken, "address already in use"),
        (no_file, "open /nowhere/access.log: no such file or directory"),
        (no_certificate, "no start line: cadata does not contain a certificate"),
    ],
)
def test_errors_as_they_come(meet: Callable[[], None], text: str) -> None:
    with pytest.raises(OSError, match=r".") as raised:
        meet()
    assert error_text(raised.value) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError("timed out"), "i/o timeout"),
        (OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)), "connection timed out"),
        (OSError(errno.EADDRINUSE, "listen tcp :80: bind: refused"), "listen tcp :80: bind: refused"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 111] Connect call failed"),
            "Multiple exceptions: Connect call failed ('::1', 1), Connect call failed",
        ),
        (ssl.SSLError(1, "[SSL: KEY_VALUES_MISMATCH] key values mismatch (_ssl.c:3900)"), "key values mismatch"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name or service not known"),
        (OSError(), "OSError"),
        (ValueError("not a port"), "not a port"),
        (EOFError(), "EOFError"),
    ],
)
def test_errors_of_any_kind(error: Exception, text: str) -> None:
    assert error_text(error) == text


def test_the_kind_of_a_fault_is_told_without_numbers() -> None:
    assert fault_text(OSError(24, "Too many open files")) == "OSError: too many open files"
    assert fault_text(ValueError("x")) == "ValueError: x"
    assert fault_text(KeyError()) == "KeyError"
