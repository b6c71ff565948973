"""CPU and memory of several processes (spec 7.3; O08)."""

import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from fastrouter.observe import process_usage
from fastrouter.observe.process_usage import UsageMeter

# A program with a name that is hard to parse: it uses CPU for so long, then waits for the order to end.
SPEND = """
import sys, time
with open("/proc/self/comm", "w") as name:
    name.write("a) R 1 (b")
while time.process_time() < 0.3:
    pass
print("spent", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def spender() -> Iterator[subprocess.Popen[str]]:
    """A process that has spent 0.3 s of CPU time and now sleeps."""
    with subprocess.Popen(
        [sys.executable, "-c", SPEND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "spent\n"
        yield process
        process.communicate()


def test_memory_is_the_sum_over_all_processes(spender: subprocess.Popen[str]) -> None:
    meter = UsageMeter()
    mine = meter.look([os.getpid()]).resident_kib
    its = meter.look([spender.pid]).resident_kib
    assert its > 1000
    # This process goes on meanwhile, and takes a little more or less.
    assert meter.look([os.getpid(), spender.pid]).resident_kib > max(mine, its)


def test_cpu_time_is_that_since_the_look_before(
    spender: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 102.0, 104.0])
    monkeypatch.setattr(process_usage, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    meter = UsageMeter()
    assert meter.look([]).cpu == 0, "there is nothing to compare with"
    # A process that is new counts with all its time, 0.3 s in an interval of two; the kernel rounds it to ticks.
    assert meter.look([spender.pid]).cpu > 0.1
    assert meter.look([spender.pid]).cpu < 0.1, "it sleeps"


def test_first_look_has_no_cpu_time(spender: subprocess.Popen[str]) -> None:
    assert UsageMeter().look([spender.pid]).cpu == 0


def test_a_process_that_has_ended_counts_no_more(spender: subprocess.Popen[str]) -> None:
    meter = UsageMeter()
    meter.look([spender.pid])
    spender.communicate()
    assert meter.look([spender.pid]) == (0, 0)
    # Another one gets its number: it has less time, and takes none off.
    assert meter.look([0, os.getpid()]).cpu >= 0
