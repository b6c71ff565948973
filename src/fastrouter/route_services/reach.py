"""Which route services the router reaches through itself, and which networks are blocked."""

from collections.abc import Iterable

from fastrouter.net.networks import Networks


class HairpinHosts:
    """The hosts of route services that may be reached through the router's own routing table (spec 5.9.6).

    `allow_list` has names, and wildcards such as `*.apps.test`, which stand for exactly one label, in any case of
    letters. An empty list allows every host. The configuration has checked the entries.
    """

    def __init__(self, allow_list: Iterable[str] = ()) -> None:
        entries = {entry.lower() for entry in allow_list}
        self._names = frozenset(entry for entry in entries if not entry.startswith("*."))
        self._parents = frozenset(entry[2:] for entry in entries if entry.startswith("*."))

    def is_allowed(self, host: str) -> bool:
        """Whether the list has `host`, which is that of a route, without a port."""
        if not self._names and not self._parents:
            return True
        host = host.lower()
        label, _, parent = host.partition(".")
        return host in self._names or (label != "" and parent in self._parents)


class EgressBlockList:
    """The networks that no connection to a route service may go to (spec 9.6).

    `networks` are such as `10.0.0.0/8` or `fd00::/8`; bits beyond the prefix do not matter. Raises ValueError.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = Networks(networks)

    def is_blocked(self, ip: str) -> bool:
        """Whether `ip` is in one of the networks. What is no address is blocked, because its network is unknown."""
        try:
            return ip in self._networks
        except ValueError:
            return True
