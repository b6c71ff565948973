from hypothesis import given
from hypothesis import strategies as st

from fastrouter.registry.sorted_keys import SortedKeys


def walk(keys: SortedKeys, count: int) -> list[str]:
    walked: list[str] = []
    while page := keys.page(walked[-1] if walked else None, count):
        assert len(page) <= count
        walked += page
    return walked


def test_more_keys_than_a_run_holds() -> None:
    keys = SortedKeys()
    numbers = [f"{number * 7919 % 5003:04}" for number in range(5003)]
    for number in numbers:
        keys.add(number)
    assert walk(keys, 100) == sorted(numbers)
    for number in numbers[:5000]:
        keys.remove(number)
    assert walk(keys, 100) == sorted(numbers[5000:])
    for number in numbers[5000:]:
        keys.remove(number)
    assert walk(keys, 100) == []


@given(st.lists(st.text("ab", max_size=3)), st.text("ab", max_size=3))
def test_a_page_begins_behind_any_key(texts: list[str], after: str) -> None:
    keys = SortedKeys()
    there: set[str] = set()
    for text in texts:
        if text in there:
            keys.remove(text)
            there.remove(text)
        else:
            keys.add(text)
            there.add(text)
    assert walk(keys, 2) == sorted(there)
    assert keys.page(after, 100) == sorted(text for text in there if text > after)
