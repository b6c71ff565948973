"""When the connections to a backend are too old for a request that cannot be repeated (ADR 24)."""

import pytest

from fastrouter._core import IdleLimit

MS = 1_000_000
SECOND = 1000 * MS
NOW = 10**15


def is_clear(limit: IdleLimit, idle_ns: int, now_ns: int = NOW) -> bool:
    return limit.is_clear(idle_ns, now_ns)


def test_without_a_limit_every_connection_is_clear() -> None:
    assert is_clear(IdleLimit(), 3600 * SECOND)


@pytest.mark.parametrize(
    ("limit_ns", "clear_ns"),
    [
        (60 * SECOND, 59 * SECOND),
        (5 * SECOND, 4500 * MS),
        (SECOND, 900 * MS),
        (200 * MS, 150 * MS),
        (80 * MS, 40 * MS),
        (0, 0),
    ],
)
def test_a_margin_is_kept(limit_ns: int, clear_ns: int) -> None:
    limit = IdleLimit()
    limit.on_end(limit_ns)
    assert (limit.limit_ns, limit.clear_ns) == (limit_ns, clear_ns)
    assert not is_clear(limit, clear_ns)
    assert clear_ns == 0 or is_clear(limit, clear_ns - 1)


def test_the_earliest_end_counts() -> None:
    limit = IdleLimit()
    for seconds in (6, 5, 7):
        limit.on_end(seconds * SECOND)
    assert limit.limit_ns == 5 * SECOND


class TestSaid:
    def test_what_a_response_says_holds_at_once(self) -> None:
        limit = IdleLimit()
        limit.on_said(5)
        assert limit.limit_ns == 5 * SECOND

    def test_an_earlier_end_is_believed_more(self) -> None:
        limit = IdleLimit()
        limit.on_said(5)
        limit.on_end(2 * SECOND)
        limit.on_said(5)
        assert limit.limit_ns == 2 * SECOND

    def test_what_is_said_anew_replaces_what_was_seen(self) -> None:
        limit = IdleLimit()
        limit.on_said(5)
        limit.on_end(2 * SECOND)
        limit.on_said(60)
        assert limit.limit_ns == 60 * SECOND

    def test_no_number_is_no_limit(self) -> None:
        limit = IdleLimit()
        limit.on_said(5)
        limit.on_said(-1)
        assert is_clear(limit, 3600 * SECOND)


class TestRefuted:
    """A connection that is open long after the limit shows that an end was chance: a restart, say."""

    def test_far_beyond_the_limit(self) -> None:
        limit = IdleLimit()
        limit.on_end(SECOND)
        assert limit.is_refuted(2 * SECOND + 2)
        limit.forget()
        assert is_clear(limit, 3600 * SECOND)

    def test_what_the_backend_has_said_is_not_refuted(self) -> None:
        limit = IdleLimit()
        limit.on_said(5)
        assert not limit.is_refuted(3600 * SECOND)
        limit.on_end(SECOND)
        assert limit.is_refuted(3600 * SECOND)
        limit.forget()
        assert limit.limit_ns == 5 * SECOND

    def test_not_soon_behind_it(self) -> None:
        limit = IdleLimit()
        limit.on_end(SECOND)
        assert not limit.is_refuted(2 * SECOND)

    def test_nothing_can_be_refuted_where_no_limit_is_known(self) -> None:
        assert not IdleLimit().is_refuted(3600 * SECOND)


class TestLost:
    def test_the_age_of_a_connection_that_was_lost_is_a_limit(self) -> None:
        limit = IdleLimit()
        assert limit.on_lost(SECOND, MS, NOW)
        assert limit.limit_ns == SECOND

    def test_idle_connections_are_avoided_for_a_while(self) -> None:
        limit = IdleLimit()
        limit.on_lost(SECOND, MS, NOW)
        assert not is_clear(limit, 0, NOW + 30 * SECOND - 1)
        assert is_clear(limit, 0, NOW + 30 * SECOND)

    def test_twice_as_long_each_time(self) -> None:
        limit = IdleLimit()
        now = NOW
        for seconds in (30, 60, 120, 240, 480, 900, 900):
            limit.on_lost(SECOND, MS, now)
            now += seconds * SECOND
            assert not is_clear(limit, 0, now - 1)
            assert is_clear(limit, 0, now)

    def test_a_loss_meanwhile_is_the_same_one(self) -> None:
        # Several requests are lost together, and ones that can be repeated still go there.
        limit = IdleLimit()
        for _ in range(3):
            limit.on_lost(SECOND, MS, NOW)
        assert is_clear(limit, 0, NOW + 30 * SECOND)

    def test_it_is_forgotten_when_all_is_well_for_as_long_again(self) -> None:
        limit = IdleLimit()
        limit.on_lost(SECOND, MS, NOW)
        limit.on_lost(SECOND, MS, NOW + 30 * SECOND)
        now = NOW + (30 + 60 + 60) * SECOND
        limit.on_lost(SECOND, MS, now)
        assert is_clear(limit, 0, now + 30 * SECOND)

    def test_a_late_end_says_that_the_backend_had_the_request(self) -> None:
        limit = IdleLimit()
        assert not limit.on_lost(5 * SECOND, SECOND + 1, NOW)
        assert is_clear(limit, 5 * SECOND)
