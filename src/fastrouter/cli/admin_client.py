"""The admin API as the command line uses it: over the Unix socket of a router, with the standard library alone."""

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from fastrouter.cli.admin_output import ANSWER_IS_NO, NO_ROUTER, REFUSED
from fastrouter.logs.error_text import error_text

# Items that are asked for at a time; the API gives no more.
PAGE_SIZE = 1000


class AdminError(Exception):
    """The router cannot be reached, or refuses; `code` is the exit code that tells which."""

    def __init__(self, text: str, code: int = REFUSED) -> None:
        super().__init__(text)
        self.code = code


class BrokenStreamError(AdminError):
    """A stream of events has broken off; who asks again may get another one."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class AdminClient:
    """Talks to the admin API behind the socket `path`; each answer has `timeout` seconds."""

    def __init__(self, path: str, timeout: float = 30.0) -> None:
        self.place = path
        self._timeout = timeout

    @staticmethod
    def path(*segments: str) -> str:
        """Return the path of these segments; whatever is in a name, it stays one of them."""
        return "/v1/" + "/".join(quote(text, safe="") for text in segments)

    def get(self, path: str, **query: Any) -> Any:
        """Return the answer to a GET, with those parameters that are not None. Raises AdminError."""
        return self.call("GET", path, query=query)

    def call(self, method: str, path: str, body: Any = None, *, query: dict[str, Any] | None = None) -> Any:
        """Return the answer to a request, None for one without a body. Raises AdminError."""
        connection, response = self._send(method, path, body, query or {}, self._timeout)
        try:
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(f"{self.place}: {error_text(error)}") from error
        finally:
            connection.close()
        return json.loads(content) if content else None

    def items(self, path: str, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a list, `limit` at most. Raises AdminError."""
        cursor, left = "", limit
        while left is None or left > 0:
            size = PAGE_SIZE if left is None else min(PAGE_SIZE, left)
            page = self.get(path, limit=size, cursor=cursor or None, **query)
            yield from page["items"]
            cursor = page["next"]
            if not cursor:
                return
            left = None if left is None else left - len(page["items"])

    def events(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the data of a stream of events, until the router ends it. Raises AdminError.

        That is BrokenStreamError when it has begun.
        """
        connection, response = self._send("GET", path, None, query, None)
        try:
            data: list[str] = []
            for line in response:
                text = line.decode().rstrip("\r\n")
                if text.startswith("data:"):
                    data.append(text.removeprefix("data:").removeprefix(" "))
                elif not text and data:
                    yield json.loads("\n".join(data))
                    data.clear()
        except (OSError, http.client.HTTPException) as error:
            raise BrokenStreamError(f"{self.place}: {error_text(error)}") from error
        finally:
            connection.close()

    def _send(
        self, method: str, path: str, body: Any, query: dict[str, Any], timeout: float | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        given = {name: value for name, value in query.items() if value is not None}
        target = f"{path}?{urlencode(given)}" if given else path
        connection = _UnixConnection(self.place, timeout)
        headers = {"Accept": "application/json, text/event-stream"}
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, target, content, headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise AdminError(f"no router answers at {self.place}: {error_text(error)}", NO_ROUTER) from error
        if response.status >= 400:
            refusal = _refusal(response)
            connection.close()
            raise refusal
        return connection, response


def _refusal(response: http.client.HTTPResponse) -> AdminError:
    try:
        detail = json.loads(response.read())["detail"]
    except (ValueError, KeyError, TypeError):
        detail = f"{response.status} {response.reason}"
    return AdminError(detail, ANSWER_IS_NO if response.status == 404 else REFUSED)
