"""The real executable as a child process."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from fastrouter.process.parent_death import end_with_parent

from .byte_stream import PATIENCE
from .processes import children_of
from .raw_client import RawClient

EXECUTABLE = Path(sys.executable).with_name("fastrouter")
START_PATIENCE = PATIENCE

T = TypeVar("T")


class LoggingProcess:
    """The executable with some arguments; its log lines are collected while it runs.

    It ends with the thread that has started it, if it was not stopped before.
    """

    command: Sequence[str] = (str(EXECUTABLE),)
    # Descriptors that it is started with, besides the standard ones.
    inherited: Sequence[int] = ()
    # Variables beside those of the tests.
    environment: Mapping[str, str] = MappingProxyType({})

    def __init__(self, *arguments: str, access_log: Path) -> None:
        self.access_log = access_log
        self._events: list[dict[str, Any]] = []
        self._complaints: list[str] = []
        self._changed = threading.Condition()
        self._clients: list[RawClient] = []
        # The access log writes local time (spec 6.2); the tests compare it with UTC.
        self._process = subprocess.Popen(
            [*self.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TZ": "UTC", **self.environment},
            pass_fds=self.inherited,
            # Whoever is killed can stop nothing.
            preexec_fn=end_with_parent,  # noqa: PLW1509 it calls the kernel and takes no lock
        )
        self._reader = threading.Thread(target=self._read_events, daemon=True)
        self._reader.start()

    @property
    def port(self) -> int:
        """Where clients connect; waits until they can."""
        port: int = self.wait_for_event("tcp-listener-started", START_PATIENCE)["data"]["address"]["Port"]
        return port

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Fail if since the last check a worker died, a fault was logged, or something was written to stderr."""
        assert self.is_running, f"the router died: {self._last_words()}"
        with self._changed:
            complaints, self._complaints = self._complaints, []
        assert not complaints, "the router is unwell: " + "".join(complaints)

    def _last_words(self) -> str:
        with self._changed:
            lines = [json.dumps(event) for event in self._events[-10:]]
            return "\n".join([*lines, *self._complaints])

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                try:
                    event = json.loads(line)
                except ValueError:
                    self._complaints.append(line)
                else:
                    self._events.append(event)
                    if event["message"] in ("worker-exited", "loop-exception"):
                        self._complaints.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def events(self, message: str | None = None) -> list[dict[str, Any]]:
        """Return the process log so far, all of it or only the lines with this message."""
        with self._changed:
            return [event for event in self._events if message is None or event.get("message") == message]

    def wait_for_event(self, message: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Wait for the first process log line with this message."""
        return self.wait_for_events(message, 1, patience)[0]

    def wait_for_events(self, message: str, count: int, patience: float = PATIENCE) -> list[dict[str, Any]]:
        """Wait until so many process log lines have this message; returns all that have.

        A thread of the router writes them: an answer may be there before the line that tells of it.
        """
        deadline = time.monotonic() + patience
        with self._changed:
            while True:
                found = [event for event in self._events if event.get("message") == message]
                if len(found) >= count:
                    return found
                left = deadline - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    raise AssertionError(f"no {message!r} in the log: {self._last_words()}")
                self._changed.wait(min(left, 0.1))

    def log_lines(self, host: str) -> list[str]:
        """Return the access log lines of one host, as far as they are written."""
        try:
            text = self.access_log.read_bytes().decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return []
        whole, _, _unfinished = text.rpartition("\n")
        return [line for line in whole.split("\n") if line.startswith(f"{host} - [")]

    def wait_for_log_lines(self, host: str, count: int = 1, patience: float = PATIENCE) -> list[str]:
        """At least `count` access log lines of one host."""
        return wait_for(
            lambda: lines if len(lines := self.log_lines(host)) >= count else None,
            f"{count} access log lines of {host}, there are {self.log_lines(host)}",
            patience,
        )

    def connect(self, **options: Any) -> RawClient:
        """Open a client connection; `close_clients` closes it."""
        client = RawClient(self.port, **options)
        self._clients.append(client)
        return client

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait until it has ended, and everything it has written is here; returns the exit code."""
        code = self._process.wait(patience)
        # Its output ends when the last process that holds it has ended.
        self._reader.join(PATIENCE)
        assert not self._reader.is_alive(), "somebody still holds the output"
        return code

    def children(self) -> list[int]:
        """Return the pids of the workers, oldest first."""
        return children_of(self.pid)

    @property
    def complaints(self) -> list[str]:
        """What was written to stderr, faults, and deaths of workers that no test has asked for."""
        with self._changed:
            return list(self._complaints)

    def forgive_deaths(self, count: int, *, with_traceback: bool = False) -> None:
        """Expect that so many workers died, and nothing else was amiss, but perhaps the traceback of a last word."""
        with self._changed:
            deaths, self._complaints = self._complaints, []
        if with_traceback:
            assert any(line.startswith("Traceback ") for line in deaths), deaths
            deaths = [line for line in deaths if '"message":"worker-exited"' in line]
        assert len(deaths) == count, deaths
        assert all('"message":"worker-exited"' in line for line in deaths), deaths

    def resident_bytes(self) -> int:
        """Resident memory of the process and all its descendants."""
        return sum(_resident_bytes(pid) for pid in _family(self.pid))

    def stop(self) -> None:
        """Stop it and everything it started; it must not need to be killed."""
        self.close_clients()
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._reader.join(PATIENCE)
            assert self._process.stdout is not None
            self._process.stdout.close()


class RouterProcess(LoggingProcess):
    """`fastrouter run` with the given routes, from when clients can connect.

    `options` are command-line options by their Python name: `dial_timeout=0.5` is `--dial-timeout 0.5`.
    """

    def __init__(
        self,
        routes: Mapping[str, Sequence[str]],
        access_log: Path,
        *,
        arguments: Sequence[str] = (),
        options: Mapping[str, object] | None = None,
        has_admin: bool = False,
    ) -> None:
        command = ["run", "--listen", "127.0.0.1:0", "--workers", "1", *([] if has_admin else ["--no-admin"])]
        for uri, addresses in routes.items():
            command += ["--route", f"{uri}={','.join(addresses)}"]
        for name, value in (options or {}).items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        command += ["--access-log", str(access_log), *arguments]
        super().__init__(*command, access_log=access_log)
        try:
            self.port  # noqa: B018 waits
        except BaseException:
            self.stop()
            raise


def wait_for(condition: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """Poll until `condition` gives something other than None."""
    deadline = time.monotonic() + patience
    while (value := condition()) is None:
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience} s in vain for {what}")
        time.sleep(0.005)
    return value


def _family(pid: int) -> list[int]:
    """`pid` and its descendants."""
    family = [pid]
    for child in children_of(pid):
        family += _family(child)
    return family


def _resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
