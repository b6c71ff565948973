"""What all tests have in common: how hypothesis looks for examples, certificates, and what a test may leave behind."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from config_rules import Pems
from live_objects import live_objects, overlook_live_objects
from protocol.conversation import Conversation

# The same ones in every run, and however slow the machine is: what fails once fails again, and what passes passes.
settings.register_profile(
    "same-everywhere", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
# `make test-quick`
settings.register_profile("quick", settings.get_profile("same-everywhere"), max_examples=10)
settings.load_profile("same-everywhere")


# A shell that starts the tests in the background has them ignore SIGINT, and so would every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def pems() -> Pems:
    return Pems()


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves objects of the data plane behind."""
    failed_before = request.session.testsfailed
    overlook_live_objects()
    yield
    # An open connection leads to all that its router has.
    while Conversation.begun:
        Conversation.begun.pop().end()
    # What has failed is held by its traceback.
    if request.session.testsfailed == failed_before:
        request.node.funcargs.clear()
        left = live_objects()
        assert not left, f"alive after the test: {dict(left)}"
