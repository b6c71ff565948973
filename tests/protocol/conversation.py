"""One client, one backend and a DataPlane without sockets: what is delivered in which pieces, and what came out."""

import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from fastrouter._core import AccessLog, DataPlane, Endpoint, Metron, RouteTable, Settings, Spans, Stats

from .fake_network import FakeLoop, FakeTransport

if TYPE_CHECKING:
    from fastrouter._core import EventLog

# What no two runs have in common.
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_DATE = re.compile(rb"Date: [^\r]+")
_START = re.compile(rb"X-Request-Start: \d+")
_LOG_TIME = re.compile(rb"\[[0-9T:.Z-]{30}\]")
_SECONDS = re.compile(rb"(response|gorouter)_time:\d+\.\d{6}")


def timeless(data: bytes | bytearray) -> bytes:
    """Blank out request ids, dates and durations."""
    data = _DATE.sub(b"Date: -", _UUID.sub(b"<uuid>", bytes(data)))
    return _SECONDS.sub(rb"\1_time:-", _LOG_TIME.sub(b"[-]", _START.sub(b"X-Request-Start: -", data)))


class Conversation:
    """A router with the route app.test; the test plays the client and every backend connection."""

    # Those of the test that runs, in whose end they end.
    begun: ClassVar[list["Conversation"]] = []

    def __init__(
        self,
        endpoints: Sequence[Endpoint] = (),
        settings: Settings | None = None,
        stats: Stats | None = None,
        access_log: AccessLog | None = None,
        event_log: "EventLog | None" = None,
        *,
        metron: Metron | None = None,
        spans: Spans | None = None,
    ) -> None:
        self.table = RouteTable()
        for endpoint in endpoints or [Endpoint("10.0.0.1", 8080, app_id="app", instance_id="one", instance_index="0")]:
            self.table.register("app.test", endpoint)
        self.log: list[bytes] = []
        self.events: list[tuple[int, str, dict[str, Any]]] = []
        self.plane = DataPlane(
            self.table,
            settings,
            access_log or AccessLog(self.log.append),
            event_log or (lambda *event: self.events.append(event)),
            stats=stats,
            metron=metron,
            spans=spans,
        )
        self.loop = FakeLoop()
        loop: Any = self.loop
        self.plane.start(loop)
        self.begun.append(self)
        self.client: FakeTransport = self.loop.connect_client(self.plane.new_client())

    @property
    def backend(self) -> FakeTransport:
        """The connection dialled last."""
        return self.loop.dialled[-1]

    def from_client(self, *pieces: bytes) -> None:
        self._deliver(lambda: self.client, pieces)

    def from_backend(self, *pieces: bytes) -> None:
        self._deliver(lambda: self.backend, pieces)

    def let_deadlines_pass(self) -> None:
        """Wait until timeouts of a few milliseconds are over: the clock of deadlines is the real one, and coarse."""
        time.sleep(0.02)
        self.loop.tick()

    def end(self) -> None:
        """Stop the router; everything it still logs is in `log` afterwards."""
        if self in self.begun:
            self.begun.remove(self)
        self.plane.stop()
        self.loop.run()

    def outcome(self) -> tuple[bytes, list[bytes], list[bytes]]:
        """What the client got, what each backend connection got, and the log lines: without times and ids."""
        self.end()
        lines = b"".join(self.log).splitlines()
        return (
            timeless(self.client.written),
            [timeless(transport.written) for transport in self.loop.dialled],
            [timeless(line) for line in lines],
        )

    def _deliver(self, transport: Callable[[], FakeTransport], pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            if piece and transport().can_deliver:
                transport().deliver(piece)
            self.loop.run()
