"""What both routers say from their start to their end, and with which code they end (spec 1)."""

import functools
import signal
import socket
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from integration.gorouter_process import configuration
from integration.nats_server import NatsServerProcess
from integration.router_process import START_PATIENCE, LoggingProcess, wait_for

from .case import Seen
from .normal_form import Aspects, Compared, Difference, NormalForm, differences
from .pair import free_port, merged

_STARTED = "gorouter.started"


@dataclass(frozen=True)
class Life:
    """A start with these keys over those of all, or with a `text` that is no configuration; once it is up, signals.

    `<taken>`, `<free>`, `<directory>`: a port that somebody listens on, one that nobody does, and a directory.
    """

    name: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    signals: Sequence[signal.Signals] = (signal.SIGTERM,)
    text: str | None = None
    arguments: Sequence[str] = ()


_TERM, _INT, _DRAIN = signal.SIGTERM, signal.SIGINT, signal.SIGUSR1

# fmt: off
LIVES = (
    Life("SIGTERM"),
    Life("SIGINT", signals=(_INT,)),
    Life("drain", {"drain_wait": "100ms", "drain_timeout": "1s"}, (_DRAIN,)),
    Life("drained twice", {"drain_wait": "1s", "drain_timeout": "1s"}, (_DRAIN, _DRAIN)),
    Life("drained, then stopped", {"drain_wait": "1s", "drain_timeout": "1s"}, (_DRAIN, _TERM)),
    Life("info", {"logging": {"level": "info"}}),
    Life("segments and zone", {"isolation_segments": ["is1", "is2"], "routing_table_sharding_mode": "segments", "zone": "z"}),
    Life("times to read", {"logging": {"format": {"timestamp": "rfc3339"}, "syslog": "vcap.gorouter"}}),
    Life("a delay", {"start_response_delay_interval": "1s"}),
    Life("a limit beyond the server's", {"max_request_header_bytes": 2 << 20}),
    Life("hairpinning", {"route_services_secret": "s", "route_services_hairpinning": True}),
    Life("active apps", {"publish_active_apps_interval": "1s"}),
    Life("suspended pruning", {"suspend_pruning_if_nats_unavailable": True}),
    Life("a debug server", {"debug_addr": "127.0.0.1:<free>"}),
    Life("a debug server on a taken port", {"debug_addr": "127.0.0.1:<taken>"}),
    Life("deprecated pages", {"status": {"enable_deprecated_varz_healthz_endpoints": True}}),
    Life("taken port", {"port": "<taken>"}),
    Life("taken status port", {"status": {"port": "<taken>"}}),
    Life("taken port of routes", {"status": {"routes": {"port": "<taken>"}}}),
    Life("taken port of metrics", {"prometheus": {"enabled": True, "port": "<taken>"}}),
    Life("taken port inside", {"route_services_internal_server_port": "<taken>"}),
    Life("no NATS", {"nats": {"hosts": [{"hostname": "localhost", "port": "<free>"}]}}),
    Life("no directory for the access log", {"access_log": {"file": "<directory>/none/access.log"}}),
    Life("no server for the access log", {"logging": {"syslog_addr": "127.0.0.1:<free>", "syslog_network": "tcp"}, "access_log": {"enable_streaming": True}}),
    Life("no template", {"html_error_template_file": "<directory>/none.html"}),
    Life("no level", {"logging": {"level": "loud"}}),
    Life("no such sharding", {"routing_table_sharding_mode": "some"}),
    Life("no such algorithm", {"balancing_algorithm": "some"}),
    Life("sharding without segments", {"routing_table_sharding_mode": "segments"}),
    Life("TLS without a pair", {"enable_ssl": True}),
    Life("no listener", {"disable_http": True}),
    Life("an allowed host that is none", {"route_services_secret": "s", "route_services_hairpinning": True, "route_services_hairpinning_allowlist": ["*.*.x"]}),
    Life("no YAML", text="{"),
    Life("not a mapping", text="[]"),
    Life("no duration", {"endpoint_timeout": "soon"}),
    Life("no file", arguments=("-c", "/nowhere/gorouter.yml")),
    Life("an unknown flag", arguments=("-x",)),
)
# fmt: on
"""Those that must not start end by themselves."""


def live(gorouter: Path, life: Life) -> Compared:
    """What differs between the lives of both."""
    with tempfile.TemporaryDirectory(prefix="parity-") as name, socket.create_server(("0.0.0.0", 0)) as holder:
        directory = Path(name)
        server = NatsServerProcess(directory)
        try:
            taken = holder.getsockname()[1]
            seen = [_live(one, directory, server.port, life, taken) for one in (gorouter, None)]
        finally:
            server.stop()
    return Compared(f"life: {life.name}", [*differences(*seen), *_order(*seen)], (seen[0]["end"][0], seen[1]["end"][0]))


def _order(gorouter: Aspects, ours: Aspects) -> list[Difference]:
    """How those lines come that both have, if they come in different orders."""
    both = Counter(gorouter["log"]) & Counter(ours["log"])
    orders = [" | ".join(line for line in aspects["log"] if line in both) for aspects in (gorouter, ours)]
    return [] if orders[0] == orders[1] else [("order", "-", orders[0]), ("order", "+", orders[1])]


def _live(executable: Path | None, directory: Path, nats_port: int, life: Life, taken: int) -> Aspects:
    ports = {key: free_port() for key in ("http", "routes", "status", "metrics", "internal", "free")}
    document = merged(
        configuration(nats_port),
        {
            "port": ports["http"],
            "status": {"port": ports["status"], "routes": {"port": ports["routes"]}},
            "route_services_internal_server_port": ports["internal"],
            "access_log": {"file": "<directory>/access.log"},
        },
        life.keys,
    )
    text = yaml.safe_dump(document) if life.text is None else life.text
    for marker, port in (("taken", taken), ("free", ports["free"])):
        text = text.replace(f"<{marker}>", str(port))
    path = directory / "gorouter.yml"
    path.write_text(text.replace("<directory>", str(directory)))
    kind = type("Executable", (LoggingProcess,), {"command": (str(executable),)}) if executable else LoggingProcess
    process = kind(*(life.arguments or ("-c", str(path))), access_log=directory / "access.log")

    def has_said(count: int) -> bool | None:
        return len(process.events()) > count or not process.is_running or None

    try:
        wait_for(
            lambda: bool(process.events(_STARTED)) or not process.is_running or None,
            f"the start: {life.name}",
            START_PATIENCE,
        )
        for number in life.signals if process.events(_STARTED) else ():
            told = len(process.events())
            process.send_signal(number)
            # One is heeded before the next comes.
            wait_for(functools.partial(has_said, told), f"an answer to {number.name}: {life.name}")
        code = process.wait()
    finally:
        process.stop()
    names = {port: f"<{name}>" for name, port in ports.items()} | {taken: "<taken>", nats_port: "<nats>"}
    for event in process.events():
        if event["message"].endswith("-listener-started"):
            event["data"]["address"]["Port"] = names[event["data"]["address"]["Port"]]
    lines = NormalForm(names, str(directory)).of(Seen(log=process.events()))["log"]
    return {
        "log": lines,
        "end": [f"{'started' if process.events(_STARTED) else 'refused'}, exit code {code}"],
    }
