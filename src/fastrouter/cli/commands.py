"""The commands of `fastrouter`; those about a router that runs are in modules of their own.

`fastrouter -c gorouter.yml`, which is no command, is in gorouter_command.py.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fastrouter import __version__
from fastrouter.cli.admin_output import Command, CommandError
from fastrouter.cli.config_commands import check_command, config_group
from fastrouter.cli.doctor import doctor_command
from fastrouter.cli.nats_commands import nats_group
from fastrouter.cli.request_commands import explain_command, requests_command, tail_command, top_command
from fastrouter.cli.route_commands import events_command, routes_group
from fastrouter.cli.router_commands import (
    certs_command,
    drain_command,
    endpoints_group,
    log_level_command,
    reload_command,
    status_command,
)
from fastrouter.cli.whole_help import WholeGroup
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Level, Logger, TimestampFormat
from fastrouter.net.address import MAX_PORT, Address, parse_listen_address
from fastrouter.process import signals

if TYPE_CHECKING:
    from fastrouter.control.options import Reread
    from fastrouter.ipc.messages import ServerTLS
    from fastrouter.registry.static_routes import StaticRoute

# What stands in front of every component in the `source` of a log line, unless configured otherwise (spec 1.3).
LOG_SOURCE = "gorouter.stdout"

PROGRAM = "fastrouter"

# httptools has llhttp built in and does not say which version; these are LLHTTP_VERSION of llhttp.h in its releases.
LLHTTP_OF_HTTPTOOLS = {"0.9.0": "9.4.3"}


def _listen_address(ctx: click.Context, param: click.Parameter, value: str) -> Address:
    try:
        return parse_listen_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _listen_option(**attributes: Any) -> Callable[[Command], Command]:
    return click.option(
        "--listen",
        metavar="HOST:PORT",
        callback=_listen_address,
        help="Where clients connect; port 0: any free port.",
        **attributes,
    )


# Larger numbers are mistakes, and do not fit into the data plane's types.
MAX_SECONDS = 365 * 24 * 3600
MAX_COUNT = 2**31 - 1

SECONDS = click.FloatRange(0, MAX_SECONDS)
COUNT = click.IntRange(0, MAX_COUNT)
SIZE = click.IntRange(1, MAX_COUNT)

# The data plane's settings that operators change: option name -> (type, name of its value, help). Left out, they keep
# the data plane's own defaults; a test compares those with the help.
SETTINGS: dict[str, tuple[click.IntRange | click.FloatRange, str, str]] = {
    "max-attempts": (SIZE, "NUMBER", "Endpoints tried for one request at most.  [default: 3]"),
    "dial-timeout": (SECONDS, "SECONDS", "Seconds to connect to a backend.  [default: 5]"),
    "endpoint-timeout": (SECONDS, "SECONDS", "Seconds a backend may take for one response.  [default: 900]"),
    "frontend-idle-timeout": (
        SECONDS,
        "SECONDS",
        "Seconds a client's connection may wait for a request.  [default: 900]",
    ),
    "read-header-timeout": (
        SECONDS,
        "SECONDS",
        "Seconds a client may take to send a request head; 0: no limit.  [default: 0]",
    ),
    "backend-idle-timeout": (SECONDS, "SECONDS", "Seconds an idle backend connection is kept.  [default: 90]"),
    "max-idle-per-endpoint": (COUNT, "NUMBER", "Idle connections kept per endpoint and worker.  [default: 100]"),
    "max-request-head": (SIZE, "BYTES", "Bytes of a request line with headers.  [default: 1048576]"),
    "max-request-headers": (SIZE, "NUMBER", "Number of request headers.  [default: 1000]"),
    "max-response-head": (SIZE, "BYTES", "Bytes of a status line with headers.  [default: 1048576]"),
    "max-response-headers": (SIZE, "NUMBER", "Number of response headers.  [default: 1000]"),
}


def _settings_options(command: Command) -> Command:
    for name, (kind, metavar, text) in reversed(SETTINGS.items()):
        command = click.option(f"--{name}", type=kind, metavar=metavar, help=text)(command)
    return command


def _admin_options(command: Command) -> Command:
    command = click.option("--no-admin", is_flag=True, help="No admin API.")(command)
    return click.option(
        "--admin-socket",
        metavar="PATH",
        help="Unix socket of the admin API.  [default: where other commands find it]",
    )(command)


@click.group(cls=WholeGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Route HTTP requests to the instances of applications, as Cloud Foundry's Gorouter does."""


@cli.command()
@_listen_option(required=True)
@click.option(
    "--route",
    "route_options",
    multiple=True,
    metavar="HOST[/PATH]=ADDR[,ADDR...]",
    help="Route a host, or a path below it, to backends (HOST:PORT). HOST may be *.DOMAIN. Repeatable.",
)
@click.option("--routes", "routes_file", metavar="FILE", help="YAML file of routes; see the README.")
@click.option(
    "--tls-cert",
    metavar="FILE",
    help="Clients speak TLS, and HTTP/2 if they like: this certificate chain, PEM, read again on SIGHUP.",
)
@click.option("--tls-key", metavar="FILE", help="Its private key, PEM.")
@click.option(
    "--health-port",
    type=click.IntRange(0, MAX_PORT),
    metavar="PORT",
    help="Serve /health on this port of all interfaces, for load balancers; 0: any free port.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(0, MAX_PORT),
    metavar="PORT",
    help="Serve /metrics on this port of 127.0.0.1; 0: any free port.",
)
@click.option("--access-log", metavar="FILE", help="Append one line per request to this file.")
@click.option(
    "--disable-log-refused-requests",
    is_flag=True,
    help="No line for a request that is refused before its route is looked up.",
)
@_admin_options
@click.option("--admin-routes", metavar="FILE", help="Keep static routes of the admin API in this file.")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="NUMBER", help="Worker processes.  [default: one per CPU]"
)
@click.option(
    "--disable-backend-keep-alive", is_flag=True, help="Open a new connection to the backend for every request."
)
@_settings_options
@click.option(
    "--log-level",
    type=click.Choice([level.name.lower() for level in Level]),
    default="info",
    show_default=True,
    help="Least severe level that is logged.",
)
@click.option(
    "--log-timestamps",
    type=click.Choice(["rfc3339", "unix-epoch"]),
    default="rfc3339",
    show_default=True,
    help="How the process log writes times.",
)
def run(
    *,
    listen: Address,
    route_options: Sequence[str],
    routes_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    health_port: int | None,
    metrics_port: int | None,
    access_log: str | None,
    disable_log_refused_requests: bool,
    admin_socket: str | None,
    no_admin: bool,
    admin_routes: str | None,
    workers: int | None,
    disable_backend_keep_alive: bool,
    log_level: str,
    log_timestamps: TimestampFormat,
    **settings: Any,
) -> None:
    """Run the router with static routes, until SIGTERM or Ctrl-C."""
    from fastrouter._core import Settings  # noqa: PLC0415 `--help` and `version` need none of it
    from fastrouter.registry.static_routes import RoutesError, load_routes_file, parse_route_option  # noqa: PLC0415

    try:
        routes = [parse_route_option(text) for text in route_options]
    except RoutesError as error:
        raise click.BadParameter(str(error), param_hint="'--route'") from error
    file_routes: Sequence[StaticRoute] = ()
    if routes_file is not None:
        try:
            file_routes = load_routes_file(routes_file)
        except RoutesError as error:
            raise click.BadParameter(str(error), param_hint="'--routes'") from error
        except OSError as error:
            raise click.BadParameter(error_text(error), param_hint="'--routes'") from error
    data_plane = {
        "backend_keep_alive": not disable_backend_keep_alive,
        # As the current Gorouter: there is no configuration whose generation could be another.
        "keeps_sticky_metadata": True,
        **{name: value for name, value in settings.items() if value is not None},
    }
    try:
        limits = Settings(**data_plane)
    except ValueError as error:
        # The message begins with the name of the field, which is that of the option.
        name, _, rule = str(error).partition(" ")
        raise click.BadParameter(rule, param_hint=f"'--{name.replace('_', '-')}'") from error
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key belong together")
    logger = Logger(LOG_SOURCE, level=Level[log_level.upper()], timestamps=log_timestamps)
    front_tls, read_again = None, None
    if tls_cert is not None and tls_key is not None:
        front_tls, read_again = _front_tls_of(tls_cert, tls_key)
    _announce_start(logger)
    from fastrouter.control import app  # noqa: PLC0415
    from fastrouter.control.options import AdminOptions, RouterOptions, usable_cpus  # noqa: PLC0415
    from fastrouter.control.preparation import check_tls  # noqa: PLC0415
    from fastrouter.ipc.messages import AccessLogOptions  # noqa: PLC0415
    from fastrouter.observe.metrics_listener import MetricsOptions  # noqa: PLC0415
    from fastrouter.observe.status_listeners import StatusOptions  # noqa: PLC0415

    options = RouterOptions(
        listen=None if front_tls else listen,
        tls_listen=listen if front_tls else None,
        front_tls=front_tls,
        read_again=read_again,
        status=None if health_port is None else StatusOptions(health_port=health_port),
        metrics=None if metrics_port is None else MetricsOptions(port=metrics_port),
        routes=routes,
        routes_file=routes_file,
        file_routes=file_routes,
        workers=workers or usable_cpus(),
        settings=data_plane,
        registry={"is_current": True},
        access_log=AccessLogOptions(file=access_log, line={"logs_refused": not disable_log_refused_requests}),
        drain_timeout=limits.endpoint_timeout,
        admin=None
        if no_admin
        else AdminOptions(
            socket=admin_socket,
            routes_file=admin_routes,
            # None of the options is a secret: keys are in files.
            configuration={name: _shown(value) for name, value in click.get_current_context().params.items()},
        ),
    )

    def start() -> bool:
        check_tls(options, logger)
        return app.run(options, logger)

    _end(start)


def _shown(value: object) -> object:
    """Return the value of an option as JSON has it."""
    return str(value) if isinstance(value, Address) else value


def _front_tls_of(cert_path: str, key_path: str) -> "tuple[ServerTLS, Callable[[], Reread]]":
    """Return the TLS with a certificate and its key, and what reads both again. Raises click.BadParameter."""
    from fastrouter.cli.certificate_files import CertificateFileError, read_front_tls, reread_front_tls  # noqa: PLC0415

    try:
        front_tls = read_front_tls(cert_path, key_path)
    except CertificateFileError as error:
        raise click.BadParameter(str(error), param_hint=f"'{error.option}'") from error
    return front_tls, partial(reread_front_tls, cert_path, key_path)


@cli.command()
@_listen_option(default="127.0.0.1:8080", show_default=True)
@_admin_options
def demo(*, listen: Address, admin_socket: str | None, no_admin: bool) -> None:
    """Run the router in front of live backends to try it on, until Ctrl-C."""
    logger = Logger(LOG_SOURCE, timestamps="rfc3339")
    _announce_start(logger)
    from fastrouter.control.options import AdminOptions  # noqa: PLC0415
    from fastrouter.demo import router as live  # noqa: PLC0415

    configuration = {"listen": str(listen), "admin_socket": admin_socket}
    admin = None if no_admin else AdminOptions(socket=admin_socket, configuration=configuration)
    _end(lambda: live.run(listen, logger, admin))


def _announce_start(logger: Logger) -> None:
    """Log the first line; from then on signals wait for the router. What the router is made of is imported after it."""
    signals.hold()
    logger.info("starting")


def _end(run: Callable[[], bool]) -> NoReturn:
    """Run a router, and end the process when it has ended."""
    from fastrouter.control import app  # noqa: PLC0415
    from fastrouter.control.options import StartError  # noqa: PLC0415

    try:
        is_healthy = run()
    except StartError as error:
        click.ClickException(str(error)).show()
        is_healthy = False
    app.leave(is_healthy)


@cli.command()
@click.option(
    "--pid",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Process id of the router: of its main process.  [default: the one router that runs here]",
)
@click.option(
    "--timeout",
    type=SECONDS,
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the outcome.",
)
def upgrade(*, pid: int | None, timeout: float) -> None:
    """Have a running router replaced by a new process of the installed version, without a lost request."""
    from fastrouter.control.upgrade import (  # noqa: PLC0415 `--help` and `version` need none of it
        NoRouterError,
        running_routers,
        upgrade_and_wait,
    )

    if pid is None:
        found = running_routers()
        if len(found) != 1:
            several = f"several routers run here ({', '.join(map(str, found))})" if found else "no router runs here"
            raise click.ClickException(f"{several}: say which one with --pid")
        (pid,) = found
    try:
        outcome = upgrade_and_wait(pid, timeout)
    except TimeoutError as error:
        raise click.ClickException(f"process {pid} says nothing within {timeout:g} s") from error
    except NoRouterError as error:
        raise click.ClickException(f"process {pid} {error}") from error
    except OSError as error:
        raise click.ClickException(f"process {pid}: {error_text(error)}") from error
    if outcome.successor is None:
        raise click.ClickException(f"process {pid} goes on: {outcome.error}")
    click.echo(outcome.successor)


@cli.command()
def version() -> None:
    """Print the versions of the router and of its compiled parts."""
    from fastrouter import _core  # noqa: PLC0415

    httptools = version_of("httptools")
    llhttp = LLHTTP_OF_HTTPTOOLS.get(httptools)
    click.echo(f"fastrouter {__version__}")
    click.echo(f"Python     {sys.version.split()[0]}")
    click.echo(f"uvloop     {version_of('uvloop')}")
    click.echo(f"httptools  {httptools}")
    if llhttp is None:
        click.echo(f"llhttp     unknown (part of httptools {httptools}, which does not tell)")
    else:
        click.echo(f"llhttp     {llhttp} (part of httptools {httptools}, according to its sources)")
    click.echo(f"Cython     {_core.CYTHON_VERSION} (compiled fastrouter._core)")


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "fish", "zsh"]))
def completion(shell: str) -> None:
    """Print what a shell needs to complete commands and options; have its startup file evaluate it."""
    from click.shell_completion import get_completion_class  # noqa: PLC0415

    source = get_completion_class(shell)
    assert source is not None, "click knows these shells"
    click.echo(source(cli, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE").source())


@cli.command("man")
def manual() -> None:
    """Print the manual page, for `fastrouter man | man -l -` or for a package to install as fastrouter.1."""
    from fastrouter.cli.manual import page  # noqa: PLC0415

    click.echo(page(cli, PROGRAM), nl=False)


cli.add_command(check_command)
for _command in (
    config_group,
    nats_group,
    status_command,
    routes_group,
    endpoints_group,
    events_command,
    explain_command,
    requests_command,
    top_command,
    tail_command,
    certs_command,
    reload_command,
    drain_command,
    log_level_command,
    doctor_command,
):
    cli.add_command(_command)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    try:
        code: int = cli.main(arguments, prog_name=PROGRAM, standalone_mode=False) or 0
    except click.NoSuchOption as error:
        error.show()
        return 2
    except CommandError as error:
        error.show()
        return error.code
    except click.ClickException as error:
        error.show()
        return 1
    except click.Abort:
        # Ctrl-C before the router handles signals: nothing was running yet, so this is a clean stop.
        return 0
    return code
