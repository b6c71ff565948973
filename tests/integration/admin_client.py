"""A client of the admin API, over the Unix socket of a router or over TCP."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from .byte_stream import PATIENCE
from .router_process import START_PATIENCE, LoggingProcess, wait_for

__all__ = ["AdminClient", "EventStream", "Reply", "admin_socket_of", "escaped"]


class Reply(NamedTuple):
    """What an endpoint has answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


class AdminClient:
    """Each request goes over a connection of its own; `headers` go with all."""

    def __init__(
        self,
        place: str | tuple[str, int],
        *,
        tls: ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._place = place
        self._tls = tls
        self._headers = dict(headers or {})

    def connection(self) -> http.client.HTTPConnection:
        if isinstance(self._place, str):
            return _UnixConnection(self._place)
        if self._tls is not None:
            return http.client.HTTPSConnection(*self._place, timeout=PATIENCE, context=self._tls)
        return http.client.HTTPConnection(*self._place, timeout=PATIENCE)

    def request(self, method: str, path: str, document: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        sent = {**self._headers, **(headers or {})}
        body = None
        if document is not None:
            body = json.dumps(document)
            sent.setdefault("Content-Type", "application/json")
        connection = self.connection()
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Any:
        """What an endpoint answers with 200."""
        reply = self.request("GET", path, headers=headers)
        assert reply.status == 200, reply
        return reply.document

    def events(self, query: str = "", last_id: str = "") -> EventStream:
        """A stream of events, once it has begun."""
        return EventStream(self.connection(), f"/v1/events{query}", {"Last-Event-ID": last_id} if last_id else {})


class EventStream:
    """Server-sent events, one after the other."""

    def __init__(self, connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]) -> None:
        self._connection = connection
        connection.request("GET", path, headers=dict(headers))
        self._response = connection.getresponse()
        assert self._response.status == 200
        assert self._response.headers["Content-Type"] == "text/event-stream"
        self._response.readline()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        fields: dict[str, str] = {}
        while line := self._response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "" and fields:
                yield {**json.loads(fields["data"]), "event": fields["event"], "sent_id": fields.get("id")}
                fields = {}
            elif name and not line.startswith(":"):
                fields[name] = value

    def until(self, kind: str) -> dict[str, Any]:
        """The next event of this kind."""
        return next(event for event in self if event["event"] == kind)

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def admin_socket_of(router: LoggingProcess) -> str:
    """The path of a router's admin socket, from its log."""
    path: str = router.wait_for_event("admin-listener-started", START_PATIENCE)["data"]["socket"]
    wait_for(lambda: Path(path).is_socket() or None, "the admin socket")
    return path


def escaped(route: str) -> str:
    """A route as a segment of a path."""
    return quote(route, safe="")
