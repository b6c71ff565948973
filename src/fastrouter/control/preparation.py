"""What is prepared and checked before workers are started, because a worker could only crash over it."""

import asyncio
import resource
import ssl
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import msgspec

from fastrouter.control.options import RouterOptions, StartError
from fastrouter.logs import syslog
from fastrouter.logs.access import AccessLogFile, new_outage
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger
from fastrouter.registry.route_registry import RouteRegistry
from fastrouter.tls.backends import backend_context, route_service_context
from fastrouter.tls.libssl import LibsslError
from fastrouter.tls.server import ServerTLSError, try_server_tls
from fastrouter.tls.session_tickets import try_ticket_keys

# Seconds between two looks whether the table holds the expected number of endpoints.
_PRELOAD_POLL = 0.01


def raise_open_file_limit() -> None:
    """Allow this process, and the workers that inherit it, as many descriptors as there may be."""
    # Two descriptors per request in flight: the usual soft limit of 1024 would end at 500 clients.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def open_access_log(options: RouterOptions, logger: Logger) -> list[int]:
    """Return the descriptors that go to each worker with Begin. Raises StartError."""
    source = logger.child("access-grlog")
    file_name, stream = options.access_log.file, options.access_log.syslog
    descriptors: list[int] = []
    if file_name is not None:
        try:
            file = AccessLogFile.open(file_name)
        except OSError as error:
            source.error("error-creating-accesslog-file", filename=file_name, error=error_text(error))
            logger.fatal("error-creating-access-logger", error=error_text(error))
            raise StartError(f"cannot open the access log: {error_text(error)}") from error
        descriptors += [file.descriptor, file.outage]
    if stream is not None:
        try:
            # One connection for all workers, until it fails.
            connection = await asyncio.to_thread(syslog.connect, stream)
        except OSError as error:
            source.error("error-creating-syslog-writer", error=error_text(error))
            logger.fatal("error-creating-access-logger", error=error_text(error))
            raise StartError(f"cannot connect to the syslog server: {error_text(error)}") from error
        descriptors += [connection.detach(), new_outage()]
    return descriptors


async def preload_table(registry: RouteRegistry, options: RouterOptions) -> None:
    """Let apps register before the first client comes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(options.start_delay):
            while not 0 < options.expected_endpoints <= registry.count_endpoints():  # noqa: ASYNC110
                await asyncio.sleep(_PRELOAD_POLL)


class TLSFault(NamedTuple):
    """Certificates, keys or suites that OpenSSL does not accept: the line of the process log that tells it.

    `summary` is what is put before the text for the person at the terminal.
    """

    component: str
    message: str
    text: str
    summary: str


def tls_faults(options: RouterOptions) -> Iterator[TLSFault]:
    """Yield what OpenSSL does not accept of certificates, keys and suites."""
    try:
        if options.front_tls is not None:
            try_server_tls(options.front_tls)
    except ServerTLSError as error:
        yield TLSFault("router", "tls-listener-error", str(error), "cannot serve TLS")
    try:
        backend_context(**msgspec.structs.asdict(options.backend_tls))
        if options.route_services is not None:
            route_service_context(**msgspec.structs.asdict(options.route_services.tls))
    except (ssl.SSLError, ValueError) as error:
        yield TLSFault("", "client-tls-error", error_text(error), "cannot use TLS to backends or route services")


def check_tls(options: RouterOptions, logger: Logger) -> None:
    """Check that OpenSSL accepts certificates, keys and suites: before the router runs. Raises StartError."""
    faults = list(tls_faults(options))
    for fault in faults:
        (logger.child(fault.component) if fault.component else logger).fatal(fault.message, error=fault.text)
    if faults:
        raise StartError("; ".join(f"{fault.summary}: {fault.text}" for fault in faults))


def try_shared_sessions(options: RouterOptions, logger: Logger) -> None:
    """Log if workers cannot resume the TLS sessions of each other."""
    if options.front_tls is not None or options.internal_tls is not None:
        try:
            try_ticket_keys()
        except LibsslError as error:
            # The only price is that more handshakes are full ones.
            logger.info("tls-sessions-not-shared", error=str(error))
