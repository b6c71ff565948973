"""What a gorouter.yml becomes for the parts of the router."""

from typing import Any

import pytest

from fastrouter._core import AccessLog, Settings
from fastrouter.cli.gorouter_options import YEAR, options_of, settings_of
from fastrouter.config import Config, parse
from fastrouter.control.options import usable_cpus
from fastrouter.ipc.messages import BackendTLS, ProxyProtocol, RouteServicesOptions, RouteServiceTLS, SyslogOptions
from fastrouter.metron.envelopes import envelope_tags
from fastrouter.metron.options import AgentOptions
from fastrouter.net.address import Address
from fastrouter.route_services.signature import derive_key


def settings(text: str) -> dict[str, Any]:
    return settings_of(parse(text.encode()))


def test_defaults_are_gorouters() -> None:
    options = options_of(Config())
    assert options.listen == Address("", 8081)
    assert options.workers == usable_cpus()
    assert (options.start_delay, options.prune_interval, options.drain_wait) == (5.0, 30.0, 0.0)
    assert (options.access_log.file, options.access_log.syslog) == (None, None)
    assert options.bus is not None
    assert [str(server) for server in options.bus.servers] == ["localhost:4222"]
    assert options.status is not None
    assert (options.status.routes_port, options.status.health_port) == (8082, 8080)
    assert options.status.component_host is None
    assert options.status.tls is None
    assert options.registry["stale_threshold"] == 120.0
    assert options.registry["empty_pool_timeout"] == 0.0


def test_settings_of_the_defaults() -> None:
    values = settings_of(Config())
    expected = {
        "max_attempts": 1,
        "dial_timeout": 5.0,
        "endpoint_timeout": 60.0,
        "frontend_idle_timeout": 900.0,
        "read_header_timeout": 0.0,
        "backend_keep_alive": False,
        "max_idle_per_endpoint": 2,
        "max_request_head": 1024 * 1024,
        "max_response_head": 10 * 1024 * 1024,
        "empty_pool_503": False,
        "max_conns": 0,
        "failure_memory": 30.0,
    }
    assert {name: values[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("variable", "is_taken"),
    [
        ("", False),
        ("httplaxcontentlength=1", True),
        ("netdns=cgo,httplaxcontentlength=1", True),
        ("httplaxcontentlength=0", False),
    ],
)
def test_an_empty_length_is_taken_if_gorouters_environment_says_so(
    variable: str, is_taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GODEBUG", variable)
    assert settings_of(Config())["takes_empty_length"] is is_taken


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("backends: {max_attempts: 3}", "max_attempts", 3),
        ("backends: {max_attempts: -1}", "max_attempts", 1),
        ("tracing: {enable_zipkin: true}", "traces_zipkin", True),
        ("tracing: {enable_w3c: true}", "traces_w3c", True),
        ("tracing: {w3c_tenant_id: tenant}", "w3c_tenant_id", "tenant"),
        ("tracing: {propagate_only: true}", "propagates_only", True),
        ("endpoint_timeout: -1s", "endpoint_timeout", 0.0),
        ("endpoint_timeout: 1m30s", "endpoint_timeout", 90.0),
        ("endpoint_dial_timeout: 100ms", "dial_timeout", 0.1),
        ("frontend_idle_timeout: 5s", "frontend_idle_timeout", 5.0),
        ("read_header_timeout: 2s", "read_header_timeout", 2.0),
        ("disable_keep_alives: false", "backend_keep_alive", True),
        ("max_idle_conns_per_host: 100", "max_idle_per_endpoint", 100),
        ("max_idle_conns_per_host: 0", "max_idle_per_endpoint", 2),
        ("max_idle_conns_per_host: -1", "max_idle_per_endpoint", 0),
        ("{max_idle_conns_per_host: 100, max_idle_conns: 5}", "max_idle_per_endpoint", 5),
        ("{max_idle_conns_per_host: 100, max_idle_conns: 0}", "max_idle_per_endpoint", 100),
        ("max_request_header_bytes: 65536", "max_request_head", 65536),
        ("max_request_header_bytes: 1", "max_request_head", 1),
        ("max_request_header_bytes: -1", "max_request_head", 1024 * 1024),
        ("max_request_header_bytes: 2000000", "max_request_head", 1024 * 1024),
        ("learn_idle_limits: false", "learns_idle_limits", False),
        ("max_large_header_bytes: 65536", "max_large_heads", 65536),
        ("max_large_header_bytes: -1", "max_large_heads", 0),
        ("max_request_headers: 50", "max_request_headers", 50),
        ("max_response_header_bytes: 65536", "max_response_head", 65536),
        ("max_response_header_bytes: 1", "max_response_head", 1),
        ("max_response_headers: 50", "max_response_headers", 50),
        ("empty_pool_response_code_503: true", "empty_pool_503", True),
        ("backends: {max_conns: 500}", "max_conns", 500),
        ("droplet_stale_threshold: 60s", "failure_memory", 15.0),
    ],
)
def test_a_key_and_what_it_sets(text: str, name: str, value: object) -> None:
    assert settings(text)[name] == value


@pytest.mark.parametrize("number", [-(2**63), -1, 0, 1, 500, 2**31, 2**63 - 1])
@pytest.mark.parametrize(
    "key",
    [
        *("backends: {{max_attempts: {}}}", "backends: {{max_conns: {}}}", "max_idle_conns: {}"),
        *("max_idle_conns_per_host: {}", "max_request_header_bytes: {}", "max_request_headers: {}"),
        *("max_response_header_bytes: {}", "max_response_headers: {}", "max_large_header_bytes: {}"),
    ],
)
def test_the_data_plane_takes_whatever_number_is_valid_there(key: str, number: int) -> None:
    Settings(**settings(key.format(number)))


@pytest.mark.parametrize("duration", ["-2562047h", "-1ns", "0s", "1ns", "2562047h"])
@pytest.mark.parametrize(
    "key",
    [
        *("endpoint_timeout", "http_1_endpoint_timeout", "http_2_endpoint_timeout", "endpoint_dial_timeout"),
        *("frontend_idle_timeout", "read_header_timeout", "http2_ping_interval", "http2_ping_timeout"),
        *("tls_handshake_timeout", "endpoint_keep_alive_probe_interval", "droplet_stale_threshold"),
    ],
)
def test_the_data_plane_takes_whatever_duration_is_valid_there(key: str, duration: str) -> None:
    Settings(**settings(f"{key}: {duration}"))


def test_the_component_listener_replaces_health_without_tls() -> None:
    options = options_of(
        parse(b"status: {port: 9, host: 127.0.0.1, enable_deprecated_varz_healthz_endpoints: true}")
    ).status
    assert options is not None
    assert (options.component_host, options.health_port) == ("127.0.0.1", 9)


def test_a_router_without_http_listens_nowhere() -> None:
    assert options_of(Config(disable_http=True)).listen is None


@pytest.mark.parametrize(
    ("text", "http1", "http2"),
    [
        ("endpoint_timeout: 7s", 7, 7),
        ("http_1_endpoint_timeout: 3s", 3, 60),
        ("http_2_endpoint_timeout: 3s", 60, 3),
        ("{http_1_endpoint_timeout: 3s, endpoint_timeout: 0s}", 3, YEAR),
        ("{http_2_endpoint_timeout: 3s, endpoint_timeout: 0s}", 0, 3),
    ],
)
def test_timeouts_by_protocol(text: str, http1: float, http2: float) -> None:
    given = settings(text)
    assert (given["endpoint_timeout"], given["http2_endpoint_timeout"]) == (http1, http2)


@pytest.mark.parametrize(
    ("text", "interval", "timeout"),
    [
        ("", 30, 15),
        ("{http2_ping_interval: 5s, http2_ping_timeout: 1s}", 5, 1),
        ("{http2_ping_interval: 0s, http2_ping_timeout: 0s}", 0, YEAR),
    ],
)
def test_pings_of_backends(text: str, interval: float, timeout: float) -> None:
    given = settings(text)
    assert (given["http2_ping_interval"], given["http2_ping_timeout"]) == (interval, timeout)


@pytest.mark.parametrize(
    ("text", "memory", "rest"),
    [
        ("", 600, 0.02),
        ("backends: {distrust_memory: 1h, bodiless_rest: 5ms}", 3600, 0.005),
        ("backends: {distrust_memory: 0s, bodiless_rest: -1s}", 0, 0),
    ],
)
def test_bytes_that_nobody_asked_for(text: str, memory: float, rest: float) -> None:
    given = settings(text)
    assert (given["distrust_memory"], given["bodiless_rest"]) == (memory, rest)


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [("", False), ("enable_h2c: true", True), ("{enable_h2c: true, enable_http2: false}", False)],
)
def test_http2_in_the_clear(text: str, is_taken: bool) -> None:
    assert settings(text)["takes_h2c"] is is_taken


def test_who_may_send_a_proxy_header() -> None:
    assert options_of(Config()).proxy_protocol is None
    assert options_of(parse(b"enable_proxy: true")).proxy_protocol == ProxyProtocol()
    trusting = options_of(parse(b"{enable_proxy: true, trusted_proxies: [10.0.0.0/8, '::1']}")).proxy_protocol
    assert trusting == ProxyProtocol(("10.0.0.0/8", "::1"))


def test_workers() -> None:
    assert options_of(parse(b"go_max_procs: 3")).workers == 3
    assert options_of(parse(b"go_max_procs: 0")).workers == usable_cpus()
    assert options_of(parse(b"go_max_procs: 3"), workers=1).workers == 1


def test_access_log_of_the_defaults() -> None:
    log = options_of(Config()).access_log
    assert log.line == {
        "is_json": False,
        "logs_refused": False,
        "extra_fields": (),
        "extra_headers": (),
        "hides_forwarded_for": False,
        "hides_source": False,
        "redaction": "none",
    }
    AccessLog(list[bytes]().append, **log.line)  # type: ignore[arg-type]


def test_access_log_with_everything() -> None:
    text = """
access_log: {file: access.log, enable_streaming: true, format: json, refused_requests: true}
extra_headers_to_log: [X-One]
tracing: {enable_zipkin: true, enable_w3c: true}
logging:
  syslog: vcap.gorouter
  syslog_addr: logs.test:514
  syslog_network: tcp
  syslog_truncate: 4096
  enable_attempts_details: true
  redact_query_params: hash
  disable_log_forwarded_for: true
  disable_log_source_ip: true
"""
    log = options_of(parse(text.encode())).access_log
    assert log.file == "access.log"
    assert log.syslog == SyslogOptions("tcp", "logs.test:514", "vcap.gorouter", 4096)
    assert log.line == {
        "is_json": True,
        "logs_refused": True,
        "extra_fields": (
            "failed_attempts",
            "failed_attempts_time",
            "dns_time",
            "dial_time",
            "tls_time",
            "backend_time",
        ),
        "extra_headers": (
            "X-One",
            "X-B3-TraceId",
            "X-B3-SpanId",
            "X-B3-ParentSpanId",
            "b3",
            "traceparent",
            "tracestate",
        ),
        "hides_forwarded_for": True,
        "hides_source": True,
        "redaction": "hash",
    }
    AccessLog(list[bytes]().append, **log.line)  # type: ignore[arg-type]


@pytest.mark.parametrize("half", ["cert_chain", "private_key"])
def test_half_an_identity_is_none(half: str) -> None:
    """Gorouter looks at a pair only if it is one."""
    pair = f"{{{half}: any text}}"
    options = options_of(parse(f"{{backends: {pair}, route_services: {pair}, route_services_secret: s}}".encode()))
    assert options.backend_tls == BackendTLS()
    assert options.route_services is not None
    assert (options.route_services.tls.cert_chain, options.route_services.tls.private_key) == ("", "")


class TestRouteServices:
    def test_without_a_secret_there_are_none(self) -> None:
        options = options_of(parse(b"route_services_hairpinning: true"))
        assert (options.route_services, options.internal_listen, options.internal_tls) == (None, None, None)

    def test_defaults_are_gorouters(self) -> None:
        options = options_of(parse(b"route_services_secret: s"))
        assert options.route_services == RouteServicesOptions(
            key=derive_key("s"),
            tls=RouteServiceTLS(min_version="TLSv1.2", max_version="TLSv1.2"),
            lifetime=60.0,
            # Where Gorouter would make no attempt at all.
            max_attempts=1,
        )
        assert options.internal_listen is None

    def test_every_key(self) -> None:
        options = options_of(
            parse(
                b"""
                route_services_secret: s
                route_services_secret_decrypt_only: before
                route_services_timeout: 90s
                route_services_recommend_https: true
                skip_ssl_validation: true
                route_services:
                  max_attempts: 4
                  strict_signature_validation: true
                  enable_websockets: true
                  egress_blocklist: [10.0.0.0/8]
                """
            )
        )
        assert options.route_services == RouteServicesOptions(
            key=derive_key("s"),
            previous_key=derive_key("before"),
            tls=RouteServiceTLS(min_version="TLSv1.2", max_version="TLSv1.2", skip_ssl_validation=True),
            lifetime=90.0,
            max_attempts=4,
            recommends_https=True,
            is_strict=True,
            allows_websockets=True,
            blocked_networks=("10.0.0.0/8",),
        )

    def test_hairpinning(self) -> None:
        options = options_of(
            parse(
                b"""
                route_services_secret: s
                route_services_hairpinning: true
                route_services_hairpinning_allowlist: ["*.apps.test"]
                route_services_internal_server_port: 7171
                """
            )
        )
        assert options.internal_listen == Address("127.0.0.1", 7171)
        assert options.internal_tls is not None
        assert options.internal_tls.client_certificates == "require"
        assert options.route_services is not None
        hairpin = options.route_services.hairpin
        assert hairpin is not None
        assert (hairpin.port, hairpin.allow_list) == (7171, ("*.apps.test",))
        assert hairpin.tls.ca_cert == options.internal_tls.client_ca_certs


def test_an_agent_is_told_of_everything_by_default() -> None:
    options = options_of(Config())
    assert options.metron == AgentOptions(
        address="localhost:3457",
        registration_muzzle=20.0,
        sends_values=True,
        sends_server_events=True,
        sends_client_events=True,
    )
    assert options.registry["encode_tags"] is envelope_tags


def test_what_an_agent_is_told_of_may_be_less() -> None:
    text = """
        index: 3
        logging: {metron_address: "10.0.0.1:1", loggregator_enabled: true}
        per_request_metrics_reporting: false
        send_http_start_stop_server_event: false
        send_http_start_stop_client_event: false
        route_latency_metric_muzzle_duration: 1s
    """
    options = options_of(parse(text.encode()))
    assert options.metron == AgentOptions(address="10.0.0.1:1", index=3, registration_muzzle=1.0, has_records=True)
    assert "encode_tags" in options.registry
    without = options_of(parse(text.replace("loggregator_enabled: true", "loggregator_enabled: false").encode()))
    assert "encode_tags" not in without.registry
    off = options_of(parse(b"enable_envelope_v1_metrics: false\nlogging: {loggregator_enabled: true}"))
    assert off.metron is None
