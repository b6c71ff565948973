"""Gorouter's debug lines of the data plane: made only where somebody wants them, with its attributes."""

from typing import Any

import pytest

from fastrouter._core import Endpoint, RouteServices, Settings

from .conversation import Conversation

GET = b"GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"
STICKY = b"GET / HTTP/1.1\r\nHost: app.test\r\nCookie: JSESSIONID=x; __VCAP_ID__=%s\r\n\r\n"
NEGOTIATE = b"GET / HTTP/1.1\r\nHost: app.test\r\nAuthorization: Negotiate x\r\nCookie: __VCAP_ID__=%s\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
ENDPOINT = {"ApplicationId": "app", "Addr": "10.0.0.1:8080", "Tags": None, "RouteServiceUrl": "", "AZ": ""}


def told(request: bytes, settings: Settings | None = None) -> list[tuple[str, dict[str, Any]]]:
    """The debug lines of one request, without the ids of its trace."""
    conversation = Conversation(settings=settings)
    conversation.plane.set_debug(True)
    conversation.from_client(request)
    return lines_of(conversation)


def lines_of(conversation: Conversation) -> list[tuple[str, dict[str, Any]]]:
    ids = ("trace-id", "span-id")
    return [
        (message, {name: value for name, value in data.items() if name not in ids})
        for level, message, data in conversation.events
        if level == 0
    ]


def test_nobody_makes_them_unasked() -> None:
    conversation = Conversation()
    conversation.from_client(GET)
    conversation.from_backend(ANSWER)
    assert conversation.events == []
    conversation.plane.set_debug(True)
    conversation.from_client(GET)
    conversation.from_backend(ANSWER)
    assert len(conversation.events) == 3
    conversation.plane.set_debug(False)
    conversation.from_client(GET)
    assert len(conversation.events) == 3


def test_a_request_to_a_backend() -> None:
    conversation = Conversation()
    conversation.plane.set_debug(True)
    conversation.from_client(GET)
    (request_id, (iterator, _), backend) = lines_of(conversation)
    head = bytes(conversation.backend.written).decode()
    assert request_id[0] == "vcap-request-id-header-set"
    assert f"X-Vcap-Request-Id: {request_id[1]['VcapRequestIdHeader']}\r\n" in head
    assert iterator == "endpoint-iterator-with-round-robin-lb-algo"
    assert backend == ("backend", {"route-endpoint": ENDPOINT, "attempt": 1})
    assert all("trace-id" in data for _, _, data in conversation.events)


def test_each_attempt_has_a_line_and_the_iterator_one() -> None:
    conversation = Conversation([Endpoint("10.0.0.1", 8080), Endpoint("10.0.0.2", 8080)])
    conversation.plane.set_debug(True)
    conversation.from_client(GET)
    conversation.backend.deliver_eof()
    conversation.loop.run()
    lines = lines_of(conversation)
    assert [data["attempt"] for message, data in lines if message == "backend"] == [1, 2]
    assert [message for message, _ in lines].count("endpoint-iterator-with-round-robin-lb-algo") == 1


def test_least_connection() -> None:
    messages = [message for message, _ in told(GET, Settings(balancing_algorithm="least-connection"))]
    assert messages[1] == "endpoint-iterator-with-least-connection-lb-algo"


def test_a_head_over_the_limit() -> None:
    lines = told(GET[:-2] + b"X-Long: " + b"x" * 999 + b"\r\n\r\n", Settings(max_request_head=900))
    assert [message for message, _ in lines] == [
        "vcap-request-id-header-set",
        "endpoint-iterator-with-round-robin-lb-algo",
    ]


@pytest.mark.parametrize("wanted", ["one", "gone"])
def test_a_session_that_need_not_stick(wanted: str) -> None:
    """Gorouter says so whether it is missing or not."""
    lines = told(STICKY % wanted.encode())
    assert lines[2] == ("endpoint-missing-choosing-alternate", {"requested-endpoint": wanted})
    assert lines[3][0] == "backend"


def test_a_session_that_must_stick_and_whose_instance_is_gone() -> None:
    lines = told(NEGOTIATE % b"gone", Settings(sticky_for_negotiate=True))
    assert lines[2:] == [("endpoint-missing-but-request-must-be-sticky", {"requested-endpoint": "gone"})]


def test_a_session_that_must_stick_and_whose_instance_is_there() -> None:
    lines = told(NEGOTIATE % b"one", Settings(sticky_for_negotiate=True))
    assert [message for message, _ in lines[2:]] == ["backend"]


def test_a_session_that_must_stick_and_whose_instance_is_full() -> None:
    other = Endpoint("10.0.0.2", 8080, instance_id="two")
    full = Endpoint("10.0.0.1", 8080, app_id="app", instance_id="one")
    conversation = Conversation([full, other], Settings(sticky_for_negotiate=True, max_conns=1))
    conversation.plane.set_debug(True)
    conversation.from_client(NEGOTIATE % b"one")
    second = conversation.loop.connect_client(conversation.plane.new_client())
    conversation.events.clear()
    second.deliver(NEGOTIATE % b"one")
    conversation.loop.run()
    assert lines_of(conversation)[2:] == [("endpoint-overloaded-but-request-must-be-sticky", ENDPOINT)]


class Signer:
    def sign(self, url: str) -> tuple[bytes, bytes]:
        return f"signed {url}".encode(), b"metadata"

    def validate(self, signature: bytes, metadata: bytes) -> str:
        raise ValueError(f"{signature!r} {metadata!r}")


@pytest.mark.parametrize(
    ("url", "members"),
    [
        ("https://service.test/a%20b", {"Path": "/a b"}),
        ("https://service.test/a%2Fb?c=d", {"Path": "/a/b", "RawPath": "/a%2Fb", "RawQuery": "c=d"}),
        ("https://u:secret@service.test", {"User": "u"}),
        (
            "http://service.test:8080/?",
            {"Scheme": "http", "Host": "service.test:8080", "Path": "/", "ForceQuery": True},
        ),
    ],
)
def test_a_visit_to_a_route_service(url: str, members: dict[str, object]) -> None:
    conversation = Conversation(settings=Settings(route_services=RouteServices(Signer())))
    conversation.table.set_route("app.test", route_service_url=url)
    conversation.plane.set_debug(True)
    conversation.from_client(GET)
    nothing = {"Path": "", "RawPath": "", "RawQuery": "", "Fragment": "", "RawFragment": "", "Opaque": "", "User": ""}
    whole = {"Scheme": "https", "Host": "service.test", "OmitHost": False, "ForceQuery": False, **nothing, **members}
    *_, (message, data) = lines_of(conversation)
    assert (message, data) == ("route-service", {"route-service-url": whole, "attempt": 1})
    assert "secret" not in str(conversation.events)


def test_trace_headers_of_the_client() -> None:
    trace, span = "0123456789abcdef" * 2, "fedcba9876543210"
    zipkin = Settings(traces_zipkin=True)
    single = told(GET[:-2] + f"b3: {trace}-{span}\r\n\r\n".encode(), zipkin)
    assert single[0] == ("b3-header-exists", {"b3": f"{trace}-{span}"})
    conversation = Conversation(settings=zipkin)
    conversation.plane.set_debug(True)
    conversation.from_client(GET[:-2] + f"X-B3-TraceId: {trace}\r\nX-B3-SpanId: {span}\r\n\r\n".encode())
    assert conversation.events[0] == (0, "b3-trace-id-span-id-header-exists", {"trace-id": trace, "span-id": span})
