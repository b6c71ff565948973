"""Error pages of an operator's template, through the real executable (spec 4.3; S11)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import StartGorouter
from .gorouter_process import GorouterProcess
from .http_message import Response
from .raw_client import RawClient

ROUTER_ERROR = b"X-Cf-Routererror"


@pytest.fixture
def start_with(start_gorouter: StartGorouter, tmp_path: Path) -> Callable[[bytes], GorouterProcess]:
    def start(template: bytes) -> GorouterProcess:
        path = tmp_path / "error.html"
        path.write_bytes(template)
        router = start_gorouter(html_error_template_file=str(path))
        router.wait_until_started()
        return router

    return start


def ask(router: GorouterProcess, *lines: bytes, host: bytes = b"not-host") -> Response:
    client = RawClient(router.port)
    try:
        client.send(b"\r\n".join([b"GET / HTTP/1.1", b"Host: " + host, *lines]) + b"\r\n\r\n")
        return client.read_response()
    finally:
        client.close()


def test_gorouters_own_example(start_with: Callable[[bytes], GorouterProcess]) -> None:
    response = ask(start_with(b"<html><body>{{ .Message }}</body></html>"))
    assert response.status == 404
    assert response.value(b"Content-Type") == b"text/html; charset=utf-8"
    assert response.value(b"X-Content-Type-Options") == b"nosniff"
    assert response.value(ROUTER_ERROR) == b"unknown_route"
    assert response.body == (b"<html><body>Requested route (&#39;not-host&#39;) does not exist.</body></html>")


def test_all_fields(start_with: Callable[[bytes], GorouterProcess]) -> None:
    router = start_with(b"""{{.Status}} {{.StatusText}} {{.Header.Get "x-cf-routererror"}} {{.Header.Get "X-None"}}|""")
    assert ask(router).body == b"404 Not Found unknown_route |"
    assert ask(router, b"X-Cf-App-Instance: x").body == b"400 Bad Request invalid_cf_app_instance_header |"


def test_a_template_that_fails_is_logged_and_the_response_plain(
    start_with: Callable[[bytes], GorouterProcess],
) -> None:
    router = start_with(b"{{.Nope}}")
    response = ask(router)
    assert response.status == 404
    assert response.value(b"Content-Type") == b"text/plain; charset=utf-8"
    assert response.body == b"404 Not Found: Requested route ('not-host') does not exist."
    event = router.wait_for_event("render-error-failed")
    assert event["log_level"] == 3
    assert "Nope" in event["data"]["error"]


def test_a_host_that_is_no_text_cannot_break_the_page(start_with: Callable[[bytes], GorouterProcess]) -> None:
    response = ask(start_with(b"<p title='{{.Message}}'>"), host=b"a'b")
    assert b"a'b" not in response.body
