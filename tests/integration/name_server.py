"""A name server on loopback that answers for some names and is silent for others."""

import socket
import struct
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

_A = 1
_HEADER = struct.Struct("!6H")
_NAME_ERROR = 3


class NameServer:
    """Answers for the names in `known` with their IPv4 addresses, for those below `hanging.test` never.

    Other names do not exist.
    """

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._asked = threading.Condition()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        # Names in the order in which their IPv4 addresses were asked for, again for every attempt.
        self.asked: list[str] = []

    @property
    def options(self) -> dict[str, Any]:
        """What makes a resolver ask here, and nowhere else."""
        host, port = self._socket.getsockname()
        return {"servers": [f"{host}:{port}"], "lookups": "b", "domains": [], "timeout": 1.0, "tries": 2}

    def wait_until_asked(self, name: str, patience: float = 20.0) -> None:
        with self._asked:
            assert self._asked.wait_for(lambda: name in self.asked, patience), f"nobody asks for {name}: {self.asked}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An empty datagram is the end.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as teller:
            teller.sendto(b"", self._socket.getsockname())
        self._thread.join(20)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, client = self._socket.recvfrom(4096)
            if not query:
                return
            name, kind, question = _question(query)
            if kind == _A:
                with self._asked:
                    self.asked.append(name)
                    self._asked.notify_all()
            if not name.endswith(".hanging.test"):
                self._socket.sendto(_answer(query[:2], question, kind, self._known.get(name)), client)


def _question(query: bytes) -> tuple[str, int, bytes]:
    at = _HEADER.size
    labels = []
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode())
        at += 1 + size
    end = at + 5
    return ".".join(labels).lower(), struct.unpack_from("!H", query, at + 1)[0], query[_HEADER.size : end]


def _answer(identity: bytes, question: bytes, kind: int, address: str | None) -> bytes:
    has_answer = address is not None and kind == _A
    flags = 0x8180 | (0 if address is not None else _NAME_ERROR)
    head = identity + _HEADER.pack(0, flags, 1, int(has_answer), 0, 0)[2:]
    if not has_answer or address is None:
        return head + question
    # The name is the one in the question; it may be kept for no time.
    return head + question + struct.pack("!HHHIH", 0xC00C, _A, 1, 0, 4) + socket.inet_aton(address)
