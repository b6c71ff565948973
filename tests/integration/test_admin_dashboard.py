"""The files of the dashboard: who may have them, and what they may do in a browser."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from .admin_routers import admin_router

FILES = {entry.name: entry.read_bytes() for entry in files("fastrouter.admin").joinpath("dashboard").iterdir()}


def test_they_are_served_to_everybody_under_a_strict_policy(tmp_path: Path) -> None:
    with admin_router(tmp_path, {}) as (_, admin):
        for name, content in FILES.items():
            reply = admin.request(
                "GET", "/" if name == "index.html" else f"/{name}", headers={"Origin": "http://a.test"}
            )
            assert (reply.status, reply.body) == (200, content), name
            policy = reply.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_not_under_a_foreign_name(tmp_path: Path) -> None:
    with admin_router(tmp_path, {}) as (_, admin):
        assert admin.request("GET", "/", headers={"Host": "evil.test"}).status == 421


def test_no_other_file_is(tmp_path: Path) -> None:
    with admin_router(tmp_path, {}) as (_, admin):
        for path in ("/dashboard.py", "/../admin/access.py", "/%2e%2e/access.py", "/index.html"):
            assert admin.request("GET", path).status == 404, path


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_comes_from_elsewhere_or_stands_in_the_page(name: str) -> None:
    text = FILES[name].decode()
    assert not re.search(r"""(src|href|from|import|url)\s*[=(]?\s*["'](https?:)?//""", text)
    assert not re.search(r"\binnerHTML\b|\beval\b|document\.write|<script>|<style|\son\w+=\"", text)


def test_modules_import_what_is_there() -> None:
    for name, content in FILES.items():
        for imported in re.findall(r'from "\./([^"]+)"', content.decode()):
            assert imported in FILES, (name, imported)


def test_it_is_not_the_routers(tmp_path: Path) -> None:
    with admin_router(tmp_path, {}) as (router, _):
        client = router.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read_response().status == 404
