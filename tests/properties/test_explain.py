"""What `explain` says of a request is what the data plane then does with it, and saying it changes nothing (ADR 19)."""

from typing import Any, TypeVar

import msgspec
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from fastrouter._core import DataPlane, Endpoint, RoutePolicy, RouteServices, RouteTable, Settings, explain
from fastrouter.ipc.inspection import Explanation
from protocol.fake_network import FakeLoop, FakeTransport, Unencrypted

APP = "0123abcd-0000-4000-8000-{:012d}"
HERE, ELSEWHERE = "z1", "z2"
URIS = ["app.test", "app.test/v1", "app.test/v1/deep", "*.test", "other.test/v1"]
HOSTS = ["app.test", "APP.test:80", "wild.test", "other.test", "unknown.example", "*.test"]
PATHS = ["/", "/v1", "/V1/deep/er?q=/v1", "/v2", "/v1/"]
NO_LIMIT = 1e6

T = TypeVar("T")


def seldom(strategy: st.SearchStrategy[T], default: T | None) -> st.SearchStrategy[Any]:
    """What is there in one case of eight."""
    return st.integers(0, 7).flatmap(lambda number: st.just(default) if number else strategy)


SELDOM = seldom(st.just(True), default=False)


def identity_of(port: int) -> str:
    return f"i{port}"


class Explained(RuleBasedStateMachine):
    """Requests are explained, then sent; routes, endpoints, marks and requests in flight come and go meanwhile."""

    @initialize(
        max_conns=st.sampled_from([0, 0, 1, 2]),
        max_attempts=st.integers(1, 3),
        prefers_local=st.booleans(),
        algorithm=st.sampled_from(["round-robin", "least-connection"]),
        sticky_for_negotiate=st.booleans(),
        keeps_sticky_metadata=st.booleans(),
        empty_pool_503=st.booleans(),
        is_strict=st.booleans(),
        uris=st.lists(st.sampled_from(URIS), min_size=1, max_size=3),
        ports=st.lists(st.integers(1, 4), min_size=1, max_size=4),
    )
    def start(
        self,
        *,
        algorithm: str,
        prefers_local: bool,
        is_strict: bool,
        uris: list[str],
        ports: list[int],
        **choices: Any,
    ) -> None:
        self.table = RouteTable()
        unencrypted: Any = Unencrypted()
        self.counted: list[tuple[int, str, dict[str, Any]]] = []
        self.plane = DataPlane(
            self.table,
            Settings(
                balancing_algorithm=algorithm,
                az_preference="locally-optimistic" if prefers_local else "none",
                zone=HERE,
                failure_memory=NO_LIMIT,
                # Every attempt is a dial then, which is what can be seen of it.
                backend_keep_alive=False,
                backend_tls=unencrypted,
                route_services=RouteServices(is_strict=is_strict),
                **choices,
            ),
            event_log=lambda *event: self.counted.append(event),
        )
        self.loop = FakeLoop()
        loop: Any = self.loop
        self.plane.start(loop)
        self.waiting: list[tuple[FakeTransport, FakeTransport]] = []
        for uri in ["app.test", *uris]:
            for port in ports:
                self.register(
                    uri, port, HERE if port % 2 else ELSEWHERE, is_draining=False, is_tls=False, is_guarded=False
                )

    @rule(
        uri=st.sampled_from(URIS),
        port=st.integers(1, 4),
        zone=st.sampled_from([HERE, ELSEWHERE]),
        is_draining=st.booleans(),
        is_tls=SELDOM,
        is_guarded=SELDOM,
    )
    def register(self, uri: str, port: int, zone: str, *, is_draining: bool, is_tls: bool, is_guarded: bool) -> None:
        endpoint = Endpoint(
            "10.0.0.1",
            port,
            app_id=APP.format(port % 2),
            instance_id=identity_of(port),
            instance_index=str(port // 3),
            process_id=APP.format(7),
            availability_zone=zone,
            tls=is_tls,
            policy=RoutePolicy("any", ["cf:any"]) if is_guarded else None,
        )
        endpoint.set_draining(is_draining)
        self.table.register(uri, endpoint)

    @rule(uri=st.sampled_from(URIS), port=st.integers(1, 4))
    def unregister(self, uri: str, port: int) -> None:
        self.table.unregister(uri, f"10.0.0.1:{port}")

    @rule(uri=st.sampled_from(URIS))
    def drop(self, uri: str) -> None:
        self.table.drop(uri)

    @rule(
        uri=st.sampled_from(URIS),
        algorithm=st.sampled_from(["", "round-robin", "least-connection"]),
        has_service=SELDOM,
    )
    def set_route(self, uri: str, algorithm: str, has_service: bool) -> None:
        self.table.set_route(uri, algorithm=algorithm, route_service_url="https://service.test" if has_service else "")

    @rule(port=st.integers(1, 4), refuses=st.booleans())
    def change(self, port: int, *, refuses: bool) -> None:
        (self.loop.refusing.add if refuses else self.loop.refusing.discard)(("10.0.0.1", port))

    @rule(which=st.integers(0, 99), fails=st.booleans())
    def answer(self, which: int, fails: bool) -> None:
        if not self.waiting:
            return
        _, backend = self.waiting.pop(which % len(self.waiting))
        if fails:
            # Marked, and not asked again.
            backend.break_off()
        else:
            backend.deliver(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.loop.run()
        self.loop.attempted.clear()

    @rule(
        host=st.just("app.test") | st.sampled_from(HOSTS),
        path=st.sampled_from(PATHS),
        sticky=seldom(st.integers(1, 5).map(identity_of) | st.integers(1, 5).map("10.0.0.1:{}".format), None),
        must_stick=SELDOM,
        instance=seldom(st.sampled_from(["0:0", "1:0", "0:1", "1:9", "bad", "process", "process:1"]), None),
        lines=seldom(
            st.sampled_from(
                [[("User-Agent", "HTTP-Monitor/1.1")], [("X-CF-Proxy-Signature", "x")], [("Te", "trailers")]]
            ),
            [],
        ),
    )
    def ask(
        self,
        *,
        host: str,
        path: str,
        sticky: str | None,
        must_stick: bool,
        instance: str | None,
        lines: list[tuple[str, str]],
    ) -> None:
        lines = list(lines)
        if sticky is not None:
            lines.append(("Cookie", f"JSESSIONID=x; __VCAP_ID__={sticky}"))
        if must_stick:
            lines.append(("Authorization", "Negotiate x"))
        if instance is not None and instance.startswith("process"):
            lines.append(("X-CF-Process-Instance", instance.replace("process", APP.format(7))))
        elif instance is not None:
            app, _, index = instance.partition(":")
            lines.append(("X-CF-App-Instance", f"{APP.format(int(app))}:{index}" if index else instance))
        logged, counts = len(self.counted), self.plane.stats()
        told = self.explain(host, path, lines)
        if told.is_chance:
            assert set(told.chosen) == set(self.explain(host, path, lines).chosen)
        else:
            assert told == msgspec.structs.replace(self.explain(host, path, lines), candidates=told.candidates)
        assert (logged, counts) == (len(self.counted), self.plane.stats())
        self.compare(told, self.send(host, path, lines))

    def explain(self, host: str, path: str, lines: list[tuple[str, str]]) -> Explanation:
        return msgspec.convert(explain(self.plane, "GET", f"http://{host}{path}", lines, "10.0.0.9"), Explanation)

    def send(self, host: str, path: str, lines: list[tuple[str, str]]) -> FakeTransport:
        client = self.loop.connect_client(self.plane.new_client())
        head = [f"GET {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in lines), "", ""]
        client.deliver("\r\n".join(head).encode())
        self.loop.run()
        return client

    def compare(self, told: Explanation, client: FakeTransport) -> None:
        """Fail unless the first attempt goes where it was said to go, or the answer is the one that was told."""
        attempted = [f"{host}:{port}" for host, port in self.loop.attempted]
        self.loop.attempted.clear()
        if not attempted:
            assert (told.chosen, told.status) == ([], int(client.written[9:12]))
            assert told.message.encode() in client.written
            return
        assert attempted[0] in told.chosen
        assert told.status == 0
        verdicts = {candidate.address: candidate.verdict for candidate in told.candidates}
        assert {verdicts[address] for address in told.chosen} == {"by_chance" if told.is_chance else "chosen"}
        if not client.written:
            self.waiting.append((client, self.loop.dialled[-1]))

    def teardown(self) -> None:
        if hasattr(self, "plane"):
            self.plane.stop()
            self.loop.run()


TestExplained = Explained.TestCase
TestExplained.settings = hypothesis_settings(max_examples=hypothesis_settings().max_examples, stateful_step_count=50)
