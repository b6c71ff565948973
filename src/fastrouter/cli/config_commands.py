"""The commands about a configuration file: `fastrouter check` and `fastrouter config show`."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

import click

from fastrouter.cli.whole_help import WholeCommand, WholeGroup

if TYPE_CHECKING:
    # Imported by the commands when they run: `fastrouter run` needs none of it.
    from fastrouter.config import ConfigError


@click.command("check", cls=WholeCommand)
@click.option("-c", "path", metavar="FILE", required=True, help="The configuration file, as Gorouter reads it.")
@click.option("--routes", "routes_file", metavar="FILE", help="File of static routes that the router is given besides.")
@click.option("--strict", "is_strict", is_flag=True, help="Unknown keys are errors, too.")
@click.option(
    "--skip-ports", is_flag=True, help="Do not try the ports: for a file that a router on this machine runs with."
)
def check_command(*, path: str, routes_file: str | None, is_strict: bool, skip_ports: bool) -> None:
    """Validate a configuration file: exit with 0 if a router would start with it, else with 1.

    Files that the configuration names are opened and ports are tried. Every fault is told.
    """
    from fastrouter.config import ConfigError, load  # noqa: PLC0415

    try:
        config = load(path, is_strict=is_strict)
    except ConfigError as error:
        refuse(path, *error.all(), unknown=error.unknown)
    from fastrouter.cli.start_checks import prepare_start, taken_ports  # noqa: PLC0415

    faults = [fault.error for fault in prepare_start(config, routes_file).faults]
    if not skip_ports:
        faults += taken_ports(config)
    if faults:
        refuse(path, *faults, unknown=config.derived.unknown)
    click.echo("config-loaded-successfully")
    _warn(path, config.derived.unknown)


@click.group("config", cls=WholeGroup)
def config_group() -> None:
    """Show what a configuration file amounts to."""


@config_group.command()
@click.option("-c", "path", metavar="FILE", help="The configuration file; without one, the defaults are shown.")
@click.option("--effective", "is_effective", is_flag=True, help="Show every key, with defaults and derived values.")
@click.option("--schema", "is_schema", is_flag=True, help="Show the JSON Schema of the file instead.")
@click.option("--show-secrets", is_flag=True, help="Show passwords, secrets and private keys.")
def show(*, path: str | None, is_effective: bool, is_schema: bool, show_secrets: bool) -> None:
    """Show the keys that a configuration file gives, as the router understands them."""
    from fastrouter.config import Config, ConfigError, load  # noqa: PLC0415

    if is_schema and (path is not None or is_effective or show_secrets):
        raise click.UsageError("--schema shows no configuration: it goes with no other option")
    if is_schema:
        import orjson  # noqa: PLC0415

        click.echo(orjson.dumps(Config.schema(), option=orjson.OPT_INDENT_2))
        return
    from fastrouter.config.reference import as_yaml  # noqa: PLC0415

    try:
        config = Config() if path is None else load(path)
    except ConfigError as error:
        refuse(path or "", *error.all())
    is_all = is_effective or path is None
    click.echo(as_yaml(config, only_given=not is_all, show_secrets=show_secrets), nl=False)


def refuse(path: str, *faults: "ConfigError", unknown: Iterable["ConfigError"] = ()) -> NoReturn:
    """Tell why no router would start with the file, then which keys are unknown, and end the process."""
    for fault in faults:
        # The first line is that of Gorouter's config-validator, which does not say where the fault is.
        click.echo(f"failed-to-load-config: {fault.text}", err=True)
        click.echo(f"in {fault.place(path)}", err=True)
    _warn(path, unknown)
    sys.exit(1)


def _warn(path: str, unknown: Iterable["ConfigError"]) -> None:
    for key in unknown:
        click.echo(f"{key.text}\nin {key.place(path)}", err=True)
