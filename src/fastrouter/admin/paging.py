"""Pages of long lists, that go on where the last one ended, whatever has changed meanwhile.

A cursor is the sort key of the last item of a page. So no item that is there all the time is left out or comes twice.
"""

import heapq
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Annotated, Generic, TypeVar

import msgspec

from fastrouter.admin.problems import ProblemError
from fastrouter.process.slices import Pace

# What items are sorted by: a number or text, and the name that tells equal ones apart.
SortKey = tuple[float | str, str]

PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000
Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE_SIZE, description="Items of a page at most.")]
Cursor = Annotated[str, msgspec.Meta(description="`next` of the page before; empty for the first page.")]

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list: `total` are the items of all pages, `next` is the cursor of the next page, null at the end."""

    items: list[T]
    total: int
    next: str | None


async def page_of(
    names: Iterable[str], sort_key: Callable[[str], SortKey | None], limit: int, cursor: str, *, is_descending: bool
) -> tuple[list[str], int, str | None]:
    """Return the names of a page, how many there are on all pages, and the cursor of the next one.

    `sort_key` returns None for a name that is not in the list. It takes several turns of the loop. Raises ProblemError
    for a cursor that is none.
    """
    after = _decode(cursor) if cursor else None
    pace = Pace()
    candidates: list[SortKey] = []
    total = 0
    for count, name in enumerate(names):
        if (key := sort_key(name)) is not None:
            total += 1
            if after is None or _is_behind(key, after, is_descending=is_descending):
                candidates.append(key)
        if count % 256 == 0:
            await pace.keep()
    choose = heapq.nlargest if is_descending else heapq.nsmallest
    chosen = choose(limit + 1, candidates)
    more = len(chosen) > limit
    del chosen[limit:]
    return [name for _, name in chosen], total, _encode(chosen[-1]) if more else None


def _is_behind(key: SortKey, after: SortKey, *, is_descending: bool) -> bool:
    try:
        return key < after if is_descending else key > after
    except TypeError:
        # Of a list that was sorted by something else.
        raise _not_a_cursor() from None


def _encode(key: SortKey) -> str:
    return urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def _decode(cursor: str) -> SortKey:
    try:
        key: SortKey = msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=SortKey)
    except ValueError:
        raise _not_a_cursor() from None
    return key


def _not_a_cursor() -> ProblemError:
    return ProblemError(400, "`cursor` is not the `next` of a page of this list")
