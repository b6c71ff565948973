"""Sets of networks as operators write them, such as `10.0.0.0/8`."""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network


class Networks:
    """Some networks, such as `10.0.0.0/8` or `fd00::/8`; a single address is one, too."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Read `texts`. Raises ValueError for what is no network."""
        self._networks = [ip_network(text, strict=False) for text in texts]

    def __contains__(self, text: str) -> bool:
        """Whether the IP address `text` is in one of them; an IPv4 client of an IPv6 socket counts as what it is."""
        address = ip_address(text)
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)
