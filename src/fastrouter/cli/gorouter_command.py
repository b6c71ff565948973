"""`fastrouter -c gorouter.yml`: the router as Gorouter is started, up to the point where all of it is imported.

Steps 1 to 6 of spec 1.3. Modules that the first line of the log does not need are imported after it.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from fastrouter.config import Config, ConfigError, load
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger, parse_level
from fastrouter.process import signals

if TYPE_CHECKING:
    from fastrouter.ipc.messages import ServerTLS
    from fastrouter.registry.static_routes import StaticRoute

USAGE = """\
Usage of fastrouter:
  -c FILE
        the configuration, a gorouter.yml; without it, Gorouter's defaults
  -routes FILE
        static routes besides those that apps register, read again on SIGHUP
  -workers NUMBER
        worker processes, instead of go_max_procs of the configuration
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
    is_help: bool = False


def parse_flags(arguments: Sequence[str]) -> Flags:
    """Read flags as Go does: one dash or two, `-c FILE` or `-c=FILE`, up to the first other argument.

    Raises UsageError.
    """
    values: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        argument = rest.pop(0)
        name, equals, value = argument.removeprefix("-").removeprefix("-").partition("=")
        if name in ("h", "help"):
            return Flags(is_help=True)
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
    return Flags(values.get("c"), values.get("routes"), int(workers))


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
        config = Config() if flags.config is None else load(flags.config)
    except ConfigError as error:
        Logger().error("Error loading config:", **error.log_data())
        sys.exit(1)
    level = parse_level(config.logging.level)
    if level is None:
        # Gorouter panics here, so nothing is in the log.
        sys.stderr.write(f'panic: unrecognized level: "{config.logging.level}"\n')
        sys.exit(2)
    logger = Logger(
        config.log_source,
        level=level,
        timestamps="rfc3339" if config.logging.format.timestamp == "rfc3339" else "unix-epoch",
    )
    signals.hold()
    logger.info("starting")
    logger.debug("local-az-set", AvailabilityZone=config.zone)
    if config.derived.without_effect:
        logger.warn("config-keys-without-effect", keys=config.derived.without_effect)
    _run(config, flags, logger)


def _run(config: Config, flags: Flags, logger: Logger) -> NoReturn:
    # Before the imports below, so that a bad template is reported early.
    error_template = (
        _load_error_template(config.html_error_template_file, logger) if config.html_error_template_file else None
    )
    from dataclasses import replace  # noqa: PLC0415
    from functools import partial  # noqa: PLC0415

    from fastrouter.cli.gorouter_options import options_of  # noqa: PLC0415
    from fastrouter.control import app  # noqa: PLC0415
    from fastrouter.control.options import StartError  # noqa: PLC0415

    logger.info(
        "retrieved-isolation-segments",
        isolation_segments=list(config.isolation_segments),
        routing_table_sharding_mode=config.routing_table_sharding_mode,
    )
    _check_allow_list(config, logger)
    options = replace(options_of(config, workers=flags.workers), error_template=error_template)
    if flags.routes is not None:
        options = replace(options, routes_file=flags.routes, file_routes=_load_routes(flags.routes, logger))
    if flags.config is not None and config.enable_ssl:
        options = replace(options, read_front_tls=partial(_read_front_tls, flags.config))
    try:
        is_healthy = app.run(options, logger)
    except StartError:
        # The reason is in the process log, as with Gorouter.
        is_healthy = False
    app.leave(is_healthy)


def _check_allow_list(config: Config, logger: Logger) -> None:
    from fastrouter.config.validation import check_start  # noqa: PLC0415

    try:
        check_start(config)
    except ConfigError as error:
        # Gorouter panics here, as for a bad log level.
        logger.error("allowlist-entry-invalid", **error.log_data())
        sys.exit(2)


def _read_front_tls(path: str) -> "ServerTLS":
    """Return the TLS of the HTTPS listener as the file has it now. Raises ServerTLSError."""
    from fastrouter.cli.gorouter_options import front_tls_of  # noqa: PLC0415
    from fastrouter.tls.server import ServerTLSError  # noqa: PLC0415

    try:
        config = load(path)
    except ConfigError as error:
        raise ServerTLSError(str(error)) from error
    if not config.enable_ssl:
        raise ServerTLSError("enable_ssl is not set any more, which takes a restart")
    return front_tls_of(config)


def _load_routes(path: str, logger: Logger) -> "Sequence[StaticRoute]":
    from fastrouter.control import app  # noqa: PLC0415
    from fastrouter.registry.static_routes import RoutesError, load_routes_file  # noqa: PLC0415

    try:
        return load_routes_file(path)
    except (RoutesError, OSError) as error:
        logger.error("routes-file-refused", file=path, error=error_text(error))
        app.leave(is_healthy=False)


def _load_error_template(path: str, logger: Logger) -> str | None:
    """Return the text of the template for error pages, None if `path` is empty; a bad one ends the process."""
    from fastrouter.gotemplate.error_template import ErrorTemplate  # noqa: PLC0415
    from fastrouter.gotemplate.parser import ErrorTemplateError  # noqa: PLC0415

    text = None
    try:
        if path:
            with open(path, encoding="utf-8", errors="replace", newline="") as file:
                text = file.read()
            ErrorTemplate(text)
    except OSError as error:
        fault = f"Could not read HTML error template file: {error_text(error)}"
    except ErrorTemplateError as error:
        fault = f"Could not parse HTML error template file: {path}: {error}"
    else:
        fault = ""
    if fault:
        logger.error("new-html-error-template-from-file", error=fault)
        from fastrouter.control import app  # noqa: PLC0415

        app.leave(is_healthy=False)
    return text
