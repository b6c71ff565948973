"""Notifications to the service manager that started the router, in the protocol of sd_notify(3)."""

import asyncio
import os
import socket
import time
from contextlib import suppress


class ServiceManager:
    """Sends state changes to the socket that NOTIFY_SOCKET names; without one, nothing is sent and nothing fails."""

    def __init__(self) -> None:
        path = os.environ.get("NOTIFY_SOCKET", "")
        # An abstract address begins with a zero byte, for which @ stands in the variable.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._watchdog: asyncio.TimerHandle | None = None

    def ready(self) -> None:
        """Notify that the router serves, or that a reload is complete."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Notify that a reload begins; `ready` follows."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Notify that the router drains or stops."""
        self._send("STOPPING=1")

    def succeeded_by(self, pid: int) -> None:
        """Notify that from now on the process `pid` is the service."""
        self._send(f"MAINPID={pid}", "READY=1")

    def feed_watchdog(self) -> None:
        """Notify from now until `leave_watchdog` that the event loop runs, twice as often as WATCHDOG_USEC asks for."""
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        if not microseconds.isdecimal() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return
        self._send("WATCHDOG=1")
        self._watchdog = asyncio.get_running_loop().call_later(int(microseconds) / 2e6, self.feed_watchdog)

    def leave_watchdog(self) -> None:
        """Stop feeding the watchdog."""
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def _send(self, *assignments: str) -> None:
        if not self._address:
            return
        # A manager that is gone or does not listen must not stop the router.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, suppress(OSError):
            sender.setblocking(False)
            sender.sendto("\n".join(assignments).encode(), self._address)
