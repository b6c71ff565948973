"""The journal of the admin process."""

import asyncio

from fastrouter.admin.journal import KEPT_CHANGES, KEPT_EVENTS, KEPT_HISTORIES, Journal


def test_events_are_kept_in_order() -> None:
    journal = Journal(lambda: 7.0)
    journal.note("route-added", route="a.test")
    journal.note("endpoint-added", route="a.test", endpoint="10.0.0.1:1", app_id="app")
    first, second = journal.since(0, 10)
    assert (first.kind, first.time, second.endpoint, second.app_id) == ("route-added", 7.0, "10.0.0.1:1", "app")
    assert journal.history("a.test") == [first, second]
    assert journal.history("b.test") == []
    assert journal.since(1, 10) == [second]
    assert journal.since(0, 1) == [first]
    assert journal.number_after(first.id) == 1
    assert journal.number_after(second.id) == 2


def test_ids_of_another_journal_are_not_known() -> None:
    journal = Journal()
    journal.note("a")
    (event,) = journal.since(0, 1)
    run = event.id.partition("-")[0]
    assert journal.number_after(f"x{run}-0") is None
    assert journal.number_after("") is None
    assert journal.number_after(f"{run}-") is None
    # Nobody goes beyond the end.
    assert journal.number_after(f"{run}-99") == 1


def test_it_is_bounded() -> None:
    journal = Journal()
    for number in range(KEPT_EVENTS + 10):
        journal.note("a", route=f"{number % (KEPT_HISTORIES + 5)}.test")
    assert journal.first_number == 10
    assert len(journal.since(0, 2 * KEPT_EVENTS)) == KEPT_EVENTS
    assert journal.since(0, 1)[0].id.endswith("-10")
    for _ in range(KEPT_CHANGES + 1):
        journal.note("b", route="b.test")
    assert len(journal.history("b.test")) == KEPT_CHANGES


async def test_who_waits_is_woken() -> None:
    journal = Journal()
    waiting = [asyncio.create_task(journal.until_after(0)) for _ in range(2)]
    await asyncio.sleep(0)
    journal.note("a")
    await asyncio.gather(*waiting)
    later = asyncio.create_task(journal.until_after(1))
    await asyncio.sleep(0)
    assert not later.done()
    journal.note("b")
    await later
