"""The composition root: builds the router from its options, starts it, stops it, in that order and from one place."""

import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from socket import gaierror, socket

from fastrouter._core import Settings
from fastrouter.access_log import FileSink
from fastrouter.address import Address
from fastrouter.log import Logger
from fastrouter.routes import StaticRoute, build_table
from fastrouter.server import Worker, bind_listeners, close_listeners, describe_listener
from fastrouter.workers import Child, ParentLink, Supervisor


class StartError(Exception):
    """The router cannot start; the text says why, for the person at the terminal."""


@dataclass(frozen=True, kw_only=True)
class RouterOptions:
    """What one router is to do. `workers` is the number of data-plane processes, `access_log` the path of a file."""

    listen: Address
    routes: Sequence[StaticRoute]
    workers: int
    settings: Settings
    access_log: str | None = None


def usable_cpus() -> int:
    """Return how many CPUs this process may run on: the default number of workers."""
    return len(os.sched_getaffinity(0))


def run(
    options: RouterOptions,
    logger: Logger,
    *,
    companions: Sequence[Child] = (),
    on_started: Callable[[Address], None] | None = None,
) -> bool:
    """Run a router until SIGTERM or SIGINT.

    `companions` are further children that live as long as the router. `on_started` is called once with the address that
    clients reach, when everything serves. Returns False if the router had to give up. Raises StartError.
    """
    supervisor = Supervisor(logger)
    logger.info("starting")
    _raise_open_file_limit()
    table = build_table(options.routes)
    sink = _open_access_log(options.access_log, logger)
    listeners = _listen(options, logger)
    address = Address(*listeners[0].getsockname()[:2])
    logger.info("tcp-listener-started", address=describe_listener(listeners[0]))

    worker = Worker(table, options.settings, sink, logger)

    def work(index: int, link: ParentLink) -> None:
        own = listeners[index]
        close_listeners([listener for listener in listeners if listener is not own])
        worker.run(own, link)

    def announce() -> None:
        logger.info("gorouter.started")
        if on_started is not None:
            on_started(address)

    workers = [Child(f"worker-{index}", partial(work, index)) for index in range(options.workers)]
    is_healthy = supervisor.watch([*companions, *workers], announce)

    logger.info("gorouter.stopping")
    stopping_at = time.monotonic_ns()
    close_listeners(listeners)
    supervisor.stop()
    logger.info("gorouter.stopped", took=time.monotonic_ns() - stopping_at)
    if is_healthy:
        logger.info("gorouter.exited")
    else:
        logger.error("gorouter.exited-with-failure", error="a worker crashed again and again")
    return is_healthy


def _raise_open_file_limit() -> None:
    # Two descriptors per request in flight: the usual soft limit of 1024 would end at 500 clients.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _open_access_log(path: str | None, logger: Logger) -> FileSink | None:
    if path is None:
        return None
    try:
        return FileSink(path, logger.child("access-grlog"))
    except OSError as error:
        logger.error("error-creating-accesslog-file", file=path, error=f"open {path}: {error.strerror}")
        raise StartError(f"cannot open the access log {path}: {error.strerror}") from error


def _listen(options: RouterOptions, logger: Logger) -> list[socket]:
    try:
        return bind_listeners(options.listen, options.workers)
    except (OSError, gaierror) as error:
        logger.error("tcp-listener-error", error=f"listen tcp {options.listen}: {error.strerror}")
        raise StartError(f"cannot listen on {options.listen}: {error.strerror}") from error
