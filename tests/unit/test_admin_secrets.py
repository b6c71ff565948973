"""What the admin API shows of the configuration has no secrets, whatever key holds one."""

import re
from typing import Any

import msgspec
import pytest
import yaml

from config_rules import NATS, PAIR, STATUS_TLS, TLS, Pems
from fastrouter.cli.admin_options import admin_of
from fastrouter.cli.gorouter_options import options_of
from fastrouter.config import parse
from fastrouter.config.reference import MASK, as_document, entries
from fastrouter.control.certificate_sources import certificate_sources

# Keys whose names speak of secrets, and that hold none: paths of files, names, switches.
NO_SECRETS = {
    "prometheus.key_path": "the path of a file",
    "admin.tokens[].token_file": "the path of a file",
    "admin.tokens": "its items have the secrets",
    "admin.tokens[].name": "stands in the audit log",
    "admin.tokens[].role": "one of two words",
    "token_fetcher_max_retries": "a number",
    "token_fetcher_retry_interval": "a span",
    "token_fetcher_expiration_buffer_time": "a number",
    "oauth.token_endpoint": "a host",
    "trace_key": "turns trace headers on, and is in the requests of whoever traces",
    "tls_pem": "its items have the secrets",
    "tls_pem[].cert_chain": "a certificate",
}
# Secrets whose keys do not speak of it.
TACIT_SECRETS = {"tracing.otlp.headers[].value"}
SECRET_WORDS = re.compile(r"pass|secret|private|token|key|pem\b")

pytestmark = pytest.mark.usefixtures("local_ip")


def document_with_secrets() -> dict[str, Any]:
    """A configuration in which every key that can hold a secret has one."""
    return {
        **TLS,
        "tls_session_ticket_key": "secret-" * 8,
        "status": {"user": "u", "pass": "secret-status", "tls": STATUS_TLS},
        "nats": {**NATS, **PAIR, "pass": "secret-nats"},
        "oauth": {"token_endpoint": "uaa.test", "port": 1, "client_name": "c", "client_secret": "secret-oauth"},
        "routing_api": {**PAIR, "uri": "https://api.test", "port": 1, "ca_certs": "<ca>"},
        "backends": PAIR,
        "route_services": PAIR,
        "route_services_secret": "secret-route-services",
        "route_services_secret_decrypt_only": "secret-before",
        "admin": {
            "socket": "auto",
            "tokens": [{"token": "secret-token-of-the-api"}],
            "tls": PAIR,
        },
        "tracing": {"otlp": {**PAIR, "headers": [{"name": "authorization", "value": "secret-of-the-collector"}]}},
    }


def test_every_key_that_speaks_of_secrets_is_one_or_has_a_reason() -> None:
    # A key that names the file of another one has a path.
    paths = {path for path, field in entries() if field.about is not None and field.about.holds}
    named = {path for path, _ in entries() if SECRET_WORDS.search(path)} - paths
    secret = {path for path, field in entries() if field.about is not None and field.about.secret}
    assert secret - TACIT_SECRETS <= named
    assert named - secret == set(NO_SECRETS)


def test_every_secret_is_masked(pems: Pems) -> None:
    config = parse(yaml.safe_dump(pems.fill(document_with_secrets())).encode())
    shown = as_document(config)
    for path, field in entries():
        if field.about is None or not field.about.secret:
            continue
        values = values_at(shown, path)
        assert values, path
        assert set(values) == {MASK}, path


def test_nothing_that_comes_to_the_admin_process_has_one(pems: Pems) -> None:
    config = parse(yaml.safe_dump(pems.fill(document_with_secrets())).encode())
    admin, faults = admin_of(config)
    assert faults == []
    assert admin is not None
    options = options_of(config)
    sent = msgspec.json.encode(
        [admin.configuration, [token.name for token in admin.tokens], certificate_sources(options, options.front_tls)]
    ).decode()
    assert "secret-" not in sent
    assert "PRIVATE KEY" not in sent
    assert [len(token.digest) for token in admin.tokens] == [32]


def values_at(document: Any, path: str) -> list[Any]:
    """The values of a key; `[]` stands for every item of a list."""
    head, _, rest = path.partition(".")
    name = head.removesuffix("[]")
    found = document[name] if head.endswith("[]") else [document[name]]
    return [value for one in found for value in values_at(one, rest)] if rest else list(found)
