"""Names of backends and route services, looked up without a thread for each (ADR 0007)."""

import asyncio
import errno
import ipaddress
import os
import socket
from typing import Any

import pycares
from aiodns import DNSResolver
from aiodns.error import DNSError

# Lookups under way at a time, each for another name. One costs a datagram every two seconds and some memory, so this
# only has to be some bound.
MAX_LOOKUPS = 10_000


class Resolver:
    """Looks up names as `/etc/hosts`, `/etc/resolv.conf` and `/etc/nsswitch.conf` say, which may change meanwhile.

    Has the shape of `_core.Resolve`. Those who ask for the same name share one lookup. A name whose servers do not
    answer delays no other name. A lookup ends after the attempts that `resolv.conf` gives it; callers may stop waiting
    earlier. `options` are those of `pycares.Channel`, in place of what the files say.
    """

    def __init__(self, *, max_lookups: int = MAX_LOOKUPS, **options: Any) -> None:
        self._max_lookups = max_lookups
        self._options = options
        self._servers: DNSResolver | None = None
        self._lookups: dict[str, asyncio.Task[list[str]]] = {}

    async def __call__(self, host: str) -> list[str]:
        """Return the IP addresses of `host`, best first; an IP address is its own.

        Raises socket.gaierror; any other OSError if it is this process that has no room for a lookup.
        """
        if _is_address(host):
            return [host]
        lookup = self._lookups.get(host)
        if lookup is None:
            if len(self._lookups) >= self._max_lookups:
                raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
            lookup = asyncio.get_running_loop().create_task(self._look_up(host))
            self._lookups[host] = lookup
            lookup.add_done_callback(lambda ended: self._on_end(host, ended))
        # Others wait for the lookup, too, so it goes on when this caller is cancelled.
        return await asyncio.shield(lookup)

    async def close(self) -> None:
        """Let go of the sockets to name servers; nobody may ask any more."""
        if self._servers is not None:
            await self._servers.close()

    async def _look_up(self, host: str) -> list[str]:
        try:
            if self._servers is None:
                self._servers = DNSResolver(**self._options)
            found = await self._servers.getaddrinfo(host, type=socket.SOCK_STREAM)
        except (DNSError, pycares.AresError) as error:
            # A want of descriptors looks to c-ares as if no server were there.
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
            raise socket.gaierror(socket.EAI_NONAME, str(error)) from error
        addresses = [_text(node.addr[0]) for node in found.nodes]
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        return addresses

    def _on_end(self, host: str, lookup: asyncio.Task[list[str]]) -> None:
        del self._lookups[host]
        if not lookup.cancelled():
            # All callers may have stopped waiting: this marks the exception as seen.
            lookup.exception()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _text(address: str | bytes) -> str:
    return address.decode("ascii") if isinstance(address, bytes) else address
