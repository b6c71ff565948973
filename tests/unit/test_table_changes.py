from collections.abc import Callable

import pytest

from fastrouter._core import RouteTable
from fastrouter.ipc.frames import MAX_FRAME
from fastrouter.ipc.table_changes import (
    MAX_BATCH,
    BatchDecoder,
    BatchEncoder,
    Change,
    Drop,
    Introduce,
    Put,
    encode_changes,
)
from fastrouter.worker.table_applier import TableApplier


class Turn:
    """A loop turn that ends when the test says so."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.scheduled: list[Callable[[], None]] = []
        self.encoder = BatchEncoder(self.frames.append, self.scheduled.append)

    def end(self) -> None:
        scheduled, self.scheduled[:] = self.scheduled[:], []
        for call in scheduled:
            call()


def decode(frame: bytes) -> list[Change]:
    (batch,) = BatchDecoder().feed(frame)
    return batch


def test_one_turn_makes_one_frame() -> None:
    turn = Turn()
    turn.encoder.add(Put("a", 0))
    turn.encoder.add(Drop("a"))
    assert turn.frames == []
    assert len(turn.scheduled) == 1
    turn.end()
    assert [decode(frame) for frame in turn.frames] == [[Put("a", 0), Drop("a")]]
    turn.encoder.add(Drop("b"))
    turn.end()
    assert decode(turn.frames[1]) == [Drop("b")]


def test_a_full_batch_does_not_wait() -> None:
    turn = Turn()
    uri = "u" * 1000
    for number in range(100):
        turn.encoder.add(Put(uri, number))
    assert [len(frame) <= MAX_BATCH + 1100 for frame in turn.frames] == [True] * 3
    turn.end()
    assert [change for frame in turn.frames for change in decode(frame)] == [Put(uri, number) for number in range(100)]


def test_nothing_is_sent_when_nothing_was_added() -> None:
    turn = Turn()
    turn.encoder.flush()
    turn.encoder.add(Drop("a"))
    turn.encoder.flush()
    turn.end()
    assert len(turn.frames) == 1


def test_a_change_may_be_larger_than_a_batch() -> None:
    change = Drop("u" * 1_000_000)
    (frame,) = encode_changes([change])
    assert decode(frame) == [change]


def test_a_frame_that_cannot_be_is_refused_before_it_is_waited_for() -> None:
    with pytest.raises(ValueError, match="a batch of table changes cannot have"):
        BatchDecoder().feed((MAX_FRAME + 1).to_bytes(4, "big"))


def test_uris_of_one_message_share_an_endpoint_in_the_worker() -> None:
    table = RouteTable()
    applier = TableApplier(table)
    introduce = Introduce(5, "10.0.0.1", 80, "app", "i", "0", True, "san", "http2", "z1", "p", "c")
    applier.apply_all([introduce, Put("a", 5), Put("b/x", 5)])
    one, other = table.lookup("a"), table.lookup("b", "/x")
    assert one is not None
    assert other is not None
    assert one.endpoints[0] is other.endpoints[0]


def test_an_endpoint_must_have_been_introduced() -> None:
    with pytest.raises(ValueError, match="endpoint 3 was not introduced"):
        TableApplier(RouteTable()).apply(Put("a", 3))
