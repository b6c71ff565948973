"""Routes as the routing API has them: how its list and its events are read, a piece at a time."""

from typing import NamedTuple

import msgspec

from fastrouter.registry.endpoint import NO_TAG, ModificationTag
from fastrouter.registry.registration import Int64, MessageError, Port, Registration, refuse_unfit_text

# Bytes of a list that are decoded at a time, in less than a millisecond; the list of 100,000 routes has 25 MB.
_PIECE = 256 * 1024
# Bytes of one event, and of one of its lines; a route has some hundreds.
_MAX_EVENT = 1024 * 1024
# What stands between two routes in what Go has encoded.
_BETWEEN = b"},{"
# Characters of all texts of a route together that need no look at each.
_SHORT = 1024


class Route(msgspec.Struct, frozen=True, gc=False):
    """One endpoint of one route; `ttl` is seconds."""

    route: str = ""
    port: Port = 0
    ip: str = ""
    ttl: Int64 | None = None
    log_guid: str | None = None
    route_service_url: str | None = None
    modification_tag: ModificationTag = NO_TAG

    @property
    def place(self) -> str:
        """What makes it another one in the list: a text, because the collector would walk over tuples."""
        return f"{self.port}\n{self.ip}\n{self.route}"

    def registration(self) -> Registration:
        """Return the registration that it stands for. Raises MessageError."""
        log_guid = self.log_guid or ""
        url = self.route_service_url or ""
        registration = Registration(
            host=self.ip,
            port=self.port,
            uris=(self.route,),
            app=log_guid,
            server_cert_domain_san=log_guid,
            stale_threshold_in_seconds=self.ttl or 0,
            route_service_url=url,
        )
        if url and not url.startswith("https"):
            raise MessageError("Unable to validate message. route_service_url must be https")
        texts = f"{self.ip}{log_guid}{url}{self.route}"
        if len(texts) > _SHORT or not texts.isascii() or not texts.isprintable():
            refuse_unfit_text(registration)
        return registration


class Event(NamedTuple):
    """A change of the list: `action` is Upsert or Delete."""

    action: str
    route: Route


_LIST: msgspec.json.Decoder[list[Route] | None] = msgspec.json.Decoder(list[Route] | None)
_ROUTE = msgspec.json.Decoder(Route)


class ListDecoder:
    """Decodes the list from its bytes as they come, in pieces that hold nobody up.

    A list that ends between two routes is whole but for its bracket, and one that ends anywhere else cannot be decoded,
    whatever its texts contain.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._enough = _PIECE

    def feed(self, received: bytes) -> list[Route]:
        """Return the routes that `received` completes, or some of them. Raises ValueError."""
        self._rest += received
        if len(self._rest) < self._enough:
            return []
        end = self._rest.rfind(_BETWEEN) + 1
        try:
            routes = _LIST.decode(self._rest[:end] + b"]") if end else None
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # It was within a text or a list of an unknown field.
            routes = None
        if routes is None:
            self._enough = 2 * len(self._rest)
            return []
        self._rest[: end + 1] = b"["
        self._enough = _PIECE
        return routes

    def end(self) -> list[Route]:
        """Return the routes that are left. Raises ValueError if the list is not whole."""
        return _LIST.decode(self._rest) or []


class EventDecoder:
    """Decodes a stream of server-sent events from its bytes as they come."""

    def __init__(self) -> None:
        self._line = b""
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, received: bytes) -> list[Event]:
        """Return the events that `received` completes. Raises ValueError."""
        events = []
        *lines, self._line = (self._line + received).split(b"\n")
        if len(self._line) > _MAX_EVENT:
            raise ValueError(f"an event is longer than {_MAX_EVENT} bytes")
        for line in lines:
            if text := line.removesuffix(b"\r"):
                self._take(text)
            elif self._data:
                events.append(Event(self._name, _ROUTE.decode(b"\n".join(self._data))))
                self._name = ""
                self._data = []
                self._size = 0
        return events

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode(errors="replace")
        elif field == b"data":
            self._size += len(value)
            if self._size > _MAX_EVENT:
                raise ValueError(f"an event is longer than {_MAX_EVENT} bytes")
            self._data.append(value)
