"""X-CF-App-Instance and X-CF-Process-Instance name the instance that must serve (spec 3.8, L08-L10)."""

import pytest

from fastrouter._core import Endpoint, Settings

from .conversation import Conversation

APP = "5e1c6a3e-9d6b-4b0b-8a51-4f5f0f9f6a11"
PROCESS = "0a0b0c0d-9d6b-4b0b-8a51-4f5f0f9f6a22"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def endpoints() -> list[Endpoint]:
    return [
        Endpoint(
            "10.0.0.1", 8000 + index, app_id=APP, instance_id=f"i{index}", instance_index=str(index), process_id=PROCESS
        )
        for index in range(3)
    ]


def ask(*lines: bytes, settings: Settings | None = None, known: list[Endpoint] | None = None) -> Conversation:
    conversation = Conversation(endpoints() if known is None else known, settings)
    conversation.from_client(
        b"GET / HTTP/1.1\r\nHost: app.test:80\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"
    )
    if conversation.loop.dialled:
        conversation.from_backend(OK)
    return conversation


def answer(conversation: Conversation) -> tuple[bytes, bytes]:
    """Status line and body of what the client got."""
    head, _, body = bytes(conversation.client.written).partition(b"\r\n\r\n")
    return head.partition(b"\r\n")[0], body


@pytest.mark.parametrize("index", [0, 1, 2])
def test_app_instance_is_served_by_that_instance_only(index: int) -> None:
    for _ in range(4):
        conversation = ask(b"X-CF-App-Instance: %s:%d" % (APP.encode(), index))
        assert conversation.backend.get_extra_info("peername") == ("10.0.0.1", 8000 + index)
        assert b"X-Cf-App-Instance" not in conversation.backend.written


def test_last_of_several_matches_serves() -> None:
    for _ in range(3):
        twins = [Endpoint("10.0.0.1", port, app_id=APP, instance_index="0") for port in (1, 2, 3)]
        conversation = ask(b"X-CF-App-Instance: %s:0" % APP.encode(), known=twins)
        assert conversation.backend.get_extra_info("peername") == ("10.0.0.1", 3)


def test_process_instance_with_index_is_forwarded() -> None:
    conversation = ask(b"X-CF-Process-Instance: %s:2" % PROCESS.encode())
    assert conversation.backend.get_extra_info("peername") == ("10.0.0.1", 8002)
    # Gorouter forgets to remove this one (spec 4.4).
    assert b"X-Cf-Process-Instance: %s:2\r\n" % PROCESS.encode() in conversation.backend.written


def test_process_instance_without_index_may_be_any() -> None:
    ports = {
        ask(b"X-CF-Process-Instance: " + PROCESS.encode()).backend.get_extra_info("peername")[1] for _ in range(60)
    }
    assert ports == {8000, 8001, 8002}


def test_app_instance_takes_precedence() -> None:
    conversation = ask(b"X-CF-App-Instance: %s:1" % APP.encode(), b"X-CF-Process-Instance: %s:2" % PROCESS.encode())
    assert conversation.backend.get_extra_info("peername") == ("10.0.0.1", 8001)


@pytest.mark.parametrize("value", [b"nonsense", APP.encode(), APP.upper().encode() + b":0", APP.encode() + b":x"])
def test_malformed_app_instance(value: bytes) -> None:
    conversation = ask(b"X-CF-App-Instance: " + value)
    assert answer(conversation) == (b"HTTP/1.1 400 Bad Request", b"400 Bad Request: Invalid X-CF-App-Instance Header\n")
    assert b"X-Cf-Routererror: invalid_cf_app_instance_header\r\n" in conversation.client.written
    assert b"Cache-Control: no-cache, no-store\r\n" in conversation.client.written
    assert [event[1] for event in conversation.events] == ["invalid-app-instance-header", "status"]
    assert conversation.events[0][2]["error"] == f"Incorrect X-CF-APP-INSTANCE header : {value.decode()}"


@pytest.mark.parametrize("name", [b"X-CF-App-Instance", b"X-CF-Process-Instance"])
def test_an_empty_header_is_none(name: bytes) -> None:
    assert answer(ask(name + b":"))[0] == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("value", [b"nonsense", PROCESS.encode() + b":", PROCESS.encode() + b":x"])
def test_malformed_process_instance(value: bytes) -> None:
    conversation = ask(b"X-CF-Process-Instance: " + value)
    assert answer(conversation)[1] == b"400 Bad Request: Invalid X-CF-Process-Instance Header\n"
    assert b"X-Cf-Routererror: invalid_cf_process_instance_header\r\n" in conversation.client.written


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            b"X-CF-App-Instance: %s:9" % APP.encode(),
            b"Requested instance ('9') with guid ('%s') does not exist for route ('app.test:80')" % APP.encode(),
        ),
        (
            b"X-CF-Process-Instance: %s:9" % PROCESS.encode(),
            b"Requested instance ('9') with process guid ('%s') does not exist for route ('app.test:80')"
            % PROCESS.encode(),
        ),
        (
            b"X-CF-Process-Instance: " + APP.encode(),
            b"Requested instance with process guid ('%s') does not exist for route ('app.test:80')" % APP.encode(),
        ),
    ],
)
def test_unknown_instance_is_400(line: bytes, message: bytes) -> None:
    # The 503 of an empty pool is not for a pool that has other instances.
    conversation = ask(line, settings=Settings(empty_pool_503=True))
    assert answer(conversation) == (b"HTTP/1.1 400 Bad Request", b"400 Bad Request: %s\n" % message)
    assert b"X-Cf-Routererror: unknown_route\r\n" in conversation.client.written


def test_message_of_the_process_wins_when_both_fail() -> None:
    conversation = ask(b"X-CF-App-Instance: %s:9" % APP.encode(), b"X-CF-Process-Instance: %s:8" % PROCESS.encode())
    assert b"('8') with process guid" in answer(conversation)[1]


def test_empty_pool_is_503_where_wanted() -> None:
    for wanted, status in ((True, b"503 Service Unavailable"), (False, b"404 Not Found")):
        conversation = Conversation(settings=Settings(empty_pool_503=wanted))
        assert conversation.table.unregister("app.test", "10.0.0.1:8080")
        conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        assert answer(conversation)[0] == b"HTTP/1.1 " + status
