"""Listening sockets that a router inherits instead of binding them: from its predecessor, or from a service manager.

Both use environment variables that name inherited descriptors. The variables are removed from the environment, so that
no child process takes them for its own.

`FASTROUTER_LISTENERS=clients:7,clients:8,routes:9` and `FASTROUTER_PREDECESSOR=10` come from a router that this one is
to succeed (upgrade): descriptor 10 is a socket. One line on it says that the successor serves, and its end says that
the predecessor has ended. `FASTROUTER_TABLE=11:4242` names a socket over which process 4242 hands over its routing
table (handed_table). An older version that does not know the variable passes it on to its own successor; so it is
ignored unless 4242 is the predecessor. The same holds for `FASTROUTER_TICKETS=12:4242`, a pipe that holds the secret of
the predecessor's session tickets (session_tickets), and for `FASTROUTER_ROUTE_COUNTERS=13:4242:0`, the mapping where
routes are counted (route_counters), with the half of it that the predecessor's workers have.

`LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` come from systemd (sd_listen_fds(3)): a descriptor with the
name of one of the router's listeners is that listener; every other one is for clients.
"""

import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping
from typing import NamedTuple

from fastrouter.logs.error_text import error_text
from fastrouter.process.peer_credentials import peer_pid

LISTENERS = "FASTROUTER_LISTENERS"
PREDECESSOR = "FASTROUTER_PREDECESSOR"
TABLE = "FASTROUTER_TABLE"
TICKETS = "FASTROUTER_TICKETS"
ROUTE_COUNTERS = "FASTROUTER_ROUTE_COUNTERS"

# Names of listeners.
CLIENTS = "clients"
CLIENTS_TLS = "clients-tls"
INTERNAL = "internal"
ROUTES = "routes"
HEALTH = "health"
HEALTH_TLS = "health-tls"
METRICS = "metrics"
DEBUG = "debug"
ADMIN = "admin"
_NAMES = frozenset({CLIENTS, CLIENTS_TLS, INTERNAL, ROUTES, HEALTH, HEALTH_TLS, METRICS, DEBUG, ADMIN})

# What a successor says when it serves.
SERVING = b"serving\n"

# The first descriptor that systemd passes.
_SYSTEMD_FIRST = 3


class HandoverError(Exception):
    """The environment names descriptors that are no listening sockets; the text says which."""


class NamedListener(NamedTuple):
    """A listening socket and what it is for."""

    name: str
    listener: socket.socket


class InheritedListeners:
    """Inherited listening sockets that are not in use yet. `is_strict`: only for the port each is bound to.

    A predecessor's sockets have the addresses of its configuration, which may have changed since; those of a service
    manager have the addresses that the operator wants.
    """

    def __init__(self, named: Iterable[NamedListener], *, is_strict: bool) -> None:
        self._named = list(named)
        self._is_strict = is_strict

    @property
    def names(self) -> list[str]:
        """The names of those that were not taken."""
        return [name for name, _ in self._named]

    def take(self, name: str, port: int) -> list[socket.socket]:
        """Return the listeners `name` that are bound to `port` (0: to any), which the caller owns from now on."""
        taken = [
            listener
            for found, listener in self._named
            if found == name and (not self._is_strict or port in (0, listener.getsockname()[1]))
        ]
        self._named = [named for named in self._named if named.listener not in taken]
        return taken

    def take_one(self, name: str, port: int) -> socket.socket | None:
        """Return the first of what `take` returns, and close the others."""
        taken = self.take(name, port)
        for listener in taken[1:]:
            listener.close()
        return taken[0] if taken else None

    def close(self) -> None:
        """Close those that were not taken."""
        for _, listener in self._named:
            listener.close()
        self._named = []


class CounterMemory(NamedTuple):
    """The descriptor of the mapping where a router counts by route, and which half of it is its workers', 0 or 1."""

    descriptor: int
    half: int


NOTHING_INHERITED = InheritedListeners([], is_strict=True)


class Inheritance(NamedTuple):
    """What a router inherits; `predecessor` is a socket to the router that it is to succeed.

    Over `table` the predecessor hands over its routing table; `ticket_secret` is that of its session tickets, and
    `route_counters` is where it counts by route, whose descriptor the caller owns. Each is empty if the predecessor
    does not offer it.
    """

    listeners: InheritedListeners
    predecessor: socket.socket | None
    table: socket.socket | None = None
    ticket_secret: bytes = b""
    route_counters: CounterMemory | None = None


def receive_inheritance(environment: MutableMapping[str, str] = os.environ) -> Inheritance:
    """Open the descriptors that `environment` names, and remove the variables. Raises HandoverError."""
    listeners, line, table, tickets, counters = (
        environment.pop(name, "") for name in (LISTENERS, PREDECESSOR, TABLE, TICKETS, ROUTE_COUNTERS)
    )
    systemd = {name: environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if line:
        named = [_parse(entry) for entry in listeners.split(",") if entry]
        predecessor = _adopt_socket(_number(line))
        return Inheritance(
            InheritedListeners([_adopt(*entry) for entry in named], is_strict=True),
            predecessor,
            _adopt_table(table, predecessor),
            _read_ticket_secret(tickets, predecessor),
            _adopt_memory(counters, predecessor),
        )
    return Inheritance(InheritedListeners(_adopt_systemd(systemd), is_strict=False), None)


def handover_environment(
    named: Iterable[NamedListener],
    line: socket.socket,
    table: socket.socket,
    tickets: int,
    route_counters: CounterMemory,
) -> dict[str, str]:
    """Return the variables that name a successor's inherited descriptors."""
    return {
        LISTENERS: ",".join(f"{name}:{listener.fileno()}" for name, listener in named),
        PREDECESSOR: str(line.fileno()),
        TABLE: f"{table.fileno()}:{os.getpid()}",
        TICKETS: f"{tickets}:{os.getpid()}",
        ROUTE_COUNTERS: f"{route_counters.descriptor}:{os.getpid()}:{route_counters.half}",
    }


def _adopt_table(text: str, predecessor: socket.socket) -> socket.socket | None:
    descriptor = _descriptor_from(predecessor, text)
    if descriptor is None:
        return None
    table = _adopt_socket(descriptor)
    table.setblocking(False)
    return table


def _read_ticket_secret(text: str, predecessor: socket.socket) -> bytes:
    descriptor = _descriptor_from(predecessor, text)
    if descriptor is None:
        return b""
    try:
        with open(descriptor, "rb") as pipe:
            return pipe.read()
    except OSError as error:
        raise HandoverError(f"descriptor {descriptor} cannot be read: {error_text(error)}") from error


def _adopt_memory(text: str, predecessor: socket.socket) -> CounterMemory | None:
    owned, _, half = text.rpartition(":")
    descriptor = _descriptor_from(predecessor, owned)
    if descriptor is None:
        return None
    try:
        os.set_inheritable(descriptor, False)
    except OSError as error:
        raise HandoverError(f"descriptor {descriptor} cannot be used: {error_text(error)}") from error
    return CounterMemory(descriptor, 1 if half == "1" else 0)


def _descriptor_from(predecessor: socket.socket, text: str) -> int | None:
    """Return the descriptor of `DESCRIPTOR:OWNER`, None if the owner is not the predecessor."""
    descriptor, _, owner = text.partition(":")
    # The kernel knows which process has made the socket.
    return _number(descriptor) if owner == str(peer_pid(predecessor)) else None


def _adopt_systemd(variables: Mapping[str, str]) -> list[NamedListener]:
    if variables["LISTEN_PID"] != str(os.getpid()):
        # The variables are for another process, or there are none.
        return []
    names = variables["LISTEN_FDNAMES"].split(":")
    named = []
    for index in range(_number(variables["LISTEN_FDS"])):
        name = names[index] if index < len(names) else ""
        named.append(_adopt(name if name in _NAMES else CLIENTS, _SYSTEMD_FIRST + index))
    return named


def _parse(entry: str) -> tuple[str, int]:
    name, _, descriptor = entry.partition(":")
    return name, _number(descriptor)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise HandoverError(f"{text!r} is no number of a descriptor") from error


def _adopt(name: str, descriptor: int) -> NamedListener:
    listener = _adopt_socket(descriptor)
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise HandoverError(f"descriptor {descriptor} ({name}) is a socket that does not listen")
    return NamedListener(name, listener)


def _adopt_socket(descriptor: int) -> socket.socket:
    try:
        adopted = socket.socket(fileno=descriptor)
    except OSError as error:
        raise HandoverError(f"descriptor {descriptor} is no socket: {error_text(error)}") from error
    adopted.set_inheritable(False)
    return adopted
