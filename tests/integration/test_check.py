"""`fastrouter check` and `fastrouter config show` with the real executable."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from config_rules import FURTHER_RULES, RULES, Pems, Rule
from fastrouter import config as configuration
from fastrouter.config.duration import Duration
from fastrouter.config.generations import ATTEMPT_FIELDS

from .router_process import EXECUTABLE

BOSH = Path(__file__).parents[1] / "fixtures" / "bosh-gorouter.yml"
ALL_RULES = {**RULES, **FURTHER_RULES}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EXECUTABLE, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=30
    )


def write(directory: Path, document: Any) -> Path:
    path = directory / "gorouter.yml"
    path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return path


@pytest.fixture
def bosh(pems: Pems, tmp_path: Path) -> Path:
    text = BOSH.read_text()
    for place in ("<cert>", "<key>", "<ca>"):
        text = text.replace(f': "{place}"', f": {json.dumps(pems[place])}")
        text = text.replace(f'- "{place}"', f"- {json.dumps(pems[place])}")
    return write(tmp_path, text)


@pytest.mark.parametrize("rule", ALL_RULES.values(), ids=ALL_RULES)
def test_rule(rule: Rule, pems: Pems, tmp_path: Path) -> None:
    path = write(tmp_path, pems.fill(rule.document))
    checked = run("check", "-c", path)
    assert (checked.returncode, checked.stdout) == (1, "")
    text, _, place = checked.stderr.removesuffix("\n").rpartition("\n")
    assert text == f"failed-to-load-config: {rule.text}"
    line = int(place.removeprefix(f"in {path}, line ").removesuffix(f", key {rule.key}"))
    assert 1 <= line <= len(path.read_text().splitlines())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "port: 1\nstatus:\n  port: 70000\n",
            "yaml: expected an integer from 0 to 65535, found `70000`\nin {}, line 3, key status.port",
        ),
        (
            "drain_wait: 5\n",
            'yaml: expected a duration with its unit, such as "60s", found `5`\nin {}, line 1, key drain_wait',
        ),
        ("a: b: c\n", "yaml: mapping values are not allowed in this context\nin {}, line 1"),
    ],
)
def test_what_cannot_be_read(text: str, told: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    checked = run("check", "-c", path)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert checked.stderr == f"failed-to-load-config: {told.format(path)}\n"


def test_no_file(tmp_path: Path) -> None:
    path = tmp_path / "none.yml"
    checked = run("check", "-c", path)
    assert (checked.returncode, checked.stdout) == (1, "")
    assert checked.stderr == f"failed-to-load-config: open {path}: no such file or directory\nin {path}\n"


@pytest.mark.parametrize(("arguments", "code"), [((), 1), (("--bogus",), 2), (("-c", "a", "b"), 1)])
def test_bad_arguments(arguments: tuple[str, ...], code: int) -> None:
    checked = run("check", *arguments)
    assert (checked.returncode, checked.stdout) == (code, "")
    assert checked.stderr.startswith("Usage: fastrouter check ")


def test_success(tmp_path: Path) -> None:
    checked = run("check", "-c", write(tmp_path, ""))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "config-loaded-successfully\n", "")


def test_keys_without_effect_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"debug_addr": "127.0.0.1:1", "domains": [], "port": 1, "pid_file": "/a"}
    path = write(tmp_path, document)
    monkeypatch.setattr("fastrouter.config.validation.local_ip", lambda: "192.0.2.7")
    ignored = configuration.load(str(path)).derived.without_effect
    told = f"keys without effect yet: {', '.join(ignored)}\n" if ignored else ""
    checked = run("check", "-c", path)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "config-loaded-successfully\n", told)


def test_a_configuration_from_bosh(bosh: Path, pems: Pems) -> None:
    checked = run("check", "-c", bosh)
    assert (checked.returncode, checked.stdout) == (0, "config-loaded-successfully\n")
    config = configuration.load(str(bosh))
    assert config.port == 80
    assert config.status.pass_ == 's3cret-"quoted"'
    assert [host.hostname for host in config.nats.hosts] == ["10.0.16.4", "nats.service.cf.internal"]
    assert config.trace_key == "22"
    assert config.oauth.client_secret == "0123"
    assert config.drain_timeout == Duration.of(900)
    assert config.websocket_dial_timeout == Duration.of(5)
    assert config.droplet_stale_threshold == Duration.of(120)
    assert config.max_request_header_bytes == 1048576
    assert config.logging.extra_access_log_fields == ATTEMPT_FIELDS
    assert config.prometheus.enabled
    assert config.log_source == "vcap.gorouter"
    assert config.has_routing_api
    assert config.has_route_services
    assert config.tls_pem[0].private_key == pems["<key>"]
    assert config.derived.openssl_ciphers == ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384")
    assert (config.derived.min_tls_version, config.derived.max_tls_version) == ("TLSv1.2", "TLSv1.3")


def test_show_what_is_given(bosh: Path) -> None:
    shown = run("config", "show", "-c", bosh)
    assert (shown.returncode, shown.stderr) == (0, "")
    document = yaml.safe_load(shown.stdout)
    assert document["drain_wait"] == "20s"
    assert document["nats"]["hosts"][0] == {"hostname": "10.0.16.4", "port": 4224}
    assert document["nats"]["pass"] == "********"
    assert "read_header_timeout" not in document
    assert "PRIVATE KEY" not in shown.stdout
    assert "rs-secret" not in shown.stdout


def test_show_all(bosh: Path, tmp_path: Path) -> None:
    shown = run("config", "show", "-c", bosh, "--effective", "--show-secrets")
    assert (shown.returncode, shown.stderr) == (0, "")
    again = tmp_path / "again.yml"
    again.write_text(shown.stdout)
    assert run("config", "show", "-c", again, "--effective", "--show-secrets").stdout == shown.stdout
    assert yaml.safe_load(shown.stdout)["read_header_timeout"] == "0s"


def test_show_the_defaults() -> None:
    shown = run("config", "show")
    assert (shown.returncode, shown.stderr) == (0, "")
    document = yaml.safe_load(shown.stdout)
    assert document["port"] == 8081
    assert document["go_max_procs"] == -1
    assert run("config", "show", "--effective").stdout == shown.stdout


def test_show_the_schema() -> None:
    shown = run("config", "show", "--schema")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert json.loads(shown.stdout)["properties"]["port"]["default"] == 8081
    refused = run("config", "show", "--schema", "--effective")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "--schema shows no configuration" in refused.stderr


def test_show_what_cannot_be_loaded(tmp_path: Path) -> None:
    path = write(tmp_path, {"port": "x"})
    shown = run("config", "show", "-c", path)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert shown.stderr == f"failed-to-load-config: yaml: expected an integer, found `x`\nin {path}, line 1, key port\n"
