"""The tool that compares routers (tests/parity) leaves nothing behind when it is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .nats_server import BINARY
from .processes import children_of, command_of, is_alive
from .router_process import EXECUTABLE, START_PATIENCE, wait_for

ROOT = Path(__file__).parents[2]


def descendants_of(pid: int) -> dict[int, list[str]]:
    """The pids and commands of all that a process has started, and of all that these have."""
    found = {}
    for child in children_of(pid):
        found[child] = command_of(child)
        found |= descendants_of(child)
    return found


@pytest.mark.parametrize("victim", ["the tool", "one of its jobs"])
def test_whoever_is_killed_takes_all_with_it(victim: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        # Two routers of ours will do, and the start-up of two takes long enough.
        [
            sys.executable,
            "-m",
            "tests.parity.compare",
            "--gorouter",
            str(EXECUTABLE),
            "--jobs",
            "1",
            "--only",
            "plain: ",
        ],
        cwd=ROOT,
        # The directories of one that is killed stay.
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as tool:

        def all_that_it_starts() -> dict[int, list[str]] | None:
            """A job, a NATS server, and two routers with a worker each."""
            found = descendants_of(tool.pid)
            commands = [" ".join(command) for command in found.values()]
            workers = sum("fastrouter.worker" in command for command in commands)
            return found if workers == 2 and any(str(BINARY) in command for command in commands) else None

        try:
            started = wait_for(all_that_it_starts, "both routers", START_PATIENCE)
            if victim == "the tool":
                tool.kill()
            else:
                (job,) = children_of(tool.pid)
                os.kill(job, signal.SIGKILL)
            tool.wait(START_PATIENCE)
        finally:
            tool.kill()
        wait_for(lambda: None if any(map(is_alive, started)) else True, f"the end of {started}")
