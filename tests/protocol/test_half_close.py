"""A client that sends no more behind complete requests still gets its answers; one that has left looks the same."""

import time

import pytest

from fastrouter._core import Settings

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENT = Settings(half_close_timeout=1000)
IMPATIENT = Settings(half_close_timeout=0.001)


def wait_half_close_timeout(conversation: Conversation) -> None:
    # The clock of deadlines is the real one, and coarse.
    time.sleep(0.02)
    conversation.loop.tick()


def half_closed(*pieces: bytes, settings: Settings = PATIENT) -> Conversation:
    conversation = Conversation(settings=settings)
    conversation.from_client(*pieces)
    conversation.client.deliver_eof()
    conversation.loop.run()
    return conversation


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("is_one_piece", [True, False])
def test_all_complete_requests_are_answered(count: int, is_one_piece: bool) -> None:
    conversation = half_closed(*([GET * count] if is_one_piece else [GET] * count))
    for number in range(count):
        assert not conversation.client.is_over
        conversation.from_backend(OK)
        assert conversation.client.written.count(b"\r\n\r\nok") == number + 1
    assert conversation.client.is_over


def test_what_is_no_whole_request_behind_them_is_not() -> None:
    conversation = half_closed(GET + GET[:20])
    conversation.from_backend(OK)
    assert conversation.client.is_over
    assert len(conversation.loop.dialled) == 1


def test_a_body_that_is_not_complete_is_the_end_at_once() -> None:
    conversation = half_closed(b"PUT / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nhalf")
    assert conversation.client.is_over
    assert conversation.backend.is_over


def test_an_answer_that_does_not_begin_is_for_somebody_who_has_left() -> None:
    conversation = half_closed(GET + GET, settings=IMPATIENT)
    wait_half_close_timeout(conversation)
    assert conversation.client.is_over
    assert conversation.backend.is_over
    assert not conversation.client.written
    conversation.end()
    (line,) = b"".join(conversation.log).splitlines()
    assert b'" 499 ' in line


def test_an_answer_that_goes_on_goes_on() -> None:
    conversation = half_closed(GET, settings=IMPATIENT)
    conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
    for _ in range(3):
        conversation.from_backend(b"x")
        wait_half_close_timeout(conversation)
        assert not conversation.client.is_over
    conversation.from_backend(b"x")
    assert conversation.client.written.endswith(b"\r\n\r\nxxxx")
    assert conversation.client.is_over


def test_an_answer_that_does_not_is_over() -> None:
    conversation = half_closed(GET, settings=IMPATIENT)
    conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx")
    for is_over in (False, True):
        wait_half_close_timeout(conversation)
        assert conversation.client.is_over == is_over
    assert conversation.backend.is_over


def test_a_client_that_takes_its_answer_slowly_has_not_left() -> None:
    conversation = half_closed(GET, settings=IMPATIENT)
    conversation.from_backend(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nx")
    conversation.client.set_writing_paused(True)
    for _ in range(3):
        wait_half_close_timeout(conversation)
    assert not conversation.client.is_over
    conversation.client.set_writing_paused(False)
    conversation.from_backend(b"xxx")
    assert conversation.client.is_over
