"""Whoever looks at a router through its admin API, as a process of its own.

    python -m benchmarks.load.admin_reader PORT TOKEN dashboard|pages

`dashboard` asks what an open dashboard with a drawer does, as often as it does, and reads two tails; `pages` asks for
first pages of the routes, in each of the orders, one after the other. It ends with its standard input, and prints
a line of JSON: the seconds that answers took, by path, and how many requests the tails have told of.
"""

import http.client
import itertools
import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from urllib.parse import quote

from benchmarks.load.workloads import HOST

# Seconds between two requests, by path (dashboard/main.js, routes.js, drawer.js).
_DASHBOARD = {
    "/v1/overview": 2.0,
    "/v1/overview/history": 2.0,
    "/v1/top?window=60&limit=50&series=true&by=errors": 10.0,
    "/v1/top?window=60&limit=50&series=true&by=rps": 10.0,
    f"/v1/routes/{quote(HOST, safe='')}": 3.0,
    f"/v1/routes/{quote(HOST, safe='')}/history": 3.0,
}
_TAILS = 2
_ORDERS = ("route", "-route", "-endpoints", "-failed", "-in_flight")
_PAGES = [f"/v1/routes?limit=100&sort={order}" for order in _ORDERS]


class Reader:
    """Asks for paths, and notes how long that takes."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}"}
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.told = 0

    def ask(self, paths: Sequence[str], interval: float) -> None:
        """Ask for one of `paths` after the other, `interval` seconds apart at least."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30.0)
        for path in itertools.cycle(paths):
            started = time.perf_counter()
            connection.request("GET", path, headers=self._headers)
            response = connection.getresponse()
            response.read()
            took = time.perf_counter() - started
            if response.status != 200:
                raise RuntimeError(f"{path} is {response.status}")
            self.seconds[path].append(took)
            time.sleep(max(0.0, interval - took))

    def tail(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60.0)
        connection.request("GET", "/v1/tail", headers=self._headers)
        response = connection.getresponse()
        while data := response.read1(65536):
            self.told += data.count(b"event: request\n")


def main() -> None:
    port, token, kind = sys.argv[1:]
    reader = Reader(int(port), token)
    if kind == "dashboard":
        for path, interval in _DASHBOARD.items():
            threading.Thread(target=reader.ask, args=([path], interval), daemon=True).start()
        for _ in range(_TAILS):
            threading.Thread(target=reader.tail, daemon=True).start()
    else:
        threading.Thread(target=reader.ask, args=(_PAGES, 0.0), daemon=True).start()
    sys.stdin.read()
    print(json.dumps({"seconds": reader.seconds, "told": reader.told}), flush=True)


if __name__ == "__main__":
    main()
