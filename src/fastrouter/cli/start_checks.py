"""What would keep a router from starting although its configuration file is in order: files, certificates, ports.

`fastrouter check` and the start call the same functions, so that the one finds what the other dies of.
"""

import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fastrouter.cli.admin_options import admin_address, admin_of
from fastrouter.cli.gorouter_options import options_of
from fastrouter.config import Config, ConfigError
from fastrouter.config.decoding import line_of, written_key
from fastrouter.config.validation import start_faults as panics_of
from fastrouter.control.options import AdminOptions
from fastrouter.control.preparation import tls_faults
from fastrouter.gotemplate.error_template import ErrorTemplate
from fastrouter.gotemplate.parser import ErrorTemplateError
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger
from fastrouter.metron.options import AgentError, check_address
from fastrouter.net.address import Address, parse_listen_address
from fastrouter.net.listeners import try_to_bind
from fastrouter.observe.metrics_listener import MetricsTLS, try_metrics_tls
from fastrouter.registry.static_routes import RoutesError, StaticRoute, load_routes_file
from fastrouter.tls.internal_ca import INTERNAL_HOST

# The line that tells a fault of TLS -> the key with the certificates that it is mostly about.
KEYS_OF_TLS = {"tls-listener-error": "tls_pem", "client-tls-error": "ca_certs"}


class StartFault(NamedTuple):
    """Why a router does not start.

    `log` writes the lines that Gorouter has for it to the process log; `code` is the exit code (spec 1.6).
    """

    error: ConfigError
    log: Callable[[Logger], None]
    code: int = 1


class Start(NamedTuple):
    """What a start reads besides the configuration file, and everything that keeps the router from starting."""

    error_template: str | None
    file_routes: Sequence[StaticRoute]
    admin: AdminOptions | None
    faults: list[StartFault]


class Listener(NamedTuple):
    """Where the router is to listen: the key that says so, and the address; an empty host means every interface."""

    key: str
    address: Address


def prepare_start(config: Config, routes_file: str | None = None) -> Start:
    """Read what a router with `config` needs, and find what keeps it from starting, but for ports that others have."""
    faults = [_panic(error) for error in panics_of(config)]
    error_template: str | None = None
    file_routes: Sequence[StaticRoute] = ()
    try:
        error_template = _read_template(config.html_error_template_file)
    except ConfigError as error:
        located = _fault(config, error.text, "html_error_template_file")
        faults.append(_logged(located, "new-html-error-template-from-file"))
    try:
        file_routes = load_routes_file(routes_file) if routes_file is not None else ()
    except (RoutesError, OSError) as error:
        faults.append(_routes_fault(str(routes_file), error_text(error)))
    if not config.nats.enabled and routes_file is None and not config.has_routing_api:
        text = "without NATS, routes come from a file (-routes FILE) or from the routing API, and there is neither"
        faults.append(_logged(_fault(config, text, "nats.enabled"), "Error loading config:"))
    faults += _access_log_faults(config)
    faults += _table_snapshot_faults(config)
    faults += _metrics_faults(config)
    faults += _tls_faults(config)
    faults += _metron_faults(config)
    faults += _faults_of_equal_ports(config)
    admin, admin_faults = admin_of(config)
    faults += [_logged(fault, "admin-listener-error") for fault in admin_faults]
    return Start(error_template, file_routes, admin, faults)


def taken_ports(config: Config) -> list[ConfigError]:
    """Return a fault for each address where the router could not listen now. Nothing listens there meanwhile."""
    faults = []
    for key, address in listeners_of(config):
        try:
            try_to_bind(address)
        except OSError as error:
            faults.append(_fault(config, f"listen tcp {address}: bind: {error_text(error)}", key))
    return faults


def listeners_of(config: Config) -> Iterator[Listener]:
    """Yield where a router with `config` listens; not the debug server, without which it starts as well."""
    status = config.status
    if not config.disable_http:
        yield Listener("port", Address("", config.port))
    if config.enable_ssl:
        yield Listener("ssl_port", Address("", config.ssl_port))
    if status.enable_deprecated_varz_healthz_endpoints:
        yield Listener("status.port", Address(status.host, status.port))
    elif status.enable_nontls_health_checks:
        yield Listener("status.port", Address("0.0.0.0", status.port))
    yield Listener("status.routes.port", Address("127.0.0.1", status.routes.port))
    if config.has_status_tls:
        yield Listener("status.tls.port", Address("0.0.0.0", status.tls.port))
    if config.prometheus.enabled:
        yield Listener("prometheus.port", Address("127.0.0.1", config.prometheus.port))
    if config.has_route_services and config.route_services_hairpinning:
        port = config.route_services_internal_server_port
        yield Listener("route_services_internal_server_port", Address(INTERNAL_HOST, port))
    yield from _admin_listeners(config)


def _fault(config: Config, text: str, key: str) -> ConfigError:
    key = written_key(key, config.derived.lines)
    return ConfigError(text, key, line_of(key, config.derived.lines))


def _logged(error: ConfigError, message: str, component: str = "") -> StartFault:
    def log(logger: Logger) -> None:
        (logger.child(component) if component else logger).fatal(message, **error.log_data())

    return StartFault(error, log)


def _panic(error: ConfigError) -> StartFault:
    """Return a fault at which Gorouter panics, with exit code 2."""

    def panic(_: Logger) -> None:
        # So nothing is in the log.
        sys.stderr.write(f"panic: {error.text}\n")

    fault = _logged(error, "allowlist-entry-invalid")._replace(code=2)
    return fault._replace(log=panic) if error.key == "logging.level" else fault


def _read_template(path: str) -> str | None:
    """Return the text of the template for error pages, None if `path` is empty. Raises ConfigError."""
    if not path:
        return None
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            text = file.read()
        ErrorTemplate(text)
    except OSError as error:
        raise ConfigError(f"Could not read HTML error template file: {error_text(error)}") from error
    except ErrorTemplateError as error:
        raise ConfigError(f"Could not parse HTML error template file: {path}: {error}") from error
    return text


def _routes_fault(path: str, text: str) -> StartFault:
    def log(logger: Logger) -> None:
        logger.fatal("routes-file-refused", file=path, error=text)

    return StartFault(ConfigError(text if path in text else f"{path}: {text}"), log)


def _access_log_faults(config: Config) -> Iterator[StartFault]:
    path = config.access_log.file
    if not path:
        return
    try:
        _try_to_append(path)
    except OSError as error:
        text = error_text(error)
    else:
        return

    def log(logger: Logger) -> None:
        logger.child("access-grlog").error("error-creating-accesslog-file", filename=path, error=text)
        logger.fatal("error-creating-access-logger", error=text)

    yield StartFault(_fault(config, text, "access_log.file"), log)


def _table_snapshot_faults(config: Config) -> Iterator[StartFault]:
    path = config.table_snapshot.file
    if path:
        try:
            _try_to_append(path)
        except OSError as error:
            yield _logged(_fault(config, error_text(error), "table_snapshot.file"), "table-snapshot-error")


def _try_to_append(path: str) -> None:
    """Raise the OSError that opening a file for appending would; a file that is not there is not made by a check."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
    if "\0" in path:
        return
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        directory = os.path.dirname(path) or "."
        if not os.path.isdir(directory):
            os.close(os.open(path, flags))
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(13, os.strerror(13), path) from None
        return
    # To open a pipe would wait for its reader, or wake it.
    if not stat.S_ISFIFO(mode):
        os.close(os.open(path, flags))


def _metrics_faults(config: Config) -> Iterator[StartFault]:
    prometheus = config.prometheus
    if not prometheus.enabled or prometheus.port == 0 or not prometheus.cert_path:
        return
    files = {
        "prometheus.cert_path": prometheus.cert_path,
        "prometheus.key_path": prometheus.key_path,
        "prometheus.ca_path": prometheus.ca_path,
    }
    is_readable = True
    for key, path in files.items():
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            is_readable = False
            yield _logged(_fault(config, error_text(error), key), "metrics-listener-error")
    if not is_readable:
        return
    try:
        try_metrics_tls(
            MetricsTLS(cert_path=prometheus.cert_path, key_path=prometheus.key_path, ca_path=prometheus.ca_path)
        )
    except OSError as error:
        yield _logged(_fault(config, error_text(error), "prometheus.cert_path"), "metrics-listener-error")


def _tls_faults(config: Config) -> Iterator[StartFault]:
    for fault in tls_faults(options_of(config)):
        yield _logged(_fault(config, fault.text, KEYS_OF_TLS[fault.message]), fault.message, fault.component)


def _metron_faults(config: Config) -> Iterator[StartFault]:
    if not config.enable_envelope_v1_metrics:
        return
    try:
        check_address(config.logging.metron_address)
    except AgentError as error:
        yield _logged(_fault(config, str(error), "logging.metron_address"), "dropsonde-initialize-error")


def _faults_of_equal_ports(config: Config) -> Iterator[StartFault]:
    seen: list[Listener] = []
    for listener in [*listeners_of(config), *_debug_listeners(config)]:
        for other in seen:
            if _is_same_place(listener.address, other.address):
                text = f"port {listener.address.port} is taken by {other.key}: each listener needs a port of its own"
                yield _logged(_fault(config, text, listener.key), "Error loading config:")
                break
        seen.append(listener)


def _admin_listeners(config: Config) -> Iterator[Listener]:
    try:
        address = admin_address(config)
    except ValueError:
        return
    if address is not None:
        yield Listener("admin.listen", address)


def _debug_listeners(config: Config) -> Iterator[Listener]:
    try:
        yield Listener("debug_addr", parse_listen_address(config.debug_addr))
    except ValueError:
        return


def _is_same_place(one: Address, other: Address) -> bool:
    everywhere = ("", "0.0.0.0", "::")
    return one.port == other.port != 0 and (
        one.host == other.host or one.host in everywhere or other.host in everywhere
    )
