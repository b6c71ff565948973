"""400 POSTs when backends close idle connections at that very moment: how many are lost; none arrives twice."""

import http.client
import random
import threading
import time
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
from benchmarks.load.ending_application import CLOSING_SECONDS, IDLE_SECONDS
from benchmarks.load.workloads import HOST

_POSTERS = 5
_ROUNDS = 80
_MAX_LOST = 20


def run(proxy_name: str, workdir: Path) -> list[Check]:
    checks: list[Check] = []
    for how in ("timed", "at-whim"):
        directory = workdir / how
        directory.mkdir()
        with (
            application_backend(directory, f"{how}-backend", "ending_application", how) as (backend, _),
            proxy_under_test(proxy_name, directory, [backend]) as proxy,
        ):
            checks += _measure(proxy, backend, how)
    return checks


def _measure(proxy: ProxyUnderTest, backend: str, how: str) -> list[Check]:
    posters = [_Poster(proxy, number) for number in range(_POSTERS)]
    chance = random.Random(how)
    for _ in range(_ROUNDS):
        # Before, while and after the backend is closing what is idle since the round before, in equal shares.
        age = IDLE_SECONDS + CLOSING_SECONDS * chance.uniform(-1, 2) if how == "timed" else 0.05
        threads = [threading.Thread(target=poster.post, args=(time.monotonic() + age,)) for poster in posters]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    statuses = sum((poster.statuses for poster in posters), Counter[int]())
    seen = Counter(line for line in _ask(backend, "/seen").split(b"\n") if line)
    ended, unread = map(int, _ask(backend, "/ended").split())
    lost = statuses.total() - statuses[200]
    told = ", ".join(f"{times} x {status}" for status, times in sorted(statuses.items()))
    title = "after its idle limit" if how == "timed" else "at whim"
    return [
        Check(
            f"POSTs lost to a backend that closes {title}",
            f"{lost} of {statuses.total()} ({told}; {ended} connections closed, {unread} with an unread request)",
            f"< {_MAX_LOST}",
            lost < _MAX_LOST,
        ),
        Check("of them, that reached the backend twice", str(seen.total() - len(seen)), "0", seen.total() == len(seen)),
        Check("answered without having reached it", str(statuses[200] - len(seen)), "0", statuses[200] == len(seen)),
    ]


def _ask(backend: str, path: str) -> bytes:
    """Ask the backend itself."""
    with connect(int(backend.rpartition(":")[2])) as connection:
        connection.sendall(get_request(path))
        return read_response(connection)


class _Poster:
    """A client that is connected all the time."""

    def __init__(self, proxy: ProxyUnderTest, number: int) -> None:
        self._proxy = proxy
        self._connection: http.client.HTTPConnection | None = None
        self._number = number
        self._count = 0
        self.statuses: Counter[int] = Counter()

    def post(self, when: float) -> None:
        """Post the next id, at `when` by the monotonic clock; the status 0 stands for no answer at all."""
        self._count += 1
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._proxy.port, timeout=30)
            self._connection.connect()
        time.sleep(max(0.0, when - time.monotonic()))
        status = 0
        try:
            self._connection.request("POST", f"/{self._number}-{self._count}", b"once", {"Host": HOST})
            response = self._connection.getresponse()
            response.read()
            status = response.status
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = None
        self.statuses[status] += 1
