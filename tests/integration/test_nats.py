"""The control process's side of NATS: real servers where they will do, a scripted one where its view is what counts."""

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
import trustme
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nats.aio.client import Client

from fastrouter.bus import subscriber as subscriber_module
from fastrouter.bus.announcer import ComponentAnnouncer
from fastrouter.bus.connection import NatsConnection, NatsConnectionError, NatsServer, client_tls
from fastrouter.bus.messages import start_message
from fastrouter.bus.subscriber import ActiveAppsPublisher, Subscriber
from fastrouter.logs.logger import MAX_TEXT, Level, Logger
from fastrouter.registry.registration import MAX_REGISTRATION
from fastrouter.registry.route_registry import RouteRegistry
from kept_lines import KeptLines

from .nats_server import NatsServerProcess, RawNatsClient, ScriptedNatsServer

START = start_message("0-uuid", "10.0.0.1", 5.0, 120.0)
TIMEOUT = 30.0

# The hook that replaces the fixture below is younger than the pytest-asyncio that is asked for.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy:DeprecationWarning")


@pytest.fixture(scope="module")
def event_loop_policy() -> uvloop.EventLoopPolicy:
    """The loop that the control process runs on."""
    return uvloop.EventLoopPolicy()


class ControlProcess:
    """Everything between a NATS server and a table of routes, wired as in a control process."""

    def __init__(self, *ports: int, host: str = "localhost", **options: Any) -> None:
        self.lines = KeptLines()
        logger = Logger("router", level=Level.DEBUG, writer=self.lines)
        self.closed = asyncio.Event()
        self.connection = NatsConnection(
            logger, [NatsServer(host, port) for port in ports], on_closed=self.closed.set, **options
        )
        self.registry = RouteRegistry(logger, lambda _: None)
        # How many routes there were whenever changes were to be sent.
        self.sent: list[int] = []
        self.subscriber = Subscriber(
            logger, self.connection, self.registry, START, lambda: self.sent.append(len(self.registry))
        )

    async def start(self) -> None:
        await self.connection.connect()
        await self.subscriber.start()

    async def stop(self) -> None:
        self.subscriber.stop()
        await self.connection.close()

    def routes(self) -> dict[str, list[dict[str, Any]]]:
        routes: dict[str, list[dict[str, Any]]] = json.loads(b"".join(self.registry.routes_json()))
        return routes


StartControl = Callable[..., Awaitable[ControlProcess]]
Piece = Callable[[bytes], Awaitable[None]]
StartServer = Callable[..., NatsServerProcess]


@pytest.fixture
async def start_control() -> AsyncIterator[StartControl]:
    controls: list[ControlProcess] = []

    async def start(*ports: int, **options: Any) -> ControlProcess:
        control = ControlProcess(*ports, **options)
        controls.append(control)
        await control.start()
        return control

    yield start
    for control in controls:
        await control.stop()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    servers: list[NatsServerProcess] = []

    def start(*arguments: str) -> NatsServerProcess:
        server = NatsServerProcess(tmp_path, arguments)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(start_server: StartServer) -> NatsServerProcess:
    return start_server()


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedNatsServer]:
    server = ScriptedNatsServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def bus(server: NatsServerProcess) -> AsyncIterator[Client]:
    client = await nats.connect(f"nats://127.0.0.1:{server.port}")
    yield client
    await client.close()


@pytest.fixture
def raw(server: NatsServerProcess) -> Iterator[RawNatsClient]:
    client = RawNatsClient(server.port)
    yield client
    client.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await asyncio.sleep(0.002)


def message(uri: str, *, subject: str = "register") -> bytes:
    """A message as the server sends it: `router.*` is the second subscription."""
    payload = registration(uri)
    return b"MSG router.%s 2 %d\r\n%s\r\n" % (subject.encode(), len(payload), payload)


def registration(*uris: str, **fields: object) -> bytes:
    return json.dumps({"host": "10.0.0.1", "port": 80, "uris": uris, **fields}).encode()


class TestStart:
    async def test_lines(self, server: NatsServerProcess, start_control: StartControl) -> None:
        control = await start_control(server.port)
        assert [(record["source"], record["message"], record["data"]) for record in control.lines.records] == [
            (
                "router.nats",
                "Successfully-connected-to-nats",
                {"host": f"localhost:{server.port}", "addr": f"127.0.0.1:{server.port}"},
            ),
            ("router.subscriber", "subscriber-starting", {}),
            ("router.subscriber", "subscriber-started", {}),
        ]
        assert control.connection.is_connected

    async def test_start_is_published_before_anything_is_subscribed(
        self, scripted: ScriptedNatsServer, start_control: StartControl
    ) -> None:
        await start_control(scripted.port)
        (lines,) = scripted.connections
        assert lines[1:] == [
            f"PUB router.start  {len(START)}",
            START.decode(),
            "SUB router.greet  1",
            "SUB router.*  2",
        ]

    async def test_it_gives_up_after_three_rounds(self, scripted: ScriptedNatsServer) -> None:
        other = ScriptedNatsServer()
        await other.start()
        scripted.is_refusing = other.is_refusing = True
        control = ControlProcess(scripted.port, other.port)
        started_at = asyncio.get_running_loop().time()
        with pytest.raises(NatsConnectionError):
            await control.start()
        took = asyncio.get_running_loop().time() - started_at
        await other.stop()
        assert (len(scripted.connections), len(other.connections)) == (3, 3)
        assert took >= 0.2
        (record,) = control.lines.records
        assert (record["log_level"], record["source"]) == (3, "router.nats")
        assert record["message"] == "nats-connection-error"
        assert record["data"]["error"]
        assert not control.connection.is_connected

    async def test_nobody_listens(self) -> None:
        closed = ScriptedNatsServer()
        await closed.start()
        port = closed.port
        await closed.stop()
        control = ControlProcess(port)
        with pytest.raises(NatsConnectionError, match="nats: no servers available for connection"):
            await control.start()

    async def test_the_second_server_will_do(self, server: NatsServerProcess, scripted: ScriptedNatsServer) -> None:
        scripted.is_refusing = True
        control = ControlProcess(scripted.port, server.port)
        await control.start()
        assert control.lines.named("Successfully-connected-to-nats")[0]["addr"] == f"127.0.0.1:{server.port}"
        await control.stop()


class TestGreet:
    async def test_the_reply_is_the_start_message(
        self, server: NatsServerProcess, bus: Client, start_control: StartControl
    ) -> None:
        await start_control(server.port)
        assert (await bus.request("router.greet", b"{}", timeout=TIMEOUT)).data == START

    async def test_without_a_reply_subject_nothing_happens(
        self, server: NatsServerProcess, bus: Client, start_control: StartControl
    ) -> None:
        control = await start_control(server.port)
        await bus.publish("router.greet", b"")
        await bus.publish("router.register", registration("a"))
        await until(control.routes)
        assert control.lines.named("validation-error") == [
            {"error": "Input data was truncated", "payload": "", "subject": "router.greet"}
        ]


class TestRegistrations:
    async def test_register_and_unregister(
        self, server: NatsServerProcess, bus: Client, start_control: StartControl
    ) -> None:
        control = await start_control(server.port)
        await bus.publish("router.register", registration("A.example.com", "b/x", tags={"component": "c"}))
        await until(lambda: len(control.registry) == 2)
        assert set(control.routes()) == {"a.example.com", "b/x"}
        gone = registration("a.example.com")
        await bus.publish("router.unregister", gone)
        await until(lambda: len(control.registry) == 1)
        assert set(control.routes()) == {"b/x"}
        assert control.lines.named("unregister-route") == [{"message": gone.decode()}]

    @pytest.mark.parametrize(
        ("payload", "error"),
        [
            (b'{"host":', "Input data was truncated"),
            (registration("a", private_instance_index=0), "Expected `str`, got `int` - at `$.private_instance_index`"),
            (
                registration("a", route_service_url="http://rs"),
                "Unable to validate message. route_service_url must be https",
            ),
            (registration("a", app="x\r\ny"), "Unable to validate message. app must be printable ASCII"),
            (zlib.compress(b"[]"), None),
        ],
    )
    async def test_what_is_wrong_is_logged_and_disturbs_nothing(
        self, server: NatsServerProcess, bus: Client, start_control: StartControl, payload: bytes, error: str | None
    ) -> None:
        control = await start_control(server.port)
        subjects = ["router.register", "router.unregister", "router.anything"]
        for subject in subjects:
            await bus.publish(subject, payload)
        await bus.publish("router.register", registration("good"))
        await until(control.routes)
        assert set(control.routes()) == {"good"}
        errors = control.lines.named("validation-error")
        assert [data["subject"] for data in errors] == subjects
        assert [data["payload"] for data in errors] == [payload.decode(errors="replace")] * 3
        if error is not None:
            assert [data["error"] for data in errors] == [error] * 3

    async def test_other_subjects_are_looked_at_and_left_alone(
        self, server: NatsServerProcess, bus: Client, start_control: StartControl
    ) -> None:
        control = await start_control(server.port)
        await bus.publish("router.other", registration("a"))
        await bus.publish("router.register.deeper", b"not looked at")
        await bus.publish("router.start", START)
        await bus.publish("router.register", registration("good"))
        await until(control.routes)
        assert set(control.routes()) == {"good"}
        assert control.lines.named("validation-error") == []

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.tuples(st.sampled_from([b"register", b"unregister", b"greet", b"x"]), st.binary()), max_size=20))
    async def test_any_bytes(
        self,
        server: NatsServerProcess,
        raw: RawNatsClient,
        start_control: StartControl,
        messages: list[tuple[bytes, bytes]],
    ) -> None:
        control = await start_control(server.port)
        for subject, payload in messages:
            raw.publish(b"router." + subject, payload)
        raw.publish(b"router.register", registration("good"))
        await until(lambda: "good" in control.routes())
        assert control.lines.named("nats-connection-disconnected") == []
        await control.stop()

    async def test_no_subject_and_no_header_ends_the_connection(
        self, server: NatsServerProcess, raw: RawNatsClient, start_control: StartControl
    ) -> None:
        control = await start_control(server.port)
        raw.publish(b"router.\xff", b"{}")
        for header in (b"NATS/1.0\r\n\r\n", b"NATS/1.0", b"N", b"NATS/1.0 x\r\n: \r\n\xff\r\n\r\n"):
            payload = registration("with-headers")
            size = len(header)
            raw.send(b"HPUB router.register %d %d\r\n%s%s\r\n" % (size, size + len(payload), header, payload))
        raw.publish(b"router.register", registration("good"))
        raw.sync()
        await until(lambda: "good" in control.routes())
        assert set(control.routes()) == {"good", "with-headers"}
        assert control.lines.named("nats-connection-disconnected") == []

    async def test_a_bug_costs_one_message_only(
        self,
        server: NatsServerProcess,
        bus: Client,
        start_control: StartControl,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        control = await start_control(server.port)
        register = control.registry.register
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

        def fail_on_bad(uri: str, endpoint: Any) -> None:
            if uri == "bad":
                raise RuntimeError("a bug")
            register(uri, endpoint)

        monkeypatch.setattr(control.registry, "register", fail_on_bad)
        for uri in ("bad", "good"):
            await bus.publish("router.register", registration(uri))
        await until(control.routes)
        assert [str(context["exception"]) for context in reported] == ["a bug"]


class TestAtOnce:
    """Every turn of the loop between a message and its effect is time in which requests find no route."""

    async def test_a_message_has_effect_when_it_is_parsed(self, piece: Piece, control: ControlProcess) -> None:
        await piece(message("a"))
        assert set(control.routes()) == {"a"}
        assert control.sent == [1]

    async def test_messages_that_come_together_are_sent_together(self, piece: Piece, control: ControlProcess) -> None:
        await piece(message("a") + message("b") + message("c")[:-10])
        assert control.sent == [2]
        await asyncio.sleep(0)
        await piece(message("c")[-10:])
        assert control.sent[-1] == len(control.registry) == 3

    async def test_many_pieces_do_not_hold_the_loop(self, piece: Piece, control: ControlProcess) -> None:
        """Pieces that were there before the loop had its turn wait for it, and keep their order."""
        await piece(message("a"))
        await piece(message("b"))
        await piece(message("a", subject="unregister"))
        assert set(control.routes()) == {"a"}
        assert control.subscriber.pending_messages == 2
        await asyncio.sleep(0)
        assert set(control.routes()) == {"b"}
        assert control.subscriber.pending_messages == 0

    async def test_changes_are_sent_although_a_bug_follows(
        self, piece: Piece, control: ControlProcess, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        monkeypatch.setattr(control.registry, "unregister", None)
        await piece(message("a") + message("a", subject="unregister") + message("b"))
        assert control.sent == [1]
        assert len(reported) == 1
        await asyncio.sleep(0)
        assert set(control.routes()) == {"a", "b"}

    @pytest.fixture
    async def control(self, scripted: ScriptedNatsServer, start_control: StartControl) -> ControlProcess:
        return await start_control(scripted.port)

    @pytest.fixture
    def piece(self, control: ControlProcess) -> Piece:
        """Parses what has come from the server, without a turn of the loop."""
        client = control.connection._client
        assert client is not None
        return client._ps.parse


class TestPending:
    async def test_a_burst_is_applied_without_loss(
        self, server: NatsServerProcess, raw: RawNatsClient, start_control: StartControl
    ) -> None:
        control = await start_control(server.port)
        count = 20_000
        burst = b"".join(
            b"PUB router.register %d\r\n%s\r\n" % (len(payload), payload)
            for payload in (registration(f"app-{number}.example.com") for number in range(count))
        )
        await asyncio.to_thread(raw.send, burst)
        await until(lambda: len(control.registry) == count)
        assert control.subscriber.dropped_messages == 0
        assert control.subscriber.pending_messages == 0

    async def test_one_message_of_many_uris_is_handled_in_slices_and_in_order(
        self,
        server: NatsServerProcess,
        bus: Client,
        start_control: StartControl,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The loop has its turn within the message, and what comes after it has effect after it."""
        for name in ("SLICE", "SLICE_WHILE_RECEIVING"):
            monkeypatch.setattr(subscriber_module, name, 0.0)
        control = await start_control(server.port)
        uris = [f"app-{number}.example.com" for number in range(1000)]
        await bus.publish("router.register", registration(*uris))
        await bus.publish("router.unregister", registration(*uris[1:]))
        await bus.publish("router.register", registration("last"))
        steps = []
        before = 0
        async with asyncio.timeout(TIMEOUT):
            while control.lines.records[-1]["data"].get("uri") != "last":
                steps.append(abs(len(control.registry) - before))
                before = len(control.registry)
                await asyncio.sleep(0)
        assert max(steps) == 1
        assert set(control.routes()) == {uris[0], "last"}
        assert control.subscriber.pending_messages == 0

    async def test_a_message_that_is_too_long_is_refused_in_a_short_line(
        self, start_server: StartServer, start_control: StartControl
    ) -> None:
        control = await start_control(start_server().port)
        payload = registration("a", app="x" * MAX_REGISTRATION)
        control.subscriber._handle("router.register", payload)
        (line,) = control.lines.named("validation-error")
        assert line["error"] == "Unable to validate message. It must not be longer than 1048576 bytes"
        assert line["payload"] == f"{payload[:MAX_TEXT].decode()}... ({len(payload) - MAX_TEXT} more)"

    @pytest.mark.parametrize(("limit", "value"), [("MAX_PENDING_MESSAGES", 10), ("MAX_PENDING_BYTES", 600)])
    async def test_beyond_the_limit_messages_are_dropped_and_counted(
        self, raw: RawNatsClient, limited: ControlProcess
    ) -> None:
        count = 5000
        messages = (registration(f"app-{number}.example.com") for number in range(count))
        raw.send(b"".join(b"PUB router.register %d\r\n%s\r\n" % (len(payload), payload) for payload in messages))
        await until(lambda: len(limited.registry) + limited.subscriber.dropped_messages == count)
        assert limited.subscriber.dropped_messages > 0
        assert len(limited.registry) > 0

    @pytest.fixture
    async def limited(
        self,
        server: NatsServerProcess,
        start_control: StartControl,
        monkeypatch: pytest.MonkeyPatch,
        limit: str,
        value: int,
    ) -> ControlProcess:
        monkeypatch.setattr(subscriber_module, limit, value)
        return await start_control(server.port)


class TestReconnect:
    async def test_the_three_lines_and_another_start(
        self, scripted: ScriptedNatsServer, start_control: StartControl
    ) -> None:
        control = await start_control(scripted.port, ping_interval=0.05)
        peer = {"host": f"localhost:{scripted.port}", "addr": f"127.0.0.1:{scripted.port}"}
        scripted.is_refusing = True
        scripted.hang_up()
        await until(lambda: len(control.lines.named("nats-connection-still-disconnected")) >= 2)
        assert control.lines.named("nats-connection-disconnected") == [peer]
        assert control.lines.named("nats-connection-reconnected") == []
        assert not control.connection.is_connected
        scripted.is_refusing = False
        await until(lambda: control.lines.named("nats-connection-reconnected"))
        assert control.lines.named("nats-connection-reconnected") == [peer]
        await until(lambda: START.decode() in scripted.connections[-1])
        assert [line for line in scripted.connections[-1] if line.startswith("SUB ")] == [
            "SUB router.greet  1",
            "SUB router.*  2",
        ]
        still = len(control.lines.named("nats-connection-still-disconnected"))
        await asyncio.sleep(0.2)
        assert len(control.lines.named("nats-connection-still-disconnected")) == still

    async def test_a_killed_server_comes_back(self, server: NatsServerProcess, start_control: StartControl) -> None:
        control = await start_control(server.port)
        server.kill()
        await until(lambda: control.lines.named("nats-connection-disconnected"))
        server.start()
        await until(lambda: control.lines.named("nats-connection-reconnected"))
        bus = await nats.connect(f"nats://127.0.0.1:{server.port}")
        await bus.publish("router.register", registration("a"))
        await until(control.routes)
        await bus.close()

    async def test_failover(self, start_server: StartServer, start_control: StartControl) -> None:
        servers = {server.port: server for server in (start_server(), start_server())}
        control = await start_control(*servers)
        (connected,) = control.lines.named("Successfully-connected-to-nats")
        servers.pop(int(connected["addr"].rpartition(":")[2])).kill()
        (other,) = servers
        await until(lambda: control.lines.named("nats-connection-reconnected"))
        assert control.lines.named("nats-connection-reconnected") == [
            {"host": f"localhost:{other}", "addr": f"127.0.0.1:{other}"}
        ]
        raw = RawNatsClient(other)
        raw.publish(b"router.register", registration("a"))
        await until(control.routes)
        raw.close()

    async def test_a_server_that_answers_no_ping_is_left(
        self, scripted: ScriptedNatsServer, start_control: StartControl, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        control = await start_control(scripted.port, ping_interval=0.05)
        transport = control.connection._client._transport  # type: ignore[union-attr]
        monkeypatch.setattr(transport, "write", lambda _: None)
        await until(lambda: control.lines.named("nats-connection-disconnected"))

    async def test_a_pong_for_somebody_who_waits_no_more_disturbs_nothing(
        self, scripted: ScriptedNatsServer, start_control: StartControl, caplog: pytest.LogCaptureFixture
    ) -> None:
        control = await start_control(scripted.port)
        (sid,) = [line.split()[-1] for line in scripted.connections[-1] if line.startswith("SUB router.*")]
        scripted.holds_pongs = True
        flush = asyncio.create_task(control.connection.flush())
        await until(lambda: scripted.held_pongs)
        flush.cancel()
        await asyncio.wait((flush,))
        assert flush.cancelled()
        scripted.release_pongs()
        payload = registration("a")
        scripted.send(b"MSG router.register %s %d\r\n%s\r\n" % (sid.encode(), len(payload), payload))
        await until(control.routes)
        # The next one is for who waits next.
        await control.connection.flush()
        assert not caplog.records
        assert control.connection.is_connected


class TestEnd:
    async def test_a_connection_that_ends_for_good_is_reported(
        self, scripted: ScriptedNatsServer, start_control: StartControl
    ) -> None:
        control = await start_control(scripted.port)
        scripted.send(b"-ERR 'Maximum Connections Exceeded'\r\n")
        async with asyncio.timeout(TIMEOUT):
            await control.closed.wait()
        assert control.lines.named("nats-connection-closed") == [
            {"error": "unexpected close", "last_error": "nats: maximum connections exceeded"}
        ]

    async def test_a_wanted_close_is_silent_and_leaves_nothing_behind(
        self, server: NatsServerProcess, start_control: StartControl
    ) -> None:
        before = asyncio.all_tasks()
        control = await start_control(server.port)
        lines = len(control.lines.records)
        await control.stop()
        await until(lambda: asyncio.all_tasks() == before)
        assert len(control.lines.records) == lines
        assert not control.closed.is_set()
        assert not control.connection.is_connected

    async def test_closing_without_a_connection_is_fine(self) -> None:
        await ControlProcess(1).stop()

    async def test_closing_while_the_server_is_away(
        self, scripted: ScriptedNatsServer, start_control: StartControl
    ) -> None:
        control = await start_control(scripted.port, ping_interval=0.05)
        scripted.is_refusing = True
        scripted.hang_up()
        await until(lambda: control.lines.named("nats-connection-still-disconnected"))
        await control.stop()
        assert not control.closed.is_set()


class TestCredentials:
    # Whatever an operator chooses: nothing in it may be taken for a part of a URL.
    USER, PASSWORD = "us:er@/%41", "p@ss:w/ord%20?#"

    async def test_user_and_password(self, start_server: StartServer, start_control: StartControl) -> None:
        server = start_server("--user", self.USER, "--pass", self.PASSWORD)
        await start_control(server.port, user=self.USER, password=self.PASSWORD)

    async def test_a_wrong_password(self, start_server: StartServer) -> None:
        server = start_server("--user", self.USER, "--pass", self.PASSWORD)
        control = ControlProcess(server.port, user=self.USER, password="wrong")
        # The server says why and hangs up; which of the two is noticed first is chance.
        with pytest.raises(NatsConnectionError):
            await control.start()
        assert "wrong" not in json.dumps(control.lines.records)


class Pems:
    """An authority, a server's certificate for localhost and a client's, as files."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.ca = authority.cert_pem.bytes().decode()
        self.ca_file = str(directory / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        self.server = self._write(directory / "server", authority.issue_cert("localhost"))
        self.client = self._write(directory / "client", authority.issue_cert("router"))

    @staticmethod
    def _write(base: Path, leaf: trustme.LeafCert) -> tuple[str, str]:
        chain, key = f"{base}.pem", f"{base}.key"
        leaf.cert_chain_pems[0].write_to_path(chain)
        leaf.private_key_pem.write_to_path(key)
        return chain, key

    @property
    def server_arguments(self) -> list[str]:
        chain, key = self.server
        return ["--tls", "--tlscert", chain, "--tlskey", key, "--tlsverify", "--tlscacert", self.ca_file]


@pytest.fixture
def pems(tmp_path: Path) -> Pems:
    return Pems(tmp_path)


class TestTls:
    async def test_mutual(self, pems: Pems, start_server: StartServer, start_control: StartControl) -> None:
        server = start_server(*pems.server_arguments)
        control = await start_control(server.port, tls=client_tls(pems.ca, *pems.client))
        bus = await nats.connect(f"tls://localhost:{server.port}", tls=client_tls(pems.ca, *pems.client))
        await bus.publish("router.register", registration("a"))
        await until(control.routes)
        await bus.close()

    async def test_a_client_without_identity_is_refused(self, pems: Pems, start_server: StartServer) -> None:
        control = ControlProcess(
            start_server(*pems.server_arguments).port, tls=client_tls(pems.ca, None, None), ping_interval=0.05
        )
        with pytest.raises(NatsConnectionError):
            await control.start()

    @pytest.mark.parametrize(("is_our_authority", "host"), [(False, "localhost"), (True, "127.0.0.1")])
    async def test_a_server_that_cannot_prove_itself_is_refused(
        self, pems: Pems, start_server: StartServer, is_our_authority: bool, host: str
    ) -> None:
        ca = pems.ca if is_our_authority else trustme.CA().cert_pem.bytes().decode()
        server = start_server(*pems.server_arguments)
        control = ControlProcess(server.port, host=host, tls=client_tls(ca, *pems.client))
        with pytest.raises(NatsConnectionError, match="certificate verify failed"):
            await control.start()

    async def test_no_password_for_a_server_without_tls(self, pems: Pems, scripted: ScriptedNatsServer) -> None:
        control = ControlProcess(scripted.port, tls=client_tls(pems.ca, *pems.client), user="router", password="secret")
        with pytest.raises(NatsConnectionError, match="secure connection not available"):
            await control.start()
        assert scripted.connections == [[], [], []]


class TestActiveApps:
    async def test_published_at_the_interval(
        self, server: NatsServerProcess, bus: Client, start_control: StartControl
    ) -> None:
        control = await start_control(server.port)
        inbox = await bus.subscribe("router.active_apps")
        await bus.flush()
        batches = iter([["a", "b"], []])
        publisher = ActiveAppsPublisher(control.connection, 0.02, lambda: next(batches, ["later"]))
        publisher.start()
        published = [json.loads(zlib.decompress((await inbox.next_msg(TIMEOUT)).data)) for _ in range(3)]
        publisher.stop()
        assert published == [["a", "b"], [], ["later"]]


class TestComponent:
    async def test_announced_once_and_replied_when_asked(
        self, server: NatsServerProcess, bus: Client, start_control: StartControl
    ) -> None:
        announcements = await bus.subscribe("vcap.component.announce")
        await bus.flush()
        control = await start_control(server.port)
        logger = Logger("router", level=Level.DEBUG, writer=control.lines)
        await ComponentAnnouncer(logger, control.connection, lambda: b'{"type":"Router"}').start()
        await control.connection.flush()
        assert (await announcements.next_msg(TIMEOUT)).data == b'{"type":"Router"}'
        assert (await bus.request("vcap.component.discover", b"", timeout=TIMEOUT)).data == b'{"type":"Router"}'
        assert control.lines.records[-1]["message"] == "Component Router registered successfully"
        await bus.publish("vcap.component.discover", b"")
        await until(lambda: control.lines.named("Received message with empty reply"))
