"""Started processes: pinned to a core, measured as a whole tree, ended by pid."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

# One core for what is measured, the other for everything that drives it.
PROXY_CORE = 0
LOAD_CORE = 1
# For what several processes do at a time: a list as taskset takes it.
ALL_CORES = f"0-{(os.cpu_count() or 1) - 1}"

KIB = 1024
MIB = 1024 * 1024

_CLOCK_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Memory:
    """Bytes of a process tree; RSS counts pages shared inside the tree once per process, PSS once."""

    rss: int
    pss: int
    uss: int

    def __sub__(self, other: "Memory") -> "Memory":
        return Memory(self.rss - other.rss, self.pss - other.pss, self.uss - other.uss)


class PinnedProcess:
    """A child process and its descendants, bound to cores; a context manager that ends them all.

    Output goes to `<workdir>/<name>.stdout` and `.stderr`, opened for appending so that both may be truncated.
    """

    def __init__(self, name: str, command: Sequence[str], core: int | str, workdir: Path) -> None:
        self.name = name
        self.stdout = workdir / f"{name}.stdout"
        self.stderr = workdir / f"{name}.stderr"
        with self.stdout.open("ab") as stdout, self.stderr.open("ab") as stderr:
            self._popen = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        self.pid = self._popen.pid

    def __enter__(self) -> "PinnedProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_listening(self, port: int, timeout: float = 60.0) -> None:
        """Return once `port` accepts connections; raise RuntimeError with stderr's end if that never happens."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._popen.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
                return
            time.sleep(0.02)
        complaint = self.stderr.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.name} does not listen on port {port}; its stderr ends with:\n{complaint}")

    def tree(self) -> list[int]:
        """Return the pid and those of all living descendants."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    children.setdefault(int(_stat_fields(int(entry.name))[1]), []).append(int(entry.name))
        found = [self.pid]
        for pid in found:
            found.extend(children.get(pid, []))
        return found

    def cpu_seconds(self) -> float:
        """User and system time of the tree since its start.

        Times of children that were waited for are included, so a difference stays right when a worker is replaced.
        """
        return sum(self.cpu_times())

    def cpu_times(self) -> tuple[float, float]:
        """The same, as user and system time (seconds)."""
        user = system = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                own_user, own_system, waited_user, waited_system = map(int, _stat_fields(pid)[11:15])
                user += own_user + waited_user
                system += own_system + waited_system
        return user / _CLOCK_TICKS_PER_SECOND, system / _CLOCK_TICKS_PER_SECOND

    def rss(self) -> int:
        """Resident bytes of the tree, cheap enough to be sampled."""
        pages = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * _PAGE_SIZE

    def memory(self) -> Memory:
        total = dict.fromkeys(("Rss", "Pss", "Private_Clean", "Private_Dirty"), 0)
        for pid in self.tree():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
                    key, _, value = line.partition(":")
                    if key in total:
                        total[key] += int(value.split()[0]) * KIB
        return Memory(total["Rss"], total["Pss"], total["Private_Clean"] + total["Private_Dirty"])

    def kill(self) -> None:
        """End the whole tree at once, as a crash would."""
        for pid in self.tree():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait()

    def stop(self, grace: float = 5.0) -> None:
        """Ask politely, then end whatever of the tree is left after `grace` seconds."""
        if self._popen.poll() is not None:
            return
        self._popen.terminate()
        try:
            self._popen.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()


class RssWatch:
    """Samples the RSS of a process tree in a thread while the block runs; `rise` is peak minus start in bytes."""

    _INTERVAL = 0.02

    def __init__(self, process: PinnedProcess) -> None:
        self._process = process
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.start = 0
        self.peak = 0

    def __enter__(self) -> "RssWatch":
        self.start = self.peak = self._process.rss()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def rise(self) -> int:
        return self.peak - self.start

    def _sample(self) -> None:
        while not self._ended.wait(self._INTERVAL):
            self.peak = max(self.peak, self._process.rss())


def core_busy_seconds(core: int) -> float:
    """Seconds since boot in which anything at all ran on `core`."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / _CLOCK_TICKS_PER_SECOND
    raise ValueError(f"no core {core}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def prepare_driver() -> None:
    """Make this process a load driver: on the load core, with many descriptors, ending its children on SIGTERM."""
    os.sched_setaffinity(0, {LOAD_CORE})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, _exit_through_context_managers)


@contextlib.contextmanager
def listening(name: str, command: Sequence[str], core: int | str, workdir: Path, port: int) -> Iterator[PinnedProcess]:
    with PinnedProcess(name, command, core, workdir) as process:
        process.wait_until_listening(port)
        yield process


def _exit_through_context_managers(signal_number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal_number)


def _stat_fields(pid: int) -> list[str]:
    """Read the fields of /proc/<pid>/stat from the state on: the name before them may hold spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
