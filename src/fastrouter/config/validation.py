"""What Gorouter derives from the keys, and the rules it holds them to, in its order and its words (spec 2.3)."""

import math
import os
import re
import socket
from collections.abc import Sequence
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Protocol

import msgspec

from fastrouter.config.ciphers import ALLOWED_NAMES, UnknownCipherError, openssl_names
from fastrouter.config.decoding import Lines, UnknownKey, line_of, written_key
from fastrouter.config.duration import Duration
from fastrouter.config.error import ConfigError
from fastrouter.config.keys import (
    AZ_PREFERENCES,
    BALANCING_ALGORITHMS,
    CLIENT_CERT_VALIDATIONS,
    DEFAULT_TLS_VERSION,
    GENERATIONS,
    MAX_TLS_VERSIONS,
    MIN_TLS_VERSIONS,
    SHARDING_MODES,
    TICKET_KEY_MIN,
    Config,
)
from fastrouter.config.sections import (
    ACCESS_LOG_FORMATS,
    ADMIN_ROLES,
    ADMIN_TOKEN_MIN,
    FORWARDED_CLIENT_CERT_MODES,
    LOG_LEVELS,
    OTLP,
    REDACTION_MODES,
    XFCC_FORMATS,
    KeyPair,
)
from fastrouter.config.span_export import check_export
from fastrouter.logs.error_text import error_text

# How much of two names must be equal, from 0 to 1, for the one to be taken as meant by the other.
SPELT_ALIKE = 0.7

# Bounds that a histogram of the data plane has room for.
MAX_BOUNDS = 30


class Fail(Protocol):
    """Notes a fault. `because` is the key that makes a demand on `key`, for when `key` is not in the file."""

    def __call__(self, text: str, key: str, because: str = "") -> None: ...  # noqa: D102 said above


# RFC 9110 section 5.6.2. Headers of framing and connections are excluded: an operator cannot know their values.
_HEADERS_OF_THE_ROUTER = frozenset({"connection", "content-length", "trailer", "transfer-encoding", "upgrade"})
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST_OR_WILDCARD = re.compile(r"(\*\.)?[a-z\d-]+(\.[a-z\d-]+)+", re.IGNORECASE | re.ASCII)


def process(config: Config, lines: Lines, faults: list[ConfigError]) -> Config:
    """Derive what is derived, and check every rule; broken ones are added to `faults`.

    `faults` has the keys that could not be decoded. They are not what the file says, so no rule is held against them.
    """
    fail = _new_fail(lines, faults, [fault.key.removesuffix("_file") for fault in faults])
    config = _with_derived_values(config, fail)
    _check_identities(config, fail)
    _check_health(config, fail)
    config = _with_tls(config, fail)
    _check_choices(config, fail)
    _check_client_trust(config, fail)
    _check_own_keys(config, fail)
    _check_admin(config, fail)
    return config


def start_faults(config: Config) -> list[ConfigError]:
    """Return what Gorouter finds only later, and dies of with exit code 2 (spec 1.6): level and allow-list."""
    faults: list[ConfigError] = []
    fail = _new_fail(config.derived.lines, faults)
    if config.logging.level not in {*LOG_LEVELS, *(level.upper() for level in LOG_LEVELS)}:
        fail(f'unrecognized level: "{config.logging.level}"', "logging.level")
    for index, entry in enumerate(config.route_services_hairpinning_allowlist):
        if not _HOST_OR_WILDCARD.fullmatch(entry):
            fail(
                f"invalid route service hairpinning allowlist entry: {entry}. "
                "Must be wildcard (*.domain.com) or FQDN (hostname.domain.com)",
                f"route_services_hairpinning_allowlist[{index}]",
            )
    return faults


def _new_fail(lines: Lines, faults: list[ConfigError], refused: Sequence[str] = ()) -> Fail:
    def is_refused(key: str) -> bool:
        return any(key == other or _is_within(key, other) or _is_within(other, key) for other in refused)

    def fail(text: str, key: str, because: str = "") -> None:
        if not is_refused(key) and not (because and is_refused(because)):
            key = written_key(key, lines)
            faults.append(ConfigError(text, key, line_of(key, lines) or line_of(because, lines)))

    return fail


def _is_within(key: str, section: str) -> bool:
    return section == "" or (key.startswith(section) and key[len(section) : len(section) + 1] in (".", "["))


def unknown_key(unknown: UnknownKey) -> ConfigError:
    """Return the fault that a key is which no Gorouter has; it names the known key that is spelt most like it."""
    section, _, name = unknown.path.rpartition(".")
    similar = get_close_matches(name, unknown.siblings, 1, SPELT_ALIKE)
    meant = f", did you mean {section and section + '.'}{similar[0]}?" if similar else ""
    return ConfigError(f"unknown key{meant}", unknown.path, unknown.line)


def local_ip() -> str:
    """Return the address that the kernel would send from to the outside; no packet is sent. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("1.2.3.4", 1))
        address: str = probe.getsockname()[0]
        return address


def _with_derived_values(config: Config, fail: Fail) -> Config:
    address = ""
    try:
        address = local_ip()
    except OSError as error:
        fail(f"dial udp 1.2.3.4:1: connect: {error_text(error)}", "")
    return msgspec.structs.replace(
        config,
        go_max_procs=len(os.sched_getaffinity(0)) if config.go_max_procs == -1 else config.go_max_procs,
        droplet_stale_threshold=max(config.droplet_stale_threshold, config.start_response_delay_interval),
        drain_timeout=config.drain_timeout or config.endpoint_timeout,
        websocket_dial_timeout=config.websocket_dial_timeout or config.endpoint_dial_timeout,
        derived=msgspec.structs.replace(config.derived, local_ip=address),
    )


def _check_identities(config: Config, fail: Fail) -> None:
    for section, pair in (("backends", config.backends), ("route_services", config.route_services)):
        if pair.cert_chain and pair.private_key:
            _check_pair(pair, section, "Error loading key pair", fail)
    if config.has_routing_api:
        _check_pair(config.routing_api, "routing_api", "Error loading key pair", fail)
        _check_bundle(config.routing_api.ca_certs, "routing_api.ca_certs", fail)
    if config.nats.enabled and config.nats.tls_enabled:
        # Later Gorouters do without a client certificate; the baseline would refuse two empty texts (spec 9.12).
        if config.nats.cert_chain or config.nats.private_key:
            _check_pair(config.nats, "nats", "Error loading NATS key pair", fail)
        _check_bundle(config.nats.ca_certs, "nats.ca_certs", fail)


def _check_pair(pair: KeyPair, section: str, failure: str, fail: Fail) -> bool:
    from fastrouter.config.certificates import KeyPairError, check_key_pair  # noqa: PLC0415 80 ms that few files need

    try:
        check_key_pair(pair.cert_chain, pair.private_key)
    except KeyPairError as error:
        fail(f"{failure}: {error}", f"{section}.{'cert_chain' if error.is_certificate else 'private_key'}")
        return False
    return True


def _check_names(cert_chain: str, key: str, fail: Fail) -> None:
    from fastrouter.config.certificates import identity_of  # noqa: PLC0415

    try:
        identity_of(cert_chain)
    except ValueError:
        fail("Error loading key pair: x509: malformed certificate", key)


def _has_certificate(pem: str) -> bool:
    from fastrouter.config.certificates import certificates_of  # noqa: PLC0415

    return bool(certificates_of(pem))


def _check_bundle(pem: str, key: str, fail: Fail) -> None:
    if not _has_certificate(pem):
        # For the CAs of NATS, too, Gorouter's text names the routing API.
        fail(f"Error while adding CACerts to gorouter's routing-api cert pool: \n{pem}\n", key)


def _check_health(config: Config, fail: Fail) -> None:
    tls = config.status.tls
    if not config.has_status_tls:
        if not config.status.enable_nontls_health_checks:
            fail(
                "Neither TLS nor non-TLS health endpoints are enabled. Refusing to start gorouter.",
                "status.enable_nontls_health_checks",
            )
        return
    if not tls.key:
        fail("router.status.tls.key must be provided", "status.tls.key")
    if not tls.certificate:
        fail("router.status.tls.certificate must be provided", "status.tls.certificate")
    if tls.port == 0:
        fail("router.status.tls.port must not be 0", "status.tls.port")
    if not tls.key or not tls.certificate:
        return
    from fastrouter.config.certificates import KeyPairError, check_key_pair  # noqa: PLC0415

    try:
        check_key_pair(tls.certificate, tls.key)
    except KeyPairError as error:
        key = "status.tls.certificate" if error.is_certificate else "status.tls.key"
        fail(f"Error loading router.status.tls certificate/key pair: {error}", key)


def _with_tls(config: Config, fail: Fail) -> Config:
    if not config.enable_ssl:
        if config.disable_http:
            fail(
                "neither http nor https listener is enabled: router.enable_ssl: false, router.disable_http: true",
                "disable_http",
                "enable_ssl",
            )
        return config
    if config.client_cert_validation not in CLIENT_CERT_VALIDATIONS:
        fail(
            "router.client_cert_validation must be one of 'none', 'request' or 'require'.",
            "client_cert_validation",
            "enable_ssl",
        )
    if config.min_tls_version not in MIN_TLS_VERSIONS:
        allowed = ", ".join(f'"{version}"' for version in MIN_TLS_VERSIONS)
        fail(f"router.min_tls_version should be one of {allowed}", "min_tls_version")
    if config.max_tls_version not in MAX_TLS_VERSIONS:
        fail('router.max_tls_version should be one of "TLSv1.2" or "TLSv1.3"', "max_tls_version")
    if not config.tls_pem:
        fail("router.tls_pem must be provided if router.enable_ssl is set to true", "tls_pem", "enable_ssl")
    for index, pair in enumerate(config.tls_pem):
        if not pair.cert_chain or not pair.private_key:
            fail("Error parsing PEM blocks of router.tls_pem, missing cert or key.", f"tls_pem[{index}]")
        elif _check_pair(pair, f"tls_pem[{index}]", "Error loading key pair", fail):
            _check_names(pair.cert_chain, f"tls_pem[{index}].cert_chain", fail)
    ciphers = None
    if not config.cipher_suites.strip():
        fail("must specify list of cipher suite when ssl is enabled", "cipher_suites", "enable_ssl")
    else:
        try:
            ciphers = openssl_names(config.cipher_suites)
        except UnknownCipherError as error:
            allowed = " ".join(ALLOWED_NAMES)
            fail(f"Invalid cipher string configuration: {error}, please choose from [{allowed}]", "cipher_suites")
    derived = msgspec.structs.replace(
        config.derived,
        client_cert_validation=config.client_cert_validation,
        min_tls_version=config.min_tls_version or DEFAULT_TLS_VERSION,
        max_tls_version=config.max_tls_version or DEFAULT_TLS_VERSION,
        openssl_ciphers=ciphers,
    )
    return msgspec.structs.replace(config, derived=derived)


def _check_choices(config: Config, fail: Fail) -> None:
    def choose(value: str, allowed: tuple[str, ...], text: str, key: str) -> None:
        if value not in allowed:
            fail(f"{text} {value}. Allowed values are [{' '.join(allowed)}]", key)

    # `hash` is an algorithm for single routes; Gorouters that have it refuse it here in these words (spec 9.1).
    algorithm = "global load balancing" if config.balancing_algorithm == "hash" else "load balancing"
    choose(config.balancing_algorithm, BALANCING_ALGORITHMS, f"Invalid {algorithm} algorithm", "balancing_algorithm")
    choose(
        config.balancing_algorithm_az_preference,
        AZ_PREFERENCES,
        "Invalid load balancing AZ preference",
        "balancing_algorithm_az_preference",
    )
    if config.load_balancer_healthy_threshold < 0:
        fail(
            f"Invalid load balancer healthy threshold: {config.load_balancer_healthy_threshold}",
            "load_balancer_healthy_threshold",
        )
    choose(
        config.forwarded_client_cert,
        FORWARDED_CLIENT_CERT_MODES,
        "Invalid forwarded client cert mode:",
        "forwarded_client_cert",
    )
    choose(config.routing_table_sharding_mode, SHARDING_MODES, "Invalid sharding mode:", "routing_table_sharding_mode")
    if config.routing_table_sharding_mode == "segments" and not config.isolation_segments:
        fail(
            "Expected isolation segments; routing table sharding mode set to segments and none provided.",
            "isolation_segments",
            "routing_table_sharding_mode",
        )
    choose(config.gorouter_generation, GENERATIONS, "Invalid Gorouter generation:", "gorouter_generation")
    choose(config.access_log.format, ACCESS_LOG_FORMATS, "Invalid access log format:", "access_log.format")
    choose(
        config.logging.redact_query_params,
        REDACTION_MODES,
        "Invalid query param redaction mode:",
        "logging.redact_query_params",
    )


def _check_client_trust(config: Config, fail: Fail) -> None:
    for index, pem in enumerate(config.ca_certs):
        if not _has_certificate(pem):
            fail(f"Error while adding {index} cert in CACerts to gorouter's cert pool", f"ca_certs[{index}]")
    if config.client_ca_certs:
        if not _has_certificate(config.client_ca_certs):
            fail(
                f"Error while adding ClientCACerts to gorouter's client cert pool: \n{config.client_ca_certs}\n",
                "client_ca_certs",
            )
    elif config.only_trust_client_ca_certs and config.derived.client_cert_validation != "none":
        fail(
            "router.client_ca_certs cannot be empty if router.only_trust_client_ca_certs is 'true' and "
            "router.client_cert_validation is set to 'request' or 'require'.",
            "client_ca_certs",
            "only_trust_client_ca_certs",
        )
    if config.enable_verify_client_certificate_metadata and config.verify_client_certificate_metadata:
        _check_client_certificate_rules(config, fail)


def _check_client_certificate_rules(config: Config, fail: Fail) -> None:
    from fastrouter.config.certificates import subjects_of_bundle  # noqa: PLC0415

    try:
        subjects = {str(subject) for subject in subjects_of_bundle(config.client_ca_certs)}
    except ValueError as error:
        fail(str(error), "client_ca_certs", "enable_verify_client_certificate_metadata")
        return
    for index, rule in enumerate(config.verify_client_certificate_metadata):
        if str(rule.issuer_in_chain) not in subjects:
            fail(
                f"no CA certificate found for rule with ca subject {rule.issuer_in_chain}",
                f"verify_client_certificate_metadata[{index}].issuer_in_chain",
            )


def _check_admin(config: Config, fail: Fail) -> None:
    """Check the rules of the admin API that need no file and no address."""
    admin = config.admin
    for index, token in enumerate(admin.tokens):
        place = f"admin.tokens[{index}]"
        if (token.token == "") == (token.token_file == ""):
            fail("Invalid admin token. Either token or token_file must be given", place)
        elif token.token and len(token.token) < ADMIN_TOKEN_MIN:
            fail(f"Invalid admin token. Must have at least {ADMIN_TOKEN_MIN} characters", f"{place}.token")
        if token.role not in ADMIN_ROLES:
            fail(f"Invalid admin role: {token.role}. Allowed values are [{' '.join(ADMIN_ROLES)}]", f"{place}.role")
    tls = admin.tls
    if tls.client_role not in ADMIN_ROLES:
        allowed = " ".join(ADMIN_ROLES)
        fail(f"Invalid admin role: {tls.client_role}. Allowed values are [{allowed}]", "admin.tls.client_role")
    if tls.cert_chain or tls.private_key:
        _check_pair(tls, "admin.tls", "Error loading key pair", fail)
    if tls.client_ca_certs and not _has_certificate(tls.client_ca_certs):
        fail("No CA certificate found for the clients of the admin API", "admin.tls.client_ca_certs")
    if tls.client_ca_certs and not tls.cert_chain:
        fail("The admin API asks for client certificates only with a certificate of its own", "admin.tls.cert_chain")
    if admin.listen and not admin.tokens and not tls.client_ca_certs:
        fail(
            "The admin API listens on an address only for callers with a token or a client certificate: give "
            "admin.tokens, or admin.tls with client_ca_certs",
            "admin.listen",
        )


def _check_added_headers(config: Config, fail: Fail) -> None:
    for index, header in enumerate(config.http_rewrite.responses.add_headers_if_not_present):
        if not header.is_header:
            fail(
                f"Invalid response header: {header.name}: {header.value}. Must be a name and a value of one line",
                f"http_rewrite.responses.add_headers_if_not_present[{index}]",
            )
        elif header.name.lower() in _HEADERS_OF_THE_ROUTER:
            fail(
                f"Invalid response header: {header.name} is for the router itself to set",
                f"http_rewrite.responses.add_headers_if_not_present[{index}].name",
            )


def _check_own_keys(config: Config, fail: Fail) -> None:
    """Check what Gorouter of April 2025 has no rules for, in words of our own."""
    for name, bounds in msgspec.structs.asdict(config.prometheus.meters).items():
        if sum(map(math.isfinite, bounds)) > MAX_BOUNDS:
            fail(f"Too many histogram buckets. At most {MAX_BOUNDS} are possible", f"prometheus.meters.{name}")
    for index, entry in enumerate(config.trusted_proxies):
        try:
            ip_network(entry, strict=False)
        except ValueError:
            fail(f"Invalid trusted proxy: {entry}. Must be a network such as 10.0.0.0/8", f"trusted_proxies[{index}]")
    for index, entry in enumerate(config.route_services.egress_blocklist):
        try:
            ip_network(entry, strict=False)
        except ValueError:
            fail(
                f"Invalid route service egress block-list entry: {entry}. Must be a network such as 10.0.0.0/8",
                f"route_services.egress_blocklist[{index}]",
            )
    if 0 < len(config.tls_session_ticket_key) < TICKET_KEY_MIN:
        fail(
            f"Invalid TLS session ticket key. Must be empty or have at least {TICKET_KEY_MIN} characters",
            "tls_session_ticket_key",
        )
    if config.table_snapshot.interval < Duration.of(1):
        fail(
            f"Invalid interval of table snapshots: {config.table_snapshot.interval}. Must be at least 1s",
            "table_snapshot.interval",
        )
    _check_added_headers(config, fail)
    if _CONTROL.search(config.tracing.w3c_tenant_id):
        fail("Invalid W3C tenant id. Must be a text without control characters", "tracing.w3c_tenant_id")
    if config.tracing.otlp.endpoint:
        check_export(config.tracing, fail)
        _check_identity_at(config.tracing.otlp, "tracing.otlp", fail)
    _check_domains(config, fail)


def _check_identity_at(otlp: OTLP, section: str, fail: Fail) -> None:
    if otlp.cert_chain or otlp.private_key:
        _check_pair(otlp, section, "Error loading key pair", fail)
    if otlp.ca_certs and not _has_certificate(otlp.ca_certs):
        fail("No CA certificate found for the collector", f"{section}.ca_certs")


def _check_domains(config: Config, fail: Fail) -> None:
    seen: set[str] = set()
    for index, domain in enumerate(config.domains):
        place = f"domains[{index}]"
        if domain.name.lower() in seen:
            fail(f"Duplicate mTLS domain: {domain.name}", f"{place}.name")
        seen.add(domain.name.lower())
        if not _HOST_OR_WILDCARD.fullmatch(domain.name):
            fail(f"Invalid mTLS domain: {domain.name}. Must be app.domain.com or *.domain.com", f"{place}.name")
        if not _has_certificate(domain.ca_certs):
            fail(f"No CA certificate found for mTLS domain {domain.name}", f"{place}.ca_certs")
        mode, format_ = domain.forwarded_client_cert, domain.xfcc_format
        if mode not in FORWARDED_CLIENT_CERT_MODES:
            allowed = " ".join(FORWARDED_CLIENT_CERT_MODES)
            fail(
                f"Invalid forwarded client cert mode: {mode}. Allowed values are [{allowed}]",
                f"{place}.forwarded_client_cert",
            )
        if format_ not in XFCC_FORMATS:
            fail(
                f"Invalid XFCC format: {format_}. Allowed values are [{' '.join(XFCC_FORMATS)}]", f"{place}.xfcc_format"
            )
