"""Endpoints that an operator has set to draining: who still gets there, and who does not (ADR 19)."""

from typing import Any

import pytest

from fastrouter._core import Endpoint, Settings

from .conversation import Conversation, timeless

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
APP = "0123abcd-0000-4000-8000-000000000000"
STICKY = b"Cookie: JSESSIONID=x; __VCAP_ID__=i1\r\n"
NO_ENDPOINTS = (
    b"HTTP/1.1 503 Service Unavailable\r\nCache-Control: public,max-age=2\r\nX-Cf-Routererror: no_endpoints\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nDate: -\r\n"
    b"Content-Length: 82\r\n\r\n"
    b"503 Service Unavailable: Requested route ('app.test') has no available endpoints.\n"
)


def endpoints(*draining: int) -> list[Endpoint]:
    """Three of them, of which those with these numbers are draining."""
    made = [
        Endpoint("10.0.0.1", port, app_id=APP, instance_id=f"i{port}", instance_index=str(port), process_id=APP)
        for port in range(3)
    ]
    for number in draining:
        made[number].set_draining(True)
    return made


def ask(conversation: Conversation, lines: bytes = b"") -> list[int]:
    """Send a request; returns the ports that were dialled for it."""
    conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
    conversation.from_client(GET + lines + b"\r\n")
    ports = [port for _, port in conversation.loop.attempted]
    conversation.loop.attempted.clear()
    return ports


@pytest.mark.parametrize("algorithm", ["round-robin", "least-connection"])
class TestSelection:
    def test_new_requests_go_elsewhere(self, algorithm: str) -> None:
        conversation = Conversation(endpoints(1), Settings(balancing_algorithm=algorithm))
        asked = [port for _ in range(6) for port in ask(conversation)]
        assert sorted(asked) == [0, 0, 0, 2, 2, 2]

    def test_its_sessions_go_on(self, algorithm: str) -> None:
        conversation = Conversation(endpoints(0, 1, 2), Settings(balancing_algorithm=algorithm))
        assert ask(conversation, STICKY) == [1]

    def test_without_any_other_there_is_503(self, algorithm: str) -> None:
        conversation = Conversation(endpoints(0, 1, 2), Settings(balancing_algorithm=algorithm))
        assert ask(conversation) == []
        assert timeless(conversation.client.written) == NO_ENDPOINTS

    def test_a_session_whose_instance_is_gone_gets_no_other_draining_one(self, algorithm: str) -> None:
        conversation = Conversation(endpoints(0, 1, 2), Settings(balancing_algorithm=algorithm))
        assert ask(conversation, STICKY.replace(b"i1", b"gone")) == []
        assert timeless(conversation.client.written) == NO_ENDPOINTS

    def test_others_at_their_limit_are_what_is_told(self, algorithm: str) -> None:
        conversation = Conversation(endpoints(0, 1), Settings(balancing_algorithm=algorithm, max_conns=1))
        assert ask(conversation) == [2]
        assert ask(conversation) == []
        assert b"X-Cf-Routererror: Connection Limit Reached" in conversation.client.written
        assert ask(conversation, STICKY) == [1]

    def test_active_again(self, algorithm: str) -> None:
        made = endpoints(0, 1, 2)
        conversation = Conversation(made, Settings(balancing_algorithm=algorithm))
        made[2].set_draining(False)
        assert ask(conversation) == [2]


def test_the_last_that_is_not_draining_is_tried_again_though_it_failed() -> None:
    conversation = Conversation(endpoints(0, 1), Settings(max_attempts=1))
    conversation.loop.refusing = {("10.0.0.1", 2)}
    assert ask(conversation) == [2]
    assert ask(conversation) == [2]


@pytest.mark.parametrize(
    "lines", [f"X-CF-App-Instance: {APP}:1\r\n".encode(), f"X-CF-Process-Instance: {APP}:1\r\n".encode()]
)
def test_an_instance_that_is_asked_for_by_name_is_had(lines: bytes) -> None:
    assert ask(Conversation(endpoints(1)), lines) == [1]


def test_of_the_instances_of_a_process_those_that_drain_are_not_had() -> None:
    conversation = Conversation(endpoints(0, 1))
    for _ in range(3):
        assert ask(conversation, f"X-CF-Process-Instance: {APP}\r\n".encode()) == [2]


def test_a_retry_passes_it_over() -> None:
    conversation = Conversation(endpoints(1), Settings(max_attempts=3))
    conversation.loop.refusing = {("10.0.0.1", port) for port in range(3)}
    assert sorted(set(ask(conversation))) == [0, 2]


def test_what_is_under_way_goes_on() -> None:
    made = endpoints()[:1]
    conversation = Conversation(made)
    ask(conversation)
    made[0].set_draining(True)
    conversation.from_backend(OK)
    assert conversation.client.written.startswith(b"HTTP/1.1 200 OK")
    events: list[Any] = [message for _, message, _ in conversation.events]
    assert events == []
