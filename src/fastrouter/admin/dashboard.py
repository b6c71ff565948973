"""The dashboard: the files of the directory `dashboard`, served as they are.

They hold nothing that is secret, so nobody is asked who they are; what the pages show comes from the API, which asks.
"""

from importlib.resources import files
from typing import NamedTuple

from aiohttp import web

# By the end of a file's name.
_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}

# Nothing is loaded from elsewhere, nothing is run that stands in the page, and no other page shows this one.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class _File(NamedTuple):
    body: bytes
    content_type: str


class Dashboard:
    """All files, read once; `index.html` is `/`."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        for entry in files("fastrouter.admin").joinpath("dashboard").iterdir():
            if (kind := _TYPES.get(entry.name.rpartition(".")[2])) is not None:
                path = "/" if entry.name == "index.html" else f"/{entry.name}"
                self._files[path] = _File(entry.read_bytes(), kind)

    @property
    def paths(self) -> list[str]:
        """Where the files are."""
        return list(self._files)

    async def serve(self, request: web.Request) -> web.Response:
        """Return the file at the path of `request`, which is one of `paths`."""
        found = self._files[request.path]
        return web.Response(
            body=found.body,
            content_type=found.content_type,
            charset="utf-8",
            headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"},
        )
