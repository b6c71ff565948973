"""The listener of `/metrics` (spec 1.2, 7.4): what it answers, and to whom."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from fastrouter.cli.gorouter_options import options_of, settings_of
from fastrouter.config import ConfigError, parse
from fastrouter.observe.histogram import DEFAULT_BOUNDS
from fastrouter.observe.metrics_listener import MetricsOptions, MetricsTLS, new_metrics_server
from fastrouter.observe.status_server import StatusServer

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
PAGE = b"a_metric 1\n"


async def ask(port: int, request: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname="127.0.0.1" if tls is not None else None
        )
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def server() -> AsyncIterator[StatusServer]:
    server = new_metrics_server(MetricsOptions(port=0), lambda: iter([PAGE]))
    await server.start()
    yield server
    await server.stop()


async def test_page(server: StatusServer) -> None:
    head, _, body = (await ask(server.port, GET)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in head
    assert body == PAGE


async def test_nothing_else_is_there(server: StatusServer) -> None:
    assert (await ask(server.port, GET.replace(b"/metrics", b"/"))).startswith(b"HTTP/1.1 404 Not Found\r\n")


class Authorities:
    """Those of the router and its clients, and the files that the router reads."""

    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA()
        self.other = trustme.CA()
        identity = self.ca.issue_cert("127.0.0.1")
        identity.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
        identity.private_key_pem.write_to_path(str(directory / "key.pem"))
        self.ca.cert_pem.write_to_path(str(directory / "ca.pem"))
        self.files = MetricsTLS(
            cert_path=str(directory / "cert.pem"),
            key_path=str(directory / "key.pem"),
            ca_path=str(directory / "ca.pem"),
        )

    def client(self, signer: trustme.CA | None, version: ssl.TLSVersion) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ca.configure_trust(context)
        context.maximum_version = version
        if signer is not None:
            signer.issue_cert("scraper.test").configure_cert(context)
        return context


@pytest.fixture
def authorities(tmp_path: Path) -> Authorities:
    return Authorities(tmp_path)


@pytest.fixture
async def tls_server(authorities: Authorities) -> AsyncIterator[StatusServer]:
    server = new_metrics_server(MetricsOptions(port=0, tls=authorities.files), lambda: iter([PAGE]))
    await server.start()
    yield server
    await server.stop()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_with_a_certificate_is_served(
    tls_server: StatusServer, authorities: Authorities, version: ssl.TLSVersion
) -> None:
    answer = await ask(tls_server.port, GET, authorities.client(authorities.ca, version))
    assert answer.endswith(PAGE)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("is_other", [False, True])
async def test_a_client_without_one_or_with_one_of_another_authority_is_not(
    tls_server: StatusServer, authorities: Authorities, version: ssl.TLSVersion, is_other: bool
) -> None:
    signer = authorities.other if is_other else None
    try:
        answer = await ask(tls_server.port, GET, authorities.client(signer, version))
    except (ssl.SSLError, ConnectionError):
        answer = b""
    assert answer == b""


async def test_a_client_without_tls_is_not_served(tls_server: StatusServer) -> None:
    try:
        answer = await ask(tls_server.port, GET)
    except ConnectionError:
        answer = b""
    assert PAGE not in answer


def test_a_file_that_is_not_there_is_told(authorities: Authorities) -> None:
    files = MetricsTLS(cert_path="/nowhere/cert.pem", key_path=authorities.files.key_path, ca_path="")
    with pytest.raises(FileNotFoundError):
        new_metrics_server(MetricsOptions(port=0, tls=files), lambda: iter([PAGE]))


class TestConfiguration:
    def test_without_metrics_nothing_is_observed(self) -> None:
        config = parse(b"per_app_prometheus_http_metrics_reporting: true")
        assert options_of(config).metrics is None
        settings = settings_of(config)
        assert (settings["observes_requests"], settings["observes_apps"]) == (False, False)

    def test_with_metrics(self) -> None:
        config = parse(b"prometheus: {enabled: true, gauges: true}")
        assert options_of(config).metrics == MetricsOptions(port=0, has_gauges=True)
        settings = settings_of(config)
        assert (settings["observes_requests"], settings["observes_apps"]) == (True, False)

    @pytest.mark.parametrize("is_enabled", [False, True])
    def test_routes_are_observed_only_if_wanted_and_seen(self, is_enabled: bool) -> None:
        config = parse(b"prometheus: {enabled: %s, route_latency: true}" % (b"true" if is_enabled else b"false"))
        assert settings_of(config)["observes_routes"] is is_enabled
        assert options_of(config).registry["is_observing_routes"] is is_enabled
        plain = parse(b"prometheus: {enabled: %s}" % (b"true" if is_enabled else b"false"))
        assert settings_of(plain)["observes_routes"] is options_of(plain).registry["is_observing_routes"] is False

    def test_requests_are_observed_only_if_reported(self) -> None:
        config = parse(b"{per_request_metrics_reporting: false, prometheus: {enabled: true}}")
        assert settings_of(config)["observes_requests"] is False

    def test_varz_shows_requests_too(self) -> None:
        config = parse(b"status: {enable_deprecated_varz_healthz_endpoints: true}")
        assert settings_of(config)["observes_requests"] is True

    def test_the_admin_api_shows_latencies(self) -> None:
        config = parse(b"admin: {socket: auto}")
        assert settings_of(config)["observes_requests"] is True

    @pytest.mark.parametrize(("port", "has_tls"), [(9100, True), (0, False)])
    def test_tls_goes_with_a_certificate_and_a_port(self, port: int, has_tls: bool) -> None:
        config = parse(f"prometheus: {{enabled: true, port: {port}, cert_path: c, key_path: k, ca_path: a}}".encode())
        options = options_of(config).metrics
        assert options is not None
        assert options.tls == (MetricsTLS(cert_path="c", key_path="k", ca_path="a") if has_tls else None)

    def test_bounds(self) -> None:
        config = parse(
            b"prometheus: {meters: {http_latency_histogram_buckets: [2, 1, .inf],"
            b" route_lookup_time_histogram_buckets: [5], gorouter_time_histogram_buckets: [6],"
            b" routing_response_latency_histogram_buckets: [7], route_registration_latency_histogram_buckets: [8]}}"
        )
        bounds = options_of(config).histogram_bounds
        assert bounds.http_latency_seconds == (1.0, 2.0)
        assert (bounds.route_lookup_time, bounds.gorouter_time, bounds.latency) == ((5.0,), (6.0,), (7.0,))
        assert bounds.route_registration_latency == (8.0,)
        assert options_of(parse(b"{}")).histogram_bounds == DEFAULT_BOUNDS

    def test_more_bounds_than_there_is_room_for_are_refused(self) -> None:
        bounds = ", ".join(map(str, range(31)))
        with pytest.raises(ConfigError, match="Too many histogram buckets") as refusal:
            parse(f"prometheus: {{meters: {{gorouter_time_histogram_buckets: [{bounds}]}}}}".encode())
        assert refusal.value.key == "prometheus.meters.gorouter_time_histogram_buckets"
