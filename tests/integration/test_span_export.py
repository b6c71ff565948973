"""Spans of requests at a real collector: OTLP over HTTPS, with retries (spec 4.2)."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastrouter import __version__
from fastrouter.logs.logger import Level, LineWriter, Logger
from fastrouter.otlp import exporter as exporter_module
from fastrouter.otlp.exporter import SpanExporter
from fastrouter.otlp.options import ExportOptions
from fastrouter.otlp.requests import rejected_spans

from .collector import Collector
from .conftest import StartGorouter
from .gorouter_process import GorouterProcess, get, register
from .issuer import Issuer
from .metrics_page import metrics_of
from .nats_server import RawNatsClient
from .raw_backend import AnsweringBackend
from .router_process import wait_for

TRACE = "7f46165474d11ee5836777d85df2cdab"
PARENT = "05e3ac9a4f6e3b90"
UNSAMPLED = f"00-{TRACE}-{PARENT}-00"
# A span as a worker makes it: a field of `ScopeSpans`, with ids, a name, a kind, times and flags.
SPAN = bytes.fromhex(
    "12" "3b" "0a10" + TRACE + "1208" + PARENT + "2a03474554" "3002"
    "390100000000000000" "410200000000000000" "8501" "01010000"
)  # fmt: skip


class Servers:
    """A collector, and the keys of a router that knows it."""

    def __init__(self) -> None:
        self.authority = Issuer("servers")
        self.clients = Issuer("clients")
        self.collector = Collector(self.authority, self.clients)

    def keys(self, **otlp: Any) -> dict[str, Any]:
        client = self.clients.pair("router")
        return {
            "index": 7,
            "zone": "z1",
            "prometheus": {"enabled": True, "port": 0},
            "tracing": {
                "enable_w3c": True,
                "otlp": {
                    "endpoint": self.collector.url,
                    "headers": [{"name": "Authorization", "value": "Bearer token"}],
                    "ca_certs": self.authority.pem,
                    "cert_chain": client.chain,
                    "private_key": client.key,
                    "sample_ratio": 1.0,
                    **otlp,
                },
            },
        }

    def options(self) -> ExportOptions:
        client = self.clients.pair("router")
        return ExportOptions(
            url=self.collector.url,
            ca_certs=self.authority.pem,
            cert_chain=client.chain,
            private_key=client.key,
            ratio=1.0,
            attributes=(("service.name", "fastrouter"),),
        )


@pytest.fixture
def servers() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.collector.close()


def serve_app(router: GorouterProcess, nats: RawNatsClient, backend: AnsweringBackend) -> None:
    register(nats, backend.address, "app.test", app="app-guid", private_instance_index="2")
    wait_for(lambda: True if router.status_of("app.test", traceparent=UNSAMPLED) == 200 else None, "the route")


class TestRouter:
    def test_a_request_is_a_span_between_those_of_its_client_and_its_app(
        self, servers: Servers, start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend
    ) -> None:
        router = start_gorouter(**servers.keys())
        router.wait_until_started()
        serve_app(router, nats, serving)
        assert get(router.port, "/path?q", Host="app.test", traceparent=f"00-{TRACE}-{PARENT}-01")[0] == 200
        (span,) = servers.collector.wait_for_spans()
        sent = serving.requests[-1].value(b"traceparent")
        assert sent is not None
        assert sent.decode() == f"00-{TRACE}-{span.span_id}-01"
        assert (span.trace_id, span.parent_span_id, span.name) == (TRACE, PARENT, "GET app.test")
        assert span.attributes["url.path"] == "/path"
        assert span.attributes["http.response.status_code"] == 200
        assert span.attributes["cloudfoundry.app.id"] == "app-guid"
        assert servers.collector.resources == [
            {
                "service.name": "fastrouter",
                "service.version": __version__,
                "service.instance.id": "7",
                "host.name": socket.gethostname(),
                "cloud.availability_zone": "z1",
            }
        ]
        assert servers.collector.asked[0].authorization == "Bearer token"
        # It is counted when the response of the collector has come.
        wait_for(
            lambda: True if metrics_of(router).value("fastrouter_spans_total", outcome="exported") == 1 else None,
            "the metric",
        )

    def test_traces_that_are_not_sampled_are_not_exported(
        self, servers: Servers, start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend
    ) -> None:
        router = start_gorouter(**servers.keys(sample_ratio=0.0))
        router.wait_until_started()
        serve_app(router, nats, serving)
        assert router.status_of("app.test") == 200
        assert router.status_of("app.test", traceparent=f"00-{TRACE}-{PARENT}-01") == 200
        (span,) = servers.collector.wait_for_spans()
        assert span.trace_id == TRACE

    def test_what_there_is_at_the_end_is_sent(
        self, servers: Servers, start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend
    ) -> None:
        router = start_gorouter(**servers.keys())
        router.wait_until_started()
        serve_app(router, nats, serving)
        statuses = [router.status_of("app.test") for _ in range(20)]
        assert statuses == [200] * 20
        router.stop()
        assert len(servers.collector.spans) == 20

    def test_without_an_endpoint_there_is_nothing(
        self, servers: Servers, start_gorouter: StartGorouter, nats: RawNatsClient, serving: AnsweringBackend
    ) -> None:
        router = start_gorouter(**servers.keys(endpoint=""))
        router.wait_until_started()
        serve_app(router, nats, serving)
        assert router.status_of("app.test", traceparent=f"00-{TRACE}-{PARENT}-01") == 200
        router.stop()
        assert servers.collector.asked == []


class Exporting:
    """An exporter with no pause worth the name; the lines of its log are in `log`."""

    def __init__(self, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, seconds in {"_INTERVAL": 0.01, "_FIRST_PAUSE": 0.01, "_LAST_PAUSE": 0.02, "_RETRY_FOR": 0.5}.items():
            monkeypatch.setattr(exporter_module, name, seconds)
        self.collector = servers.collector
        self._path = tmp_path / "log"
        self._file = self._path.open("wb")
        self._writer = LineWriter(self._file.fileno())
        self.exporter = SpanExporter(servers.options(), Logger("router", level=Level.INFO, writer=self._writer))
        self.exporter.start()

    async def until(self, outcome: str, count: int) -> None:
        """Wait until so many spans have met with this."""
        async with asyncio.timeout(20):
            while self.exporter.counts[outcome] < count:  # noqa: ASYNC110  # there is no event for it
                await asyncio.sleep(0.005)

    async def end(self) -> str:
        await self.exporter.end()
        self._writer.flush()
        self._file.close()
        return self._path.read_text()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_who_is_asked_to_try_again_does(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    exporting = Exporting(servers, tmp_path, monkeypatch)
    exporting.collector.refusals.extend([(status, {}), (status, {"Retry-After": "0"}), (status, {})])
    exporting.exporter.add(SPAN, 1, 0)
    await exporting.until("exported", 1)
    assert await exporting.end() == ""
    assert [span.trace_id for span in exporting.collector.spans] == [TRACE]
    assert len(exporting.collector.asked) == 4


async def test_retries_come_no_sooner_than_they_are_asked_for(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporting = Exporting(servers, tmp_path, monkeypatch)
    # More than it tries for.
    exporting.collector.refusals.append((503, {"Retry-After": "1"}))
    exporting.exporter.add(SPAN, 1, 0)
    await exporting.until("not-reached", 1)
    assert '"spans":1' in await exporting.end()
    assert len(exporting.collector.asked) == 1


@pytest.mark.parametrize("status", [400, 404, 500, 302])
async def test_any_other_refusal_is_final(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    exporting = Exporting(servers, tmp_path, monkeypatch)
    exporting.collector.refusals.append((status, {"Location": exporting.collector.url}))
    exporting.exporter.add(SPAN + SPAN, 2, 0)
    await exporting.until("refused", 2)
    exporting.exporter.add(SPAN, 1, 0)
    await exporting.until("exported", 1)
    log = await exporting.end()
    assert "spans-not-exported" in log
    assert f"{status} not now" in log
    assert len(exporting.collector.asked) == 2


async def test_spans_that_are_rejected_are_counted(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporting = Exporting(servers, tmp_path, monkeypatch)
    exporting.collector.answers.append((200, bytes.fromhex("0a06080212026e6f")))
    exporting.exporter.add(SPAN * 3, 3, 0)
    await exporting.until("exported", 1)
    assert exporting.exporter.counts["refused"] == 2
    assert '"error":"no"' in await exporting.end()


async def test_a_collector_that_is_gone_costs_spans_and_no_more(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporting = Exporting(servers, tmp_path, monkeypatch)
    servers.collector.close()
    exporting.exporter.add(SPAN, 1, 4)
    await exporting.until("not-reached", 1)
    assert exporting.exporter.counts["queue-full"] == 4
    assert "connection refused" in await exporting.end()


async def test_no_more_wait_than_there_is_room_for(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exporting = Exporting(servers, tmp_path, monkeypatch)
    monkeypatch.setattr(exporter_module, "_MAX_WAITING", 10 * len(SPAN))
    for _ in range(15):
        exporting.exporter.add(SPAN, 1, 0)
    assert exporting.exporter.counts["queue-full"] == 5
    await exporting.until("exported", 10)
    await exporting.end()


@pytest.mark.parametrize("response", [b"\xff", b"\x0a\x05", b"nonsense"])
def test_a_response_that_is_none(response: bytes) -> None:
    with pytest.raises(ValueError, match="parsing message"):
        rejected_spans(response)
