from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from fastrouter.registry.packed_text import pack_texts, unpack_texts

GUID = "5f6a0d44-0f2c-4c70-b0b2-5d0b1a1a9b58"

guid = st.uuids().map(str)
text = (
    st.text()
    | guid
    | guid.map(lambda text: text[:28])
    | guid.map(str.upper)
    | st.text("0123456789abcdef-", min_size=36, max_size=36)
    | st.text(min_size=250, max_size=260)
)
texts = st.lists(text, max_size=6)


@given(texts)
def test_round_trip(texts: list[str]) -> None:
    assert unpack_texts(pack_texts(texts), len(texts)) == texts


@given(st.integers(0, 5).flatmap(lambda size: st.tuples(*[st.lists(text, min_size=size, max_size=size)] * 2)))
def test_packed_texts_are_equal_exactly_if_the_texts_are(pair: tuple[list[str], list[str]]) -> None:
    one, other = pair
    assert (pack_texts(one) == pack_texts(other)) == (one == other)


def test_a_guid_takes_17_bytes_a_short_one_13_and_other_text_one_more_than_itself() -> None:
    assert UUID(GUID)
    assert len(pack_texts([GUID])) == 17
    assert len(pack_texts([GUID[:28]])) == 13
    assert len(pack_texts(["", "0"])) == 3
