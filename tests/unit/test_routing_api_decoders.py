"""What comes from the routing API, in whatever pieces it comes."""

import itertools
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrouter.registry.endpoint import ModificationTag
from fastrouter.routing_api import routes as routes_module
from fastrouter.routing_api.routes import Event, EventDecoder, ListDecoder, Route

# Texts that look like the end of a route, and unknown fields that have such.
TEXTS = st.text(alphabet='},{[]"\\ab', max_size=12)
ROUTES = st.fixed_dictionaries(
    {
        "route": TEXTS,
        "port": st.integers(0, 65535),
        "ip": st.just("10.0.0.1"),
        "ttl": st.none() | st.integers(0, 120),
        "log_guid": TEXTS,
        "modification_tag": st.fixed_dictionaries({"guid": TEXTS, "index": st.integers(0, 2**32 - 1)}),
        "unknown": st.lists(st.dictionaries(TEXTS, TEXTS, max_size=2), max_size=3),
    }
)


def pieces(text: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(places)]


class TestList:
    @given(st.lists(ROUTES, max_size=20), st.lists(st.integers(0), max_size=10), st.integers(1, 400))
    def test_is_the_same_in_any_pieces(self, routes: list[dict[str, object]], cuts: list[int], enough: int) -> None:
        text = json.dumps(routes, separators=(",", ":")).encode()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(routes_module, "_PIECE", enough)
            decoder = ListDecoder()
            decoded = [route for piece in pieces(text, cuts) for route in decoder.feed(piece)]
            decoded += decoder.end()
        assert decoded == msgspec.json.decode(text, type=list[Route])

    def test_comes_before_its_end(self) -> None:
        text = json.dumps([{"route": f"app-{number}.test"} for number in range(50_000)], separators=(",", ":")).encode()
        decoder = ListDecoder()
        first = decoder.feed(text[: len(text) // 2])
        assert len(first) > 20_000
        assert len(first + decoder.feed(text[len(text) // 2 :]) + decoder.end()) == 50_000

    def test_may_have_blanks(self) -> None:
        text = json.dumps([{"route": "a.test"}, {"route": "b.test"}], indent=2).encode()
        decoder = ListDecoder()
        assert decoder.feed(text) == []
        assert [route.route for route in decoder.end()] == ["a.test", "b.test"]

    @pytest.mark.parametrize("text", [b"null", b"[]"])
    def test_may_be_empty(self, text: bytes) -> None:
        decoder = ListDecoder()
        assert decoder.feed(text) + decoder.end() == []

    @pytest.mark.parametrize("text", [b"", b"[", b'[{"route":"a.test"},', b'[{"port":"1"}]', b"[]]", b"{}"])
    def test_must_be_whole(self, text: bytes) -> None:
        decoder = ListDecoder()
        with pytest.raises(ValueError, match=r"."):
            raise AssertionError(decoder.feed(text) + decoder.end())


class TestEvents:
    TEXT = (
        b": a comment\n"
        b"\n"
        b'id: 1\nevent: Upsert\nretry: 10\ndata: {\ndata:  "route":"a.test"}\n\n'
        b'event:Delete\r\ndata:{"route":"b.test","port":1,"ip":"10.0.0.1",'
        b'"modification_tag":{"guid":"g","index":2},"unknown":[]}\r\n\r\n'
        b"event: without data\n\n"
        b"data: {}\n\n"
        b"event: unfinished\ndata: {}\n"
    )

    @given(st.lists(st.integers(0), max_size=10))
    def test_are_the_same_in_any_pieces(self, cuts: list[int]) -> None:
        decoder = EventDecoder()
        events = [event for piece in pieces(self.TEXT, cuts) for event in decoder.feed(piece)]
        assert events == [
            Event("Upsert", Route("a.test")),
            Event("Delete", Route("b.test", 1, "10.0.0.1", modification_tag=ModificationTag("g", 2))),
            # As in Gorouter, a name without data is that of the next event.
            Event("without data", Route()),
        ]

    @pytest.mark.parametrize("text", [b"data: " + b"x" * 2_000_000, b"data: 0123456789\n" * 200_000])
    def test_are_limited(self, text: bytes) -> None:
        with pytest.raises(ValueError, match="longer than 1048576 bytes"):
            EventDecoder().feed(text)
