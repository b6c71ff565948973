"""Who is at the other end of a Unix socket: the kernel says so, and nobody can tell it otherwise (unix(7))."""

import socket
import struct

# struct ucred: process, user and group id.
_CREDENTIALS = struct.Struct("3i")
CREDENTIALS_SIZE = _CREDENTIALS.size


def peer_pid(end: socket.socket) -> int:
    """Return the process id of whoever has made the other end, or listens there. Raises OSError."""
    return credentials_pid(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS_SIZE))


def credentials_pid(credentials: bytes) -> int:
    """Return the process id in what SO_PEERCRED or a message of SCM_CREDENTIALS brings."""
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    return pid
