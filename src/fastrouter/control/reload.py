"""What SIGHUP does while the router runs: static routes and the configuration are read again, renamed logs reopened."""

import asyncio
import os
from collections.abc import Callable

from fastrouter.control.options import Reread, RereadError, RouterOptions
from fastrouter.control.static_route_sources import StaticRouteSources
from fastrouter.control.workers import Workers
from fastrouter.ipc.messages import ServerTLS
from fastrouter.logs.access import AccessLogFile
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger
from fastrouter.process.service_manager import ServiceManager
from fastrouter.registry.static_routes import RoutesError, load_routes_file
from fastrouter.tls.server import ServerTLSError, try_server_tls


class Reload:
    """Reads files again; an invalid one changes nothing. `prepare_tls` adds what the files do not say about TLS."""

    def __init__(
        self,
        options: RouterOptions,
        logger: Logger,
        *,
        manager: ServiceManager,
        static_routes: StaticRouteSources,
        workers: Workers,
        prepare_tls: Callable[[ServerTLS], ServerTLS],
    ) -> None:
        self._options = options
        self._logger = logger
        self._manager = manager
        self._static_routes = static_routes
        self._workers = workers
        self._prepare_tls = prepare_tls
        self._task: asyncio.Task[None] | None = None
        self._is_allowed = False
        self._is_due = False
        # The open access log, if there is one.
        self.access_log: AccessLogFile | None = None

    def allow(self) -> None:
        """From now on there is a router that can take up what has been read; a signal before has waited for this."""
        self._is_allowed = True
        if self._is_due:
            self._is_due = False
            self.begin()

    def begin(self) -> None:
        """Read the files, or once more if they are being read."""
        if self._task is None and self._is_allowed:
            self._manager.reloading()
            self._task = asyncio.get_running_loop().create_task(self._read_files())
        else:
            self._is_due = True

    async def _read_files(self) -> None:
        options = self._options
        try:
            if options.routes_file is not None:
                await self._replace_static_routes(options.routes_file)
            if options.read_again is not None:
                await self._read_configuration(options.read_again)
            if self.access_log is not None:
                await self._reopen(self.access_log)
        finally:
            # Also after an error, so that the next signal tries again.
            self._task = None
        self._manager.ready()
        if self._is_due:
            self._is_due = False
            self.begin()

    async def _replace_static_routes(self, path: str) -> None:
        try:
            # In a thread, because a file of a hundred thousand routes takes seconds.
            routes = await asyncio.to_thread(load_routes_file, path)
        except (RoutesError, OSError) as error:
            self._logger.error("routes-file-refused", file=path, error=error_text(error))
        else:
            changed, removed = await self._static_routes.replace_file(routes)
            self._logger.info("routes-file-loaded", file=path, changed=changed, removed=removed)

    async def _read_configuration(self, read: Callable[[], Reread]) -> None:
        try:
            reread = await asyncio.to_thread(read)
        except RereadError as error:
            for fault in error.faults:
                self._logger.error("configuration-refused", **fault)
            return
        if reread.front_tls is not None:
            await self._replace_front_tls(reread.front_tls)
        if reread.needs_restart:
            self._logger.warn("configuration-needs-restart", keys=reread.needs_restart)

    async def _replace_front_tls(self, given: ServerTLS) -> None:
        tls = self._prepare_tls(given)
        try:
            await asyncio.to_thread(try_server_tls, tls)
        except (ServerTLSError, OSError) as error:
            # An OSError has little to do with the file: memory or descriptors have run out.
            self._logger.error("certificates-refused", error=error_text(error))
        else:
            self._workers.replace_tls(tls)
            names = sorted({name for identity in tls.identities for name in identity.names})
            self._logger.info("certificates-loaded", names=names)

    async def _reopen(self, log: AccessLogFile) -> None:
        """Have the access log written to the file of its name, if that is another one now."""
        try:
            # In a thread, because a disk may hang.
            descriptor = await asyncio.to_thread(log.reopen)
        except OSError as error:
            self._logger.error("error-creating-accesslog-file", filename=log.path, error=error_text(error))
            return
        if descriptor is not None:
            self._workers.replace_access_log(descriptor)
            os.close(descriptor)
            self._logger.info("access-log-reopened", filename=log.path)
