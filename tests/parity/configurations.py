"""Configurations, one key or a few at a time, and the cases that are done with each."""

import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from integration.issuer import Issuer
from integration.tls_front import tls_keys

from . import certificates, corpus, services
from .case import Case
from .pair import REGISTRATIONS, TLS_REGISTRATIONS, Registration, SecureBackend, merged


@dataclass(frozen=True)
class Configuration:
    """Keys of gorouter.yml over those of all, and what is compared with them; `pages` are names in `pages.CHECKS`.

    `registers_again`: before each case, for endpoints that the case before may have pruned. `backends`: more of them.
    """

    name: str
    keys: Mapping[str, Any]
    cases: Sequence[Case]
    pages: Sequence[str] = ()
    registrations: Sequence[Registration] = field(default=REGISTRATIONS)
    registers_again: bool = False
    backends: Mapping[str, SecureBackend] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


PLAIN: tuple[Callable[[], Iterable[Case]], ...] = (
    corpus.methods,
    corpus.targets,
    corpus.hosts,
    corpus.headers,
    corpus.hop_by_hop,
    corpus.forwarded,
    corpus.instances,
    corpus.bodies,
    corpus.responses,
    corpus.interim,
    corpus.connections,
    corpus.upgrades,
    corpus.failures,
    corpus.sticky,
)

TEMPLATE = """<html>{{/* no comment */}}{{ .Status }} {{ .StatusText }}
{{- if eq .Status 404 }} none {{ else }} other {{ end -}}
<p title="{{ .Message }}">{{ .Message }}</p><a href="/?x={{ .Message }}">{{ .Header.Get "x-cf-routererror" }}</a>
<script>var x = {{ .Message }};</script></html>
"""

ONE_KEY: Mapping[str, Mapping[str, Any]] = {
    "rewrite": {
        "http_rewrite": {
            "responses": {
                "add_headers_if_not_present": [
                    {"name": "x-present", "value": "added"},
                    {"name": "X-New", "value": "1"},
                    {"name": "X-New", "value": "2"},
                    {"name": "Strict-Transport-Security", "value": "max-age=1"},
                ],
                "remove_headers": [
                    {"name": "X-Remove"},
                    {"name": "x-vcap-request-id"},
                    {"name": "Server"},
                    {"name": "X-Cf-RouterError"},
                ],
            }
        }
    },
    "rewrite replaces": {
        "http_rewrite": {
            "responses": {
                "add_headers_if_not_present": [{"name": "Server", "value": "new"}],
                "remove_headers": [{"name": "Server"}],
            }
        }
    },
    "hop-by-hop filter": {"hop_by_hop_headers_to_filter": ["X-Forwarded-For", "x-a"]},
    "forwarded cert forward": {"forwarded_client_cert": "forward"},
    "forwarded cert sanitize_set": {"forwarded_client_cert": "sanitize_set"},
    "force https": {"force_forwarded_proto_https": True},
    "sanitize proto": {"sanitize_forwarded_proto": True},
    "force and sanitize": {"force_forwarded_proto_https": True, "sanitize_forwarded_proto": True},
    "trace key": {"trace_key": "key"},
    "health agent": {"healthcheck_user_agent": "u"},
    "health agent empty": {"healthcheck_user_agent": ""},
    "extra headers": {
        "extra_headers_to_log": [
            "X-A",
            "cache-control",
            "X-Forwarded-For",
            "x-vcap-request-id",
            "Host",
            "X-A",
            "Content-Length",
        ]
    },
    "extra fields": {
        "logging": {
            "extra_access_log_fields": [
                "failed_attempts",
                "failed_attempts_time",
                "dns_time",
                "dial_time",
                "tls_time",
                "backend_time",
                "local_address",
                "nonsense",
                "dial_time",
            ]
        }
    },
    "extra fields, some": {"logging": {"extra_access_log_fields": ["local_address", "failed_attempts"]}},
    "redact all": {"logging": {"redact_query_params": "all"}},
    "redact hash": {"logging": {"redact_query_params": "hash"}},
    "no forwarded for in the log": {"logging": {"disable_log_forwarded_for": True}},
    "no source in the log": {"logging": {"disable_log_source_ip": True}},
    "sticky names": {"sticky_session_cookie_names": ["mine", "other"]},
    "secure cookies": {"secure_cookies": True},
    "info": {"logging": {"level": "info"}},
    # Which kept connection a request gets is Gorouter's only where nothing is learnt of backends that close them.
    "no keep-alives off": {"disable_keep_alives": False, "learn_idle_limits": False},
    "keep alive 100-continue": {"keep_alive_100_continue_requests": True},
    "least connection": {"balancing_algorithm": "least-connection"},
    "two attempts": {"backends": {"max_attempts": 3}},
    "full duplex": {"enable_http1_concurrent_read_write": True},
    "empty pool 503": {"empty_pool_response_code_503": True, "empty_pool_timeout": "30s"},
    "zipkin": {"tracing": {"enable_zipkin": True}},
    "w3c": {"tracing": {"enable_w3c": True, "w3c_tenant_id": "tenant"}},
}


def all_configurations(directory: Path) -> Iterator[Configuration]:
    """In the order in which they are compared; files that they name are made in `directory`."""
    yield Configuration("plain", {}, [case for make in PLAIN for case in make()])
    yield Configuration("pages", {}, list(corpus.few()), ("metrics", "status", "agent"))
    yield Configuration("registrations", {}, [], ("registrations",))
    yield Configuration("kept backends", {"disable_keep_alives": False}, list(corpus.kept_backends()))
    yield Configuration(
        "limits",
        {
            "max_request_headers": 10,
            "max_response_headers": 10,
            "max_request_header_bytes": 1100,
            "max_response_header_bytes": 1024,
        },
        list(corpus.limits()),
    )
    yield Configuration("negotiate", {"sticky_sessions_for_auth_negotiate": True}, list(corpus.negotiate()))
    for name, keys in (
        ("zipkin", {"enable_zipkin": True}),
        ("w3c", {"enable_w3c": True}),
        ("both traces", {"enable_zipkin": True, "enable_w3c": True, "w3c_tenant_id": "tenant"}),
    ):
        yield Configuration(name, {"tracing": keys}, list(corpus.tracing()))
    yield Configuration("proxy protocol", {"enable_proxy": True}, list(corpus.proxied()))
    template = directory / "error.html"
    template.write_text(TEMPLATE)
    yield Configuration("HTML errors", {"html_error_template_file": str(template)}, list(corpus.few()))
    issuer = Issuer()
    client = issuer.pair("client.parity")
    certificate = directory / "client.pem"
    certificate.write_text(client.chain + client.key)
    for validation in ("none", "request", "require"):
        for mode in ("always_forward", "forward", "sanitize_set"):
            keys = tls_keys(
                issuer.pair("app.parity", "*.wild.parity"),
                issuer.pair("other.parity"),
                client_cert_validation=validation,
                client_ca_certs=issuer.pem,
                forwarded_client_cert=mode,
                enable_http2=False,
            )
            yield Configuration(f"TLS {validation} {mode}", keys, list(corpus.over_tls(str(certificate))))
    yield from _with_services()
    for name, authorities in (("TLS backends", ["theirs"]), ("TLS backends, untrusted", [])):
        yield Configuration(
            name,
            {"ca_certs": authorities, "backends": {"max_attempts": 2}},
            list(corpus.tls_backends()),
            registrations=TLS_REGISTRATIONS,
            registers_again=True,
        )
    shown = certificates.all_shown()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        yield Configuration(
            f"certificates, {version.name}",
            {"ca_certs": certificates.AUTHORITIES},
            certificates.cases(shown),
            registrations=certificates.registrations(shown),
            registers_again=True,
            backends={name: (one.pair, version) for name, one in shown.items()},
        )
    yield Configuration(
        "empty lengths", {}, list(corpus.empty_lengths()), environment={"GODEBUG": "netdns=cgo,httplaxcontentlength=1"}
    )
    for name, one in ONE_KEY.items():
        yield Configuration(name, one, list(corpus.few()))


def _with_services() -> Iterator[Configuration]:
    """Route services, outside and inside."""
    visits, returns, inner = list(services.visits()), list(services.returns()), list(services.inner())
    hairpin: Mapping[str, Any] = {"route_services_hairpinning": True}
    configured: tuple[tuple[str, Mapping[str, Any], Sequence[Case]], ...] = (
        ("services", {}, [*visits, *returns]),
        ("services recommend https", {"route_services_recommend_https": True}, visits[:20]),
        ("services, strict", {"route_services": {"strict_signature_validation": True}}, returns),
        ("services, forward", {"forwarded_client_cert": "forward"}, [*visits, *returns]),
        ("services, sanitized", {"forwarded_client_cert": "sanitize_set", "sanitize_forwarded_proto": True}, returns),
        ("services, one secret", {"route_services_secret_decrypt_only": ""}, returns),
        ("services, verified", {"skip_ssl_validation": False}, visits[:5]),
        ("services, traces", {"tracing": {"enable_zipkin": True, "enable_w3c": True}}, [*visits[:5], *returns[:5]]),
        ("services off", {"route_services_secret": "", "route_services_secret_decrypt_only": ""}, visits[:5]),
        ("services inside", hairpin, inner),
        ("services inside, sanitized", {**hairpin, "forwarded_client_cert": "sanitize_set"}, inner),
        (
            "services inside, one allowed",
            {**hairpin, "route_services_hairpinning_allowlist": ["service.parity"]},
            inner,
        ),
        (
            "services inside, star allowed",
            {**hairpin, "route_services_hairpinning_allowlist": ["*.star.parity"]},
            inner,
        ),
    )
    for name, keys, cases in configured:
        attempts = {"route_services": {"max_attempts": 2}}
        yield Configuration(name, merged(services.KEYS, attempts, keys), cases, registrations=services.REGISTRATIONS)
