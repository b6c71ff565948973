"""Routes that are balanced by hash: which endpoint a request goes to (spec 9.1, N01-N03)."""

from itertools import pairwise

import pytest

from fastrouter._core import Endpoint, MaglevTable, Settings

from .conversation import Conversation
from .fake_network import FakeTransport

IDS = tuple(f"instance-{number}" for number in range(8))
SLOTS = 3001


def fnv1a(text: bytes) -> int:
    digest = 0xCBF29CE484222325
    for byte in text:
        digest = (digest ^ byte) * 0x100000001B3 % 2**64
    return digest


class Route:
    """The route app.test with an endpoint per instance, balanced by hash."""

    def __init__(
        self,
        source: str = "header",
        name: str = "X-Tenant",
        balance: float = 0.0,
        *,
        settings: Settings | None = None,
        ids: tuple[str, ...] = IDS,
        uri: str = "app.test",
    ) -> None:
        self.conversation = Conversation([Endpoint("10.9.9.9", 1)], settings)
        self.table = self.conversation.table
        self.table.drop("app.test")
        self.uri = uri
        for number, identity in enumerate(ids):
            self.table.register(uri, Endpoint("10.0.0.1", 8000 + number, instance_id=identity))
        self.table.set_route(uri, algorithm="hash", hash_source=source, hash_name=name, hash_balance=balance)

    def ask(self, *lines: bytes, target: bytes = b"/", answer: bool = True) -> str:
        """Send a request over a connection of its own; returns the instance that gets it."""
        conversation = self.conversation
        conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
        head = b"".join(line + b"\r\n" for line in lines)
        conversation.from_client(b"GET " + target + b" HTTP/1.1\r\nHost: app.test\r\n" + head + b"\r\n")
        identity = instance_at(conversation.backend)
        if answer:
            conversation.from_backend(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        return identity

    def tenant(self, number: int, *, answer: bool = True) -> str:
        return self.ask(b"X-Tenant: tenant-%d" % number, answer=answer)

    def asked(self, tenants: range = range(60)) -> dict[int, str]:
        return {number: self.tenant(number) for number in tenants}

    def messages(self) -> list[tuple[int, str]]:
        found = [(level, message) for level, message, _ in self.conversation.events]
        self.conversation.events.clear()
        return found


def instance_at(backend: FakeTransport) -> str:
    _, port = backend.get_extra_info("peername")
    return IDS[int(port) - 8000]


class TestHeader:
    def test_equal_values_go_to_one_endpoint_and_different_ones_to_all(self) -> None:
        route = Route()
        first = route.asked()
        assert first == route.asked()
        assert set(first.values()) == set(IDS)

    def test_all_routers_agree(self) -> None:
        assert Route().asked() == Route(ids=tuple(IDS)).asked()

    def test_the_slot_is_the_hash_of_the_value(self) -> None:
        table = MaglevTable([Endpoint("10.0.0.1", 80, instance_id=identity) for identity in IDS])
        assert table.fill()
        owners = [owner.instance_id for owner in table.owners() if owner is not None]
        expected = {number: owners[fnv1a(b"tenant-%d" % number) % SLOTS] for number in range(60)}
        assert Route().asked() == expected

    @pytest.mark.parametrize(
        "line", [b"x-tenant: tenant-1", b"X-TENANT:   tenant-1 ", b"X-Tenant: tenant-1\r\nX-Tenant: b"]
    )
    def test_spelling_blanks_and_further_lines_do_not_count(self, line: bytes) -> None:
        route = Route()
        assert route.ask(line) == route.tenant(1)

    def test_a_header_that_the_router_knows_may_be_it(self) -> None:
        route = Route(name="user-agent")
        found = {number: route.ask(b"User-Agent: agent-%d" % number) for number in range(40)}
        assert found == {number: route.ask(b"User-Agent: agent-%d" % number) for number in range(40)}
        assert len(set(found.values())) > 3

    def test_what_the_router_takes_off_is_no_value(self) -> None:
        route = Route(name="X-Forwarded-Client-Cert", settings=Settings(forwarded_client_cert="sanitize_set"))
        route.ask(b"X-Forwarded-Client-Cert: x")
        assert (1, "hash-based-routing-header-value-not-found") in route.messages()

    @pytest.mark.parametrize(
        "lines",
        [(), (b"X-Tenant:",), (b"X-Other: a",), (b"X-Tenant: a", b"Connection: X-Tenant")],
    )
    def test_without_a_value_endpoints_take_turns(self, lines: tuple[bytes, ...]) -> None:
        route = Route()
        assert {route.ask(*lines) for _ in IDS} == set(IDS)
        assert route.messages() == [(1, "hash-based-routing-header-value-not-found")] * len(IDS)

    def test_without_a_value_the_fewest_requests_count_if_the_router_is_so_configured(self) -> None:
        route = Route(settings=Settings(balancing_algorithm="least-connection"))
        assert {route.ask(answer=False) for _ in IDS} == set(IDS)

    def test_without_the_headers_name_it_is_an_error(self) -> None:
        route = Route(source="", name="")
        assert {route.tenant(1) for _ in IDS} == set(IDS)
        assert route.messages() == [(3, "hash-routing-properties-missing")] * len(IDS)

    def test_a_cookie_of_a_sticky_session_outweighs_it(self) -> None:
        route = Route()
        for identity in IDS:
            assert (
                route.ask(b"X-Tenant: tenant-1", b"Cookie: JSESSIONID=x; __VCAP_ID__=" + identity.encode()) == identity
            )

    def test_one_that_is_too_large_is_logged_with_its_endpoint(self) -> None:
        route = Route(settings=Settings(max_request_head=400))
        conversation = route.conversation
        conversation.from_client(
            b"GET / HTTP/1.1\r\nHost: app.test\r\nX-Tenant: tenant-1\r\nX-Long: " + b"x" * 400 + b"\r\n\r\n"
        )
        assert conversation.client.written.startswith(b"HTTP/1.1 431 ")
        conversation.end()
        expected = route_of_log(Route().tenant(1))
        assert expected.encode() in b"".join(conversation.log)


def route_of_log(identity: str) -> str:
    return f"10.0.0.1:{8000 + IDS.index(identity)}"


class TestOtherSources:
    def test_cookie(self) -> None:
        route = Route("cookie", "shop")
        lines = [b"Cookie: a=b; shop=s%d; c=d" % number for number in range(60)]
        found = [route.ask(line) for line in lines]
        assert found == [route.ask(line) for line in lines]
        assert set(found) == set(IDS)
        assert route.ask(b"Cookie: shop=s7; x=y") == found[7]
        assert {route.ask(b"Cookie: Shop=s7") for _ in IDS} == set(IDS), "names of cookies are case-sensitive"
        assert route.messages() == []

    def test_path(self) -> None:
        route = Route("path", "")
        found = [route.ask(target=b"/item/%d" % number) for number in range(60)]
        assert found == [route.ask(target=b"/item/%d?query=%d" % (number, number)) for number in range(60)]
        assert set(found) == set(IDS)

    def test_path_of_an_absolute_target(self) -> None:
        route = Route("path", "")
        assert route.ask(target=b"http://app.test") == route.ask(target=b"/") == route.ask(target=b"http://app.test/?q")

    def test_client_address(self) -> None:
        route = Route("client-address", "")
        assert len({route.ask(target=b"/%d" % number) for number in range(20)}) == 1


class TestChange:
    def test_few_values_move_when_an_endpoint_goes_and_none_when_it_is_back(self) -> None:
        route = Route()
        before = route.asked(range(300))
        route.table.unregister("app.test", "10.0.0.1:8003")
        without = route.asked(range(300))
        assert IDS[3] not in without.values()
        moved = sum(before[number] != without[number] for number in before)
        assert moved <= 300 * (1 / len(IDS) + 0.1)
        route.table.register("app.test", Endpoint("10.0.0.1", 8003, instance_id=IDS[3]))
        assert route.asked(range(300)) == before

    def test_the_last_two_endpoints(self) -> None:
        route = Route(ids=IDS[:2])
        assert set(route.asked().values()) == set(IDS[:2])
        route.table.unregister("app.test", "10.0.0.1:8000")
        assert set(route.asked().values()) == {IDS[1]}

    def test_another_algorithm_and_back(self) -> None:
        route = Route()
        before = route.asked()
        route.table.set_route("app.test", algorithm="")
        assert {route.tenant(1) for _ in IDS} == set(IDS)
        route.table.set_route("app.test", algorithm="hash", hash_source="header", hash_name="X-Tenant")
        assert route.asked() == before

    @pytest.mark.parametrize(("source", "name"), [("weather", ""), ("header", "ä")])
    def test_what_cannot_be_hashed_is_refused(self, source: str, name: str) -> None:
        with pytest.raises(ValueError, match="must be"):
            Route().table.set_route("app.test", algorithm="hash", hash_source=source, hash_name=name)


class TestPassedOver:
    def test_an_endpoint_at_its_limit_is_passed_over(self) -> None:
        route = Route(settings=Settings(max_conns=1))
        found = [route.tenant(1, answer=False) for _ in IDS]
        assert sorted(found) == sorted(IDS), "each is visited once"
        assert route.messages() == [(1, "hash-based-routing-endpoint-overloaded")] * (len(IDS) - 1)

    def test_an_endpoint_busier_than_allowed_is_passed_over(self) -> None:
        route = Route(balance=1.25)
        route.conversation.plane.set_debug(True)
        # In flight are then n of (n + rest); the average is known exactly, because there are few endpoints.
        counts = dict.fromkeys(IDS, 0)
        first = route.tenant(1, answer=False)
        counts[first] += 1
        for _ in range(63):
            counts[route.tenant(1, answer=False)] += 1
        average = 64 / len(IDS)
        assert max(counts.values()) <= 1.25 * average + 1
        assert counts[first] == max(counts.values())
        messages = route.messages()
        assert (0, "hash-based-routing-endpoint-imbalanced") in messages

    def test_without_a_balance_one_endpoint_takes_all(self) -> None:
        route = Route()
        assert len({route.tenant(1, answer=False) for _ in range(64)}) == 1

    def test_of_many_endpoints_none_gets_far_beyond_the_balance(self) -> None:
        route = Route(balance=1.25, ids=())
        for number in range(200):
            route.table.register("app.test", Endpoint("10.0.1.1", 9000 + number, instance_id=f"many-{number}"))
        route.table.set_route(
            "app.test", algorithm="hash", hash_source="header", hash_name="X-Tenant", hash_balance=1.25
        )
        ports: dict[int, int] = {}
        conversation = route.conversation
        for _ in range(800):
            conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
            conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\nX-Tenant: one\r\n\r\n")
            _, port = conversation.backend.get_extra_info("peername")
            ports[port] = ports.get(port, 0) + 1
        assert max(ports.values()) <= 1.25 * 4 + 2

    def test_none_is_left(self) -> None:
        route = Route(balance=0.5)
        for _ in IDS:
            route.ask(answer=False)
        conversation = route.conversation
        conversation.events.clear()
        conversation.client = conversation.loop.connect_client(conversation.plane.new_client())
        conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\nX-Tenant: a\r\n\r\n")
        assert conversation.client.written.startswith(b"HTTP/1.1 502 Bad Gateway")
        assert b"X-Cf-Routererror: endpoint_failure (No endpoints available)" in conversation.client.written
        assert (3, "hash-based-routing-failed") in route.messages()


class TestRetries:
    def test_each_attempt_goes_to_another_endpoint_than_the_one_before(self) -> None:
        route = Route(settings=Settings(max_attempts=4))
        loop = route.conversation.loop
        loop.refusing = {("10.0.0.1", 8000 + number) for number in range(len(IDS))}
        route.conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\nX-Tenant: tenant-1\r\n\r\n")
        tried = [IDS[port - 8000] for _, port in loop.attempted]
        assert len(tried) == 4
        assert tried[0] == Route().tenant(1)
        assert all(one != other for one, other in pairwise(tried))

    def test_an_endpoint_that_fails_is_passed_over_in_this_request_alone(self) -> None:
        route = Route()
        first = route.tenant(1)
        route.conversation.loop.refusing = {("10.0.0.1", 8000 + IDS.index(first))}
        second = route.tenant(1)
        assert second != first
        assert route.tenant(1) == second
        route.conversation.loop.refusing.clear()
        assert route.tenant(1) == first, "marks of failures do not count"

    def test_the_last_one_is_tried_once(self) -> None:
        route = Route(ids=IDS[:1])
        route.conversation.loop.refusing = {("10.0.0.1", 8000)}
        route.conversation.from_client(b"GET / HTTP/1.1\r\nHost: app.test\r\nX-Tenant: a\r\n\r\n")
        assert len(route.conversation.loop.attempted) == 1
        assert route.conversation.client.written.startswith(b"HTTP/1.1 502 ")
