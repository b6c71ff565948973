"""The dashboard in a real browser, with a real router that has something to show."""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from .admin_client import AdminClient, admin_socket_of
from .browser import Visit, chromium, needs_chromium
from .gorouter_process import PASSWORD, GorouterProcess, configuration, get, register, unregister
from .http_message import response_with
from .issuer import SERVER, Issuer
from .nats_server import NatsServerProcess, RawNatsClient
from .raw_backend import AnsweringBackend, BackendStream, ServingBackend
from .raw_client import RawClient
from .router_process import wait_for

pytestmark = [needs_chromium, pytest.mark.slow]

READ_TOKEN = "read-token-0123456789"
OPERATE_TOKEN = "operate-token-0123456789"
# Chromium's own words for a response 401 or 403, and for a router that is gone: refused, reset, empty, incomplete …
REFUSED = "Failed to load resource: the server responded with a status of 40"
GONE = "net::ERR_"
MANY = 250

Open = Callable[..., Visit]


class Seat(NamedTuple):
    """The router that is looked at."""

    router: GorouterProcess
    admin: AdminClient
    origin: str
    good: list[str]
    certificate: str


def document(nats_port: int, listen: str, **keys: Any) -> dict[str, Any]:
    tokens = [
        {"name": "reader", "token": READ_TOKEN, "role": "read"},
        {"name": "operator", "token": OPERATE_TOKEN, "role": "operate"},
    ]
    return configuration(nats_port, admin={"listen": listen, "tokens": tokens}, **keys)


def start(directory: Path, nats_port: int, listen: str = "127.0.0.1:0", **keys: Any) -> GorouterProcess:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_RUNTIME_DIR", str(directory))
        router = GorouterProcess(directory, document(nats_port, listen, **keys))
    router.wait_until_started()
    return router


def origin_of(router: GorouterProcess) -> str:
    return f"http://{router.wait_for_event('admin-listener-started')['data']['address']}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture(scope="module")
def nats_for_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServerProcess]:
    server = NatsServerProcess(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def seat(tmp_path_factory: pytest.TempPathFactory, nats_for_module: NatsServerProcess) -> Iterator[Seat]:
    def fail(stream: BackendStream) -> None:
        stream.read_request()
        stream.send(response_with(b"no", status=b"500 Internal Server Error"))

    directory = tmp_path_factory.mktemp("router")
    pair = Issuer().pair("seen.test", usages=[SERVER])
    with ExitStack() as stack:
        good = [stack.enter_context(AnsweringBackend()).address for _ in range(2)]
        bad = stack.enter_context(ServingBackend(fail)).address
        silent = stack.enter_context(ServingBackend(lambda stream: bool(stream.read_request()))).address
        router = start(
            directory,
            nats_for_module.port,
            droplet_stale_threshold="1h",
            prune_stale_droplets_interval="1h",
            client_cert_validation="none",
            enable_ssl=True,
            ssl_port=0,
            cipher_suites="ECDHE-ECDSA-AES128-GCM-SHA256",
            tls_pem=[{"cert_chain": pair.chain, "private_key": pair.key}],
        )
        stack.callback(router.stop)
        admin = AdminClient(admin_socket_of(router))
        with closing(RawNatsClient(nats_for_module.port)) as nats:
            for number, address in enumerate(good):
                register(nats, address, "good.test", app="the-app", private_instance_index=str(number))
            register(nats, bad, "bad.test/path", app="bad-app")
            register(nats, silent, "silent.test")
            register(nats, good[0], *(f"many-{number:03}.test" for number in range(MANY)), app="many")
            wait_for(lambda: True if admin.get("/v1/overview")["routes"] == MANY + 3 else None, "the routes")
        yield Seat(router, admin, origin_of(router), good, pair.chain)
        router.close_clients()
    assert router.complaints == []


def send(router: GorouterProcess, host: str, count: int, path: str = "/") -> None:
    for _ in range(count):
        get(router.port, path, Host=host)


def give_something_to_show(seat: Seat) -> None:
    send(seat.router, "good.test", 6)
    send(seat.router, "bad.test", 3, "/path")


@pytest.fixture
def open_page(browser: Browser, seat: Seat) -> Iterator[Open]:
    visits = []

    def open_at(view: str = "routes", token: str = OPERATE_TOKEN, **options: object) -> Visit:
        # The views show a minute at first.
        give_something_to_show(seat)
        visit = Visit(browser, seat.origin, **options)
        visits.append(visit)
        visit.page.goto(f"{seat.origin}/#token={token}")
        expect(visit.page).to_have_url(f"{seat.origin}/")
        if view != "routes":
            visit.page.goto(f"{seat.origin}/#{view}")
        return visit

    yield open_at
    for visit in visits:
        visit.close()


def rows_of(page: Page) -> Locator:
    return page.locator("main tbody tr.choice")


def row_of(page: Page, text: str) -> Locator:
    return rows_of(page).filter(has_text=text)


def strip_of(page: Page, title: str) -> Locator:
    return page.locator("#strip div").filter(has=page.get_by_text(title, exact=True)).locator("dd")


def focused_row(page: Page) -> str:
    return str(page.evaluate("document.activeElement.dataset.key ?? ''"))


class TestSigningIn:
    def test_by_the_address(self, open_page: Open) -> None:
        visit = open_page()
        expect(strip_of(visit.page, "State")).to_have_text("serving")
        # Also where the dashboard is open already.
        visit.page.goto(f"{visit.origin}/#token={READ_TOKEN}")
        expect(visit.page).to_have_url(f"{visit.origin}/")
        assert visit.page.evaluate("sessionStorage.getItem('token')") == READ_TOKEN
        visit.assert_quiet()

    def test_by_the_dialog(self, browser: Browser, seat: Seat) -> None:
        give_something_to_show(seat)
        visit = Visit(browser, seat.origin)
        page = visit.page
        page.goto(f"{seat.origin}/")
        dialog = page.locator("#sign-in")
        expect(dialog).to_contain_text("a token is needed")
        page.keyboard.press("Escape")
        expect(dialog).to_be_visible()
        dialog.locator("input").fill("not the token")
        page.keyboard.press("Enter")
        expect(dialog).to_contain_text("the token is not known here")
        dialog.locator("input").fill(READ_TOKEN)
        dialog.get_by_role("button", name="Sign in").click()
        expect(strip_of(page, "State")).to_have_text("serving")
        expect(dialog).to_be_hidden()
        expect(row_of(page, "bad.test/path")).to_be_visible()
        visit.assert_quiet(REFUSED)
        visit.close()

    def test_a_reader_is_told_that_it_may_not_act(self, open_page: Open, seat: Seat) -> None:
        visit = open_page("routes?route=good.test", READ_TOKEN)
        visit.page.locator("#drawer").get_by_role("button", name="Drain").first.click()
        expect(visit.page.locator("#notice")).to_contain_text("this needs the role operate")
        assert all(one["state"] == "active" for one in seat.admin.get("/v1/routes/good.test")["endpoints"])
        visit.assert_quiet(REFUSED)


class TestStripAndRoutes:
    def test_the_strip_has_figures(self, open_page: Open, seat: Seat) -> None:
        visit = open_page()
        send(seat.router, "good.test", 10)
        expect(strip_of(visit.page, "Routes")).to_have_text(str(MANY + 3))
        expect(strip_of(visit.page, "NATS")).to_have_text("connected")
        expect(strip_of(visit.page, "Workers")).to_have_text("1/1")
        expect(strip_of(visit.page, "Requests/s")).to_have_text(re.compile(r"^(?!0$)[\d.]+$"))
        expect(strip_of(visit.page, "p99")).to_have_text(re.compile(r"^[\d.]+ (µs|ms|s)$"))
        expect(strip_of(visit.page, "Next expiry")).to_have_text(re.compile(r" (d|h)$"))
        expect(visit.page.locator("#version")).not_to_be_empty()
        visit.assert_quiet()

    def test_the_worst_are_first_and_have_a_line(self, open_page: Open) -> None:
        visit = open_page()
        expect(rows_of(visit.page).first).to_contain_text("bad.test/path")
        expect(rows_of(visit.page).first).to_contain_text("100 %")
        expect(rows_of(visit.page).first.locator("svg.spark path")).to_have_count(2)
        expect(row_of(visit.page, "good.test")).to_be_visible()
        visit.page.get_by_label("Worst by").select_option("rps")
        visit.page.get_by_label("Window").select_option("3600")
        expect(rows_of(visit.page).first).to_contain_text("good.test")
        visit.assert_quiet()

    def test_a_filter(self, open_page: Open) -> None:
        visit = open_page()
        expect(rows_of(visit.page)).not_to_have_count(0)
        visit.page.keyboard.press("/")
        visit.page.keyboard.type("GOOD")
        expect(rows_of(visit.page)).to_have_count(1)
        visit.page.get_by_label("Filter").fill("nowhere")
        expect(visit.page.locator("main tbody")).to_contain_text("No such route had requests in this window")
        visit.assert_quiet()

    def test_all_routes_come_in_pages(self, open_page: Open) -> None:
        visit = open_page()
        visit.page.get_by_label("Worst by").select_option("all")
        expect(rows_of(visit.page)).to_have_count(100)
        expect(visit.page.locator("main caption")).to_have_text(f"100 of {MANY + 3} routes")
        more = visit.page.get_by_role("button", name="More")
        more.press("Enter")
        expect(rows_of(visit.page)).to_have_count(200)
        assert focused_row(visit.page) == rows_of(visit.page).nth(100).get_attribute("data-key")
        more.click()
        expect(rows_of(visit.page)).to_have_count(MANY + 3)
        expect(more).to_have_count(0)
        visit.page.get_by_label("Filter").fill("many-24")
        expect(rows_of(visit.page)).to_have_count(10)
        visit.assert_quiet()


class TestDrawer:
    def test_endpoints_explanation_drain_and_history(self, open_page: Open, seat: Seat) -> None:
        visit = open_page()
        page, drawer = visit.page, visit.page.locator("#drawer")
        row_of(page, "good.test").click()
        expect(page).to_have_url(f"{seat.origin}/#routes?route=good.test")
        expect(row_of(page, "good.test")).to_have_attribute("aria-selected", "true")
        endpoint = drawer.locator("tr[data-key]").filter(has_text=seat.good[1])
        expect(drawer.locator("tr[data-key]")).to_have_count(2)
        expect(endpoint).to_contain_text("the-app 1")

        drawer.get_by_role("button", name="Explain").click()
        expect(drawer.get_by_role("status")).to_contain_text("Matched good.test by good.test/.")
        expect(drawer.get_by_role("status").locator("tbody tr")).to_have_count(2)
        drawer.get_by_label("URL").fill("http://nowhere.test/")
        drawer.get_by_label("URL").press("Enter")
        expect(drawer.get_by_role("status")).to_contain_text("The router answers with 404")

        endpoint.get_by_role("button", name="Drain", exact=True).click()
        expect(endpoint).to_contain_text("draining")
        states = {one["id"]: one["state"] for one in seat.admin.get("/v1/routes/good.test")["endpoints"]}
        assert states == {seat.good[0]: "active", seat.good[1]: "draining"}
        drawer.get_by_label("URL").fill("http://good.test/")
        drawer.get_by_label("URL").press("Enter")
        expect(drawer.get_by_role("status")).to_contain_text("is draining")
        # By keyboard this time: the button has kept the focus.
        undrain = endpoint.get_by_role("button", name="Undrain")
        undrain.focus()
        page.keyboard.press("Enter")
        expect(endpoint.get_by_role("button", name="Drain", exact=True)).to_be_focused()
        expect(endpoint).to_contain_text("active")
        expect(drawer).to_contain_text("endpoint-drain")
        drawer.get_by_role("button", name="Close the details").click()
        expect(drawer).to_be_hidden()
        visit.assert_quiet()

    def test_a_route_with_a_path_and_one_that_is_gone(self, open_page: Open) -> None:
        visit = open_page("routes?route=bad.test%2Fpath")
        expect(visit.page.locator("#drawer h2")).to_contain_text("bad.test/path")
        expect(visit.page.locator("#drawer")).to_contain_text("bad-app")
        visit.page.goto(f"{visit.origin}/#routes?route=nowhere.test")
        expect(visit.page.locator("#drawer")).to_contain_text("This route is gone.")
        expect(visit.page.locator("#notice")).to_be_hidden()
        visit.assert_quiet(REFUSED)

    def test_what_apps_say_of_themselves_is_only_text(
        self, open_page: Open, nats_for_module: NatsServerProcess
    ) -> None:
        with closing(RawNatsClient(nats_for_module.port)) as nats:
            register(nats, "127.0.0.1:9", "good.test", app="<img src=x onerror=alert(1)>")
            visit = open_page("routes?route=good.test")
            expect(visit.page.locator("#drawer")).to_contain_text("<img src=x onerror=alert(1)>")
            unregister(nats, "127.0.0.1:9", "good.test")
            expect(visit.page.locator("#drawer tr[data-key]")).to_have_count(2)
        assert visit.page.locator("img").count() == 0
        visit.assert_quiet()


class TestOtherViews:
    def test_live_tail(self, open_page: Open, seat: Seat) -> None:
        visit = open_page("tail")
        page = visit.page

        def see(host: str, path: str = "/") -> None:
            """Send until one is seen: what ended before the tail began is in none."""

            def one() -> bool | None:
                send(seat.router, host, 1, path)
                page.wait_for_timeout(100)
                return row_of(page, host).count() > 0 or None

            wait_for(one, f"a request to {host} in the tail")

        see("good.test")
        see("bad.test", "/path")
        expect(row_of(page, "bad.test").first).to_contain_text("500")
        page.keyboard.press("j")
        focused = focused_row(page)
        assert focused
        send(seat.router, "good.test", 3)
        expect(rows_of(page).first).not_to_have_attribute("data-key", focused)
        # Newer ones have come, and the focus is where it was.
        assert focused_row(page) == focused

        page.keyboard.press("p")
        expect(page.locator("main caption")).to_contain_text("paused")
        count = rows_of(page).count()
        send(seat.router, "good.test", 3)
        page.get_by_role("button", name="Clear").click()
        expect(rows_of(page)).to_have_count(0)
        assert count
        page.get_by_label("Status").select_option("5")
        page.get_by_role("button", name="Go on").click()
        send(seat.router, "good.test", 3)
        see("bad.test", "/path")
        expect(row_of(page, "good.test")).to_have_count(0)
        page.get_by_label("Status").select_option("")
        page.get_by_role("searchbox").fill("good.test")
        page.get_by_role("button", name="Clear").click()
        see("good.test")
        row_of(page, "good.test").first.click()
        expect(page.locator("#drawer h2")).to_contain_text("good.test")
        visit.assert_quiet()

    def test_requests_in_flight(self, open_page: Open, seat: Seat) -> None:
        with RawClient(seat.router.port) as client:
            client.send(b"GET /long HTTP/1.1\r\nHost: silent.test\r\n\r\n")
            visit = open_page("requests")
            expect(row_of(visit.page, "silent.test/long")).to_have_count(1)
            visit.page.get_by_label("Age").select_option("60")
            expect(visit.page.locator("main tbody")).to_have_text("Nothing is under way.")
            visit.assert_quiet()

    def test_events(self, open_page: Open, seat: Seat) -> None:
        visit = open_page("events")
        expect(row_of(visit.page, f"many-{MANY - 1}.test").first).to_be_visible()
        seat.admin.request("PUT", "/v1/log-level", {"level": "debug"})
        visit.page.get_by_label("Kind").select_option("admin-act")
        expect(rows_of(visit.page).first).to_contain_text("unix socket")
        expect(row_of(visit.page, "many-")).to_have_count(0)
        visit.page.keyboard.press("p")
        expect(visit.page.locator("main caption")).to_contain_text("paused")
        visit.assert_quiet()

    def test_certificates(self, open_page: Open) -> None:
        visit = open_page("certificates")
        expect(visit.page.locator("main tbody")).to_contain_text("seen.test")
        expect(visit.page.locator("main tbody")).to_contain_text("tls_pem")
        visit.assert_quiet()

    def test_configuration_without_secrets(self, open_page: Open) -> None:
        visit = open_page("configuration")
        text = visit.page.locator("main pre")
        expect(text).to_contain_text('status.user: "status-user"')
        for secret in (PASSWORD, READ_TOKEN, OPERATE_TOKEN, "PRIVATE KEY"):
            expect(text).not_to_contain_text(secret)
        visit.page.get_by_label("Filter").fill("status.user")
        expect(text).to_have_text('status.user: "status-user"')
        visit.assert_quiet()


class TestKeyboardAndLooks:
    def test_keys(self, open_page: Open) -> None:
        visit = open_page()
        page = visit.page
        expect(rows_of(page)).not_to_have_count(0)
        names = ["routes", "tail", "requests", "events", "certificates", "configuration"]
        for number, name in [*enumerate(names, 1)][::-1]:
            page.keyboard.press(str(number))
            expect(page).to_have_url(f"{visit.origin}/#{name}")
            expect(page.locator("#tabs a[aria-current=page]")).to_have_attribute("href", f"#{name}")
        page.get_by_label("Worst by").select_option("all")
        expect(rows_of(page)).to_have_count(100)
        page.get_by_label("Worst by").blur()
        page.keyboard.press("j")
        first = focused_row(page)
        page.keyboard.press("j")
        assert focused_row(page) == rows_of(page).nth(1).get_attribute("data-key")
        page.keyboard.press("k")
        assert focused_row(page) == first
        page.keyboard.press("Enter")
        expect(page.locator("#drawer h2")).to_contain_text(first)
        page.keyboard.press("d")
        expect(page.get_by_role("button", name="Close the details")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#drawer")).to_be_hidden()
        assert focused_row(page) == first
        page.keyboard.press("/")
        page.keyboard.type("j2")
        expect(page.get_by_label("Filter")).to_have_value("j2")
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_contain_text("next and previous row")
        page.keyboard.press("Escape")
        expect(page.locator("#keys")).to_be_hidden()
        visit.assert_quiet()

    @pytest.mark.parametrize("scheme", ["dark", "light"])
    def test_schemes(self, open_page: Open, scheme: str) -> None:
        visit = open_page(color_scheme=scheme)
        expect(rows_of(visit.page)).not_to_have_count(0)
        ground, text = (
            sum(map(int, re.findall(r"\d+", visit.page.evaluate(f"getComputedStyle(document.body).{name}"))[:3]))
            for name in ("backgroundColor", "color")
        )
        dark, light = (ground, text) if scheme == "dark" else (text, ground)
        assert dark < 150
        assert light > 500
        visit.assert_quiet()

    def test_a_narrow_window(self, open_page: Open) -> None:
        visit = open_page("routes?route=good.test", viewport={"width": 420, "height": 800})
        expect(visit.page.locator("#drawer tr[data-key]")).to_have_count(2)
        # Tables scroll, the page does not.
        assert visit.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        visit.assert_quiet()


def test_a_router_that_goes_away_and_comes_back(
    browser: Browser, tmp_path: Path, nats_for_module: NatsServerProcess
) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    router = start(tmp_path, nats_for_module.port, f"127.0.0.1:{port}")
    visit = Visit(browser, f"http://127.0.0.1:{port}")
    try:
        visit.page.goto(f"{visit.origin}/#token={READ_TOKEN}")
        expect(strip_of(visit.page, "State")).to_have_text("serving")
        visit.page.keyboard.press("2")
        router.stop()
        expect(visit.page.locator("#notice")).to_contain_text("what is shown is old")
        router = start(tmp_path, nats_for_module.port, f"127.0.0.1:{port}")
        expect(visit.page.locator("#notice")).to_be_hidden()
        expect(strip_of(visit.page, "State")).to_have_text("serving")
        visit.assert_quiet(GONE)
    finally:
        visit.close()
        router.stop()
