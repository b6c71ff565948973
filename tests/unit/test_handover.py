"""What a router takes from the environment that its predecessor starts it with."""

import os
import socket
from collections.abc import Iterator

import pytest

from fastrouter.net.handover import PREDECESSOR, TICKETS, HandoverError, receive_inheritance

SECRET = b"s" * 32


@pytest.fixture
def line() -> Iterator[int]:
    """The successor's end of the line, which it owns from then on; the predecessor is this process."""
    ours, theirs = socket.socketpair()
    yield theirs.detach()
    ours.close()


@pytest.fixture
def pipe() -> int:
    """A pipe that holds the secret of session tickets."""
    reader, writer = os.pipe()
    os.write(writer, SECRET)
    os.close(writer)
    return reader


def ticket_secret(line: int, tickets: str | None) -> bytes:
    """What a successor gets. None: its predecessor does not offer it."""
    environment = {PREDECESSOR: str(line)} | ({TICKETS: tickets} if tickets is not None else {})
    inheritance = receive_inheritance(environment)
    assert environment == {}
    assert inheritance.predecessor is not None
    inheritance.predecessor.close()
    return inheritance.ticket_secret


def test_the_secret_of_tickets(line: int, pipe: int) -> None:
    assert ticket_secret(line, f"{pipe}:{os.getpid()}") == SECRET
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pipe)


def test_the_secret_of_somebody_before_the_predecessor(line: int, pipe: int) -> None:
    """An older predecessor passes the variable on; the number may be another descriptor now."""
    assert ticket_secret(line, f"{pipe}:{os.getpid() + 1}") == b""
    assert os.read(pipe, 64) == SECRET
    os.close(pipe)


def test_no_secret(line: int) -> None:
    assert ticket_secret(line, None) == b""


# A router that cannot start closes nothing more.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_descriptor_that_is_not_there(line: int, pipe: int) -> None:
    os.close(pipe)
    with pytest.raises(HandoverError, match=f"descriptor {pipe} cannot be read: bad file descriptor"):
        ticket_secret(line, f"{pipe}:{os.getpid()}")
