"""A router that is replaced again and again, each generation by the next."""

import os
import signal
from pathlib import Path
from typing import Any

import yaml

from .byte_stream import PATIENCE
from .gorouter_process import GorouterProcess, configuration
from .nats_server import NatsServerProcess
from .processes import is_alive
from .router_process import START_PATIENCE, wait_for


def with_route(directory: Path, host: str, *addresses: str) -> tuple[str, str]:
    """Arguments of a router that has a static route from `host` to the backends at `addresses`."""
    routes = directory / "routes.yml"
    routes.write_text(
        yaml.safe_dump({"routes": [{"route": host, "endpoints": [{"address": one} for one in addresses]}]})
    )
    return "-routes", str(routes)


class Generations:
    """A router and its successors, all of which write to one log. `document` is the configuration of the next."""

    def __init__(self, directory: Path, nats: NatsServerProcess, /, *arguments: str, **keys: Any) -> None:
        self._directory = directory
        self.document = configuration(nats.port, **keys)
        self.first = GorouterProcess(directory, self.document, *arguments)
        self.first.wait_until_started()
        self.pids = [self.first.pid]
        self.port = self.first.port

    @property
    def current(self) -> int:
        """The process id of the youngest that has ever served."""
        return self.pids[-1]

    def configure(self, **keys: Any) -> None:
        """Change the configuration that the next router will read."""
        (self._directory / "gorouter.yml").write_text(yaml.safe_dump(self.document | keys))

    def events(self, message: str) -> list[dict[str, Any]]:
        return self.first.events(message)

    def wait_for(self, message: str, count: int = 1) -> dict[str, Any]:
        found = wait_for(
            lambda: found if len(found := self.events(message)) >= count else None,
            f"{message}, number {count}, after {self.first.messages()[-10:]}",
            START_PATIENCE,
        )
        return found[count - 1]["data"]  # type: ignore[no-any-return]

    def begin_upgrade(self) -> int:
        """Have the current router start a successor; returns its process id."""
        count = len(self.events("upgrade-successor-started")) + 1
        os.kill(self.current, signal.SIGUSR2)
        pid: int = self.wait_for("upgrade-successor-started", count)["pid"]
        return pid

    def upgrade(self) -> None:
        """Have the current router replaced."""
        count = len(self.events("upgrade-succeeded")) + 1
        pid = self.begin_upgrade()
        assert self.wait_for("upgrade-succeeded", count)["pid"] == pid
        self.pids.append(pid)

    def wait_gone(self, pid: int) -> None:
        if pid == self.first.pid:
            assert self.first._process.wait(PATIENCE) == 0
        wait_for(lambda: None if is_alive(pid) else True, f"the end of {pid}")

    def stop(self) -> None:
        for pid in reversed(self.pids):
            if pid != self.first.pid and is_alive(pid):
                os.kill(pid, signal.SIGTERM)
        self.first.stop()
        for pid in self.pids:
            self.wait_gone(pid)
