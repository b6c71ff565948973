"""Network addresses as operators write them: `HOST:PORT`, with IPv6 hosts in brackets."""

from typing import NamedTuple

MAX_PORT = 65535


class Address(NamedTuple):
    """A host (a name or an IP address, without brackets; empty means every interface) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen_address(text: str) -> Address:
    """Parse where to listen: the host may be empty (every interface), the port may be 0 (the kernel chooses one).

    Raises ValueError stating the rule that `text` breaks.
    """
    return _parse(text, min_port=0)


def parse_backend_address(text: str) -> Address:
    """Parse where a backend listens. Raises ValueError stating the rule that `text` breaks."""
    address = _parse(text, min_port=1)
    if not address.host:
        raise ValueError(f"{text!r} has no host: expected HOST:PORT")
    return address


def _parse(text: str, min_port: int) -> Address:
    host, colon, digits = text.rpartition(":")
    if not colon:
        raise ValueError(f"{text!r} has no port: expected HOST:PORT")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if is_bracketed:
        host = host[1:-1]
    if is_bracketed != (":" in host):
        raise ValueError(f"{text!r} is not HOST:PORT: an IPv6 host, and no other, stands in brackets: [::1]:8080")
    if not host.isascii() or any(not "!" <= character <= "~" or character in "/,@[]" for character in host):
        raise ValueError(f"{text!r} is not HOST:PORT: the host has a character that no host name has")
    # isdecimal alone would let through digits of other scripts.
    if not (digits.isascii() and digits.isdecimal() and min_port <= int(digits) <= MAX_PORT):
        raise ValueError(f"{text!r} has no valid port: expected a number from {min_port} to {MAX_PORT}")
    return Address(host, int(digits))
