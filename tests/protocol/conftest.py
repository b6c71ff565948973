from collections.abc import Iterator

import pytest
import trustme

from .conversation import Conversation


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(autouse=True)
def conversations_end(nothing_is_left: None) -> Iterator[None]:  # noqa: ARG001 they end before it looks
    """End what the test has not ended: an open connection leads to all that its router has."""
    yield
    while Conversation.begun:
        Conversation.begun.pop().end()
