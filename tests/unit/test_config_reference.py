"""A configuration as YAML again, the JSON Schema, the table of docs/configuration.md, and keys without effect."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config_rules import NATS, PAIR, STATUS_TLS, TLS, Pems
from fastrouter.config import Config, parse
from fastrouter.config.reference import MASK, WITHOUT_EFFECT_YET, as_yaml, effect_of, entries, table

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "configuration.md"

SECRETS = {
    "status.pass",
    "status.tls.key",
    "nats.pass",
    "nats.private_key",
    "tls_pem[].private_key",
    "oauth.client_secret",
    "routing_api.private_key",
    "backends.private_key",
    "route_services.private_key",
    "route_services_secret",
    "route_services_secret_decrypt_only",
    "tls_session_ticket_key",
    "tracing.otlp.headers[].value",
    "tracing.otlp.private_key",
    "admin.tokens[].token",
    "admin.tls.private_key",
}

pytestmark = pytest.mark.usefixtures("local_ip")


def test_which_keys_are_secret() -> None:
    assert {path for path, field in entries() if field.about and field.about.secret} == SECRETS


def test_a_configuration_shown_in_full_loads_as_the_same(pems: Pems) -> None:
    document = {
        **TLS,
        "trace_key": "22",
        "zone": "yes",
        "debug_addr": "1:30",
        "ca_certs": ["<ca>"],
        "client_ca_certs": "<ca>",
        "status": {"pass": "line\n  two \n\n", "tls": STATUS_TLS},
        "nats": {**NATS, "hosts": [{"hostname": "a", "port": 1}, {"hostname": "b"}]},
        "sticky_session_cookie_names": ["b", "a"],
        "drain_wait": "1500ms",
        "prometheus": {"meters": {"http_latency_histogram_buckets": [1e300, 0.25]}},
        "verify_client_certificate_metadata": [{"valid_cert_subjects": [{"country": ["DE", "ES"]}]}],
        "domains": [{"name": "*.a.test", "ca_certs": "<ca>"}],
    }
    config = parse(yaml.safe_dump(pems.fill(document)).encode())
    again = parse(as_yaml(config, show_secrets=True).encode())
    assert as_yaml(again, show_secrets=True) == as_yaml(config, show_secrets=True)
    for path, field in entries(into_lists=False):
        first: Any = config
        second: Any = again
        for section in path.split(".")[:-1]:
            first, second = getattr(first, section), getattr(second, section)
        assert getattr(first, field.attribute) == getattr(second, field.attribute), path


def test_what_the_file_gives(pems: Pems) -> None:
    document = {
        "backends": {**PAIR, "max_attempts": 3},
        "unknown": 1,
        "max_header_bytes": 4096,
        "port": None,
        "nats": {"hosts": [None, {"port": 1}], "pass": ""},
        "drain_wait": "90s",
    }
    config = parse(yaml.safe_dump(pems.fill(document)).encode())
    assert yaml.safe_load(as_yaml(config, only_given=True)) == {
        "nats": {"hosts": [{"port": 1}], "pass": ""},
        "drain_wait": "1m30s",
        "backends": {"cert_chain": pems["<cert>"], "private_key": MASK, "max_attempts": 3},
        "max_request_header_bytes": 4096,
    }
    assert (
        yaml.safe_load(as_yaml(config, only_given=True, show_secrets=True))["backends"]["private_key"] == pems["<key>"]
    )
    assert as_yaml(parse(b""), only_given=True) == "{}\n"


def test_secrets_are_masked_in_lists(pems: Pems) -> None:
    config = parse(yaml.safe_dump(pems.fill(TLS)).encode())
    (pair,) = yaml.safe_load(as_yaml(config))["tls_pem"]
    files = {"cert_chain_file": "", "private_key_file": ""}
    assert pair == {"cert_chain": pems["<cert>"], "private_key": MASK, **files}


def test_pem_is_shown_line_by_line(pems: Pems) -> None:
    config = parse(yaml.safe_dump(pems.fill({"client_ca_certs": "<ca>"})).encode())
    assert "client_ca_certs: |\n  -----BEGIN CERTIFICATE-----\n" in as_yaml(config)


def test_schema() -> None:
    schema = Config.schema()
    assert schema["type"] == "object"
    paths = set()

    def walk(section: dict[str, Any], prefix: str) -> None:
        for key, child in section["properties"].items():
            if child.get("type") == "object":
                walk(child, f"{prefix}{key}.")
                continue
            assert child["description"], key
            paths.add(prefix + key)
            if child.get("type") == "array" and child["items"].get("type") == "object":
                walk(child["items"], f"{prefix}{key}[].")

    walk(schema, "")
    assert paths == {path for path, _ in entries()}
    properties = schema["properties"]
    assert properties["port"] == {
        "description": "HTTP port, on all interfaces",
        "type": "integer",
        "minimum": 0,
        "maximum": 65535,
        "default": 8081,
    }
    assert properties["balancing_algorithm"]["enum"] == ["round-robin", "least-connection"]
    assert properties["client_cert_validation"]["enum"] == ["none", "request", "require", ""]
    assert properties["sticky_session_cookie_names"]["default"] == ["JSESSIONID"]
    assert properties["status"]["properties"]["tls"]["properties"]["port"]["default"] == 8443
    duration = properties["drain_wait"]
    assert duration["default"] == "0s"
    for text in ("0", "60s", "1m0s", "-1.5h", ".5us", "7µs"):
        assert re.search(duration["pattern"], text), text
    for text in ("", "60", "s", "5d", "1s "):
        assert not re.search(duration["pattern"], text), text


def test_the_documentation_has_the_table() -> None:
    assert table() in DOCUMENTATION.read_text(), (
        "the keys have changed: put the output of `python -m fastrouter.config.reference` into docs/configuration.md"
    )


def test_keys_without_effect_are_keys() -> None:
    paths = [path for path, _ in entries()]
    for key in WITHOUT_EFFECT_YET:
        assert any(path == key or path.startswith(f"{key}.") for path in paths), key


@pytest.mark.parametrize(
    ("path", "effect"),
    [
        ("port", "yes"),
        ("pid_file", "no"),
        ("tracing.enable_w3c", "not yet: issue 7"),
        ("tls_pem[].cert_chain", "not yet: issue 7"),
        ("oauth.port", "not yet"),
    ],
)
def test_effect(path: str, effect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "fastrouter.config.reference.WITHOUT_EFFECT_YET", {"tracing": 7, "tls_pem": 7, "oauth.port": None}
    )
    assert effect_of(path) == effect


def test_keys_without_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are given, also with the default: who gives a key relies on it."""
    monkeypatch.setattr(
        "fastrouter.config.reference.WITHOUT_EFFECT_YET",
        {
            "tracing": 7,
            "secure_cookies": 4,
            "zone": 4,
            "enable_http2": None,
            "domains": None,
            "index": 4,
            "go_max_procs": 5,
        },
    )
    text = b"""
    tracing: {enable_w3c: true, enable_zipkin: false}
    secure_cookies: true
    zone: null
    pid_file: /a
    enable_http2: true
    port: 1
    domains: []
    go_max_procs: -1
    """
    assert parse(text).derived.without_effect == (
        *("tracing.enable_zipkin", "tracing.enable_w3c"),
        *("go_max_procs", "enable_http2", "domains", "secure_cookies"),
    )
