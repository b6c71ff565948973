"""A configuration as YAML again, the JSON Schema, and the table of docs/configuration.md."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from config_rules import NATS, PAIR, STATUS_TLS, TLS, Pems
from fastrouter.config import Config, parse
from fastrouter.config.reference import MASK, as_yaml, effect_of, entries, table

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


@pytest.mark.parametrize(("path", "effect"), [("port", "yes"), ("tls_pem[].cert_chain", "yes"), ("pid_file", "no")])
def test_effect(path: str, effect: str) -> None:
    assert effect_of(path) == effect
