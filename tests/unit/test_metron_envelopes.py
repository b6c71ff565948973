"""Envelopes of the control process, and what it tells without an agent (spec 7.5)."""

import socket

import pytest

from dropsonde import read_envelope
from fastrouter.metron.agent import Agent, AgentAddress, find_agent
from fastrouter.metron.envelopes import counter_envelope, envelope_tags, value_envelope
from fastrouter.metron.options import AgentError


def test_a_value() -> None:
    envelope = read_envelope(value_envelope("gorouter", 1_700_000_000_000_000_001, "uptime", 1.5, "seconds"))
    assert (envelope.origin, envelope.kind) == ("gorouter", "valueMetric")
    assert (envelope.timestamp, envelope.tags) == (1_700_000_000_000_000_001, {})
    assert envelope.event == {"name": "uptime", "value": 1.5, "unit": "seconds"}


@pytest.mark.parametrize(("value", "unit"), [(0.0, ""), (-1.0, "ms"), (1e300, "ms")])
def test_values_of_any_kind(value: float, unit: str) -> None:
    """Fields are there although they are empty: agents require them."""
    assert read_envelope(value_envelope("o", 1, "n", value, unit)).event == {"name": "n", "value": value, "unit": unit}


@pytest.mark.parametrize("delta", [0, 1, 2**62])
def test_a_counter(delta: int) -> None:
    envelope = read_envelope(counter_envelope("gorouter", 5, "responses.2xx", delta))
    assert (envelope.kind, envelope.event) == ("counterEvent", {"name": "responses.2xx", "delta": delta})


@pytest.mark.parametrize("tags", [{}, {"component": "c"}, {"a": "", "ä": "ö" * 300}])
def test_tags_are_appended(tags: dict[str, str]) -> None:
    assert read_envelope(counter_envelope("gorouter", 5, "n", 1) + envelope_tags(tags)).tags == tags


def test_nobody_hears_and_nothing_happens() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind(("127.0.0.1", 0))
        address = AgentAddress(*port.getsockname())
    agent = Agent(address)
    for _ in range(3):
        agent.send_counter("n", 1)
        agent.send_value("n", 1.0, "ms")
    agent.close()


def test_an_agent_is_found_by_name() -> None:
    assert find_agent("localhost:3457") == ("127.0.0.1", 3457)
    assert find_agent(":3457") == ("127.0.0.1", 3457)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "destination variable not set"),
        ("localhost", "address localhost: missing port in address"),
        ("localhost:none", "lookup udp4/none: unknown port"),
        ("no-host.invalid:1", "lookup no-host.invalid: no such host"),
    ],
)
def test_addresses_that_are_none(address: str, reason: str) -> None:
    with pytest.raises(AgentError, match=f"^Failed to initialize dropsonde: {reason}$"):
        find_agent(address)
