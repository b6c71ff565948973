"""Which process is at the other end of a Unix socket: the kernel says it, so it cannot be forged (unix(7))."""

import socket
import struct

# struct ucred: process, user and group id.
_CREDENTIALS = struct.Struct("3i")
CREDENTIALS_SIZE = _CREDENTIALS.size


def peer_pid(end: socket.socket) -> int:
    """Return the process id of whoever has made the other end, or listens there. Raises OSError."""
    return credentials_pid(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS_SIZE))


def credentials_pid(credentials: bytes) -> int:
    """Return the process id in the content of SO_PEERCRED or of a message of SCM_CREDENTIALS."""
    pid: int = _CREDENTIALS.unpack(credentials)[0]
    return pid
