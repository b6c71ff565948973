"""The sockets where clients connect, one per worker and address, and where the router connects to itself."""

import socket
from collections.abc import Callable

import msgspec

from fastrouter.control.options import RouterOptions, StartError
from fastrouter.ipc.messages import RouteServicesOptions
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger
from fastrouter.net.address import Address
from fastrouter.net.handover import CLIENTS, CLIENTS_TLS, INTERNAL, InheritedListeners, NamedListener
from fastrouter.net.listeners import ListenerWatch, bind_listeners, close_listeners, describe_listener


class ClientListeners:
    """Binds what is not `inherited`, and keeps all of it for the workers.

    `on_failure` is called when a socket has stopped listening by itself.
    """

    def __init__(
        self, options: RouterOptions, logger: Logger, inherited: InheritedListeners, on_failure: Callable[[], None]
    ) -> None:
        self._options = options
        self._logger = logger
        self._router_logger = logger.child("router")
        self._inherited = inherited
        self._on_failure = on_failure
        self._watch: ListenerWatch | None = None
        self.named: list[NamedListener] = []

    def bind_internal(self) -> RouteServicesOptions | None:
        """Bind where the router connects to itself, if there is to be such a place. Raises StartError.

        Returns the workers' options for route services, which have its port.
        """
        address, services = self._options.internal_listen, self._options.route_services
        if address is None or services is None or services.hairpin is None:
            return services
        self._bind(INTERNAL, address, "internal-listener", failure="new-route-services-server")
        port: int = self.named[-1].listener.getsockname()[1]
        return msgspec.structs.replace(services, hairpin=msgspec.structs.replace(services.hairpin, port=port))

    def bind_public(self) -> None:
        """Bind where clients connect, and begin to watch everything that is bound. Raises StartError."""
        options = self._options
        if options.listen is None:
            self._router_logger.info("tcp-listener-disabled")
        else:
            self._bind(CLIENTS, options.listen, "tcp-listener")
        if options.tls_listen is None or options.front_tls is None:
            self._router_logger.info("tls-listener-not-enabled")
        else:
            self._bind(CLIENTS_TLS, options.tls_listen, "tls-listener")
        self._watch = ListenerWatch([listener for _, listener in self.named], self._on_listener_failure)

    def client_address(self) -> Address:
        """Return where clients connect; there must be such a place."""
        listener = next(listener for name, listener in self.named if name != INTERNAL)
        return Address(*listener.getsockname()[:2])

    def close(self) -> None:
        """Close them in this process."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
        close_listeners([listener for _, listener in self.named])
        self.named = []

    def _bind(self, name: str, address: Address, what: str, *, failure: str = "") -> None:
        """Bind the listeners `name`, unless they are inherited; `what` is how the log calls them.

        `failure` is what it says when they cannot be, "" for the usual.
        """
        listeners = self._inherited.take(name, address.port)
        try:
            listeners = listeners or bind_listeners(address, self._options.workers)
        except OSError as error:
            text = f"listen tcp {address}: bind: {error_text(error)}"
            if failure:
                self._logger.fatal(failure, error=text)
            else:
                self._router_logger.fatal(f"{what}-error", error=text)
            raise StartError(f"cannot listen on {address}: {error_text(error)}") from error
        self.named += [NamedListener(name, listener) for listener in listeners]
        self._router_logger.info(f"{what}-started", address=describe_listener(listeners[0]))

    def _on_listener_failure(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self._router_logger.error(
            "Error occurred", error=f"accept tcp {Address(host, port)}: the socket listens no more"
        )
        self._on_failure()
