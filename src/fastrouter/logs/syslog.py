"""The access log as a stream of syslog messages, framed as Gorouter does it (spec 6.4)."""

import errno
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from fastrouter._core import send_datagrams
from fastrouter.ipc.messages import SyslogOptions
from fastrouter.logs.access import MAX_QUEUED_BYTES, REPORT_INTERVAL, LineSink
from fastrouter.logs.error_text import error_text
from fastrouter.logs.logger import Logger, exclusive_writes

# Seconds to connect, and for the server to take anything at all. Only the sink's own thread waits.
PATIENCE = 5.0

# Seconds between two attempts to connect: doubled from the first to the last.
FIRST_BACK_OFF = 0.1
LAST_BACK_OFF = 5.0

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

# Priority (user-level, informational) and version.
_BEGINNING = "<14>1"
_BOM = b"\xef\xbb\xbf"


def connect(options: SyslogOptions) -> socket.socket:
    """Connect to the syslog server. Raises OSError in Gorouter's words, also for an address that is none.

    A UDP server need not be there.
    """
    network, address = options.network, options.address
    kind = _KINDS.get(network[:3])
    if kind is None:
        raise OSError(errno.EINVAL, f"syslog: invalid network: {network}")
    host, colon, port = address.rpartition(":")
    if not colon:
        raise OSError(errno.EINVAL, f"dial {network}: address {address}: missing port in address")
    host = host.removeprefix("[").removesuffix("]") or "localhost"
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except (UnicodeError, socket.gaierror) as error:
        is_port = isinstance(error, socket.gaierror) and error.errno == socket.EAI_SERVICE
        reason = f"{network}/{port}: unknown port" if is_port else f"{host}: no such host"
        raise OSError(errno.EINVAL, f"dial {network}: lookup {reason}") from error
    failure: OSError | None = None
    for family, _, _, _, place in found:
        connection = socket.socket(family, kind)
        connection.settimeout(PATIENCE)
        try:
            connection.connect(place)
        except OSError as error:
            connection.close()
            failure = error
        else:
            if kind is socket.SOCK_DGRAM:
                # A datagram is sent or not; there is nothing to wait for.
                connection.setblocking(True)
            return connection
    assert failure is not None, "getaddrinfo finds something, or raises"
    text = error_text(failure)
    text = text if isinstance(failure, TimeoutError) else f"connect: {text}"
    raise OSError(failure.errno or errno.ETIMEDOUT, f"dial {network} {address}: {text}") from failure


class SyslogSink(LineSink):
    """Streams to a syslog server, one datagram per line or lines over TCP, and connects again when that fails.

    `connection` is the one that the control process has made at the start. The sinks of all workers write to it, in
    turn; when it fails each makes its own. A line that was cut off by a lost connection is lost; those behind it go
    over the next one.
    """

    loss_message = "error-emitting-access-log-to-writer-syslog"

    def __init__(
        self,
        options: SyslogOptions,
        connection: socket.socket,
        outage: int,
        logger: Logger,
        *,
        on_lost: Callable[[int], None] | None = None,
        max_queued: int = MAX_QUEUED_BYTES,
        report_interval: float = REPORT_INTERVAL,
    ) -> None:
        super().__init__(
            f"{options.network} {options.address}",
            outage,
            logger,
            on_lost=on_lost,
            max_queued=max_queued,
            report_interval=report_interval,
        )
        self._options = options
        self._is_stream = options.network.startswith("tcp")
        self._host = socket.gethostname()
        self._connection: socket.socket | None = connection
        self._back_off = FIRST_BACK_OFF

    def _write(self, batch: bytes) -> None:
        prefix = self._prefix()
        cut = self._options.truncate or None
        messages = [prefix + line[:cut] for line in batch[:-1].split(b"\n")]
        if self._is_stream:
            self._write_stream(b"\n".join(messages) + b"\n")
        else:
            self._write_datagrams(messages)

    def _prefix(self) -> bytes:
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        zone = now[19:22] + ":" + now[22:24]
        stamp = now[:19] + ("Z" if zone == "+00:00" else zone)
        text = f"{_BEGINNING} {stamp} {self._host} {self._options.app_name} {os.getpid()} - "
        return text.encode("utf-8", "replace").replace(b"\n", b" ") + _BOM

    def _write_datagrams(self, messages: list[bytes]) -> None:
        connection = self._connected()
        if connection is None:
            self._lose(len(messages), "not connected")
            return
        lost, number = send_datagrams(connection.fileno(), messages)
        if lost:
            self._lose(lost, os.strerror(number).lower())

    def _write_stream(self, stream: bytes) -> None:
        while stream:
            connection = self._connected()
            if connection is None:
                self._lose(stream.count(b"\n"), "not connected")
                return
            sent = 0
            try:
                with exclusive_writes(connection.fileno()):
                    _raise_if_ended(connection)
                    try:
                        while sent < len(stream):
                            sent += connection.send(memoryview(stream)[sent:])
                    except OSError:
                        # Before the lock is released: lines of other workers would follow half a line.
                        with suppress(OSError):
                            connection.shutdown(socket.SHUT_RDWR)
                        raise
            except OSError as error:
                self._disconnect()
                begun = stream.rfind(b"\n", 0, sent) + 1
                if begun < sent:
                    # The server has the beginning of this line. Whether it has the lines before is unknown.
                    begun = stream.index(b"\n", sent) + 1
                self._lose(int(begun > sent), error_text(error))
                stream = stream[begun:]
                if not self._pause():
                    self._lose(stream.count(b"\n"), error_text(error))
                    return
            else:
                self._back_off = FIRST_BACK_OFF
                return

    def _connected(self) -> socket.socket | None:
        """Return the connection, made as soon as it can be; None if the sink is to be closed before that."""
        while self._connection is None:
            try:
                self._connection = connect(self._options)
            except OSError as error:
                self._lose(0, error_text(error))
                if not self._pause():
                    return None
        return self._connection

    def _pause(self) -> bool:
        """Wait before the next attempt, each time longer; False if the sink is to be closed, so that there is none."""
        with self._changed:
            is_closing = self._changed.wait_for(lambda: self._is_closing, self._back_off)
        self._back_off = min(2 * self._back_off, LAST_BACK_OFF)
        return not is_closing

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _release(self) -> None:
        self._disconnect()


def _raise_if_ended(connection: socket.socket) -> None:
    """Raise an OSError if the server has closed the connection: what is written then is lost without an error."""
    connection.setblocking(False)
    try:
        if connection.recv(4096) == b"":
            _raise_hung_up()
    except BlockingIOError:
        return
    finally:
        connection.settimeout(PATIENCE)


def _raise_hung_up() -> NoReturn:
    raise ConnectionResetError(errno.ECONNRESET, "the server has closed the connection")
