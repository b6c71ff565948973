"""What the router as a whole tells the agent: counters every five seconds, values when they are there (spec 7.5)."""

import asyncio
import math
import time
from collections.abc import Iterator

from fastrouter._core import Stats
from fastrouter.metron.agent import Agent
from fastrouter.observe.monitor import Monitor
from fastrouter.process.background_task import BackgroundTask
from fastrouter.registry.route_registry import RouteRegistry

# Seconds between two batches of counters.
BATCH_INTERVAL = 5

# Counters that are told even if they have not grown, by their names in `_core.Stats`.
_STEADY = (
    "bad_gateways",
    "backend_exhausted_conns",
    "backend_invalid_id",
    "backend_invalid_tls_cert",
    "backend_tls_handshake_failed",
    "rejected_requests",
    "total_requests",
    "websocket_failures",
    "websocket_upgrades",
)
_STATUS_GROUPS = ("2xx", "3xx", "4xx", "5xx", "xxx")

# Components whose requests were once those of apps.
_APP_PREFIX = "dea-"


class Reporter(BackgroundTask):
    """Tells `agent` of the router from `start` on.

    Registrations are not timed until `registration_muzzle` seconds behind `on_started`: routes that were there before
    are registered then.
    """

    def __init__(
        self, agent: Agent, stats: Stats, registry: RouteRegistry, monitor: Monitor, *, registration_muzzle: float
    ) -> None:
        super().__init__()
        self._agent = agent
        self._stats = stats
        self._registry = registry
        self._monitor = monitor
        self._registration_muzzle = registration_muzzle
        self._unmuzzled_at = math.inf
        # By name, as they were told.
        self._told: dict[str, int] = {}
        monitor.on_interval.append(self._send_measurements)

    def stop(self) -> None:
        """Tell what the counters have come to, and end."""
        super().stop()
        self._send_counters()
        self._agent.close()

    def on_started(self) -> None:
        """Note that the router serves from now on."""
        self._unmuzzled_at = time.monotonic() + self._registration_muzzle

    def on_registration(self, milliseconds: float) -> None:
        """Tell how long ago the update was that an endpoint, which is new, was registered for."""
        if time.monotonic() >= self._unmuzzled_at:
            self._agent.send_value("route_registration_latency", float(int(milliseconds)), "ms")

    def on_unregistration(self, component: str) -> None:
        """Tell of a message that takes an endpoint back."""
        self._agent.send_counter(_with_component("unregistry_message", component), 1)

    def count_error(self, name: str) -> None:
        """Tell of an error that has a counter."""
        self._agent.send_counter(name, 1)

    def on_prune_pass(self) -> None:
        """Tell how many routes there are."""
        self._agent.send_value("total_routes", float(len(self._registry)), "")
        self._agent.send_value("ms_since_last_registry_update", float(self._registry.ms_since_last_update), "ms")

    async def _run(self) -> None:
        begun = time.monotonic()
        began_at = int(time.time())
        seconds = 0
        while True:
            seconds += 1
            await asyncio.sleep(begun + seconds - time.monotonic())
            self._agent.send_value("uptime", float(int(time.time()) - began_at), "seconds")
            if seconds % BATCH_INTERVAL == 0:
                self._send_counters()

    def _send_measurements(self) -> None:
        self._agent.send_value("file_descriptors", float(self._monitor.file_descriptors), "file")
        self._agent.send_value("buffered_messages", float(self._monitor.buffered_messages), "message")
        self._agent.send_value("total_dropped_messages", float(self._monitor.dropped_messages), "message")

    def _send_counters(self) -> None:
        for name, count, is_steady in self._counters():
            delta = count - self._told.get(name, 0)
            if delta > 0 or is_steady:
                self._agent.send_counter(name, max(0, delta))
                self._told[name] = count

    def _counters(self) -> Iterator[tuple[str, int, bool]]:
        """Yield name and count of each counter, and whether it is told even if it has not grown."""
        counts = self._stats.counts()
        for name in _STEADY:
            yield name, counts[name], True
        for group in _STATUS_GROUPS:
            yield f"responses.{group}", counts[f"responses_{group}"], True
        yield "responses", sum(counts[f"responses_{group}"] for group in _STATUS_GROUPS), True
        yield "routes_pruned", self._registry.routes_pruned, True
        attempts = {
            component: self._stats.attempts(row)
            for row, component in enumerate(self._registry.rows.components.labels())
            if component
        }
        of_apps = sum(count for component, count in attempts.items() if component.startswith(_APP_PREFIX))
        yield "routed_app_requests", of_apps, True
        for component, count in attempts.items():
            yield f"requests.{component}", count, False
        yield "empty_content_length_header", counts["empty_content_length_header"], False
        registered: dict[str, int] = {}
        for (component, _), count in self._registry.report.registrations.items():
            registered[component] = registered.get(component, 0) + count
        for component, count in registered.items():
            yield _with_component("registry_message", component), count, False


def _with_component(name: str, component: str) -> str:
    return f"{name}.{component}" if component else name
