"""The channel between control process and worker: frames, descriptors, and peers that do not read."""

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest

from fastrouter.ipc.channel import Channel, ChannelError

TIMEOUT = 10.0


class Note(msgspec.Struct, array_like=True, tag="note"):
    text: str


class Peer:
    """One end of a channel that keeps what it gets."""

    def __init__(self, end: socket.socket) -> None:
        self.received: list[tuple[str, bytes]] = []
        self.ends = 0
        self.faults: list[Exception] = []
        # What handling a frame raises.
        self.raises: Exception | None = None
        self._changed = asyncio.Event()
        self.channel = Channel(
            end,
            on_message=lambda body: self._take("message", body),
            on_batch=lambda frame: self._take("batch", frame),
            on_end=self._on_end,
            on_fault=self._on_fault,
        )

    def _take(self, kind: str, data: bytes) -> None:
        self.received.append((kind, data))
        self._changed.set()
        if self.raises is not None:
            raise self.raises

    def _on_fault(self, error: Exception) -> None:
        self.faults.append(error)
        self._changed.set()

    def _on_end(self) -> None:
        self.ends += 1
        self._changed.set()

    async def wait_for(self, count: int = 0, ends: int = 0, faults: int = 0) -> None:
        async with asyncio.timeout(TIMEOUT):
            while len(self.received) < count or self.ends < ends or len(self.faults) < faults:
                self._changed.clear()
                await self._changed.wait()

    def notes(self) -> list[str]:
        return [msgspec.msgpack.decode(data, type=Note).text for kind, data in self.received if kind == "message"]


def batch(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


@pytest.fixture
async def ends() -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


@pytest.fixture
async def peers(ends: tuple[socket.socket, socket.socket]) -> AsyncIterator[tuple[Peer, Peer]]:
    peers = Peer(ends[0]), Peer(ends[1])
    yield peers
    for peer in peers:
        peer.channel.close()


async def test_messages_and_batches_come_in_order(peers: tuple[Peer, Peer]) -> None:
    one, other = peers
    one.channel.send_message(Note("first"))
    one.channel.send(batch(b"changes"))
    one.channel.send(batch(b""))
    one.channel.send_message(Note("last"))
    await other.wait_for(4)
    assert [kind for kind, _ in other.received] == ["message", "batch", "batch", "message"]
    assert other.received[1][1] == batch(b"changes"), "as the applier takes it, with its length"
    assert other.notes() == ["first", "last"]
    other.channel.send_message(Note("answer"))
    await one.wait_for(1)
    assert one.notes() == ["answer"]


async def test_frames_larger_than_any_buffer_arrive_whole(peers: tuple[Peer, Peer]) -> None:
    one, other = peers
    body = os.urandom(8 * 1024 * 1024)
    one.channel.send(batch(body))
    one.channel.send_message(Note("after"))
    assert one.channel.unsent > 0, "more than the kernel takes"
    await other.wait_for(2)
    assert other.received[0] == ("batch", batch(body))
    assert one.channel.unsent == 0


async def test_descriptors_come_with_their_message(peers: tuple[Peer, Peer]) -> None:
    one, other = peers
    pipes = [os.pipe() for _ in range(3)]
    # The first of them waits behind more than the kernel takes.
    one.channel.send(batch(bytes(4 * 1024 * 1024)))
    one.channel.send_message(Note("two"), [pipes[0][0], pipes[1][0]])
    one.channel.send_message(Note("one"), [pipes[2][0]])
    await other.wait_for(3)
    taken = [other.channel.take_descriptor() for _ in range(3)]
    for (read_end, write_end), copy in zip(pipes, taken, strict=True):
        os.write(write_end, b"x")
        assert os.read(copy, 10) == b"x"
        assert not os.get_inheritable(copy)
        for descriptor in (read_end, write_end, copy):
            os.close(descriptor)


async def test_a_peer_that_does_not_read_blocks_nobody(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = ends
    one = Peer(ours)
    for _ in range(100):
        one.channel.send(batch(bytes(100_000)))
    assert 5_000_000 < one.channel.unsent <= 100 * 100_004
    one.channel.close()
    assert one.channel.unsent == 0


async def test_the_end_is_told_once_and_what_waits_is_forgotten(peers: tuple[Peer, Peer]) -> None:
    one, other = peers
    one.channel.send_message(Note("before"))
    one.channel.send(batch(bytes(4 * 1024 * 1024)))
    one.channel.stop_sending()
    one.channel.send_message(Note("too late"))
    assert one.channel.unsent == 0
    await other.wait_for(1, ends=1)
    assert other.notes() == ["before"]
    # The other direction goes on.
    other.channel.send_message(Note("last words"))
    await one.wait_for(1)
    assert (one.notes(), one.ends, other.ends) == (["last words"], 0, 1)


async def test_a_peer_that_is_gone_is_an_end_and_no_error(peers: tuple[Peer, Peer]) -> None:
    one, other = peers
    other.channel.close()
    await one.wait_for(ends=1)
    one.channel.send_message(Note("into the void"))
    one.channel.stop_sending()
    one.channel.close()
    assert one.ends == 1


async def test_nothing_is_called_after_it_is_closed(ends: tuple[socket.socket, socket.socket]) -> None:
    """Not even for frames that came in the same read."""
    ours, theirs = ends
    other = Peer(theirs)
    received = []

    def close(body: bytes) -> None:
        received.append(body)
        one.close()

    one = Channel(ours, on_message=close, on_end=lambda: received.append(b"end"), on_fault=lambda _: None)
    other.channel.send_message(Note("first"))
    other.channel.send_message(Note("second"))
    await other.wait_for(ends=1)
    assert len(received) == 1
    other.channel.close()


@pytest.mark.parametrize("kind", ["message", "batch"])
async def test_a_frame_whose_handling_raises_is_the_last(peers: tuple[Peer, Peer], kind: str) -> None:
    one, other = peers
    other.raises = RuntimeError("this is not for me")
    if kind == "message":
        one.channel.send_message(Note("first"))
    else:
        one.channel.send(batch(b"changes"))
    one.channel.send_message(Note("behind it"))
    await other.wait_for(faults=1)
    one.channel.send_message(Note("later"))
    # Whatever there is to read is read by now, if anybody reads.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert other.faults == [other.raises]
    assert len(other.received) == 1
    assert other.ends == 0


async def test_table_changes_for_who_takes_none_are_a_fault(ends: tuple[socket.socket, socket.socket]) -> None:
    failed = asyncio.get_running_loop().create_future()
    channel = Channel(ends[0], on_message=lambda _: None, on_end=lambda: None, on_fault=failed.set_result)
    ends[1].send(batch(b"changes"))
    assert isinstance(await asyncio.wait_for(failed, TIMEOUT), ChannelError)
    channel.close()


async def test_descriptors_that_the_kernel_has_dropped_are_a_fault(peers: tuple[Peer, Peer]) -> None:
    one, other = peers
    reader, writer = os.pipe()
    one.channel.send_message(Note("with descriptors"), [reader, writer])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Nothing but 0 is below this limit, so no room is left.
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))
    try:
        await other.wait_for(faults=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(reader)
        os.close(writer)
    assert isinstance(other.faults[0], ChannelError)
    assert str(other.faults[0]) == "descriptors were lost: too many open files"
    assert other.received == []


async def test_a_descriptor_that_never_came_is_a_fault_of_the_channel(peers: tuple[Peer, Peer]) -> None:
    with pytest.raises(ChannelError, match="descriptor"):
        peers[0].channel.take_descriptor()


async def test_descriptors_that_nobody_took_are_closed_with_the_channel(peers: tuple[Peer, Peer]) -> None:
    one, other = peers
    reader, writer = os.pipe()
    one.channel.send_message(Note("with a descriptor"), [writer])
    await other.wait_for(1)
    os.close(writer)
    other.channel.close()
    # The last writer is gone, so the pipe has an end.
    assert os.read(reader, 1) == b""
    os.close(reader)


async def test_a_send_that_fails_for_want_of_something_of_ours_is_a_fault(peers: tuple[Peer, Peer]) -> None:
    one, _ = peers
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    one.channel.send_message(Note("with a descriptor that is none"), [reader])
    await one.wait_for(faults=1)
    assert isinstance(one.faults[0], OSError)
