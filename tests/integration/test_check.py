"""`fastrouter check` and `fastrouter config show` with the real executable."""

import json
import socket
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


def validate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the executable of its own."""
    return subprocess.run(
        [Path(EXECUTABLE).with_name("config-validator"), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
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
    for name, place in {"prometheus.crt": "<cert>", "prometheus.key": "<key>", "prometheus_ca.crt": "<ca>"}.items():
        (tmp_path / name).write_text(pems[place])
        text = text.replace(f"/var/vcap/jobs/gorouter/config/certs/prometheus/{name}", str(tmp_path / name))
    text = text.replace("/var/vcap/sys/log/gorouter/access.log", str(tmp_path / "access.log"))
    return write(tmp_path, text)


@pytest.mark.parametrize("rule", ALL_RULES.values(), ids=ALL_RULES)
def test_rule(rule: Rule, pems: Pems, tmp_path: Path) -> None:
    path = write(tmp_path, pems.fill(rule.document))
    checked = run("check", "-c", path)
    assert (checked.returncode, checked.stdout) == (1, "")
    # A document may break another rule besides.
    told = f"failed-to-load-config: {rule.text}\nin {path}, line "
    assert checked.stderr.startswith(told)
    place, _, _ = checked.stderr.removeprefix(told).partition("\n")
    line = int(place.removesuffix(f", key {rule.key}"))
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


BROKEN: dict[str, tuple[str, dict[str, str]]] = {
    "keys of three kinds": (
        "port: x\nstatus: {port: 70000}\nbalancing_algorithm: dice\nbackends: {max_conns: [1]}\n",
        {
            "port": "yaml: expected an integer, found `x`",
            "status.port": "yaml: expected an integer from 0 to 65535, found `70000`",
            "backends.max_conns": "yaml: expected an integer, found a list",
            "balancing_algorithm": "Invalid load balancing algorithm dice. "
            "Allowed values are [round-robin least-connection]",
        },
    ),
    "a key that cannot be read breaks no rule besides": (
        "enable_ssl: true\ntls_pem: x\ncipher_suites: AES128-SHA\nclient_cert_validation: none\n",
        {"tls_pem": "yaml: expected a list, found `x`"},
    ),
    "files": (
        "html_error_template_file: {none}/error.html\naccess_log: {{file: {none}/access.log}}\n"
        "prometheus: {{enabled: true, port: 1, cert_path: {none}/a, key_path: {none}/b, ca_path: {none}/c}}\n",
        {
            "html_error_template_file": "Could not read HTML error template file: "
            "open {none}/error.html: no such file or directory",
            "access_log.file": "open {none}/access.log: no such file or directory",
            "prometheus.cert_path": "open {none}/a: no such file or directory",
            "prometheus.key_path": "open {none}/b: no such file or directory",
            "prometheus.ca_path": "open {none}/c: no such file or directory",
        },
    ),
    "what is read as a file is a directory": (
        "html_error_template_file: {here}\naccess_log: {{file: {here}}}\n",
        {
            "html_error_template_file": "Could not read HTML error template file: open {here}: is a directory",
            "access_log.file": "open {here}: is a directory",
        },
    ),
    "no agent": (
        "logging: {metron_address: nowhere}\n",
        {"logging.metron_address": "Failed to initialize dropsonde: address nowhere: missing port in address"},
    ),
    "one port for two": (
        "port: 8080\nprometheus: {enabled: true, port: 8082}\ndebug_addr: 127.0.0.1:8080\n",
        {
            "status.port": "port 8080 is taken by port: each listener needs a port of its own",
            "prometheus.port": "port 8082 is taken by status.routes.port: each listener needs a port of its own",
            "debug_addr": "port 8080 is taken by port: each listener needs a port of its own",
        },
    ),
    "the admin API": (
        "admin: {{listen: '0.0.0.0:8081', tokens: [{{token_file: {none}/token}}], routes_file: {here}}}\n",
        {
            "admin.tokens[0].token_file": "open {none}/token: no such file or directory",
            "admin.listen": "0.0.0.0:8081 is not on loopback: there the admin API is served with admin.tls only",
            "admin.routes_file": "open {here}: is a directory",
        },
    ),
    "a port of the admin API": (
        "admin: {listen: '127.0.0.1:8081', tokens: [{token: 0123456789abcdef}]}\n",
        {"admin.listen": "port 8081 is taken by port: each listener needs a port of its own"},
    ),
    "what Gorouter panics of": (
        "logging: {level: loud}\nroute_services_hairpinning_allowlist: [a b]\nport: 8080\n",
        {
            "logging.level": 'unrecognized level: "loud"',
            "route_services_hairpinning_allowlist[0]": "invalid route service hairpinning allowlist entry: a b. "
            "Must be wildcard (*.domain.com) or FQDN (hostname.domain.com)",
            "status.port": "port 8080 is taken by port: each listener needs a port of its own",
        },
    ),
}


@pytest.mark.parametrize(("text", "faults"), BROKEN.values(), ids=BROKEN)
def test_check_and_start_tell_the_same_faults(text: str, faults: dict[str, str], tmp_path: Path) -> None:
    if "{{" in text or "{here}" in text:
        text = text.format(none=tmp_path / "none", here=tmp_path)
    texts = [fault.format(none=tmp_path / "none", here=tmp_path) for fault in faults.values()]
    path = write(tmp_path, text)
    checked = run("check", "--skip-ports", "-c", path)
    assert checked.returncode == 1
    lines = checked.stderr.splitlines()
    assert [line.removeprefix("failed-to-load-config: ") for line in lines[::2]] == texts
    assert [line.partition(", key ")[2] for line in lines[1::2]] == list(faults)
    started = run("-c", path)
    assert started.returncode in (1, 2)
    errors = [json.loads(line) for line in started.stdout.splitlines()]
    panics = [line.removeprefix("panic: ") for line in started.stderr.splitlines() if line.startswith("panic: ")]
    told = [event["data"]["error"] for event in errors if event["log_level"] == 3 and "filename" not in event["data"]]
    assert sorted(panics + told) == sorted(texts)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        port = owner.getsockname()[1]
        path = write(tmp_path, {"port": 0, "status": {"port": 0, "routes": {"port": port}}, "access_log": {"file": ""}})
        checked = run("check", "-c", path)
        text = f"listen tcp 127.0.0.1:{port}: bind: address already in use"
        told = f"failed-to-load-config: {text}\nin {path}, line 7, key status.routes.port\n"
        assert (checked.returncode, checked.stdout, checked.stderr) == (1, "", told)
        assert run("check", "--skip-ports", "-c", path).returncode == 0
    assert run("check", "-c", path).returncode == 0


def test_static_routes_are_checked_too(tmp_path: Path) -> None:
    routes = tmp_path / "routes.yml"
    routes.write_text("routes: [{route: a.test, endpoints: [{address: nowhere}]}]\n")
    checked = run("check", "--skip-ports", "-c", write(tmp_path, ""), "--routes", routes)
    assert checked.returncode == 1
    assert str(routes) in checked.stderr
    assert "nowhere" in checked.stderr


def test_unknown_keys(tmp_path: Path) -> None:
    path = write(tmp_path, "endpoint_timeot: 1s\nnats:\n  tls_enabeld: true\n  flavour: sweet\n")
    told = [
        ("unknown key, did you mean endpoint_timeout?", f"in {path}, line 1, key endpoint_timeot"),
        ("unknown key, did you mean nats.tls_enabled?", f"in {path}, line 3, key nats.tls_enabeld"),
        ("unknown key", f"in {path}, line 4, key nats.flavour"),
    ]
    checked = run("check", "--skip-ports", "-c", path)
    assert (checked.returncode, checked.stdout) == (0, "config-loaded-successfully\n")
    assert checked.stderr == "".join(f"{text}\n{place}\n" for text, place in told)
    refused = run("check", "--skip-ports", "--strict", "-c", path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "".join(f"failed-to-load-config: {text}\n{place}\n" for text, place in told)
    started = run("-c", path, "-strict")
    assert started.returncode == 1
    assert [json.loads(line)["data"] for line in started.stdout.splitlines()] == [
        {"error": text, "key": place.rpartition(" ")[2], "line": line}
        for (text, place), line in zip(told, (1, 3, 4), strict=True)
    ]


def test_a_file_with_faults_names_unknown_keys_too(tmp_path: Path) -> None:
    path = write(tmp_path, "prot: 80\nssl_port: many\n")
    checked = run("check", "--skip-ports", "-c", path)
    assert checked.returncode == 1
    assert checked.stderr == (
        f"failed-to-load-config: yaml: expected an integer, found `many`\nin {path}, line 2, key ssl_port\n"
        f"unknown key, did you mean port?\nin {path}, line 1, key prot\n"
    )
    started = run("-c", path)
    assert started.returncode == 1
    lines = [json.loads(line) for line in started.stdout.splitlines()]
    assert [(line["message"], line["data"]["key"]) for line in lines] == [
        ("Error loading config:", "ssl_port"),
        ("config-key-unknown", "prot"),
    ]


def test_success(tmp_path: Path) -> None:
    checked = run("check", "--skip-ports", "-c", write(tmp_path, ""))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "config-loaded-successfully\n", "")


def test_a_configuration_from_bosh(bosh: Path, pems: Pems) -> None:
    checked = run("check", "--skip-ports", "--strict", "-c", bosh)
    assert (checked.returncode, checked.stdout) == (0, "config-loaded-successfully\n")
    assert not bosh.with_name("access.log").exists(), "a check leaves nothing behind"
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


class TestConfigValidator:
    """N15: the executable that later Gorouters have for it."""

    def test_a_file_that_is_in_order(self, bosh: Path) -> None:
        checked = validate("-c", bosh)
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "config-loaded-successfully\n", "")

    def test_every_fault(self, tmp_path: Path) -> None:
        path = write(tmp_path, "disable_http: true\nbalancing_algorithm: fair\n")
        checked = validate("-c", path)
        assert (checked.returncode, checked.stdout) == (1, "")
        assert checked.stderr == run("check", "-c", path).stderr
        assert checked.stderr.count("failed-to-load-config: ") == 2

    def test_no_file(self, tmp_path: Path) -> None:
        path = tmp_path / "none.yml"
        checked = validate(f"-c={path}")
        assert checked.returncode == 1
        assert checked.stderr.startswith(f"failed-to-load-config: open {path}: no such file or directory\n")

    @pytest.mark.parametrize("arguments", [(), ("--bogus",), ("-c",)])
    def test_bad_arguments(self, arguments: tuple[str, ...]) -> None:
        assert validate(*arguments).returncode == 2


class TestFatalOnStderr:
    """N18: what keeps a router from running is told on stderr, too."""

    def test_a_file_that_cannot_be_loaded_is_of_the_default_generation(self, tmp_path: Path) -> None:
        started = run("-c", write(tmp_path, "gorouter_generation: current\nbalancing_algorithm: fair\n"))
        assert (started.returncode, started.stderr) == (1, "")

    @pytest.mark.parametrize(("generation", "is_told"), [("current", True), ("april-2025", False)])
    def test_what_a_start_finds(self, generation: str, is_told: bool, tmp_path: Path) -> None:
        document = {
            "gorouter_generation": generation,
            "access_log": {"file": str(tmp_path / "none" / "access.log")},
        }
        started = run("-c", write(tmp_path, document))
        assert started.returncode == 1
        told = [line for line in started.stderr.splitlines() if line.startswith("FATAL: ")]
        assert bool(told) == is_told
        assert all(line.startswith("FATAL: error-creating-access-logger error=") for line in told)
