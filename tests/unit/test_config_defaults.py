"""Every key with its type and its default, from a copy of the tables of spec 2.2 (and the later keys of spec 9)."""

from typing import Any

import pytest

from fastrouter.config import Config
from fastrouter.config.decoding import decode
from fastrouter.config.document import read
from fastrouter.config.duration import Duration
from fastrouter.config.reference import entries, plain

# key | type | default. Types: s text, b bool, i int, u16, u32, uint, d duration, f number, [x] list. A default of - is
# the type's own: "", false, 0, 0s, [].
TABLE = """
status.host                                                   | s    | 0.0.0.0
status.port                                                   | u16  | 8080
status.enable_nontls_health_checks                            | b    | true
status.enable_deprecated_varz_healthz_endpoints               | b    | false
status.user                                                   | s    | -
status.pass                                                   | s    | -
status.routes.port                                            | u16  | 8082
status.tls.port                                               | u16  | 8443
status.tls.certificate                                        | s    | -
status.tls.key                                                | s    | -
nats.hosts[].hostname                                         | s    | -
nats.hosts[].port                                             | u16  | -
nats.user                                                     | s    | -
nats.pass                                                     | s    | -
nats.tls_enabled                                              | b    | false
nats.ca_certs                                                 | s    | -
nats.cert_chain                                               | s    | -
nats.private_key                                              | s    | -
logging.syslog                                                | s    | -
logging.syslog_addr                                           | s    | 127.0.0.1:514
logging.syslog_network                                        | s    | udp
logging.syslog_truncate                                       | i    | 0
logging.level                                                 | s    | debug
logging.loggregator_enabled                                   | b    | false
logging.metron_address                                        | s    | localhost:3457
logging.disable_log_forwarded_for                             | b    | false
logging.disable_log_source_ip                                 | b    | false
logging.redact_query_params                                   | s    | none
logging.format.timestamp                                      | s    | unix-epoch
logging.extra_access_log_fields                               | [s]  | -
port                                                          | u16  | 8081
prometheus.enabled                                            | b    | false
prometheus.port                                               | u16  | 0
prometheus.cert_path                                          | s    | -
prometheus.key_path                                           | s    | -
prometheus.ca_path                                            | s    | -
prometheus.gauges                                             | b    | false
prometheus.route_latency                                      | b    | false
prometheus.meters.route_lookup_time_histogram_buckets         | [f]  | 1e4,2e4,3e4,4e4,5e4,6e4,7e4,8e4,9e4,1e5
prometheus.meters.gorouter_time_histogram_buckets             | [f]  | 1,2,4,6,8,10,20,40,50,100,500,1000
prometheus.meters.route_registration_latency_histogram_buckets | [f] | 0.1,0.5,1,1.5,2,2.5,3,3.5,4
prometheus.meters.routing_response_latency_histogram_buckets  | [f]  | 1,2,4,6,8,10,20,40,50,100,500,1000
prometheus.meters.http_latency_histogram_buckets              | [f]  | 0.1,0.2,0.4,0.8,1.6,3.2,6.4,12.8,25.6
index                                                         | uint | 0
zone                                                          | s    | -
go_max_procs                                                  | i    | -1
tracing.enable_zipkin                                         | b    | false
tracing.enable_w3c                                            | b    | false
tracing.w3c_tenant_id                                         | s    | -
tracing.propagate_only                                        | b    | false
tracing.otlp.endpoint                                         | s    | -
tracing.otlp.headers[].name                                   | s    | -
tracing.otlp.headers[].value                                  | s    | -
tracing.otlp.ca_certs                                         | s    | -
tracing.otlp.ca_certs_file                                    | s    | -
tracing.otlp.cert_chain                                       | s    | -
tracing.otlp.cert_chain_file                                  | s    | -
tracing.otlp.private_key                                      | s    | -
tracing.otlp.private_key_file                                 | s    | -
tracing.otlp.sample_ratio                                     | f    | 0.01
tracing.otlp.service_name                                     | s    | fastrouter
trace_key                                                     | s    | -
access_log.file                                               | s    | -
access_log.enable_streaming                                   | b    | false
access_log.format                                             | s    | text
access_log.refused_requests                                   | b    | false
debug_addr                                                    | s    | -
enable_proxy                                                  | b    | false
enable_ssl                                                    | b    | false
ssl_port                                                      | u16  | 443
disable_http                                                  | b    | false
enable_http2                                                  | b    | true
enable_http1_concurrent_read_write                            | b    | false
tls_pem[].cert_chain                                          | s    | -
tls_pem[].private_key                                         | s    | -
ca_certs                                                      | [s]  | -
client_ca_certs                                               | s    | -
skip_ssl_validation                                           | b    | false
forwarded_client_cert                                         | s    | always_forward
force_forwarded_proto_https                                   | b    | false
sanitize_forwarded_proto                                      | b    | false
hop_by_hop_headers_to_filter                                  | [s]  | -
isolation_segments                                            | [s]  | -
routing_table_sharding_mode                                   | s    | all
cipher_suites                                                 | s    | -
min_tls_version                                               | s    | -
max_tls_version                                               | s    | -
client_cert_validation                                        | s    | -
only_trust_client_ca_certs                                    | b    | false
tls_handshake_timeout                                         | d    | 10s
enable_verify_client_certificate_metadata                     | b    | false
verify_client_certificate_metadata[].issuer_in_chain.common_name | s | -
verify_client_certificate_metadata[].issuer_in_chain.country  | [s]  | -
verify_client_certificate_metadata[].valid_cert_subjects[].organizational_unit | [s] | -
load_balancer_healthy_threshold                               | d    | 0s
publish_start_message_interval                                | d    | 30s
suspend_pruning_if_nats_unavailable                           | b    | false
prune_stale_droplets_interval                                 | d    | 30s
droplet_stale_threshold                                       | d    | 120s
publish_active_apps_interval                                  | d    | 0s
start_response_delay_interval                                 | d    | 5s
endpoint_timeout                                              | d    | 60s
http_1_endpoint_timeout                                       | d    | 0s
http_2_endpoint_timeout                                       | d    | 0s
http2_ping_interval                                           | d    | 30s
http2_ping_timeout                                            | d    | 15s
endpoint_dial_timeout                                         | d    | 5s
websocket_dial_timeout                                        | d    | 0s
endpoint_keep_alive_probe_interval                            | d    | 1s
route_services_timeout                                        | d    | 60s
frontend_idle_timeout                                         | d    | 900s
read_header_timeout                                           | d    | 0s
route_latency_metric_muzzle_duration                          | d    | 20s
drain_wait                                                    | d    | 0s
drain_timeout                                                 | d    | 0s
secure_cookies                                                | b    | false
gorouter_generation                                           | s    | april-2025
sticky_session_metadata                                       | b    | false
sticky_session_cookie_names                                   | [s]  | JSESSIONID
sticky_sessions_for_auth_negotiate                            | b    | false
healthcheck_user_agent                                        | s    | HTTP-Monitor/1.1
oauth.token_endpoint                                          | s    | -
oauth.client_name                                             | s    | -
oauth.client_secret                                           | s    | -
oauth.port                                                    | u16 or -1 | 0
oauth.skip_ssl_validation                                     | b    | false
oauth.ca_certs                                                | s    | -
routing_api.uri                                               | s    | -
routing_api.port                                              | i    | 0
routing_api.auth_disabled                                     | b    | false
routing_api.ca_certs                                          | s    | -
routing_api.cert_chain                                        | s    | -
routing_api.private_key                                       | s    | -
route_services_secret                                         | s    | -
route_services_secret_decrypt_only                            | s    | -
route_services_recommend_https                                | b    | false
route_services_hairpinning                                    | b    | false
route_services_hairpinning_allowlist                          | [s]  | -
route_services_internal_server_port                           | u16  | 7070
nats_client_ping_interval                                     | d    | 20s
backends.max_conns                                            | i    | 0
backends.max_attempts                                         | i    | 0
backends.distrust_memory                                      | d    | 600s
backends.bodiless_rest                                        | d    | 20ms
backends.cert_chain                                           | s    | -
backends.private_key                                          | s    | -
extra_headers_to_log                                          | [s]  | -
route_services.max_attempts                                   | i    | 0
route_services.strict_signature_validation                    | b    | false
route_services.cert_chain                                     | s    | -
route_services.private_key                                    | s    | -
route_services.enable_websockets                              | b    | false
route_services.egress_blocklist                               | [s]  | -
token_fetcher_max_retries                                     | u32  | 3
token_fetcher_retry_interval                                  | d    | 5s
token_fetcher_expiration_buffer_time                          | i    | 30
trusted_proxies                                               | [s]  | -
admin.tls.cert_chain_file                                     | s    | -
admin.tls.private_key_file                                    | s    | -
admin.tls.client_ca_certs_file                                | s    | -
nats.enabled                                                  | b    | true
status.tls.certificate_file                                   | s    | -
status.tls.key_file                                           | s    | -
nats.cert_chain_file                                          | s    | -
nats.private_key_file                                         | s    | -
nats.ca_certs_file                                            | s    | -
tls_pem[].cert_chain_file                                     | s    | -
tls_pem[].private_key_file                                    | s    | -
ca_certs_file                                                 | s    | -
client_ca_certs_file                                          | s    | -
domains[].ca_certs_file                                       | s    | -
routing_api.cert_chain_file                                   | s    | -
routing_api.private_key_file                                  | s    | -
routing_api.ca_certs_file                                     | s    | -
backends.cert_chain_file                                      | s    | -
backends.private_key_file                                     | s    | -
route_services.cert_chain_file                                | s    | -
route_services.private_key_file                               | s    | -
tls_session_ticket_key                                        | s    | -
enable_h2c                                                    | b    | false
admin.socket                                                  | s    | -
admin.listen                                                  | s    | -
admin.hosts                                                   | [s]  | -
admin.tokens[].name                                           | s    | -
admin.tokens[].token                                          | s    | -
admin.tokens[].token_file                                     | s    | -
admin.tokens[].role                                           | s    | read
admin.tls.cert_chain                                          | s    | -
admin.tls.private_key                                         | s    | -
admin.tls.client_ca_certs                                     | s    | -
admin.tls.client_role                                         | s    | read
admin.routes_file                                             | s    | -
table_snapshot.file                                           | s    | -
table_snapshot.interval                                       | d    | 30s
pid_file                                                      | s    | -
balancing_algorithm                                           | s    | round-robin
balancing_algorithm_az_preference                             | s    | none
disable_keep_alives                                           | b    | true
max_idle_conns                                                | i    | 100
max_idle_conns_per_host                                       | i    | 2
learn_idle_limits                                             | b    | true
max_request_header_bytes                                      | i    | 0
max_large_header_bytes                                        | i    | 4194304
max_response_header_bytes                                     | i    | 0
max_request_headers                                           | i    | 0
max_response_headers                                          | i    | 0
keep_alive_100_continue_requests                              | b    | false
http_rewrite.responses.add_headers_if_not_present[].name      | s    | -
http_rewrite.responses.add_headers_if_not_present[].value     | s    | -
http_rewrite.responses.remove_headers[].name                  | s    | -
empty_pool_response_code_503                                  | b    | false
empty_pool_timeout                                            | d    | 0s
html_error_template_file                                      | s    | -
per_request_metrics_reporting                                 | b    | true
enable_envelope_v1_metrics                                    | b    | true
send_http_start_stop_server_event                             | b    | true
send_http_start_stop_client_event                             | b    | true
per_app_prometheus_http_metrics_reporting                     | b    | false
healthcheck_poll_interval                                     | d    | 10s
healthcheck_timeout                                           | d    | 5s
domains[].name                                                | s    | -
domains[].domain                                              | s    | -
domains[].ca_certs                                            | s    | -
domains[].forwarded_client_cert                               | s    | sanitize_set
domains[].xfcc_format                                         | s    | raw
"""
ROWS = [tuple(cell.strip() for cell in line.split("|")) for line in TABLE.strip().splitlines()]
FIELDS = dict(entries())
LISTS_OF_SECTIONS = {
    "nats.hosts",
    "tls_pem",
    "verify_client_certificate_metadata",
    "verify_client_certificate_metadata[].valid_cert_subjects",
    "http_rewrite.responses.add_headers_if_not_present",
    "http_rewrite.responses.remove_headers",
    "domains",
    "admin.tokens",
    "tracing.otlp.headers",
}
KINDS: dict[str, Any] = {
    "s": str,
    "b": bool,
    "f": float,
    "d": Duration,
    "[s]": tuple[str, ...],
    "[f]": tuple[float, ...],
}
WIDTHS = {"i": "int", "u16": "u16", "u32": "u32", "uint": "uint", "u16 or -1": "u16 or -1"}


def as_plain(kind: str, text: str) -> Any:
    if kind == "[s]":
        return [] if text == "-" else text.split(",")
    if kind == "f":
        return float(text)
    if kind == "[f]":
        return [float(number) for number in text.split(",")]
    if kind in WIDTHS:
        return 0 if text == "-" else int(text)
    if kind == "d":
        return str(Duration.parse(text))
    return {"-": "", "true": True, "false": False}.get(text, text)


@pytest.mark.parametrize(("key", "kind", "default"), ROWS, ids=[row[0] for row in ROWS])
def test_key(key: str, kind: str, default: str) -> None:
    field = FIELDS[key]
    assert plain(field.default) == as_plain(kind, default)
    if kind in WIDTHS:
        assert field.kind is int
        assert field.width is not None
        assert field.width.name == WIDTHS[kind]
    elif key == "sticky_session_cookie_names":
        assert field.kind == frozenset[str]
    else:
        assert field.kind == KINDS[kind]


def test_there_are_no_other_keys() -> None:
    """Of the names of certificates, the table of the specification has no rows; the test of each has three."""
    others = {path for path in FIELDS if not path.startswith("verify_client_certificate_metadata[]")}
    rows = {row[0] for row in ROWS if not row[0].startswith("verify_client_certificate_metadata[]")}
    assert others - LISTS_OF_SECTIONS == rows
    assert {path for path in FIELDS if path in LISTS_OF_SECTIONS} == LISTS_OF_SECTIONS
    for name in ("issuer_in_chain", "valid_cert_subjects[]"):
        prefix = f"verify_client_certificate_metadata[].{name}."
        assert {path.removeprefix(prefix) for path in FIELDS if path.startswith(prefix)} == {
            *("country", "organization", "organizational_unit", "common_name", "serial_number"),
            *("locality", "province", "street_address", "postal_code"),
        }


def test_the_server_by_default() -> None:
    assert plain(Config().nats.hosts) == [{"hostname": "localhost", "port": 4222}]


@pytest.mark.parametrize("key", [path for path, _ in entries(into_lists=False)])
def test_every_key_is_read(key: str) -> None:
    """A value other than the default arrives, from exactly that name."""
    field = FIELDS[key]
    samples = {str: "value", bool: str(not field.default), int: "1234", float: "0.5", Duration: "77m"}
    samples[tuple[float, ...]] = "[0.5]"
    text = "[{}]" if key in LISTS_OF_SECTIONS else samples.get(field.kind, "[value]")
    *sections, name = key.split(".")
    document = "".join(f"{'  ' * depth}{section}:\n" for depth, section in enumerate(sections))
    value: Any
    value, (lines, _, _) = decode(read(f"{document}{'  ' * len(sections)}{name}: {text}\n".encode()), Config())
    assert lines[key] == len(sections) + 1
    for section in sections:
        value = getattr(value, section)
    assert getattr(value, field.attribute) != field.default
