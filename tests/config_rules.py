"""Gorouter's rules for its configuration (spec 2.3), in its order: what breaks each, and the text it is refused with.

In a document `<cert>` and `<key>` stand for a pair in PEM, `<other key>` for the key of another pair, `<ca>` for a CA.
"""

from typing import Any, NamedTuple

import trustme

TLS: dict[str, Any] = {
    "enable_ssl": True,
    "client_cert_validation": "none",
    "tls_pem": [{"cert_chain": "<cert>", "private_key": "<key>"}],
    "cipher_suites": "ECDHE-RSA-AES128-GCM-SHA256",
}
PAIR = {"cert_chain": "<cert>", "private_key": "<key>"}
NO_CERTIFICATE = {"cert_chain": "no pem", "private_key": "<key>"}
NO_KEY = {"cert_chain": "<cert>", "private_key": "no pem"}
MISMATCH = {"cert_chain": "<cert>", "private_key": "<other key>"}
ROUTING_API = {"uri": "https://api.test", "port": 3001, "ca_certs": "<ca>", **PAIR}
NATS = {"tls_enabled": True, "ca_certs": "<ca>", **PAIR}
STATUS_TLS = {"port": 8443, "certificate": "<cert>", "key": "<key>"}

CIPHERS = (
    "RC4-SHA DES-CBC3-SHA AES128-SHA AES256-SHA AES128-SHA256 AES128-GCM-SHA256 AES256-GCM-SHA384 "
    "ECDHE-ECDSA-RC4-SHA ECDHE-ECDSA-AES128-SHA ECDHE-ECDSA-AES256-SHA ECDHE-RSA-RC4-SHA ECDHE-RSA-DES-CBC3-SHA "
    "ECDHE-RSA-AES128-SHA ECDHE-RSA-AES256-SHA ECDHE-ECDSA-AES128-SHA256 ECDHE-RSA-AES128-SHA256 "
    "ECDHE-RSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384 "
    "ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-RSA-CHACHA20-POLY1305 ECDHE-ECDSA-CHACHA20-POLY1305 "
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305 TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305 TLS_RSA_WITH_RC4_128_SHA "
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA TLS_RSA_WITH_AES_128_CBC_SHA TLS_RSA_WITH_AES_256_CBC_SHA "
    "TLS_RSA_WITH_AES_128_CBC_SHA256 TLS_RSA_WITH_AES_128_GCM_SHA256 TLS_RSA_WITH_AES_256_GCM_SHA384 "
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA "
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA "
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256 "
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 "
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 "
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 "
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 TLS_AES_128_GCM_SHA256 TLS_AES_256_GCM_SHA384 "
    "TLS_CHACHA20_POLY1305_SHA256"
)


class Rule(NamedTuple):
    """A document that breaks one rule, the text of the rule, and the key that is named with it."""

    document: dict[str, Any]
    text: str
    key: str


NO_PEM_IN_CERTIFICATE = "tls: failed to find any PEM data in certificate input"
NO_PEM_IN_KEY = "tls: failed to find any PEM data in key input"
NO_PAIR = "tls: private key does not match public key"

RULES = {
    "backends: certificate": Rule(
        {"backends": NO_CERTIFICATE},
        f"Error loading key pair: {NO_PEM_IN_CERTIFICATE}",
        "backends.cert_chain",
    ),
    "backends: key": Rule(
        {"backends": NO_KEY},
        f"Error loading key pair: {NO_PEM_IN_KEY}",
        "backends.private_key",
    ),
    "backends: no pair": Rule(
        {"backends": MISMATCH},
        f"Error loading key pair: {NO_PAIR}",
        "backends.private_key",
    ),
    "backends: switched": Rule(
        {"backends": {"cert_chain": "<key>", "private_key": "<cert>"}},
        "Error loading key pair: tls: failed to find certificate PEM data in certificate input, "
        "but did find a private key; PEM inputs may have been switched",
        "backends.cert_chain",
    ),
    "backends: certificate twice": Rule(
        {"backends": {"cert_chain": "<cert>", "private_key": "<cert>"}},
        "Error loading key pair: tls: found a certificate rather than a key in the PEM for the private key",
        "backends.private_key",
    ),
    "route services: no pair": Rule(
        {"route_services": MISMATCH},
        f"Error loading key pair: {NO_PAIR}",
        "route_services.private_key",
    ),
    "routing API: no identity": Rule(
        {"routing_api": {"uri": "https://api.test", "port": 3001}},
        f"Error loading key pair: {NO_PEM_IN_CERTIFICATE}",
        "routing_api.cert_chain",
    ),
    "routing API: CA": Rule(
        {"routing_api": {**ROUTING_API, "ca_certs": "no pem"}},
        "Error while adding CACerts to gorouter's routing-api cert pool: \nno pem\n",
        "routing_api.ca_certs",
    ),
    "NATS: no pair": Rule(
        {"nats": {**NATS, **MISMATCH}},
        f"Error loading NATS key pair: {NO_PAIR}",
        "nats.private_key",
    ),
    "NATS: certificate without key": Rule(
        {"nats": {**NATS, "private_key": ""}},
        f"Error loading NATS key pair: {NO_PEM_IN_KEY}",
        "nats.private_key",
    ),
    "NATS: CA": Rule(
        {"nats": {**NATS, "ca_certs": "no pem"}},
        "Error while adding CACerts to gorouter's routing-api cert pool: \nno pem\n",
        "nats.ca_certs",
    ),
    "health: none": Rule(
        {"status": {"enable_nontls_health_checks": False}},
        "Neither TLS nor non-TLS health endpoints are enabled. Refusing to start gorouter.",
        "status.enable_nontls_health_checks",
    ),
    "health: key": Rule(
        {"status": {"tls": {**STATUS_TLS, "key": ""}}},
        "router.status.tls.key must be provided",
        "status.tls.key",
    ),
    "health: certificate": Rule(
        {"status": {"tls": {**STATUS_TLS, "certificate": ""}}},
        "router.status.tls.certificate must be provided",
        "status.tls.certificate",
    ),
    "health: another port alone": Rule(
        {"status": {"tls": {"port": 8444}}},
        "router.status.tls.key must be provided",
        "status.tls.key",
    ),
    "health: port": Rule(
        {"status": {"tls": {**STATUS_TLS, "port": 0}}},
        "router.status.tls.port must not be 0",
        "status.tls.port",
    ),
    "health: no pair": Rule(
        {"status": {"tls": {**STATUS_TLS, "key": "<other key>"}}},
        f"Error loading router.status.tls certificate/key pair: {NO_PAIR}",
        "status.tls.key",
    ),
    "TLS: client validation missing": Rule(
        {**TLS, "client_cert_validation": ""},
        "router.client_cert_validation must be one of 'none', 'request' or 'require'.",
        "client_cert_validation",
    ),
    "TLS: client validation": Rule(
        {**TLS, "client_cert_validation": "None"},
        "router.client_cert_validation must be one of 'none', 'request' or 'require'.",
        "client_cert_validation",
    ),
    "TLS: lowest version": Rule(
        {**TLS, "min_tls_version": "TLSv1.4"},
        'router.min_tls_version should be one of "", "TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1.0"',
        "min_tls_version",
    ),
    "TLS: highest version": Rule(
        {**TLS, "max_tls_version": "TLSv1.1"},
        'router.max_tls_version should be one of "TLSv1.2" or "TLSv1.3"',
        "max_tls_version",
    ),
    "TLS: no certificates": Rule(
        {**TLS, "tls_pem": []},
        "router.tls_pem must be provided if router.enable_ssl is set to true",
        "tls_pem",
    ),
    "TLS: no key": Rule(
        {**TLS, "tls_pem": [PAIR, {"cert_chain": "<cert>"}]},
        "Error parsing PEM blocks of router.tls_pem, missing cert or key.",
        "tls_pem[1]",
    ),
    "TLS: no certificate": Rule(
        {**TLS, "tls_pem": [{"private_key": "<key>"}]},
        "Error parsing PEM blocks of router.tls_pem, missing cert or key.",
        "tls_pem[0]",
    ),
    "TLS: no pair": Rule(
        {**TLS, "tls_pem": [MISMATCH]},
        f"Error loading key pair: {NO_PAIR}",
        "tls_pem[0].private_key",
    ),
    "TLS: no ciphers": Rule(
        {**TLS, "cipher_suites": ""},
        "must specify list of cipher suite when ssl is enabled",
        "cipher_suites",
    ),
    "TLS: blank ciphers": Rule(
        {**TLS, "cipher_suites": "  "},
        "must specify list of cipher suite when ssl is enabled",
        "cipher_suites",
    ),
    "TLS: unknown cipher": Rule(
        {**TLS, "cipher_suites": "AES128-SHA:potato"},
        f"Invalid cipher string configuration: potato, please choose from [{CIPHERS}]",
        "cipher_suites",
    ),
    "no listener": Rule(
        {"disable_http": True},
        "neither http nor https listener is enabled: router.enable_ssl: false, router.disable_http: true",
        "disable_http",
    ),
    "balancing algorithm": Rule(
        {"balancing_algorithm": "foo-bar"},
        "Invalid load balancing algorithm foo-bar. Allowed values are [round-robin least-connection]",
        "balancing_algorithm",
    ),
    "balancing algorithm of single routes": Rule(
        {"balancing_algorithm": "hash"},
        "Invalid global load balancing algorithm hash. Allowed values are [round-robin least-connection]",
        "balancing_algorithm",
    ),
    "generation": Rule(
        {"gorouter_generation": "2023"},
        "Invalid Gorouter generation: 2023. Allowed values are [april-2025 current]",
        "gorouter_generation",
    ),
    "zone preference": Rule(
        {"balancing_algorithm_az_preference": "foo-bar"},
        "Invalid load balancing AZ preference foo-bar. Allowed values are [none locally-optimistic]",
        "balancing_algorithm_az_preference",
    ),
    "healthy threshold": Rule(
        {"load_balancer_healthy_threshold": "-90s"},
        "Invalid load balancer healthy threshold: -1m30s",
        "load_balancer_healthy_threshold",
    ),
    "client certificate mode": Rule(
        {"forwarded_client_cert": "foo"},
        "Invalid forwarded client cert mode: foo. Allowed values are [always_forward forward sanitize_set]",
        "forwarded_client_cert",
    ),
    "sharding mode": Rule(
        {"routing_table_sharding_mode": "foo"},
        "Invalid sharding mode: foo. Allowed values are [all segments shared-and-segments]",
        "routing_table_sharding_mode",
    ),
    "no segments": Rule(
        {"routing_table_sharding_mode": "segments"},
        "Expected isolation segments; routing table sharding mode set to segments and none provided.",
        "isolation_segments",
    ),
    "redaction mode": Rule(
        {"logging": {"redact_query_params": "foo"}},
        "Invalid query param redaction mode: foo. Allowed values are [none all hash]",
        "logging.redact_query_params",
    ),
    "CA": Rule(
        {"ca_certs": ["<ca>", "no pem"]},
        "Error while adding 1 cert in CACerts to gorouter's cert pool",
        "ca_certs[1]",
    ),
    "client CA": Rule(
        {"client_ca_certs": "no pem"},
        "Error while adding ClientCACerts to gorouter's client cert pool: \nno pem\n",
        "client_ca_certs",
    ),
    "client CA missing: request": Rule(
        {**TLS, "client_cert_validation": "request", "only_trust_client_ca_certs": True},
        "router.client_ca_certs cannot be empty if router.only_trust_client_ca_certs is 'true' and "
        "router.client_cert_validation is set to 'request' or 'require'.",
        "client_ca_certs",
    ),
    "client CA missing: require": Rule(
        {**TLS, "client_cert_validation": "require", "only_trust_client_ca_certs": True},
        "router.client_ca_certs cannot be empty if router.only_trust_client_ca_certs is 'true' and "
        "router.client_cert_validation is set to 'request' or 'require'.",
        "client_ca_certs",
    ),
    "client certificate rule: no bundle": Rule(
        {
            "enable_verify_client_certificate_metadata": True,
            "verify_client_certificate_metadata": [{"issuer_in_chain": {"common_name": "any"}}],
        },
        "no PEM blocks",
        "client_ca_certs",
    ),
    "client certificate rule: no such CA": Rule(
        {
            "enable_verify_client_certificate_metadata": True,
            "client_ca_certs": "<ca>",
            "verify_client_certificate_metadata": [
                {"issuer_in_chain": {"common_name": "a, b", "country": ["DE"], "organizational_unit": ["x", "y"]}}
            ],
        },
        "no CA certificate found for rule with ca subject CN=a\\, b,OU=x+OU=y,C=DE",
        "verify_client_certificate_metadata[0].issuer_in_chain",
    ),
}

OTLP = {"endpoint": "https://collector:4318/v1/traces"}
_NO_SPANS = "Spans can only be exported with tracing.enable_w3c and without tracing.propagate_only"


# Rules that Gorouter applies when it starts, with exit code 2 (spec 1.6); and those for what it does not have.
FURTHER_RULES = {
    "log level": Rule({"logging": {"level": "Info"}}, 'unrecognized level: "Info"', "logging.level"),
    "allow-list": Rule(
        {"route_services_hairpinning_allowlist": ["ok.test", "*.*.test"]},
        "invalid route service hairpinning allowlist entry: *.*.test. "
        "Must be wildcard (*.domain.com) or FQDN (hostname.domain.com)",
        "route_services_hairpinning_allowlist[1]",
    ),
    "response header": Rule(
        {"http_rewrite": {"responses": {"add_headers_if_not_present": [{"name": "X-A", "value": "1\n2"}]}}},
        "Invalid response header: X-A: 1\n2. Must be a name and a value of one line",
        "http_rewrite.responses.add_headers_if_not_present[0]",
    ),
    "response header's name": Rule(
        {"http_rewrite": {"responses": {"add_headers_if_not_present": [{"name": "X A", "value": "1"}]}}},
        "Invalid response header: X A: 1. Must be a name and a value of one line",
        "http_rewrite.responses.add_headers_if_not_present[0]",
    ),
    "router's own header": Rule(
        {"http_rewrite": {"responses": {"add_headers_if_not_present": [{"name": "connection", "value": "1"}]}}},
        "Invalid response header: connection is for the router itself to set",
        "http_rewrite.responses.add_headers_if_not_present[0].name",
    ),
    "tenant of traces": Rule(
        {"tracing": {"w3c_tenant_id": "a\r\nb"}},
        "Invalid W3C tenant id. Must be a text without control characters",
        "tracing.w3c_tenant_id",
    ),
    "collector's URL": Rule(
        {"tracing": {"enable_w3c": True, "otlp": {"endpoint": "collector:4318"}}},
        "Invalid OTLP endpoint: collector:4318. Must be a URL such as https://collector:4318/v1/traces",
        "tracing.otlp.endpoint",
    ),
    "collector's port": Rule(
        {"tracing": {"enable_w3c": True, "otlp": {"endpoint": "https://collector:x/"}}},
        "Invalid OTLP endpoint: https://collector:x/. Must be a URL such as https://collector:4318/v1/traces",
        "tracing.otlp.endpoint",
    ),
    "ratio of samples": Rule(
        {"tracing": {"enable_w3c": True, "otlp": {**OTLP, "sample_ratio": 1.5}}},
        "Invalid sample ratio: 1.5. Must be from 0 to 1",
        "tracing.otlp.sample_ratio",
    ),
    "spans without W3C": Rule({"tracing": {"otlp": OTLP}}, _NO_SPANS, "tracing.otlp.endpoint"),
    "spans of others": Rule(
        {"tracing": {"enable_w3c": True, "propagate_only": True, "otlp": OTLP}}, _NO_SPANS, "tracing.otlp.endpoint"
    ),
    "collector's headers": Rule(
        {"tracing": {"enable_w3c": True, "otlp": {**OTLP, "headers": [{"name": "A", "value": "secret\n"}]}}},
        "Invalid OTLP header: A. Must be a name and a value of one line",
        "tracing.otlp.headers[0]",
    ),
    "collector's authorities": Rule(
        {"tracing": {"enable_w3c": True, "otlp": {**OTLP, "ca_certs": "none"}}},
        "No CA certificate found for the collector",
        "tracing.otlp.ca_certs",
    ),
    "trusted proxies": Rule(
        {"trusted_proxies": ["10.0.0.0/8", "proxy.test"]},
        "Invalid trusted proxy: proxy.test. Must be a network such as 10.0.0.0/8",
        "trusted_proxies[1]",
    ),
    "session ticket key": Rule(
        {"tls_session_ticket_key": "x" * 31},
        "Invalid TLS session ticket key. Must be empty or have at least 32 characters",
        "tls_session_ticket_key",
    ),
    "admin token": Rule(
        {"admin": {"tokens": [{"role": "read"}]}},
        "Invalid admin token. Either token or token_file must be given",
        "admin.tokens[0]",
    ),
    "admin token: length": Rule(
        {"admin": {"tokens": [{"token": "x" * 15}]}},
        "Invalid admin token. Must have at least 16 characters",
        "admin.tokens[0].token",
    ),
    "admin token: role": Rule(
        {"admin": {"tokens": [{"token_file": "/token", "role": "root"}]}},
        "Invalid admin role: root. Allowed values are [read operate]",
        "admin.tokens[0].role",
    ),
    "admin client role": Rule(
        {"admin": {"tls": {"client_role": "root"}}},
        "Invalid admin role: root. Allowed values are [read operate]",
        "admin.tls.client_role",
    ),
    "admin listener": Rule(
        {"admin": {"listen": "127.0.0.1:9099"}},
        "The admin API listens on an address only for callers with a token or a client certificate: give "
        "admin.tokens, or admin.tls with client_ca_certs",
        "admin.listen",
    ),
    "admin clients' CA": Rule(
        {"admin": {"tls": {**PAIR, "client_ca_certs": "none"}}},
        "No CA certificate found for the clients of the admin API",
        "admin.tls.client_ca_certs",
    ),
    "admin certificate": Rule(
        {"admin": {"tls": {"client_ca_certs": "<ca>"}}},
        "The admin API asks for client certificates only with a certificate of its own",
        "admin.tls.cert_chain",
    ),
    "block-list": Rule(
        {"route_services": {"egress_blocklist": ["10.0.0.0/8", "::/129"]}},
        "Invalid route service egress block-list entry: ::/129. Must be a network such as 10.0.0.0/8",
        "route_services.egress_blocklist[1]",
    ),
    "mTLS domain": Rule(
        {"domains": [{"name": "*", "ca_certs": "<ca>"}]},
        "Invalid mTLS domain: *. Must be app.domain.com or *.domain.com",
        "domains[0].name",
    ),
    "mTLS domain: CA": Rule(
        {"domains": [{"name": "*.test.com"}]},
        "No CA certificate found for mTLS domain *.test.com",
        "domains[0].ca_certs",
    ),
    "mTLS domain: mode": Rule(
        {"domains": [{"domain": "*.test.com", "ca_certs": "<ca>", "forwarded_client_cert": "x"}]},
        "Invalid forwarded client cert mode: x. Allowed values are [always_forward forward sanitize_set]",
        "domains[0].forwarded_client_cert",
    ),
    "mTLS domain: format": Rule(
        {"domains": [{"name": "*.test.com", "ca_certs": "<ca>", "xfcc_format": "x"}]},
        "Invalid XFCC format: x. Allowed values are [raw envoy]",
        "domains[0].xfcc_format",
    ),
    "mTLS domain: twice": Rule(
        {"domains": [{"name": "a.test.com", "ca_certs": "<ca>"}, {"name": "A.test.com", "ca_certs": "<ca>"}]},
        "Duplicate mTLS domain: A.test.com",
        "domains[1].name",
    ),
}


class Pems:
    """Real certificates and keys for the places that documents leave for them."""

    def __init__(self) -> None:
        authority = trustme.CA()
        own, other = authority.issue_cert("router.test"), authority.issue_cert("other.test")
        self._texts = {
            "<cert>": b"".join(blob.bytes() for blob in own.cert_chain_pems).decode(),
            "<key>": own.private_key_pem.bytes().decode(),
            "<other key>": other.private_key_pem.bytes().decode(),
            "<ca>": authority.cert_pem.bytes().decode(),
        }

    def __getitem__(self, place: str) -> str:
        return self._texts[place]

    def fill(self, document: Any) -> Any:
        """Put the texts into their places, at any depth."""
        if isinstance(document, dict):
            return {key: self.fill(value) for key, value in document.items()}
        if isinstance(document, list):
            return [self.fill(item) for item in document]
        return self._texts.get(document, document) if isinstance(document, str) else document
