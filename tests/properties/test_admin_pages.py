"""Pages of lists that change while they are read."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from fastrouter.admin.paging import SortKey, page_of

NAMES = st.text("abc", min_size=1, max_size=3)
VALUES = st.integers(0, 3)


def read_all(
    table: dict[str, int], limit: int, changes: list[tuple[str, int | None]], *, is_descending: bool
) -> tuple[list[str], list[int]]:
    """The names on all pages, one after the other, and the totals; one change comes after each page."""
    read: list[str] = []
    totals = []
    cursor = ""
    pending = list(changes)

    def sort_key(name: str) -> SortKey | None:
        return (table[name], name) if name in table else None

    while True:
        names, total, following = asyncio.run(
            page_of(list(table), sort_key, limit, cursor, is_descending=is_descending)
        )
        assert len(names) <= limit
        read += names
        totals.append(total)
        if following is None:
            return read, totals
        assert len(names) == limit
        cursor = following
        if pending:
            name, value = pending.pop()
            if value is None:
                table.pop(name, None)
            else:
                table.setdefault(name, value)


@given(table=st.dictionaries(NAMES, VALUES), limit=st.integers(1, 5), is_descending=st.booleans())
def test_pages_are_the_sorted_list(table: dict[str, int], limit: int, is_descending: bool) -> None:
    read, totals = read_all(dict(table), limit, [], is_descending=is_descending)
    assert read == sorted(table, key=lambda name: (table[name], name), reverse=is_descending)
    assert set(totals) == {len(table)}


@given(
    table=st.dictionaries(NAMES, VALUES),
    limit=st.integers(1, 5),
    is_descending=st.booleans(),
    changes=st.lists(st.tuples(NAMES, st.one_of(st.none(), VALUES))),
)
def test_what_is_there_all_the_time_comes_exactly_once(
    table: dict[str, int], limit: int, is_descending: bool, changes: list[tuple[str, int | None]]
) -> None:
    changed = {name for name, _ in changes}
    read, _ = read_all(dict(table), limit, changes, is_descending=is_descending)
    for name in table.keys() - changed:
        assert read.count(name) == 1
    assert set(read) <= table.keys() | changed
