"""How the tables write requests: text, of which each character is one byte."""

import pytest

HOST = "Host: app.test\r\n"
# What might be smuggled in, in or behind another request.
SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n"


def post(*lines: str, body: str = "", start: str = "POST / HTTP/1.1") -> bytes:
    """A request with some header lines behind its Host."""
    return raw(f"{start}\r\n{HOST}" + "".join(f"{line}\r\n" for line in lines) + "\r\n" + body)


def get(*lines: str, start: str = "GET / HTTP/1.1") -> bytes:
    return post(*lines, start=start)


def raw(text: str) -> bytes:
    return text.encode("latin-1")


def cases(*table: tuple[str, str, str]) -> pytest.MarkDecorator:
    """Rows of a name, what is sent, and the outcome, as `played.play` tells it."""
    names = [name for name, _, _ in table]
    assert len(set(names)) == len(names), "each case has a name of its own"
    return pytest.mark.parametrize(("text", "outcome"), [pytest.param(*row[1:], id=row[0]) for row in table])
