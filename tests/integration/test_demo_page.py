"""The page of the demo in a real browser: its traffic, and its way to the dashboard."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from .browser import Visit, chromium, needs_chromium
from .gorouter_process import get
from .router_process import wait_for
from .test_process import Process

pytestmark = pytest.mark.slow

DASHBOARD = re.compile(r"http://127\.0\.0\.1:\d+/#token=(\S+)")


@pytest.fixture
def start_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Process]]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    demos = []

    def start(listen: str) -> Process:
        demo = Process("demo", "--listen", listen)
        demos.append(demo)
        wait_for(lambda: True if any("Ctrl-C stops" in line for line in demo.lines) else None, "the demo")
        return demo

    yield start
    for demo in demos:
        assert demo.end() == 0
        assert demo.errors == []


def dashboard_of(demo: Process) -> str:
    """The address that the terminal has."""
    return next(match[0] for line in demo.lines if (match := DASHBOARD.search(line)))


def page_of(demo: Process) -> str:
    return get(demo.port, "/", Host="localhost")[1].decode()


def test_the_page_links_to_the_dashboard_on_loopback(start_demo: Callable[[str], Process]) -> None:
    demo = start_demo("127.0.0.1:0")
    address = dashboard_of(demo)
    # The apps have got the address when the terminal has, but may not have read it.
    wait_for(lambda: True if f'href="{address}"' in page_of(demo) else None, "the link")


def test_whoever_reaches_the_port_gets_no_token(start_demo: Callable[[str], Process]) -> None:
    demo = start_demo("0.0.0.0:0")
    token = dashboard_of(demo).partition("token=")[2]
    for _ in range(6):
        page = page_of(demo)
        assert "This is fastrouter" in page
        assert token not in page
        assert "#token=" not in page


@needs_chromium
def test_live_traffic_is_seen_in_the_dashboard(start_demo: Callable[[str], Process]) -> None:
    demo = start_demo("127.0.0.1:0")
    wait_for(lambda: True if DASHBOARD.search(page_of(demo)) else None, "the link")
    with chromium() as browser:
        visit = Visit(browser, f"http://127.0.0.1:{demo.port}")
        page = visit.page
        page.goto(visit.origin)
        page.get_by_role("button", name="Live traffic").click()
        expect(page.locator("output")).to_have_text(re.compile(r"^\d\d+ requests$"))
        watching = Visit(browser, dashboard_of(demo).partition("/#")[0])
        watching.page.goto(dashboard_of(demo))
        expect(watching.page.locator("main tr.choice").filter(has_text="127.0.0.1")).to_have_count(1)
        watching.page.keyboard.press("2")
        expect(watching.page.locator("main tr.choice").first).to_be_visible()
        page.get_by_role("button", name="Stop the traffic").click()
        expect(page.get_by_role("button", name="Live traffic")).to_be_visible()
        watching.assert_quiet()
        # A click leads there.
        page.get_by_role("link", name="dashboard").click()
        expect(page.locator("#strip")).to_contain_text("serving")
        visit.close()
        watching.close()
