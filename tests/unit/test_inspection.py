"""A worker's end of inspection, and the admin process' (ADR 19), over a real pair of sockets."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
import pytest

from fastrouter._core import DataPlane, Endpoint, RouteTable
from fastrouter.ipc.channel import Channel, ChannelError
from fastrouter.ipc.frames import MARK, word_of
from fastrouter.ipc.inspection import (
    ActiveRequests,
    FinishedRequest,
    InspectionClient,
    InspectionEnd,
    InspectionError,
    Refused,
    Tail,
    hand_over_end,
    take_end,
)
from fastrouter.worker.inspection import MAX_QUESTIONS, MAX_TAILS, Inspection

TIMEOUT = 20.0


class Served:
    """A worker's inspection, with a data plane that nobody asks for pages, and our end of its socket pair."""

    def __init__(self) -> None:
        self.table = RouteTable()
        self.table.register("app.test", Endpoint("10.0.0.1", 80, app_id="app"))
        self.plane = DataPlane(self.table)
        self.plane.start(asyncio.get_running_loop())
        self.end, theirs = socket.socketpair()
        self.errors: asyncio.Queue[str] = asyncio.Queue()
        self.inspection = Inspection(theirs, self.plane, self.errors.put_nowait)

    async def error(self) -> str:
        """Wait until the worker has given up."""
        return await asyncio.wait_for(self.errors.get(), TIMEOUT)

    def close(self) -> None:
        self.inspection.close()
        self.plane.stop()
        self.end.close()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    yield made
    made.close()
    # Connections and sockets hear of their ends.
    await asyncio.sleep(0)


@pytest.fixture
async def client(served: Served) -> AsyncIterator[InspectionClient]:
    made = InspectionClient(served.end)
    yield made
    made.close()


def frame(message: msgspec.Struct | bytes) -> bytes:
    body = message if isinstance(message, bytes) else msgspec.msgpack.encode(message)
    return word_of(len(body), MARK) + body


class TestQuestions:
    async def test_explain(self, client: InspectionClient) -> None:
        told = await asyncio.wait_for(client.explain("GET", "http://app.test/x", [("Te", "trailers")]), TIMEOUT)
        assert (told.route, told.chosen, told.candidates[0].app) == ("app.test", ["10.0.0.1:80"], "app")
        told = await asyncio.wait_for(client.explain("GET", "https://unknown.test/"), TIMEOUT)
        assert (told.status, told.router_error, told.route) == (404, "unknown_route", "")

    @pytest.mark.parametrize(
        ("method", "url", "headers"),
        [
            ("GET", "ftp://app.test/", []),
            ("GET", "http:///x", []),
            ("GET", "http://app.test/", [("A", "b\r\nC: d")]),
            ("G T", "http://app.test/", []),
            ("GET", "http://app.test/", [("A b", "c")]),
            ("GET", "http://[/", []),
        ],
    )
    async def test_what_is_no_request(
        self, client: InspectionClient, method: str, url: str, headers: list[tuple[str, str]]
    ) -> None:
        with pytest.raises(InspectionError):
            await asyncio.wait_for(client.explain(method, url, headers), TIMEOUT)

    async def test_active_requests(self, client: InspectionClient) -> None:
        assert await asyncio.wait_for(client.active_requests(), TIMEOUT) == ([], 0)
        with pytest.raises(InspectionError, match="older_than"):
            await asyncio.wait_for(client.active_requests(-1.0), TIMEOUT)

    async def test_many_at_once_are_answered_each(self, client: InspectionClient) -> None:
        told = await asyncio.wait_for(
            asyncio.gather(*[client.explain("GET", f"http://app.test/{number}") for number in range(MAX_QUESTIONS)]),
            TIMEOUT,
        )
        assert {one.route for one in told} == {"app.test"}

    async def test_a_tail_that_is_none(self, client: InspectionClient) -> None:
        with pytest.raises(InspectionError, match="sample"):
            await asyncio.wait_for(client.tail(sample=2.0).next(), TIMEOUT)


class TestTails:
    async def test_what_ends_is_told(self, served: Served, client: InspectionClient) -> None:
        stream = client.tail(status_class=4)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(served.plane.new_client, "127.0.0.1", 0)
        # Behind the answer, the tail is known.
        await asyncio.wait_for(client.active_requests(), TIMEOUT)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET /x HTTP/1.1\r\nHost: unknown.test\r\nConnection: close\r\n\r\n")
        await asyncio.wait_for(reader.read(), TIMEOUT)
        [request], lost = await asyncio.wait_for(stream.next(), TIMEOUT)
        assert (request.path, request.status, lost) == ("/x", 404, 0)
        stream.close()
        writer.close()
        server.close()

    async def test_a_slow_reader_loses_the_oldest(
        self, monkeypatch: pytest.MonkeyPatch, client: InspectionClient
    ) -> None:
        monkeypatch.setattr("fastrouter.ipc.inspection.MAX_WAITING", 2)
        stream = client.tail()
        request = FinishedRequest(0.0, "GET", "h", "/", 200, "", "", 0.0, 0, 0, "", 1, "HTTP/1.1", "", "")
        stream.add([msgspec.structs.replace(request, path=path) for path in ("/a", "/b", "/c")], 3)
        requests, lost = await asyncio.wait_for(stream.next(), TIMEOUT)
        assert ([request.path for request in requests], lost) == (["/b", "/c"], 4)


class TestNonsense:
    """Whatever comes over the channel, the worker closes it and goes on."""

    @pytest.mark.parametrize(
        "said",
        [
            frame(b"\xc1"),
            frame(b"\x91\xa4what"),
            frame(Refused(1, "not a question")),
            frame(ActiveRequests(1, 0.0, 5000)),
            word_of(10_000_000, MARK),
            word_of(1) + b"\x90",
            b"".join(frame(ActiveRequests(number)) for number in range(MAX_QUESTIONS + 1)),
            b"".join(frame(Tail(number)) for number in range(MAX_TAILS + 1)),
            frame(Tail(1)) * 2,
        ],
        ids=[
            "no MessagePack",
            "unknown",
            "an answer",
            "too many wanted",
            "too long",
            "a batch of table changes",
            "too many questions",
            "too many tails",
            "a number twice",
        ],
    )
    async def test_the_channel_is_closed(self, served: Served, said: bytes) -> None:
        served.end.sendall(said)
        assert await served.error()
        served.end.settimeout(TIMEOUT)
        with suppress(ConnectionResetError):
            while served.end.recv(65536):
                pass

    async def test_a_descriptor(self, served: Served) -> None:
        reader, writer = os.pipe()
        socket.send_fds(served.end, [frame(ActiveRequests(1))], [reader])
        assert "descriptor" in await served.error()
        os.close(reader)
        os.close(writer)

    async def test_answers_that_nobody_takes(self, monkeypatch: pytest.MonkeyPatch, served: Served) -> None:
        monkeypatch.setattr("fastrouter.worker.inspection._MAX_UNSENT", 1024)
        served.end.setblocking(False)
        loop = asyncio.get_running_loop()
        question = frame(ActiveRequests(1))
        for _ in range(100_000):
            if not served.errors.empty():
                break
            await loop.sock_sendall(served.end, question)
            await asyncio.sleep(0)
        assert await served.error() == "answers are not taken"

    async def test_the_peer_ends(self, served: Served) -> None:
        served.end.sendall(frame(Tail(1)))
        served.end.close()
        assert await served.error() == ""


class TestClient:
    @pytest.mark.parametrize("said", [b"", frame(b"\xc1"), word_of(100_000_000, MARK)], ids=["end", "noise", "long"])
    async def test_a_worker_that_ends_or_talks_nonsense(self, said: bytes) -> None:
        ours, theirs = socket.socketpair()
        ended: list[str] = []
        client = InspectionClient(ours, lambda: ended.append("ended"))
        asked = asyncio.create_task(client.active_requests())
        stream = client.tail()
        await asyncio.sleep(0)
        theirs.sendall(said)
        if not said:
            theirs.close()
        with pytest.raises(InspectionError, match="the worker"):
            await asyncio.wait_for(asked, TIMEOUT)
        with pytest.raises(InspectionError, match="the worker"):
            await asyncio.wait_for(stream.next(), TIMEOUT)
        with pytest.raises(InspectionError, match="the worker"):
            await asyncio.wait_for(client.explain("GET", "http://a"), TIMEOUT)
        with pytest.raises(InspectionError, match="the worker"):
            await asyncio.wait_for(client.tail().next(), TIMEOUT)
        assert ended == ["ended"]
        theirs.close()

    async def test_an_answer_that_nobody_waits_for_any_more(self, client: InspectionClient) -> None:
        asked = asyncio.create_task(client.explain("GET", "http://app.test/"))
        await asyncio.sleep(0)
        asked.cancel()
        assert await asyncio.wait_for(client.active_requests(), TIMEOUT) == ([], 0)


async def test_an_end_is_handed_over(served: Served) -> None:
    """As the control process does it, when the admin process begins."""
    near, far = socket.socketpair()
    loop = asyncio.get_running_loop()
    received: asyncio.Future[tuple[int, socket.socket]] = loop.create_future()

    def take(body: bytes) -> None:
        message = msgspec.msgpack.decode(body, type=InspectionEnd)
        received.set_result((message.worker, take_end(admin)))

    def fail(error: Exception) -> None:
        received.set_exception(error)

    control = Channel(near, on_message=lambda _: None, on_end=lambda: None, on_fault=fail)
    admin = Channel(far, on_message=take, on_end=lambda: None, on_fault=fail)
    hand_over_end(control, 7, served.end.dup())
    worker, end = await asyncio.wait_for(received, TIMEOUT)
    client = InspectionClient(end)
    assert worker == 7
    assert await asyncio.wait_for(client.active_requests(), TIMEOUT) == ([], 0)
    with pytest.raises(ChannelError):
        take_end(admin)
    client.close()
    control.close()
    admin.close()
