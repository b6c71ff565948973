"""What is in deploy/ fits the router: alert rules and dashboard ask for metrics and labels that it has."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .gorouter_process import GorouterProcess, configuration, get, register
from .nats_server import NatsServerProcess, RawNatsClient
from .raw_backend import AnsweringBackend
from .router_process import wait_for
from .test_systemd import BOSH, DEPLOY

# Not the router's: what Prometheus adds to a scrape.
OF_PROMETHEUS = {"up", "instance", "job", "le"}
_WORDS = {"by", "offset", "and", "or", "unless", "sum", "max", "min", "rate", "increase"}


def expressions() -> Iterator[tuple[str, str]]:
    """Where each expression stands, and the expression."""
    rules = yaml.safe_load((DEPLOY / "prometheus-rules.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]


def names_in(expression: str) -> set[str]:
    """The metrics that an expression of PromQL asks for."""
    text = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]|\b(?:by|without) *\([^)]*\)', " ", expression)
    text = re.sub(r"label_values\((\w+), *\w+\)", r"\1", text)
    return set(re.findall(r"(?<![\w.$])[a-z_][a-z0-9_]*(?![\w(])(?! *\()", text)) - _WORDS


def labels_in(expression: str) -> set[str]:
    """The labels that an expression selects or groups by."""
    selected = re.findall(r"[{,] *(\w+) *(?:=~|!=|!~|=)", expression)
    grouped = [name for names in re.findall(r"\bby *\(([^)]*)\)", expression) for name in re.findall(r"\w+", names)]
    return {*selected, *grouped}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """The name of every sample on `/metrics`, and the names of its labels, once everything has happened once."""
    directory = tmp_path_factory.mktemp("router")
    nats_server = NatsServerProcess(directory)
    nats = RawNatsClient(nats_server.port)
    document = configuration(nats_server.port, prometheus={"enabled": True, "port": 0})
    router = GorouterProcess(directory, document)
    try:
        router.wait_until_started()
        with AnsweringBackend() as backend:
            register(nats, backend.address, "app.test")
            wait_for(lambda: True if router.status_of("app.test") == 200 else None, "the route")
        port = router.wait_for_event("metrics-listener-started")["data"]["port"]
        samples: dict[str, set[str]] = {}
        for line in get(port, "/metrics")[1].decode().splitlines():
            if match := re.match(r"(\w+)(?:\{(.*)\})? ", line):
                samples.setdefault(match[1], set()).update(re.findall(r'(\w+)="', match[2] or ""))
        yield samples
    finally:
        router.stop()
        nats.close()
        nats_server.stop()


def test_every_metric_that_is_asked_for_is_there(page: dict[str, set[str]]) -> None:
    asked = {place: names_in(expression) - OF_PROMETHEUS for place, expression in expressions()}
    assert {place: names - page.keys() for place, names in asked.items() if names - page.keys()} == {}
    # What asks for nothing was not understood.
    assert [place for place, names in asked.items() if not names] == ["RouterIsDown"]


def test_every_label_that_is_asked_for_is_there(page: dict[str, set[str]]) -> None:
    for place, expression in expressions():
        there = OF_PROMETHEUS.union(*(page.get(name, set()) for name in names_in(expression)))
        assert labels_in(expression) <= there, place


def test_what_an_alert_says() -> None:
    rules = yaml.safe_load((DEPLOY / "prometheus-rules.yml").read_text())["groups"][0]["rules"]
    for rule in rules:
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["labels"]["severity"] in ("critical", "warning")
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_the_log_that_is_rotated_is_the_one_of_bosh() -> None:
    path = yaml.safe_load(BOSH.read_text())["access_log"]["file"]
    text = (DEPLOY / "fastrouter.logrotate").read_text()
    assert f"\n{path} {{\n" in text
    assert "--signal=HUP" in text


def test_the_package_of_bosh_is_where_bpm_yml_looks_for_it(tmp_path: Path) -> None:
    """The packaging script with tools that only note what they are asked for; `make test-wheel` has the real ones."""
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\necho "$@" >> "$NOTES"\nif [ "$2" = venv ]; then mkdir -p "$4/bin" && cp "$0" "$4/bin/python"; fi\n'
    )
    python.chmod(0o755)
    target = tmp_path / "gorouter"
    subprocess.run(
        ["bash", DEPLOY / "bosh" / "packages" / "gorouter" / "packaging"],
        cwd=tmp_path,
        env={
            **os.environ,
            "BOSH_INSTALL_TARGET": str(target),
            "FASTROUTER_PYTHON": str(python),
            "NOTES": str(tmp_path / "notes"),
        },
        check=True,
    )
    assert "install --no-index --find-links fastrouter fastrouter" in (tmp_path / "notes").read_text()
    program = target / "venv" / "bin" / "fastrouter"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    # As the bpm.yml of routing-release has it.
    linked = tmp_path / "linked"
    linked.symlink_to(target)
    said = subprocess.run(
        [linked / "bin" / "gorouter", "-c", "/var/vcap/jobs/gorouter/config/gorouter.yml"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "-c /var/vcap/jobs/gorouter/config/gorouter.yml\n"
