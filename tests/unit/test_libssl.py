"""What is done behind the back of Python's ssl, and that nothing is where it is not certain."""

import ssl
from typing import Any

import pytest

from fastrouter.tls import libssl
from fastrouter.tls.libssl import LibsslError, pointer_of


class Other:
    """An object whose first member is none of libssl's."""

    __slots__ = ("first",)
    options = 1
    num_tickets = 1


@pytest.mark.parametrize("first", [None, b"\0" * 4096, 1, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)])
def test_another_layout(first: object) -> None:
    other: Any = Other()
    other.first = first
    with pytest.raises(LibsslError, match="laid out in another way"):
        pointer_of(other)


def test_addresses_that_lead_nowhere() -> None:
    assert not any(libssl._is_readable(address) for address in (0, 8, 2**47, 2**64 - 8))
