"""Which requests are under way, and which end: what a worker's data plane tells of them (ADR 19)."""

from typing import Any

import pytest

from fastrouter._core import AccessLog, DataPlane, RequestWalk, Tail

from .conversation import Conversation

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def get(target: str = "/", *lines: str, host: str = "app.test") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def another_client(conversation: Conversation) -> None:
    conversation.client = conversation.loop.connect_client(conversation.plane.new_client())


def walked(plane: DataPlane, looks: int = 1000, **choices: Any) -> list[tuple[Any, ...]]:
    walk = RequestWalk(plane, **choices)
    while not walk.step(looks):
        pass
    found: list[tuple[Any, ...]] = list(walk.requests())
    assert walk.count >= len(found)
    return found


class TestRequestsUnderWay:
    def test_what_is_told(self) -> None:
        conversation = Conversation()
        conversation.from_client(get("/v1/x?secret=1", "Cookie: secret=2"))
        [request] = walked(conversation.plane)
        assert request[:6] == ("GET", "app.test", "/v1/x", "app.test", "10.0.0.1:8080", "sent")
        assert 0 <= request[6] < 60
        assert request[7:12] == (0, 0, "10.0.0.9:4321", 1, "HTTP/1.1")
        assert len(request[12]) == 36
        assert "secret" not in repr(request)

    def test_states(self) -> None:
        conversation = Conversation()
        conversation.from_client(get())
        conversation.from_backend(OK[:-2])
        assert walked(conversation.plane)[0][5] == "relaying"
        conversation.from_backend(b"ok")
        assert walked(conversation.plane) == []

    def test_a_tunnel(self) -> None:
        conversation = Conversation()
        conversation.from_client(get("/", "Connection: Upgrade", "Upgrade: websocket"))
        conversation.from_backend(b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert walked(conversation.plane)[0][5] == "tunnel"

    @pytest.mark.parametrize("looks", [1, 3, 1000])
    def test_the_oldest_come_first_whatever_the_steps(self, looks: int) -> None:
        conversation = Conversation()
        for number in range(10):
            another_client(conversation)
            conversation.from_client(get(f"/{number}"))
        assert [request[2] for request in walked(conversation.plane, looks, limit=3)] == ["/0", "/1", "/2"]
        assert len(walked(conversation.plane, looks)) == 10

    def test_young_ones_do_not_count(self) -> None:
        conversation = Conversation()
        conversation.from_client(get())
        assert walked(conversation.plane, older_than=1000.0) == []

    def test_clients_come_and_go_meanwhile(self) -> None:
        conversation = Conversation()
        for number in range(4):
            another_client(conversation)
            conversation.from_client(get(f"/{number}"))
        walk = RequestWalk(conversation.plane)
        assert not walk.step(1)
        conversation.client.abort()
        conversation.loop.run()
        another_client(conversation)
        conversation.from_client(get("/later"))
        while not walk.step(1):
            pass
        assert [request[2] for request in walk.requests()] == ["/0", "/1", "/2"]

    def test_no_client_where_the_access_log_has_none(self) -> None:
        conversation = Conversation(access_log=AccessLog(lambda _: None, hides_source=True))
        conversation.from_client(get())
        assert walked(conversation.plane)[0][9] == ""

    @pytest.mark.parametrize(("older_than", "limit"), [(-1.0, 1), (float("nan"), 1), (0.0, 0), (0.0, 1001)])
    def test_what_nobody_can_ask(self, older_than: float, limit: int) -> None:
        with pytest.raises(ValueError, match=r"older_than|limit"):
            RequestWalk(Conversation().plane, older_than, limit)


class TestTail:
    def tailed(self, conversation: Conversation, tail: Tail, *requests: bytes) -> list[tuple[Any, ...]]:
        """What `tail` keeps of requests that are answered with 200 and 2 bytes of body."""
        tail.take(100)
        conversation.plane.add_tail(tail)
        for request in requests:
            another_client(conversation)
            conversation.from_client(request)
            if not conversation.client.written:
                conversation.from_backend(OK)
        records: list[tuple[Any, ...]] = list(tail.take(100)[0])
        return records

    def test_what_is_told(self) -> None:
        [record] = self.tailed(Conversation(), Tail(), get("/v1?secret=1"))
        assert record[1:7] == ("GET", "app.test", "/v1", 200, "app.test", "10.0.0.1:8080")
        assert record[8:14] == (0, 2, "10.0.0.9:4321", 1, "HTTP/1.1", "")
        assert "secret" not in repr(record)

    def test_the_router_responds(self) -> None:
        [record] = self.tailed(Conversation(), Tail(), get(host="unknown.test"))
        assert record[1:7] == ("GET", "unknown.test", "/", 404, "", "")
        assert record[13] == "unknown_route"

    @pytest.mark.parametrize(
        ("filters", "paths"),
        [
            ({}, ["/a", "/b"]),
            ({"route": "App.test/"}, ["/a"]),
            ({"route": "other.test"}, []),
            ({"status_class": 2}, ["/a"]),
            ({"status_class": 4}, ["/b"]),
            ({"slower_than": 1000.0}, []),
            ({"sample": 1e-9}, []),
        ],
    )
    def test_filters(self, filters: dict[str, Any], paths: list[str]) -> None:
        records = self.tailed(Conversation(), Tail(**filters), get("/a"), get("/b", host="unknown.test"))
        assert [record[3] for record in records] == paths

    def test_what_there_is_no_room_for_is_counted(self) -> None:
        conversation = Conversation()
        tail = Tail()
        self.tailed(conversation, tail)
        tail.take(1)
        for _ in range(3):
            another_client(conversation)
            conversation.from_client(get(host="unknown.test"))
        records, lost = tail.take(0)
        assert (len(records), lost) == (1, 2)

    def test_removed(self) -> None:
        conversation = Conversation()
        tail = Tail()
        self.tailed(conversation, tail)
        conversation.plane.remove_tail(tail)
        another_client(conversation)
        conversation.from_client(get(host="unknown.test"))
        assert tail.take(0) == ([], 0)

    @pytest.mark.parametrize(
        "filters", [{"status_class": 6}, {"slower_than": -1.0}, {"sample": 0.0}, {"sample": float("nan")}]
    )
    def test_what_is_no_filter(self, filters: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must be"):
            Tail(**filters)
