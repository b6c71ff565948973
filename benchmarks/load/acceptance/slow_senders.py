"""Opens slow clients and keeps them slow until its standard input ends; a process of its own.

Arguments: port, number of clients trickling a request head, number trickling a body. Prints one line of JSON once
all are connected, and one at the end with how many were left and how late the sender itself ever was.
"""

import json
import socket
import sys
import threading
import time
from itertools import cycle

from benchmarks.load.acceptance.subject import connect
from benchmarks.load.workloads import HOST

# Every client sends one byte in this time.
_INTERVAL = 0.5

_HEAD_START = f"GET /slow HTTP/1.1\r\nHost: {HOST}\r\n".encode()
_ENDLESS_FIELDS = b"X-Slow: yes\r\n"
_POST_HEAD = f"POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\n".encode()


class SlowSender:
    def __init__(self, port: int, start: bytes, trickle: bytes) -> None:
        self._trickle = cycle(trickle)
        self._socket: socket.socket = connect(port)
        self._socket.sendall(start)
        self.alive = True

    def send_byte(self) -> None:
        try:
            self._socket.sendall(bytes([next(self._trickle)]))
        except OSError:
            self.alive = False


def main(port: int, heads: int, bodies: int) -> None:
    senders = [SlowSender(port, _HEAD_START, _ENDLESS_FIELDS) for _ in range(heads)]
    senders += [SlowSender(port, _POST_HEAD, b"x") for _ in range(bodies)]
    print(json.dumps({"connected": len(senders)}), flush=True)
    ended = threading.Event()
    threading.Thread(target=_set_at_end_of_input, args=(ended,), daemon=True).start()
    lateness = 0.0
    due = time.monotonic()
    while not ended.is_set():
        for sender in senders:
            due += _INTERVAL / len(senders)
            if sender.alive:
                sender.send_byte()
            # The senders are spread over the interval: a burst of 700 bytes would measure the burst.
            time.sleep(max(due - time.monotonic(), 0.0))
            lateness = max(lateness, time.monotonic() - due)
    print(json.dumps({"alive": sum(sender.alive for sender in senders), "lateness_ms": lateness * 1e3}), flush=True)


def _set_at_end_of_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
