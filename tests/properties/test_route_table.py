"""RouteTable against a naive model, written from spec 3.3 and 3.7 without a look at the tree."""

from hypothesis import example, given
from hypothesis import strategies as st

from fastrouter._core import Endpoint, RouteTable

Key = tuple[str, ...]


def route_key(uri: str) -> Key:
    """Normalise a registered URI (spec 3.3): case, query and outer slashes do not count."""
    text = uri.removesuffix("/").lower().partition("?")[0]
    return tuple(text.removesuffix("/").removeprefix("/").split("/"))


class NaiveTable:
    """All routes in one dict; a lookup tries every prefix of every candidate."""

    def __init__(self) -> None:
        self.routes: dict[Key, dict[str, Endpoint]] = {}
        self.names: dict[Key, tuple[str, str]] = {}

    def register(self, uri: str, endpoint: Endpoint) -> None:
        key = route_key(uri)
        if key not in self.routes:
            host, _, path = uri.removesuffix("/").partition("?")[0].partition("/")
            self.names[key] = (host, "/" + path)
        # A dict keeps the place of a known address, as the pool does.
        self.routes.setdefault(key, {})[endpoint.address] = endpoint

    def unregister(self, uri: str, address: str) -> bool:
        key = route_key(uri)
        if address not in self.routes.get(key, {}):
            return False
        del self.routes[key][address]
        return True

    def drop(self, uri: str) -> bool:
        return self.routes.pop(route_key(uri), None) is not None

    def lookup(self, host: str, path: str) -> Key | None:
        candidate: str | None = "/".join(route_key(host.partition(":")[0] + path))
        while candidate is not None:
            segments = tuple(candidate.split("/"))
            prefixes = [segments[:length] for length in range(len(segments), 0, -1)]
            # The walk ends where no registered route goes on; a route that is empty there is an answer, elsewhere it is
            # not.
            walked = [key for key in prefixes if any(route[: len(key)] == key for route in self.routes)]
            for key in prefixes:
                if self.routes.get(key):
                    return key
            if walked and walked[0] in self.routes:
                return walked[0]
            # Only the host is cut, other than in Gorouter, where the path of a host without dots may pass for a domain.
            name, slash, rest = candidate.removeprefix("*.").partition("/")
            _, dot, behind = name.partition(".")
            candidate = "*." + behind + slash + rest if dot else None
        return None


# Few names, so that routes and lookups meet: equal, one inside the other, and beside each other.
label = st.sampled_from(["a", "b", "A"])
host = st.builds(
    lambda labels, star: ("*." if star else "") + ".".join(labels),
    st.lists(label, min_size=1, max_size=4),
    st.booleans(),
)
segment = st.sampled_from(["x", "y", "X", "", "x.y", "%78", "*"])
path = st.lists(segment, max_size=4).map(lambda segments: "".join("/" + part for part in segments))
uri = st.builds(lambda *parts: "".join(parts), host, path, st.sampled_from(["", "/", "//", "?q", "/?q/r", "?"]))
address = st.integers(1, 4)
step = st.tuples(st.sampled_from(["register", "unregister", "drop"]), uri, address)
question = st.tuples(st.builds(lambda name, port: name + port, host, st.sampled_from(["", ":80", ":"])), path)


@given(st.lists(step, max_size=25), st.lists(question, min_size=1, max_size=12))
@example([("register", "a.b/x", 1), ("register", "*.b", 2)], [("a.b", "/y")])
@example([("register", "*.b", 1)], [("a", "/a.b")])
@example([("register", "a//x", 1), ("register", "a", 2)], [("a", "//x"), ("a", "/x"), ("a", "//")])
@example([("register", "a/x", 1), ("register", "a", 2), ("unregister", "a/x", 1)], [("a", "/x")])
@example([("register", "a.b", 1), ("register", "*.b", 2), ("unregister", "a.b", 1)], [("a.b", ""), ("a.b", "/x")])
def test_agrees_with_a_naive_model(steps: list[tuple[str, str, int]], questions: list[tuple[str, str]]) -> None:
    table, model = RouteTable(), NaiveTable()
    for verb, text, port in steps:
        if verb == "register":
            endpoint = Endpoint("10.0.0.1", port)
            table.register(text, endpoint)
            model.register(text, endpoint)
        elif verb == "drop":
            assert table.drop(text) == model.drop(text)
        else:
            assert table.unregister(text, f"10.0.0.1:{port}") == model.unregister(text, f"10.0.0.1:{port}")
    assert len(table) == len(model.routes)
    for name, target in questions:
        pool, key = table.lookup(name, target), model.lookup(name, target)
        if key is None:
            assert pool is None
            continue
        assert pool is not None
        assert pool.endpoints == list(model.routes[key].values())
        assert (pool.host, pool.context_path) == model.names[key]


@given(st.lists(st.tuples(uri, address), max_size=25))
def test_is_empty_again_when_everything_is_dropped(routes: list[tuple[str, int]]) -> None:
    table = RouteTable()
    for text, port in routes:
        table.register(text, Endpoint("10.0.0.1", port))
    for text, port in routes:
        table.unregister(text, f"10.0.0.1:{port}")
    for text, _ in routes:
        table.drop(text)
    assert len(table) == 0
    for text, _ in routes:
        assert table.lookup(text.partition("/")[0].partition("?")[0].replace("*", "a")) is None


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_can_be_looked_up(name: bytes, target: bytes) -> None:
    table = RouteTable()
    table.register("a/b", Endpoint("10.0.0.1", 1))
    table.register("*.a/b", Endpoint("10.0.0.1", 1))
    pool = table.lookup(name.decode("latin-1"), target.decode("latin-1"))
    assert pool is None or len(pool) == 1
