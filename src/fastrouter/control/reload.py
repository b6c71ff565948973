"""What is read again on SIGHUP while the router runs: static routes and certificates."""

import asyncio
from collections.abc import Callable

from fastrouter.control.options import RouterOptions
from fastrouter.control.workers import Workers
from fastrouter.ipc.messages import ServerTLS
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger
from fastrouter.process.service_manager import ServiceManager
from fastrouter.registry.static_registry import StaticRouteRegistry
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
        registry: StaticRouteRegistry,
        workers: Workers,
        prepare_tls: Callable[[ServerTLS], ServerTLS],
    ) -> None:
        self._options = options
        self._logger = logger
        self._manager = manager
        self._registry = registry
        self._workers = workers
        self._prepare_tls = prepare_tls
        self._task: asyncio.Task[None] | None = None
        self._is_due = False

    @property
    def has_files(self) -> bool:
        """Whether there is anything to be read."""
        return self._options.routes_file is not None or self._options.read_front_tls is not None

    def begin(self) -> None:
        """Read the files, or once more if they are being read."""
        if self._task is None:
            self._manager.reloading()
            self._task = asyncio.get_running_loop().create_task(self._read_files())
        else:
            self._is_due = True

    async def _read_files(self) -> None:
        options = self._options
        try:
            if options.routes_file is not None:
                await self._replace_static_routes(options.routes_file)
            if options.read_front_tls is not None:
                await self._replace_front_tls(options.read_front_tls)
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
            changed, removed = await self._registry.replace_static([*self._options.routes, *routes])
            self._logger.info("routes-file-loaded", file=path, changed=changed, removed=removed)

    async def _replace_front_tls(self, read: Callable[[], ServerTLS]) -> None:
        def read_and_try() -> ServerTLS:
            tls = self._prepare_tls(read())
            try_server_tls(tls)
            return tls

        try:
            tls = await asyncio.to_thread(read_and_try)
        except (ServerTLSError, OSError) as error:
            # An OSError has little to do with the file: memory or descriptors have run out.
            self._logger.error("certificates-refused", error=error_text(error))
        else:
            self._workers.replace_tls(tls)
            names = sorted({name for identity in tls.identities for name in identity.names})
            self._logger.info("certificates-loaded", names=names)
