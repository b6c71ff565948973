"""`fastrouter doctor`: what somebody needs who is to find out from afar what is wrong with a router, in one file.

Secrets are in none of it: configurations are masked, and of processes neither arguments nor environment are read.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import distributions
from typing import TYPE_CHECKING, Any

import click

from fastrouter import __version__
from fastrouter.cli.admin_output import print_json
from fastrouter.cli.whole_help import WholeCommand
from fastrouter.logs.error_text import error_text
from fastrouter.net.admin_socket import AdminSocketError, find_socket

if TYPE_CHECKING:
    from fastrouter.cli.admin_client import AdminClient

# What the API is asked for, and how many routes: those with most failed endpoints first.
_ANSWERS = ("overview", "overview/history", "workers", "nats", "certificates", "config", "static-routes")
_ROUTES = 1000
# Of each process.
_PROC_FILES = ("status", "limits", "stat", "wchan")


@click.command("doctor", cls=WholeCommand)
@click.argument("file", metavar="[FILE]", required=False)
@click.option("-c", "config", metavar="FILE", help="The configuration, where the router does not run: it is checked.")
@click.option("--routes", "routes_file", metavar="FILE", help="The file of static routes beside it.")
@click.option("--pid", type=click.IntRange(min=1), metavar="NUMBER", help="The router, where several run.")
@click.option("--socket", "path", metavar="PATH", envvar="FASTROUTER_SOCKET", help="Its admin socket.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def doctor_command(
    *,
    file: str | None,
    config: str | None,
    routes_file: str | None,
    pid: int | None,
    path: str | None,
    is_json: bool,
) -> None:
    """Write a bundle about a router and its machine to FILE, a tar.gz, with all secrets masked.

    What cannot be found out is in it as the reason why; so it is of use, too, where no router runs.
    """
    import io  # noqa: PLC0415 what `run` has not to wait for
    import tarfile  # noqa: PLC0415

    file = file or f"fastrouter-doctor-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.tar.gz"
    entries = list(_entries(config, routes_file, pid, path))
    try:
        # Whoever else is on the machine does not need to know either.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise click.ClickException(error_text(error)) from error
    with os.fdopen(descriptor, "wb") as output, tarfile.open(fileobj=output, mode="w:gz") as bundle:
        for name, text in entries:
            content = text.encode(errors="surrogateescape")
            member = tarfile.TarInfo(f"fastrouter-doctor/{name}")
            member.size, member.mtime, member.mode = len(content), int(time.time()), 0o600
            bundle.addfile(member, io.BytesIO(content))
    if is_json:
        print_json({"file": file, "entries": [name for name, _ in entries]})
    else:
        click.echo(file)


def _entries(
    config: str | None, routes_file: str | None, pid: int | None, path: str | None
) -> Iterator[tuple[str, str]]:
    yield "versions.txt", _versions()
    if config is not None:
        yield "configuration.yml", _configuration(config)
        yield "check.txt", _check(config, routes_file)
    from fastrouter.cli.admin_client import AdminClient  # noqa: PLC0415 likewise

    try:
        client = AdminClient(path or find_socket(pid))
    except AdminSocketError as error:
        yield "router.txt", f"{error}\n"
        return
    for name in _ANSWERS:
        yield f"api/{name.replace('/', '-')}.json", _or_reason(partial(client.get, f"/v1/{name}"))
    yield "api/routes.json", _or_reason(lambda: list(client.items("/v1/routes", _ROUTES, sort="-failed")))
    for process in _processes(client):
        for name in _PROC_FILES:
            yield f"processes/{process}/{name}", _content(f"/proc/{process}/{name}")
    for name in ("sys/net/core/somaxconn", "sys/fs/file-nr", "net/sockstat", "loadavg", "meminfo"):
        yield f"machine/{name.replace('/', '-')}", _content(f"/proc/{name}")


def _or_reason(ask: Callable[[], Any]) -> str:
    from fastrouter.cli.admin_client import AdminError  # noqa: PLC0415 likewise

    try:
        answer = ask()
    except AdminError as error:
        answer = {"error": str(error)}
    return json.dumps(answer, indent=1, ensure_ascii=False) + "\n"


def _processes(client: "AdminClient") -> list[int]:
    from fastrouter.cli.admin_client import AdminError  # noqa: PLC0415 likewise

    try:
        control = client.get("/v1/overview")["pid"]
        workers = client.get("/v1/workers")["workers"]
    except AdminError:
        return []
    return [control, *(worker["pid"] for worker in workers if worker["pid"] is not None)]


def _content(path: str) -> str:
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        return f"{error_text(error)}\n"


def _versions() -> str:
    packages = sorted(f"{found.name} {found.version}" for found in distributions())
    lines = [f"fastrouter {__version__}", f"Python {platform.python_version()}", platform.platform(), *packages]
    return "\n".join([*lines, ""])


def _configuration(path: str) -> str:
    from fastrouter.config import ConfigError, load  # noqa: PLC0415 not where there is none
    from fastrouter.config.reference import as_yaml  # noqa: PLC0415

    try:
        return as_yaml(load(path))
    except ConfigError as error:
        return f"{_faults_text(path, error.all())}\n"


def _check(path: str, routes_file: str | None) -> str:
    from fastrouter.cli.start_checks import prepare_start  # noqa: PLC0415 likewise
    from fastrouter.config import ConfigError, load  # noqa: PLC0415

    try:
        config = load(path)
    except ConfigError as error:
        return f"{_faults_text(path, error.all())}\n"
    faults = [fault.error for fault in prepare_start(config, routes_file).faults]
    return f"{_faults_text(path, (*faults, *config.derived.unknown)) or 'in order'}\n"


def _faults_text(path: str, faults: Any) -> str:
    # Of rules about certificates, the text may be the PEM that is wrong, and that may be a key.
    return "\n".join(f"{fault.text.partition(chr(10))[0]} in {fault.place(path)}" for fault in faults)
