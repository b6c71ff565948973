"""From the configuration to the options of the router's parts: the one module that knows both."""

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from fastrouter.bus.bus import BusOptions, BusTLS
from fastrouter.bus.connection import NatsServer
from fastrouter.cli.telemetry_options import with_export, with_metron
from fastrouter.config import Config
from fastrouter.config.duration import Duration
from fastrouter.config.keys import CURRENT
from fastrouter.control.options import RouterOptions, SnapshotOptions, usable_cpus
from fastrouter.ipc.messages import (
    AccessLogOptions,
    BackendTLS,
    ClientRule,
    DomainTLS,
    Hairpin,
    HairpinTLS,
    Identity,
    ProxyProtocol,
    RouteServicesOptions,
    RouteServiceTLS,
    ServerTLS,
    SettingsValues,
    SyslogOptions,
)
from fastrouter.net.address import Address
from fastrouter.observe.histogram import HistogramBounds, usable_bounds
from fastrouter.observe.metrics_listener import MetricsOptions, MetricsTLS
from fastrouter.observe.status_listeners import StatusOptions, StatusTLS
from fastrouter.registry.sharding import ShardingMode
from fastrouter.route_services.signature import derive_key
from fastrouter.routing_api.options import RoutingAPIOptions, UAAOptions

if TYPE_CHECKING:
    from fastrouter.tls.internal_ca import InternalIdentities

# Headers that tracing adds to those of the access log (spec 6.2).
ZIPKIN_HEADERS = ("X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "b3")
W3C_HEADERS = ("traceparent", "tracestate")

# Go's limits, where a key is 0 or out of range (spec 2.2).
MAX_REQUEST_HEAD = 1024 * 1024
MAX_RESPONSE_HEAD = 10 * 1024 * 1024
IDLE_PER_HOST = 2
# Values that stand for no limit and fit the data plane's types. A head has no room for so many fields.
YEAR = 365 * 24 * 3600.0
UNLIMITED = 2**31 - 1
UNLIMITED_FIELDS = 2**24

# Keys that are applied when the file is read again. TLS versions and suites are not among them: they hold for health
# endpoints and backends, too, which need a restart.
RELOADED = frozenset(
    {
        "client_ca_certs",
        "client_ca_certs_file",
        "client_cert_validation",
        "domains",
        "enable_verify_client_certificate_metadata",
        "only_trust_client_ca_certs",
        "tls_pem",
        "tls_session_ticket_key",
        "verify_client_certificate_metadata",
    }
)

# Seconds that a request without a route waits for one, at most: its registration may be on the way.
ROUTE_PATIENCE = 0.004


def options_of(config: Config, *, workers: int = 0) -> RouterOptions:
    """Return the options of the router that `config` describes; `workers` 0 leaves their number to `go_max_procs`."""
    options = RouterOptions(
        listen=None if config.disable_http else Address("", config.port),
        tls_listen=Address("", config.ssl_port) if config.enable_ssl else None,
        front_tls=front_tls_of(config) if config.enable_ssl else None,
        proxy_protocol=ProxyProtocol(tuple(config.trusted_proxies)) if config.enable_proxy else None,
        workers=workers or (config.go_max_procs if config.go_max_procs > 0 else usable_cpus()),
        settings=settings_of(config),
        backend_tls=BackendTLS(
            ca_certs=tuple(config.ca_certs),
            **config.backends.whole(),
            ciphers=config.derived.openssl_ciphers or (),
        ),
        access_log=_access_log_of(config),
        oversized_head=config.max_request_header_bytes if config.max_request_header_bytes > MAX_REQUEST_HEAD else 0,
        registry={
            "stale_threshold": config.droplet_stale_threshold.seconds,
            "empty_pool_timeout": config.empty_pool_timeout.seconds if config.empty_pool_response_code_503 else 0.0,
            "is_http2_enabled": config.enable_http2,
            "balancing_algorithm": config.balancing_algorithm,
            "is_current": config.gorouter_generation == CURRENT,
            "sharding_mode": ShardingMode(config.routing_table_sharding_mode),
            "isolation_segments": config.isolation_segments,
            "is_observing_apps": config.per_app_prometheus_http_metrics_reporting,
            "is_observing_routes": config.prometheus.enabled and config.prometheus.route_latency,
        },
        prune_interval=max(0.0, config.prune_stale_droplets_interval.seconds),
        start_delay=config.start_response_delay_interval.seconds,
        drain_wait=config.drain_wait.seconds,
        drain_timeout=config.drain_timeout.seconds,
        bus=_bus_of(config) if config.nats.enabled else None,
        table_snapshot=_table_snapshot_of(config) if config.table_snapshot.file else None,
        routing_api=_routing_api_of(config) if config.has_routing_api else None,
        status=_status_of(config),
        metrics=_metrics_of(config),
        debug_address=config.debug_addr,
        histogram_bounds=_histogram_bounds_of(config),
    )
    options = _with_route_services(options, config) if config.has_route_services else options
    options = with_metron(options, config) if config.enable_envelope_v1_metrics else options
    return with_export(options, config) if config.tracing.otlp.endpoint else options


def front_tls_of(config: Config) -> ServerTLS:
    """Return the TLS of the HTTPS listener, where `enable_ssl` is set."""
    from fastrouter.config.certificates import identity_of  # noqa: PLC0415 80 ms that few files need

    derived = config.derived
    rules = config.verify_client_certificate_metadata if config.enable_verify_client_certificate_metadata else ()
    return ServerTLS(
        identities=tuple(
            Identity(*identity_of(pair.cert_chain), pair.cert_chain, pair.private_key) for pair in config.tls_pem
        ),
        min_version=derived.min_tls_version,
        max_version=derived.max_tls_version,
        ciphers=derived.openssl_ciphers,
        client_certificates=derived.client_cert_validation,  # type: ignore[arg-type]  # validated
        client_ca_certs=config.client_ca_certs,
        trusts_system_roots=not config.only_trust_client_ca_certs,
        client_rules=tuple(
            ClientRule(str(rule.issuer_in_chain), tuple(map(str, rule.valid_cert_subjects))) for rule in rules
        ),
        # Without the key, Gorouter does not negotiate ALPN.
        protocols=("h2", "http/1.1") if config.enable_http2 else (),
        ticket_secret=config.tls_session_ticket_key.encode(),
        domains=tuple(
            DomainTLS(domain.name, domain.ca_certs, domain.forwarded_client_cert, domain.xfcc_format)
            for domain in config.domains
        ),
    )


def settings_of(config: Config) -> SettingsValues:
    """Return the data plane's settings."""
    return {
        "route_patience": ROUTE_PATIENCE,
        "max_attempts": min(max(1, config.backends.max_attempts), UNLIMITED),
        "dial_timeout": _limit(config.endpoint_dial_timeout),
        "endpoint_timeout": _limit(config.http_1_endpoint_timeout or config.endpoint_timeout),
        "http2_endpoint_timeout": _limit(config.http_2_endpoint_timeout or config.endpoint_timeout) or YEAR,
        "http2_ping_interval": _limit(config.http2_ping_interval),
        "http2_ping_timeout": _limit(config.http2_ping_timeout) or YEAR,
        "frontend_idle_timeout": _limit(config.frontend_idle_timeout),
        "read_header_timeout": _limit(config.read_header_timeout),
        "backend_keep_alive": not config.disable_keep_alives,
        "max_idle_per_endpoint": _max_idle(config),
        "learns_idle_limits": config.learn_idle_limits,
        "max_request_head": _head_size(config.max_request_header_bytes),
        "max_large_heads": max(0, min(config.max_large_header_bytes, UNLIMITED)),
        "max_request_headers": _field_count(config.max_request_headers),
        "max_response_head": _response_head_size(config.max_response_header_bytes),
        "max_response_headers": _field_count(config.max_response_headers),
        "empty_pool_503": config.empty_pool_response_code_503,
        "tls_handshake_timeout": _limit(config.tls_handshake_timeout),
        "keep_alive_probe_interval": config.endpoint_keep_alive_probe_interval.seconds,
        "max_conns": max(0, min(config.backends.max_conns, UNLIMITED)),
        "balancing_algorithm": config.balancing_algorithm,
        "az_preference": config.balancing_algorithm_az_preference,
        "zone": config.zone,
        "failure_memory": _limit(config.droplet_stale_threshold) / 4,
        "distrust_memory": _limit(config.backends.distrust_memory),
        "bodiless_rest": _limit(config.backends.bodiless_rest),
        "sticky_cookie_names": tuple(config.sticky_session_cookie_names),
        "sticky_for_negotiate": config.sticky_sessions_for_auth_negotiate,
        "secure_cookies": config.secure_cookies,
        "keeps_sticky_metadata": config.sticky_session_metadata,
        "traces_zipkin": config.tracing.enable_zipkin,
        "traces_w3c": config.tracing.enable_w3c,
        "w3c_tenant_id": config.tracing.w3c_tenant_id,
        "propagates_only": config.tracing.propagate_only,
        "healthcheck_user_agent": config.healthcheck_user_agent,
        "trace_key": config.trace_key,
        "local_ip": config.derived.local_ip,
        "forwarded_client_cert": config.forwarded_client_cert,
        "forces_proto_https": config.force_forwarded_proto_https,
        "sanitizes_proto": config.sanitize_forwarded_proto,
        "hop_by_hop_filter": tuple(config.hop_by_hop_headers_to_filter),
        "removed_headers": tuple(header.name for header in config.http_rewrite.responses.remove_headers),
        "added_headers": tuple(
            f"{header.name}: {header.value}" for header in config.http_rewrite.responses.add_headers_if_not_present
        ),
        # The environment variable of Go that Gorouter heeds, too (spec 2.5).
        "takes_empty_length": "httplaxcontentlength=1" in os.environ.get("GODEBUG", "").split(","),
        # Each observation costs some time per request, so it is made only where a metric shows it.
        "takes_h2c": config.enable_http2 and config.enable_h2c,
        "observes_requests": config.per_request_metrics_reporting
        and (config.has_admin or config.prometheus.enabled or config.status.enable_deprecated_varz_healthz_endpoints),
        "observes_apps": config.per_app_prometheus_http_metrics_reporting and config.prometheus.enabled,
        "observes_routes": config.prometheus.enabled and config.prometheus.route_latency,
    }


def _access_log_of(config: Config) -> AccessLogOptions:
    logging = config.logging
    return AccessLogOptions(
        file=config.access_log.file or None,
        syslog=_syslog_of(config) if config.access_log.enable_streaming else None,
        line={
            "is_json": config.access_log.format == "json",
            "logs_refused": config.access_log.refused_requests,
            "extra_fields": logging.extra_access_log_fields,
            "extra_headers": (
                *config.extra_headers_to_log,
                *(ZIPKIN_HEADERS if config.tracing.enable_zipkin else ()),
                *(W3C_HEADERS if config.tracing.enable_w3c else ()),
            ),
            "hides_forwarded_for": logging.disable_log_forwarded_for,
            "hides_source": logging.disable_log_source_ip,
            "redaction": logging.redact_query_params,
        },
    )


def _syslog_of(config: Config) -> SyslogOptions:
    logging = config.logging
    return SyslogOptions(
        network=logging.syslog_network,
        address=logging.syslog_addr,
        app_name=logging.syslog,
        truncate=max(0, logging.syslog_truncate),
    )


def _limit(duration: Duration) -> float:
    """Return a limit in seconds, where 0 and less mean that there is none, and a year is as good as none."""
    return max(0.0, min(duration.seconds, YEAR))


def _response_head_size(configured: int) -> int:
    return min(configured, UNLIMITED) if configured > 0 else MAX_RESPONSE_HEAD


def _head_size(configured: int) -> int:
    return configured if 0 < configured <= MAX_REQUEST_HEAD else MAX_REQUEST_HEAD


def _field_count(configured: int) -> int:
    return min(configured, UNLIMITED_FIELDS) if configured > 0 else UNLIMITED_FIELDS


def _max_idle(config: Config) -> int:
    # In Go, 0 means the default per host and no limit for all hosts; a transport of Gorouter has one host only.
    per_host = config.max_idle_conns_per_host or IDLE_PER_HOST
    return max(0, min(per_host, config.max_idle_conns or UNLIMITED, UNLIMITED))


def _with_route_services(options: RouterOptions, config: Config) -> RouterOptions:
    services = _route_services_of(config)
    if not config.route_services_hairpinning:
        return replace(options, route_services=services)
    from fastrouter.tls.internal_ca import INTERNAL_HOST, new_internal_identities  # noqa: PLC0415 100 ms, for few

    identities = new_internal_identities(services.key)
    return replace(
        options,
        route_services=msgspec.structs.replace(services, hairpin=_hairpin_of(config, identities)),
        internal_listen=Address(INTERNAL_HOST, config.route_services_internal_server_port),
        internal_tls=_internal_tls_of(config, identities),
    )


def _route_services_of(config: Config) -> RouteServicesOptions:
    given = config.route_services
    previous_secret = config.route_services_secret_decrypt_only
    return RouteServicesOptions(
        key=derive_key(config.route_services_secret),
        previous_key=derive_key(previous_secret) if previous_secret else b"",
        lifetime=config.route_services_timeout.seconds,
        tls=RouteServiceTLS(
            min_version=config.derived.min_tls_version,
            max_version=config.derived.max_tls_version,
            skip_ssl_validation=config.skip_ssl_validation,
            ca_certs=tuple(config.ca_certs),
            **given.whole(),
            ciphers=config.derived.openssl_ciphers,
        ),
        max_attempts=min(max(1, given.max_attempts), UNLIMITED),
        recommends_https=config.route_services_recommend_https,
        is_strict=given.strict_signature_validation,
        allows_websockets=given.enable_websockets,
        blocked_networks=tuple(given.egress_blocklist),
    )


def _hairpin_of(config: Config, identities: "InternalIdentities") -> Hairpin:
    return Hairpin(
        # Of the internal listener; 0 lets the kernel choose.
        port=config.route_services_internal_server_port,
        tls=HairpinTLS(
            min_version=config.derived.min_tls_version,
            max_version=config.derived.max_tls_version,
            ca_cert=identities.ca_cert,
            cert_chain=identities.client.cert_chain,
            private_key=identities.client.private_key,
            ciphers=config.derived.openssl_ciphers,
        ),
        allow_list=tuple(config.route_services_hairpinning_allowlist),
    )


def _internal_tls_of(config: Config, identities: "InternalIdentities") -> ServerTLS:
    return ServerTLS(
        identities=identities.servers,
        min_version=config.derived.min_tls_version,
        max_version=config.derived.max_tls_version,
        ciphers=config.derived.openssl_ciphers,
        client_certificates="require",
        client_ca_certs=identities.ca_cert,
    )


def _bus_of(config: Config) -> BusOptions:
    nats = config.nats
    return BusOptions(
        servers=[NatsServer(host.hostname, host.port) for host in nats.hosts],
        user=nats.user,
        password=nats.pass_,
        tls=BusTLS(ca_certs=nats.ca_certs, cert_chain=nats.cert_chain, private_key=nats.private_key)
        if nats.tls_enabled
        else None,
        ping_interval=config.nats_client_ping_interval.seconds,
        index=config.index,
        local_ip=config.derived.local_ip,
        register_interval=config.start_response_delay_interval.seconds,
        prune_threshold=config.droplet_stale_threshold.seconds,
        suspend_pruning=config.suspend_pruning_if_nats_unavailable,
        active_apps_interval=max(0.0, config.publish_active_apps_interval.seconds),
    )


def _table_snapshot_of(config: Config) -> SnapshotOptions:
    return SnapshotOptions(file=config.table_snapshot.file, interval=config.table_snapshot.interval.seconds)


def _routing_api_of(config: Config) -> RoutingAPIOptions:
    given, oauth = config.routing_api, config.oauth
    return RoutingAPIOptions(
        url=f"{given.uri}:{given.port}",
        ca_certs=given.ca_certs,
        cert_chain=given.cert_chain,
        private_key=given.private_key,
        uaa=None
        if given.auth_disabled
        else UAAOptions(
            host=oauth.token_endpoint,
            port=oauth.port,
            client_name=oauth.client_name,
            client_secret=oauth.client_secret,
            ca_file=oauth.ca_certs,
            skip_ssl_validation=oauth.skip_ssl_validation,
            max_retries=config.token_fetcher_max_retries,
            retry_interval=max(0.0, config.token_fetcher_retry_interval.seconds),
            expiration_buffer=config.token_fetcher_expiration_buffer_time,
        ),
        # Gorouter divides whole nanoseconds.
        refresh_interval=max(0.0, config.prune_stale_droplets_interval.seconds / 2),
    )


def _metrics_of(config: Config) -> MetricsOptions | None:
    prometheus = config.prometheus
    if not prometheus.enabled:
        return None
    # Port 0 is for tests; Gorouter uses no TLS then.
    has_tls = prometheus.port != 0 and prometheus.cert_path != ""
    return MetricsOptions(
        port=prometheus.port,
        tls=MetricsTLS(cert_path=prometheus.cert_path, key_path=prometheus.key_path, ca_path=prometheus.ca_path)
        if has_tls
        else None,
        has_gauges=prometheus.gauges,
    )


def _histogram_bounds_of(config: Config) -> HistogramBounds:
    meters = config.prometheus.meters
    return HistogramBounds(
        route_lookup_time=usable_bounds(meters.route_lookup_time_histogram_buckets),
        gorouter_time=usable_bounds(meters.gorouter_time_histogram_buckets),
        latency=usable_bounds(meters.routing_response_latency_histogram_buckets),
        http_latency_seconds=usable_bounds(meters.http_latency_histogram_buckets),
        route_registration_latency=usable_bounds(meters.route_registration_latency_histogram_buckets),
    )


def _status_of(config: Config) -> StatusOptions:
    status = config.status
    is_component = status.enable_deprecated_varz_healthz_endpoints
    return StatusOptions(
        user=status.user,
        password=status.pass_,
        routes_port=status.routes.port,
        # The component listener is there whether or not health without TLS is wanted.
        health_port=status.port if status.enable_nontls_health_checks or is_component else None,
        component_host=status.host if is_component else None,
        tls=StatusTLS(
            port=status.tls.port,
            certificate=status.tls.certificate,
            key=status.tls.key,
            min_version=config.derived.min_tls_version,
            max_version=config.derived.max_tls_version,
            ciphers=config.derived.openssl_ciphers,
        )
        if config.has_status_tls
        else None,
    )
