"""Bytes that a backend sends though nobody asked for them: they answer nobody, and it is not kept alive for a while.

A backend connection rests behind a response without a body, because a body that comes all the same, and late, would be
taken for the response to the next request (docs/adr/0022-endpoints-that-talk-unasked.md).
"""

import socket
from typing import Any

import pytest

from fastrouter._core import Endpoint, Settings, Stats

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STALE = OK.replace(b"ok", b"no")
HOURS = 10000.0
# The rest is over with the next look at the clock in BRIEFLY.
RESTLESS = Settings(bodiless_rest=0)
RESTING = Settings(bodiless_rest=HOURS)
BRIEFLY = Settings(bodiless_rest=1e-9)

BODILESS = {
    "head": (HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    "head-of-chunks": (HEAD, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "no-content": (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
    "not-modified": (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
}
WITH_A_BODY = {
    "length": OK,
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


def exchange(conversation: Conversation, response: bytes = OK, request: bytes = GET) -> None:
    """One request of the client, and what its backend says to it."""
    conversation.from_client(request)
    conversation.from_backend(response)


def dials(conversation: Conversation) -> int:
    return len(conversation.loop.dialled)


def distrusts(conversation: Conversation) -> list[dict[str, Any]]:
    return [data for _, message, data in conversation.events if message == "endpoint-distrusted"]


class TestRest:
    @pytest.mark.parametrize("name", BODILESS)
    def test_the_next_request_takes_another_connection(self, name: str) -> None:
        request, response = BODILESS[name]
        conversation = Conversation(settings=RESTING)
        exchange(conversation, response, request)
        assert conversation.plane.stats()["idle_backend_connections"] == 1
        exchange(conversation)
        assert dials(conversation) == 2
        assert not any(transport.is_over for transport in conversation.loop.dialled)

    @pytest.mark.parametrize("name", BODILESS)
    def test_it_goes_on_afterwards(self, name: str) -> None:
        request, response = BODILESS[name]
        conversation = Conversation(settings=BRIEFLY)
        exchange(conversation, response, request)
        exchange(conversation)
        exchange(conversation)
        assert dials(conversation) == 1
        assert conversation.client.written.endswith(b"ok")

    @pytest.mark.parametrize("name", WITH_A_BODY)
    def test_none_behind_a_response_with_a_body(self, name: str) -> None:
        conversation = Conversation(settings=RESTING)
        exchange(conversation, WITH_A_BODY[name])
        exchange(conversation)
        assert dials(conversation) == 1

    def test_an_idle_one_is_taken_first(self) -> None:
        conversation = Conversation(settings=BRIEFLY)
        first = conversation.client
        exchange(conversation, b"HTTP/1.1 204 No Content\r\n\r\n")
        conversation.from_client(GET)
        conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
        exchange(conversation)
        assert dials(conversation) == 2
        # The first connection answers; then one of them rests, and the other is idle.
        conversation.loop.dialled[0].deliver(b"HTTP/1.1 204 No Content\r\n\r\n")
        conversation.loop.run()
        conversation.client = first
        before = len(conversation.loop.dialled[1].written)
        conversation.from_client(GET)
        assert len(conversation.loop.dialled[1].written) > before

    @pytest.mark.parametrize("late", [b"hello", STALE, b"5\r\nhello\r\n0\r\n\r\n"])
    def test_a_late_body_falls_into_it(self, late: bytes) -> None:
        conversation = Conversation(settings=RESTING)
        exchange(conversation, *reversed(BODILESS["head"]))
        conversation.from_backend(late)
        assert conversation.backend.is_over
        assert conversation.plane.stats()["idle_backend_connections"] == 0
        del conversation.client.written[:]
        exchange(conversation)
        assert conversation.client.written.startswith(b"HTTP/1.1 200 OK\r\n")
        assert conversation.client.written.endswith(b"ok")

    @pytest.mark.parametrize("how", ["end", "reset", "time"])
    def test_it_may_end_meanwhile(self, how: str) -> None:
        conversation = Conversation(settings=Settings(bodiless_rest=HOURS, backend_idle_timeout=0.001))
        exchange(conversation, *reversed(BODILESS["head"]))
        if how == "end":
            conversation.backend.deliver_eof()
        elif how == "reset":
            conversation.backend.break_off()
        else:
            conversation.let_deadlines_pass()
        conversation.loop.run()
        assert conversation.plane.stats()["idle_backend_connections"] == 0
        assert conversation.backend.is_over
        assert not distrusts(conversation)

    def test_those_that_rest_are_idle_ones_to_the_limit(self) -> None:
        conversation = Conversation(settings=Settings(bodiless_rest=HOURS, max_idle_per_endpoint=1))
        exchange(conversation, *reversed(BODILESS["head"]))
        exchange(conversation)
        assert [transport.is_over for transport in conversation.loop.dialled] == [False, True]


class TestDistrust:
    def caught(self, how: str, settings: Settings = RESTLESS) -> Conversation:
        conversation = Conversation(settings=settings)
        exchange(conversation, OK + STALE if how == "behind a response" else OK)
        if how == "on an idle connection":
            conversation.from_backend(STALE)
        elif how == "in place of a response":
            exchange(conversation, b"hello")
        return conversation

    WAYS = ("behind a response", "on an idle connection", "in place of a response")

    @pytest.mark.parametrize("how", WAYS)
    def test_no_connection_is_kept_any_more(self, how: str) -> None:
        conversation = self.caught(how)
        assert conversation.backend.is_over
        before = dials(conversation)
        for number in range(1, 4):
            del conversation.client.written[:]
            exchange(conversation)
            assert conversation.client.written.endswith(b"ok")
            assert dials(conversation) == before + number
            assert conversation.backend.is_closing()
        assert conversation.plane.stats()["idle_backend_connections"] == 0

    @pytest.mark.parametrize("how", WAYS)
    def test_it_is_logged_once_and_counted(self, how: str) -> None:
        conversation = self.caught(how)
        assert distrusts(conversation) == [
            {"Addr": "10.0.0.1:8080", "ApplicationId": "app", "unsolicited-bytes": how, "for": 600.0}
        ]
        assert conversation.plane.stats()["unsolicited"] == 1
        exchange(conversation, OK + STALE)
        assert len(distrusts(conversation)) == 1
        assert conversation.plane.stats()["unsolicited"] == 2

    @pytest.mark.parametrize("how", WAYS)
    def test_it_is_forgotten(self, how: str) -> None:
        conversation = self.caught(how, Settings(distrust_memory=1e-9))
        before = dials(conversation)
        exchange(conversation)
        exchange(conversation)
        assert dials(conversation) == before + 1

    def test_of_no_account_without_a_memory(self) -> None:
        conversation = self.caught("behind a response", Settings(distrust_memory=0))
        exchange(conversation)
        exchange(conversation)
        assert dials(conversation) == 2
        assert not distrusts(conversation)
        assert conversation.plane.stats()["unsolicited"] == 1

    def test_connections_that_were_kept_before_are_not_used(self) -> None:
        conversation = Conversation(settings=RESTLESS)
        first = conversation.client
        conversation.from_client(GET)
        conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
        conversation.from_client(GET)
        for transport in conversation.loop.dialled:
            transport.deliver(OK)
        conversation.loop.run()
        conversation.from_backend(STALE)
        conversation.client = first
        exchange(conversation)
        assert dials(conversation) == 3
        assert all(transport.is_over for transport in conversation.loop.dialled)

    def test_other_endpoints_are_not_meant(self) -> None:
        conversation = Conversation([Endpoint("10.0.0.1", 1), Endpoint("10.0.0.2", 2)], RESTLESS)
        exchange(conversation, OK + STALE)
        for _ in range(4):
            exchange(conversation)
        # Which of them is asked first is left to chance.
        distrusted, *later = [transport.get_extra_info("peername")[0] for transport in conversation.loop.dialled]
        assert sum(host != distrusted for host in later) == 1

    def test_all_workers_know_it(self) -> None:
        memory = bytearray(Stats.size(2, 1))
        conversations = []
        for worker in range(2):
            stats = Stats(memory, 2, 1, worker)
            endpoint = Endpoint("10.0.0.1", 8080)
            endpoint.share(stats, 0)
            conversations.append(Conversation([endpoint], RESTLESS, stats))
        exchange(conversations[1])
        exchange(conversations[0], OK + STALE)
        exchange(conversations[1])
        assert dials(conversations[1]) == 2
        # The number is given to another endpoint.
        Stats(memory, 2, 1).clear_mark(0)
        exchange(conversations[1])
        exchange(conversations[1])
        assert dials(conversations[1]) == 3

    def test_another_registration_of_the_endpoint_inherits_it(self) -> None:
        conversation = self.caught("behind a response")
        conversation.table.register("app.test", Endpoint("10.0.0.1", 8080, app_id="app", instance_id="two"))
        before = dials(conversation)
        exchange(conversation)
        exchange(conversation)
        assert dials(conversation) == before + 2

    @pytest.mark.parametrize(
        "notice", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"HTTP/1.0 408 Request Time-out\r\n\r\n"]
    )
    def test_a_notice_that_its_time_is_over_is_an_end_as_any_other(self, notice: bytes) -> None:
        conversation = Conversation(settings=RESTLESS)
        exchange(conversation)
        conversation.from_backend(notice)
        assert conversation.backend.is_over
        exchange(conversation)
        exchange(conversation)
        assert dials(conversation) == 2
        assert not distrusts(conversation)

    def test_what_comes_of_a_request_that_was_given_up_was_asked_for(self) -> None:
        conversation = Conversation(settings=RESTLESS)
        conversation.from_client(GET)
        conversation.client.break_off()
        conversation.backend.deliver(OK)
        conversation.loop.run()
        assert not distrusts(conversation)

    def test_of_no_response_on_a_new_connection(self) -> None:
        """That one only speaks no HTTP."""
        conversation = Conversation(settings=RESTLESS)
        exchange(conversation, b"SSH-2.0-OpenSSH\r\n")
        assert not distrusts(conversation)


@pytest.mark.parametrize(
    ("unread", "is_distrusted"), [(STALE, True), (b"h", True), (b"HTTP/1.1 408 Request Timeout\r\n\r\n", False)]
)
def test_bytes_that_nobody_has_read_yet(unread: bytes, is_distrusted: bool) -> None:
    """They are in the socket when the next request is about to take the connection."""
    conversation = Conversation(settings=Settings(bodiless_rest=0, keep_alive_probe_interval=0))
    near, far = socket.socketpair()
    with near, far:
        conversation.loop.sockets.append(near)
        exchange(conversation)
        far.sendall(unread)
        exchange(conversation)
        assert dials(conversation) == 2
        assert conversation.client.written.endswith(b"ok")
        assert bool(distrusts(conversation)) == is_distrusted
        conversation.end()
