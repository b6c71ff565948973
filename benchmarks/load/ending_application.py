"""A backend that closes kept connections when a request is on its way to them; run with a port and how it does that.

timed     a connection idle for IDLE_SECONDS is given up, and closed CLOSING_SECONDS later: a busy server takes so long
at-whim   one of three requests on a kept connection finds it closed, whatever its age

GET  /seen     the ids of all posts so far, a line each time one was read
GET  /ended    how many connections it has closed, and how many of those had a request that it has not read
GET  <any>     the small body
POST /<id>     the small body, and the id is noted
"""

import contextlib
import fcntl
import random
import socket
import struct
import sys
import termios
import threading
import time

from benchmarks.load.workloads import SMALL_BODY

IDLE_SECONDS = 0.25
CLOSING_SECONDS = 0.02
_ONE_OF = 3


class _Record:
    """What all connections have seen and done."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.posts: list[bytes] = []
        self.ended = 0
        self.unread = 0


def _serve(connection: socket.socket, is_timed: bool, record: _Record) -> None:
    is_kept = False
    with connection, contextlib.suppress(ConnectionError):
        while True:
            if is_timed and is_kept:
                connection.settimeout(IDLE_SECONDS)
            try:
                if not connection.recv(1, socket.MSG_PEEK):
                    return
            except TimeoutError:
                time.sleep(CLOSING_SECONDS)
                _end(connection, record)
                return
            if is_kept and not is_timed and random.randrange(_ONE_OF) == 0:
                _end(connection, record)
                return
            connection.settimeout(None)
            body = _respond(*_read_request(connection), record)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            is_kept = True


def _read_request(connection: socket.socket) -> tuple[bytes, bytes]:
    """Returns method and target."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0 or len(received) < end + 4 + _length(received[:end]):
        data = connection.recv(65536)
        if not data:
            raise ConnectionError
        received += data
    method, target, _ = received.split(b" ", 2)
    return method, target


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or 0)


def _respond(method: bytes, target: bytes, record: _Record) -> bytes:
    with record.lock:
        if target == b"/seen":
            return b"\n".join(record.posts)
        if target == b"/ended":
            return b"%d %d" % (record.ended, record.unread)
        if method == b"POST":
            record.posts.append(target)
    return SMALL_BODY


def _end(connection: socket.socket, record: _Record) -> None:
    (unread,) = struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, b"\0\0\0\0"))
    connection.close()
    with record.lock:
        record.ended += 1
        record.unread += unread > 0


def _main(port: int, how: str) -> None:
    record = _Record()
    with socket.create_server(("127.0.0.1", port), backlog=4096) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_serve, args=(connection, how == "timed", record), daemon=True).start()


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2])
