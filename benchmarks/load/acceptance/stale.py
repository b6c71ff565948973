"""Backends that close idle connections at random: no GET fails, and no POST reaches a backend twice."""

import http.client
import threading
from collections import Counter
from pathlib import Path

from benchmarks.load.acceptance.subject import (
    Check,
    ProxyUnderTest,
    connect,
    get_request,
    proxy_under_test,
    read_response,
)
from benchmarks.load.backends import application_backend
from benchmarks.load.workloads import HOST, WORKLOADS
from benchmarks.load.wrk import WrkResult, WrkRun

_GETS = 200_000
_SECONDS_OF_A_RUN = 10
_CONNECTIONS = 32
_POSTERS = 4


def run(proxy_name: str, workdir: Path) -> list[Check]:
    with (
        application_backend(workdir, "first-closing-backend", "closing_application") as (first, _),
        application_backend(workdir, "second-closing-backend", "closing_application") as (second, _),
        proxy_under_test(proxy_name, workdir, [first, second]) as proxy,
    ):
        posters = [_Poster(proxy, number) for number in range(_POSTERS)]
        for poster in posters:
            poster.start()
        gets = _load(proxy)
        for poster in posters:
            poster.finish()
        seen = Counter(line for backend in (first, second) for line in _ask(backend, "/seen").split(b"\n") if line)
        closed = sum(int(_ask(backend, "/closed")) for backend in (first, second))
    count = sum(run.requests for run in gets)
    errors = sum(run.errors for run in gets)
    statuses = sum((poster.statuses for poster in posters), Counter[int]())
    repeated = sum(times > 1 for times in seen.values())
    unseen = sum(target not in seen for poster in posters for target in poster.served)
    told = ", ".join(f"{times} x {status}" for status, times in sorted(statuses.items()))
    return [
        Check("connections closed by the backends", str(closed), "> 2000", closed > 2000),
        Check("GETs that failed", f"{errors} of {count}", f"0 of {_GETS} at least", errors == 0 and count >= _GETS),
        # A POST may be lost with its connection: whether a backend has acted on it is not for the router to guess.
        Check("POSTs that reached a backend twice", f"{repeated} of {statuses.total()} ({told})", "0", repeated == 0),
        Check("POSTs that were answered but reached no backend", str(unseen), "0", unseen == 0),
        Check(
            "answers to POSTs other than 200 and 502",
            str(statuses.total() - statuses[200] - statuses[502]),
            "0",
            statuses.total() == statuses[200] + statuses[502] > 0,
        ),
    ]


def _load(proxy: ProxyUnderTest) -> list[WrkResult]:
    """GETs until there were enough of them."""
    runs: list[WrkResult] = []
    while sum(run.requests for run in runs) < _GETS:
        runs.append(WrkRun(proxy.port, WORKLOADS["W1"], _SECONDS_OF_A_RUN, _CONNECTIONS).result())
        if runs[-1].requests == 0:
            break
    return runs


def _ask(backend: str, path: str) -> bytes:
    """Ask a backend itself."""
    with connect(int(backend.rpartition(":")[2])) as connection:
        connection.sendall(get_request(path))
        return read_response(connection)


class _Poster(threading.Thread):
    """Posts one id after the other until `stop`, and counts the answers."""

    def __init__(self, proxy: ProxyUnderTest, number: int) -> None:
        super().__init__(daemon=True)
        self._proxy = proxy
        self._number = number
        self._ended = threading.Event()
        self.served: list[bytes] = []
        self.statuses: Counter[int] = Counter()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._proxy.port, timeout=30)
        count = 0
        while not self._ended.is_set():
            count += 1
            target = f"/{self._number}-{count}"
            connection.request("POST", target, b"once", {"Host": HOST})
            response = connection.getresponse()
            response.read()
            self.statuses[response.status] += 1
            if response.status == 200:
                self.served.append(target.encode())
        connection.close()

    def finish(self) -> None:
        self._ended.set()
        self.join()
