"""`fastrouter -c gorouter.yml`: the router as Gorouter is started, up to the point where all of it is imported.

Steps 1 to 6 of spec 1.3. Modules that the first line of the log does not need are imported after it.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from fastrouter.config import Config, ConfigError, load
from fastrouter.config.keys import CURRENT
from fastrouter.logs.logger import Level, Logger, parse_level
from fastrouter.process import signals

if TYPE_CHECKING:
    from fastrouter.cli.start_checks import Start
    from fastrouter.control.options import Reread

USAGE = """\
Usage of fastrouter:
  -c FILE
        the configuration, a gorouter.yml; without it, Gorouter's defaults
  -routes FILE
        static routes besides those that apps register, read again on SIGHUP
  -workers NUMBER
        worker processes, instead of go_max_procs of the configuration
  -strict
        refuse a configuration with keys that are unknown
  -h    print this

`fastrouter --help` lists the commands there are besides.
"""


class UsageError(Exception):
    """Unknown or malformed flags; the text is that of Go's flag package."""


class Flags(NamedTuple):
    """What stands on the command line; `workers` is 0 if it does not say."""

    config: str | None = None
    routes: str | None = None
    workers: int = 0
    is_strict: bool = False
    is_help: bool = False


def parse_flags(arguments: Sequence[str]) -> Flags:
    """Read flags as Go does: one dash or two, `-c FILE` or `-c=FILE`, up to the first other argument.

    Raises UsageError.
    """
    values: dict[str, str] = {}
    is_strict = False
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        argument = rest.pop(0)
        name, equals, value = argument.removeprefix("-").removeprefix("-").partition("=")
        if name in ("h", "help"):
            return Flags(is_help=True)
        if name == "strict" and not equals:
            is_strict = True
            continue
        if name not in ("c", "routes", "workers"):
            raise UsageError(f"flag provided but not defined: -{name}")
        if not equals:
            if not rest:
                raise UsageError(f"flag needs an argument: -{name}")
            value = rest.pop(0)
        values[name] = value
    workers = values.get("workers", "0")
    if not (workers.isascii() and workers.isdecimal()) or ("workers" in values and int(workers) == 0):
        raise UsageError(f'invalid value "{workers}" for flag -workers: expected a number from 1')
    return Flags(values.get("c"), values.get("routes"), int(workers), is_strict)


def main(arguments: Sequence[str]) -> NoReturn:
    """Run the router until it ends, and exit the process."""
    try:
        flags = parse_flags(arguments)
    except UsageError as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        sys.exit(2)
    if flags.is_help:
        sys.stderr.write(USAGE)
        sys.exit(0)
    try:
        config = Config() if flags.config is None else load(flags.config, is_strict=flags.is_strict)
    except ConfigError as error:
        # Of which generation it would be is unknown: the default one tells on stdout only.
        logger = Logger()
        for fault in error.all():
            logger.error("Error loading config:", **fault.log_data())
        for unknown in error.unknown:
            logger.warn("config-key-unknown", **unknown.log_data())
        sys.exit(1)
    level = parse_level(config.logging.level)
    logger = Logger(
        config.log_source,
        level=Level.INFO if level is None else level,
        timestamps="rfc3339" if config.logging.format.timestamp == "rfc3339" else "unix-epoch",
        tells_fatal=config.gorouter_generation == CURRENT,
    )
    if level is None:
        # Gorouter panics here, before its first line.
        _prepare(config, flags, logger)
    signals.hold()
    logger.info("starting")
    logger.debug("local-az-set", AvailabilityZone=config.zone)
    for unknown in config.derived.unknown:
        logger.warn("config-key-unknown", **unknown.log_data())
    _run(config, flags, logger)


def _run(config: Config, flags: Flags, logger: Logger) -> NoReturn:
    from dataclasses import replace  # noqa: PLC0415
    from functools import partial  # noqa: PLC0415

    from fastrouter.cli.gorouter_options import options_of  # noqa: PLC0415
    from fastrouter.control import app  # noqa: PLC0415
    from fastrouter.control.options import StartError  # noqa: PLC0415

    start = _prepare(config, flags, logger)
    options = replace(
        options_of(config, workers=flags.workers),
        error_template=start.error_template,
        routes_file=flags.routes,
        file_routes=start.file_routes,
        admin=start.admin,
    )
    if flags.config is not None:
        options = replace(options, read_again=partial(_read_again, flags.config, config))
    try:
        is_healthy = app.run(options, logger)
    except StartError:
        # The reason is in the process log, as with Gorouter.
        is_healthy = False
    app.leave(is_healthy)


def _prepare(config: Config, flags: Flags, logger: Logger) -> "Start":
    """Return what the start has read; whatever keeps the router from starting is logged, and ends the process."""
    from fastrouter.cli.start_checks import prepare_start  # noqa: PLC0415

    start = prepare_start(config, flags.routes)
    # In Gorouter's order: it panics of a level before its first line, and reads the template before this one.
    if not any(fault.error.key in ("logging.level", "html_error_template_file") for fault in start.faults):
        logger.info(
            "retrieved-isolation-segments",
            isolation_segments=list(config.isolation_segments),
            routing_table_sharding_mode=config.routing_table_sharding_mode,
        )
    for fault in start.faults:
        fault.log(logger)
    if start.faults:
        sys.exit(max(fault.code for fault in start.faults))
    return start


def _read_again(path: str, running: Config) -> "Reread":
    """Return what the file says now, beside the configuration that the router runs with. Raises RereadError."""
    from fastrouter.cli.gorouter_options import RELOADED, front_tls_of  # noqa: PLC0415
    from fastrouter.config.reference import changed_keys  # noqa: PLC0415
    from fastrouter.control.options import Reread, RereadError  # noqa: PLC0415

    try:
        config = load(path)
    except ConfigError as error:
        raise RereadError([fault.log_data() for fault in error.all()]) from error
    front_tls = front_tls_of(config) if config.enable_ssl and running.enable_ssl else None
    return Reread(front_tls, tuple(key for key in changed_keys(running, config) if key not in RELOADED))
