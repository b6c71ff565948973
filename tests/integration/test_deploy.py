"""What is in deploy/ fits the router: alert rules and dashboard ask for metrics and labels that it has."""

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fastrouter.process import signals

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


def instructions() -> list[tuple[str, str]]:
    """What the Containerfile has: the name and the rest of each instruction."""
    text = re.sub(r"(?m)^#.*\n", "", (DEPLOY / "Containerfile").read_text()).replace("\\\n", " ")
    return [
        (name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in text.splitlines()) if name
    ]


class TestContainerfile:
    """Without an engine that builds it; `make test-wheel` does what its two stages do."""

    def test_it_copies_what_a_build_needs(self) -> None:
        copied = {word for name, rest in instructions() if name == "COPY" for word in rest.split()[:-1]}
        assert all((DEPLOY.parent / name).exists() for name in copied)
        project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]
        assert {"pyproject.toml", "setup.py", "src", project["readme"], *project["license-files"]} == copied

    def test_it_starts_and_stops_the_router(self) -> None:
        last = dict(instructions())
        (program,) = json.loads(last["ENTRYPOINT"])
        scripts = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["scripts"]
        assert Path(program).name in scripts
        assert json.loads(last["CMD"]) == ["-c", "/etc/fastrouter/gorouter.yml"]
        assert signal.Signals[last["STOPSIGNAL"]] == signals.DRAIN

    def test_its_health_check_asks_the_router(self, tmp_path: Path, nats_server: NatsServerProcess) -> None:
        _, _, command = dict(instructions())["HEALTHCHECK"].partition("CMD ")
        python, *arguments = json.loads(command)
        assert Path(python).parent == Path(json.loads(dict(instructions())["ENTRYPOINT"])[0]).parent
        router = GorouterProcess(tmp_path, configuration(nats_server.port))
        try:
            router.wait_until_started()
            environment = {**os.environ, "HEALTH_PORT": str(router.health_port)}
            check = [sys.executable, *arguments]
            assert subprocess.run(check, env=environment, check=False).returncode == 0
        finally:
            router.stop()
        failed = subprocess.run(check, env=environment, check=False, capture_output=True)
        assert failed.returncode == 1


def test_wheels_are_built_for_all_that_is_promised() -> None:
    """`cibuildwheel --print-build-identifiers` lists them; here is what it is told."""
    project = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())
    built = project["tool"]["cibuildwheel"]
    assert built["build"] == ["cp311-*", "cp312-*", "cp313-*", "cp314-*"]
    assert project["project"]["requires-python"] == ">=3.11"
    assert built["linux"]["archs"] == ["x86_64", "aarch64"]
    for architecture in built["linux"]["archs"]:
        assert f"manylinux-{architecture}-image" in built["linux"]
        assert f"musllinux-{architecture}-image" in built["linux"]
    program = Path(built["test-command"].split()[1])
    assert (DEPLOY.parent / program).exists()
    assert program.parent == Path(built["test-sources"][0])


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
