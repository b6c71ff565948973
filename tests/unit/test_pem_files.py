"""Certificates and keys in files of their own: `*_file` keys beside those that hold PEM."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from config_rules import ROUTING_API, STATUS_TLS, TLS, Pems
from fastrouter.config import Config, ConfigError, parse
from fastrouter.config.pem_files import MAX_BYTES
from fastrouter.config.reference import as_document, as_yaml, changed_keys, entries

pytestmark = pytest.mark.usefixtures("local_ip")

# Every key with PEM.
PEM_KEYS = {
    "status.tls.certificate",
    "status.tls.key",
    "nats.cert_chain",
    "nats.private_key",
    "nats.ca_certs",
    "tls_pem[].cert_chain",
    "tls_pem[].private_key",
    "ca_certs",
    "client_ca_certs",
    "domains[].ca_certs",
    "routing_api.cert_chain",
    "routing_api.private_key",
    "routing_api.ca_certs",
    "backends.cert_chain",
    "backends.private_key",
    "route_services.cert_chain",
    "route_services.private_key",
    "admin.tls.cert_chain",
    "admin.tls.private_key",
    "admin.tls.client_ca_certs",
    "tracing.otlp.cert_chain",
    "tracing.otlp.private_key",
    "tracing.otlp.ca_certs",
}
PAIR = {"cert_chain": "<cert>", "private_key": "<key>"}
INLINE: dict[str, Any] = {
    **TLS,
    "status": {"tls": STATUS_TLS},
    "nats": {"tls_enabled": True, "ca_certs": "<ca>", **PAIR},
    "ca_certs": ["<ca>"],
    "client_ca_certs": "<ca>",
    "domains": [{"name": "*.a.test", "ca_certs": "<ca>"}],
    "routing_api": ROUTING_API,
    "backends": PAIR,
    "route_services": PAIR,
    "tracing": {"otlp": {"ca_certs": "<ca>", **PAIR}},
}


def load(document: Any) -> Config:
    return parse(yaml.safe_dump(document).encode())


def in_files(document: Any, pems: Pems, directory: Path) -> Any:
    """The document with the file of each text in place of the text."""
    if isinstance(document, list):
        return [in_files(item, pems, directory) for item in document]
    if not isinstance(document, dict):
        return document
    changed = {}
    for key, value in document.items():
        text = value[0] if key == "ca_certs" and isinstance(value, list) else value
        if isinstance(text, str) and text.startswith("<"):
            path = directory / text.strip("<>")
            path.write_text(pems[text])
            changed[f"{key}_file"] = str(path)
        else:
            changed[key] = in_files(value, pems, directory)
    return changed


def faults_of(document: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as refused:
        load(document)
    return [(fault.key, fault.text) for fault in refused.value.all()]


def test_every_key_with_pem_has_a_file_beside_it() -> None:
    assert {path for path, field in entries() if field.about and "PEM" in field.about.meaning} == PEM_KEYS
    held = {
        f"{path.removesuffix(field.key)}{field.about.holds}"
        for path, field in entries()
        if field.about and field.about.holds
    }
    assert held == PEM_KEYS
    assert {path.removesuffix("_file") for path, _ in entries() if path.endswith("_file")} >= PEM_KEYS


def test_files_amount_to_what_is_in_them(pems: Pems, tmp_path: Path) -> None:
    document = in_files(INLINE, pems, tmp_path)
    assert "<" not in yaml.safe_dump(document)
    from_files = load(document)
    differing = set(changed_keys(load(pems.fill(INLINE)), from_files))
    # Of lists of sections only the whole is compared, and the names of the files belong to it.
    assert {key for key in differing if not key.endswith("_file")} == {"tls_pem", "domains"}
    assert from_files.tls_pem[0].private_key == pems["<key>"]
    assert from_files.domains[0].ca_certs == pems["<ca>"]


def test_what_is_shown_in_full_loads_again_and_has_no_key(pems: Pems, tmp_path: Path) -> None:
    config = load(in_files(INLINE, pems, tmp_path))
    shown = as_yaml(config)
    assert "PRIVATE KEY" not in shown
    assert "private_key_file: " in shown
    assert "PRIVATE KEY" not in str(as_document(config))
    assert load(yaml.safe_load(as_yaml(config, show_secrets=True))).backends == config.backends


def test_a_changed_file_is_a_changed_key(pems: Pems, tmp_path: Path) -> None:
    document = in_files({"client_ca_certs": "<ca>"}, pems, tmp_path)
    before = load(document)
    (tmp_path / "ca").write_text(pems["<cert>"])
    assert changed_keys(before, load(document)) == ("client_ca_certs",)


def test_every_file_that_cannot_be_read_is_told_and_breaks_no_rule_besides(tmp_path: Path) -> None:
    none = str(tmp_path / "none.pem")
    pair = {"cert_chain_file": none, "private_key_file": str(tmp_path)}
    assert faults_of({**TLS, "tls_pem": [pair], "ca_certs_file": none}) == [
        ("tls_pem[0].cert_chain_file", f"open {none}: no such file or directory"),
        ("tls_pem[0].private_key_file", f"open {tmp_path}: is a directory"),
        ("ca_certs_file", f"open {none}: no such file or directory"),
    ]


def test_a_rule_names_the_key_that_is_in_the_file(pems: Pems, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(pems["<key>"])
    pair = {"cert_chain_file": str(tmp_path / "cert"), "private_key_file": str(tmp_path / "key")}
    assert faults_of({"ca_certs_file": str(tmp_path / "key")}) == [
        ("ca_certs_file", "Error while adding 0 cert in CACerts to gorouter's cert pool"),
    ]
    ((key, text),) = faults_of({"backends": {**pair, "cert_chain_file": str(tmp_path / "key")}})
    assert key == "backends.cert_chain_file"
    assert "PEM inputs may have been switched" in text


def test_either_a_text_or_a_file(pems: Pems, tmp_path: Path) -> None:
    (tmp_path / "ca").write_text(pems["<ca>"])
    document = {"client_ca_certs": pems["<ca>"], "client_ca_certs_file": str(tmp_path / "ca")}
    assert faults_of(document) == [("client_ca_certs_file", "either client_ca_certs or client_ca_certs_file, not both")]


def test_an_endless_file_is_refused() -> None:
    assert faults_of({"client_ca_certs_file": "/dev/zero"}) == [
        ("client_ca_certs_file", f"/dev/zero: more than {MAX_BYTES} characters are no file of certificates")
    ]
